/* token_db_write.c - writing a shard.
 *
 * Everything since the last commit is kept in memory and goes into one transaction, together with
 * the meta and its counts. When the map is too small, the transaction is aborted, the map doubled
 * and the same transaction run again. When the disk is full, it is aborted, and what was committed
 * before stays as it was.
 */
#include "common/io/fs.h"
#include "common/io/token_db/token_db_guard.h"
#include "common/io/token_db/token_db_shard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { FIRST_MAP = 64 << 20, GIVE_BACK = 64 << 20 };

struct pending {
    token_key_t key;
    uint8_t *value;
    size_t size;
};

/* ---- what is done of each source ---- */

uint64_t token_db_done(const token_db_t *db, uint64_t source, uint64_t *last) {
    for (size_t i = 0; i < db->n_marks; i++) {
        if (db->mark[i].source != source) continue;
        *last = db->mark[i].last;
        return db->mark[i].items;
    }
    *last = 0;
    return 0;
}

void token_db_mark(token_db_t *db, uint64_t source, uint64_t items, uint64_t last) {
    size_t i = 0;
    while (i < db->n_marks && db->mark[i].source != source) i++;
    if (i == TOKEN_MARKS) BUG("more than %d sources in a shard", TOKEN_MARKS);
    if (i == db->n_marks) db->n_marks++;
    db->mark[i] = (token_mark_t){source, items, last};
}

uint64_t token_db_pending(const token_db_t *db) {
    return db->pending_bytes;
}

/* ---- opening ---- */

static const char *shown(const char *s) {
    return s ? s : "(none)";
}

static int differs(const char *what, const char *stored, const char *asked, reason_t *why) {
    if (stored == asked || (stored && asked && strcmp(stored, asked) == 0)) return 0;
    reason_set(why, "cannot go on with it: its %s is %.100s, asked for is %.100s", what,
               shown(stored), shown(asked));
    return RC_MISFIT;
}

static int check_same_tasks(const shard_meta_t *s, const shard_meta_t *m, reason_t *why) {
    char *stored = tasks_json_unsized(&s->tasks), *asked = tasks_json_unsized(&m->tasks);
    int rc = 0;
    if (strcmp(stored, asked) != 0) {
        size_t same = 0;
        while (stored[same] == asked[same]) same++;
        size_t from = same > 40 ? same - 40 : 0;
        reason_set(why, "cannot go on with it: its tasks are ...%.160s, asked for are ...%.160s",
                   stored + from, asked + from);
        rc = RC_MISFIT;
    }
    free(stored);
    free(asked);
    return rc;
}

/* Everything that shapes records must be equal in the file and in the caller's meta. 0, or
 * RC_MISFIT with the first difference. */
static int check_same(const shard_meta_t *s, const shard_meta_t *m, reason_t *why) {
    int rc = differs("arguments", s->arguments, m->arguments, why);
    if (!rc) rc = differs("fingerprint", s->fingerprint, m->fingerprint, why);
    if (!rc) rc = differs("preprocess", s->preprocess, m->preprocess, why);
    if (!rc) rc = differs("quantizer", s->quantizer, m->quantizer, why);
    if (!rc) rc = differs("text tokenizer", s->text_tokenizer, m->text_tokenizer, why);
    const struct {
        const char *what;
        uint32_t stored, asked;
    } number[] = {
        {"number of codes", s->codes, m->codes},
        {"code width", s->code_dim, m->code_dim},
        {"text vocabulary", s->text_vocab, m->text_vocab},
    };
    for (size_t i = 0; i < sizeof number / sizeof *number && !rc; i++) {
        if (number[i].stored == number[i].asked) continue;
        reason_set(why, "cannot go on with it: its %s is %" PRIu32 ", asked for is %" PRIu32,
                   number[i].what, number[i].stored, number[i].asked);
        rc = RC_MISFIT;
    }
    return rc ? rc : check_same_tasks(s, m, why);
}

/* The images' sizes too: what a run has learned from its records so far. */
static void take_counts(shard_meta_t *m, const shard_meta_t *s) {
    m->records = s->records;
    m->images = s->images;
    m->episodes = s->episodes;
    m->steps = s->steps;
    m->tokens = s->tokens;
    m->skipped = s->skipped;
    m->bad = s->bad;
    m->complete = s->complete;
    for (size_t i = 0; i < s->tasks.n; i++)
        for (uint32_t k = 0; k < s->tasks.v[i].n_slots; k++) {
            const slot_t *from = &s->tasks.v[i].slot[k];
            slot_t *to = &m->tasks.v[i].slot[k];
            to->image_h = from->image_h;
            to->image_w = from->image_w;
            to->grid_h = from->grid_h;
            to->grid_w = from->grid_w;
        }
}

/* Reads what a former run left: counts, marks and the number of the next record. A shard to which
 * nothing was ever committed counts as new: db->stored stays empty. */
static int load_former(token_db_t *db, reason_t *why) {
    MDB_txn *txn;
    token_index_t x = {0};
    int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    if (rc) {
        reason_set(why, "cannot read: %s", mdb_strerror(rc));
        return RC_RUNTIME;
    }
    rc = token_index_open(&x, db->env, txn, db->slot, why);
    if (!rc && x.meta.data) {
        rc = token_index_meta(&x, &db->stored, why);
        if (!rc) rc = check_same(&db->stored, db->meta, why);
        if (!rc) {
            take_counts(db->meta, &db->stored);
            db->codebook_stored = x.codebook.data != NULL;
            db->text_file_stored = x.text_file.data != NULL;
            db->next_record = x.records;
            db->next_bad = x.bad.n;
            db->tail = x.bad.n > 0;
            db->n_marks = x.n_marks;
            memcpy(db->mark, x.mark, sizeof db->mark);
        }
    }
    shard_slot_guard(db->slot, NULL, 0, db->path); /* the map is about to go */
    token_index_close(&x);
    mdb_txn_abort(txn);
    return rc;
}

/* Takes the slot of the file, and grows db->map to its size. This process may have the shard open
 * for reading, which must be known before LMDB opens the file a second time. */
static int take_slot(token_db_t *db, const char *file, reason_t *why) {
    struct stat st;
    token_db_t *other;
    if (stat(file, &st)) {
        reason_set(why, "cannot open '%s': %s", file, strerror(errno));
        return RC_RUNTIME;
    }
    while (db->map < (uint64_t)st.st_size && db->map < db->max_map)
        db->map = 2 * db->map < db->max_map ? 2 * db->map : db->max_map;
    db->slot = shard_slot_take(st.st_dev, st.st_ino, db, &other);
    if (db->slot >= 0) return 0;
    reason_set(why, "it is open in this process already");
    return RC_USAGE;
}

/* 0; an RC_ code with a reason that does not yet name the shard; -1 with one that does. */
static int open_writer(token_db_t *db, bool former, reason_t *why) {
    int stale;
    char *file = fs_join(db->path, "data.mdb");
    db->map = db->max_map < FIRST_MAP ? db->max_map : FIRST_MAP;
    int rc = former ? take_slot(db, file, why) : 0;
    if (!rc) rc = shard_env_open(db->path, MDB_NOTLS, db->map, &db->env, why);
    if (!rc && !former) rc = take_slot(db, file, why);
    free(file);
    if (rc) return rc;
    mdb_reader_check(db->env, &stale);
    rc = load_former(db, why);
    if (rc || db->stored.arguments) return rc;
    db->meta->records = 0;
    db->meta->bad = 0;
    return token_db_commit(db, why); /* so that a new shard can be read from its first moment */
}

/* Accepts a missing or empty folder, which is made, and one that is a shard: *former. */
static int check_folder(const char *path, bool *former, reason_t *why) {
    char *file = fs_join(path, "data.mdb");
    *former = fs_exists(file);
    free(file);
    if (!*former && fs_exists(path) && (!fs_is_dir(path) || !fs_dir_empty(path))) {
        char *lock = fs_join(path, "lock.mdb"); /* of a run that was killed at its very start */
        bool begun = fs_exists(lock);
        free(lock);
        if (!begun) {
            reason_set(why, "'%s' exists and is no token shard", path);
            return RC_USAGE;
        }
    }
    return fs_mkdirs(path, why) ? RC_RUNTIME : 0;
}

static char *without_slash(const char *path) {
    char *s = xstrdup(path);
    for (size_t n = strlen(s); n > 1 && s[n - 1] == '/'; n--) s[n - 1] = 0;
    return s;
}

/* The lock goes last: until then no other writer may open the file. */
static void close_writer(token_db_t *db) {
    for (size_t i = 0; i < db->n_pending; i++) free(db->pending[i].value);
    free(db->pending);
    if (db->env) mdb_env_close(db->env);
    db->env = NULL;
    lock_release(&db->lock);
    free(db->lock_path);
}

token_db_t *token_db_create(const char *path, shard_meta_t *meta, uint64_t max_map, int *rc,
                            reason_t *why) {
    token_db_t *db = NEW(token_db_t);
    bool former = false;
    if (!meta->arguments) BUG("a shard without arguments");
    if (token_meta_check(meta, why)) {
        free(db);
        *rc = shard_reason(path, RC_DATA, why);
        return NULL;
    }
    db->path = without_slash(path);
    db->lock_path = xasprintf("%s.lock", db->path);
    db->slot = -1;
    db->lock.fd = -1;
    db->users = 1;
    db->meta = meta;
    db->close_writer = close_writer;
    db->max_map = max_map ? max_map & ~(uint64_t)65535 : (uint64_t)1 << 40; /* whole pages */
    if (db->max_map < 1 << 20) db->max_map = 1 << 20;
    *rc = lock_take(&db->lock, db->lock_path, db->path, why);
    if (*rc == 0) *rc = check_folder(db->path, &former, why);
    if (*rc == 0) {
        *rc = open_writer(db, former, why);
        if (*rc > 0) shard_reason(db->path, *rc, why);
        if (*rc < 0) *rc = RC_RUNTIME;
    }
    if (*rc == 0) return db;
    token_db_close(db);
    return NULL;
}

/* ---- putting ---- */

static void add_pending(token_db_t *db, token_key_t key, uint8_t *value, size_t size) {
    db->pending = xgrow(db->pending, &db->pending_cap, db->n_pending + 1, sizeof *db->pending);
    db->pending[db->n_pending++] = (struct pending){key, value, size};
    db->pending_bytes += size;
}

int token_db_put(token_db_t *db, const token_record_t *r, reason_t *why) {
    size_t size;
    uint8_t *v = token_record_build(db->meta, db->next_record, r, &size, why);
    if (!v) return shard_reason(db->path, -1, why);
    if (size >= (size_t)1 << 31) {
        free(v);
        return reason_set(why, "'%s': a record of %zu MB, more than 2 GB", db->path, size >> 20);
    }
    add_pending(db, (token_key_t){TAG_RECORD, 0, db->next_record}, v, size);
    db->meta->records = ++db->next_record;
    return 0;
}

int token_db_put_bad(token_db_t *db, const char *key, size_t key_len, const char *reason,
                     reason_t *why) {
    (void)why;
    token_key_t k = {TAG_BAD, 0, db->next_bad};
    value_part_t part[] = {
        {.part = PART_KEY, .type = 'B', .count = key_len, .data = key},
        {.part = PART_REASON, .type = 'B', .count = strlen(reason), .data = reason}};
    size_t size;
    uint8_t *v = value_build(k, NULL, 0, part, 2, &size);
    add_pending(db, k, v, size);
    db->meta->bad = ++db->next_bad;
    return 0;
}

/* ---- committing ---- */

static int put_value(MDB_txn *txn, MDB_dbi dbi, token_key_t key, uint8_t *value, size_t size,
                     unsigned flags) {
    uint8_t bytes[KEY_BYTES];
    token_key_write(key, bytes);
    MDB_val k = {sizeof bytes, bytes}, v = {size, value};
    return mdb_put(txn, dbi, &k, &v, flags);
}

static int put_meta(token_db_t *db, MDB_txn *txn, MDB_dbi dbi) {
    size_t size;
    uint8_t *v = token_meta_build(db->meta, &size);
    int rc = put_value(txn, dbi, (token_key_t){TAG_META, 0, 0}, v, size, 0);
    free(v);
    if (!rc && db->meta->codebook && !db->codebook_stored) {
        v = token_codebook_build(db->meta, &size);
        rc = put_value(txn, dbi, (token_key_t){TAG_META, 1, 0}, v, size, 0);
        free(v);
    }
    if (!rc && db->meta->text_file && !db->text_file_stored) {
        v = token_text_file_build(db->meta, &size);
        rc = put_value(txn, dbi, (token_key_t){TAG_META, 2, 0}, v, size, 0);
        free(v);
    }
    return rc;
}

static int put_marks(token_db_t *db, MDB_txn *txn, MDB_dbi dbi) {
    int rc = 0;
    for (size_t i = 0; i < db->n_marks && rc == 0; i++) {
        token_key_t key = {TAG_SOURCE, 0, db->mark[i].source};
        uint64_t head[2] = {db->mark[i].items, db->mark[i].last};
        size_t size;
        uint8_t *v = value_build(key, head, sizeof head, NULL, 0, &size);
        rc = put_value(txn, dbi, key, v, size, 0);
        free(v);
    }
    return rc;
}

static int delete_marks(token_db_t *db, MDB_txn *txn, MDB_dbi dbi) {
    int rc = 0;
    for (size_t i = 0; i < db->n_marks && rc == 0; i++) {
        uint8_t bytes[KEY_BYTES];
        token_key_write((token_key_t){TAG_SOURCE, 0, db->mark[i].source}, bytes);
        MDB_val k = {sizeof bytes, bytes};
        rc = mdb_del(txn, dbi, &k, NULL);
        if (rc == MDB_NOTFOUND) rc = 0;
    }
    return rc;
}

/* Puts the meta, then records, then bad items. Marks lie behind the records, so they are deleted
 * first and put again afterwards. Then, as long as there are no bad items either, records are
 * appended: that fills the pages, and a record costs the same however many there are. */
static int put_all(token_db_t *db, MDB_txn *txn, MDB_dbi dbi) {
    int rc = put_meta(db, txn, dbi);
    if (!rc && !db->tail) rc = delete_marks(db, txn, dbi);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < db->n_pending && rc == 0; i++) {
            const struct pending *p = &db->pending[i];
            bool record = p->key.tag == TAG_RECORD;
            if (record != (pass == 0)) continue;
            rc = put_value(txn, dbi, p->key, p->value, p->size,
                           record && !db->tail ? MDB_APPEND : 0);
        }
    }
    return rc;
}

static int try_commit(token_db_t *db) {
    MDB_txn *txn;
    MDB_dbi dbi;
    int rc = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (rc) return rc;
    rc = mdb_dbi_open(txn, NULL, 0, &dbi);
    if (!rc) rc = put_all(db, txn, dbi);
    if (!rc) rc = put_marks(db, txn, dbi);
    if (!rc) return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

/* Doubles the map, up to max_map. LMDB demands that no transaction is open. */
static int grow_map(token_db_t *db, reason_t *why) {
    if (db->map >= db->max_map)
        return reason_set(
            why, "'%s' is full at --max-map %" PRIu64 " MB: give more; what was committed is good",
            db->path, db->max_map >> 20);
    uint64_t to = 2 * db->map < db->max_map ? 2 * db->map : db->max_map;
    int rc = mdb_env_set_mapsize(db->env, to);
    if (rc)
        return reason_set(why, "'%s': cannot map %" PRIu64 " MB: %s", db->path, to >> 20,
                          mdb_strerror(rc));
    db->map = to;
    return 0;
}

/* The reason for LMDB's error rc, and what to do about it. LMDB may report a full disk as EIO. */
static int commit_failed(const token_db_t *db, int rc, reason_t *why) {
    struct statvfs s;
    if (shard_size_limit(db->path, rc))
        return reason_set(why,
                          "cannot write '%s': %s: raise it and run it again; what was "
                          "committed is good",
                          db->path, cause_of(EFBIG));
    bool disk = rc == ENOSPC || rc == EIO || rc == EDQUOT;
    if (!disk || statvfs(db->path, &s))
        return reason_set(why, "cannot write '%s': %s; what was committed is good", db->path,
                          mdb_strerror(rc));
    uint64_t has = ((uint64_t)s.f_bavail * s.f_frsize) >> 20; /* MB */
    uint64_t need = (2 * db->pending_bytes >> 20) + 16;
    return reason_set(why,
                      "cannot write '%s': %s: disk full? free %" PRIu64 " MB (%" PRIu64
                      " MB are free now) and run it again; what was committed is good",
                      db->path, mdb_strerror(rc), need, has);
}

int token_db_commit(token_db_t *db, reason_t *why) {
    int rc;
    while ((rc = try_commit(db)) == MDB_MAP_FULL)
        if (grow_map(db, why)) return -1;
    if (rc) return commit_failed(db, rc, why);
    /* LMDB copies pages through its map, at other places every time. Mapping the file anew gives
     * that memory back. */
    db->touched += db->pending_bytes + (1 << 16);
    if (db->touched > GIVE_BACK) {
        rc = mdb_env_set_mapsize(db->env, db->map);
        if (rc)
            return reason_set(why, "'%s': cannot map %" PRIu64 " MB: %s", db->path, db->map >> 20,
                              mdb_strerror(rc));
        db->touched = 0;
    }
    for (size_t i = 0; i < db->n_pending; i++) {
        db->tail |= db->pending[i].key.tag == TAG_BAD;
        free(db->pending[i].value);
    }
    db->n_pending = 0;
    db->pending_bytes = 0;
    db->codebook_stored |= db->meta->codebook != NULL;
    db->text_file_stored |= db->meta->text_file != NULL;
    return 0;
}
