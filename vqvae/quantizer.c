/* quantizer.c - what all kinds of quantizer share; see quantizer.h. */
#include "vqvae/quantizer.h"

#include "common/kernel/kernel.h"
#include "common/train/freeze.h"
#include "vqvae/metrics.h"
#include "vqvae/quantizer_kind.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char EMBEDDING[] = "quantize.embedding.weight";
/* Assignments that the window holds; a code is dead below this share of the uniform one. */
static const double WINDOW = 65536, DEAD = 0.03;
/* Of a code's usage: what a step keeps of it, and takes in. */
static const float USAGE_KEPT = 0.98f, USAGE_TAKEN = 0.02f;
/* No code starts with fewer counts: its moving average would divide by next to nothing. */
static const double LEAST_COUNT = 0.1;
enum { ROUNDS = 10 };

/* ---- kinds ---- */

#define ROW(name, help) &quant_##name,
static const quantizer_kind_t *const kinds[] = {QUANTIZER_KINDS(ROW)};
enum { KINDS = sizeof kinds / sizeof *kinds };

const quantizer_kind_t *quantizer_kind(const config_t *c) {
    return kinds[c->quantizer.kind];
}

size_t quantizer_kinds(void) {
    return KINDS;
}

const quantizer_kind_t *quantizer_kind_at(size_t i) {
    return kinds[i];
}

int quantizer_kind_index(const quantizer_kind_t *kind) {
    for (int i = 0; i < KINDS; i++)
        if (kinds[i] == kind) return i;
    BUG("quantizer '%s' is in no row", kind->name);
}

/* Is key one of the words of kind->keys? */
bool quantizer_reads(const quantizer_kind_t *kind, const char *key) {
    size_t n = strlen(key);
    for (const char *word = kind->keys; *word;) {
        size_t length = strcspn(word, " ");
        if (length == n && !memcmp(word, key, n)) return true;
        word += length;
        word += strspn(word, " ");
    }
    return false;
}

char *quantizer_readers(const char *key) {
    char *list = xstrdup("");
    for (int i = 0; i < KINDS; i++) {
        if (!quantizer_reads(kinds[i], key)) continue;
        char *longer = xasprintf("%s%s%s", list, *list ? ", " : "", kinds[i]->name);
        free(list);
        list = longer;
    }
    return list;
}

void quantizer_from_network(config_t *c, const vqvae_config_t *m) {
    for (int i = 0; i < KINDS; i++)
        if (kinds[i]->from_network && kinds[i]->from_network(c, m)) c->quantizer.kind = i;
}

/* ---- the graph ---- */

void quantizer_declare(const config_t *c, params_t *p) {
    if (quantizer_kind(c)->declare) quantizer_kind(c)->declare(c, p);
}

const char *quantizer_fixed(const config_t *c) {
    return quantizer_kind(c)->fixed;
}

vq_out_t quantizer_record(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m, var_t prequant) {
    return q->kind->record(q, nn, m, prequant);
}

vq_out_t quantizer_record_nearest(const quantizer_t *q, nn_t *nn, var_t prequant, var_t e,
                                  vq_through_t through) {
    return op_vq_through(nn->tape, prequant, e, q->commitment_weight, q->codebook_weight, through);
}

vq_out_t quantizer_record_plain(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m,
                                var_t prequant) {
    return quantizer_record_nearest(q, nn, prequant, vqvae_codebook(nn, m), VQ_STRAIGHT);
}

var_t quantizer_bypass(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m, var_t prequant) {
    return q->kind->bypass ? q->kind->bypass(nn, m, prequant) : prequant;
}

/* ---- state ---- */

void quantizer_init(quantizer_t *q, const config_t *c, params_t *p, double tokens_per_step) {
    *q = (quantizer_t){.kind = quantizer_kind(c),
                       .K = (size_t)c->model.num_vq_embeddings,
                       .D = (size_t)c->model.vq_embed_dim,
                       .decay = c->quantizer.decay,
                       .commitment_weight = (float)c->quantizer.commitment_weight,
                       .codebook_weight = (float)c->quantizer.codebook_weight,
                       .tokens = tokens_per_step,
                       .params = p,
                       .embedding = -1,
                       .weight = -1,
                       .bias = -1};
    if (q->kind->codebook) q->embedding = params_find(p, EMBEDDING);
    freeze_t freeze;
    reason_t why;
    if (freeze_init(&freeze, c->train.freeze, &why)) BUG("%s", why.text);
    q->frozen = freeze_match(&freeze, EMBEDDING);
    if (q->kind->moves) {
        q->restart = c->quantizer.restart;
        q->kmeans = c->quantizer.kmeans && !q->frozen;
        q->N = xcalloc(q->K, sizeof(float));
        q->S = xcalloc(q->K * q->D, sizeof(float));
    }
    if (q->kind->publish) q->published = xcalloc(q->K * q->D, sizeof(float));
    if (q->kind->init) q->kind->init(q, c);
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

float *quantizer_codebook(const quantizer_t *q) {
    return params_ptr(q->params, PARAMS_VALUE, q->embedding);
}

/* The saved average of the weights never averages codes. */
static void average_codes(const quantizer_t *q) {
    if (q->embedding >= 0 && params_has(q->params, PARAMS_AVERAGE))
        memcpy(params_ptr(q->params, PARAMS_AVERAGE, q->embedding), quantizer_codebook(q),
               q->K * q->D * sizeof(float));
}

const float *quantizer_publish(quantizer_t *q, int block) {
    if (q->kind->publish) q->kind->publish(q, block);
    return q->published;
}

/* ---- start ---- */

/* Row k of N, S after e_k was set: as if `count` vectors had been assigned to it. */
static void set_counts(quantizer_t *q, size_t k, float count) {
    const float *e = quantizer_codebook(q) + k * q->D;
    q->N[k] = count;
    for (size_t d = 0; d < q->D; d++) q->S[k * q->D + d] = e[d] * count;
}

/* One round of Lloyd's algorithm: z [n,D] to the nearest of e [K,D]; each e_k becomes the mean of
 * what came to it, or a random vector when nothing did. */
static void kmeans_round(quantizer_t *q, const float *z, size_t n, rng_t r, int32_t *nearest,
                         float *counts, float *sums) {
    size_t K = q->K, D = q->D;
    float *e = quantizer_codebook(q);
    kern_vq_nearest(z, n, e, K, D, nearest);
    kern_vq_stats(z, nearest, n, K, D, counts, sums);
    for (size_t k = 0; k < K; k++) {
        if (counts[k] > 0)
            for (size_t d = 0; d < D; d++) e[k * D + d] = sums[k * D + d] / counts[k];
        else
            memcpy(e + k * D, z + rng_below(r, k, (uint32_t)n) * D, D * sizeof *e);
    }
    if (q->kind->place) q->kind->place(e, K, D, e);
}

void quantizer_kmeans(quantizer_t *q, const float *z, size_t n, rng_t r) {
    size_t K = q->K, D = q->D;
    float *e = quantizer_codebook(q), *counts = xcalloc(K, sizeof *counts),
          *sums = xcalloc(K * D, sizeof *sums), *placed = NULL;
    int32_t *nearest = xcalloc(n, sizeof *nearest);
    if (q->kind->place) {
        placed = xmalloc(n * D * sizeof *placed);
        q->kind->place(z, n, D, placed);
        z = placed;
    }
    for (size_t k = 0; k < K; k++)
        memcpy(e + k * D, z + rng_permute(r, k % n, n) * D, D * sizeof *e);
    for (int round = 0; round < ROUNDS; round++)
        kmeans_round(q, z, n, rng_fold(r, (uint64_t)round + 1), nearest, counts, sums);
    /* The counts of the last centers, in the measure of an optimizer step. */
    kern_vq_nearest(z, n, e, K, D, nearest);
    kern_vq_stats(z, nearest, n, K, D, counts, sums);
    for (size_t k = 0; k < K; k++)
        set_counts(q, k, (float)fmax(counts[k] * q->tokens / (double)n, LEAST_COUNT));
    free(counts);
    free(sums);
    free(nearest);
    free(placed);
    average_codes(q);
}

void quantizer_adopt(quantizer_t *q) {
    if (q->kind->moves)
        for (size_t k = 0; k < q->K; k++)
            set_counts(q, k, (float)fmax(q->tokens / (double)q->K, LEAST_COUNT));
    average_codes(q);
}

/* ---- steps ---- */

/* Code k becomes the encoder output z [D], with a uniform share of the counts and, where a gradient
 * moves it, without its old moments. */
static void restart_code(quantizer_t *q, size_t k, const float *z) {
    float *e = quantizer_codebook(q) + k * q->D;
    memcpy(e, z, q->D * sizeof *e);
    if (q->kind->place) q->kind->place(e, 1, q->D, e);
    q->usage[k] = 1;
    set_counts(q, k, (float)(q->tokens / (double)q->K));
    if (!q->kind->gradient) return;
    memset(params_ptr(q->params, PARAMS_M, q->embedding) + k * q->D, 0, q->D * sizeof(float));
    memset(params_ptr(q->params, PARAMS_V, q->embedding) + k * q->D, 0, q->D * sizeof(float));
}

/* Codes that are hardly used become encoder outputs; returns how many. */
static size_t restart_dead(quantizer_t *q, const float *z, size_t n, rng_t r) {
    size_t replaced = 0;
    for (size_t k = 0; k < q->K; k++) {
        if (q->usage[k] >= DEAD) continue;
        restart_code(q, k, z + rng_below(r, k, (uint32_t)n) * q->D);
        replaced++;
    }
    return replaced;
}

void quantizer_update(quantizer_t *q, const float *counts, const float *sums, const float *z,
                      size_t n, bool late, rng_t r) {
    double tokens = 0;
    for (size_t k = 0; k < q->K; k++) tokens += counts[k];
    /* The window forgets as many assignments as it takes in. */
    float fade = (float)fmax(0, 1 - tokens / WINDOW);
    for (size_t k = 0; k < q->K; k++) {
        float share = (float)(counts[k] * (double)q->K / tokens);
        q->window[k] = fade * q->window[k] + counts[k];
        q->usage[k] = USAGE_KEPT * q->usage[k] + USAGE_TAKEN * share;
    }
    if (q->kind->update && !q->frozen) q->kind->update(q, counts, sums);
    q->replaced = q->restart && !late && !q->frozen ? restart_dead(q, z, n, r) : 0;
    average_codes(q);
}

/* ---- metrics ---- */

size_t quantizer_used(const quantizer_t *q) {
    size_t n = 0;
    for (size_t k = 0; k < q->K; k++) n += q->window[k] >= 0.5f;
    return n;
}

double quantizer_perplexity(const quantizer_t *q) {
    return metrics_perplexity(q->window, q->K);
}
