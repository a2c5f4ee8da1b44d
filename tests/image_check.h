/* image_check.h - what the tests of images share: noise, decoding of exactly sized copies,
 * verdicts on a file. */
#ifndef TESTS_IMAGE_CHECK_H
#define TESTS_IMAGE_CHECK_H

#include "common/io/image/image.h"
#include "tests/child.h"
#include "tests/image_bytes.h"
#include "tests/rss.h"
#include "tests/test.h"

static inline uint32_t noise(uint32_t i) {
    i = (i ^ 61) ^ i >> 16;
    i *= 9;
    i ^= i >> 4;
    i *= 0x27d4eb2d;
    return i ^ i >> 15;
}

static inline uint8_t *noise_bytes(size_t n, uint32_t seed) {
    uint8_t *p = malloc(n ? n : 1);
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)noise(seed * 7919 + (uint32_t)i);
    return p;
}

/* Exactly sized copies, so that a sanitizer sees any step beyond the end. */
static inline image_status_t decode(image_t *im, const uint8_t *bytes, size_t n,
                                    const image_opts_t *o, reason_t *why) {
    uint8_t *copy = malloc(n ? n : 1);
    if (n) memcpy(copy, bytes, n);
    why->text[0] = 0;
    image_status_t status = image_decode(im, copy, n, o, why);
    free(copy);
    return status;
}

static inline void check_bad(const uint8_t *bytes, size_t n, const char *reason) {
    image_t im;
    reason_t why;
    image_status_t status = decode(&im, bytes, n, NULL, &why);
    CHECK(status == IMAGE_BAD, "status %d", (int)status);
    CHECK(!im.rgb && !im.w && !im.h);
    CHECK(why.text[0] && (!reason || strstr(why.text, reason)), "\"%s\" does not say \"%s\"",
          why.text, reason);
    image_release(&im);
}

static inline void check_pixels(blob_t file, unsigned w, unsigned h, const uint8_t *want,
                                const image_opts_t *o, const char *what) {
    image_t im;
    reason_t why;
    image_status_t status = decode(&im, file.p, file.n, o, &why);
    CHECK(status == IMAGE_OK, "%s: %s", what, why.text);
    CHECK(im.w == w && im.h == h, "%s: %zu x %zu", what, im.w, im.h);
    if (status == IMAGE_OK && im.w == w && im.h == h) {
        size_t i = 0, n = (size_t)w * h * 3;
        while (i < n && im.rgb[i] == want[i]) i++;
        CHECK(i == n, "%s: value %zu of pixel %zu is %d, expected %d", what, i % 3, i / 3,
              im.rgb[i < n ? i : 0], want[i < n ? i : 0]);
    }
    image_release(&im);
    free(file.p);
}

static inline void check_unsupported(const uint8_t *bytes, size_t n, const char *reason) {
    image_t im;
    reason_t why;
    image_status_t status = decode(&im, bytes, n, NULL, &why);
    CHECK(status == IMAGE_UNSUPPORTED && !im.rgb, "status %d: %s", (int)status, why.text);
    CHECK(strstr(why.text, reason), "\"%s\" does not say \"%s\"", why.text, reason);
    image_release(&im);
}

static inline int bomb_in_child(void *arg) {
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

static inline void check_bomb(blob_t b) {
    child_t c;
    child_run(bomb_in_child, &b, &c);
    CHECK(c.code == 0, "%d %s", c.code, c.err);
}

/* Within the limit, but the file holds one pixel: the claim alone must not fill memory. */
static inline int hollow_in_child(void *arg) {
    const blob_t *b = arg;
    image_t im;
    reason_t why;
    rss_reset();
    return image_decode(&im, b->p, b->n, NULL, &why) == IMAGE_BAD && !im.rgb && rss_peak_mb() < 50
               ? 0
               : 1;
}

#endif
