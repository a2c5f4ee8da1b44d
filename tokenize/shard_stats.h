/* shard_stats.h - what the records of a shard add up to: how often each code occurs, pixels, tasks,
 * sources. Reads every record; shard_counts.h has what is counted while a shard is written.
 */
#ifndef TOKENIZE_SHARD_STATS_H
#define TOKENIZE_SHARD_STATS_H

#include "common/io/token_db/token_db.h"

enum { SHARD_STATS_SOURCES = 64, SHARD_STATS_TOP = 10 };

typedef struct {
    char *name; /* owned */
    uint64_t records;
} shard_stats_source_t;

typedef struct {
    uint64_t kinds[RECORD_KINDS]; /* records by kind */
    uint64_t image_tokens;        /* codes of all images */
    uint64_t pixels;              /* of all images that have codes, at the size the encoder saw */
    uint64_t kept_bytes;          /* of kept PNG files */
    /* By tasks [tasks]; owned. slot_steps: timesteps that have the slot, [tasks][TASK_SLOTS]; a
     * text counts once per record. */
    uint64_t *task_records, *task_steps;
    uint64_t (*slot_steps)[TASK_SLOTS];
    uint64_t *histogram; /* [codes]: how often each code occurs. Owned */
    uint32_t used;       /* codes that occur */
    double perplexity;   /* exp of the entropy of the histogram, in codes; NaN without codes */
    uint32_t top[SHARD_STATS_TOP]; /* [n_top]: the most frequent codes, most frequent first */
    size_t n_top;
    /* [n_sources], in the order of their first records; records of further ones are not counted */
    shard_stats_source_t source[SHARD_STATS_SOURCES];
    size_t n_sources;
} shard_stats_t;

/* Fills *stats from every record, on all threads; the same for any number of threads. die()s (3) at
 * a corrupt record. */
void shard_stats_read(shard_stats_t *stats, token_db_t *shard);
void shard_stats_release(shard_stats_t *stats);

#endif
