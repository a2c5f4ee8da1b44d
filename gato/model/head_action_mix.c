/* head_action_mix.c - acted vectors by the squared error of their bins' expectation, and a share of
 * the cross entropy. */
#include "gato/model/head_tokens.h"

static bool serves(const gato_config_t *c, const task_t *task) {
    return c->loss.action_kind == ACTION_MIX && task_first(task, SIDE_ACTED, SLOT_VECTOR) >= 0;
}

static void collect(const batch_t *b, const group_t *g, const sequence_places_t *s, targets_t *to) {
    (void)g;
    tokens_collect_acted(b, s, SLOT_VECTOR, to);
}

static void record(nn_t *nn, const gato_model_t *m, const group_t *g, size_t n, var_t rows,
                   const var_t *in, bool train, head_vars_t *out) {
    (void)g;
    tape_t *t = nn->tape;
    tokens_record(nn, m, rows, in, true, train, out);
    var_t mean = tape_reshape(t, out->value[TOKEN_EXPECTATION], F32_2(n, 1)),
          value = tape_reshape(t, in[TOKEN_VALUE], F32_2(n, 1));
    out->root[1] = op_loss(t, LOSS_MSE, mean, value, in[INPUT_WEIGHT], false);
}

static double factor(const batch_t *b, const group_t *g, const targets_t *t, size_t r) {
    (void)g;
    const gato_config_t *c = &b->model->config;
    return r ? c->loss.action : tokens_factor(b, t, c->loss.action * c->loss.ce_weight);
}

static bool plays(const gato_config_t *c, const slot_t *slot) {
    return c->loss.action_kind == ACTION_MIX && slot_acted(slot, SLOT_VECTOR);
}

const head_t head_action_mix = {.name = "action_mix",
                                .of = "action",
                                .learns = LEARNS_ACTIONS,
                                .weight = offsetof(gato_config_t, loss.action),
                                .serves = serves,
                                .inputs = tokens_value_inputs,
                                .collect = collect,
                                .counts = true,
                                .record = record,
                                .factor = factor,
                                .measure = tokens_measure,
                                .plays = plays};
