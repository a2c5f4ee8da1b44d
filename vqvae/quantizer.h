/* quantizer.h - the training side of the quantizer, for every kind: how it is recorded, what
 * trains, the codebook's start by k-means, moving averages, restarts of dead codes (Dhariwal et al.
 * 2020), usage, and the codebook that a RUN publishes.
 *
 * The kinds are rows of a table, one file each: quantizer_kind.h. K codes have width D; the state
 * arrays are plain floats, saved with the checkpoint.
 */
#ifndef VQVAE_QUANTIZER_H
#define VQVAE_QUANTIZER_H

#include "common/base/rng.h"
#include "common/nn/nn.h"
#include "common/train/checkpoint.h"
#include "vqvae/config.h"

typedef struct {
    const struct quantizer_kind *kind;
    size_t K, D;
    double decay;
    float commitment_weight, codebook_weight;
    /* Which of these apply. frozen: the codebook stays, and only its use is counted. */
    bool restart, kmeans, frozen;
    /* Moving counts [K] and sums [K,D] of the vectors assigned to each code; NULL where no code
     * moves by itself. */
    float *N, *S;
    /* [K]: moving average of each code's share of the assignments; 1 = the uniform share. */
    float *usage;
    /* [K]: counts over about the last 65,536 assignments. */
    float *window;
    /* Vectors assigned in an optimizer step. */
    double tokens;
    /* Codes restarted by the last update. */
    size_t replaced;
    /* The caller's; where in it the codebook and simvq's map are, -1 = not there. */
    params_t *params;
    int embedding, weight, bias;
    /* [K,D], see quantizer_publish; NULL where the parameter itself is published. */
    float *published;
} quantizer_t;

/* Of parameters that only a training has. */
#define QUANTIZER_PREFIX "quantize.embedding_proj."

/* ---- kinds ---- */

/* The kind that the configuration names, and the number of quantizer.kind that stands for it. */
const struct quantizer_kind *quantizer_kind(const config_t *c);
int quantizer_kind_index(const struct quantizer_kind *kind);
/* Sets quantizer.kind and its settings where a loaded network allows one kind alone. */
void quantizer_from_network(config_t *c, const vqvae_config_t *m);

/* ---- parameters and graph ---- */

/* Creates in p the parameters that the kind has beside the network's; before vqvae_declare. simvq
 * over a codebook that is there starts with the identity. */
void quantizer_declare(const config_t *c, params_t *p);
/* Which parameters no gradient moves: a pattern of params_match, or NULL. */
const char *quantizer_fixed(const config_t *c);

/* After the parameters are declared. Releases nothing of the caller's: p must outlive q.
 * tokens_per_step: vectors that an optimizer step assigns. */
void quantizer_init(quantizer_t *q, const config_t *c, params_t *p, double tokens_per_step);
void quantizer_release(quantizer_t *q);

/* Records it behind prequant [N,h,w,D]: codes, the vectors that the decoder sees, its loss. */
vq_out_t quantizer_record(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m, var_t prequant);
/* What the decoder sees of prequant before the quantizer's first step, [N,h,w,D]: values in the
 * range of the codes to come (l2: of unit length; fsq: between the outer levels), so that what the
 * decoder learns stays of use. */
var_t quantizer_bypass(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m, var_t prequant);

/* ---- the codebook's life ---- */

/* Starts the codebook by k-means over encoder outputs z [n,D], n >= K: K random vectors as centers,
 * 10 rounds, empty centers become random vectors; then N and S. l2: over directions. Only where
 * q->kmeans. */
void quantizer_kmeans(quantizer_t *q, const float *z, size_t n, rng_t r);
/* Takes the codebook as it is (loaded, or a start without k-means): N and S follow it. */
void quantizer_adopt(quantizer_t *q);
/* After an optimizer step, by counts [K] and sums [K,D] (read by ema alone) of all its assignments:
 * usage, the codebook's own movement, restarts. Dead codes become rows of z [n,D], encoder outputs
 * of the step; none when `late`. */
void quantizer_update(quantizer_t *q, const float *counts, const float *sums, const float *z,
                      size_t n, bool late, rng_t r);
/* Its arrays for the checkpoint: fills `state` and returns how many. They belong to q. */
size_t quantizer_state(quantizer_t *q, checkpoint_state_t state[4]);
/* What quantize.embedding.weight is to be in the files for use, made from a block of the parameters
 * (PARAMS_VALUE or PARAMS_AVERAGE): [K,D], of q, valid until the next call. NULL: the parameter of
 * that name, if there is one. */
const float *quantizer_publish(quantizer_t *q, int block);

/* Codes in use and perplexity over the window; NAN perplexity before anything was counted. */
size_t quantizer_used(const quantizer_t *q);
double quantizer_perplexity(const quantizer_t *q);

#endif
