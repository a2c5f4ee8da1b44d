/* html.h - text of an HTML page that grows, with everything foreign escaped, images as data: URIs
 * and curves as SVG.
 *
 * The same calls give the same bytes; no script, nothing outside the page.
 */
#ifndef VQVAE_HTML_H
#define VQVAE_HTML_H

#include "common/io/image/image.h"

typedef struct {
    char *text;
    size_t n, cap;
} html_t; /* {0} is empty; free(text) */

/* Markup of our own; html_printf's arguments must be numbers or escaped already. */
void html_put(html_t *h, const char *markup);
void html_printf(html_t *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Any bytes as text, good inside quoted attributes too: & < > " ' escaped, control characters and
 * malformed UTF-8 shown as \xNN. */
void html_text(html_t *h, const char *s);
/* <img> of a PNG data: URI, shown `zoom` times as large. */
void html_image(html_t *h, const image_t *im, size_t zoom, const char *alt);
/* Base64 (RFC 4648) of n bytes. */
void html_base64(html_t *h, const uint8_t *p, size_t n);

/* ---- curves (chart.c) ---- */
typedef struct {
    const char *name; /* of our own */
    const double *y;  /* [n], NAN where there is none */
} series_t;
enum { CHART_SERIES = 3 };
typedef struct {
    const char *title, *format; /* "PSNR, dB", "%.2f" for the last value */
    const double *x;            /* [n], ascending */
    size_t n;
    series_t series[CHART_SERIES];
    size_t n_series;
    bool area;   /* filled down to 0 */
    double mark; /* a dashed line at this x; NAN = none */
    const char *mark_name;
} chart_t;
/* A <figure> with an inline SVG: axes with round ticks, logarithmic when positive values span a
 * factor over 100; a series alone in a few points keeps its points. Nothing when no series has a
 * value. */
void html_chart(html_t *h, const chart_t *c);

#endif
