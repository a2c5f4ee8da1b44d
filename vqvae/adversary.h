/* adversary.h - the discriminator of the training: its losses, the weight of the generator's term,
 * its optimizer and its state.
 *
 * With x the image, xr its reconstruction, D the discriminator and W the decoder's last weight
 * (Esser et al. 2021):
 *
 *     g      = -mean D(xr)
 *     d      = clamp(|d nll / d W| / (|d g / d W| + 1e-4), 0, 1e4) * loss.disc
 *     generator      minimises  nll + d g + vq
 *     discriminator  minimises  0.5 (mean relu(1 - D(x)) + mean relu(1 + D(xr)))     hinge
 *                           or  0.5 (mean softplus(-D(x)) + mean softplus(D(xr)))    vanilla
 *
 * Both read the same reconstruction; BatchNorm is over real and reconstructed images apart. Nothing
 * of it happens before loss.disc_start. Its parameters are "discriminator.main.*" in the run's
 * params.
 */
#ifndef VQVAE_ADVERSARY_H
#define VQVAE_ADVERSARY_H

#include "common/nn/patchgan.h"
#include "common/tape/plan.h"
#include "common/train/checkpoint.h"
#include "vqvae/config.h"

#define ADVERSARY_PREFIX "discriminator."

/* The most that it adds to a plan's values to keep, and passes. */
enum { ADVERSARY_KEEP = 2 + 4 * PATCHGAN_LAYERS, ADVERSARY_PASSES = 3 };
/* What it adds to a tape. */
typedef struct {
    /* Scalars: g, and the discriminator's loss. */
    var_t gan, loss;
    /* Batch statistics of real [0] and of reconstructed images [1]. */
    batchnorm_out_t stats[2][PATCHGAN_LAYERS];
} adversary_vars_t;

/* Means over the replays of a step: g, d as applied (ramp included), the discriminator's loss. */
typedef struct {
    double loss_gan, d_weight, loss_disc;
} adversary_step_t;

typedef struct adversary adversary_t;

/* NULL when loss.disc is 0. Declares the discriminator beside the tokenizer's parameters in p,
 * which must outlive it, and initialises it by `seed`. die(RC_USAGE) when images of w x h pixels
 * are too small for it. */
adversary_t *adversary_new(const config_t *c, params_t *p, size_t w, size_t h, uint64_t seed);
void adversary_free(adversary_t *a);
/* Does step (from 0) run with the discriminator? False for NULL. */
bool adversary_acts(const adversary_t *a, int64_t step);

/* Records it over image and recon, both [N,H,W,3]. */
adversary_vars_t adversary_record(const adversary_t *a, nn_t *nn, var_t image, var_t recon);
/* Fills `keep` (room for ADVERSARY_KEEP) for plan_opts_t; returns how many. */
size_t adversary_keep(const adversary_t *a, const adversary_vars_t *v, var_t *keep);
/* Fills `pass` (room for ADVERSARY_PASSES) with passes 1 .. of the plan: the discriminator's loss
 * to its parameters; with loss.disc_adaptive also nll and g to W. Pass 0 is the caller's, with g as
 * its second root. Returns how many. */
size_t adversary_passes(const adversary_t *a, const adversary_vars_t *v, var_t nll, pass_t *pass);

/* After plan_forward, before the caller's pass 0: runs the other passes and sets the seed of g in
 * pass 0 to d. Adds its metrics, times 1/accumulate, to *out. Returns what it adds to the
 * generator's loss: d g, times the same. */
double adversary_replay(adversary_t *a, plan_t *plan, const adversary_vars_t *v, int64_t step,
                        int64_t micro, adversary_step_t *out);
/* Updates the discriminator and its running statistics. False, and nothing has moved, when its loss
 * or gradient is not finite. */
bool adversary_update(adversary_t *a, const adversary_step_t *s);

/* Training state beside the parameters, which stays a's: the number of updates, then the running
 * statistics. Fills `out` (room for ADVERSARY_STATE) and returns how many; none for NULL. */
enum { ADVERSARY_STATE = 2 * PATCHGAN_LAYERS + 1 };
size_t adversary_state(adversary_t *a, checkpoint_state_t *out);

/* Does the file hold a discriminator (names discriminator.main.*, loss.discriminator.main.*,
 * main.*, or those of training.safetensors)? */
bool adversary_in(const st_file_t *f);
/* Fills the parameters, and the running statistics where present. 0, or an exit code with a
 * reason. */
int adversary_load(adversary_t *a, const st_file_t *f, reason_t *why);
/* The discriminator of a RUN: its weights file if that holds one, else its training state. True:
 * *f is open (the caller closes it) and *path its name (malloc'ed). die(RC_DATA) for a damaged
 * file. */
bool adversary_find(const char *run, st_file_t *f, char **path);
/* Does the file's discriminator have the layers and widths of this one? */
bool adversary_like(const adversary_t *a, const st_file_t *f);

#endif
