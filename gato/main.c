/* main.c - gato: trains policies on token shards and lets them act. */
#include "common/base/cli.h"
#include "common/kernel/level.h"
#include "common/model/version.h"
#include "gato/commands.h"
#include "gato/record.h"

int main(int argc, char **argv) {
    static const cli_command_t commands[] = {
        {"train", "train a policy on token shards", cmd_gato_train},
        {"eval", "print held-out loss, action accuracy and action error", cmd_gato_eval},
        {"act", "let a policy play an environment (closed loop)", cmd_gato_act},
        {"compare", "say whether two policies differ on the same episodes", cmd_gato_compare},
        {"chart", "draw members of JSON lines against one another as SVG", cmd_gato_chart},
        {"record", "play episodes and write them as a Minari dataset", cmd_record},
        {"imagine", "go on with episodes in image tokens, beside the true future",
         cmd_gato_imagine},
        {"import", "turn a policy of NEKO, or a GPT-2, into a RUN", cmd_gato_import},
        {"merge", "add a policy's adapters (LoRA) to its layers", cmd_gato_merge},
        {"adapter", "write adapters (LoRA) as a folder of peft's, or take such a folder",
         cmd_gato_adapter},
        {"caption", "write captions of images", cmd_gato_caption},
        {"answer", "answer a question about images, or go on with a text", cmd_gato_answer},
        {"info", "describe a RUN", cmd_gato_info},
        {"report", "a RUN as one HTML page: curves by task, timesteps, results", cmd_gato_report},
        {"bench", "measure how fast a policy or a configuration is", cmd_gato_bench},
        {"trace", "write intermediate values, to compare with another framework", cmd_gato_trace},
        {0},
    };
    die_set_program("gato");
    kern_level_from_environment_or_die();
    return cli_main(argc, argv, "gato",
                    "train and run Gato-style policies over discrete image tokens", commands,
                    version_print);
}
