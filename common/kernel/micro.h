/* micro.h - the register tile under gemm.c, conv.c and winograd.c.
 *
 * A tile is a block of C of up to MR rows x WIDE columns whose sums stay in registers:
 *
 *     for each k:  C[i,j] += A[i,k] * B[k,j]      0 <= i < MR, 0 <= j < WIDE
 *
 * B lies in packed panels [K][NR], zero beyond the last column. A tile is PAIR panels wide: two
 * with AVX-512, else one. A step reads WIDE floats of B and multiplies them by MR single values of
 * A, so each load of B serves MR rows. The left-hand side is reached in one of two ways:
 *
 *     rows   each of the MR rows is a list of segments of contiguous k:
 *            a row of a matrix, or the taps of a convolution at a pixel
 *     steps  each k has a pointer to MR values:
 *            a row of a transposed matrix, or a pixel of a weight gradient
 *
 * An element's value depends on its row and column only: a tile at the edge does the same
 * additions, in order of k, on fewer rows.
 */
#ifndef KERNEL_MICRO_H
#define KERNEL_MICRO_H

#include "common/kernel/lanes.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* The tile: MR x VECTORS registers of sums, 16 of the 32 that AVX-512 has, 24 of the 32 that NEON
 * has, and 12 of 16 elsewhere. */
#if defined __AVX512F__
enum { MR = 8, WIDE = 32 };
#elif defined __AVX__ || defined __aarch64__
enum { MR = 6, WIDE = 16 };
#else
enum { MR = 3, WIDE = 16 };
#endif
enum {
    NR = 16,                /* columns of a panel */
    PAIR = WIDE / NR,       /* panels of a tile */
    VECTORS = WIDE / LANES, /* of a whole row; half of them where no more columns are left */
    UNROLLED = 4            /* steps of k of a whole tile between two jumps */
};

typedef float v8f __attribute__((vector_size(32)));
typedef float v8u __attribute__((vector_size(32), aligned(4)));

#define MICRO static inline __attribute__((always_inline))

/* How a finished tile reaches memory. */
typedef struct {
    float *const *row; /* [mr] start of each output row, at the tile's first column */
    size_t n;          /* columns to store, 1..WIDE */
    bool first;        /* first block of k: overwrite (or start from bias); later ones add */
    bool add;          /* even the first adds to memory */
    const float *bias; /* [WIDE] readable, or NULL; used by the first block */
} micro_out_t;

/* acc[i][v] = 0, one by one: `= {0}` would call memset, and the sums would come out of memory. */
MICRO void micro_clear(int mr, int nv, lanes_t acc[MR][VECTORS]) {
    for (int i = 0; i < mr; i++)
        for (int v = 0; v < nv; v++) acc[i][v] = (lanes_t){0};
}

/* Writes mr rows of nv vectors of sums as `o` says. */
MICRO void micro_store(int mr, int nv, lanes_t acc[MR][VECTORS], const micro_out_t *o) {
    bool add = !o->first || o->add, bias = o->first && o->bias,
         whole = o->n >= (size_t)(nv * LANES);
    for (int i = 0; i < mr; i++) {
        float *c = o->row[i];
        if (bias) {
            for (int v = 0; v < nv; v++) acc[i][v] += *(const lanes_u *)(o->bias + v * LANES);
        }
        if (whole) {
            for (int v = 0; v < nv; v++) {
                lanes_u *at = (lanes_u *)(c + v * LANES);
                *at = add ? acc[i][v] + *at : acc[i][v];
            }
        } else {
            float t[WIDE];
            for (int v = 0; v < nv; v++) *(lanes_u *)(t + v * LANES) = acc[i][v];
            for (size_t j = 0; j < o->n; j++) c[j] = add ? t[j] + c[j] : t[j];
        }
    }
}

/* Vector v of a step's columns, at b of the tile's first panel; the second one lies `panel` floats
 * behind it. */
MICRO lanes_t micro_columns(const float *b, size_t panel, int v) {
    return *(const lanes_u *)(b + (size_t)(v * LANES / NR) * panel + v * LANES % NR);
}

/* A tile of mr rows and nv vectors by rows: C[i,:] = sum_s sum_k a[s*MR + i][k] B[boff[s] + k, :]
 *
 *   a      [segs][MR]: where segment s of row i begins; each has kc values
 *   boff   [segs]: the row of the panel where segment s begins
 *   b      the first panel; `panel` floats behind it the second
 *   ahead  floats from each row to the one that is fetched into the cache meanwhile; 0: none
 *   o      where the sums go */
MICRO void micro_rows_n(int mr, int nv, const float *const *a, const size_t *boff, size_t segs,
                        size_t kc, const float *b, size_t panel, size_t ahead,
                        const micro_out_t *o) {
    lanes_t acc[MR][VECTORS];
    micro_clear(mr, nv, acc);
    for (size_t s = 0; s < segs; s++) {
        const float *const *r = a + s * MR;
        /* By name and not as an array, which GCC would keep in memory. */
        const float *r0 = r[0], *r1 = r[mr > 1 ? 1 : 0], *r2 = r[mr > 2 ? 2 : 0],
                    *r3 = r[mr > 3 ? 3 : 0], *r4 = r[mr > 4 ? 4 : 0], *r5 = r[mr > 5 ? 5 : 0],
                    *r6 = r[mr > 6 ? 6 : 0], *r7 = r[mr > 7 ? 7 : 0];
        const float *p = b + boff[s] * NR;
        size_t k = 0;
#define MICRO_EACH(DO)                                                                             \
    DO(0, r0) DO(1, r1) DO(2, r2) DO(3, r3) DO(4, r4) DO(5, r5) DO(6, r6) DO(7, r7)
#define MICRO_FETCH(i, r)                                                                          \
    if (mr > i) __builtin_prefetch(r + k + ahead);
#define MICRO_ROW(i, r)                                                                            \
    if (mr > i) {                                                                                  \
        for (int v = 0; v < nv; v++)                                                               \
            acc[i % MR][v] = lanes_madd_in_place(lanes_set(r[k + u]), column[v], acc[i % MR][v]);  \
    }
#define MICRO_STEP                                                                                 \
    {                                                                                              \
        lanes_t column[VECTORS];                                                                   \
        for (int v = 0; v < nv; v++) column[v] = micro_columns(p + u * NR, panel, v);              \
        MICRO_EACH(MICRO_ROW)                                                                      \
    }
        if (mr == MR)
            for (; k + UNROLLED <= kc; k += UNROLLED, p += UNROLLED * NR) {
                if (ahead && k % 16 == 0) {
                    MICRO_EACH(MICRO_FETCH)
                }
                for (size_t u = 0; u < UNROLLED; u++) MICRO_STEP
            }
        const size_t u = 0;
        for (; k < kc; k++, p += NR) MICRO_STEP
#undef MICRO_STEP
#undef MICRO_ROW
#undef MICRO_FETCH
#undef MICRO_EACH
    }
    micro_store(mr, nv, acc, o);
}

/* A step over mr values of A that lie side by side. */
MICRO void micro_step(int mr, int nv, const float *a, const float *b, size_t panel,
                      lanes_t acc[MR][VECTORS]) {
    lanes_t column[VECTORS];
    for (int v = 0; v < nv; v++) column[v] = micro_columns(b, panel, v);
    for (int i = 0; i < mr; i++)
        for (int v = 0; v < nv; v++)
            acc[i][v] = lanes_madd_in_place(lanes_set(a[i]), column[v], acc[i][v]);
}

/* A tile of mr rows and nv vectors by steps: C[i,:] = sum_k left(k)[m0 + i] B[k,:]
 *
 *   left(k)   a[k], or base + k*lda where a is NULL
 *   B[k,:]    at b + k*bstride in the first panel; `panel` floats behind it in the second
 *   next      kc floats at next[0] and at next[1] are fetched into the cache meanwhile; NULL: none
 *   o         where the sums go */
MICRO void micro_steps_n(int mr, int nv, const float *const *a, const float *base, size_t lda,
                         size_t m0, size_t kc, const float *b, size_t bstride, size_t panel,
                         const float *const *next, const micro_out_t *o) {
    lanes_t acc[MR][VECTORS];
    micro_clear(mr, nv, acc);
    size_t k = 0;
    if (mr == MR)
        for (; k + UNROLLED <= kc; k += UNROLLED, b += UNROLLED * bstride) {
            if (next && k % 16 == 0)
                for (int i = 0; i < 2; i++) __builtin_prefetch(next[i] + k);
            for (size_t u = 0; u < UNROLLED; u++)
                micro_step(mr, nv, a ? a[k + u] + m0 : base + (k + u) * lda + m0, b + u * bstride,
                           panel, acc);
        }
    for (; k < kc; k++, b += bstride)
        micro_step(mr, nv, a ? a[k] + m0 : base + k * lda + m0, b, panel, acc);
    micro_store(mr, nv, acc, o);
}

/* CALL(rows, vectors) with numbers that the compiler knows: a tile is unrolled for each of them. */
#define MICRO_CASE(m, n, CALL)                                                                     \
    case (m):                                                                                      \
        if ((m) > MR) break;                                                                       \
        if ((n) > WIDE / 2)                                                                        \
            CALL((m) < MR ? (m) : MR, VECTORS);                                                    \
        else                                                                                       \
            CALL((m) < MR ? (m) : MR, VECTORS / 2);                                                \
        break;
#define MICRO_SWITCH(mr, n, CALL)                                                                  \
    switch (mr) {                                                                                  \
        MICRO_CASE(1, n, CALL)                                                                     \
        MICRO_CASE(2, n, CALL)                                                                     \
        MICRO_CASE(3, n, CALL)                                                                     \
        MICRO_CASE(4, n, CALL)                                                                     \
        MICRO_CASE(5, n, CALL)                                                                     \
        MICRO_CASE(6, n, CALL)                                                                     \
        MICRO_CASE(7, n, CALL)                                                                     \
        MICRO_CASE(8, n, CALL)                                                                     \
    }

/* micro_rows_n for any mr in 1 .. MR and o->n in 1 .. WIDE columns. */
static inline void micro_rows(int mr, const float *const *a, const size_t *boff, size_t segs,
                              size_t kc, const float *b, size_t panel, const micro_out_t *o) {
#define MICRO_CALL(m, v) micro_rows_n(m, v, a, boff, segs, kc, b, panel, 0, o)
    MICRO_SWITCH(mr, o->n, MICRO_CALL)
#undef MICRO_CALL
}

/* micro_steps_n likewise. */
static inline void micro_steps(int mr, const float *const *a, const float *base, size_t lda,
                               size_t m0, size_t kc, const float *b, size_t bstride, size_t panel,
                               const micro_out_t *o){
#define MICRO_CALL(m, v) micro_steps_n(m, v, a, base, lda, m0, kc, b, bstride, panel, NULL, o)
    MICRO_SWITCH(mr, o->n, MICRO_CALL)
#undef MICRO_CALL
}

/* Fetches what will be written, so that the lines are on their way when the sums are done. */
MICRO void micro_fetch_rows(size_t mr, float *const *row) {
    for (size_t i = 0; i < mr; i++)
        for (size_t j = 0; j < WIDE; j += 16) __builtin_prefetch(row[i] + j, 1);
}

/* How far ahead of its rows a tile fetches those of the next one: not at all (0) where rows a
 * multiple of 4 KB apart would push the running tile's own out of the L1 cache. */
MICRO size_t micro_ahead(size_t lda) {
    return lda % 1024 ? MR * lda : 0;
}

/* C[M,n] = A[M,kc] B[kc,n] for the panels of one tile, n = o.n columns
 *
 *   lda, ldc  row strides of A and C
 *   b, panel  as in micro_rows_n
 *   o         how the sums are stored; o.row is set here
 *
 * Whole tiles run inlined: where k is short, a call would take half of the time. */
MICRO void micro_matrix(size_t M, const float *A, size_t lda, size_t kc, const float *b,
                        size_t panel, float *C, size_t ldc, micro_out_t o) {
    static const size_t zero = 0;
    const float *a[MR];
    float *c[MR];
    o.row = c;
    for (size_t r = 0; r < M; r += MR) {
        size_t mr = M - r < MR ? M - r : MR;
        for (size_t i = 0; i < mr; i++) {
            a[i] = A + (r + i) * lda;
            c[i] = C + (r + i) * ldc;
        }
        micro_fetch_rows(mr, c);
        if (mr < MR)
            micro_rows((int)mr, a, &zero, 1, kc, b, panel, &o);
        else if (o.n > WIDE / 2)
            micro_rows_n(MR, VECTORS, a, &zero, 1, kc, b, panel, micro_ahead(lda), &o);
        else
            micro_rows_n(MR, VECTORS / 2, a, &zero, 1, kc, b, panel, micro_ahead(lda), &o);
    }
}

/* The same with A stored [kc,M]; bstride and `next` as in micro_steps_n. */
MICRO void micro_matrix_t(size_t M, const float *A, size_t lda, size_t kc, const float *b,
                          size_t bstride, size_t panel, float *C, size_t ldc,
                          const float *const *next, micro_out_t o) {
    float *c[MR];
    o.row = c;
    for (size_t r = 0; r < M; r += MR) {
        size_t mr = M - r < MR ? M - r : MR;
        for (size_t i = 0; i < mr; i++) c[i] = C + (r + i) * ldc;
        if (next) micro_fetch_rows(mr, c);
        if (mr < MR)
            micro_steps((int)mr, NULL, A, lda, r, kc, b, bstride, panel, &o);
        else if (o.n > WIDE / 2)
            micro_steps_n(MR, VECTORS, NULL, A, lda, r, kc, b, bstride, panel, next, &o);
        else
            micro_steps_n(MR, VECTORS / 2, NULL, A, lda, r, kc, b, bstride, panel, next, &o);
    }
}

/* dst[i*NR + j] = src[j*ld + i] for i, j < 8: pairs of rows are interleaved, then fours, then
 * halves. */
static inline __attribute__((always_inline)) void micro_transpose8(const float *src, size_t ld,
                                                                   float *dst) {
    v8f pair[8], four[8];
    for (int j = 0; j < 8; j += 2) {
        v8f a = *(const v8u *)(src + (size_t)j * ld),
            b = *(const v8u *)(src + (size_t)(j + 1) * ld);
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
        *(v8u *)(dst + i * NR) =
            __builtin_shufflevector(four[i], four[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        *(v8u *)(dst + (i + 4) * NR) =
            __builtin_shufflevector(four[i], four[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

/* Packs a panel: dst[kc][NR] = rows k0 .. k0+kc-1, columns n0 .. n0+NR-1 of B, zeros beyond column
 * N. B is stored [K,N], or [N,K] when tb. */
static inline void micro_pack(bool tb, const float *B, size_t ldb, size_t N, size_t k0, size_t kc,
                              size_t n0, float *dst) {
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
        for (size_t k = 0; k < kc; k++)
            memcpy(dst + k * NR, B + (k0 + k) * ldb + n0, n * sizeof *dst);
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
