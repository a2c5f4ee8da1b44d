/* job.h - what `images`, `episodes` and `text` have in common before the first item is read:
 * options, the loaded tokenizer, the part of the input that is this run's, and stop requests.
 */
#ifndef TOKENIZE_JOB_H
#define TOKENIZE_JOB_H

#include "common/io/image/image.h"
#include "common/model/tokenizer.h"
#include "tokenize/window.h"

typedef struct {
    const char *command; /* "images", "episodes", "text" */
    /* options */
    const char *in, *out, *model, *shard, *background;
    const char *obs,
        *act; /* which parts of an episode become what (mapping.h), NULL = by themselves */
    int64_t frames, limit, batch, threads;
    bool spread, head; /* which frames */
    bool keep_pixels, force, lenient, no_exif, dedupe, strict;
    const char *images, *answers, *image_prefix, *format, *caption; /* of `text` */
    int64_t split, image_digits;
    double max_bad;
    uint64_t max_pixels, max_map;
    /* what follows from them */
    uint64_t shard_index, shard_count;
    char *in_clean; /* owned: `in` without a slash at its end */
    char *part_out; /* owned: where an automatic part goes */
    image_opts_t opts;
    image_notes_t notes;    /* of the images read */
    tokenizer_t *tokenizer; /* NULL without --model */
} job_t;

/* --spread and --head. */
static inline take_t job_take(const job_t *j) {
    return j->head ? TAKE_HEAD : j->spread ? TAKE_SPREAD : TAKE_WINDOW;
}

/* Reads the command line, refuses what cannot be (exit 2), and loads the model. */
void job_parse(job_t *j, int argc, char **argv, const char *summary);
void job_release(job_t *j);

/* Items first .. first + count - 1 of n are this run's: --limit takes the first ones, --shard i/n
 * an equal run of those, so that shards 0 to n-1 after one another are the whole. */
void job_range(const job_t *j, size_t n, size_t *first, size_t *count);

/* The options that shape a shard, as canonical JSON. manifest: a hash of the input's list. */
char *job_arguments(const job_t *j, uint64_t manifest);
/* Of such arguments, what two runs over one input must share, malloc'ed: all but the paths
 * ("source", "images"). The same data may lie elsewhere on each machine; the manifest says whether
 * they are the same. */
char *job_compared(const char *arguments);
bool job_is_path(const char *member);
/* Where the data lay when the shard was begun: "source", malloc'ed; NULL when there is none. */
char *job_source(const char *arguments);

/* SIGTERM, SIGINT, SIGHUP and SIGUSR1 ask to finish the batch at hand; the second one ends the
 * program at once. */
void job_catch_signals(void);
bool job_stopped(void);

#endif
