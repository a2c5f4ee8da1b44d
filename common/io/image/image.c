/* image.c - the image itself: its memory, the limits of its size, pixels to numbers and back. Calls
 * no codec.
 *
 * Files become images in image_read.c; geometry is image_ops.c and image_resize.c.
 */
#include "common/io/image/image.h"
#include "common/io/image/image_codec.h"

#include <stdlib.h>

image_opts_t image_opts_default(void) {
    return (image_opts_t){.background = {255, 255, 255}};
}

enum { PIXELS_MAX = 100000000, SHRUNK_PIXELS_MAX = 1000000000 };

uint64_t image_max_pixels(const image_opts_t *o, bool shrinks) {
    if (o && o->max_pixels) return o->max_pixels;
    return shrinks ? SHRUNK_PIXELS_MAX : PIXELS_MAX;
}

image_status_t image_check_size(uint64_t w, uint64_t h, bool shrinks, const image_opts_t *o,
                                reason_t *why) {
    uint64_t max = image_max_pixels(o, shrinks);
    if (w && h && w <= max / h) return IMAGE_OK;
    if (!w || !h) return (image_status_t)reason_set(why, "no pixels");
    reason_set(why, "%llu x %llu pixels are more than --max-pixels %llu", (unsigned long long)w,
               (unsigned long long)h, (unsigned long long)max);
    return IMAGE_BAD;
}

image_t image_new(size_t w, size_t h) {
    size_t bytes;
    if (__builtin_mul_overflow(w, h, &bytes) || __builtin_mul_overflow(bytes, 3, &bytes))
        BUG("an image of %zu x %zu", w, h);
    return (image_t){w, h, xmalloc(bytes)};
}

void image_release(image_t *im) {
    free(im->rgb);
    *im = (image_t){0};
}

void image_to_float(const uint8_t *rgb, size_t n, float *out) {
    float number[256];
    for (int v = 0; v < 256; v++) number[v] = (float)(v / 127.5 - 1);
    for (size_t i = 0; i < n; i++) out[i] = number[rgb[i]];
}

void image_from_float(const float *v, size_t n, uint8_t *rgb) {
    for (size_t i = 0; i < n; i++) {
        double level = ((double)v[i] + 1) * 127.5;
        /* The comparison is false for NaN, which becomes 0. */
        rgb[i] = level > 0 ? level < 255 ? (uint8_t)(level + 0.5) : 255 : 0;
    }
}
