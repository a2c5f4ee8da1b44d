/* shard_counts.h - what a shard counts of itself (images, episodes, steps, tokens, skipped and bad
 * items) and the image size that all its images share. Both live in shard_meta_t.
 *
 * Adds records to them, copies them, and shows them: as the line on stdout and in the `done` file.
 * The number of records is counted by token_db, not here.
 */
#ifndef TOKENIZE_SHARD_COUNTS_H
#define TOKENIZE_SHARD_COUNTS_H

#include "common/io/token_db/token_db.h"

/* Adds one record to all counts but `records`. */
void shard_counts_add(shard_meta_t *meta, const token_record_t *record);
/* Keeps the sizes of images in the meta's tasks; to be called before shard_counts_add. An episode's
 * are known before its first record; the first image of another record gives its size to all tasks
 * but those of episodes. Sizes become 0 once an image has another one. */
void shard_counts_sizes(shard_meta_t *meta, const token_record_t *record);
/* Copies the counts, `records` with them. */
void shard_counts_copy(shard_meta_t *to, const shard_meta_t *from);

/* Prints the counts as one JSON line on stdout. start: log_now() when the run began;
 * images_before: how many images the shard held then (for images_per_s). */
void shard_counts_print(const shard_meta_t *meta, double start, uint64_t images_before);
/* Writes the shard's `done` file: its arguments and its counts. die()s (1) when it cannot. */
void shard_counts_write_done(const char *path, const shard_meta_t *meta);

#endif
