/* image_resize.c - resampling with an antialiased triangle filter, separable, in integers: the same
 * bytes on every machine.
 *
 * Along an axis, output i of n looks at the source around (i + 1/2) * source / n, with a triangle
 * of half-width max(1, source / n). Weights are 16-bit fixed point and add up to exactly 1, so a
 * flat image stays flat. Between the two passes 8 fractional bits are kept.
 */
#include "common/io/image/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ONE = 1 << 16 };

/* The weights of n outputs along an axis. Output k is the sum over the taps j
 *
 *     weight[at[k] + j] * source[start[k] + j],  0 <= j < at[k + 1] - at[k]
 */
typedef struct {
    size_t n, *start, *at;
    uint32_t *weight;
} axis_t;

static double triangle(double x) {
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

/* Rounds the running sum instead of each weight: the total is exact and thousands of tiny weights
 * keep their mean. */
static void quantize(const double *w, size_t n, uint32_t *out) {
    double sum = 0, run = 0;
    uint32_t done = 0;
    for (size_t i = 0; i < n; i++) sum += w[i];
    for (size_t i = 0; i < n; i++) {
        run += w[i];
        uint32_t upto = i + 1 == n ? ONE : (uint32_t)floor(run / sum * ONE + 0.5);
        out[i] = upto - done;
        done = upto;
    }
}

static axis_t axis_new(size_t source, size_t full, size_t first, size_t n) {
    double ratio = (double)source / (double)full, half = ratio > 1 ? ratio : 1;
    size_t most = (size_t)(2 * half) + 3;
    if (most > source) most = source;
    axis_t a = {n, xmalloc((n + 1) * sizeof(size_t)), xmalloc((n + 1) * sizeof(size_t)),
                xmalloc((n * most + 1) * sizeof(uint32_t))};
    double *w = xmalloc(most * sizeof *w);
    a.at[0] = 0;
    for (size_t k = 0; k < n; k++) {
        double center = ((double)(first + k) + 0.5) * ratio;
        double low = ceil(center - half - 0.5), high = floor(center + half - 0.5);
        size_t from = low > 0 ? (size_t)low : 0,
               to = high < (double)(source - 1) ? (size_t)high : source - 1;
        if (from > source - 1) from = source - 1;
        if (to < from) to = from;
        if (to - from >= most) to = from + most - 1;
        size_t taps = to - from + 1;
        double sum = 0;
        for (size_t j = 0; j < taps; j++) {
            w[j] = triangle(((double)(from + j) + 0.5 - center) / half);
            sum += w[j];
        }
        if (!(sum > 0)) w[0] = 1; /* rounding left only the triangle's feet */
        a.start[k] = from;
        a.at[k + 1] = a.at[k] + taps;
        quantize(w, taps, a.weight + a.at[k]);
    }
    free(w);
    return a;
}

static void axis_free(axis_t *a) {
    free(a->start);
    free(a->at);
    free(a->weight);
}

typedef uint32_t four_words_t __attribute__((vector_size(16)));

/* One source row to n pixels with 8 fractional bits. A pixel is taken with the byte behind it, as a
 * little-endian word whose bytes become a vector; the last tap alone, since nothing may stand
 * behind it. */
static void row_across(const uint8_t *row, const axis_t *a, uint16_t *out) {
    for (size_t k = 0; k < a->n; k++) {
        const uint8_t *p = row + 3 * a->start[k];
        size_t last = a->at[k + 1] - 1;
        four_words_t sum = {128, 128, 128, 0}, shift = {0, 8, 16, 24};
        for (size_t j = a->at[k]; j < last; j++, p += 3) {
            uint32_t pixel;
            memcpy(&pixel, p, sizeof pixel);
            sum += a->weight[j] * (pixel >> shift & 255);
        }
        for (int c = 0; c < 3; c++) sum[c] += a->weight[last] * p[c];
        for (int c = 0; c < 3; c++) out[3 * k + c] = (uint16_t)(sum[c] >> 8);
    }
}

/* The part x, y, w, h of im resampled to full_w x full_h. */
static image_t resample(const image_t *im, size_t full_w, size_t full_h, size_t x, size_t y,
                        size_t w, size_t h) {
    axis_t across = axis_new(im->w, full_w, x, w), down = axis_new(im->h, full_h, y, h);
    size_t width = 3 * w, first = im->h, last = 0;
    for (size_t k = 0; k < h; k++) {
        size_t end = down.start[k] + down.at[k + 1] - down.at[k];
        if (down.start[k] < first) first = down.start[k];
        if (end > last) last = end;
    }
    uint16_t *rows = xmalloc((last - first) * width * sizeof *rows);
    uint32_t *sum = xmalloc(width * sizeof *sum);
    for (size_t i = first; i < last; i++)
        row_across(im->rgb + 3 * im->w * i, &across, rows + (i - first) * width);
    image_t out = image_new(w, h);
    for (size_t k = 0; k < h; k++) {
        const uint16_t *row = rows + (down.start[k] - first) * width;
        for (size_t i = 0; i < width; i++) sum[i] = 1u << 23;
        for (size_t j = down.at[k]; j < down.at[k + 1]; j++, row += width)
            for (size_t i = 0; i < width; i++) sum[i] += down.weight[j] * row[i];
        for (size_t i = 0; i < width; i++) out.rgb[k * width + i] = (uint8_t)(sum[i] >> 24);
    }
    free(sum);
    free(rows);
    axis_free(&across);
    axis_free(&down);
    return out;
}

image_t image_resize(const image_t *im, size_t w, size_t h) {
    if (!im->w || !im->h || !w || !h) BUG("resize %zux%zu to %zux%zu", im->w, im->h, w, h);
    if (w == im->w && h == im->h) return image_crop(im, 0, 0, w, h);
    return resample(im, w, h, 0, 0, w, h);
}

/* round(a * b / c) */
static size_t scaled(size_t a, size_t b, size_t c) {
    return (size_t)(((unsigned __int128)a * b + c / 2) / c);
}

image_t image_fit(const image_t *im, size_t w, size_t h) {
    if (!im->w || !im->h || !w || !h) BUG("fit %zux%zu to %zux%zu", im->w, im->h, w, h);
    /* Wider than the target (im.w / im.h > w / h): the height decides. */
    bool wide = (unsigned __int128)im->w * h > (unsigned __int128)im->h * w;
    size_t full_w = wide ? scaled(im->w, h, im->h) : w, full_h = wide ? h : scaled(im->h, w, im->w);
    if (full_w < w) full_w = w;
    if (full_h < h) full_h = h;
    size_t x = (full_w - w) / 2, y = (full_h - h) / 2;
    if (full_w == im->w && full_h == im->h) return image_crop(im, x, y, w, h);
    /* Only the part that stays is computed: a strip of 1 x 10000 enlarged to 64 columns would be
     * 640000 rows. */
    return resample(im, full_w, full_h, x, y, w, h);
}
