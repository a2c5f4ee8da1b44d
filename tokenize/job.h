/* job.h - what `images`, `episodes` and `text` settle before they read the first item: the options,
 * the loaded tokenizers, and which part of the input is this run's; and the requests to stop.
 *
 * Reads no item and opens no shard. What is wrong with a command line ends the program here, with
 * exit code 2.
 */
#ifndef TOKENIZE_JOB_H
#define TOKENIZE_JOB_H

#include "common/io/image/image.h"
#include "common/io/text/text_tokenizer.h"
#include "common/model/tokenizer.h"
#include "tokenize/kept_steps.h"

typedef struct {
    const char *command; /* "images", "episodes", "text" */

    /* options of all commands */
    const char *in, *out, *model, *bpe, *shard;
    int64_t limit, batch, threads;
    bool keep_pixels, force, strict;
    double max_bad;
    double psnr; /* of `images`: NAN = all codes of an image */
    uint64_t max_map;
    /* of images, and of the images beside a text */
    const char *background;
    bool lenient, no_exif, dedupe;
    uint64_t max_pixels;
    /* of `episodes`: what the leaves become (mapping.h; NULL = the default), the task's name, which
     * steps to keep, and whether only episodes that succeeded */
    const char *obs, *act, *task;
    int64_t frames;
    bool spread, head, successful;
    /* of `text` */
    const char *images, *answers, *image_prefix, *format, *caption;
    int64_t split, image_digits;

    /* what follows from the options */
    uint64_t shard_index, shard_count; /* the part: 0 <= index < count */
    char *in_clean;                    /* owned: `in` without a slash at its end */
    char *part_out;                    /* owned: where the part of --shard auto goes; else NULL */
    image_opts_t opts;                 /* how images are decoded */
    image_notes_t notes;               /* about the images read so far */
    tokenizer_t *tokenizer;            /* owned; NULL without --model */
    text_tokenizer_t *text_tokenizer;  /* owned: of texts, by --bpe; else bytes */
} job_t;

/* Which steps --frames keeps: by --spread and --head. */
static inline step_choice_t job_step_choice(const job_t *job) {
    if (job->head) return STEPS_HEAD;
    return job->spread ? STEPS_SPREAD : STEPS_CONSECUTIVE;
}

/* Reads the command line (argv[0] is the command), checks it, sets the number of threads and loads
 * the tokenizer. The strings of the options belong to argv. summary: the command's line of --help.
 * die()s: options that exclude each other or name no input (2), a RUN that cannot be loaded. */
void job_parse(job_t *job, int argc, char **argv, const char *summary);
void job_release(job_t *job);

/* This run's items of the n of the input: first .. first + count - 1. --limit keeps the first ones,
 * --shard i/n an equal run of those; the parts 0 to n-1 one after another are the whole. */
void job_range(const job_t *job, size_t n, size_t *first, size_t *count);

/* The options that shape a shard, as canonical JSON, malloc'ed: what a shard keeps and a resumed
 * run is compared with. manifest: the hash of the list of the input's items. */
char *job_arguments(const job_t *job, uint64_t manifest);
/* Those members of such arguments that two runs over one input must share, malloc'ed: all but the
 * paths ("source", "images"), because the same data may lie elsewhere on each machine. */
char *job_compared(const char *arguments);
/* Is the member a path, so that it may differ between two runs? */
bool job_is_path(const char *member);
/* The "source" of such arguments: where the data lay when the shard was begun. malloc'ed; NULL when
 * there is none. */
char *job_source(const char *arguments);

/* SIGTERM, SIGINT, SIGHUP and SIGUSR1 ask to finish the batch at hand; the second one ends the
 * program at once. */
void job_catch_signals(void);
bool job_stopped(void);

#endif
