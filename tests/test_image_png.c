/* test_image_png.c - PNG: what libpng wrote must come out pixel by pixel, what is damaged must not
 * come out at all; and ours by libpng.
 *
 * Expected pixels are computed here from the definitions (PNG specification), never by the code
 * under test.
 */
#include "tests/image_check.h"

#include <unistd.h>

static uint8_t over(double c, double a, double background) {
    return (uint8_t)floor(c * a / 255 + background * (255 - a) / 255 + 0.5);
}

static blob_t small_png(void) {
    uint8_t *rgb = noise_bytes(3 * 40 * 30, 5);
    blob_t b = png_rgb(40, 30, rgb);
    free(rgb);
    return b;
}

/* ---- damaged PNG ---- */

TEST(fault_001_png_truncated) {
    uint8_t *rgb = noise_bytes(3 * 64 * 64, 1);
    for (int adam7 = 0; adam7 < 2; adam7++) {
        blob_t b = png_make(
            &(png_spec_t){.w = 64, .h = 64, .depth = 8, .type = PNG_COLOR_TYPE_RGB, .adam7 = adam7},
            rgb);
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

/* Every byte of the compressed data once, the chunk's CRC made right again: deflate or Adler-32
 * must notice. */
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

/* libpng only warns of a tRNS that makes no sense and goes on without it: other pixels than were
 * meant. */
TEST(fault_002_png_bad_transparency) {
    blob_t plain = png_make(&(png_spec_t){.w = 8, .h = 8, .depth = 8, .type = 0}, NULL),
           b = blob_copy(plain.p, 33);
    png_put_chunk(&b, "tRNS", "\0\0\0", 3);
    blob_put(&b, plain.p + 33, plain.n - 33);
    check_bad(b.p, b.n, "tRNS");
    free(plain.p);
    free(b.p);
}

static const png_color colors[4] = {{255, 0, 0}, {0, 250, 1}, {2, 3, 200}, {90, 80, 70}};

TEST(fault_002_png_palette_missing) {
    blob_t b = png_make(
               &(png_spec_t){
                   .w = 8, .h = 8, .depth = 8, .type = 3, .palette = colors, .n_palette = 4},
               NULL),
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
            png_spec_t s = {.w = 13,
                            .h = 9,
                            .depth = depth,
                            .type = 3,
                            .adam7 = adam7,
                            .palette = colors,
                            .n_palette = entries};
            size_t stride = png_row_bytes(&s);
            uint8_t *rows = calloc(9, stride);
            image_t im;
            reason_t why;
            blob_t good = png_make(&s, rows);
            CHECK(decode(&im, good.p, good.n, NULL, &why) == IMAGE_OK, "%s", why.text);
            image_release(&im);
            int bit = (last % 13) * depth;
            rows[(size_t)(last / 13) * stride + (size_t)bit / 8] |=
                (uint8_t)(entries << (8 - depth - bit % 8));
            blob_t bad = png_make(&s, rows);
            check_bad(bad.p, bad.n, "palette index");
            free(good.p);
            free(bad.p);
            free(rows);
        }
    }
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
    blob_t b = png_rgb(4, 3, rgb),
           j = jpeg_make(&(jpeg_spec_t){.w = 4, .h = 3, .channels = 3}, rgb);
    blob_t files[2] = {b, j};
    for (int i = 0; i < 2; i++) {
        image_t im;
        reason_t why;
        image_opts_t o = image_opts_default();
        o.max_pixels = 12;
        CHECK(decode(&im, files[i].p, files[i].n, &o, &why) == IMAGE_OK, "%s", why.text);
        image_release(&im);
        o.max_pixels = 11;
        CHECK(decode(&im, files[i].p, files[i].n, &o, &why) == IMAGE_BAD &&
                  strstr(why.text, "4 x 3"),
              "%s", why.text);
        free(files[i].p);
    }
}

TEST(fault_004_png_bomb) {
    blob_t b = png_make(&(png_spec_t){.w = 30000, .h = 30000, .depth = 1, .type = 0}, NULL);
    CHECK(b.n < 2 << 20, "%zu bytes", b.n);
    check_bomb(b);
    free(b.p);
}

/* ---- PNG values ---- */

TEST(fault_005_png_16_bit) {
    uint8_t *rows = malloc(2 * 65536), *want = malloc(3 * 65536);
    for (unsigned v = 0; v < 65536; v++) {
        rows[2 * v] = (uint8_t)(v >> 8);
        rows[2 * v + 1] = (uint8_t)v;
        memset(want + 3 * v, (int)floor(v / 257.0 + 0.5), 3);
    }
    check_pixels(png_make(&(png_spec_t){.w = 256, .h = 256, .depth = 16, .type = 0}, rows), 256,
                 256, want, NULL, "gray 16");
    for (unsigned i = 0; i < 3 * 8192; i++)
        want[i] = (uint8_t)floor((rows[2 * i] * 256 + rows[2 * i + 1]) / 257.0 + 0.5);
    check_pixels(png_make(&(png_spec_t){.w = 128, .h = 64, .depth = 16, .type = 2}, rows), 128, 64,
                 want, NULL, "RGB 16");
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
        blob_t b =
            png_make(&(png_spec_t){.w = w, .h = h, .depth = 16, .type = 6, .adam7 = adam7}, rows);
        REQUIRE(decode(&im, b.p, b.n, &o, &why) == IMAGE_OK, "%s", why.text);
        for (unsigned i = 0; i < 3 * w * h; i++) {
            const uint8_t *p = rows + 8 * (i / 3);
            double c = (p[2 * (i % 3)] * 256 + p[2 * (i % 3) + 1]) / 257.0,
                   a = (p[6] * 256 + p[7]) / 257.0;
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
        palette[i] =
            (png_color){(uint8_t)noise(3 * (uint32_t)i), (uint8_t)noise(3 * (uint32_t)i + 1),
                        (uint8_t)noise(3 * (uint32_t)i + 2)};
        alpha[i] = (uint8_t)(i * 37);
    }
    for (int depth = 1; depth <= 8; depth *= 2) {
        for (int variant = 0; variant < 6;
             variant++) { /* no tRNS, full, shorter than the palette; each plain and Adam7 */
            int n = 1 << depth, n_alpha = variant / 2 == 0 ? 0 : variant / 2 == 1 ? n : (n + 1) / 2;
            png_spec_t s = {.w = 37,
                            .h = 21,
                            .depth = depth,
                            .type = 3,
                            .adam7 = variant & 1,
                            .palette = palette,
                            .n_palette = n};
            if (n_alpha) s.alpha = alpha, s.n_alpha = n_alpha;
            size_t stride = png_row_bytes(&s);
            uint8_t *rows = noise_bytes(21 * stride, 7), want[3 * 37 * 21];
            for (size_t i = 0; i < 37 * 21; i++) {
                size_t bit = i % 37 * (size_t)depth;
                int index =
                        rows[i / 37 * stride + bit / 8] >> (8 - depth - (int)(bit % 8)) & (n - 1),
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
            png_spec_t s = {
                .w = 29, .h = 13, .depth = depth, .type = 0, .key = key < 0 ? NULL : &clear};
            size_t stride = png_row_bytes(&s);
            uint8_t *rows = noise_bytes(13 * stride, 3), want[3 * 29 * 13];
            image_opts_t o = image_opts_default();
            memcpy(o.background, (const uint8_t[3]){4, 5, 6}, 3);
            for (size_t i = 0; i < 29 * 13; i++) {
                size_t bit = i % 29 * (size_t)depth;
                unsigned v =
                    (unsigned)rows[i / 29 * stride + bit / 8] >> (8 - depth - (int)(bit % 8)) &
                    most;
                for (int c = 0; c < 3; c++)
                    want[3 * i + (size_t)c] =
                        key >= 0 && v == clear.gray ? o.background[c] : (uint8_t)(v * 255 / most);
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
    check_pixels(png_make(&(png_spec_t){.w = 4, .h = 1, .depth = 16, .type = 0, .key = &key}, rows),
                 4, 1, want, NULL, "gray 16 key");
    uint8_t rgb[6] = {9, 8, 7, 9, 8, 6};
    png_color_16 color = {.red = 9, .green = 8, .blue = 7};
    check_pixels(png_make(&(png_spec_t){.w = 2, .h = 1, .depth = 8, .type = 2, .key = &color}, rgb),
                 2, 1, (const uint8_t[6]){255, 255, 255, 9, 8, 6}, NULL, "RGB key");
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
        check_pixels(png_make(&(png_spec_t){.w = 256, .h = 256, .depth = 8, .type = 6}, rgba), 256,
                     256, want, &o, "RGBA");
        check_pixels(png_make(&(png_spec_t){.w = 256, .h = 256, .depth = 8, .type = 4}, ga), 256,
                     256, want_gray, &o, "gray + alpha");
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
        blob_t b =
            i ? jpeg_make(&(jpeg_spec_t){.w = 8, .h = 8, .channels = 3}, rgb) : png_rgb(8, 8, rgb);
        snprintf(path, sizeof path, "%s/x.%s", dir, i ? "png" : "jpg");
        write_file(path, b);
        CHECK(image_read(&im, path, NULL, &why) == IMAGE_OK && im.w == 8 &&
                  abs(im.rgb[100] - 77) <= 1,
              "%s", why.text);
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

/* ---- encoding ---- */

TEST(png_encode) {
    for (unsigned k = 0; k < 4; k++) {
        unsigned w = (unsigned[]){1, 7, 64, 1}[k], h = (unsigned[]){1, 5, 33, 9}[k];
        image_t im = {w, h, noise_bytes(3 * w * h, k)};
        uint8_t *bytes[2], *back = malloc(3 * w * h);
        size_t size[2];
        reason_t why;
        for (int i = 0; i < 2; i++)
            REQUIRE(image_encode_png(&im, &bytes[i], &size[i], &why) == 0, "%s", why.text);
        CHECK(size[0] == size[1] && memcmp(bytes[0], bytes[1], size[0]) == 0);
        blob_t b = {bytes[0], size[0]};
        CHECK(!png_find(&b, "tIME", 0) && !png_find(&b, "tEXt", 0));
        png_image reader = {.version = PNG_IMAGE_VERSION};
        CHECK(png_image_begin_read_from_memory(&reader, bytes[0], size[0]));
        reader.format = PNG_FORMAT_RGB;
        CHECK(reader.width == w && reader.height == h &&
              png_image_finish_read(&reader, NULL, back, 0, NULL));
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
