/* embed_token.c - rows of the token table: texts, discrete values, bins of vectors, and everything
 * that is acted. */
#include "gato/model/embed_token.h"

#include "gato/model/model.h"
#include "gato/task/action_bins.h"

var_t token_table(nn_t *nn, const gato_model_t *m) {
    return nn_param2(nn, "embed_token.weight", tokens_total(&m->tokens),
                     (size_t)m->config.model.width, init_normal(1));
}

static bool serves(const gato_config_t *c, const slot_t *slot) {
    if (slot->kind == SLOT_IMAGE) return false;
    return slot->side == SIDE_ACTED || slot->kind != SLOT_VECTOR ||
           c->model.vector_in == VECTOR_IN_BINS;
}

static int tokens(const gato_config_t *c, const slot_t *slot, const slot_value_t *value, size_t *n,
                  reason_t *why) {
    (void)why;
    *n = slot->kind == SLOT_TEXT ? value->text_len : slot->width;
    /* how many a chunk has is known when it is written (batch_actions) */
    if (slot->kind == SLOT_VECTOR && slot->side == SIDE_ACTED && c->model.bin_kind == BIN_KIND_FAST)
        *n = fast_most((uint32_t)c->model.chunk, slot->width);
    return 0;
}

static size_t inputs(const gato_model_t *m, const pool_t *pool, input_spec_t spec[ROWS_INPUTS]) {
    (void)m, (void)pool;
    spec[0] = (input_spec_t){.name = "token", .type = DT_I32, .pad = {-1, -1}};
    return 1;
}

static uint32_t id_of(const tokens_t *t, const slot_t *slot, const slot_value_t *value, size_t i) {
    switch (slot->kind) {
    case SLOT_TEXT:
        return value->text[i];
    case SLOT_DISCRETE:
        return tokens_discrete(t) + value->discrete[i];
    default: /* actions are in [-1,1] already */
        return tokens_continuous(t) + (slot->side == SIDE_ACTED
                                           ? action_bin(t, slot, (uint32_t)i, value->vector[i])
                                           : tokens_bin_observation(t, value->vector[i]));
    }
}

static void put(const embed_put_t *p, const slot_value_t *value, rows_t *rows, int32_t *id) {
    const slot_t *slot = &p->model->tasks.v[p->task].slot[p->slot];
    size_t n;
    tokens(&p->model->config, slot, value, &n, NULL);
    int32_t *token = column_ints(&rows->input[0], n);
    for (size_t i = 0; i < n; i++)
        id[i] = token[i] = (int32_t)id_of(&p->model->tokens, slot, value, i);
}

static var_t record(nn_t *nn, const gato_model_t *m, const pool_t *pool, size_t n,
                    const var_t *in) {
    (void)pool, (void)n;
    return op_gather(nn->tape, token_table(nn, m), in[0]);
}

const embed_t embed_token = {.name = "embed_token",
                             .vocabulary = true,
                             .serves = serves,
                             .tokens = tokens,
                             .inputs = inputs,
                             .put = put,
                             .record = record};
