/* bpe_file.h - what the files of a byte-level BPE say: Hugging Face's tokenizer.json, or GPT-2's
 * vocab.json with merges.txt. Foreign bytes: every function returns a reason.
 *
 * Only their form is checked here, and that they are of this kind; whether tokens, merges and bytes
 * belong together is seen when bpe.c builds its tables.
 */
#ifndef IO_BPE_FILE_H
#define IO_BPE_FILE_H

#include "common/io/text/bpe_words.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

enum { BPE_MOST_IDS = 1 << 20 };

typedef struct {
    const char *text; /* as the file has it: a character of the file's alphabet per byte */
    uint32_t id;      /* below BPE_MOST_IDS */
} bpe_token_t;

typedef struct {
    const char *left, *right;
    size_t left_size, right_size;
} bpe_merge_t;

/* A token that is found in a text as it stands, before anything else. */
typedef struct {
    const char *text; /* not empty; plain UTF-8 */
    uint32_t id;
    bool normalized; /* is looked for behind those that are not */
    bool special;
} bpe_added_t;

typedef struct {
    bpe_rule_t rule;
    bool prefix_space;  /* a text that begins without a space gets one */
    bool ignore_merges; /* a word that is a token is that token, whatever the merges say */
    bpe_token_t *token; /* by rising id, each id once */
    size_t n_tokens;
    bpe_merge_t *merge; /* the first to be applied comes first */
    size_t n_merges;
    bpe_added_t *added; /* by rising id, each id once; may also be among the tokens */
    size_t n_added;
    /* own the strings */
    cJSON *root;
    char *lines;
} bpe_file_t;

/* Reads tokenizer.json. 0; or -1 with a reason and *out empty: no JSON, or another kind of
 * tokenizer, which is named. */
int bpe_file_parse(bpe_file_t *out, const char *json, size_t size, reason_t *why);
/* Reads vocab.json and merges.txt; <|endoftext|>, if there, is a special token. Likewise. */
int bpe_file_parse_pair(bpe_file_t *out, const char *vocab, size_t vocab_size, const char *merges,
                        size_t merges_size, reason_t *why);
void bpe_file_release(bpe_file_t *file);

/* The same as tokenizer.json in a canonical form: equal for any two files that say the same.
 * malloc'ed, of *size bytes; bpe_file_parse reads it. */
char *bpe_file_print(const bpe_file_t *file, size_t *size);

#endif
