/* token_db_read.c - opening a shard, and reading records in place.
 *
 * LMDB keeps the snapshot (a read transaction that lives as long as the handle, so that a writer
 * beside us does not reuse its pages); the values are found by our own checked walk over a map of
 * LMDB's file, once, when the shard is opened. So reading a record is a table look-up that any
 * thread may do, and no damage in the file can lead LMDB astray.
 */
#include "common/io/fs.h"
#include "common/io/token_db/token_db_shard.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGE = 64 << 20, GIVE_BACK = 64 << 20 };
static const uint64_t ADDRESSABLE = (uint64_t)1 << 46; /* bytes of a map; no shard is near it */

int shard_reason(const char *path, int rc, reason_t *why) {
    if (!why) return rc;
    reason_t cause = *why;
    reason_set(why, "'%.200s': %.280s", path, cause.text);
    return rc;
}

/* ---- index ---- */

static void push(token_list_t *l, const uint8_t *data, size_t size) {
    l->v = xgrow(l->v, &l->cap, l->n + 1, sizeof *l->v);
    l->v[l->n++] = (token_bytes_t){data, size};
}

/* Pages of a large file are given back now and then: what is read once would otherwise count as
 * memory in use. They stay in the system's cache, and any pointer into them stays good. */
static void touch(token_index_t *x, size_t bytes) {
    if (x->size < LARGE || __atomic_add_fetch(&x->touched, bytes, __ATOMIC_RELAXED) < GIVE_BACK)
        return;
    __atomic_store_n(&x->touched, 0, __ATOMIC_RELAXED);
    madvise((void *)(uintptr_t)x->map, x->size, MADV_DONTNEED);
}

typedef struct {
    token_index_t *x;
    uint8_t last[KEY_BYTES]; /* key before this one */
    bool any;
} indexing_t;

static void index_record(token_index_t *x, const uint8_t *key) {
    size_t page = (size_t)(key - x->map) / x->tree.page;
    if (!x->n_leaves || x->leaf[x->n_leaves - 1].page != page) {
        x->leaf = xgrow(x->leaf, &x->leaves_cap, x->n_leaves + 1, sizeof *x->leaf);
        x->leaf[x->n_leaves++] = (token_leaf_t){page, x->records};
    }
    x->records++;
}

static int index_mark(token_index_t *x, token_key_t key, const uint8_t *value, size_t size,
                      reason_t *why) {
    value_t v;
    if (size == VALUE_HEADER) return 0; /* an item of its own: former versions marked those */
    if (x->n_marks == TOKEN_MARKS) return reason_set(why, "corrupt: too many sources");
    if (value_parse(value, size, key, MARK_HEAD, &v, why)) return -1;
    token_mark_t *m = &x->mark[x->n_marks++];
    *m = (token_mark_t){.source = key.id};
    memcpy(&m->items, v.head, 8);
    memcpy(&m->last, v.head + 8, 8);
    return 0;
}

static int index_entry(void *ctx, const uint8_t *key, size_t key_size, const uint8_t *value,
                       size_t size, reason_t *why) {
    indexing_t *s = ctx;
    token_index_t *x = s->x;
    token_key_t k;
    if (token_key_parse(key, key_size, &k))
        return reason_set(why, "corrupt: a key that is not a shard's");
    if (s->any && memcmp(s->last, key, KEY_BYTES) >= 0)
        return reason_set(why, "corrupt: keys out of order");
    memcpy(s->last, key, KEY_BYTES);
    s->any = true;
    touch(x, size < 1 << 16 ? size + KEY_BYTES : 1 << 16);
    switch (k.tag) {
    case TAG_META:
        if (k.id || k.sub > 1) return reason_set(why, "corrupt: a key that is not a shard's");
        *(k.sub ? &x->codebook : &x->meta) = (token_bytes_t){value, size};
        return 0;
    case TAG_RECORD:
        if (k.sub || k.id != x->records)
            return reason_set(why, "corrupt: record %" PRIu64 " is missing", x->records);
        index_record(x, key);
        return 0;
    case TAG_SOURCE:
        return index_mark(x, k, value, size, why);
    case TAG_BAD:
        if (k.sub || k.id != x->bad.n)
            return reason_set(why, "corrupt: bad item %zu is missing", x->bad.n);
        push(&x->bad, value, size);
        return 0;
    }
    return -1;
}

/* What the list of free pages says matters to writers only, who must not reuse a page because of a
 * damaged list. */
static int skip_entry(void *ctx, const uint8_t *key, size_t key_size, const uint8_t *value,
                      size_t size, reason_t *why) {
    uint64_t n = 0;
    if (size >= 8) memcpy(&n, value, 8);
    if (key_size != 8 || size < 8 || n > (size - 8) / 8)
        return reason_set(why, "corrupt: the list of free pages");
    return 0;
}

int token_index_open(token_index_t *x, MDB_env *env, MDB_txn *txn, int slot, reason_t *why) {
    mdb_filehandle_t fd;
    struct stat st;
    const char *path;
    *x = (token_index_t){0};
    if (mdb_env_get_fd(env, &fd) || mdb_env_get_path(env, &path) || fstat(fd, &st)) {
        reason_set(why, "cannot look at its file: %s", strerror(errno));
        return RC_RUNTIME;
    }
    void *map =
        st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (map == MAP_FAILED) {
        reason_set(why, "cannot map %jd bytes: %s", (intmax_t)st.st_size,
                   strerror(st.st_size ? errno : EINVAL));
        return RC_DATA;
    }
    x->map = map;
    x->size = (size_t)st.st_size;
    shard_slot_guard(slot, map, x->size, path);
    uint64_t newest;
    int rc = token_tree_newest(x->map, x->size, &newest, why) ? RC_DATA : 0;
    if (!rc && token_tree_open(&x->tree, x->map, x->size, mdb_txn_id(txn), why))
        rc = newest > mdb_txn_id(txn) ? -2 : RC_DATA;
    indexing_t s = {.x = x};
    if (!rc && (token_tree_walk(&x->tree, TREE_FREE, skip_entry, NULL, why) ||
                token_tree_walk(&x->tree, TREE_MAIN, index_entry, &s, why)))
        rc = RC_DATA;
    if (rc) token_index_close(x);
    return rc;
}

int token_index_meta(const token_index_t *x, shard_meta_t *out, reason_t *why) {
    memset(out, 0, sizeof *out);
    if (!x->meta.data) {
        reason_set(why, "nothing was committed to it");
        return RC_DATA;
    }
    int rc = token_meta_parse(x->meta.data, x->meta.size, out, why);
    if (!rc && x->codebook.data)
        rc = token_codebook_parse(x->codebook.data, x->codebook.size, out, why);
    if (!rc && (out->records != x->records || out->bad != x->bad.n)) {
        reason_set(why,
                   "corrupt: %" PRIu64 " records and %" PRIu64 " bad items counted, %" PRIu64
                   " and %zu found",
                   out->records, out->bad, x->records, x->bad.n);
        rc = RC_DATA;
    }
    if (rc) shard_meta_release(out);
    return rc;
}

void token_index_close(token_index_t *x) {
    if (x->map) munmap((void *)(uintptr_t)x->map, x->size);
    free(x->leaf);
    free(x->bad.v);
    *x = (token_index_t){0};
}

int token_index_record(token_index_t *x, uint64_t i, token_bytes_t *out, reason_t *why) {
    size_t from = 0, to = x->n_leaves;
    while (to - from > 1) { /* the last leaf that starts at or before i */
        size_t middle = (from + to) / 2;
        if (x->leaf[middle].first <= i)
            from = middle;
        else
            to = middle;
    }
    uint8_t key[KEY_BYTES];
    token_key_write((token_key_t){TAG_RECORD, 0, i}, key);
    touch(x, 1 << 16); /* the system maps that much around a page */
    return token_tree_entry(&x->tree, x->leaf[from].page, key, sizeof key, &out->data, &out->size,
                            why);
}

/* ---- opening ---- */

/* LMDB believes the meta pages: it looks for the second one a page behind the first, maybe beyond
 * the end of the file and before there is a map to guard, and maps all pages up to the last. What
 * is no LMDB file at all it finds itself.
 */
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
        if (size[i] < 512 || size[i] > 65536 || size[i] & (size[i] - 1) || size[i] != size[0])
            bad = "page size";
        if (!bad && last >= ADDRESSABLE / size[i]) bad = "last page";
    }
    if (fd >= 0)
        close(fd); /* drops no lock: the process has the file open nowhere else (shard_slot_take) */
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
    /* A read-only medium: nobody writes there either. No locks: a writer says so, and readers check
     * all that they read. */
    if ((read_only || no_locks) && !(flags & MDB_NOLOCK)) {
        if (!reader) lock_warn_unsupported(path, rc);
        return shard_env_open(path, flags | MDB_NOLOCK, map, env, why);
    }
    reason_set(why, "cannot open: %s",
               shard_size_limit(path, rc) ? cause_of(EFBIG) : mdb_strerror(rc));
    if (rc == MDB_VERSION_MISMATCH) return RC_MISFIT;
    return rc == MDB_INVALID || rc == MDB_CORRUPTED ? RC_DATA : RC_RUNTIME;
}

/* A transaction on the newest state, and its index. While somebody writes, a state may be gone
 * before we have looked at it: try again. */
static int open_snapshot(token_db_t *db, reason_t *why) {
    int stale;
    mdb_reader_check(db->env, &stale);
    for (int i = 0; i < 20; i++) {
        int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &db->txn);
        if (rc == MDB_MAP_RESIZED) {
            mdb_env_set_mapsize(db->env, 0);
            continue;
        }
        if (rc) {
            reason_set(why, "cannot read: %s", mdb_strerror(rc));
            return RC_RUNTIME;
        }
        rc = token_index_open(&db->index, db->env, db->txn, db->slot, why);
        if (rc != -2 && (rc != RC_DATA || i > 0))
            return rc; /* once more: a meta page may be being written */
        mdb_txn_abort(db->txn);
        db->txn = NULL;
    }
    reason_set(why, "it changes too fast to be read");
    return RC_RUNTIME;
}

static int open_reader(token_db_t *db, size_t size, reason_t *why) {
    int rc = shard_env_open(db->path, MDB_RDONLY | MDB_NOTLS, size, &db->env, why);
    if (!rc) rc = open_snapshot(db, why);
    if (!rc) rc = token_index_meta(&db->index, &db->stored, why);
    return rc;
}

token_db_t *token_db_open(const char *path, int *rc, reason_t *why) {
    struct stat st;
    char *file = fs_join(path, "data.mdb");
    int missing = stat(file, &st);
    free(file);
    if (missing) {
        *rc = RC_USAGE;
        reason_set(why,
                   fs_exists(path) ? "'%s' is no token shard: it has no data.mdb"
                                   : "'%s' does not exist",
                   path);
        return NULL;
    }
    if (st.st_size == 0) {
        *rc = RC_DATA;
        reason_set(why, "'%s': nothing was committed to it", path);
        return NULL;
    }
    token_db_t *db = NEW(token_db_t), *other;
    db->slot = shard_slot_take(st.st_dev, st.st_ino, db, &other);
    if (db->slot < 0) {
        free(db);
        if (other && !other->meta) {
            __atomic_add_fetch(&other->users, 1, __ATOMIC_SEQ_CST);
            return other;
        }
        *rc = RC_USAGE;
        reason_set(
            why, other ? "'%s' is being written by this process" : "'%s': too many shards are open",
            path);
        return NULL;
    }
    db->path = xstrdup(path);
    db->users = 1;
    db->lock.fd = -1;
    *rc = open_reader(db, (size_t)st.st_size, why);
    if (*rc == 0) return db;
    shard_reason(path, *rc, why);
    token_db_close(db);
    return NULL;
}

void token_db_close(token_db_t *db) {
    if (!db || __atomic_sub_fetch(&db->users, 1, __ATOMIC_SEQ_CST) > 0) return;
    if (db->meta) token_db_release_writer(db);
    if (db->txn) mdb_txn_abort(db->txn);
    token_index_close(&db->index);
    if (db->env) mdb_env_close(db->env);
    shard_slot_release(db->slot);
    shard_meta_release(&db->stored);
    free(db->path);
    free(db);
}

/* ---- reading ---- */

const shard_meta_t *token_db_meta(const token_db_t *db) {
    return db->meta ? db->meta : &db->stored;
}
uint64_t token_db_count(const token_db_t *db) {
    return db->meta ? db->next_record : db->index.records;
}
uint64_t token_db_bytes(const token_db_t *db) {
    return db->index.size;
}

/* The record's key for a message, as far as it can be read: printable, at most 80 bytes. */
static void name_of(token_bytes_t b, uint64_t i, char name[96]) {
    value_t v;
    name[0] = 0;
    if (value_parse(b.data, b.size, (token_key_t){TAG_RECORD, 0, i}, RECORD_HEAD, &v, NULL)) return;
    const value_part_t *key = value_part(&v, PART_KEY);
    if (!key || key->type != 'B') return;
    size_t n = key->count < 80 ? key->count : 80;
    const uint8_t *from = key->data;
    memcpy(name, " '", 2);
    for (size_t c = 0; c < n; c++)
        name[2 + c] = from[c] < 32 || from[c] == 127 ? '?' : (char)from[c];
    memcpy(name + 2 + n, "'", 2);
}

int token_db_get(token_db_t *db, uint64_t i, token_record_t *r, reason_t *why) {
    reason_t cause = {""};
    memset(r, 0, sizeof *r);
    if (db->meta) BUG("reading from a shard opened for writing");
    if (i >= db->index.records)
        return reason_set(why, "'%s': there is no record %" PRIu64 ", only %" PRIu64, db->path, i,
                          db->index.records);
    token_bytes_t b = {0};
    if (token_index_record(&db->index, i, &b, &cause))
        return reason_set(why, "'%.200s': record %" PRIu64 ": %.200s", db->path, i, cause.text);
    if (token_record_parse(b.data, b.size, i, &db->stored, r, &cause) == 0) return 0;
    char name[96];
    name_of(b, i, name);
    return reason_set(why, "'%.200s': record %" PRIu64 "%s at byte %zu of data.mdb: %.200s",
                      db->path, i, name, (size_t)(b.data - db->index.map), cause.text);
}

static char *text_part(const value_t *v, unsigned part) {
    const value_part_t *p = value_part(v, part);
    size_t n = p && p->type == 'B' ? p->count : 0;
    char *s = xmalloc(n + 1);
    if (n) memcpy(s, p->data, n);
    s[n] = 0;
    return s;
}

int token_db_bad(token_db_t *db, uint64_t i, char **key, char **reason, reason_t *why) {
    value_t v;
    reason_t cause = {""};
    if (why) why->text[0] = 0;
    if (db->meta || i >= db->index.bad.n) return -1;
    token_bytes_t b = db->index.bad.v[i];
    if (value_parse(b.data, b.size, (token_key_t){TAG_BAD, 0, i}, 0, &v, &cause))
        return reason_set(why, "'%.200s': bad item %" PRIu64 ": %.200s", db->path, i, cause.text);
    *key = text_part(&v, PART_KEY);
    *reason = text_part(&v, PART_REASON);
    return 0;
}
