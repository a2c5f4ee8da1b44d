/* token_db_tree.h - LMDB's B-tree read with distrust: every page number, offset and length is
 * checked against the file before it is followed, in time linear in the pages. LMDB itself trusts
 * its pages, so a damaged shard is walked here first. Pure functions over bytes.
 *
 * The layout is that of LMDB 0.9 (data version 1) on machines with 64-bit words: struct MDB_meta,
 * MDB_page and MDB_node of its mdb.c.
 */
#ifndef IO_TOKEN_DB_TREE_H
#define IO_TOKEN_DB_TREE_H

#include "common/base/die.h"
#include <stddef.h>
#include <stdint.h>

enum { TREE_FREE = 0, TREE_MAIN = 1 };
enum { TREE_META_HEAD = 144 }; /* bytes of a meta page that token_tree_meta reads */
/* From the head of a meta page: size of a page and number of the last one, both unchecked. -1: no
 * meta page. */
int token_tree_meta(const uint8_t head[TREE_META_HEAD], size_t *page, uint64_t *last);

typedef struct {
    const uint8_t *file;
    size_t size, page, last_page;
    size_t root[2]; /* of the free list and of the database; SIZE_MAX = empty */
    uint64_t entries[2];
    unsigned depth[2];
} token_tree_t;

/* The state that transaction `txnid` left. `file` must be aligned to 8. -1 with a reason. */
int token_tree_open(token_tree_t *t, const uint8_t *file, size_t size, uint64_t txnid,
                    reason_t *why);
/* The newest state, for files that nobody writes. */
int token_tree_newest(const uint8_t *file, size_t size, uint64_t *txnid, reason_t *why);
/* Calls visit for every entry in order; stops at the first that is not 0. */
typedef int (*token_visit_fn)(void *ctx, const uint8_t *key, size_t key_size, const uint8_t *value,
                              size_t value_size, reason_t *why);
/* The entry of one key in a leaf page that a walk has passed. -1: it is not there, or damaged. */
int token_tree_entry(const token_tree_t *t, size_t page, const uint8_t *key, size_t key_size,
                     const uint8_t **value, size_t *size, reason_t *why);
int token_tree_walk(const token_tree_t *t, int which, token_visit_fn visit, void *ctx,
                    reason_t *why);

#endif
