/* report.c - `gato report`: a RUN as one HTML page that needs nothing else: curves by task and
 * modality, the tokens of each task's timestep, results of `gato act`, images, configuration.
 */
#include "common/base/cli.h"
#include "common/io/fs.h"
#include "common/report/parts.h"
#include "gato/commands.h"
#include "gato/model/layout.h"
#include "gato/run/metrics.h"
#include "gato/run/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *run;
    gato_model_t *m; /* NULL: no checkpoint yet */
    metrics_log_t metrics;
    html_t h;
} page_t;

/* ---- numbers ---- */

static void tiles(page_t *p) {
    html_t *h = &p->h;
    html_put(h, "<div class=\"tiles\">");
    if (p->metrics.n) report_tile(h, "steps", "%.0f", p->metrics.step[p->metrics.n - 1]);
    report_tile(h, "loss held out", "%.4g", metrics_log_last(&p->metrics, "loss_held_out"));
    report_tile(h, "error of actions held out", "%.3g",
                metrics_log_last(&p->metrics, "action_mae_held_out"));
    if (p->m) {
        const gato_config_t *c = &p->m->config;
        report_tile(h, "million parameters", "%.2f", (double)gato_model_parameters(p->m) / 1e6);
        report_tile(h, "width", "%.0f", (double)c->model.width);
        report_tile(h, "layers", "%.0f", (double)c->model.layers);
        report_tile(h, "tokens of context", "%.0f", (double)c->model.context);
        report_tile(h, "tasks", "%.0f", (double)p->m->tasks.n);
        if (c->lora.rank) report_tile(h, "rank of the adapters", "%.0f", (double)c->lora.rank);
    }
    html_put(h, "</div>\n");
    if (!p->m || !p->m->vocabulary.fingerprint) return;
    html_put(h, "<p class=\"dim\">Codebook <code>");
    html_text(h, p->m->vocabulary.fingerprint);
    html_put(h, "</code></p>\n");
}

/* ---- curves ---- */

static void curve(page_t *p, const char *title, const char *const *key, const char *const *name,
                  size_t n) {
    report_curve(&p->h, &p->metrics, (chart_t){.title = title, .format = "%.4g", .mark = NAN}, key,
                 name, n);
}

/* A chart of the modalities that were measured: of a task, or (NULL) of all. */
static void modalities(page_t *p, const char *task) {
    static const char *const title[] = {"Held out: actions, image codes, texts",
                                        "Held out: vectors"};
    static const char *const name[METRICS_MODALITIES] = {"actions", "image codes", "texts", NULL};
    char *key[METRICS_MODALITIES];
    for (size_t i = 0; i < METRICS_MODALITIES; i++) key[i] = metrics_modality_key(task, i);
    const char *const *keys = (const char *const *)key;
    curve(p, title[0], keys, name, 3);
    curve(p, title[1], keys + 3, NULL, 1);
    for (size_t i = 0; i < METRICS_MODALITIES; i++) free(key[i]);
}

static void task_curves(page_t *p, const char *task) {
    char *key = xasprintf("loss_%s", task);
    if (isfinite(metrics_log_last(&p->metrics, key))) {
        html_put(&p->h, "<h3>");
        html_text(&p->h, task);
        html_put(&p->h, "</h3>\n<div class=\"charts\">\n");
        curve(p, "Loss held out", (const char *const *)&key, NULL, 1);
        modalities(p, task);
        html_put(&p->h, "</div>\n");
    }
    free(key);
}

/* What `gato act` measured during the training. */
static void at_play(page_t *p) {
    const char *env = p->m->config.train.eval_env;
    char *mean = xasprintf("return_%s", env), *success = xasprintf("success_%s", env);
    curve(p, "Mean return at play", (const char *const *)&mean, NULL, 1);
    curve(p, "Share of episodes that succeed", (const char *const *)&success, NULL, 1);
    free(mean);
    free(success);
}

static void curves(page_t *p) {
    static const char *const loss[] = {"loss", "loss_held_out"}, *const name[] = {"training",
                                                                                  "held out"};
    static const struct {
        const char *key, *title;
    } single[] = {{"action_mae_held_out", "Mean error of actions, held out"},
                  {"lr", "Learning rate"},
                  {"grad_norm", "Gradient norm"}};
    if (!p->metrics.n) return;
    html_put(&p->h, "<h2>Curves</h2>\n<div class=\"charts\">\n");
    curve(p, "Loss", loss, name, 2);
    modalities(p, NULL);
    if (p->m) at_play(p);
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        curve(p, single[i].title, &single[i].key, NULL, 1);
    html_put(&p->h, "</div>\n<p class=\"dim\">Over optimizer steps.</p>\n");
    for (size_t t = 0; p->m && t < p->m->tasks.n; t++) task_curves(p, p->m->tasks.v[t].name);
}

/* ---- timesteps ---- */

/* A stretch of the bar that stands for a timestep: tokens from .. to - 1 of `all`. */
static void stretch(html_t *h, int color, size_t from, size_t to, size_t all) {
    double unit = 360.0 / (double)all, a = unit * (double)from, b = unit * (double)to;
    if (from == to) return;
    html_printf(h, "<polygon class=\"p%d\" points=\"%.1f,0 %.1f,0 %.1f,14 %.1f,14\"/>", color, a,
                fmax(a + 0.5, b - 1), fmax(a + 0.5, b - 1), a);
}

/* Images, all else observed, and what is acted have a color each; the separator is a gap. */
static void bar(html_t *h, const task_t *task, const layout_t *l) {
    size_t all = layout_tokens(l);
    html_put(h, "<svg viewBox=\"0 0 360 14\" width=\"360\" height=\"14\" role=\"img\" "
                "aria-label=\"tokens of a timestep\">");
    for (uint32_t i = 0; i < task->n_slots && all; i++) {
        const slot_t *slot = &task->slot[l->order[i]];
        size_t at = layout_start(l, l->order[i]);
        int color = slot->kind == SLOT_IMAGE ? 0 : 2;
        stretch(h, slot->side == SIDE_ACTED ? 1 : color, at, at + l->count[l->order[i]], all);
    }
    html_put(h, "</svg>");
}

static void slots(html_t *h, const task_t *task, const layout_t *l) {
    const char *comma = "";
    for (uint32_t i = 0; i < task->n_slots; i++) {
        const slot_t *slot = &task->slot[l->order[i]];
        html_put(h, comma);
        if (slot->side == SIDE_ACTED) html_put(h, "acted ");
        html_put(h, slot_kind_names[slot->kind]);
        if (*slot->name) html_put(h, " ");
        html_text(h, slot->name);
        html_printf(h, ": %zu", l->count[l->order[i]]);
        comma = ", ";
    }
}

static void timesteps(page_t *p) {
    html_t *h = &p->h;
    reason_t why;
    html_put(h, "<h2>Timesteps</h2>\n<p class=\"dim\">The tokens of the longest timestep that a "
                "task declares, in order: images blue, what else is observed green, the separator "
                "a gap, actions orange.</p>\n<div class=\"scroll\"><table><tr><th>task</th>"
                "<th>kind</th><th class=\"n\">tokens</th><th class=\"n\">timesteps seen</th>"
                "<th>tokens of each slot</th></tr>\n");
    for (size_t i = 0; i < p->m->tasks.n; i++) {
        const task_t *task = &p->m->tasks.v[i];
        layout_t l;
        if (layout_declared(&l, &p->m->config, task, &why))
            die(RC_DATA, "task '%s': %s", task->name, why.text);
        html_put(h, "<tr><td>");
        html_text(h, task->name);
        html_printf(h, "</td><td>%s</td><td class=\"n\">%zu</td><td class=\"n\">%u</td><td>",
                    record_kind_names[task->kind], layout_tokens(&l), p->m->window[i]);
        bar(h, task, &l);
        html_put(h, "<div class=\"dim\">");
        slots(h, task, &l);
        html_put(h, "</div></td></tr>\n");
    }
    html_put(h, "</table></div>\n");
}

/* ---- results of gato act ---- */

static double number(const cJSON *line, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(line, key);
    return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

static void cell(html_t *h, const char *format, double v) {
    char buf[64];
    snprintf(buf, sizeof buf, format, v);
    html_printf(h, "<td class=\"n\">%s</td>", isfinite(v) ? buf : "-");
}

static void text_cell(html_t *h, const cJSON *line, const char *key) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(line, key));
    html_put(h, "<td>");
    html_text(h, text ? text : "-");
    html_put(h, "</td>");
}

/* The standard error of a mean return is its deviation over the root of the episodes. */
static void act_row(html_t *h, const cJSON *line) {
    const cJSON *ci = cJSON_GetObjectItemCaseSensitive(line, "success_ci"),
                *low = cJSON_GetArrayItem(ci, 0), *high = cJSON_GetArrayItem(ci, 1);
    double episodes = number(line, "episodes");
    html_put(h, "<tr>");
    text_cell(h, line, "env");
    text_cell(h, line, "task");
    text_cell(h, line, "policy");
    cell(h, "%.0f", episodes);
    cell(h, "%.3f", number(line, "return_mean"));
    cell(h, "%.3f", 1.96 * number(line, "return_std") / sqrt(episodes));
    cell(h, "%.1f", 100 * number(line, "success_rate"));
    cell(h, "%.1f", cJSON_IsNumber(low) ? 100 * low->valuedouble : NAN);
    cell(h, "%.1f", cJSON_IsNumber(high) ? 100 * high->valuedouble : NAN);
    cell(h, "%.3f", number(line, "normalized_score"));
    cell(h, "%.1f", number(line, "length_mean"));
    html_put(h, "</tr>\n");
}

static size_t act_file(html_t *h, const char *path) {
    uint8_t *text = NULL;
    size_t size, rows = 0;
    reason_t why;
    if (!fs_exists(path)) die(RC_USAGE, "--act '%s': no such file", path);
    if (fs_read(path, 0, &text, &size, &why)) die(RC_RUNTIME, "%s", why.text);
    for (size_t at = 0, number_of_line = 1; at < size; number_of_line++) {
        const uint8_t *end = memchr(text + at, '\n', size - at);
        size_t n = end ? (size_t)(end - text) - at : size - at;
        cJSON *line = n ? json_parse((char *)text + at, n, false, NULL) : NULL;
        if (n && !cJSON_GetObjectItemCaseSensitive(line, "return_mean"))
            die(RC_DATA, "--act '%s': line %zu is none of gato act", path, number_of_line);
        if (n) act_row(h, line);
        rows += n > 0;
        cJSON_Delete(line);
        at += n + 1;
    }
    if (!rows) die(RC_DATA, "--act '%s': no line of gato act", path);
    free(text);
    return rows;
}

static size_t acts(page_t *p, const cli_list_t *files) {
    size_t rows = 0;
    if (!files->n) return 0;
    html_put(&p->h, "<h2>Closed loop</h2>\n<div class=\"scroll\"><table><tr><th>environment</th>"
                    "<th>task</th><th>policy</th><th class=\"n\">episodes</th><th class=\"n\">mean "
                    "return</th><th class=\"n\">&plusmn;</th><th class=\"n\">success, %</th><th "
                    "class=\"n\">from</th><th class=\"n\">to</th><th class=\"n\">normalized</th>"
                    "<th class=\"n\">steps</th></tr>\n");
    for (size_t i = 0; i < files->n; i++) rows += act_file(&p->h, files->item[i]);
    html_put(&p->h, "</table></div>\n<p class=\"dim\">Intervals of 95 %: of the mean return by its "
                    "standard error, of success by Wilson's formula.</p>\n");
    return rows;
}

/* ---- images ---- */

static void images(page_t *p, const cli_list_t *files) {
    reason_t why;
    if (files->n) html_put(&p->h, "<h2>Images</h2>\n");
    for (size_t i = 0; i < files->n; i++) {
        image_t im;
        if (!fs_exists(files->item[i])) die(RC_USAGE, "--image '%s': no such file", files->item[i]);
        if (image_read(&im, files->item[i], NULL, &why) != IMAGE_OK)
            die(RC_DATA, "--image '%s': %s", files->item[i], why.text);
        char *name = report_name(files->item[i]);
        html_put(&p->h, "<h3>");
        html_text(&p->h, name);
        html_put(&p->h, "</h3>\n<div class=\"scroll\">");
        html_image(&p->h, &im, im.h <= 128 ? 2 : 1, name);
        html_put(&p->h, "</div>\n");
        free(name);
        image_release(&im);
    }
}

/* ---- the command ---- */

static void configuration(page_t *p) {
    gato_config_t usual;
    config_defaults(gato_config_table, &usual);
    char *text = config_print(gato_config_table, &usual);
    report_config(&p->h, p->run, text);
    free(text);
}

int cmd_gato_report(int argc, char **argv) {
    cli_list_t runs = {0}, act = {0}, image = {0};
    const char *out = NULL;
    const cli_opt_t options[] = {
        {"", CLI_LIST, &runs, "RUN", "folder of a training", true},
        {"--act", CLI_LIST, &act, "F.json", "lines that gato act printed: a row of a table each",
         false},
        {"--image", CLI_LIST, &image, "F.png", "an image to show, as gato act --strip writes them",
         false},
        {"--out", CLI_STR, &out, "F.html", "the page (default RUN/report.html)", false},
        {0},
    };
    cli_parse(argc, argv, "report",
              "a RUN as one HTML page: curves by task, timesteps, results, configuration",
              (const cli_opt_t *const[]){options}, 1);
    if (runs.n != 1) die(RC_USAGE, "one RUN is needed, not %zu", runs.n);
    page_t p = {.run = runs.item[0]};
    reason_t why;
    char *config = fs_join(p.run, GATO_CONFIG_FILE),
         *page = out ? xstrdup(out) : fs_join(p.run, "report.html");
    p.metrics = metrics_log_read(p.run);
    /* A training that has not come to its first checkpoint has curves already. */
    if (fs_exists(config) || !p.metrics.n) p.m = run_open(p.run);
    report_begin(&p.h, p.run, "gato");
    tiles(&p);
    size_t rows = acts(&p, &act);
    curves(&p);
    if (p.m) timesteps(&p);
    images(&p, &image);
    configuration(&p);
    report_end(&p.h);
    if (fs_write(page, p.h.text, p.h.n, &why)) die(RC_RUNTIME, "%s", why.text);
    jsonw_t w = {0};
    jsonw_begin(&w);
    jsonw_str(&w, "report", page);
    jsonw_int(&w, "results", (int64_t)rows);
    jsonw_int(&w, "images", (int64_t)image.n);
    jsonw_int(&w, "bytes", (int64_t)p.h.n);
    puts(jsonw_end(&w));
    jsonw_free(&w);
    metrics_log_release(&p.metrics);
    gato_model_free(p.m);
    free(p.h.text);
    free(config);
    free(page);
    free(runs.item);
    free(act.item);
    free(image.item);
    return RC_OK;
}
