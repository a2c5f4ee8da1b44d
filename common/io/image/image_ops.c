/* image_ops.c - geometry of images: crop, pad, paste, zoom, contact sheets, orientation. Resizing
 * is image_resize.c.
 */
#include "common/io/image/image_codec.h"

#include <stdlib.h>
#include <string.h>

image_t image_crop(const image_t *im, size_t x, size_t y, size_t w, size_t h) {
    if (x > im->w || w > im->w - x || y > im->h || h > im->h - y)
        BUG("crop %zu,%zu %zux%zu of %zux%zu", x, y, w, h, im->w, im->h);
    image_t out = image_new(w, h);
    for (size_t i = 0; i < h; i++)
        memcpy(out.rgb + 3 * w * i, im->rgb + 3 * (im->w * (y + i) + x), 3 * w);
    return out;
}

image_t image_pad(const image_t *im, size_t w, size_t h) {
    if (w < im->w || h < im->h || !im->w || !im->h)
        BUG("pad %zux%zu to %zux%zu", im->w, im->h, w, h);
    image_t out = image_new(w, h);
    for (size_t y = 0; y < h; y++) {
        uint8_t *to = out.rgb + 3 * w * y;
        memcpy(to, im->rgb + 3 * im->w * (y < im->h ? y : im->h - 1), 3 * im->w);
        for (size_t x = im->w; x < w; x++) memcpy(to + 3 * x, to + 3 * (im->w - 1), 3);
    }
    return out;
}

void image_paste(image_t *dst, const image_t *src, size_t x, size_t y) {
    if (x >= dst->w || y >= dst->h) return;
    size_t w = src->w < dst->w - x ? src->w : dst->w - x;
    size_t h = src->h < dst->h - y ? src->h : dst->h - y;
    for (size_t i = 0; i < h; i++)
        memcpy(dst->rgb + 3 * (dst->w * (y + i) + x), src->rgb + 3 * src->w * i, 3 * w);
}

void image_over_row(uint8_t *rgb, const uint8_t *rgba, size_t w, const uint8_t background[3]) {
    for (size_t x = 0; x < w; x++)
        for (size_t c = 0; c < 3; c++)
            rgb[3 * x + c] = image_over(rgba[4 * x + c], rgba[4 * x + 3], background[c]);
}

image_t image_zoom(const image_t *im, size_t factor) {
    if (!factor) BUG("zoom by 0");
    image_t out = image_new(im->w * factor, im->h * factor);
    for (size_t y = 0; y < out.h; y++)
        for (size_t x = 0; x < out.w; x++)
            memcpy(out.rgb + 3 * (out.w * y + x), im->rgb + 3 * (im->w * (y / factor) + x / factor),
                   3);
    return out;
}

image_t image_sheet(const image_t *im, size_t n, size_t columns, size_t gap) {
    if (!n || !columns) BUG("a sheet of %zu images in %zu columns", n, columns);
    if (columns > n) columns = n;
    size_t w = 0, h = 0, rows = (n + columns - 1) / columns;
    for (size_t i = 0; i < n; i++) {
        if (im[i].w > w) w = im[i].w;
        if (im[i].h > h) h = im[i].h;
    }
    image_t out = image_new(columns * w + (columns - 1) * gap, rows * h + (rows - 1) * gap);
    memset(out.rgb, 255, 3 * out.w * out.h);
    for (size_t i = 0; i < n; i++)
        image_paste(&out, &im[i], i % columns * (w + gap), i / columns * (h + gap));
    return out;
}

void image_orient(image_t *im, int orientation) {
    if (orientation <= 1 || orientation > 8) return;
    /* EXIF 2.3, tag 0x0112: 5..8 exchange the sides. flip_x (flip_y): x (y) of the stored image
     * runs backwards along the axis of the shown image that it maps to. */
    static const struct {
        bool exchange, flip_x, flip_y;
    } rule[9] = {[2] = {0, 1, 0}, [3] = {0, 1, 1}, [4] = {0, 0, 1}, [5] = {1, 0, 0},
                 [6] = {1, 0, 1}, [7] = {1, 1, 1}, [8] = {1, 1, 0}};
    bool exchange = rule[orientation].exchange;
    image_t out = image_new(exchange ? im->h : im->w, exchange ? im->w : im->h);
    for (size_t y = 0; y < out.h; y++) {
        for (size_t x = 0; x < out.w; x++) {
            size_t sx = exchange ? y : x, sy = exchange ? x : y;
            if (rule[orientation].flip_x) sx = im->w - 1 - sx;
            if (rule[orientation].flip_y) sy = im->h - 1 - sy;
            memcpy(out.rgb + 3 * (out.w * y + x), im->rgb + 3 * (im->w * sy + sx), 3);
        }
    }
    image_release(im);
    *im = out;
}
