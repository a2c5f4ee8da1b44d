/* stream.h - a source of samples that can be read only once, from front to back: packed tars and
 * stdin. How many samples it holds is known at its end.
 */
#ifndef TOKENIZE_STREAM_H
#define TOKENIZE_STREAM_H

#include "common/io/source/archive.h"
#include "common/io/source/image_source.h"
#include "tokenize/writer.h"

typedef struct {
    archive_stream_t *archive; /* owned */
    size_t seen, limit;        /* samples so far; how many at most, 0 = all */
    bool ended;
    source_counts_t counts; /* of the samples seen */
} stream_t;

/* Is --in a stream, or does one of its tars have to be read as one? die()s (2) when --in names tars
 * in a way that cannot be read. */
bool stream_is(const char *in);
/* Opens --in and returns what stands for the manifest: a hash of the names and sizes of its tars.
 * die()s when they cannot be opened, and (2) with --shard, which needs the number of samples. */
uint64_t stream_open_or_die(stream_t *stream, const job_t *job);
/* Passes over the samples that the shard has already; die()s (4) when it has others. */
void stream_skip(stream_t *stream, writer_t *writer);
/* Reads up to n further samples, fewer when they are large; the caller releases them. Returns how
 * many; 0 at the end. */
size_t stream_read(stream_t *stream, archive_sample_t *sample, size_t n);
void stream_close(stream_t *stream);

#endif
