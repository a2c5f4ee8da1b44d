/* vqvae_names.h - other people's VQGANs: how taming-transformers (and latent-diffusion) configure
 * them and name their tensors, in terms of ours, which are diffusers'.
 *
 * Facts: taming-transformers, modules/diffusionmodules/model.py and models/vqgan.py; diffusers'
 * conversion scripts.
 */
#ifndef MODEL_VQVAE_NAMES_H
#define MODEL_VQVAE_NAMES_H

#include "common/model/vqvae.h"
#include "common/nn/weights.h"

enum { VQ_NAME = WEIGHTS_NAME }; /* bytes of a translated name */

/* The JSON form of taming's YAML: the whole file ({"model": {"target", "params": {embed_dim,
 * n_embed, ddconfig}}}), any inner part of it that still holds the numbers, or all numbers in one
 * flat object. *resolution: the side that decides which levels have attention. RC_OK, RC_DATA (no
 * JSON object), or RC_MISFIT (a number is missing; Gumbel models, double_z and others that VQModel
 * cannot express). dropout and what belongs to training is ignored. */
int vqvae_taming_config(vqvae_config_t *c, size_t *resolution, const char *text, size_t size,
                        reason_t *why);

/* A tensor's name translated, from taming's to diffusers', or back. False: no name of a network
 * with so many levels. */
bool vqvae_taming_name(const char *name, size_t levels, bool back, char out[VQ_NAME]);
/* Tensors beside the network in a taming checkpoint: losses with their networks, moving averages of
 * the weights, a remapped vocabulary. */
bool vqvae_taming_training(const char *name);

typedef enum { VQ_NAMES_DIFFUSERS, VQ_NAMES_TAMING } vqvae_names_t;
/* vqvae_read_weights for a file under either names (diffusers' older attention names too).
 * *ignored: tensors of training that were passed over. (vqvae_run.c) */
int vqvae_read_named(params_t *p, const char *path, vqvae_names_t names, size_t levels,
                     size_t *ignored, reason_t *why);

#endif
