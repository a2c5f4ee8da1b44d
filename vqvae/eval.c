/* eval.c - `vqvae eval`: metrics of a tokenizer on held-out or other images, a line per source. */
#include "common/base/pool.h"
#include "common/base/table.h"
#include "common/io/text/json.h"
#include "common/io/utf8.h"
#include "vqvae/commands.h"
#include "vqvae/evaluation.h"
#include "vqvae/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static double front_psnr(const evaluation_sums_t *f) {
    return f->front_pixels ? image_psnr(f->front_error / (3 * (double)f->front_pixels)) : NAN;
}

/* "kept": what the first 1, 2, 4 .. codes alone give, of a tokenizer whose codes are ordered. */
static void print_kept(const evaluation_sums_t *f, double n, const evaluation_t *e, jsonw_t *w) {
    size_t keep[EVALUATION_KEPT], n_keep = evaluation_kept(vqvae_config(e->v), keep);
    if (!n_keep) return;
    jsonw_open(w, "kept", '[');
    for (size_t k = 0; k < n_keep; k++) {
        jsonw_open(w, NULL, '{');
        jsonw_int(w, "tokens", (int64_t)keep[k]);
        jsonw_float(w, "psnr", (float)image_psnr(f->kept_mse[k] / n));
        jsonw_float(w, "ssim", (float)(f->kept_ssim[k] / n));
        jsonw_close(w, '}');
    }
    jsonw_close(w, ']');
}

/* A JSON line on stdout. */
static void print_metrics(const evaluation_sums_t *f, const char *source, size_t K,
                          const evaluation_t *e) {
    double n = f->images ? (double)f->images : NAN;
    jsonw_t w = {0};
    jsonw_begin(&w);
    jsonw_str(&w, "source", source);
    jsonw_int(&w, "images", (int64_t)f->images);
    jsonw_float(&w, "psnr", (float)image_psnr(f->mse / n));
    jsonw_float(&w, "ssim", (float)(f->ssim / n));
    jsonw_float(&w, "mse", (float)(f->mse / n));
    jsonw_int(&w, "codes_used", (int64_t)metrics_used(f->counts, K));
    jsonw_int(&w, "codes", (int64_t)K);
    jsonw_float(&w, "perplexity", (float)metrics_perplexity(f->counts, K));
    jsonw_num(&w, "images_per_s", f->seconds > 0 ? round(n / f->seconds * 10) / 10 : NAN);
    jsonw_float(&w, "psnr_foreground", (float)front_psnr(f));
    if (e->object) {
        jsonw_int(&w, "object_images", (int64_t)f->with_object);
        jsonw_int(&w, "object_kept", (int64_t)f->object_kept);
        jsonw_float(&w, "object_error_px",
                    (float)(f->object_kept ? f->object_error / (double)f->object_kept : NAN));
    }
    print_kept(f, n, e, &w);
    puts(jsonw_end(&w));
    jsonw_free(&w);
}

/* The same metrics for people: a row of the table on stderr. */
static void table_row(table_t *t, const evaluation_sums_t *f, const char *source, size_t K) {
    char name[64];
    double n = f->images ? (double)f->images : NAN;
    table_format(t, "%zu", f->images);
    table_number(t, "%.2f", image_psnr(f->mse / n));
    table_number(t, "%.2f", front_psnr(f));
    table_number(t, "%.4f", f->ssim / n);
    table_number(t, "%.6f", f->mse / n);
    table_format(t, "%zu/%zu", metrics_used(f->counts, K), K);
    table_number(t, "%.1f", metrics_perplexity(f->counts, K));
    table_text(t, utf8_printable(name, sizeof name, source));
}

/* Each source's metrics, then those over all. */
static void print_all(const evaluation_t *e, const evaluation_sums_t *sums,
                      const evaluation_sums_t *all, size_t K) {
    table_t table;
    table_begin(&table, "rrrrrrrl", "images", "PSNR", "front", "SSIM", "MSE", "codes", "perplexity",
                "source");
    for (size_t i = 0; i < e->d->n; i++) {
        const char *name = image_source_name(e->d->source[i].source);
        table_row(&table, &sums[i], name, K);
        print_metrics(&sums[i], name, K, e);
    }
    if (e->d->n > 1) {
        table_row(&table, all, "all together", K);
        print_metrics(all, NULL, K, e);
    }
    table_print(&table);
}

int cmd_vqvae_eval(int argc, char **argv) {
    const char *model = NULL, *split = "val", *object = NULL;
    cli_list_t data = {0}, set = {0};
    int64_t threads = 0, limit = 0;
    double max_bad = 0.01;
    uint64_t max_pixels = 0;
    bool foreground = false, lenient = false;
    const cli_opt_t options[] = {
        {"--model", CLI_STR, &model, "RUN", "the tokenizer", true},
        {"--data", CLI_LIST, &data, "SRC", "images: folders, WebDataset tars or Minari datasets",
         true},
        {"--split", CLI_STR, &split, "S", SPLIT_HELP, false},
        {"--limit", CLI_INT, &limit, "N", "images per source (0 = all)", false},
        {"--object", CLI_STR, &object, "R,G,B",
         "also count the images in which an object of this color survives", false},
        {"--foreground", CLI_FLAG, &foreground, NULL,
         "psnr_foreground for folders too, not only for episodes: PSNR over the pixels that differ "
         "from the source's median image",
         false},
        {"--set", CLI_LIST, &set, "KEY=VALUE",
         "data.* keys: size (of a tokenizer without one), holdout, split_by, background", false},
        {"--max-bad", CLI_DOUBLE, &max_bad, "F", "largest share of images that may be unreadable",
         false},
        {"--max-pixels", CLI_U64, &max_pixels, "N",
         "refuse larger images (0 = 100,000,000; those that can be shrunk row by row "
         "1,000,000,000)",
         false},
        {"--lenient", CLI_FLAG, &lenient, NULL, IMAGE_LENIENT_HELP, false},
        {"--threads", CLI_INT, &threads, "N", "threads (0 = all processors)", false},
        {0},
    };
    cli_parse(argc, argv, "eval",
              "metrics of a tokenizer: a JSON line per source, then one over all when there are "
              "several; a table on stderr",
              (const cli_opt_t *const[]){options}, 1);
    pool_set_threads((int)threads);
    object_color_t color = {.radius = 80};
    if (object && !cli_rgb(object, color.color))
        die(RC_USAGE, "--object '%s': three numbers from 0 to 255 are needed", object);
    if (limit < 0) die(RC_USAGE, "--limit cannot be negative; 0 = all");
    evaluation_t e = {
        .split = split_parse(split), .object = object ? &color : NULL, .limit = (size_t)limit};
    e.v = vqvae_open_or_die(model);
    config_t c = config_for_model(e.v, model, &set);
    e.d = data_open(&data, &c, 0, max_bad, max_pixels, lenient);
    size_t K = vqvae_config(e.v)->codes, total = 0, done = 0;
    for (size_t i = 0; i < e.d->n; i++) {
        data_source_t *s = &e.d->source[i];
        total += evaluation_images(&e, s);
        if (foreground || s->frames) data_median(e.d, s);
    }
    data_say_empty(e.d, e.split);
    progress_t bar;
    progress_begin(&bar, "eval", 0, total);
    evaluation_sums_t all = evaluation_sums_new(K), *sums = xcalloc(e.d->n, sizeof *sums);
    for (size_t i = 0; i < e.d->n; i++) {
        sums[i] = evaluation_sums_new(K);
        evaluation_source(&e, &e.d->source[i], &sums[i], &bar, &done);
        evaluation_sums_add(&all, &sums[i], K);
    }
    progress_end(&bar);
    data_summary(e.d);
    print_all(&e, sums, &all, K);
    for (size_t i = 0; i < e.d->n; i++) evaluation_sums_release(&sums[i]);
    evaluation_sums_release(&all);
    free(sums);
    data_close(e.d);
    vqvae_free(e.v);
    return RC_OK;
}
