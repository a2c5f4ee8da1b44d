/* stream.h - samples that can only be read once, from front to back: packed tars and stdin.
 */
#ifndef TOKENIZE_STREAM_H
#define TOKENIZE_STREAM_H

#include "common/io/source/archive.h"
#include "common/io/source/image_source.h"
#include "tokenize/writer.h"

typedef struct {
    archive_stream_t *a;
    size_t seen, limit; /* samples; limit 0 = none */
    bool ended;
    source_counts_t counts; /* of what was seen */
} stream_t;

/* Is one of --in's shards such a stream? */
bool stream_is(const char *in);
/* Opens --in; die()s when that cannot be, or with --shard, which needs to know how many samples
 * there are. Returns what stands for the manifest: the shards' names and sizes. */
uint64_t stream_open(stream_t *s, const job_t *j);
/* Passes over the samples that the shard has already; die(RC_MISFIT) when it has others. */
void stream_skip(stream_t *s, writer_t *w);
/* Up to n further samples. 0 at the end. */
size_t stream_take(stream_t *s, archive_sample_t *sample, size_t n);
void stream_close(stream_t *s);

#endif
