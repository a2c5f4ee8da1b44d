/* safetensors.c - reading the safetensors format, whose files come from anywhere.
 *
 * The rules carry the numbers of the format's list. The first that fails is named, whatever else is
 * wrong. Names and metadata are unescaped inside the file's own bytes, so a file takes its size and
 * one st_tensor_t per tensor. Writing is safetensors_writer.c.
 */
#include "common/io/safetensors/safetensors.h"

#include "common/base/sizes.h"
#include "common/io/fs.h"
#include "common/io/safetensors/safetensors_header.h"
#include "common/io/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensor data is little-endian and used as it is");

enum { HEADER_MAX = 100000000, TENSORS_MAX = 1000000, NAME_MAX_BYTES = 1024 };

static const struct {
    const char *name;
    unsigned bits;
    st_type_t type;
} dtypes[] = {
    {"F32", 32, ST_F32},
    {"F16", 16, ST_F16},
    {"BF16", 16, ST_BF16},
    {"F64", 64, ST_F64},
    {"I64", 64, ST_I64},
    {"I32", 32, ST_I32},
    {"U8", 8, ST_U8},
    {"U64", 64, ST_OTHER},
    {"C64", 64, ST_OTHER},
    {"U32", 32, ST_OTHER},
    {"I16", 16, ST_OTHER},
    {"U16", 16, ST_OTHER},
    {"BOOL", 8, ST_OTHER},
    {"I8", 8, ST_OTHER},
    {"F8_E5M2", 8, ST_OTHER},
    {"F8_E4M3", 8, ST_OTHER},
    {"F8_E8M0", 8, ST_OTHER},
    {"F6_E2M3", 6, ST_OTHER},
    {"F8_E4M3FNUZ", 8, ST_OTHER},
    {"F8_E5M2FNUZ", 8, ST_OTHER},
    {"F6_E3M2", 6, ST_OTHER},
    {"F4", 4, ST_OTHER},
};

typedef struct {
    st_file_t *f;
    st_cursor_t c;
    size_t cap_meta;
    reason_t rule[3]; /* the first failure of rules 7, 8 and 9: the walk meets them in any order */
} walk_t;

/* Keeps the first failure of a rule (7, 8 or 9): "rule N: WHAT 'NAME'". */
static void blame(walk_t *w, int rule, const char *what, const char *name) {
    reason_t *why = &w->rule[rule - 7];
    char shown[200];
    if (!why->text[0])
        reason_set(why, "rule %d: %s '%s'", rule, what, utf8_printable(shown, sizeof shown, name));
}

/* ---- orders for qsort ---- */

static int by_name(const void *a, const void *b) {
    return strcmp(((const st_tensor_t *)a)->name, ((const st_tensor_t *)b)->name);
}
static int by_key(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}
/* Until rule 12 has passed, `bytes` holds the end of a tensor. */
static int by_offsets(const void *a, const void *b) {
    const st_tensor_t *s = a, *t = b;
    if (s->begin != t->begin) return s->begin < t->begin ? -1 : 1;
    if (s->bytes != t->bytes) return s->bytes < t->bytes ? -1 : 1;
    return strcmp(s->name, t->name);
}

/* ---- rules 7 to 9: the header ---- */

/* __metadata__: {"key": "value", ...} */
static void walk_meta(walk_t *w) {
    st_file_t *f = w->f;
    size_t size;
    if (!st_take(&w->c, '{')) {
        blame(w, 8, "not an object of strings:", "__metadata__");
        st_skip(&w->c);
        return;
    }
    while (!st_take(&w->c, '}')) {
        st_take(&w->c, ',');
        f->meta = xgrow(f->meta, &w->cap_meta, 2 * f->n_meta + 2, sizeof *f->meta);
        char **pair = f->meta + 2 * f->n_meta;
        st_take_string(&w->c, &pair[0], &size);
        st_take(&w->c, ':');
        if (st_take_string(&w->c, &pair[1], &size)) {
            f->n_meta++;
            continue;
        }
        blame(w, 8, "__metadata__ holds no string under", pair[0]);
        st_skip(&w->c);
    }
    if (f->n_meta) qsort(f->meta, f->n_meta, 2 * sizeof *f->meta, by_key);
    for (size_t i = 1; i < f->n_meta; i++)
        if (strcmp(f->meta[2 * i - 2], f->meta[2 * i]) == 0)
            blame(w, 7, "duplicate key in __metadata__:", f->meta[2 * i]);
}

static bool take_shape(st_cursor_t *c, st_tensor_t *t) {
    if (!st_take(c, '[')) return false;
    if (st_take(c, ']')) return true;
    do {
        if (t->rank == ST_RANK || !st_take_u64(c, &t->dim[t->rank])) return false;
        t->rank++;
    } while (st_take(c, ','));
    return st_take(c, ']');
}

static bool take_offsets(st_cursor_t *c, st_tensor_t *t) {
    return st_take(c, '[') && st_take_u64(c, &t->begin) && st_take(c, ',') &&
           st_take_u64(c, &t->bytes) && st_take(c, ']');
}

/* Index in dtypes, or -1. */
static int dtype_find(const char *name) {
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, name) == 0) return (int)i;
    return -1;
}

/* Takes the value of a known field. Returns what is wrong with it, or NULL. */
static const char *take_field(st_cursor_t *c, st_tensor_t *t, const char *field) {
    if (strcmp(field, "dtype") == 0) {
        char *text;
        size_t size;
        if (!st_take_string(c, &text, &size)) return "dtype is no string in";
        int i = dtype_find(text);
        if (i < 0) return "unknown dtype in";
        t->type = dtypes[i].type;
        strcpy(t->dtype, dtypes[i].name);
        return NULL;
    }
    if (strcmp(field, "shape") == 0)
        return take_shape(c, t) ? NULL : "shape is no list of at most 8 unsigned integers in";
    return take_offsets(c, t) ? NULL : "data_offsets are not two unsigned integers in";
}

/* {"dtype": ..., "shape": [...], "data_offsets": [...]} of the tensor named t->name. */
static void walk_tensor(walk_t *w, st_tensor_t *t) {
    static const char *const fields[] = {"dtype", "shape", "data_offsets"};
    bool seen[3] = {false};
    st_cursor_t value = w->c;
    if (!st_take(&w->c, '{')) {
        blame(w, 9, "no object under", t->name);
        st_skip(&w->c);
        return;
    }
    while (!st_take(&w->c, '}')) {
        char *field;
        size_t size, i = 0;
        st_take(&w->c, ',');
        st_take_string(&w->c, &field, &size);
        st_take(&w->c, ':');
        value = w->c;
        while (i < 3 && strcmp(fields[i], field) != 0) i++;
        const char *wrong = "unknown field in";
        if (i < 3) {
            if (seen[i]) blame(w, 7, "duplicate key in tensor", t->name);
            seen[i] = true;
            t->rank = i == 1 ? 0 : t->rank;
            wrong = take_field(&w->c, t, field);
        }
        if (!wrong) continue;
        blame(w, 9, wrong, t->name);
        /* A value that was half taken is skipped from its start. A dtype was taken whole, and must
         * not be unescaped twice. */
        if (i == 0 && w->c.p != value.p) continue;
        w->c = value;
        st_skip(&w->c);
    }
    if (!seen[0] || !seen[1] || !seen[2])
        blame(w, 9, "dtype, shape or data_offsets missing in", t->name);
}

/* Fills tensors (sorted by name) and metadata. 0, or -1 with the failure of the first rule. */
static int walk_header(walk_t *w, reason_t *why) {
    st_file_t *f = w->f;
    bool meta = false;
    st_take(&w->c, '{');
    while (!st_take(&w->c, '}')) {
        st_tensor_t *t = &f->tensor[f->n];
        size_t size;
        memset(t, 0, sizeof *t);
        st_take(&w->c, ',');
        st_take_string(&w->c, &t->name, &size);
        st_take(&w->c, ':');
        if (strcmp(t->name, "__metadata__") == 0) {
            if (meta) blame(w, 7, "duplicate key", t->name);
            meta = true;
            walk_meta(w);
            continue;
        }
        if (size > NAME_MAX_BYTES) blame(w, 9, "name above 1024 bytes:", t->name);
        walk_tensor(w, t);
        f->n++;
    }
    qsort(f->tensor, f->n, sizeof *f->tensor, by_name);
    for (size_t i = 1; i < f->n; i++)
        if (strcmp(f->tensor[i - 1].name, f->tensor[i].name) == 0)
            blame(w, 7, "duplicate key", f->tensor[i].name);
    for (int i = 0; i < 3; i++)
        if (w->rule[i].text[0]) return reason_set(why, "%s", w->rule[i].text);
    return 0;
}

/* ---- rules 10 to 13: the data ---- */

/* Rule 11: elements, and bytes by the dtype's width. Returns what is wrong, or NULL. */
static const char *measure(const st_tensor_t *t, uint64_t *count, uint64_t *bytes) {
    uint64_t bits;
    *count = 1;
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(*count, t->dim[i], count))
            return "rule 11: the shape's product overflows in";
    if (__builtin_mul_overflow(*count, dtypes[dtype_find(t->dtype)].bits, &bits))
        return "rule 11: the size overflows in";
    if (bits % 8) return "rule 11: no whole number of bytes in";
    *bytes = bits / 8;
    return NULL;
}

/* Gives every tensor its place in the data section of `size` bytes at `data`, which is NULL when
 * the file is read by parts. Rules 10 to 13. */
static int place(st_file_t *f, const uint8_t *data, uint64_t size, reason_t *why) {
    uint64_t at = 0;
    qsort(f->tensor, f->n, sizeof *f->tensor, by_offsets);
    for (size_t i = 0; i < f->n; i++) {
        st_tensor_t *t = &f->tensor[i];
        uint64_t begin = t->begin, end = t->bytes, count, bytes = 0;
        const char *wrong = NULL;
        if (begin != at) wrong = begin < at ? "rule 10: overlap before" : "rule 10: hole before";
        if (!wrong && end < begin) wrong = "rule 10: begin after end in";
        if (!wrong) wrong = measure(t, &count, &bytes);
        if (!wrong && end - begin != bytes) wrong = "rule 12: shape and data_offsets disagree in";
        if (wrong) {
            char shown[200];
            return reason_set(why, "%s '%s'", wrong, utf8_printable(shown, sizeof shown, t->name));
        }
        t->count = count;
        t->bytes = bytes;
        /* Rule 13 comes last, so a tensor may end beyond the file: it gets no pointer then. */
        t->data = data && end <= size ? data + begin : NULL;
        at = end;
    }
    if (at != size)
        return reason_set(why,
                          "rule 13: the tensors end at byte %llu of the data, the file at %llu",
                          (unsigned long long)at, (unsigned long long)size);
    qsort(f->tensor, f->n, sizeof *f->tensor, by_name);
    return 0;
}

static int check_hash(st_file_t *f, uint64_t hash, reason_t *why) {
    const char *want = st_meta(f, "xxh3");
    char have[17];
    if (!want) return 0;
    snprintf(have, sizeof have, "%016llx", (unsigned long long)hash);
    if (strcmp(want, have) != 0)
        return reason_set(why, "the data's xxh3 is %s, __metadata__ says otherwise: damaged", have);
    f->hashed = true;
    return 0;
}

/* All rules, over f->bytes: the whole file, or its header when f->part is set. */
static int parse(st_file_t *f, reason_t *why) {
    uint64_t header = 0;
    size_t keys;
    reason_t json;
    if (f->size < 8) return reason_set(why, "rule 1: %zu bytes are too few for a header", f->size);
    memcpy(&header, f->bytes, 8);
    if (header > HEADER_MAX)
        return reason_set(why, "rule 2: a header of %llu bytes", (unsigned long long)header);
    if (header > f->size - 8)
        return reason_set(why, "rule 3: a header of %llu bytes in a file of %zu",
                          (unsigned long long)header, f->size);
    uint8_t *text = f->bytes + 8, *data = text + header;
    size_t n = (size_t)header, valid = utf8_check(text, n);
    if (valid != n) return reason_set(why, "rule 4: the header is no UTF-8 at byte %zu", valid);
    if (!n || text[0] != '{') return reason_set(why, "rule 5: the header does not begin with '{'");
    size_t end = n;
    while (strchr(" \t\r\n", text[end - 1])) {
        if (text[--end] != ' ')
            return reason_set(why, "rule 5: the header is padded with something else than spaces");
    }
    if (st_json_check(text, n, &keys, &json)) return reason_set(why, "rule 6: %s", json.text);
    if (keys > TENSORS_MAX + 1)
        return reason_set(why, "limit: %zu tensors are more than 1,000,000", keys);
    /* One more than needed: a __metadata__ key starts in a tensor's slot. */
    f->tensor = xmalloc((keys + 1) * sizeof *f->tensor);
    walk_t w = {.f = f, .c = {text}};
    if (walk_header(&w, why)) return -1;
    if (f->n > TENSORS_MAX)
        return reason_set(why, "limit: %zu tensors are more than 1,000,000", f->n);
    size_t size = f->size - 8 - n;
    if (f->part) return place(f, NULL, size, why);
    if (place(f, data, size, why)) return -1;
    return st_meta(f, "xxh3") ? check_hash(f, XXH3_64bits(data, size), why) : 0;
}

int st_parse(st_file_t *f, uint8_t *bytes, size_t size, reason_t *why) {
    memset(f, 0, sizeof *f);
    f->bytes = bytes;
    f->size = size;
    if (parse(f, why) == 0) return 0;
    st_close(f);
    return -1;
}

int st_open(st_file_t *f, const char *path, reason_t *why) {
    uint8_t *bytes;
    size_t size;
    reason_t inner = {""};
    char shown[256];
    memset(f, 0, sizeof *f);
    if (fs_read(path, 0, &bytes, &size, why)) return -1;
    if (st_parse(f, bytes, size, &inner) == 0) return 0;
    return reason_set(why, "'%s': %s", utf8_printable(shown, sizeof shown, path), inner.text);
}

/* ---- by parts ---- */

/* Reads exactly n bytes from byte `at` of the file. */
static int read_at(st_file_t *f, uint64_t at, void *out, size_t n, reason_t *why) {
    if (!fseeko(f->part, (off_t)at, SEEK_SET) && fread(out, 1, n, f->part) == n) return 0;
    return reason_set(why, "cannot read %zu bytes at %llu: %s", n, (unsigned long long)at,
                      ferror(f->part) ? strerror(errno) : "the file ends before");
}

/* Offset of the data section in the file. */
static uint64_t data_begin(const st_file_t *f) {
    uint64_t header;
    memcpy(&header, f->bytes, 8);
    return 8 + header;
}

static int open_parts(st_file_t *f, reason_t *why) {
    uint64_t header = 0;
    struct stat st;
    if (fstat(fileno(f->part), &st)) return reason_set(why, "%s", strerror(errno));
    if (!S_ISREG(st.st_mode)) return reason_set(why, "no regular file");
    f->size = (size_t)st.st_size;
    if (f->size >= 8 && read_at(f, 0, &header, 8, why)) return -1;
    size_t n = f->size < 8 ? f->size : 8; /* what rules 1 to 3 look at */
    if (f->size >= 8 && header <= HEADER_MAX && header <= f->size - 8) n += (size_t)header;
    f->bytes = xmalloc(n + 1);
    if (read_at(f, 0, f->bytes, n, why)) return -1;
    return parse(f, why);
}

int st_open_parts(st_file_t *f, const char *path, reason_t *why) {
    reason_t inner = {""};
    char shown[256];
    memset(f, 0, sizeof *f);
    f->part = fopen(path, "re");
    if (!f->part) return reason_set(why, "cannot open '%s': %s", path, strerror(errno));
    if (open_parts(f, &inner) == 0) return 0;
    st_close(f);
    return reason_set(why, "'%s': %s", utf8_printable(shown, sizeof shown, path), inner.text);
}

int st_part(st_file_t *f, const st_tensor_t *t, st_tensor_t *out, reason_t *why) {
    uint8_t *data = xmalloc(t->bytes ? t->bytes : 1);
    if (read_at(f, data_begin(f) + t->begin, data, t->bytes, why)) {
        free(data);
        return -1;
    }
    *out = *t;
    out->data = data;
    return 0;
}

/* The data section through the hash, a piece at a time. */
static int hash_parts(st_file_t *f, uint64_t *hash, reason_t *why) {
    enum { PIECE = 1 << 20 };
    uint8_t *piece = xmalloc(PIECE);
    XXH3_state_t *state = XXH3_createState();
    if (!state) die(RC_RUNTIME, "out of memory (for a hash)");
    XXH3_64bits_reset(state);
    int rc = 0;
    uint64_t at = data_begin(f);
    while (rc == 0 && at < f->size) {
        size_t n = min_size(f->size - at, PIECE);
        rc = read_at(f, at, piece, n, why);
        if (rc == 0) XXH3_64bits_update(state, piece, n);
        at += n;
    }
    *hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    free(piece);
    return rc;
}

int st_parts_end(st_file_t *f, reason_t *why) {
    uint64_t hash = 0;
    int rc = 0;
    if (st_meta(f, "xxh3")) {
        rc = hash_parts(f, &hash, why);
        if (rc == 0) rc = check_hash(f, hash, why);
    }
    st_close(f);
    return rc;
}

void st_close(st_file_t *f) {
    if (f->part) fclose(f->part);
    free(f->tensor);
    free(f->meta);
    free(f->bytes);
    memset(f, 0, sizeof *f);
}

const st_tensor_t *st_find(const st_file_t *f, const char *name) {
    st_tensor_t key = {.name = (char *)name};
    return f->n ? bsearch(&key, f->tensor, f->n, sizeof *f->tensor, by_name) : NULL;
}

const char *st_meta(const st_file_t *f, const char *key) {
    char **pair = f->n_meta ? bsearch(&key, f->meta, f->n_meta, 2 * sizeof *f->meta, by_key) : NULL;
    return pair ? pair[1] : NULL;
}

/* ---- numbers ---- */

/* A half has 1 bit of sign, 5 of exponent (bias 15) and 10 of mantissa; a float 1, 8 (bias 127) and
 * 23. Exponents of all ones are infinities and NaN in both. */
float st_half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3FF;
    float v;
    if (exponent == 0) { /* zero or subnormal: mantissa * 2^-24, exact in float */
        v = (float)mantissa * 0x1p-24f;
        return sign ? -v : v;
    }
    uint32_t wide_exponent = exponent == 31 ? 0xFF : exponent - 15 + 127;
    uint32_t bits = sign | wide_exponent << 23 | mantissa << 13;
    memcpy(&v, &bits, 4);
    return v;
}

static float bfloat_to_float(uint16_t b) {
    uint32_t bits = (uint32_t)b << 16;
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

int st_read_f32(const st_tensor_t *t, float *out, reason_t *why) {
    /* Data need not be aligned: foreign headers have any length. */
    uint16_t half;
    double wide;
    char shown[200];
    switch (t->type) {
    case ST_F32:
        if (t->bytes) memcpy(out, t->data, t->bytes);
        return 0;
    case ST_F16:
    case ST_BF16:
        for (uint64_t i = 0; i < t->count; i++) {
            memcpy(&half, t->data + 2 * i, 2);
            out[i] = t->type == ST_F16 ? st_half_to_float(half) : bfloat_to_float(half);
        }
        return 0;
    case ST_F64:
        for (uint64_t i = 0; i < t->count; i++) {
            memcpy(&wide, t->data + 8 * i, 8);
            out[i] = (float)wide;
        }
        return 0;
    default:
        return reason_set(why, "tensor '%s' is %s, no floating type we read",
                          utf8_printable(shown, sizeof shown, t->name), t->dtype);
    }
}

bool st_finite(const float *v, size_t n) {
    /* An exponent of all ones: infinities and NaN. By bits, so that no compiler flag changes it. */
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, v + i, 4);
        bad |= (bits & 0x7F800000) == 0x7F800000;
    }
    return !bad;
}
