/* quantizer.c - see quantizer.h. */
#include "vqvae/quantizer.h"

#include "common/kernel/kernel.h"
#include "vqvae/freeze.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double EPS = 1e-5, WINDOW = 65536, DEAD = 0.03;
static const char EMBEDDING[] = "quantize.embedding.weight";
enum { ROUNDS = 10 };

void quantizer_init(quantizer_t *q, const config_t *c, params_t *p, double tokens_a_step) {
    *q = (quantizer_t){.kind = (quant_kind_t)c->quantizer.kind,
                       .K = (size_t)c->model.num_vq_embeddings,
                       .D = (size_t)c->model.vq_embed_dim,
                       .decay = c->quantizer.decay,
                       .restart = c->quantizer.restart,
                       .tokens = tokens_a_step,
                       .params = p};
    q->embedding = params_find(p, EMBEDDING);
    freeze_t freeze;
    freeze_init(&freeze, c->train.freeze);
    q->frozen = freeze_match(&freeze, EMBEDDING);
    q->N = xcalloc(q->K, sizeof(float));
    q->S = xcalloc(q->K * q->D, sizeof(float));
    q->usage = xcalloc(q->K, sizeof(float));
    q->window = xcalloc(q->K, sizeof(float));
    for (size_t k = 0; k < q->K; k++) q->usage[k] = 1;
}

void quantizer_release(quantizer_t *q) {
    free(q->N);
    free(q->S);
    free(q->usage);
    free(q->window);
}

size_t quantizer_state(quantizer_t *q, checkpoint_state_t state[4]) {
    state[0] = (checkpoint_state_t){"quantizer.counts", q->N, q->K};
    state[1] = (checkpoint_state_t){"quantizer.sums", q->S, q->K * q->D};
    state[2] = (checkpoint_state_t){"quantizer.usage", q->usage, q->K};
    state[3] = (checkpoint_state_t){"quantizer.window", q->window, q->K};
    return 4;
}

static float *codebook(const quantizer_t *q) {
    return params_ptr(q->params, PARAMS_VALUE, q->embedding);
}

/* The saved average of the weights never averages codes. */
static void publish(const quantizer_t *q) {
    if (params_has(q->params, PARAMS_AVERAGE))
        memcpy(params_ptr(q->params, PARAMS_AVERAGE, q->embedding), codebook(q), q->K * q->D * sizeof(float));
}

void quantizer_kmeans(quantizer_t *q, const float *z, size_t n, rng_t r) {
    size_t K = q->K, D = q->D;
    float *e = codebook(q), *counts = xcalloc(K, sizeof *counts), *sums = xcalloc(K * D, sizeof *sums);
    int32_t *idx = xcalloc(n, sizeof *idx);
    for (size_t k = 0; k < K; k++) memcpy(e + k * D, z + rng_permute(r, k % n, n) * D, D * sizeof *e);
    for (int round = 0; round < ROUNDS; round++) {
        kern_vq_nearest(z, n, e, K, D, idx);
        kern_vq_stats(z, idx, n, K, D, counts, sums);
        for (size_t k = 0; k < K; k++)
            for (size_t d = 0; d < D; d++)
                e[k * D + d] = counts[k] > 0 ? sums[k * D + d] / counts[k]
                                             : z[rng_below(rng_fold(r, (uint64_t)round + 1), k, (uint32_t)n) * D + d];
    }
    kern_vq_nearest(z, n, e, K, D, idx);
    kern_vq_stats(z, idx, n, K, D, counts, sums);
    for (size_t k = 0; k < K; k++) {
        q->N[k] = (float)fmax(counts[k] * q->tokens / (double)n, 0.1);
        for (size_t d = 0; d < D; d++) q->S[k * D + d] = e[k * D + d] * q->N[k];
    }
    free(counts);
    free(sums);
    free(idx);
    publish(q);
}

void quantizer_adopt(quantizer_t *q) {
    const float *e = codebook(q);
    for (size_t k = 0; k < q->K; k++) {
        q->N[k] = (float)fmax(q->tokens / (double)q->K, 0.1);
        for (size_t d = 0; d < q->D; d++) q->S[k * q->D + d] = e[k * q->D + d] * q->N[k];
    }
    publish(q);
}

static void move_average(quantizer_t *q, const float *counts, const float *sums) {
    float g = (float)q->decay, *e = codebook(q);
    double total = 0;
    for (size_t k = 0; k < q->K; k++) {
        q->N[k] = g * q->N[k] + (1 - g) * counts[k];
        total += q->N[k];
        for (size_t d = 0; d < q->D; d++) q->S[k * q->D + d] = g * q->S[k * q->D + d] + (1 - g) * sums[k * q->D + d];
    }
    for (size_t k = 0; k < q->K; k++) {
        double n = (q->N[k] + EPS) / (total + (double)q->K * EPS) * total;
        for (size_t d = 0; d < q->D; d++) e[k * q->D + d] = (float)(q->S[k * q->D + d] / n);
    }
}

static void restart_code(quantizer_t *q, size_t k, const float *z) {
    float *e = codebook(q) + k * q->D;
    memcpy(e, z, q->D * sizeof *e);
    q->usage[k] = 1;
    q->N[k] = (float)(q->tokens / (double)q->K);
    for (size_t d = 0; d < q->D; d++) q->S[k * q->D + d] = e[d] * q->N[k];
    if (q->kind == QUANT_EMA) return;
    for (int b = PARAMS_M; b <= PARAMS_V; b++)
        memset(params_ptr(q->params, b, q->embedding) + k * q->D, 0, q->D * sizeof(float));
}

void quantizer_update(quantizer_t *q, const float *counts, const float *sums, const float *z, size_t n, bool late,
                      rng_t r) {
    double tokens = 0;
    for (size_t k = 0; k < q->K; k++) tokens += counts[k];
    float fade = (float)fmax(0, 1 - tokens / WINDOW);
    for (size_t k = 0; k < q->K; k++) {
        q->window[k] = fade * q->window[k] + counts[k];
        q->usage[k] = 0.98f * q->usage[k] + 0.02f * (float)(counts[k] * (double)q->K / tokens);
    }
    if (q->kind == QUANT_EMA && !q->frozen) move_average(q, counts, sums);
    q->replaced = 0;
    for (size_t k = 0; q->restart && !late && !q->frozen && k < q->K; k++) {
        if (q->usage[k] >= DEAD) continue;
        restart_code(q, k, z + rng_below(r, k, (uint32_t)n) * q->D);
        q->replaced++;
    }
    publish(q);
}

size_t quantizer_used(const quantizer_t *q) {
    size_t n = 0;
    for (size_t k = 0; k < q->K; k++) n += q->window[k] >= 0.5f;
    return n;
}

double perplexity_of(const float *counts, size_t K) {
    double total = 0, h = 0;
    for (size_t k = 0; k < K; k++) total += counts[k];
    if (!(total > 0)) return NAN;
    for (size_t k = 0; k < K; k++)
        if (counts[k] > 0) h -= counts[k] / total * log(counts[k] / total);
    return exp(h);
}

double quantizer_perplexity(const quantizer_t *q) {
    return perplexity_of(q->window, q->K);
}
