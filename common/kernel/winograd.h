/* winograd.h - 3x3 convolutions of stride 1 by Winograd's F(4x4,3x3) (Lavin & Gray 2015), private
 * to conv.c.
 *
 * Outputs are computed in tiles of 4x4. With x a tile's 6x6 inputs, w the 3x3 filter, and . the
 * product point by point:
 *
 *     y = A^T [ (G w G^T) . (B^T x B) ] A
 *
 * B^T x B and G w G^T evaluate the tile and the filter as polynomials at 6x6 points. The products
 * at a point are summed over the input channels, which is a small matrix product per point:
 *
 *     m[point][tile, Cout] = v[point][tile, Cin] u[point][Cin, Cout]
 *
 * A^T m A turns the sums into the 4x4 outputs: 36 multiplications where the plain loop has 144. All
 * of it is NHWC, a vector of channels at a time.
 *
 *   winograd_tile.h    the transforms
 *   winograd.c         forward and input gradient
 *   winograd_weight.c  weight gradient
 *
 * Same promises as conv.h: an output element's bits depend on its image and on the shape of one
 * image alone.
 */
#ifndef KERNEL_WINOGRAD_H
#define KERNEL_WINOGRAD_H

#include "common/kernel/conv.h"

/* Is this the faster way for these shapes? Depends on one image and the channels, never on the
 * batch or the threads. */
bool winograd_pays(const kern_conv_t *g);

/* ---- for shapes that winograd_pays accepts ---- */

/* Floats of the weights at their points. */
size_t winograd_floats(const kern_conv_t *g);
/* u = G w G^T for the forward. */
void winograd_filter(const kern_conv_t *g, const float *w, float *u);
/* As kern_conv_forward, over u. */
void winograd_forward(const kern_conv_t *g, const float *x, const float *u, const float *bias,
                      float *y);
/* As kern_conv_backward_input and kern_conv_backward_weight. */
void winograd_backward_input(const kern_conv_t *g, const float *dy, const float *w, float *dx,
                             bool add);
void winograd_backward_weight(const kern_conv_t *g, const float *x, const float *dy, float *dw,
                              bool add);

#endif
