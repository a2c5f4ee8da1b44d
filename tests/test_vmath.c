/* test_vmath.c - the vector functions of common/kernel/vmath.h at every level that this processor
 * has, against the C library in double precision and against whole numbers.
 */
#include "tests/test.h"
#include "tests/vmath_level.h"

enum { MOST = 16 /* lanes */ };

#ifdef KERNEL_LEVELS
#define DECLARE(L) extern const vmath_level_t vmath_##L __asm__("vmath_level." #L);
#define ROW(L) &vmath_##L,
KERN_LEVELS(DECLARE)
static const vmath_level_t *const at_level[] = {KERN_LEVELS(ROW)};
#else
extern const vmath_level_t vmath_single __asm__("vmath_level.single");
static const vmath_level_t *const at_level[] = {&vmath_single};
#endif

typedef void (*function_t)(const float *x, float *y);

/* The function's value at x, the same in all lanes. */
static float at(const vmath_level_t *v, function_t f, float x) {
    float in[MOST], out[MOST];
    for (size_t i = 0; i < v->lanes; i++) in[i] = x;
    f(in, out);
    for (size_t i = 1; i < v->lanes; i++)
        CHECK(memcmp(out + i, out, sizeof *out) == 0 || isnan(x), "lane %zu at %g", i, (double)x);
    return out[0];
}
static double ulps(float got, double want) {
    float near = (float)want;
    return fabs(got - want) / (double)(nextafterf(fabsf(near), INFINITY) - fabsf(near));
}

static void check_functions(const vmath_level_t *v) {
    double worst[4] = {0};
    for (int i = 0; i < 400000; i++) {
        float x = -87.2f + 175.4f * (float)i / 400000, y = -9 + 18 * (float)i / 400000;
        double u[4] = {ulps(at(v, v->exp_inside, x), exp(x)), ulps(at(v, v->tanh, y), tanh(y)),
                       ulps(at(v, v->erf, y), erf(y)),
                       ulps(at(v, v->sigmoid, x), 1 / (1 + exp(-(double)x)))};
        for (int k = 0; k < 4; k++) worst[k] = fmax(worst[k], u[k]);
    }
    CHECK(worst[0] <= 2, "exp: %.2f ulp", worst[0]);
    CHECK(worst[1] <= 2, "tanh: %.2f ulp", worst[1]);
    CHECK(worst[2] <= 2, "erf: %.2f ulp", worst[2]);
    CHECK(worst[3] <= 3, "sigmoid: %.2f ulp", worst[3]);
    CHECK(at(v, v->exp_down, -INFINITY) == 0 && at(v, v->exp_down, -1e30f) == 0);
    CHECK(at(v, v->exp_down, 0) == 1);
    CHECK(isnan(at(v, v->exp_down, NAN)) && isnan(at(v, v->sigmoid, NAN)));
    CHECK(isnan(at(v, v->tanh, NAN)) && isnan(at(v, v->erf, NAN)));
}

/* The first lane of max or min of two vectors that have one value in all lanes. */
static float of_two(const vmath_level_t *v, void (*f)(const float *, const float *, float *),
                    float a, float b) {
    float first[MOST], second[MOST], out[MOST];
    for (size_t i = 0; i < v->lanes; i++) first[i] = a, second[i] = b;
    f(first, second, out);
    return out[0];
}

/* Sums, maxima and parts of a vector whose lanes are small whole numbers: exact in any order. */
static void check_lanes(const vmath_level_t *v) {
    size_t n = v->lanes;
    float a[MOST * MOST], sums[MOST], lanes[MOST], odd[MOST];
    for (size_t i = 0; i < n * n; i++) a[i] = (float)((i * 37 + 11) % 101) - 50;
    v->sums(a, sums);
    v->numbers(lanes, odd);
    for (size_t i = 0; i < n; i++) {
        const float *row = a + i * n;
        float sum = 0, most = -INFINITY;
        for (size_t j = 0; j < n; j++) sum += row[j], most = fmaxf(most, row[j]);
        CHECK(v->sum(row) == sum && sums[i] == sum, "row %zu: %g, %g for %g", i,
              (double)v->sum(row), (double)sums[i], (double)sum);
        CHECK(v->total(row) == sum);
        CHECK(v->highest(row) == most);
        CHECK(lanes[i] == (float)i && odd[i] == (float)(2 * i + 1));
    }
    for (size_t part = 0; part <= n; part++) {
        float loaded[MOST], stored[MOST + 1];
        int32_t numbers[MOST], whole[MOST];
        for (size_t i = 0; i <= n; i++) stored[i] = 9;
        for (size_t i = 0; i < n; i++) numbers[i] = (int32_t)i;
        v->load_part(a, part, 7, loaded);
        v->load_ints(numbers, part, whole);
        v->store_part(a, part, stored);
        for (size_t i = 0; i < n; i++)
            CHECK(loaded[i] == (i < part ? a[i] : 7) && stored[i] == (i < part ? a[i] : 9) &&
                      whole[i] == (i < part ? (int)i : 0),
                  "lane %zu of %zu", i, part);
        CHECK(stored[n] == 9);
    }
    CHECK(of_two(v, v->max, NAN, 1) == 1 && isnan(of_two(v, v->max, 1, NAN)));
    CHECK(of_two(v, v->min, NAN, 1) == 1 && isnan(of_two(v, v->min, 1, NAN)));
}

TEST(vector_functions_within_2_ulp) {
    for (size_t level = 0; level < kern_levels(); level++)
        if (kern_level_here(level)) check_functions(at_level[level]);
}

TEST(vectors_of_any_width) {
    for (size_t level = 0; level < kern_levels(); level++)
        if (kern_level_here(level)) check_lanes(at_level[level]);
}
