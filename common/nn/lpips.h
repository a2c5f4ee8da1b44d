/* lpips.h - the perceptual distance LPIPS (Zhang et al. 2018, version 0.1) over a user's weights:
 * VGG16's thirteen convolutions and five linear layers.
 *
 * The network is frozen: its weights are bound to the tape as memory of an lpips_t, not as
 * parameters of the run. The widths are those of the file, so that a narrow VGG serves too.
 */
#ifndef NN_LPIPS_H
#define NN_LPIPS_H

#include "common/io/safetensors/safetensors.h"
#include "common/nn/nn.h"

enum { LPIPS_SIDE = 16 /* least height and width of an image: four halvings */ };

typedef struct lpips lpips_t;

/* Reads a safetensors file; *out is NULL after an error. Other tensors than these are ignored:
 *
 *     of                  VGG's convolutions                  linear layers
 *     taming, lpips       [loss.perceptual_loss.]net.         lin{0..4}.model.1.weight or
 *                         slice{1..5}.I.{weight,bias}         lins.{0..4}.model.1.weight
 *     torchvision         features.I.{weight,bias}            -
 *
 * RC_OK; RC_DATA: no such file, a NaN; RC_MISFIT: a tensor is missing or has another shape. */
int lpips_load(lpips_t **out, const char *path, reason_t *why);
/* The same from an open file. */
int lpips_read(lpips_t **out, const st_file_t *f, reason_t *why);
/* NULL is allowed. */
void lpips_free(lpips_t *l);
/* Bytes of its weights. */
size_t lpips_bytes(const lpips_t *l);

/* Mean over the batch of LPIPS(a, b); a, b [N,H,W,3] in [-1,1]. `l` must outlive the tape. */
var_t nn_lpips(nn_t *nn, const lpips_t *l, var_t a, var_t b);

#endif
