/* cross_attention.c - see cross_attention.h. */
#include "common/nn/cross_attention.h"

#include <math.h>

static const float EPS = 1e-5f;

/* Queries are so many times larger at first: rows then attend to few others, each to its own, from
 * the first step on, and need not learn it out of a mean over all. */
static const float SHARP = 4;

/* x W^T, <name>.weight [out,in], at first U(+-gain sqrt(6 / (in + out))): with gain 1 Glorot and
 * Bengio's (2010). */
static var_t project(nn_t *nn, const char *name, var_t x, size_t out, float gain) {
    size_t in = shape_cols(tape_shape(nn->tape, x)), mark = nn_push(nn, "%s", name);
    param_init_t init = init_uniform(gain * sqrtf(6 / (float)(in + out)));
    var_t y = nn_apply(nn, x, nn_param2(nn, "weight", out, in, init), NO_VAR, W_OUT_IN);
    nn_pop(nn, mark);
    return y;
}

var_t nn_cross_attention(nn_t *nn, const char *name, var_t x, var_t context, size_t heads,
                         bool causal) {
    size_t D = shape_cols(tape_shape(nn->tape, x)), mark = nn_push(nn, "%s", name);
    var_t q = project(nn, "to_q", x, D, SHARP);
    var_t k = project(nn, "to_k", context, D, 1);
    var_t v = project(nn, "to_v", context, D, 1);
    attention_opts_t o = {.heads = heads, .causal = causal, .first = NO_VAR};
    var_t y = nn_linear(nn, "to_out.0", op_attention(nn->tape, q, k, v, o), D, true);
    nn_pop(nn, mark);
    return y;
}

var_t nn_query_block(nn_t *nn, var_t x, var_t context, size_t heads, self_attention_t self) {
    tape_t *t = nn->tape;
    size_t D = shape_cols(tape_shape(t, x));
    if (self != SELF_NONE) {
        var_t h = nn_layernorm(nn, "norm1", x, EPS);
        x = op_add(t, x, nn_cross_attention(nn, "attn1", h, h, heads, self == SELF_CAUSAL));
    }
    if (context != NO_VAR) {
        var_t h = nn_layernorm(nn, "norm2", x, EPS);
        x = op_add(t, x, nn_cross_attention(nn, "attn2", h, context, heads, false));
    }
    var_t h = nn_linear(nn, "ff.net.0.proj", nn_layernorm(nn, "norm3", x, EPS), 4 * D, true);
    return op_add(t, x, nn_linear(nn, "ff.net.2", op_act(t, h, ACT_GELU), D, true));
}
