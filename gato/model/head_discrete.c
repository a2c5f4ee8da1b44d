/* head_discrete.c - acted discrete values by cross entropy. */
#include "gato/model/head_tokens.h"

static bool serves(const gato_config_t *c, const task_t *task) {
    (void)c;
    return task_first(task, SIDE_ACTED, SLOT_DISCRETE) >= 0;
}

static void collect(const batch_t *b, const group_t *g, const sequence_places_t *s, targets_t *to) {
    (void)g;
    tokens_collect_acted(b, s, SLOT_DISCRETE, to);
}

static void record(nn_t *nn, const gato_model_t *m, const group_t *g, size_t n, var_t rows,
                   const var_t *in, bool train, head_vars_t *out) {
    (void)g, (void)n;
    tokens_record(nn, m, rows, in, false, train, out);
}

static bool plays(const gato_config_t *c, const slot_t *slot) {
    (void)c;
    return slot_acted(slot, SLOT_DISCRETE);
}

const head_t head_discrete = {.name = "discrete",
                              .of = "discrete",
                              .learns = LEARNS_ACTIONS,
                              .weight = offsetof(gato_config_t, loss.action),
                              .serves = serves,
                              .inputs = tokens_inputs,
                              .collect = collect,
                              .counts = true,
                              .record = record,
                              .factor = tokens_action_factor,
                              .measure = tokens_measure,
                              .plays = plays};
