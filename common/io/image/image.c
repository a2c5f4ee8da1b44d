/* image.c - what every image goes through: telling formats apart, limits, reading files, pixels
 * to numbers and back.
 *
 * The decoders are image_png.c, image_jpeg.c and image_webp.c, geometry is image_ops.c, what was
 * odd in a file image_notes.c.
 */
#include "common/io/image/image.h"
#include "common/io/fs.h"
#include "common/io/image/image_codec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

image_opts_t image_opts_default(void) {
    return (image_opts_t){.background = {255, 255, 255}};
}

uint64_t image_max_pixels(const image_opts_t *o, bool shrinks) {
    return o && o->max_pixels ? o->max_pixels : shrinks ? 1000000000 : 100000000;
}

image_status_t image_check_size(uint64_t w, uint64_t h, bool shrinks, const image_opts_t *o,
                                reason_t *why) {
    uint64_t max = image_max_pixels(o, shrinks);
    if (w && h && w <= max / h) return IMAGE_OK;
    if (!w || !h) return (image_status_t)reason_set(why, "no pixels");
    reason_set(why, "%llu x %llu pixels are more than --max-pixels %llu", (unsigned long long)w,
               (unsigned long long)h, (unsigned long long)max);
    return IMAGE_BAD;
}

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

/* Text that is an SVG: "<svg" somewhere in what begins with '<'. */
static bool is_svg(const uint8_t *bytes, size_t size) {
    if (starts(bytes, size, 0, "\xEF\xBB\xBF", 3)) bytes += 3, size -= 3;
    while (size && strchr(" \t\r\n", bytes[0]) && bytes[0]) bytes++, size--;
    if (!starts(bytes, size, 0, "<", 1)) return false;
    return memmem(bytes, size < IMAGE_SNIFF ? size : IMAGE_SNIFF, "<svg", 4) != NULL;
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
    /* "BM" alone begins many texts: the header's reserved words are zero. */
    bool bmp =
        size >= 26 && starts(bytes, size, 0, "BM", 2) && starts(bytes, size, 6, "\0\0\0\0", 4);
    *name = bmp ? "BMP" : "SVG";
    return bmp || is_svg(bytes, size) ? FORMAT_OTHER : FORMAT_NONE;
}

image_status_t image_decode(image_t *out, const uint8_t *bytes, size_t size, const image_opts_t *o,
                            reason_t *why) {
    image_opts_t standard = image_opts_default();
    const char *name;
    *out = (image_t){0};
    if (!o) o = &standard;
    if (!size) return (image_status_t)reason_set(why, "empty file");
    switch (image_sniff(bytes, size, &name)) {
    case FORMAT_PNG:
        return image_decode_png(out, bytes, size, o, why);
    case FORMAT_JPEG:
        return image_decode_jpeg(out, bytes, size, o, why);
    case FORMAT_WEBP:
        return image_decode_webp(out, bytes, size, o, why);
    case FORMAT_OTHER:
        reason_set(why, "unsupported format: %s", name);
        return IMAGE_UNSUPPORTED;
    default:
        return (image_status_t)reason_set(why, "neither PNG nor JPEG nor WebP");
    }
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

image_t image_new(size_t w, size_t h) {
    size_t bytes;
    if (__builtin_mul_overflow(w, h, &bytes) || __builtin_mul_overflow(bytes, 3, &bytes))
        BUG("an image of %zu x %zu", w, h);
    return (image_t){w, h, xmalloc(bytes)};
}

void image_release(image_t *im) {
    free(im->rgb);
    *im = (image_t){0};
}

void image_to_float(const uint8_t *rgb, size_t n, float *out) {
    float of[256];
    for (int v = 0; v < 256; v++) of[v] = (float)(v / 127.5 - 1);
    for (size_t i = 0; i < n; i++) out[i] = of[rgb[i]];
}

void image_from_float(const float *v, size_t n, uint8_t *rgb) {
    for (size_t i = 0; i < n; i++) {
        double level = ((double)v[i] + 1) * 127.5;
        /* The comparison is false for NaN, which becomes 0. */
        rgb[i] = level > 0 ? level < 255 ? (uint8_t)(level + 0.5) : 255 : 0;
    }
}
