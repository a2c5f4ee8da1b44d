/* image_webp.c - WebP through libwebp: lossy and lossless still images, and the first frame of
 * animations as it stands on its canvas. Alpha is composited over the background, the orientation
 * of an EXIF chunk is applied. A file that is shorter than it says is damaged.
 *
 * A WebP is never shrunk while it is decoded: libwebp holds the whole image.
 */
#include "common/io/image/image_codec.h"

#include <string.h>

#ifdef WITH_WEBP
#include <stdlib.h>
#include <webp/decode.h>
#include <webp/demux.h>

enum { RIFF_HEADER = 8 };

static const char *said(VP8StatusCode status) {
    switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
        return "the file ends early";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return "a feature that libwebp does not know";
    case VP8_STATUS_OUT_OF_MEMORY:
        return "out of memory";
    default:
        return "bad data";
    }
}

static image_status_t damaged(reason_t *why, const char *what) {
    reason_set(why, "damaged WebP: %s", what);
    return IMAGE_BAD;
}

/* Decodes one bitstream, w x h, into `to`: bytes a pixel are 3 (RGB) or 4 (RGBA). */
static VP8StatusCode decode_into(const uint8_t *bytes, size_t size, uint8_t *to, size_t w, size_t h,
                                 size_t channels) {
    WebPDecoderConfig c;
    if (!WebPInitDecoderConfig(&c))
        die(RC_RUNTIME, "libwebp is of another version than its header");
    c.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
    c.output.is_external_memory = 1;
    c.output.u.RGBA = (WebPRGBABuffer){to, (int)(w * channels), w * h * channels};
    VP8StatusCode status = WebPDecode(bytes, size, &c);
    WebPFreeDecBuffer(&c.output);
    return status;
}

/* A bitstream onto the canvas at x, y; the caller has seen that it fits. */
static VP8StatusCode draw(image_t *canvas, const uint8_t *bytes, size_t size, size_t x, size_t y,
                          size_t w, size_t h, bool alpha, const uint8_t background[3]) {
    size_t channels = alpha ? 4 : 3;
    if (!alpha && w == canvas->w && h == canvas->h)
        return decode_into(bytes, size, canvas->rgb, w, h, channels);
    uint8_t *pixels = xmalloc(w * h * channels);
    VP8StatusCode status = decode_into(bytes, size, pixels, w, h, channels);
    if (status != VP8_STATUS_OK) {
        free(pixels);
        return status;
    }
    for (size_t row = 0; row < h; row++) {
        uint8_t *to = canvas->rgb + 3 * (canvas->w * (y + row) + x);
        const uint8_t *from = pixels + w * channels * row;
        if (alpha)
            image_over_row(to, from, w, background);
        else
            memcpy(to, from, 3 * w);
    }
    free(pixels);
    return status;
}

static void fill(image_t *im, const uint8_t color[3]) {
    for (size_t i = 0; i < im->w * im->h; i++) memcpy(im->rgb + 3 * i, color, 3);
}

/* The first frame, on a canvas that shows the background wherever the frame is not. */
static image_status_t draw_first_frame(image_t *canvas, const WebPDemuxer *d, const image_opts_t *o,
                                       reason_t *why) {
    WebPIterator f;
    image_status_t status = IMAGE_OK;
    if (!WebPDemuxGetFrame(d, 1, &f)) return damaged(why, "an animation without frames");
    size_t x = (size_t)f.x_offset, y = (size_t)f.y_offset;
    size_t w = (size_t)f.width, h = (size_t)f.height;
    if (!f.complete || f.x_offset < 0 || f.y_offset < 0 || x > canvas->w || w > canvas->w - x ||
        y > canvas->h || h > canvas->h - y) {
        status = damaged(why, "a frame that is not on its canvas");
    } else {
        fill(canvas, o->background);
        VP8StatusCode code = draw(canvas, f.fragment.bytes, f.fragment.size, x, y, w, h,
                                  f.has_alpha != 0, o->background);
        if (code != VP8_STATUS_OK) status = damaged(why, said(code));
    }
    WebPDemuxReleaseIterator(&f);
    return status;
}

static int find_orientation(const WebPDemuxer *d) {
    WebPChunkIterator c;
    int orientation = 1;
    if (!d || !WebPDemuxGetChunk(d, "EXIF", 1, &c)) return orientation;
    orientation = image_exif_orientation(c.chunk.bytes, c.chunk.size);
    WebPDemuxReleaseChunkIterator(&c);
    return orientation;
}

static size_t riff_size(const uint8_t *bytes) {
    return (size_t)bytes[4] | (size_t)bytes[5] << 8 | (size_t)bytes[6] << 16 |
           (size_t)bytes[7] << 24;
}

static image_status_t read_all(image_t *im, const WebPDemuxer *d, const WebPBitstreamFeatures *f,
                               const uint8_t *bytes, size_t size, const image_opts_t *o,
                               reason_t *why) {
    if (f->has_animation && !d) return damaged(why, "bad chunks");
    *im = image_new((size_t)f->width, (size_t)f->height);
    if (f->has_animation) return draw_first_frame(im, d, o, why);
    VP8StatusCode code =
        draw(im, bytes, size, 0, 0, im->w, im->h, f->has_alpha != 0, o->background);
    return code == VP8_STATUS_OK ? IMAGE_OK : damaged(why, said(code));
}

image_status_t image_decode_webp(image_t *out, const uint8_t *bytes, size_t size,
                                 const image_opts_t *o, reason_t *why) {
    WebPBitstreamFeatures f;
    if (size < RIFF_HEADER || memcmp(bytes, "RIFF", 4) != 0) return damaged(why, "no header");
    size_t stated = riff_size(bytes) + RIFF_HEADER;
    if (stated > size) return damaged(why, said(VP8_STATUS_NOT_ENOUGH_DATA));
    VP8StatusCode code = WebPGetFeatures(bytes, stated, &f);
    if (code != VP8_STATUS_OK) return damaged(why, said(code));
    if (f.width <= 0 || f.height <= 0) return damaged(why, "no pixels");
    if (image_check_size((uint64_t)f.width, (uint64_t)f.height, false, o, why)) return IMAGE_BAD;
    WebPData data = {bytes, stated};
    WebPDemuxer *d = WebPDemux(&data);
    image_status_t status = read_all(out, d, &f, bytes, stated, o, why);
    if (status == IMAGE_OK) {
        image_orient(out, o->no_exif ? 1 : find_orientation(d));
        image_note(o, stated < size ? 1u << NOTE_WEBP_BEHIND : 0);
    } else {
        image_release(out);
    }
    WebPDemuxDelete(d);
    return status;
}

#else /* image_sniff calls it unsupported then */
typedef int image_webp_is_absent; /* ISO C wants a declaration */
#endif
