/* train.c - `gato train`. */
#include "common/base/log.h"
#include "common/io/fs.h"
#include "common/model/tokenizer.h"
#include "common/train/optimizer.h"
#include "common/train/session.h"
#include "gato/commands.h"
#include "gato/run/metrics.h"
#include "gato/run/run.h"
#include "gato/run/settings.h"
#include "gato/train_begin.h"
#include "gato/train_play.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELD_OUT = 128 /* sequences per source and task of the metrics during training */ };

typedef struct {
    session_t session;
    cli_list_t data;   /* --data */
    const char *vqvae; /* --vqvae, or the tokenizer of --init, or NULL */
    char *init_vqvae;  /* owned: the latter */
    const char *fast;  /* --fast, or NULL */
    train_begin_t begin;
    gato_config_t config;
    dataset_t *d;
    gato_model_t *m;
    gato_graphs_t *train, *eval;
    optimizer_t optimizer;
    batch_t batch;
    /* parts of a checkpoint */
    char *run_text; /* owned */
    checkpoint_text_t text[2];
} run_t;

/* ---- steps ---- */

static void fill_batch(run_t *r, int64_t step, int64_t micro) {
    size_t n = (size_t)r->config.train.batch, per_step = n * (size_t)r->config.train.accumulate;
    reason_t why;
    batch_clear(&r->batch, true, r->session.options.seed, (uint64_t)step);
    for (size_t i = 0; i < n; i++) {
        sequence_t w;
        dataset_sample(r->d, r->session.options.seed, (uint64_t)step, (size_t)micro * n + i,
                       per_step, &w);
        if (sequence_add(&r->batch, &w, &why)) die(RC_DATA, "%s", why.text);
        sequence_release(&w);
    }
}

/* Executes the batch; returns its loss and adds the number of its terms. */
static double run_batch(run_t *r, int64_t step, uint64_t first_sample, bool add, size_t *terms) {
    gato_metrics_t f;
    gato_metrics_init(&f, r->m);
    gato_step(r->train, &r->batch, r->session.options.seed, (uint64_t)step, first_sample, add, &f);
    double loss = f.loss;
    *terms += f.terms;
    gato_metrics_release(&f);
    return loss;
}

static loop_step_t step(void *ctx, int64_t s) {
    run_t *r = ctx;
    loop_step_t out = {.lr = schedule_lr(&r->optimizer.schedule, s)};
    int64_t accumulate = r->config.train.accumulate;
    size_t terms = 0;
    for (int64_t k = 0; k < accumulate; k++) {
        fill_batch(r, s, k);
        uint64_t first = (uint64_t)(s * accumulate + k) * (uint64_t)r->config.train.batch;
        out.loss += run_batch(r, s, first, k > 0, &terms) / (double)accumulate;
        out.items += (double)batch_positions(&r->batch);
    }
    out.grad_norm = NAN;
    out.skipped = !isfinite(out.loss);
    out.empty = !terms; /* the optimizer's weight decay would still move something */
    if (out.skipped || out.empty) return out;
    optimizer_step_t u = optimizer_step(&r->optimizer, r->m->params, s, 1.0 / (double)accumulate);
    out.grad_norm = u.grad_norm;
    out.skipped = u.skipped;
    return out;
}

/* ---- metrics ---- */

/* Held-out metrics of a task over all sources. */
static void measure(run_t *r, uint32_t task, size_t limit, gato_metrics_t *f) {
    for (size_t i = 0; i < dataset_sources(r->d); i++)
        metrics_over(r->eval, r->d, i, task, SIDE_VAL, limit, f);
}

static train_play_t player(const run_t *r) {
    const session_options_t *o = &r->session.options;
    return (train_play_t){.m = r->m,
                          .block = session_weights_block(&r->session),
                          .out = o->out,
                          .seed = o->seed,
                          .threads = o->threads};
}

static void report(void *ctx, int64_t s, bool evaluate, jsonw_t *line, char *note,
                   size_t note_size) {
    run_t *r = ctx;
    gato_metrics_t f;
    (void)s;
    if (!evaluate) return;
    gato_metrics_init(&f, r->m);
    for (uint32_t t = 0; t < r->m->tasks.n; t++) measure(r, t, HELD_OUT, &f);
    double loss = metrics_loss(r->m, &f, METRICS_ALL);
    jsonw_float(line, "loss_held_out", (float)loss);
    jsonw_float(line, "action_mae_held_out", (float)metrics_action_error(&f, METRICS_ALL));
    size_t tasks = 0;
    for (uint32_t t = 0; t < r->m->tasks.n; t++) {
        if (!dataset_records(r->d, SIZE_MAX, t, SIDE_ALL)) continue;
        tasks++;
        char *name = xasprintf("loss_%s", r->m->tasks.v[t].name);
        jsonw_float(line, name, (float)metrics_loss(r->m, &f, t));
        free(name);
    }
    metrics_modalities(r->m, &f, METRICS_ALL, line);
    for (uint32_t t = 0; tasks > 1 && t < r->m->tasks.n; t++) metrics_modalities(r->m, &f, t, line);
    train_play_t play = player(r);
    train_play(&play, line);
    if (isfinite(loss)) snprintf(note, note_size, "held out %.4g", loss);
    gato_metrics_release(&f);
}

/* ---- checkpoints ---- */

static void checkpoint(void *ctx, int64_t s, checkpoint_t *c) {
    static const char *const all[] = {""};
    run_t *r = ctx;
    (void)s;
    free(r->run_text);
    r->run_text = run_json(r->m);
    c->weights_file = GATO_WEIGHTS_FILE;
    c->weights = all;
    c->n_weights = 1;
    c->text = r->text;
    c->n_text = run_files(r->m, r->run_text, r->text);
}

/* ---- the tokenizer in the policy's folder ---- */

/* Refuses a tokenizer that did not make the shards: before anything of a former run is removed. */
static void check_tokenizer(const run_t *r) {
    tokenizer_t *tokenizer = tokenizer_open_or_die(r->vqvae);
    const char *mine = r->m->vocabulary.fingerprint;
    if (mine && strcmp(mine, tokenizer_fingerprint(tokenizer)))
        die(RC_MISFIT, "'%s' has fingerprint %s; the shards were made by %s", r->vqvae,
            tokenizer_fingerprint(tokenizer), mine);
    tokenizer_warn_untrained(tokenizer, r->vqvae);
    tokenizer_free(tokenizer);
}

/* Without a tokenizer the policy cannot see. */
static void say_blind(const run_t *r) {
    char *own = fs_join(r->session.options.out, RUN_TOKENIZER);
    bool there = r->vqvae || (r->session.options.resume && fs_is_dir(own)), sees = false;
    for (uint32_t t = 0; t < r->m->tasks.n; t++) {
        dataset_kinds_t k = dataset_kinds(r->d, t);
        sees = sees || (k.episodes && k.images);
    }
    free(own);
    if (there || !sees || gato_config_image_in(&r->config)->pixels) return;
    warn("no --vqvae: the RUN gets no tokenizer, and 'gato act' will miss it to read images");
}

/* ---- --dry-run ---- */

/* Seconds of one evaluation, by its first sequences. */
static double seconds_of_evaluation(run_t *r) {
    enum { FEW = 16 };
    double seconds = 0;
    gato_metrics_t f;
    gato_metrics_init(&f, r->m);
    for (size_t i = 0; i < dataset_sources(r->d); i++)
        for (uint32_t t = 0; t < r->m->tasks.n; t++) {
            size_t all = dataset_sequences(r->d, i, t, SIDE_VAL),
                   n = all < HELD_OUT ? all : HELD_OUT;
            if (!n) continue;
            size_t few = n < FEW ? n : FEW;
            metrics_over(r->eval, r->d, i, t, SIDE_VAL, few, &f); /* records and touches memory */
            double start = log_now();
            metrics_over(r->eval, r->d, i, t, SIDE_VAL, few, &f);
            seconds += (log_now() - start) * (double)n / (double)few;
        }
    gato_metrics_release(&f);
    return seconds;
}

static void dry_run(run_t *r) {
    enum { WARM_UP = 2, TIMED = 2 };
    double start = 0, padding = 0;
    size_t terms = 0;
    for (int i = 0; i < WARM_UP + TIMED; i++) { /* the first replays record and touch memory */
        int64_t s = i % 2;
        fill_batch(r, s, 0);
        if (i == WARM_UP) start = log_now();
        run_batch(r, s, 0, false, &terms);
        padding += gato_graphs_padding(r->train) / (WARM_UP + TIMED);
    }
    double seconds = (log_now() - start) / TIMED, accumulate = (double)r->config.train.accumulate;
    const gato_graph_t *g = gato_graph_fill(r->train, &r->batch);
    session_print_cost(&r->session,
                       &(session_cost_t){.parameters = gato_model_parameters(r->m),
                                         .flops = gato_graph_flops(g) * accumulate,
                                         .bytes = (double)plan_bytes(g->plan),
                                         .seconds_per_step = seconds * accumulate,
                                         .seconds_per_evaluation = seconds_of_evaluation(r),
                                         .padding = &padding});
}

/* ---- the command ---- */

static void check_freeze(const run_t *r) {
    freeze_t f;
    reason_t why;
    if (freeze_init(&f, r->config.train.freeze, &why) ||
        freeze_check(&f, r->m->params, r->m->wrt, r->m->n_wrt, NULL, &why))
        die(RC_USAGE, "%s", why.text);
}

/* Beside adapters the transformer is frozen, and they must not be. */
static void check_adapters(const run_t *r) {
    size_t frozen = 0, adapters = 0;
    if (!r->config.lora.rank) return;
    for (size_t i = 0; i < params_n(r->m->params); i++) {
        const param_t *p = params_at(r->m->params, (int)i);
        bool trains = params_match(p->name, r->m->wrt, r->m->n_wrt);
        if (!trains && nn_lora_owns(p->name))
            die(RC_USAGE,
                "train.freeze holds '%s', an adapter: the transformer beside it is "
                "frozen anyway",
                p->name);
        if (nn_lora_owns(p->name)) adapters += p->count;
        if (!trains && !strncmp(p->name, "transformer.", 12)) frozen += p->count;
    }
    log_line("lora: the transformer's %zu numbers are frozen, %zu of adapters train in their place",
             frozen, adapters);
}

static optimizer_t make_optimizer(const run_t *r) {
    const gato_config_t *c = &r->config;
    optimizer_t o = optimizer_of(&c->optim, c->train.steps, c->train.weight_average);
    o.wrt = r->m->wrt;
    o.n_wrt = r->m->n_wrt;
    return o;
}

/* Was --seed given? A resumed run goes on with its own otherwise. */
static bool seed_given(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--seed") || !strncmp(argv[i], "--seed=", 7)) return true;
    return false;
}

static bool parse(run_t *r, int argc, char **argv) {
    const cli_opt_t own[] = {
        {"--data", CLI_LIST, &r->data, "X.lmdb[=W]",
         "token shards; W is a shard's share of the sequences", true},
        {"--vqvae", CLI_STR, &r->vqvae, "RUN",
         "the tokenizer that made the shards: its files are copied into RUN/vqvae (with --init: "
         "that of its RUN, unless given)",
         false},
        {"--fast", CLI_STR, &r->fast, "DIR",
         "files of FAST for model.bin_kind = fast, as Hugging Face's processor has them "
         "(processor_config.json, tokenizer.json); without it they are fitted to the data",
         false},
        {"--init", CLI_STR, &r->begin.init, "RUN",
         "go on from another policy: its weights, vocabulary, tasks and architecture; tasks that "
         "it does not know are added",
         false},
        {0},
    };
    return session_parse(&r->session, argc, argv, "train a policy on token shards", own);
}

/* The files say the scale. */
static void take_fast_scale(run_t *r) {
    gato_config_t *c = &r->config, preset;
    int rc;
    reason_t why;
    if (!r->fast) return;
    if (c->model.bin_kind != BIN_KIND_FAST)
        die(RC_USAGE, "--fast '%s' needs model.bin_kind = fast", r->fast);
    fast_t *f = fast_open(r->fast, (uint32_t)c->model.chunk, &rc, &why);
    if (!f) die(rc, "--fast: %s", why.text);
    config_defaults(gato_config_table, &preset);
    if (c->model.fast_scale != preset.model.fast_scale && c->model.fast_scale != fast_scale(f))
        die(r->begin.resumed || r->begin.init ? RC_MISFIT : RC_USAGE,
            "model.fast_scale = %g, and --fast '%s' has scale %g", c->model.fast_scale, r->fast,
            fast_scale(f));
    c->model.fast_scale = fast_scale(f);
    fast_free(f);
}

static void configure(run_t *r, bool seed) {
    reason_t why;
    session_t *s = &r->session;
    r->begin.out = s->options.out;
    r->begin.resume = s->options.resume;
    train_begin(&r->begin, &r->config);
    if (r->begin.resumed && !seed) s->options.seed = r->begin.seed;
    session_configure(s, &r->config, &r->config.train.steps);
    if (gato_config_check(&r->config, &why)) die(RC_USAGE, "%s", why.text);
    take_fast_scale(r);
    train_begin_check(&r->begin, &r->config);
    train_play_check(&r->config);
    if (*r->begin.fingerprint) s->identity.init = r->begin.fingerprint;
    if (!r->begin.init || r->vqvae) return;
    r->init_vqvae = fs_join(r->begin.init, RUN_TOKENIZER);
    if (fs_is_dir(r->init_vqvae)) r->vqvae = r->init_vqvae;
}

static void open_data(run_t *r) {
    dataset_opts_t o = {.tasks = r->begin.tasks,
                        .vocabulary = r->begin.vocabulary,
                        .extend = r->begin.init != NULL,
                        .fast = r->fast};
    r->d = dataset_open(&r->data, &r->config, &o);
    gato_settings_check(&r->config, r->d);
}

static void make_model(run_t *r) {
    r->m = gato_model_new(&r->config, dataset_vocabulary(r->d), dataset_tasks(r->d),
                          r->session.options.seed);
    train_begin_weights(&r->begin, r->m);
    check_freeze(r);
    check_adapters(r);
    r->optimizer = make_optimizer(r);
    r->train = gato_graphs_new(r->m, (graph_opts_t){.train = true});
    r->eval = gato_graphs_new(r->m, (graph_opts_t){.train = false});
    batch_init(&r->batch, r->m);
}

int cmd_gato_train(int argc, char **argv) {
    run_t *r = NEW(run_t);
    session_t *s = &r->session;
    reason_t why;
    *s = (session_t){.identity = {.program = "gato",
                                  .table = gato_config_table,
                                  .config = &r->config,
                                  .config_size = sizeof r->config},
                     .unit = "tokens_per_s",
                     .ctx = r,
                     .step = step,
                     .report = report,
                     .checkpoint = checkpoint};
    if (!parse(r, argc, argv)) return RC_OK;

    configure(r, seed_given(argc, argv));
    open_data(r);
    make_model(r);
    s->params = r->m->params;
    s->moves = r->m->wrt;
    s->n_moves = r->m->n_wrt;
    s->train = SESSION_TRAIN(r->config.train);
    if (s->options.dry_run) {
        dry_run(r);
        return RC_OK;
    }

    s->identity.manifest = dataset_manifest(r->d);
    if (r->vqvae) check_tokenizer(r);
    say_blind(r);
    session_begin(s);
    train_play_clean(s->options.out);
    if (r->vqvae && run_copy_tokenizer(r->vqvae, s->options.out, &why))
        die(RC_RUNTIME, "%s", why.text);
    if (run_write_fast(r->m, s->options.out, &why)) die(RC_RUNTIME, "%s", why.text);
    train_play_t play = player(r);
    train_play_probe(&play);
    return session_run(s);
}
