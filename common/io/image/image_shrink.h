/* image_shrink.h - private to images: how much smaller than it is stored an image may come, and the
 * box filter that makes it so. Giants are shrunk while their rows are decoded: memory then holds a
 * row and the small image, never the large one.
 *
 * Along an axis, output pixel i of n is the rounded mean of the source pixels
 *
 *     floor(i * from / n) <= j < floor((i + 1) * from / n)
 */
#ifndef IO_IMAGE_SHRINK_H
#define IO_IMAGE_SHRINK_H

#include "common/io/image/image.h"

/* Pixels. JPEG above IMAGE_LARGE is decoded at a fraction of its size, PNG above IMAGE_GIANT shrunk
 * row by row. What is smaller never depends on what is wanted of it. */
enum { IMAGE_GIANT = 50000000, IMAGE_LARGE = 1000000 };

/* The largest whole factor by which an image of w x h may become smaller so that twice of want_w x
 * want_h is left; 0 = less than that is there, or nothing is wanted. */
uint64_t shrink_factor(uint64_t w, uint64_t h, size_t want_w, size_t want_h);
/* 1, 2, 4 or 8: a JPEG file of w x h pixels is decoded at one over that of its size. */
unsigned shrink_jpeg(uint64_t w, uint64_t h, const image_opts_t *o);
/* The size to which a giant of w x h is shrunk for the options' want_w x want_h: by the largest
 * whole factor that leaves twice of each. False: it is no giant, nothing is wanted, or the factor
 * would be 1. */
bool shrink_size(uint64_t w, uint64_t h, const image_opts_t *o, size_t *out_w, size_t *out_h);

typedef struct {
    size_t w, h;   /* of the source */
    size_t y;      /* source rows taken so far */
    image_t out;   /* owned */
    uint64_t *sum; /* [out.w,3] of the output row at hand */
    size_t rows;   /* source rows in it */
} shrink_t;

/* From w x h to out_w x out_h, each from 1 to the source's. */
shrink_t shrink_new(size_t w, size_t h, size_t out_w, size_t out_h);
/* Takes the next of the h source rows, [w,3]. */
void shrink_row(shrink_t *s, const uint8_t *rgb);
/* After the last row: the small image, the caller's from now on. */
image_t shrink_take(shrink_t *s);
/* Frees what is left, also when rows are missing. */
void shrink_release(shrink_t *s);

#endif
