/* image_codec.h - private to images: what a file is by its first bytes, one decoder per format, and
 * what decoders share.
 */
#ifndef IO_IMAGE_CODEC_H
#define IO_IMAGE_CODEC_H

#include "common/io/image/image.h"

/* FORMAT_NONE: no image that we know. FORMAT_OTHER: one of a format that we do not read. */
typedef enum { FORMAT_NONE, FORMAT_PNG, FORMAT_JPEG, FORMAT_WEBP, FORMAT_OTHER } image_format_t;

enum {
    IMAGE_SNIFF = 512, /* bytes that are enough to tell the format */
    /* No sane image within the pixel limits is larger: keeps a mistaken path to a disk image from
     * filling the memory. */
    IMAGE_FILE_MAX = 1 << 30
};

/* The format of a file that begins with these bytes. *name is its name ("JPEG", "AVIF"), a static
 * text; it means nothing for FORMAT_NONE. */
image_format_t image_sniff(const uint8_t *bytes, size_t size, const char **name);

/* ---- limits ---- */

/* The most pixels that the options allow. shrinks: the image is never in memory as a whole. */
uint64_t image_max_pixels(const image_opts_t *o, bool shrinks);
/* Asked before anything is allocated: IMAGE_OK, or IMAGE_BAD with a reason for a size that is zero
 * or beyond image_max_pixels. */
image_status_t image_check_size(uint64_t w, uint64_t h, bool shrinks, const image_opts_t *o,
                                reason_t *why);

/* ---- decoders ---- */

/* As image_decode, for bytes that begin as the format does and options that are not NULL.
 * image_decode_webp is there only with libwebp. */
image_status_t image_decode_png(image_t *out, const uint8_t *bytes, size_t size,
                                const image_opts_t *o, reason_t *why);
image_status_t image_decode_jpeg(image_t *out, const uint8_t *bytes, size_t size,
                                 const image_opts_t *o, reason_t *why);
image_status_t image_decode_webp(image_t *out, const uint8_t *bytes, size_t size,
                                 const image_opts_t *o, reason_t *why);

/* ---- what decoders share ---- */

/* Adds what a decoder noticed in one image, a set of 1u << NOTE_..., to the options' counts. */
void image_note(const image_opts_t *o, unsigned noticed);

/* One channel c with alpha a (0..255) over the background, rounded to nearest. */
static inline uint8_t image_over(unsigned c, unsigned a, unsigned background) {
    return (uint8_t)((c * a + background * (255 - a) + 127) / 255);
}
/* The same for a row: rgba [w,4] to rgb [w,3]. */
void image_over_row(uint8_t *rgb, const uint8_t *rgba, size_t w, const uint8_t background[3]);

/* The orientation 1..8 of an EXIF block, with or without "Exif\0\0" before it: tag 0x0112 of its
 * first directory. 1 when there is none or it makes no sense. */
int image_exif_orientation(const uint8_t *exif, size_t size);
/* Turns and mirrors *im by an EXIF orientation: 1..8, others do nothing. */
void image_orient(image_t *im, int orientation);

#endif
