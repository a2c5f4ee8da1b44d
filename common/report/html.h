/* html.h - an HTML page that grows: everything foreign is escaped, images are data: URIs, curves
 * are SVG.
 *
 * The same calls give the same bytes; no script, nothing outside the page.
 */
#ifndef REPORT_HTML_H
#define REPORT_HTML_H

#include "common/io/image/image.h"

/* {0} is empty. The owner frees text, which ends in 0 behind its n bytes. */
typedef struct {
    char *text;
    size_t n, cap;
} html_t;

/* Appends markup of our own as it is. */
void html_put(html_t *h, const char *markup);
/* The same with numbers, or with strings that are escaped already; at most 1023 bytes. */
void html_printf(html_t *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends any bytes as text, safe inside quoted attributes too: & < > " ' escaped, control
 * characters and malformed UTF-8 shown as \xNN. */
void html_text(html_t *h, const char *s);
/* Appends an <img> of a PNG data: URI, shown `zoom` times as large. `alt` is any text. */
void html_image(html_t *h, const image_t *im, size_t zoom, const char *alt);
/* Appends n bytes as Base64 (RFC 4648). */
void html_base64(html_t *h, const uint8_t *p, size_t n);

/* ---- curves (chart.c) ---- */
typedef struct {
    const char *name; /* markup of our own; NULL: none */
    const double *y;  /* [n], NAN where there is none */
} series_t;
enum { CHART_SERIES = 3 };
typedef struct {
    /* "PSNR, dB", and "%.2f" for the last value beside it; NULL: no value. */
    const char *title, *format;
    /* [n], ascending. */
    const double *x;
    size_t n;
    series_t series[CHART_SERIES];
    size_t n_series;
    /* Filled down to 0. */
    bool area;
    /* A dashed line at this x, and its name; NAN = none. */
    double mark;
    const char *mark_name;
} chart_t;
/* Appends a <figure> with an inline SVG: axes with round ticks, logarithmic when positive values
 * span a factor over 100; a series of few points shows each of them. Nothing when no series has a
 * value. */
void html_chart(html_t *h, const chart_t *c);
/* Appends n charts side by side as one SVG file that needs no page: its colors, titles and the
 * names of series, which stand at most CHART_SERIES in a line, are its own. False, and nothing,
 * when none has a value. */
bool html_chart_file(html_t *h, const chart_t *c, size_t n);

#endif
