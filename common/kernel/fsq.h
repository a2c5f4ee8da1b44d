/* fsq.h - finite scalar quantization (fsq.c; Mentzer et al. 2023). The promises of kernel.h hold.
 *
 * A channel of l levels, with h = (l-1) 1.001/2 and o = 1/2 for even l, else 0:
 *   b    = tanh(z + atanh(o/h)) h - o      bounded, but not rounded
 *   k    = b rounded, ties to even
 *   q    = k / floor(l/2)
 *   code = sum_i (k_i + floor(l_i/2)) prod_(j<i) l_j
 * The code is the mixed-radix number of the channels, the first one fastest.
 */
#ifndef KERNEL_FSQ_H
#define KERNEL_FSQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KERN_FSQ_DIMS = 8, KERN_FSQ_MOST = 1000 };

/* D = n channels of level[d] levels each, 3 .. KERN_FSQ_MOST. */
typedef struct {
    size_t n;
    int32_t level[KERN_FSQ_DIMS];
} kern_fsq_t;

/* The number of codes: the product of the levels. */
size_t kern_fsq_codes(const kern_fsq_t *f);

/* z [n,D] -> idx [n] (codes), q [n,D]. NaN becomes the lowest level. */
void kern_fsq_forward(const kern_fsq_t *f, const float *z, size_t n, int32_t *idx, float *q);

/* dz (+)= dq h tanh'(z + atanh(o/h)) / floor(l/2): straight through the rounding
 *
 *   z, dq, dz  [n,D] */
void kern_fsq_backward(const kern_fsq_t *f, const float *z, const float *dq, size_t n, float *dz,
                       bool add);

/* q = b / floor(l/2), not rounded; its gradient is kern_fsq_backward
 *
 *   z, q  [n,D] */
void kern_fsq_bound(const kern_fsq_t *f, const float *z, size_t n, float *q);

/* q [n,D] of the codes idx [n], or of codes 0 .. n-1 when idx is NULL: the implicit codebook. */
void kern_fsq_vectors(const kern_fsq_t *f, const int32_t *idx, size_t n, float *q);

#endif
