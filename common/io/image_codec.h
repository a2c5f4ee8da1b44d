/* image_codec.h - private to image: what a file is by its first bytes, and one decoder a format.
 */
#ifndef IO_IMAGE_CODEC_H
#define IO_IMAGE_CODEC_H

#include "common/io/image.h"

typedef enum { FORMAT_NONE, FORMAT_PNG, FORMAT_JPEG, FORMAT_OTHER } image_format_t;
enum { IMAGE_SNIFF = 512 }; /* bytes that are enough to tell */
/* FORMAT_OTHER: a picture that we do not read; *name says which ("WebP"). FORMAT_NONE: no picture
 * that we know. */
image_format_t image_sniff(const uint8_t *bytes, size_t size, const char **name);

/* No sane picture within the pixel limits is larger: keeps a mistaken path to a disk image from
 * filling the memory. */
enum { IMAGE_FILE_MAX = 1 << 30 };

/* The picture's size against the options' limit, to be asked before anything is allocated: IMAGE_OK
 * or IMAGE_BAD. shrinks: it never is in memory as a whole. */
image_status_t image_check_size(uint64_t w, uint64_t h, bool shrinks, const image_opts_t *o,
                                reason_t *why);
uint64_t image_max_pixels(const image_opts_t *o, bool shrinks);

/* As image_decode, for bytes that begin as the format does. On failure *out is empty. */
image_status_t image_decode_png(image_t *out, const uint8_t *bytes, size_t size,
                                const image_opts_t *o, reason_t *why);
image_status_t image_decode_jpeg(image_t *out, const uint8_t *bytes, size_t size,
                                 const image_opts_t *o, reason_t *why);

/* Applies an EXIF orientation 1..8, in place of the pixels. */
void image_orient(image_t *im, int orientation);

#endif
