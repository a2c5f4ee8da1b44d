/* adversary.h - the discriminator of the training: its losses, the weight of the generator's term,
 * its optimizer and its state.
 *
 * Esser et al. 2021: g = -mean D(xr), d = clamp(|dW nll| / (|dW g| + 1e-4), 0, 1e4) * loss.disc
 * with W the decoder's last weight; the generator minimises nll + d g + vq, the discriminator 0.5
 * (mean relu(1 - D(x)) + mean relu(1 + D(xr))) or its softplus twin, on the same reconstruction,
 * with BatchNorm over real and reconstructed images apart. Nothing of it happens before
 * loss.disc_start. Its parameters are "discriminator.main.*" in the run's params.
 */
#ifndef VQVAE_ADVERSARY_H
#define VQVAE_ADVERSARY_H

#include "common/nn/patchgan.h"
#include "common/tape/plan.h"
#include "common/train/checkpoint.h"
#include "vqvae/config.h"

#define ADVERSARY_PREFIX "discriminator."

/* What it adds to a tape and its plan. */
enum { ADVERSARY_KEEP = 2 + 4 * PATCHGAN_LAYERS, ADVERSARY_PASSES = 3 };
typedef struct {
    var_t gan, loss;                           /* g, the discriminator's loss */
    batchnorm_out_t stats[2][PATCHGAN_LAYERS]; /* of real, of reconstructed images */
} adversary_vars_t;

typedef struct {
    double loss_gan, d_weight, loss_disc; /* d_weight as applied, ramp included */
} adversary_step_t;

typedef struct adversary adversary_t;

/* NULL when loss.disc is 0. Declares the discriminator beside the tokenizer's parameters,
 * initialised by `seed`. die(RC_USAGE) when images of w x h are too small for it. */
adversary_t *adversary_new(const config_t *c, params_t *p, size_t w, size_t h, uint64_t seed);
void adversary_free(adversary_t *a);
/* True when step (from 0) runs with the discriminator. */
bool adversary_acts(const adversary_t *a, int64_t step);

adversary_vars_t adversary_record(const adversary_t *a, nn_t *nn, var_t image, var_t recon);
/* Values for plan_opts_t.keep; returns their number. */
size_t adversary_keep(const adversary_t *a, const adversary_vars_t *v, var_t *keep);
/* Passes 1 .. of the plan: nll and g to W, the discriminator's loss to the discriminator. Pass 0 is
 * the caller's, with g as its second root. Returns their number. */
size_t adversary_passes(const adversary_t *a, const adversary_vars_t *v, var_t nll, pass_t *pass);

/* After plan_forward, before the caller's pass 0: runs the other passes and sets the seed of g in
 * pass 0. Metrics are added to *out, times 1/accumulate. Returns what it adds to the generator's
 * loss, d g, times the same. */
double adversary_replay(adversary_t *a, plan_t *plan, const adversary_vars_t *v, int64_t step,
                        int64_t micro, adversary_step_t *out);
/* The discriminator's update and running statistics; false, and nothing moved, when its loss or
 * gradient is not finite.
 */
bool adversary_update(adversary_t *a, const adversary_step_t *s);

/* Training state beside the parameters: running statistics, number of updates. Returns how many
 * entries. */
enum { ADVERSARY_STATE = 2 * PATCHGAN_LAYERS + 1 };
size_t adversary_state(adversary_t *a, checkpoint_state_t *out);

/* Does the file hold a discriminator (names discriminator.main.*, loss.discriminator.main.*,
 * main.*, or those of training.safetensors)? */
bool adversary_in(const st_file_t *f);
/* Fills the parameters, and the running statistics where present. 0 or an exit code. */
int adversary_load(adversary_t *a, const st_file_t *f, reason_t *why);
/* The discriminator of a RUN: its weights file if that holds one, else its training state. True: *f
 * is open and *path its name (malloc'ed). die(RC_DATA) for a damaged file. */
bool adversary_find(const char *run, st_file_t *f, char **path);
/* Does the file's discriminator have the layers and widths of this one? */
bool adversary_like(const adversary_t *a, const st_file_t *f);

#endif
