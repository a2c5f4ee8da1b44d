/* op_cases.h - every op of tape/ops.h in a table of cases: how it is recorded, and a naive
 * double-precision formula of its value, written from the definition. test_ops.c checks them.
 */
#ifndef TESTS_OP_CASES_H
#define TESTS_OP_CASES_H

#include "tests/op_losses.h"
#include "tests/op_rows.h"

/* ---- the ops and their formulas ---- */

static var_t linear(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_linear(t, v[0], v[1], v[2], (weight_order_t)c->a[0]);
}
static void linear_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t rows = ROWS(c, 0), in = COLS(c, 0), out = COUNT(c, 1) / in;
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) {
            double s = x[2] ? x[2][o] : 0;
            for (size_t i = 0; i < in; i++)
                s +=
                    x[0][r * in + i] * (c->a[0] == W_OUT_IN ? x[1][o * in + i] : x[1][i * out + o]);
            y[r * out + o] = s;
        }
}

/* a: lo, hi, order */
static var_t columns(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_linear_columns(t, v[0], v[1], v[2], (weight_order_t)c->a[2], (size_t)c->a[0],
                             (size_t)c->a[1]);
}
static void columns_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t in = COLS(c, 0), all = COUNT(c, 1) / in;
    for (size_t r = 0; r < ROWS(c, 0); r++)
        for (size_t o = (size_t)c->a[0]; o < (size_t)c->a[1]; o++) {
            *y = x[2] ? x[2][o] : 0;
            for (size_t i = 0; i < in; i++)
                *y +=
                    x[0][r * in + i] * (c->a[2] == W_OUT_IN ? x[1][o * in + i] : x[1][i * all + o]);
            y++;
        }
}

/* a: stride, pads top left bottom right, up */
static var_t conv(tape_t *t, const var_t *v, const op_case_t *c) {
    const int64_t *a = c->a;
    conv_opts_t o = {(size_t)a[0], (size_t)a[1], (size_t)a[2], (size_t)a[3],
                     (size_t)a[4], (size_t)a[5], false};
    return op_conv2d(t, v[0], v[1], v[2], o);
}
static void conv_formula(const op_case_t *c, const double *const *x, double *y) {
    long H = (long)DIM(c, 0, 1), W = (long)DIM(c, 0, 2), up = c->a[5], stride = c->a[0];
    size_t Ci = DIM(c, 0, 3), kh = DIM(c, 1, 0), kw = DIM(c, 1, 1), Co = DIM(c, 1, 3);
    long OH = (H * up + c->a[1] + c->a[3] - (long)kh) / stride + 1,
         OW = (W * up + c->a[2] + c->a[4] - (long)kw) / stride + 1;
    for (size_t n = 0; n < DIM(c, 0, 0); n++)
        for (long oy = 0; oy < OH; oy++)
            for (long ox = 0; ox < OW; ox++)
                for (size_t o = 0; o < Co; o++) {
                    double s = x[2] ? x[2][o] : 0;
                    for (size_t r = 0; r < kh; r++)
                        for (size_t q = 0; q < kw; q++) {
                            long iy = oy * stride + (long)r - c->a[1],
                                 ix = ox * stride + (long)q - c->a[2];
                            if (iy < 0 || ix < 0 || iy >= H * up || ix >= W * up) continue;
                            const double *at =
                                x[0] + ((n * (size_t)H + (size_t)(iy / up)) * (size_t)W +
                                        (size_t)(ix / up)) *
                                           Ci;
                            for (size_t i = 0; i < Ci; i++)
                                s += at[i] * x[1][((r * kw + q) * Ci + i) * Co + o];
                        }
                    *y++ = s;
                }
}

static double silu(double x) {
    return x / (1 + exp(-x));
}

/* a: groups, silu; f: eps */
static var_t groupnorm(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_groupnorm(t, v[0], v[1], v[2], (size_t)c->a[0], c->f, c->a[1] != 0);
}
static void groupnorm_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t N = DIM(c, 0, 0), C = COLS(c, 0), HW = COUNT(c, 0) / N / C, G = (size_t)c->a[0],
           g = C / G;
    for (size_t n = 0; n < N; n++)
        for (size_t k = 0; k < C; k++) {
            double m = 0, v = 0, cells = (double)(HW * g);
            for (size_t i = 0; i < HW * g; i++)
                m += x[0][(n * HW + i / g) * C + k / g * g + i % g] / cells;
            for (size_t i = 0; i < HW * g; i++)
                v += pow(x[0][(n * HW + i / g) * C + k / g * g + i % g] - m, 2) / cells;
            for (size_t p = 0; p < HW; p++) {
                size_t at = (n * HW + p) * C + k;
                double h = (x[0][at] - m) / sqrt(v + c->f) * x[1][k] + x[2][k];
                y[at] = c->a[1] ? silu(h) : h;
            }
        }
}

static var_t unit_rows(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_unit_rows(t, v[0]);
}
static void unit_rows_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t D = COLS(c, 0);
    for (size_t r = 0; r < ROWS(c, 0); r++) {
        double s = 0;
        for (size_t d = 0; d < D; d++) s += x[0][r * D + d] * x[0][r * D + d];
        for (size_t d = 0; d < D; d++) y[r * D + d] = x[0][r * D + d] / sqrt(s);
    }
}

static kern_fsq_t levels_of(const op_case_t *c) {
    kern_fsq_t f = {.n = COLS(c, 0)};
    for (size_t d = 0; d < f.n; d++) f.level[d] = (int32_t)c->a[d];
    return f;
}
static var_t fsq_bound(tape_t *t, const var_t *v, const op_case_t *c) {
    kern_fsq_t f = levels_of(c);
    return op_fsq_bound(t, v[0], &f);
}
static void fsq_bound_formula(const op_case_t *c, const double *const *x, double *y) {
    for (size_t i = 0; i < COUNT(c, 0); i++) {
        double l = (double)c->a[i % COLS(c, 0)], h = (l - 1) * 1.001 / 2,
               o = fmod(l, 2) == 0 ? 0.5 : 0;
        y[i] = (h * tanh(x[0][i] + atanh(o / h)) - o) / floor(l / 2);
    }
}

static var_t layernorm(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_layernorm(t, v[0], v[1], v[2], c->f);
}
static void layernorm_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t C = COLS(c, 0);
    for (size_t r = 0; r < ROWS(c, 0); r++) {
        double m = 0, v = 0;
        for (size_t i = 0; i < C; i++) m += x[0][r * C + i] / (double)C;
        for (size_t i = 0; i < C; i++) v += pow(x[0][r * C + i] - m, 2) / (double)C;
        for (size_t i = 0; i < C; i++)
            y[r * C + i] = (x[0][r * C + i] - m) / sqrt(v + c->f) * x[1][i] + x[2][i];
    }
}

static var_t act(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_act(t, v[0], (kern_act_t)c->a[0]);
}
static void act_formula(const op_case_t *c, const double *const *in, double *y) {
    for (size_t i = 0; i < COUNT(c, 0); i++) {
        double x = in[0][i];
        switch ((kern_act_t)c->a[0]) {
        case ACT_SILU:
            y[i] = silu(x);
            break;
        case ACT_GELU:
            y[i] = 0.5 * x * erfc(-x / sqrt(2));
            break;
        case ACT_GELU_TANH:
            y[i] = 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
            break;
        case ACT_RELU:
            y[i] = x > 0 ? x : 0;
            break;
        case ACT_LEAKY_RELU:
            y[i] = x > 0 ? x : 0.2 * x;
            break;
        case ACT_TANH:
            y[i] = tanh(x);
            break;
        }
    }
}

static var_t add(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_add(t, v[0], c->a[0] ? v[0] : v[1]);
}
static void add_formula(const op_case_t *c, const double *const *x, double *y) {
    for (size_t i = 0; i < COUNT(c, 0); i++) y[i] = x[0][i] + x[c->a[0] ? 0 : 1][i];
}
static var_t mul(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_mul(t, v[0], c->a[0] ? v[0] : v[1]);
}
static void mul_formula(const op_case_t *c, const double *const *x, double *y) {
    for (size_t i = 0; i < COUNT(c, 0); i++) y[i] = x[0][i] * x[c->a[0] ? 0 : 1][i];
}
static var_t scale(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_scale(t, v[0], c->f);
}
static void scale_formula(const op_case_t *c, const double *const *x, double *y) {
    for (size_t i = 0; i < COUNT(c, 0); i++) y[i] = x[0][i] * c->f;
}

/* a: row_elements. Where the mask is comes from rng.h's numbers: one a (sample, element); what it
 * must look like is in dropout_key below. */
enum { KEY_SEED = 11, KEY_STEP = 5, KEY_FIRST = 3 };
static var_t dropout(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_dropout(t, v[0], c->f, (size_t)c->a[0]);
}
static void dropout_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t n = COUNT(c, 0);
    float one[512], mask[512];
    for (size_t i = 0; i < n; i++) one[i] = 1;
    uint64_t stream = rng_fold((rng_t){KEY_SEED, rng_make(0, "case").stream}, KEY_STEP).stream;
    kern_dropout(one, n, c->f, KEY_SEED, stream, KEY_FIRST * (uint64_t)c->a[0], mask, false);
    for (size_t i = 0; i < n; i++) y[i] = mask[i] > 0 ? x[0][i] / (1 - (double)c->f) : 0;
}

/* a: row_elements; input 1 numbers the rows, of which there are `bound` in all */
static var_t dropout_some(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_dropout_some(t, v[0], c->f, (size_t)c->a[0], v[1]);
}
static void dropout_some_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t D = COLS(c, 0), all = (size_t)c->in[1].bound * D;
    float one[512], mask[512];
    for (size_t i = 0; i < all; i++) one[i] = 1;
    uint64_t stream = rng_fold((rng_t){KEY_SEED, rng_make(0, "case").stream}, KEY_STEP).stream;
    kern_dropout(one, all, c->f, KEY_SEED, stream, KEY_FIRST * (uint64_t)c->a[0], mask, false);
    for (size_t i = 0; i < COUNT(c, 0); i++) {
        double row = x[1][i / D];
        bool kept = row >= 0 && mask[(size_t)row * D + i % D] > 0;
        y[i] = kept ? x[0][i] / (1 - (double)c->f) : 0;
    }
}

/* a[0] scalars, weights 0.5, 1, 1.5 ... */
static var_t weighted_sum(tape_t *t, const var_t *v, const op_case_t *c) {
    float w[IN];
    for (int i = 0; i < IN; i++) w[i] = 0.5f * (float)(i + 1);
    return op_weighted_sum(t, v, w, (size_t)c->a[0]);
}
static void weighted_sum_formula(const op_case_t *c, const double *const *x, double *y) {
    *y = 0;
    for (int64_t i = 0; i < c->a[0]; i++) *y += 0.5 * (double)(i + 1) * x[i][0];
}

/* a: heads, causal, has first positions (input 3), packed; f: scale, 0 = default */
static var_t attention(tape_t *t, const var_t *v, const op_case_t *c) {
    attention_opts_t o = {(size_t)c->a[0], c->f, c->a[1] != 0, c->a[2] ? v[3] : NO_VAR};
    return c->a[3] ? op_attention_packed(t, v[0], o) : op_attention(t, v[0], v[1], v[2], o);
}
static bool sees(const op_case_t *c, const double *first, size_t i, size_t j) {
    if (c->a[1] && j > i) return false;
    if (!first) return true;
    return first[i] < 0 ? j == i : (double)j >= first[i];
}
static void attention_formula(const op_case_t *c, const double *const *x, double *y) {
    bool packed = c->a[3];
    size_t B = DIM(c, 0, 0), T = DIM(c, 0, 1), D = packed ? DIM(c, 0, 2) / 3 : DIM(c, 0, 2),
           heads = (size_t)c->a[0], dh = D / heads;
    size_t ld = packed ? 3 * D : D, keys = packed ? T : DIM(c, 1, 1);
    const double *q = x[0], *k = packed ? q + D : x[1], *v = packed ? q + 2 * D : x[2];
    double scale_ = c->f > 0 ? (double)c->f : 1 / sqrt((double)dh), p[64];
    for (size_t b = 0; b < B; b++)
        for (size_t h = 0; h < heads; h++)
            for (size_t i = 0; i < T; i++) {
                double sum = 0;
                for (size_t j = 0; j < keys; j++) {
                    p[j] = 0;
                    if (!sees(c, x[3] ? x[3] + b * T : NULL, i, j)) continue;
                    double s = 0;
                    for (size_t d = 0; d < dh; d++)
                        s += q[(b * T + i) * ld + h * dh + d] * k[(b * keys + j) * ld + h * dh + d];
                    sum += p[j] = exp(scale_ * s);
                }
                for (size_t d = 0; d < dh; d++) {
                    double o = 0;
                    for (size_t j = 0; j < keys; j++)
                        o += p[j] / sum * v[(b * keys + j) * ld + h * dh + d];
                    y[(b * T + i) * D + h * dh + d] = o;
                }
            }
}

/* a: heads, 1, has first positions (input 3); q, kv, the rows of q */
static var_t attention_some(tape_t *t, const var_t *v, const op_case_t *c) {
    attention_opts_t o = {(size_t)c->a[0], c->f, true, c->a[2] ? v[3] : NO_VAR};
    return op_attention_some(t, v[0], v[1], v[2], o);
}
static void attention_some_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t T = DIM(c, 1, 1), D = COLS(c, 0), heads = (size_t)c->a[0], dh = D / heads;
    for (size_t r = 0; r < ROWS(c, 0); r++)
        for (size_t h = 0; h < heads; h++) {
            size_t own = (size_t)(x[2][r] < 0 ? 0 : x[2][r]), b = own / T, at = r * D + h * dh;
            const double *first = x[3] ? x[3] + b * T : NULL;
            double sum = 0, o[16] = {0};
            for (size_t j = 0; j <= own % T && x[2][r] >= 0; j++) {
                if (!sees(c, first, own % T, j)) continue;
                const double *kv = x[1] + (b * T + j) * 2 * D + h * dh;
                double s = 0;
                for (size_t d = 0; d < dh; d++) s += x[0][at + d] * kv[d];
                double p = exp(s / sqrt((double)dh));
                sum += p;
                for (size_t d = 0; d < dh; d++) o[d] += p * kv[D + d];
            }
            for (size_t d = 0; d < dh; d++) y[at + d] = sum > 0 ? o[d] / sum : 0;
        }
}

/* a[0]: leaky; f: eps */
static var_t batchnorm(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_batchnorm(t, v[0], v[1], v[2], c->f, c->a[0] != 0).y;
}
static void batchnorm_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t n = ROWS(c, 0), C = COLS(c, 0);
    for (size_t k = 0; k < C; k++) {
        double m = 0, v = 0;
        for (size_t r = 0; r < n; r++) m += x[0][r * C + k] / (double)n;
        for (size_t r = 0; r < n; r++) v += pow(x[0][r * C + k] - m, 2) / (double)n;
        for (size_t r = 0; r < n; r++) {
            double h = (x[0][r * C + k] - m) / sqrt(v + c->f) * x[1][k] + x[2][k];
            y[r * C + k] = c->a[0] && h < 0 ? 0.2 * h : h;
        }
    }
}

static var_t maxpool(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_maxpool2(t, v[0]);
}
static void maxpool_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t H = DIM(c, 0, 1), W = DIM(c, 0, 2), C = DIM(c, 0, 3);
    for (size_t n = 0; n < DIM(c, 0, 0); n++)
        for (size_t i = 0; i + 1 < H; i += 2)
            for (size_t j = 0; j + 1 < W; j += 2)
                for (size_t k = 0; k < C; k++) {
                    double m = -INFINITY;
                    for (size_t q = 0; q < 4; q++)
                        m = fmax(m, x[0][((n * H + i + q / 2) * W + j + q % 2) * C + k]);
                    *y++ = m;
                }
}

/* a[0]: kind */
static var_t gan(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_gan(t, (kern_gan_t)c->a[0], v[0]);
}
static void gan_formula(const op_case_t *c, const double *const *x, double *y) {
    *y = 0;
    for (size_t i = 0; i < COUNT(c, 0); i++) {
        double u = x[0][i], v = 0;
        switch ((kern_gan_t)c->a[0]) {
        case GAN_GENERATOR:
            v = -u;
            break;
        case GAN_HINGE_REAL:
            v = fmax(0, 1 - u);
            break;
        case GAN_HINGE_FAKE:
            v = fmax(0, 1 + u);
            break;
        case GAN_VANILLA_REAL:
            v = log(1 + exp(-u));
            break;
        case GAN_VANILLA_FAKE:
            v = log(1 + exp(u));
            break;
        }
        *y += v / (double)COUNT(c, 0);
    }
}

static var_t standardize(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_standardize(t, v[0], v[1], v[2]);
}
static void standardize_formula(const op_case_t *c, const double *const *x, double *y) {
    for (size_t i = 0; i < COUNT(c, 0); i++)
        y[i] = (x[0][i] - x[1][i % COLS(c, 0)]) / x[2][i % COLS(c, 0)];
}
static var_t distance(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_feature_distance(t, v[0], v[1], v[2]);
}
static void distance_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t C = COLS(c, 0), n = ROWS(c, 0);
    *y = 0;
    for (size_t r = 0; r < n; r++) {
        double la = 0, lb = 0;
        for (size_t k = 0; k < C; k++) la += pow(x[0][r * C + k], 2), lb += pow(x[1][r * C + k], 2);
        for (size_t k = 0; k < C; k++) {
            double d = x[0][r * C + k] / (sqrt(la) + 1e-10) - x[1][r * C + k] / (sqrt(lb) + 1e-10);
            *y += x[2][k] * d * d / (double)n;
        }
    }
}

/* a[0] = 1: through two reshapes */
static var_t reshape(tape_t *t, const var_t *v, const op_case_t *c) {
    size_t n = COUNT(c, 0);
    var_t flat = tape_reshape(t, v[0], F32_1(n)),
          tall = tape_reshape(t, op_scale(t, flat, 3), F32_2(n, 1));
    return op_add(t, flat, tape_reshape(t, tall, F32_2(1, n)));
}
static void reshape_formula(const op_case_t *c, const double *const *x, double *y) {
    for (size_t i = 0; i < COUNT(c, 0); i++) y[i] = 4 * x[0][i];
}
/* x * detach(x): the second factor counts as a constant, so the differences need it as an input of
 * its own. */
static var_t detach(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_mul(t, v[0], tape_detach(t, tape_reshape(t, v[1], F32_1(COUNT(c, 1)))));
}
static void detach_formula(const op_case_t *c, const double *const *x, double *y) {
    static const double *constant;
    static double held[64];
    if (!constant)
        memcpy(held, constant = x[1],
               COUNT(c, 1) * sizeof *held); /* the first call has the true values */
    for (size_t i = 0; i < COUNT(c, 0); i++) y[i] = x[0][i] * held[i];
}

/* ---- the table ---- */

/* clang-format off */
#define S0() {DT_F32, 0, {1, 1, 1, 1}}
#define S1(a) {DT_F32, 1, {a, 1, 1, 1}}
#define S2(a, b) {DT_F32, 2, {a, b, 1, 1}}
#define S3(a, b, c) {DT_F32, 3, {a, b, c, 1}}
#define S4(a, b, c, d) {DT_F32, 4, {a, b, c, d}}
#define J1(a) {DT_I32, 1, {a, 1, 1, 1}}
#define J2(a, b) {DT_I32, 2, {a, b, 1, 1}}
#define P(...) {PARAM, __VA_ARGS__, NORMAL, 0}
#define PK(k, ...) {PARAM, __VA_ARGS__, k, 0}
#define K(k, ...) {CONST, __VA_ARGS__, k, 0}
#define I(k, b, ...) {INDEX, __VA_ARGS__, k, b}
#define NONE {CONST, {DT_F32, -1, {0}}, NORMAL, 0} /* an input that the op may go without */

static const op_case_t cases[] = {
    {"linear out,in", linear, linear_formula, {P(S2(5, 7)), P(S2(3, 7)), P(S1(3))}, {W_OUT_IN}, 0, 0},
    {"linear in,out", linear, linear_formula, {P(S2(5, 7)), P(S2(7, 3)), P(S1(3))}, {W_IN_OUT}, 0, 0},
    {"linear no bias", linear, linear_formula, {P(S3(2, 3, 4)), P(S2(9, 4)), NONE}, {W_OUT_IN}, 0, 0},
    {"linear one row", linear, linear_formula, {P(S1(17)), P(S2(17, 1)), P(S1(1))}, {W_IN_OUT}, 0, 0},
    {"linear 1x1 convolution", linear, linear_formula, {P(S4(2, 3, 2, 5)), P(S4(1, 1, 5, 6)), P(S1(6))},
     {W_IN_OUT}, 0, 0},
    {"linear wide", linear, linear_formula, {P(S2(200, 33)), P(S2(70, 33)), P(S1(70))}, {W_OUT_IN}, 0, 0},
    {"linear tall", linear, linear_formula, {P(S2(700, 19)), P(S2(19, 21)), P(S1(21))}, {W_IN_OUT}, 0, 0},
    {"linear columns", columns, columns_formula, {P(S2(5, 7)), P(S2(9, 7)), P(S1(9))}, {3, 7}, 0, 0},
    {"linear first columns", columns, columns_formula, {P(S3(2, 3, 4)), P(S2(40, 4)), NONE}, {0, 17}, 0, 0},
    {"linear columns in,out", columns, columns_formula, {P(S2(5, 7)), P(S2(7, 9)), P(S1(9))}, {3, 7, W_IN_OUT}, 0, 0},
    {"linear last columns", columns, columns_formula, {P(S3(2, 3, 4)), P(S2(4, 40)), NONE}, {17, 40, W_IN_OUT}, 0, 0},
    {"conv 3x3", conv, conv_formula, {P(S4(2, 5, 4, 3)), P(S4(3, 3, 3, 4)), P(S1(4))}, {1, 1, 1, 1, 1, 1}, 0, 0},
    {"conv 3x3 no bias", conv, conv_formula, {P(S4(1, 3, 3, 2)), P(S4(3, 3, 2, 1)), NONE}, {1, 1, 1, 1, 1, 1}, 0, 0},
    {"conv downsample", conv, conv_formula, {P(S4(2, 6, 4, 2)), P(S4(3, 3, 2, 3)), P(S1(3))}, {2, 0, 0, 1, 1, 1}, 0, 0},
    {"conv downsample odd", conv, conv_formula, {P(S4(1, 7, 5, 2)), P(S4(3, 3, 2, 3)), P(S1(3))},
     {2, 0, 0, 1, 1, 1}, 0, 0},
    {"conv uneven pads", conv, conv_formula, {P(S4(1, 4, 5, 2)), P(S4(2, 3, 2, 2)), P(S1(2))},
     {1, 2, 0, 1, 3, 1}, 0, 0},
    {"conv 5x3 stride 3", conv, conv_formula, {P(S4(1, 8, 7, 2)), P(S4(5, 3, 2, 2)), P(S1(2))},
     {3, 1, 2, 0, 1, 1}, 0, 0},
    {"conv up", conv, conv_formula, {P(S4(2, 3, 2, 3)), P(S4(3, 3, 3, 2)), P(S1(2))}, {1, 1, 1, 1, 1, 2}, 0, 0},
    {"conv 4x4 stride 2", conv, conv_formula, {P(S4(1, 6, 6, 2)), P(S4(4, 4, 2, 3)), P(S1(3))},
     {2, 1, 1, 1, 1, 1}, 0, 0},
    {"conv larger", conv, conv_formula, {P(S4(3, 13, 11, 9)), P(S4(3, 3, 9, 20)), P(S1(20))}, {1, 1, 1, 1, 1, 1}, 0, 0},
    {"groupnorm", groupnorm, groupnorm_formula, {P(S4(2, 3, 2, 4)), P(S1(4)), P(S1(4))}, {2, 0}, 1e-6f, 0},
    {"groupnorm silu", groupnorm, groupnorm_formula, {P(S4(2, 3, 3, 6)), P(S1(6)), P(S1(6))}, {3, 1}, 1e-6f, 0},
    {"groupnorm one group", groupnorm, groupnorm_formula, {P(S3(2, 5, 3)), P(S1(3)), P(S1(3))}, {1, 1}, 1e-5f, 0},
    {"groupnorm a group a channel", groupnorm, groupnorm_formula, {P(S3(2, 6, 5)), P(S1(5)), P(S1(5))},
     {5, 0}, 1e-5f, 0},
    {"groupnorm vectors", groupnorm, groupnorm_formula, {P(S2(4, 8)), P(S1(8)), P(S1(8))}, {2, 1}, 1e-5f, 0},
    {"groupnorm larger", groupnorm, groupnorm_formula, {P(S4(3, 9, 7, 24)), P(S1(24)), P(S1(24))}, {8, 1}, 1e-6f, 0},
    {"unit rows", unit_rows, unit_rows_formula, {P(S2(5, 7))}, {0}, 0, 0},
    {"unit rows rank 4", unit_rows, unit_rows_formula, {P(S4(2, 30, 9, 4))}, {0}, 0, 0},
    {"fsq bound", fsq_bound, fsq_bound_formula, {P(S2(30, 4))}, {8, 5, 3, 4}, 0, 0},
    {"fsq bound rank 4", fsq_bound, fsq_bound_formula, {P(S4(2, 20, 9, 3))}, {16, 7, 1000}, 0, 0},
    {"layernorm", layernorm, layernorm_formula, {P(S2(5, 7)), P(S1(7)), P(S1(7))}, {0}, 1e-5f, 0},
    {"layernorm rank 3", layernorm, layernorm_formula, {P(S3(2, 70, 19)), P(S1(19)), P(S1(19))}, {0}, 1e-5f, 0},
    {"silu", act, act_formula, {P(S2(5, 5))}, {ACT_SILU}, 0, 0},
    {"gelu", act, act_formula, {P(S2(5, 5))}, {ACT_GELU}, 0, 0},
    {"gelu tanh", act, act_formula, {P(S2(5, 5))}, {ACT_GELU_TANH}, 0, 0},
    {"relu", act, act_formula, {PK(AWAY, S2(5, 5))}, {ACT_RELU}, 0, 0},
    {"leaky relu", act, act_formula, {PK(AWAY, S2(5, 5))}, {ACT_LEAKY_RELU}, 0, 0},
    {"tanh", act, act_formula, {P(S2(5, 5))}, {ACT_TANH}, 0, 0},
    {"silu larger", act, act_formula, {P(S2(90, 501))}, {ACT_SILU}, 0, 0},
    {"add", add, add_formula, {P(S2(3, 4)), P(S1(12))}, {0}, 0, 0},
    {"add to itself", add, add_formula, {P(S2(3, 4))}, {1}, 0, 0},
    {"mul", mul, mul_formula, {P(S2(3, 4)), P(S2(4, 3))}, {0}, 0, 0},
    {"square", mul, mul_formula, {P(S2(3, 4))}, {1}, 0, 0},
    {"scale", scale, scale_formula, {P(S2(3, 4))}, {0}, -1.75f, 0},
    {"dropout", dropout, dropout_formula, {P(S2(6, 20))}, {20}, 0.3f, 0},
    {"dropout of some", dropout_some, dropout_some_formula, {P(S2(7, 20)), I(SOME, 11, J1(7))}, {60}, 0.3f, 0},
    {"weighted sum of one", weighted_sum, weighted_sum_formula, {P(S0())}, {1}, 0, 0},
    {"weighted sum of twelve", weighted_sum, weighted_sum_formula,
     {P(S0()), P(S1(1)), P(S0()), P(S0()), P(S0()), P(S0()), P(S0()), P(S0()), P(S0()), P(S0()), P(S0()), P(S0())},
     {12}, 0, 0},
    {"attention", attention, attention_formula, {P(S3(2, 5, 4)), P(S3(2, 5, 4)), P(S3(2, 5, 4))},
     {1, 0, 0, 0}, 0, 1},
    {"attention heads, scale", attention, attention_formula, {P(S3(1, 6, 6)), P(S3(1, 6, 6)), P(S3(1, 6, 6))},
     {2, 0, 0, 0}, 0.9f, 1},
    {"attention causal", attention, attention_formula, {P(S3(2, 7, 4)), P(S3(2, 7, 4)), P(S3(2, 7, 4))},
     {2, 1, 0, 0}, 0, 1},
    {"attention of few over many", attention, attention_formula,
     {P(S3(2, 3, 4)), P(S3(2, 7, 4)), P(S3(2, 7, 4))}, {2, 0, 0, 0}, 0, 1},
    {"attention of many over few", attention, attention_formula,
     {P(S3(2, 9, 4)), P(S3(2, 2, 4)), P(S3(2, 2, 4))}, {1, 0, 0, 0}, 0, 1},
    {"attention window", attention, attention_formula, {P(S3(2, 9, 4)), P(S3(2, 9, 4)), P(S3(2, 9, 4)), I(SEEN, 0,
     J2(2, 9))}, {1, 1, 1, 0}, 0, 1},
    {"attention packed", attention, attention_formula, {P(S3(2, 5, 12))}, {2, 0, 0, 1}, 0, 0},
    {"attention packed causal", attention, attention_formula, {P(S3(2, 40, 24))}, {2, 1, 0, 1}, 0, 0},
    {"attention packed window", attention, attention_formula, {P(S3(3, 11, 12)), NONE, NONE, I(SEEN, 0, J2(3, 11))},
     {2, 1, 1, 1}, 0, 0},
    {"attention of some", attention_some, attention_some_formula, {P(S2(6, 4)), P(S3(2, 5, 8)), I(SOME, 10, J1(6)),
     NONE}, {2, 1, 0}, 0, 1},
    {"attention of some, window", attention_some, attention_some_formula, {P(S2(12, 4)), P(S3(2, 9, 8)),
     I(SOME, 18, J1(12)), I(SEEN, 0, J2(2, 9))}, {1, 1, 1}, 0, 1},
    {"gather", gather, gather_formula, {P(S2(6, 3)), I(CODES, 6, J1(9))}, {0}, 0, 0},
    {"gather grid", gather, gather_formula, {P(S2(4, 5)), I(CODES, 4, J2(3, 7))}, {0}, 0, 0},
    {"add at", add_at, add_at_formula, {P(S2(9, 6)), I(CODES, 6, J1(9)), P(S1(9))}, {3}, 0, 0},
    {"add at, a column", add_at, add_at_formula, {P(S2(7, 4)), I(CODES, 4, J2(7, 1)), P(S2(7, 1))}, {0}, 0, 0},
    {"every third row", every, every_formula, {K(NORMAL, S2(8, 2))}, {2, 3}, 0, 0},
    {"every row of a number", every, every_formula, {K(NORMAL, S2(6, 1))}, {0, 2}, 0, 0},
    {"repeat once", repeat, repeat_formula, {P(S2(3, 4))}, {1}, 0, 0},
    {"repeat", repeat, repeat_formula, {P(S2(3, 4))}, {5}, 0, 0},
    {"concat one", concat, concat_formula, {P(S2(3, 4))}, {0}, 0, 0},
    {"concat three, first twice", concat, concat_formula, {P(S2(3, 4)), P(S3(2, 1, 4)), P(S1(4))}, {1}, 0, 0},
    {"l1", loss, loss_formula, {PK(AWAY, S2(4, 3)), K(NEAR, S2(4, 3)), NONE}, {LOSS_L1, 0}, 0, 0},
    {"l1 weighted, both sides", loss, loss_formula, {PK(AWAY, S2(4, 3)), PK(NEAR, S2(4, 3)), K(WEIGHT, S1(4))},
     {LOSS_L1, 1}, 0, 0},
    {"mse", loss, loss_formula, {P(S2(4, 3)), P(S2(4, 3)), NONE}, {LOSS_MSE, 1}, 0, 0},
    {"mse weighted", loss, loss_formula, {P(S3(2, 3, 5)), K(NORMAL, S3(2, 3, 5)), K(WEIGHT, S2(2, 3))},
     {LOSS_MSE, 0}, 0, 0},
    {"xent", xent, xent_formula, {P(S2(5, 9)), I(TARGET, 9, J1(5)), I(RANGE, 9, J2(5, 2)), NONE}, {0}, 0, 0},
    {"xent weighted", xent, xent_formula, {P(S2(7, 6)), I(TARGET, 6, J1(7)), I(RANGE, 6, J2(7, 2)), K(WEIGHT,
     S1(7))}, {0}, 0, 0},
    {"xent larger", xent, xent_formula, {P(S2(40, 300)), I(TARGET, 300, J1(40)), I(RANGE, 300, J2(40, 2)), K(WEIGHT,
     S1(40))}, {0}, 0, 0},
    {"expect", expect, expect_formula, {P(S2(6, 8)), I(RANGE, 8, J2(6, 2))}, {0}, 0, 0},
    {"head xent", head_xent, head_xent_formula, {P(S2(6, 5)), P(S2(9, 5)), I(TARGET, 9, J1(6)), I(RANGE, 9, J2(6, 2)),
     NONE, NONE, NONE}, {0}, 0, 0},
    {"head xent weighted", head_xent, head_xent_formula, {P(S3(2, 4, 3)), P(S2(11, 3)), I(TARGET, 11, J1(8)),
     I(RANGE, 11, J2(8, 2)), K(WEIGHT, S1(8)), NONE, NONE}, {0}, 0, 0},
    {"head expectation", head_xent, head_xent_formula, {P(S2(6, 5)), P(S2(19, 5)), I(TARGET, 19, J1(6)),
     I(RANGE, 19, J2(6, 2)), NONE, I(RANGE, 12, J2(6, 2)), NONE}, {1}, 0, 0},
    {"head xent and expectation", head_xent, head_xent_formula, {P(S2(7, 5)), P(S2(40, 5)), I(TARGET, 40, J1(7)),
     I(RANGE, 40, J2(7, 2)), K(WEIGHT, S1(7)), I(RANGE, 21, J2(7, 2)), K(NEAR, S1(7))}, {2}, 0, 0},
    {"batchnorm", batchnorm, batchnorm_formula, {P(S4(2, 3, 2, 4)), P(S1(4)), P(S1(4))}, {0}, 1e-5f, 0},
    {"batchnorm leaky", batchnorm, batchnorm_formula, {P(S2(9, 5)), P(S1(5)), P(S1(5))}, {1}, 1e-5f, 0},
    {"batchnorm larger", batchnorm, batchnorm_formula, {P(S4(3, 20, 17, 19)), P(S1(19)), P(S1(19))}, {0}, 1e-5f, 0},
    {"maxpool", maxpool, maxpool_formula, {P(S4(2, 4, 6, 3))}, {0}, 0, 0},
    {"maxpool odd", maxpool, maxpool_formula, {P(S4(2, 5, 3, 4))}, {0}, 0, 0},
    {"gan generator", gan, gan_formula, {P(S4(2, 3, 2, 1))}, {GAN_GENERATOR}, 0, 0},
    {"gan hinge real", gan, gan_formula, {PK(AWAY, S2(5, 3))}, {GAN_HINGE_REAL}, 0, 0},
    {"gan hinge fake", gan, gan_formula, {PK(AWAY, S2(5, 3))}, {GAN_HINGE_FAKE}, 0, 0},
    {"gan vanilla real", gan, gan_formula, {P(S2(5, 3))}, {GAN_VANILLA_REAL}, 0, 0},
    {"gan vanilla fake", gan, gan_formula, {P(S2(5, 3))}, {GAN_VANILLA_FAKE}, 0, 0},
    {"standardize", standardize, standardize_formula, {P(S4(2, 3, 4, 3)), K(NORMAL, S1(3)), K(AWAY, S1(3))},
     {0}, 0, 0},
    {"feature distance", distance, distance_formula, {P(S4(2, 3, 2, 5)), P(S4(2, 3, 2, 5)), K(AWAY, S1(5))},
     {0}, 0, 0},
    {"feature distance wide", distance, distance_formula, {P(S2(90, 40)), K(NORMAL, S2(90, 40)), K(WEIGHT, S1(40))},
     {0}, 0, 0},
    {"reshape", reshape, reshape_formula, {P(S2(3, 4))}, {0}, 0, 0},
    {"detach", detach, detach_formula, {P(S2(3, 4)), P(S2(3, 4))}, {0}, 0, 0},
};
/* clang-format on */
enum { CASES = sizeof cases / sizeof *cases };

#endif
