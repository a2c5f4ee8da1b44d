/* train.c - `vqvae train`. */
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "common/train/identity.h"
#include "common/train/loop.h"
#include "vqvae/commands.h"
#include "vqvae/data.h"
#include "vqvae/metrics.h"
#include "vqvae/quantizer_kind.h"
#include "vqvae/settings.h"
#include "vqvae/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    VECTORS_A_CODE = 32,
    SAMPLES = 16,
    HELD_OUT = 128 /* images of an evaluation during training */
};

typedef struct {
    loop_options_t o;
    cli_list_t data;
    const char *init;
    double max_bad;
    bool strict;
    uint64_t max_pixels;
    bool lenient;
    config_t config;
    data_t *d;
    trainer_t *t;
    params_t *params;
    trainer_step_t last;
    char *config_text, *network_text, *tokenizer_text, *training_text, *preprocess, *quantizer;
    char *init_preprocess, init_print[33];
    bool init_trained;
    float replaced; /* codes, since the last log line: part of the checkpoint */
    checkpoint_state_t state[16 + ADVERSARY_STATE], made;
    identity_t id;
} run_t;

static const char REPLACED[] = "train.replaced";

/* ---- steps ---- */

static uint64_t sample_at(const run_t *r, int64_t step, int64_t micro) {
    return (uint64_t)(step * r->config.train.accumulate + micro) * (uint64_t)r->config.train.batch;
}

static void load_batch(run_t *r, graph_t *g, uint64_t first) {
    float *weight = g->weight == NO_VAR ? NULL : plan_data(g->plan, g->weight);
    data_batch(r->d, first, r->t->n, plan_data(g->plan, g->image), weight);
}

/* The codebook's start, at the first step with quantizer: images of a stretch of samples that no
 * step sees. */
static void start_codebook(run_t *r) {
    trainer_t *t = r->t;
    if (!t->quantizer.kmeans) {
        quantizer_adopt(&t->quantizer);
        return;
    }
    graph_t *g = trainer_graph(t, false);
    size_t tokens = tape_count(g->tape, g->prequant) / t->model.vq_embed_dim,
           want = VECTORS_A_CODE * t->model.codes, n = 0;
    size_t batches = (want + tokens - 1) / tokens;
    float *z = xmalloc(batches * tokens * t->model.vq_embed_dim * sizeof *z);
    for (size_t i = 0; i < batches; i++) {
        load_batch(r, g, (uint64_t)1 << 40 | i * t->n);
        n += trainer_encode(t, z + n * t->model.vq_embed_dim);
    }
    quantizer_kmeans(&t->quantizer, z, n, rng_make(r->o.seed, "quantizer.kmeans"));
    free(z);
}

static loop_step_t step(void *ctx, int64_t s) {
    run_t *r = ctx;
    if (s == r->config.train.warmup_no_quant && !r->init) start_codebook(r);
    graph_t *g = trainer_graph_at(r->t, s);
    for (int64_t m = 0; m < r->config.train.accumulate; m++) {
        load_batch(r, g, sample_at(r, s, m));
        trainer_replay(r->t, s, m, &r->last);
    }
    trainer_update(r->t, s, &r->last);
    if (r->last.quantized && !r->last.skipped) r->replaced += (float)r->t->quantizer.replaced;
    return (loop_step_t){.loss = r->last.loss,
                         .grad_norm = r->last.grad_norm,
                         .lr = r->last.lr,
                         .skipped = r->last.skipped,
                         .items = (double)(r->config.train.batch * r->config.train.accumulate)};
}

/* ---- held-out metrics and the grid of samples ---- */

typedef struct {
    const data_source_t *source;
    size_t item;
} held_t;

/* Which held-out images are evaluated: up to HELD_OUT over all sources in turn, each once. A prime
 * stride spreads them over a source. */
static size_t choose_held_out(const run_t *r, held_t *held) {
    enum { STRIDE = 7919 };
    size_t n = 0;
    bool more = true;
    for (size_t round = 0; more && n < HELD_OUT; round++) {
        more = false;
        for (size_t k = 0; k < r->d->n && n < HELD_OUT; k++) {
            const data_source_t *s = &r->d->source[k];
            size_t count = data_count(s, SPLIT_VAL), stride = count % STRIDE ? STRIDE : 1;
            if (round >= count) continue;
            held[n++] = (held_t){s, data_item(s, SPLIT_VAL, round * stride % count)};
            more = true;
        }
    }
    return n;
}

/* Reconstructs held-out images through the current graph: pairs [original, reconstruction] of the
 * first SAMPLES of them. Returns PSNR. */
static double held_out(run_t *r, bool quantized, image_t *pair, size_t *n_pairs) {
    graph_t *g = trainer_graph(r->t, quantized);
    size_t per = r->d->w * r->d->h * 3, n = 0;
    held_t held[HELD_OUT];
    size_t all = choose_held_out(r, held);
    uint8_t *rgb = xmalloc(per);
    double mse = 0;
    *n_pairs = 0;
    bool *there = xcalloc(r->t->n, sizeof *there);
    float *image = xmalloc(r->t->n * per * sizeof *image), *input = plan_data(g->plan, g->image);
    progress_t bar;
    progress_begin(&bar, "evaluating", 0, all);
    for (size_t done = 0; done < all; done += r->t->n) {
        size_t here = 0;
        memset(there, 0, r->t->n * sizeof *there);
        memset(image, 0, r->t->n * per * sizeof *image);
        for (; here < r->t->n && done + here < all; here++) {
            const held_t *h = &held[done + here];
            if (!data_read(r->d, h->source, h->item, rgb)) continue;
            there[here] = true;
            image_to_float(rgb, per, image + here * per);
        }
        memcpy(input, image, r->t->n * per * sizeof *image);
        plan_forward(g->plan);
        const float *recon = plan_data(g->plan, g->recon);
        for (size_t i = 0; i < here; i++) {
            if (!there[i]) continue; /* vanished */
            mse += metrics_mse(recon + i * per, image + i * per, per);
            n++;
            if (*n_pairs + 2 > 2 * SAMPLES) continue;
            image_t a = image_new(r->d->w, r->d->h), b = image_new(r->d->w, r->d->h);
            image_from_float(image + i * per, per, a.rgb);
            image_from_float(recon + i * per, per, b.rgb);
            pair[(*n_pairs)++] = a;
            pair[(*n_pairs)++] = b;
        }
        progress_step(&bar, done + here, NULL);
    }
    free(image);
    free(there);
    free(rgb);
    return metrics_psnr(n ? mse / (double)n : NAN);
}

static void write_samples(const run_t *r, int64_t s, image_t *pair, size_t n) {
    char name[64];
    reason_t why;
    snprintf(name, sizeof name, "samples/step-%06lld.png", (long long)s);
    char *dir = fs_join(r->o.out, "samples"), *path = fs_join(r->o.out, name);
    image_t sheet = image_sheet(pair, n, 8, 2), big = image_zoom(&sheet, r->d->w <= 64 ? 2 : 1);
    if (fs_mkdirs(dir, &why) || image_write_png(&big, path, &why)) warn("%s", why.text);
    image_release(&sheet);
    image_release(&big);
    free(dir);
    free(path);
}

/* The encoder's outputs of the last replay: their mean length, and how far the codes are from them
 * as a share of their variance (1 = as far as one code for all would be). */
static void report_latents(const run_t *r, int64_t s, jsonw_t *line) {
    graph_t *g = trainer_graph_at(r->t, s - 1);
    /* The other kinds' codes are vectors of another space than the encoder's. */
    bool quantized = r->t->quantizer.kind->same_space && trainer_quantizes(r->t, s - 1);
    latents_t f = metrics_latents(
        plan_data(g->plan, g->prequant), quantized ? plan_data(g->plan, g->vq.quantized) : NULL,
        tape_count(g->tape, g->prequant) / r->t->model.vq_embed_dim, r->t->model.vq_embed_dim);
    jsonw_float(line, "z_norm", (float)f.norm);
    jsonw_float(line, "quant_error", (float)f.error);
}

static void report_gan(jsonw_t *line, const trainer_step_t *s) {
    jsonw_float(line, "loss_gan", s->adversarial ? (float)s->gan.loss_gan : NAN);
    jsonw_float(line, "d_weight", s->adversarial ? (float)s->gan.d_weight : NAN);
    jsonw_float(line, "loss_disc", s->adversarial ? (float)s->gan.loss_disc : NAN);
}

static void report(void *ctx, int64_t s, bool evaluate, jsonw_t *line, char *note,
                   size_t note_size) {
    run_t *r = ctx;
    const quantizer_t *q = &r->t->quantizer;
    bool quantized = trainer_quantizes(r->t, s - 1);
    jsonw_float(line, "psnr", (float)r->last.psnr);
    jsonw_float(line, "loss_rec", (float)r->last.loss_rec);
    if (quantized) {
        jsonw_float(line, "loss_vq", (float)r->last.loss_vq);
        jsonw_float(line, "perplexity", (float)quantizer_perplexity(q));
        jsonw_int(line, "codes_used", (int64_t)quantizer_used(q));
        jsonw_int(line, "replaced", (int64_t)r->replaced);
        snprintf(note, note_size, "psnr %.2f codes %zu/%zu", r->last.psnr, quantizer_used(q), q->K);
    } else {
        jsonw_raw(line, "perplexity", "null");
        jsonw_raw(line, "codes_used", "null");
        snprintf(note, note_size, "psnr %.2f (no quantizer yet)", r->last.psnr);
    }
    report_latents(r, s, line);
    r->replaced = 0;
    if (r->t->lpips) jsonw_float(line, "loss_perceptual", (float)r->last.loss_perceptual);
    if (r->t->adversary) report_gan(line, &r->last);
    if (!evaluate) return;
    image_t pair[2 * SAMPLES];
    size_t n;
    jsonw_float(line, "psnr_held_out", (float)held_out(r, quantized, pair, &n));
    if (n) write_samples(r, s, pair, n);
    for (size_t i = 0; i < n; i++) image_release(&pair[i]);
}

/* ---- checkpoint ---- */

/* The weights file: everything but what only a training needs. */
static const char *const NETWORK[] = {"", "!" QUANTIZER_PREFIX, "!" ADVERSARY_PREFIX};

static size_t training_state(run_t *r) {
    size_t n = quantizer_state(&r->t->quantizer, r->state);
    return n + adversary_state(r->t->adversary, r->state + n);
}

/* Do the codes mean something after `s` updates? Those of --init stay as they were when everything
 * that decides them is frozen. */
static bool codes_trained(const run_t *r, int64_t s) {
    if (r->init && freeze_keeps_codes(&r->t->freeze, r->params)) return r->init_trained;
    return s > r->config.train.warmup_no_quant;
}

static void checkpoint(void *ctx, int64_t s, checkpoint_t *c) {
    static checkpoint_text_t texts[2];
    run_t *r = ctx;
    free(r->training_text);
    free(r->tokenizer_text);
    int block = r->config.train.weight_average > 0 ? PARAMS_AVERAGE : PARAMS_VALUE;
    char print[33];
    const float *codes = quantizer_publish(&r->t->quantizer, block);
    vqvae_fingerprint_with(r->params, block, codes, r->quantizer, r->preprocess, print);
    r->made = (checkpoint_state_t){"quantize.embedding.weight", (float *)(uintptr_t)codes,
                                   r->t->model.codes * r->t->model.vq_embed_dim};
    r->tokenizer_text =
        vqvae_tokenizer_text(print, r->preprocess, r->quantizer, codes_trained(r, s));
    r->training_text = identity_json(&r->id, s);
    texts[0] = (checkpoint_text_t){"config.json", r->network_text};
    texts[1] = (checkpoint_text_t){"tokenizer.json", r->tokenizer_text};
    *c = (checkpoint_t){.params = r->params,
                        .weights_file = "diffusion_pytorch_model.safetensors",
                        .weights_block = block,
                        .weights = NETWORK,
                        .n_weights = sizeof NETWORK / sizeof *NETWORK,
                        .fresh = ADVERSARY_PREFIX,
                        .made = &r->made,
                        .n_made = codes ? 1 : 0,
                        .text = texts,
                        .n_text = 2,
                        .state = r->state,
                        .training_json = r->training_text};
    c->n_state = training_state(r);
    r->state[c->n_state++] = (checkpoint_state_t){REPLACED, &r->replaced, 1};
}

static int64_t restore(run_t *r, st_file_t *file, const char *json) {
    reason_t why;
    int64_t s = identity_resume(&r->id, r->o.out, json);
    checkpoint_t c = {.params = r->params, .fresh = ADVERSARY_PREFIX, .state = r->state};
    const quantizer_kind_t *kind = r->t->quantizer.kind;
    if (!kind->codebook && st_find(file, "value/quantize.embedding.weight"))
        die(RC_MISFIT, "'%s' has a codebook: quantizer.kind cannot become %s", r->o.out,
            kind->name);
    /* A discriminator that joins a run later begins fresh. */
    c.n_state =
        adversary_in(file) ? training_state(r) : quantizer_state(&r->t->quantizer, r->state);
    int rc = checkpoint_restore(file, &c, &why);
    if (rc) die(rc, "'%s': %s", r->o.out, why.text);
    const st_tensor_t *replaced =
        st_find(file, "state/train.replaced"); /* older states have none */
    if (replaced && replaced->count == 1 && st_read_f32(replaced, &r->replaced, &why))
        die(RC_DATA, "%s", why.text);
    if (r->config.train.weight_average > 0 &&
        !st_find(file, "average/encoder.conv_in.weight")) /* one that begins now begins here */
        memcpy(params_base(r->params, PARAMS_AVERAGE), params_base(r->params, PARAMS_VALUE),
               params_block(r->params) * sizeof(float));
    return s;
}

/* ---- the command ---- */

/* Seconds of one evaluation: its batches, the last one as long as a full one. */
static double seconds_of_evaluation(run_t *r) {
    held_t held[HELD_OUT];
    size_t n = choose_held_out(r, held), batches = (n + r->t->n - 1) / r->t->n;
    if (!n) return 0;
    graph_t *g = trainer_graph(r->t, true);
    load_batch(r, g, 0);
    plan_forward(g->plan); /* the first one pays for page faults */
    double start = log_now();
    load_batch(r, g, 0);
    plan_forward(g->plan);
    return (log_now() - start) * (double)batches;
}

static void dry_run(run_t *r) {
    jsonw_t w = {0};
    size_t parameters = 0;
    for (size_t i = 0; i < params_n(r->params); i++)
        parameters += params_at(r->params, (int)i)->count;
    double flops = trainer_flops(r->t);
    int64_t full = trainer_full_step(r->t);
    graph_t *g = trainer_graph_at(r->t, full);
    double memory =
        (double)plan_bytes(g->plan) + (double)lpips_bytes(r->t->lpips) +
        (double)params_block(r->params) * 4 * (r->config.train.weight_average > 0 ? 5 : 4);
    double start = 0, seconds;
    for (int i = 0; i < 3; i++) { /* the first replay pays for page faults */
        load_batch(r, g, 0);
        if (i == 1) start = log_now();
        trainer_replay(r->t, full, 0, &r->last);
    }
    seconds = (log_now() - start) / 2 * (double)r->config.train.accumulate;
    jsonw_begin(&w);
    jsonw_int(&w, "parameters", (int64_t)parameters);
    jsonw_num(&w, "flops_per_step", flops);
    jsonw_num(&w, "memory_bytes", memory);
    jsonw_num(&w, "seconds_per_step", seconds);
    jsonw_num(&w, "expected_seconds",
              seconds * (double)r->config.train.steps +
                  seconds_of_evaluation(r) *
                      (double)loop_evaluations(r->config.train.steps, r->config.train.eval_every));
    puts(jsonw_end(&w));
    jsonw_free(&w);
}

/* Before the configuration's files and settings: the RUN's network, size and weights are what they
 * start from. */
static void load_init(run_t *r) {
    if (fs_same(r->init, r->o.out)) die(RC_USAGE, "'%s' is both --init and --out", r->init);
    vqvae_t *v = vqvae_open_or_die(r->init);
    char *known = vqvae_quantizer_text(vqvae_config(v));
    if (strcmp(vqvae_quantizer_json(v), known))
        die(RC_MISFIT, "--init '%s': its quantizer is %s; this program trains %s", r->init,
            vqvae_quantizer_json(v), known);
    free(known);
    config_from_init(&r->config, v);
    r->init_preprocess = xstrdup(vqvae_preprocess_json(v));
    snprintf(r->init_print, sizeof r->init_print, "%s", vqvae_fingerprint(v));
    r->init_trained = vqvae_trained(v);
    params_t *from = vqvae_params(v);
    vqvae_declare(r->params, vqvae_config(v));
    for (size_t i = 0; i < params_n(from); i++) {
        const param_t *q = params_at(from, (int)i);
        int at = params_find(r->params, q->name);
        memcpy(params_ptr(r->params, PARAMS_VALUE, at), params_ptr(from, PARAMS_VALUE, (int)i),
               q->count * sizeof(float));
    }
    vqvae_free(v);
}

/* The discriminator that the RUN was trained with goes on, if the configuration asks for one like
 * it. Its optimizer begins anew, as the network's does. */
static void init_disc(run_t *r) {
    st_file_t f;
    reason_t why;
    char *path;
    adversary_t *a = r->t->adversary;
    if (!a || !adversary_find(r->init, &f, &path)) return;
    if (adversary_like(a, &f)) {
        int rc = adversary_load(a, &f, &why);
        if (rc) die(rc, "'%s': discriminator: %s", path, why.text);
    } else {
        warn("'%s' holds a discriminator of another shape; a new one starts by the seed", path);
    }
    st_close(&f);
    free(path);
}

int cmd_vqvae_train(int argc, char **argv) {
    run_t *r = NEW(run_t);
    r->max_bad = 0.01;
    cli_opt_t *common = loop_options(&r->o);
    const cli_opt_t own[] = {
        {"--data", CLI_LIST, &r->data, "SRC[=W]",
         "images: a folder, a WebDataset tar (name-{000..009}.tar too), or a Minari dataset; "
         "repeatable, W is its "
         "share of the mix",
         true},
        {"--init", CLI_STR, &r->init, "RUN",
         "start from another RUN (fine-tuning): its weights, model.* and data.size, and its "
         "discriminator if loss.disc "
         "asks for one of that shape (else a new one); "
         "no steps without quantizer unless set",
         false},
        {"--max-bad", CLI_DOUBLE, &r->max_bad, "F", "share of unreadable images that is tolerated",
         false},
        {"--strict", CLI_FLAG, &r->strict, NULL,
         "tolerate no bad item of any kind: the same as --max-bad 0", false},
        {"--max-pixels", CLI_U64, &r->max_pixels, "N",
         "refuse larger images (0 = 100,000,000; those that can be shrunk row by row "
         "1,000,000,000)",
         false},
        {"--lenient", CLI_FLAG, &r->lenient, NULL, IMAGE_LENIENT_HELP, false},
        {0},
    };
    config_begin(&r->config);
    if (loop_help_config(argc, argv)) {
        config_help(config_table);
        return RC_OK;
    }
    cli_parse(argc, argv, "train", "pretrain an image tokenizer",
              (const cli_opt_t *const[]){own, common}, 2);
    loop_look(&r->o);
    if (r->strict) r->max_bad = 0;
    pool_set_threads((int)r->o.threads);
    r->params = params_new(r->o.seed);
    if (r->init) load_init(r);
    config_t start = r->config;
    if (r->o.config) config_file(config_table, &r->config, r->o.config);
    config_sets(config_table, &r->config, &r->o.set);
    if (r->o.steps > 0) r->config.train.steps = r->o.steps;
    if (r->o.resume && r->config.train.warmup_no_quant < 0)
        r->config.train.warmup_no_quant = config_warmup_of_run(r->o.out);
    if (r->init && r->config.train.warmup_no_quant < 0) r->config.train.warmup_no_quant = 0;
    config_settle(&r->config);
    char differences[1024];
    if (r->init &&
        config_diff(config_table, &start, &r->config, CONFIG_ARCH, differences, sizeof differences))
        die(RC_MISFIT,
            "--init '%s' has another network than the configuration asks for (RUN vs "
            "configuration): %s",
            r->init, differences);
    const quantizer_kind_t *from = quantizer_kind(&start);
    if (r->init && from->codebook != quantizer_kind(&r->config)->codebook)
        die(RC_MISFIT, "--init '%s' %s: quantizer.kind cannot be another", r->init,
            from->codebook ? "has a codebook" : "has no codebook");
    config_model(&r->config);
    settings_check(&r->config);
    data_refuse_out(&r->data, r->o.out);
    r->d = data_open(&r->data, &r->config, r->o.seed, r->max_bad, r->max_pixels, r->lenient);
    settings_check_data(&r->config, r->d);
    if (r->config.loss.focus > 1) data_medians(r->d);
    r->t = trainer_new(&r->config, r->params, (size_t)r->config.train.batch, r->d->w, r->d->h,
                       r->o.seed);
    if (r->init) {
        quantizer_adopt(&r->t->quantizer);
        init_disc(r);
    }
    if (r->o.dry_run) {
        dry_run(r);
        return RC_OK;
    }
    r->config_text = config_print(config_table, &r->config);
    r->id = (identity_t){"vqvae",   config_table,        &r->config, sizeof r->config,
                         r->o.seed, data_manifest(r->d), NULL,       r->o.allow_data_change};
    r->network_text = vqvae_config_json(&r->t->model, r->d->w);
    r->preprocess = config_preprocess(&r->config);
    if (r->init) {
        r->id.init = r->init_print;
        /* Codes that cannot change keep their fingerprint: images are prepared for them as
         * before. */
        if (freeze_keeps_codes(&r->t->freeze, r->params)) r->preprocess = r->init_preprocess;
    }
    r->quantizer = vqvae_quantizer_text(&r->t->model);
    params_base(r->params, PARAMS_M);
    params_base(r->params, PARAMS_V);
    if (r->config.train.weight_average > 0)
        memcpy(params_base(r->params, PARAMS_AVERAGE), params_base(r->params, PARAMS_VALUE),
               params_block(r->params) * sizeof(float));
    st_file_t file = {0};
    char *json = NULL;
    int64_t first = 0;
    bool resumed = loop_begin(&r->o, &file, &json);
    if (resumed) first = restore(r, &file, json);
    loop_t l = {.unit = "images_per_s",
                .steps = r->config.train.steps,
                .log_every = r->config.train.log_every,
                .eval_every = r->config.train.eval_every,
                .save_every = r->config.train.save_every,
                .max_nan = 3,
                .tensorboard = r->config.train.tensorboard,
                .arguments = r->config_text,
                .ctx = r,
                .step = step,
                .report = report,
                .checkpoint = checkpoint};
    int rc = loop_run(&l, &r->o, first, resumed ? &file : NULL);
    data_summary(r->d);
    if (resumed) st_close(&file);
    return rc;
}
