/* reencode.h - encodes images of a shard again, from the pixels that it keeps or from where they
 * came from, and compares the codes with those it holds.
 */
#ifndef TOKENIZE_REENCODE_H
#define TOKENIZE_REENCODE_H

#include "common/io/token_db/token_db.h"
#include "common/model/tokenizer.h"

typedef struct {
    /* set by the caller, who owns them */
    token_db_t *db;
    const char *path; /* of the shard, for messages */
    const char *in;   /* the source; for captions the folder of the images. NULL: kept pixels */
    tokenizer_t *tokenizer;
    uint64_t sample; /* how many images, spread evenly over the shard; 0 = all */
    /* results */
    uint64_t images, codes, different; /* compared images and codes; codes that differ */
    /* over the codes that differ, the largest excess of the stored code's distance over the nearest
     * code's, as a share of the latter */
    double gap;
} reencode_t;

/* Fills the results. die()s (3) when an image cannot be found or read again. */
void reencode_run(reencode_t *encoding);

#endif
