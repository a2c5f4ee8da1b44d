/* future.c - see future.h. */
#include "gato/model/future.h"

#include "gato/model/embed_codes.h"

#include <math.h>
#include <stdio.h>

/* Width of the hidden layer, in widths of the model. */
enum { WIDER = 2 };
static const float EPS = 1e-5f;

size_t future_block(const gato_model_t *m) {
    return (size_t)(m->config.model.merge * m->config.model.merge);
}

int future_part(const gato_model_t *m, int64_t k) {
    for (int i = 0; i < m->config.loss.horizon.n; i++)
        if (m->config.loss.horizon.v[i] == k) return i;
    return -1;
}

/* Enters "predict_future", or "predict_future.{k}" of a further horizon. */
static size_t enter(nn_t *nn, const gato_model_t *m, uint32_t part) {
    if (!part) return nn_push(nn, "predict_future");
    return nn_push(nn, "predict_future.%d", (int)m->config.loss.horizon.v[part]);
}

bool future_knows_last(const gato_model_t *m, uint32_t part) {
    return m->config.model.image_last && m->config.loss.horizon.v[part] == 1;
}

var_t future_column(tape_t *t, var_t in, size_t block, size_t i, size_t per) {
    shape_t s = tape_shape(t, in);
    s.dim[0] = shape_count(s) / per;
    s.dim[1] = per;
    s.rank = 2;
    in = tape_reshape(t, in, s);
    return block == 1 ? in : op_every_row(t, in, i, block);
}

var_t future_begin(nn_t *nn, const gato_model_t *m, uint32_t part, var_t h, var_t last) {
    if (!future_knows_last(m, part)) return h;
    tape_t *t = nn->tape;
    size_t n = shape_rows(tape_shape(t, h)), D = shape_cols(tape_shape(t, h)), B = future_block(m);
    var_t v = codes_vectors(nn, m, tape_reshape(t, last, I32_1(n * B)));
    size_t mark = enter(nn, m, part);
    v = tape_reshape(t, v, F32_2(n, B * m->vocabulary.code_dim));
    h = op_add(t, h, nn_linear(nn, "last", v, D, false));
    nn_pop(nn, mark);
    return h;
}

/* logits + (log K + g_i(u)) at the code of this place one timestep before. */
static var_t copy(nn_t *nn, const gato_model_t *m, size_t i, var_t u, var_t last, var_t logits) {
    tape_t *t = nn->tape;
    size_t D = shape_cols(tape_shape(t, u)), B = future_block(m), K = m->vocabulary.codes;
    param_init_t init = init_uniform(1 / sqrtf((float)D));
    nn_push(nn, "copy");
    var_t W = nn_param2(nn, "weight", B, D, init), bias = nn_param1(nn, "bias", B, init);
    var_t g = nn_apply_columns(nn, u, W, bias, W_OUT_IN, i, i + 1);
    return op_add_at(t, logits, future_column(t, last, B, i, 1), g, logf((float)K));
}

/* u + fc2 gelu(fc1 u). */
static var_t mix(nn_t *nn, var_t u) {
    tape_t *t = nn->tape;
    size_t D = shape_cols(tape_shape(t, u));
    var_t y = op_act(t, nn_linear(nn, "fc1", u, WIDER * D, true), ACT_GELU);
    return op_add(t, u, nn_linear(nn, "fc2", y, D, true));
}

var_t future_logits(nn_t *nn, const gato_model_t *m, uint32_t part, size_t i, var_t x, var_t last) {
    size_t K = m->vocabulary.codes, n = future_block(m);
    size_t mark = enter(nn, m, part);
    bool knows = future_knows_last(m, part);
    var_t y;
    if (n == 1 && !knows) {
        y = gato_predict(nn, m, "weight", x, K);
    } else {
        var_t W = gato_predictor(nn, m, "weight", n * K), u = nn_layernorm(nn, "norm", x, EPS);
        y = nn_apply_columns(nn, mix(nn, u), W, NO_VAR, W_OUT_IN, i * K, (i + 1) * K);
        if (knows) y = copy(nn, m, i, u, last, y);
    }
    nn_pop(nn, mark);
    return y;
}

var_t future_take(nn_t *nn, const gato_model_t *m, uint32_t part, size_t i, var_t x, var_t code) {
    tape_t *t = nn->tape;
    size_t D = shape_cols(tape_shape(t, x)), Dc = m->vocabulary.code_dim, n = future_block(m) - 1;
    if (i >= n) BUG("nothing is predicted behind code %zu of %zu", i, n + 1);
    var_t v = codes_vectors(nn, m, code);
    size_t mark = enter(nn, m, part);
    param_init_t init = init_uniform(1 / sqrtf((float)Dc));
    nn_push(nn, "code");
    var_t E = nn_param2(nn, "weight", n * D, Dc, init), bias = nn_param1(nn, "bias", n * D, init);
    x = op_add(t, x, nn_apply_columns(nn, v, E, bias, W_OUT_IN, i * D, (i + 1) * D));
    nn_pop(nn, mark);
    return x;
}

var_t future_vector(nn_t *nn, const gato_model_t *m, uint32_t task, uint32_t slot, var_t rows) {
    char name[MODEL_TENSOR];
    model_slot_tensor(m, "predict_vector", task, slot, name);
    return nn_linear(nn, name, rows, m->tasks.v[task].slot[slot].width, true);
}
