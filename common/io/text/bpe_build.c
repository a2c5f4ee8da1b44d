/* bpe_build.c - a byte-level BPE from its files: do tokens, merges and bytes belong together? */
#include "common/base/sizes.h"
#include "common/io/fs.h"
#include "common/io/text/bpe_file.h"
#include "common/io/text/bpe_private.h"
#include "common/io/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

typedef struct {
    bpe_t *bpe;
    const bpe_file_t *file;
    int16_t byte_of[BPE_ALPHABET];
    bool partial; /* bpe_parse_partial */
} building_t;

/* ---- the alphabet of the files ---- */

void bpe_alphabet(int16_t byte_of[BPE_ALPHABET]) {
    int other = 0x100;
    for (int i = 0; i < BPE_ALPHABET; i++) byte_of[i] = -1;
    for (int byte = 0; byte < 256; byte++) {
        bool printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
        byte_of[printable ? byte : other++] = (int16_t)byte;
    }
}

static uint32_t code_point(const char *p, size_t size) {
    static const uint8_t lead[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t c = (uint8_t)p[0] & lead[size];
    for (size_t i = 1; i < size; i++) c = c << 6 | ((uint8_t)p[i] & 0x3F);
    return c;
}

/* The bytes that n bytes of a file stand for, to out[n]. Their number, or -1: other characters. */
static long bytes_of(const building_t *in, const char *text, size_t n, char *out) {
    long size = 0;
    for (size_t at = 0, step; at < n; at += step) {
        step = utf8_step((const uint8_t *)text + at, n - at);
        uint32_t c = step ? code_point(text + at, step) : BPE_ALPHABET;
        if (c >= BPE_ALPHABET || in->byte_of[c] < 0) return -1;
        out[size++] = (char)in->byte_of[c];
    }
    return size;
}

/* ---- tables ---- */

/* Slots of a hash table for n: a power of two, at least twice as many. */
static size_t table_size(size_t n) {
    size_t size = 16;
    while (size < 2 * n) size *= 2;
    return size;
}

/* The added token of this id, or NULL. */
static const bpe_added_t *added_of(const bpe_file_t *file, uint32_t id) {
    size_t low = 0, high = file->n_added;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (file->added[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < file->n_added && file->added[low].id == id ? &file->added[low] : NULL;
}

/* A token of the vocabulary. Added ones may have any characters, and then no word has them. */
static int take_token(const building_t *in, const bpe_token_t *from, reason_t *why) {
    bpe_t *b = in->bpe;
    token_t *t = &b->token[from->id];
    const bpe_added_t *added = added_of(in->file, from->id);
    size_t n = strlen(from->text);
    if (added && strcmp(added->text, from->text))
        return reason_set(why, "id %u is token '%.60s' and added token '%.60s'", from->id,
                          from->text, added->text);
    t->bytes = xmalloc(n + 1);
    long size = bytes_of(in, from->text, n, t->bytes);
    bool is_plain = size == (long)n && !memcmp(t->bytes, from->text, n);
    if (n && size < 0 && !added && in->partial) {
        free(t->bytes);
        *t = (token_t){0};
        return 0;
    }
    if (!n || (size < 0 && !added))
        return reason_set(why, "token '%.60s' is not written in the alphabet of byte-level BPE",
                          from->text);
    if (added && size >= 0 && !is_plain)
        return reason_set(why, "added token '%.60s' also stands for other bytes", from->text);
    if (size < 0) memcpy(t->bytes, from->text, n);
    t->size = size < 0 ? n : (size_t)size;
    t->bytes[t->size] = 0;
    if (size < 0) return 0;
    size_t place = bpe_text_place(b, t->bytes, t->size);
    b->by_text[place] = from->id;
    if (t->size > b->longest) b->longest = t->size;
    return 0;
}

static int take_tokens(const building_t *in, reason_t *why) {
    bpe_t *b = in->bpe;
    const bpe_file_t *file = in->file;
    size_t n = table_size(file->n_tokens);
    b->by_text = xmalloc(n * sizeof *b->by_text);
    b->by_text_mask = n - 1;
    for (size_t i = 0; i < n; i++) b->by_text[i] = NO_ID;
    for (size_t i = 0; i < file->n_tokens; i++)
        if (take_token(in, &file->token[i], why)) return -1;
    for (int i = 0; i < 256; i++) {
        char byte = (char)i;
        b->byte_id[i] = bpe_find_token(b, &byte, 1);
        if (b->byte_id[i] == NO_ID && !in->partial)
            return reason_set(why, "its vocabulary has no token for the byte 0x%02x", i);
    }
    return 0;
}

/* The token that the characters stand for, or NO_ID. */
static uint32_t token_of(const building_t *in, const char *text, size_t n, char *bytes) {
    long size = bytes_of(in, text, n, bytes);
    return size < 0 ? NO_ID : bpe_find_token(in->bpe, bytes, (size_t)size);
}

static int bad_merge(const bpe_merge_t *m, size_t rank, const char *what, reason_t *why) {
    int left = (int)min_size(m->left_size, 60), right = (int)min_size(m->right_size, 60);
    return reason_set(why, "merge %zu of '%.*s' and '%.*s': %s", rank, left, m->left, right,
                      m->right, what);
}

/* bytes: room for both sides. */
static int take_merge(const building_t *in, size_t rank, char *bytes, reason_t *why) {
    bpe_t *b = in->bpe;
    const bpe_merge_t *from = &in->file->merge[rank];
    uint32_t left = token_of(in, from->left, from->left_size, bytes),
             right = token_of(in, from->right, from->right_size, bytes);
    if (left == NO_ID || right == NO_ID)
        return bad_merge(from, rank, "they are not both in the vocabulary", why);
    const token_t *l = &b->token[left], *r = &b->token[right];
    memcpy(bytes, l->bytes, l->size);
    memcpy(bytes + l->size, r->bytes, r->size);
    uint32_t id = bpe_find_token(b, bytes, l->size + r->size);
    if (id == NO_ID) return bad_merge(from, rank, "what they make is not in the vocabulary", why);
    size_t at = bpe_pair_place(b, bpe_pair(left, right));
    b->pair[at] = bpe_pair(left, right);
    b->merge[at] = (merge_t){(uint32_t)rank, id}; /* of equal ones the last counts */
    return 0;
}

static int take_merges(const building_t *in, reason_t *why) {
    bpe_t *b = in->bpe;
    const bpe_file_t *file = in->file;
    size_t n = table_size(file->n_merges), longest = 0;
    b->pair = xmalloc(n * sizeof *b->pair);
    b->merge = xmalloc(n * sizeof *b->merge);
    b->pair_mask = n - 1;
    for (size_t i = 0; i < n; i++) b->pair[i] = NO_PAIR;
    for (size_t i = 0; i < file->n_merges; i++) {
        size_t size = file->merge[i].left_size + file->merge[i].right_size;
        if (size > longest) longest = size;
    }
    char *bytes = xmalloc(longest + 1);
    int rc = 0;
    for (size_t i = 0; i < file->n_merges && !rc; i++) rc = take_merge(in, i, bytes, why);
    free(bytes);
    return rc;
}

/* A word that is a token is one id if its merges end there, or if they are ignored. */
static void find_direct(bpe_t *b, bool ignore_merges) {
    text_ids_t ids = {0};
    for (size_t i = 0; i <= b->by_text_mask; i++) {
        if (b->by_text[i] == NO_ID) continue;
        token_t *t = &b->token[b->by_text[i]];
        ids.n = 0;
        if (!ignore_merges) bpe_merge_word(b, t->bytes, t->size, &ids);
        t->is_direct = ignore_merges || ids.n == 1;
    }
    text_ids_release(&ids);
}

static int longer_first(const void *pa, const void *pb) {
    const added_t *a = pa, *b = pb;
    return a->size > b->size ? -1 : a->size < b->size;
}

static int take_added(bpe_t *b, const bpe_file_t *file, reason_t *why) {
    for (size_t i = 0; i < file->n_added; i++) {
        const bpe_added_t *from = &file->added[i];
        token_t *t = &b->token[from->id];
        size_t n = strlen(from->text);
        uint32_t other = bpe_find_token(b, from->text, n);
        if (other != NO_ID && other != from->id)
            return reason_set(why, "added token '%.60s' has the ids %u and %u", from->text,
                              from->id, other);
        if (!t->bytes) *t = (token_t){xstrdup(from->text), n, false};
        added_set_t *set = &b->added[from->normalized];
        if (!set->v) set->v = xmalloc(file->n_added * sizeof *set->v);
        set->v[set->n++] = (added_t){t->bytes, n, from->id};
        set->begins[(uint8_t)from->text[0]] = true;
    }
    for (int i = 0; i < 2; i++)
        if (b->added[i].n) qsort(b->added[i].v, b->added[i].n, sizeof(added_t), longer_first);
    return 0;
}

/* The token that ends a text; else one more id, which stands for nothing. */
static void find_end(bpe_t *b) {
    static const char *const name[] = {"<|endoftext|>", "<|end_of_text|>", "</s>"};
    for (size_t k = 0; k < sizeof name / sizeof *name; k++)
        for (int set = 0; set < 2; set++)
            for (size_t i = 0; i < b->added[set].n; i++) {
                if (strcmp(b->added[set].v[i].text, name[k])) continue;
                b->end = b->added[set].v[i].id;
                return;
            }
    b->end = b->n++;
}

static int build(bpe_t *b, const bpe_file_t *file, bool partial, reason_t *why) {
    for (size_t i = 0; i < file->n_tokens; i++)
        if (file->token[i].id >= b->n) b->n = file->token[i].id + 1;
    for (size_t i = 0; i < file->n_added; i++)
        if (file->added[i].id >= b->n) b->n = file->added[i].id + 1;
    b->token = xcalloc(b->n + 1, sizeof *b->token);
    b->prefix_space = file->prefix_space;
    building_t in = {b, file, {0}, partial};
    bpe_alphabet(in.byte_of);
    if (take_tokens(&in, why) || take_merges(&in, why) || take_added(b, file, why)) return -1;
    find_direct(b, file->ignore_merges);
    find_end(b);
    b->json = bpe_file_print(file, &b->json_size);
    XXH128_hash_t h = XXH3_128bits(b->json, b->json_size);
    snprintf(b->fingerprint, sizeof b->fingerprint, "%016llx%016llx", (unsigned long long)h.high64,
             (unsigned long long)h.low64);
    return 0;
}

/* Releases the file. */
static bpe_t *bpe_of(bpe_file_t *file, bool partial, int *rc, reason_t *why) {
    bpe_t *b = NEW(bpe_t);
    b->words = bpe_words_new(file->rule, why);
    *rc = b->words ? RC_DATA : RC_USAGE;
    if (!b->words || build(b, file, partial, why)) {
        bpe_free(b);
        b = NULL;
    }
    bpe_file_release(file);
    return b;
}

void bpe_free(bpe_t *b) {
    if (!b) return;
    for (uint32_t i = 0; b->token && i < b->n; i++) free(b->token[i].bytes);
    for (int i = 0; i < 2; i++) free(b->added[i].v);
    free(b->token);
    free(b->by_text);
    free(b->pair);
    free(b->merge);
    free(b->json);
    bpe_words_free(b->words);
    free(b);
}

bpe_t *bpe_parse(const char *json, size_t size, int *rc, reason_t *why) {
    bpe_file_t file;
    *rc = RC_DATA;
    return bpe_file_parse(&file, json, size, why) ? NULL : bpe_of(&file, false, rc, why);
}

bpe_t *bpe_parse_partial(const char *json, size_t size, int *rc, reason_t *why) {
    bpe_file_t file;
    *rc = RC_DATA;
    return bpe_file_parse(&file, json, size, why) ? NULL : bpe_of(&file, true, rc, why);
}

/* ---- opening ---- */

enum { MOST_BYTES = 1 << 28 };

/* A reason that names the file. */
static bpe_t *name_reason(bpe_t *b, const char *path, reason_t *why) {
    reason_t cause = *why;
    if (!b) reason_set(why, "'%.300s': %.600s", path, cause.text);
    return b;
}

static bpe_t *open_json(const char *path, int *rc, reason_t *why) {
    uint8_t *text;
    size_t size;
    *rc = fs_exists(path) ? RC_DATA : RC_USAGE;
    if (fs_read(path, MOST_BYTES, &text, &size, why)) return NULL;
    bpe_t *b = name_reason(bpe_parse((const char *)text, size, rc, why), path, why);
    free(text);
    return b;
}

static bpe_t *open_pair(const char *dir, const char *vocab, const char *merges, int *rc,
                        reason_t *why) {
    uint8_t *text = NULL, *lines = NULL;
    size_t size, lines_size;
    bpe_file_t file;
    bpe_t *b = NULL;
    *rc = RC_DATA;
    if (!fs_read(vocab, MOST_BYTES, &text, &size, why) &&
        !fs_read(merges, MOST_BYTES, &lines, &lines_size, why)) {
        if (!bpe_file_parse_pair(&file, (char *)text, size, (char *)lines, lines_size, why))
            b = bpe_of(&file, false, rc, why);
        name_reason(b, dir, why);
    }
    free(text);
    free(lines);
    return b;
}

bpe_t *bpe_open(const char *path, int *rc, reason_t *why) {
    if (!fs_is_dir(path)) return open_json(path, rc, why);
    char *json = fs_join(path, "tokenizer.json"), *vocab = fs_join(path, "vocab.json"),
         *merges = fs_join(path, "merges.txt");
    bpe_t *b = NULL;
    if (fs_exists(json)) {
        b = open_json(json, rc, why);
    } else if (fs_exists(vocab) && fs_exists(merges)) {
        b = open_pair(path, vocab, merges, rc, why);
    } else {
        *rc = RC_USAGE;
        reason_set(why, "'%s' has no tokenizer.json, and no vocab.json with merges.txt", path);
    }
    free(json);
    free(vocab);
    free(merges);
    return b;
}
