/* head_action_fast.c - acted vectors by cross entropy of the tokens that FAST makes of a chunk
 * (gato/task/fast.h). batch.c has put them behind the separator; each is predicted by the token
 * before it. Where the episode ends before the chunk does, there are none. */
#include "gato/model/head_tokens.h"

static bool chooses(const gato_config_t *c) {
    return c->loss.action_kind == ACTION_CE && c->model.bin_kind == BIN_KIND_FAST;
}

static bool serves(const gato_config_t *c, const task_t *task) {
    return chooses(c) && task_first(task, SIDE_ACTED, SLOT_VECTOR) >= 0;
}

static void collect(const batch_t *b, const group_t *g, const sequence_places_t *s, targets_t *to) {
    (void)g;
    const gato_model_t *m = b->model;
    const task_t *task = &m->tasks.v[s->task];
    uint32_t lo = tokens_fast(&m->tokens);
    for (size_t i = 0; i < s->n_steps; i++)
        for (uint32_t k = 0; k < task->n_slots; k++) {
            const timestep_place_t *at = &s->step[i];
            if (!slot_acted(&task->slot[k], SLOT_VECTOR)) continue;
            for (size_t j = 0; j < at->count[k]; j++) {
                size_t position = at->first[k] + j;
                tokens_put(m, to, position - 1, (uint32_t)column_at(&b->id, position), lo,
                           lo + m->tokens.fast);
                rows_added(&to->rows, 1);
            }
        }
}

static void record(nn_t *nn, const gato_model_t *m, const group_t *g, size_t n, var_t rows,
                   const var_t *in, bool train, head_vars_t *out) {
    (void)g, (void)n;
    tokens_record(nn, m, rows, in, false, train, out);
}

static bool plays(const gato_config_t *c, const slot_t *slot) {
    return chooses(c) && slot_acted(slot, SLOT_VECTOR);
}

const head_t head_action_fast = {.name = "action_fast",
                                 .of = "action",
                                 .learns = LEARNS_ACTIONS,
                                 .weight = offsetof(gato_config_t, loss.action),
                                 .serves = serves,
                                 .inputs = tokens_inputs,
                                 .collect = collect,
                                 .counts = true,
                                 .record = record,
                                 .factor = tokens_action_factor,
                                 .measure = tokens_measure,
                                 .plays = plays,
                                 .play = {.fast = true}};
