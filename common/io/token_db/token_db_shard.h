/* token_db_shard.h - the handle of a shard, and what its reading and its writing half share.
 *
 * token_db_read.c and token_db_write.c stand beside each other and do not call one another. A
 * writer leaves the function that ends it in the handle, so that token_db_close need not know it.
 */
#ifndef IO_TOKEN_DB_SHARD_H
#define IO_TOKEN_DB_SHARD_H

#include "common/io/lock.h"
#include "common/io/token_db/token_db_index.h"

struct pending; /* a value that waits for the next commit */

struct token_db {
    char *path;     /* without a slash at its end */
    int slot;       /* token_db_guard.h; -1 = none */
    unsigned users; /* handles given out; token_db_close counts them down */
    MDB_env *env;
    shard_meta_t stored; /* the meta in the file */

    /* reading */
    MDB_txn *txn; /* pins the snapshot */
    token_index_t index;

    /* writing */
    shard_meta_t *meta; /* the caller's; NULL in a reader */
    /* Releases what the fields below own and closes env; NULL in a reader. */
    void (*close_writer)(token_db_t *db);
    char *lock_path;
    lock_t lock;
    uint64_t map, max_map; /* bytes of LMDB's map, and how far it may grow */
    uint64_t next_record, next_bad, pending_bytes;
    uint64_t touched; /* bytes of LMDB's map that may be resident */
    bool codebook_stored, text_file_stored;
    bool tail; /* there are bad items behind the records */
    struct pending *pending;
    size_t n_pending, pending_cap;
    token_mark_t mark[TOKEN_MARKS];
    size_t n_marks;
};

/* Puts "'PATH': " before the cause in *why (may be NULL). Returns rc. */
int shard_reason(const char *path, int rc, reason_t *why);
/* Opens the LMDB environment of the folder `path` with a map of `map` bytes, after a check of the
 * file's meta pages. Falls back to MDB_NOLOCK where the file system is read-only or has no locks.
 * 0, or an RC_ code with a reason. */
int shard_env_open(const char *path, unsigned flags, size_t map, MDB_env **env, reason_t *why);
/* Does LMDB's error `rc` mean that data.mdb has reached the limit on file sizes (ulimit -f)? */
bool shard_size_limit(const char *path, int rc);

#endif
