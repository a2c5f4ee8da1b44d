/* session.c - see session.h. */
#include "common/train/session.h"

#include "common/base/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the command line ---- */

/* malloc'ed; ends with {0}. */
static cli_opt_t *options_table(session_options_t *o) {
    cli_opt_t table[] = {
        {"--out", CLI_STR, &o->out, "RUN", "folder of the run", true},
        {"--config", CLI_STR, &o->config, "FILE", "JSON file of configuration keys", false},
        {"--set", CLI_LIST, &o->set, "KEY=VALUE", "set one configuration key (repeatable)", false},
        {"--help-config", CLI_FLAG, &o->help_config, NULL,
         "print every configuration key, its default and meaning", false},
        {"--steps", CLI_INT, &o->steps, "N",
         "optimizer steps (train.steps; 0 = those of the configuration)", false},
        {"--stop-at", CLI_INT, &o->stop_at, "N", "save a checkpoint after step N and exit 75",
         false},
        {"--time-limit", CLI_DURATION, &o->time_limit, "T",
         "save a checkpoint after this time (90s, 15m, 2h) and exit 75", false},
        {"--resume", CLI_FLAG, &o->resume, NULL,
         "continue from the last checkpoint in RUN; without one, begin from the start", false},
        {"--allow-data-change", CLI_FLAG, &o->allow_data_change, NULL,
         "with --resume: continue even if the data is not that of the start", false},
        {"--force", CLI_FLAG, &o->force, NULL, "replace an existing RUN", false},
        {"--dry-run", CLI_FLAG, &o->dry_run, NULL,
         "print parameters, FLOPs per step, memory and expected time, then exit", false},
        {"--seed", CLI_U64, &o->seed, "S", "seed of everything random", false},
        {"--threads", CLI_INT, &o->threads, "N",
         "threads (0 = all processors); never changes a result", false},
        {0},
    };
    cli_opt_t *copy = xmalloc(sizeof table);
    memcpy(copy, table, sizeof table);
    return copy;
}

/* --help-config stands alone: it is answered before required options are asked for. */
static bool asks_for_config_help(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help-config")) return true;
    return false;
}

bool session_parse(session_t *s, int argc, char **argv, const char *summary, const cli_opt_t *own) {
    if (asks_for_config_help(argc, argv)) {
        config_help(s->identity.table);
        return false;
    }
    cli_opt_t *common = options_table(&s->options);
    cli_parse(argc, argv, "train", summary, (const cli_opt_t *const[]){own, common}, 2);
    free(common);
    s->folder = (run_folder_t){.out = s->options.out,
                               .resume = s->options.resume,
                               .force = s->options.force,
                               .lock = {.fd = -1}};
    run_folder_look(&s->folder);
    pool_set_threads((int)s->options.threads);
    return true;
}

void session_configure(const session_t *s, void *config, int64_t *steps) {
    const session_options_t *o = &s->options;
    if (o->config) config_file(s->identity.table, config, o->config);
    config_sets(s->identity.table, config, &o->set);
    if (o->steps > 0) *steps = o->steps;
}

/* ---- what it costs ---- */

static bool averages(const session_t *s) {
    return s->train.weight_average > 0;
}

/* Bytes of one moment. */
static double moment_bytes(const session_t *s) {
    double floats = (double)params_block(s->params);
    for (size_t i = 0; s->moves && i < params_n(s->params); i++) {
        const param_t *p = params_at(s->params, (int)i);
        if (!params_match(p->name, s->moves, s->n_moves)) floats -= (double)p->count;
    }
    return floats * (double)sizeof(float);
}

void session_print_cost(const session_t *s, const session_cost_t *cost) {
    int blocks = averages(s) ? 3 : 2; /* values, gradients, average */
    double block_bytes = (double)params_block(s->params) * (double)sizeof(float);
    double evaluations = (double)loop_evaluations(s->train.steps, s->train.eval_every);
    double seconds = cost->seconds_per_step * (double)s->train.steps +
                     cost->seconds_per_evaluation * evaluations;
    jsonw_t w = {0};
    jsonw_begin(&w);
    jsonw_int(&w, "parameters", (int64_t)cost->parameters);
    jsonw_num(&w, "flops_per_step", cost->flops);
    jsonw_num(&w, "memory_bytes", cost->bytes + block_bytes * blocks + 2 * moment_bytes(s));
    jsonw_num(&w, "seconds_per_step", cost->seconds_per_step);
    jsonw_num(&w, "expected_seconds", seconds);
    if (cost->padding) jsonw_num(&w, "padding", *cost->padding);
    puts(jsonw_end(&w));
    jsonw_free(&w);
}

/* ---- beginning ---- */

static void start_average(session_t *s) {
    memcpy(params_base(s->params, PARAMS_AVERAGE), params_base(s->params, PARAMS_VALUE),
           params_block(s->params) * sizeof(float));
}

/* Restores the open state; returns the step to go on from. */
static int64_t restore(session_t *s, const char *json) {
    reason_t why;
    int64_t step = identity_resume(&s->identity, s->options.out, json);
    checkpoint_t c = {
        .params = s->params, .fresh = s->fresh, .moves = s->moves, .n_moves = s->n_moves};
    if (s->resume) s->resume(s->ctx, &s->state, &c);
    int rc = checkpoint_restore(&s->state, &c, &why);
    if (rc) die(rc, "'%s': %s", s->options.out, why.text);
    if (averages(s) && !checkpoint_has_average(&s->state)) start_average(s);
    return step;
}

void session_begin(session_t *s) {
    const session_options_t *o = &s->options;
    if (o->steps < 0 || o->stop_at < 0 || o->threads < 0)
        die(RC_USAGE, "--steps, --stop-at and --threads cannot be negative");
    s->identity.seed = o->seed;
    s->identity.any_data = o->allow_data_change;
    s->config_text = config_print(s->identity.table, s->identity.config);
    params_base(s->params, PARAMS_M);
    params_base(s->params, PARAMS_V);
    if (averages(s)) start_average(s);

    char *json = NULL;
    s->resumed = run_folder_begin(&s->folder, &s->state, &json);
    s->first = s->resumed ? restore(s, json) : 0;
    free(json);
}

/* ---- running ---- */

int session_weights_block(const session_t *s) {
    return averages(s) ? PARAMS_AVERAGE : PARAMS_VALUE;
}

static loop_step_t step(void *ctx, int64_t at) {
    session_t *s = ctx;
    return s->step(s->ctx, at);
}

static void report(void *ctx, int64_t at, bool evaluate, jsonw_t *line, char *note,
                   size_t note_size) {
    session_t *s = ctx;
    if (s->report) s->report(s->ctx, at, evaluate, line, note, note_size);
}

static void checkpoint(void *ctx, int64_t at, checkpoint_t *c) {
    session_t *s = ctx;
    free(s->training_text);
    s->training_text = identity_json(&s->identity, at);
    *c = (checkpoint_t){.params = s->params,
                        .weights_block = session_weights_block(s),
                        .fresh = s->fresh,
                        .moves = s->moves,
                        .n_moves = s->n_moves,
                        .training_json = s->training_text};
    s->checkpoint(s->ctx, at, c);
}

int session_run(session_t *s) {
    enum { MOST_SKIPPED = 3 };
    loop_t l = {.out = s->options.out,
                .unit = s->unit,
                .steps = s->train.steps,
                .stop_at = s->options.stop_at,
                .time_limit = s->options.time_limit,
                .log_every = s->train.log_every,
                .eval_every = s->train.eval_every,
                .save_every = s->train.save_every,
                .max_skipped = MOST_SKIPPED,
                .tensorboard = s->train.tensorboard,
                .arguments = s->config_text,
                .ctx = s,
                .step = step,
                .report = report,
                .checkpoint = checkpoint};
    int rc = loop_run(&l, s->first, s->resumed ? &s->state : NULL);
    if (s->resumed) st_close(&s->state);
    run_folder_end(&s->folder);
    free(s->config_text);
    free(s->training_text);
    s->config_text = s->training_text = NULL;
    return rc;
}
