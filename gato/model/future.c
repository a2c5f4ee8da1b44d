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

/* u + fc2 gelu(fc1 u) of u = LayerNorm(x). */
static var_t mix(nn_t *nn, var_t x) {
    tape_t *t = nn->tape;
    size_t D = shape_cols(tape_shape(t, x));
    var_t u = nn_layernorm(nn, "norm", x, EPS);
    var_t y = op_act(t, nn_linear(nn, "fc1", u, WIDER * D, true), ACT_GELU);
    return op_add(t, u, nn_linear(nn, "fc2", y, D, true));
}

var_t future_logits(nn_t *nn, const gato_model_t *m, uint32_t part, size_t i, var_t x) {
    size_t K = m->vocabulary.codes, n = future_block(m);
    size_t mark = enter(nn, m, part);
    var_t y;
    if (n == 1) {
        y = gato_predict(nn, m, "weight", x, K);
    } else {
        var_t W = gato_predictor(nn, m, "weight", n * K);
        y = nn_apply_columns(nn, mix(nn, x), W, NO_VAR, W_OUT_IN, i * K, (i + 1) * K);
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
