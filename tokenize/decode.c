#include "tokenize/commands.h"
int cmd_decode(int argc, char **argv) {
    return 2;
}
