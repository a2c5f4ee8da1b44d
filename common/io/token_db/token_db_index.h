/* token_db_index.h - where every value of a shard lies in the file.
 *
 * An index is one state of the file, walked and checked from the root once. Records are found by
 * the leaf page that holds them, so an index takes 16 bytes per leaf page and not per record.
 */
#ifndef IO_TOKEN_DB_INDEX_H
#define IO_TOKEN_DB_INDEX_H

#include "common/io/token_db/token_db_tree.h"
#include "common/io/token_db/token_db_value.h"
#include <lmdb.h>

/* A value in the map: borrowed. */
typedef struct {
    const uint8_t *data;
    size_t size;
} token_bytes_t;

typedef struct {
    token_bytes_t *v;
    size_t n, cap;
} token_list_t;

/* A page of the tree that holds records, and the number of the first of them. */
typedef struct {
    size_t page;
    uint64_t first;
} token_leaf_t;

/* How far a source is done: `items` of it, and the XXH64 of the last one's key. `source` is the
 * XXH64 of its name. */
typedef struct {
    uint64_t source, items, last;
} token_mark_t;

enum { TOKEN_MARKS = 64 };

typedef struct {
    const uint8_t *map; /* of the whole file, owned */
    size_t size;        /* bytes */
    token_tree_t tree;
    token_bytes_t meta, codebook, text_file; /* data NULL: the shard has none */
    token_leaf_t *leaf;                      /* owned, ascending */
    size_t n_leaves, leaves_cap;
    uint64_t records;
    token_list_t bad; /* values of the bad items */
    token_mark_t mark[TOKEN_MARKS];
    size_t n_marks;
    size_t touched; /* bytes of the map that were read since its pages were last given back */
} token_index_t;

/* Returned by token_index_open besides 0 and the RC_ codes. */
enum { TOKEN_INDEX_OVERWRITTEN = -2 };

/* Maps the file of an open environment, guards the map in `slot` (token_db_guard.h) and indexes the
 * state that `txn` sees. Returns 0, RC_RUNTIME or RC_DATA with a reason, or TOKEN_INDEX_OVERWRITTEN
 * when a writer has reused that state's pages meanwhile. *x is empty unless 0 is returned. */
int token_index_open(token_index_t *x, MDB_env *env, MDB_txn *txn, int slot, reason_t *why);
/* Parses meta, codebook and text_file and checks their counts against the index. 0, or an RC_ code
 * with a reason and *out empty. Release *out with shard_meta_release. */
int token_index_meta(const token_index_t *x, shard_meta_t *out, reason_t *why);
/* The value of record i < x->records, valid until token_index_close. -1 with a reason: it was
 * damaged since the walk. Thread-safe. */
int token_index_record(token_index_t *x, uint64_t i, token_bytes_t *out, reason_t *why);
/* Unmaps the file and empties *x. An empty index is allowed. The guard of the slot stays. */
void token_index_close(token_index_t *x);

#endif
