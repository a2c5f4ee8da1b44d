/* token_db_read.c - opening a shard, and reading records in place.
 *
 * LMDB pins the snapshot: its read transaction lives as long as the handle, so that a writer beside
 * us does not reuse the snapshot's pages. The values themselves are found through our own index
 * (token_db_index.h), which walks a map of LMDB's file once, when the shard is opened. Reading a
 * record is then a look-up that any thread may do, and no damage in the file can lead LMDB astray.
 */
#include "common/base/sizes.h"
#include "common/io/fs.h"
#include "common/io/token_db/token_db_guard.h"
#include "common/io/token_db/token_db_shard.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- opening ---- */

/* Begins a transaction on the newest state and indexes it. A writer beside us may overwrite that
 * state before the walk has ended: then the next one is tried. */
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
        /* Damage is believed at the second try: at the first a meta page may be half written. */
        bool try_again = rc == TOKEN_INDEX_OVERWRITTEN || (rc == RC_DATA && i == 0);
        if (!try_again) return rc;
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
        if (fs_exists(path))
            reason_set(why, "'%s' is no token shard: it has no data.mdb", path);
        else
            reason_set(why, "'%s' does not exist", path);
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
        if (other)
            reason_set(why, "'%s' is being written by this process", path);
        else
            reason_set(why, "'%s': too many shards are open", path);
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

/* " 'KEY'" of record i for a message: printable, at most 80 bytes of the key; "" when the value
 * cannot be parsed. */
static void name_of(token_bytes_t b, uint64_t i, char name[96]) {
    value_t v;
    name[0] = 0;
    if (value_parse(b.data, b.size, (token_key_t){TAG_RECORD, 0, i}, RECORD_HEAD, &v, NULL)) return;
    const value_part_t *key = value_part(&v, PART_KEY, 0);
    if (!key || key->type != 'B') return;
    size_t n = min_size(key->count, 80);
    const uint8_t *from = key->data;
    memcpy(name, " '", 2);
    for (size_t c = 0; c < n; c++)
        name[2 + c] = from[c] < 32 || from[c] == 127 ? '?' : (char)from[c];
    memcpy(name + 2 + n, "'", 2);
}

int token_db_get(token_db_t *db, uint64_t i, token_record_t *r, reason_t *why) {
    reason_t cause = {""};
    *r = (token_record_t){0};
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

uint64_t token_db_checksum(token_db_t *db, uint64_t i) {
    token_bytes_t b = {0};
    if (db->meta) BUG("reading from a shard opened for writing");
    if (i >= db->index.records || token_index_record(&db->index, i, &b, NULL) ||
        b.size < VALUE_HEADER)
        return 0;
    return value_checksum(b.data);
}

/* The bytes of a part as a string, "" when it is absent. malloc'ed. */
static char *text_part(const value_t *v, unsigned part) {
    const value_part_t *p = value_part(v, part, 0);
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
