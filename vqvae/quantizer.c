/* quantizer.c - see quantizer.h. */
#include "vqvae/quantizer.h"

#include "common/kernel/kernel.h"
#include "common/train/freeze.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double EPS = 1e-5, WINDOW = 65536, DEAD = 0.03;
static const char EMBEDDING[] = "quantize.embedding.weight",
                  WEIGHT[] = "quantize.embedding_proj.weight",
                  BIAS[] = "quantize.embedding_proj.bias";
enum { ROUNDS = 10 };

/* ---- the graph ---- */

void quantizer_declare(const config_t *c, params_t *p) {
    if (c->quantizer.kind != QUANT_SIMVQ) return;
    size_t D = (size_t)c->model.vq_embed_dim;
    float bound = 1 / sqrtf((float)D);
    bool loaded = params_find(p, EMBEDDING) >= 0;
    params_get(p, EMBEDDING, 2, (size_t[]){(size_t)c->model.num_vq_embeddings, D}, LAYOUT_SAME,
               init_normal(bound));
    int weight = params_get(p, WEIGHT, 2, (size_t[]){D, D}, LAYOUT_SAME, init_uniform(bound)),
        bias = params_get(p, BIAS, 1, &D, LAYOUT_SAME, init_uniform(bound));
    if (!loaded) return;
    float *W = params_ptr(p, PARAMS_VALUE, weight);
    for (size_t i = 0; i < D * D; i++) W[i] = i % (D + 1) ? 0 : 1;
    memset(params_ptr(p, PARAMS_VALUE, bias), 0, D * sizeof(float));
}

const char *quantizer_fixed(const config_t *c) {
    return c->quantizer.kind == QUANT_EMA     ? "!quantize."
           : c->quantizer.kind == QUANT_SIMVQ ? "!quantize.embedding."
                                              : NULL;
}

vq_out_t quantizer_record(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m, var_t prequant) {
    if (q->kind == QUANT_FSQ) return op_fsq(nn->tape, prequant, &m->fsq);
    var_t e = vqvae_codebook(nn, m);
    if (q->kind == QUANT_SIMVQ) {
        size_t mark = nn_push(nn, "quantize");
        e = nn_linear(nn, "embedding_proj", e, q->D, true);
        nn_pop(nn, mark);
    }
    if (q->kind == QUANT_L2) {
        prequant = op_unit_rows(nn->tape, prequant);
        e = op_unit_rows(nn->tape, e);
    }
    return op_vq_through(nn->tape, prequant, e, q->commitment_weight, q->codebook_weight,
                         q->kind == QUANT_ROTATION ? VQ_ROTATED : VQ_STRAIGHT);
}

var_t quantizer_bypass(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m, var_t prequant) {
    if (q->kind == QUANT_L2) return op_unit_rows(nn->tape, prequant);
    return q->kind == QUANT_FSQ ? op_fsq_bound(nn->tape, prequant, &m->fsq) : prequant;
}

/* ---- state ---- */

void quantizer_init(quantizer_t *q, const config_t *c, params_t *p, double tokens_a_step) {
    *q = (quantizer_t){.kind = (quant_kind_t)c->quantizer.kind,
                       .K = (size_t)c->model.num_vq_embeddings,
                       .D = (size_t)c->model.vq_embed_dim,
                       .decay = c->quantizer.decay,
                       .commitment_weight = (float)c->quantizer.commitment_weight,
                       .codebook_weight = (float)c->quantizer.codebook_weight,
                       .tokens = tokens_a_step,
                       .params = p,
                       .embedding = -1,
                       .weight = -1,
                       .bias = -1};
    if (q->kind == QUANT_EMA) q->codebook_weight = 0;
    if (q->kind != QUANT_FSQ) q->embedding = params_find(p, EMBEDDING);
    freeze_t freeze;
    reason_t why;
    if (freeze_init(&freeze, c->train.freeze, &why)) BUG("%s", why.text);
    q->frozen = freeze_match(&freeze, EMBEDDING);
    if (q->kind == QUANT_SIMVQ) {
        q->weight = params_find(p, WEIGHT);
        q->bias = params_find(p, BIAS);
    } else if (q->kind != QUANT_FSQ) {
        q->restart = c->quantizer.restart;
        q->kmeans = c->quantizer.kmeans && !q->frozen;
        q->N = xcalloc(q->K, sizeof(float));
        q->S = xcalloc(q->K * q->D, sizeof(float));
    }
    if (q->kind == QUANT_SIMVQ || q->kind == QUANT_L2)
        q->published = xcalloc(q->K * q->D, sizeof(float));
    q->usage = xcalloc(q->K, sizeof(float));
    q->window = xcalloc(q->K, sizeof(float));
    for (size_t k = 0; k < q->K; k++) q->usage[k] = 1;
}

void quantizer_release(quantizer_t *q) {
    free(q->N);
    free(q->S);
    free(q->usage);
    free(q->window);
    free(q->published);
}

size_t quantizer_state(quantizer_t *q, checkpoint_state_t state[4]) {
    size_t n = 0;
    state[n++] = (checkpoint_state_t){"quantizer.usage", q->usage, q->K};
    state[n++] = (checkpoint_state_t){"quantizer.window", q->window, q->K};
    if (!q->N) return n;
    state[n++] = (checkpoint_state_t){"quantizer.counts", q->N, q->K};
    state[n++] = (checkpoint_state_t){"quantizer.sums", q->S, q->K * q->D};
    return n;
}

static float *codebook(const quantizer_t *q) {
    return params_ptr(q->params, PARAMS_VALUE, q->embedding);
}

/* The saved average of the weights never averages codes. */
static void average_codes(const quantizer_t *q) {
    if (q->embedding >= 0 && params_has(q->params, PARAMS_AVERAGE))
        memcpy(params_ptr(q->params, PARAMS_AVERAGE, q->embedding), codebook(q),
               q->K * q->D * sizeof(float));
}

const float *quantizer_publish(quantizer_t *q, int block) {
    if (q->kind == QUANT_SIMVQ) /* as op_linear does */
        kern_gemm(false, true, q->K, q->D, q->D, codebook(q), q->D,
                  params_ptr(q->params, block, q->weight), q->D, q->published, q->D, false,
                  params_ptr(q->params, block, q->bias));
    if (q->kind == QUANT_L2) kern_unit_rows_forward(codebook(q), q->K, q->D, q->published);
    for (size_t k = 0; q->kind == QUANT_L2 && k < q->K;
         k++) { /* rows of unit length already stay to the bit */
        const float *e = codebook(q) + k * q->D;
        double square = 0;
        for (size_t d = 0; d < q->D; d++) square += (double)e[d] * (double)e[d];
        if (fabs(square - 1) < 1e-6) memcpy(q->published + k * q->D, e, q->D * sizeof *e);
    }
    return q->published;
}

/* ---- start ---- */

void quantizer_kmeans(quantizer_t *q, const float *z, size_t n, rng_t r) {
    size_t K = q->K, D = q->D;
    float *e = codebook(q), *counts = xcalloc(K, sizeof *counts),
          *sums = xcalloc(K * D, sizeof *sums), *unit = NULL;
    int32_t *idx = xcalloc(n, sizeof *idx);
    if (q->kind == QUANT_L2) {
        unit = xmalloc(n * D * sizeof *unit);
        kern_unit_rows_forward(z, n, D, unit);
        z = unit;
    }
    for (size_t k = 0; k < K; k++)
        memcpy(e + k * D, z + rng_permute(r, k % n, n) * D, D * sizeof *e);
    for (int round = 0; round < ROUNDS; round++) {
        kern_vq_nearest(z, n, e, K, D, idx);
        kern_vq_stats(z, idx, n, K, D, counts, sums);
        for (size_t k = 0; k < K; k++)
            for (size_t d = 0; d < D; d++)
                e[k * D + d] =
                    counts[k] > 0
                        ? sums[k * D + d] / counts[k]
                        : z[rng_below(rng_fold(r, (uint64_t)round + 1), k, (uint32_t)n) * D + d];
        if (unit) kern_unit_rows_forward(e, K, D, e);
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
    free(unit);
    average_codes(q);
}

void quantizer_adopt(quantizer_t *q) {
    for (size_t k = 0; q->N && k < q->K; k++) {
        const float *e = codebook(q);
        q->N[k] = (float)fmax(q->tokens / (double)q->K, 0.1);
        for (size_t d = 0; d < q->D; d++) q->S[k * q->D + d] = e[k * q->D + d] * q->N[k];
    }
    average_codes(q);
}

/* ---- steps ---- */

static void move_average(quantizer_t *q, const float *counts, const float *sums) {
    float g = (float)q->decay, *e = codebook(q);
    double total = 0;
    for (size_t k = 0; k < q->K; k++) {
        q->N[k] = g * q->N[k] + (1 - g) * counts[k];
        total += q->N[k];
        for (size_t d = 0; d < q->D; d++)
            q->S[k * q->D + d] = g * q->S[k * q->D + d] + (1 - g) * sums[k * q->D + d];
    }
    for (size_t k = 0; k < q->K; k++) {
        double n = (q->N[k] + EPS) / (total + (double)q->K * EPS) * total;
        for (size_t d = 0; d < q->D; d++) e[k * q->D + d] = (float)(q->S[k * q->D + d] / n);
    }
}

static void restart_code(quantizer_t *q, size_t k, const float *z) {
    float *e = codebook(q) + k * q->D;
    memcpy(e, z, q->D * sizeof *e);
    if (q->kind == QUANT_L2) kern_unit_rows_forward(e, 1, q->D, e);
    q->usage[k] = 1;
    q->N[k] = (float)(q->tokens / (double)q->K);
    for (size_t d = 0; d < q->D; d++) q->S[k * q->D + d] = e[d] * q->N[k];
    if (q->kind == QUANT_EMA) return;
    for (int b = PARAMS_M; b <= PARAMS_V; b++)
        memset(params_ptr(q->params, b, q->embedding) + k * q->D, 0, q->D * sizeof(float));
}

void quantizer_update(quantizer_t *q, const float *counts, const float *sums, const float *z,
                      size_t n, bool late, rng_t r) {
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
    average_codes(q);
}

/* ---- figures ---- */

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
