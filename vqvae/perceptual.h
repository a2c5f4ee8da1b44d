/* perceptual.h - LPIPS as a setting of the training: loss.perceptual, loss.perceptual_weights. */
#ifndef VQVAE_PERCEPTUAL_H
#define VQVAE_PERCEPTUAL_H

#include "common/nn/lpips.h"
#include "vqvae/config.h"

/* The network that the configuration asks for, for images of w x h pixels; the caller frees it.
 * NULL when loss.perceptual is 0. Dies: RC_USAGE without a file or when the images are too small;
 * RC_DATA and RC_MISFIT as lpips_load. */
lpips_t *perceptual_open(const config_t *c, size_t w, size_t h);

#endif
