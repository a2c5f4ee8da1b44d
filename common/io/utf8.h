/* utf8.h - UTF-8 as foreign bytes: strict validation, and names that may hold anything made fit for
 * one line of a message.
 */
#ifndef IO_UTF8_H
#define IO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the well-formed character at p (1..4), or 0: no overlong forms, no surrogates, nothing
 * above U+10FFFF. n > 0. */
size_t utf8_step(const uint8_t *p, size_t n);
/* Offset of the first malformed byte, or n. */
size_t utf8_check(const uint8_t *p, size_t n);
/* Writes code point c (no surrogate) to p: number of bytes. */
size_t utf8_put(uint8_t p[4], uint32_t c);

/* `s` for a message: control characters and malformed bytes become \xNN, what does not fit in cap
 * ends with "...". Returns buf. */
const char *utf8_printable(char *buf, size_t cap, const char *s);

#endif
