/* eval.c - `gato eval`: held-out metrics, one JSON line per source and one over all. */
#include "common/base/cli.h"
#include "common/base/pool.h"
#include "gato/commands.h"
#include "gato/run/metrics.h"
#include "gato/run/run.h"

#include <stdio.h>
#include <string.h>

static void print(const gato_model_t *m, const char *source, size_t records,
                  const gato_metrics_t *f) {
    jsonw_t w = {0};
    jsonw_begin(&w);
    jsonw_str(&w, "source", source);
    jsonw_int(&w, "records", (int64_t)records);
    jsonw_int(&w, "tokens", (int64_t)f->positions);
    metrics_members(m, f, &w);
    puts(jsonw_end(&w));
    jsonw_free(&w);
}

/* A side without records has no metrics: says what to do, beside the nulls. */
static void say_empty(const dataset_t *d, side_t side, double holdout) {
    for (size_t i = 0; i < dataset_sources(d); i++)
        if (!dataset_source_records(d, i, side))
            warn("nothing is held out of '%s' (data.holdout = %g, %zu records): --split all "
                 "evaluates everything%s",
                 dataset_source(d, i), holdout, dataset_source_records(d, i, SIDE_ALL),
                 holdout > 0 ? "" : ", --set data.holdout=F holds out a share");
}

int cmd_gato_eval(int argc, char **argv) {
    const char *model = NULL, *split = "val", *weights = "f32";
    cli_list_t data = {0}, set = {0};
    int64_t threads = 0, limit = 0;
    const cli_opt_t options[] = {
        {"--model", CLI_STR, &model, "RUN", "the policy", true},
        {"--data", CLI_LIST, &data, "X.lmdb", "token shards", true},
        {"--split", CLI_STR, &split, "S", "val (held out), train or all", false},
        {"--limit", CLI_INT, &limit, "N", "at most N sequences per source (0 = all)", false},
        {"--weights", CLI_STR, &weights, "BITS",
         "f32, bf16 or q8: measure what fewer bits per weight cost", false},
        {"--set", CLI_LIST, &set, "KEY=VALUE", "data.* keys: holdout, split_by", false},
        {"--threads", CLI_INT, &threads, "N", "threads (0 = all processors)", false},
        {0},
    };
    cli_parse(argc, argv, "eval",
              "print held-out metrics of a policy: one JSON line per source, then one over all if "
              "there are several",
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
    dataset_t *d = dataset_open(&data, &m->config);
    reason_t why;
    if (gato_facts_fit(&m->facts, dataset_facts(d), m->config.model.image_in != IMAGE_IN_PATCHES,
                       &why))
        die(RC_MISFIT, "%s", why.text);
    dataset_scale_actions(d, &m->facts);
    gato_graphs_t g;
    kern_weights_t kind = gato_weights_named(weights);
    nn_packed_t *packed = kind == WEIGHTS_F32 ? NULL : nn_packed_new(m->params, kind);
    gato_graphs_init(&g, m, (graph_opts_t){.packed = packed});
    say_empty(d, side, m->config.data.holdout);
    gato_metrics_t all = {0};
    for (size_t i = 0; i < dataset_sources(d); i++) {
        gato_metrics_t f = metrics_over(&g, d, i, side, (size_t)limit);
        print(m, dataset_source(d, i), dataset_source_records(d, i, side), &f);
        gato_metrics_add(&all, &f);
    }
    if (dataset_sources(d) > 1) print(m, NULL, dataset_records(d, side), &all);
    gato_graphs_release(&g);
    nn_packed_free(packed);
    dataset_close(d);
    gato_model_free(m);
    return RC_OK;
}
