/* packed_layout.h - how a packed matrix lies in memory: private to packed.c and packed_linear.c.
 *
 * W[K,N] is cut into panels of NR = 16 columns, k after k:
 *
 *     f32   panel = float [K][16]
 *     bf16  panel = uint16 [K][16], the upper half of the float
 *     q8    panel = blocks of QK = 64 steps, each
 *                       float scale[16] | int32 sum[16] | uint32 word[16][16]
 *           word[k/4][column] has the bytes of k .. k+3, the lowest k in the lowest byte;
 *           sum is the sum of a column's 64 bytes
 *     q4    panel = blocks of Q4K = 32 steps, each
 *                       float scale[16] | uint32 word[4][16]
 *           word[g][column] has steps 4g .. 4g+3 in the lower halves of its bytes and 16+4g ..
 *           16+4g+3 in the upper halves, each from 0 to 15: 8 more than what it stands for
 */
#ifndef KERNEL_PACKED_LAYOUT_H
#define KERNEL_PACKED_LAYOUT_H

#include "common/base/sizes.h"
#include "common/kernel/kernel.h"

enum {
    /* Columns of a panel. */
    NR = 16,
    /* Steps of k that share a scale: 8 bits, and the values of a row. */
    QK = 64,
    /* The same, 4 bits. */
    Q4K = 32,
    /* Bytes of the scales and sums before a block's bytes, and of a whole block. */
    Q_HEAD = 2 * NR * (int)sizeof(float),
    Q_BLOCK = Q_HEAD + QK * NR,
    Q4_HEAD = NR * (int)sizeof(float),
    Q4_BLOCK = Q4_HEAD + Q4K * NR / 2,
    /* What 4 bits of 0 stand for. */
    Q4_ZERO = 8
};

static inline size_t panel_bytes(kern_weights_t kind, size_t K) {
    switch (kind) {
    case WEIGHTS_F32:
        return K * NR * sizeof(float);
    case WEIGHTS_BF16:
        return K * NR * sizeof(uint16_t);
    case WEIGHTS_Q8:
        return ceil_div(K, QK) * Q_BLOCK;
    case WEIGHTS_Q4:
        return ceil_div(K, Q4K) * Q4_BLOCK;
    }
    return 0;
}

#endif
