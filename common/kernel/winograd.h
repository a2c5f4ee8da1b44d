/* winograd.h - 3x3 convolutions of stride 1 by Winograd's F(4x4,3x3) (Lavin & Gray 2015), private
 * to conv.c.
 *
 * Outputs are computed in tiles of 4x4. A tile of 6x6 inputs and the 3x3 filter are each evaluated
 * at 6x6 points, the products at a point are summed over channels (a small matrix product a point),
 * and the sums are turned into the 4x4 outputs: 36 multiplications where the plain loop has 144.
 * All of it is NHWC, a vector of channels at a time.
 *
 * Same promises as conv.c: an output element's bits depend on its image and the shape of one image
 * alone.
 */
#ifndef KERNEL_WINOGRAD_H
#define KERNEL_WINOGRAD_H

#include "common/kernel/kernel.h"

/* Is this the way for these shapes? A function of one image and the channels: never of the batch or
 * the threads. */
bool winograd_pays(const kern_conv_t *g);

/* As kern_conv_*, for shapes that winograd_pays accepts. */
void winograd_forward(const kern_conv_t *g, const float *x, const float *w, const float *bias,
                      float *y);
void winograd_backward_input(const kern_conv_t *g, const float *dy, const float *w, float *dx,
                             bool add);
void winograd_backward_weight(const kern_conv_t *g, const float *x, const float *dy, float *dw,
                              bool add);

#endif
