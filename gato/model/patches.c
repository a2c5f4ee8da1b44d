/* patches.c - Gato's patch block: one residual block per patch, then a linear layer. There is no
 * first norm, because three channels form no groups; the first GELU acts on raw pixels. */
#include "gato/model/model.h"

var_t gato_patch_rows(nn_t *nn, const gato_model_t *m, var_t pixels) {
    tape_t *t = nn->tape;
    shape_t s = tape_shape(t, pixels);
    size_t D = (size_t)m->config.model.width, flat = s.dim[1] * s.dim[2] * 3;
    size_t mark = nn_push(nn, "image_embedding.patch_embedding");
    var_t h = nn_conv2d(nn, "conv1", op_act(t, pixels, ACT_GELU), (size_t)m->config.model.patch_mid,
                        3, 1);
    h = op_act(t, nn_groupnorm(nn, "gn2", h, (size_t)m->config.model.patch_groups, 1e-5f, false),
               ACT_GELU);
    h = op_add(t, pixels, nn_conv2d(nn, "conv2", h, 3, 3, 1));
    nn_pop(nn, mark);
    mark = nn_push(nn, "image_embedding.post_embedding_projection");
    param_init_t init = init_uniform(1 / __builtin_sqrtf((float)flat));
    var_t W = nn_param(nn, "weight", 2, (size_t[]){D, flat}, LAYOUT_PIXELS, init);
    var_t y = op_linear(t, tape_reshape(t, h, F32_2(s.dim[0], flat)), W,
                        nn_param1(nn, "bias", D, init), W_OUT_IN);
    nn_pop(nn, mark);
    return y;
}
