/* vocabulary.h - what all tasks of a model share: the ids of texts, the codebook of images, and how
 * numbers become bins.
 *
 * Training takes it from the shards; from then on it lives in the RUN. Shards of another codebook
 * or text tokenizer are refused: silent mixing is the one mistake that a pipeline of two stages
 * invites.
 */
#ifndef GATO_VOCABULARY_H
#define GATO_VOCABULARY_H

#include "common/io/token_db/token_db.h"
#include "gato/task/config.h"
#include "gato/task/tokens.h"

#include <cjson/cJSON.h>

/* Strings and arrays are owned; NULL and 0 = none. */
typedef struct {
    uint32_t text;            /* ids of the text tokenizer; 0 = no text (of an imported policy) */
    char *text_tokenizer;     /* "byte", or "bpe" and a fingerprint (text_tokenizer.h) */
    char *text_file;          /* what it is made of; in a RUN a file, not part of the JSON */
    uint32_t codes, code_dim; /* K, Dc */
    float *codebook;          /* [codes, code_dim]; in a RUN it is a tensor, not part of the JSON */
    char *fingerprint, *preprocess, *quantizer;
    float mu, M;                           /* of the mu-law */
    uint32_t fast;                         /* ids of FAST (fast.h); 0 = none */
    char *fast_name;                       /* its fingerprint */
    char *fast_processor, *fast_tokenizer; /* in a RUN files, not part of the JSON */
} vocabulary_t;

void vocabulary_release(vocabulary_t *v);
vocabulary_t vocabulary_copy(const vocabulary_t *v);
/* That of a shard. */
vocabulary_t vocabulary_of(const shard_meta_t *m);
/* Adds to v what `more` knows; -1 with both values where they differ. What one of them lacks fits.
 * codes: does the model read codes at all? */
int vocabulary_merge(vocabulary_t *v, const vocabulary_t *more, bool codes, reason_t *why);
/* Does a model of `model` know all that `data` contain? 0, or -1 with both values. */
int vocabulary_fit(const vocabulary_t *model, const vocabulary_t *data, bool codes, reason_t *why);
/* The member "vocabulary" of config.json, without codebook and text_file. To be deleted with
 * cJSON_Delete. */
cJSON *vocabulary_json(const vocabulary_t *v);
/* Reads that member: 0, or -1 with a reason. Release v in either case. */
int vocabulary_parse(vocabulary_t *v, const cJSON *object, reason_t *why);
/* The ranges of ids of a model. */
tokens_t vocabulary_tokens(const gato_config_t *c, const vocabulary_t *v);

#endif
