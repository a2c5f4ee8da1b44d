/* test_image_webp.c - WebP: lossless files must come out pixel by pixel, lossy ones within a few
 * levels of what libwebp's encoder was given; alpha, orientation and animations are put into
 * containers made here, chunk by chunk, from the format's definition.
 */
#include "tests/image_check.h"

#ifdef WITH_WEBP
#include <webp/encode.h>

enum { W = 37, H = 26 };

/* ---- containers ---- */

static void put24(blob_t *b, uint32_t v) {
    blob_put(b, (uint8_t[]){(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16)}, 3);
}
static void put32le(blob_t *b, uint32_t v) {
    blob_put(b, (uint8_t[]){(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)},
             4);
}
static void put_chunk(blob_t *b, const char *type, const void *data, size_t n) {
    blob_put(b, type, 4);
    put32le(b, (uint32_t)n);
    blob_put(b, data, n);
    if (n & 1) blob_put(b, "", 1);
}

/* Chunks to a file. Frees them. */
static blob_t riff(blob_t chunks) {
    blob_t b = {0};
    blob_put(&b, "RIFF", 4);
    put32le(&b, (uint32_t)chunks.n + 4);
    blob_put(&b, "WEBP", 4);
    blob_put(&b, chunks.p, chunks.n);
    free(chunks.p);
    return b;
}

enum { HAS_ANIMATION = 2, HAS_EXIF = 8, HAS_ALPHA = 16 };
static void put_vp8x(blob_t *b, int flags, unsigned w, unsigned h) {
    blob_t x = {0};
    put32le(&x, (uint32_t)flags);
    put24(&x, w - 1);
    put24(&x, h - 1);
    put_chunk(b, "VP8X", x.p, x.n);
    free(x.p);
}

/* libwebp's file of [h,w,4] pixels. */
static blob_t webp_of(const uint8_t *rgba, int w, int h, bool lossless) {
    uint8_t *bytes = NULL;
    size_t n;
    if (lossless) { /* WebPEncodeLosslessRGBA changes colors behind full transparency */
        WebPConfig c;
        WebPPicture p;
        WebPMemoryWriter m;
        if (!WebPConfigInit(&c) || !WebPPictureInit(&p)) abort();
        c.lossless = c.exact = 1;
        p.use_argb = 1;
        p.width = w, p.height = h;
        WebPMemoryWriterInit(&m);
        p.writer = WebPMemoryWrite;
        p.custom_ptr = &m;
        if (!WebPPictureImportRGBA(&p, rgba, 4 * w) || !WebPEncode(&c, &p)) abort();
        WebPPictureFree(&p);
        bytes = m.mem, n = m.size;
    } else {
        n = WebPEncodeRGBA(rgba, w, h, 4 * w, 97, &bytes);
        if (!n) abort();
    }
    blob_t b = blob_copy(bytes, n);
    WebPFree(bytes);
    return b;
}

/* The bitstream's own chunks: what stands behind the file's header, without a VP8X. */
static blob_t chunks_of(const blob_t *b) {
    size_t at = memcmp(b->p + 12, "VP8X", 4) ? 12 : 30;
    return blob_copy(b->p + at, b->n - at);
}

static blob_t with_exif(const blob_t *b, const void *exif, size_t n, unsigned w, unsigned h,
                        bool alpha) {
    blob_t out = {0}, own = chunks_of(b);
    put_vp8x(&out, HAS_EXIF | (alpha ? HAS_ALPHA : 0), w, h);
    blob_put(&out, own.p, own.n);
    put_chunk(&out, "EXIF", exif, n);
    free(own.p);
    return riff(out);
}

static void put_frame(blob_t *b, const blob_t *still, unsigned x, unsigned y, unsigned w,
                      unsigned h) {
    blob_t f = {0}, own = chunks_of(still);
    put24(&f, x / 2);
    put24(&f, y / 2);
    put24(&f, w - 1);
    put24(&f, h - 1);
    put24(&f, 100);
    blob_put(&f, "", 1);
    blob_put(&f, own.p, own.n);
    put_chunk(b, "ANMF", f.p, f.n);
    free(f.p);
    free(own.p);
}

/* ---- pixels ---- */

static void fill_noise(uint8_t *rgba, size_t n, bool alpha, uint32_t seed) {
    for (size_t i = 0; i < n; i++)
        rgba[i] = i % 4 == 3 && !alpha ? 255 : (uint8_t)noise(seed * 7919 + (uint32_t)i);
    if (alpha)
        for (size_t i = 3; i < n / 2; i += 4) rgba[i] = i % 8 == 3 ? 0 : 255;
}

static void over_background(uint8_t *rgb, const uint8_t *rgba, size_t n,
                            const uint8_t background[3]) {
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 3; c++)
            rgb[3 * i + c] = (uint8_t)floor(rgba[4 * i + c] * rgba[4 * i + 3] / 255.0 +
                                            background[c] * (255 - rgba[4 * i + 3]) / 255.0 + 0.5);
}

TEST(webp_lossless) {
    uint8_t rgba[4 * W * H], want[3 * W * H];
    for (int alpha = 0; alpha < 2; alpha++) {
        for (int red = 0; red < 2; red++) {
            image_opts_t o = image_opts_default();
            if (red) memcpy(o.background, "\xC8\x0A\x14", 3);
            fill_noise(rgba, sizeof rgba, alpha, 3);
            over_background(want, rgba, (size_t)W * H, o.background);
            check_pixels(webp_of(rgba, W, H, true), W, H, want, &o, alpha ? "alpha" : "opaque");
        }
    }
    fill_noise(rgba, 4, false, 1);
    over_background(want, rgba, 1, (uint8_t[3]){0});
    check_pixels(webp_of(rgba, 1, 1, true), 1, 1, want, NULL, "1 x 1");
}

TEST(webp_lossy) {
    uint8_t rgba[4 * W * H];
    for (int alpha = 0; alpha < 2; alpha++) {
        image_t im;
        reason_t why;
        for (size_t i = 0; i < (size_t)W * H; i++) { /* gray: chroma is stored at half the size */
            memset(rgba + 4 * i, (int)(40 + 4 * (i % W) + i / W), 3);
            rgba[4 * i + 3] = alpha && i % W >= W / 2 ? 0 : 255;
        }
        blob_t b = webp_of(rgba, W, H, false);
        REQUIRE(decode(&im, b.p, b.n, NULL, &why) == IMAGE_OK, "%s", why.text);
        CHECK(im.w == W && im.h == H);
        for (size_t i = 0; i < 3 * (size_t)W * H; i++)
            CHECK_NEAR(im.rgb[i], rgba[i / 3 * 4 + 3] ? rgba[i / 3 * 4] : 255, 5);
        image_release(&im);
        free(b.p);
    }
}

TEST(webp_orientation) {
    static const char shown[9][5] = {"RGBW", "RGBW", "GRWB", "WBGR", "BWRG",
                                     "RBGW", "BRWG", "WGBR", "GWRB"};
    static const uint8_t corners[16] = {255, 0, 0,   255, 0,   255, 0,   255,
                                        0,   0, 255, 255, 255, 255, 255, 255};
    uint8_t px[4 * 4 * 2];
    for (size_t i = 0; i < 8; i++) memcpy(px + 4 * i, corners + 4 * (i % 4 / 2 + i / 4 * 2), 4);
    blob_t still = webp_of(px, 4, 2, true);
    for (int k = 0; k < 80; k++) {
        int orientation = k % 10;
        bool big = k / 10 % 2, prefix = k / 20 % 2, animated = k >= 40;
        uint8_t exif[64];
        size_t n = exif_make(exif, orientation, big), from = prefix ? 0 : 6;
        blob_t b;
        if (animated) {
            blob_t c = {0};
            put_vp8x(&c, HAS_ANIMATION | HAS_EXIF, 4, 2);
            put_chunk(&c, "ANIM", "\0\0\0\0\0\0", 6);
            put_frame(&c, &still, 0, 0, 4, 2);
            put_chunk(&c, "EXIF", exif + from, n - from);
            b = riff(c);
        } else {
            b = with_exif(&still, exif + from, n - from, 4, 2, false);
        }
        for (int ignore = 0; ignore < 2; ignore++) {
            image_t im;
            reason_t why;
            image_opts_t o = image_opts_default();
            o.no_exif = ignore;
            REQUIRE(decode(&im, b.p, b.n, &o, &why) == IMAGE_OK, "%d: %s", k, why.text);
            int effective = ignore || orientation > 8 ? 1 : orientation;
            CHECK(im.w == (effective >= 5 ? 2 : 4) && im.h == (effective >= 5 ? 4 : 2));
            for (size_t corner = 0; corner < 4; corner++) {
                size_t x = corner & 1 ? im.w - 1 : 0, y = corner & 2 ? im.h - 1 : 0;
                const uint8_t *p = im.rgb + 3 * (im.w * y + x);
                char seen = p[0] ? (p[1] ? 'W' : 'R') : p[1] ? 'G' : 'B';
                CHECK(seen == shown[effective][corner], "%d, corner %zu: %c", k, corner, seen);
            }
            image_release(&im);
        }
        free(b.p);
    }
    free(still.p);
}

/* The first frame where it stands, the background around and behind it; further frames and the
 * animation's own background color change nothing. */
TEST(webp_animation) {
    enum { CW = 50, CH = 44, X = 6, Y = 10 };
    uint8_t first[4 * W * H], second[4 * W * H], drawn[3 * W * H], want[3 * CW * CH];
    image_opts_t o = image_opts_default();
    memcpy(o.background, "\x0A\x96\xF0", 3);
    for (int alpha = 0; alpha < 2; alpha++) {
        fill_noise(first, sizeof first, alpha, 8);
        fill_noise(second, sizeof second, false, 9);
        over_background(drawn, first, (size_t)W * H, o.background);
        for (size_t i = 0; i < CW * CH; i++) {
            size_t x = i % CW, y = i / CW;
            bool inside = x >= X && x < X + W && y >= Y && y < Y + H;
            memcpy(want + 3 * i, inside ? drawn + 3 * ((y - Y) * W + x - X) : o.background, 3);
        }
        blob_t a = webp_of(first, W, H, true), b = webp_of(second, W, H, true), c = {0};
        put_vp8x(&c, HAS_ANIMATION | HAS_ALPHA, CW, CH);
        put_chunk(&c, "ANIM", "\x10\x20\x30\xFF\0\0", 6);
        put_frame(&c, &a, X, Y, W, H);
        put_frame(&c, &b, 0, 0, W, H);
        check_pixels(riff(c), CW, CH, want, &o, "animation");
        free(a.p);
        free(b.p);
    }
}

/* ---- damage ---- */

TEST(webp_truncated) {
    uint8_t rgba[4 * W * H];
    fill_noise(rgba, sizeof rgba, true, 4);
    for (int lossless = 0; lossless < 2; lossless++) {
        blob_t b = webp_of(rgba, W, H, lossless);
        for (size_t n = 12; n < b.n; n += 7) check_bad(b.p, n, "damaged WebP");
        check_bad(b.p, b.n - 1, "ends early");
        /* The same, and the header says that it is all. */
        for (size_t n = 40; n + 8 < b.n; n += 97) {
            blob_t cut = blob_copy(b.p, n & ~(size_t)1);
            cut.p[4] = (uint8_t)(cut.n - 8);
            cut.p[5] = (uint8_t)((cut.n - 8) >> 8);
            check_bad(cut.p, cut.n, "damaged WebP");
            free(cut.p);
        }
        free(b.p);
    }
}

TEST(webp_animation_truncated) {
    uint8_t rgba[4 * W * H];
    fill_noise(rgba, sizeof rgba, false, 4);
    blob_t still = webp_of(rgba, W, H, true), c = {0}, none = {0}, off = {0};
    put_vp8x(&c, HAS_ANIMATION, W, H);
    put_chunk(&c, "ANIM", "\0\0\0\0\0\0", 6);
    put_frame(&c, &still, 0, 0, W, H);
    put_frame(&c, &still, 0, 0, W, H);
    blob_t b = riff(c);
    for (size_t n = 12; n < b.n; n += 31) check_bad(b.p, n, "damaged WebP");
    put_vp8x(&none, HAS_ANIMATION, W, H);
    put_chunk(&none, "ANIM", "\0\0\0\0\0\0", 6);
    none = riff(none);
    check_bad(none.p, none.n, "damaged WebP");
    put_vp8x(&off, HAS_ANIMATION, W, H);
    put_chunk(&off, "ANIM", "\0\0\0\0\0\0", 6);
    put_frame(&off, &still, 2, 0, W, H);
    off = riff(off);
    check_bad(off.p, off.n, "damaged WebP");
    free(still.p);
    free(b.p);
    free(none.p);
    free(off.p);
}

TEST(webp_flipped_bits) {
    uint8_t rgba[4 * W * H];
    fill_noise(rgba, sizeof rgba, true, 4);
    for (int lossless = 0; lossless < 2; lossless++) {
        blob_t b = webp_of(rgba, W, H, lossless);
        for (size_t i = 12; i < b.n; i++) { /* any verdict, no crash, no leak */
            image_t im;
            reason_t why;
            image_opts_t o = image_opts_default();
            o.max_pixels = 1 << 16;
            b.p[i] ^= (uint8_t)(1 << i % 8);
            image_status_t status = decode(&im, b.p, b.n, &o, &why);
            CHECK((status == IMAGE_OK) == (im.rgb != NULL) && (status == IMAGE_OK || why.text[0]));
            image_release(&im);
            b.p[i] ^= (uint8_t)(1 << i % 8);
        }
        free(b.p);
    }
}

TEST(webp_bytes_behind) {
    uint8_t rgba[4 * W * H], want[3 * W * H];
    image_notes_t notes = {0};
    image_opts_t o = image_opts_default();
    o.notes = &notes;
    fill_noise(rgba, sizeof rgba, false, 2);
    over_background(want, rgba, (size_t)W * H, o.background);
    blob_t b = webp_of(rgba, W, H, true);
    blob_put(&b, "behind", 6);
    check_pixels(b, W, H, want, &o, "bytes behind");
    CHECK(notes.harmless == 1 && notes.kind[NOTE_WEBP_BEHIND] == 1);
}

/* 16383 x 16383, the largest that the format can say, in a few bytes. */
TEST(webp_bomb) {
    blob_t lossless = {0}, lossy = {0}, canvas = {0};
    put_chunk(&lossless, "VP8L", "\x2F\xFE\xBF\xFF\x0F\0\0\0\0", 9);
    put_chunk(&lossy, "VP8 ", "\x10\2\0\x9D\1\x2A\xFF\x3F\xFF\x3F\0\0\0\0\0\0\0\0\0\0", 20);
    put_vp8x(&canvas, HAS_ANIMATION, 16777216, 200);
    put_chunk(&canvas, "ANIM", "\0\0\0\0\0\0", 6);
    blob_t b[] = {riff(lossless), riff(lossy), riff(canvas)};
    for (size_t i = 0; i < 3; i++) {
        check_bomb(b[i]);
        free(b[i].p);
    }
}

#else

TEST(webp_is_missing) {
    image_t im;
    reason_t why;
    image_status_t status =
        image_decode(&im, (const uint8_t *)"RIFF\x10\0\0\0WEBPVP8 ", 16, NULL, &why);
    CHECK(status == IMAGE_UNSUPPORTED && strstr(why.text, "libwebp"), "%s", why.text);
}

#endif
