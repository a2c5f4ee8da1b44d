/* utf8.c - see utf8.h. The byte ranges are table 3-7 of the Unicode standard. */
#include "common/io/utf8.h"

#include <stdio.h>
#include <string.h>

static bool is_tail(uint8_t c) {
    return (c & 0xC0) == 0x80;
}

size_t utf8_step(const uint8_t *p, size_t n) {
    uint8_t a = p[0];
    if (a < 0x80) return 1;
    if (a < 0xC2 || a > 0xF4 || n < 2) return 0;
    /* The second byte's range depends on the first. */
    uint8_t low = 0x80, high = 0xBF;
    if (a == 0xE0) low = 0xA0;  /* below: overlong */
    if (a == 0xED) high = 0x9F; /* above: surrogates */
    if (a == 0xF0) low = 0x90;  /* below: overlong */
    if (a == 0xF4) high = 0x8F; /* above: beyond U+10FFFF */
    if (p[1] < low || p[1] > high) return 0;
    size_t length = a < 0xE0 ? 2 : a < 0xF0 ? 3 : 4;
    if (n < length) return 0;
    for (size_t i = 2; i < length; i++)
        if (!is_tail(p[i])) return 0;
    return length;
}

/* Are the 8 bytes at p all ASCII? */
static bool is_ascii8(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, 8);
    return (word & 0x8080808080808080u) == 0;
}

size_t utf8_check(const uint8_t *p, size_t n) {
    size_t i = 0;
    while (i < n) {
        if (n - i >= 8 && is_ascii8(p + i)) {
            i += 8;
            continue;
        }
        size_t step = utf8_step(p + i, n - i);
        if (!step) return i;
        i += step;
    }
    return n;
}

size_t utf8_put(uint8_t p[4], uint32_t c) {
    if (c < 0x80) {
        p[0] = (uint8_t)c;
        return 1;
    }
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0}; /* by length */
    size_t length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        p[i] = (uint8_t)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    p[0] = (uint8_t)(lead[length] | c);
    return length;
}

const char *utf8_printable(char *buf, size_t cap, const char *s) {
    const uint8_t *p = (const uint8_t *)s;
    size_t left = strlen(s), at = 0;
    while (left) {
        size_t step = utf8_step(p, left);
        bool plain = step && p[0] >= 0x20 && p[0] != 0x7F;
        /* Room for this character, and for "..." should another one not fit. */
        if (at + (plain ? step : 4) + 4 > cap) {
            if (cap > at + 3) {
                memcpy(buf + at, "...", 3);
                at += 3;
            }
            break;
        }
        size_t taken = plain ? step : 1;
        if (plain) {
            memcpy(buf + at, p, step);
            at += step;
        } else {
            snprintf(buf + at, 5, "\\x%02X", p[0]);
            at += 4;
        }
        p += taken;
        left -= taken;
    }
    if (cap) buf[at] = 0;
    return buf;
}
