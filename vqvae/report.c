/* report.c - `vqvae report`: a RUN as one HTML page that needs nothing else: curves,
 * reconstructions, use of the codebook, best and worst images, configuration, metrics. No dates,
 * no paths but names: the same RUN and images give the same bytes.
 */
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "vqvae/commands.h"
#include "vqvae/gallery.h"
#include "vqvae/html.h"
#include "vqvae/metrics.h"
#include "vqvae/metrics_log.h"
#include "vqvae/quantizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 12 /* pairs a source */, EXTREMES = 8, MOST_CODES = 1024, CODE_COLUMNS = 32 };

typedef struct {
    const char *run;
    metrics_log_t metrics;
    vqvae_t *v; /* NULL: no checkpoint yet */
    data_t *d;  /* NULL: no images */
    split_t split;
    gallery_t g;
    html_t h;
} page_t;

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

/* Last part of a path, malloc'ed. */
static char *base_name(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    const char *slash = memrchr(path, '/', n), *start = slash && n > 1 ? slash + 1 : path;
    return xasprintf("%.*s", (int)(n - (size_t)(start - path)), start);
}

/* ---- metrics ---- */

static void tile(html_t *h, const char *name, const char *format, double v) {
    if (!isfinite(v)) return;
    char buf[64];
    snprintf(buf, sizeof buf, format, v);
    html_printf(h, "<div class=\"tile\"><b>%s</b><span>%s</span></div>", buf, name);
}

static double last_of(const metrics_log_t *m, const char *key) {
    double *y = metrics_log_column(m, key), v = NAN;
    for (size_t i = 0; i < m->n; i++)
        if (isfinite(y[i])) v = y[i];
    free(y);
    return v;
}

static void put_tiles(page_t *p) {
    html_t *h = &p->h;
    html_put(h, "<div class=\"tiles\">");
    if (p->metrics.n) tile(h, "steps", "%.0f", p->metrics.step[p->metrics.n - 1]);
    tile(h, "PSNR held out, dB", "%.2f", last_of(&p->metrics, "psnr_held_out"));
    tile(h, "codes used in training", "%.0f", last_of(&p->metrics, "codes_used"));
    tile(h, "perplexity in training", "%.1f", last_of(&p->metrics, "perplexity"));
    if (p->v) {
        const vqvae_config_t *c = vqvae_config(p->v);
        size_t parameters = 0, w, h_, f = vqvae_stride(c);
        params_t *all = vqvae_params(p->v);
        for (size_t i = 0; i < params_n(all); i++) parameters += params_at(all, (int)i)->count;
        vqvae_preprocess_size(p->v, &w, &h_);
        tile(h, "codes", "%.0f", (double)c->codes);
        tile(h, "width of a code", "%.0f", (double)c->vq_embed_dim);
        tile(h, "pixels a code, each way", "%.0f", (double)f);
        if (w) tile(h, "codes an image", "%.0f", (double)(w / f * (h_ / f)));
        tile(h, "million parameters", "%.2f", (double)parameters / 1e6);
    }
    html_put(h, "</div>\n");
    if (!p->v) return;
    html_put(h, "<p class=\"dim\">Fingerprint <code>");
    html_text(h, vqvae_fingerprint(p->v));
    html_put(h, "</code></p>\n");
}

/* ---- curves ---- */

static void curve(page_t *p, const char *title, const char *format, double mark,
                  const char *const *key, const char *const *name, size_t n) {
    chart_t c = {.title = title,
                 .format = format,
                 .x = p->metrics.step,
                 .n = p->metrics.n,
                 .n_series = n,
                 .mark = mark,
                 .mark_name = "quantizer on"};
    double *y[CHART_SERIES];
    for (size_t i = 0; i < n; i++) {
        y[i] = metrics_log_column(&p->metrics, key[i]);
        c.series[i] = (series_t){name ? name[i] : NULL, y[i]};
    }
    html_chart(&p->h, &c);
    for (size_t i = 0; i < n; i++) free(y[i]);
}

static void put_curves(page_t *p) {
    static const char *const loss[] = {"loss", "loss_rec", "loss_vq"}, *const loss_name[] = {
                                                                           "all", "pixels",
                                                                           "codes"};
    static const char *const psnr[] = {"psnr", "psnr_held_out"}, *const psnr_name[] = {"batch",
                                                                                       "held out"};
    static const struct {
        const char *key, *title, *format;
    } single[] = {{"perplexity", "Perplexity of the codes", "%.1f"},
                  {"codes_used", "Codes used", "%.0f"},
                  {"lr", "Learning rate", "%.3g"},
                  {"grad_norm", "Gradient norm", "%.3g"},
                  {"replaced", "Codes replaced since the line before", "%.0f"},
                  {"quant_error", "Quantization error / variance", "%.3f"},
                  {"z_norm", "Mean length of encoder outputs", "%.3g"},
                  {"loss_perceptual", "LPIPS", "%.4g"},
                  {"d_weight", "Weight of the generator's term", "%.3g"}};
    static const char *const gan[] = {"loss_gan", "loss_disc"}, *const gan_name[] = {
                                                                    "generator", "discriminator"};
    if (!p->metrics.n) return;
    double mark = NAN, *used = metrics_log_column(&p->metrics, "codes_used");
    for (size_t i = p->metrics.n; i--;)
        if (isfinite(used[i])) mark = p->metrics.step[i];
    free(used);
    html_put(&p->h, "<h2>Curves</h2>\n<div class=\"charts\">\n");
    curve(p, "Loss", "%.4g", mark, loss, loss_name, 3);
    curve(p, "PSNR, dB", "%.2f", mark, psnr, psnr_name, 2);
    curve(p, "Adversarial loss", "%.3g", mark, gan, gan_name, 2);
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        curve(p, single[i].title, single[i].format, mark, &single[i].key, NULL, 1);
    html_put(&p->h, "</div>\n<p class=\"dim\">Over optimizer steps. The dashed line is the first "
                    "log line with the "
                    "quantizer on.</p>\n");
}

/* ---- images ---- */

static void pair(page_t *p, const shot_t *s) {
    image_t a, b;
    size_t zoom = p->d->w <= 64 ? 2 : 1;
    const char *key = image_source_key(p->d->source[s->source].source, s->item);
    gallery_pair(p->v, p->d, s, &a, &b);
    html_printf(&p->h, "<figure class=\"pair\" style=\"width:%zupx\"><div>",
                2 * p->d->w * zoom + 3);
    html_image(&p->h, &a, zoom, "original");
    html_image(&p->h, &b, zoom, "reconstruction");
    html_put(&p->h, "</div><figcaption>");
    html_text(&p->h, key);
    html_printf(&p->h, " &middot; %.2f dB</figcaption></figure>\n", psnr_of(s->mse));
    image_release(&a);
    image_release(&b);
}

static void metrics_row(page_t *p, const char *name, size_t first, size_t n, const float *counts) {
    size_t K = vqvae_config(p->v)->codes, used = 0;
    double mse = 0, ssim = 0;
    for (size_t i = first; i < first + n; i++) mse += p->g.shot[i].mse, ssim += p->g.shot[i].ssim;
    for (size_t k = 0; k < K; k++) used += counts[k] > 0;
    html_put(&p->h, "<tr><td>");
    html_text(&p->h, name);
    html_printf(&p->h, "</td><td class=\"n\">%zu</td>", n);
    if (n)
        html_printf(&p->h,
                    "<td class=\"n\">%.2f</td><td class=\"n\">%.4f</td><td "
                    "class=\"n\">%.6f</td><td class=\"n\">%zu of "
                    "%zu</td><td class=\"n\">%.1f</td>",
                    psnr_of(mse / (double)n), ssim / (double)n, mse / (double)n, used, K,
                    perplexity_of(counts, K));
    html_put(&p->h, "</tr>\n");
}

/* Images of source k stand together. */
static size_t shots_of(const page_t *p, size_t k, size_t *first) {
    size_t n = 0;
    *first = 0;
    while (*first < p->g.n && p->g.shot[*first].source < k) ++*first;
    while (*first + n < p->g.n && p->g.shot[*first + n].source == k) n++;
    return n;
}

static void put_metrics(page_t *p) {
    size_t K = vqvae_config(p->v)->codes, first;
    float *all = xcalloc(K, sizeof *all);
    html_put(&p->h, "<h2>Metrics</h2>\n<div class=\"scroll\"><table><tr><th>source</th><th "
                    "class=\"n\">images</th><th "
                    "class=\"n\">PSNR, dB</th><th class=\"n\">SSIM</th><th class=\"n\">MSE</th><th "
                    "class=\"n\">codes "
                    "used</th><th class=\"n\">perplexity</th></tr>\n");
    for (size_t k = 0; k < p->d->n; k++) {
        size_t n = shots_of(p, k, &first);
        char *name = base_name(image_source_name(p->d->source[k].source));
        metrics_row(p, name, first, n, p->g.counts + k * K);
        free(name);
        for (size_t i = 0; i < K; i++) all[i] += p->g.counts[k * K + i];
    }
    if (p->d->n > 1) metrics_row(p, "all together", 0, p->g.n, all);
    html_put(&p->h, "</table></div>\n");
    free(all);
}

static int by_error(const void *a, const void *b) {
    const shot_t *x = a, *y = b;
    if (x->mse != y->mse) return x->mse < y->mse ? -1 : 1;
    if (x->source != y->source) return x->source < y->source ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

static void put_images(page_t *p) {
    html_put(&p->h, "<h2>Reconstructions</h2>\n<p class=\"dim\">Originals on the left.</p>\n");
    for (size_t k = 0; k < p->d->n; k++) {
        size_t first, n = shots_of(p, k, &first), shown = n < SHOWN ? n : SHOWN;
        html_put(&p->h, "<h3>");
        char *name = base_name(image_source_name(p->d->source[k].source));
        html_text(&p->h, name);
        free(name);
        html_put(&p->h, "</h3>\n<div class=\"pairs\">\n");
        for (size_t i = 0; i < shown; i++) pair(p, &p->g.shot[first + i * n / shown]);
        html_put(&p->h, "</div>\n");
    }
    qsort(p->g.shot, p->g.n, sizeof *p->g.shot, by_error);
    size_t n = p->g.n / 2 < EXTREMES ? p->g.n / 2 : EXTREMES;
    if (!n) return;
    html_put(&p->h, "<h2>Worst</h2>\n<div class=\"pairs\">\n");
    for (size_t i = 0; i < n; i++) pair(p, &p->g.shot[p->g.n - 1 - i]);
    html_put(&p->h, "</div>\n<h2>Best</h2>\n<div class=\"pairs\">\n");
    for (size_t i = 0; i < n; i++) pair(p, &p->g.shot[i]);
    html_put(&p->h, "</div>\n");
}

/* ---- the codebook ---- */

typedef struct {
    double count;
    uint32_t code;
} use_t;

static int by_use(const void *a, const void *b) {
    const use_t *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->code < y->code ? -1 : x->code > y->code;
}

static void put_codebook(page_t *p) {
    size_t K = vqvae_config(p->v)->codes, used = 0;
    use_t *use = xcalloc(K, sizeof *use);
    double total = 0, *x = xmalloc(K * sizeof *x), *share = xmalloc(K * sizeof *share);
    for (size_t c = 0; c < K; c++) {
        use[c].code = (uint32_t)c;
        for (size_t k = 0; k < p->d->n; k++) use[c].count += p->g.counts[k * K + c];
        total += use[c].count;
        used += use[c].count > 0;
    }
    qsort(use, K, sizeof *use, by_use);
    for (size_t c = 0; c < K; c++)
        x[c] = (double)c + 1, share[c] = total > 0 ? 100 * use[c].count / total : 0;
    html_put(&p->h, "<h2>Codebook</h2>\n<div class=\"charts\">\n");
    html_chart(&p->h, &(chart_t){.title = "Share of the codes, % (most used first)",
                                 .x = x,
                                 .n = K,
                                 .series = {{NULL, share}},
                                 .n_series = 1,
                                 .area = true,
                                 .mark = NAN});
    html_printf(&p->h,
                "</div>\n<p>%zu of %zu codes stand in these images; a code's even share is %.3g "
                "%%.</p>\n",
                used, K, 100.0 / (double)K);
    size_t n = K < MOST_CODES ? K : MOST_CODES, f = vqvae_stride(vqvae_config(p->v)),
           columns = n < CODE_COLUMNS ? n : CODE_COLUMNS;
    uint32_t *order = xmalloc(n * sizeof *order);
    for (size_t c = 0; c < n; c++) order[c] = use[c].code;
    image_t sheet = gallery_codes(p->v, order, n, columns);
    html_printf(&p->h,
                "<h3>What each code draws</h3>\n<p class=\"dim\">The %zu most used codes, row by "
                "row, each decoded on a "
                "grid of itself.</p>\n<div class=\"scroll\">",
                n);
    html_image(&p->h, &sheet, f < 4 ? 6 : f < 8 ? 4 : f < 16 ? 3 : 2, "an image of each code");
    html_put(&p->h, "</div>\n");
    image_release(&sheet);
    free(order);
    free(use);
    free(x);
    free(share);
}

/* ---- configuration ---- */

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

static void put_config(page_t *p) {
    char *training = fs_join(p->run, "training.json"), *network = fs_join(p->run, "config.json");
    const char *path = fs_exists(training) ? training : fs_exists(network) ? network : NULL;
    reason_t why;
    if (path) {
        cJSON *o = json_parse_file(path, false, &why);
        if (!o) die(RC_DATA, "%s", why.text);
        const cJSON *config = path == training ? cJSON_GetObjectItemCaseSensitive(o, "config") : o,
                    *seed = cJSON_GetObjectItemCaseSensitive(o, "seed");
        config_t usual;
        config_defaults(config_table, &usual);
        char *text = config_print(config_table, &usual);
        cJSON *preset = path == training ? json_parse(text, strlen(text), false, &why) : NULL;
        html_put(&p->h, "<h2>Configuration</h2>\n");
        if (path == training) html_put(&p->h, "<p class=\"dim\">Bold: not the default.</p>\n");
        html_put(&p->h, "<div class=\"scroll\"><table class=\"config\">\n");
        if (path == training && cJSON_IsString(seed)) {
            html_put(&p->h, "<tr><td>seed</td><td>");
            html_text(&p->h, seed->valuestring);
            html_put(&p->h, "</td></tr>\n");
        }
        if (cJSON_IsObject(config)) config_rows(&p->h, config, preset, "");
        html_put(&p->h, "</table></div>\n");
        cJSON_Delete(preset);
        cJSON_Delete(o);
        free(text);
    }
    free(training);
    free(network);
}

/* ---- the command ---- */

static void put_page(page_t *p) {
    char *name = base_name(p->run);
    html_put(
        &p->h,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
        "content=\"width=device-width,initial-scale=1\"><title>");
    html_text(&p->h, name);
    html_put(&p->h, " - vqvae report</title><style>");
    html_put(&p->h, STYLE);
    html_put(&p->h, "</style></head><body>\n<h1>");
    html_text(&p->h, name);
    html_put(&p->h, "</h1>\n");
    put_tiles(p);
    if (p->d) put_metrics(p);
    put_curves(p);
    if (p->d) {
        put_codebook(p);
        put_images(p);
    }
    put_config(p);
    html_put(&p->h, "</body></html>\n");
    free(name);
}

int cmd_vqvae_report(int argc, char **argv) {
    const char *split = "val", *out = NULL;
    cli_list_t runs = {0}, data = {0}, set = {0};
    int64_t threads = 0, limit = 500;
    double max_bad = 0.01;
    uint64_t max_pixels = 0;
    bool lenient = false;
    const cli_opt_t options[] = {
        {"", CLI_LIST, &runs, "RUN", "folder of a training", true},
        {"--data", CLI_LIST, &data, "SRC",
         "images to show and measure: folders, WebDataset tars or Minari datasets (without: "
         "curves and "
         "configuration)",
         false},
        {"--out", CLI_STR, &out, "F.html", "the page (RUN/report.html)", false},
        {"--split", CLI_STR, &split, "S", "val (held out), train or all", false},
        {"--limit", CLI_INT, &limit, "N", "images a source that are measured (0 = all)", false},
        {"--set", CLI_LIST, &set, "KEY=VALUE", "data.* keys, as for eval", false},
        {"--max-bad", CLI_DOUBLE, &max_bad, "F", "share of unreadable images that is tolerated",
         false},
        {"--max-pixels", CLI_U64, &max_pixels, "N",
         "refuse larger images (0 = 100,000,000; those that can be shrunk row by row "
         "1,000,000,000)",
         false},
        {"--lenient", CLI_FLAG, &lenient, NULL, IMAGE_LENIENT_HELP, false},
        {"--threads", CLI_INT, &threads, "N", "threads (0 = all processors)", false},
        {0},
    };
    cli_parse(argc, argv, "report",
              "a RUN as one HTML page: curves, images, codebook, configuration",
              (const cli_opt_t *const[]){options}, 1);
    if (runs.n != 1) die(RC_USAGE, "one RUN is needed, not %zu", runs.n);
    if (limit < 0) die(RC_USAGE, "--limit cannot be negative");
    pool_set_threads((int)threads);
    page_t p = {.run = runs.item[0], .split = parse_split(split)};
    reason_t why;
    char *config = fs_join(p.run, "config.json"),
         *page = out ? xstrdup(out) : fs_join(p.run, "report.html");
    p.metrics = metrics_log_read(p.run);
    /* A training that has not come to its first checkpoint has curves already. */
    if (fs_exists(config) || !p.metrics.n || data.n) p.v = model_open(p.run);
    if (data.n) {
        config_t c = config_for_model(p.v, p.run, &set);
        p.d = data_open(&data, &c, 0, max_bad, max_pixels, lenient);
        data_say_empty(p.d, p.split);
        p.g = gallery_new(p.v, p.d, p.split, (size_t)limit);
    }
    size_t images = p.g.n;
    put_page(&p);
    if (fs_write(page, p.h.text, p.h.n, &why)) die(RC_RUNTIME, "%s", why.text);
    jsonw_t w = {0};
    jsonw_begin(&w);
    jsonw_str(&w, "report", page);
    jsonw_int(&w, "images", (int64_t)images);
    jsonw_int(&w, "bytes", (int64_t)p.h.n);
    puts(jsonw_end(&w));
    jsonw_free(&w);
    gallery_release(&p.g);
    metrics_log_release(&p.metrics);
    data_close(p.d);
    vqvae_free(p.v);
    free(p.h.text);
    free(config);
    free(page);
    return RC_OK;
}
