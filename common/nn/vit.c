/* vit.c - the pre-norm blocks of a ViT (Dosovitskiy et al. 2021) under timm's names; see vit.h. */
#include "common/nn/vit.h"

static const float EPS = 1e-6f;

/* q_bias | 0 | v_bias: a key's bias would move all scores of a query alike. */
static var_t eva_bias(nn_t *nn, size_t D) {
    tape_t *t = nn->tape;
    shape_t column = F32_2(D, 1);
    var_t q = tape_reshape(t, nn_param1(nn, "q_bias", D, init_zero()), column);
    var_t v = tape_reshape(t, nn_param1(nn, "v_bias", D, init_zero()), column);
    var_t part[] = {q, op_scale(t, q, 0), v};
    return tape_reshape(t, op_concat_rows(t, part, 3), F32_1(3 * D));
}

static var_t qkv(nn_t *nn, var_t x, bool eva) {
    size_t D = shape_cols(tape_shape(nn->tape, x));
    if (!eva) return nn_linear(nn, "qkv", x, 3 * D, true);
    var_t W = nn_param2(nn, "qkv.weight", 3 * D, D, init_normal(0.02f));
    return nn_apply(nn, x, W, eva_bias(nn, D), W_OUT_IN);
}

var_t nn_vit_block(nn_t *nn, var_t x, vit_opts_t o) {
    tape_t *t = nn->tape;
    size_t D = shape_cols(tape_shape(t, x));
    var_t h = nn_layernorm(nn, "norm1", x, EPS);
    size_t mark = nn_push(nn, "attn");
    h = op_attention_packed(t, qkv(nn, h, o.eva),
                            (attention_opts_t){.heads = o.heads, .first = NO_VAR});
    x = op_add(t, x, nn_linear(nn, "proj", h, D, true));
    nn_pop(nn, mark);
    h = nn_layernorm(nn, "norm2", x, EPS);
    mark = nn_push(nn, "mlp");
    h = op_act(t, nn_linear(nn, "fc1", h, o.hidden, true), ACT_GELU);
    x = op_add(t, x, nn_linear(nn, "fc2", h, D, true));
    nn_pop(nn, mark);
    return x;
}

var_t nn_patches(nn_t *nn, var_t image, size_t patch, size_t width) {
    tape_t *t = nn->tape;
    shape_t s = tape_shape(t, image);
    size_t mark = nn_push(nn, "proj");
    var_t w = nn_param(nn, "weight", 4, (size_t[]){width, s.dim[3], patch, patch}, LAYOUT_CONV,
                       init_normal(0.02f));
    var_t b = nn_param1(nn, "bias", width, init_zero());
    var_t y = op_conv2d(t, image, w, b, (conv_opts_t){.stride = patch, .up = 1});
    nn_pop(nn, mark);
    return tape_reshape(t, y, F32_3(s.dim[0], s.dim[1] / patch * (s.dim[2] / patch), width));
}
