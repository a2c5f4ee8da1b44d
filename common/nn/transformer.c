/* transformer.c - GPT-2's pre-LN blocks (Radford et al. 2019) under the checkpoint's names. */
#include "common/nn/nn.h"

static const float EPS = 1e-5f;

/* What dropout knows of the rows at hand: how many a sample has, and where they lie if they are not
 * all. */
typedef struct {
    size_t sample;
    var_t read;
} place_t;

/* All rows of x [B,T,D], or x [n,D] of samples of one row. */
static place_t whole(const nn_t *nn, var_t x) {
    shape_t s = tape_shape(nn->tape, x);
    return (place_t){s.rank == 3 ? s.dim[1] : 1, NO_VAR};
}

/* Columns lo .. hi - 1 of a Conv1D with its adapter. */
static var_t columns(nn_t *nn, const char *name, var_t x, size_t out, size_t lo, size_t hi,
                     place_t at) {
    size_t in = shape_cols(tape_shape(nn->tape, x));
    var_t y = nn_conv1d_columns(nn, name, x, out, lo, hi);
    return nn_lora(nn, name, x, y, out, lo, at.sample * in, at.read);
}
static var_t linear(nn_t *nn, const char *name, var_t x, size_t out, place_t at) {
    return columns(nn, name, x, out, 0, out, at);
}

var_t nn_block_qkv(nn_t *nn, size_t layer, var_t x) {
    size_t D = shape_cols(tape_shape(nn->tape, x));
    size_t mark = nn_push(nn, "h.%zu", layer);
    var_t h = nn_layernorm(nn, "ln_1", x, EPS);
    var_t qkv = linear(nn, "attn.c_attn", h, 3 * D, whole(nn, h));
    nn_pop(nn, mark);
    return qkv;
}

static var_t mlp(nn_t *nn, var_t x, place_t at, const transformer_opts_t *o) {
    tape_t *t = nn->tape;
    size_t D = shape_cols(tape_shape(t, x));
    size_t mark = nn_push(nn, "mlp");
    var_t h = op_act(t, linear(nn, "c_fc", x, 4 * D, at),
                     o->activation == MLP_GELU_NEW ? ACT_GELU_TANH : ACT_GELU);
    if (o->activation == MLP_GEGLU) h = op_mul(t, h, nn_linear(nn, "gated_layer", x, 4 * D, true));
    h = linear(nn, "c_proj", h, D, at);
    nn_pop(nn, mark);
    return h;
}

static var_t residual(nn_t *nn, var_t x, var_t branch, float dropout, place_t at) {
    size_t sample = at.sample * shape_cols(tape_shape(nn->tape, x));
    return op_add(nn->tape, x, op_dropout_some(nn->tape, branch, dropout, sample, at.read));
}

static var_t rest(nn_t *nn, size_t layer, var_t x, var_t attended, place_t at,
                  const transformer_opts_t *o) {
    size_t D = shape_cols(tape_shape(nn->tape, x));
    size_t mark = nn_push(nn, "h.%zu", layer);
    size_t inner = nn_push(nn, "attn");
    var_t a = linear(nn, "c_proj", attended, D, at);
    x = residual(nn, x, a, o->dropout, at);
    nn_pop(nn, inner);
    var_t m = mlp(nn, nn_layernorm(nn, "ln_2", x, EPS), at, o);
    inner = nn_push(nn, "mlp"); /* dropout's stream */
    x = residual(nn, x, m, o->dropout, at);
    nn_pop(nn, inner);
    nn_pop(nn, mark);
    return x;
}

var_t nn_block_rest(nn_t *nn, size_t layer, var_t x, var_t attended, transformer_opts_t o) {
    return rest(nn, layer, x, attended, whole(nn, x), &o);
}

/* A block of which only the rows `read` are wanted: those of x [B,T,D] -> [n,D]. */
static var_t block_of_some(nn_t *nn, size_t layer, var_t x, var_t read, transformer_opts_t o) {
    tape_t *t = nn->tape;
    shape_t s = tape_shape(t, x), rows = F32_2(s.dim[0] * s.dim[1], s.dim[2]);
    size_t D = s.dim[2], mark = nn_push(nn, "h.%zu", layer);
    var_t h = nn_layernorm(nn, "ln_1", x, EPS);
    place_t all = whole(nn, x), at = {all.sample, read};
    var_t kv = columns(nn, "attn.c_attn", h, 3 * D, D, 3 * D, all);
    var_t some = op_gather(t, tape_reshape(t, h, rows), read);
    var_t q = columns(nn, "attn.c_attn", some, 3 * D, 0, D, at);
    nn_pop(nn, mark);
    attention_opts_t a = {.heads = o.heads, .causal = true, .first = o.first};
    var_t attended = op_attention_some(t, q, kv, read, a);
    return rest(nn, layer, op_gather(t, tape_reshape(t, x, rows), read), attended, at, &o);
}

var_t nn_final_norm(nn_t *nn, var_t x) {
    return nn_layernorm(nn, "ln_f", x, EPS);
}

var_t nn_transformer(nn_t *nn, var_t x, var_t read, transformer_opts_t o) {
    for (size_t i = 0; i < o.layers; i++) {
        if (read != NO_VAR && i + 1 == o.layers) {
            x = block_of_some(nn, i, x, read, o);
            break;
        }
        var_t qkv = nn_block_qkv(nn, i, x);
        attention_opts_t a = {.heads = o.heads, .causal = true, .first = o.first};
        x = nn_block_rest(nn, i, x, op_attention_packed(nn->tape, qkv, a), o);
    }
    return nn_final_norm(nn, x);
}
