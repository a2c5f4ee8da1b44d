/* head_vector.c - observed vectors, each read at the token before its own: by cross entropy of its
 * bins (model.vector_in = bins), or by regression of its standardized numbers, a layer for each
 * slot (where they enter through a layer). Two heads: one predicts tokens, the other numbers. */
#include "gato/model/future.h"
#include "gato/model/head_tokens.h"

enum { VECTOR = INPUT_OTHER };

static bool is_vector(const slot_t *slot) {
    return slot->side == SIDE_OBSERVED && slot->kind == SLOT_VECTOR;
}

static bool predicted(const gato_config_t *c, const task_t *task, bool bins) {
    return c->loss.vector > 0 && (c->model.vector_in == VECTOR_IN_BINS) == bins &&
           task_first(task, SIDE_OBSERVED, SLOT_VECTOR) >= 0;
}

/* ---- bins ---- */

static bool ce_serves(const gato_config_t *c, const task_t *task) {
    return predicted(c, task, true);
}

static void ce_collect(const batch_t *b, const group_t *g, const sequence_places_t *s,
                       targets_t *to) {
    (void)g;
    tokens_collect_observed(b, s, SLOT_VECTOR, to);
}

static void ce_record(nn_t *nn, const gato_model_t *m, const group_t *g, size_t n, var_t rows,
                      const var_t *in, bool train, head_vars_t *out) {
    (void)g, (void)n;
    tokens_record(nn, m, rows, in, false, train, out);
}

static double ce_factor(const batch_t *b, const group_t *g, const targets_t *t, size_t r) {
    (void)g, (void)t, (void)r;
    return b->model->config.loss.vector;
}

const head_t head_vector_ce = {.name = "vector_ce",
                               .of = "vector",
                               .learns = LEARNS_VECTORS,
                               .weight = offsetof(gato_config_t, loss.vector),
                               .serves = ce_serves,
                               .inputs = tokens_inputs,
                               .collect = ce_collect,
                               .record = ce_record,
                               .factor = ce_factor,
                               .measure = tokens_measure};

/* ---- numbers ---- */

static const slot_t *slot_of(const gato_model_t *m, const group_t *g) {
    return &m->tasks.v[g->task].slot[g->part];
}

static bool serves(const gato_config_t *c, const task_t *task) {
    return predicted(c, task, false);
}

static size_t parts(const gato_model_t *m, uint32_t task) {
    return m->tasks.v[task].n_slots;
}

static bool possible(const gato_model_t *m, const group_t *g) {
    return is_vector(slot_of(m, g));
}

static size_t inputs(const gato_model_t *m, const group_t *g, input_spec_t spec[ROWS_INPUTS]) {
    spec[INPUT_POSITION] = (input_spec_t){.name = "position", .type = DT_I32};
    spec[INPUT_WEIGHT] = (input_spec_t){.name = "weight", .type = DT_F32};
    spec[VECTOR] = (input_spec_t){
        .name = "next_vector", .type = DT_F32, .rank = 1, .dim = {slot_of(m, g)->width}};
    return VECTOR + 1;
}

static void collect(const batch_t *b, const group_t *g, const sequence_places_t *s, targets_t *to) {
    const slot_t *slot = slot_of(b->model, g);
    column_t *in = to->rows.input;
    for (size_t i = 0; i < s->n_steps; i++) {
        const timestep_place_t *at = &s->step[i];
        if (!at->count[g->part] || !tokens_follows(s, i, at->first[g->part])) continue;
        column_put(&in[INPUT_POSITION], (int32_t)at->first[g->part] - 1);
        *column_floats(&in[INPUT_WEIGHT], 1) = 1;
        float *to_value = column_floats(&in[VECTOR], 1);
        const float *value = at->data.slot[g->part].vector;
        for (uint32_t j = 0; j < slot->width; j++) {
            float mean = slot->mean ? slot->mean[j] : 0,
                  deviation = slot->deviation ? slot->deviation[j] : 1;
            to_value[j] = (value[j] - mean) / deviation;
        }
        to->numbers += (double)slot->width;
        rows_added(&to->rows, 1);
    }
}

static void record(nn_t *nn, const gato_model_t *m, const group_t *g, size_t n, var_t rows,
                   const var_t *in, bool train, head_vars_t *out) {
    (void)n, (void)train;
    *out = head_vars_none;
    out->value[0] = future_vector(nn, m, g->task, g->part, rows);
    out->root[0] = op_loss(nn->tape, LOSS_MSE, out->value[0], in[VECTOR], in[INPUT_WEIGHT], false);
}

static double factor(const batch_t *b, const group_t *g, const targets_t *t, size_t r) {
    (void)r;
    double all = head_numbers(b, g->head);
    return all > 0 ? b->model->config.loss.vector * (t->numbers / all) : 0;
}

static void measure(const gato_model_t *m, const group_t *g, const targets_t *t, plan_t *plan,
                    const head_vars_t *vars, bool train, head_sums_t *sums) {
    (void)train;
    const float *y = plan_data(plan, vars->value[0]), *next = t->rows.input[VECTOR].v;
    for (size_t i = 0; i < t->rows.n * slot_of(m, g)->width; i++)
        head_error(&sums[g->task], (double)y[i], (double)next[i]);
}

const head_t head_vector = {.name = "vector",
                            .of = "vector",
                            .learns = LEARNS_VECTORS,
                            .weight = offsetof(gato_config_t, loss.vector),
                            .own = true,
                            .serves = serves,
                            .parts = parts,
                            .possible = possible,
                            .inputs = inputs,
                            .collect = collect,
                            .record = record,
                            .factor = factor,
                            .measure = measure};
