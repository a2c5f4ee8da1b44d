/* utf8.h - UTF-8 from anywhere: strict validation, and names made fit for one line of a message.
 *
 * Well formed means: no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef IO_UTF8_H
#define IO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes (1 to 4) of the well-formed character that begins at p, of n > 0 bytes; 0 when there is
 * none. */
size_t utf8_step(const uint8_t *p, size_t n);
/* Offset of the first malformed byte, or n. */
size_t utf8_check(const uint8_t *p, size_t n);
/* Writes code point c, which is no surrogate, to p. Returns the number of bytes. */
size_t utf8_put(uint8_t p[4], uint32_t c);

/* Writes `s` for a message to buf[cap]: control characters and malformed bytes become \xNN, and
 * what does not fit ends in "...". Returns buf. */
const char *utf8_printable(char *buf, size_t cap, const char *s);

#endif
