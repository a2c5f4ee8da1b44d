/* trainer.c - see trainer.h. Below, K is the number and D the width of the codes, and an image has
 * gh x gw of them. */
#include "vqvae/trainer.h"

#include "common/io/image/image_metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void record_graphs(trainer_t *t);
static void release_graphs(trainer_t *t);

trainer_t *trainer_new(const config_t *c, params_t *p, size_t n, size_t w, size_t h,
                       uint64_t seed) {
    trainer_t *t = NEW(trainer_t);
    t->config = *c;
    t->model = config_model(c);
    t->params = p;
    t->n = n;
    t->w = w;
    t->h = h;
    t->seed = seed;
    t->weighted = c->loss.focus > 1;
    quantizer_declare(c, p);
    vqvae_declare(p, &t->model);
    t->wrt[t->n_wrt++] = "";
    if (quantizer_fixed(c)) t->wrt[t->n_wrt++] = quantizer_fixed(c);
    reason_t why;
    if (freeze_init(&t->freeze, c->train.freeze, &why)) die(RC_USAGE, "%s", why.text);
    for (size_t i = 0; i < t->freeze.n; i++) t->wrt[t->n_wrt++] = t->freeze.pattern[i];
    /* "quantize" may be absent: a kind without codebook has no parameters. */
    if (freeze_check(&t->freeze, p, t->wrt, t->n_wrt, "quantize", &why))
        die(RC_USAGE, "%s", why.text);
    t->lpips = perceptual_open(c, w, h);
    t->adversary = adversary_new(c, p, w, h, seed);
    if (t->adversary) t->wrt[t->n_wrt++] = "!" ADVERSARY_PREFIX;
    t->optimizer = config_optimizer(c);
    t->optimizer.wrt = t->wrt;
    t->optimizer.n_wrt = t->n_wrt;
    t->tokens = vqvae_tokens(&t->model, w, h);
    size_t tokens = n * t->tokens;
    quantizer_init(&t->quantizer, c, p, (double)tokens * (double)c->train.accumulate);
    t->counts = xcalloc(t->model.codes, sizeof(float));
    t->sums = xcalloc(t->model.codes * t->model.vq_embed_dim, sizeof(float));
    t->z = xcalloc(tokens * t->model.vq_embed_dim, sizeof(float));
    record_graphs(t);
    return t;
}

void trainer_free(trainer_t *t) {
    release_graphs(t);
    plan_memory_release(&t->memory);
    quantizer_release(&t->quantizer);
    adversary_free(t->adversary);
    lpips_free(t->lpips);
    free(t->counts);
    free(t->sums);
    free(t->z);
    free(t);
}

bool trainer_quantizes(const trainer_t *t, int64_t step) {
    return step >= t->config.train.warmup_no_quant;
}

static graph_t *graph_of(trainer_t *t, bool quantized, bool adversarial) {
    return &t->graph[adversarial][quantized];
}

/* The vectors [n,gh,gw,D] that the decoder sees: rows of the codebook, or prequant as it is (in
 * the range of the kind's codes) while there is no quantizer. */
static var_t record_quantizer(trainer_t *t, graph_t *g, nn_t *nn, bool quantized) {
    if (!quantized) return quantizer_bypass(&t->quantizer, nn, &t->model, g->prequant);
    g->vq = quantizer_record(&t->quantizer, nn, &t->model, g->prequant);
    return g->vq.quantized;
}

/* loss_rec = mean |recon - image| or its square, weighted by pixel with loss.focus;
 * nll = loss_rec + loss.perceptual * LPIPS; loss = nll + the quantizer's loss. */
static void record_losses(trainer_t *t, graph_t *g, nn_t *nn, bool quantized) {
    kern_loss_t kind = t->config.loss.rec == REC_L1 ? LOSS_L1 : LOSS_MSE;
    g->loss_rec = op_loss(g->tape, kind, g->recon, g->image, g->weight, false);
    g->nll = g->loss_rec;
    g->perceptual = NO_VAR;
    if (t->lpips) {
        g->perceptual = nn_lpips(nn, t->lpips, g->recon, g->image);
        g->nll = op_weighted_sum(g->tape, (var_t[]){g->loss_rec, g->perceptual},
                                 (float[]){1, (float)t->config.loss.perceptual}, 2);
    }
    var_t terms[2] = {g->nll, g->vq.loss};
    g->loss = op_weighted_sum(g->tape, terms, (float[]){1, 1}, quantized ? 2 : 1);
}

/* Pass 0 is the gradient of the loss (and of g, scaled by its weight, with the discriminator); the
 * discriminator adds its own passes. The plan keeps what is read after a replay. */
static void plan_graph(trainer_t *t, graph_t *g, nn_t *nn, bool quantized) {
    pass_t pass[1 + ADVERSARY_PASSES] = {
        {.root = {g->loss}, .n_roots = 1, .wrt = t->wrt, .n_wrt = t->n_wrt}};
    size_t n_pass = 1;
    enum { ALWAYS = 5, QUANTIZED = 5 };
    var_t keep[ALWAYS + QUANTIZED + ADVERSARY_KEEP] = {
        g->image,   g->recon,     g->prequant, g->loss_rec, g->perceptual, /* always */
        g->vq.loss, g->vq.counts, g->vq.sums,  g->vq.index, g->vq.quantized};
    size_t n_keep = quantized ? ALWAYS + QUANTIZED : ALWAYS;
    if (g->adversarial) {
        g->gan = adversary_record(t->adversary, nn, g->image, g->recon);
        pass[0].root[pass[0].n_roots++] = g->gan.gan;
        n_pass += adversary_passes(t->adversary, &g->gan, g->nll, pass + 1);
        n_keep += adversary_keep(t->adversary, &g->gan, keep + n_keep);
    }
    g->plan = plan_new(
        g->tape,
        &(plan_opts_t){
            .keep = keep, .n_keep = n_keep, .pass = pass, .n_pass = n_pass, .memory = &t->memory});
}

/* image [n,h,w,3] -> prequant [n,gh,gw,D] -> vectors -> recon [n,h,w,3] -> losses. */
static void record(trainer_t *t, bool quantized, bool adversarial) {
    graph_t *g = graph_of(t, quantized, adversarial);
    *g = (graph_t){.adversarial = adversarial,
                   .vq = {NO_VAR, NO_VAR, NO_VAR, NO_VAR, NO_VAR, NO_VAR}};
    g->tape = tape_new(t->params);
    nn_t nn;
    nn_begin(&nn, g->tape);
    nn.plain_conv = t->plain;
    g->image = tape_input(g->tape, "image", F32_4(t->n, t->h, t->w, 3));
    g->weight = t->weighted ? tape_input(g->tape, "weight", F32_3(t->n, t->h, t->w)) : NO_VAR;
    g->prequant = vqvae_encode(&nn, &t->model, g->image, NULL);
    size_t tail = config_tail(&t->config, &t->model);
    g->kept = tail ? tape_input(g->tape, "kept", I32_1(t->n * tail)) : NO_VAR;
    g->recon = vqvae_decode(&nn, &t->model, record_quantizer(t, g, &nn, quantized), g->kept);
    record_losses(t, g, &nn, quantized);
    plan_graph(t, g, &nn, quantized);
}

static void release_graphs(trainer_t *t) {
    for (int adversarial = 0; adversarial < 2; adversarial++)
        for (int quantized = 0; quantized < 2; quantized++) {
            graph_t *g = graph_of(t, quantized, adversarial);
            plan_free(g->plan);
            tape_free(g->tape);
        }
}

/* Every graph that a step can need: no step records anything. */
static void record_graphs(trainer_t *t) {
    record(t, false, false);
    record(t, true, false);
    if (!t->adversary) return;
    record(t, false, true);
    record(t, true, true);
}

void trainer_plain(trainer_t *t) {
    release_graphs(t);
    t->plain = true;
    record_graphs(t);
}

graph_t *trainer_graph(trainer_t *t, bool quantized) {
    return graph_of(t, quantized, false);
}
graph_t *trainer_graph_at(trainer_t *t, int64_t step) {
    return graph_of(t, trainer_quantizes(t, step), adversary_acts(t->adversary, step));
}
int64_t trainer_full_step(const trainer_t *t) {
    int64_t quantizer = t->config.train.warmup_no_quant;
    int64_t discriminator = t->adversary ? t->config.loss.disc_start : 0;
    return quantizer > discriminator ? quantizer : discriminator;
}

/* Keeps what the codebook is updated from: counts [K] and sums [K,D] over the replays of the step,
 * and the encoder outputs of the last one. */
static void gather_codes(trainer_t *t, const graph_t *g, int64_t micro) {
    size_t K = t->model.codes, D = t->model.vq_embed_dim;
    if (!micro) {
        memset(t->counts, 0, K * sizeof *t->counts);
        memset(t->sums, 0, K * D * sizeof *t->sums);
    }
    const float *counts = plan_data(g->plan, g->vq.counts);
    for (size_t k = 0; k < K; k++) t->counts[k] += counts[k];
    if (g->vq.sums != NO_VAR) { /* kinds without a codebook have none */
        const float *sums = plan_data(g->plan, g->vq.sums);
        for (size_t i = 0; i < K * D; i++) t->sums[i] += sums[i];
    }
    memcpy(t->z, plan_data(g->plan, g->prequant), tape_count(g->tape, g->prequant) * sizeof(float));
}

void trainer_forward(trainer_t *t, graph_t *g) {
    for (size_t i = 0; g->kept != NO_VAR && i < t->n; i++)
        vqvae_keep(t->n, t->tokens, i, t->tokens, plan_data(g->plan, g->kept));
    plan_forward(g->plan);
}

/* Drops tails: model.tail_dropout of the samples keep their first 1 .. tokens codes, each number
 * as likely. A function of seed, step and the sample's number, as dropout's. */
static void drop_tails(const trainer_t *t, graph_t *g, int64_t step, int64_t micro) {
    if (g->kept == NO_VAR) return;
    rng_t r = rng_fold(rng_make(t->seed, "tail_dropout"), (uint64_t)step);
    for (size_t i = 0; i < t->n; i++) {
        uint64_t sample = (uint64_t)micro * t->n + i;
        size_t keep = t->tokens;
        if (rng_uniform64(r, 2 * sample) < t->config.model.tail_dropout)
            keep = 1 + rng_below(r, 2 * sample + 1, (uint32_t)t->tokens);
        vqvae_keep(t->n, t->tokens, i, keep, plan_data(g->plan, g->kept));
    }
}

void trainer_replay(trainer_t *t, int64_t step, int64_t micro, trainer_step_t *out) {
    bool quantized = trainer_quantizes(t, step);
    graph_t *g = trainer_graph_at(t, step);
    double share = 1.0 / (double)t->config.train.accumulate;
    plan_key(g->plan, t->seed, (uint64_t)step, (uint64_t)micro * t->n);
    plan_accumulate(g->plan, 0, micro > 0);
    drop_tails(t, g, step, micro);
    plan_forward(g->plan);
    if (!micro) *out = (trainer_step_t){.quantized = quantized, .adversarial = g->adversarial};
    if (g->adversarial)
        out->loss += adversary_replay(t->adversary, g->plan, &g->gan, step, micro, &out->gan);
    plan_backward(g->plan, 0);
    double mse = image_mse(plan_data(g->plan, g->recon), plan_data(g->plan, g->image),
                           t->n * t->h * t->w * 3);
    out->psnr += share * image_psnr(mse);
    out->loss += share * plan_scalar(g->plan, g->loss);
    out->loss_rec += share * plan_scalar(g->plan, g->loss_rec);
    if (t->lpips) out->loss_perceptual += share * plan_scalar(g->plan, g->perceptual);
    if (!quantized) return;
    out->loss_vq += share * plan_scalar(g->plan, g->vq.loss);
    gather_codes(t, g, micro);
}

void trainer_update(trainer_t *t, int64_t step, trainer_step_t *out) {
    optimizer_step_t s = {
        .skipped = true, .grad_norm = NAN, .lr = schedule_lr(&t->optimizer.schedule, step)};
    if (isfinite(out->loss) && (!out->adversarial || adversary_update(t->adversary, &out->gan)))
        s = optimizer_step(&t->optimizer, t->params, step,
                           1.0 / (double)t->config.train.accumulate);
    out->grad_norm = s.grad_norm;
    out->lr = s.lr;
    out->skipped = s.skipped;
    if (s.skipped || !out->quantized) return;
    bool late = step >= t->config.train.steps - t->config.train.steps / 10;
    rng_t r = rng_fold(rng_make(t->seed, "quantizer.restart"), (uint64_t)step);
    quantizer_update(&t->quantizer, t->counts, t->sums, t->z, t->n * t->tokens, late, r);
}

size_t trainer_encode(trainer_t *t, float *z) {
    graph_t *g = trainer_graph(t, false);
    trainer_forward(t, g);
    size_t n = tape_count(g->tape, g->prequant);
    memcpy(z, plan_data(g->plan, g->prequant), n * sizeof *z);
    return n / t->model.vq_embed_dim;
}

double trainer_flops(trainer_t *t) {
    return 3 * tape_flops(trainer_graph_at(t, trainer_full_step(t))->tape) *
           (double)t->config.train.accumulate;
}
