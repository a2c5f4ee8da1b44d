/* vqvae_names.h - other people's VQGANs: how taming-transformers (and latent-diffusion) configure
 * them and name their tensors, in terms of ours, which are diffusers'.
 *
 * Sources: taming-transformers, modules/diffusionmodules/model.py and models/vqgan.py; diffusers'
 * conversion scripts.
 */
#ifndef MODEL_VQVAE_NAMES_H
#define MODEL_VQVAE_NAMES_H

#include "common/model/vqvae.h"
#include "common/nn/weights.h"

enum { VQ_NAME = WEIGHTS_NAME }; /* bytes of a translated name */

/* Reads the JSON form of taming's YAML: the whole file ({"model": {"target", "params": {embed_dim,
 * n_embed, ddconfig}}}), any inner part of it that still holds the numbers, or all numbers in one
 * flat object. *resolution: the side in pixels that decides which levels have attention. RC_OK;
 * RC_DATA when it is no JSON object; RC_MISFIT when a number is missing or VQModel cannot express
 * the network (Gumbel models, double_z, ...). Dropout and what belongs to training are ignored. */
int vqvae_taming_config(vqvae_config_t *c, size_t *resolution, const char *text, size_t size,
                        reason_t *why);

/* Translates a tensor's name from taming's to diffusers', or `back`. False when a network with so
 * many levels has no tensor of that name. */
bool vqvae_taming_name(const char *name, size_t levels, bool back, char out[VQ_NAME]);
/* Is the tensor beside the network in a taming checkpoint: of a loss and its networks, a moving
 * average of the weights, a remapped vocabulary? */
bool vqvae_taming_training(const char *name);

typedef enum { VQ_NAMES_DIFFUSERS, VQ_NAMES_TAMING } vqvae_names_t;
/* vqvae_read_weights for a file under either names (diffusers' older attention names too); `levels`
 * of the network matters for taming's. *ignored: how many tensors of training were passed over.
 * (vqvae_weights.c) */
int vqvae_read_named(params_t *p, const char *path, vqvae_names_t names, size_t levels,
                     size_t *ignored, reason_t *why);

#endif
