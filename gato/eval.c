/* eval.c - `gato eval`: held-out metrics, one JSON line per source and task, and one over all. */
#include "common/base/cli.h"
#include "common/base/pool.h"
#include "gato/commands.h"
#include "gato/run/metrics.h"
#include "gato/run/run.h"

#include <stdio.h>
#include <string.h>

/* What is measured: a dataset's side through one pair of graphs. */
typedef struct {
    gato_graphs_t *graphs;
    gato_graphs_t *exact; /* 32 bits per weight beside fewer; NULL: the graphs have them */
    const char *weights;  /* the name of how the graphs' weights are stored */
    const dataset_t *data;
    side_t side;
    size_t limit;
} measuring_t;

/* source, task: NULL = all; exact: the metrics with 32 bits per weight, unread where f has them. */
static void print(const measuring_t *e, const char *source, const char *task, size_t records,
                  uint32_t number, const gato_metrics_t *f, const gato_metrics_t *exact) {
    const gato_model_t *m = gato_graphs_model(e->graphs);
    jsonw_t w = {0};
    jsonw_begin(&w);
    jsonw_str(&w, "source", source);
    jsonw_str(&w, "task", task);
    jsonw_int(&w, "records", (int64_t)records);
    jsonw_int(&w, "tokens", (int64_t)metrics_positions(f, number));
    metrics_members(m, f, number, &w);
    if (e->exact) {
        jsonw_str(&w, "weights", e->weights);
        jsonw_float(&w, "loss_f32", (float)metrics_loss(m, exact, number));
    }
    puts(jsonw_end(&w));
    jsonw_free(&w);
}

/* A side without records has no metrics: says what to do, beside the nulls. */
static void say_empty(const dataset_t *d, side_t side, double holdout) {
    for (size_t i = 0; i < dataset_sources(d); i++)
        if (!dataset_records(d, i, UINT32_MAX, side))
            warn("nothing is held out of '%s' (data.holdout = %g, %zu records): --split all "
                 "evaluates everything%s",
                 dataset_source(d, i), holdout, dataset_records(d, i, UINT32_MAX, SIDE_ALL),
                 holdout > 0 ? "" : ", --set data.holdout=F holds out a share");
}

/* What the policy never learned has no loss: null, and a word. */
static void say_untrained(const gato_model_t *m, const dataset_t *d, side_t side) {
    const gato_config_t *c = &m->config;
    for (uint32_t t = 0; t < m->tasks.n; t++) {
        const task_t *task = &m->tasks.v[t];
        if (!dataset_records(d, SIZE_MAX, t, side)) continue;
        bool text = task->kind != RECORD_EPISODE && task_first(task, SIDE_OBSERVED, SLOT_TEXT) >= 0;
        if (text && c->loss.text <= 0)
            warn("task '%s': the policy was not trained on texts (loss.text = 0): null",
                 task->name);
        bool acts = task_first(task, SIDE_ACTED, SLOT_VECTOR) >= 0 ||
                    task_first(task, SIDE_ACTED, SLOT_DISCRETE) >= 0;
        if (acts && c->loss.action <= 0)
            warn("task '%s': the policy was not trained on actions (loss.action = 0): null",
                 task->name);
    }
}

/* A line per source and task, then one over all if there are several. */
static void evaluate(const measuring_t *e) {
    const gato_model_t *m = gato_graphs_model(e->graphs);
    const dataset_t *d = e->data;
    gato_metrics_t all, all_exact;
    size_t lines = 0, records = 0;
    gato_metrics_init(&all, m);
    gato_metrics_init(&all_exact, m);
    for (size_t i = 0; i < dataset_sources(d); i++)
        for (uint32_t t = 0; t < m->tasks.n; t++) {
            if (!dataset_records(d, i, t, SIDE_ALL)) continue;
            gato_metrics_t f, exact;
            gato_metrics_init(&f, m);
            gato_metrics_init(&exact, m);
            metrics_over(e->graphs, d, i, t, e->side, e->limit, &f);
            if (e->exact) metrics_over(e->exact, d, i, t, e->side, e->limit, &exact);
            size_t n = dataset_records(d, i, t, e->side);
            print(e, dataset_source(d, i), m->tasks.v[t].name, n, t, &f, &exact);
            gato_metrics_add(&all, &f);
            gato_metrics_add(&all_exact, &exact);
            gato_metrics_release(&f);
            gato_metrics_release(&exact);
            lines++;
            records += n;
        }
    if (lines > 1)
        print(e, dataset_sources(d) > 1 ? NULL : dataset_source(d, 0), NULL, records, METRICS_ALL,
              &all, &all_exact);
    gato_metrics_release(&all);
    gato_metrics_release(&all_exact);
}

int cmd_gato_eval(int argc, char **argv) {
    const char *model = NULL, *split = "val", *weights = "f32";
    cli_list_t data = {0}, set = {0};
    int64_t threads = 0, limit = 0;
    const cli_opt_t options[] = {
        {"--model", CLI_STR, &model, "RUN", "the policy", true},
        {"--data", CLI_LIST, &data, "X.lmdb", "token shards", true},
        {"--split", CLI_STR, &split, "S", "val (held out), train or all", false},
        {"--limit", CLI_INT, &limit, "N", "at most N sequences per source and task (0 = all)",
         false},
        {"--weights", CLI_STR, &weights, "BITS",
         "f32, bf16, q8 or q4: measure what fewer bits per weight cost; adds weights and loss_f32",
         false},
        {"--set", CLI_LIST, &set, "KEY=VALUE", "data.* keys: holdout, split_by", false},
        {"--threads", CLI_INT, &threads, "N", "threads (0 = all processors)", false},
        {0},
    };
    cli_parse(
        argc, argv, "eval",
        "print held-out metrics of a policy: one JSON line per source and task, then one over "
        "all if there are several",
        (const cli_opt_t *const[]){options}, 1);
    side_t side = !strcmp(split, "train") ? SIDE_TRAIN
                  : !strcmp(split, "all") ? SIDE_ALL
                                          : SIDE_VAL;
    if (side == SIDE_VAL && strcmp(split, "val"))
        die(RC_USAGE, "--split '%s': one of val, train, all is needed", split);
    if (limit < 0) die(RC_USAGE, "--limit must not be negative");
    for (size_t i = 0; i < set.n; i++) /* the RUN alone decides about the network */
        if (strncmp(set.item[i], "data.", 5))
            die(RC_USAGE, "--set '%s': gato eval takes data.* keys only", set.item[i]);
    pool_set_threads((int)threads);
    gato_model_t *m = run_open(model);
    config_sets(gato_config_table, &m->config, &set);
    kern_weights_t kind;
    reason_t why;
    if (gato_weights_named(weights, &kind, &why)) die(RC_USAGE, "--weights: %s", why.text);
    dataset_t *d = dataset_open(
        &data, &m->config, &(dataset_opts_t){.tasks = &m->tasks, .vocabulary = &m->vocabulary});
    if (kind != WEIGHTS_F32) gato_model_merge(m); /* as at play */
    nn_packed_t *packed = kind == WEIGHTS_F32 ? NULL : nn_packed_new(m->params, kind);
    gato_graphs_t *g = gato_graphs_new(m, (graph_opts_t){.packed = packed});
    say_empty(d, side, m->config.data.holdout);
    say_untrained(m, d, side);
    gato_graphs_t *exact = packed ? gato_graphs_new(m, (graph_opts_t){0}) : NULL;
    evaluate(&(measuring_t){g, exact, weights, d, side, (size_t)limit});
    gato_graphs_free(exact);
    gato_graphs_free(g);
    nn_packed_free(packed);
    dataset_close(d);
    gato_model_free(m);
    return RC_OK;
}
