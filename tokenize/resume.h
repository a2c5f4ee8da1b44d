/* resume.h - what an earlier run left in the shard that this run is to write: whether it is
 * complete, whether it was begun with the same options, and which images it holds.
 *
 * Only reads, and without the writer's lock. A shard that cannot be read counts as absent here:
 * token_db_create reports it with its reason.
 */
#ifndef TOKENIZE_RESUME_H
#define TOKENIZE_RESUME_H

#include "common/io/hash_set.h"
#include "common/io/token_db/token_db.h"
#include "tokenize/job.h"

/* Reads the shard at job->out, if there is one. Returns true when it is complete.
 *
 * meta: this run's. When there is a shard, its arguments become those of the shard (the data may
 * lie elsewhere now; the shard keeps its first path); the counts and `complete` are copied when it
 * is complete.
 * images: with --dedupe, receives the hashes of the images that an incomplete shard holds.
 * die()s (4) when the shard was begun with other options, naming them; (3) at a damaged record. */
bool resume_read(const job_t *job, shard_meta_t *meta, hash_set_t *images);

#endif
