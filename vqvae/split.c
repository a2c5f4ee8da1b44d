/* split.c - see split.h. */
#include "vqvae/split.h"

#include "common/base/die.h"

#include <string.h>

split_t split_parse(const char *text) {
    if (!strcmp(text, "train")) return SPLIT_TRAIN;
    if (!strcmp(text, "val")) return SPLIT_VAL;
    if (!strcmp(text, "all")) return SPLIT_ALL;
    die(RC_USAGE, "--split '%s': one of val, train, all is needed", text);
}
