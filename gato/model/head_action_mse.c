/* head_action_mse.c - acted vectors by regression, read at the separator: all slots of a task by
 * one layer. Its outputs go slot by slot: the model.chunk rows [chunk, width] of the first slot,
 * for this timestep and the next ones, then those of the second. */
#include "gato/model/head_tokens.h"

#include <math.h>
#include <string.h>

enum { ACTION = INPUT_OTHER, PRESENT };

static bool serves(const gato_config_t *c, const task_t *task) {
    return c->loss.action_kind == ACTION_MSE && task_first(task, SIDE_ACTED, SLOT_VECTOR) >= 0;
}

static size_t chunk(const gato_model_t *m) {
    return (size_t)m->config.model.chunk;
}

static size_t columns(const gato_model_t *m, uint32_t task) {
    return chunk(m) * (size_t)task_width(&m->tasks.v[task], SIDE_ACTED, SLOT_VECTOR);
}

/* With several slots some may be missing, with chunks the episode may end; with one action of one
 * slot, a timestep without it is no target. */
static bool partly(const gato_model_t *m, uint32_t task) {
    const task_t *t = &m->tasks.v[task];
    return columns(m, task) > t->slot[task_first(t, SIDE_ACTED, SLOT_VECTOR)].width;
}

static size_t inputs(const gato_model_t *m, const group_t *g, input_spec_t spec[ROWS_INPUTS]) {
    size_t n = columns(m, g->task);
    spec[INPUT_POSITION] = (input_spec_t){.name = "position", .type = DT_I32};
    spec[INPUT_WEIGHT] = (input_spec_t){.name = "weight", .type = DT_F32};
    spec[ACTION] = (input_spec_t){.name = "action", .type = DT_F32, .rank = 1, .dim = {n}};
    if (!partly(m, g->task)) return PRESENT;
    spec[PRESENT] = (input_spec_t){.name = "present", .type = DT_F32, .rank = 1, .dim = {n}};
    return PRESENT + 1;
}

/* The clean values of a slot j timesteps ahead; NULL = there are none. */
static const float *clean_ahead(const slot_value_t *v, uint32_t width, size_t j) {
    if (!j) return v->label_vector ? v->label_vector : v->vector;
    if (j >= v->n_ahead || (v->ahead_present && !v->ahead_present[j])) return NULL;
    return v->ahead + j * width;
}

/* The clean values of all acted vectors of a timestep and of the next ones, 0 where one is missing;
 * present [n] likewise 1 or 0, NULL where nobody asks. Returns how many numbers are there. */
static size_t put_actions(const gato_model_t *m, const timestep_t *s, float *action,
                          float *present) {
    const task_t *task = &m->tasks.v[s->task];
    size_t at = 0, there = 0;
    for (uint32_t k = 0; k < task->n_slots; k++) {
        const slot_t *slot = &task->slot[k];
        for (size_t j = 0; slot_acted(slot, SLOT_VECTOR) && j < chunk(m); j++) {
            const float *clean = clean_ahead(&s->slot[k], slot->width, j);
            for (uint32_t i = 0; i < slot->width; i++, at++) {
                action[at] = clean ? clean[i] : 0;
                if (present) present[at] = clean ? 1 : 0;
            }
            if (clean) there += slot->width;
        }
    }
    return there;
}

static bool acts(const task_t *task, const timestep_t *s) {
    for (uint32_t k = 0; k < task->n_slots; k++)
        if (slot_acted(&task->slot[k], SLOT_VECTOR) && slot_value_present(&s->slot[k])) return true;
    return false;
}

static void collect(const batch_t *b, const group_t *g, const sequence_places_t *s, targets_t *to) {
    const task_t *task = &b->model->tasks.v[g->task];
    column_t *in = to->rows.input;
    for (size_t i = 0; i < s->n_steps; i++) {
        const timestep_place_t *at = &s->step[i];
        if (!acts(task, &at->data)) continue;
        column_put(&in[INPUT_POSITION], (int32_t)at->separator);
        *column_floats(&in[INPUT_WEIGHT], 1) = 1;
        float *present = partly(b->model, g->task) ? column_floats(&in[PRESENT], 1) : NULL;
        to->numbers +=
            (double)put_actions(b->model, &at->data, column_floats(&in[ACTION], 1), present);
        rows_added(&to->rows, 1);
    }
}

/* Columns lo .. hi - 1 of the task's layer. */
static var_t layer(nn_t *nn, const gato_model_t *m, uint32_t task, var_t rows, size_t lo,
                   size_t hi) {
    char name[MODEL_TENSOR];
    size_t D = (size_t)m->config.model.width;
    param_init_t init = init_uniform(1 / sqrtf((float)D));
    model_task_tensor(m, "predict_action", task, name);
    size_t mark = nn_push(nn, "%s", name);
    var_t W = nn_param2(nn, "weight", columns(m, task), D, init),
          b = nn_param1(nn, "bias", columns(m, task), init),
          y = nn_apply_columns(nn, rows, W, b, W_OUT_IN, lo, hi);
    nn_pop(nn, mark);
    return y;
}

static void record(nn_t *nn, const gato_model_t *m, const group_t *g, size_t n, var_t rows,
                   const var_t *in, bool train, head_vars_t *out) {
    (void)n, (void)train;
    *out = head_vars_none;
    var_t y = layer(nn, m, g->task, rows, 0, columns(m, g->task));
    out->value[0] = y;
    if (partly(m, g->task)) y = op_mul(nn->tape, y, in[PRESENT]);
    out->root[0] = op_loss(nn->tape, LOSS_MSE, y, in[ACTION], in[INPUT_WEIGHT], false);
}

/* The root is the mean over all columns of this task, missing ones too (as zero errors). */
static double factor(const batch_t *b, const group_t *g, const targets_t *t, size_t r) {
    (void)r;
    double all = head_numbers(b, g->head), mine = t->weight * (double)columns(b->model, g->task);
    return all > 0 ? b->model->config.loss.action * (mine / all) : 0;
}

static void measure(const gato_model_t *m, const group_t *g, const targets_t *t, plan_t *plan,
                    const head_vars_t *vars, bool train, head_sums_t *sums) {
    (void)train;
    const float *y = plan_data(plan, vars->value[0]), *clean = t->rows.input[ACTION].v,
                *present = partly(m, g->task) ? t->rows.input[PRESENT].v : NULL;
    for (size_t i = 0; i < t->rows.n * columns(m, g->task); i++)
        if (!present || present[i] > 0) head_error(&sums[g->task], (double)y[i], (double)clean[i]);
}

static bool plays(const gato_config_t *c, const slot_t *slot) {
    return c->loss.action_kind == ACTION_MSE && slot_acted(slot, SLOT_VECTOR);
}

static var_t play(nn_t *nn, const gato_model_t *m, uint32_t task, uint32_t slot, var_t rows) {
    const task_t *of = &m->tasks.v[task];
    size_t first = 0;
    for (uint32_t k = 0; k < slot; k++)
        if (slot_acted(&of->slot[k], SLOT_VECTOR)) first += chunk(m) * of->slot[k].width;
    return layer(nn, m, task, rows, first, first + chunk(m) * of->slot[slot].width);
}

const head_t head_action_mse = {.name = "action_mse",
                                .of = "action",
                                .learns = LEARNS_ACTIONS,
                                .weight = offsetof(gato_config_t, loss.action),
                                .own = true,
                                .serves = serves,
                                .inputs = inputs,
                                .collect = collect,
                                .shares = true,
                                .record = record,
                                .factor = factor,
                                .measure = measure,
                                .plays = plays,
                                .play = {.record = play}};
