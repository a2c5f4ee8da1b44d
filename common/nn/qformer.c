/* qformer.c - queries that read a memory: BERT's post-norm layers with cross-attention in every
 * second one; see qformer.h. */
#include "common/nn/qformer.h"

static const float EPS = 1e-12f;
enum { CROSS_EVERY = 2 };

/* LayerNorm(x + dense(branch)) under `name`. */
static var_t add_norm(nn_t *nn, const char *name, var_t x, var_t branch) {
    size_t D = shape_cols(tape_shape(nn->tape, x)), mark = nn_push(nn, "%s", name);
    var_t y = op_add(nn->tape, x, nn_linear(nn, "dense", branch, D, true));
    y = nn_layernorm(nn, "LayerNorm", y, EPS);
    nn_pop(nn, mark);
    return y;
}

/* Attention of x over `memory`, with its norm, under `name`. */
static var_t attend(nn_t *nn, const char *name, var_t x, var_t memory, size_t heads, bool causal) {
    size_t D = shape_cols(tape_shape(nn->tape, x)), mark = nn_push(nn, "%s", name),
           inner = nn_push(nn, "self");
    var_t q = nn_linear(nn, "query", x, D, true);
    var_t k = nn_linear(nn, "key", memory, D, true);
    var_t v = nn_linear(nn, "value", memory, D, true);
    attention_opts_t o = {.heads = heads, .causal = causal, .first = NO_VAR};
    var_t attended = op_attention(nn->tape, q, k, v, o);
    nn_pop(nn, inner);
    x = add_norm(nn, "output", x, attended);
    nn_pop(nn, mark);
    return x;
}

static var_t feed_forward(nn_t *nn, var_t x, size_t hidden) {
    var_t h = nn_linear(nn, "intermediate_query.dense", x, hidden, true);
    return add_norm(nn, "output_query", x, op_act(nn->tape, h, ACT_GELU));
}

var_t nn_qformer(nn_t *nn, var_t queries, var_t memory, qformer_opts_t o, var_t *layer) {
    var_t x = nn_layernorm(nn, "embeddings.LayerNorm", queries, EPS);
    for (size_t i = 0; i < o.layers; i++) {
        size_t mark = nn_push(nn, "encoder.layer.%zu", i);
        x = attend(nn, "attention", x, x, o.heads, o.causal);
        if (i % CROSS_EVERY == 0) x = attend(nn, "crossattention", x, memory, o.heads, false);
        x = feed_forward(nn, x, o.hidden);
        nn_pop(nn, mark);
        if (layer) layer[i] = x;
    }
    return x;
}
