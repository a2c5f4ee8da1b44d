/* token_db_tree.h - LMDB's B-tree, read with distrust.
 *
 * LMDB trusts its pages, so a damaged shard is walked here first. Every page number, offset and
 * length is checked against the file before it is followed, in time linear in the pages. Pure
 * functions over bytes: no LMDB here, and nothing is allocated.
 *
 * The layout is that of LMDB 0.9 (data version 1) on machines with 64-bit words: struct MDB_meta,
 * MDB_page and MDB_node of its mdb.c.
 */
#ifndef IO_TOKEN_DB_TREE_H
#define IO_TOKEN_DB_TREE_H

#include "common/base/die.h"
#include <stddef.h>
#include <stdint.h>

/* The trees of a file: the list of free pages, and the database. */
enum { TREE_FREE, TREE_MAIN, TREES };

/* One state of a file. Borrows its bytes. */
typedef struct {
    const uint8_t *file;
    size_t size;        /* of the file, bytes */
    size_t page;        /* bytes per page */
    size_t last_page;   /* number of the last page */
    size_t root[TREES]; /* page number; SIZE_MAX = empty */
    uint64_t entries[TREES];
    unsigned depth[TREES];
} token_tree_t;

/* Bytes at the start of a meta page that token_tree_meta reads. */
enum { TREE_META_HEAD = 144 };

/* Reads bytes per page and the number of the last page from the head of a meta page; neither is
 * checked. 0, or -1: it is no meta page. */
int token_tree_meta(const uint8_t head[TREE_META_HEAD], size_t *page, uint64_t *last);
/* Is it a size that a page can have: a power of two from 512 to 65536? */
bool token_tree_page_size(size_t page);
/* Opens the state that transaction `txnid` left. `file` is the whole file, aligned to 8 bytes, and
 * must outlive *t. 0, or -1 with a reason. */
int token_tree_open(token_tree_t *t, const uint8_t *file, size_t size, uint64_t txnid,
                    reason_t *why);
/* The number of the newest transaction. 0, or -1 with a reason. */
int token_tree_newest(const uint8_t *file, size_t size, uint64_t *txnid, reason_t *why);

/* Sees one entry; key and value point into the file. Returns 0 to go on. */
typedef int (*token_visit_fn)(void *ctx, const uint8_t *key, size_t key_size, const uint8_t *value,
                              size_t value_size, reason_t *why);
/* Calls `visit` for every entry of tree `which` in the order of the keys. 0; or -1 with a reason
 * when the tree is damaged or `visit` returned anything but 0. */
int token_tree_walk(const token_tree_t *t, int which, token_visit_fn visit, void *ctx,
                    reason_t *why);
/* Finds the value of `key` in a leaf page that a walk has passed; *value points into the file. 0,
 * or -1 with a reason: it is not there, or the page was damaged since. */
int token_tree_entry(const token_tree_t *t, size_t page, const uint8_t *key, size_t key_size,
                     const uint8_t **value, size_t *size, reason_t *why);

#endif
