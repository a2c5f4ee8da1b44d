/* main.c - gato's table of commands. */
#include "common/base/cli.h"
#include "gato/record.h"
#include <stdio.h>

static const cli_command_t commands[] = {
    {"record", "play episodes and write them as a Minari dataset", cmd_record},
    {0},
};

static void version(void) {
    puts("gato 0.1");
}

int main(int argc, char **argv) {
    return cli_main(argc, argv, "gato", "Gato-style policies over discrete image tokens.", commands, version);
}
