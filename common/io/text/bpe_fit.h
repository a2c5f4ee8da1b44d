/* bpe_fit.h - fits a byte-level BPE to texts: the vocabulary and merges that Hugging Face's
 * BpeTrainer finds (min_frequency 2) with GPT-2's rule of words (bpe_words.h).
 *
 *     bpe_fit_t *fit = bpe_fit_new(alphabet, &why);
 *     for (...) bpe_fit_add(fit, text, size);
 *     char *json = bpe_fit_end(fit, 1024, &size); // of a tokenizer.json: bpe_parse reads it
 *
 * The first ids are the bytes of the alphabet, in the order of the characters that stand for them.
 * Then, again and again, the pair of neighbors that comes most often in the words becomes a token;
 * of pairs that come equally often the one of smaller ids does. It ends with so many ids, or when
 * no pair comes twice.
 */
#ifndef IO_BPE_FIT_H
#define IO_BPE_FIT_H

#include "common/base/die.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bpe_fit bpe_fit_t;

/* alphabet: which bytes have tokens even if no text has them. NULL with a reason: a build without
 * PCRE2. */
bpe_fit_t *bpe_fit_new(const bool alphabet[256], reason_t *why);
/* Adds a text of any bytes. */
void bpe_fit_add(bpe_fit_t *fit, const char *text, size_t n);
/* Fits at most `most` ids (all bytes have theirs, whatever it is) and frees `fit`. Returns a
 * tokenizer.json in canonical form, malloc'ed, of *size bytes. */
char *bpe_fit_end(bpe_fit_t *fit, uint32_t most, size_t *size);

#endif
