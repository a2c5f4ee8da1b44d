/* safetensors_header.c - see safetensors_header.h. The first half trusts nothing; the second relies
 * on the first.
 */
#include "common/io/safetensors/safetensors_header.h"

#include "common/io/utf8.h"

#include <string.h>

typedef struct {
    const uint8_t *text;
    size_t n, at;
    unsigned depth;
    size_t keys; /* of the outermost object */
    reason_t *why;
} check_t;

static int fault(check_t *s, const char *what) {
    return reason_set(s->why, "byte %zu of the header: %s", s->at, what);
}

static int peek(const check_t *s) {
    return s->at < s->n ? s->text[s->at] : -1;
}

static bool is_space(int c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

static void check_spaces(check_t *s) {
    while (is_space(peek(s))) s->at++;
}

/* A hex digit's value, or -1. */
static int hex_digit(int c) {
    int lower = c | 0x20;
    if (is_digit(c)) return c - '0';
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The value of four hex digits, or -1. */
static int hex4(const uint8_t *p) {
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0) return -1;
        v = v * 16 + digit;
    }
    return v;
}

/* The two halves of a UTF-16 surrogate pair. */
static bool is_high(int c) {
    return c >= 0xD800 && c < 0xDC00;
}
static bool is_low(int c) {
    return c >= 0xDC00 && c < 0xE000;
}

/* After "\u". */
static int check_unicode(check_t *s) {
    int c = s->n - s->at >= 4 ? hex4(s->text + s->at) : -1;
    if (c < 0) return fault(s, "bad \\u escape");
    if (c == 0) return fault(s, "\\u0000 in a string");
    if (is_low(c)) return fault(s, "lone surrogate");
    s->at += 4;
    if (!is_high(c)) return 0;
    const uint8_t *p = s->text + s->at;
    if (s->n - s->at < 6 || p[0] != '\\' || p[1] != 'u' || !is_low(hex4(p + 2)))
        return fault(s, "lone surrogate");
    s->at += 6;
    return 0;
}

static int check_string(check_t *s) {
    if (peek(s) != '"') return fault(s, "expected a string");
    s->at++;
    for (;;) {
        int c = peek(s);
        if (c < 0) return fault(s, "string without an end");
        if (c < 0x20) return fault(s, "control character in a string");
        s->at++;
        if (c == '"') return 0;
        if (c != '\\') continue;
        c = peek(s);
        if (c <= 0 || !strchr("\"\\/bfnrtu", c)) return fault(s, "bad escape");
        s->at++;
        if (c == 'u' && check_unicode(s)) return -1;
    }
}

static int check_digits(check_t *s) {
    if (!is_digit(peek(s))) return fault(s, "bad number");
    while (is_digit(peek(s))) s->at++;
    return 0;
}

static int check_number(check_t *s) {
    if (peek(s) == '-') s->at++;
    bool zero = peek(s) == '0';
    size_t start = s->at;
    if (check_digits(s)) return -1;
    if (zero && s->at - start > 1) return fault(s, "number with a leading zero");
    if (peek(s) == '.') {
        s->at++;
        if (check_digits(s)) return -1;
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-') s->at++;
        if (check_digits(s)) return -1;
    }
    return 0;
}

static int check_word(check_t *s, const char *word) {
    size_t n = strlen(word);
    if (s->n - s->at < n || memcmp(s->text + s->at, word, n) != 0)
        return fault(s, "not a JSON value");
    s->at += n;
    return 0;
}

static int check_value(check_t *s);

static int check_member(check_t *s) {
    if (check_string(s)) return -1;
    if (s->depth == 1) s->keys++;
    check_spaces(s);
    if (peek(s) != ':') return fault(s, "expected ':'");
    s->at++;
    check_spaces(s);
    return check_value(s);
}

/* An object or an array, from its opening bracket on. */
static int check_group(check_t *s, char close) {
    if (++s->depth > ST_DEPTH) return fault(s, "nested too deeply");
    s->at++;
    check_spaces(s);
    if (peek(s) != close) {
        for (;;) {
            if (close == '}' ? check_member(s) : check_value(s)) return -1;
            check_spaces(s);
            if (peek(s) != ',') break;
            s->at++;
            check_spaces(s);
        }
    }
    if (peek(s) != close)
        return fault(s, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
    s->at++;
    s->depth--;
    return 0;
}

static int check_value(check_t *s) {
    switch (peek(s)) {
    case '{':
        return check_group(s, '}');
    case '[':
        return check_group(s, ']');
    case '"':
        return check_string(s);
    case 't':
        return check_word(s, "true");
    case 'f':
        return check_word(s, "false");
    case 'n':
        return check_word(s, "null");
    default:
        return check_number(s);
    }
}

int st_json_check(const uint8_t *text, size_t n, size_t *keys, reason_t *why) {
    check_t s = {.text = text, .n = n, .why = why};
    if (peek(&s) != '{') return fault(&s, "expected '{'");
    if (check_value(&s)) return -1;
    while (peek(&s) == ' ') s.at++;
    if (s.at != n) return fault(&s, "something follows the object");
    *keys = s.keys;
    return 0;
}

static uint8_t *past_spaces(uint8_t *p) {
    while (is_space(*p)) p++;
    return p;
}

bool st_take(st_cursor_t *c, char punctuation) {
    uint8_t *p = past_spaces(c->p);
    if (*p != (uint8_t)punctuation) return false;
    c->p = p + 1;
    return true;
}

/* Reads "uXXXX" (and the low half of a pair) at *from, which moves behind it, and writes UTF-8,
 * which is never longer than the escape. Returns its bytes. */
static size_t unescape_unicode(uint8_t **from, uint8_t *to) {
    uint32_t c = (uint32_t)hex4(*from + 1);
    *from += 5;
    if (is_high((int)c)) {
        c = 0x10000 + ((c - 0xD800) << 10) + ((uint32_t)hex4(*from + 2) - 0xDC00);
        *from += 6;
    }
    uint8_t bytes[4];
    size_t n = utf8_put(bytes, c);
    memcpy(to, bytes, n);
    return n;
}

bool st_take_string(st_cursor_t *c, char **text, size_t *size) {
    uint8_t *from = past_spaces(c->p), *to;
    if (*from != '"') return false;
    to = ++from;
    *text = (char *)to;
    while (*from != '"') {
        if (*from != '\\') {
            *to++ = *from++;
            continue;
        }
        from++;
        if (*from == 'u') {
            to += unescape_unicode(&from, to);
            continue;
        }
        static const char code[] = "bfnrt", meaning[] = "\b\f\n\r\t";
        const char *at = strchr(code, *from);
        *to++ = at ? (uint8_t)meaning[at - code] : *from;
        from++;
    }
    *size = (size_t)(to - (uint8_t *)*text);
    *to = 0;
    c->p = from + 1;
    return true;
}

bool st_take_u64(st_cursor_t *c, uint64_t *value) {
    uint8_t *p = past_spaces(c->p);
    uint64_t v = 0;
    if (!is_digit(*p)) return false;
    for (; is_digit(*p); p++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
            return false;
    if (*p == '.' || *p == 'e' || *p == 'E') return false;
    c->p = p;
    *value = v;
    return true;
}

void st_skip(st_cursor_t *c) {
    /* The text is known to be well formed, so counting brackets outside strings is enough. */
    int depth = 0;
    do {
        c->p = past_spaces(c->p);
        int ch = *c->p;
        if (ch == '"') {
            for (c->p++; *c->p != '"'; c->p++)
                if (*c->p == '\\') c->p++;
        } else if (ch == '{' || ch == '[') {
            depth++;
        } else if (ch == '}' || ch == ']') {
            depth--;
        } else if (ch != ',' && ch != ':') {
            while (!strchr(",:]}\" \t\n\r", c->p[1])) c->p++;
        }
        c->p++;
    } while (depth > 0);
}
