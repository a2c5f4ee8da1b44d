/* resample.h - images made smaller (resample.c). The promises of kernel.h hold. */
#ifndef KERNEL_RESAMPLE_H
#define KERNEL_RESAMPLE_H

#include <stdbool.h>
#include <stddef.h>

/* y[n,i,j,c] = max of x[n, 2i..2i+1, 2j..2j+1, c]
 *
 *   x  [N,H,W,C]
 *   y  [N,H/2,W/2,C]
 *
 * A last odd row or column takes no part. NaN comes out as NaN. */
void kern_maxpool2_forward(const float *x, size_t N, size_t H, size_t W, size_t C, float *y);

/* dx (+)= dy at the largest of the four, 0 elsewhere; the first one, row by row, wins a tie
 *
 *   dy  [N,H/2,W/2,C]
 *   dx  [N,H,W,C] */
void kern_maxpool2_backward(const float *x, const float *dy, size_t N, size_t H, size_t W, size_t C,
                            float *dx, bool add);

#endif
