/* encoder.c - see encoder.h. */
#include "tokenize/encoder.h"

#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/io/image/image_metrics.h"

#include <stdlib.h>
#include <string.h>

void encoded_release(encoded_t *image) {
    image_release(&image->im);
    free(image->codes);
    free(image->png);
    *image = (encoded_t){0};
}

void encoder_hint_size(tokenizer_t *tokenizer, image_opts_t *opts) {
    if (tokenizer) tokenizer_preprocess_size(tokenizer, &opts->want_w, &opts->want_h);
}

void encoder_prepare(const encoder_t *encoder, encoded_t *image) {
    if (!encoder->tokenizer) return;
    image_t im = tokenizer_preprocess(encoder->tokenizer, &image->im);
    image_release(&image->im);
    image->im = im;
}

/* Images of one size that are encoded in one call. */
typedef struct {
    encoded_t *image;
    const size_t *at; /* [n]: which ones */
    size_t n;
    uint8_t *rgb; /* their pixels one after another: [n, h, w, 3] */
} group_t;

static void gather(void *ctx, size_t i) {
    const group_t *group = ctx;
    const image_t *im = &group->image[group->at[i]].im;
    size_t bytes = im->w * im->h * 3;
    memcpy(group->rgb + i * bytes, im->rgb, bytes);
}

/* PSNR of image i of a group against its decoded image. */
static double psnr_of(const group_t *group, const uint8_t *decoded, size_t i) {
    const image_t *im = &group->image[group->at[i]].im;
    size_t n = im->w * im->h * 3;
    float *x = xmalloc(2 * n * sizeof *x);
    image_to_float(group->rgb + i * n, n, x);
    image_to_float(decoded + i * n, n, x + n);
    double psnr = image_psnr(image_mse(x + n, x, n));
    free(x);
    return psnr;
}

/* Cuts the codes of a group's images, all of which they have, to the first that are enough. */
static void cut_tails(const encoder_t *encoder, const group_t *group) {
    const image_t *first = &group->image[group->at[0]].im;
    size_t all = tokenizer_most_kept(encoder->tokenizer);
    uint32_t *prefix = xmalloc(group->n * all * sizeof *prefix);
    uint8_t *decoded = xmalloc(group->n * first->w * first->h * 3);
    bool *done = xcalloc(group->n, sizeof *done);
    size_t left = group->n;
    for (size_t keep = 1; keep < all && left; keep++) {
        for (size_t i = 0; i < group->n; i++)
            memcpy(prefix + i * keep, group->image[group->at[i]].codes, keep * sizeof *prefix);
        tokenizer_decode(encoder->tokenizer, prefix, group->n, (tokenizer_grid_t){1, keep},
                         decoded);
        for (size_t i = 0; i < group->n; i++) {
            if (done[i] || psnr_of(group, decoded, i) < encoder->psnr) continue;
            done[i] = true;
            left--;
            group->image[group->at[i]].grid_w = (uint32_t)keep;
        }
    }
    free(prefix);
    free(decoded);
    free(done);
}

static void encode_group(const encoder_t *encoder, const group_t *group) {
    const image_t *first = &group->image[group->at[0]].im;
    tokenizer_grid_t grid = tokenizer_grid(encoder->tokenizer, first->w, first->h);
    size_t cells = grid.w * grid.h;
    uint32_t *codes = xmalloc(group->n * cells * sizeof *codes);
    parallel_for(group->n, gather, (void *)group);
    tokenizer_encode(encoder->tokenizer, group->rgb, group->n, first->w, first->h, codes);
    for (size_t i = 0; i < group->n; i++) {
        encoded_t *image = &group->image[group->at[i]];
        image->grid_h = (uint32_t)grid.h;
        image->grid_w = (uint32_t)grid.w;
        image->codes = xmalloc(cells * sizeof *codes);
        memcpy(image->codes, codes + i * cells, cells * sizeof *codes);
    }
    free(codes);
    if (encoder->psnr > 0) cut_tails(encoder, group);
}

/* The largest power of two that is at most n; n > 0. */
static size_t power_of_two(size_t n) {
    size_t power = 1;
    while (2 * power <= n) power *= 2;
    return power;
}

/* All images of the size of image[at[0]], in batches. The tokenizer makes a plan for each number of
 * images and keeps only a few: so the rest of a batch goes in powers of two. */
static void encode_size(const encoder_t *encoder, encoded_t *image, const size_t *at, size_t n) {
    const image_t *first = &image[at[0]].im;
    group_t group = {.image = image, .at = at};
    group.rgb = xmalloc(min_size(n, encoder->batch) * first->w * first->h * 3);
    while (n) {
        group.n = n < encoder->batch ? power_of_two(n) : encoder->batch;
        encode_group(encoder, &group);
        group.at += group.n;
        n -= group.n;
    }
    free(group.rgb);
}

/* Size by size, each in the order of its first image. */
static void encode_all(const encoder_t *encoder, encoded_t *image, size_t n) {
    size_t *at = xmalloc(n * sizeof *at);
    for (size_t i = 0; i < n; i++) {
        if (!image[i].im.rgb || image[i].codes) continue;
        size_t same = 0;
        for (size_t k = i; k < n; k++)
            if (image[k].im.rgb && image[k].im.w == image[i].im.w && image[k].im.h == image[i].im.h)
                at[same++] = k;
        encode_size(encoder, image, at, same);
    }
    free(at);
}

static void to_png(void *ctx, size_t i) {
    encoded_t *image = (encoded_t *)ctx + i;
    reason_t why;
    if (image->im.rgb && image_encode_png(&image->im, &image->png, &image->png_size, &why))
        die(RC_RUNTIME, "%s", why.text);
}

void encoder_run(const encoder_t *encoder, encoded_t *image, size_t n) {
    if (encoder->tokenizer) encode_all(encoder, image, n);
    if (encoder->keep) parallel_for(n, to_png, image);
}
