/* bpe_private.h - the tables of a byte-level BPE, which bpe_build.c makes and bpe.c uses. */
#ifndef IO_BPE_PRIVATE_H
#define IO_BPE_PRIVATE_H

#include "common/io/text/bpe.h"
#include "common/io/text/bpe_words.h"

#include <stdbool.h>

#define NO_ID UINT32_MAX
#define NO_PAIR UINT64_MAX

typedef struct {
    uint32_t rank, id; /* of the merge, the first being 0; of the token that it makes */
} merge_t;

typedef struct {
    char *bytes; /* a NUL behind them; NULL: the id stands for nothing */
    size_t size;
    bool is_direct; /* the bytes as a word become this one id */
} token_t;

typedef struct {
    const char *text;
    size_t size;
    uint32_t id;
} added_t;

/* Added tokens that are looked for at once. */
typedef struct {
    added_t *v; /* longer ones first */
    size_t n;
    bool begins[256]; /* does one begin with this byte? */
} added_set_t;

struct bpe {
    bpe_words_t *words;
    bool prefix_space;
    token_t *token; /* [n] */
    uint32_t n, end;
    size_t longest;        /* bytes of a token that words are made of */
    uint32_t *by_text;     /* hash table of ids, NO_ID = free; of tokens that words are made of */
    size_t by_text_mask;   /* its size - 1 */
    uint32_t byte_id[256]; /* of single bytes */
    uint64_t *pair;        /* hash table: left id << 32 | right id; NO_PAIR = free */
    merge_t *merge;        /* of the pair */
    size_t pair_mask;      /* their size - 1 */
    added_set_t added[2];  /* the second is looked for in what the first leaves */
    char *json;
    size_t json_size;
    char fingerprint[33];
};

/* Files write each byte as a character: printable ones of Latin 1 as themselves, the other 68 in
 * their order as U+0100 and so on. */
enum { BPE_ALPHABET = 0x144 };
/* The byte of each character, -1 = none. */
void bpe_alphabet(int16_t byte_of[BPE_ALPHABET]);
/* The place of these bytes in by_text, or the free one where they belong. */
size_t bpe_text_place(const bpe_t *b, const char *bytes, size_t n);
/* The token of these bytes, if words are made of it; else NO_ID. */
uint32_t bpe_find_token(const bpe_t *b, const char *bytes, size_t n);
/* The place of a pair of ids in the table, or the free one where it belongs. */
size_t bpe_pair_place(const bpe_t *b, uint64_t pair);
static inline uint64_t bpe_pair(uint32_t left, uint32_t right) {
    return (uint64_t)left << 32 | right;
}

/* Appends the ids of a word of n > 0 bytes by merging alone. */
void bpe_merge_word(const bpe_t *b, const char *word, size_t n, text_ids_t *out);

#endif
