/* bpe_fit.c - see bpe_fit.h.
 *
 * Equal words are kept once, with their number. Counts of pairs are exact: a word that changes
 * takes its old pairs out and puts its new ones in.
 */
#include "common/io/text/bpe_fit.h"

#include "common/io/text/bpe_file.h"
#include "common/io/text/bpe_private.h"
#include "common/io/text/bpe_words.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* A word: first its bytes, then ids of tokens, one a place. */
typedef struct {
    size_t first; /* in place[] */
    uint32_t n;
    int64_t count;
} word_t;

typedef struct {
    uint64_t pair; /* bpe_pair, NO_PAIR = free */
    int64_t count;
} counted_t;

typedef struct {
    char *bytes;
    size_t size;
    char *text; /* as files write it */
} piece_t;

struct bpe_fit {
    bpe_words_t *words;
    bool alphabet[256];
    uint32_t *place;
    size_t n_places, place_cap;
    word_t *word;
    size_t n_words, word_cap;
    uint32_t *by_text; /* hash table of words, NO_ID = free */
    size_t by_text_size;
    counted_t *pair; /* hash table */
    size_t n_pairs, pair_size;
    piece_t *token;
    uint32_t n_tokens;
    bpe_merge_t *merge;
    size_t n_merges, merge_cap;
};

enum { FIRST_TABLE = 1024 };

bpe_fit_t *bpe_fit_new(const bool alphabet[256], reason_t *why) {
    bpe_words_t *words = bpe_words_new(BPE_RULE_GPT2, why);
    if (!words) return NULL;
    bpe_fit_t *f = NEW(bpe_fit_t);
    f->words = words;
    memcpy(f->alphabet, alphabet, sizeof f->alphabet);
    return f;
}

/* ---- words ---- */

/* The place of a word in a hash table of `size`, or the free one where it belongs. */
static size_t word_place(const bpe_fit_t *f, const uint32_t *table, size_t size,
                         const uint32_t *place, size_t n) {
    size_t at = XXH3_64bits(place, n * sizeof *place) & (size - 1);
    for (;; at = (at + 1) & (size - 1)) {
        if (table[at] == NO_ID) return at;
        const word_t *w = &f->word[table[at]];
        if (w->n == n && !memcmp(f->place + w->first, place, n * sizeof *place)) return at;
    }
}

static void grow_words(bpe_fit_t *f) {
    if (2 * (f->n_words + 1) <= f->by_text_size) return;
    size_t size = f->by_text_size ? 2 * f->by_text_size : FIRST_TABLE;
    uint32_t *table = xmalloc(size * sizeof *table);
    for (size_t i = 0; i < size; i++) table[i] = NO_ID;
    for (size_t i = 0; i < f->n_words; i++)
        table[word_place(f, table, size, f->place + f->word[i].first, f->word[i].n)] = (uint32_t)i;
    free(f->by_text);
    f->by_text = table;
    f->by_text_size = size;
}

static void add_word(bpe_fit_t *f, const char *text, size_t n) {
    f->place = xgrow(f->place, &f->place_cap, f->n_places + n, sizeof *f->place);
    uint32_t *place = f->place + f->n_places;
    for (size_t i = 0; i < n; i++) {
        place[i] = (uint8_t)text[i];
        f->alphabet[place[i]] = true;
    }
    grow_words(f);
    size_t at = word_place(f, f->by_text, f->by_text_size, place, n);
    if (f->by_text[at] != NO_ID) {
        f->word[f->by_text[at]].count++;
        return;
    }
    if (f->n_words >= NO_ID - 1) die(RC_RUNTIME, "too many words to fit a BPE to");
    f->word = xgrow(f->word, &f->word_cap, f->n_words + 1, sizeof *f->word);
    f->by_text[at] = (uint32_t)f->n_words;
    f->word[f->n_words++] = (word_t){f->n_places, (uint32_t)n, 1};
    f->n_places += n;
}

void bpe_fit_add(bpe_fit_t *f, const char *text, size_t n) {
    bpe_cut_t cut;
    const char *word;
    size_t size;
    bpe_cut_begin(&cut, f->words, text, n);
    while ((word = bpe_cut_next(&cut, &size))) add_word(f, word, size);
    bpe_cut_end(&cut);
}

/* ---- pairs ---- */

static size_t pair_place(const counted_t *table, size_t size, uint64_t pair) {
    size_t at = ((pair * 0x9E3779B97F4A7C15u) >> 32) & (size - 1);
    while (table[at].pair != NO_PAIR && table[at].pair != pair) at = (at + 1) & (size - 1);
    return at;
}

static void grow_pairs(bpe_fit_t *f) {
    if (2 * (f->n_pairs + 1) <= f->pair_size) return;
    size_t size = f->pair_size ? 2 * f->pair_size : FIRST_TABLE;
    counted_t *table = xmalloc(size * sizeof *table);
    for (size_t i = 0; i < size; i++) table[i] = (counted_t){NO_PAIR, 0};
    for (size_t i = 0; i < f->pair_size; i++)
        if (f->pair[i].pair != NO_PAIR)
            table[pair_place(table, size, f->pair[i].pair)] = f->pair[i];
    free(f->pair);
    f->pair = table;
    f->pair_size = size;
}

/* Counts the pairs of a word, by `sign` times its number. */
static void count_pairs(bpe_fit_t *f, const word_t *w, int64_t sign) {
    const uint32_t *place = f->place + w->first;
    for (uint32_t i = 0; i + 1 < w->n; i++) {
        grow_pairs(f);
        uint64_t pair = bpe_pair(place[i], place[i + 1]);
        counted_t *c = &f->pair[pair_place(f->pair, f->pair_size, pair)];
        f->n_pairs += c->pair == NO_PAIR;
        c->pair = pair;
        c->count += sign * w->count;
    }
}

/* The pair that comes most often, of equals that of the smallest ids; NO_PAIR: none comes twice. */
static uint64_t most_frequent(const bpe_fit_t *f) {
    counted_t best = {NO_PAIR, 1};
    for (size_t i = 0; i < f->pair_size; i++) {
        const counted_t *c = &f->pair[i];
        if (c->pair == NO_PAIR || c->count < 2) continue;
        if (c->count > best.count || (c->count == best.count && c->pair < best.pair)) best = *c;
    }
    return best.pair;
}

static bool has_pair(const uint32_t *place, uint32_t n, uint32_t left, uint32_t right) {
    for (uint32_t i = 0; i + 1 < n; i++)
        if (place[i] == left && place[i + 1] == right) return true;
    return false;
}

static void merge_word(bpe_fit_t *f, word_t *w, uint32_t left, uint32_t right, uint32_t id) {
    uint32_t *place = f->place + w->first, n = 0;
    if (!has_pair(place, w->n, left, right)) return;
    count_pairs(f, w, -1);
    for (uint32_t i = 0; i < w->n; n++) {
        bool pair = i + 1 < w->n && place[i] == left && place[i + 1] == right;
        place[n] = pair ? id : place[i];
        i += pair ? 2 : 1;
    }
    w->n = n;
    count_pairs(f, w, 1);
}

/* ---- tokens ---- */

static uint32_t find_token(const bpe_fit_t *f, const char *bytes, size_t size) {
    for (uint32_t i = 0; i < f->n_tokens; i++)
        if (f->token[i].size == size && !memcmp(f->token[i].bytes, bytes, size)) return i;
    return NO_ID;
}

/* Takes over both texts. */
static uint32_t add_token(bpe_fit_t *f, char *bytes, size_t size, char *text) {
    f->token[f->n_tokens] = (piece_t){bytes, size, text};
    return f->n_tokens++;
}

static char *joined(const char *a, size_t n, const char *b, size_t m) {
    char *text = xmalloc(n + m + 1);
    memcpy(text, a, n);
    memcpy(text + n, b, m);
    text[n + m] = 0;
    return text;
}

/* The characters of files are below U+0800. */
static char *character(uint32_t c) {
    char text[3] = {(char)c, 0, 0};
    if (c >= 0x80) {
        text[0] = (char)(0xC0 | c >> 6);
        text[1] = (char)(0x80 | (c & 0x3F));
    }
    return xstrdup(text);
}

/* Bytes become ids, in the words too. */
static void take_alphabet(bpe_fit_t *f) {
    int16_t byte_of[BPE_ALPHABET];
    uint32_t id_of[256] = {0};
    bpe_alphabet(byte_of);
    for (uint32_t c = 0; c < BPE_ALPHABET; c++) {
        if (byte_of[c] < 0 || !f->alphabet[byte_of[c]]) continue;
        char byte = (char)byte_of[c];
        id_of[byte_of[c]] = add_token(f, joined(&byte, 1, "", 0), 1, character(c));
    }
    for (size_t i = 0; i < f->n_places; i++) f->place[i] = id_of[f->place[i]];
}

/* The token of a pair, which may be there already: "ab" + "c" is "a" + "bc". */
static uint32_t token_of_pair(bpe_fit_t *f, uint32_t left, uint32_t right) {
    const piece_t *l = &f->token[left], *r = &f->token[right];
    char *bytes = joined(l->bytes, l->size, r->bytes, r->size);
    uint32_t id = find_token(f, bytes, l->size + r->size);
    f->merge = xgrow(f->merge, &f->merge_cap, f->n_merges + 1, sizeof *f->merge);
    f->merge[f->n_merges++] =
        (bpe_merge_t){l->text, r->text, strlen(l->text), strlen(r->text)}; /* the tokens' */
    if (id == NO_ID)
        return add_token(f, bytes, l->size + r->size,
                         joined(l->text, strlen(l->text), r->text, strlen(r->text)));
    free(bytes);
    return id;
}

static char *print(const bpe_fit_t *f, size_t *size) {
    bpe_file_t file = {.rule = BPE_RULE_GPT2,
                       .token = xcalloc(f->n_tokens, sizeof *file.token),
                       .n_tokens = f->n_tokens,
                       .merge = f->merge,
                       .n_merges = f->n_merges};
    for (uint32_t i = 0; i < f->n_tokens; i++) file.token[i] = (bpe_token_t){f->token[i].text, i};
    char *json = bpe_file_print(&file, size);
    free(file.token);
    return json;
}

static void release(bpe_fit_t *f) {
    for (uint32_t i = 0; i < f->n_tokens; i++) {
        free(f->token[i].bytes);
        free(f->token[i].text);
    }
    bpe_words_free(f->words);
    free(f->place);
    free(f->word);
    free(f->by_text);
    free(f->pair);
    free(f->token);
    free(f->merge);
    free(f);
}

char *bpe_fit_end(bpe_fit_t *f, uint32_t most, size_t *size) {
    f->token = xcalloc((size_t)most + 256, sizeof *f->token);
    take_alphabet(f);
    for (size_t i = 0; i < f->n_words; i++) count_pairs(f, &f->word[i], 1);
    while (f->n_tokens < most) {
        uint64_t pair = most_frequent(f);
        if (pair == NO_PAIR) break;
        uint32_t left = (uint32_t)(pair >> 32), right = (uint32_t)pair,
                 id = token_of_pair(f, left, right);
        for (size_t i = 0; i < f->n_words; i++) merge_word(f, &f->word[i], left, right, id);
    }
    char *json = print(f, size);
    release(f);
    return json;
}
