/* patchgan.h - the discriminator of VQGANs: PatchGAN (Isola et al. 2017) as taming-transformers
 * builds and names it.
 *
 * All convolutions are 4 x 4 with one zero on each side; widths are c min(2^i, 8):
 *
 *     convolution   stride   width        bias   behind it
 *     0             2        3 -> c       yes    LeakyReLU (0.2)
 *     1 .. n-1      2        doubling     no     BatchNorm (eps 1e-5), LeakyReLU
 *     n             1        doubling     no     BatchNorm, LeakyReLU
 *     n+1           1        -> 1         yes    the logits
 *
 * n = layers, c = channels. Weights from N(0, 0.02^2), BatchNorm weights from N(1, 0.02^2). Names
 * main.{0,2,3,5,6,...}.{weight,bias} under the scope.
 */
#ifndef NN_PATCHGAN_H
#define NN_PATCHGAN_H

#include "common/nn/nn.h"

enum { PATCHGAN_LAYERS = 6 };
typedef struct {
    size_t channels, layers; /* 1 .. PATCHGAN_LAYERS; taming 64, 3 */
} patchgan_t;

/* Width after convolution i (0 .. layers). */
size_t patchgan_width(const patchgan_t *p, size_t i);
/* Number in "main.%zu" of BatchNorm i (0 .. layers-1), which is patchgan_width(i + 1) wide. */
size_t patchgan_norm(size_t i);
/* True if images of h x w leave at least one logit. */
bool patchgan_fits(const patchgan_t *p, size_t h, size_t w);

/* x [N,H,W,3] -> logits [N,h,w,1]; stats[layers], unless NULL, receives the statistics of every
 * BatchNorm, which runs in training mode. */
var_t nn_patchgan(nn_t *nn, const patchgan_t *p, var_t x, batchnorm_out_t *stats);
/* Creates the parameters under `scope`. */
void patchgan_declare(params_t *params, const patchgan_t *p, const char *scope);

#endif
