/* session.h - one training from the command line to RUN/done: what `vqvae train` and `gato train`
 * do alike around steps of their own.
 *
 *     session_t s = {.identity = {.program = "gato", .table = table, .config = &config, ...},
 *                    .unit = "tokens_per_s", .ctx = &mine, .step = step, .checkpoint = checkpoint};
 *     if (!session_parse(&s, argc, argv, "train a policy", my_options)) return RC_OK;
 *     session_configure(&s, &config, &config.train.steps);
 *     ...open the data, make the network...
 *     s.params = params;
 *     s.train = SESSION_TRAIN(config.train);
 *     if (s.options.dry_run) {session_print_cost(&s, &cost); return RC_OK;}
 *     session_begin(&s);
 *     return session_run(&s);
 *
 * The session owns: the options of every trainer, the folder and its lock, the optimizer's blocks,
 * the weight average, the checkpoint's common part, and the resume. The program owns: the network,
 * the data, and what one step is. Faults end the process by die(), with the exit codes of each
 * function; this is a part of a command, not a library for other programs.
 */
#ifndef TRAIN_SESSION_H
#define TRAIN_SESSION_H

#include "common/train/identity.h"
#include "common/train/loop.h"
#include "common/train/run_folder.h"

/* The options that every train command has. */
typedef struct {
    const char *out, *config; /* --out RUN, --config FILE or NULL */
    cli_list_t set;           /* --set KEY=VALUE */
    bool help_config, resume, force, dry_run, allow_data_change;
    uint64_t seed;
    int64_t threads, steps, stop_at; /* 0 = all processors; the configuration's; no stop */
    double time_limit;               /* seconds, 0 = none */
} session_options_t;

/* The part of a program's configuration that the session reads: train.* by the same names. */
typedef struct {
    int64_t steps, accumulate, log_every, eval_every, save_every;
    double weight_average; /* decay, 0 = no average */
    bool tensorboard;
} session_train_t;
#define SESSION_TRAIN(train)                                                                       \
    (session_train_t) {                                                                            \
        (train).steps, (train).accumulate, (train).log_every, (train).eval_every,                  \
            (train).save_every, (train).weight_average, (train).tensorboard                        \
    }

typedef struct {
    /* ---- by the program, before session_parse ---- */

    /* program, table, config and config_size; before session_begin also manifest and init. The
     * session fills in the rest. */
    identity_t identity;
    const char *unit; /* of the speed in metrics.jsonl: "images_per_s", "tokens_per_s" */
    void *ctx;        /* first argument of the functions below */
    loop_step_t (*step)(void *ctx, int64_t step); /* loop.h */
    loop_report_t report;                         /* loop.h; NULL = nothing to add */
    /* Fills in what the program stores after `step` updates: weights_file, weights, text, state and
     * made. The rest of *c is filled in already. What *c points at stays valid until the next
     * call. */
    void (*checkpoint)(void *ctx, int64_t step, checkpoint_t *c);
    /* Before a resume reads `file`: fills in c->state, what there is to restore beside the
     * parameters; die()s when the RUN does not fit. NULL = the parameters are all. */
    void (*resume)(void *ctx, const st_file_t *file, checkpoint_t *c);

    /* ---- by the program, before session_begin and session_print_cost ---- */

    params_t *params; /* borrowed */
    session_train_t train;
    const char *fresh; /* checkpoint_t.fresh, or NULL */
    /* [n_moves] checkpoint_t.moves: frozen parameters have no moments, in memory and on disk */
    const char *const *moves;
    size_t n_moves;

    session_options_t options; /* by session_parse */

    /* ---- private ---- */

    run_folder_t folder;
    st_file_t state; /* of a resume, open during session_run */
    bool resumed;
    int64_t first;
    char *config_text, *training_text;
} session_t;

/* Parses the command line into s->options and the variables of `own` (a table that ends with {0}),
 * and sets the number of threads. --help-config prints the configuration's keys and returns false:
 * the command is done. die()s: RC_USAGE for a wrong command line, RC_RUNTIME for a RUN that is
 * locked. */
bool session_parse(session_t *s, int argc, char **argv, const char *summary, const cli_opt_t *own);

/* Applies --config, --set and --steps, in this order, to `config`: the program's struct (that of
 * identity.config), which holds the defaults. `steps` is its train.steps. die(RC_USAGE). */
void session_configure(const session_t *s, void *config, int64_t *steps);

/* What a training costs, for --dry-run. */
typedef struct {
    size_t parameters;
    double flops; /* of an optimizer step */
    double bytes; /* of memory, without the parameters' blocks */
    double seconds_per_step, seconds_per_evaluation;
    const double *padding; /* share of a batch's positions that hold nothing; NULL = not printed */
} session_cost_t;
/* One line of JSON on stdout: parameters, flops_per_step, memory_bytes, seconds_per_step,
 * expected_seconds, and padding if there is one. memory_bytes counts values and
 * gradients of all parameters, two moments of those that move, and the average if there is one: 4
 * bytes a number. */
void session_print_cost(const session_t *s, const session_cost_t *cost);

/* Begins or resumes. Allocates the optimizer's blocks; the weight average starts as a copy of the
 * weights, also when a resumed state has none. Makes and locks the folder; on a resume restores
 * everything and remembers the step to go on from. die()s: those of run_folder_begin and
 * identity_resume; RC_MISFIT or RC_DATA when the state does not fit the network or is damaged. */
void session_begin(session_t *s);

/* The block that holds the weights for use: PARAMS_AVERAGE if there is an average, else
 * PARAMS_VALUE. */
int session_weights_block(const session_t *s);

/* Trains from where session_begin left off (loop_run), then unlocks the folder. Returns RC_OK, or
 * RC_STOPPED (75) when a signal, --stop-at or --time-limit ended it with a checkpoint. */
int session_run(session_t *s);

#endif
