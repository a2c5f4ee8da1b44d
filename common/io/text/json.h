/* json.h - JSON both ways: cJSON behind strict checks, exact integers, deterministic printing. Use
 * (tests/examples/example_json.c):
 *
 *     reason_t why;
 *     uint64_t steps = 0;
 *     const char *text = "{\"steps\": 100}";
 *     cJSON *root = json_parse(text, strlen(text), false, &why);
 *     if (!root) die(RC_DATA, "%s", why.text); // "line:column: cause"
 *     json_u64(cJSON_GetObjectItemCaseSensitive(root, "steps"), &steps);
 *     cJSON_Delete(root);
 *
 *     jsonw_t w;
 *     jsonw_begin(&w);
 *     jsonw_int(&w, "steps", (int64_t)steps);
 *     const char *line = jsonw_end(&w); // {"steps":100}
 *
 * The parser is for files from anywhere. It checks what cJSON leaves to its callers: UTF-8,
 * duplicate keys, \u0000, depth, trailing bytes, the grammar and range of numbers. Printing gives
 * the same bytes for the same values.
 */
#ifndef IO_JSON_H
#define IO_JSON_H

#include "common/base/die.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- reading ---- */

/* Parses strict JSON of at most 64 levels. infinities: accept NaN, Infinity and -Infinity, as
 * Minari writes them, and read them as null and +-1e308. Free with cJSON_Delete. NULL with a reason
 * that starts with "line:column: ". */
cJSON *json_parse(const char *text, size_t size, bool infinities, reason_t *why);
/* The rule for people's data, lines and members of tars alike: json_parse with infinities, behind a
 * byte order mark if there is one. */
cJSON *json_parse_data(const char *text, size_t size, reason_t *why);
/* Parses a file of at most 1 GB. NULL with a reason that starts with the path. */
cJSON *json_parse_file(const char *path, bool infinities, reason_t *why);

/* Line and column (from 1, in characters) of `item`, or of its key, in the text that json_parse
 * made `root` from. */
void json_where(const char *text, size_t size, const cJSON *root, const cJSON *item, bool key,
                size_t *line, size_t *column);

/* The exact integer of an item. False, and *out unchanged, when the item is NULL or no number, or
 * when its text has a fraction or an exponent or lies beyond 2^53. */
bool json_u64(const cJSON *item, uint64_t *out);
bool json_i64(const cJSON *item, int64_t *out);

/* ---- printing ---- */

/* The shortest text that reads back as the same float: "0.1", "1e-05". Whole numbers below 10^7
 * have plain digits; "null" when not finite. Returns buf. */
const char *json_float(char buf[32], float v);
/* The same for a double; plain digits below 10^15. */
const char *json_double(char buf[40], double v);

/* A writer of one object on one line; keys stand in the order of the calls. In arrays, `key` is
 * NULL. */
typedef struct {
    char *text;
    size_t len, cap;
    bool comma; /* a value stands before the next one */
} jsonw_t;

/* Starts an object; *w need not be initialized. */
void jsonw_begin(jsonw_t *w);
/* A key without its value. */
void jsonw_key(jsonw_t *w, const char *key);
/* A string, escaped; bytes that are not UTF-8 become \u00XX. A NULL value becomes null. */
void jsonw_str(jsonw_t *w, const char *key, const char *value);
/* The same for n bytes. */
void jsonw_bytes(jsonw_t *w, const char *key, const char *value, size_t n);
void jsonw_int(jsonw_t *w, const char *key, int64_t value);
/* As json_double and json_float print it. */
void jsonw_num(jsonw_t *w, const char *key, double value);
void jsonw_float(jsonw_t *w, const char *key, float value);
void jsonw_bool(jsonw_t *w, const char *key, bool value);
/* A value that is JSON already. */
void jsonw_raw(jsonw_t *w, const char *key, const char *json);
/* Opens an object or an array, by '{' or '['; closes it by '}' or ']'. */
void jsonw_open(jsonw_t *w, const char *key, char bracket);
void jsonw_close(jsonw_t *w, char bracket);
/* Ends the object. Returns the text, valid until jsonw_free. */
const char *jsonw_end(jsonw_t *w);
void jsonw_free(jsonw_t *w);

/* Canonical JSON, for hashes: keys sorted by bytes, no spaces, shortest numbers. malloc'ed. */
char *json_canonical(const cJSON *item);
/* The same for messages: "(none)" when item is NULL. malloc'ed. */
char *json_shown(const cJSON *item);

#endif
