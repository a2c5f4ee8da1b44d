/* apng.h - frames as an animated PNG file (APNG 1.0, now part of PNG 3): readers that know no
 * animation show the first one.
 */
#ifndef TOKENIZE_APNG_H
#define TOKENIZE_APNG_H

#include "common/io/image/image.h"

/* n frames of one size, each shown for 1/fps seconds, repeated forever. Atomic; -1 with a
 * reason. */
int apng_write(const char *path, const image_t *frame, size_t n, unsigned fps, reason_t *why);

#endif
