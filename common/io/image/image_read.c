/* image_read.c - files to images: the format by the first bytes, then its decoder (image_png.c,
 * image_jpeg.c, image_webp.c). A new format is a row in `known` and one in `decoders`.
 */
#include "common/io/fs.h"
#include "common/io/image/image_codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>
#ifdef WITH_WEBP
#include <webp/decode.h>
#endif

/* ---- formats ---- */

#ifdef WITH_WEBP
#define WEBP_NAME "WebP"
#define WEBP_FORMAT FORMAT_WEBP
#else
#define WEBP_NAME "WebP (built without libwebp: install it and build again)"
#define WEBP_FORMAT FORMAT_OTHER
#endif

static bool starts(const uint8_t *bytes, size_t size, size_t at, const char *magic, size_t n) {
    return size >= at + n && memcmp(bytes + at, magic, n) == 0;
}

/* "BM" alone begins many texts: the header's reserved words are zero. */
static bool is_bmp(const uint8_t *bytes, size_t size) {
    return size >= 26 && starts(bytes, size, 0, "BM", 2) && starts(bytes, size, 6, "\0\0\0\0", 4);
}

/* Text that is an SVG: "<svg" somewhere in what begins with '<'. */
static bool is_svg(const uint8_t *bytes, size_t size) {
    size_t at = starts(bytes, size, 0, "\xEF\xBB\xBF", 3) ? 3 : 0; /* a byte order mark */
    while (at < size && bytes[at] && strchr(" \t\r\n", bytes[at])) at++;
    if (!starts(bytes, size, at, "<", 1)) return false;
    size_t rest = size - at;
    return memmem(bytes + at, rest < IMAGE_SNIFF ? rest : IMAGE_SNIFF, "<svg", 4) != NULL;
}

image_format_t image_sniff(const uint8_t *bytes, size_t size, const char **name) {
    static const struct {
        const char *name, *magic;
        size_t at, n;
        image_format_t format;
    } known[] = {
        {"PNG", "\x89PNG\r\n\x1A\n", 0, 8, FORMAT_PNG},
        {"JPEG", "\xFF\xD8\xFF", 0, 3, FORMAT_JPEG},
        {WEBP_NAME, "WEBP", 8, 4, WEBP_FORMAT},
        {"GIF", "GIF8", 0, 4, FORMAT_OTHER},
        {"TIFF", "II*\0", 0, 4, FORMAT_OTHER},
        {"TIFF", "MM\0*", 0, 4, FORMAT_OTHER},
        {"TIFF", "II+\0", 0, 4, FORMAT_OTHER},
        {"HEIC", "ftyphei", 4, 7, FORMAT_OTHER},
        {"HEIC", "ftypmif1", 4, 8, FORMAT_OTHER},
        {"AVIF", "ftypavi", 4, 7, FORMAT_OTHER},
        {"JPEG 2000", "\0\0\0\x0CjP  ", 0, 8, FORMAT_OTHER},
        {"JPEG XL", "\0\0\0\x0CJXL ", 0, 8, FORMAT_OTHER},
        {"JPEG XL", "\xFF\x0A", 0, 2, FORMAT_OTHER},
        {"Photoshop", "8BPS", 0, 4, FORMAT_OTHER},
        {"ICO", "\0\0\1\0", 0, 4, FORMAT_OTHER},
        {"OpenEXR", "v/1\1", 0, 4, FORMAT_OTHER},
        {"MNG", "\x8AMNG\r\n\x1A\n", 0, 8, FORMAT_OTHER},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!starts(bytes, size, known[i].at, known[i].magic, known[i].n)) continue;
        *name = known[i].name;
        return known[i].format;
    }
    bool bmp = is_bmp(bytes, size);
    *name = bmp ? "BMP" : "SVG";
    return bmp || is_svg(bytes, size) ? FORMAT_OTHER : FORMAT_NONE;
}

/* ---- reading ---- */

typedef image_status_t decoder_t(image_t *out, const uint8_t *bytes, size_t size,
                                 const image_opts_t *o, reason_t *why);
static decoder_t *const decoders[] = {
    [FORMAT_PNG] = image_decode_png,
    [FORMAT_JPEG] = image_decode_jpeg,
#ifdef WITH_WEBP
    [FORMAT_WEBP] = image_decode_webp,
#endif
    [FORMAT_OTHER] = NULL,
};

image_status_t image_decode(image_t *out, const uint8_t *bytes, size_t size, const image_opts_t *o,
                            reason_t *why) {
    image_opts_t standard = image_opts_default();
    const char *name;
    *out = (image_t){0};
    if (!size) return (image_status_t)reason_set(why, "empty file");
    image_format_t format = image_sniff(bytes, size, &name);
    if (decoders[format]) return decoders[format](out, bytes, size, o ? o : &standard, why);
    if (format == FORMAT_NONE)
        return (image_status_t)reason_set(why, "neither PNG nor JPEG nor WebP");
    reason_set(why, "unsupported format: %s", name);
    return IMAGE_UNSUPPORTED;
}

image_status_t image_read(image_t *out, const char *path, const image_opts_t *o, reason_t *why) {
    uint8_t *bytes;
    size_t size;
    *out = (image_t){0};
    if (fs_read(path, IMAGE_FILE_MAX, &bytes, &size, why)) return IMAGE_BAD;
    image_status_t status = image_decode(out, bytes, size, o, why);
    free(bytes);
    return status;
}

const char *image_pixels_version(char buf[100]) {
    int webp = 0;
    /* The library has no call that tells its version: the one that the headers were of. */
#ifdef LIBJPEG_TURBO_VERSION_NUMBER
    int jpeg = LIBJPEG_TURBO_VERSION_NUMBER;
#else
    int jpeg = JPEG_LIB_VERSION;
#endif
#ifdef WITH_WEBP
    webp = WebPGetDecoderVersion();
#endif
    snprintf(buf, 100, "%d, libjpeg-turbo %d, libpng %s, libwebp %d", IMAGE_PIXELS_VERSION, jpeg,
             png_get_libpng_ver(NULL), webp);
    return buf;
}
