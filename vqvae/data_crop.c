/* data_crop.c - what data.crop and data.flip make of a training image; see data.h. */
#include "vqvae/data.h"

#include <math.h>

/* Numbers of a sample's random draws. A try of data.crop = resized draws area, shape, x and y. */
enum { RANDOM_SCALE = 10, RANDOM_X, RANDOM_Y, FLIP, RESIZED = 20, RESIZED_DRAWS = 4 };
enum { TRIES = 10 };

static image_t crop_random(const data_t *d, rng_t r, const image_t *im) {
    double scale = 0.8 + 0.2 * rng_uniform64(r, RANDOM_SCALE);
    double side = scale * fmin((double)im->w / (double)d->w, (double)im->h / (double)d->h);
    size_t w = (size_t)fmax(1, floor(side * (double)d->w)),
           h = (size_t)fmax(1, floor(side * (double)d->h));
    size_t x = rng_below(r, RANDOM_X, (uint32_t)(im->w - w + 1)),
           y = rng_below(r, RANDOM_Y, (uint32_t)(im->h - h + 1));
    return image_crop(im, x, y, w, h);
}

crop_box_t data_crop_resized(const data_t *d, rng_t r, size_t w, size_t h) {
    const double *scale = d->config.data.crop_scale.v, *ratio = d->config.data.crop_ratio.v;
    double shape = (double)d->w / (double)d->h, low = log(ratio[0]), high = log(ratio[1]);
    for (uint64_t i = 0; i < TRIES; i++) {
        uint64_t draw = RESIZED + RESIZED_DRAWS * i;
        double area =
            (double)w * (double)h * (scale[0] + (scale[1] - scale[0]) * rng_uniform64(r, draw));
        double wide = shape * exp(low + (high - low) * rng_uniform64(r, draw + 1));
        double cw = floor(sqrt(area * wide) + 0.5), ch = floor(sqrt(area / wide) + 0.5);
        if (cw < 1 || ch < 1 || cw > (double)w || ch > (double)h) continue;
        crop_box_t b = {.w = (size_t)cw, .h = (size_t)ch};
        b.x = rng_below(r, draw + 2, (uint32_t)(w - b.w + 1));
        b.y = rng_below(r, draw + 3, (uint32_t)(h - b.h + 1));
        return b;
    }
    /* As much as the nearest allowed shape holds, from the middle. */
    double is = (double)w / (double)h, wide = fmin(fmax(is, shape * ratio[0]), shape * ratio[1]);
    crop_box_t b = {.w = w, .h = h};
    if (is < wide) b.h = (size_t)fmax(1, floor((double)w / wide + 0.5));
    if (is > wide) b.w = (size_t)fmax(1, floor((double)h * wide + 0.5));
    b.x = (w - b.w) / 2;
    b.y = (h - b.h) / 2;
    return b;
}

static image_t crop_resized(const data_t *d, rng_t r, const image_t *im) {
    crop_box_t b = data_crop_resized(d, r, im->w, im->h);
    image_t crop = image_crop(im, b.x, b.y, b.w, b.h), fitted = image_resize(&crop, d->w, d->h);
    image_release(&crop);
    return fitted;
}

static void mirror(uint8_t *rgb, size_t w, size_t h) {
    for (size_t y = 0; y < h; y++)
        for (size_t x = 0; x < w / 2; x++) {
            uint8_t *left = &rgb[(y * w + x) * 3], *right = &rgb[(y * w + w - 1 - x) * 3];
            for (size_t c = 0; c < 3; c++) {
                uint8_t kept = left[c];
                left[c] = right[c];
                right[c] = kept;
            }
        }
}

void data_augment(const data_t *d, rng_t r, const image_t *im, uint8_t *rgb) {
    image_t crop = {0};
    if (d->config.data.crop == CROP_RANDOM) crop = crop_random(d, r, im);
    if (d->config.data.crop == CROP_RESIZED) crop = crop_resized(d, r, im);
    data_fit(d, crop.rgb ? &crop : im, rgb);
    image_release(&crop);
    if (d->config.data.flip && rng_below(r, FLIP, 2)) mirror(rgb, d->w, d->h);
}
