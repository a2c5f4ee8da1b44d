/* stream.c - see stream.h. */
#include "tokenize/stream.h"

#include "common/io/source/braces.h"

#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

enum { ROUND_BYTES = 256 << 20 }; /* of samples taken at a time, decompressed; one may be more */

static void shards_of(const char *in, char ***path, size_t *n) {
    reason_t why;
    if (archive_shards(in, path, n, &why)) die(RC_USAGE, "'%s': %s", in, why.text);
}

bool stream_is(const char *in) {
    char **path;
    size_t n;
    bool stream = false;
    if (!archive_is(in)) return false;
    shards_of(in, &path, &n);
    for (size_t i = 0; i < n && !stream; i++) stream = archive_is_stream(path[i]);
    braces_free(path, n);
    return stream;
}

static uint64_t manifest(char *const *path, size_t n) {
    uint64_t hash = n;
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        const char *slash = strrchr(path[i], '/'), *name = slash ? slash + 1 : path[i];
        uint64_t size = strcmp(path[i], "-") && !stat(path[i], &st) && S_ISREG(st.st_mode)
                            ? (uint64_t)st.st_size
                            : 0;
        uint64_t part[2] = {hash, size};
        hash = XXH64(name, strlen(name), XXH64(part, sizeof part, 0));
    }
    return hash;
}

uint64_t stream_open(stream_t *s, const job_t *j) {
    char **path;
    size_t n;
    int rc;
    reason_t why;
    if (j->shard_count > 1)
        die(RC_USAGE,
            "--shard: '%s' is a stream, whose length is not known; unpack it to plain .tar files, "
            "or give each "
            "run files of its own",
            j->in);
    shards_of(j->in, &path, &n);
    *s = (stream_t){.a = archive_open(path, n, false, &rc, &why), .limit = (size_t)j->limit};
    if (!s->a) die(rc, "%s", why.text);
    uint64_t hash = manifest(path, n);
    braces_free(path, n);
    return hash;
}

void stream_skip(stream_t *s, writer_t *w) {
    archive_sample_t sample;
    for (uint64_t i = 0; i < w->items_before; i++) {
        if (!stream_take(s, &sample, 1))
            die(RC_MISFIT, "'%s' was begun with other data: '%s' ends after %llu samples",
                w->job->out, w->job->in, (unsigned long long)i);
        writer_has(w, sample.key);
        archive_sample_release(&sample);
    }
}

size_t stream_take(stream_t *s, archive_sample_t *sample, size_t n) {
    size_t got = 0, bytes = 0;
    while (got < n && !s->ended && bytes < ROUND_BYTES) {
        s->ended = (s->limit && s->seen == s->limit) || !archive_next(s->a, &sample[got]);
        if (s->ended) break;
        bytes += sample[got].image.size + sample[got].text.size + sample[got].json.size +
                 sample[got].label.size;
        image_tar_count(&s->counts, &sample[got]);
        got++;
        s->seen++;
    }
    return got;
}

void stream_close(stream_t *s) {
    archive_close(s->a);
}
