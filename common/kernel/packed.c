/* packed.c - packs and unpacks the weights of a linear layer: 32, 16, 8 or 4 bits each (packed.h).
 * How they lie is packed_layout.h's; packed_linear.c multiplies by them. */
#include "common/kernel/packed_layout.h"

#include "common/base/pool.h"

#include <math.h>
#include <string.h>

size_t kern_pack_bytes(kern_weights_t kind, size_t K, size_t N) {
    return ceil_div(N, NR) * panel_bytes(kind, K);
}

/* Rounds to nearest, ties to even. Finite weights only; beyond 3.3e38 they become infinite. */
static uint16_t to_bf16(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
static float from_bf16(uint16_t h) {
    uint32_t u = (uint32_t)h << 16;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* W[k,n], 0 outside. */
static float weight_at(bool tb, const float *W, size_t K, size_t N, size_t k, size_t n) {
    if (k >= K || n >= N) return 0;
    return tb ? W[n * K + k] : W[k * N + n];
}

/* Where a column's byte of step k lies in a block, from the column's first byte on. */
static size_t q_place(size_t k) {
    return k / 4 * NR * 4 + k % 4;
}

/* One block of column n: scale = largest / 127, q = w / scale rounded, and the sum of the q. */
static void pack_column(bool tb, const float *W, size_t K, size_t N, size_t k0, size_t n,
                        uint8_t *block) {
    float largest = 0, *scale = (float *)(void *)block + n % NR;
    int32_t *sum = (int32_t *)(void *)block + NR + n % NR;
    int8_t *q = (int8_t *)block + Q_HEAD + 4 * (n % NR);
    for (size_t k = k0; k < k0 + QK; k++)
        largest = fmaxf(largest, fabsf(weight_at(tb, W, K, N, k, n)));
    *scale = largest / 127;
    *sum = 0;
    for (size_t k = 0; k < QK; k++) {
        float w = weight_at(tb, W, K, N, k0 + k, n);
        q[q_place(k)] = *scale > 0 ? (int8_t)lrintf(w / *scale) : 0;
        *sum += q[q_place(k)];
    }
}

/* Where a column's step k lies in a block of 4 bits, and whether in the upper half of the byte. */
static size_t q4_place(size_t k, size_t column, bool *upper) {
    *upper = k >= Q4K / 2;
    k %= Q4K / 2;
    return Q4_HEAD + k / 4 * NR * 4 + column * 4 + k % 4;
}

/* One block of column n: the weight of the largest magnitude becomes -8, so that all sixteen values
 * are in use; one as large of the other sign has to do with 7. */
static void pack_column4(bool tb, const float *W, size_t K, size_t N, size_t k0, size_t n,
                         uint8_t *block) {
    float largest = 0, *scale = (float *)(void *)block + n % NR;
    for (size_t k = k0; k < k0 + Q4K; k++) {
        float w = weight_at(tb, W, K, N, k, n);
        if (fabsf(w) > fabsf(largest)) largest = w;
    }
    *scale = largest / -Q4_ZERO;
    for (size_t k = 0; k < Q4K; k++) {
        float w = weight_at(tb, W, K, N, k0 + k, n);
        long q = *scale != 0 ? lrintf(w / *scale) + Q4_ZERO : Q4_ZERO;
        q = q > 15 ? 15 : q;
        bool upper;
        uint8_t *at = block + q4_place(k, n % NR, &upper);
        *at = (uint8_t)(upper ? *at | q << 4 : q);
    }
}

typedef struct {
    kern_weights_t kind;
    bool tb;
    size_t K, N, bytes;
    const float *W;
    uint8_t *packed;
} pack_t;

static void pack_task(void *ctx, size_t p) {
    const pack_t *o = ctx;
    uint8_t *panel = o->packed + p * o->bytes;
    if (o->kind == WEIGHTS_Q8) {
        for (size_t k0 = 0; k0 < o->K; k0 += QK, panel += Q_BLOCK)
            for (size_t j = 0; j < NR; j++)
                pack_column(o->tb, o->W, o->K, o->N, k0, p * NR + j, panel);
        return;
    }
    if (o->kind == WEIGHTS_Q4) {
        for (size_t k0 = 0; k0 < o->K; k0 += Q4K, panel += Q4_BLOCK)
            for (size_t j = 0; j < NR; j++)
                pack_column4(o->tb, o->W, o->K, o->N, k0, p * NR + j, panel);
        return;
    }
    for (size_t k = 0; k < o->K; k++)
        for (size_t j = 0; j < NR; j++) {
            float w = weight_at(o->tb, o->W, o->K, o->N, k, p * NR + j);
            if (o->kind == WEIGHTS_F32)
                ((float *)(void *)panel)[k * NR + j] = w;
            else
                ((uint16_t *)(void *)panel)[k * NR + j] = to_bf16(w);
        }
}

void kern_pack(kern_weights_t kind, bool tb, size_t K, size_t N, const float *W, void *packed) {
    pack_t o = {kind, tb, K, N, panel_bytes(kind, K), W, packed};
    parallel_for(ceil_div(N, NR), pack_task, &o);
}

static float unpacked4(const uint8_t *block, size_t k, size_t j) {
    bool upper;
    uint8_t byte = block[q4_place(k, j, &upper)];
    return ((const float *)(const void *)block)[j] *
           (float)((upper ? byte >> 4 : byte & 15) - Q4_ZERO);
}

/* Weight k of column j of a panel, as a product sees it. */
static float unpacked(kern_weights_t kind, const uint8_t *panel, size_t k, size_t j) {
    const uint8_t *block = panel + k / QK * Q_BLOCK;
    switch (kind) {
    case WEIGHTS_F32:
        return ((const float *)(const void *)panel)[k * NR + j];
    case WEIGHTS_BF16:
        return from_bf16(((const uint16_t *)(const void *)panel)[k * NR + j]);
    case WEIGHTS_Q8:
        return ((const float *)(const void *)block)[j] *
               (float)((const int8_t *)block)[Q_HEAD + 4 * j + q_place(k % QK)];
    case WEIGHTS_Q4:
        return unpacked4(panel + k / Q4K * Q4_BLOCK, k % Q4K, j);
    }
    return 0;
}

void kern_unpack(kern_weights_t kind, bool tb, size_t K, size_t N, const void *packed, float *W) {
    size_t bytes = panel_bytes(kind, K);
    for (size_t n = 0; n < N; n++)
        for (size_t k = 0; k < K; k++)
            W[tb ? n * K + k : k * N + n] =
                unpacked(kind, (const uint8_t *)packed + n / NR * bytes, k, n % NR);
}
