/* metrics.h - how good a reconstruction is: MSE and PSNR on [0,1], SSIM, and whether a small
 * colored object survived.
 */
#ifndef VQVAE_METRICS_H
#define VQVAE_METRICS_H

#include "common/io/image/image.h"

/* Mean squared error on [0,1] of n values in [-1,1]; `recon` is clamped. */
double mse_of(const float *recon, const float *image, size_t n);
/* -10 log10 mse. */
double psnr_of(double mse);
/* Structural similarity (Wang et al. 2004): per channel, 11x11 Gaussian window of sigma 1.5, K1
 * 0.01, K2 0.03, windows inside the image only, mean over windows and channels. a, b [h,w,3] in
 * [-1,1] (b clamped). Images smaller than the window use their smaller side. */
double ssim_of(const float *a, const float *b, size_t w, size_t h);

/* An object by its color: pixels within `radius` (Euclidean, 0..255 RGB). */
typedef struct {
    uint8_t color[3];
    double radius;
} object_color_t;
/* Number of its pixels, and their center. */
size_t object_find(const object_color_t *o, const uint8_t *rgb, size_t w, size_t h, double *x,
                   double *y);

/* Of n vectors z [n,D] and their codes e [n,D] (NULL: none): mean length |z|, and mean |z - e|^2
 * over the variance of z (mean |z - mean z|^2); NAN where there is nothing to divide by. */
typedef struct {
    double norm, error;
} latents_t;
latents_t latents_of(const float *z, const float *e, size_t n, size_t D);

#endif
