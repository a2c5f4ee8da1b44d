/* parts.c - see parts.h. */
#include "common/report/parts.h"

#include "common/io/fs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char STYLE[] =
    ":root{color-scheme:light "
    "dark;--bg:#fcfcfd;--fg:#1b1f24;--dim:#656d76;--line:#d8dee4;--card:#fff;--c0:#0b66c3;"
    "--c1:#c4500b;--c2:#1a7f37}"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e3e7ec;--dim:#939ca6;--line:#"
    "343b44;--card:#1b1f25;"
    "--c0:#6cb2ff;--c1:#ff9e64;--c2:#62d187}}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;padding:24px 20px "
    "60px;max-width:1180px;background:var(--bg);color:var(--fg);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI','Liberation Sans',sans-serif}"
    "h1{font-size:26px;margin:0 0 4px;overflow-wrap:anywhere}h2{font-size:19px;margin:38px 0 10px}"
    "h3{font-size:15px;margin:18px 0 8px;overflow-wrap:anywhere}p{margin:6px "
    "0;max-width:75ch}.dim{color:var(--dim)}"
    ".tiles{display:flex;flex-wrap:wrap;gap:10px;margin:16px 0}"
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:8px "
    "14px;min-width:112px}"
    ".tile b{display:block;font-size:20px;font-variant-numeric:tabular-nums}.tile "
    "span{color:var(--dim);font-size:13px}"
    ".charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(330px,1fr));gap:12px}"
    "figure{margin:0}.chart{background:var(--card);border:1px solid "
    "var(--line);border-radius:8px;padding:10px 12px "
    "4px}"
    ".chart svg{width:100%;height:auto;display:block}.chart "
    "figcaption{display:flex;flex-wrap:wrap;gap:2px 14px;"
    "font-size:14px;margin-bottom:4px}"
    ".key{color:var(--dim);font-variant-numeric:tabular-nums}.key::before{content:'';display:"
    "inline-block;width:14px;"
    "height:3px;border-radius:2px;vertical-align:middle;margin-right:5px}"
    ".k0::before{background:var(--c0)}.k1::before{background:var(--c1)}.k2::before{background:var(-"
    "-c2)}"
    "svg text{font-size:10px;fill:var(--dim)}.grid{stroke:var(--line);stroke-width:.7}"
    ".axis,.tick{stroke:var(--dim);stroke-width:.8}.mark{stroke:var(--dim);stroke-dasharray:3 3}"
    "polyline{fill:none;stroke-width:1.5;stroke-linejoin:round}"
    ".s0{stroke:var(--c0)}.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}"
    ".p0{fill:var(--c0)}.p1{fill:var(--c1)}.p2{fill:var(--c2)}.f0{fill:var(--c0);opacity:.25}"
    "img{image-rendering:pixelated;display:block}.pairs{display:flex;flex-wrap:wrap;gap:14px}"
    ".pair div{display:flex;gap:3px}.pair "
    "figcaption{font-size:12px;color:var(--dim);overflow-wrap:anywhere}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{text-align:left;padding:3px 18px 3px 0;border-bottom:1px solid "
    "var(--line);vertical-align:top}"
    "th{font-weight:600;color:var(--dim);font-size:13px}td{overflow-wrap:anywhere}.n{text-align:"
    "right;white-space:"
    "nowrap;overflow-wrap:normal}"
    "code,.config td{font-family:ui-monospace,'DejaVu Sans Mono',monospace;font-size:13px}.set "
    "td{font-weight:700}"
    "@media print{.chart,.pair{break-inside:avoid}}";

char *report_name(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    const char *slash = memrchr(path, '/', n), *start = slash && n > 1 ? slash + 1 : path;
    return xasprintf("%.*s", (int)(n - (size_t)(start - path)), start);
}

void report_begin(html_t *h, const char *run, const char *program) {
    char *name = report_name(run);
    html_put(h, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta "
                "name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>");
    html_text(h, name);
    html_printf(h, " - %s report</title><style>", program);
    html_put(h, STYLE);
    html_put(h, "</style></head><body>\n<h1>");
    html_text(h, name);
    html_put(h, "</h1>\n");
    free(name);
}

void report_end(html_t *h) {
    html_put(h, "</body></html>\n");
}

void report_tile(html_t *h, const char *name, const char *format, double v) {
    if (!isfinite(v)) return;
    char buf[64];
    snprintf(buf, sizeof buf, format, v);
    html_printf(h, "<div class=\"tile\"><b>%s</b><span>%s</span></div>", buf, name);
}

void report_curve(html_t *h, const metrics_log_t *m, chart_t c, const char *const *key,
                  const char *const *name, size_t n) {
    double *y[CHART_SERIES];
    c.x = m->step;
    c.n = m->n;
    c.n_series = n;
    for (size_t i = 0; i < n; i++) {
        y[i] = metrics_log_column(m, key[i]);
        c.series[i] = (series_t){name ? name[i] : NULL, y[i]};
    }
    html_chart(h, &c);
    for (size_t i = 0; i < n; i++) free(y[i]);
}

static void config_rows(html_t *h, const cJSON *object, const cJSON *preset, const char *prefix) {
    for (const cJSON *c = object->child; c; c = c->next) {
        const cJSON *was = preset ? cJSON_GetObjectItemCaseSensitive(preset, c->string) : NULL;
        char *key = xasprintf("%s%s", prefix, c->string);
        if (cJSON_IsObject(c)) {
            char *inner = xasprintf("%s.", key);
            config_rows(h, c, was, inner);
            free(inner);
        } else {
            char *value = json_canonical(c), *usual = was ? json_canonical(was) : NULL;
            html_put(h, usual && strcmp(usual, value) ? "<tr class=\"set\"><td>" : "<tr><td>");
            html_text(h, key);
            html_put(h, "</td><td>");
            html_text(h, value);
            html_put(h, "</td></tr>\n");
            free(value);
            free(usual);
        }
        free(key);
    }
}

void report_config(html_t *h, const char *run, const char *usual) {
    char *training = fs_join(run, "training.json"), *network = fs_join(run, "config.json");
    const char *path = NULL;
    if (fs_exists(training))
        path = training;
    else if (fs_exists(network))
        path = network;
    reason_t why;
    if (path) {
        cJSON *o = json_parse_file(path, false, &why);
        if (!o) die(RC_DATA, "%s", why.text);
        const cJSON *config = path == training ? cJSON_GetObjectItemCaseSensitive(o, "config") : o,
                    *seed = cJSON_GetObjectItemCaseSensitive(o, "seed");
        cJSON *preset = path == training ? json_parse(usual, strlen(usual), false, &why) : NULL;
        html_put(h, "<h2>Configuration</h2>\n");
        if (path == training) html_put(h, "<p class=\"dim\">Bold: not the default.</p>\n");
        html_put(h, "<div class=\"scroll\"><table class=\"config\">\n");
        if (path == training && cJSON_IsString(seed)) {
            html_put(h, "<tr><td>seed</td><td>");
            html_text(h, seed->valuestring);
            html_put(h, "</td></tr>\n");
        }
        if (cJSON_IsObject(config)) config_rows(h, config, preset, "");
        html_put(h, "</table></div>\n");
        cJSON_Delete(preset);
        cJSON_Delete(o);
    }
    free(training);
    free(network);
}
