/* micro.h - the register tile under gemm.c and conv.c: up to 6 rows x 16 columns, one fused multiply-add an element and
 * step, in order of k.
 *
 * The right-hand side lies in packed panels [K][16] (zero beyond the last column). An element's value depends on its
 * row and column only: edge tiles run the same additions on fewer rows. Two ways to reach the left-hand side: rows each
 * of the MR rows is a list of segments of contiguous k (a matrix row; the taps of a convolution at a pixel); steps each
 * k has a pointer to the MR values (a transposed matrix; pixels of a weight gradient).
 */
#ifndef KERNEL_MICRO_H
#define KERNEL_MICRO_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { MR = 6, NR = 16 };

typedef float v8f __attribute__((vector_size(32)));
typedef float v8u __attribute__((vector_size(32), aligned(4)));

/* How a finished tile reaches memory. */
typedef struct {
    float *const *row; /* [mr] start of each output row, at the tile's first column */
    size_t n;          /* columns to store, 1..16 */
    bool first;        /* first block of k: overwrite (or start from bias); later ones add */
    bool add;          /* even the first adds to memory */
    const float *bias; /* [16] readable, or NULL; used by the first block */
} micro_out_t;

static inline __attribute__((always_inline)) void micro_store(int mr, v8f acc[MR][2], const micro_out_t *o) {
    for (int i = 0; i < mr; i++) {
        float *c = o->row[i];
        v8f lo = acc[i][0], hi = acc[i][1];
        if (o->first && o->bias) {
            lo += *(const v8u *)o->bias;
            hi += *(const v8u *)(o->bias + 8);
        }
        bool add = !o->first || o->add;
        if (o->n == NR) {
            if (add) lo += *(v8u *)c, hi += *(v8u *)(c + 8);
            *(v8u *)c = lo;
            *(v8u *)(c + 8) = hi;
        } else {
            float t[NR];
            *(v8u *)t = lo;
            *(v8u *)(t + 8) = hi;
            for (size_t j = 0; j < o->n; j++) c[j] = add ? t[j] + c[j] : t[j];
        }
    }
}

/* rows: seg s of row i starts at a[s*MR + i]; its panel rows start at b + boff[s]*NR; kc steps each. */
static inline __attribute__((always_inline)) void micro_rows_n(int mr, int nv, const float *const *a,
                                                               const size_t *boff, size_t segs, size_t kc,
                                                               const float *b, const micro_out_t *o) {
    v8f acc[MR][2] = {{{0}}};
    for (size_t s = 0; s < segs; s++) {
        const float *r0 = a[s * MR], *r1 = a[s * MR + (mr > 1)], *r2 = a[s * MR + (mr > 2 ? 2 : 0)],
                    *r3 = a[s * MR + (mr > 3 ? 3 : 0)], *r4 = a[s * MR + (mr > 4 ? 4 : 0)],
                    *r5 = a[s * MR + (mr > 5 ? 5 : 0)];
        const float *p = b + boff[s] * NR;
        for (size_t k = 0; k < kc; k++, p += NR) {
            v8f b0 = *(const v8u *)p, b1 = {0};
            if (nv > 1) b1 = *(const v8u *)(p + 8);
#define MICRO_ROW(i, r)                                                                                                \
    if (mr > i) {                                                                                                      \
        acc[i][0] += r[k] * b0;                                                                                        \
        if (nv > 1) acc[i][1] += r[k] * b1;                                                                            \
    }
            MICRO_ROW(0, r0)
            MICRO_ROW(1, r1)
            MICRO_ROW(2, r2)
            MICRO_ROW(3, r3)
            MICRO_ROW(4, r4)
            MICRO_ROW(5, r5)
        }
    }
    micro_store(mr, acc, o);
}

/* steps: k uses the MR values at a[k] + m0; its panel row is b + k*bstride. */
static inline __attribute__((always_inline)) void micro_steps_n(int mr, int nv, const float *const *a, size_t m0,
                                                                size_t kc, const float *b, size_t bstride,
                                                                const micro_out_t *o) {
    v8f acc[MR][2] = {{{0}}};
    for (size_t k = 0; k < kc; k++, b += bstride) {
        const float *r = a[k] + m0;
        v8f b0 = *(const v8u *)b, b1 = {0};
        if (nv > 1) b1 = *(const v8u *)(b + 8);
        for (int i = 0; i < mr; i++) {
            acc[i][0] += r[i] * b0;
            if (nv > 1) acc[i][1] += r[i] * b1;
        }
    }
    micro_store(mr, acc, o);
}

/* One row of one vector would be a lone chain of additions, which GCC does not fuse on some processors: another
 * rounding. It runs as two. */
#define MICRO_SWITCH(mr, n, CALL)                                                                                      \
    if ((n) > 8) switch (mr) {                                                                                         \
        case 1:                                                                                                        \
            CALL(1, 2);                                                                                                \
            break;                                                                                                     \
        case 2:                                                                                                        \
            CALL(2, 2);                                                                                                \
            break;                                                                                                     \
        case 3:                                                                                                        \
            CALL(3, 2);                                                                                                \
            break;                                                                                                     \
        case 4:                                                                                                        \
            CALL(4, 2);                                                                                                \
            break;                                                                                                     \
        case 5:                                                                                                        \
            CALL(5, 2);                                                                                                \
            break;                                                                                                     \
        default:                                                                                                       \
            CALL(6, 2);                                                                                                \
        }                                                                                                              \
    else                                                                                                               \
        switch (mr) {                                                                                                  \
        case 1:                                                                                                        \
            CALL(1, 2);                                                                                                \
            break;                                                                                                     \
        case 2:                                                                                                        \
            CALL(2, 1);                                                                                                \
            break;                                                                                                     \
        case 3:                                                                                                        \
            CALL(3, 1);                                                                                                \
            break;                                                                                                     \
        case 4:                                                                                                        \
            CALL(4, 1);                                                                                                \
            break;                                                                                                     \
        case 5:                                                                                                        \
            CALL(5, 1);                                                                                                \
            break;                                                                                                     \
        default:                                                                                                       \
            CALL(6, 1);                                                                                                \
        }

static inline void micro_rows(int mr, const float *const *a, const size_t *boff, size_t segs, size_t kc, const float *b,
                              const micro_out_t *o) {
#define MICRO_CALL(m, v) micro_rows_n(m, v, a, boff, segs, kc, b, o)
    MICRO_SWITCH(mr, o->n, MICRO_CALL)
#undef MICRO_CALL
}

static inline void micro_steps(int mr, const float *const *a, size_t m0, size_t kc, const float *b, size_t bstride,
                               const micro_out_t *o) {
#define MICRO_CALL(m, v) micro_steps_n(m, v, a, m0, kc, b, bstride, o)
    MICRO_SWITCH(mr, o->n, MICRO_CALL)
#undef MICRO_CALL
}

/* dst[i*NR + j] = src[j*ld + i] for i, j < 8 */
static inline __attribute__((always_inline)) void micro_transpose8(const float *src, size_t ld, float *dst) {
    v8f pair[8], four[8];
    for (int j = 0; j < 8; j += 2) {
        v8f a = *(const v8u *)(src + (size_t)j * ld), b = *(const v8u *)(src + (size_t)(j + 1) * ld);
        pair[j] = __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13);
        pair[j + 1] = __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (int j = 0; j < 8; j += 4)
        for (int h = 0; h < 2; h++) {
            v8f a = pair[j + h], b = pair[j + 2 + h];
            four[j + 2 * h] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
            four[j + 2 * h + 1] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (size_t i = 0; i < 4; i++) {
        *(v8u *)(dst + i * NR) = __builtin_shufflevector(four[i], four[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        *(v8u *)(dst + (i + 4) * NR) = __builtin_shufflevector(four[i], four[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

/* Packs rows k0..k0+kc, columns n0..n0+16 of B (stored [K,N], or [N,K] when tb) into dst[kc][16], zeros beyond N. */
static inline void micro_pack(bool tb, const float *B, size_t ldb, size_t N, size_t k0, size_t kc, size_t n0,
                              float *dst) {
    size_t n = N - n0 < NR ? N - n0 : NR;
    if (!tb && n == NR) {
        for (size_t k = 0; k < kc; k++) {
            const float *src = B + (k0 + k) * ldb + n0;
            *(v8u *)(dst + k * NR) = *(const v8u *)src;
            *(v8u *)(dst + k * NR + 8) = *(const v8u *)(src + 8);
        }
        return;
    }
    if (n < NR) memset(dst, 0, kc * NR * sizeof *dst);
    if (!tb) {
        for (size_t k = 0; k < kc; k++) memcpy(dst + k * NR, B + (k0 + k) * ldb + n0, n * sizeof *dst);
    } else {
        size_t j = 0;
        for (; j + 8 <= n; j += 8) {
            const float *src = B + (n0 + j) * ldb + k0;
            size_t k = 0;
            for (; k + 8 <= kc; k += 8) micro_transpose8(src + k, ldb, dst + k * NR + j);
            for (; k < kc; k++)
                for (size_t i = 0; i < 8; i++) dst[k * NR + j + i] = src[i * ldb + k];
        }
        for (; j < n; j++) {
            const float *src = B + (n0 + j) * ldb + k0;
            for (size_t k = 0; k < kc; k++) dst[k * NR + j] = src[k];
        }
    }
}

#endif
