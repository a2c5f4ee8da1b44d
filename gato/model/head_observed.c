/* head_observed.c - observed discrete values by cross entropy, each read at the token before it. */
#include "gato/model/head_tokens.h"

static bool serves(const gato_config_t *c, const task_t *task) {
    return c->loss.discrete > 0 && task_first(task, SIDE_OBSERVED, SLOT_DISCRETE) >= 0;
}

static void collect(const batch_t *b, const group_t *g, const sequence_places_t *s, targets_t *to) {
    (void)g;
    tokens_collect_observed(b, s, SLOT_DISCRETE, to);
}

static void record(nn_t *nn, const gato_model_t *m, const group_t *g, size_t n, var_t rows,
                   const var_t *in, bool train, head_vars_t *out) {
    (void)g, (void)n;
    tokens_record(nn, m, rows, in, false, train, out);
}

static double factor(const batch_t *b, const group_t *g, const targets_t *t, size_t r) {
    (void)g, (void)t, (void)r;
    return b->model->config.loss.discrete;
}

const head_t head_observed = {.name = "observed",
                              .of = "observed",
                              .learns = LEARNS_VALUES,
                              .weight = offsetof(gato_config_t, loss.discrete),
                              .serves = serves,
                              .inputs = tokens_inputs,
                              .collect = collect,
                              .record = record,
                              .factor = factor,
                              .measure = tokens_measure};
