/* merge_mix.h - what the shards that `tokenize merge` joins must agree on, and what their sum is:
 * tasks, codebook, text tokenizer, sizes of images.
 *
 * Looks at metas alone. Whatever does not fit ends the program (4) with the paths of both.
 */
#ifndef TOKENIZE_MERGE_MIX_H
#define TOKENIZE_MERGE_MIX_H

#include "common/io/token_db/token_db.h"

/* A meta that grows with every part. */
typedef struct {
    shard_meta_t meta;
    const char *path; /* of the first part, for messages */
    /* Paths of the first part that has codes, that has images without codes, that has texts; or
     * NULL. */
    const char *coded, *uncoded, *worded;
    bool *sized; /* [meta.tasks.n] are the sizes of its images known? Owned */
} mix_t;
/* Frees all but the meta, which is the caller's from then on. */
void mix_release(mix_t *mix);

/* Begins with the first part. */
void mix_begin(mix_t *mix, const shard_meta_t *meta, const char *path);
/* Adds a part of the same input, whose meta must be equal but for counts, arguments and sizes. */
void mix_add_equal(mix_t *mix, const shard_meta_t *meta, const char *path);
/* Adds a shard with --mix: tasks of one name must be equal, others are put behind; so are codebook,
 * preprocess and text tokenizer where both have codes or texts. Returns the new number of each of
 * its tasks [meta->tasks.n], malloc'ed. */
uint32_t *mix_add(mix_t *mix, const shard_meta_t *meta, const char *path);

#endif
