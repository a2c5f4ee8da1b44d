/* image_jpeg.c - JPEG through libjpeg-turbo: a warning is damage unless it leaves every block of
 * the image decoded (harmless below) or the caller is lenient; what would give wrong colors
 * (unknown components) is refused as unsupported, as are arithmetic coding, 12 bits and lossless.
 * CMYK and YCCK become RGB by the plain rule, (1-C)(1-K) and so on: color profiles are not applied,
 * here as elsewhere.
 *
 * Errors leave by longjmp; what must be released lives in one struct outside the frame that jumps.
 */
#include "common/io/image/image_codec.h"
#include "common/io/image/image_shrink.h"

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
    uint8_t *row; /* of CMYK */
    image_status_t status;
    bool lenient, whole; /* whole: all rows are there */
    bool one_scan;       /* a sequential file of one scan is being decoded */
    unsigned noticed;    /* 1u << NOTE_... */
    const uint8_t *bytes;
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

/* Bytes before a marker that belong to nothing. Among the segments of a header they are harmless.
 * Behind a scan they are what the decoder did not need: padding, or some junk. Many of them, and
 * not one alike, are blocks that were lost to damage. */
static bool is_padding(const jreader_t *r, size_t n) {
    enum { JUNK_MAX = 64 };
    const uint8_t *end = r->j.src->next_input_byte;
    size_t before = (size_t)(end - r->bytes);
    if (r->j.input_scan_number == 0 || n <= JUNK_MAX) return true;
    if (n > before) n = before;
    for (size_t i = 1; i < n; i++)
        if (end[-1 - (ptrdiff_t)i] != end[-1]) return false;
    return true;
}

/* The kind of a warning after which no pixel is in doubt, else NOTE_JPEG_DAMAGE. */
static image_note_t kind_of(const jreader_t *r) {
    switch (r->err.msg_code) {
    case JWRN_NOT_SEQUENTIAL: /* the scan's Ss, Se, Ah, Al, which a sequential file does not use */
        return NOTE_JPEG_SCAN;
    case JWRN_JFIF_MAJOR:
        return NOTE_JPEG_JFIF;
    case JWRN_ADOBE_XFORM: /* read as YCbCr or YCCK, as every decoder does */
        return NOTE_JPEG_ADOBE;
    case JWRN_EXTRANEOUS_DATA:
        return is_padding(r, (size_t)r->err.msg_parm.i[0]) ? NOTE_JPEG_BETWEEN : NOTE_JPEG_DAMAGE;
    case JWRN_JPEG_EOF: /* of one scan, JWRN_HIT_MARKER follows when a block is missing */
        return r->one_scan ? NOTE_JPEG_END : NOTE_JPEG_DAMAGE;
    default: /* early ends, bad codes, lost restart markers, scans that contradict one another */
        return NOTE_JPEG_DAMAGE;
    }
}

/* level < 0 is a warning: something is wrong, but decoding could go on. */
static void on_message(j_common_ptr j, int level) {
    jreader_t *r = j->client_data;
    if (level >= 0) return;
    j->err->num_warnings++;
    image_note_t kind = kind_of(r);
    r->noticed |= 1u << kind;
    /* The early end is the cause of what it leaves out: it is told even when it was let through. */
    if (!r->said[0]) j->err->format_message(j, r->said);
    if (kind < NOTE_DAMAGE) {
        if (kind != NOTE_JPEG_END) r->said[0] = 0;
        return;
    }
    if (!r->lenient) leave(r, IMAGE_BAD);
}

static void on_output(j_common_ptr j) {}

/* Each scan of a progressive file walks the whole image: a small file must not buy hours. */
static void on_progress(j_common_ptr j) {
    jreader_t *r = j->client_data;
    if (r->j.input_scan_number <= SCANS_MAX) return;
    snprintf(r->said, sizeof r->said, "more than %d scans", SCANS_MAX);
    leave(r, IMAGE_BAD);
}

static int find_orientation(const struct jpeg_decompress_struct *j) {
    for (jpeg_saved_marker_ptr m = j->marker_list; m; m = m->next)
        if (m->data_length >= 6 && memcmp(m->data, "Exif\0\0", 6) == 0)
            return image_exif_orientation(m->data, m->data_length);
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

/* Lets libjpeg decode a large image at a fraction of its size. True: it is a giant that is never in
 * memory as a whole. */
static bool make_smaller(jreader_t *r, size_t size, const image_opts_t *o) {
    struct jpeg_decompress_struct *j = &r->j;
    uint64_t pixels = (uint64_t)j->image_width * j->image_height;
    image_opts_t turned = *o;
    if (r->orientation > 4) {
        turned.want_w = o->want_h;
        turned.want_h = o->want_w;
    }
    j->scale_num = 1;
    j->scale_denom = shrink_jpeg(j->image_width, j->image_height, &turned);
    /* Of several scans libjpeg keeps all coefficients. A block of 64 pixels takes two bits at
     * least: what is much shorter is a claim, not an image. */
    return j->scale_denom > 1 && pixels > IMAGE_GIANT && !j->progressive_mode &&
           !jpeg_has_multiple_scans(j) && size >= pixels / 512;
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
    bool streams = make_smaller(r, size, o);
    if (image_check_size(j->image_width, j->image_height, streams, o, why)) {
        r->status = IMAGE_BAD;
        return;
    }
    j->out_color_space = j->num_components == 4 ? JCS_CMYK : JCS_RGB;
    j->dct_method = JDCT_ISLOW;
    r->one_scan = !j->progressive_mode && !jpeg_has_multiple_scans(j);
    jpeg_start_decompress(j);
    if (j->out_color_space == JCS_CMYK) r->row = xmalloc(4 * (size_t)j->output_width);
    read_rows(r);
    r->whole = true;
    jpeg_finish_decompress(j);
    if (j->src->bytes_in_buffer && !(r->noticed & 1u << NOTE_JPEG_DAMAGE))
        r->noticed |= 1u << NOTE_JPEG_BEHIND;
    r->status = IMAGE_OK;
}

/* The frame that libjpeg jumps to: all that changes is behind r, so nothing of it is lost. */
static void guarded_read(jreader_t *r, const uint8_t *bytes, size_t size, const image_opts_t *o,
                         reason_t *why) {
    if (setjmp(r->jump) == 0) {
        read_all(r, bytes, size, o, why);
        return;
    }
    if (r->lenient && r->whole) { /* what failed stands behind the image */
        r->noticed |= 1u << NOTE_JPEG_DAMAGE;
        r->status = IMAGE_OK;
        return;
    }
    reason_set(why, "%s JPEG: %s", r->status == IMAGE_BAD ? "damaged" : "unsupported", r->said);
}

image_status_t image_decode_jpeg(image_t *out, const uint8_t *bytes, size_t size,
                                 const image_opts_t *o, reason_t *why) {
    jreader_t r = {.lenient = o->lenient, .bytes = bytes};
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
    if (r.status)
        image_release(&r.image);
    else
        *out = r.image;
    if (r.status == IMAGE_OK) image_note(o, r.noticed);
    return r.status;
}
