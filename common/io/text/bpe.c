/* bpe.c - see bpe.h: texts to ids and back. */
#include "common/io/text/bpe_private.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

void text_ids_add(text_ids_t *ids, uint32_t id) {
    ids->id = xgrow(ids->id, &ids->cap, ids->n + 1, sizeof *ids->id);
    ids->id[ids->n++] = id;
}

void text_ids_release(text_ids_t *ids) {
    free(ids->id);
    *ids = (text_ids_t){0};
}

/* ---- hash tables ---- */

size_t bpe_text_place(const bpe_t *b, const char *bytes, size_t n) {
    size_t at = XXH3_64bits(bytes, n) & b->by_text_mask;
    for (;; at = (at + 1) & b->by_text_mask) {
        if (b->by_text[at] == NO_ID) return at;
        const token_t *t = &b->token[b->by_text[at]];
        if (t->size == n && !memcmp(t->bytes, bytes, n)) return at;
    }
}

uint32_t bpe_find_token(const bpe_t *b, const char *bytes, size_t n) {
    return n > b->longest ? NO_ID : b->by_text[bpe_text_place(b, bytes, n)];
}

size_t bpe_pair_place(const bpe_t *b, uint64_t pair) {
    uint64_t mixed = pair * 0x9E3779B97F4A7C15u;
    size_t at = (mixed >> 32) & b->pair_mask;
    while (b->pair[at] != NO_PAIR && b->pair[at] != pair) at = (at + 1) & b->pair_mask;
    return at;
}

/* The merge of two neighbors, or NULL. */
static const merge_t *find_merge(const bpe_t *b, uint32_t left, uint32_t right) {
    size_t at = bpe_pair_place(b, bpe_pair(left, right));
    return b->pair[at] == NO_PAIR ? NULL : &b->merge[at];
}

/* ---- a word becomes ids ---- */

/* A token of the word at hand; those that were merged into their left neighbor have no id. */
typedef struct {
    uint32_t id, previous, next; /* places in the row; NO_ID = none */
} piece_t;

/* A merge that was possible when it was put here. */
typedef struct {
    uint64_t order; /* rank << 32 | place of the left token: the least comes first */
    uint32_t id;    /* what it makes */
} candidate_t;

typedef struct {
    const bpe_t *bpe;
    piece_t *piece;
    size_t piece_cap;
    candidate_t *heap; /* the least is heap[0], the children of i are 2i+1 and 2i+2 */
    size_t n, heap_cap;
    const char *going_on; /* no space is put before this place; NULL = none */
} merging_t;

static void heap_put(merging_t *m, candidate_t c) {
    m->heap = xgrow(m->heap, &m->heap_cap, m->n + 1, sizeof *m->heap);
    size_t at = m->n++;
    while (at > 0 && m->heap[(at - 1) / 2].order > c.order) {
        m->heap[at] = m->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    m->heap[at] = c;
}

static candidate_t heap_take(merging_t *m) {
    candidate_t least = m->heap[0], last = m->heap[--m->n];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= m->n) break;
        if (child + 1 < m->n && m->heap[child + 1].order < m->heap[child].order) child++;
        if (m->heap[child].order >= last.order) break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = last;
    return least;
}

/* Puts the merge of two neighbors among the candidates, if there is one. */
static void offer(merging_t *m, uint32_t left, uint32_t right) {
    if (left == NO_ID || right == NO_ID) return;
    const merge_t *merge = find_merge(m->bpe, m->piece[left].id, m->piece[right].id);
    if (merge) heap_put(m, (candidate_t){(uint64_t)merge->rank << 32 | left, merge->id});
}

/* Applies a candidate, unless its pair has gone: one of the two was merged with another, and what
 * stands here now makes a longer token, if any. */
static void apply(merging_t *m, candidate_t c) {
    piece_t *piece = m->piece;
    uint32_t left = (uint32_t)c.order, right = piece[left].next;
    if (piece[left].id == NO_ID || right == NO_ID) return;
    const merge_t *merge = find_merge(m->bpe, piece[left].id, piece[right].id);
    if (!merge || merge->id != c.id) return;
    piece[left].id = c.id;
    piece[left].next = piece[right].next;
    piece[right].id = NO_ID;
    if (piece[left].next != NO_ID) piece[piece[left].next].previous = left;
    offer(m, piece[left].previous, left);
    offer(m, left, piece[left].next);
}

static void merge_word(merging_t *m, const char *word, size_t n, text_ids_t *out) {
    m->piece = xgrow(m->piece, &m->piece_cap, n, sizeof *m->piece);
    for (size_t i = 0; i < n; i++)
        m->piece[i] = (piece_t){m->bpe->byte_id[(uint8_t)word[i]], i ? (uint32_t)i - 1 : NO_ID,
                                i + 1 < n ? (uint32_t)i + 1 : NO_ID};
    for (size_t i = 1; i < n; i++) offer(m, (uint32_t)i - 1, (uint32_t)i);
    while (m->n) apply(m, heap_take(m));
    for (uint32_t i = 0; i != NO_ID; i = m->piece[i].next)
        if (m->piece[i].id != NO_ID) text_ids_add(out, m->piece[i].id); /* bpe_parse_partial */
}

static void merging_release(merging_t *m) {
    free(m->piece);
    free(m->heap);
}

void bpe_merge_word(const bpe_t *b, const char *word, size_t n, text_ids_t *out) {
    merging_t m = {.bpe = b};
    merge_word(&m, word, n, out);
    merging_release(&m);
}

static void encode_word(merging_t *m, const char *word, size_t n, text_ids_t *out) {
    uint32_t id = bpe_find_token(m->bpe, word, n);
    if (id != NO_ID && m->bpe->token[id].is_direct)
        text_ids_add(out, id);
    else
        merge_word(m, word, n, out);
}

/* ---- a text becomes words ---- */

/* Text without added tokens. */
static void encode_plain(merging_t *m, const char *text, size_t n, text_ids_t *out) {
    bpe_cut_t cut;
    const char *word;
    size_t size;
    char *longer = NULL;
    if (m->bpe->prefix_space && text[0] != ' ' && text != m->going_on) {
        longer = xmalloc(n + 1);
        *longer = ' ';
        memcpy(longer + 1, text, n++);
    }
    bpe_cut_begin(&cut, m->bpe->words, longer ? longer : text, n);
    while ((word = bpe_cut_next(&cut, &size))) encode_word(m, word, size, out);
    bpe_cut_end(&cut);
    free(longer);
}

/* The first added token of a set in the text at or behind `at`, the longest that begins there.
 * *where: its place. NULL: none. */
static const added_t *find_added(const added_set_t *set, const char *text, size_t n, size_t at,
                                 size_t *where) {
    for (; at < n && set->n; at++) {
        if (!set->begins[(uint8_t)text[at]]) continue;
        for (size_t i = 0; i < set->n; i++) {
            const added_t *a = &set->v[i];
            if (a->size > n - at || memcmp(a->text, text + at, a->size)) continue;
            *where = at;
            return a;
        }
    }
    return NULL;
}

/* Text that may have added tokens of the sets from this one on. */
static void encode_set(merging_t *m, int set, const char *text, size_t n, text_ids_t *out) {
    size_t at = 0, where;
    const added_t *a;
    if (set == 2) {
        if (n) encode_plain(m, text, n, out);
        return;
    }
    while ((a = find_added(&m->bpe->added[set], text, n, at, &where))) {
        encode_set(m, set + 1, text + at, where - at, out);
        text_ids_add(out, a->id);
        at = where + a->size;
    }
    encode_set(m, set + 1, text + at, n - at, out);
}

static void encode(merging_t *m, const char *text, size_t n, text_ids_t *out) {
    if (n >= UINT32_MAX) BUG("a text of %zu bytes", n);
    encode_set(m, 0, text, n, out);
    merging_release(m);
}

void bpe_encode(const bpe_t *b, const char *text, size_t n, text_ids_t *out) {
    encode(&(merging_t){.bpe = b}, text, n, out);
}
void bpe_encode_on(const bpe_t *b, const char *text, size_t n, text_ids_t *out) {
    encode(&(merging_t){.bpe = b, .going_on = text}, text, n, out);
}

char *bpe_decode(const bpe_t *b, const uint32_t *id, size_t n, size_t *size) {
    size_t total = 0, at = 0;
    for (size_t i = 0; i < n; i++) {
        if (id[i] >= b->n) BUG("id %u of %u", id[i], b->n);
        total += b->token[id[i]].size;
    }
    char *text = xmalloc(total + 1);
    for (size_t i = 0; i < n; i++) {
        const token_t *t = &b->token[id[i]];
        if (t->size) memcpy(text + at, t->bytes, t->size);
        at += t->size;
    }
    text[total] = 0;
    *size = total;
    return text;
}

/* ---- what it is ---- */

uint32_t bpe_ids(const bpe_t *b) {
    return b->n;
}

uint32_t bpe_end(const bpe_t *b) {
    return b->end;
}

const char *bpe_json(const bpe_t *b, size_t *size) {
    *size = b->json_size;
    return b->json;
}

const char *bpe_fingerprint(const bpe_t *b) {
    return b->fingerprint;
}
