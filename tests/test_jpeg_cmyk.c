/* test_jpeg_cmyk.c - JPEG files of four inks: expected colors are computed here from the inks, R =
 * (1-C)(1-K).
 *
 * At quality 100 a block of one color survives to the last bit, so CMYK must come out exactly; YCCK
 * passes through another color space and may be off by its rounding. tests/cli/image_faults.sh
 * compares whole photographs with Pillow.
 */
#include "common/io/image/image.h"
#include "tests/image_bytes.h"
#include "tests/test.h"

enum { BLOCKS = 12, W = 8 * BLOCKS, H = 8 };

/* Share of ink 0..255 in block b. */
static int ink(int b, int channel) {
    static const uint8_t some[BLOCKS][4] = {
        {0, 0, 0, 0},     {255, 0, 0, 0},       {0, 255, 0, 0},    {0, 0, 255, 0},
        {0, 0, 0, 255},   {255, 255, 0, 0},     {10, 60, 200, 30}, {90, 1, 254, 128},
        {0, 128, 64, 16}, {255, 255, 255, 255}, {33, 66, 99, 200}, {1, 2, 3, 4}};
    return some[b][channel];
}

static blob_t make(bool ycck, bool adobe, bool progressive) {
    uint8_t px[4 * W * H];
    for (int i = 0; i < W * H; i++)
        for (int c = 0; c < 4; c++) {
            int v = ink(i % W / 8, c);
            px[4 * i + c] = (uint8_t)(adobe ? 255 - v : v);
        }
    jpeg_spec_t s = {
        .w = W, .h = H, .channels = 4, .quality = 100, .ycck = ycck, .progressive = progressive};
    blob_t whole = jpeg_make(&s, px);
    if (adobe) return whole;
    size_t at = jpeg_find(&whole, 0xEE),
           n = at ? 2 + (size_t)(whole.p[at + 2] << 8 | whole.p[at + 3]) : 0;
    blob_t out = blob_copy(whole.p, at);
    blob_put(&out, whole.p + at + n, whole.n - at - n);
    free(whole.p);
    return out;
}

static int worst(const image_t *im) {
    int most = 0;
    for (size_t i = 0; i < im->w * im->h; i++)
        for (int c = 0; c < 3; c++) {
            int b = (int)(i % im->w / 8);
            double want = (1 - ink(b, c) / 255.0) * (1 - ink(b, 3) / 255.0) * 255;
            int d = abs(im->rgb[3 * i + (size_t)c] - (int)floor(want + 0.5));
            if (d > most) most = d;
        }
    return most;
}

static void check(bool ycck, bool adobe, bool progressive, int tolerance) {
    blob_t b = make(ycck, adobe, progressive);
    image_t im = {0};
    reason_t why = {""};
    CHECK(image_decode(&im, b.p, b.n, NULL, &why) == IMAGE_OK, "%s", why.text);
    CHECK(im.w == W && im.h == H);
    if (im.rgb) CHECK(worst(&im) <= tolerance, "off by %d", worst(&im));
    image_release(&im);
    free(b.p);
}

TEST(fault_014_cmyk_with_adobes_marker) {
    check(false, true, false, 0);
    check(false, true, true, 0);
}
TEST(fault_014_cmyk_plain) {
    check(false, false, false, 0);
    check(false, false, true, 0);
}
TEST(fault_014_ycck) {
    check(true, true, false, 3);
}

/* Cut anywhere before the end marker, nothing comes out, and nothing is read beyond the end. */
TEST(fault_014_cmyk_truncated) {
    blob_t b = make(false, true, false);
    for (size_t n = 3; n + 2 < b.n; n += 7) { /* 2 bytes: the end marker */
        image_t im = {0};
        reason_t why;
        blob_t cut = blob_copy(b.p, n);
        CHECK(image_decode(&im, cut.p, n, NULL, &why) == IMAGE_BAD && !im.rgb);
        image_release(&im);
        free(cut.p);
    }
    free(b.p);
}

/* Above 50 megapixels rows are shrunk as they come. */
TEST(fault_014_cmyk_giant) {
    enum { GW = 8192, GH = 6400 };
    uint8_t *px = malloc(4 * (size_t)GW * GH), inks[4] = {200, 100, 50, 220};
    for (size_t i = 0; i < 4 * (size_t)GW * GH; i++) px[i] = inks[i % 4];
    blob_t b = jpeg_make(&(jpeg_spec_t){.w = GW, .h = GH, .channels = 4, .quality = 100}, px);
    free(px);
    image_opts_t o = image_opts_default();
    o.want_w = o.want_h = 64;
    image_t im = {0};
    reason_t why;
    REQUIRE(image_decode(&im, b.p, b.n, &o, &why) == IMAGE_OK, "%s", why.text);
    CHECK(im.w < GW);
    for (size_t i = 0; i < im.w * im.h * 3; i++) {
        int want = (int)floor(inks[i % 3] * 220 / 255.0 + 0.5);
        REQUIRE(im.rgb[i] == want, "value %zu is %d, not %d", i, im.rgb[i], want);
    }
    image_release(&im);
    free(b.p);
}
