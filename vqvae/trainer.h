/* trainer.h - optimizer steps of the tokenizer on any batch: what `train` and `trace` share.
 *
 * A step is train.accumulate replays ("micro-batches") of n images, then one update. Before
 * train.warmup_no_quant the network is an autoencoder; before loss.disc_start there is no
 * discriminator.
 *
 *     trainer_t *t = trainer_new(&config, params, n, w, h, seed);
 *     graph_t *g = trainer_graph_at(t, step);
 *     for (int64_t micro = 0; micro < config.train.accumulate; micro++) {
 *         data_batch(d, first, n, plan_data(g->plan, g->image), NULL);
 *         trainer_replay(t, step, micro, &result);
 *     }
 *     trainer_update(t, step, &result);
 */
#ifndef VQVAE_TRAINER_H
#define VQVAE_TRAINER_H

#include "common/tape/plan.h"
#include "common/train/freeze.h"
#include "vqvae/adversary.h"
#include "vqvae/config.h"
#include "vqvae/perceptual.h"
#include "vqvae/quantizer.h"

/* The recorded network for one batch shape. */
typedef struct {
    tape_t *tape;
    plan_t *plan;
    /* Inputs: [n,h,w,3] in [-1,1]; [n,h,w], NO_VAR without loss.focus; which codes the decoder sees
     * (vqvae_keep), NO_VAR where always all. The trainer fills the last. */
    var_t image, weight, kept;
    /* [n,gh,gw,D]; [n,h,w,3]. */
    var_t prequant, recon;
    /* Scalars: nll + the quantizer's loss; the pixels' loss; LPIPS (NO_VAR without);
     * nll = loss_rec + loss.perceptual * perceptual. */
    var_t loss, loss_rec, perceptual, nll;
    /* All NO_VAR without quantizer. */
    vq_out_t vq;
    /* With the discriminator, and what it adds. */
    bool adversarial;
    adversary_vars_t gan;
} graph_t;

typedef struct {
    config_t config;
    vqvae_config_t model;
    params_t *params; /* the caller's */
    optimizer_t optimizer;
    quantizer_t quantizer;
    lpips_t *lpips;         /* NULL: off */
    adversary_t *adversary; /* NULL: off */
    /* [with discriminator][with quantizer]; they share memory. */
    graph_t graph[2][2];
    plan_memory_t memory;
    /* Convolutions of least error, see trainer_plain. */
    bool plain;
    /* Images per replay, their size in pixels, and codes of an image. */
    size_t n, w, h, tokens;
    bool weighted; /* loss.focus is on */
    /* Which parameters the optimizer moves: patterns of params_match. */
    const char *wrt[5 + FREEZE_MOST];
    size_t n_wrt;
    freeze_t freeze;
    uint64_t seed;
    /* Of the current step: how often each code was used [K] and the sum of the vectors assigned to
     * it [K,D]; encoder outputs [n*tokens, D] of its last replay. */
    float *counts, *sums, *z;
} trainer_t;

/* Means over the replays of a step. */
typedef struct {
    double loss, loss_rec, loss_vq, loss_perceptual, psnr;
    /* Of the update; skipped: something was not finite, and nothing moved. */
    double grad_norm, lr;
    bool skipped;
    adversary_step_t gan;
    bool quantized, adversarial;
} trainer_step_t;

/* For n images of w x h pixels per replay. Makes and initialises the parameters that `p` lacks and
 * records the graphs of all steps. p stays the caller's and must outlive the trainer.
 * die(RC_USAGE) for settings that do not fit the network or the images. */
trainer_t *trainer_new(const config_t *c, params_t *p, size_t n, size_t w, size_t h, uint64_t seed);
void trainer_free(trainer_t *t);
/* Records all graphs again with convolutions of least error instead of greatest speed. */
void trainer_plain(trainer_t *t);

/* A graph without discriminator. */
graph_t *trainer_graph(trainer_t *t, bool quantized);
/* The graph of step (counted from 0). */
graph_t *trainer_graph_at(trainer_t *t, int64_t step);
/* A step in which everything runs that the configuration asks for. */
int64_t trainer_full_step(const trainer_t *t);
/* Does step (counted from 0) run with the quantizer? */
bool trainer_quantizes(const trainer_t *t, int64_t step);

/* Forward and backward of replay `micro` (from 0) of the step, after the caller has written image
 * (and weight, if there is one) into the inputs of trainer_graph_at(t, step). Adds its share to
 * gradients, counts and *out; replay 0 clears them first. */
void trainer_replay(trainer_t *t, int64_t step, int64_t micro, trainer_step_t *out);
/* The update that closes the step: discriminator, network, codebook. */
void trainer_update(trainer_t *t, int64_t step, trainer_step_t *out);
/* Forward alone, of the inputs of a graph, as in use: no codes are dropped. */
void trainer_forward(trainer_t *t, graph_t *g);
/* Encoder outputs of the inputs of trainer_graph(t, false), for the k-means start: writes
 * z [n*tokens, D] and returns the number of rows. */
size_t trainer_encode(trainer_t *t, float *z);

/* Floating-point operations of a step in which everything runs. A backward pass counts as two
 * forward passes. */
double trainer_flops(trainer_t *t);

#endif
