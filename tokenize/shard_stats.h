/* shard_stats.h - what a shard's records add up to: how often each code occurs, images' pixels,
 * sources.
 */
#ifndef TOKENIZE_SHARD_STATS_H
#define TOKENIZE_SHARD_STATS_H

#include "common/io/token_db/token_db.h"

enum { SHARD_STATS_SOURCES = 64, SHARD_STATS_TOP = 10 };

typedef struct {
    char *name;
    uint64_t records;
} shard_stats_source_t;

typedef struct {
    uint64_t kinds[3];     /* records by kind */
    uint64_t image_tokens; /* codes of all images */
    uint64_t pixels;       /* of all images that have codes, as the encoder saw them */
    uint64_t kept_bytes;   /* PNG files */
    uint64_t *histogram;   /* [codes] */
    uint32_t used;         /* codes that occur */
    double perplexity;     /* exp(entropy); NaN without codes */
    uint32_t top[SHARD_STATS_TOP];
    size_t n_top;
    shard_stats_source_t
        source[SHARD_STATS_SOURCES]; /* in order of appearance; further ones are not told apart */
    size_t n_sources;
} shard_stats_t;

/* Reads every record, on all threads; die()s (3) at a corrupt one. */
void shard_stats_read(shard_stats_t *c, token_db_t *db);
void shard_stats_release(shard_stats_t *c);

#endif
