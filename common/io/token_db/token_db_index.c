/* token_db_index.c - see token_db_index.h. */
#include "common/io/token_db/token_db_index.h"

#include "common/io/token_db/token_db_guard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { LARGE = 64 << 20, GIVE_BACK = 64 << 20 };

static void push(token_list_t *l, const uint8_t *data, size_t size) {
    l->v = xgrow(l->v, &l->cap, l->n + 1, sizeof *l->v);
    l->v[l->n++] = (token_bytes_t){data, size};
}

/* Counts `bytes` of the map as read, and gives the pages of a large file back now and then. Pages
 * that are read once would otherwise count as memory in use. They stay in the system's cache, and
 * pointers into them stay good. */
static void touch(token_index_t *x, size_t bytes) {
    if (x->size < LARGE) return;
    if (__atomic_add_fetch(&x->touched, bytes, __ATOMIC_RELAXED) < GIVE_BACK) return;
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
    if (size == VALUE_HEADER) return 0; /* former versions marked every item */
    if (x->n_marks == TOKEN_MARKS) return reason_set(why, "corrupt: too many sources");
    int rc = value_parse(value, size, key, MARK_HEAD, &v, why);
    if (rc == RC_MISFIT) return 0; /* the meta is of that version too, and will be refused */
    if (rc) return -1;
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
    touch(x,
          size < 1 << 16 ? size + KEY_BYTES : 1 << 16); /* of large values only the first pages */
    token_bytes_t *const whole[] = {&x->meta, &x->codebook, &x->text_file}; /* by sub */
    switch (k.tag) {
    case TAG_META:
        if (k.id || k.sub >= sizeof whole / sizeof *whole)
            return reason_set(why, "corrupt: a key that is not a shard's");
        *whole[k.sub] = (token_bytes_t){value, size};
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

/* An entry of the list of free pages. Only writers use the list; a damaged one would make them
 * overwrite pages that are in use. */
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
        reason_set(why, "cannot examine its file: %s", strerror(errno));
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
        rc = newest > mdb_txn_id(txn) ? TOKEN_INDEX_OVERWRITTEN : RC_DATA;
    indexing_t s = {.x = x};
    if (!rc && (token_tree_walk(&x->tree, TREE_FREE, skip_entry, NULL, why) ||
                token_tree_walk(&x->tree, TREE_MAIN, index_entry, &s, why)))
        rc = RC_DATA;
    if (rc) token_index_close(x);
    return rc;
}

int token_index_meta(const token_index_t *x, shard_meta_t *out, reason_t *why) {
    *out = (shard_meta_t){0};
    if (!x->meta.data) {
        reason_set(why, "nothing was committed to it");
        return RC_DATA;
    }
    int rc = token_meta_parse(x->meta.data, x->meta.size, out, why);
    if (!rc && x->codebook.data)
        rc = token_codebook_parse(x->codebook.data, x->codebook.size, out, why);
    if (!rc && x->text_file.data)
        rc = token_text_file_parse(x->text_file.data, x->text_file.size, out, why);
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
    touch(x, 1 << 16); /* the system maps as much around a page */
    return token_tree_entry(&x->tree, x->leaf[from].page, key, sizeof key, &out->data, &out->size,
                            why);
}
