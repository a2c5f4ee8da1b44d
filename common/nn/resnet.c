/* resnet.c - the convolutional residual block of VQGANs (pre-activation, GroupNorm + SiLU). */
#include "common/nn/nn.h"

var_t nn_resnet(nn_t *nn, var_t x, size_t out, size_t groups, float eps) {
    var_t h = nn_groupnorm(nn, "norm1", x, groups, eps, true);
    h = nn_conv2d(nn, "conv1", h, out, 3, 1);
    h = nn_groupnorm(nn, "norm2", h, groups, eps, true);
    h = nn_conv2d(nn, "conv2", h, out, 3, 1);
    if (shape_cols(tape_shape(nn->tape, x)) != out)
        x = nn_conv2d(nn, "conv_shortcut", x, out, 1, 1);
    return op_add(nn->tape, x, h);
}
