/* packed_block.h - sums of products over one block of a packed matrix in bytes, private to
 * packed_linear.c: rows rounded to bytes (rows of quantized_t) times weights of 8 or 4 bits, in
 * integers and so exact, in as few instructions as the level has.
 *
 *     VNNI          four bytes per lane and instruction, one side unsigned
 *     AVX2, AVX-512 pairs of bytes, one side unsigned, to 16 bits
 *     others        floats, in which sums of 64 products of bytes are exact too
 */
#ifndef KERNEL_PACKED_BLOCK_H
#define KERNEL_PACKED_BLOCK_H

#include "common/kernel/lanes.h"
#include "common/kernel/packed_layout.h"

#include <string.h>

#define ALWAYS static inline __attribute__((always_inline))

/* The tallest tile is TALL rows x WIDE panels; its sums stay in registers. NEON has 32 of them. */
#if defined __aarch64__
enum { TALL = 6 };
#else
enum { TALL = LANES == 16 ? 8 : LANES == 8 ? 6 : 3 };
#endif
enum {
    /* Panels of a task. */
    GROUP = 4,
    WIDE = LANES == 16 ? 2 : 1,
    PARTS = NR / LANES,  /* vectors of a panel's row */
    SUMS = GROUP * PARTS /* vectors of a row of the widest tile */
};

/* A value of x after rounding. Beside q8 weights, which are signed, it is ZERO more than it stands
 * for where one side has to be unsigned. */
#if defined __AVX512VNNI__ || defined __AVXVNNI__
#define BYTES 1
enum { ZERO = 128 };
typedef int8_t quantized_t;
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

/* Bytes of a panel's block, 4 bits widened to a byte each or not. */
ALWAYS size_t q4_block(bool widened) {
    return widened ? Q4_HEAD + Q4K * NR : Q4_BLOCK;
}

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

/* 8 bits: sum[i] = sum_k q[i*ldq + k] times the bytes of each panel. */
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

/* The same over unsigned w of 4 bits. Without VNNI a lane is two sums of 16 bits: with what
 * block_less takes off, a block's 16 products of each are at most 16 x 8 x 127, whatever passes
 * over in between. */
ALWAYS ints_t four_steps4(ints_t acc, int32_t four, ints_t w) {
#if defined __AVX512VNNI__
    return (ints_t)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)w, _mm512_set1_epi32(four));
#elif defined __AVXVNNI__
    return (ints_t)_mm256_dpbusd_avx_epi32((__m256i)acc, (__m256i)w, _mm256_set1_epi32(four));
#elif defined __AVX512BW__
    __m512i pairs = _mm512_maddubs_epi16((__m512i)w, _mm512_set1_epi32(four));
    return (ints_t)_mm512_add_epi16((__m512i)acc, pairs);
#else
    __m256i pairs = _mm256_maddubs_epi16((__m256i)w, _mm256_set1_epi32(four));
    return (ints_t)_mm256_add_epi16((__m256i)acc, pairs);
#endif
}

/* A block's sum in each lane. */
ALWAYS ints_t lane_sums4(ints_t acc) {
#if defined __AVX512VNNI__ || defined __AVXVNNI__
    return acc;
#elif defined __AVX512BW__
    return (ints_t)_mm512_madd_epi16((__m512i)acc, _mm512_set1_epi16(1));
#else
    return (ints_t)_mm256_madd_epi16((__m256i)acc, _mm256_set1_epi16(1));
#endif
}

/* Where a lane's sums over a block of Q4K bytes begin: the weights are Q4_ZERO too large. */
ALWAYS int32_t block_less(const quantized_t *q) {
    const __m128i zero = _mm_set1_epi8(Q4_ZERO);
    __m128i a = _mm_maddubs_epi16(zero, _mm_loadu_si128((const __m128i *)(const void *)q)),
            b = _mm_maddubs_epi16(zero, _mm_loadu_si128((const __m128i *)(const void *)(q + 16)));
    a = _mm_add_epi16(a, b); /* pairs of bytes: first and second half of a lane in turn */
    a = _mm_add_epi16(a, _mm_shuffle_epi32(a, 0x4e));
    a = _mm_add_epi16(a, _mm_shuffle_epi32(a, 0xb1));
    a = _mm_sub_epi16(_mm_setzero_si128(), a);
#if defined __AVX512VNNI__ || defined __AVXVNNI__
    a = _mm_madd_epi16(a, _mm_set1_epi16(1));
#endif
    return _mm_cvtsi128_si32(a);
}

/* 4 bits: sum[i] = sum_k q[i*ldq + k] times the weights of each panel.
 *
 *   less  [mr] block_less of each row, ldl apart */
ALWAYS void block_sums4(bool widened, int mr, int np, const quantized_t *q, size_t ldq,
                        const int32_t *less, size_t ldl, const uint8_t *const *at,
                        lanes_t sum[TALL][SUMS]) {
    enum { HALF = Q4K / 2 };
    ints_t acc[TALL][SUMS];
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < np * PARTS; j++) acc[i][j] = less[(size_t)i * ldl] - (ints_t){0};
#pragma GCC unroll 4
    for (size_t k = 0; k < HALF; k += 4)
        for (int j = 0; j < np * PARTS; j++) {
            const uint8_t *bytes = at[j / PARTS] + Q4_HEAD + k * NR + j % PARTS * LANES * 4;
            ints_t w = *(const ints_u *)(const void *)bytes, upper;
            if (widened) {
                upper = *(const ints_u *)(const void *)(bytes + HALF * NR);
            } else {
                upper = w >> 4 & 0x0f0f0f0f;
                w &= 0x0f0f0f0f;
            }
            for (int i = 0; i < mr; i++) {
                int32_t four, later;
                memcpy(&four, q + (size_t)i * ldq + k, sizeof four);
                memcpy(&later, q + (size_t)i * ldq + k + HALF, sizeof later);
                acc[i][j] = four_steps4(acc[i][j], four, w);
                acc[i][j] = four_steps4(acc[i][j], later, upper);
            }
        }
    for (int j = 0; j < np * PARTS; j++)
        for (int i = 0; i < mr; i++)
            sum[i][j] = __builtin_convertvector(lane_sums4(acc[i][j]), lanes_t);
}

#else

/* Four weights of a lane each in a byte, from the `zero` on that stands for 0. */
ALWAYS void four_floats(int mr, const float *q, size_t ldq, ints_t four, int zero, int j,
                        lanes_t sum[TALL][SUMS]) {
    for (int t = 0; t < 4; t++) {
        lanes_t w = __builtin_convertvector((four << (24 - 8 * t) >> 24) - zero, lanes_t);
        for (int i = 0; i < mr; i++)
            sum[i][j] = lanes_madd(lanes_set(q[(size_t)i * ldq + (size_t)t]), w, sum[i][j]);
    }
}

ALWAYS void block_sums(int mr, int np, const float *q, size_t ldq, const uint8_t *const *at,
                       lanes_t sum[TALL][SUMS]) {
    for (int j = 0; j < np * PARTS; j++)
        for (int i = 0; i < mr; i++) sum[i][j] = (lanes_t){0};
    for (size_t k = 0; k < QK; k += 4)
        for (int j = 0; j < np * PARTS; j++) {
            const uint8_t *bytes = at[j / PARTS] + Q_HEAD + k * NR + j % PARTS * LANES * 4;
            four_floats(mr, q + k, ldq, *(const ints_u *)(const void *)bytes, 0, j, sum);
        }
}

ALWAYS int32_t block_less(const float *q) {
    (void)q;
    return 0;
}

ALWAYS void block_sums4(bool widened, int mr, int np, const float *q, size_t ldq,
                        const int32_t *less, size_t ldl, const uint8_t *const *at,
                        lanes_t sum[TALL][SUMS]) {
    enum { HALF = Q4K / 2 };
    (void)less, (void)ldl;
    for (int j = 0; j < np * PARTS; j++)
        for (int i = 0; i < mr; i++) sum[i][j] = (lanes_t){0};
    for (size_t k = 0; k < HALF; k += 4)
        for (int j = 0; j < np * PARTS; j++) {
            const uint8_t *bytes = at[j / PARTS] + Q4_HEAD + k * NR + j % PARTS * LANES * 4;
            ints_t w = *(const ints_u *)(const void *)bytes, upper;
            upper = widened ? *(const ints_u *)(const void *)(bytes + HALF * NR)
                            : (w >> 4 & 0x0f0f0f0f);
            four_floats(mr, q + k, ldq, w & 0x0f0f0f0f, Q4_ZERO, j, sum);
            four_floats(mr, q + k + HALF, ldq, upper, Q4_ZERO, j, sum);
        }
}
#endif

#endif
