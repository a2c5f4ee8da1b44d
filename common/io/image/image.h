/* image.h - images: decoding PNG, JPEG and, where libwebp was there at build time, WebP; encoding
 * PNG; resizing, cropping, padding, contact sheets.
 *
 * An image is 8-bit RGB, row by row, the top row first. The format of a file is told by its first
 * bytes. Decoding expands palettes and gray, rounds 16 bits (v / 257), composites alpha over
 * `background`, reads interlaced PNG, and takes the first frame of an animated PNG or WebP.
 *
 * A defect gives no image but a reason. Oddities that leave every pixel certain (an odd version
 * number, bytes between or behind the parts of a file, no end marker behind a whole scan) are let
 * through and counted in
 * image_notes_t.
 *
 * Large images come smaller than they are stored if want_w and want_h say that less will do, but
 * never below twice of these:
 *   - JPEG above one megapixel is decoded at 1/2, 1/4 or 1/8 of its size, the smallest that does
 *     (libjpeg takes the low frequencies of each block: two to three times as fast);
 *   - PNG above 50 megapixels that is not interlaced is shrunk by a box filter row by row.
 * Memory then never holds the large image, but that of JPEG in several scans.
 * So the pixels are a function of the file and of what is wanted.
 */
#ifndef IO_IMAGE_H
#define IO_IMAGE_H

#include "common/base/die.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    size_t w, h;  /* pixels */
    uint8_t *rgb; /* [h,w,3], owned */
} image_t;

/* Pixels are not set. A size that no memory can hold is a BUG. */
image_t image_new(size_t w, size_t h);
/* Frees the pixels; *im is then empty. */
void image_release(image_t *im);

/* ---- oddities ---- */

/* What was odd in files that were decoded all the same. From NOTE_DAMAGE on: damage that only a
 * lenient caller takes. */
typedef enum {
    NOTE_JPEG_SCAN,
    NOTE_JPEG_JFIF,
    NOTE_JPEG_ADOBE,
    NOTE_JPEG_BETWEEN,
    NOTE_JPEG_BEHIND,
    NOTE_JPEG_END, /* no end marker behind a whole scan */
    NOTE_PNG_BEHIND,
    NOTE_PNG_EXTRA, /* image data behind the last row */
    NOTE_WEBP_BEHIND,
    NOTE_DAMAGE,
    NOTE_JPEG_DAMAGE = NOTE_DAMAGE,
    NOTE_PNG_CRC,
    NOTE_PNG_END,
    NOTE_KINDS
} image_note_t;

/* Counts of images. {0} is none. Thread-safe. */
typedef struct {
    atomic_size_t harmless, damaged;
    atomic_size_t kind[NOTE_KINDS]; /* an image counts once per kind */
} image_notes_t;

/* Counts an image with the oddities of a set, 1u << NOTE_...; 0 counts nothing. */
void image_notes_add(image_notes_t *n, unsigned set);
/* The set of those that were counted at all. */
unsigned image_notes_set(const image_notes_t *n);
/* Logs a line for the harmless ones and a line for the damaged ones; none for zero images. */
void image_notes_summary(const image_notes_t *n);

/* ---- reading ---- */

typedef struct {
    /* 0: 100,000,000, and 1,000,000,000 for giants that are shrunk row by row. */
    uint64_t max_pixels;
    /* What the image will be scaled down to, 0 = not known. Large images come smaller than they are
     * stored, but not below twice this. */
    size_t want_w, want_h;
    uint8_t background[3]; /* behind alpha */
    /* Take JPEG files that end early or hold damaged data, and PNG files whose pixels are whole but
     * that have a wrong checksum in an ancillary chunk or no end. */
    bool lenient;
    bool no_exif;         /* ignore the orientation that a file states */
    image_notes_t *notes; /* where oddities are counted; NULL = nowhere */
} image_opts_t;

/* Raised by every change after which a file gives other pixels: what was decoded before and kept
 * somewhere is then of no use. */
enum { IMAGE_PIXELS_VERSION = 1 };
/* That, and the versions of the libraries that decode: equal texts, equal pixels. Written to buf,
 * which is returned. */
const char *image_pixels_version(char buf[100]);

/* What --lenient of the programs says. */
#define IMAGE_LENIENT_HELP                                                                         \
    "take damaged images too: JPEG that ends early or holds bad data, PNG with whole pixels but "  \
    "a "                                                                                           \
    "wrong checksum in an ancillary chunk or without an end"

/* White background; everything else 0. */
image_opts_t image_opts_default(void);

/* IMAGE_BAD: a defect. IMAGE_UNSUPPORTED: an image of another format (AVIF, GIF, TIFF, ...), or
 * arithmetic or 12-bit JPEG. */
typedef enum { IMAGE_OK = 0, IMAGE_BAD = -1, IMAGE_UNSUPPORTED = -2 } image_status_t;

/* A file's bytes to *out, for the caller to release. o NULL: the default options. Unless IMAGE_OK,
 * *why has the reason and *out is empty. */
image_status_t image_decode(image_t *out, const uint8_t *bytes, size_t size, const image_opts_t *o,
                            reason_t *why);
/* The same for the file at `path`, of at most 1 GiB. */
image_status_t image_read(image_t *out, const char *path, const image_opts_t *o, reason_t *why);

/* ---- writing ---- */

/* PNG; the same image gives the same bytes. *bytes is malloc'ed. 0, or -1 with a reason. */
int image_encode_png(const image_t *im, uint8_t **bytes, size_t *size, reason_t *why);
/* The same to a file, which appears whole or not at all. */
int image_write_png(const image_t *im, const char *path, reason_t *why);

/* ---- geometry: what returns an image returns a new one for the caller to release ---- */

/* Resamples to w x h: antialiased bilinear (triangle filter), pixel centers at half integers. */
image_t image_resize(const image_t *im, size_t w, size_t h);
/* The same by a bicubic filter (a = -1/2), byte for byte as Pillow's Image.resize(.., BICUBIC). */
image_t image_resize_bicubic(const image_t *im, size_t w, size_t h);
/* Makes *im smaller by the largest whole factor that leaves twice of want_w x want_h, with a box
 * filter; where that is 1 or less, *im stays. */
void image_reduce(image_t *im, size_t want_w, size_t want_h);
/* The part [y..y+h, x..x+w], which must lie inside. */
image_t image_crop(const image_t *im, size_t x, size_t y, size_t w, size_t h);
/* Enlarges the canvas to w x h: the last column and row repeat on the right and below. */
image_t image_pad(const image_t *im, size_t w, size_t h);
/* An image of any size as w x h: scaled until it just covers the target, then cropped at its
 * center. */
image_t image_fit(const image_t *im, size_t w, size_t h);
/* Every pixel as a square of factor x factor, for looking at small images. */
image_t image_zoom(const image_t *im, size_t factor);
/* n images in a grid of `columns`, cells of the largest size, `gap` white pixels between them. */
image_t image_sheet(const image_t *im, size_t n, size_t columns, size_t gap);
/* Copies src into dst with its corner at x, y; what does not fit is cut. */
void image_paste(image_t *dst, const image_t *src, size_t x, size_t y);

/* ---- numbers ---- */

/* n elements: v / 127.5 - 1, computed in double, rounded to float (as taming-transformers does). */
void image_to_float(const uint8_t *rgb, size_t n, float *out);
/* And back: round((v + 1) * 127.5), clamped to 0..255; NaN becomes 0. */
void image_from_float(const float *v, size_t n, uint8_t *rgb);

#endif
