/* json_write.c - printing JSON: shortest numbers, one-line objects with keys in call order, and the
 * canonical form for hashes.
 *
 * Promises the same bytes for the same values. Numbers follow the C locale, which cli_main sets.
 */
#include "common/io/text/json.h"

#include "common/io/utf8.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *json_float(char buf[32], float v) {
    if (!isfinite(v)) return strcpy(buf, "null");
    if (v == floorf(v) && fabsf(v) < 1e7f) {
        snprintf(buf, 32, "%.0f", (double)v);
        return buf;
    }
    /* Decimals of up to FLT_DIG digits survive a round trip, so a shorter text is that of FLT_DIG
     * digits without its zeros, which %g drops. Subnormals hold fewer digits: they start at 1. */
    for (int digits = fabsf(v) < FLT_MIN ? 1 : FLT_DIG; digits <= 9; digits++) {
        snprintf(buf, 32, "%.*g", digits, (double)v);
        if (strtof(buf, NULL) == v) break;
    }
    return buf;
}

const char *json_double(char buf[40], double v) {
    if (!isfinite(v)) return strcpy(buf, "null");
    if (v == floor(v) && fabs(v) < 1e15) {
        snprintf(buf, 40, "%.0f", v);
        return buf;
    }
    for (int digits = fabs(v) < DBL_MIN ? 1 : DBL_DIG; digits <= 17; digits++) {
        snprintf(buf, 40, "%.*g", digits, v);
        if (strtod(buf, NULL) == v) break;
    }
    return buf;
}

/* ---- writer ---- */

static void put(jsonw_t *w, const char *text, size_t n) {
    w->text = xgrow(w->text, &w->cap, w->len + n + 1, 1);
    memcpy(w->text + w->len, text, n);
    w->len += n;
    w->text[w->len] = 0;
}

static void put_text(jsonw_t *w, const char *text) {
    put(w, text, strlen(text));
}

static void put_string(jsonw_t *w, const char *s, size_t n) {
    static const char special[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    put(w, "\"", 1);
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)s[i];
        const char *found = c ? strchr(special, c) : NULL;
        size_t len = utf8_step((const uint8_t *)s + i, n - i);
        char buf[8];
        if (found) {
            buf[0] = '\\';
            buf[1] = letter[found - special];
            put(w, buf, 2);
        } else if (c < 0x20 || c == 0x7f || !len) {
            put(w, buf, (size_t)snprintf(buf, sizeof buf, "\\u%04x", c));
        } else {
            put(w, s + i, len);
        }
        i += len ? len : 1;
    }
    put(w, "\"", 1);
}

void jsonw_begin(jsonw_t *w) {
    *w = (jsonw_t){0};
    put(w, "{", 1);
}

void jsonw_key(jsonw_t *w, const char *key) {
    if (w->comma) put(w, ",", 1);
    w->comma = false;
    if (key) {
        put_string(w, key, strlen(key));
        put(w, ":", 1);
    }
}

void jsonw_raw(jsonw_t *w, const char *key, const char *json) {
    jsonw_key(w, key);
    put_text(w, json);
    w->comma = true;
}

void jsonw_bytes(jsonw_t *w, const char *key, const char *value, size_t n) {
    jsonw_key(w, key);
    put_string(w, value, n);
    w->comma = true;
}

void jsonw_str(jsonw_t *w, const char *key, const char *value) {
    if (value)
        jsonw_bytes(w, key, value, strlen(value));
    else
        jsonw_raw(w, key, "null");
}

void jsonw_int(jsonw_t *w, const char *key, int64_t value) {
    char buf[24];
    snprintf(buf, sizeof buf, "%lld", (long long)value);
    jsonw_raw(w, key, buf);
}

void jsonw_num(jsonw_t *w, const char *key, double value) {
    char buf[40];
    jsonw_raw(w, key, json_double(buf, value));
}

void jsonw_float(jsonw_t *w, const char *key, float value) {
    char buf[32];
    jsonw_raw(w, key, json_float(buf, value));
}

void jsonw_bool(jsonw_t *w, const char *key, bool value) {
    jsonw_raw(w, key, value ? "true" : "false");
}

void jsonw_open(jsonw_t *w, const char *key, char bracket) {
    jsonw_key(w, key);
    put(w, &bracket, 1);
}

void jsonw_close(jsonw_t *w, char bracket) {
    put(w, &bracket, 1);
    w->comma = true;
}

const char *jsonw_end(jsonw_t *w) {
    put(w, "}", 1);
    return w->text;
}

void jsonw_free(jsonw_t *w) {
    free(w->text);
    *w = (jsonw_t){0};
}

/* ---- canonical form ---- */

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

static void put_canonical(jsonw_t *w, const cJSON *item);

static void put_object(jsonw_t *w, const cJSON *item) {
    const cJSON **child = NULL;
    size_t n = 0, cap = 0;
    for (const cJSON *c = item->child; c; c = c->next) {
        child = xgrow(child, &cap, n + 1, sizeof *child);
        child[n++] = c;
    }
    if (n) qsort(child, n, sizeof *child, compare_names);
    put(w, "{", 1);
    for (size_t i = 0; i < n; i++) {
        if (i) put(w, ",", 1);
        put_string(w, child[i]->string, strlen(child[i]->string));
        put(w, ":", 1);
        put_canonical(w, child[i]);
    }
    put(w, "}", 1);
    free(child);
}

static void put_canonical(jsonw_t *w, const cJSON *item) {
    char buf[40];
    if (cJSON_IsObject(item)) {
        put_object(w, item);
    } else if (cJSON_IsArray(item)) {
        put(w, "[", 1);
        for (const cJSON *c = item->child; c; c = c->next) {
            put_canonical(w, c);
            if (c->next) put(w, ",", 1);
        }
        put(w, "]", 1);
    } else if (cJSON_IsString(item)) {
        put_string(w, item->valuestring, strlen(item->valuestring));
    } else if (cJSON_IsNumber(item)) {
        put_text(w, json_double(buf, item->valuedouble));
    } else if (cJSON_IsBool(item)) {
        put_text(w, cJSON_IsTrue(item) ? "true" : "false");
    } else if (cJSON_IsRaw(item)) {
        put_text(w, item->valuestring);
    } else {
        put_text(w, "null");
    }
}

char *json_canonical(const cJSON *item) {
    jsonw_t w = {0};
    put_canonical(&w, item);
    return w.text;
}

char *json_shown(const cJSON *item) {
    return item ? json_canonical(item) : xstrdup("(none)");
}
