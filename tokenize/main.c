/* main.c - tokenize: freezes a tokenizer's encoder and turns images, episodes and texts into
 * shards of tokens. */
#include "common/base/cli.h"
#include "common/kernel/level.h"
#include "common/model/version.h"
#include "tokenize/commands.h"

int main(int argc, char **argv) {
    static const cli_command_t commands[] = {
        {"images", "tokenize a folder or tar of images, or the frames of a dataset", cmd_images},
        {"episodes", "tokenize the episodes of a Minari dataset or a D4RL file", cmd_episodes},
        {"text", "tokenize texts, captions and questions about images", cmd_text},
        {"decode", "turn codes back into images, as PNG files", cmd_decode},
        {"info", "what a shard holds", cmd_info},
        {"verify", "read every record again, and encode a sample again", cmd_verify},
        {"merge", "join the parts that --shard made, or shards of different tasks", cmd_merge},
        {"dump", "print records as JSON, one object per line", cmd_dump},
        {0},
    };
    die_set_program("tokenize");
    kern_level_from_environment_or_die();
    return cli_main(argc, argv, "tokenize",
                    "turn images, episodes and texts into shards of discrete tokens", commands,
                    version_print);
}
