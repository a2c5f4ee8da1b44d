/* eval.c - `vqvae eval`: metrics of a tokenizer on held-out or other images, a line a source. */
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/base/table.h"
#include "common/io/text/json.h"
#include "common/io/utf8.h"
#include "vqvae/commands.h"
#include "vqvae/data.h"
#include "vqvae/metrics.h"
#include "vqvae/quantizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 32 };

typedef struct {
    size_t images, with_object, object_kept, front_pixels;
    double mse, ssim, seconds, object_error,
        front_error; /* sum of squared errors over the foreground's pixels */
    float *counts;
} metrics_t;

typedef struct {
    vqvae_t *v;
    data_t *d;
    split_t split;
    const object_color_t *object;
    size_t limit;
} eval_t;

typedef struct {
    const eval_t *e;
    const data_source_t *s;
    size_t first, w, h;
    uint8_t *rgb, *recon;
    bool there[BATCH];
    double mse[BATCH], ssim[BATCH], front_error[BATCH];
    size_t front[BATCH]; /* pixels */
} batch_t;

static void read_item(void *ctx, size_t i) {
    batch_t *b = ctx;
    b->there[i] = data_read(b->e->d, b->s, data_item(b->s, b->e->split, b->first + i),
                            b->rgb + i * b->w * b->h * 3);
}

/* Those that vanished since the sources were opened leave no gap. */
static size_t close_gaps(batch_t *b, size_t m) {
    size_t n = 0, frame = b->w * b->h * 3;
    for (size_t i = 0; i < m; i++) {
        if (b->there[i] && n < i) memcpy(b->rgb + n * frame, b->rgb + i * frame, frame);
        n += b->there[i];
    }
    return n;
}

/* Squared error on [0,1] over the pixels that differ from the source's median image. */
static void compare_front(batch_t *b, size_t i) {
    size_t n = b->w * b->h;
    const uint8_t *x = b->rgb + i * n * 3, *y = b->recon + i * n * 3;
    bool *front = xmalloc(n * sizeof *front);
    b->front[i] = data_foreground(b->e->d, b->s, x, front);
    b->front_error[i] = 0;
    for (size_t p = 0; p < n * 3; p++)
        if (front[p / 3]) b->front_error[i] += (x[p] - y[p]) * (x[p] - y[p]) / (255.0 * 255.0);
    free(front);
}

static void compare_item(void *ctx, size_t i) {
    batch_t *b = ctx;
    size_t n = b->w * b->h * 3;
    float *x = xmalloc(2 * n * sizeof *x);
    image_to_float(b->rgb + i * n, n, x);
    image_to_float(b->recon + i * n, n, x + n);
    b->mse[i] = mse_of(x + n, x, n);
    b->ssim[i] = ssim_of(x, x + n, b->w, b->h);
    free(x);
    if (b->s->median) compare_front(b, i);
}

/* The object counts as kept when the reconstruction shows at least a quarter of its pixels within 5
 * % of the image's side. */
static void compare_object(const eval_t *e, const batch_t *b, size_t i, metrics_t *f) {
    double x, y, rx, ry;
    size_t n = object_find(e->object, b->rgb + i * b->w * b->h * 3, b->w, b->h, &x, &y);
    if (n < 4) return;
    f->with_object++;
    size_t m = object_find(e->object, b->recon + i * b->w * b->h * 3, b->w, b->h, &rx, &ry);
    if (!m) return;
    double error = hypot(rx - x, ry - y);
    if (m * 4 >= n && error <= 0.05 * (double)b->w) {
        f->object_kept++;
        f->object_error += error;
    }
}

static void eval_source(const eval_t *e, const data_source_t *s, metrics_t *f, progress_t *bar,
                        size_t *done) {
    size_t n = data_count(s, e->split), stride = vqvae_stride(vqvae_config(e->v)),
           grid = e->d->w / stride * (e->d->h / stride);
    if (e->limit && n > e->limit) n = e->limit;
    batch_t b = {.e = e, .s = s, .w = e->d->w, .h = e->d->h};
    b.rgb = xmalloc(BATCH * b.w * b.h * 3);
    b.recon = xmalloc(BATCH * b.w * b.h * 3);
    uint32_t *codes = xmalloc(BATCH * grid * sizeof *codes);
    for (; b.first < n; b.first += BATCH) {
        size_t taken = n - b.first < BATCH ? n - b.first : BATCH;
        parallel_for(taken, read_item, &b);
        *done += taken;
        size_t m = close_gaps(&b, taken);
        if (!m) continue;
        double start = log_now();
        vqvae_encode_images(e->v, b.rgb, m, b.w, b.h, codes);
        f->seconds += log_now() - start;
        vqvae_decode_codes(e->v, codes, m, b.w / stride, b.h / stride, b.recon);
        parallel_for(m, compare_item, &b);
        for (size_t i = 0; i < m; i++) {
            f->mse += b.mse[i];
            f->ssim += b.ssim[i];
            if (s->median) f->front_pixels += b.front[i], f->front_error += b.front_error[i];
            if (e->object) compare_object(e, &b, i, f);
        }
        for (size_t i = 0; i < m * grid; i++) f->counts[codes[i]]++;
        f->images += m;
        progress_step(bar, *done, NULL);
    }
    free(b.rgb);
    free(b.recon);
    free(codes);
}

static double front_psnr(const metrics_t *f) {
    return f->front_pixels ? psnr_of(f->front_error / (3 * (double)f->front_pixels)) : NAN;
}

static size_t used_codes(const metrics_t *f, size_t K) {
    size_t used = 0;
    for (size_t k = 0; k < K; k++) used += f->counts[k] > 0;
    return used;
}

static void print_metrics(const metrics_t *f, const char *source, size_t K, const eval_t *e) {
    double n = f->images ? (double)f->images : NAN;
    jsonw_t w = {0};
    jsonw_begin(&w);
    jsonw_str(&w, "source", source);
    jsonw_int(&w, "images", (int64_t)f->images);
    jsonw_float(&w, "psnr", (float)psnr_of(f->mse / n));
    jsonw_float(&w, "ssim", (float)(f->ssim / n));
    jsonw_float(&w, "mse", (float)(f->mse / n));
    jsonw_int(&w, "codes_used", (int64_t)used_codes(f, K));
    jsonw_int(&w, "codes", (int64_t)K);
    jsonw_float(&w, "perplexity", (float)perplexity_of(f->counts, K));
    jsonw_num(&w, "images_per_s", f->seconds > 0 ? round(n / f->seconds * 10) / 10 : NAN);
    jsonw_float(&w, "psnr_foreground", (float)front_psnr(f));
    if (e->object) {
        jsonw_int(&w, "object_images", (int64_t)f->with_object);
        jsonw_int(&w, "object_kept", (int64_t)f->object_kept);
        jsonw_float(&w, "object_error_px",
                    (float)(f->object_kept ? f->object_error / (double)f->object_kept : NAN));
    }
    puts(jsonw_end(&w));
    jsonw_free(&w);
}

/* The same metrics for people, a row per source. */
static void table_row(table_t *t, const metrics_t *f, const char *source, size_t K) {
    char name[64];
    double n = f->images ? (double)f->images : NAN;
    table_format(t, "%zu", f->images);
    table_number(t, "%.2f", psnr_of(f->mse / n));
    table_number(t, "%.2f", front_psnr(f));
    table_number(t, "%.4f", f->ssim / n);
    table_number(t, "%.6f", f->mse / n);
    table_format(t, "%zu/%zu", used_codes(f, K), K);
    table_number(t, "%.1f", perplexity_of(f->counts, K));
    table_text(t, utf8_printable(name, sizeof name, source));
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
        {"--split", CLI_STR, &split, "S", "val (held out), train or all", false},
        {"--limit", CLI_INT, &limit, "N", "images a source (0 = all)", false},
        {"--object", CLI_STR, &object, "R,G,B",
         "also count images whose object of this color survives", false},
        {"--foreground", CLI_FLAG, &foreground, NULL,
         "psnr_foreground of folders too, not of episodes alone: over pixels that differ from the "
         "source's median "
         "image",
         false},
        {"--set", CLI_LIST, &set, "KEY=VALUE",
         "data.* keys: size (models of native size), holdout, split_by, background", false},
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
    cli_parse(argc, argv, "eval",
              "metrics of a tokenizer: a JSON line a source, then one over all when there are "
              "several; a table on stderr",
              (const cli_opt_t *const[]){options}, 1);
    pool_set_threads((int)threads);
    object_color_t color = {.radius = 80};
    if (object && !cli_rgb(object, color.color))
        die(RC_USAGE, "--object '%s': three numbers of 0..255 are needed", object);
    if (limit < 0) die(RC_USAGE, "--limit cannot be negative");
    eval_t e = {
        .split = parse_split(split), .object = object ? &color : NULL, .limit = (size_t)limit};
    e.v = model_open(model);
    config_t c = config_for_model(e.v, model, &set);
    e.d = data_open(&data, &c, 0, max_bad, max_pixels, lenient);
    size_t K = vqvae_config(e.v)->codes, total = 0, done = 0;
    metrics_t all = {.counts = xcalloc(K, sizeof(float))};
    for (size_t i = 0; i < e.d->n; i++) {
        data_source_t *s = &e.d->source[i];
        total += limit && data_count(s, e.split) > e.limit ? e.limit : data_count(s, e.split);
        if (foreground || s->frames) data_median(e.d, s);
    }
    data_say_empty(e.d, e.split);
    progress_t bar;
    progress_begin(&bar, "eval", 0, total);
    metrics_t *f = xcalloc(e.d->n, sizeof *f);
    for (size_t i = 0; i < e.d->n; i++) {
        f[i].counts = xcalloc(K, sizeof(float));
        eval_source(&e, &e.d->source[i], &f[i], &bar, &done);
        for (size_t k = 0; k < K; k++) all.counts[k] += f[i].counts[k];
        all.images += f[i].images, all.mse += f[i].mse, all.ssim += f[i].ssim,
            all.seconds += f[i].seconds;
        all.front_pixels += f[i].front_pixels, all.front_error += f[i].front_error;
        all.with_object += f[i].with_object, all.object_kept += f[i].object_kept,
            all.object_error += f[i].object_error;
    }
    progress_end(&bar);
    data_summary(e.d);
    table_t table;
    table_begin(&table, "rrrrrrrl", "images", "PSNR", "front", "SSIM", "MSE", "codes", "perplexity",
                "source");
    for (size_t i = 0; i < e.d->n; i++) {
        table_row(&table, &f[i], image_source_name(e.d->source[i].source), K);
        print_metrics(&f[i], image_source_name(e.d->source[i].source), K, &e);
        free(f[i].counts);
    }
    if (e.d->n > 1) table_row(&table, &all, "all together", K);
    if (e.d->n > 1) print_metrics(&all, NULL, K, &e);
    table_print(&table);
    free(all.counts);
    free(f);
    data_close(e.d);
    vqvae_free(e.v);
    return RC_OK;
}
