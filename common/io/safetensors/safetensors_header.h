/* safetensors_header.h - private to safetensors: the JSON of a header, read in place.
 *
 * A header may describe a million tensors, so no tree is built. One pass (st_json_check) checks the
 * syntax of everything. A second pass, the cursor, walks the only shape that is legal and unescapes
 * names where they stand.
 */
#ifndef IO_SAFETENSORS_HEADER_H
#define IO_SAFETENSORS_HEADER_H

#include "common/base/die.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ST_DEPTH = 8 };

/* Checks that the text is one strict JSON object and nothing but spaces behind it: no \u0000, at
 * most ST_DEPTH levels. 0 and the number of keys of the outermost object; or -1 with a reason that
 * starts with "byte N of the header". */
int st_json_check(const uint8_t *text, size_t n, size_t *keys, reason_t *why);

/* A cursor over text that st_json_check has accepted. Each st_take_* passes over spaces and then
 * over what it names. It returns false, leaving the cursor where it is, when something else stands
 * there. */
typedef struct {
    uint8_t *p;
} st_cursor_t;

/* One of { } [ ] : , */
bool st_take(st_cursor_t *c, char punctuation);
/* A string, unescaped in place and NUL-terminated; *size without the NUL. */
bool st_take_string(st_cursor_t *c, char **text, size_t *size);
/* Digits only: no sign, fraction or exponent, at most 2^64 - 1. */
bool st_take_u64(st_cursor_t *c, uint64_t *value);
/* Passes over any value. */
void st_skip(st_cursor_t *c);

#endif
