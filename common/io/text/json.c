/* json.c - cJSON behind the checks that it leaves to its callers.
 *
 * Owns a scanner of strict JSON (RFC 8259) that runs over the raw text first: UTF-8, escapes,
 * number grammar and range, depth, duplicate keys, trailing bytes. What it accepts goes to cJSON.
 * The scanner also remembers which numbers were written as exact integers, since cJSON keeps only a
 * double. That fact travels in a bit of `type` that cJSON does not use.
 */
#include "common/io/text/json.h"

#include "common/io/fs.h"
#include "common/io/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_DEPTH = 64,
    MAX_NUMBER = 63, /* cJSON reads numbers through a buffer of 64 */
    /* In cJSON.type: the text had a fraction or an exponent, or lies beyond 2^53. */
    NOT_INTEGER = 1 << 16,
};
static const size_t MAX_FILE = (size_t)1 << 30;
#define EXACT 9007199254740992.0 /* 2^53 */

typedef struct {
    size_t text, len; /* the decoded key, in scan_t.keys */
    size_t at;        /* its opening quote in the source */
} jkey_t;

typedef struct {
    const char *text;
    size_t size, at;
    bool infinities;
    reason_t *why;
    int depth;
    char *out; /* the text for cJSON: the source, with infinities replaced */
    size_t out_len, out_cap;
    char *keys; /* decoded keys of the objects that are open now */
    size_t keys_len, keys_cap;
    jkey_t *key;
    size_t n_key, key_cap;
    uint8_t *number; /* per number, in order: is it an exact integer? */
    size_t n_number, number_cap;
    /* json_where: the positions of value number `wanted` */
    size_t n_value, wanted;
    size_t value_at, key_at, last_key;
} scan_t;

/* ---- positions and reasons ---- */

static void position(const char *text, size_t at, size_t *line, size_t *column) {
    *line = *column = 1;
    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)text[i] & 0xC0) != 0x80) { /* columns count characters */
            ++*column;
        }
    }
}

static int bad(const scan_t *s, size_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int bad(const scan_t *s, size_t at, const char *fmt, ...) {
    char text[256];
    size_t line, column;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    position(s->text, at, &line, &column);
    return reason_set(s->why, "%zu:%zu: %s", line, column, text);
}

/* What stands at the cursor, for a message. */
static const char *here(const scan_t *s, char buf[24]) {
    if (s->at >= s->size) return "end of text";
    unsigned char c = (unsigned char)s->text[s->at];
    if (c > 0x20 && c < 0x7f)
        snprintf(buf, 24, "'%c'", c);
    else
        snprintf(buf, 24, "byte 0x%02x", c);
    return buf;
}

static int bad_here(const scan_t *s, const char *what) {
    char buf[24];
    return bad(s, s->at, "expected %s, got %s", what, here(s, buf));
}

/* ---- scanner ---- */

static int peek(const scan_t *s) {
    return s->at < s->size ? (unsigned char)s->text[s->at] : -1;
}

/* Appends to the text for cJSON. */
static void emit(scan_t *s, const char *text, size_t n) {
    s->out = xgrow(s->out, &s->out_cap, s->out_len + n + 1, 1);
    memcpy(s->out + s->out_len, text, n);
    s->out_len += n;
}

/* Does the word stand at the cursor? */
static bool word(const scan_t *s, const char *w) {
    size_t n = strlen(w);
    return s->size - s->at >= n && memcmp(s->text + s->at, w, n) == 0;
}

static int skip_space(scan_t *s) {
    for (; s->at < s->size; s->at++) {
        int c = peek(s);
        if (c == '/' || c == '#') return bad(s, s->at, "comments are not JSON");
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') break;
    }
    return 0;
}

/* Appends decoded bytes of a key. */
static void keep_bytes(scan_t *s, const void *bytes, size_t n) {
    s->keys = xgrow(s->keys, &s->keys_cap, s->keys_len + n, 1);
    memcpy(s->keys + s->keys_len, bytes, n);
    s->keys_len += n;
}

/* A hex digit's value, or -1. */
static int hex_digit(int c) {
    int lower = c | 32;
    if (c >= '0' && c <= '9') return c - '0';
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The value of four hex digits at `at`, or -1. */
static int hex4(const scan_t *s, size_t at) {
    int u = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = at + i < s->size ? hex_digit((unsigned char)s->text[at + i]) : -1;
        if (digit < 0) return -1;
        u = u * 16 + digit;
    }
    return u;
}

/* An escape, the cursor on the backslash. */
static int scan_escape(scan_t *s, bool keep) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    size_t start = s->at++;
    int c = peek(s);
    const char *simple = c > 0 ? strchr(from, c) : NULL;
    s->at++;
    if (simple) {
        if (keep) keep_bytes(s, &to[simple - from], 1);
        return 0;
    }
    if (c != 'u') return bad(s, start, "unknown escape");
    int u = hex4(s, s->at);
    if (u < 0) return bad(s, start, "\\u needs four hex digits");
    s->at += 4;
    if (u == 0) return bad(s, start, "\\u0000 is not allowed");
    if (u >= 0xDC00 && u <= 0xDFFF) return bad(s, start, "lone surrogate");
    if (u >= 0xD800 && u <= 0xDBFF) {
        int low = word(s, "\\u") ? hex4(s, s->at + 2) : -1;
        if (low < 0xDC00 || low > 0xDFFF) return bad(s, start, "lone surrogate");
        s->at += 6;
        u = 0x10000 + ((u - 0xD800) << 10) + (low - 0xDC00);
    }
    uint8_t utf8[4];
    if (keep) keep_bytes(s, utf8, utf8_put(utf8, (uint32_t)u));
    return 0;
}

/* A string, the cursor on its quote. keep: append the decoded bytes to s->keys. */
static int scan_string(scan_t *s, bool keep) {
    size_t start = s->at++;
    for (;;) {
        int c = peek(s);
        if (c < 0) return bad(s, start, "string without end");
        if (c == '"') break;
        if (c < 0x20) return bad(s, s->at, "control character 0x%02x in a string", c);
        if (c == '\\') {
            if (scan_escape(s, keep)) return -1;
            continue;
        }
        size_t n = utf8_step((const uint8_t *)s->text + s->at, s->size - s->at);
        if (!n) return bad(s, s->at, "invalid UTF-8");
        if (keep) keep_bytes(s, s->text + s->at, n);
        s->at += n;
    }
    s->at++;
    emit(s, s->text + start, s->at - start);
    return 0;
}

static void add_number(scan_t *s, bool integer) {
    s->number = xgrow(s->number, &s->number_cap, s->n_number + 1, 1);
    s->number[s->n_number++] = integer;
}

/* Passes over digits and returns how many there were. */
static size_t scan_digits(scan_t *s) {
    size_t start = s->at;
    while (peek(s) >= '0' && peek(s) <= '9') s->at++;
    return s->at - start;
}

static int scan_number(scan_t *s) {
    size_t start = s->at, lead;
    bool integer = true;
    if (peek(s) == '-') s->at++;
    lead = s->at;
    if (!scan_digits(s)) return bad_here(s, "a digit");
    if (s->text[lead] == '0' && s->at > lead + 1)
        return bad(s, start, "number with a leading zero");
    if (peek(s) == '.') {
        integer = false;
        s->at++;
        if (!scan_digits(s)) return bad_here(s, "a digit after '.'");
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        integer = false;
        s->at++;
        if (peek(s) == '+' || peek(s) == '-') s->at++;
        if (!scan_digits(s)) return bad_here(s, "an exponent");
    }
    size_t n = s->at - start;
    char text[MAX_NUMBER + 1];
    if (n > MAX_NUMBER)
        return bad(s, start, "number of %zu characters (at most %d)", n, MAX_NUMBER);
    memcpy(text, s->text + start, n);
    text[n] = 0;
    if (!isfinite(strtod(text, NULL))) return bad(s, start, "number out of range");
    if (integer) {
        errno = 0;
        long long v = strtoll(text, NULL, 10);
        integer = errno == 0 && v <= (1ll << 53) && v >= -(1ll << 53);
    }
    add_number(s, integer);
    emit(s, s->text + start, n);
    return 0;
}

static int compare_keys(const void *pa, const void *pb, void *keys) {
    const jkey_t *a = pa, *b = pb;
    if (a->len != b->len) return a->len < b->len ? -1 : 1;
    int order = memcmp((char *)keys + a->text, (char *)keys + b->text, a->len);
    return order ? order : a->at < b->at ? -1 : 1;
}

/* Keys first..n_key belong to one object: the first repetition in the text is the one reported. */
static int check_keys(scan_t *s, size_t first) {
    const jkey_t *repeated = NULL;
    size_t n = s->n_key - first;
    if (n < 2) return 0;
    jkey_t *k = s->key + first;
    qsort_r(k, n, sizeof *k, compare_keys, s->keys);
    for (size_t i = 1; i < n; i++) {
        bool same = k[i].len == k[i - 1].len &&
                    memcmp(s->keys + k[i].text, s->keys + k[i - 1].text, k[i].len) == 0;
        if (same && (!repeated || k[i].at < repeated->at)) repeated = &k[i];
    }
    if (!repeated) return 0;
    return bad(s, repeated->at, "duplicate key '%.*s'",
               (int)(repeated->len < 100 ? repeated->len : 100), s->keys + repeated->text);
}

static int scan_value(scan_t *s);

static int scan_object(scan_t *s) {
    size_t first_key = s->n_key, keys_len = s->keys_len;
    s->at++;
    emit(s, "{", 1);
    for (bool any = false;; any = true) {
        if (skip_space(s)) return -1;
        if (peek(s) == '}') break;
        if (any) {
            if (peek(s) != ',') return bad_here(s, "',' or '}'");
            size_t comma = s->at++;
            if (skip_space(s)) return -1;
            if (peek(s) == '}') return bad(s, comma, "trailing comma");
            emit(s, ",", 1);
        }
        if (peek(s) != '"') return bad_here(s, "a key in double quotes");
        jkey_t key = {.text = s->keys_len, .at = s->at};
        keep_bytes(s, "", 0); /* an empty key is a key, too: s->keys is never NULL */
        if (scan_string(s, true)) return -1;
        key.len = s->keys_len - key.text;
        s->key = xgrow(s->key, &s->key_cap, s->n_key + 1, sizeof *s->key);
        s->key[s->n_key++] = key;
        if (skip_space(s)) return -1;
        if (peek(s) != ':') return bad_here(s, "':'");
        s->at++;
        emit(s, ":", 1);
        s->last_key = key.at;
        if (scan_value(s)) return -1;
    }
    s->at++;
    emit(s, "}", 1);
    if (check_keys(s, first_key)) return -1;
    s->n_key = first_key;
    s->keys_len = keys_len;
    return 0;
}

static int scan_array(scan_t *s) {
    s->at++;
    emit(s, "[", 1);
    for (bool any = false;; any = true) {
        if (skip_space(s)) return -1;
        if (peek(s) == ']') break;
        if (any) {
            if (peek(s) != ',') return bad_here(s, "',' or ']'");
            size_t comma = s->at++;
            if (skip_space(s)) return -1;
            if (peek(s) == ']') return bad(s, comma, "trailing comma");
            emit(s, ",", 1);
        }
        s->last_key = s->at;
        if (scan_value(s)) return -1;
    }
    s->at++;
    emit(s, "]", 1);
    return 0;
}

/* Passes over the word, which stands at the cursor, and gives cJSON the replacement. */
static int scan_word(scan_t *s, const char *w, const char *replacement) {
    s->at += strlen(w);
    emit(s, replacement, strlen(replacement));
    return 0;
}

static int scan_infinity(scan_t *s) {
    bool minus = peek(s) == '-';
    if (word(s, "NaN"))
        return s->infinities ? scan_word(s, "NaN", "null") : bad(s, s->at, "NaN is not JSON");
    if (!s->infinities) return bad(s, s->at, "Infinity is not JSON");
    add_number(s, false);
    return minus ? scan_word(s, "-Infinity", "-1e308") : scan_word(s, "Infinity", "1e308");
}

static int scan_value(scan_t *s) {
    size_t key_at = s->last_key;
    if (skip_space(s)) return -1;
    if (s->n_value++ == s->wanted) {
        s->value_at = s->at;
        s->key_at = key_at;
    }
    int c = peek(s), rc;
    if (c == '{' || c == '[') {
        if (++s->depth > MAX_DEPTH) return bad(s, s->at, "nested deeper than %d", MAX_DEPTH);
        rc = c == '{' ? scan_object(s) : scan_array(s);
        s->depth--;
        return rc;
    }
    if (c == '"') return scan_string(s, false);
    if (word(s, "NaN") || word(s, "Infinity") || word(s, "-Infinity")) return scan_infinity(s);
    if (c == '-' || (c >= '0' && c <= '9')) return scan_number(s);
    if (word(s, "true")) return scan_word(s, "true", "true");
    if (word(s, "false")) return scan_word(s, "false", "false");
    if (word(s, "null")) return scan_word(s, "null", "null");
    return bad_here(s, "a value");
}

static int scan_text(scan_t *s) {
    if (s->size >= 3 && memcmp(s->text, "\xEF\xBB\xBF", 3) == 0)
        return bad(s, 0, "byte order mark");
    if (scan_value(s) || skip_space(s)) return -1;
    if (s->at < s->size) return bad_here(s, "the end");
    emit(s, "", 0);
    s->out[s->out_len] = 0;
    return 0;
}

static void scan_release(scan_t *s) {
    free(s->out);
    free(s->keys);
    free(s->key);
    free(s->number);
}

/* Marks the numbers that are no exact integers: the tree has them in the order of the text. */
static void mark_numbers(cJSON *item, const uint8_t **number) {
    for (; item; item = item->next) {
        if (cJSON_IsNumber(item) && !*(*number)++) item->type |= NOT_INTEGER;
        mark_numbers(item->child, number);
    }
}

cJSON *json_parse(const char *text, size_t size, bool infinities, reason_t *why) {
    scan_t s = {
        .text = text, .size = size, .infinities = infinities, .why = why, .wanted = SIZE_MAX};
    cJSON *root = NULL;
    if (scan_text(&s) == 0) {
        root = cJSON_ParseWithLengthOpts(s.out, s.out_len + 1, NULL, true);
        const uint8_t *number = s.number;
        if (root)
            mark_numbers(root, &number);
        else
            reason_set(why, "1:1: not read by cJSON");
    }
    scan_release(&s);
    return root;
}

cJSON *json_parse_data(const char *text, size_t size, reason_t *why) {
    bool marked = size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0;
    return marked ? json_parse(text + 3, size - 3, true, why) : json_parse(text, size, true, why);
}

cJSON *json_parse_file(const char *path, bool infinities, reason_t *why) {
    uint8_t *data;
    size_t size;
    if (fs_read(path, MAX_FILE, &data, &size, why)) return NULL;
    reason_t inner;
    cJSON *root = json_parse((char *)data, size, infinities, &inner);
    free(data);
    if (!root) reason_set(why, "%s:%s", path, inner.text);
    return root;
}

/* Counts the values before `item` in the order of the text; true when found. */
static bool count_values(const cJSON *at, const cJSON *item, size_t *n) {
    for (; at; at = at->next) {
        if (at == item) return true;
        ++*n;
        if (count_values(at->child, item, n)) return true;
    }
    return false;
}

void json_where(const char *text, size_t size, const cJSON *root, const cJSON *item, bool key,
                size_t *line, size_t *column) {
    size_t n = 0;
    *line = *column = 1;
    if (!count_values(root, item, &n)) return;
    scan_t s = {.text = text, .size = size, .wanted = n};
    if (scan_text(&s) == 0) position(text, key ? s.key_at : s.value_at, line, column);
    scan_release(&s);
}

/* ---- exact integers ---- */

static bool exact(const cJSON *item) {
    return cJSON_IsNumber(item) && !(item->type & NOT_INTEGER) &&
           floor(item->valuedouble) == item->valuedouble && fabs(item->valuedouble) <= EXACT;
}

bool json_u64(const cJSON *item, uint64_t *out) {
    if (!exact(item) || signbit(item->valuedouble)) return false;
    *out = (uint64_t)item->valuedouble;
    return true;
}

bool json_i64(const cJSON *item, int64_t *out) {
    if (!exact(item)) return false;
    *out = (int64_t)item->valuedouble;
    return true;
}
