/* test_image_odd.c - files that are odd but whole: their pixels must be those of the file without
 * the oddity, and the oddity must be counted. What is truly damaged stays damage, or is taken by a
 * lenient caller alone. Oddities are made here, byte by byte, from the definitions of the formats.
 */
#include "tests/image_check.h"

enum { W = 48, H = 40 };

/* Noise of low contrast: every block differs, and no block's code is trivial. */
static blob_t jpeg_of(bool progressive, int restart) {
    uint8_t px[3 * W * H];
    for (size_t i = 0; i < sizeof px; i++) px[i] = (uint8_t)(96 + noise((uint32_t)i) % 64);
    return jpeg_make(
        &(jpeg_spec_t){
            .w = W, .h = H, .channels = 3, .progressive = progressive, .restart = restart},
        px);
}

/* A file with n bytes put in at `at`. */
static blob_t with_bytes(const blob_t *b, size_t at, const void *bytes, size_t n) {
    blob_t out = blob_copy(b->p, at);
    blob_put(&out, bytes, n);
    blob_put(&out, b->p + at, b->n - at);
    return out;
}

static size_t find_bytes(const blob_t *b, const void *bytes, size_t n) {
    const uint8_t *at = memmem(b->p, b->n, bytes, n);
    return at ? (size_t)(at - b->p) : 0;
}

/* `odd` decodes strictly to what `plain` decodes to, and `kind` alone is counted. Frees odd. */
static void check_odd(const blob_t *plain, blob_t odd, image_note_t kind, const char *what) {
    image_t want, got;
    reason_t why;
    image_notes_t notes = {0};
    image_opts_t o = image_opts_default();
    o.notes = &notes;
    REQUIRE(decode(&want, plain->p, plain->n, &o, &why) == IMAGE_OK, "%s", why.text);
    CHECK(notes.harmless == 0 && notes.damaged == 0);
    image_status_t status = decode(&got, odd.p, odd.n, &o, &why);
    CHECK(status == IMAGE_OK, "%s: %s", what, why.text);
    if (status == IMAGE_OK) {
        CHECK(got.w == want.w && got.h == want.h && !memcmp(got.rgb, want.rgb, 3 * got.w * got.h),
              "%s: other pixels", what);
        CHECK(notes.harmless == 1 && notes.damaged == 0, "%s", what);
        for (int k = 0; k < NOTE_KINDS; k++)
            CHECK(notes.kind[k] == (k == (int)kind), "%s: kind %d: %zu", what, k,
                  (size_t)notes.kind[k]);
    }
    image_release(&want);
    image_release(&got);
    free(odd.p);
}

/* Refused strictly with a reason; taken leniently with the kind counted as damage. Frees b. */
static image_t check_damaged(blob_t b, const char *reason, image_note_t kind, const char *what) {
    image_t im;
    reason_t why;
    image_notes_t notes = {0};
    image_opts_t o = image_opts_default();
    o.notes = &notes;
    CHECK(decode(&im, b.p, b.n, &o, &why) == IMAGE_BAD && !im.rgb, "%s", what);
    CHECK(strstr(why.text, reason), "%s: \"%s\" does not say \"%s\"", what, why.text, reason);
    CHECK(notes.harmless == 0 && notes.damaged == 0, "%s: counted", what);
    o.lenient = true;
    CHECK(decode(&im, b.p, b.n, &o, &why) == IMAGE_OK, "%s: %s", what, why.text);
    CHECK(notes.harmless == 0 && notes.damaged == 1 && notes.kind[kind] == 1, "%s", what);
    free(b.p);
    return im;
}

/* ---- JPEG ---- */

TEST(jpeg_scan_parameters) {
    static const uint8_t of_scan[][3] = {
        {0, 0, 0}, {1, 63, 0}, {0, 62, 0}, {0, 63, 0x10}, {0, 63, 2}};
    blob_t b = jpeg_of(false, 0);
    size_t sos = jpeg_find(&b, 0xDA);
    REQUIRE(sos && b.p[sos + 4] == 3);
    for (size_t i = 0; i < 5; i++) {
        blob_t odd = blob_copy(b.p, b.n);
        memcpy(odd.p + sos + 11, of_scan[i], 3);
        check_odd(&b, odd, NOTE_JPEG_SCAN, "Ss, Se, Ah, Al");
    }
    free(b.p);
}

TEST(jpeg_revision_of_jfif) {
    blob_t b = jpeg_of(false, 0);
    size_t at = find_bytes(&b, "JFIF\0\1", 6);
    REQUIRE(at);
    for (int major = 0; major <= 3; major++) {
        blob_t odd = blob_copy(b.p, b.n);
        odd.p[at + 5] = (uint8_t)major;
        if (major == 1)
            free(odd.p);
        else
            check_odd(&b, odd, NOTE_JPEG_JFIF, "the revision");
    }
    free(b.p);
}

/* An APP14 whose transform is none of 0, 1, 2, in a file that is YCbCr by its JFIF marker's own
 * word: that marker stands first, so Adobe's decides nothing. In one without JFIF it is read as
 * YCbCr. */
TEST(jpeg_adobe_transform) {
    static const char app14[] = "\xFF\xEE\0\x0E"
                                "Adobe\0\x64\0\0\0\0\7";
    blob_t b = jpeg_of(false, 0), bare = blob_copy(b.p, 2);
    size_t app0 = jpeg_find(&b, 0xE0),
           next = app0 + 2 + (size_t)(b.p[app0 + 2] << 8 | b.p[app0 + 3]);
    REQUIRE(app0 == 2);
    blob_put(&bare, app14, 16);
    blob_put(&bare, b.p + next, b.n - next);
    check_odd(&b, bare, NOTE_JPEG_ADOBE, "Adobe's transform without JFIF");
    free(b.p);
}

TEST(jpeg_bytes_between) {
    static const char junk[] = "\0\0\0some words between";
    static const uint8_t markers[] = {0xDB, 0xC0, 0xC4, 0xDA};
    for (int progressive = 0; progressive < 2; progressive++) {
        blob_t b = jpeg_of(progressive, 0);
        for (size_t i = 0; i < sizeof markers; i++) {
            size_t at = jpeg_find(&b, progressive && markers[i] == 0xC0 ? 0xC2 : markers[i]);
            REQUIRE(at);
            check_odd(&b, with_bytes(&b, at, junk, sizeof junk - 1), NOTE_JPEG_BETWEEN, "junk");
        }
        check_odd(&b, with_bytes(&b, b.n - 2, junk, 7), NOTE_JPEG_BETWEEN, "junk before the end");
        uint8_t padding[1000] = {0};
        check_odd(&b, with_bytes(&b, b.n - 2, padding, 1000), NOTE_JPEG_BETWEEN, "padding");
        free(b.p);
    }
}

TEST(jpeg_bytes_behind) {
    blob_t b = jpeg_of(false, 0);
    check_odd(&b, with_bytes(&b, b.n, "\0", 1), NOTE_JPEG_BEHIND, "a byte");
    check_odd(&b, with_bytes(&b, b.n, "\r\n--boundary", 12), NOTE_JPEG_BEHIND, "a boundary");
    check_odd(&b, with_bytes(&b, b.n, b.p, b.n), NOTE_JPEG_BEHIND, "a second image");
    free(b.p);
}

/* Cameras that stop with the last block, and a copy that lost its last byte. Of several scans the
 * last one may be missing: those stay damage. */
TEST(jpeg_without_an_end) {
    for (int restart = 0; restart <= 2; restart += 2) {
        blob_t b = jpeg_of(false, restart);
        check_odd(&b, blob_copy(b.p, b.n - 2), NOTE_JPEG_END, "no end marker");
        check_odd(&b, blob_copy(b.p, b.n - 1), NOTE_JPEG_END, "half an end marker");
        free(b.p);
    }
    blob_t p = jpeg_of(true, 0);
    image_t im = check_damaged(blob_copy(p.p, p.n - 2), "Premature end", NOTE_JPEG_DAMAGE, "scans");
    image_release(&im);
    free(p.p);
}

/* Frames of webcams leave the standard Huffman tables out. */
TEST(jpeg_without_tables) {
    blob_t b = jpeg_of(false, 0), bare = blob_copy(b.p, b.n);
    image_t want, got;
    reason_t why;
    for (size_t at; (at = jpeg_find(&bare, 0xC4)) != 0;) {
        size_t n = 2 + (size_t)(bare.p[at + 2] << 8 | bare.p[at + 3]);
        memmove(bare.p + at, bare.p + at + n, bare.n - at - n);
        bare.n -= n;
    }
    CHECK(bare.n + 400 < b.n);
    REQUIRE(decode(&want, b.p, b.n, NULL, &why) == IMAGE_OK, "%s", why.text);
    REQUIRE(decode(&got, bare.p, bare.n, NULL, &why) == IMAGE_OK, "%s", why.text);
    CHECK(!memcmp(want.rgb, got.rgb, 3 * W * H));
    image_release(&want);
    image_release(&got);
    free(b.p);
    free(bare.p);
}

static void check_damaged_jpeg(blob_t b, const char *reason, const char *what) {
    image_t im = check_damaged(b, reason, NOTE_JPEG_DAMAGE, what);
    CHECK(im.w == W && im.h == H, "%s", what);
    image_release(&im);
}

TEST(jpeg_damage_stays_damage) {
    blob_t b = jpeg_of(false, 0), r = jpeg_of(false, 2);
    REQUIRE(jpeg_find(&b, 0xDA) && b.n > 1000);
    size_t scan = jpeg_find(&b, 0xDA) + 14, middle = scan + (b.n - scan) / 2;
    check_damaged_jpeg(blob_copy(b.p, middle), "Premature end", "cut");
    check_damaged_jpeg(blob_copy(b.p, b.n - 40), "Premature end", "cut in the last blocks");
    blob_t ended = blob_copy(b.p, middle);
    blob_put(&ended, "\xFF\xD9", 2);
    check_damaged_jpeg(ended, "premature end", "an end marker too early");
    /* No Huffman code is all ones: sixteen of them are no code. */
    blob_t ones = blob_copy(b.p, b.n);
    for (size_t i = 0; i < 8; i++) ones.p[middle + i] = i & 1 ? 0 : 0xFF;
    check_damaged_jpeg(ones, "Huffman", "bad codes");
    /* Harmless first, damage then: damage. */
    blob_t both = blob_copy(b.p, middle);
    both.p[scan - 2] = 0;
    check_damaged_jpeg(both, "Premature end", "cut, after a harmless warning");
    /* A restart interval that is missing. */
    size_t rst1 = find_bytes(&r, "\xFF\xD1", 2), rst2 = find_bytes(&r, "\xFF\xD2", 2);
    REQUIRE(rst1 && rst2 > rst1);
    blob_t gap = blob_copy(r.p, rst1);
    blob_put(&gap, r.p + rst2, r.n - rst2);
    check_damaged_jpeg(gap, "Corrupt JPEG data", "a missing interval");
    free(b.p);
    free(r.p);
}

/* More blocks' data than the header's size takes: what is left over are no harmless bytes. */
TEST(jpeg_data_left_over) {
    blob_t b = jpeg_of(false, 0);
    size_t sof = jpeg_find(&b, 0xC0);
    REQUIRE(sof && b.p[sof + 6] == H);
    b.p[sof + 6] = H - 16;
    image_t im = check_damaged(b, "extraneous bytes", NOTE_JPEG_DAMAGE, "left over");
    CHECK(im.h == H - 16);
    image_release(&im);
}

/* ---- PNG ---- */

static blob_t png_of(uint8_t *rgb) {
    for (size_t i = 0; i < 3 * W * H; i++) rgb[i] = (uint8_t)noise((uint32_t)i);
    return png_rgb(W, H, rgb);
}

/* Chunks of every place: before the image data and behind them. */
static blob_t png_with_chunks(uint8_t *rgb) {
    blob_t plain = png_of(rgb), b = blob_copy(plain.p, 33);
    png_put_chunk(&b, "gAMA", "\0\1\x86\xA0", 4);
    png_put_chunk(&b, "pHYs", "\0\0\0\1\0\0\0\1\0", 9);
    png_put_chunk(&b, "tEXt", "Title\0x", 7);
    png_put_chunk(&b, "prVt", "whatever", 8);
    blob_put(&b, plain.p + 33, plain.n - 33 - 12);
    png_put_chunk(&b, "tIME", "\7\xE8\1\1\0\0\0", 7);
    png_put_chunk(&b, "eXIf", "MM\0*\0\0\0\x08\0\0", 10);
    png_put_chunk(&b, "IEND", "", 0);
    free(plain.p);
    return b;
}

static void check_damaged_png(blob_t b, const char *reason, image_note_t kind, const uint8_t *rgb,
                              const char *what) {
    image_t im = check_damaged(b, reason, kind, what);
    CHECK(im.w == W && im.h == H && !memcmp(im.rgb, rgb, 3 * W * H), "%s: pixels", what);
    image_release(&im);
}

TEST(png_checksums_beside_the_pixels) {
    static const char *const chunks[] = {"gAMA", "pHYs", "tEXt", "prVt", "tIME", "eXIf"};
    uint8_t rgb[3 * W * H];
    blob_t b = png_with_chunks(rgb);
    check_pixels(blob_copy(b.p, b.n), W, H, rgb, NULL, "whole");
    for (size_t i = 0; i < 6; i++) {
        size_t at = png_find(&b, chunks[i], 0);
        REQUIRE(at);
        for (size_t k = 0; k < 2; k++) { /* the checksum, then the data */
            blob_t bad = blob_copy(b.p, b.n);
            bad.p[at + (k ? 8 : 8 + get32(b.p + at))] ^= 0x40;
            check_damaged_png(bad, "CRC", NOTE_PNG_CRC, rgb, chunks[i]);
        }
    }
    free(b.p);
}

TEST(png_without_an_end) {
    uint8_t rgb[3 * W * H];
    blob_t b = png_with_chunks(rgb);
    size_t behind = png_find(&b, "tIME", 0), end = png_find(&b, "IEND", 0);
    REQUIRE(behind && end > behind);
    for (size_t n = behind; n < b.n; n++)
        check_damaged_png(blob_copy(b.p, n), "damaged PNG", NOTE_PNG_END, rgb, "cut");
    blob_t crc = blob_copy(b.p, b.n);
    crc.p[crc.n - 1] ^= 1;
    check_damaged_png(crc, "CRC", NOTE_PNG_END, rgb, "the end's checksum");
    blob_t zeros = blob_copy(b.p, end);
    blob_put(&zeros, (uint8_t[64]){0}, 64);
    check_damaged_png(zeros, "damaged PNG", NOTE_PNG_END, rgb, "zeros for an end");
    free(b.p);
}

TEST(png_bytes_behind) {
    uint8_t rgb[3 * W * H];
    blob_t b = png_of(rgb);
    check_odd(&b, with_bytes(&b, b.n, "\n", 1), NOTE_PNG_BEHIND, "a line end");
    check_odd(&b, with_bytes(&b, b.n, b.p, b.n), NOTE_PNG_BEHIND, "a second image");
    free(b.p);
}

/* Old screenshot tools and optimizers: bytes behind the compressed data, or rows behind the
 * last. */
TEST(png_image_data_left_over) {
    uint8_t rgb[3 * W * H], more[3 * W * (H + 4)];
    blob_t b = png_of(rgb), padded = blob_copy(b.p, 33), two = blob_copy(b.p, b.n - 12);
    size_t at = png_find(&b, "IDAT", 0), n = get32(b.p + at);
    blob_t data = blob_copy(b.p + at + 8, n);
    blob_put(&data, "\0\0\0\0\0", 5);
    png_put_chunk(&padded, "IDAT", data.p, data.n);
    png_put_chunk(&padded, "IEND", "", 0);
    check_odd(&b, padded, NOTE_PNG_EXTRA, "bytes behind the stream");
    png_put_chunk(&two, "IDAT", "\0\0\0", 3);
    png_put_chunk(&two, "IEND", "", 0);
    /* of this libpng says nothing */
    check_pixels(two, W, H, rgb, NULL, "a chunk behind the stream");
    memcpy(more, rgb, sizeof rgb);
    memset(more + sizeof rgb, 7, sizeof more - sizeof rgb);
    blob_t rows = png_rgb(W, H + 4, more);
    rows.p[16 + 7] = H;
    png_fix(&rows, 8);
    check_odd(&b, rows, NOTE_PNG_EXTRA, "rows behind the last");
    free(data.p);
    free(b.p);
}

/* The image data themselves: no leniency. */
TEST(png_pixels_are_never_in_doubt) {
    uint8_t rgb[3 * W * H];
    blob_t b = png_of(rgb);
    image_opts_t o = image_opts_default();
    o.lenient = true;
    size_t at = png_find(&b, "IDAT", 0), n = get32(b.p + at);
    for (size_t k = 0; k < 4; k++) {
        size_t place[] = {8, 8 + n / 2, 8 + n - 1, 8 + n + 2}; /* zlib, data, Adler-32, CRC */
        blob_t bad = blob_copy(b.p, b.n);
        image_t im;
        reason_t why;
        bad.p[at + place[k]] ^= 0x10;
        CHECK(decode(&im, bad.p, bad.n, &o, &why) == IMAGE_BAD && !im.rgb, "place %zu", k);
        if (k < 3) png_fix(&bad, at);
        CHECK(decode(&im, bad.p, bad.n, &o, &why) == IMAGE_BAD && !im.rgb, "place %zu", k);
        CHECK(decode(&im, b.p, at + place[k] - 5, &o, &why) == IMAGE_BAD, "cut at %zu", k);
        free(bad.p);
    }
    free(b.p);
}

/* As for JPEG (test_image_jpeg.c): stored corners, top left to bottom right, are red, green, blue,
 * white. */
TEST(png_orientation) {
    static const char shown[9][5] = {"RGBW", "RGBW", "GRWB", "WBGR", "BWRG",
                                     "RBGW", "BRWG", "WGBR", "GWRB"};
    static const uint8_t corners[12] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255};
    uint8_t px[3 * 4 * 2];
    for (size_t i = 0; i < 8; i++) memcpy(px + 3 * i, corners + 3 * (i % 4 / 2 + i / 4 * 2), 3);
    blob_t plain = png_rgb(4, 2, px);
    for (int k = 0; k < 40; k++) {
        int orientation = k % 10;
        bool behind = k >= 20, big = k / 10 % 2;
        uint8_t exif[64];
        size_t n = exif_make(exif, orientation, big) - 6;
        size_t at = behind ? plain.n - 12 : 33;
        blob_t b = blob_copy(plain.p, at);
        png_put_chunk(&b, "eXIf", exif + 6, n);
        blob_put(&b, plain.p + at, plain.n - at);
        for (int ignore = 0; ignore < 2; ignore++) {
            image_t im;
            reason_t why;
            image_opts_t o = image_opts_default();
            o.no_exif = ignore;
            REQUIRE(decode(&im, b.p, b.n, &o, &why) == IMAGE_OK, "%s", why.text);
            int effective = ignore || orientation > 8 ? 1 : orientation;
            CHECK(im.w == (effective >= 5 ? 2 : 4) && im.h == (effective >= 5 ? 4 : 2));
            for (size_t corner = 0; corner < 4; corner++) {
                size_t x = corner & 1 ? im.w - 1 : 0, y = corner & 2 ? im.h - 1 : 0;
                const uint8_t *p = im.rgb + 3 * (im.w * y + x);
                char seen = p[0] ? (p[1] ? 'W' : 'R') : p[1] ? 'G' : 'B';
                CHECK(seen == shown[effective][corner], "orientation %d, corner %zu: %c",
                      orientation, corner, seen);
            }
            image_release(&im);
        }
        free(b.p);
    }
    free(plain.p);
}
