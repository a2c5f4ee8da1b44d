/* apng.h - writes frames as an animated PNG file (APNG 1.0, now part of PNG 3). Programs that know
 * no animation show its first frame.
 */
#ifndef IO_APNG_H
#define IO_APNG_H

#include "common/io/image/image.h"

/* Writes n frames of one size; each is shown for 1/fps seconds (fps: 1 to 65535), repeated
 * forever. The file is whole or absent. Returns 0, or -1 with a reason. BUG(): no frame, or sizes
 * that differ. */
int apng_write(const char *path, const image_t *frame, size_t n, unsigned fps, reason_t *why);

#endif
