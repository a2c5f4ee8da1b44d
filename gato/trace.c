/* trace.c - `gato trace`: values, losses, gradients and updates for the first sequence of a record,
 * to compare with another framework.
 *
 * No dropout, mean patch positions, no prompt. Tensors have PyTorch's layout and the names of the
 * checkpoint.
 */
#include "common/base/cli.h"
#include "common/base/pool.h"
#include "common/io/safetensors/safetensors.h"
#include "common/train/optimizer.h"
#include "gato/commands.h"
#include "gato/data/dataset.h"
#include "gato/model/graph.h"
#include "gato/run/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void give_floats(st_writer_t *w, const char *name, int rank, size_t a, size_t b,
                        const float *v) {
    size_t n = rank == 2 ? a * b : a;
    st_writer_give(w, name, ST_F32, rank, (uint64_t[]){a, b},
                   memcpy(xmalloc(n * sizeof *v), v, n * sizeof *v));
}

static void give_tokens(st_writer_t *w, const batch_t *b) {
    uint64_t n = batch_positions(b);
    const int32_t *id = b->id.v, *counts = b->mask.v;
    int64_t *ids = xmalloc(n * sizeof *ids);
    uint8_t *mask = xmalloc(n);
    for (size_t i = 0; i < n; i++) {
        ids[i] = id[i];
        mask[i] = (uint8_t)counts[i];
    }
    st_writer_give(w, "tokens", ST_I64, 1, &n, ids);
    st_writer_give(w, "target_mask", ST_U8, 1, &n, mask);
}

static void give_params(st_writer_t *w, const gato_model_t *m, int block, const char *prefix,
                        const char *const *wrt, size_t n_wrt) {
    for (size_t i = 0; i < params_n(m->params); i++) {
        const param_t *p = params_at(m->params, (int)i);
        if (!params_match(p->name, wrt, n_wrt)) continue;
        float *disk = xmalloc(p->count * sizeof *disk);
        params_export(m->params, block, (int)i, disk);
        uint64_t dim[4];
        for (int d = 0; d < p->rank; d++) dim[d] = p->dim[d];
        char *name = xasprintf("%s%s", prefix, p->name);
        st_writer_give(w, name, ST_F32, p->rank, dim, disk);
        free(name);
    }
}

/* Executes the batch; returns its loss. */
static double run_batch(gato_graphs_t *g, const batch_t *b, uint64_t step) {
    gato_metrics_t f;
    gato_metrics_init(&f, gato_graphs_model(g));
    gato_step(g, b, 0, step, 0, false, &f);
    double loss = f.loss;
    gato_metrics_release(&f);
    return loss;
}

static void trace_forward(const gato_model_t *m, const batch_t *b, st_writer_t *w) {
    gato_graphs_t *g = gato_graphs_new(m, (graph_opts_t){.all_logits = true, .exact = true});
    const gato_graph_t *at = gato_graph_fill(g, b); /* before it runs: filling overwrites values */
    double loss = run_batch(g, b, 0);
    size_t T = at->T, D = (size_t)m->config.model.width;
    give_tokens(w, b);
    give_floats(w, "embeddings", 2, T, D, plan_data(at->plan, at->embeddings));
    give_floats(w, "hidden", 2, T, D, plan_data(at->plan, at->hidden));
    give_floats(w, "logits", 2, T, tokens_total(&m->tokens), plan_data(at->plan, at->logits));
    give_floats(w, "loss", 1, 1, 0, &(float){(float)loss});
    gato_graphs_free(g);
}

static void trace_train(const gato_model_t *m, const batch_t *b, int64_t steps, st_writer_t *w) {
    static const char *const all[] = {""};
    const gato_config_t *c = &m->config;
    optimizer_t o = optimizer_of(&c->optim, c->train.steps, 0);
    o.wrt = m->wrt;
    o.n_wrt = m->n_wrt;
    gato_graphs_t *g = gato_graphs_new(m, (graph_opts_t){.train = true, .exact = true});
    for (int64_t s = 0; s < steps; s++) {
        double loss = run_batch(g, b, (uint64_t)s);
        char name[48];
        snprintf(name, sizeof name, "loss/%lld", (long long)s + 1);
        if (s)
            give_floats(w, name, 1, 1, 0, &(float){(float)loss});
        else
            give_params(w, m, PARAMS_GRAD, "grad/", m->wrt, m->n_wrt);
        if (optimizer_step(&o, m->params, s, 1).skipped)
            die(RC_RUNTIME, "step %lld: loss or gradient is not finite", (long long)s + 1);
        snprintf(name, sizeof name, "param/%lld/", (long long)s + 1);
        give_params(w, m, PARAMS_VALUE, name, all, 1);
    }
    gato_graphs_free(g);
}

/* Keys that depend on the length of a run are neutral unless set; those of the architecture stay
 * the RUN's. */
static void trace_config(gato_model_t *m, const char *file, const cli_list_t *set) {
    gato_config_t c = m->config;
    char differences[512];
    reason_t why;
    c.model.dropout = 0;
    c.lora.dropout = 0;
    c.optim.warmup = 0;
    c.optim.clip = 0;
    c.optim.schedule = SCHEDULE_CONSTANT;
    if (file) config_file(gato_config_table, &c, file);
    config_sets(gato_config_table, &c, set);
    if (config_diff(gato_config_table, &m->config, &c, CONFIG_ARCH, differences,
                    sizeof differences))
        die_list(RC_MISFIT, differences, "the RUN has another architecture:");
    if (gato_config_check(&c, &why)) die(RC_USAGE, "%s", why.text);
    double weight[2];
    const char *key = gato_config_new_head(&m->config, &c, weight);
    if (key) die(RC_MISFIT, "%s: the RUN has no head for it", key);
    m->config = c;
    for (size_t i = 0; i < m->tasks.n; i++)
        m->window[i] = layout_window(&m->config, &m->tasks.v[i]);
}

int cmd_gato_trace(int argc, char **argv) {
    const char *run = NULL, *data = NULL, *out = NULL, *config = NULL;
    uint64_t id = 0;
    int64_t steps = 1, threads = 0;
    bool train = false;
    cli_list_t set = {0};
    const cli_opt_t table[] = {
        {"--model", CLI_STR, &run, "RUN", "the policy", true},
        {"--data", CLI_STR, &data, "X.lmdb", "the token shard", true},
        {"--id", CLI_U64, &id, "N", "number of the record, in order of writing from 0", false},
        {"--out", CLI_STR, &out, "FILE", "safetensors file to write", true},
        {"--train", CLI_FLAG, &train, NULL, "also write gradients, and parameters after each step",
         false},
        {"--steps", CLI_INT, &steps, "N", "optimizer steps (with --train)", false},
        {"--config", CLI_STR, &config, "FILE", "JSON file of configuration keys", false},
        {"--set", CLI_LIST, &set, "KEY=VALUE",
         "set a configuration key; warm-up, clipping and schedule are off unless set", false},
        {"--threads", CLI_INT, &threads, "N",
         "threads (0 = all processors); the result is the same for any", false},
        {0},
    };
    cli_parse(argc, argv, "trace", "write intermediate values, to compare with another framework",
              (const cli_opt_t *const[]){table}, 1);
    if (steps < 1) die(RC_USAGE, "--steps must be positive");
    pool_set_threads((int)threads);
    reason_t why;
    gato_model_t *m = run_open(run);
    trace_config(m, config, &set);
    const char *spec[1] = {data};
    cli_list_t specs = {spec, 1, 1};
    dataset_t *d = dataset_open(
        &specs, &m->config,
        &(dataset_opts_t){.tasks = &m->tasks, .vocabulary = &m->vocabulary, .one_record = true});
    sequence_t sequence;
    if (!dataset_first_sequence(d, 0, id, &sequence))
        die(RC_USAGE, "'%s' has %zu records, counted from 0: there is no record %llu", data,
            dataset_records(d, 0, UINT32_MAX, SIDE_ALL), (unsigned long long)id);
    batch_t b;
    batch_init(&b, m);
    batch_clear(&b, false, 0, 0);
    if (sequence_add(&b, &sequence, &why)) die(RC_DATA, "%s", why.text);
    st_writer_t *w = st_writer_new();
    trace_forward(m, &b, w);
    if (train) trace_train(m, &b, steps, w);
    if (st_write(w, out, &why)) die(RC_RUNTIME, "%s", why.text);
    st_writer_free(w);
    batch_release(&b);
    sequence_release(&sequence);
    dataset_close(d);
    gato_model_free(m);
    free(set.item);
    return RC_OK;
}
