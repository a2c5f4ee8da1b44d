/* gallery.h - what `vqvae report` shows of images: each one's error, the use of the codes, pairs
 * to look at, and an image of every code.
 */
#ifndef VQVAE_GALLERY_H
#define VQVAE_GALLERY_H

#include "vqvae/data.h"

typedef struct {
    size_t source, item; /* item number in the source */
    double mse, ssim;
} shot_t;

typedef struct {
    shot_t *shot; /* in the order of the sources, then of their items */
    size_t n;
    float *counts; /* [n sources, K] */
} gallery_t;

/* Encodes and decodes up to `limit` images (0 = all) of each source's split, spread over it. */
gallery_t gallery_new(vqvae_t *v, const data_t *d, split_t split, size_t limit);
void gallery_release(gallery_t *g);
/* Original and reconstruction of one image. */
void gallery_pair(vqvae_t *v, const data_t *d, const shot_t *s, image_t *original,
                  image_t *reconstruction);
/* The codes in the order given, `columns` a row: each decoded on a 3x3 grid of itself, of which the
 * middle (f x f) is shown, 1 pixel of gray between. */
image_t gallery_codes(vqvae_t *v, const uint32_t *code, size_t n, size_t columns);

#endif
