/* stream.c - see stream.h. */
#include "tokenize/stream.h"

#include "common/io/source/braces.h"

#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

/* Of the samples that one stream_read returns, decompressed; a single one may be larger. */
enum { READ_BYTES = 256 << 20 };

/* The tars that --in names: n paths, to be released with braces_free. */
static void list_tars(const char *in, char ***path, size_t *n) {
    reason_t why;
    if (archive_shards(in, path, n, &why)) die(RC_USAGE, "'%s': %s", in, why.text);
}

bool stream_is(const char *in) {
    char **path;
    size_t n;
    bool stream = false;
    if (!archive_is(in)) return false;
    list_tars(in, &path, &n);
    for (size_t i = 0; i < n && !stream; i++) stream = archive_is_stream(path[i]);
    braces_free(path, n);
    return stream;
}

/* Of names and sizes; a pipe counts as 0 bytes, and the folder does not count. */
static uint64_t manifest(char *const *path, size_t n) {
    uint64_t hash = n;
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        const char *slash = strrchr(path[i], '/'), *name = slash ? slash + 1 : path[i];
        bool file = strcmp(path[i], "-") != 0 && !stat(path[i], &st) && S_ISREG(st.st_mode);
        uint64_t before[2] = {hash, file ? (uint64_t)st.st_size : 0};
        hash = XXH64(name, strlen(name), XXH64(before, sizeof before, 0));
    }
    return hash;
}

uint64_t stream_open_or_die(stream_t *stream, const job_t *job) {
    char **path;
    size_t n;
    int rc;
    reason_t why;
    if (job->shard_count > 1)
        die(RC_USAGE,
            "--shard: '%s' is a stream, whose length is not known; unpack it to plain .tar files, "
            "or give each run files of its own",
            job->in);
    list_tars(job->in, &path, &n);
    *stream =
        (stream_t){.archive = archive_open(path, n, false, &rc, &why), .limit = (size_t)job->limit};
    if (!stream->archive) die(rc, "%s", why.text);
    uint64_t hash = manifest(path, n);
    braces_free(path, n);
    return hash;
}

void stream_skip(stream_t *stream, writer_t *writer) {
    archive_sample_t sample;
    for (uint64_t i = 0; i < writer->items_before; i++) {
        if (!stream_read(stream, &sample, 1))
            die(RC_MISFIT, "'%s' was begun with other data: '%s' ends after %llu samples",
                writer->job->out, writer->job->in, (unsigned long long)i);
        writer_has(writer, sample.key);
        archive_sample_release(&sample);
    }
}

size_t stream_read(stream_t *stream, archive_sample_t *sample, size_t n) {
    size_t got = 0, bytes = 0;
    while (got < n && !stream->ended && bytes < READ_BYTES) {
        bool limit_reached = stream->limit && stream->seen == stream->limit;
        stream->ended = limit_reached || !archive_next(stream->archive, &sample[got]);
        if (stream->ended) break;
        bytes += sample[got].image.size + sample[got].text.size + sample[got].json.size +
                 sample[got].label.size;
        image_tar_count(&stream->counts, &sample[got]);
        got++;
        stream->seen++;
    }
    return got;
}

void stream_close(stream_t *stream) {
    archive_close(stream->archive);
}
