/* head_action_ce.c - acted vectors by cross entropy of their bins. */
#include "gato/model/head_tokens.h"

static bool chooses(const gato_config_t *c) {
    return c->loss.action_kind == ACTION_CE && c->model.bin_kind != BIN_KIND_FAST;
}

static bool serves(const gato_config_t *c, const task_t *task) {
    return chooses(c) && task_first(task, SIDE_ACTED, SLOT_VECTOR) >= 0;
}

static void collect(const batch_t *b, const group_t *g, const sequence_places_t *s, targets_t *to) {
    (void)g;
    tokens_collect_acted(b, s, SLOT_VECTOR, to);
}

static void record(nn_t *nn, const gato_model_t *m, const group_t *g, size_t n, var_t rows,
                   const var_t *in, bool train, head_vars_t *out) {
    (void)g, (void)n;
    /* The expectation is over bins of equal width; with others the likeliest bin is measured. */
    tokens_record(nn, m, rows, in, !train && tokens_actions_even(&m->tokens), train, out);
}

static bool plays(const gato_config_t *c, const slot_t *slot) {
    return chooses(c) && slot_acted(slot, SLOT_VECTOR);
}

const head_t head_action_ce = {.name = "action_ce",
                               .of = "action",
                               .learns = LEARNS_ACTIONS,
                               .weight = offsetof(gato_config_t, loss.action),
                               .serves = serves,
                               .inputs = tokens_value_inputs,
                               .collect = collect,
                               .counts = true,
                               .record = record,
                               .factor = tokens_action_factor,
                               .measure = tokens_measure,
                               .plays = plays};
