/* image_shrink.h - private to image: giant images shrunk while their rows are decoded, so that
 * memory holds a row and the small image, never the large one.
 *
 * A box filter: pixel i of n along an axis of `from` is the mean, rounded, of the source pixels i *
 * from / n (rounded down) up to (i + 1) * from / n, without the last.
 */
#ifndef IO_IMAGE_SHRINK_H
#define IO_IMAGE_SHRINK_H

#include "common/io/image/image.h"

/* Images above this may be shrunk while decoding; below, no pixel ever depends on what is wanted
 * of them. */
enum { IMAGE_GIANT = 50000000 };

/* How a giant of w x h is shrunk for the options' want_w x want_h: by the largest whole factor that
 * leaves twice of each. False when it is no giant, nothing is wanted, or the factor would be 1. */
bool shrink_size(uint64_t w, uint64_t h, const image_opts_t *o, size_t *out_w, size_t *out_h);

typedef struct {
    size_t w, h, y; /* source; rows taken so far */
    image_t out;    /* owned */
    uint64_t *sum;  /* of the output row at hand, [out.w,3] */
    size_t rows;    /* in it */
} shrink_t;
shrink_t shrink_new(size_t w, size_t h, size_t out_w, size_t out_h);
void shrink_row(shrink_t *s, const uint8_t *rgb); /* the next of h rows */
/* After the last row: the image is the caller's. */
image_t shrink_take(shrink_t *s);
void shrink_release(shrink_t *s);

#endif
