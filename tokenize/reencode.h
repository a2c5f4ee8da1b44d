/* reencode.h - images of a shard encoded again, from the pixels it keeps or from where they came
 * from, and compared with the codes it holds.
 */
#ifndef TOKENIZE_REENCODE_H
#define TOKENIZE_REENCODE_H

#include "common/io/token_db/token_db.h"
#include "common/model/tokenizer.h"

typedef struct {
    token_db_t *db;
    const char *path, *in; /* in NULL: the kept pixels; for captions the folder of the images */
    tokenizer_t *tokenizer;
    uint64_t sample; /* images, spread over the shard; 0 = all */
    /* results */
    uint64_t images, codes, different;
    double
        gap; /* largest of the different codes: how much further than the nearest one, relative */
} reencode_t;

/* die()s (3) when an image cannot be found or read again. */
void reencode_run(reencode_t *a);

#endif
