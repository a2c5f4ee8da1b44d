/* test_image_giant.c - images that are shrunk while they are decoded: the box filter against its
 * definition, PNG and JPEG of more than 50 Mpx against means of the pattern that they were made of,
 * and the memory that this takes.
 */
#include "common/io/image/image.h"
#include "common/io/image/image_shrink.h"
#include "tests/child.h"
#include "tests/image_bytes.h"
#include "tests/rss.h"
#include "tests/test.h"

#include <time.h>

/* Every pixel of `out` is the mean of its part of the w x h pixels. */
static void check_box_means(const image_t *out, const uint8_t *rgb, size_t w, size_t h, size_t c) {
    size_t ow = out->w, oh = out->h;
    for (size_t k = 0; k < 3 * ow * oh; k++) {
        size_t ch = k % 3, i = k / 3 % ow, j = k / 3 / ow, n = 0;
        double sum = 0;
        for (size_t y = j * h / oh; y < (j + 1) * h / oh; y++)
            for (size_t x = i * w / ow; x < (i + 1) * w / ow; x++, n++)
                sum += rgb[3 * (w * y + x) + ch];
        CHECK(fabs(out->rgb[k] - sum / (double)n) <= 0.5, "case %zu value %zu", c, k);
    }
}

TEST(shrink_follows_its_definition) {
    static const size_t sizes[][4] = {
        {7, 5, 3, 2}, {10, 10, 5, 5}, {1, 9, 1, 4}, {31, 17, 31, 1}, {100, 64, 33, 21}};
    for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++) {
        size_t w = sizes[c][0], h = sizes[c][1], ow = sizes[c][2], oh = sizes[c][3];
        uint8_t *rgb = malloc(3 * w * h);
        for (size_t i = 0; i < 3 * w * h; i++) rgb[i] = (uint8_t)(i * i * 31 + i / 7);
        shrink_t s = shrink_new(w, h, ow, oh);
        for (size_t y = 0; y < h; y++) shrink_row(&s, rgb + 3 * w * y);
        image_t out = shrink_take(&s);
        shrink_release(&s);
        CHECK(out.w == ow && out.h == oh);
        check_box_means(&out, rgb, w, h, c);
        image_release(&out);
        free(rgb);
    }
}

TEST(shrink_sizes) {
    static const struct {
        uint64_t w, h;
        size_t want_w, want_h, out_w, out_h; /* 0 = not shrunk */
    } cases[] = {
        {10000, 5000, 64, 64, 0, 0},        {10001, 5000, 64, 64, 256, 128},
        {30000, 30000, 64, 64, 128, 128},   {30000, 30000, 0, 0, 0, 0},
        {30000, 30000, 7501, 64, 0, 0},     {30000, 30000, 7500, 64, 15000, 15000},
        {1000000, 60, 64, 64, 0, 0},        {0xFFFFFFFF, 0xFFFFFFFF, 1, 1, 2, 2},
        {20990, 29700, 256, 256, 524, 742},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        image_opts_t o = image_opts_default();
        size_t w = 0, h = 0;
        o.want_w = cases[i].want_w;
        o.want_h = cases[i].want_h;
        bool is = shrink_size(cases[i].w, cases[i].h, &o, &w, &h);
        CHECK(is == (cases[i].out_w != 0), "case %zu", i);
        if (is) CHECK(w == cases[i].out_w && h == cases[i].out_h, "case %zu: %zu x %zu", i, w, h);
    }
}

TEST(shrink_of_jpeg) {
    static const struct {
        uint64_t w, h;
        size_t want_w, want_h;
        unsigned by;
    } cases[] = {
        {1000, 1000, 64, 64, 1},   {1001, 1000, 64, 64, 4},   {1001, 1000, 62, 62, 8},
        {4000, 3000, 64, 64, 8},   {4000, 3000, 375, 64, 4},  {4000, 3000, 64, 375, 4},
        {4000, 3000, 64, 376, 2},  {4000, 3000, 64, 750, 2},  {4000, 3000, 64, 751, 1},
        {4000, 3000, 1001, 64, 1}, {65500, 65500, 64, 64, 8}, {4000, 3000, 0, 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        image_opts_t o = image_opts_default();
        o.want_w = cases[i].want_w;
        o.want_h = cases[i].want_h;
        unsigned by = shrink_jpeg(cases[i].w, cases[i].h, &o);
        CHECK(by == cases[i].by, "case %zu: %u", i, by);
    }
}

/* Largest whole factor that leaves twice, each pixel the mean of its box. */
TEST(reduce_follows_its_definition) {
    static const size_t cases[][6] = {/* w, h, wanted, expected */
                                      {90, 70, 10, 10, 30, 23}, {90, 70, 20, 20, 90, 70},
                                      {80, 80, 20, 10, 40, 40}, {79, 80, 20, 10, 79, 80},
                                      {64, 300, 8, 8, 16, 75},  {5, 5, 8, 8, 5, 5}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        size_t w = cases[c][0], h = cases[c][1], ow = cases[c][4], oh = cases[c][5];
        image_t im = image_new(w, h);
        uint8_t *rgb = malloc(3 * w * h);
        for (size_t i = 0; i < 3 * w * h; i++) rgb[i] = im.rgb[i] = (uint8_t)(i * i * 31 + i / 7);
        image_reduce(&im, cases[c][2], cases[c][3]);
        REQUIRE(im.w == ow && im.h == oh, "case %zu: %zu x %zu", c, im.w, im.h);
        check_box_means(&im, rgb, w, h, c);
        image_release(&im);
        free(rgb);
    }
}

/* A slow pattern, so that JPEG keeps it: its level at x, y. */
static uint8_t level(size_t x, size_t y) {
    return (uint8_t)(128 + 60 * sin((double)x / 700) + 60 * cos((double)y / 500));
}

static uint8_t *pattern(size_t w, size_t h) {
    uint8_t *p = malloc(w * h);
    for (size_t y = 0; y < h; y++)
        for (size_t x = 0; x < w; x++) p[w * y + x] = y % 4 ? p[w * (y - 1) + x] : level(x, y);
    return p;
}

/* Every output pixel against the mean of the pattern below it. turned: shown as EXIF 6 says. */
static void check_means(const image_t *im, const uint8_t *p, size_t w, size_t h, bool turned,
                        double tolerance) {
    size_t ow = turned ? im->h : im->w, oh = turned ? im->w : im->h;
    double worst = 0;
    for (size_t j = 0; j < oh; j++)
        for (size_t i = 0; i < ow; i++) {
            double sum = 0;
            size_t n = 0;
            for (size_t y = j * h / oh; y < (j + 1) * h / oh; y++)
                for (size_t x = i * w / ow; x < (i + 1) * w / ow; x++, n++) sum += p[w * y + x];
            size_t at = turned ? im->w * i + (oh - 1 - j) : im->w * j + i;
            for (int c = 0; c < 3; c++)
                worst = fmax(worst, fabs(im->rgb[3 * at + (size_t)c] - sum / (double)n));
        }
    CHECK(worst <= tolerance, "off by %g", worst);
}

TEST(fault_004_giant_png) {
    enum { W = 10007, H = 5003 };
    uint8_t *p = pattern(W, H);
    png_color gray[256];
    for (int i = 0; i < 256; i++) gray[i] = (png_color){(png_byte)i, (png_byte)i, (png_byte)i};
    for (int palette = 0; palette < 2; palette++) {
        blob_t b = png_make(&(png_spec_t){.w = W,
                                          .h = H,
                                          .depth = 8,
                                          .type = palette ? PNG_COLOR_TYPE_PALETTE : 0,
                                          .palette = palette ? gray : NULL,
                                          .n_palette = 256},
                            p);
        image_opts_t o = image_opts_default();
        image_t im;
        reason_t why = {""};
        o.want_w = o.want_h = 100;
        REQUIRE(image_decode(&im, b.p, b.n, &o, &why) == IMAGE_OK, "%s", why.text);
        CHECK(im.w == W / 25 && im.h == H / 25, "%zu x %zu", im.w, im.h);
        check_means(&im, p, W, H, false, 0.5);
        image_release(&im);
        CHECK(image_decode(&im, b.p, b.n / 2, &o, &why) == IMAGE_BAD && !im.rgb, "half of it");
        free(b.p);
    }
    free(p);
}

TEST(fault_004_giant_jpeg) {
    enum { W = 10000, H = 5040 };
    uint8_t *p = pattern(W, H);
    for (int orientation = 0; orientation <= 6; orientation += 6) {
        blob_t b =
            jpeg_make(&(jpeg_spec_t){.w = W, .h = H, .channels = 1, .orientation = orientation}, p);
        image_opts_t o = image_opts_default();
        image_t im;
        reason_t why = {""};
        o.want_w = orientation ? 60 : 120; /* of what is shown */
        o.want_h = orientation ? 120 : 60;
        REQUIRE(image_decode(&im, b.p, b.n, &o, &why) == IMAGE_OK, "%s", why.text);
        CHECK(im.w == (orientation ? H / 8 : W / 8) && im.h == (orientation ? W / 8 : H / 8),
              "%zu x %zu", im.w, im.h);
        check_means(&im, p, W, H, orientation == 6, 1.5);
        image_release(&im);
        free(b.p);
    }
    free(p);
}

/* Above a megapixel: sequential and progressive, shown as stored and turned, gray and of three
 * colors, each output pixel is the mean of what it stands for; at a megapixel, or where nothing is
 * wanted, no pixel is missing. */
TEST(large_jpeg_is_decoded_small) {
    enum { W = 1280, H = 1000 };
    uint8_t *p = pattern(W, H), *rgb = malloc((size_t)3 * W * H);
    for (size_t i = 0; i < (size_t)3 * W * H; i++) rgb[i] = p[i / 3];
    for (int k = 0; k < 8; k++) {
        int orientation = k & 1 ? 6 : 0, channels = k & 2 ? 3 : 1;
        blob_t b = jpeg_make(&(jpeg_spec_t){.w = W,
                                            .h = H,
                                            .channels = channels,
                                            .progressive = k >= 4,
                                            .orientation = orientation},
                             channels == 3 ? rgb : p);
        image_opts_t o = image_opts_default();
        image_t im;
        reason_t why = {""};
        for (int by = 1; by <= 8; by *= 2) {
            o.want_w = (size_t)(orientation ? H : W) / 2 / (size_t)by;
            o.want_h = (size_t)(orientation ? W : H) / 2 / (size_t)by;
            REQUIRE(image_decode(&im, b.p, b.n, &o, &why) == IMAGE_OK, "%s", why.text);
            CHECK(im.w == (size_t)(orientation ? H : W) / (size_t)by &&
                      im.h == (size_t)(orientation ? W : H) / (size_t)by,
                  "by %d: %zu x %zu", by, im.w, im.h);
            check_means(&im, p, W, H, orientation == 6, 1.5);
            image_release(&im);
        }
        REQUIRE(image_decode(&im, b.p, b.n, NULL, &why) == IMAGE_OK, "%s", why.text);
        CHECK(im.w == (orientation ? H : W));
        image_release(&im);
        o.want_w = o.want_h = 20;
        o.lenient = true;
        CHECK(image_decode(&im, b.p, b.n / 2, &o, &why) == IMAGE_OK && im.w < W / 7, "half of it");
        image_release(&im);
        o.lenient = false;
        CHECK(image_decode(&im, b.p, b.n / 2, &o, &why) == IMAGE_BAD && !im.rgb, "half of it");
        free(b.p);
    }
    blob_t b = jpeg_make(&(jpeg_spec_t){.w = 1000, .h = 1000, .channels = 1}, p);
    image_opts_t o = image_opts_default();
    image_t whole, im;
    reason_t why;
    o.want_w = o.want_h = 20;
    REQUIRE(image_decode(&im, b.p, b.n, &o, &why) == IMAGE_OK);
    REQUIRE(image_decode(&whole, b.p, b.n, NULL, &why) == IMAGE_OK);
    CHECK(im.w == 1000 && im.h == 1000 && !memcmp(im.rgb, whole.rgb, 3000000));
    image_release(&im);
    image_release(&whole);
    free(b.p);
    free(p);
    free(rgb);
}

static int giant_in_child(void *arg) {
    const blob_t *b = arg;
    image_opts_t o = image_opts_default();
    image_t im;
    reason_t why;
    o.want_w = o.want_h = 64;
    rss_reset();
    image_status_t status = image_decode(&im, b->p, b->n, &o, &why);
    printf("%d %zu %zu %ld MB", status, im.w, im.h, rss_peak_mb());
    return status == IMAGE_OK && im.w == 128 && im.rgb[0] == 0 && rss_peak_mb() < 64 ? 0 : 1;
}

TEST(fault_004_bomb_is_streamed) {
    blob_t b = png_make(&(png_spec_t){.w = 30000, .h = 30000, .depth = 1, .type = 0}, NULL);
    child_t c;
    child_run(giant_in_child, &b, &c);
    CHECK(c.code == 0, "%s %s", c.out, c.err);
    free(b.p);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Header of a PNG of w x h; `adam7` sets its last byte. */
static blob_t png_claim(uint32_t w, uint32_t h, uint8_t adam7) {
    blob_t b = blob_copy("\x89PNG\r\n\x1A\n", 8);
    uint8_t header[13] = {[8] = 8, [9] = 2, [12] = adam7};
    put32(header, w);
    put32(header + 4, h);
    png_put_chunk(&b, "IHDR", header, 13);
    png_put_chunk(&b, "IDAT", "\x78\x9C\x03\x00\x00\x00\x00\x01", 8);
    png_put_chunk(&b, "IEND", "", 0);
    return b;
}

static void check_refused(const blob_t *b, uint64_t max, const char *reason) {
    image_opts_t o = image_opts_default();
    image_t im;
    reason_t why = {""};
    double start = seconds();
    o.want_w = o.want_h = 64;
    o.max_pixels = max;
    for (int lenient = 0; lenient < 2; lenient++) {
        o.lenient = lenient;
        CHECK(image_decode(&im, b->p, b->n, &o, &why) == IMAGE_BAD && !im.rgb &&
                  strstr(why.text, reason),
              "\"%s\" is not \"%s\"", why.text, reason);
    }
    CHECK(seconds() - start < 1, "%g s", seconds() - start);
}

TEST(fault_003_giants_have_limits_too) {
    blob_t b = png_claim(40000, 30000, 0);
    check_refused(&b, 0, "1000000000");
    check_refused(&b, 60000000, "60000000"); /* what the user says holds for giants too */
    free(b.p);
    b = png_claim(20000, 10000, 1);
    check_refused(&b, 0, "100000000"); /* interlaced rows do not come in order */
    free(b.p);
    b = png_claim(1000000, 110, 0);
    check_refused(&b, 0, "100000000"); /* nothing to shrink: the smaller side is wanted */
    free(b.p);
    b = png_claim(20000, 20000, 0);
    check_refused(&b, 0, "damaged PNG");
    free(b.p);
}

TEST(fault_017_giant_jpeg_claims) {
    uint8_t px[64] = {0};
    for (int progressive = 0; progressive < 2; progressive++) {
        blob_t b = jpeg_make(
            &(jpeg_spec_t){.w = 8, .h = 8, .channels = 1, .progressive = progressive}, px);
        size_t sof = jpeg_find(&b, progressive ? 0xC2 : 0xC0);
        REQUIRE(sof && b.n < 400);
        memcpy(b.p + sof + 5, "\x75\x30\x75\x30", 4); /* 30000 x 30000 */
        check_refused(&b, 0, "100000000");
        memcpy(b.p + sof + 5, "\xFF\xDC\xFF\xDC", 4);
        check_refused(&b, 0, "100000000");
        free(b.p);
    }
}

/* What is wanted changes nothing below the limit. */
TEST(normal_images_are_as_ever) {
    uint8_t *p = pattern(600, 400);
    blob_t files[] = {png_make(&(png_spec_t){.w = 600, .h = 400, .depth = 8, .type = 0}, p),
                      jpeg_make(&(jpeg_spec_t){.w = 600, .h = 400, .channels = 1}, p)};
    for (int i = 0; i < 2; i++) {
        image_opts_t o = image_opts_default();
        image_t a, b;
        reason_t why;
        CHECK(image_decode(&a, files[i].p, files[i].n, &o, &why) == IMAGE_OK);
        o.want_w = o.want_h = 8;
        CHECK(image_decode(&b, files[i].p, files[i].n, &o, &why) == IMAGE_OK);
        CHECK(a.w == 600 && b.w == 600 && b.h == 400 && !memcmp(a.rgb, b.rgb, 3 * 600 * 400));
        image_release(&a);
        image_release(&b);
        free(files[i].p);
    }
    free(p);
}
