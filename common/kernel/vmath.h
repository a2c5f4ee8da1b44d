/* vmath.h - a vector of VL floats at a time: loads, reductions, and the transcendental functions of
 * the kernels.
 *
 * Written with the compiler's vector extensions, so AVX2 and NEON both serve. VL is 16 where the
 * processor has AVX-512, else 8. Every function acts lane by lane: a value does not depend on its
 * place in an array as long as tails go through v_load_part and v_store_part and not through scalar
 * loops. NaN comes out as NaN.
 *
 *     vf, vh, v4f  floats: VL, VL/2, 4       vi, vw  VL signed, unsigned integers
 *     vd           VL/2 doubles              vu, vhu  vf and vh in memory, at any address
 *
 * exp, tanh and erf are within 2 ulp (tests/test_kernel.c measures them). The polynomials are
 * minimax fits (Remez exchange, 40 digits) made for this project; range reduction is Cody &
 * Waite's.
 */
#ifndef KERNEL_VMATH_H
#define KERNEL_VMATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined __AVX512F__ && defined __AVX512BW__ && defined __AVX512DQ__ && defined __AVX512VL__
#include <immintrin.h>
#define VMATH_WIDE 1
enum { VL = 16 };
#else
#define VMATH_WIDE 0
enum { VL = 8 };
#endif

typedef float vf __attribute__((vector_size(4 * VL)));
typedef float vu __attribute__((vector_size(4 * VL), aligned(4))); /* in memory */
typedef float vh __attribute__((vector_size(2 * VL)));             /* half of one */
typedef float vhu __attribute__((vector_size(2 * VL), aligned(4)));
typedef double vd __attribute__((vector_size(4 * VL))); /* as many as a half has */
typedef int32_t vi __attribute__((vector_size(4 * VL)));
typedef uint32_t vw __attribute__((vector_size(4 * VL)));
typedef float v4f __attribute__((vector_size(16)));

#define VMATH static inline __attribute__((always_inline))

VMATH vf v_load(const float *p) {
    return *(const vu *)p;
}
VMATH void v_store(float *p, vf a) {
    *(vu *)p = a;
}
VMATH vf v_set(float s) {
    return s - (vf){0};
}
/* Lane by lane: a where the mask is all ones, b where it is 0. Comparisons make such masks. */
VMATH vf v_select(vi mask, vf a, vf b) {
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

/* ---- what each width does in its own way ---- */

/* Both widths define the same names:
 *     v_load_part, v_load_ints  the first n <= VL lanes from memory, the others are `fill` or 0
 *     v_store_part              the first n lanes to memory
 *     v_max, v_min              the second operand where either is NaN
 */
#if VMATH_WIDE
VMATH __mmask16 v_first(size_t n) {
    return (__mmask16)((1u << n) - 1);
}
VMATH vf v_load_part(const float *p, size_t n, float fill) {
    return _mm512_mask_loadu_ps(v_set(fill), v_first(n), p);
}
VMATH vi v_load_ints(const int32_t *p, size_t n) {
    return (vi)_mm512_maskz_loadu_epi32(v_first(n), p);
}
VMATH void v_store_part(float *p, vf a, size_t n) {
    _mm512_mask_storeu_ps(p, v_first(n), a);
}
VMATH vf v_max(vf a, vf b) {
    return _mm512_max_ps(a, b);
}
VMATH vf v_min(vf a, vf b) {
    return _mm512_min_ps(a, b);
}
/* Numbers of lanes for V_PICK: a vector's, its halves'; of two vectors side by side, what v_sums
 * adds up: ones, pairs, then halves. */
#define V_LANES 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define V_LOW 0, 1, 2, 3, 4, 5, 6, 7
#define V_HIGH 8, 9, 10, 11, 12, 13, 14, 15
#define V_ONES_LOW 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define V_ONES_HIGH 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define V_TWOS_LOW 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define V_TWOS_HIGH 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define V_HALVES_LOW 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define V_HALVES_HIGH 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#else
VMATH vf v_load_part(const float *p, size_t n, float fill) {
    vf a = v_set(fill);
    memcpy(&a, p, n * sizeof *p);
    return a;
}
VMATH vi v_load_ints(const int32_t *p, size_t n) {
    vi a = {0};
    memcpy(&a, p, n * sizeof *p);
    return a;
}
VMATH void v_store_part(float *p, vf a, size_t n) {
    memcpy(p, &a, n * sizeof *p);
}
VMATH vf v_max(vf a, vf b) {
    return v_select(a > b, a, b);
}
VMATH vf v_min(vf a, vf b) {
    return v_select(a < b, a, b);
}
#define V_LANES 0, 1, 2, 3, 4, 5, 6, 7
#define V_LOW 0, 1, 2, 3
#define V_HIGH 4, 5, 6, 7
#define V_ONES_LOW 0, 8, 1, 9, 4, 12, 5, 13
#define V_ONES_HIGH 2, 10, 3, 11, 6, 14, 7, 15
#define V_TWOS_LOW 0, 1, 8, 9, 4, 5, 12, 13
#define V_TWOS_HIGH 2, 3, 10, 11, 6, 7, 14, 15
#define V_HALVES_LOW 0, 1, 2, 3, 8, 9, 10, 11
#define V_HALVES_HIGH 4, 5, 6, 7, 12, 13, 14, 15
#endif

#define V_PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

VMATH vi v_lanes(void) {
    return (vi){V_LANES};
}
/* 1, 3, 5, ... */
VMATH vf v_odd(void) {
    return __builtin_convertvector(2 * v_lanes() + 1, vf);
}
VMATH vh v_low(vf a) {
    return V_PICK(a, a, V_LOW);
}
VMATH vh v_high(vf a) {
    return V_PICK(a, a, V_HIGH);
}

/* ---- for every width ---- */

VMATH vf v_abs(vf a) {
    return (vf)((vw)a & 0x7fffffffu);
}
/* `magnitude` >= 0 with the sign of `sign`. */
VMATH vf v_sign_of(vf magnitude, vf sign) {
    return (vf)((vw)magnitude | ((vw)sign & 0x80000000u));
}

/* The sum of the lanes, always in the same order. */
VMATH float v_sum(vf a) {
    vh h = v_low(a) + v_high(a);
#if VMATH_WIDE
    v4f q = V_PICK(h, h, 0, 1, 2, 3) + V_PICK(h, h, 4, 5, 6, 7);
#else
    v4f q = h;
#endif
    return (q[0] + q[2]) + (q[1] + q[3]);
}
/* Lane i is the sum of the lanes of a[i], always in the same order. */
VMATH vf v_sums(const vf a[VL]) {
    vf two[VL / 2], four[VL / 4], half[VL / 8];
    for (int i = 0; i < VL / 2; i++)
        two[i] = V_PICK(a[2 * i], a[2 * i + 1], V_ONES_LOW) +
                 V_PICK(a[2 * i], a[2 * i + 1], V_ONES_HIGH);
    for (int i = 0; i < VL / 4; i++)
        four[i] = V_PICK(two[2 * i], two[2 * i + 1], V_TWOS_LOW) +
                  V_PICK(two[2 * i], two[2 * i + 1], V_TWOS_HIGH);
    for (int i = 0; i < VL / 8; i++)
        half[i] = V_PICK(four[2 * i], four[2 * i + 1], V_HALVES_LOW) +
                  V_PICK(four[2 * i], four[2 * i + 1], V_HALVES_HIGH);
#if VMATH_WIDE
    return V_PICK(half[0], half[1], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
           V_PICK(half[0], half[1], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
#else
    return half[0];
#endif
}
/* The sum of the lanes of a vector of doubles, always in the same order. */
VMATH double v_total(vd a) {
    double s[VL / 4];
    for (int i = 0; i < VL / 4; i++) s[i] = a[i] + a[i + VL / 4];
#if VMATH_WIDE
    return (s[0] + s[2]) + (s[1] + s[3]);
#else
    return s[0] + s[1];
#endif
}
/* The highest lane of those that are not NaN. */
VMATH float v_highest(vf a) {
    a = v_max(a, V_PICK(a, a, V_HIGH, V_LOW));
#if VMATH_WIDE
    a = v_max(a, V_PICK(a, a, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
#endif
    float m = a[0];
    for (int i = 1; i < 4; i++) m = a[i] > m ? a[i] : m;
    return m;
}
/* sum + the lanes of a, widened to doubles, two to each. */
VMATH vd v_widen_add(vd sum, vf a) {
    return sum + (__builtin_convertvector(v_low(a), vd) + __builtin_convertvector(v_high(a), vd));
}

/* e^x for x in [-87.33, 88.37]: x = n ln 2 + r, so e^x = 2^n e^r. The polynomial goes by Estrin's
 * scheme, since the chain of dependent steps is what costs. */
VMATH vf v_exp_inside(vf x) {
    const float round = 12582912.f; /* 1.5 * 2^23: adding it rounds to an integer */
    vf n = x * 1.44269504f + round;
    vw power = ((vw)n << 23) + 0x3f800000u;
    n -= round;
    vf r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vf u = r * r;
    vf low = r * 1.666652048e-1f + 4.999999344e-1f;
    vf high = r * 8.368735599e-3f + 4.166838984e-2f;
    high = u * 1.381456111e-3f + high;
    low = high * u + low;
    vf p = (low * u + r) + 1.f;
    return p * (vf)power;
}
/* e^x for x <= 0: 0 below -87.33, -infinity included. */
VMATH vf v_exp_down(vf x) {
    vi kept = ~(vi)(x < -87.33f);
    return (vf)(kept & (vi)v_exp_inside((vf)(kept & (vi)x)));
}

/* 1 / (1 + e^-x); at least 4e-39 */
VMATH vf v_sigmoid(vf x) {
    return 1.f / (1.f + v_exp_inside(v_max(v_set(-87.3f), v_min(v_set(88.3f), -x))));
}

/* A polynomial below 0.65, else 1 - 2/(e^2x + 1). */
VMATH vf v_tanh(vf x) {
    vf a = v_abs(x), u = x * x;
    vf q = u * -5.528633940e-3f + 2.048331641e-2f;
    q = q * u + -5.369296817e-2f;
    q = q * u + 1.333089976e-1f;
    q = q * u + -3.333326288e-1f;
    vf small = q * (u * x) + x;
    vf large = 1.f - 2.f / (v_exp_inside(v_min(v_set(20), a + a)) + 1.f);
    return v_select(a < 0.65f, small, v_sign_of(large, x));
}

/* A polynomial below 1, else 1 - e^-p(|x|). */
VMATH vf v_erf(vf x) {
    vf a = v_abs(x), u = x * x;
    vf q = u * 7.889126881e-5f + -8.020843562e-4f;
    q = q * u + 5.189535605e-3f;
    q = q * u + -2.685444473e-2f;
    q = q * u + 1.128360018e-1f;
    q = q * u + -3.761262714e-1f;
    q = q * u + 1.283791659e-1f;
    vf small = q * x + x;
    vf t = v_min(v_set(3.95f), a); /* erf(3.95) is 1 in float */
    vf p = t * -1.855709511e-4f + 2.939578225e-3f;
    p = p * t + -2.180520544e-2f;
    p = p * t + 1.030371399e-1f;
    p = p * t + 6.382259331e-1f;
    p = p * t + 1.127039886f;
    p = p * t + 3.537552654e-4f;
    vf large = 1.f - v_exp_inside(-p);
    return v_select(a < 1.f, small, v_sign_of(large, x));
}

/* d (+)= g, the first `left` lanes. */
VMATH void v_store_add(float *d, vf g, size_t left, bool add) {
    if (left >= VL) {
        v_store(d, add ? v_load(d) + g : g);
    } else {
        v_store_part(d, add ? v_load_part(d, left, 0) + g : g, left);
    }
}

#endif
