/* optim.h - the optimizer's sweep over one block of parameters (optim.c). The promises of kernel.h
 * hold. */
#ifndef KERNEL_OPTIM_H
#define KERNEL_OPTIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    float lr, beta1, beta2, eps;
    float weight_decay;
    /* The decay shrinks the weight itself (AdamW), else it is added to the gradient (Adam, L2). */
    bool decoupled;
    /* Multiplies the gradient first: clipping, 1/accumulate. */
    float grad_scale;
    /* 1 at the first update. */
    int64_t step;
} kern_adam_t;

/* Adam (Kingma & Ba 2015), AdamW (Loshchilov & Hutter 2019); t = step:
 *   g <- grad_scale g (+ weight_decay w unless decoupled)
 *   m <- beta1 m + (1 - beta1) g
 *   v <- beta2 v + (1 - beta2) g^2
 *   w <- w (1 - lr weight_decay if decoupled) - lr m/(1 - beta1^t) / (sqrt(v/(1 - beta2^t)) + eps)
 *
 *   w, m, v  [n], updated
 *   g        [n], read only */
void kern_adam(const kern_adam_t *o, float *w, const float *g, float *m, float *v, size_t n);

/* sum_i x[i]^2 in double, in fixed pieces. */
double kern_sumsq(const float *x, size_t n);

#endif
