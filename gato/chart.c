/* chart.c - `gato chart`: a member of JSON lines against others, as an SVG file: a panel for each
 * `--x`, a curve for each value of `--by`. Lines of one curve that share `--at` (the trainings of
 * several seeds, at one point of each) are one point, the mean of both members. */
#include "common/base/cli.h"
#include "common/base/sizes.h"
#include "common/io/fs.h"
#include "common/report/html.h"
#include "gato/commands.h"
#include "gato/json_lines.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PANELS = 4 };

typedef struct {
    cli_list_t x, curves;
    const char *in, *y, *by, *at, *out;
} options_t;

/* The mean of the lines of a curve at one point. */
typedef struct {
    size_t curve;
    double at, x[PANELS], y;
    double place; /* the x of the panel at hand */
    size_t n;
} point_t;

typedef struct {
    point_t *v;
    size_t n, cap;
} points_t;

static options_t parse(int argc, char **argv) {
    options_t o = {.by = "variant", .at = "point"};
    const cli_opt_t options[] = {
        {"--in", CLI_STR, &o.in, "F.json", "JSON lines, as make compare writes them", true},
        {"--x", CLI_LIST, &o.x, "KEY", "a panel for each of these members, four at most", true},
        {"--y", CLI_STR, &o.y, "KEY", "the member that is drawn against them", true},
        {"--by", CLI_STR, &o.by, "KEY", "the member that tells curves apart", false},
        {"--at", CLI_STR, &o.at, "KEY", "lines of a curve that share it are one point", false},
        {"--curves", CLI_LIST, &o.curves, "NAME", "the curves, three at most, of values of --by",
         true},
        {"--out", CLI_STR, &o.out, "F.svg", "the file to write", true},
        {0},
    };
    cli_parse(argc, argv, "chart", "draw members of JSON lines against one another as SVG",
              (const cli_opt_t *const[]){options}, 1);
    if (o.x.n > PANELS) die(RC_USAGE, "--x: %zu panels, four at most", o.x.n);
    if (o.curves.n > CHART_SERIES) die(RC_USAGE, "--curves: %zu, three at most", o.curves.n);
    return o;
}

static double number(const cJSON *line, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(line, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static point_t *point_of(points_t *p, size_t curve, double at) {
    for (size_t i = 0; i < p->n; i++)
        if (p->v[i].curve == curve && p->v[i].at == at) return &p->v[i];
    p->v = xgrow(p->v, &p->cap, p->n + 1, sizeof *p->v);
    p->v[p->n] = (point_t){.curve = curve, .at = at};
    return &p->v[p->n++];
}

typedef struct {
    points_t *points;
    const options_t *o;
} reader_t;

/* Lines without the members are of other kinds. */
static void take(void *ctx, size_t row, const cJSON *line) {
    (void)row;
    const reader_t *r = ctx;
    const options_t *o = r->o;
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(line, o->by));
    double y = number(line, o->y), at = number(line, o->at), x[PANELS];
    bool whole = name && !isnan(y) && !isnan(at);
    for (size_t k = 0; k < o->x.n; k++) {
        x[k] = number(line, o->x.item[k]);
        whole = whole && !isnan(x[k]);
    }
    for (size_t c = 0; whole && c < o->curves.n; c++) {
        if (strcmp(name, o->curves.item[c])) continue;
        point_t *to = point_of(r->points, c, at);
        for (size_t k = 0; k < o->x.n; k++) to->x[k] += x[k];
        to->y += y;
        to->n++;
    }
}

static points_t read_points(const options_t *o) {
    points_t p = {0};
    json_lines_read(o->in, take, &(reader_t){&p, o});
    for (size_t i = 0; i < p.n; i++) {
        for (size_t k = 0; k < PANELS; k++) p.v[i].x[k] /= (double)p.v[i].n;
        p.v[i].y /= (double)p.v[i].n;
    }
    return p;
}

static int by_place(const void *a, const void *b) {
    double x = ((const point_t *)a)->place, y = ((const point_t *)b)->place;
    return (x > y) - (x < y);
}

/* Markup of our own, out of the command line's words. */
static char *escaped(const char *format, const char *a, const char *b) {
    html_t h = {0};
    char *text = xasprintf(format, a, b);
    html_text(&h, text);
    free(text);
    return h.text;
}

/* A name that no line has would be a legend without a curve. */
static void check_curves(const points_t *p, const options_t *o) {
    for (size_t c = 0; c < o->curves.n; c++) {
        bool any = false;
        for (size_t i = 0; i < p->n; i++) any = any || p->v[i].curve == c;
        if (!any)
            die(RC_DATA, "'%s' has no line of %s '%s' with '%s' and every --x", o->in, o->by,
                o->curves.item[c], o->y);
    }
}

static void fill(chart_t *c, points_t *p, const options_t *o, size_t panel) {
    for (size_t i = 0; i < p->n; i++) p->v[i].place = p->v[i].x[panel];
    qsort(p->v, p->n, sizeof *p->v, by_place);
    double *x = xmalloc(p->n * sizeof *x);
    for (size_t i = 0; i < p->n; i++) x[i] = p->v[i].x[panel];
    *c = (chart_t){.title = escaped("%s against %s", o->y, o->x.item[panel]),
                   .x = x,
                   .n = p->n,
                   .n_series = o->curves.n,
                   .mark = NAN};
    for (size_t s = 0; s < o->curves.n; s++) {
        double *y = xmalloc(p->n * sizeof *y);
        for (size_t i = 0; i < p->n; i++) y[i] = p->v[i].curve == s ? p->v[i].y : NAN;
        c->series[s] = (series_t){.name = escaped("%s", o->curves.item[s], NULL), .y = y};
    }
}

int cmd_gato_chart(int argc, char **argv) {
    options_t o = parse(argc, argv);
    points_t p = read_points(&o);
    chart_t c[PANELS];
    html_t h = {0};
    reason_t why;
    check_curves(&p, &o);
    for (size_t k = 0; k < o.x.n; k++) fill(&c[k], &p, &o, k);
    if (!html_chart_file(&h, c, o.x.n)) BUG("points without a value");
    if (fs_write(o.out, h.text, h.n, &why)) die(RC_RUNTIME, "%s", why.text);
    jsonw_t w;
    jsonw_begin(&w);
    jsonw_str(&w, "chart", o.out);
    jsonw_int(&w, "points", (int64_t)p.n);
    puts(jsonw_end(&w));
    jsonw_free(&w);
    for (size_t k = 0; k < o.x.n; k++) {
        free((char *)c[k].title);
        free((double *)c[k].x);
        for (size_t s = 0; s < o.curves.n; s++) {
            free((char *)c[k].series[s].name);
            free((double *)c[k].series[s].y);
        }
    }
    free(h.text);
    free(p.v);
    free(o.x.item);
    free(o.curves.item);
    return RC_OK;
}
