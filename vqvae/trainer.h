/* trainer.h - one optimizer step of the tokenizer, on any batch: shared by train and trace.
 */
#ifndef VQVAE_TRAINER_H
#define VQVAE_TRAINER_H

#include "common/tape/plan.h"
#include "vqvae/config.h"
#include "vqvae/freeze.h"
#include "vqvae/quantizer.h"

/* The recorded network for one batch shape: with the quantizer, or as the autoencoder of the first steps. */
typedef struct {
    tape_t *tape;
    plan_t *plan;
    var_t image, weight, prequant, recon, loss, loss_rec;
    vq_out_t vq; /* NO_VAR without quantizer */
} graph_t;

typedef struct {
    config_t config;
    vqvae_config_t model;
    params_t *params;
    optimizer_t optimizer;
    quantizer_t quantizer;
    graph_t graph[2]; /* autoencoder, with quantizer */
    bool plain;       /* set before the first graph: nn_t.plain_conv */
    plan_memory_t memory;
    size_t n, w, h; /* of a replay */
    bool weighted;  /* loss.focus */
    const char *wrt[4 + FREEZE_MOST];
    size_t n_wrt;
    freeze_t freeze;
    uint64_t seed;
    float *counts, *sums, *z; /* of an optimizer step */
} trainer_t;

typedef struct {
    double loss, loss_rec, loss_vq, psnr, grad_norm, lr;
    bool skipped, quantized;
} trainer_step_t;

/* n pictures of w x h a replay; parameters are created and initialised when `p` has none. Owns nothing of the caller.
 */
trainer_t *trainer_new(const config_t *c, params_t *p, size_t n, size_t w, size_t h, uint64_t seed);
void trainer_free(trainer_t *t);
/* The graph of a step, made at first use. */
graph_t *trainer_graph(trainer_t *t, bool quantized);
/* True when step (counted from 0) runs with the quantizer. */
bool trainer_quantizes(const trainer_t *t, int64_t step);

/* Forward and backward of micro-batch `micro` of the step; image (and weight, if weighted) were written into the
 * graph's inputs. Adds to the results of earlier micro-batches. */
void trainer_replay(trainer_t *t, int64_t step, int64_t micro, trainer_step_t *out);
/* The update that closes the step. */
void trainer_update(trainer_t *t, int64_t step, trainer_step_t *out);
/* Encoder outputs of the graph's current inputs for the k-means start: [n*h/f*w/f, D] appended to z. */
size_t trainer_encode(trainer_t *t, float *z);

double flops_of_step(trainer_t *t);

#endif
