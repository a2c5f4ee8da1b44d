/* vmath_level.h - the functions of common/kernel/vmath.h behind pointers, so that test_vmath.c can
 * try them at every level. vmath_level.c is compiled like a kernel, once per level.
 */
#ifndef TESTS_VMATH_LEVEL_H
#define TESTS_VMATH_LEVEL_H

#include <stddef.h>
#include <stdint.h>

/* Vectors are arrays of `lanes` floats. */
typedef struct {
    size_t lanes;
    void (*exp_inside)(const float *x, float *y);
    void (*exp_down)(const float *x, float *y);
    void (*sigmoid)(const float *x, float *y);
    void (*tanh)(const float *x, float *y);
    void (*erf)(const float *x, float *y);
    void (*max)(const float *a, const float *b, float *y);
    void (*min)(const float *a, const float *b, float *y);
    float (*sum)(const float *x);
    double (*total)(const float *x); /* v_total of v_widen_add to 0 */
    float (*highest)(const float *x);
    void (*sums)(const float *x, float *y); /* x [lanes,lanes] */
    void (*numbers)(float *lanes, float *odd);
    void (*load_part)(const float *p, size_t n, float fill, float *y);
    void (*load_ints)(const int32_t *p, size_t n, int32_t *y);
    void (*store_part)(const float *x, size_t n, float *p);
} vmath_level_t;

#endif
