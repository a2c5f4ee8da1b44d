/* h5_bytes.c - see h5_bytes.h. */
#include "common/io/episodes/h5_bytes.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void h5b_put(h5w_bytes_t *b, const void *bytes, size_t n) {
    b->v = xgrow(b->v, &b->cap, b->n + n, 1);
    if (n) memcpy(b->v + b->n, bytes, n);
    b->n += n;
}

void h5b_zeros(h5w_bytes_t *b, size_t n) {
    b->v = xgrow(b->v, &b->cap, b->n + n, 1);
    memset(b->v + b->n, 0, n);
    b->n += n;
}

void h5b_int(h5w_bytes_t *b, uint64_t v, size_t n) {
    uint8_t bytes[8];
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)(v >> 8 * i);
    h5b_put(b, bytes, n);
}

uint64_t h5b_get(const uint8_t *p, size_t n) {
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}

/* kind u8, size u16, flags u8 */
size_t h5b_message(h5w_bytes_t *b, int kind, int flags) {
    size_t begin = b->n;
    h5b_int(b, (uint64_t)kind, 1);
    h5b_int(b, 0, 2);
    h5b_int(b, (uint64_t)flags, 1);
    return begin;
}

void h5b_message_end(h5w_bytes_t *b, size_t begin) {
    size_t size = b->n - begin - H5B_MESSAGE;
    if (size > UINT16_MAX) BUG("a message of %zu bytes", size);
    b->v[begin + 1] = (uint8_t)size;
    b->v[begin + 2] = (uint8_t)(size >> 8);
}

static uint32_t rotate(uint32_t x, int k) {
    return x << k | x >> (32 - k);
}

/* Bob Jenkins, lookup3.c (public domain), hashlittle with initval 0, over bytes one by one. */
uint32_t h5b_checksum(const uint8_t *v, size_t n) {
    uint32_t a = 0xdeadbeef + (uint32_t)n, b = a, c = a;
    for (; n > 12; n -= 12, v += 12) {
        a += (uint32_t)h5b_get(v, 4);
        b += (uint32_t)h5b_get(v + 4, 4);
        c += (uint32_t)h5b_get(v + 8, 4);
        a = (a - c) ^ rotate(c, 4), c += b;
        b = (b - a) ^ rotate(a, 6), a += c;
        c = (c - b) ^ rotate(b, 8), b += a;
        a = (a - c) ^ rotate(c, 16), c += b;
        b = (b - a) ^ rotate(a, 19), a += c;
        c = (c - b) ^ rotate(b, 4), b += a;
    }
    if (n == 0) return c;
    uint8_t last[12] = {0};
    memcpy(last, v, n);
    a += (uint32_t)h5b_get(last, 4);
    b += (uint32_t)h5b_get(last + 4, 4);
    c += (uint32_t)h5b_get(last + 8, 4);
    c = (c ^ b) - rotate(b, 14);
    a = (a ^ c) - rotate(c, 11);
    b = (b ^ a) - rotate(a, 25);
    c = (c ^ b) - rotate(b, 16);
    a = (a ^ c) - rotate(c, 4);
    b = (b ^ a) - rotate(a, 14);
    return (c ^ b) - rotate(b, 24);
}

void h5b_seal(h5w_bytes_t *b) {
    h5b_int(b, h5b_checksum(b->v, b->n), H5B_CHECKSUM);
}

uint64_t h5b_append(h5w_t *f, const void *bytes, size_t n) {
    uint64_t at = f->end;
    for (size_t done = 0; done < n && !f->error;) {
        ssize_t k = pwrite(f->fd, (const char *)bytes + done, n - done, (off_t)(at + done));
        if (k > 0) done += (size_t)k;
        if (k == 0) f->error = ENOSPC;
        if (k < 0 && errno != EINTR) f->error = errno;
    }
    f->end = at + n;
    return at;
}

/* Version 2, without times; 4 bytes of size. */
uint64_t h5b_header(h5w_t *f, const h5w_bytes_t *messages) {
    enum { VERSION = 2, SIZE_OF_4_BYTES = 2 };
    h5w_bytes_t b = {0};
    h5b_put(&b, "OHDR", 4);
    h5b_int(&b, VERSION, 1);
    h5b_int(&b, SIZE_OF_4_BYTES, 1);
    h5b_int(&b, messages->n, 4);
    h5b_put(&b, messages->v, messages->n);
    h5b_seal(&b);
    uint64_t at = h5b_append(f, b.v, b.n);
    free(b.v);
    return at;
}

void h5b_link(h5w_bytes_t *messages, const char *name, uint64_t address, uint64_t number) {
    enum { VERSION = 1, LENGTH_OF_2_BYTES = 1, HAS_NUMBER = 4, HAS_CHARSET = 16, UTF8 = 1 };
    size_t m = h5b_message(messages, H5B_LINK, 0), length = strlen(name);
    h5b_int(messages, VERSION, 1);
    h5b_int(messages, LENGTH_OF_2_BYTES | HAS_NUMBER | HAS_CHARSET, 1);
    h5b_int(messages, number, 8);
    h5b_int(messages, UTF8, 1);
    h5b_int(messages, length, 2);
    h5b_put(messages, name, length);
    h5b_int(messages, address, 8);
    h5b_message_end(messages, m);
}

void h5b_group(h5w_bytes_t *messages, uint64_t next) {
    enum { VERSION = 0, ORDER_TRACKED_AND_INDEXED = 3 };
    size_t m = h5b_message(messages, H5B_LINK_INFO, 0);
    h5b_int(messages, VERSION, 1);
    h5b_int(messages, ORDER_TRACKED_AND_INDEXED, 1);
    h5b_int(messages, next, 8);
    for (int heap_and_trees = 0; heap_and_trees < 3; heap_and_trees++)
        h5b_int(messages, H5B_NOWHERE, 8); /* the links stand in the header itself */
    h5b_message_end(messages, m);
    m = h5b_message(messages, H5B_GROUP_INFO, 1);
    h5b_int(messages, 0, 2);
    h5b_message_end(messages, m);
}
