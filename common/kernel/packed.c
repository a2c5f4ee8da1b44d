/* packed.c - linear layers over weights packed once: 32, 16 or 8 bits per weight (packed.h).
 *
 * Acting multiplies one row, or a few, by every weight of the network, so it is bound by reading
 * weights. Packed, they are read in the order of use without a copy, and fewer bits are fewer
 * bytes.
 *
 * y[M,N] = x[M,K] W[K,N]. W is cut into panels of NR = 16 columns, k after k:
 *
 *     32 bits  panel = float [K][16]
 *     16 bits  panel = uint16 [K][16], the upper half of the float
 *      8 bits  panel = blocks of QK = 64 steps, each
 *                      float scale[16] | int32 sum[16] | uint32 word[16][16]
 *              word[k/4][column] has the bytes of k .. k+3, the lowest k in the lowest byte;
 *              sum is the sum of a column's 64 bytes
 *
 * With 8 bits the rows of x are rounded to bytes as well, with a scale per 64 values, so that a
 * block is a sum of integers: y += x_scale w_scale sum_k xq_k wq_k. Processors with VNNI multiply
 * and add four bytes per lane and instruction, those with AVX2 in three. Others take floats, in
 * which sums of 64 products of bytes are exact too. Those with FMA give the same bits.
 *
 * A task is a group of panels for all rows, so that even one row keeps several sums in flight. An
 * element's value depends on its row and column only.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/lanes.h"
#include "common/kernel/slots.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum {
    /* Columns of a panel. */
    NR = 16,
    /* Steps of k in a partial sum: as in gemm.c, so that 32-bit weights give its bits. */
    KC = 256,
    /* Steps of k that share a scale (8 bits). */
    QK = 64,
    /* Panels of a task. */
    GROUP = 4,
    /* Fewer multiplications than this are not worth a second thread. */
    SMALL = 1 << 16,
    /* Bytes of the scales and sums before a block's bytes, and of a whole block. */
    Q_HEAD = 2 * NR * (int)sizeof(float),
    Q_BLOCK = Q_HEAD + QK * NR
};
/* The tallest tile is TALL rows x WIDE panels; its sums stay in registers. NEON has 32 of them. */
#if defined __aarch64__
enum { TALL = 6 };
#else
enum { TALL = LANES == 16 ? 8 : LANES == 8 ? 6 : 3 };
#endif
enum {
    WIDE = LANES == 16 ? 2 : 1,
    PARTS = NR / LANES,  /* vectors of a panel's row */
    SUMS = GROUP * PARTS /* vectors of a row of the widest tile */
};
/* A value of x after rounding; ZERO stands for 0. VNNI multiplies unsigned bytes by signed ones. */
#if defined __AVX512VNNI__ || defined __AVXVNNI__
#define BYTES 1
enum { ZERO = 128 };
typedef uint8_t quantized_t;
#elif defined __AVX512BW__ || defined __AVX2__
#define BYTES 1
enum { ZERO = 0 };
typedef int8_t quantized_t;
#else
#define BYTES 0
enum { ZERO = 0 };
typedef float quantized_t;
#endif

/* LANES halves, words or integers; _u where they lie in memory. */
typedef uint16_t halves_t __attribute__((vector_size(2 * LANES), aligned(2)));
typedef uint32_t words_t __attribute__((vector_size(4 * LANES)));
typedef int32_t ints_t __attribute__((vector_size(4 * LANES)));
typedef int32_t ints_u __attribute__((vector_size(4 * LANES), aligned(4)));

static size_t panel_bytes(kern_weights_t kind, size_t K) {
    switch (kind) {
    case WEIGHTS_F32:
        return K * NR * sizeof(float);
    case WEIGHTS_BF16:
        return K * NR * sizeof(uint16_t);
    case WEIGHTS_Q8:
        return ceil_div(K, QK) * Q_BLOCK;
    }
    return 0;
}

size_t kern_pack_bytes(kern_weights_t kind, size_t K, size_t N) {
    return ceil_div(N, NR) * panel_bytes(kind, K);
}

/* ---- packing ---- */

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

/* ---- products ---- */

typedef struct {
    kern_weights_t kind;
    size_t M, N, K;
    size_t lo, hi;                  /* the columns of y */
    size_t panel, panel_end, bytes; /* the panels that they lie in, and bytes of one */
    const float *x, *bias;
    const uint8_t *packed; /* from panel `first` on */
    size_t first;
    float *y;
    size_t blocks;  /* 8 bits: K / QK, rounded up; */
    quantized_t *q; /* the rows as bytes [M, blocks*QK] */
    float *scale;   /* and their scales [M, blocks] */
} linear_t;

#define ALWAYS static inline __attribute__((always_inline))

/* Rounds one block of a row, n <= QK values; the rest of q is 0. A value that is not finite makes
 * the scale NaN, and so the row's results. */
static void quantize(const float *x, size_t n, quantized_t *q, float *scale) {
    float largest = 0, odd = 0; /* odd: NaN as soon as a value is not finite, else 0 */
    for (size_t k = 0; k < n; k++) {
        float a = fabsf(x[k]);
        largest = a > largest ? a : largest;
        odd += x[k] * 0;
    }
    float over = largest > 127 / FLT_MAX ? 127 / largest : 0; /* tinier ones count as 0 */
    bool finite = odd == 0;
    *scale = finite ? largest / 127 : NAN;
    for (size_t k = 0; k < n; k++) {
        int v = finite ? (int)rintf(x[k] * over) : 0;
        q[k] = (quantized_t)(v + ZERO);
    }
    for (size_t k = n; k < QK; k++) q[k] = ZERO;
}

static void quantize_task(void *ctx, size_t row) {
    const linear_t *l = ctx;
    for (size_t b = 0; b < l->blocks; b++)
        quantize(l->x + row * l->K + b * QK, min_size(QK, l->K - b * QK),
                 l->q + (row * l->blocks + b) * QK, l->scale + row * l->blocks + b);
}

/* Vector `part` of the 16 weights of step k, as floats; `at` is where the panel's partial sum
 * begins. */
ALWAYS lanes_t weights(kern_weights_t kind, const uint8_t *at, size_t k, int part) {
    size_t i = k * NR + (size_t)part * LANES;
    if (kind == WEIGHTS_F32) return *(const lanes_u *)(const void *)(at + i * 4);
    words_t u = __builtin_convertvector(*(const halves_t *)(const void *)(at + i * 2), words_t)
                << 16;
    return (lanes_t)u;
}

/* The first column of vector j of a tile that begins at panel p; *n: how many of its columns
 * exist. */
ALWAYS size_t column(const linear_t *l, size_t p, int j, size_t *n) {
    size_t n0 = (p + (size_t)(j / PARTS)) * NR + (size_t)(j % PARTS) * LANES;
    *n = n0 < l->N ? min_size(LANES, l->N - n0) : 0;
    return n0;
}

/* Every row of sums starts from the bias. */
ALWAYS void tile_begin(const linear_t *l, int mr, int nv, size_t p, lanes_t total[TALL][SUMS]) {
    for (int j = 0; j < nv; j++) {
        lanes_t bias = {0};
        size_t n, n0 = column(l, p, j, &n);
        if (l->bias && n == LANES)
            bias = *(const lanes_u *)(l->bias + n0);
        else if (l->bias)
            memcpy(&bias, l->bias + n0, n * sizeof *l->bias);
        for (int i = 0; i < mr; i++) total[i][j] = bias;
    }
}

/* The sums to rows r .. of y, those of its columns. */
ALWAYS void tile_end(const linear_t *l, int mr, int nv, size_t r, size_t p,
                     lanes_t total[TALL][SUMS]) {
    for (int j = 0; j < nv; j++) {
        size_t n, n0 = column(l, p, j, &n), from = max_size(n0, l->lo),
                  to = min_size(n0 + n, l->hi);
        if (from >= to) continue;
        for (int i = 0; i < mr; i++) {
            float *y = l->y + (r + (size_t)i) * (l->hi - l->lo) + (from - l->lo);
            if (to - from == LANES)
                *(lanes_u *)y = total[i][j];
            else
                memcpy(y, (const float *)&total[i][j] + (from - n0), (to - from) * sizeof *y);
        }
    }
}

/* Step k: acc[i] += x[i*K + k] times the weights of each panel. The weights come first, so that the
 * compiler keeps them in registers and not the values of all rows. With 32 registers there is room
 * for those as well, and 16-bit weights are faster widened late. */
ALWAYS void step_of(kern_weights_t kind, int mr, int nv, const uint8_t *const *at, size_t k,
                    const float *x, size_t K, lanes_t acc[TALL][SUMS]) {
    lanes_t w[SUMS];
    int at_once =
        kind == WEIGHTS_BF16 && LANES == 16 ? mr : 0; /* rows served as a weight is widened */
    for (int j = 0; j < nv; j++) {
        w[j] = weights(kind, at[j / PARTS], k, j % PARTS);
        for (int i = 0; i < at_once; i++)
            acc[i][j] = lanes_madd(lanes_set(x[(size_t)i * K + k]), w[j], acc[i][j]);
    }
    for (int i = at_once; i < mr; i++)
        for (int j = 0; j < nv; j++)
            acc[i][j] = lanes_madd(lanes_set(x[(size_t)i * K + k]), w[j], acc[i][j]);
}

/* y of mr rows from r on and np panels from p on, 32 or 16 bits: partial sums of KC steps. */
ALWAYS void tile(const linear_t *l, kern_weights_t kind, int mr, int np, size_t r, size_t p) {
    lanes_t total[TALL][SUMS];
    int nv = np * PARTS;
    size_t K = l->K;
    tile_begin(l, mr, nv, p, total);
    for (size_t k0 = 0; k0 < K; k0 += KC) {
        lanes_t acc[TALL][SUMS];
        const uint8_t *at[GROUP];
        for (int j = 0; j < np; j++)
            at[j] = l->packed + (p - l->first + (size_t)j) * l->bytes +
                    k0 * NR * (kind == WEIGHTS_F32 ? 4 : 2);
        for (int j = 0; j < nv; j++)
            for (int i = 0; i < mr; i++) acc[i][j] = (lanes_t){0};
        size_t kc = min_size(KC, K - k0);
        const float *x = l->x + r * K + k0;
        size_t k = 0;
        for (; k + 4 <= kc; k += 4)
            for (size_t t = k; t < k + 4; t++) step_of(kind, mr, nv, at, t, x, K, acc);
        for (; k < kc; k++) step_of(kind, mr, nv, at, k, x, K, acc);
        for (int j = 0; j < nv; j++)
            for (int i = 0; i < mr; i++) total[i][j] += acc[i][j];
    }
    tile_end(l, mr, nv, r, p, total);
}

/* One block, 8 bits: sum[i] = sum_k q[i*ldq + k] times the bytes of each panel, exactly. */
#if BYTES
/* Each lane of acc + four bytes of a row times the lane's four bytes of w. Without VNNI, pairs of
 * |w| (-127 .. 127) and x with w's sign: their sums stay within 16 bits. */
ALWAYS ints_t four_steps(ints_t acc, int32_t four, ints_t w) {
#if defined __AVX512VNNI__
    return (ints_t)_mm512_dpbusd_epi32((__m512i)acc, _mm512_set1_epi32(four), (__m512i)w);
#elif defined __AVXVNNI__
    return (ints_t)_mm256_dpbusd_avx_epi32((__m256i)acc, _mm256_set1_epi32(four), (__m256i)w);
#elif defined __AVX512BW__
    __m512i x = _mm512_set1_epi32(four);
    x = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask((__m512i)w), _mm512_setzero_si512(), x);
    __m512i pairs = _mm512_maddubs_epi16(_mm512_abs_epi8((__m512i)w), x);
    return acc + (ints_t)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
#else
    __m256i x = _mm256_sign_epi8(_mm256_set1_epi32(four), (__m256i)w);
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8((__m256i)w), x);
    return acc + (ints_t)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#endif
}
ALWAYS void block_sums(int mr, int np, const quantized_t *q, size_t ldq, const uint8_t *const *at,
                       lanes_t sum[TALL][SUMS]) {
    ints_t acc[TALL][SUMS];
    /* The row's bytes are ZERO too large: ZERO times the column's sum is taken off beforehand. */
    for (int j = 0; j < np * PARTS; j++) {
        const uint8_t *sums = at[j / PARTS] + NR * 4 + j % PARTS * LANES * 4;
        for (int i = 0; i < mr; i++) acc[i][j] = *(const ints_u *)(const void *)sums * -ZERO;
    }
#pragma GCC unroll 4
    for (size_t k = 0; k < QK; k += 4)
        for (int j = 0; j < np * PARTS; j++) {
            const uint8_t *bytes = at[j / PARTS] + Q_HEAD + k * NR + j % PARTS * LANES * 4;
            ints_t w = *(const ints_u *)(const void *)bytes;
            for (int i = 0; i < mr; i++) {
                int32_t four;
                memcpy(&four, q + (size_t)i * ldq + k, sizeof four);
                acc[i][j] = four_steps(acc[i][j], four, w);
            }
        }
    for (int j = 0; j < np * PARTS; j++)
        for (int i = 0; i < mr; i++) sum[i][j] = __builtin_convertvector(acc[i][j], lanes_t);
}
#else
ALWAYS void block_sums(int mr, int np, const float *q, size_t ldq, const uint8_t *const *at,
                       lanes_t sum[TALL][SUMS]) {
    for (int j = 0; j < np * PARTS; j++)
        for (int i = 0; i < mr; i++) sum[i][j] = (lanes_t){0};
    for (size_t k = 0; k < QK; k += 4)
        for (int j = 0; j < np * PARTS; j++) {
            const uint8_t *bytes = at[j / PARTS] + Q_HEAD + k * NR + j % PARTS * LANES * 4;
            ints_t four = *(const ints_u *)(const void *)bytes;
            for (int t = 0; t < 4; t++) {
                lanes_t w = __builtin_convertvector(four << (24 - 8 * t) >> 24, lanes_t);
                for (int i = 0; i < mr; i++)
                    sum[i][j] =
                        lanes_madd(lanes_set(q[(size_t)i * ldq + k + (size_t)t]), w, sum[i][j]);
            }
        }
}
#endif

/* y of mr rows and np panels, 8 bits: the blocks' sums, scaled, in order. */
ALWAYS void tile_bytes(const linear_t *l, int mr, int np, size_t r, size_t p) {
    lanes_t total[TALL][SUMS], sum[TALL][SUMS];
    int nv = np * PARTS;
    tile_begin(l, mr, nv, p, total);
    for (size_t b = 0; b < l->blocks; b++) {
        const uint8_t *at[GROUP];
        for (int j = 0; j < np; j++) at[j] = l->packed + (p + (size_t)j) * l->bytes + b * Q_BLOCK;
        block_sums(mr, np, l->q + (r * l->blocks + b) * QK, l->blocks * QK, at, sum);
        for (int j = 0; j < nv; j++) {
            lanes_t scale = ((const lanes_u *)(const void *)at[j / PARTS])[j % PARTS];
            for (int i = 0; i < mr; i++)
                total[i][j] = lanes_madd(
                    sum[i][j], lanes_set(l->scale[(r + (size_t)i) * l->blocks + b]) * scale,
                    total[i][j]);
        }
    }
    tile_end(l, mr, nv, r, p, total);
}

ALWAYS void tile_of(const linear_t *l, kern_weights_t kind, int mr, int np, size_t r, size_t p) {
    if (kind == WEIGHTS_Q8)
        tile_bytes(l, mr, np, r, p);
    else
        tile(l, kind, mr, np, r, p);
}

/* mr rows over panels [p0,p1): np at a time, then one at a time. */
ALWAYS void rows_of(const linear_t *l, kern_weights_t kind, int mr, int np, size_t r, size_t p0,
                    size_t p1) {
    size_t p = p0;
    for (; p + (size_t)np <= p1; p += (size_t)np) tile_of(l, kind, mr, np, r, p);
    for (; p < p1; p++) tile_of(l, kind, mr, 1, r, p);
}

/* All rows over panels [p0,p1). The fewer rows are left, the more panels a tile takes, so that as
 * many sums are in flight as registers hold. With bytes a sum needs two registers. */
ALWAYS void rows(const linear_t *l, kern_weights_t kind, size_t p0, size_t p1) {
    for (size_t r = 0; r < l->M;) {
        size_t left = l->M - r;
        if (left >= TALL && kind != WEIGHTS_Q8) {
            rows_of(l, kind, TALL, WIDE, r, p0, p1);
            r += TALL;
        } else if (TALL > 4 && left >= 4) {
            rows_of(l, kind, 4, WIDE, r, p0, p1);
            r += 4;
        } else if (left >= 2) {
            rows_of(l, kind, 2, TALL > 4 ? 2 : 1, r, p0, p1);
            r += 2;
        } else {
            rows_of(l, kind, 1, TALL > 4 ? 4 : 2, r, p0, p1);
            r += 1;
        }
    }
}

/* Many rows over 16-bit weights: a task widens its panels once and not at every tile. */
static void rows_widened(const linear_t *l, size_t p0, size_t p1) {
    size_t floats = l->K * NR;
    float *wide = scratch_get(SCRATCH_PACKED_TASK, (p1 - p0) * floats * sizeof *wide);
    for (size_t p = p0; p < p1; p++)
        for (size_t k = 0; k < l->K; k++)
            for (int part = 0; part < PARTS; part++)
                *(lanes_u *)(wide + (p - p0) * floats + k * NR + (size_t)part * LANES) =
                    weights(WEIGHTS_BF16, l->packed + p * l->bytes, k, part);
    linear_t f32 = *l;
    f32.packed = (const uint8_t *)wide;
    f32.first = p0;
    f32.bytes = floats * sizeof *wide;
    rows(&f32, WEIGHTS_F32, p0, p1);
}

static void group_task(void *ctx, size_t task) {
    const linear_t *l = ctx;
    size_t p0 = l->panel + task * GROUP, p1 = min_size(p0 + GROUP, l->panel_end);
    if (l->kind == WEIGHTS_F32)
        rows(l, WEIGHTS_F32, p0, p1);
    else if (l->kind == WEIGHTS_Q8)
        rows(l, WEIGHTS_Q8, p0, p1);
    else if (l->M >= TALL)
        rows_widened(l, p0, p1);
    else
        rows(l, WEIGHTS_BF16, p0, p1);
}

void kern_packed_columns(kern_weights_t kind, size_t M, size_t N, size_t K, const float *x,
                         const void *packed, const float *bias, size_t lo, size_t hi, float *y) {
    if (!M || lo >= hi) return;
    linear_t l = {.kind = kind,
                  .M = M,
                  .N = N,
                  .K = K,
                  .lo = lo,
                  .hi = hi,
                  .panel = lo / NR,
                  .panel_end = ceil_div(hi, NR),
                  .bytes = panel_bytes(kind, K),
                  .x = x,
                  .bias = bias,
                  .packed = packed,
                  .y = y};
    if (kind == WEIGHTS_Q8) {
        l.blocks = ceil_div(K, QK);
        size_t bytes = ceil_div(M * l.blocks * QK * sizeof *l.q, 64) * 64;
        l.q = scratch_get(SCRATCH_PACKED, bytes + M * l.blocks * sizeof *l.scale);
        l.scale = (float *)(void *)((uint8_t *)l.q + bytes);
        if (M * K < SMALL / 8) {
            for (size_t i = 0; i < M; i++) quantize_task(&l, i);
        } else {
            parallel_for(M, quantize_task, &l);
        }
    }
    size_t tasks = ceil_div(l.panel_end - l.panel, GROUP);
    if (M * (hi - lo) * K < SMALL) {
        for (size_t i = 0; i < tasks; i++) group_task(&l, i);
    } else {
        parallel_for(tasks, group_task, &l);
    }
}

void kern_packed_linear(kern_weights_t kind, size_t M, size_t N, size_t K, const float *x,
                        const void *packed, const float *bias, float *y) {
    kern_packed_columns(kind, M, N, K, x, packed, bias, 0, N, y);
}
