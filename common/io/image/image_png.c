/* image_png.c - PNG through libpng: decoding that accepts no defect (of a lenient caller: none of
 * the pixels), encoding that gives the same bytes for the same image.
 *
 * libpng reports by longjmp. Everything that must be released lives in one struct outside the frame
 * that jumps, so that no path leaks. Values are taken as they are: sRGB, gAMA, iCCP and all texts
 * are skipped unread (their CRC is still checked). Of eXIf the orientation is taken.
 */
#include "common/io/fs.h"
#include "common/io/image/image_codec.h"
#include "common/io/image/image_shrink.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { SIGNATURE = 8, CHUNK_FRAME = 12 }; /* length, type and checksum around a chunk */

typedef struct {
    png_structp png;
    png_infop info;
    const uint8_t *bytes;
    size_t size, at;
    image_t image;
    uint8_t *canvas;     /* rows that are not RGB yet */
    shrink_t shrink;     /* of a giant, */
    uint8_t *row;        /* and one of its rows as RGB */
    bool lenient, whole; /* whole: all pixels are there */
    bool short_file;     /* the file ended early */
    unsigned noticed;    /* 1u << NOTE_... */
    int orientation;
    char said[160];
} reader_t;

static uint32_t word_of(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void on_error(png_structp png, png_const_charp message) {
    reader_t *r = png_get_error_ptr(png);
    snprintf(r->said, sizeof r->said, "%s", message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message) {}

/* While reading, the warnings that follow from our settings: a checksum that a lenient caller lets
 * pass, and libpng's "benign" errors. Of these only data left over behind the last row leave the
 * image as it is: a palette or a transparency that libpng would pass over does not. */
static void on_read_warning(png_structp png, png_const_charp message) {
    reader_t *r = png_get_error_ptr(png);
    if (strstr(message, "CRC error"))
        r->noticed |= 1u << NOTE_PNG_CRC;
    else if (strstr(message, "Extra compressed data") || strstr(message, "Too much image data"))
        r->noticed |= 1u << NOTE_PNG_EXTRA;
    else if (!strncmp(message, "PLTE", 4) || !strncmp(message, "tRNS", 4))
        png_error(png, message);
}

static void on_read(png_structp png, png_bytep to, size_t n) {
    reader_t *r = png_get_io_ptr(png);
    if (n > r->size - r->at) {
        r->short_file = true;
        png_error(png, "the file ends early");
    }
    memcpy(to, r->bytes + r->at, n);
    r->at += n;
}

/* Limits and strictness: all before the first byte is read. */
static void configure(reader_t *r, const image_opts_t *o) {
    uint64_t max = image_max_pixels(o, true); /* check_header has been stricter */
    png_uint_32 side = max < PNG_UINT_31_MAX ? (png_uint_32)max : PNG_UINT_31_MAX;
    png_set_read_fn(r->png, r, on_read);
    png_set_user_limits(r->png, side, side);
    png_set_chunk_cache_max(r->png, 100);
    png_set_chunk_malloc_max(r->png, 1 << 20);
    png_set_crc_action(r->png, PNG_CRC_ERROR_QUIT,
                       r->lenient ? PNG_CRC_WARN_USE : PNG_CRC_ERROR_QUIT);
    /* -1: every ancillary chunk but tRNS. What stays is the image: on_read_warning judges. */
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_benign_errors(r->png, 1);
}

/* A palette flattened over the background: [256][3], and how many entries exist. */
typedef struct {
    uint8_t color[256][3];
    unsigned n;
} palette_t;

static void palette_read(reader_t *r, palette_t *p, const uint8_t background[3]) {
    png_colorp color = NULL;
    png_bytep alpha = NULL;
    int n = 0, n_alpha = 0;
    png_get_PLTE(r->png, r->info, &color, &n);
    png_get_tRNS(r->png, r->info, &alpha, &n_alpha, NULL);
    if (!color || n <= 0) png_error(r->png, "palette missing");
    p->n = n > 256 ? 256 : (unsigned)n;
    for (unsigned i = 0; i < p->n; i++) {
        unsigned a = alpha && (int)i < n_alpha ? alpha[i] : 255;
        p->color[i][0] = image_over(color[i].red, a, background[0]);
        p->color[i][1] = image_over(color[i].green, a, background[1]);
        p->color[i][2] = image_over(color[i].blue, a, background[2]);
    }
}

static void row_from_palette(reader_t *r, uint8_t *rgb, const uint8_t *index, size_t w,
                             const palette_t *p) {
    for (size_t x = 0; x < w; x++) {
        if (index[x] >= p->n) png_error(r->png, "palette index out of range");
        memcpy(rgb + 3 * x, p->color[index[x]], 3);
    }
}

/* Asks libpng for 1 (palette index), 3 (RGB) or 4 (RGBA) bytes a pixel, and returns which. */
static unsigned set_transforms(reader_t *r) {
    png_byte type = png_get_color_type(r->png, r->info);
    png_set_packing(r->png);
    if (type == PNG_COLOR_TYPE_PALETTE)
        return 1; /* not png_set_palette_to_rgb: it reads beyond short palettes */
    bool transparent = png_get_valid(r->png, r->info, PNG_INFO_tRNS) != 0;
    if (png_get_bit_depth(r->png, r->info) < 8) png_set_expand_gray_1_2_4_to_8(r->png);
    if (transparent) png_set_tRNS_to_alpha(r->png);
    png_set_scale_16(r->png);
    if (!(type & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(r->png);
    return transparent || (type & PNG_COLOR_MASK_ALPHA) ? 4 : 3;
}

static void read_rows(reader_t *r, unsigned bytes, int passes, const image_opts_t *o) {
    size_t w = r->image.w, h = r->image.h, canvas_stride = passes > 1 ? w * bytes : 0;
    palette_t palette;
    if (bytes == 1) palette_read(r, &palette, o->background);
    for (int pass = 0; pass < passes; pass++) {
        for (size_t y = 0; y < h; y++) {
            uint8_t *rgb = r->image.rgb + 3 * w * y,
                    *row = bytes == 3 ? rgb : r->canvas + y * canvas_stride;
            png_read_row(r->png, row, NULL);
            if (pass + 1 < passes) continue; /* interlaced rows are whole after the last pass */
            if (bytes == 4) image_over_row(rgb, row, w, o->background);
            if (bytes == 1) row_from_palette(r, rgb, row, w, &palette);
        }
    }
}

/* As read_rows, for an image that is not interlaced and never in memory as a whole. */
static void shrink_rows(reader_t *r, unsigned bytes, const image_opts_t *o) {
    size_t w = r->shrink.w;
    palette_t palette;
    if (bytes == 1) palette_read(r, &palette, o->background);
    for (size_t y = 0; y < r->shrink.h; y++) {
        png_read_row(r->png, bytes == 3 ? r->row : r->canvas, NULL);
        if (bytes == 4) image_over_row(r->row, r->canvas, w, o->background);
        if (bytes == 1) row_from_palette(r, r->row, r->canvas, w, &palette);
        shrink_row(&r->shrink, r->row);
    }
    r->image = shrink_take(&r->shrink);
}

/* shrink_size of an image that will be turned: what is wanted of it is wanted after that. */
static bool shrink_turned(uint64_t w, uint64_t h, const image_opts_t *o, int orientation,
                          size_t *out_w, size_t *out_h) {
    image_opts_t turned = *o;
    if (orientation > 4) {
        turned.want_w = o->want_h;
        turned.want_h = o->want_w;
    }
    return shrink_size(w, h, &turned, out_w, out_h);
}

/* The orientation in an eXIf chunk, wherever it stands. A wrong checksum makes it worth nothing;
 * whether it makes the file bad, libpng says. */
static int find_orientation(const uint8_t *bytes, size_t size) {
    for (size_t at = SIGNATURE; size - at >= CHUNK_FRAME;) {
        const uint8_t *chunk = bytes + at;
        size_t n = word_of(chunk);
        if (n > size - at - CHUNK_FRAME) break;
        if (memcmp(chunk + 4, "eXIf", 4) == 0 &&
            crc32(0, chunk + 4, (uInt)n + 4) == word_of(chunk + 8 + n))
            return image_exif_orientation(chunk + 8, n);
        at += n + CHUNK_FRAME;
    }
    return 1;
}

/* The part that may jump: nothing here owns anything. */
static image_status_t read_all(reader_t *r, const image_opts_t *o, reason_t *why) {
    configure(r, o);
    png_read_info(r->png, r->info);
    size_t w = png_get_image_width(r->png, r->info), h = png_get_image_height(r->png, r->info);
    size_t small_w, small_h;
    bool shrinks = png_get_interlace_type(r->png, r->info) == PNG_INTERLACE_NONE &&
                   shrink_turned(w, h, o, r->orientation, &small_w, &small_h);
    if (image_check_size(w, h, shrinks, o, why)) return IMAGE_BAD;
    unsigned bytes = set_transforms(r);
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    if (png_get_rowbytes(r->png, r->info) != w * bytes) png_error(r->png, "unexpected row size");
    if (bytes != 3) r->canvas = xmalloc(w * bytes * (passes > 1 ? h : 1));
    if (shrinks) {
        r->row = xmalloc(w * 3);
        r->shrink = shrink_new(w, h, small_w, small_h);
        shrink_rows(r, bytes, o);
    } else {
        r->image = image_new(w, h);
        read_rows(r, bytes, passes, o);
    }
    r->whole = true;
    png_read_end(r->png, NULL);
    if (r->at < r->size) r->noticed |= 1u << NOTE_PNG_BEHIND;
    return IMAGE_OK;
}

/* An IHDR beyond the limits fails in libpng as "invalid IHDR data": say it in our words, before
 * libpng sees it. */
static image_status_t check_header(const uint8_t *bytes, size_t size, const image_opts_t *o,
                                   int orientation, reason_t *why) {
    size_t w, h;
    if (size < 29 || memcmp(bytes + 12, "IHDR", 4) != 0)
        return (image_status_t)reason_set(why, "damaged PNG: no header");
    uint64_t side[2] = {word_of(bytes + 16), word_of(bytes + 20)};
    return image_check_size(
        side[0], side[1], bytes[28] == 0 && shrink_turned(side[0], side[1], o, orientation, &w, &h),
        o, why);
}

/* All pixels came, and what failed is what stands behind them: other chunks, or the end that is not
 * there. A wrong checksum of the pixels' own data is none of these. */
static bool ends_whole(const reader_t *r) {
    enum { IDAT = 'I' << 24 | 'D' << 16 | 'A' << 8 | 'T' };
    return r->short_file || png_get_io_chunk_type(r->png) != IDAT;
}

/* The frame that libpng jumps to: all that changes is behind r, so nothing of it is lost. */
static image_status_t guarded_read(reader_t *r, const image_opts_t *o, reason_t *why) {
    if (setjmp(png_jmpbuf(r->png)) == 0) return read_all(r, o, why);
    if (r->lenient && r->whole && ends_whole(r)) {
        r->noticed |= 1u << NOTE_PNG_END;
        return IMAGE_OK;
    }
    reason_set(why, "damaged PNG: %s", r->said);
    return IMAGE_BAD;
}

image_status_t image_decode_png(image_t *out, const uint8_t *bytes, size_t size,
                                const image_opts_t *o, reason_t *why) {
    reader_t r = {.bytes = bytes, .size = size, .lenient = o->lenient};
    r.orientation = o->no_exif ? 1 : find_orientation(bytes, size);
    if (check_header(bytes, size, o, r.orientation, why)) return IMAGE_BAD;
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_read_warning);
    r.info = r.png ? png_create_info_struct(r.png) : NULL;
    if (!r.info) die(RC_RUNTIME, "out of memory (for libpng)");
    image_status_t status = guarded_read(&r, o, why);
    if (status == IMAGE_OK) {
        image_orient(&r.image, r.orientation);
        image_note(o, r.noticed);
    }
    png_destroy_read_struct(&r.png, &r.info, NULL);
    free(r.canvas);
    free(r.row);
    shrink_release(&r.shrink);
    if (status)
        image_release(&r.image);
    else
        *out = r.image;
    return status;
}

typedef struct {
    uint8_t *bytes;
    size_t n, cap;
    char said[160];
} writer_t;

static void on_write_error(png_structp png, png_const_charp message) {
    writer_t *w = png_get_error_ptr(png);
    snprintf(w->said, sizeof w->said, "%s", message);
    png_longjmp(png, 1);
}

static void on_write(png_structp png, png_bytep from, size_t n) {
    writer_t *w = png_get_io_ptr(png);
    w->bytes = xgrow(w->bytes, &w->cap, w->n + n, 1);
    memcpy(w->bytes + w->n, from, n);
    w->n += n;
}

static void on_flush(png_structp png) {}

static int guarded_write(png_structp png, png_infop info, writer_t *w, const image_t *im) {
    if (setjmp(png_jmpbuf(png))) return -1;
    png_set_write_fn(png, w, on_write, on_flush);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_IHDR(png, info, (png_uint_32)im->w, (png_uint_32)im->h, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (size_t y = 0; y < im->h; y++) png_write_row(png, im->rgb + 3 * im->w * y);
    png_write_end(png, NULL);
    return 0;
}

int image_encode_png(const image_t *im, uint8_t **bytes, size_t *size, reason_t *why) {
    writer_t w = {0};
    if (!im->w || !im->h || im->w > PNG_UINT_31_MAX || im->h > PNG_UINT_31_MAX)
        return reason_set(why, "no PNG can be %zu x %zu", im->w, im->h);
    png_structp png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, &w, on_write_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) die(RC_RUNTIME, "out of memory (for libpng)");
    int rc = guarded_write(png, info, &w, im);
    png_destroy_write_struct(&png, &info);
    if (rc) {
        free(w.bytes);
        return reason_set(why, "cannot write a PNG: %s", w.said);
    }
    *bytes = w.bytes;
    *size = w.n;
    return 0;
}

int image_write_png(const image_t *im, const char *path, reason_t *why) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (image_encode_png(im, &bytes, &size, why)) return -1;
    int rc = fs_write(path, bytes, size, why);
    free(bytes);
    return rc;
}
