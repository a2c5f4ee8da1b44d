/* trainer.h - one optimizer step of the tokenizer, on any batch: shared by train and trace.
 */
#ifndef VQVAE_TRAINER_H
#define VQVAE_TRAINER_H

#include "common/tape/plan.h"
#include "common/train/freeze.h"
#include "vqvae/adversary.h"
#include "vqvae/config.h"
#include "vqvae/perceptual.h"
#include "vqvae/quantizer.h"

/* The recorded network for one batch shape: with the quantizer, or as the autoencoder of the first
 * steps; with the discriminator or before it starts. */
typedef struct {
    tape_t *tape;
    plan_t *plan;
    var_t image, weight, prequant, recon, loss, loss_rec;
    var_t perceptual, nll; /* NO_VAR without LPIPS; loss_rec + loss.perceptual * perceptual */
    vq_out_t vq;           /* NO_VAR without quantizer */
    bool adversarial;
    adversary_vars_t gan;
} graph_t;

typedef struct {
    config_t config;
    vqvae_config_t model;
    params_t *params;
    optimizer_t optimizer;
    quantizer_t quantizer;
    lpips_t *lpips;         /* NULL: off */
    adversary_t *adversary; /* NULL: off */
    graph_t graph[4];       /* autoencoder, with quantizer; the same with the discriminator */
    bool plain;             /* trainer_plain: nn_t.plain_conv */
    plan_memory_t memory;
    size_t n, w, h; /* of a replay */
    bool weighted;  /* loss.focus */
    const char *wrt[5 + FREEZE_MOST];
    size_t n_wrt;
    freeze_t freeze;
    uint64_t seed;
    float *counts, *sums, *z; /* of an optimizer step */
} trainer_t;

typedef struct {
    double loss, loss_rec, loss_vq, loss_perceptual, psnr, grad_norm, lr;
    adversary_step_t gan;
    bool skipped, quantized, adversarial;
} trainer_step_t;

/* n images of w x h a replay. Makes and initialises the parameters that `p` lacks, and records the
 * graphs of all steps. Owns nothing of the caller. */
trainer_t *trainer_new(const config_t *c, params_t *p, size_t n, size_t w, size_t h, uint64_t seed);
void trainer_free(trainer_t *t);
/* Convolutions of least error from now on: records the graphs again. */
void trainer_plain(trainer_t *t);
/* A graph without discriminator. */
graph_t *trainer_graph(trainer_t *t, bool quantized);
/* The graph of step (counted from 0). */
graph_t *trainer_graph_at(trainer_t *t, int64_t step);
/* A step in which everything that the configuration asks for runs. */
int64_t trainer_full_step(const trainer_t *t);
/* True when step (counted from 0) runs with the quantizer. */
bool trainer_quantizes(const trainer_t *t, int64_t step);

/* Forward and backward of micro-batch `micro` of the step; image (and weight, if weighted) were
 * written into the graph's inputs. Adds to the results of earlier micro-batches. */
void trainer_replay(trainer_t *t, int64_t step, int64_t micro, trainer_step_t *out);
/* The update that closes the step. */
void trainer_update(trainer_t *t, int64_t step, trainer_step_t *out);
/* Encoder outputs of the graph's current inputs for the k-means start: [n*h/f*w/f, D] appended to
 * z. */
size_t trainer_encode(trainer_t *t, float *z);

double trainer_flops(trainer_t *t);

#endif
