/* vmath.h - eight floats at a time: loads, reductions and the transcendental functions of the kernels.
 *
 * Written with the compiler's vector extensions, so AVX2 and NEON both serve. Every function acts lane by lane: a value
 * does not depend on its place in an array as long as tails go through v8_load_part / v8_store_part instead of scalar
 * loops. NaN comes out as NaN.
 *
 * exp, tanh, erf are within 2 ulp (tests/test_kernel.c measures them). The polynomials are minimax fits (Remez
 * exchange, 40 digits) made for this project; range reduction is Cody & Waite's.
 */
#ifndef KERNEL_VMATH_H
#define KERNEL_VMATH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef float v8f __attribute__((vector_size(32)));
typedef float v8u __attribute__((vector_size(32), aligned(4))); /* in memory */
typedef float v4f __attribute__((vector_size(16)));
typedef double v4d __attribute__((vector_size(32)));
typedef int32_t v8i __attribute__((vector_size(32)));
typedef uint32_t v8w __attribute__((vector_size(32)));

#define VMATH static inline __attribute__((always_inline))

VMATH v8f v8_load(const float *p) {
    return *(const v8u *)p;
}
VMATH void v8_store(float *p, v8f a) {
    *(v8u *)p = a;
}
VMATH v8f v8_set(float s) {
    return s - (v8f){0};
}

/* n < 8 floats; the other lanes are `fill`. */
VMATH v8f v8_load_part(const float *p, size_t n, float fill) {
    v8f a = v8_set(fill);
    memcpy(&a, p, n * sizeof *p);
    return a;
}
VMATH void v8_store_part(float *p, v8f a, size_t n) {
    memcpy(p, &a, n * sizeof *p);
}

VMATH v8f v8_select(v8i mask, v8f a, v8f b) {
    return (v8f)((mask & (v8i)a) | (~mask & (v8i)b));
}
/* The second operand where either is NaN. (A loop over lanes would name vmaxps, but the compiler does not always see
 * it.) */
VMATH v8f v8_max(v8f a, v8f b) {
    return v8_select(a > b, a, b);
}
VMATH v8f v8_min(v8f a, v8f b) {
    return v8_select(a < b, a, b);
}
VMATH v8f v8_abs(v8f a) {
    return (v8f)((v8w)a & 0x7fffffffu);
}
VMATH v8f v8_sign_of(v8f magnitude, v8f sign) {
    return (v8f)((v8w)magnitude | ((v8w)sign & 0x80000000u));
}

/* The sum of the lanes, always in the same order. */
VMATH float v8_sum(v8f a) {
    v4f lo = {a[0], a[1], a[2], a[3]}, hi = {a[4], a[5], a[6], a[7]};
    lo += hi;
    return (lo[0] + lo[2]) + (lo[1] + lo[3]);
}
/* Lane i is the sum of the lanes of a[i], always in the same order. */
VMATH v8f v8_sums(const v8f a[8]) {
    v8f two[4], four[2];
    for (int i = 0; i < 4; i++)
        two[i] = __builtin_shufflevector(a[2 * i], a[2 * i + 1], 0, 8, 1, 9, 4, 12, 5, 13) +
                 __builtin_shufflevector(a[2 * i], a[2 * i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    for (int i = 0; i < 2; i++)
        four[i] = __builtin_shufflevector(two[2 * i], two[2 * i + 1], 0, 1, 8, 9, 4, 5, 12, 13) +
                  __builtin_shufflevector(two[2 * i], two[2 * i + 1], 2, 3, 10, 11, 6, 7, 14, 15);
    return __builtin_shufflevector(four[0], four[1], 0, 1, 2, 3, 8, 9, 10, 11) +
           __builtin_shufflevector(four[0], four[1], 4, 5, 6, 7, 12, 13, 14, 15);
}
VMATH double v4_sum(v4d a) {
    return (a[0] + a[2]) + (a[1] + a[3]);
}
VMATH float v8_highest(v8f a) {
    float m = a[0];
    for (int i = 1; i < 8; i++) m = a[i] > m ? a[i] : m;
    return m;
}
/* Adds the eight lanes to four doubles. */
VMATH v4d v8_widen_add(v4d sum, v8f a) {
    v4f lo = {a[0], a[1], a[2], a[3]}, hi = {a[4], a[5], a[6], a[7]};
    return sum + (__builtin_convertvector(lo, v4d) + __builtin_convertvector(hi, v4d));
}

/* e^x for x in [-87.33, 88.37]: x = n ln 2 + r, e^x = 2^n e^r. Estrin's scheme: the chain of dependent steps is what
 * costs. */
VMATH v8f v8_exp_inside(v8f x) {
    const float round = 12582912.f; /* 1.5 * 2^23: adding it rounds to an integer */
    v8f n = x * 1.44269504f + round;
    v8w power = ((v8w)n << 23) + 0x3f800000u;
    n -= round;
    v8f r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    v8f u = r * r;
    v8f low = r * 1.666652048e-1f + 4.999999344e-1f;
    v8f high = r * 8.368735599e-3f + 4.166838984e-2f;
    high = u * 1.381456111e-3f + high;
    low = high * u + low;
    v8f p = (low * u + r) + 1.f;
    return p * (v8f)power;
}
/* e^x for x <= 0: 0 below -87.33, -infinity included. */
VMATH v8f v8_exp_down(v8f x) {
    v8i kept = ~(v8i)(x < -87.33f);
    return (v8f)(kept & (v8i)v8_exp_inside((v8f)(kept & (v8i)x)));
}

/* 1 / (1 + e^-x); at least 4e-39 */
VMATH v8f v8_sigmoid(v8f x) {
    return 1.f / (1.f + v8_exp_inside(v8_max(v8_set(-87.3f), v8_min(v8_set(88.3f), -x))));
}

VMATH v8f v8_tanh(v8f x) {
    v8f a = v8_abs(x), u = x * x;
    v8f q = u * -5.528633940e-3f + 2.048331641e-2f;
    q = q * u + -5.369296817e-2f;
    q = q * u + 1.333089976e-1f;
    q = q * u + -3.333326288e-1f;
    v8f small = q * (u * x) + x;
    v8f large = 1.f - 2.f / (v8_exp_inside(v8_min(v8_set(20), a + a)) + 1.f);
    return v8_select(a < 0.65f, small, v8_sign_of(large, x));
}

VMATH v8f v8_erf(v8f x) {
    v8f a = v8_abs(x), u = x * x;
    v8f q = u * 7.889126881e-5f + -8.020843562e-4f;
    q = q * u + 5.189535605e-3f;
    q = q * u + -2.685444473e-2f;
    q = q * u + 1.128360018e-1f;
    q = q * u + -3.761262714e-1f;
    q = q * u + 1.283791659e-1f;
    v8f small = q * x + x;
    v8f t = v8_min(v8_set(3.95f), a); /* erf(3.95) is 1 in float */
    v8f p = t * -1.855709511e-4f + 2.939578225e-3f;
    p = p * t + -2.180520544e-2f;
    p = p * t + 1.030371399e-1f;
    p = p * t + 6.382259331e-1f;
    p = p * t + 1.127039886f;
    p = p * t + 3.537552654e-4f;
    v8f large = 1.f - v8_exp_inside(-p);
    return v8_select(a < 1.f, small, v8_sign_of(large, x));
}

#endif
