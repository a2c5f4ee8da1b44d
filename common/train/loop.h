/* loop.h - the training loop that vqvae and gato share: steps, log lines, metrics.jsonl,
 * evaluation, checkpoints, signals, resume.
 *
 * What a step is stays with the caller. The loop promises: a run killed at any moment and resumed
 * writes the same files as an uninterrupted one.
 */
#ifndef TRAIN_LOOP_H
#define TRAIN_LOOP_H

#include "common/base/cli.h"
#include "common/io/text/json.h"
#include "common/train/checkpoint.h"

/* The options that every train command has; bind with loop_options. */
typedef struct {
    const char *out, *config;
    cli_list_t set;
    bool help_config, resume, force, dry_run, allow_data_change;
    uint64_t seed;
    int64_t threads, steps, stop_at;
    double time_limit;
} loop_options_t;
/* An option table over *o (defaults filled in), to be chained in cli_parse; release with free(). */
cli_opt_t *loop_options(loop_options_t *o);
/* --help-config stands alone: true if it was given (before required options are asked for). */
bool loop_help_config(int argc, char **argv);

typedef struct {
    double loss, grad_norm, lr;
    bool skipped; /* NaN: the step did not count as an update */
    double items; /* images or tokens, for the speed */
} loop_step_t;

typedef struct {
    const char *unit; /* "images_per_s", "tokens_per_s" */
    int64_t steps, log_every, eval_every,
        save_every;        /* eval_every, save_every 0 = only at the end */
    int64_t max_nan;       /* steps that may be skipped in a row (3) */
    bool tensorboard;      /* an event file beside metrics.jsonl (events.h) */
    const char *arguments; /* what shaped the run: hashed into RUN/done */
    void *ctx;
    /* One optimizer step. */
    loop_step_t (*step)(void *ctx, int64_t step);
    /* More members for the metrics line of a log step (held-out metrics when `evaluate`); may be
     * NULL. */
    void (*report)(void *ctx, int64_t step, bool evaluate, jsonw_t *line, char *note,
                   size_t note_size);
    /* Fills in the checkpoint after `step` updates; texts stay valid until the next call. */
    void (*checkpoint)(void *ctx, int64_t step, checkpoint_t *c);
} loop_t;

/* At once after the command line, before data are read: with --resume or --force, die()s with
 * RC_RUNTIME "'RUN' is locked by pid N ..." while another process trains the RUN. */
void loop_look(const loop_options_t *o);
/* Before building anything: decides about an existing --out. Fresh start: the folder is made (or
 * emptied of a former run by --force), done is removed, returns false. --resume with a training
 * state: returns true, with the state's JSON in *json and the open file in *file. die()s
 * otherwise. The RUN is locked from here on (RUN/.lock) to the end of loop_run or the process. */
bool loop_begin(const loop_options_t *o, st_file_t *file, char **json);
/* What a training leaves in its folder beside the files for use: gone. die()s. */
void loop_remove_run(const char *dir);

/* How often a whole training evaluates: every eval_every steps (0 = never) and at its end. */
int64_t loop_evaluations(int64_t steps, int64_t eval_every);

/* Runs from `first` to steps; `from` is the file of a resume, or NULL. Returns RC_OK, or RC_STOPPED
 * after a signal,
 * --stop-at or --time-limit (checkpointed). Writes out/done at the end. */
int loop_run(const loop_t *l, const loop_options_t *o, int64_t first, const st_file_t *from);

#endif
