/* act.h - elementwise kernels (act.c). All arrays are [n]. The promises of kernel.h hold, and an
 * output may be one of the inputs: y may be x, a or b, and dx may be dy. */
#ifndef KERNEL_ACT_H
#define KERNEL_ACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    ACT_SILU,       /* x sigmoid(x) */
    ACT_GELU,       /* 0.5 x (1 + erf(x / sqrt 2)) */
    ACT_GELU_TANH,  /* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's gelu_new */
    ACT_RELU,       /* max(0, x) */
    ACT_LEAKY_RELU, /* x > 0 ? x : 0.2 x */
    ACT_TANH        /* tanh(x) */
} kern_act_t;

/* y = act(x) */
void kern_act_forward(kern_act_t act, const float *x, size_t n, float *y);

/* dx (+)= act'(x) dy */
void kern_act_backward(kern_act_t act, const float *x, const float *dy, size_t n, float *dx,
                       bool add);

/* y (+)= s x */
void kern_scale(const float *x, float s, size_t n, float *y, bool add);

/* y = a + b */
void kern_add(const float *a, const float *b, size_t n, float *y);

/* y (+)= a b (GEGLU) */
void kern_mul(const float *a, const float *b, size_t n, float *y, bool add);

/* y[i] (+)= u(first + i) >= p ? x[i] / (1-p) : 0, inverted dropout
 *
 *   u  uniform on [0,1), drawn at that index by the rng (seed, stream) of common/base/rng.h
 *
 * The backward is the same function on dy. */
void kern_dropout(const float *x, size_t n, float p, uint64_t seed, uint64_t stream, uint64_t first,
                  float *y, bool add);

/* kern_dropout of some rows of a larger x, row i being row at[i] of it: the index of element j of
 * row i is first + at[i] D + j. Rows where at[i] < 0 count as 0.
 *
 *   x, y  [n,D]
 *   at    [n] */
void kern_dropout_rows(const float *x, const int32_t *at, size_t n, size_t D, float p,
                       uint64_t seed, uint64_t stream, uint64_t first, float *y, bool add);

#endif
