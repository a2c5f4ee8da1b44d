/* patchgan.c - see patchgan.h. */
#include "common/nn/patchgan.h"

#include <math.h>
#include <stdio.h>

enum { KERNEL = 4 };

size_t patchgan_width(const patchgan_t *p, size_t i) {
    return p->channels * (i < 3 ? (size_t)1 << i : 8);
}
size_t patchgan_norm(size_t i) {
    return 3 * i + 3;
}

bool patchgan_fits(const patchgan_t *p, size_t h, size_t w) {
    size_t side = h < w ? h : w;
    return side >> p->layers >= 3;
}

static var_t conv(nn_t *nn, size_t number, var_t x, size_t out, size_t stride, bool bias) {
    size_t in = shape_cols(tape_shape(nn->tape, x));
    size_t mark = nn_push(nn, "main.%zu", number);
    conv_opts_t o = {.stride = stride,
                     .pad_top = 1,
                     .pad_left = 1,
                     .pad_bottom = 1,
                     .pad_right = 1,
                     .up = 1,
                     .plain = nn->plain_conv};
    var_t w = nn_param(nn, "weight", 4, (size_t[]){out, in, KERNEL, KERNEL}, LAYOUT_CONV,
                       init_normal(0.02f));
    float a = 1 / sqrtf((float)(in * KERNEL * KERNEL)); /* biases keep PyTorch's default */
    var_t y =
        op_conv2d(nn->tape, x, w, bias ? nn_param1(nn, "bias", out, init_uniform(a)) : NO_VAR, o);
    nn_pop(nn, mark);
    return y;
}

static batchnorm_out_t norm(nn_t *nn, size_t number, var_t x) {
    size_t C = shape_cols(tape_shape(nn->tape, x));
    size_t mark = nn_push(nn, "main.%zu", number);
    var_t gamma = nn_param1(nn, "weight", C, init_near_one(0.02f)),
          beta = nn_param1(nn, "bias", C, init_zero());
    batchnorm_out_t y = op_batchnorm(nn->tape, x, gamma, beta, 1e-5f, true);
    nn_pop(nn, mark);
    return y;
}

var_t nn_patchgan(nn_t *nn, const patchgan_t *p, var_t x, batchnorm_out_t *stats) {
    x = conv(nn, 0, x, p->channels, 2, true);
    x = op_act(nn->tape, x, ACT_LEAKY_RELU);
    for (size_t i = 0; i < p->layers; i++) {
        x = conv(nn, patchgan_norm(i) - 1, x, patchgan_width(p, i + 1), i + 1 < p->layers ? 2 : 1,
                 false);
        batchnorm_out_t b = norm(nn, patchgan_norm(i), x);
        if (stats) stats[i] = b;
        x = b.y;
    }
    return conv(nn, patchgan_norm(p->layers) - 1, x, 1, 1, true);
}

void patchgan_declare(params_t *params, const patchgan_t *p, const char *scope) {
    tape_t *t = tape_new(params);
    nn_t nn;
    nn_begin(&nn, t);
    size_t side = (size_t)3 << p->layers;
    size_t mark = nn_push(&nn, "%s", scope);
    nn_patchgan(&nn, p, tape_input(t, "image", F32_4(1, side, side, 3)), NULL);
    nn_pop(&nn, mark);
    tape_free(t);
}
