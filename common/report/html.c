/* html.c - see html.h. */
#include "common/report/html.h"

#include "common/io/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(html_t *h, const char *p, size_t n) {
    h->text = xgrow(h->text, &h->cap, h->n + n + 1, 1);
    memcpy(h->text + h->n, p, n);
    h->n += n;
    h->text[h->n] = 0;
}

void html_put(html_t *h, const char *markup) {
    put(h, markup, strlen(markup));
}

void html_printf(html_t *h, const char *format, ...) {
    char buf[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(buf, sizeof buf, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof buf) BUG("markup of %d bytes", n);
    put(h, buf, (size_t)n);
}

void html_text(html_t *h, const char *s) {
    size_t n = strlen(s);
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)s[i];
        size_t len = utf8_step((const uint8_t *)s + i, n - i);
        /* U+0080..9F are control characters too */
        bool control =
            c < 0x20 || c == 0x7f || (len == 2 && c == 0xc2 && (unsigned char)s[i + 1] < 0xa0);
        if (c == '&') {
            html_put(h, "&amp;");
        } else if (c == '<') {
            html_put(h, "&lt;");
        } else if (c == '>') {
            html_put(h, "&gt;");
        } else if (c == '"') {
            html_put(h, "&quot;");
        } else if (c == '\'') {
            html_put(h, "&#39;");
        } else if (!len || control) {
            len = len ? len : 1;
            for (size_t k = 0; k < len; k++) html_printf(h, "\\x%02x", (unsigned char)s[i + k]);
        } else {
            put(h, s + i, len);
        }
        i += len ? len : 1;
    }
}

void html_base64(html_t *h, const uint8_t *p, size_t n) {
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16;
        if (i + 1 < n) v |= (uint32_t)p[i + 1] << 8;
        if (i + 2 < n) v |= p[i + 2];
        char c[4] = {digit[v >> 18], digit[v >> 12 & 63], i + 1 < n ? digit[v >> 6 & 63] : '=',
                     i + 2 < n ? digit[v & 63] : '='};
        put(h, c, 4);
    }
}

void html_image(html_t *h, const image_t *im, size_t zoom, const char *alt) {
    uint8_t *png;
    size_t n;
    reason_t why;
    if (image_encode_png(im, &png, &n, &why)) die(RC_RUNTIME, "%s", why.text);
    html_printf(h, "<img width=\"%zu\" height=\"%zu\" alt=\"", im->w * zoom, im->h * zoom);
    html_text(h, alt);
    html_put(h, "\" src=\"data:image/png;base64,");
    html_base64(h, png, n);
    html_put(h, "\">");
    free(png);
}
