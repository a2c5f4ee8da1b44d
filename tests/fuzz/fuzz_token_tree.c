/* fuzz_token_tree.c - arbitrary bytes as an LMDB file: the walk stays inside them, and ends. */
#include "common/io/token_db/token_db_tree.h"

#include <stdlib.h>
#include <string.h>

static volatile uint8_t sink;

/* Touches the first and the last byte of what it is given. */
static int touch(void *ctx, const uint8_t *key, size_t key_size, const uint8_t *value, size_t size,
                 reason_t *why) {
    size_t *entries = ctx;
    if (key_size) sink = (uint8_t)(key[0] ^ key[key_size - 1]);
    if (size) sink = (uint8_t)(value[0] ^ value[size - 1]);
    ++*entries;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    token_tree_t tree;
    uint64_t txnid;
    size_t entries = 0;
    reason_t why;
    uint8_t *file = malloc(size + 1);
    memcpy(file, data, size);
    if (token_tree_newest(file, size, &txnid, &why) == 0 &&
        token_tree_open(&tree, file, size, txnid, &why) == 0) {
        token_tree_walk(&tree, TREE_FREE, touch, &entries, &why);
        token_tree_walk(&tree, TREE_MAIN, touch, &entries, &why);
        for (size_t page = 0; page < 64 && size >= 16; page++) {
            const uint8_t *value;
            size_t n;
            if (token_tree_entry(&tree, page, file + (page * 37 % (size - 15)), 16, &value, &n,
                                 &why) == 0)
                touch(&entries, file, 16, value, n, &why);
        }
    }
    free(file);
    return 0;
}
