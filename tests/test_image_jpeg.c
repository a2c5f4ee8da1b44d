/* test_image_jpeg.c - JPEG: what libjpeg wrote must come out within a few levels, what is damaged
 * must not come out at all; other formats by their names; thousands of bad files leave nothing.
 *
 * Expected pixels are computed here from the definitions (EXIF table), never by the code under
 * test.
 */
#include "tests/image_check.h"

#include <time.h>

/* ---- JPEG ---- */

/* Smooth, so that compression keeps it within a few levels. */
static void smooth(uint8_t *p, unsigned w, unsigned h, unsigned channels) {
    for (unsigned i = 0; i < w * h * channels; i++) {
        unsigned x = i / channels % w, y = i / channels / w, c = i % channels;
        p[i] = (uint8_t)(40 + (c == 0   ? 150 * x / w
                               : c == 1 ? 150 * y / h
                                        : 75 * (x + y) / (w + h)));
    }
}

TEST(jpeg_pixels) {
    enum { W = 53, H = 37 };
    uint8_t px[3 * W * H];
    for (int k = 0; k < 4; k++) {
        jpeg_spec_t s = {
            .w = W, .h = H, .channels = k & 1 ? 3 : 1, .quality = 98, .progressive = k >= 2};
        smooth(px, W, H, (unsigned)s.channels);
        blob_t b = jpeg_make(&s, px);
        image_t im;
        reason_t why;
        REQUIRE(decode(&im, b.p, b.n, NULL, &why) == IMAGE_OK, "%s", why.text);
        CHECK(im.w == W && im.h == H);
        for (int i = 0; i < 3 * W * H; i++)
            CHECK_NEAR(im.rgb[i], px[s.channels == 3 ? i : i / 3], 4);
        image_release(&im);
        free(b.p);
    }
}

TEST(fault_015_jpeg_truncated) {
    uint8_t *px = noise_bytes(3 * 64 * 64, 8);
    for (int progressive = 0; progressive < 2; progressive++) {
        blob_t b = jpeg_make(
            &(jpeg_spec_t){.w = 64, .h = 64, .channels = 3, .progressive = progressive}, px);
        image_t im;
        reason_t why;
        image_opts_t o = image_opts_default();
        for (size_t n = 3; n < b.n - 2; n += 61) check_bad(b.p, n, "damaged JPEG");
        /* only the end marker is missing: of one scan all blocks are there (test_image_odd.c) */
        if (progressive) check_bad(b.p, b.n - 2, "damaged JPEG");
        o.lenient = true;
        CHECK(decode(&im, b.p, b.n / 2, &o, &why) == IMAGE_OK && im.w == 64, "%s", why.text);
        image_release(&im);
        free(b.p);
    }
    free(px);
}

TEST(fault_015_jpeg_flipped_bits) {
    uint8_t *px = noise_bytes(3 * 64 * 64, 8);
    blob_t b = jpeg_make(&(jpeg_spec_t){.w = 64, .h = 64, .channels = 3}, px);
    for (size_t i = 2; i < b.n; i++) { /* any verdict, no crash, no leak */
        image_t im;
        reason_t why;
        b.p[i] ^= (uint8_t)(1 << i % 8);
        image_opts_t o = image_opts_default();
        o.max_pixels = 1 << 20;
        o.lenient = i & 1;
        image_status_t status = decode(&im, b.p, b.n, &o, &why);
        CHECK((status == IMAGE_OK) == (im.rgb != NULL) && (status == IMAGE_OK || why.text[0]));
        image_release(&im);
        b.p[i] ^= (uint8_t)(1 << i % 8);
    }
    free(b.p);
    free(px);
}

TEST(fault_016_jpeg_arithmetic_12_bit_lossless) {
    uint8_t px[3 * 256];
    smooth(px, 16, 16, 3);
    blob_t a = jpeg_make(&(jpeg_spec_t){.w = 16, .h = 16, .channels = 3, .arithmetic = true}, px);
    check_unsupported(a.p, a.n, "arithmetic");
    blob_t b = jpeg_make(&(jpeg_spec_t){.w = 16, .h = 16, .channels = 3}, px);
    size_t sof = jpeg_find(&b, 0xC0);
    REQUIRE(sof);
    b.p[sof + 4] = 12;
    check_unsupported(b.p, b.n, "JPEG");
    b.p[sof + 4] = 8;
    static const uint8_t kinds[] = {0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF};
    for (size_t i = 0; i < sizeof kinds; i++) {
        b.p[sof + 1] = kinds[i];
        check_unsupported(b.p, b.n, "JPEG");
    }
    free(a.p);
    free(b.p);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

TEST(fault_017_jpeg_scans) {
    uint8_t *px = noise_bytes(3 * 256 * 256, 2);
    blob_t b = jpeg_make(
               &(jpeg_spec_t){
                   .w = 256, .h = 256, .channels = 3, .progressive = true, .quality = 20},
               px),
           many = {0};
    /* The last scan, from its marker to the end marker, 1000 times. */
    size_t last = b.n - 2;
    while (b.p[last] != 0xFF || b.p[last + 1] != 0xDA) last--;
    blob_put(&many, b.p, last);
    for (int i = 0; i < 1000; i++) blob_put(&many, b.p + last, b.n - 2 - last);
    blob_put(&many, "\xFF\xD9", 2);
    for (int lenient = 0; lenient < 2; lenient++) {
        image_t im;
        reason_t why;
        image_opts_t o = image_opts_default();
        o.lenient = lenient;
        double start = seconds();
        CHECK(decode(&im, many.p, many.n, &o, &why) == IMAGE_BAD);
        if (lenient) CHECK(strstr(why.text, "scans"), "%s", why.text);
        CHECK(seconds() - start < 1, "%g s", seconds() - start);
    }
    free(b.p);
    free(many.p);
    free(px);
}

TEST(fault_017_jpeg_gigapixels) {
    uint8_t px[3 * 64] = {0};
    for (int progressive = 0; progressive < 2; progressive++) {
        blob_t b = jpeg_make(
            &(jpeg_spec_t){.w = 8, .h = 8, .channels = 3, .progressive = progressive}, px);
        size_t sof = jpeg_find(&b, progressive ? 0xC2 : 0xC0);
        REQUIRE(sof);
        memcpy(b.p + sof + 5, "\xFF\xDC\xFF\xDC", 4); /* 65500, libjpeg's largest */
        check_bomb(b);
        b.p[sof + 5] = b.p[sof + 7] = 10000 >> 8;
        b.p[sof + 6] = b.p[sof + 8] = 10000 & 255; /* at the limit, with one block of data */
        child_t c;
        double start = seconds();
        child_run(hollow_in_child, &b, &c);
        CHECK(c.code == 0 && seconds() - start < 1);
        free(b.p);
    }
}

/* Stored corners, top left to bottom right: red, green, blue, white. What is to be seen, from the
 * EXIF table: 6 = turned right by 90 degrees. */
TEST(fault_018_exif_orientation) {
    enum { W = 32, H = 16 };
    static const char shown[9][5] = {"RGBW", "RGBW", "GRWB", "WBGR", "BWRG",
                                     "RBGW", "BRWG", "WGBR", "GWRB"};
    uint8_t px[3 * W * H];
    for (int i = 0; i < W * H; i++) {
        bool right = i % W >= W / 2, low = i / W >= H / 2;
        px[3 * i] = right == low ? 255 : 0; /* red, white */
        px[3 * i + 1] = right ? 255 : 0;    /* green, white */
        px[3 * i + 2] = low ? 255 : 0;      /* blue, white */
    }
    for (int k = 0; k <= 20; k++) {
        int orientation = k % 10;
        bool big = k >= 10;
        blob_t b = jpeg_make(
            &(jpeg_spec_t){.w = W, .h = H, .channels = 3, .orientation = orientation, .big = big},
            px);
        for (int ignore = 0; ignore < 2; ignore++) {
            image_t im;
            reason_t why;
            image_opts_t o = image_opts_default();
            o.no_exif = ignore;
            REQUIRE(decode(&im, b.p, b.n, &o, &why) == IMAGE_OK, "%s", why.text);
            int effective = ignore || orientation > 8 ? 1 : orientation;
            bool turned = effective >= 5;
            CHECK(im.w == (turned ? H : W) && im.h == (turned ? W : H));
            for (int corner = 0; corner < 4; corner++) {
                size_t x = corner & 1 ? im.w - 2 : 1, y = corner & 2 ? im.h - 2 : 1;
                const uint8_t *p = im.rgb + 3 * (im.w * y + x);
                char seen = p[0] > 128 ? (p[1] > 128 ? 'W' : 'R') : p[1] > 128 ? 'G' : 'B';
                CHECK(seen == shown[effective][corner], "orientation %d, corner %d: %c",
                      orientation, corner, seen);
            }
            image_release(&im);
        }
        free(b.p);
    }
}

TEST(fault_020_other_formats) {
    static const struct {
        const char *bytes;
        size_t n;
        const char *name;
    } cases[] = {{"GIF89a\1\0\1\0", 10, "GIF"},
                 {"II*\0\x08\0\0\0", 8, "TIFF"},
                 {"MM\0*\0\0\0\x08", 8, "TIFF"},
                 {"\0\0\0\x18"
                  "ftypheic\0\0\0\0",
                  16, "HEIC"},
                 {"\0\0\0\x18"
                  "ftypavif\0\0\0\0",
                  16, "AVIF"},
                 {"<?xml version=\"1.0\"?>\n<svg xmlns=\"\"/>", 38, "SVG"},
                 {" <svg/>", 7, "SVG"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_unsupported((const uint8_t *)cases[i].bytes, cases[i].n, cases[i].name);
    check_bad((const uint8_t *)"<html>404</html>", 16, "neither");
}

/* ---- never a sound, never a leak ---- */

static int many_bad(void *arg) {
    uint8_t *px = noise_bytes(4 * 64 * 64, 3);
    blob_t files[] = {
        png_rgb(64, 64, px),
        png_make(&(png_spec_t){.w = 64, .h = 64, .depth = 8, .type = 6, .adam7 = true}, px),
        jpeg_make(&(jpeg_spec_t){.w = 64, .h = 64, .channels = 3, .orientation = 6}, px),
        jpeg_make(&(jpeg_spec_t){.w = 64, .h = 64, .channels = 3, .progressive = true}, px)};
    long start = 0;
    for (int i = 0; i < 4000; i++) {
        image_t im;
        reason_t why;
        blob_t *b = &files[i % 4];
        if (i == 400) rss_reset(), start = rss_peak_mb();
        /* At each tenth of the file. */
        if (image_decode(&im, b->p, b->n * (size_t)(i / 4 % 10) / 10, NULL, &why) != IMAGE_BAD ||
            im.rgb)
            return 1;
    }
    return rss_peak_mb() - start <= 4
               ? 0
               : 2; /* one lost canvas of 16 kB a file would be 14 MB, an image 40 */
}

TEST(fault_034_bad_files_leave_nothing) {
    child_t c;
    child_run(many_bad, NULL, &c);
    CHECK(c.code == 0, "code %d", c.code);
    CHECK_STR(c.err, "");
    CHECK_STR(c.out, "");
}
