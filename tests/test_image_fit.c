/* test_image_fit.c - the geometry of images: resizing by its definition in double precision,
 * fitting, cropping, sheets.
 */
#include "tests/image_check.h"

/* The definition, in double precision, one output at a time. */
static double triangle_sample(const image_t *im, double cx, double hx, double cy, double hy,
                              size_t c) {
    double sum = 0, weights = 0;
    for (size_t y = 0; y < im->h; y++) {
        double wy = 1 - fabs((double)y + 0.5 - cy) / hy;
        if (wy <= 0) continue;
        for (size_t x = 0; x < im->w; x++) {
            double wx = 1 - fabs((double)x + 0.5 - cx) / hx;
            if (wx <= 0) continue;
            sum += wx * wy * im->rgb[3 * (im->w * y + x) + c];
            weights += wx * wy;
        }
    }
    return sum / weights;
}

static void check_resized(const image_t *im, const image_t *out, size_t full_w, size_t full_h,
                          size_t x0, size_t y0) {
    double rx = (double)im->w / (double)full_w, ry = (double)im->h / (double)full_h, worst = 0;
    for (size_t i = 0; i < 3 * out->w * out->h; i++) {
        double cx = ((double)(x0 + i / 3 % out->w) + 0.5) * rx,
               cy = ((double)(y0 + i / 3 / out->w) + 0.5) * ry;
        double e = fabs(out->rgb[i] - triangle_sample(im, cx, fmax(rx, 1), cy, fmax(ry, 1), i % 3));
        if (!(e <= worst)) worst = e;
    }
    CHECK(worst <= 0.51, "%zux%zu to %zux%zu: %g levels off", im->w, im->h, full_w, full_h, worst);
}

TEST(resize_follows_its_definition) {
    static const size_t sizes[][4] = {{17, 13, 8, 8},   {8, 8, 17, 13},   {64, 48, 16, 12},
                                      {16, 12, 64, 48}, {1, 1, 7, 5},     {7, 5, 1, 1},
                                      {100, 3, 9, 31},  {31, 33, 32, 32}, {2, 2, 3, 3},
                                      {300, 2, 1, 2},   {5, 5, 5, 9}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        image_t im = {sizes[k][0], sizes[k][1],
                      noise_bytes(3 * sizes[k][0] * sizes[k][1], (uint32_t)k)};
        image_t out = image_resize(&im, sizes[k][2], sizes[k][3]);
        CHECK(out.w == sizes[k][2] && out.h == sizes[k][3]);
        check_resized(&im, &out, out.w, out.h, 0, 0);
        image_release(&im);
        image_release(&out);
    }
}

TEST(resize_keeps_flat_and_identity) {
    image_t im = {97, 61, malloc(3 * 97 * 61)};
    for (int v = 0; v < 256; v += 5) {
        memset(im.rgb, v, 3 * 97 * 61);
        for (size_t n = 1; n < 200; n += 37) {
            image_t out = image_resize(&im, n, 200 - n);
            for (size_t i = 0; i < 3 * out.w * out.h; i++) CHECK(out.rgb[i] == v);
            image_release(&out);
        }
    }
    for (size_t i = 0; i < 3 * 97 * 61; i++) im.rgb[i] = (uint8_t)noise((uint32_t)i);
    image_t same = image_resize(&im, 97, 61);
    CHECK(memcmp(same.rgb, im.rgb, 3 * 97 * 61) == 0 && same.rgb != im.rgb);
    image_release(&same);
    image_release(&im);
}

/* Thousands of weights below one unit of their fixed point must still average. */
TEST(resize_of_long_strips) {
    image_t im = image_new(20001, 1);
    double sum = 0, weights = 0;
    for (size_t x = 0; x < im.w; x++) {
        double w = 1 - fabs((double)x + 0.5 - (double)im.w / 2) / (double)im.w;
        memset(im.rgb + 3 * x, (int)(noise((uint32_t)x) & 255), 3);
        sum += w * im.rgb[3 * x];
        weights += w;
    }
    image_t out = image_resize(&im, 1, 1);
    CHECK_NEAR(out.rgb[0], sum / weights, 1);
    image_release(&out);
    image_release(&im);
}

TEST(fault_019_fit_any_size) {
    static const size_t sizes[][6] = {
        /* source, target, full size after scaling */
        {100, 50, 20, 20, 40, 20}, {50, 100, 20, 20, 20, 40},  {30, 30, 64, 64, 64, 64},
        {1, 1, 16, 16, 16, 16},    {1, 10000, 8, 8, 8, 80000}, {10000, 1, 8, 8, 80000, 8},
        {33, 20, 16, 16, 26, 16},  {20, 33, 16, 16, 16, 26},   {64, 64, 32, 16, 32, 32},
        {10, 40, 20, 10, 20, 80},  {65, 64, 64, 64, 65, 64}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const size_t *s = sizes[k];
        image_t im = {s[0], s[1], noise_bytes(3 * s[0] * s[1], (uint32_t)k)};
        image_t out = image_fit(&im, s[2], s[3]);
        CHECK(out.w == s[2] && out.h == s[3]);
        check_resized(&im, &out, s[4], s[5], (s[4] - s[2]) / 2, (s[5] - s[3]) / 2);
        image_release(&im);
        image_release(&out);
    }
    /* Nothing to scale: pixels stay as they are. */
    image_t im = {65, 64, noise_bytes(3 * 65 * 64, 1)}, out = image_fit(&im, 64, 64);
    for (size_t y = 0; y < 64; y++)
        CHECK(memcmp(out.rgb + 3 * 64 * y, im.rgb + 3 * 65 * y, 3 * 64) == 0);
    image_release(&im);
    image_release(&out);
}

/* A strip of a hundred million pixels, enlarged: only what is kept may be computed. */
static int strip_in_child(void *arg) {
    image_t im = image_new(1, 1000000);
    memset(im.rgb, 9, 3 * im.h);
    rss_reset();
    image_t out = image_fit(&im, 256, 256);
    for (size_t i = 0; i < 3 * 256 * 256; i++)
        if (out.rgb[i] != 9) return 1;
    return rss_peak_mb() < 50 ? 0 : 2;
}

TEST(fault_019_fit_enlarged_strip) {
    child_t c;
    child_run(strip_in_child, NULL, &c);
    CHECK(c.code == 0, "code %d", c.code);
}

TEST(crop_pad_paste_zoom) {
    static uint8_t px[] = {1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6}; /* 123 / 456 */
    image_t im = {3, 2, px};
    image_t a = image_crop(&im, 1, 0, 2, 2), b = image_pad(&im, 5, 4), z = image_zoom(&a, 2);
    static const uint8_t crop[] = {2, 3, 5, 6},
                         pad[] = {1, 2, 3, 3, 3, 4, 5, 6, 6, 6, 4, 5, 6, 6, 6, 4, 5, 6, 6, 6},
                         zoom[] = {2, 2, 3, 3, 2, 2, 3, 3, 5, 5, 6, 6, 5, 5, 6, 6};
    CHECK(a.w == 2 && a.h == 2 && b.w == 5 && b.h == 4 && z.w == 4 && z.h == 4);
    for (int i = 0; i < 12; i++) CHECK(a.rgb[i] == crop[i / 3]);
    for (int i = 0; i < 60; i++) CHECK(b.rgb[i] == pad[i / 3]);
    for (int i = 0; i < 48; i++) CHECK(z.rgb[i] == zoom[i / 3]);
    memset(z.rgb, 0, 48);
    image_paste(&z, &im, 2, 3); /* clipped to 1 2 in the last row */
    image_paste(&z, &im, 4, 0);
    image_paste(&z, &im, 0, 4);
    for (int i = 0; i < 16; i++) CHECK(z.rgb[3 * i] == (i == 14 ? 1 : i == 15 ? 2 : 0));
    image_release(&a);
    image_release(&b);
    image_release(&z);
}

TEST(sheet_of_three) {
    uint8_t one[] = {1, 1, 1}, two[] = {2, 2, 2, 2, 2, 2}, three[] = {3, 3, 3, 3, 3, 3};
    image_t im[3] = {{1, 1, one}, {2, 1, two}, {1, 2, three}}; /* cells of 2 x 2 */
    image_t sheet = image_sheet(im, 3, 2, 1);
    static const char want[] = "1##22"
                               "#####"
                               "#####"
                               "3####"
                               "3####";
    REQUIRE(sheet.w == 5 && sheet.h == 5, "%zux%zu", sheet.w, sheet.h);
    for (int i = 0; i < 75; i++)
        CHECK(sheet.rgb[i] == (want[i / 3] == '#' ? 255 : want[i / 3] - '0'), "value %d", i);
    image_release(&sheet);
    sheet = image_sheet(im, 1, 9, 3);
    CHECK(sheet.w == 1 && sheet.h == 1);
    image_release(&sheet);
}

TEST(pixels_to_float_and_back) {
    uint8_t all[256], back[256];
    float v[256];
    for (int i = 0; i < 256; i++) all[i] = (uint8_t)i;
    image_to_float(all, 256, v);
    for (int i = 0; i < 256; i++) CHECK(v[i] == (float)((double)i / 127.5 - 1.0));
    CHECK(v[0] == -1 && v[255] == 1);
    image_from_float(v, 256, back);
    CHECK(memcmp(all, back, 256) == 0);
    static const float odd[] = {-7,
                                9,
                                NAN,
                                INFINITY,
                                -INFINITY,
                                0.5f / 127.5f - 1 + 1e-6f,
                                0.49f / 127.5f - 1,
                                254.51f / 127.5f - 1};
    static const uint8_t want[] = {0, 255, 0, 255, 0, 1, 0, 255};
    image_from_float(odd, 8, back);
    for (int i = 0; i < 8; i++) CHECK(back[i] == want[i], "%d: %d", i, back[i]);
}
