/* token_db_shard.h - what the reading and the writing half of a shard share: the handle, the list
 * of shards this process has open, and the guard against a file that shrinks while it is read.
 */
#ifndef IO_TOKEN_DB_SHARD_H
#define IO_TOKEN_DB_SHARD_H

#include "common/io/lock.h"
#include "common/io/token_db/token_db.h"
#include "common/io/token_db/token_db_tree.h"
#include "common/io/token_db/token_db_value.h"
#include <lmdb.h>
#include <sys/types.h>

typedef struct {
    const uint8_t *data;
    size_t size;
} token_bytes_t;

typedef struct {
    token_bytes_t *v;
    size_t n, cap;
} token_list_t;

/* A page of the tree that holds records, and the first of them. */
typedef struct {
    size_t page;
    uint64_t first;
} token_leaf_t;

typedef struct {
    uint64_t source, items, last;
} token_mark_t;

enum { TOKEN_MARKS = 64 };

/* One state of the file, walked and checked: where each value lies. Records are found by their
 * page: memory follows the pages of the tree, not the records. */
typedef struct {
    const uint8_t *map;
    size_t size;
    token_tree_t tree;
    token_bytes_t meta, codebook;
    token_leaf_t *leaf;
    size_t n_leaves, leaves_cap;
    uint64_t records;
    token_list_t bad;
    token_mark_t mark[TOKEN_MARKS];
    size_t n_marks;
    size_t touched; /* bytes of the map read since its pages were last given back */
} token_index_t;

/* Maps the file of an open environment and indexes the state that `txn` sees. 0 or an RC; -2 = the
 * state was overwritten meanwhile. */
int token_index_open(token_index_t *x, MDB_env *env, MDB_txn *txn, int slot, reason_t *why);
/* Meta and codebook of it, checked against the index. 0 or an RC; *out is empty on failure. */
int token_index_meta(const token_index_t *x, shard_meta_t *out, reason_t *why);
/* Record i < x->records. -1: damaged meanwhile. Thread-safe. */
int token_index_record(token_index_t *x, uint64_t i, token_bytes_t *out, reason_t *why);
void token_index_close(token_index_t *x);

struct token_db {
    char *path;
    int slot; /* in the list of open shards */
    unsigned users;
    MDB_env *env;
    shard_meta_t stored; /* readers: the meta */
    /* reading */
    MDB_txn *txn; /* pins the snapshot */
    token_index_t index;
    /* writing */
    shard_meta_t *meta; /* the caller's */
    char *lock_path;
    lock_t lock;
    uint64_t map, max_map, next_record, next_bad, pending_bytes;
    uint64_t touched;           /* bytes of LMDB's map that may be resident */
    bool codebook_stored, tail; /* tail: there are bad items behind the records */
    struct pending *pending;
    size_t n_pending, pending_cap;
    token_mark_t mark[TOKEN_MARKS];
    size_t n_marks;
};

/* "'X': " before the cause in *why. Returns rc. */
int shard_reason(const char *path, int rc, reason_t *why);
/* Opens the environment. 0 or an RC. */
int shard_env_open(const char *path, unsigned flags, size_t map, MDB_env **env, reason_t *why);
/* Does LMDB's error say that data.mdb has reached the limit on file sizes? */
bool shard_size_limit(const char *path, int rc);
void token_db_release_writer(token_db_t *db);

/* LMDB must not open one file twice in a process. A slot, or -1 with *other = the handle that has
 * it open (NULL: too many). */
int shard_slot_take(dev_t dev, ino_t ino, token_db_t *db, token_db_t **other);
/* From now on a SIGBUS inside the range ends the program with RC_DATA and the shard's name. */
void shard_slot_guard(int slot, const void *map, size_t size, const char *path);
void shard_slot_release(int slot);

#endif
