/* fast.c - see fast.h: chunks to ids and back. The files are in fast_file.c. */
#include "gato/task/fast_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the transform ---- */

/* table [H, H]: row k holds s_k cos(pi (2 t + 1) k / 2 H). */
static double *make_table(uint32_t H) {
    double *table = xmalloc((size_t)H * H * sizeof *table), n = (double)H;
    for (uint32_t k = 0; k < H; k++)
        for (uint32_t t = 0; t < H; t++)
            table[(size_t)k * H + t] = sqrt((k ? 2 : 1) / n) * cos(M_PI * (2 * t + 1) * k / 2 / n);
    return table;
}

static double clamped(float x) {
    return x < -1 ? -1 : x > 1 ? 1 : (double)x;
}

static void transform(const double *table, const float *x, uint32_t H, uint32_t D, double scale,
                      int32_t *q) {
    for (uint32_t k = 0; k < H; k++)
        for (uint32_t d = 0; d < D; d++) {
            double sum = 0;
            for (uint32_t t = 0; t < H; t++)
                sum += table[(size_t)k * H + t] * clamped(x[(size_t)t * D + d]);
            q[(size_t)k * D + d] = (int32_t)nearbyint(sum * scale);
        }
}

void fast_coefficients(const float *x, uint32_t H, uint32_t D, double scale, int32_t *q) {
    double *table = make_table(H);
    transform(table, x, H, D, scale, q);
    free(table);
}

/* ---- ids ---- */

size_t fast_character(uint32_t c, char out[2]) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = (char)(0xC0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3F));
    return 2;
}

void fast_encode(const fast_t *f, const float *x, uint32_t D, text_ids_t *out) {
    size_t n = (size_t)f->H * D, size = 0;
    int32_t *q = xmalloc(n * sizeof *q);
    char *text = xmalloc(2 * n);
    transform(f->table, x, f->H, D, f->scale, q);
    for (size_t i = 0; i < n; i++) {
        int64_t c = (int64_t)q[i] - f->min_token;
        c = c < 0 ? 0 : c >= FAST_CHARACTERS ? FAST_CHARACTERS - 1 : c;
        size += fast_character(f->nearest[c], text + size);
    }
    bpe_encode(f->bpe, text, size, out);
    free(text);
    free(q);
}

void fast_decode(const fast_t *f, const uint32_t *id, size_t n, uint32_t D, float *x) {
    size_t size, at = 0, count = (size_t)f->H * D;
    char *text = bpe_decode(f->bpe, id, n, &size);
    double *X = xmalloc(count * sizeof *X);
    for (size_t i = 0; i < count; i++) {
        if (at >= size) BUG("%zu of %zu coefficients", i, count);
        uint32_t c = (uint8_t)text[at++];
        if (c >= 0xC0 && at < size) c = (c & 0x1F) << 6 | ((uint8_t)text[at++] & 0x3F);
        X[i] = (double)((int64_t)c + f->min_token) / f->scale;
    }
    if (at != size) BUG("%zu bytes behind %zu coefficients", size - at, count);
    for (uint32_t t = 0; t < f->H; t++)
        for (uint32_t d = 0; d < D; d++) {
            double sum = 0;
            for (uint32_t k = 0; k < f->H; k++)
                sum += f->table[(size_t)k * f->H + t] * X[(size_t)k * D + d];
            x[(size_t)t * D + d] = (float)sum;
        }
    free(X);
    free(text);
}

/* ---- what may come next ---- */

fast_state_t fast_begin(const fast_t *f, uint32_t D) {
    return (fast_state_t){.left = f->H * D};
}

/* A half character stays within what is left: it needs one more. */
bool fast_allows(const fast_t *f, const fast_state_t *s, uint32_t id) {
    const fast_token_t *t = &f->token[id];
    return t->is_text && t->head == s->half && t->ends + t->tail <= s->left &&
           (!t->tail || f->has_tail);
}

void fast_take(const fast_t *f, fast_state_t *s, uint32_t id) {
    if (id >= f->ids || !fast_allows(f, s, id)) BUG("id %u with %u coefficients left", id, s->left);
    s->left -= f->token[id].ends;
    s->half = f->token[id].tail;
}

/* ---- tables ---- */

/* What a token's bytes do: maybe the second byte of a character, whole ones, maybe a first byte. */
static fast_token_t token_of(const char *bytes, size_t n) {
    fast_token_t t = {.is_text = n > 0};
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)bytes[i];
        bool second = c >= 0x80 && c < 0xC0;
        if (second != (i ? t.tail : second)) t.is_text = false;
        if (!i) t.head = second;
        if (c >= 0xE0 || c == 0xC0 || c == 0xC1) t.is_text = false;
        t.tail = c >= 0xC0;
        t.ends += !t.tail;
    }
    return t;
}

/* The nearest character that the BPE can write, of two the lesser. */
static void fill_nearest(fast_t *f, const bool byte[256]) {
    bool can[FAST_CHARACTERS];
    for (uint32_t c = 0; c < FAST_CHARACTERS; c++) {
        char text[2];
        size_t n = fast_character(c, text);
        can[c] = byte[(uint8_t)text[0]] && (n == 1 || byte[(uint8_t)text[1]]);
    }
    for (uint32_t c = 0; c < FAST_CHARACTERS; c++)
        for (uint32_t d = 0; d < FAST_CHARACTERS; d++) {
            if (d <= c && can[c - d])
                f->nearest[c] = (uint16_t)(c - d);
            else if (c + d < FAST_CHARACTERS && can[c + d])
                f->nearest[c] = (uint16_t)(c + d);
            else
                continue;
            break;
        }
}

/* A BPE may write other texts than it is given: with a space before them. */
static bool gives_back(const bpe_t *bpe, uint32_t c) {
    char text[2];
    text_ids_t ids = {0};
    size_t n = fast_character(c, text), size;
    bpe_encode(bpe, text, n, &ids);
    char *back = bpe_decode(bpe, ids.id, ids.n, &size);
    bool same = size == n && !memcmp(back, text, n);
    text_ids_release(&ids);
    free(back);
    return same;
}

int fast_tables(fast_t *f, reason_t *why) {
    bool byte[256] = {0}, whole = false;
    f->token = xcalloc(f->ids, sizeof *f->token);
    for (uint32_t id = 0; id < f->ids; id++) {
        size_t n;
        char *bytes = bpe_decode(f->bpe, &id, 1, &n);
        f->token[id] = token_of(bytes, n);
        if (n == 1) byte[(uint8_t)*bytes] = true;
        if (n == 1 && f->token[id].head) f->has_tail = true;
        whole = whole || (n == 1 && (uint8_t)*bytes < 0x80);
        free(bytes);
    }
    if (!whole)
        return reason_set(why, "its BPE has no token of a single character below U+0080: some "
                               "chunks could not be ended");
    fill_nearest(f, byte);
    for (uint32_t c = 0; c < FAST_CHARACTERS; c++)
        if (!gives_back(f->bpe, f->nearest[c]))
            return reason_set(why,
                              "its BPE does not give back the character U+%04X (is it one with "
                              "add_prefix_space?)",
                              f->nearest[c]);
    f->table = make_table(f->H);
    return 0;
}
