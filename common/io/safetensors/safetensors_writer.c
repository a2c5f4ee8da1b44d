/* safetensors_writer.c - writing the safetensors format: the same tensors give the same bytes, in
 * whatever order they were added.
 */
#include "common/io/fs.h"
#include "common/io/safetensors/safetensors.h"
#include "common/io/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

typedef struct {
    char *name;
    st_type_t type;
    int rank;
    uint64_t dim[ST_RANK];
    size_t bytes;
    const void *data;
    void *owned;    /* data, or NULL */
    st_fill_t fill; /* NULL: `data` has the bytes */
    void *ctx;
    size_t i;
} entry_t;

struct st_writer {
    entry_t *entry;
    size_t n, cap;
    char **meta; /* [n_meta] pairs of key and value */
    size_t n_meta, cap_meta;
};

static const struct {
    const char *name;
    size_t width; /* bytes */
    int place;    /* in the order that other writers of the format use */
} types[ST_OTHER] = {
    [ST_F32] = {"F32", 4, 2}, [ST_F16] = {"F16", 2, 5}, [ST_BF16] = {"BF16", 2, 4},
    [ST_F64] = {"F64", 8, 1}, [ST_I64] = {"I64", 8, 0}, [ST_I32] = {"I32", 4, 3},
    [ST_U8] = {"U8", 1, 6},
};

st_writer_t *st_writer_new(void) {
    st_writer_t *w = NEW(st_writer_t);
    st_writer_meta(w, "format", "pt");
    return w;
}

static entry_t *entry_add(st_writer_t *w, const char *name, st_type_t type, int rank,
                          const uint64_t *dim, const void *data) {
    if (type >= ST_OTHER || rank < 0 || rank > ST_RANK)
        BUG("tensor '%s': type %d, rank %d", name, (int)type, rank);
    if (strcmp(name, "__metadata__") == 0) BUG("a tensor cannot be named '%s'", name);
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->entry[i].name, name) == 0) BUG("tensor '%s' added twice", name);
    w->entry = xgrow(w->entry, &w->cap, w->n + 1, sizeof *w->entry);
    entry_t *e = &w->entry[w->n++];
    *e = (entry_t){.name = xstrdup(name),
                   .type = type,
                   .rank = rank,
                   .data = data,
                   .bytes = types[type].width};
    for (int i = 0; i < rank; i++) {
        e->dim[i] = dim[i];
        if (__builtin_mul_overflow(e->bytes, dim[i], &e->bytes)) BUG("tensor '%s' overflows", name);
    }
    return e;
}

void st_writer_add(st_writer_t *w, const char *name, st_type_t type, int rank, const uint64_t *dim,
                   const void *data) {
    entry_add(w, name, type, rank, dim, data);
}

void st_writer_give(st_writer_t *w, const char *name, st_type_t type, int rank, const uint64_t *dim,
                    void *data) {
    entry_add(w, name, type, rank, dim, data)->owned = data;
}

void st_writer_lazy(st_writer_t *w, const char *name, st_type_t type, int rank, const uint64_t *dim,
                    st_fill_t fill, void *ctx, size_t i) {
    entry_t *e = entry_add(w, name, type, rank, dim, NULL);
    e->fill = fill;
    e->ctx = ctx;
    e->i = i;
}

/* The bytes of an entry; free *made afterwards. */
static const void *bytes_of(const entry_t *e, void **made) {
    *made = NULL;
    if (!e->fill) return e->data;
    *made = xmalloc(e->bytes);
    e->fill(e->ctx, e->i, *made);
    return *made;
}

void st_writer_meta(st_writer_t *w, const char *key, const char *value) {
    if (strcmp(key, "xxh3") == 0) BUG("'xxh3' is the writer's own");
    for (size_t i = 0; i < w->n_meta; i++) {
        if (strcmp(w->meta[2 * i], key) != 0) continue;
        free(w->meta[2 * i + 1]);
        w->meta[2 * i + 1] = xstrdup(value);
        return;
    }
    w->meta = xgrow(w->meta, &w->cap_meta, 2 * w->n_meta + 2, sizeof *w->meta);
    w->meta[2 * w->n_meta] = xstrdup(key);
    w->meta[2 * w->n_meta + 1] = xstrdup(value);
    w->n_meta++;
}

void st_writer_free(st_writer_t *w) {
    if (!w) return;
    for (size_t i = 0; i < w->n; i++) {
        free(w->entry[i].name);
        free(w->entry[i].owned);
    }
    for (size_t i = 0; i < 2 * w->n_meta; i++) free(w->meta[i]);
    free(w->entry);
    free(w->meta);
    free(w);
}

/* A growing text: the header. */
typedef struct {
    char *s;
    size_t n, cap;
} text_t;

static void put(text_t *t, const char *s, size_t n) {
    t->s = xgrow(t->s, &t->cap, t->n + n, 1);
    memcpy(t->s + t->n, s, n);
    t->n += n;
}

static void put_text(text_t *t, const char *s) {
    put(t, s, strlen(s));
}

static void put_number(text_t *t, uint64_t v) {
    char buf[24];
    put(t, buf, (size_t)snprintf(buf, sizeof buf, "%" PRIu64, v));
}

static void put_string(text_t *t, const char *s) {
    static const char code[] = "bfnrt\"\\", meaning[] = "\b\f\n\r\t\"\\";
    put(t, "\"", 1);
    for (; *s; s++) {
        const char *at = strchr(meaning, *s);
        char escape[8];
        if (at)
            put(t, escape, (size_t)snprintf(escape, sizeof escape, "\\%c", code[at - meaning]));
        else if ((unsigned char)*s < 0x20)
            put(t, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)*s));
        else
            put(t, s, 1);
    }
    put(t, "\"", 1);
}

static int by_key(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_place(const void *a, const void *b) {
    const entry_t *s = a, *t = b;
    int d = types[s->type].place - types[t->type].place;
    return d ? d : strcmp(s->name, t->name);
}

/* A pair of an object, behind a comma unless the object has just been opened. */
static void put_pair(text_t *t, const char *key, const char *value) {
    if (t->s[t->n - 1] != '{') put_text(t, ",");
    put_string(t, key);
    put_text(t, ":");
    put_string(t, value);
}

/* The sorted pairs, with "xxh3" at its place among them. */
static void put_meta(text_t *t, const st_writer_t *w, uint64_t hash) {
    char hex[17];
    size_t i = 0;
    snprintf(hex, sizeof hex, "%016" PRIx64, hash);
    put_text(t, "\"__metadata__\":{");
    for (; i < w->n_meta && strcmp(w->meta[2 * i], "xxh3") < 0; i++)
        put_pair(t, w->meta[2 * i], w->meta[2 * i + 1]);
    put_pair(t, "xxh3", hex);
    for (; i < w->n_meta; i++) put_pair(t, w->meta[2 * i], w->meta[2 * i + 1]);
    put_text(t, "}");
}

static void put_entry(text_t *t, const entry_t *e, uint64_t begin) {
    put_text(t, ",");
    put_string(t, e->name);
    put_text(t, ":{\"dtype\":\"");
    put_text(t, types[e->type].name);
    put_text(t, "\",\"shape\":[");
    for (int i = 0; i < e->rank; i++) {
        if (i) put_text(t, ",");
        put_number(t, e->dim[i]);
    }
    put_text(t, "],\"data_offsets\":[");
    put_number(t, begin);
    put_text(t, ",");
    put_number(t, begin + e->bytes);
    put_text(t, "]}");
}

static uint64_t hash_data(const st_writer_t *w) {
    XXH3_state_t *state = XXH3_createState();
    if (!state) die(RC_RUNTIME, "out of memory (for a hash)");
    XXH3_64bits_reset(state);
    for (size_t i = 0; i < w->n; i++) {
        void *made;
        XXH3_64bits_update(state, bytes_of(&w->entry[i], &made), w->entry[i].bytes);
        free(made);
    }
    uint64_t hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return hash;
}

/* Names and metadata that the reader would refuse: they may come from foreign texts. */
static int check_entries(const st_writer_t *w, reason_t *why) {
    char shown[200];
    for (size_t i = 0; i < w->n; i++) {
        const char *name = w->entry[i].name;
        size_t n = strlen(name);
        if (utf8_check((const uint8_t *)name, n) != n || n > 1024)
            return reason_set(why, "tensor name '%s' is not UTF-8 or longer than 1024 bytes",
                              utf8_printable(shown, sizeof shown, name));
    }
    for (size_t i = 0; i < 2 * w->n_meta; i++) {
        size_t n = strlen(w->meta[i]);
        if (utf8_check((const uint8_t *)w->meta[i], n) != n)
            return reason_set(why, "metadata '%s' is not UTF-8",
                              utf8_printable(shown, sizeof shown, w->meta[i]));
    }
    return 0;
}

int st_write_stream(st_writer_t *w, FILE *file, reason_t *why) {
    text_t header = {0};
    uint64_t at = 0;
    if (w->n) qsort(w->entry, w->n, sizeof *w->entry, by_place); /* of none, entry is NULL */
    qsort(w->meta, w->n_meta, 2 * sizeof *w->meta, by_key);
    if (check_entries(w, why)) return -1;
    put_text(&header, "{");
    put_meta(&header, w, hash_data(w));
    for (size_t i = 0; i < w->n; i++) {
        put_entry(&header, &w->entry[i], at);
        at += w->entry[i].bytes;
    }
    put_text(&header, "}");
    while (header.n % 8) put_text(&header, " ");
    uint64_t n = header.n;
    bool ok = fwrite(&n, 8, 1, file) == 1 && fwrite(header.s, 1, header.n, file) == header.n;
    free(header.s);
    for (size_t i = 0; ok && i < w->n; i++) {
        void *made;
        const void *data = bytes_of(&w->entry[i], &made);
        size_t bytes = w->entry[i].bytes;
        ok = bytes == 0 || fwrite(data, 1, bytes, file) == bytes;
        int error = errno; /* of the write: free may change it */
        free(made);
        errno = error;
    }
    if (ok) return 0;
    return reason_set(why, "cannot write %" PRIu64 " bytes of tensors: %s", at, cause_of(errno));
}

int st_write(st_writer_t *w, const char *path, reason_t *why) {
    fs_writer_t f;
    if (fs_writer_open(&f, path, why)) return -1;
    reason_t cause = {""};
    if (st_write_stream(w, f.file, &cause)) {
        fs_writer_abort(&f);
        return reason_set(why, "'%s': %.900s", path, cause.text);
    }
    return fs_writer_commit(&f, why);
}
