/* vq.h - vector quantization: the nearest code, what an assignment is worth, and gradients for it
 * (vq.c; van den Oord et al. 2017). The promises of kernel.h hold. common/model/vqvae.h says how a
 * model uses them. */
#ifndef KERNEL_VQ_H
#define KERNEL_VQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* idx[i] = argmin_k |z_i|^2 + |e_k|^2 - 2 z_i.e_k
 *
 *   z    [n,D]
 *   e    [K,D], the codebook
 *   idx  [n]
 *
 * The lowest index wins ties. A row of NaN gets code 0. */
void kern_vq_nearest(const float *z, size_t n, const float *e, size_t K, size_t D, int32_t *idx);

/* The same in two steps, for a codebook that does not change, with the same results.
 *
 *   packed  kern_vq_pack_bytes, 64-byte aligned */
size_t kern_vq_pack_bytes(size_t K, size_t D);
void kern_vq_pack(const float *e, size_t K, size_t D, float *packed);
void kern_vq_nearest_packed(const float *z, size_t n, const float *packed, size_t K, size_t D,
                            int32_t *idx);

/* counts[k] = how many idx[i] = k;  sums[k,:] = sum of z[i,:] over those i, in order of i
 *
 *   counts  [K]
 *   sums    [K,D]; not touched when D = 0 */
void kern_vq_stats(const float *z, const int32_t *idx, size_t n, size_t K, size_t D, float *counts,
                   float *sums);

/* dz (+)= |q|/|z| (dq - 2 (dq.w) w + 2 (dq.v) u),  u = z/|z|, v = q/|q|, w = (u+v)/|u+v|
 *
 *   z, q, dq, dz  [n,D]; q is the code of z
 *
 * The rotation trick (Fifty et al. 2024): forward turns and stretches z onto q, backward turns the
 * gradient back, with the rotation and the norms (floored at 1e-6) as constants. */
void kern_vq_rotate_backward(const float *z, const float *q, const float *dq, size_t n, size_t D,
                             float *dz, bool add);

/* y[i,:] = x[i,:] / max(|x_i|, 1e-12)
 *
 *   x, y  [n,D]; y may be x */
void kern_unit_rows_forward(const float *x, size_t n, size_t D, float *y);

/* dx (+)= (dy - y (y.dy)) / |x|, of kern_unit_rows_forward
 *
 *   x, dy, dx  [n,D] */
void kern_unit_rows_backward(const float *x, const float *dy, size_t n, size_t D, float *dx,
                             bool add);

#endif
