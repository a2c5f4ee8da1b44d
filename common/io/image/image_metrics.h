/* image_metrics.h - how near one image is to another: MSE and PSNR on [0,1], SSIM, which pixels
 * differ, and where a small colored object is.
 */
#ifndef IO_IMAGE_METRICS_H
#define IO_IMAGE_METRICS_H

#include "common/io/image/image.h"

/* Mean squared error on [0,1] of n values in [-1,1]; `recon` is clamped. */
double image_mse(const float *recon, const float *image, size_t n);
/* -10 log10 mse, in dB; at most 120. */
double image_psnr(double mse);
/* Structural similarity (Wang et al. 2004) of images a, b [h,w,3] in [-1,1] (b is clamped): per
 * channel, windows of 11 x 11 inside the image, Gaussian of sigma 1.5, K1 0.01, K2 0.03; the mean
 * over windows and channels. In an image smaller than the window, its smaller side is the
 * window's. */
double image_ssim(const float *a, const float *b, size_t w, size_t h);

/* An object by its color: pixels within `radius` (Euclidean, 0..255 RGB). */
typedef struct {
    uint8_t color[3];
    double radius;
} object_color_t;
/* Number of its pixels in rgb [h,w,3], and their center in pixels (0, 0 when there are none). */
size_t object_find(const object_color_t *o, const uint8_t *rgb, size_t w, size_t h, double *x,
                   double *y);

enum { IMAGE_DIFFERENCE = 16 };
/* differs [n]: pixels of rgb [n,3] of which a channel differs by more than IMAGE_DIFFERENCE from
 * that of `other`. Returns how many. */
size_t image_differs(const uint8_t *rgb, const uint8_t *other, size_t n, bool *differs);

#endif
