/* tar.h - tar archives made by hand, after the tables of POSIX (ustar, pax) and GNU's manual, for
 * the tests of what reads them. Damage is done to the bytes.
 */
#ifndef TESTS_TAR_H
#define TESTS_TAR_H

#include "tests/image_bytes.h"

enum { TAR_BLOCK = 512 };

static inline void tar_checksum(uint8_t *head) {
    unsigned sum = 0;
    memset(head + 148, ' ', 8);
    for (int i = 0; i < TAR_BLOCK; i++) sum += head[i];
    snprintf((char *)head + 148, 8, "%06o", sum);
}

/* Header and content of a member, padded. `claimed` is the size that the header states. */
static inline void tar_put(blob_t *t, const char *name, char type, const void *data, size_t n,
                           size_t claimed) {
    uint8_t head[TAR_BLOCK] = {0}, zero[TAR_BLOCK] = {0};
    memcpy(head, name, strlen(name) < 100 ? strlen(name) : 100);
    memcpy(head + 100, "0000644\0000000000\0000000000", 24);
    snprintf((char *)head + 124, 12, "%011zo", claimed);
    memcpy(head + 136, "00000000000", 12);
    head[156] = (uint8_t)type;
    memcpy(head + 257, "ustar\00000", 8);
    if (type == '1') memcpy(head + 157, "0.png", 5);
    tar_checksum(head);
    blob_put(t, head, sizeof head);
    blob_put(t, data, n);
    if (n % TAR_BLOCK) blob_put(t, zero, TAR_BLOCK - n % TAR_BLOCK);
}

static inline void tar_add(blob_t *t, const char *name, const void *data, size_t n) {
    tar_put(t, name, '0', data, n, n);
}
static inline void tar_text(blob_t *t, const char *name, const char *text) {
    tar_add(t, name, text, strlen(text));
}

/* An extended header that holds path=NAME for the next member; the name may have any bytes. */
static inline void tar_pax_path(blob_t *t, const char *name, size_t n) {
    char record[2000];
    size_t digits = 1, size;
    do size = digits + 1 + 5 + n + 1;
    while (snprintf(NULL, 0, "%zu", size) != (int)digits++);
    int head = snprintf(record, sizeof record, "%zu path=", size);
    memcpy(record + head, name, n);
    record[(size_t)head + n] = '\n';
    tar_put(t, "PaxHeaders/x", 'x', record, (size_t)head + n + 1, (size_t)head + n + 1);
}

static inline void tar_end(blob_t *t) {
    uint8_t zero[2 * TAR_BLOCK] = {0};
    blob_put(t, zero, sizeof zero);
}

/* An image of 3 x 2 pixels of one level. */
static inline void tar_png(blob_t *t, const char *name, uint8_t level) {
    uint8_t rgb[18];
    memset(rgb, level, sizeof rgb);
    blob_t b = png_rgb(3, 2, rgb);
    tar_add(t, name, b.p, b.n);
    free(b.p);
}

#endif
