/* vmath_level.c - see vmath_level.h. */
#include "tests/vmath_level.h"

#include "common/kernel/vmath.h"

static void exp_inside(const float *x, float *y) {
    v_store(y, v_exp_inside(v_load(x)));
}
static void exp_down(const float *x, float *y) {
    v_store(y, v_exp_down(v_load(x)));
}
static void sigmoid(const float *x, float *y) {
    v_store(y, v_sigmoid(v_load(x)));
}
static void max_of(const float *a, const float *b, float *y) {
    v_store(y, v_max(v_load(a), v_load(b)));
}
static void min_of(const float *a, const float *b, float *y) {
    v_store(y, v_min(v_load(a), v_load(b)));
}
static void tanh_of(const float *x, float *y) {
    v_store(y, v_tanh(v_load(x)));
}
static void erf_of(const float *x, float *y) {
    v_store(y, v_erf(v_load(x)));
}
static float sum(const float *x) {
    return v_sum(v_load(x));
}
static double total(const float *x) {
    return v_total(v_widen_add((vd){0}, v_load(x)));
}
static float highest(const float *x) {
    return v_highest(v_load(x));
}
static void sums(const float *x, float *y) {
    vf row[VL];
    for (size_t i = 0; i < VL; i++) row[i] = v_load(x + i * VL);
    v_store(y, v_sums(row));
}
static void numbers(float *lanes, float *odd) {
    v_store(lanes, __builtin_convertvector(v_lanes(), vf));
    v_store(odd, v_odd());
}
static void load_part(const float *p, size_t n, float fill, float *y) {
    v_store(y, v_load_part(p, n, fill));
}
static void load_ints(const int32_t *p, size_t n, int32_t *y) {
    vi whole = v_load_ints(p, n);
    memcpy(y, &whole, sizeof whole);
}
static void store_part(const float *x, size_t n, float *p) {
    v_store_part(p, v_load(x), n);
}

#ifndef KERNEL_LEVEL
#define KERNEL_LEVEL "single"
#endif
extern const vmath_level_t vmath_level __asm__("vmath_level." KERNEL_LEVEL);
const vmath_level_t vmath_level = {.lanes = VL,
                                   .exp_inside = exp_inside,
                                   .exp_down = exp_down,
                                   .sigmoid = sigmoid,
                                   .tanh = tanh_of,
                                   .erf = erf_of,
                                   .max = max_of,
                                   .min = min_of,
                                   .sum = sum,
                                   .total = total,
                                   .highest = highest,
                                   .sums = sums,
                                   .numbers = numbers,
                                   .load_part = load_part,
                                   .load_ints = load_ints,
                                   .store_part = store_part};
