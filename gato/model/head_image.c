/* head_image.c - image codes, a group for each horizon k of loss.horizon. With k = 1 an image token
 * is predicted by the token before it, with k > 1 by the token of the same place k timesteps
 * earlier. A merged token predicts all codes of its block at once. */
#include "gato/model/embed_image.h"
#include "gato/model/head_tokens.h"

#include <stdio.h>

enum { CODE = INPUT_OTHER, RANGE };

static size_t block(const gato_model_t *m) {
    return (size_t)(m->config.model.merge * m->config.model.merge);
}

static bool serves(const gato_config_t *c, const task_t *task) {
    return c->loss.image > 0 && !gato_config_image_in(c)->pixels &&
           task_first(task, SIDE_OBSERVED, SLOT_IMAGE) >= 0;
}

static size_t parts(const gato_model_t *m, uint32_t task) {
    (void)task;
    return (size_t)m->config.loss.horizon.n;
}

static bool possible(const gato_model_t *m, const group_t *g) {
    (void)g;
    return m->vocabulary.codes > 0;
}

static size_t inputs(const gato_model_t *m, const group_t *g, input_spec_t spec[ROWS_INPUTS]) {
    (void)g;
    size_t n = block(m);
    spec[INPUT_POSITION] = (input_spec_t){.name = "position", .type = DT_I32};
    spec[INPUT_WEIGHT] = (input_spec_t){.name = "weight", .type = DT_F32, .rank = 1, .dim = {n}};
    spec[CODE] = (input_spec_t){.name = "code", .type = DT_I32, .rank = 1, .dim = {n}};
    spec[RANGE] = (input_spec_t){.name = "range",
                                 .type = DT_I32,
                                 .rank = 1,
                                 .dim = {2 * n},
                                 .pad = {0, (int32_t)m->vocabulary.codes}};
    return RANGE + 1;
}

/* Makes token j of image slot k of timestep `at` a target of `position`. */
static void put_token(const gato_model_t *m, const timestep_place_t *at, uint32_t k, size_t j,
                      size_t position, targets_t *to) {
    column_t *in = to->rows.input;
    column_put(&in[INPUT_POSITION], (int32_t)position);
    image_block(&m->config, &at->data.slot[k], j, column_ints(&in[CODE], 1));
    float *weight = column_floats(&in[INPUT_WEIGHT], 1);
    int32_t *range = column_ints(&in[RANGE], 1);
    for (size_t i = 0; i < block(m); i++) {
        weight[i] = 1;
        range[2 * i] = 0;
        range[2 * i + 1] = (int32_t)m->vocabulary.codes;
    }
    rows_added(&to->rows, 1);
}

static void collect_near(const gato_model_t *m, const sequence_places_t *s, size_t i, uint32_t k,
                         targets_t *to) {
    const timestep_place_t *at = &s->step[i];
    for (size_t j = 0; j < at->count[k]; j++)
        if (tokens_follows(s, i, at->first[k] + j))
            put_token(m, at, k, j, at->first[k] + j - 1, to);
}

/* Are the timesteps i - far .. i neighbours in their episode? */
static bool linked(const sequence_places_t *s, size_t i, size_t far) {
    for (size_t t = i; t > i - far; t--)
        if (!s->step[t].data.linked) return false;
    return true;
}

static void collect_far(const gato_model_t *m, const sequence_places_t *s, size_t i, uint32_t k,
                        size_t far, targets_t *to) {
    if (i < far || !linked(s, i, far)) return;
    const timestep_place_t *at = &s->step[i], *from = &s->step[i - far];
    if (from->count[k] != at->count[k]) return; /* it was missing */
    for (size_t j = 0; j < at->count[k]; j++) put_token(m, at, k, j, from->first[k] + j, to);
}

static void collect(const batch_t *b, const group_t *g, const sequence_places_t *s, targets_t *to) {
    const gato_model_t *m = b->model;
    size_t horizon = (size_t)m->config.loss.horizon.v[g->part];
    const task_t *task = &m->tasks.v[s->task];
    int goal = layout_goal(&m->config, task); /* it is given, not to be foretold */
    for (size_t i = 0; i < s->n_steps; i++)
        for (uint32_t k = 0; k < task->n_slots; k++) {
            if (task->slot[k].kind != SLOT_IMAGE || (int)k == goal) continue;
            if (horizon == 1)
                collect_near(m, s, i, k, to);
            else
                collect_far(m, s, i, k, horizon, to);
        }
}

static void record(nn_t *nn, const gato_model_t *m, const group_t *g, size_t n, var_t rows,
                   const var_t *in, bool train, head_vars_t *out) {
    (void)train;
    tape_t *t = nn->tape;
    size_t K = m->vocabulary.codes, all = n * block(m);
    char name[64] = "predict_future.weight";
    if (g->part)
        snprintf(name, sizeof name, "predict_future.%d.weight",
                 (int)m->config.loss.horizon.v[g->part]);
    var_t logits = gato_predict(nn, m, name, rows, block(m) * K);
    *out = head_vars_none;
    out->root[0] =
        op_xent(t, tape_reshape(t, logits, F32_2(all, K)), tape_reshape(t, in[CODE], I32_1(all)),
                tape_reshape(t, in[RANGE], I32_2(all, 2)),
                tape_reshape(t, in[INPUT_WEIGHT], F32_1(all)), &out->value[TOKEN_ROWS]);
}

static double factor(const batch_t *b, const group_t *g, const targets_t *t, size_t r) {
    (void)g, (void)t, (void)r;
    const gato_config_t *c = &b->model->config;
    return c->loss.image / c->loss.horizon.n;
}

static void measure(const gato_model_t *m, const group_t *g, const targets_t *t, plan_t *plan,
                    const head_vars_t *vars, bool train, head_sums_t *sums) {
    (void)g, (void)train;
    const float *rows = plan_data(plan, vars->value[TOKEN_ROWS]);
    for (size_t i = 0; i < t->rows.n * block(m); i++) {
        head_sums_t *sum = &sums[column_at(&t->task, i / block(m))];
        sum->ce += (double)rows[i];
        sum->n++;
    }
}

const head_t head_image = {.name = "image",
                           .of = "image",
                           .learns = LEARNS_IMAGES,
                           .weight = offsetof(gato_config_t, loss.image),
                           .serves = serves,
                           .parts = parts,
                           .possible = possible,
                           .inputs = inputs,
                           .collect = collect,
                           .record = record,
                           .factor = factor,
                           .measure = measure};
