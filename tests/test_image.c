/* test_image.c - pictures: what libpng and libjpeg wrote must come out pixel by pixel, what is damaged must not come
 * out at all.
 *
 * Expected pixels are computed here from the definitions (PNG specification, EXIF table), never by the code under test.
 */
#include "common/io/image.h"
#include "tests/child.h"
#include "tests/picture.h"
#include "tests/rss.h"
#include "tests/test.h"

#include <time.h>
#include <unistd.h>

static uint32_t noise(uint32_t i) {
    i = (i ^ 61) ^ i >> 16;
    i *= 9;
    i ^= i >> 4;
    i *= 0x27d4eb2d;
    return i ^ i >> 15;
}

static uint8_t *noise_bytes(size_t n, uint32_t seed) {
    uint8_t *p = malloc(n ? n : 1);
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)noise(seed * 7919 + (uint32_t)i);
    return p;
}

/* Exactly sized copies, so that a sanitizer sees any step beyond the end. */
static image_status_t decode(image_t *im, const uint8_t *bytes, size_t n, const image_opts_t *o, reason_t *why) {
    uint8_t *copy = malloc(n ? n : 1);
    if (n) memcpy(copy, bytes, n);
    why->text[0] = 0;
    image_status_t status = image_decode(im, copy, n, o, why);
    free(copy);
    return status;
}

static void check_bad(const uint8_t *bytes, size_t n, const char *reason) {
    image_t im;
    reason_t why;
    image_status_t status = decode(&im, bytes, n, NULL, &why);
    CHECK(status == IMAGE_BAD, "status %d", (int)status);
    CHECK(!im.rgb && !im.w && !im.h);
    CHECK(why.text[0] && (!reason || strstr(why.text, reason)), "\"%s\" does not say \"%s\"", why.text, reason);
    image_release(&im);
}

static void check_pixels(blob_t file, unsigned w, unsigned h, const uint8_t *want, const image_opts_t *o,
                         const char *what) {
    image_t im;
    reason_t why;
    image_status_t status = decode(&im, file.p, file.n, o, &why);
    CHECK(status == IMAGE_OK, "%s: %s", what, why.text);
    CHECK(im.w == w && im.h == h, "%s: %zu x %zu", what, im.w, im.h);
    if (status == IMAGE_OK && im.w == w && im.h == h) {
        size_t i = 0, n = (size_t)w * h * 3;
        while (i < n && im.rgb[i] == want[i]) i++;
        CHECK(i == n, "%s: value %zu of pixel %zu is %d, expected %d", what, i % 3, i / 3, im.rgb[i < n ? i : 0],
              want[i < n ? i : 0]);
    }
    image_release(&im);
    free(file.p);
}

static uint8_t over(double c, double a, double background) {
    return (uint8_t)floor(c * a / 255 + background * (255 - a) / 255 + 0.5);
}

static blob_t small_png(void) {
    uint8_t *rgb = noise_bytes(3 * 40 * 30, 5);
    blob_t b = png_rgb(40, 30, rgb);
    free(rgb);
    return b;
}

/* ---- damaged PNG
 * ----------------------------------------------------------------------------------------------------------*/

TEST(fault_001_png_truncated) {
    uint8_t *rgb = noise_bytes(3 * 64 * 64, 1);
    for (int adam7 = 0; adam7 < 2; adam7++) {
        blob_t b =
            png_make(&(png_spec_t){.w = 64, .h = 64, .depth = 8, .type = PNG_COLOR_TYPE_RGB, .adam7 = adam7}, rgb);
        for (size_t n = 0; n < b.n; n += 64) check_bad(b.p, n, NULL);
        for (size_t n = b.n - 20; n < b.n; n++) check_bad(b.p, n, NULL);
        check_pixels(b, 64, 64, rgb, NULL, "whole");
    }
    free(rgb);
}

TEST(fault_002_png_wrong_crc) {
    blob_t plain = small_png(), b = blob_copy(plain.p, 33);
    static const char *const chunks[] = {"IHDR", "tEXt", "IDAT", "tIME", "IEND"};
    png_put_chunk(&b, "tEXt", "Title\0x", 7);
    blob_put(&b, plain.p + 33, plain.n - 33 - 12);
    png_put_chunk(&b, "tIME", "\7\xE8\1\1\0\0\0", 7);
    png_put_chunk(&b, "IEND", "", 0);
    image_t im;
    reason_t why;
    CHECK(decode(&im, b.p, b.n, NULL, &why) == IMAGE_OK, "%s", why.text);
    image_release(&im);
    for (size_t i = 0; i < 5; i++) {
        size_t at = png_find(&b, chunks[i], 0), crc = at + 8 + get32(b.p + at);
        REQUIRE(at);
        b.p[crc + 3] ^= 1;
        check_bad(b.p, b.n, "CRC");
        b.p[crc + 3] ^= 1;
    }
    free(plain.p);
    free(b.p);
}

/* Every byte of the compressed data once, the chunk's CRC made right again: deflate or Adler-32 must notice. */
TEST(fault_002_png_damaged_zlib) {
    blob_t b = small_png();
    size_t at = png_find(&b, "IDAT", 0), n = get32(b.p + at);
    REQUIRE(at);
    for (size_t i = 0; i < n; i += i + 8 < n ? 5 : 1) {
        b.p[at + 8 + i] ^= (uint8_t)(1 << i % 8);
        png_fix(&b, at);
        check_bad(b.p, b.n, "damaged PNG");
        b.p[at + 8 + i] ^= (uint8_t)(1 << i % 8);
    }
    free(b.p);
}

TEST(fault_002_png_no_iend) {
    blob_t b = small_png(), cut = png_without(&b, "IEND");
    CHECK(cut.n == b.n - 12);
    check_bad(cut.p, cut.n, "ends early");
    free(b.p);
    free(cut.p);
}

/* libpng only warns of a tRNS that makes no sense and goes on without it: other pixels than were meant. */
TEST(fault_002_png_bad_transparency) {
    blob_t plain = png_make(&(png_spec_t){.w = 8, .h = 8, .depth = 8, .type = 0}, NULL), b = blob_copy(plain.p, 33);
    png_put_chunk(&b, "tRNS", "\0\0\0", 3);
    blob_put(&b, plain.p + 33, plain.n - 33);
    check_bad(b.p, b.n, "tRNS");
    free(plain.p);
    free(b.p);
}

static const png_color colors[4] = {{255, 0, 0}, {0, 250, 1}, {2, 3, 200}, {90, 80, 70}};

TEST(fault_002_png_palette_missing) {
    blob_t b = png_make(&(png_spec_t){.w = 8, .h = 8, .depth = 8, .type = 3, .palette = colors, .n_palette = 4}, NULL),
           cut = png_without(&b, "PLTE");
    CHECK(cut.n < b.n);
    check_bad(cut.p, cut.n, "PLTE");
    free(b.p);
    free(cut.p);
}

TEST(fault_002_png_palette_index_out_of_range) {
    for (int depth = 1; depth <= 8; depth *= 2) {
        for (int adam7 = 0; adam7 < 2; adam7++) {
            int entries = depth == 1 ? 1 : 3, last = 5 * 13 + 11;
            png_spec_t s = {
                .w = 13, .h = 9, .depth = depth, .type = 3, .adam7 = adam7, .palette = colors, .n_palette = entries};
            size_t stride = png_row_bytes(&s);
            uint8_t *rows = calloc(9, stride);
            image_t im;
            reason_t why;
            blob_t good = png_make(&s, rows);
            CHECK(decode(&im, good.p, good.n, NULL, &why) == IMAGE_OK, "%s", why.text);
            image_release(&im);
            int bit = (last % 13) * depth;
            rows[(size_t)(last / 13) * stride + (size_t)bit / 8] |= (uint8_t)(entries << (8 - depth - bit % 8));
            blob_t bad = png_make(&s, rows);
            check_bad(bad.p, bad.n, "palette index");
            free(good.p);
            free(bad.p);
            free(rows);
        }
    }
}

static int bomb_in_child(void *arg) {
    const blob_t *b = arg;
    image_t im;
    reason_t why;
    rss_reset();
    image_status_t status = image_decode(&im, b->p, b->n, NULL, &why);
    if (status != IMAGE_BAD || im.rgb || !strstr(why.text, "--max-pixels")) {
        fprintf(stderr, "status %d: %s\n", (int)status, why.text);
        return 1;
    }
    if (rss_peak_mb() < 50) return 0;
    fprintf(stderr, "peak %ld MB\n", rss_peak_mb());
    return 2;
}

static void check_bomb(blob_t b) {
    child_t c;
    child_run(bomb_in_child, &b, &c);
    CHECK(c.code == 0, "%d %s", c.code, c.err);
}

TEST(fault_003_png_header_bomb) {
    static const uint32_t sides[][2] = {
        {1000000, 1000000}, {0x7FFFFFFF, 0x7FFFFFFF}, {1, 100000001}, {0xFFFFFFFF, 0xFFFFFFFF}};
    for (size_t i = 0; i < 4; i++) {
        blob_t b = blob_copy("\x89PNG\r\n\x1A\n", 8);
        uint8_t header[13] = {[8] = 8, [9] = 2};
        put32(header, sides[i][0]);
        put32(header + 4, sides[i][1]);
        png_put_chunk(&b, "IHDR", header, 13);
        png_put_chunk(&b, "IDAT", "\x78\x9C\x03\x00\x00\x00\x00\x01", 8);
        png_put_chunk(&b, "IEND", "", 0);
        check_bomb(b);
        free(b.p);
    }
}

/* Within the limit, but the file holds one pixel: the claim alone must not fill memory. */
static int hollow_in_child(void *arg) {
    const blob_t *b = arg;
    image_t im;
    reason_t why;
    rss_reset();
    return image_decode(&im, b->p, b->n, NULL, &why) == IMAGE_BAD && !im.rgb && rss_peak_mb() < 50 ? 0 : 1;
}

TEST(fault_003_png_hollow_claim) {
    blob_t b = png_rgb(1, 1, (const uint8_t[3]){1, 2, 3});
    child_t c;
    put32(b.p + 16, 10000);
    put32(b.p + 20, 10000);
    png_fix(&b, 8);
    child_run(hollow_in_child, &b, &c);
    CHECK(c.code == 0);
    free(b.p);
}

TEST(fault_003_max_pixels_is_exact) {
    uint8_t rgb[3 * 12] = {0};
    blob_t b = png_rgb(4, 3, rgb), j = jpeg_make(&(jpeg_spec_t){.w = 4, .h = 3, .channels = 3}, rgb);
    blob_t files[2] = {b, j};
    for (int i = 0; i < 2; i++) {
        image_t im;
        reason_t why;
        image_opts_t o = image_opts_default();
        o.max_pixels = 12;
        CHECK(decode(&im, files[i].p, files[i].n, &o, &why) == IMAGE_OK, "%s", why.text);
        image_release(&im);
        o.max_pixels = 11;
        CHECK(decode(&im, files[i].p, files[i].n, &o, &why) == IMAGE_BAD && strstr(why.text, "4 x 3"), "%s", why.text);
        free(files[i].p);
    }
}

TEST(fault_004_png_bomb) {
    blob_t b = png_make(&(png_spec_t){.w = 30000, .h = 30000, .depth = 1, .type = 0}, NULL);
    CHECK(b.n < 2 << 20, "%zu bytes", b.n);
    check_bomb(b);
    free(b.p);
}

/* ---- PNG values
 * -------------------------------------------------------------------------------------------------------------*/

TEST(fault_005_png_16_bit) {
    uint8_t *rows = malloc(2 * 65536), *want = malloc(3 * 65536);
    for (unsigned v = 0; v < 65536; v++) {
        rows[2 * v] = (uint8_t)(v >> 8);
        rows[2 * v + 1] = (uint8_t)v;
        memset(want + 3 * v, (int)floor(v / 257.0 + 0.5), 3);
    }
    check_pixels(png_make(&(png_spec_t){.w = 256, .h = 256, .depth = 16, .type = 0}, rows), 256, 256, want, NULL,
                 "gray 16");
    for (unsigned i = 0; i < 3 * 8192; i++)
        want[i] = (uint8_t)floor((rows[2 * i] * 256 + rows[2 * i + 1]) / 257.0 + 0.5);
    check_pixels(png_make(&(png_spec_t){.w = 128, .h = 64, .depth = 16, .type = 2}, rows), 128, 64, want, NULL,
                 "RGB 16");
    free(rows);
    free(want);
}

TEST(fault_005_png_16_bit_alpha) {
    unsigned w = 61, h = 47;
    uint8_t *rows = noise_bytes(8 * w * h, 9);
    image_opts_t o = image_opts_default();
    image_t im;
    reason_t why;
    memcpy(o.background, (const uint8_t[3]){10, 200, 99}, 3);
    for (int adam7 = 0; adam7 < 2; adam7++) {
        blob_t b = png_make(&(png_spec_t){.w = w, .h = h, .depth = 16, .type = 6, .adam7 = adam7}, rows);
        REQUIRE(decode(&im, b.p, b.n, &o, &why) == IMAGE_OK, "%s", why.text);
        for (unsigned i = 0; i < 3 * w * h; i++) {
            const uint8_t *p = rows + 8 * (i / 3);
            double c = (p[2 * (i % 3)] * 256 + p[2 * (i % 3) + 1]) / 257.0, a = (p[6] * 256 + p[7]) / 257.0;
            CHECK_NEAR(im.rgb[i], c * a / 255 + o.background[i % 3] * (255 - a) / 255, 1.5);
        }
        image_release(&im);
        free(b.p);
    }
    free(rows);
}

TEST(fault_006_png_palette) {
    png_color palette[256];
    uint8_t alpha[256];
    image_opts_t o = image_opts_default();
    memcpy(o.background, (const uint8_t[3]){1, 128, 254}, 3);
    for (int i = 0; i < 256; i++) {
        palette[i] = (png_color){(uint8_t)noise(3 * (uint32_t)i), (uint8_t)noise(3 * (uint32_t)i + 1),
                                 (uint8_t)noise(3 * (uint32_t)i + 2)};
        alpha[i] = (uint8_t)(i * 37);
    }
    for (int depth = 1; depth <= 8; depth *= 2) {
        for (int variant = 0; variant < 6;
             variant++) { /* no tRNS, full, shorter than the palette; each plain and Adam7 */
            int n = 1 << depth, n_alpha = variant / 2 == 0 ? 0 : variant / 2 == 1 ? n : (n + 1) / 2;
            png_spec_t s = {
                .w = 37, .h = 21, .depth = depth, .type = 3, .adam7 = variant & 1, .palette = palette, .n_palette = n};
            if (n_alpha) s.alpha = alpha, s.n_alpha = n_alpha;
            size_t stride = png_row_bytes(&s);
            uint8_t *rows = noise_bytes(21 * stride, 7), want[3 * 37 * 21];
            for (size_t i = 0; i < 37 * 21; i++) {
                size_t bit = i % 37 * (size_t)depth;
                int index = rows[i / 37 * stride + bit / 8] >> (8 - depth - (int)(bit % 8)) & (n - 1),
                    a = index < n_alpha ? alpha[index] : 255;
                want[3 * i] = over(palette[index].red, a, o.background[0]);
                want[3 * i + 1] = over(palette[index].green, a, o.background[1]);
                want[3 * i + 2] = over(palette[index].blue, a, o.background[2]);
            }
            check_pixels(png_make(&s, rows), 37, 21, want, &o, "palette");
            free(rows);
        }
    }
}

TEST(fault_007_png_gray) {
    for (int depth = 1; depth <= 8; depth *= 2) {
        for (int key = -1; key < 2; key++) {
            unsigned most = (1u << depth) - 1;
            png_color_16 clear = {.gray = key == 0 ? 0 : (png_uint_16)most};
            png_spec_t s = {.w = 29, .h = 13, .depth = depth, .type = 0, .key = key < 0 ? NULL : &clear};
            size_t stride = png_row_bytes(&s);
            uint8_t *rows = noise_bytes(13 * stride, 3), want[3 * 29 * 13];
            image_opts_t o = image_opts_default();
            memcpy(o.background, (const uint8_t[3]){4, 5, 6}, 3);
            for (size_t i = 0; i < 29 * 13; i++) {
                size_t bit = i % 29 * (size_t)depth;
                unsigned v = (unsigned)rows[i / 29 * stride + bit / 8] >> (8 - depth - (int)(bit % 8)) & most;
                for (int c = 0; c < 3; c++)
                    want[3 * i + (size_t)c] = key >= 0 && v == clear.gray ? o.background[c] : (uint8_t)(v * 255 / most);
            }
            check_pixels(png_make(&s, rows), 29, 13, want, &o, "gray");
            free(rows);
        }
    }
}

/* The key is compared with all 16 bits: its neighbours stay. */
TEST(fault_007_png_gray_16_key) {
    uint8_t rows[8] = {0x12, 0x34, 0x12, 0x35, 0x12, 0x33, 0xFF, 0xFF}, want[12];
    png_color_16 key = {.gray = 0x1234};
    memset(want, 0x12, sizeof want);
    memset(want, 255, 3);
    memset(want + 9, 255, 3);
    check_pixels(png_make(&(png_spec_t){.w = 4, .h = 1, .depth = 16, .type = 0, .key = &key}, rows), 4, 1, want, NULL,
                 "gray 16 key");
    uint8_t rgb[6] = {9, 8, 7, 9, 8, 6};
    png_color_16 color = {.red = 9, .green = 8, .blue = 7};
    check_pixels(png_make(&(png_spec_t){.w = 2, .h = 1, .depth = 8, .type = 2, .key = &color}, rgb), 2, 1,
                 (const uint8_t[6]){255, 255, 255, 9, 8, 6}, NULL, "RGB key");
}

/* All pairs of value and alpha. */
TEST(fault_008_png_alpha) {
    uint8_t *rgba = malloc(4 * 65536), *ga = malloc(2 * 65536), *want = malloc(3 * 65536),
            *want_gray = malloc(3 * 65536);
    static const uint8_t backgrounds[3][3] = {{255, 255, 255}, {0, 0, 0}, {255, 127, 1}};
    for (int k = 0; k < 3; k++) {
        image_opts_t o = image_opts_default();
        if (k) memcpy(o.background, backgrounds[k], 3);
        for (int i = 0; i < 65536; i++) {
            int v = i & 255, a = i >> 8;
            const uint8_t px[4] = {(uint8_t)v, (uint8_t)(255 - v), (uint8_t)(v * 3), (uint8_t)a};
            memcpy(rgba + 4 * i, px, 4);
            ga[2 * i] = (uint8_t)v;
            ga[2 * i + 1] = (uint8_t)a;
            for (int c = 0; c < 3; c++) {
                want[3 * i + c] = over(px[c], a, backgrounds[k][c]);
                want_gray[3 * i + c] = over(v, a, backgrounds[k][c]);
            }
        }
        check_pixels(png_make(&(png_spec_t){.w = 256, .h = 256, .depth = 8, .type = 6}, rgba), 256, 256, want, &o,
                     "RGBA");
        check_pixels(png_make(&(png_spec_t){.w = 256, .h = 256, .depth = 8, .type = 4}, ga), 256, 256, want_gray, &o,
                     "gray + alpha");
    }
    free(rgba);
    free(ga);
    free(want);
    free(want_gray);
}

TEST(fault_009_png_adam7_twins) {
    static const int types[][2] = {{0, 1},  {0, 2}, {0, 4},  {0, 8}, {0, 16}, {2, 8},
                                   {2, 16}, {4, 8}, {4, 16}, {6, 8}, {6, 16}};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        for (unsigned size = 0; size < 84; size++) {
            png_spec_t s = {.w = size < 81 ? size % 9 + 1 : 33 + size,
                            .h = size < 81 ? size / 9 + 1 : 17,
                            .depth = types[t][1],
                            .type = types[t][0]};
            uint8_t *rows = noise_bytes(s.h * png_row_bytes(&s), size);
            blob_t plain = png_make(&s, rows);
            image_t im;
            reason_t why;
            REQUIRE(decode(&im, plain.p, plain.n, NULL, &why) == IMAGE_OK, "%s", why.text);
            s.adam7 = true;
            check_pixels(png_make(&s, rows), s.w, s.h, im.rgb, NULL, "Adam7");
            image_release(&im);
            free(plain.p);
            free(rows);
        }
    }
}

TEST(fault_010_empty_file) {
    check_bad((const uint8_t *)"", 0, "empty");
}

TEST(fault_011_signature_only) {
    check_bad((const uint8_t *)"\x89PNG\r\n\x1A\n", 8, "no header");
    check_bad((const uint8_t *)"\x89PNG\r\n\x1A\n\0\0\0\rIHDR", 16, "no header");
    check_bad((const uint8_t *)"\xFF\xD8\xFF", 3, "JPEG");
    check_bad((const uint8_t *)"\x89PNG", 4, "neither");
    check_bad((const uint8_t *)"hello, world", 12, "neither");
}

static void write_file(const char *path, blob_t b) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(b.p, 1, b.n, f) != b.n || fclose(f)) abort();
}

TEST(fault_012_named_as_the_other) {
    char dir[200], path[300];
    uint8_t rgb[3 * 64];
    memset(rgb, 77, sizeof rgb);
    snprintf(dir, sizeof dir, "%s/image-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    REQUIRE(mkdtemp(dir));
    for (int i = 0; i < 2; i++) {
        image_t im;
        reason_t why;
        blob_t b = i ? jpeg_make(&(jpeg_spec_t){.w = 8, .h = 8, .channels = 3}, rgb) : png_rgb(8, 8, rgb);
        snprintf(path, sizeof path, "%s/x.%s", dir, i ? "png" : "jpg");
        write_file(path, b);
        CHECK(image_read(&im, path, NULL, &why) == IMAGE_OK && im.w == 8 && abs(im.rgb[100] - 77) <= 1, "%s", why.text);
        image_release(&im);
        unlink(path);
        CHECK(image_read(&im, path, NULL, &why) == IMAGE_BAD && strstr(why.text, "cannot open"));
        free(b.p);
    }
    rmdir(dir);
}

TEST(fault_013_animated_png) {
    uint8_t *rgb = noise_bytes(3 * 16 * 16, 4), control[26] = {0};
    blob_t plain = png_rgb(16, 16, rgb), b = blob_copy(plain.p, 33);
    size_t idat = png_find(&plain, "IDAT", 0), n = get32(plain.p + idat);
    png_put_chunk(&b, "acTL", "\0\0\0\2\0\0\0\0", 8);
    put32(control + 4, 16);
    put32(control + 8, 16);
    png_put_chunk(&b, "fcTL", control, 26);
    blob_put(&b, plain.p + idat, n + 12);
    control[3] = 1;
    png_put_chunk(&b, "fcTL", control, 26);
    blob_t second = {0};
    blob_put(&second, "\0\0\0\2", 4);
    blob_put(&second, "not even zlib, and never looked at", 34);
    png_put_chunk(&b, "fdAT", second.p, second.n);
    png_put_chunk(&b, "IEND", "", 0);
    check_pixels(b, 16, 16, rgb, NULL, "first frame");
    free(second.p);
    free(plain.p);
    free(rgb);
}

/* Color management must not touch values, and bombs in texts must not be unpacked. */
TEST(png_values_are_raw) {
    uint8_t *rgb = noise_bytes(3 * 16 * 16, 6);
    blob_t plain = png_rgb(16, 16, rgb), b = blob_copy(plain.p, 33);
    png_put_chunk(&b, "gAMA", "\0\0\x27\x10", 4);
    png_put_chunk(&b, "sBIT", "\5\6\5", 3);
    png_put_chunk(&b, "iCCP", "broken\0\0garbage", 15);
    png_put_chunk(&b, "zTXt", "k\0\0garbage", 10);
    png_put_chunk(&b, "bKGD", "\0\1\0\2\0\3", 6);
    blob_put(&b, plain.p + 33, plain.n - 33);
    blob_put(&b, "trailing bytes are nobody's business", 36);
    check_pixels(b, 16, 16, rgb, NULL, "ancillary chunks");
    free(plain.p);
    free(rgb);
}

/* ---- JPEG
 * -------------------------------------------------------------------------------------------------------------------*/

/* Smooth, so that compression keeps it within a few levels. */
static void smooth(uint8_t *p, unsigned w, unsigned h, unsigned channels) {
    for (unsigned i = 0; i < w * h * channels; i++) {
        unsigned x = i / channels % w, y = i / channels / w, c = i % channels;
        p[i] = (uint8_t)(40 + (c == 0 ? 150 * x / w : c == 1 ? 150 * y / h : 75 * (x + y) / (w + h)));
    }
}

TEST(jpeg_pixels) {
    enum { W = 53, H = 37 };
    uint8_t px[3 * W * H];
    for (int k = 0; k < 4; k++) {
        jpeg_spec_t s = {.w = W, .h = H, .channels = k & 1 ? 3 : 1, .quality = 98, .progressive = k >= 2};
        smooth(px, W, H, (unsigned)s.channels);
        blob_t b = jpeg_make(&s, px);
        image_t im;
        reason_t why;
        REQUIRE(decode(&im, b.p, b.n, NULL, &why) == IMAGE_OK, "%s", why.text);
        CHECK(im.w == W && im.h == H);
        for (int i = 0; i < 3 * W * H; i++) CHECK_NEAR(im.rgb[i], px[s.channels == 3 ? i : i / 3], 4);
        image_release(&im);
        free(b.p);
    }
}

static void check_unsupported(const uint8_t *bytes, size_t n, const char *reason) {
    image_t im;
    reason_t why;
    image_status_t status = decode(&im, bytes, n, NULL, &why);
    CHECK(status == IMAGE_UNSUPPORTED && !im.rgb, "status %d: %s", (int)status, why.text);
    CHECK(strstr(why.text, reason), "\"%s\" does not say \"%s\"", why.text, reason);
    image_release(&im);
}

TEST(fault_015_jpeg_truncated) {
    uint8_t *px = noise_bytes(3 * 64 * 64, 8);
    for (int progressive = 0; progressive < 2; progressive++) {
        blob_t b = jpeg_make(&(jpeg_spec_t){.w = 64, .h = 64, .channels = 3, .progressive = progressive}, px);
        image_t im;
        reason_t why;
        image_opts_t o = image_opts_default();
        for (size_t n = 3; n < b.n - 2; n += 61) check_bad(b.p, n, "damaged JPEG");
        check_bad(b.p, b.n - 2, "damaged JPEG"); /* only the end marker is missing */
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
    blob_t b = jpeg_make(&(jpeg_spec_t){.w = 256, .h = 256, .channels = 3, .progressive = true, .quality = 20}, px),
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
        blob_t b = jpeg_make(&(jpeg_spec_t){.w = 8, .h = 8, .channels = 3, .progressive = progressive}, px);
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

/* Stored corners, top left to bottom right: red, green, blue, white. What is to be seen, from the EXIF table: 6 =
 * turned right by 90 degrees. */
TEST(fault_018_exif_orientation) {
    enum { W = 32, H = 16 };
    static const char shown[9][5] = {"RGBW", "RGBW", "GRWB", "WBGR", "BWRG", "RBGW", "BRWG", "WGBR", "GWRB"};
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
        blob_t b = jpeg_make(&(jpeg_spec_t){.w = W, .h = H, .channels = 3, .orientation = orientation, .big = big}, px);
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
                CHECK(seen == shown[effective][corner], "orientation %d, corner %d: %c", orientation, corner, seen);
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
    } cases[] = {{"RIFF\x10\0\0\0WEBPVP8 ", 16, "WebP"},
                 {"GIF89a\1\0\1\0", 10, "GIF"},
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

/* ---- never a sound, never a leak
 * ----------------------------------------------------------------------------------------------*/

static int many_bad(void *arg) {
    uint8_t *px = noise_bytes(4 * 64 * 64, 3);
    blob_t files[] = {png_rgb(64, 64, px),
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
        if (image_decode(&im, b->p, b->n * (size_t)(i / 4 % 10) / 10, NULL, &why) != IMAGE_BAD || im.rgb) return 1;
    }
    return rss_peak_mb() - start <= 4 ? 0 : 2; /* one lost canvas of 16 kB a file would be 14 MB, a picture 40 */
}

TEST(fault_034_bad_files_leave_nothing) {
    child_t c;
    child_run(many_bad, NULL, &c);
    CHECK(c.code == 0, "code %d", c.code);
    CHECK_STR(c.err, "");
    CHECK_STR(c.out, "");
}

/* ---- encoding
 * -----------------------------------------------------------------------------------------------------------------*/

TEST(png_encode) {
    for (unsigned k = 0; k < 4; k++) {
        unsigned w = (unsigned[]){1, 7, 64, 1}[k], h = (unsigned[]){1, 5, 33, 9}[k];
        image_t im = {w, h, noise_bytes(3 * w * h, k)};
        uint8_t *bytes[2], *back = malloc(3 * w * h);
        size_t size[2];
        reason_t why;
        for (int i = 0; i < 2; i++) REQUIRE(image_encode_png(&im, &bytes[i], &size[i], &why) == 0, "%s", why.text);
        CHECK(size[0] == size[1] && memcmp(bytes[0], bytes[1], size[0]) == 0);
        blob_t b = {bytes[0], size[0]};
        CHECK(!png_find(&b, "tIME", 0) && !png_find(&b, "tEXt", 0));
        png_image reader = {.version = PNG_IMAGE_VERSION};
        CHECK(png_image_begin_read_from_memory(&reader, bytes[0], size[0]));
        reader.format = PNG_FORMAT_RGB;
        CHECK(reader.width == w && reader.height == h && png_image_finish_read(&reader, NULL, back, 0, NULL));
        CHECK(memcmp(back, im.rgb, 3 * w * h) == 0);
        free(bytes[0]);
        free(bytes[1]);
        free(back);
        image_release(&im);
    }
    image_t none = {0};
    uint8_t *bytes;
    size_t size;
    CHECK(image_encode_png(&none, &bytes, &size, NULL) == -1);
}

TEST(png_write_file) {
    char dir[200], path[300];
    reason_t why;
    snprintf(dir, sizeof dir, "%s/image-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    REQUIRE(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.png", dir);
    image_t im = {5, 3, noise_bytes(45, 2)}, back;
    REQUIRE(image_write_png(&im, path, &why) == 0, "%s", why.text);
    REQUIRE(image_read(&back, path, NULL, &why) == IMAGE_OK, "%s", why.text);
    CHECK(back.w == 5 && back.h == 3 && memcmp(back.rgb, im.rgb, 45) == 0);
    unlink(path);
    rmdir(dir);
    CHECK(image_write_png(&im, path, &why) == -1);
    image_release(&im);
    image_release(&back);
}

/* ---- geometry
 * -----------------------------------------------------------------------------------------------------------------*/

/* The definition, in double precision, one output at a time. */
static double triangle_sample(const image_t *im, double cx, double hx, double cy, double hy, size_t c) {
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

static void check_resized(const image_t *im, const image_t *out, size_t full_w, size_t full_h, size_t x0, size_t y0) {
    double rx = (double)im->w / (double)full_w, ry = (double)im->h / (double)full_h, worst = 0;
    for (size_t i = 0; i < 3 * out->w * out->h; i++) {
        double cx = ((double)(x0 + i / 3 % out->w) + 0.5) * rx, cy = ((double)(y0 + i / 3 / out->w) + 0.5) * ry;
        double e = fabs(out->rgb[i] - triangle_sample(im, cx, fmax(rx, 1), cy, fmax(ry, 1), i % 3));
        if (!(e <= worst)) worst = e;
    }
    CHECK(worst <= 0.51, "%zux%zu to %zux%zu: %g levels off", im->w, im->h, full_w, full_h, worst);
}

TEST(resize_follows_its_definition) {
    static const size_t sizes[][4] = {{17, 13, 8, 8}, {8, 8, 17, 13}, {64, 48, 16, 12}, {16, 12, 64, 48},
                                      {1, 1, 7, 5},   {7, 5, 1, 1},   {100, 3, 9, 31},  {31, 33, 32, 32},
                                      {2, 2, 3, 3},   {300, 2, 1, 2}, {5, 5, 5, 9}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        image_t im = {sizes[k][0], sizes[k][1], noise_bytes(3 * sizes[k][0] * sizes[k][1], (uint32_t)k)};
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
    static const size_t sizes[][6] = {/* source, target, full size after scaling */
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
    for (size_t y = 0; y < 64; y++) CHECK(memcmp(out.rgb + 3 * 64 * y, im.rgb + 3 * 65 * y, 3 * 64) == 0);
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
    static const uint8_t crop[] = {2, 3, 5, 6}, pad[] = {1, 2, 3, 3, 3, 4, 5, 6, 6, 6, 4, 5, 6, 6, 6, 4, 5, 6, 6, 6},
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
    for (int i = 0; i < 75; i++) CHECK(sheet.rgb[i] == (want[i / 3] == '#' ? 255 : want[i / 3] - '0'), "value %d", i);
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
    static const float odd[] = {
        -7, 9, NAN, INFINITY, -INFINITY, 0.5f / 127.5f - 1 + 1e-6f, 0.49f / 127.5f - 1, 254.51f / 127.5f - 1};
    static const uint8_t want[] = {0, 255, 0, 255, 0, 1, 0, 255};
    image_from_float(odd, 8, back);
    for (int i = 0; i < 8; i++) CHECK(back[i] == want[i], "%d: %d", i, back[i]);
}
