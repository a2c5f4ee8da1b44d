/* image_metrics.c - see image_metrics.h. */
#include "common/io/image/image_metrics.h"

#include <math.h>
#include <stdlib.h>

static double clamp(double v) {
    return fmin(1, fmax(-1, v));
}

double image_mse(const float *recon, const float *image, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (clamp(recon[i]) - image[i]) / 2;
        sum += d * d;
    }
    return sum / (double)n;
}

double image_psnr(double mse) {
    return -10 * log10(mse < 1e-12 ? 1e-12 : mse);
}

enum { WINDOW = 11 };

/* One window of one channel: s = the sums of p, q, p^2, q^2 and pq over side x side pixels,
 * weighted by a Gaussian, are means; from them variances, covariance, and
 *
 *     (2 mp mq + c1) (2 cov + c2) / ((mp^2 + mq^2 + c1) (var p + var q + c2))
 */
static double ssim_window(const float *a, const float *b, size_t w, size_t side, const double *g) {
    double s[5] = {0};
    for (size_t y = 0; y < side; y++)
        for (size_t x = 0; x < side; x++) {
            double k = g[y] * g[x], p = (a[(y * w + x) * 3] + 1) / 2,
                   q = (clamp(b[(y * w + x) * 3]) + 1) / 2;
            s[0] += k * p;
            s[1] += k * q;
            s[2] += k * p * p;
            s[3] += k * q * q;
            s[4] += k * p * q;
        }
    double vx = s[2] - s[0] * s[0], vy = s[3] - s[1] * s[1], cov = s[4] - s[0] * s[1],
           c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;
    return (2 * s[0] * s[1] + c1) * (2 * cov + c2) /
           ((s[0] * s[0] + s[1] * s[1] + c1) * (vx + vy + c2));
}

double image_ssim(const float *a, const float *b, size_t w, size_t h) {
    size_t side = WINDOW;
    if (w < side) side = w;
    if (h < side) side = h;
    double g[WINDOW], sum = 0;
    for (size_t i = 0; i < side; i++) {
        double x = (double)i - ((double)side - 1) / 2;
        g[i] = exp(-x * x / (2 * 1.5 * 1.5));
        sum += g[i];
    }
    for (size_t i = 0; i < side; i++) g[i] /= sum;
    double total = 0;
    for (size_t c = 0; c < 3; c++)
        for (size_t y = 0; y + side <= h; y++)
            for (size_t x = 0; x + side <= w; x++)
                total += ssim_window(a + (y * w + x) * 3 + c, b + (y * w + x) * 3 + c, w, side, g);
    return total / (3 * (double)((h - side + 1) * (w - side + 1)));
}

size_t object_find(const object_color_t *o, const uint8_t *rgb, size_t w, size_t h, double *x,
                   double *y) {
    size_t n = 0;
    *x = *y = 0;
    for (size_t i = 0; i < w * h; i++) {
        double d = 0;
        for (size_t c = 0; c < 3; c++)
            d += (rgb[i * 3 + c] - o->color[c]) * (rgb[i * 3 + c] - o->color[c]);
        if (d > o->radius * o->radius) continue;
        n++;
        *x += (double)(i % w);
        *y += (double)(i / w);
    }
    if (!n) return 0;
    *x /= (double)n;
    *y /= (double)n;
    return n;
}

size_t image_differs(const uint8_t *rgb, const uint8_t *other, size_t n, bool *differs) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        int most = 0;
        for (size_t c = 0; c < 3; c++) {
            int difference = abs(rgb[i * 3 + c] - other[i * 3 + c]);
            if (difference > most) most = difference;
        }
        differs[i] = most > IMAGE_DIFFERENCE;
        count += differs[i];
    }
    return count;
}
