/* chart.c - html_chart: curves over steps as inline SVG, colors left to the page's style sheet. */
#include "common/base/sizes.h"
#include "common/report/html.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The drawing's units; the page scales it. */
enum {
    WIDTH = 360,
    HEIGHT = 190,
    LEFT = 46,
    RIGHT = 12,
    TOP = 8,
    BOTTOM = 22,
    MOST = 300, /* points per series */
    DOTS = 12   /* a series of so few points shows each */
};

typedef struct {
    double low, high;
    bool log;
} axis_t;

static double place(const axis_t *a, double v) {
    double u = a->log ? (log10(v) - log10(a->low)) / (log10(a->high) - log10(a->low))
                      : (v - a->low) / (a->high - a->low);
    return fmin(1, fmax(0, u));
}
static double at_x(const axis_t *a, double v) {
    return LEFT + place(a, v) * (WIDTH - LEFT - RIGHT);
}
static double at_y(const axis_t *a, double v) {
    return HEIGHT - BOTTOM - place(a, v) * (HEIGHT - TOP - BOTTOM);
}

/* 1, 2 or 5 times a power of ten: about `want` of them in the range. */
static double round_step(double range, int want) {
    double raw = range / want, power = pow(10, floor(log10(raw))), m = raw / power;
    if (m < 1.5) return power;
    if (m < 3.5) return power * 2;
    return power * (m < 7.5 ? 5 : 10);
}

static void widen(axis_t *a, const double *v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(v[i])) continue;
        a->low = fmin(a->low, v[i]);
        a->high = fmax(a->high, v[i]);
    }
}

static axis_t y_axis(const chart_t *c) {
    axis_t a = {INFINITY, -INFINITY, false};
    for (size_t s = 0; s < c->n_series; s++) widen(&a, c->series[s].y, c->n);
    if (c->area) a.low = 0;
    if (!(a.low <= a.high)) return a;
    a.log = !c->area && a.low > 0 && a.high / a.low > 100;
    if (a.log) {
        a.low = pow(10, floor(log10(a.low) + 1e-9));
        a.high = pow(10, ceil(log10(a.high) - 1e-9));
    } else {
        if (a.low == a.high) {
            double room = a.low == 0 ? 1 : fabs(a.low) * 0.1;
            a.low -= a.low == 0 ? 0 : room;
            a.high += room;
        }
        double step = round_step(a.high - a.low, 4);
        a.low = floor(a.low / step + 1e-9) * step;
        a.high = ceil(a.high / step - 1e-9) * step;
    }
    return a;
}

/* 1500 -> "1.5k", shortest digits. */
static const char *tick_text(char buf[32], double v) {
    if (fabs(v) >= 1e6)
        snprintf(buf, 32, "%.4gM", v / 1e6);
    else if (fabs(v) >= 1e4)
        snprintf(buf, 32, "%.4gk", v / 1e3);
    else
        snprintf(buf, 32, "%.4g", v);
    return buf;
}

static void y_tick(html_t *h, const axis_t *a, double v) {
    char buf[32];
    double y = at_y(a, v);
    html_printf(h, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
                WIDTH - RIGHT, y, y);
    html_printf(h, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>", LEFT - 5, y + 3.5,
                tick_text(buf, v));
}

static void axes(html_t *h, const axis_t *x, const axis_t *y) {
    char buf[32];
    if (y->log) {
        double decades = log10(y->high / y->low), step = decades > 5 ? ceil(decades / 5) : 1;
        for (double e = 0; e <= decades + 0.01; e += step) y_tick(h, y, y->low * pow(10, e));
    } else {
        double step = round_step(y->high - y->low, 4);
        for (int i = 0; y->low + i * step <= y->high + step / 100; i++) {
            double v = y->low + i * step;
            y_tick(h, y, fabs(v) < step / 100 ? 0 : v);
        }
    }
    double step = fmax(1, round_step(x->high - x->low, 5));
    for (double v = ceil(x->low / step) * step; v <= x->high + step / 100; v += step) {
        double at = at_x(x, v);
        const char *anchor = at > WIDTH - RIGHT - 14 ? "end" : "middle";
        html_printf(h, "<line class=\"tick\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", at, at,
                    HEIGHT - BOTTOM, HEIGHT - BOTTOM + 3);
        html_printf(h, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%s</text>",
                    strcmp(anchor, "end") ? at : WIDTH - 1.0, HEIGHT - 7, anchor,
                    tick_text(buf, v));
    }
    html_printf(h, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>", LEFT,
                WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM);
}

/* The values of a series, or means of neighbours where they are more than MOST, in px and py.
 * Returns how many. */
static size_t thin(const chart_t *c, const double *y, double *px, double *py) {
    size_t n = 0, have = 0, seen = 0, k = 0;
    for (size_t i = 0; i < c->n; i++) have += isfinite(y[i]);
    size_t group = ceil_div(have, MOST);
    double sx = 0, sy = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (!isfinite(y[i])) continue;
        sx += c->x[i];
        sy += y[i];
        k++;
        seen++;
        if (seen < have && k < group) continue;
        px[n] = sx / (double)k;
        py[n] = sy / (double)k;
        n++;
        sx = 0;
        sy = 0;
        k = 0;
    }
    return n;
}

static void draw(html_t *h, const chart_t *c, size_t s, const axis_t *x, const axis_t *y) {
    double *px = xmalloc(c->n * sizeof *px), *py = xmalloc(c->n * sizeof *py);
    size_t n = thin(c, c->series[s].y, px, py);
    if (c->area && n) {
        html_printf(h, "<polygon class=\"f%zu\" points=\"%.1f,%.1f", s, at_x(x, px[0]), at_y(y, 0));
        for (size_t i = 0; i < n; i++) html_printf(h, " %.1f,%.1f", at_x(x, px[i]), at_y(y, py[i]));
        html_printf(h, " %.1f,%.1f\"/>", at_x(x, px[n - 1]), at_y(y, 0));
    }
    if (n > 1) {
        html_printf(h, "<polyline class=\"s%zu\" points=\"", s);
        for (size_t i = 0; i < n; i++)
            html_printf(h, "%s%.1f,%.1f", i ? " " : "", at_x(x, px[i]), at_y(y, py[i]));
        html_put(h, "\"/>");
    }
    if (n <= DOTS)
        for (size_t i = 0; i < n; i++)
            html_printf(h, "<circle class=\"p%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"/>", s,
                        at_x(x, px[i]), at_y(y, py[i]));
    free(px);
    free(py);
}

static void caption(html_t *h, const chart_t *c) {
    html_printf(h, "<figcaption><b>%s</b>", c->title);
    for (size_t s = 0; s < c->n_series; s++) {
        const double *y = c->series[s].y;
        size_t last = c->n;
        while (last && !isfinite(y[last - 1])) last--;
        if (!last || (!c->series[s].name && !c->format)) continue;
        html_printf(h, " <span class=\"key k%zu\">", s);
        if (c->series[s].name) html_printf(h, "%s ", c->series[s].name);
        if (c->format) html_printf(h, c->format, y[last - 1]);
        html_put(h, "</span>");
    }
    html_put(h, "</figcaption>");
}

/* The axes that hold all values; false: there are none. */
static bool axes_of(const chart_t *c, axis_t *x, axis_t *y) {
    *x = (axis_t){INFINITY, -INFINITY, false};
    *y = y_axis(c);
    widen(x, c->x, c->n);
    if (!(y->low <= y->high) || !(x->low <= x->high)) return false;
    if (x->low == x->high) {
        x->low -= 1;
        x->high += 1;
    }
    return true;
}

static void drawing(html_t *h, const chart_t *c, const axis_t *x, const axis_t *y) {
    axes(h, x, y);
    if (c->mark > x->low && c->mark < x->high) {
        double at = at_x(x, c->mark);
        html_printf(h,
                    "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" "
                    "y2=\"%d\"><title>%s</title></line>",
                    at, at, TOP, HEIGHT - BOTTOM, c->mark_name);
    }
    for (size_t s = 0; s < c->n_series; s++) draw(h, c, s, x, y);
}

void html_chart(html_t *h, const chart_t *c) {
    axis_t x, y;
    if (!axes_of(c, &x, &y)) return;
    html_put(h, "<figure class=\"chart\">");
    caption(h, c);
    html_printf(h, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">", WIDTH, HEIGHT,
                c->title);
    drawing(h, c, &x, &y);
    html_put(h, "</svg></figure>\n");
}

/* ---- a file of its own ---- */

enum { HEAD = 36 /* above the drawing: the title, and the names of the series */ };

/* Readable on light and on dark pages. */
static const char FILE_STYLE[] =
    "<style>text{font:11px sans-serif;fill:#7a838c}.title{font-weight:bold;font-size:13px}"
    ".grid{stroke:#7a838c;stroke-opacity:.3}.tick,.axis,.mark{stroke:#7a838c}"
    ".mark{stroke-dasharray:3 3}polyline{fill:none;stroke-width:2}polygon{fill-opacity:.2}"
    ".s0{stroke:#2f81d6}.p0,.f0,.k0{fill:#2f81d6}.s1{stroke:#d9691e}.p1,.f1,.k1{fill:#d9691e}"
    ".s2{stroke:#2e9a4b}.p2,.f2,.k2{fill:#2e9a4b}</style>\n";

static void panel(html_t *h, const chart_t *c, size_t number) {
    axis_t x, y;
    if (!axes_of(c, &x, &y)) return;
    html_printf(h, "<g transform=\"translate(%zu,0)\">", number * WIDTH);
    html_printf(h, "<text class=\"title\" x=\"%d\" y=\"14\">%s</text>", LEFT, c->title);
    for (size_t s = 0; s < c->n_series; s++) {
        size_t at = LEFT + s * (WIDTH - LEFT) / CHART_SERIES;
        if (!c->series[s].name) continue;
        html_printf(h, "<text x=\"%zu\" y=\"30\"><tspan class=\"k%zu\">&#9679;</tspan> %s</text>",
                    at, s, c->series[s].name);
    }
    html_printf(h, "<g transform=\"translate(0,%d)\">", HEAD);
    drawing(h, c, &x, &y);
    html_put(h, "</g></g>\n");
}

bool html_chart_file(html_t *h, const chart_t *c, size_t n) {
    bool any = false;
    axis_t x, y;
    for (size_t i = 0; i < n; i++) any = axes_of(&c[i], &x, &y) || any;
    if (!any) return false;
    html_printf(h,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%zu\" height=\"%d\" "
                "viewBox=\"0 0 %zu %d\">\n",
                n * WIDTH, HEIGHT + HEAD, n * WIDTH, HEIGHT + HEAD);
    html_put(h, FILE_STYLE);
    for (size_t i = 0; i < n; i++) panel(h, &c[i], i);
    html_put(h, "</svg>\n");
    return true;
}
