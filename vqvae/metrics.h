/* metrics.h - how good a reconstruction is (MSE and PSNR on [0,1], SSIM, whether a small colored
 * object survived) and how the codes are used.
 */
#ifndef VQVAE_METRICS_H
#define VQVAE_METRICS_H

#include "common/io/image/image.h"

/* Mean squared error on [0,1] of n values in [-1,1]; `recon` is clamped. */
double metrics_mse(const float *recon, const float *image, size_t n);
/* -10 log10 mse, in dB; at most 120. */
double metrics_psnr(double mse);
/* Structural similarity (Wang et al. 2004) of images a, b [h,w,3] in [-1,1] (b is clamped): per
 * channel, windows of 11 x 11 inside the image, Gaussian of sigma 1.5, K1 0.01, K2 0.03; the mean
 * over windows and channels. In an image smaller than the window, its smaller side is the
 * window's. */
double metrics_ssim(const float *a, const float *b, size_t w, size_t h);

/* An object by its color: pixels within `radius` (Euclidean, 0..255 RGB). */
typedef struct {
    uint8_t color[3];
    double radius;
} object_color_t;
/* Number of its pixels in rgb [h,w,3], and their center in pixels (0, 0 when there are none). */
size_t object_find(const object_color_t *o, const uint8_t *rgb, size_t w, size_t h, double *x,
                   double *y);

/* Of n vectors z [n,D] and their codes e [n,D] (NULL: none): mean length |z|, and mean |z - e|^2
 * over the variance of z (mean |z - mean z|^2); NAN where there is nothing to divide by. */
typedef struct {
    double norm, error;
} latents_t;
latents_t metrics_latents(const float *z, const float *e, size_t n, size_t D);

/* exp(-sum p ln p) of the shares p of counts [K]: how many codes would carry as much if all were
 * used alike. NAN when nothing was counted. */
double metrics_perplexity(const float *counts, size_t K);
/* How many of counts [K] are above 0. */
size_t metrics_used(const float *counts, size_t K);

#endif
