/* loss.h - losses and their gradients (loss.c, xent.c, loss_gan.c, perceptual.c). The promises
 * of kernel.h hold.
 *
 * A loss is a scalar out[1], summed in double. `dout` is the gradient that arrives at it.
 */
#ifndef KERNEL_LOSS_H
#define KERNEL_LOSS_H

#include "common/kernel/packed.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- differences ---- */

typedef enum {
    LOSS_L1, /* f(d) = |d| */
    LOSS_MSE /* f(d) = d^2 */
} kern_loss_t;

/* out = sum_rc w_r f(a_rc - b_rc) / sum_rc w_r
 *
 *   a, b  [rows,C]
 *   w     [rows], a weight per row (pixel); NULL = 1
 *
 * A row of weight 0 adds 0 even where it holds NaN. Without any weight the loss is 0. */
void kern_loss_forward(kern_loss_t f, const float *a, const float *b, const float *w, size_t rows,
                       size_t C, float *out);

/* da (+)= dout w_r f'(a_rc - b_rc) / sum_rc w_r; for db pass a and b swapped
 *
 *   da  [rows,C] */
void kern_loss_backward(kern_loss_t f, const float *a, const float *b, const float *w, size_t rows,
                        size_t C, float dout, float *da, bool add);

/* ---- softmax over columns [lo_i, hi_i) of row i ---- */

/* loss_row[i] = -log p_i(target_i);  out = sum_i w_i loss_row[i] / sum_i w_i
 *
 *   logits    [n,V]; p_i is the softmax of columns lo_i .. hi_i - 1
 *   target    [n], lo_i <= target_i < hi_i
 *   range     [n,2]: lo_i, hi_i
 *   w         [n]; NULL = 1
 *   loss_row  [n]; 0 where w_i = 0
 *
 * Without any weight the loss is 0. */
void kern_xent_forward(const float *logits, const int32_t *target, const int32_t *range,
                       const float *w, size_t n, size_t V, float *loss_row, float *out);

/* dlogits[i,j] (+)= dout w_i (p_ij - [j = target_i]) / sum_i w_i, 0 outside the range
 *
 *   dlogits  [n,V] */
void kern_xent_backward(const float *logits, const int32_t *target, const int32_t *range,
                        const float *w, size_t n, size_t V, float dout, float *dlogits, bool add);

/* value[i] = sum_j p_ij c_(j - lo_i), the expected center of a bin
 *
 *   logits  [n,V]
 *   range   [n,2]: lo_i, hi_i
 *   value   [n], in (-1, 1)
 *
 * bins = hi_i - lo_i; centers c_b = (2b+1)/bins - 1. */
void kern_expect_forward(const float *logits, const int32_t *range, size_t n, size_t V,
                         float *value);

/* dlogits[i,j] (+)= dvalue_i p_ij (c_(j - lo_i) - value_i), 0 outside the range
 *
 *   value, dvalue  [n]; value is kern_expect_forward's
 *   dlogits        [n,V] */
void kern_expect_backward(const float *logits, const int32_t *range, const float *value,
                          const float *dvalue, size_t n, size_t V, float *dlogits, bool add);

/* ---- the same where a linear layer makes the logits ---- */

/* logits = x W^T, made and forgotten a slice of rows at a time: memory does not grow with n. */
typedef struct {
    size_t n, D, V;
    const float *x, *W;            /* [n,D], [V,D] */
    const void *packed;            /* in place of W, forward only: its weights by kern_pack */
    kern_weights_t kind;           /* of packed */
    const int32_t *target, *range; /* as kern_xent_forward's */
    const float *w;                /* [n]; NULL = 1 */
    const int32_t *own;            /* [n,2], a second range lo, hi of each row; NULL = none */
} kern_head_t;

/* Bytes of `scratch`. */
size_t kern_head_scratch(const kern_head_t *g);

/* kern_xent_forward, and over the second range kern_expect_forward and the maximum
 *
 *   loss_row  [n]; out [1]
 *   value     [n], best [n]: the first column of the largest logit; both only with g->own */
void kern_head_forward(const kern_head_t *g, float *loss_row, float *out, float *value,
                       int32_t *best, void *scratch);

/* dx (+)= d W, dW (+)= d^T x, d = the gradient of the logits: that of kern_xent_backward and, with
 * dvalue, that of kern_expect_backward added
 *
 *   dvalue  [n], NULL = no gradient arrives at value
 *   dx, dW  NULL = not wanted */
void kern_head_backward(const kern_head_t *g, float dout, const float *value, const float *dvalue,
                        float *dx, bool add_x, float *dW, bool add_W, void *scratch);

/* ---- logits of a discriminator ---- */

typedef enum {
    GAN_GENERATOR,    /* f(x) = -x */
    GAN_HINGE_REAL,   /* f(x) = max(0, 1 - x) (Lim & Ye 2017) */
    GAN_HINGE_FAKE,   /* f(x) = max(0, 1 + x) */
    GAN_VANILLA_REAL, /* f(x) = softplus(-x) (Goodfellow et al. 2014) */
    GAN_VANILLA_FAKE  /* f(x) = softplus(x) */
} kern_gan_t;

/* out = mean_i f(x_i)
 *
 *   x  [n] */
void kern_gan_forward(kern_gan_t f, const float *x, size_t n, float *out);

/* dx (+)= dout f'(x) / n */
void kern_gan_backward(kern_gan_t f, const float *x, size_t n, float dout, float *dx, bool add);

/* ---- perceptual distance (LPIPS, Zhang et al. 2018) ---- */

/* y[r,c] = (x[r,c] - mean[c]) / std[c]
 *
 *   x, y  [rows,C] */
void kern_standardize_forward(const float *x, const float *mean, const float *std, size_t rows,
                              size_t C, float *y);

/* dx[r,c] (+)= dy[r,c] / std[c] */
void kern_standardize_backward(const float *dy, const float *std, size_t rows, size_t C, float *dx,
                               bool add);

/* out = mean_r sum_c w_c (a_rc / (|a_r| + 1e-10) - b_rc / (|b_r| + 1e-10))^2
 *
 *   a, b  [rows,C]; |a_r| is the length of row r
 *   w     [C] */
void kern_feature_distance_forward(const float *a, const float *b, const float *w, size_t rows,
                                   size_t C, float *out);

/* da (+)= dout d(out)/da; for db pass a and b swapped. The gradient of a row of zeros is zero. */
void kern_feature_distance_backward(const float *a, const float *b, const float *w, size_t rows,
                                    size_t C, float dout, float *da, bool add);

#endif
