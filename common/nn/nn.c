/* nn.c - scopes, parameters and the simplest layers; see nn.h. */
#include "common/nn/nn.h"

#include "common/base/die.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void nn_begin(nn_t *nn, tape_t *t) {
    *nn = (nn_t){.tape = t, .conv1d_std = 0.02f};
}

size_t nn_push(nn_t *nn, const char *fmt, ...) {
    size_t mark = strlen(nn->scope);
    size_t at = mark;
    if (at) nn->scope[at++] = '.';
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(nn->scope + at, sizeof nn->scope - at, fmt, args);
    va_end(args);
    if (n < 0 || at + (size_t)n >= sizeof nn->scope) BUG("scope path too long: %s", nn->scope);
    tape_unscope(nn->tape, 0);
    tape_scope(nn->tape, "%s", nn->scope);
    return mark;
}

void nn_pop(nn_t *nn, size_t mark) {
    nn->scope[mark] = 0;
    tape_unscope(nn->tape, 0);
    tape_scope(nn->tape, "%s", nn->scope);
}

var_t nn_param(nn_t *nn, const char *name, int rank, const size_t *dim, param_layout_t layout,
               param_init_t init) {
    char full[2560];
    snprintf(full, sizeof full, "%s%s%s", nn->scope, nn->scope[0] ? "." : "", name);
    return tape_param(nn->tape, params_get(tape_params(nn->tape), full, rank, dim, layout, init));
}

var_t nn_param1(nn_t *nn, const char *name, size_t a, param_init_t init) {
    return nn_param(nn, name, 1, &a, LAYOUT_SAME, init);
}
var_t nn_param2(nn_t *nn, const char *name, size_t a, size_t b, param_init_t init) {
    return nn_param(nn, name, 2, (size_t[]){a, b}, LAYOUT_SAME, init);
}

/* PyTorch's default for Linear and Conv2d: weight and bias U(+-1/sqrt(fan_in)). */
static param_init_t by_fan(size_t fan_in) {
    return init_uniform(1 / sqrtf((float)fan_in));
}

var_t nn_linear(nn_t *nn, const char *name, var_t x, size_t out, bool bias) {
    size_t in = shape_cols(tape_shape(nn->tape, x));
    size_t mark = nn_push(nn, "%s", name);
    var_t W = nn_param2(nn, "weight", out, in, by_fan(in));
    var_t y = nn_apply(nn, x, W, bias ? nn_param1(nn, "bias", out, by_fan(in)) : NO_VAR, W_OUT_IN);
    nn_pop(nn, mark);
    return y;
}

var_t nn_tanh_pair(nn_t *nn, const char *name, var_t x, size_t inner, size_t out) {
    size_t mark = nn_push(nn, "%s", name);
    x = op_act(nn->tape, nn_linear(nn, "0", x, inner, true), ACT_TANH);
    x = nn_linear(nn, "2", x, out, true);
    nn_pop(nn, mark);
    return x;
}

var_t nn_conv1d(nn_t *nn, const char *name, var_t x, size_t out) {
    return nn_conv1d_columns(nn, name, x, out, 0, out);
}

var_t nn_conv1d_columns(nn_t *nn, const char *name, var_t x, size_t out, size_t lo, size_t hi) {
    size_t in = shape_cols(tape_shape(nn->tape, x));
    size_t mark = nn_push(nn, "%s", name);
    var_t W = nn_param2(nn, "weight", in, out, init_normal(nn->conv1d_std));
    var_t b = nn_param1(nn, "bias", out, init_zero());
    var_t y = nn_apply_columns(nn, x, W, b, W_IN_OUT, lo, hi);
    nn_pop(nn, mark);
    return y;
}

static var_t conv(nn_t *nn, const char *name, var_t x, size_t out, size_t k, conv_opts_t o) {
    size_t in = shape_cols(tape_shape(nn->tape, x));
    size_t mark = nn_push(nn, "%s", name);
    o.plain = nn->plain_conv;
    var_t w = nn_param(nn, "weight", 4, (size_t[]){out, in, k, k}, LAYOUT_CONV, by_fan(in * k * k));
    var_t b = nn_param1(nn, "bias", out, by_fan(in * k * k));
    var_t y;
    if (k == 1) /* over pixels as rows; in memory the kernel is [1,1,in,out] */
        y = nn_apply(nn, x, tape_reshape(nn->tape, w, F32_2(in, out)), b, W_IN_OUT);
    else
        y = nn_apply_conv(nn, x, w, b, o);
    nn_pop(nn, mark);
    return y;
}

var_t nn_conv2d(nn_t *nn, const char *name, var_t x, size_t out, size_t k, size_t up) {
    conv_opts_t o = {.stride = 1,
                     .pad_top = k / 2,
                     .pad_left = k / 2,
                     .pad_bottom = k / 2,
                     .pad_right = k / 2,
                     .up = up};
    return conv(nn, name, x, out, k, o);
}

var_t nn_downsample(nn_t *nn, const char *name, var_t x) {
    conv_opts_t o = {.stride = 2, .pad_bottom = 1, .pad_right = 1, .up = 1};
    return conv(nn, name, x, shape_cols(tape_shape(nn->tape, x)), 3, o);
}

var_t nn_groupnorm(nn_t *nn, const char *name, var_t x, size_t groups, float eps, bool silu) {
    size_t C = shape_cols(tape_shape(nn->tape, x));
    size_t mark = nn_push(nn, "%s", name);
    var_t y = op_groupnorm(nn->tape, x, nn_param1(nn, "weight", C, init_one()),
                           nn_param1(nn, "bias", C, init_zero()), groups, eps, silu);
    nn_pop(nn, mark);
    return y;
}

var_t nn_layernorm(nn_t *nn, const char *name, var_t x, float eps) {
    size_t C = shape_cols(tape_shape(nn->tape, x));
    size_t mark = nn_push(nn, "%s", name);
    var_t y = op_layernorm(nn->tape, x, nn_param1(nn, "weight", C, init_one()),
                           nn_param1(nn, "bias", C, init_zero()), eps);
    nn_pop(nn, mark);
    return y;
}
