/* bpe_words.h - a text cut into the words that byte-level BPE works within.
 *
 *     bpe_cut_t cut;
 *     bpe_cut_begin(&cut, words, text, size);
 *     while ((word = bpe_cut_next(&cut, &n))) use(word, n);
 *     bpe_cut_end(&cut);
 *
 * The words one after another are the text. Letters and numbers are those of PCRE2's Unicode
 * tables; white space is Unicode's property White_Space.
 */
#ifndef IO_BPE_WORDS_H
#define IO_BPE_WORDS_H

#include "common/base/die.h"
#include <stddef.h>

/* Where words end. Both keep a space with the word behind it. */
typedef enum {
    BPE_RULE_GPT2,   /* runs of letters, of numbers, of other characters, of white space */
    BPE_RULE_LLAMA3, /* the same, with numbers of at most three digits, and line ends apart */
    BPE_RULES
} bpe_rule_t;
/* A rule as a regular expression, as tokenizer.json writes it. */
extern const char *const bpe_rule_regex[BPE_RULES];

/* A rule ready for use, by any number of threads. */
typedef struct bpe_words bpe_words_t;
/* NULL with a reason when this build has no PCRE2. */
bpe_words_t *bpe_words_new(bpe_rule_t rule, reason_t *why);
void bpe_words_free(bpe_words_t *words);

typedef struct {
    const bpe_words_t *words;
    const char *text;
    size_t size, at;
    size_t valid_from, valid_to; /* the stretch of well-formed UTF-8 around `at` */
    void *match;
} bpe_cut_t;
/* Begins with a text of any bytes, which must outlive the cutting. Each stretch of bytes that are
 * no UTF-8 is a word of its own, and what stands on its sides is cut as two texts. */
void bpe_cut_begin(bpe_cut_t *cut, const bpe_words_t *words, const char *text, size_t size);
/* The next word and its *n > 0 bytes; NULL behind the last one. */
const char *bpe_cut_next(bpe_cut_t *cut, size_t *n);
void bpe_cut_end(bpe_cut_t *cut);

#endif
