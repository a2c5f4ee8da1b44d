/* json.h - cJSON behind the checks it leaves to its callers (UTF-8, duplicate keys, NUL, depth,
 * trailing bytes, numbers), for files that come from elsewhere; exact integers; deterministic
 * printing.
 */
#ifndef IO_JSON_H
#define IO_JSON_H

#include "common/base/die.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* Parses strict JSON. -1 with "line:column: reason" in why. infinities: Minari's Infinity,
 * -Infinity and NaN outside strings are accepted and read as +-1e308 and null. Maximum nesting 64.
 * Free with cJSON_Delete. */
cJSON *json_parse(const char *text, size_t size, bool infinities, reason_t *why);
/* What people's data hold, in lines as in members of tars: as json_parse with infinities, behind a
 * byte order mark if there is one. */
cJSON *json_parse_data(const char *text, size_t size, reason_t *why);
cJSON *json_parse_file(const char *path, bool infinities, reason_t *why);

/* Line and column of `item` (or of its key) in the text that json_parse made `root` from. */
void json_where(const char *text, size_t size, const cJSON *root, const cJSON *item, bool key,
                size_t *line, size_t *column);

/* Exact unsigned / signed integer of an item: false if it is no number, has a fraction or an
 * exponent, or exceeds 2^53.
 */
bool json_u64(const cJSON *item, uint64_t *out);
bool json_i64(const cJSON *item, int64_t *out);

/* Shortest text that reads back as the same float / double ("0.1", "1e-05"); whole numbers below
 * 10^7 / 10^15 as plain digits. */
const char *json_float(char buf[32], float v);
const char *json_double(char buf[40], double v); /* non-finite -> "null" */

/* A writer for one-line objects on stdout and in metrics.jsonl: keys in call order. */
typedef struct {
    char *text;
    size_t len, cap;
    bool comma;
} jsonw_t;
void jsonw_begin(jsonw_t *w); /* "{" */
void jsonw_key(jsonw_t *w, const char *key);
void jsonw_str(jsonw_t *w, const char *key,
               const char *value); /* NULL -> null; escapes; invalid UTF-8 as \u00XX bytes */
void jsonw_bytes(jsonw_t *w, const char *key, const char *value, size_t n);
void jsonw_int(jsonw_t *w, const char *key, int64_t value);
void jsonw_num(jsonw_t *w, const char *key, double value); /* non-finite -> null */
void jsonw_float(jsonw_t *w, const char *key, float value);
void jsonw_bool(jsonw_t *w, const char *key, bool value);
void jsonw_raw(jsonw_t *w, const char *key, const char *json);
void jsonw_open(jsonw_t *w, const char *key, char bracket); /* '{' or '['; key NULL inside arrays */
void jsonw_close(jsonw_t *w, char bracket);                 /* '}' or ']' */
const char *jsonw_end(jsonw_t *w); /* "}" ; text stays valid until jsonw_free */
void jsonw_free(jsonw_t *w);

/* Canonical JSON (for hashes): keys sorted bytewise, no spaces, shortest numbers. malloc'ed. */
char *json_canonical(const cJSON *item);
/* The same for a message: "(none)" when there is no item. */
char *json_shown(const cJSON *item);

#endif
