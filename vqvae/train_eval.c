/* train_eval.c - see train_eval.h. */
#include "vqvae/train_eval.h"

#include "common/base/log.h"
#include "common/base/sizes.h"
#include "common/io/fs.h"
#include "common/io/image/image_metrics.h"
#include "vqvae/metrics.h"
#include "vqvae/quantizer_kind.h"
#include "vqvae/train_feed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HELD_OUT = 128, /* images of an evaluation */
    SAMPLES = 16    /* pairs in the grid */
};

/* ---- which images ---- */

typedef struct {
    const data_source_t *source;
    size_t item;
} held_t;

/* Up to HELD_OUT images over all sources in turn, each once. A prime stride spreads them over a
 * source. Returns how many. */
static size_t choose_held_out(const data_t *d, held_t held[HELD_OUT]) {
    enum { STRIDE = 7919 };
    size_t n = 0;
    bool more = true;
    for (size_t round = 0; more && n < HELD_OUT; round++) {
        more = false;
        for (size_t k = 0; k < d->n && n < HELD_OUT; k++) {
            const data_source_t *s = &d->source[k];
            size_t count = data_count(s, SPLIT_VAL), stride = count % STRIDE ? STRIDE : 1;
            if (round >= count) continue;
            held[n++] = (held_t){s, data_item(s, SPLIT_VAL, round * stride % count)};
            more = true;
        }
    }
    return n;
}

/* ---- reconstructing them ---- */

/* Images of w x h: `values` floats each. */
typedef struct {
    size_t w, h, values;
    double squares;            /* sum of the images' mean squared errors */
    size_t n;                  /* images that could be read */
    image_t pair[2 * SAMPLES]; /* original, reconstruction, ... of the first of them */
    size_t n_pair;
} evaluation_t;

static image_t image_of(const evaluation_t *e, const float *values) {
    image_t image = image_new(e->w, e->h);
    image_from_float(values, e->values, image.rgb);
    return image;
}

static void add_image(evaluation_t *e, const float *original, const float *reconstruction) {
    e->squares += image_mse(reconstruction, original, e->values);
    e->n++;
    if (e->n_pair == 2 * SAMPLES) return;
    e->pair[e->n_pair++] = image_of(e, original);
    e->pair[e->n_pair++] = image_of(e, reconstruction);
}

/* Evaluates n <= t->n images as one batch; places that are left over stay black. `image`
 * [t->n,h,w,3] and `rgb` [h,w,3] are room to work in. */
static void evaluate_batch(evaluation_t *e, trainer_t *t, graph_t *g, const data_t *d,
                           const held_t *held, size_t n, float *image, uint8_t *rgb) {
    bool *readable = xcalloc(t->n, sizeof *readable);
    memset(image, 0, t->n * e->values * sizeof *image);
    for (size_t i = 0; i < n; i++) {
        readable[i] = data_read(d, held[i].source, held[i].item, rgb);
        if (readable[i]) image_to_float(rgb, e->values, image + i * e->values);
    }
    memcpy(plan_data(g->plan, g->image), image, t->n * e->values * sizeof *image);
    trainer_forward(t, g);
    const float *recon = plan_data(g->plan, g->recon);
    for (size_t i = 0; i < n; i++)
        if (readable[i]) add_image(e, image + i * e->values, recon + i * e->values);
    free(readable);
}

static void evaluate(evaluation_t *e, trainer_t *t, const data_t *d, bool quantized) {
    held_t held[HELD_OUT];
    size_t all = choose_held_out(d, held);
    *e = (evaluation_t){.w = d->w, .h = d->h, .values = d->w * d->h * 3};
    graph_t *g = trainer_graph(t, quantized);
    uint8_t *rgb = xmalloc(e->values);
    float *image = xmalloc(t->n * e->values * sizeof *image);
    progress_t bar;
    progress_begin(&bar, "evaluating", 0, all);
    for (size_t done = 0; done < all;) {
        size_t n = min_size(t->n, all - done);
        evaluate_batch(e, t, g, d, held + done, n, image, rgb);
        done += n;
        progress_step(&bar, done, NULL);
    }
    free(image);
    free(rgb);
}

/* ---- telling ---- */

static void write_samples(const evaluation_t *e, const char *run, int64_t step) {
    enum { COLUMNS = 8, MARGIN = 2, SMALL = 64 };
    char name[64];
    reason_t why;
    snprintf(name, sizeof name, "samples/step-%06lld.png", (long long)step);
    char *dir = fs_join(run, "samples"), *path = fs_join(run, name);
    image_t sheet = image_sheet(e->pair, e->n_pair, COLUMNS, MARGIN),
            big = image_zoom(&sheet, e->w <= SMALL ? 2 : 1);
    if (fs_mkdirs(dir, &why) || image_write_png(&big, path, &why)) warn("%s", why.text);
    image_release(&sheet);
    image_release(&big);
    free(dir);
    free(path);
}

void train_eval_held_out(trainer_t *t, const data_t *d, const char *run, int64_t step,
                         jsonw_t *line) {
    evaluation_t e;
    evaluate(&e, t, d, trainer_quantizes(t, step - 1));
    double mse = e.n ? e.squares / (double)e.n : NAN;
    jsonw_float(line, "psnr_held_out", (float)image_psnr(mse));
    if (e.n_pair) write_samples(&e, run, step);
    for (size_t i = 0; i < e.n_pair; i++) image_release(&e.pair[i]);
}

void train_eval_latents(trainer_t *t, int64_t step, jsonw_t *line) {
    graph_t *g = trainer_graph_at(t, step - 1);
    bool quantized = t->quantizer.kind->same_space && trainer_quantizes(t, step - 1);
    size_t width = t->model.vq_embed_dim, n = tape_count(g->tape, g->prequant) / width;
    const float *codes = quantized ? plan_data(g->plan, g->vq.quantized) : NULL;
    latents_t latents = metrics_latents(plan_data(g->plan, g->prequant), codes, n, width);
    jsonw_float(line, "z_norm", (float)latents.norm);
    jsonw_float(line, "quant_error", (float)latents.error);
}

/* ---- what it costs ---- */

double train_eval_seconds(trainer_t *t, const data_t *d) {
    held_t held[HELD_OUT];
    size_t n = choose_held_out(d, held);
    if (!n) return 0;
    graph_t *g = trainer_graph(t, true);
    train_feed_batch(d, t, g, 0);
    trainer_forward(t, g); /* the first one pays for page faults */
    double start = log_now();
    train_feed_batch(d, t, g, 0);
    trainer_forward(t, g);
    /* The last batch takes as long as a full one. */
    return (log_now() - start) * (double)ceil_div(n, t->n);
}
