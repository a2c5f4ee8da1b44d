/* token_db_shard.c - see token_db_shard.h. */
#include "common/io/token_db/token_db_shard.h"

#include "common/io/fs.h"
#include "common/io/token_db/token_db_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const uint64_t ADDRESSABLE = (uint64_t)1 << 46; /* bytes of a map; no shard is near it */

int shard_reason(const char *path, int rc, reason_t *why) {
    if (!why) return rc;
    reason_t cause = *why;
    reason_set(why, "'%.200s': %.600s", path, cause.text);
    return rc;
}

/* LMDB reports a write that was cut short as EIO or ENOSPC. */
bool shard_size_limit(const char *path, int rc) {
    if (rc != EIO && rc != ENOSPC) return rc == EFBIG;
    char *name = fs_join(path, "data.mdb");
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    bool reached = fd >= 0 && at_size_limit(fd);
    /* Closing drops the process's locks on the file. None is needed: nobody else writes it. */
    if (fd >= 0) close(fd);
    free(name);
    return reached;
}

/* LMDB believes its meta pages. It looks for the second one a page behind the first, which may be
 * beyond the end of the file, and it does so before there is a map to guard. Then it maps all pages
 * up to the last. So both numbers are checked here. LMDB itself refuses a file of another kind. */
static int check_meta(const char *path, reason_t *why) {
    char *name = fs_join(path, "data.mdb");
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    uint8_t head[TREE_META_HEAD];
    size_t size[2] = {0};
    const char *bad = NULL;
    for (int i = 0; fd >= 0 && i < 2 && !bad; i++) {
        uint64_t last;
        if (pread(fd, head, sizeof head, (off_t)size[0]) != (ssize_t)sizeof head) break;
        if (token_tree_meta(head, &size[i], &last)) break;
        if (!token_tree_page_size(size[i]) || size[i] != size[0]) bad = "page size";
        if (!bad && last >= ADDRESSABLE / size[i]) bad = "last page";
    }
    /* Drops no lock: the process has the file open nowhere else (shard_slot_take). */
    if (fd >= 0) close(fd);
    free(name);
    return bad ? reason_set(why, "corrupt: the %s on a meta page", bad) : 0;
}

int shard_env_open(const char *path, unsigned flags, size_t map, MDB_env **env, reason_t *why) {
    if (check_meta(path, why)) return RC_DATA;
    int rc = mdb_env_create(env);
    if (!rc) rc = mdb_env_set_mapsize(*env, map);
    if (!rc) rc = mdb_env_open(*env, path, flags, 0666);
    if (!rc) return 0;
    mdb_env_close(*env);
    *env = NULL;
    bool reader = (flags & MDB_RDONLY) != 0;
    bool read_only = reader && (rc == EACCES || rc == EROFS || rc == EPERM);
    bool no_locks = lock_unsupported(rc) || rc == ENODEV; /* ENODEV: no shared maps */
    /* On a read-only medium nobody writes, so no lock is needed. Without locks the writer warns,
     * and readers check all that they read. */
    if ((read_only || no_locks) && !(flags & MDB_NOLOCK)) {
        if (!reader) lock_warn_unsupported(path, rc);
        return shard_env_open(path, flags | MDB_NOLOCK, map, env, why);
    }
    reason_set(why, "cannot open: %s",
               shard_size_limit(path, rc) ? cause_of(EFBIG) : mdb_strerror(rc));
    if (rc == MDB_VERSION_MISMATCH) return RC_MISFIT;
    return rc == MDB_INVALID || rc == MDB_CORRUPTED ? RC_DATA : RC_RUNTIME;
}

void token_db_close(token_db_t *db) {
    if (!db || __atomic_sub_fetch(&db->users, 1, __ATOMIC_SEQ_CST) > 0) return;
    if (db->close_writer) db->close_writer(db);
    if (db->txn) mdb_txn_abort(db->txn);
    token_index_close(&db->index);
    if (db->env) mdb_env_close(db->env);
    shard_slot_release(db->slot);
    shard_meta_release(&db->stored);
    free(db->path);
    free(db);
}
