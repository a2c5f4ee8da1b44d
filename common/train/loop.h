/* loop.h - the training loop: steps, log lines, metrics.jsonl, evaluation, checkpoints, and how a
 * training stops.
 *
 * What a step is stays with the caller; where the training comes from and where it is written to is
 * session.h. The promise: a run that is killed at any moment and resumed writes the same files as
 * one that was not (all but times, which only metrics.jsonl and the event file hold).
 *
 * How a training ends:
 *
 *     all steps done             checkpoint, RUN/done           returns RC_OK (0)
 *     SIGTERM, SIGINT, SIGHUP    the step at hand is finished,  returns RC_STOPPED (75)
 *     (base/signals.h)           checkpoint
 *     SIGUSR1 under Slurm, PBS   likewise: the job's time ends  returns RC_STOPPED
 *     --stop-at, --time-limit    likewise                       returns RC_STOPPED
 *     a second signal            at once, without a checkpoint  status 143 (SIGTERM), 130 (SIGINT)
 *     loss not finite            after max_skipped such steps   die(RC_RUNTIME): the last
 *                                in a row, at the next one      checkpoint is kept
 *     disk full                  at the second checkpoint in a  die(RC_RUNTIME): likewise
 *                                row that cannot be saved, or
 *                                at the last one
 *
 * Steps without anything to learn are counted, and told at the end.
 *
 * SIGUSR1 elsewhere prints a line with the step and its loss; training goes on. A SIGHUP that was
 * ignored at the start (nohup) stays ignored.
 */
#ifndef TRAIN_LOOP_H
#define TRAIN_LOOP_H

#include "common/io/text/json.h"
#include "common/train/checkpoint.h"

/* What a step tells of itself. */
typedef struct {
    double loss, grad_norm, lr;
    bool skipped; /* loss or gradient is not finite: nothing moved */
    bool empty;   /* there was nothing to learn in it: nothing moved; counts in no mean */
    double items; /* images or tokens that it read, for the speed */
} loop_step_t;

/* Adds members to the line of metrics.jsonl after `step` updates: held-out metrics too when
 * `evaluate`. `note` (empty, of note_size bytes) may be filled with words for the progress bar. */
typedef void (*loop_report_t)(void *ctx, int64_t step, bool evaluate, jsonw_t *line, char *note,
                              size_t note_size);

typedef struct {
    const char *out;       /* RUN: exists and is locked (run_folder.h) */
    const char *unit;      /* name of the speed: "images_per_s", "tokens_per_s" */
    int64_t steps;         /* optimizer steps of the whole training */
    int64_t stop_at;       /* stop after that step; 0 = no */
    double time_limit;     /* stop after so many seconds; 0 = no */
    int64_t log_every;     /* steps between lines of metrics.jsonl, > 0 */
    int64_t eval_every;    /* steps between evaluations; 0 = only at the end */
    int64_t save_every;    /* steps between checkpoints; 0 = only at the end */
    int64_t max_skipped;   /* steps in a row that may be skipped */
    bool tensorboard;      /* an event file beside metrics.jsonl (events.h) */
    const char *arguments; /* what shaped the run: hashed into RUN/done */
    void *ctx;             /* first argument of the functions below */
    /* One optimizer step; `step` counts from 0. */
    loop_step_t (*step)(void *ctx, int64_t step);
    loop_report_t report; /* NULL = nothing to add */
    /* Fills in the checkpoint after `step` updates. What *c points at stays valid until the next
     * call. The loop adds a state of its own. */
    void (*checkpoint)(void *ctx, int64_t step, checkpoint_t *c);
} loop_t;

/* Number of evaluations of a whole training: every eval_every steps (0 = never) and at its end. */
int64_t loop_evaluations(int64_t steps, int64_t eval_every);

/* Runs the steps first .. steps - 1. `from` is the open state of a resume (checkpoint_open), or
 * NULL; lines of metrics.jsonl after step `first` are removed, since they will be written again.
 * Returns RC_OK or RC_STOPPED as in the table above; else die()s. */
int loop_run(const loop_t *l, int64_t first, const st_file_t *from);

#endif
