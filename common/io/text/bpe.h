/* bpe.h - GPT-2's byte-level BPE: texts become ids and ids texts, as Hugging Face's `tokenizers`
 * does it without a post-processor (no ids are added at the ends).
 *
 * A text is cut into words (bpe_words.h); a word is a row of bytes, each a token; then, again and
 * again, the two neighbors whose merge stands first in the list become one token. Added tokens
 * (<|endoftext|>) are found in the text before that. Use (tests/examples/example_bpe.c):
 *
 *     int rc;
 *     reason_t why;
 *     text_ids_t ids = {0};
 *     bpe_t *bpe = bpe_open("tests/reference/bpe/gpt2.json", &rc, &why);
 *     if (!bpe) die(rc, "%s", why.text);
 *     bpe_encode(bpe, "a red ball", 10, &ids);
 *     size_t size;
 *     char *text = bpe_decode(bpe, ids.id, ids.n, &size); // "a red ball"
 *
 *     free(text);
 *     text_ids_release(&ids);
 *     bpe_free(bpe);
 *
 * Sources: Sennrich et al. 2016 (BPE); Radford et al. 2019 (over bytes).
 */
#ifndef IO_BPE_H
#define IO_BPE_H

#include "common/base/die.h"
#include <stddef.h>
#include <stdint.h>

/* A growing list of ids; {0} is an empty one. */
typedef struct {
    uint32_t *id;
    size_t n, cap;
} text_ids_t;
void text_ids_add(text_ids_t *ids, uint32_t id);
void text_ids_release(text_ids_t *ids);

/* Does not change after it was made: any number of threads may use it. */
typedef struct bpe bpe_t;

/* Opens a tokenizer.json, or a folder with tokenizer.json or with vocab.json and merges.txt. NULL
 * with a reason; *rc is RC_USAGE (nothing there, or a build without PCRE2) or RC_DATA (unreadable,
 * another kind of tokenizer, tables that do not fit each other). */
bpe_t *bpe_open(const char *path, int *rc, reason_t *why);
/* The same from the text of a tokenizer.json. */
bpe_t *bpe_parse(const char *json, size_t size, int *rc, reason_t *why);
/* The same of one that was made for some bytes alone: others have no token and become no id; tokens
 * that are not written in the alphabet of bytes stand for nothing. */
bpe_t *bpe_parse_partial(const char *json, size_t size, int *rc, reason_t *why);
void bpe_free(bpe_t *bpe);

/* Ids are below this number; some may stand for nothing. */
uint32_t bpe_ids(const bpe_t *bpe);
/* The id that ends a text: that of the token <|endoftext|>, <|end_of_text|> or </s> if one of them
 * is an added token, else one of its own behind all others. */
uint32_t bpe_end(const bpe_t *bpe);
/* Its tokenizer.json in canonical form, of *size bytes: what shards and RUNs keep. */
const char *bpe_json(const bpe_t *bpe, size_t *size);
/* 32 hex digits: XXH3-128 of bpe_json. */
const char *bpe_fingerprint(const bpe_t *bpe);

/* Appends the ids of a text of n < 2^32 bytes, whatever they are: bytes that are no UTF-8 become
 * ids as well. */
void bpe_encode(const bpe_t *bpe, const char *text, size_t n, text_ids_t *out);
/* The same of a later piece of a text: add_prefix_space puts no space before it. */
void bpe_encode_on(const bpe_t *bpe, const char *text, size_t n, text_ids_t *out);
/* The text of ids, malloc'ed, of *size bytes and a NUL. An id of nothing gives no bytes. What comes
 * from a model may end amid a character. */
char *bpe_decode(const bpe_t *bpe, const uint32_t *id, size_t n, size_t *size);

#endif
