/* packed.h - linear layers over weights that are packed once, for networks that only run forward
 * (packed.c, packed_linear.c). The promises of kernel.h hold. */
#ifndef KERNEL_PACKED_H
#define KERNEL_PACKED_H

#include <stdbool.h>
#include <stddef.h>

/* How a weight is stored. */
typedef enum {
    /* Every bit is kept. */
    WEIGHTS_F32,
    /* Rounded to 8 bits of mantissa. */
    WEIGHTS_BF16,
    /* A signed byte per weight and a float scale per 64 weights of a column (symmetric: the largest
     * magnitude becomes 127). The values of a row are rounded to bytes likewise, so a block of 64
     * products is summed in integers; the sums of blocks are floats. */
    WEIGHTS_Q8,
    /* A number from -8 to 7 per weight and a float scale per 32 weights of a column: the weight of
     * the largest magnitude becomes -8. Rows are rounded to bytes as with WEIGHTS_Q8. */
    WEIGHTS_Q4
} kern_weights_t;

/* Bytes of kern_pack's output for W[K,N]. */
size_t kern_pack_bytes(kern_weights_t kind, size_t K, size_t N);

/* Packs W for kern_packed_linear.
 *
 *   tb      W is stored [N,K], else [K,N]; finite values only
 *   packed  kern_pack_bytes, 4-byte aligned, owned by the caller */
void kern_pack(kern_weights_t kind, bool tb, size_t K, size_t N, const float *W, void *packed);

/* Writes the weights that a product sees, after rounding, to W ([N,K] when tb, else [K,N]). */
void kern_unpack(kern_weights_t kind, bool tb, size_t K, size_t N, const void *packed, float *W);

/* y[M,N] = x[M,K] W[K,N] (+ bias[N])
 *
 *   packed  W by kern_pack, of the same kind, K and N
 *   bias    NULL = none */
void kern_packed_linear(kern_weights_t kind, size_t M, size_t N, size_t K, const float *x,
                        const void *packed, const float *bias, float *y);

/* Columns lo .. hi-1 of that alone: y[M, hi-lo], with the bits of the whole product.
 *
 *   bias  [N] */
void kern_packed_columns(kern_weights_t kind, size_t M, size_t N, size_t K, const float *x,
                         const void *packed, const float *bias, size_t lo, size_t hi, float *y);

#endif
