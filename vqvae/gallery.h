/* gallery.h - what `vqvae report` shows of images: the error of each, the use of the codes,
 * originals with reconstructions, and an image of every code.
 */
#ifndef VQVAE_GALLERY_H
#define VQVAE_GALLERY_H

#include "vqvae/data.h"

/* One image that was encoded and decoded: item number `item` of source number `source`. */
typedef struct {
    size_t source, item;
    double mse, ssim;
} shot_t;

typedef struct {
    /* In the order of the sources, then of their items. */
    shot_t *shot;
    size_t n;
    /* [sources,K]: how often each code was used. */
    float *counts;
} gallery_t;

/* Encodes and decodes up to `limit` images (0 = all) of each source's split, spread over it. */
gallery_t gallery_new(vqvae_t *v, const data_t *d, split_t split, size_t limit);
void gallery_release(gallery_t *g);
/* Original and reconstruction of one image; the caller releases both. */
void gallery_pair(vqvae_t *v, const data_t *d, const shot_t *s, image_t *original,
                  image_t *reconstruction);
/* Of a tokenizer whose codes are ordered: a sheet with a row for each of n shots, the original and
 * its images from the first 1, 2, 4 .. and all codes; the caller releases it. */
image_t gallery_prefixes(vqvae_t *v, const data_t *d, const shot_t *s, size_t n);
/* An image of n codes in the order given, `columns` per row; the caller releases it. Each code is
 * decoded on a 3x3 grid of itself, of which the middle (f x f pixels) is shown, or as the first
 * code of an image where codes are ordered; with 1 pixel of gray between codes. */
image_t gallery_codes(vqvae_t *v, const uint32_t *code, size_t n, size_t columns);

#endif
