/* embed_vector.c - an observed vector as one token: a linear layer of its task's slot. */
#include "gato/model/model.h"

#include <stdio.h>
#include <string.h>

static const slot_t *slot_of(const gato_model_t *m, const pool_t *pool) {
    return &m->tasks.v[pool->task].slot[pool->slot];
}

static bool serves(const gato_config_t *c, const slot_t *slot) {
    return slot->kind == SLOT_VECTOR && slot->side == SIDE_OBSERVED &&
           c->model.vector_in == VECTOR_IN_LINEAR;
}

static int tokens(const gato_config_t *c, const slot_t *slot, const slot_value_t *value, size_t *n,
                  reason_t *why) {
    (void)c, (void)slot, (void)value, (void)why;
    *n = 1;
    return 0;
}

static size_t inputs(const gato_model_t *m, const pool_t *pool, input_spec_t spec[ROWS_INPUTS]) {
    spec[0] = (input_spec_t){
        .name = "vector", .type = DT_F32, .rank = 1, .dim = {slot_of(m, pool)->width}};
    return 1;
}

static void put(const embed_put_t *p, const slot_value_t *value, rows_t *rows, int32_t *id) {
    (void)p;
    memcpy(column_floats(&rows->input[0], 1), value->vector,
           rows->input[0].per * sizeof *value->vector);
    *id = 0;
}

static var_t record(nn_t *nn, const gato_model_t *m, const pool_t *pool, size_t n,
                    const var_t *in) {
    (void)n;
    char name[MODEL_TENSOR];
    model_slot_tensor(m, "vector_embedding", pool->task, pool->slot, name);
    return nn_linear(nn, name, in[0], (size_t)m->config.model.width, true);
}

/* Lets the initial W x + b see standardized numbers: W' = W / deviation, b' = b - W' mean.
 * Otherwise a number of large spread (a velocity) fills the token, and the first LayerNorm divides
 * the others away. */
static void start(gato_model_t *m, const pool_t *pool) {
    const slot_t *slot = slot_of(m, pool);
    if (!slot->mean || !slot->deviation) return;
    char name[MODEL_TENSOR], part[MODEL_TENSOR + 8];
    model_slot_tensor(m, "vector_embedding", pool->task, pool->slot, name);
    snprintf(part, sizeof part, "%s.weight", name);
    float *w = params_ptr(m->params, PARAMS_VALUE, params_find(m->params, part));
    snprintf(part, sizeof part, "%s.bias", name);
    float *b = params_ptr(m->params, PARAMS_VALUE, params_find(m->params, part));
    for (size_t i = 0; i < (size_t)m->config.model.width; i++)
        for (size_t j = 0; j < slot->width; j++) {
            w[i * slot->width + j] /= slot->deviation[j];
            b[i] -= w[i * slot->width + j] * slot->mean[j];
        }
}

const embed_t embed_vector = {.name = "vector_embedding",
                              .own = true,
                              .serves = serves,
                              .tokens = tokens,
                              .inputs = inputs,
                              .put = put,
                              .record = record,
                              .start = start};
