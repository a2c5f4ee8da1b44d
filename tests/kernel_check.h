/* kernel_check.h - what the kernel tests share: reproducible inputs, comparison with
 * double-precision results, and the two promises every kernel makes (any number of threads gives
 * the same bytes; overwriting does not read).
 */
#ifndef TESTS_KERNEL_CHECK_H
#define TESTS_KERNEL_CHECK_H

#include "common/base/die.h"
#include "common/base/pool.h"
#include "tests/test.h"

#include <stdint.h>

#define COUNT(list) (sizeof(list) / sizeof *(list))

/* n floats in center +- spread. */
static inline float *floats(uint32_t seed, size_t n, double center, double spread) {
    float *x = xmalloc((n + 1) * sizeof *x);
    uint32_t s = seed * 2654435761u + 12345u;
    for (size_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        uint32_t t = (s ^ s >> 15) * 0x85EBCA6Bu;
        x[i] = (float)(center + spread * ((t >> 8) / 8388608.0 - 1));
    }
    return x;
}
static inline double *doubles(size_t n) {
    return xcalloc(n + 1, sizeof(double));
}
static inline void fill_nan(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = NAN;
}
static inline float *copy_of(const float *x, size_t n) {
    return memcpy(xmalloc((n + 1) * sizeof *x), x, n * sizeof *x);
}

/* |got - want| <= tolerance * size, size being the sum of the absolute values of the terms that
 * were added up. */
static inline void check_close(const char *what, const float *got, const double *want,
                               const double *size, size_t n, double tolerance) {
    for (size_t i = 0; i < n; i++)
        CHECK(fabs(got[i] - want[i]) <= tolerance * size[i] + 1e-30,
              "%s [%zu]: %.9g against %.9g (size %.3g, off by %.2g of it)", what, i, (double)got[i],
              want[i], size[i], fabs(got[i] - want[i]) / size[i]);
}
static inline void check_same(const char *what, const float *a, const float *b, size_t n) {
    CHECK(memcmp(a, b, n * sizeof *a) == 0, "%s: bytes differ", what);
}

/* Runs a kernel that writes out[n] as `add` says: over NaN it must give `want`, onto `base` it must
 * give base + want, and the bytes must be the same on 1, 2 and 3 threads. Leaves the overwritten
 * result in `out`. */
typedef void (*kernel_run)(void *ctx, float *out, bool add);
static inline void check_kernel(const char *what, kernel_run run, void *ctx, bool can_add,
                                const double *want, const double *size, size_t n, double tolerance,
                                float *out) {
    float *other = xmalloc((n + 1) * sizeof *other);
    for (int add = 0; add <= can_add; add++) {
        float *base = floats(99, n, 0, 1);
        for (int threads = 1; threads <= 3; threads++) {
            float *now = threads == 1 ? out : other;
            if (add)
                memcpy(now, base, n * sizeof *now);
            else
                fill_nan(now, n);
            pool_set_threads(threads);
            run(ctx, now, add);
            if (threads > 1) check_same(what, out, other, n);
        }
        double *sum = doubles(n), *sizes = doubles(n);
        for (size_t i = 0; i < n; i++) {
            sum[i] = want[i] + (add ? base[i] : 0);
            sizes[i] = size[i] + (add ? fabs(base[i]) : 0);
        }
        check_close(what, out, sum, sizes, n, tolerance);
        free(sum), free(sizes), free(base);
    }
    pool_set_threads(1);
    fill_nan(out, n);
    run(ctx, out, false);
    pool_set_threads(2);
    free(other);
}

/* Central difference of f (a double-precision reference) at x[i]. */
typedef double (*scalar_fn)(void *ctx, const double *x);
static inline double slope_at(scalar_fn f, void *ctx, double *x, size_t i, double step) {
    double at = x[i];
    x[i] = at + step;
    double up = f(ctx, x);
    x[i] = at - step;
    double down = f(ctx, x);
    x[i] = at;
    return (up - down) / (2 * step);
}
static inline double *widen(const float *x, size_t n) {
    double *d = doubles(n);
    for (size_t i = 0; i < n; i++) d[i] = (double)x[i];
    return d;
}

#endif
