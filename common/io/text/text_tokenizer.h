/* text_tokenizer.h - texts as ids, by whichever tokenizer a shard or a policy has: bytes, or a
 * byte-level BPE (bpe.h).
 *
 * Bytes: ids 0 to 255 are the bytes of UTF-8, 256 ends a text. Any tokenizer takes any bytes, and
 * decoding gives them back (after the space of a BPE with add_prefix_space).
 */
#ifndef IO_TEXT_TOKENIZER_H
#define IO_TEXT_TOKENIZER_H

#include "common/io/text/bpe.h"

#include <stdbool.h>

/* Does not change after it was made: any number of threads may use it. */
typedef struct text_tokenizer text_tokenizer_t;

text_tokenizer_t *text_tokenizer_bytes(void);
/* A BPE from people's files: see bpe_open. */
text_tokenizer_t *text_tokenizer_bpe(const char *path, int *rc, reason_t *why);
/* The one that a shard or a RUN names, with the file that it carries; NULL = none. NULL with a
 * reason; *rc is RC_MISFIT (an unknown name, a file of another tokenizer), RC_DATA (a damaged or
 * missing file) or RC_USAGE (a build without PCRE2). */
text_tokenizer_t *text_tokenizer_load(const char *name, const char *file, int *rc, reason_t *why);
void text_tokenizer_free(text_tokenizer_t *t);

/* "byte", or "bpe" and its fingerprint: equal for tokenizers that give equal ids. */
const char *text_tokenizer_name(const text_tokenizer_t *t);
/* What must be kept beside the name: the text of a tokenizer.json, or NULL. */
const char *text_tokenizer_file(const text_tokenizer_t *t);
/* Ids are below this number. */
uint32_t text_tokenizer_ids(const text_tokenizer_t *t);
/* The id that ends a text. */
uint32_t text_tokenizer_end(const text_tokenizer_t *t);
/* Does a space belong to the word behind it? Then a text is cut before a space. */
bool text_tokenizer_space_leads(const text_tokenizer_t *t);

/* Appends the ids of n bytes, fewer than 2^32. No end is added. */
void text_tokenizer_encode(const text_tokenizer_t *t, const char *text, size_t n, text_ids_t *out);
/* The same of a later piece of a text: bpe_encode_on. */
void text_tokenizer_encode_on(const text_tokenizer_t *t, const char *text, size_t n,
                              text_ids_t *out);
/* The bytes of ids below text_tokenizer_ids, malloc'ed, *size of them and a NUL. An end that is no
 * token of its own gives none. */
char *text_tokenizer_decode(const text_tokenizer_t *t, const uint32_t *id, size_t n, size_t *size);

#endif
