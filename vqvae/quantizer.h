/* quantizer.h - the training side of the codebook: k-means start, exponential moving averages, restart of dead codes,
 * usage.
 *
 * The op gives counts and sums of a batch; this applies them once an optimizer step (van den Oord et al. 2017, appendix
 * A.1; restarts as in Dhariwal et al. 2020). State arrays are plain floats, saved with the checkpoint.
 */
#ifndef VQVAE_QUANTIZER_H
#define VQVAE_QUANTIZER_H

#include "common/base/rng.h"
#include "common/tape/params.h"
#include "common/train/checkpoint.h"
#include "vqvae/config.h"

typedef struct {
    quant_kind_t kind;
    size_t K, D;
    double decay;
    bool restart, frozen; /* frozen: the codebook stays, its use is counted */
    float *N, *S;         /* moving counts [K] and sums [K,D] */
    float *usage;         /* [K]: 1 = uniform share */
    float *window;        /* [K]: counts over about the last 65,536 tokens */
    double tokens;        /* of an optimizer step */
    size_t replaced;      /* by the last update */
    params_t *params;
    int embedding; /* parameter */
} quantizer_t;

void quantizer_init(quantizer_t *q, const config_t *c, params_t *p, double tokens_a_step);
void quantizer_release(quantizer_t *q);
/* Its arrays for the checkpoint: fills `state`, returns how many (4). */
size_t quantizer_state(quantizer_t *q, checkpoint_state_t state[4]);

/* K-means over z [n,D] (n >= K): K random vectors as centers, 10 rounds, empty centers become random vectors; then N, S
 * and the codebook. */
void quantizer_kmeans(quantizer_t *q, const float *z, size_t n, rng_t r);
/* N, S follow the current codebook (a loaded one, or a start without k-means). */
void quantizer_adopt(quantizer_t *q);
/* After an optimizer step: counts [K] and sums [K,D] of all its tokens; z [n,D] encoder outputs to restart dead codes
 * from (no restart when `late`). */
void quantizer_update(quantizer_t *q, const float *counts, const float *sums, const float *z, size_t n, bool late,
                      rng_t r);
/* Codes in use and perplexity over the window; NAN perplexity before anything was counted. */
size_t quantizer_used(const quantizer_t *q);
double quantizer_perplexity(const quantizer_t *q);
/* exp(-sum p ln p) of any counts. */
double perplexity_of(const float *counts, size_t K);

#endif
