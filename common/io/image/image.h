/* image.h - images: decode PNG, JPEG and, where libwebp was there at build time, WebP (by magic
 * bytes), encode PNG, resize, crop, pad, contact sheets.
 *
 * An image is 8-bit RGB, row-major, top row first. Decoding expands palette, gray, 16 bit (v/257
 * rounded), composites alpha over `background`, handles Adam7, takes the first frame of an APNG
 * or of an animated WebP.
 * Images above 50 Mpx whose rows come in order (PNG without Adam7, JPEG of one scan) are shrunk
 * by a box filter while they are decoded, if want_w and want_h say that less will do: memory then
 * holds a row and the small image. Nothing partially decoded comes out: any defect is -1 with a
 * reason. Oddities that leave every pixel certain (an odd version number, bytes between or behind
 * the parts of a file) are let through and counted in image_notes_t.
 */
#ifndef IO_IMAGE_H
#define IO_IMAGE_H

#include "common/base/die.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    size_t w, h;
    uint8_t *rgb; /* [h,w,3], owned */
} image_t;

/* Oddities of files that were decoded all the same, an image counted once a kind. From
 * NOTE_DAMAGE on: damage that only a lenient caller takes. */
typedef enum {
    NOTE_JPEG_SCAN,
    NOTE_JPEG_JFIF,
    NOTE_JPEG_ADOBE,
    NOTE_JPEG_BETWEEN,
    NOTE_JPEG_BEHIND,
    NOTE_PNG_BEHIND,
    NOTE_WEBP_BEHIND,
    NOTE_DAMAGE,
    NOTE_JPEG_DAMAGE = NOTE_DAMAGE,
    NOTE_PNG_CRC,
    NOTE_PNG_END,
    NOTE_KINDS
} image_note_t;
/* Thread-safe; {0} is none. */
typedef struct {
    atomic_size_t harmless, damaged, kind[NOTE_KINDS]; /* images; by kind */
} image_notes_t;
/* A log line each for the harmless and for the damaged ones; nothing when there are none. */
void image_notes_summary(const image_notes_t *n);

typedef struct {
    uint64_t
        max_pixels; /* 0 = 100,000,000, and 1,000,000,000 for giants that are shrunk row by row */
    size_t want_w,
        /* what the image will be scaled down to: giants come smaller, but not below twice this */
        want_h;
    uint8_t background[3]; /* behind alpha */
    /* Take JPEG files that end early or hold damaged data, and PNG files whose pixels are whole but
     * that have a wrong checksum in an ancillary chunk or no end. */
    bool lenient;
    bool no_exif;         /* ignore the orientation that a file states */
    image_notes_t *notes; /* where oddities are counted; NULL = nowhere */
} image_opts_t;
/* What --lenient of the programs says. */
#define IMAGE_LENIENT_HELP                                                                         \
    "take damaged images too: JPEG that ends early or holds bad data, PNG with whole pixels but "  \
    "a "                                                                                           \
    "wrong checksum in an ancillary chunk or without an end"
image_opts_t image_opts_default(void); /* white background, 100 Mpx */

typedef enum { IMAGE_OK = 0, IMAGE_BAD = -1, IMAGE_UNSUPPORTED = -2 } image_status_t;
/* IMAGE_UNSUPPORTED: an image of another format (AVIF, GIF, TIFF, ...), arithmetic or 12-bit
 * JPEG. */
image_status_t image_decode(image_t *out, const uint8_t *bytes, size_t size, const image_opts_t *o,
                            reason_t *why);
image_status_t image_read(image_t *out, const char *path, const image_opts_t *o, reason_t *why);
void image_release(image_t *im);

image_t image_new(size_t w, size_t h);
/* Deterministic PNG (no tIME). To memory: malloc'ed. */
int image_encode_png(const image_t *im, uint8_t **bytes, size_t *size, reason_t *why);
int image_write_png(const image_t *im, const char *path, reason_t *why); /* atomic */

/* Antialiased bilinear (triangle filter), pixel centers at half integers. */
image_t image_resize(const image_t *im, size_t w, size_t h);
image_t image_crop(const image_t *im, size_t x, size_t y, size_t w, size_t h);
/* Edge-replicating padding on the right and below. */
image_t image_pad(const image_t *im, size_t w, size_t h);
/* How an image of any size becomes w x h: smaller side to the target (enlarged if needed), center
 * crop. */
image_t image_fit(const image_t *im, size_t w, size_t h);
/* Copies src into dst at x, y (clipped). */
void image_paste(image_t *dst, const image_t *src, size_t x, size_t y);
/* Nearest-neighbour enlargement by an integer factor (for looking at small images). */
image_t image_zoom(const image_t *im, size_t factor);
/* n images in a grid of `columns`, cells of the largest size, `gap` pixels of white between. */
image_t image_sheet(const image_t *im, size_t n, size_t columns, size_t gap);

/* v/127.5 - 1 in double, then float (taming's preprocessing), and back: round((v+1)*127.5) clamped.
 * n = elements. */
void image_to_float(const uint8_t *rgb, size_t n, float *out);
void image_from_float(const float *v, size_t n, uint8_t *rgb);

#endif
