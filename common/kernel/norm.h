/* norm.h - normalization by groups of channels, by rows and over the batch (groupnorm.c,
 * layernorm.c, batchnorm.c). The promises of kernel.h hold.
 *
 * Throughout: xhat = (x - mean) rstd with the biased variance, rstd = 1/sqrt(var + eps), and
 * z = gamma xhat + beta with gamma, beta [C]. Forward writes mean and rstd for the backward.
 * The gradients dgamma [C], dbeta [C] and dx may each be NULL, and each has its own `add`.
 */
#ifndef KERNEL_NORM_H
#define KERNEL_NORM_H

#include <stdbool.h>
#include <stddef.h>

/* y = act(z), mean and variance per image and group of C/G channels (Wu & He 2018)
 *
 *   x, y        [N,HW,C]; y may be x
 *   G           divides C
 *   silu        act(z) = z sigmoid(z), else z
 *   mean, rstd  [N,G] */
void kern_groupnorm_forward(const float *x, const float *gamma, const float *beta, size_t N,
                            size_t HW, size_t C, size_t G, float eps, bool silu, float *y,
                            float *mean, float *rstd);

/* With dz = act'(z) dy and sums over the pixels of an image:
 *   dbeta  (+)= sum dz            dgamma (+)= sum dz xhat
 *   dx     (+)= rstd (gamma dz - mean(gamma dz) - xhat mean(gamma dz xhat)), means over a group
 *
 *   dy, dx  [N,HW,C]; dx may be dy unless add_dx */
void kern_groupnorm_backward(const float *x, const float *gamma, const float *beta,
                             const float *mean, const float *rstd, const float *dy, size_t N,
                             size_t HW, size_t C, size_t G, bool silu, float *dx, bool add_dx,
                             float *dgamma, bool add_dgamma, float *dbeta, bool add_dbeta);

/* y = z, mean and variance per row (Ba et al. 2016)
 *
 *   x, y        [rows,C]; y may be x
 *   mean, rstd  [rows] */
void kern_layernorm_forward(const float *x, const float *gamma, const float *beta, size_t rows,
                            size_t C, float eps, float *y, float *mean, float *rstd);

/*   dbeta  (+)= sum dy            dgamma (+)= sum dy xhat, over rows
 *   dx     (+)= rstd (gamma dy - mean(gamma dy) - xhat mean(gamma dy xhat)), means over a row
 *
 *   dy, dx  [rows,C]; dx may be dy unless add_dx */
void kern_layernorm_backward(const float *x, const float *gamma, const float *mean,
                             const float *rstd, const float *dy, size_t rows, size_t C, float *dx,
                             bool add_dx, float *dgamma, bool add_dgamma, float *dbeta,
                             bool add_dbeta);

/* y = act(z), mean and variance per channel over all rows: training mode (Ioffe & Szegedy 2015)
 *
 *   x, y        [rows,C]: all pixels of the batch
 *   leaky       act = leaky ReLU of slope 0.2, else z
 *   mean, rstd  [C]
 *   var         [C]: the unbiased variance, for running statistics
 *
 * Unlike the others an output element depends on the whole batch. */
void kern_batchnorm_forward(const float *x, const float *gamma, const float *beta, size_t rows,
                            size_t C, float eps, bool leaky, float *y, float *mean, float *rstd,
                            float *var);

/* With dz = act'(z) dy, sums and means over rows:
 *   dbeta  (+)= sum dz            dgamma (+)= sum dz xhat
 *   dx     (+)= gamma rstd (dz - mean(dz) - xhat mean(dz xhat))
 *
 *   dy, dx  [rows,C] */
void kern_batchnorm_backward(const float *x, const float *gamma, const float *beta,
                             const float *mean, const float *rstd, const float *dy, size_t rows,
                             size_t C, bool leaky, float *dx, bool add_dx, float *dgamma,
                             bool add_dgamma, float *dbeta, bool add_dbeta);

#endif
