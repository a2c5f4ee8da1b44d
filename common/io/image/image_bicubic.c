/* image_bicubic.c - resampling with an antialiased bicubic filter, as Pillow does it, to the byte:
 * tokenizers that were trained behind it are to see the same pixels.
 *
 * Along an axis, output i of n looks at the source around (i + 1/2) * source / n, within 2 * max(1,
 * source / n). Weights are rounded to 22 fractional bits one by one. Rows come first and are
 * rounded to bytes, then columns; an axis whose size stays is passed over.
 */
#include "common/io/image/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BITS = 22 };

/* Output k is the sum over j < taps[k] of weight[k * most + j] * source[start[k] + j]. */
typedef struct {
    size_t n, most, *start, *taps;
    int32_t *weight;
} axis_t;

/* Keys' cubic convolution, a = -1/2. */
static double bicubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

static axis_t axis_new(size_t source, size_t n) {
    double scale = (double)source / (double)n, widened = scale < 1 ? 1 : scale,
           support = 2 * widened;
    axis_t a = {.n = n, .most = (size_t)ceil(support) * 2 + 1};
    a.start = xcalloc(n, sizeof *a.start);
    a.taps = xcalloc(n, sizeof *a.taps);
    a.weight = xcalloc(n * a.most, sizeof *a.weight);
    double *w = xmalloc(a.most * sizeof *w);
    for (size_t k = 0; k < n; k++) {
        double center = ((double)k + 0.5) * scale, low = center - support + 0.5,
               high = center + support + 0.5, sum = 0;
        size_t from = low > 0 ? (size_t)low : 0, to = (size_t)high;
        if (to > source) to = source;
        a.start[k] = from;
        a.taps[k] = to - from;
        for (size_t j = 0; j < a.taps[k]; j++) {
            w[j] = bicubic(((double)(from + j) - center + 0.5) * (1 / widened));
            sum += w[j];
        }
        for (size_t j = 0; j < a.taps[k]; j++) {
            double v = (sum != 0 ? w[j] / sum : w[j]) * (1 << BITS);
            a.weight[k * a.most + j] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
        }
    }
    free(w);
    return a;
}

static void axis_free(axis_t *a) {
    free(a->start);
    free(a->taps);
    free(a->weight);
}

static uint8_t to_byte(int32_t sum) {
    sum >>= BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* out[k] = filtered source, `step` bytes between neighbours on both sides. */
static void filter(const axis_t *a, size_t k, const uint8_t *source, size_t step, uint8_t *out) {
    int32_t sum = 1 << (BITS - 1);
    const int32_t *weight = a->weight + k * a->most;
    const uint8_t *p = source + a->start[k] * step;
    for (size_t j = 0; j < a->taps[k]; j++, p += step) sum += *p * weight[j];
    *out = to_byte(sum);
}

static image_t across(const image_t *im, size_t w) {
    axis_t a = axis_new(im->w, w);
    image_t out = image_new(w, im->h);
    for (size_t y = 0; y < im->h; y++)
        for (size_t k = 0; k < w; k++)
            for (size_t c = 0; c < 3; c++)
                filter(&a, k, im->rgb + y * im->w * 3 + c, 3, out.rgb + (y * w + k) * 3 + c);
    axis_free(&a);
    return out;
}

static image_t down(const image_t *im, size_t h) {
    axis_t a = axis_new(im->h, h);
    image_t out = image_new(im->w, h);
    size_t row = im->w * 3;
    for (size_t k = 0; k < h; k++)
        for (size_t i = 0; i < row; i++) filter(&a, k, im->rgb + i, row, out.rgb + k * row + i);
    axis_free(&a);
    return out;
}

image_t image_resize_bicubic(const image_t *im, size_t w, size_t h) {
    if (!im->w || !im->h || !w || !h) BUG("resize %zux%zu to %zux%zu", im->w, im->h, w, h);
    image_t wide = w == im->w ? image_crop(im, 0, 0, im->w, im->h) : across(im, w);
    if (h == im->h) return wide;
    image_t out = down(&wide, h);
    image_release(&wide);
    return out;
}
