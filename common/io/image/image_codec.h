/* image_codec.h - private to image: what a file is by its first bytes, and one decoder a format.
 */
#ifndef IO_IMAGE_CODEC_H
#define IO_IMAGE_CODEC_H

#include "common/io/image/image.h"

typedef enum { FORMAT_NONE, FORMAT_PNG, FORMAT_JPEG, FORMAT_WEBP, FORMAT_OTHER } image_format_t;
enum { IMAGE_SNIFF = 512 }; /* bytes that are enough to tell */
/* *name says which ("JPEG"). FORMAT_OTHER: an image that we do not read ("AVIF"). FORMAT_NONE: no
 * image that we know. */
image_format_t image_sniff(const uint8_t *bytes, size_t size, const char **name);

/* No sane image within the pixel limits is larger: keeps a mistaken path to a disk image from
 * filling the memory. */
enum { IMAGE_FILE_MAX = 1 << 30 };

/* The image's size against the options' limit, to be asked before anything is allocated: IMAGE_OK
 * or IMAGE_BAD. shrinks: it never is in memory as a whole. */
image_status_t image_check_size(uint64_t w, uint64_t h, bool shrinks, const image_opts_t *o,
                                reason_t *why);
uint64_t image_max_pixels(const image_opts_t *o, bool shrinks);

/* As image_decode, for bytes that begin as the format does. On failure *out is empty. */
image_status_t image_decode_png(image_t *out, const uint8_t *bytes, size_t size,
                                const image_opts_t *o, reason_t *why);
image_status_t image_decode_jpeg(image_t *out, const uint8_t *bytes, size_t size,
                                 const image_opts_t *o, reason_t *why);

image_status_t image_decode_webp(image_t *out, const uint8_t *bytes, size_t size,
                                 const image_opts_t *o, reason_t *why);

/* What a decoder noticed, a bit a kind (1u << NOTE_...), to the options' counts. */
void image_note(const image_opts_t *o, unsigned noticed);

/* c over background, a of 255, rounded to nearest. */
static inline uint8_t image_over(unsigned c, unsigned a, unsigned background) {
    return (uint8_t)((c * a + background * (255 - a) + 127) / 255);
}
/* [w,4] to [w,3]. */
void image_over_row(uint8_t *rgb, const uint8_t *rgba, size_t w, const uint8_t background[3]);

/* The orientation 1..8 of an EXIF block, with or without "Exif\0\0" before it: tag 0x0112 of its
 * first directory. 1 when there is none or it makes no sense. */
int image_exif_orientation(const uint8_t *exif, size_t size);
/* Applies an EXIF orientation 1..8, in place of the pixels. */
void image_orient(image_t *im, int orientation);

#endif
