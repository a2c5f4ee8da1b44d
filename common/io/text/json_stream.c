/* json_stream.c - see json_stream.h. */
#include "common/io/text/json_stream.h"

#include <stdlib.h>
#include <string.h>

enum { AT_START, IN_VALUES, IN_ARRAY, IN_OBJECT, IN_MEMBER, AT_END };

/* ---- bytes ---- */

static int peek(json_stream_t *s) {
    if (s->at == s->n) {
        s->before += s->n;
        s->at = 0;
        s->n = s->more(s->ctx, &s->bytes);
    }
    return s->n ? (unsigned char)s->bytes[s->at] : -1;
}

static int skip_space(json_stream_t *s) {
    int c = peek(s);
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        s->at++;
        c = peek(s);
    }
    return c;
}

static int bad(const json_stream_t *s, reason_t *why, const char *what) {
    return reason_set(why, "byte %llu: %s", (unsigned long long)(s->before + s->at), what);
}

/* Where the bytes go that are read. */
typedef struct {
    char **text;
    size_t *size, *cap;
} sink_t;

/* Takes the byte at the cursor; `to` may be NULL, then the byte is passed over. */
static int take(json_stream_t *s, const sink_t *to, reason_t *why) {
    char c = s->bytes[s->at++];
    if (!to) return 0;
    if (*to->size == JSON_ELEMENT_MAX) return bad(s, why, "an element of more than 64 MB");
    *to->text = xgrow(*to->text, to->cap, *to->size + 2, 1);
    (*to->text)[(*to->size)++] = c;
    (*to->text)[*to->size] = 0;
    return 0;
}

/* ---- values ---- */

static int take_string(json_stream_t *s, const sink_t *to, reason_t *why) {
    bool escaped = false;
    if (take(s, to, why)) return -1; /* its quote */
    for (int c = peek(s); c >= 0; c = peek(s)) {
        if (take(s, to, why)) return -1;
        if (c == '"' && !escaped) return 0;
        escaped = c == '\\' && !escaped;
    }
    return bad(s, why, "the end is inside a string: the file is cut short");
}

static int take_nested(json_stream_t *s, const sink_t *to, reason_t *why) {
    uint64_t depth = 0;
    for (int c = peek(s); c >= 0; c = peek(s)) {
        if (c == '"') {
            if (take_string(s, to, why)) return -1;
            continue;
        }
        if (take(s, to, why)) return -1;
        if (c == '{' || c == '[') depth++;
        if (c == '}' || c == ']') depth--;
        if (!depth) return 0;
    }
    return bad(s, why, "the end is inside brackets: the file is cut short");
}

/* A number, true, false, null or NaN: everything up to a byte that ends a word. */
static int take_word(json_stream_t *s, const sink_t *to, reason_t *why) {
    bool any_byte = false;
    for (int c = peek(s); c > ' ' && !strchr(",:[]{}\"", c); c = peek(s)) {
        if (take(s, to, why)) return -1;
        any_byte = true;
    }
    return any_byte ? 0 : bad(s, why, "a value is missing");
}

static int take_value(json_stream_t *s, const sink_t *to, reason_t *why) {
    int c = skip_space(s);
    if (c == '"') return take_string(s, to, why);
    if (c == '{' || c == '[') return take_nested(s, to, why);
    return take_word(s, to, why);
}

static int take_element(json_stream_t *s, reason_t *why) {
    sink_t to = {&s->text, &s->size, &s->cap};
    s->size = 0;
    s->any = true;
    return take_value(s, &to, why) ? -1 : 1;
}

/* ---- places ---- */

bool json_stream_closed(const json_stream_t *s) {
    return s->place == AT_END;
}

/* Moves to the next element of an array: 1; or behind the last one: 0. -1 with a reason. */
static int to_element(json_stream_t *s, reason_t *why) {
    int c = skip_space(s);
    if (c == ']') {
        s->at++;
        return 0;
    }
    if (!s->any) return 1;
    if (c < 0) return bad(s, why, "the end is inside an array: the file is cut short");
    if (c != ',') return bad(s, why, "',' or ']' is missing");
    s->at++;
    return 1;
}

/* Takes the name of the object's next member and moves to its value: 1; or behind the last one: 0.
 * -1 with a reason. */
static int to_member(json_stream_t *s, reason_t *why) {
    size_t size = 0;
    sink_t to = {&s->member, &size, &s->member_cap};
    int c = skip_space(s);
    if (c == '}') {
        s->at++;
        return 0;
    }
    if (s->field) {
        if (c < 0) return bad(s, why, "the end is inside an object: the file is cut short");
        if (c != ',') return bad(s, why, "',' or '}' is missing");
        s->at++;
        c = skip_space(s);
    }
    if (c != '"') return bad(s, why, "a key in double quotes is missing");
    if (take_string(s, &to, why)) return -1;
    memmove(s->member, s->member + 1, size - 2);
    s->member[size - 2] = 0;
    s->field = true;
    if (skip_space(s) != ':') return bad(s, why, "':' is missing");
    s->at++;
    return 1;
}

static int next_of_object(json_stream_t *s, reason_t *why) {
    for (;;) {
        if (s->place == IN_MEMBER) {
            int rc = to_element(s, why);
            if (rc) return rc < 0 ? -1 : take_element(s, why);
            s->place = IN_OBJECT;
        }
        int rc = to_member(s, why);
        if (rc < 0) return -1;
        if (rc == 0) {
            s->place = AT_END;
            return skip_space(s) < 0 ? 0 : bad(s, why, "something follows the object");
        }
        if (skip_space(s) == '[') {
            s->at++;
            s->any = false;
            s->place = IN_MEMBER;
        } else if (take_value(s, NULL, why)) {
            return -1;
        }
    }
}

int json_stream_next(json_stream_t *s, reason_t *why) {
    if (s->place == AT_START) {
        int c = skip_space(s);
        s->place = s->members ? IN_OBJECT : c == '[' ? IN_ARRAY : IN_VALUES;
        if (s->members && c != '{') return bad(s, why, "no object");
        if (s->place != IN_VALUES) s->at++;
    }
    if (s->place == IN_OBJECT || s->place == IN_MEMBER) return next_of_object(s, why);
    if (s->place == IN_VALUES) return skip_space(s) < 0 ? 0 : take_element(s, why);
    if (s->place == AT_END) return 0;
    int rc = to_element(s, why);
    if (rc) return rc < 0 ? -1 : take_element(s, why);
    s->place = AT_END;
    if (skip_space(s) >= 0) return bad(s, why, "something follows the array");
    return 0;
}

void json_stream_release(json_stream_t *s) {
    free(s->text);
    free(s->member);
    *s = (json_stream_t){.more = s->more, .ctx = s->ctx, .members = s->members};
}
