/* attention.c - single-head attention over the pixels of a feature map (taming's AttnBlock,
 * diffusers' names). */
#include "common/nn/nn.h"

var_t nn_pixel_attention(nn_t *nn, var_t x, size_t groups, float eps) {
    tape_t *t = nn->tape;
    shape_t s = tape_shape(t, x);
    /* NHWC: the feature map is a matrix of tokens already. */
    shape_t tokens = F32_3(s.dim[0], s.dim[1] * s.dim[2], s.dim[3]);
    var_t h = tape_reshape(t, nn_groupnorm(nn, "group_norm", x, groups, eps, false), tokens);
    var_t q = nn_linear(nn, "to_q", h, s.dim[3], true);
    var_t k = nn_linear(nn, "to_k", h, s.dim[3], true);
    var_t v = nn_linear(nn, "to_v", h, s.dim[3], true);
    h = op_attention(t, q, k, v, (attention_opts_t){.heads = 1, .first = NO_VAR});
    h = nn_linear(nn, "to_out.0", h, s.dim[3], true);
    return op_add(t, x, tape_reshape(t, h, s));
}
