/* head_image.c - image codes, a group for each horizon k of loss.horizon. With k = 1 an image token
 * is predicted by the token before it, with k > 1 by the token of the same place k timesteps
 * earlier. Of a merged token each code is also predicted from those before it (future.h). */
#include "gato/model/embed_image.h"
#include "gato/model/future.h"
#include "gato/model/head_tokens.h"

#include <stdlib.h>
#include <string.h>

enum { CODE = INPUT_OTHER, RANGE, LAST };

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
    size_t n = future_block(m);
    spec[INPUT_POSITION] = (input_spec_t){.name = "position", .type = DT_I32};
    spec[INPUT_WEIGHT] = (input_spec_t){.name = "weight", .type = DT_F32, .rank = 1, .dim = {n}};
    spec[CODE] = (input_spec_t){.name = "code", .type = DT_I32, .rank = 1, .dim = {n}};
    spec[RANGE] = (input_spec_t){.name = "range",
                                 .type = DT_I32,
                                 .rank = 1,
                                 .dim = {2 * n},
                                 .pad = {0, (int32_t)m->vocabulary.codes}};
    if (!future_knows_last(m, g->part)) return RANGE + 1;
    spec[LAST] =
        (input_spec_t){.name = "last", .type = DT_I32, .rank = 1, .dim = {n}, .pad = {-1, -1}};
    return LAST + 1;
}

/* Makes token j of image slot k of timestep `at` a target of `position`. before: the image that it
 * is predicted from; NULL = none. */
static void put_token(const gato_model_t *m, const timestep_place_t *at, uint32_t k, size_t j,
                      size_t position, const slot_value_t *before, targets_t *to) {
    const gato_config_t *c = &m->config;
    column_t *in = to->rows.input;
    size_t n = future_block(m);
    int32_t *code = xmalloc(2 * n * sizeof *code), *last = code + n;
    image_block(c, &at->data.slot[k], j, code);
    for (size_t i = 0; i < n; i++) last[i] = -1;
    if (before) image_block(c, before, j, last);
    column_put(&in[INPUT_POSITION], (int32_t)position);
    memcpy(column_ints(&in[CODE], 1), code, n * sizeof *code);
    float *weight = column_floats(&in[INPUT_WEIGHT], 1);
    int32_t *range = column_ints(&in[RANGE], 1);
    for (size_t i = 0; i < n; i++) {
        double changed = code[i] == last[i] ? 1 : c->loss.image_changed;
        weight[i] = (float)(before ? changed : c->loss.image_first);
        range[2 * i] = 0;
        range[2 * i + 1] = (int32_t)m->vocabulary.codes;
    }
    if (to->rows.n_inputs > LAST) memcpy(column_ints(&in[LAST], 1), last, n * sizeof *last);
    rows_added(&to->rows, 1);
    free(code);
}

/* Image slot k of timestep `from`, where it is of the size of that of `at`; else NULL. */
static const slot_value_t *image_of(const timestep_place_t *from, const timestep_place_t *at,
                                    uint32_t k) {
    const slot_value_t *now = &at->data.slot[k], *last = &from->data.slot[k];
    bool same = last->codes && last->grid_h == now->grid_h && last->grid_w == now->grid_w;
    return same ? last : NULL;
}

/* Image slot k one timestep before; NULL: the first of a sequence, a seam, another size, missing.
 */
static const slot_value_t *image_before(const sequence_places_t *s, size_t i, uint32_t k) {
    if (!i || !s->step[i].data.linked) return NULL;
    return image_of(&s->step[i - 1], &s->step[i], k);
}

static void collect_near(const gato_model_t *m, const sequence_places_t *s, size_t i, uint32_t k,
                         targets_t *to) {
    const timestep_place_t *at = &s->step[i];
    const slot_value_t *before = image_before(s, i, k);
    if (!before && m->config.loss.image_first <= 0) return;
    for (size_t j = 0; j < at->count[k]; j++)
        if (tokens_follows(s, i, at->first[k] + j))
            put_token(m, at, k, j, at->first[k] + j - 1, before, to);
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
    const slot_value_t *before = image_of(from, at, k); /* NULL: it was missing */
    for (size_t j = 0; before && j < at->count[k]; j++)
        put_token(m, at, k, j, from->first[k] + j, before, to);
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

/* The mean over the places of a block of the weighted mean at each; the cross entropy of a row is
 * the sum of its codes. */
static void record(nn_t *nn, const gato_model_t *m, const group_t *g, size_t n, var_t rows,
                   const var_t *in, bool train, head_vars_t *out) {
    (void)train;
    tape_t *t = nn->tape;
    size_t block = future_block(m);
    var_t last = future_knows_last(m, g->part) ? in[LAST] : NO_VAR;
    *out = head_vars_none;
    rows = future_begin(nn, m, g->part, rows, last);
    for (size_t i = 0; i < block; i++) {
        var_t code = tape_reshape(t, future_column(t, in[CODE], block, i, 1), I32_1(n)),
              weight = tape_reshape(t, future_column(t, in[INPUT_WEIGHT], block, i, 1), F32_1(n)),
              row;
        var_t logits = future_logits(nn, m, g->part, i, rows, last);
        var_t loss =
            op_xent(t, logits, code, future_column(t, in[RANGE], block, i, 2), weight, &row);
        out->root[0] = i ? op_add(t, out->root[0], loss) : loss;
        out->value[TOKEN_ROWS] = i ? op_add(t, out->value[TOKEN_ROWS], row) : row;
        if (i + 1 < block) rows = future_take(nn, m, g->part, i, rows, code);
    }
    if (block > 1) out->root[0] = op_scale(t, out->root[0], 1 / (float)block);
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
    for (size_t i = 0; i < t->rows.n; i++) {
        head_sums_t *sum = &sums[column_at(&t->task, i)];
        sum->ce += (double)rows[i];
        sum->n += future_block(m);
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
