/* packed.c - linear layers over weights packed once: 32, 16 or 8 bits a weight, for networks that only run forward.
 *
 * Acting multiplies one row, or a few, by every weight of the network: it is bound by reading weights. Packed, they are
 * read in the order of use without a copy, and fewer bits are fewer bytes. Panels of 16 columns, k after k; groups of
 * panels run together so that one row keeps several sums in flight. An element's value depends on its row and column
 * only.
 *
 * 8 bits: a block of a panel is 16 scales, then for every four k a word a column with their bytes, lowest k lowest, so
 * that shifts of whole vectors take them apart on any machine.
 */
#include "common/base/pool.h"
#include "common/kernel/kernel.h"

#include <math.h>
#include <string.h>

enum {
    NR = 16,         /* columns of a panel */
    KC = 256,        /* k of a partial sum: that of gemm.c, so that 32-bit weights give its sums */
    QK = 64,         /* k that share a scale (8 bits) */
    GROUP = 4,       /* panels of a task */
    SMALL = 1 << 16, /* fewer multiplications than this: not worth a second thread */
    Q_BLOCK = NR * (int)sizeof(float) + QK * NR
};

typedef float v16f __attribute__((vector_size(64)));
typedef float v16u __attribute__((vector_size(64), aligned(4)));
typedef uint16_t v16h __attribute__((vector_size(32), aligned(2)));
typedef uint32_t v16w __attribute__((vector_size(64)));
typedef int32_t v16i __attribute__((vector_size(64)));
typedef int32_t v16j __attribute__((vector_size(64), aligned(4)));

static size_t ceil_div(size_t a, size_t b) {
    return (a + b - 1) / b;
}
static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t panel_bytes(kern_weights_t kind, size_t K) {
    return kind == WEIGHTS_F32 ? K * NR * 4 : kind == WEIGHTS_BF16 ? K * NR * 2 : ceil_div(K, QK) * Q_BLOCK;
}

size_t kern_pack_bytes(kern_weights_t kind, size_t K, size_t N) {
    return ceil_div(N, NR) * panel_bytes(kind, K);
}

/* ---- packing ---- */

/* Round to nearest, ties to even. Finite weights only: an overflow to infinity is a weight beyond 3.3e38. */
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

static float weight_at(bool tb, const float *W, size_t K, size_t N, size_t k, size_t n) {
    return k < K && n < N ? tb ? W[n * K + k] : W[k * N + n] : 0;
}

/* Where the byte of step k of a block lies, from the column's first. */
static size_t q_place(size_t k) {
    return k / 4 * NR * 4 + k % 4;
}

/* One block of a column: symmetric, the largest magnitude becomes 127. */
static void pack_column(bool tb, const float *W, size_t K, size_t N, size_t k0, size_t n, float *scale, int8_t *q) {
    float largest = 0;
    for (size_t k = k0; k < k0 + QK; k++) largest = fmaxf(largest, fabsf(weight_at(tb, W, K, N, k, n)));
    *scale = largest / 127;
    for (size_t k = 0; k < QK; k++) {
        float w = weight_at(tb, W, K, N, k0 + k, n);
        q[q_place(k)] = *scale > 0 ? (int8_t)lrintf(w / *scale) : 0;
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
    for (size_t k0 = 0; o->kind == WEIGHTS_Q8 && k0 < o->K; k0 += QK, panel += Q_BLOCK)
        for (size_t j = 0; j < NR; j++)
            pack_column(o->tb, o->W, o->K, o->N, k0, p * NR + j, (float *)(void *)panel + j,
                        (int8_t *)panel + NR * sizeof(float) + 4 * j);
    for (size_t k = 0; o->kind != WEIGHTS_Q8 && k < o->K; k++)
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

void kern_unpack(kern_weights_t kind, bool tb, size_t K, size_t N, const void *packed, float *W) {
    size_t bytes = panel_bytes(kind, K);
    for (size_t n = 0; n < N; n++) {
        const uint8_t *panel = (const uint8_t *)packed + n / NR * bytes;
        size_t j = n % NR;
        for (size_t k = 0; k < K; k++) {
            const uint8_t *block = panel + k / QK * Q_BLOCK;
            float w = kind == WEIGHTS_F32 ? ((const float *)(const void *)panel)[k * NR + j]
                      : kind == WEIGHTS_BF16
                          ? from_bf16(((const uint16_t *)(const void *)panel)[k * NR + j])
                          : ((const float *)(const void *)block)[j] *
                                (float)((const int8_t *)block)[NR * sizeof(float) + 4 * j + q_place(k % QK)];
            W[tb ? n * K + k : k * N + n] = w;
        }
    }
}

/* ---- products ---- */

typedef struct {
    kern_weights_t kind;
    size_t M, N, K, panels, bytes;
    const float *x, *bias;
    const uint8_t *packed;
    float *y;
} linear_t;

#define ALWAYS static inline __attribute__((always_inline))

/* 16 weights of step k; `at` is the panel's slice. */
ALWAYS v16f weights(kern_weights_t kind, const uint8_t *at, size_t k) {
    if (kind == WEIGHTS_F32) return *(const v16u *)(const void *)(at + k * NR * 4);
    if (kind == WEIGHTS_BF16) {
        v16w u = __builtin_convertvector(*(const v16h *)(const void *)(at + k * NR * 2), v16w) << 16;
        return (v16f)u;
    }
    v16i four = *(const v16j *)(const void *)(at + NR * sizeof(float) + k / 4 * NR * 4);
    return __builtin_convertvector(four << (24 - 8 * (int)(k % 4)) >> 24, v16f);
}

ALWAYS const uint8_t *slice(kern_weights_t kind, const uint8_t *panel, size_t k) {
    return kind == WEIGHTS_Q8 ? panel + k / QK * Q_BLOCK : panel + k * NR * (kind == WEIGHTS_F32 ? 4 : 2);
}

ALWAYS void store(float *y, size_t n, v16f v) {
    if (n == NR)
        *(v16u *)y = v;
    else
        memcpy(y, &v, n * sizeof *y);
}

/* Step k: x[i*K + k] times 16 weights of each panel. */
ALWAYS void step_of(kern_weights_t kind, int mr, int np, const uint8_t *const *at, size_t k, const float *x, size_t K,
                    v16f acc[4][GROUP]) {
    for (int j = 0; j < np; j++) {
        v16f w = weights(kind, at[j], k);
        for (int i = 0; i < mr; i++) acc[i][j] += x[(size_t)i * K + k] * w;
    }
}

/* mr rows from r, np panels from p. */
ALWAYS void tile(const linear_t *l, kern_weights_t kind, int mr, int np, size_t r, size_t p) {
    v16f total[4][GROUP];
    size_t step = kind == WEIGHTS_Q8 ? QK : KC, K = l->K;
    for (int j = 0; j < np; j++) {
        v16f bias = {0};
        size_t n0 = (p + (size_t)j) * NR;
        if (l->bias) memcpy(&bias, l->bias + n0, min_size(NR, l->N - n0) * sizeof(float));
        for (int i = 0; i < mr; i++) total[i][j] = bias;
    }
    for (size_t k0 = 0; k0 < K; k0 += step) {
        v16f acc[4][GROUP];
        const uint8_t *at[GROUP];
        for (int j = 0; j < np; j++) {
            at[j] = slice(kind, l->packed + (p + (size_t)j) * l->bytes, k0);
            for (int i = 0; i < mr; i++) acc[i][j] = (v16f){0};
        }
        size_t kc = min_size(step, K - k0);
        const float *x = l->x + r * K + k0;
        size_t k = 0;
        for (; k + 4 <= kc; k += 4)
            for (size_t t = k; t < k + 4; t++) step_of(kind, mr, np, at, t, x, K, acc);
        for (; k < kc; k++) step_of(kind, mr, np, at, k, x, K, acc);
        /* One expression in every variant, so that all of them round alike. */
        for (int j = 0; j < np; j++)
            for (int i = 0; i < mr; i++)
                if (kind == WEIGHTS_Q8)
                    total[i][j] += acc[i][j] * *(const v16u *)(const void *)at[j];
                else
                    total[i][j] += acc[i][j];
    }
    for (int j = 0; j < np; j++)
        for (int i = 0; i < mr; i++) {
            size_t n0 = (p + (size_t)j) * NR;
            store(l->y + (r + (size_t)i) * l->N + n0, min_size(NR, l->N - n0), total[i][j]);
        }
}

/* Always as many sums in flight as registers hold. */
ALWAYS void rows(const linear_t *l, kern_weights_t kind, size_t p0, size_t p1) {
    for (size_t r = 0; r < l->M;) {
        size_t left = l->M - r, p = p0;
        if (left >= 4) {
            for (; p + 2 <= p1; p += 2) tile(l, kind, 4, 2, r, p);
            for (; p < p1; p++) tile(l, kind, 4, 1, r, p);
            r += 4;
        } else if (left >= 2) {
            for (; p + 2 <= p1; p += 2) tile(l, kind, 2, 2, r, p);
            for (; p < p1; p++) tile(l, kind, 2, 1, r, p);
            r += 2;
        } else {
            for (; p + 4 <= p1; p += 4) tile(l, kind, 1, 4, r, p);
            for (; p < p1; p++) tile(l, kind, 1, 1, r, p);
            r += 1;
        }
    }
}

static void group_task(void *ctx, size_t task) {
    const linear_t *l = ctx;
    size_t p0 = task * GROUP, p1 = min_size(p0 + GROUP, l->panels);
    if (l->kind == WEIGHTS_F32)
        rows(l, WEIGHTS_F32, p0, p1);
    else if (l->kind == WEIGHTS_BF16)
        rows(l, WEIGHTS_BF16, p0, p1);
    else
        rows(l, WEIGHTS_Q8, p0, p1);
}

void kern_packed_linear(kern_weights_t kind, size_t M, size_t N, size_t K, const float *x, const void *packed,
                        const float *bias, float *y) {
    if (!M || !N) return;
    linear_t l = {kind, M, N, K, ceil_div(N, NR), panel_bytes(kind, K), x, bias, packed, y};
    size_t tasks = ceil_div(l.panels, GROUP);
    if (M * N * K < SMALL)
        for (size_t i = 0; i < tasks; i++) group_task(&l, i);
    else
        parallel_for(tasks, group_task, &l);
}
