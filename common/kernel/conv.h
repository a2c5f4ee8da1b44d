/* conv.h - 2-D convolution over NHWC images (conv.c, winograd.c). The promises of kernel.h hold. */
#ifndef KERNEL_CONV_H
#define KERNEL_CONV_H

#include <stdbool.h>
#include <stddef.h>

/* The shapes of one convolution: x [N,H,W,Cin], w [kh,kw,Cin,Cout], y [N,OH,OW,Cout]. */
typedef struct {
    size_t N, H, W, Cin, OH, OW, Cout, kh, kw, stride;
    /* Rows of zeros above x and columns left of it. What is padded below and to the right follows
     * from OH and OW. */
    size_t pad_top, pad_left;
    /* 1, or 2: x is read through a nearest-neighbour x2 enlargement. H and W are the sizes of x
     * itself, and stride must be 1. */
    size_t up;
    /* Sums as they are written, never Winograd's: a few times less error, a third of the speed. */
    bool plain;
} kern_conv_t;

/* y[n,oy,ox,:] = bias + sum_{r,s} x[n,iy,ix,:] w[r,s,:,:]
 *   with iy = oy*stride + r - pad_top, ix = ox*stride + s - pad_left
 *
 *   bias  [Cout] or NULL
 *
 * x is zero outside its image. With up = 2 it is x[n,iy/2,ix/2,:]. */
void kern_conv_forward(const kern_conv_t *g, const float *x, const float *w, const float *bias,
                       float *y);

/* The same in two steps, for weights that do not change: packs them once, then runs any number of
 * images over them, with the bits of kern_conv_forward.
 *
 *   packed  kern_conv_pack_bytes, 64-byte aligned. How it lies depends on the kernel, the channels
 *           and the shape of one image, never on N; of one w, equal bytes lie equally
 */
size_t kern_conv_pack_bytes(const kern_conv_t *g);
void kern_conv_pack(const kern_conv_t *g, const float *w, float *packed);
void kern_conv_packed(const kern_conv_t *g, const float *x, const float *packed, const float *bias,
                      float *y);

/* dx[n,iy,ix,:] (+)= sum dy[n,oy,ox,:] w[r,s,:,:]^T over all (oy,ox,r,s) that read (iy,ix) forward
 *
 *   dy  [N,OH,OW,Cout]
 *   dx  [N,H,W,Cin]
 *
 * kh*up and kw*up are at most 64; larger kernels are a BUG. */
void kern_conv_backward_input(const kern_conv_t *g, const float *dy, const float *w, float *dx,
                              bool add);

/* dw[r,s,:,:] (+)= sum_{n,oy,ox} x[n,iy,ix,:]^T dy[n,oy,ox,:], iy and ix as in the forward
 *
 *   dw  [kh,kw,Cin,Cout]
 *
 * The gradient of the bias is kern_colsum of dy. */
void kern_conv_backward_weight(const kern_conv_t *g, const float *x, const float *dy, float *dw,
                               bool add);

#endif
