/* image_exif.c - what an EXIF block says of how an image is to be turned. */
#include "common/io/image/image_codec.h"

#include <string.h>

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, ENTRY = 12 };

static unsigned tiff16(const uint8_t *p, bool big) {
    return big ? p[0] << 8 | p[1] : p[1] << 8 | p[0];
}
static size_t tiff32(const uint8_t *p, bool big) {
    return big ? (size_t)tiff16(p, true) << 16 | tiff16(p + 2, true)
               : (size_t)tiff16(p + 2, false) << 16 | tiff16(p, false);
}

int image_exif_orientation(const uint8_t *p, size_t n) {
    if (n >= 6 && memcmp(p, "Exif\0\0", 6) == 0) {
        p += 6;
        n -= 6;
    }
    if (n < 8) return 1;
    bool big = memcmp(p, "MM\0*", 4) == 0;
    if (!big && memcmp(p, "II*\0", 4) != 0) return 1;
    size_t at = tiff32(p + 4, big);
    if (at > n - 2) return 1;
    unsigned entries = tiff16(p + at, big);
    at += 2;
    for (unsigned i = 0; i < entries && n - at >= ENTRY; i++, at += ENTRY) {
        if (tiff16(p + at, big) != TAG_ORIENTATION) continue;
        unsigned value = tiff16(p + at + 8, big);
        bool is_short = tiff16(p + at + 2, big) == TYPE_SHORT && tiff32(p + at + 4, big) == 1;
        return is_short && value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}
