/* image_jpeg.c - JPEG through libjpeg-turbo: any warning is damage unless the caller is lenient;
 * what would give wrong colors (unknown components) is refused as unsupported, as are arithmetic
 * coding, 12 bits and lossless. CMYK and YCCK become RGB by the plain rule, (1-C)(1-K) and so on:
 * color profiles are not applied, here as elsewhere.
 *
 * Errors leave by longjmp; what must be released lives in one struct outside the frame that jumps.
 */
#include "common/io/image_codec.h"
#include "common/io/image_shrink.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

enum { SCANS_MAX = 100 };

typedef struct {
    struct jpeg_decompress_struct j;
    struct jpeg_error_mgr err;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    image_t image;
    shrink_t shrink; /* of a giant, */
    uint8_t *row;    /* and one of its rows, or one of CMYK */
    image_status_t status;
    bool lenient;
    int orientation;
    char said[JMSG_LENGTH_MAX];
} jreader_t;

static void leave(jreader_t *r, image_status_t status) {
    r->status = status;
    longjmp(r->jump, 1);
}

static void on_error(j_common_ptr j) {
    jreader_t *r = j->client_data;
    j->err->format_message(j, r->said);
    int code = j->err->msg_code;
    bool other = code == JERR_BAD_PRECISION || code == JERR_SOF_UNSUPPORTED ||
                 code == JERR_ARITH_NOTIMPL || code == JERR_CONVERSION_NOTIMPL;
    leave(r, other ? IMAGE_UNSUPPORTED : IMAGE_BAD);
}

/* level < 0 is a warning: data damaged, but decoding could go on. */
static void on_message(j_common_ptr j, int level) {
    jreader_t *r = j->client_data;
    if (level >= 0) return;
    j->err->num_warnings++;
    if (r->lenient) return;
    j->err->format_message(j, r->said);
    leave(r, IMAGE_BAD);
}

static void on_output(j_common_ptr j) {}

/* Each scan of a progressive file walks the whole picture: a small file must not buy hours. */
static void on_progress(j_common_ptr j) {
    jreader_t *r = j->client_data;
    if (r->j.input_scan_number <= SCANS_MAX) return;
    snprintf(r->said, sizeof r->said, "more than %d scans", SCANS_MAX);
    leave(r, IMAGE_BAD);
}

static unsigned tiff16(const uint8_t *p, bool big) {
    return big ? p[0] << 8 | p[1] : p[1] << 8 | p[0];
}
static size_t tiff32(const uint8_t *p, bool big) {
    return big ? (size_t)tiff16(p, true) << 16 | tiff16(p + 2, true)
               : (size_t)tiff16(p + 2, false) << 16 | tiff16(p, false);
}

/* Tag 0x0112 of the first directory of an EXIF block, 1 when there is none or it makes no sense. */
static int exif_orientation(const uint8_t *p, size_t n) {
    if (n < 14 || memcmp(p, "Exif\0\0", 6) != 0) return 1;
    p += 6, n -= 6;
    bool big = memcmp(p, "MM\0*", 4) == 0;
    if (!big && memcmp(p, "II*\0", 4) != 0) return 1;
    size_t at = tiff32(p + 4, big);
    if (at > n - 2) return 1;
    unsigned entries = tiff16(p + at, big);
    at += 2;
    for (unsigned i = 0; i < entries && n - at >= 12; i++, at += 12) {
        if (tiff16(p + at, big) != 0x0112) continue;
        unsigned value = tiff16(p + at + 8, big);
        bool is_short = tiff16(p + at + 2, big) == 3 && tiff32(p + at + 4, big) == 1;
        return is_short && value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

static int find_orientation(const struct jpeg_decompress_struct *j) {
    for (jpeg_saved_marker_ptr m = j->marker_list; m; m = m->next)
        if (m->data_length >= 6 && memcmp(m->data, "Exif\0\0", 6) == 0)
            return exif_orientation(m->data, m->data_length);
    return 1;
}

static const char *unsupported(const struct jpeg_decompress_struct *j) {
    if (j->arith_code) return "arithmetic coding";
    if (j->data_precision != 8) return "more than 8 bits";
    switch (j->jpeg_color_space) {
    case JCS_GRAYSCALE:
    case JCS_RGB:
    case JCS_YCbCr:
    case JCS_CMYK:
    case JCS_YCCK:
        return NULL;
    default:
        return "unknown color space";
    }
}

/* Baseline and of one scan: rows come in order, and libjpeg keeps only a few. */
static bool shrinks(jreader_t *r, size_t size, const image_opts_t *o, size_t *w, size_t *h) {
    struct jpeg_decompress_struct *j = &r->j;
    image_opts_t turned = *o;
    if (j->progressive_mode || jpeg_has_multiple_scans(j)) return false;
    /* A block of 64 pixels takes two bits at least: what is much shorter is a claim, not a
     * picture. */
    if (size < (uint64_t)j->image_width * j->image_height / 512) return false;
    if (r->orientation > 4) turned.want_w = o->want_h, turned.want_h = o->want_w;
    return shrink_size(j->image_width, j->image_height, &turned, w, h);
}

/* [w,4] to [w,3], which may be the same memory. Files with Adobe's marker hold 255 - ink, others
 * the ink. */
static void rgb_of_cmyk(const uint8_t *in, uint8_t *out, size_t w, bool adobe) {
    unsigned flip = adobe ? 0 : 255;
    for (size_t i = 0; i < w; i++, in += 4, out += 3) {
        unsigned k = in[3] ^ flip, c[3] = {in[0] ^ flip, in[1] ^ flip, in[2] ^ flip};
        for (int j = 0; j < 3; j++) out[j] = (uint8_t)((c[j] * k + 127) / 255);
    }
}

/* The next row into rgb, which may be r->row. */
static void read_row(jreader_t *r, uint8_t *rgb) {
    struct jpeg_decompress_struct *j = &r->j;
    bool cmyk = j->out_color_space == JCS_CMYK;
    jpeg_read_scanlines(j, cmyk ? &r->row : &rgb, 1);
    if (cmyk) rgb_of_cmyk(r->row, rgb, j->output_width, j->saw_Adobe_marker);
}

static void read_rows(jreader_t *r) {
    struct jpeg_decompress_struct *j = &r->j;
    r->image = image_new(j->output_width, j->output_height);
    while (j->output_scanline < j->output_height)
        read_row(r, r->image.rgb + 3 * r->image.w * j->output_scanline);
}

static void shrink_rows(jreader_t *r, size_t w, size_t h) {
    struct jpeg_decompress_struct *j = &r->j;
    r->shrink = shrink_new(j->output_width, j->output_height, w, h);
    while (j->output_scanline < j->output_height) {
        read_row(r, r->row);
        shrink_row(&r->shrink, r->row);
    }
    r->image = shrink_take(&r->shrink);
}

/* The part that may jump. */
static void read_all(jreader_t *r, const uint8_t *bytes, size_t size, const image_opts_t *o,
                     reason_t *why) {
    struct jpeg_decompress_struct *j = &r->j;
    jpeg_create_decompress(j);
    j->client_data = r;
    j->progress = &r->progress;
    jpeg_mem_src(j, bytes, size);
    if (!o->no_exif) jpeg_save_markers(j, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(j, TRUE);
    const char *no = unsupported(j);
    if (no) {
        snprintf(r->said, sizeof r->said, "%s", no);
        leave(r, IMAGE_UNSUPPORTED);
    }
    r->orientation =
        find_orientation(j); /* now: the markers do not outlive jpeg_finish_decompress */
    size_t w, h;
    bool giant = shrinks(r, size, o, &w, &h);
    if (image_check_size(j->image_width, j->image_height, giant, o, why)) {
        r->status = IMAGE_BAD;
        return;
    }
    j->out_color_space = j->num_components == 4 ? JCS_CMYK : JCS_RGB;
    j->dct_method = JDCT_ISLOW;
    jpeg_start_decompress(j);
    if (giant || j->out_color_space == JCS_CMYK) r->row = xmalloc(4 * (size_t)j->output_width);
    if (giant)
        shrink_rows(r, w, h);
    else
        read_rows(r);
    jpeg_finish_decompress(j);
    r->status = IMAGE_OK;
}

/* The frame that libjpeg jumps to: all that changes is behind r, so nothing of it is lost. */
static void guarded_read(jreader_t *r, const uint8_t *bytes, size_t size, const image_opts_t *o,
                         reason_t *why) {
    if (setjmp(r->jump) == 0) {
        read_all(r, bytes, size, o, why);
        return;
    }
    reason_set(why, "%s JPEG: %s", r->status == IMAGE_BAD ? "damaged" : "unsupported", r->said);
}

image_status_t image_decode_jpeg(image_t *out, const uint8_t *bytes, size_t size,
                                 const image_opts_t *o, reason_t *why) {
    jreader_t r = {.lenient = o->lenient};
    r.j.err = jpeg_std_error(&r.err);
    r.j.client_data = &r;
    r.err.error_exit = on_error;
    r.err.emit_message = on_message;
    r.err.output_message = on_output;
    r.progress.progress_monitor = on_progress;
    guarded_read(&r, bytes, size, o, why);
    if (r.status == IMAGE_OK) image_orient(&r.image, r.orientation);
    jpeg_destroy_decompress(&r.j);
    free(r.row);
    shrink_release(&r.shrink);
    if (r.status)
        image_release(&r.image);
    else
        *out = r.image;
    return r.status;
}
