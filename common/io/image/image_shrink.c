/* image_shrink.c - see image_shrink.h. */
#include "common/io/image/image_shrink.h"

#include <stdlib.h>
#include <string.h>

uint64_t shrink_factor(uint64_t w, uint64_t h, size_t want_w, size_t want_h) {
    if (!want_w || !want_h) return 0;
    uint64_t x = w / 2 / want_w, y = h / 2 / want_h;
    return x < y ? x : y;
}

unsigned shrink_jpeg(uint64_t w, uint64_t h, const image_opts_t *o) {
    uint64_t factor = shrink_factor(w, h, o->want_w, o->want_h);
    if (factor < 2 || w <= IMAGE_LARGE / h) return 1;
    return factor >= 8 ? 8 : factor >= 4 ? 4 : 2;
}

bool shrink_size(uint64_t w, uint64_t h, const image_opts_t *o, size_t *out_w, size_t *out_h) {
    uint64_t factor = shrink_factor(w, h, o->want_w, o->want_h);
    if (factor < 2 || w <= IMAGE_GIANT / h) return false;
    *out_w = (size_t)(w / factor);
    *out_h = (size_t)(h / factor);
    return true;
}

/* Where output i begins. */
static size_t edge(size_t i, size_t from, size_t n) {
    return (size_t)((unsigned __int128)i * from / n);
}

shrink_t shrink_new(size_t w, size_t h, size_t out_w, size_t out_h) {
    return (shrink_t){.w = w,
                      .h = h,
                      .out = image_new(out_w, out_h),
                      .sum = xcalloc(3 * out_w, sizeof(uint64_t))};
}

static void add_row(shrink_t *s, const uint8_t *rgb) {
    for (size_t i = 0, x = 0; i < s->out.w; i++) {
        size_t end = edge(i + 1, s->w, s->out.w);
        uint64_t r = 0, g = 0, b = 0;
        for (; x < end; x++, rgb += 3) {
            r += rgb[0];
            g += rgb[1];
            b += rgb[2];
        }
        s->sum[3 * i] += r;
        s->sum[3 * i + 1] += g;
        s->sum[3 * i + 2] += b;
    }
    s->rows++;
}

static void close_row(shrink_t *s, size_t row) {
    uint8_t *to = s->out.rgb + 3 * s->out.w * row;
    for (size_t i = 0; i < s->out.w; i++) {
        uint64_t n = s->rows * (edge(i + 1, s->w, s->out.w) - edge(i, s->w, s->out.w));
        for (size_t c = 0; c < 3; c++) to[3 * i + c] = (uint8_t)((s->sum[3 * i + c] + n / 2) / n);
    }
    memset(s->sum, 0, 3 * s->out.w * sizeof *s->sum);
    s->rows = 0;
}

void shrink_row(shrink_t *s, const uint8_t *rgb) {
    if (s->y >= s->h) BUG("row %zu of %zu", s->y, s->h);
    add_row(s, rgb);
    s->y++;
    /* The output row that source row y - 1 belongs to: it is whole when the next one begins at
     * y. */
    size_t row = (size_t)(((unsigned __int128)s->y * s->out.h - 1) / s->h);
    if (edge(row + 1, s->h, s->out.h) == s->y) close_row(s, row);
}

image_t shrink_take(shrink_t *s) {
    if (s->y != s->h) BUG("%zu of %zu rows", s->y, s->h);
    image_t out = s->out;
    s->out = (image_t){0};
    return out;
}

void shrink_release(shrink_t *s) {
    image_release(&s->out);
    free(s->sum);
    s->sum = NULL;
}

void image_reduce(image_t *im, size_t want_w, size_t want_h) {
    uint64_t factor = shrink_factor(im->w, im->h, want_w, want_h);
    if (factor < 2) return;
    shrink_t s = shrink_new(im->w, im->h, im->w / factor, im->h / factor);
    for (size_t y = 0; y < im->h; y++) shrink_row(&s, im->rgb + 3 * im->w * y);
    image_release(im);
    *im = shrink_take(&s);
    shrink_release(&s);
}
