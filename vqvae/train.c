/* train.c - `vqvae train`: the command, its steps, and what its checkpoints hold. */
#include "common/base/log.h"
#include "common/train/session.h"
#include "vqvae/commands.h"
#include "vqvae/quantizer_kind.h"
#include "vqvae/settings.h"
#include "vqvae/train_eval.h"
#include "vqvae/train_feed.h"
#include "vqvae/train_init.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATES = 4 + ADVERSARY_STATE + 1 /* quantizer, discriminator, replaced codes */ };

typedef struct {
    session_t session;
    /* options */
    cli_list_t data;
    double max_bad;
    uint64_t max_pixels;
    bool strict, lenient;
    train_init_t init;

    config_t config;
    params_t *params;
    data_t *d;
    trainer_t *t;
    trainer_step_t last; /* the last step's results */
    float replaced;      /* codes, since the last log line: part of the checkpoint */

    /* parts of a checkpoint, owned */
    char *network_text, *preprocess, *quantizer_text, *tokenizer_text;
    checkpoint_text_t texts[2];
    checkpoint_state_t state[STATES];
    checkpoint_made_t codes;
} run_t;

/* ---- steps ---- */

/* Number of the first sample of a micro-batch, counted over the whole training. */
static uint64_t first_sample(const run_t *r, int64_t step, int64_t micro) {
    int64_t batches = step * r->config.train.accumulate + micro;
    return (uint64_t)batches * (uint64_t)r->config.train.batch;
}

static loop_step_t step(void *ctx, int64_t s) {
    run_t *r = ctx;
    if (s == r->config.train.warmup_no_quant && !r->init.run) train_feed_codebook(r->d, r->t);
    graph_t *g = trainer_graph_at(r->t, s);
    for (int64_t micro = 0; micro < r->config.train.accumulate; micro++) {
        train_feed_batch(r->d, r->t, g, first_sample(r, s, micro));
        trainer_replay(r->t, s, micro, &r->last);
    }
    trainer_update(r->t, s, &r->last);
    if (r->last.quantized && !r->last.skipped) r->replaced += (float)r->t->quantizer.replaced;
    return (loop_step_t){.loss = r->last.loss,
                         .grad_norm = r->last.grad_norm,
                         .lr = r->last.lr,
                         .skipped = r->last.skipped,
                         .items = (double)(r->config.train.batch * r->config.train.accumulate)};
}

/* ---- metrics ---- */

static void report_quantizer(const run_t *r, jsonw_t *line, char *note, size_t note_size) {
    const quantizer_t *q = &r->t->quantizer;
    size_t used = quantizer_used(q);
    jsonw_float(line, "loss_vq", (float)r->last.loss_vq);
    jsonw_float(line, "perplexity", (float)quantizer_perplexity(q));
    jsonw_int(line, "codes_used", (int64_t)used);
    jsonw_int(line, "replaced", (int64_t)r->replaced);
    snprintf(note, note_size, "psnr %.2f codes %zu/%zu", r->last.psnr, used, q->K);
}

static void report_no_quantizer(const run_t *r, jsonw_t *line, char *note, size_t note_size) {
    jsonw_raw(line, "perplexity", "null");
    jsonw_raw(line, "codes_used", "null");
    snprintf(note, note_size, "psnr %.2f (no quantizer yet)", r->last.psnr);
}

static void report_gan(const trainer_step_t *s, jsonw_t *line) {
    jsonw_float(line, "loss_gan", s->adversarial ? (float)s->gan.loss_gan : NAN);
    jsonw_float(line, "d_weight", s->adversarial ? (float)s->gan.d_weight : NAN);
    jsonw_float(line, "loss_disc", s->adversarial ? (float)s->gan.loss_disc : NAN);
}

static void report(void *ctx, int64_t s, bool evaluate, jsonw_t *line, char *note,
                   size_t note_size) {
    run_t *r = ctx;
    jsonw_float(line, "psnr", (float)r->last.psnr);
    jsonw_float(line, "loss_rec", (float)r->last.loss_rec);
    if (trainer_quantizes(r->t, s - 1))
        report_quantizer(r, line, note, note_size);
    else
        report_no_quantizer(r, line, note, note_size);
    train_eval_latents(r->t, s, line);
    r->replaced = 0;
    if (r->t->lpips) jsonw_float(line, "loss_perceptual", (float)r->last.loss_perceptual);
    if (r->t->adversary) report_gan(&r->last, line);
    if (evaluate) train_eval_held_out(r->t, r->d, r->session.options.out, s, line);
}

/* ---- checkpoints ---- */

static const char REPLACED[] = "train.replaced";

/* The weights file: everything but what only a training needs. */
static const char *const NETWORK[] = {"", "!" QUANTIZER_PREFIX, "!" ADVERSARY_PREFIX};

/* Fills in r->state: of the quantizer, and of the discriminator if asked for. Returns how many. */
static size_t training_state(run_t *r, bool adversary) {
    size_t n = quantizer_state(&r->t->quantizer, r->state);
    if (adversary) n += adversary_state(r->t->adversary, r->state + n);
    return n;
}

/* Do the codes mean something after `s` updates? Those of --init stay as they were if everything
 * that decides them is frozen. */
static bool codes_trained(const run_t *r, int64_t s) {
    if (r->init.run && freeze_keeps_codes(&r->t->freeze, r->params)) return r->init.trained;
    return s > r->config.train.warmup_no_quant;
}

static void checkpoint(void *ctx, int64_t s, checkpoint_t *c) {
    run_t *r = ctx;
    const float *codes = quantizer_publish(&r->t->quantizer, c->weights_block);
    r->codes = (checkpoint_made_t){"quantize.embedding.weight", codes,
                                   r->t->model.codes * r->t->model.vq_embed_dim};
    char print[33];
    vqvae_fingerprint_with(r->params, c->weights_block, codes, r->quantizer_text, r->preprocess,
                           print);
    free(r->tokenizer_text);
    r->tokenizer_text =
        vqvae_tokenizer_text(print, r->preprocess, r->quantizer_text, codes_trained(r, s));
    r->texts[0] = (checkpoint_text_t){"config.json", r->network_text};
    r->texts[1] = (checkpoint_text_t){"tokenizer.json", r->tokenizer_text};
    c->weights_file = "diffusion_pytorch_model.safetensors";
    c->weights = NETWORK;
    c->n_weights = sizeof NETWORK / sizeof *NETWORK;
    c->made = &r->codes;
    c->n_made = codes ? 1 : 0;
    c->text = r->texts;
    c->n_text = 2;
    c->state = r->state;
    c->n_state = training_state(r, true);
    r->state[c->n_state++] = (checkpoint_state_t){REPLACED, &r->replaced, 1};
}

static void resume(void *ctx, const st_file_t *file, checkpoint_t *c) {
    run_t *r = ctx;
    reason_t why;
    const quantizer_kind_t *kind = r->t->quantizer.kind;
    if (!kind->codebook && st_find(file, "value/quantize.embedding.weight"))
        die(RC_MISFIT, "'%s' has a codebook: quantizer.kind cannot become %s",
            r->session.options.out, kind->name);
    /* A discriminator that joins a run later begins fresh. */
    c->state = r->state;
    c->n_state = training_state(r, adversary_in(file));
    /* Older states have no count of replaced codes. */
    const st_tensor_t *replaced = st_find(file, "state/train.replaced");
    if (replaced && replaced->count == 1 && st_read_f32(replaced, &r->replaced, &why))
        die(RC_DATA, "%s", why.text);
}

/* ---- --dry-run ---- */

static void dry_run(run_t *r) {
    enum { TIMED = 2 };
    int64_t full = trainer_full_step(r->t);
    graph_t *g = trainer_graph_at(r->t, full);
    session_cost_t cost = {.flops = trainer_flops(r->t),
                           .bytes = (double)plan_bytes(g->plan) + (double)lpips_bytes(r->t->lpips)};
    for (size_t i = 0; i < params_n(r->params); i++)
        cost.parameters += params_at(r->params, (int)i)->count;

    double start = 0;
    for (int i = 0; i <= TIMED; i++) { /* the first replay pays for page faults */
        train_feed_batch(r->d, r->t, g, 0);
        if (i == 1) start = log_now();
        trainer_replay(r->t, full, 0, &r->last);
    }
    cost.seconds_per_step = (log_now() - start) / TIMED * (double)r->config.train.accumulate;
    cost.seconds_per_evaluation = train_eval_seconds(r->t, r->d);
    session_print_cost(&r->session, &cost);
}

/* ---- the command ---- */

static bool parse(run_t *r, int argc, char **argv) {
    r->max_bad = 0.01;
    const cli_opt_t own[] = {
        {"--data", CLI_LIST, &r->data, "SRC[=W]",
         "images: a folder, a WebDataset tar (name-{000..009}.tar too), or a Minari dataset; "
         "repeatable, W is its share of the mix",
         true},
        {"--init", CLI_STR, &r->init.run, "RUN",
         "start from another RUN (fine-tuning): its weights, model.* and data.size, and its "
         "discriminator if loss.disc asks for one of that shape (else a new one); no steps "
         "without quantizer unless set",
         false},
        {"--max-bad", CLI_DOUBLE, &r->max_bad, "F",
         "largest share of unreadable images that is tolerated", false},
        {"--strict", CLI_FLAG, &r->strict, NULL,
         "tolerate no bad item of any kind: the same as --max-bad 0", false},
        {"--max-pixels", CLI_U64, &r->max_pixels, "N",
         "refuse larger images (0 = 100,000,000; those that can be shrunk row by row "
         "1,000,000,000)",
         false},
        {"--lenient", CLI_FLAG, &r->lenient, NULL, IMAGE_LENIENT_HELP, false},
        {0},
    };
    if (!session_parse(&r->session, argc, argv, "pretrain an image tokenizer", own)) return false;
    if (r->strict) r->max_bad = 0;
    return true;
}

/* Defaults, then the RUN of --init, then files and settings. */
static void configure(run_t *r) {
    const session_options_t *o = &r->session.options;
    config_t *c = &r->config;
    if (r->init.run) train_init_load(&r->init, o->out, r->params, c);
    session_configure(&r->session, c, &c->train.steps);
    if (o->resume && c->train.warmup_no_quant < 0)
        c->train.warmup_no_quant = config_warmup_of_run(o->out);
    if (r->init.run && c->train.warmup_no_quant < 0) c->train.warmup_no_quant = 0;
    config_settle(c);
    if (r->init.run) train_init_check(&r->init, c);
    config_model(c); /* refuses an impossible network before data is read */
    settings_check(c);
}

static void open_data(run_t *r) {
    const session_options_t *o = &r->session.options;
    data_refuse_out(&r->data, o->out);
    if (o->dry_run) *r->config.data.cache_file = 0; /* it writes nothing */
    r->d = data_open(&r->data, &r->config, o->seed, r->max_bad, r->max_pixels, r->lenient);
    settings_check_data(&r->config, r->d);
    if (r->config.loss.focus > 1) data_medians(r->d);
}

static void make_trainer(run_t *r) {
    r->t = trainer_new(&r->config, r->params, (size_t)r->config.train.batch, r->d->w, r->d->h,
                       r->session.options.seed);
    if (r->init.run) train_init_state(&r->init, r->t);
}

/* The texts of a checkpoint that stay the same. */
static void describe(run_t *r) {
    r->network_text = vqvae_config_json(&r->t->model, r->d->w);
    r->quantizer_text = vqvae_quantizer_text(&r->t->model);
    /* Codes that cannot change keep their fingerprint: images are prepared for them as before. */
    if (r->init.run && freeze_keeps_codes(&r->t->freeze, r->params))
        r->preprocess = r->init.preprocess;
    else
        r->preprocess = config_preprocess(&r->config);
}

int cmd_vqvae_train(int argc, char **argv) {
    run_t *r = NEW(run_t);
    session_t *s = &r->session;
    *s = (session_t){.identity = {.program = "vqvae",
                                  .table = config_table,
                                  .config = &r->config,
                                  .config_size = sizeof r->config},
                     .unit = "images_per_s",
                     .ctx = r,
                     .step = step,
                     .report = report,
                     .checkpoint = checkpoint,
                     .resume = resume,
                     .fresh = ADVERSARY_PREFIX};
    config_begin(&r->config);
    if (!parse(r, argc, argv)) return RC_OK;

    r->params = params_new(s->options.seed);
    configure(r);
    open_data(r);
    make_trainer(r);
    s->params = r->params;
    s->moves = r->t->wrt;
    s->n_moves = r->t->n_wrt - (r->t->adversary ? 1 : 0); /* the discriminator moves by its own */
    s->train = SESSION_TRAIN(r->config.train);
    if (s->options.dry_run) {
        dry_run(r);
        return RC_OK;
    }

    describe(r);
    s->identity.manifest = data_manifest(r->d);
    s->identity.init = r->init.run ? r->init.fingerprint : NULL;
    session_begin(s);
    int rc = session_run(s);
    data_summary(r->d);
    return rc;
}
