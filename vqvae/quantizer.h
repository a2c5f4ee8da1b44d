/* quantizer.h - the training side of the quantizer, for every kind: how it is recorded, what
 * trains, the codebook's start by k-means, moving averages, restart of dead codes, usage, and the
 * codebook that a RUN publishes.
 *
 * The kinds are rows of a table (quantizer_kind.h), one file each: quant_ema.c, quant_ste.c,
 * quant_rotation.c, quant_l2.c, quant_simvq.c, quant_fsq.c. Dead codes restart as in Dhariwal et
 * al. 2020.
 *
 * State arrays are plain floats, saved with the checkpoint.
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
    bool restart, kmeans, frozen; /* frozen: the codebook stays, its use is counted */
    float *N, *S;    /* moving counts [K] and sums [K,D]; NULL where no code moves by itself */
    float *usage;    /* [K]: 1 = uniform share */
    float *window;   /* [K]: counts over about the last 65,536 tokens */
    double tokens;   /* of an optimizer step */
    size_t replaced; /* by the last update */
    params_t *params;
    int embedding, weight, bias; /* parameters: the codebook; simvq's map; -1 = none */
    float *published;            /* [K,D] */
} quantizer_t;

/* The kind that the configuration names. */
const struct quantizer_kind *quantizer_kind(const config_t *c);
/* The number of quantizer.kind that stands for a kind. */
int quantizer_kind_index(const struct quantizer_kind *kind);
/* quantizer.kind and its settings, where a loaded network allows one kind alone. */
void quantizer_from_network(config_t *c, const vqvae_config_t *m);
/* Parameters that the kind has beside the network's; before vqvae_declare. simvq over a codebook
 * that is there starts with the identity. */
void quantizer_declare(const config_t *c, params_t *p);
/* Which of them no gradient moves: a pattern of params_match, or NULL. */
const char *quantizer_fixed(const config_t *c);

void quantizer_init(quantizer_t *q, const config_t *c, params_t *p, double tokens_a_step);
void quantizer_release(quantizer_t *q);
/* Records it behind prequant: codes, what the decoder sees, its loss. */
vq_out_t quantizer_record(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m, var_t prequant);
/* What the decoder sees of prequant before the quantizer's first step: the same range as later (l2:
 * unit length; fsq: between the outer levels), so that what it learns keeps its worth. */
var_t quantizer_bypass(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m, var_t prequant);
/* Its arrays for the checkpoint: fills `state`, returns how many. */
size_t quantizer_state(quantizer_t *q, checkpoint_state_t state[4]);

/* K-means over z [n,D] (n >= K): K random vectors as centers, 10 rounds, empty centers become
 * random vectors; then N, S and the codebook. l2: over directions. Only where `kmeans` is set. */
void quantizer_kmeans(quantizer_t *q, const float *z, size_t n, rng_t r);
/* N, S follow the current codebook (a loaded one, or a start without k-means). */
void quantizer_adopt(quantizer_t *q);
/* After an optimizer step: counts [K] and sums [K,D] (read for ema) of all its tokens; z [n,D]
 * encoder outputs to restart dead codes from (no restart when `late`). */
void quantizer_update(quantizer_t *q, const float *counts, const float *sums, const float *z,
                      size_t n, bool late, rng_t r);
/* What quantize.embedding.weight is to be in the files for use, from a block of the parameters
 * (PARAMS_VALUE or PARAMS_AVERAGE): [K,D], valid until the next call; NULL: the parameter of that
 * name, if there is one. */
const float *quantizer_publish(quantizer_t *q, int block);
/* Of parameters that only a training has. */
#define QUANTIZER_PREFIX "quantize.embedding_proj."
/* Codes in use and perplexity over the window; NAN perplexity before anything was counted. */
size_t quantizer_used(const quantizer_t *q);
double quantizer_perplexity(const quantizer_t *q);
/* exp(-sum p ln p) of any counts. */
double metrics_perplexity(const float *counts, size_t K);

#endif
