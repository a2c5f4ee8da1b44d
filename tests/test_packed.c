/* test_packed.c - linear layers over packed weights against loops in double; what 16, 8 and 4
 * bits may lose. */
#include "tests/test.h"

#include "common/base/pool.h"
#include "common/base/rng.h"
#include "common/kernel/kernel.h"
#include "common/nn/nn.h"
#include "common/tape/plan.h"

static float *draw(const char *name, size_t n) {
    float *v = malloc((n ? n : 1) * sizeof *v);
    rng_t r = rng_make(7, name);
    for (size_t i = 0; i < n; i++) v[i] = rng_normal(r, i);
    return v;
}

static const size_t sizes[][3] = {{1, 1, 1},     {1, 16, 64},  {1, 100, 257},
                                  {2, 33, 65},   {3, 64, 128}, {5, 17, 63},
                                  {7, 160, 300}, {9, 15, 513}, {1, 384, 128}};
enum { SIZES = sizeof sizes / sizeof *sizes };

/* Largest |got - want| over the sum of |x w|. */
static double error(size_t M, size_t N, size_t K, bool tb, const float *x, const float *W,
                    const float *b, const float *y) {
    double worst = 0;
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) {
            double s = b ? (double)b[j] : 0, size = fabs(s) + 1e-30;
            for (size_t k = 0; k < K; k++) {
                double t = (double)x[i * K + k] * (double)(tb ? W[j * K + k] : W[k * N + j]);
                s += t;
                size += fabs(t);
            }
            worst = fmax(worst, fabs(s - (double)y[i * N + j]) / size);
        }
    return worst;
}

static void check(kern_weights_t kind, bool tb, bool biased, const size_t *s, double tolerance) {
    size_t M = s[0], N = s[1], K = s[2];
    float *x = draw("x", M * K), *W = draw("W", K * N), *b = draw("b", N), *y = draw("y", M * N),
          *seen = draw("s", K * N);
    void *packed = malloc(kern_pack_bytes(kind, K, N));
    kern_pack(kind, tb, K, N, W, packed);
    kern_packed_linear(kind, M, N, K, x, packed, biased ? b : NULL, y);
    double e = error(M, N, K, tb, x, W, biased ? b : NULL, y);
    CHECK(e <= tolerance, "kind %d, tb %d, %zu x %zu x %zu: %.3g", kind, tb, M, N, K, e);
    /* against the weights that it claims to use, the sums are as good as those of floats */
    kern_unpack(kind, tb, K, N, packed, seen);
    if (kind >=
        WEIGHTS_Q8) { /* rows of whole numbers, 127 the largest of each 64, are bytes already */
        for (size_t i = 0; i < M; i++)
            for (size_t k = 0; k < K; k++)
                x[i * K + k] = ldexpf(
                    k % 64 ? rintf(fminf(127, fmaxf(-127, 40 * x[i * K + k]))) : 127, (int)(i % 3));
        kern_packed_linear(kind, M, N, K, x, packed, biased ? b : NULL, y);
    }
    e = error(M, N, K, tb, x, seen, biased ? b : NULL, y);
    CHECK(e <= 3e-7, "kind %d, tb %d, %zu x %zu x %zu, unpacked: %.3g", kind, tb, M, N, K, e);
    if (kind == WEIGHTS_F32) CHECK(!memcmp(seen, W, K * N * sizeof *W));
    free(x), free(W), free(b), free(y), free(seen), free(packed);
}

TEST(products) {
    for (size_t i = 0; i < SIZES; i++)
        for (int form = 0; form < 4; form++) {
            check(WEIGHTS_F32, form & 1, form & 2, sizes[i], 3e-7);
            check(WEIGHTS_BF16, form & 1, form & 2, sizes[i], 1.0 / 256);
            check(WEIGHTS_Q8, form & 1, form & 2, sizes[i], 0.02);
            check(WEIGHTS_Q4, form & 1, form & 2, sizes[i], 0.2);
        }
}

/* Half a step of the block's scale, never more; blocks of zeros stay zero. */
TEST(eight_bits_round_to_the_nearest) {
    enum { K = 200, N = 20 };
    float *W = draw("W", K * N), seen[K * N];
    for (size_t k = 64; k < 128; k++)
        for (size_t n = 0; n < N; n++) W[k * N + n] *= n ? 1000 : 0;
    void *packed = malloc(kern_pack_bytes(WEIGHTS_Q8, K, N));
    kern_pack(WEIGHTS_Q8, false, K, N, W, packed);
    kern_unpack(WEIGHTS_Q8, false, K, N, packed, seen);
    for (size_t n = 0; n < N; n++)
        for (size_t k0 = 0; k0 < K; k0 += 64) {
            float largest = 0;
            for (size_t k = k0; k < K && k < k0 + 64; k++)
                largest = fmaxf(largest, fabsf(W[k * N + n]));
            for (size_t k = k0; k < K && k < k0 + 64; k++)
                CHECK(fabsf(seen[k * N + n] - W[k * N + n]) <= largest / 127 * 0.5001f, "%zu, %zu",
                      k, n);
        }
    free(W);
    free(packed);
}

/* Half a step of a block's scale, an eighth of its largest; a whole one where the other sign would
 * need an 8. Blocks have 32 weights, the last one fewer; those of zeros stay zero. */
TEST(four_bits_round_to_the_nearest) {
    enum { K = 107, N = 20 };
    float *W = draw("W", K * N), seen[K * N];
    for (size_t k = 32; k < 64; k++)
        for (size_t n = 0; n < N; n++) W[k * N + n] *= n ? 1000 : 0;
    W[0] = 5, W[N] = -5; /* the first of two as large becomes -8 */
    void *packed = malloc(kern_pack_bytes(WEIGHTS_Q4, K, N));
    kern_pack(WEIGHTS_Q4, false, K, N, W, packed);
    kern_unpack(WEIGHTS_Q4, false, K, N, packed, seen);
    for (size_t n = 0; n < N; n++)
        for (size_t k0 = 0; k0 < K; k0 += 32) {
            float largest = 0;
            for (size_t k = k0; k < K && k < k0 + 32; k++)
                if (fabsf(W[k * N + n]) > fabsf(largest)) largest = W[k * N + n];
            for (size_t k = k0; k < K && k < k0 + 32; k++) {
                float w = W[k * N + n], step = fabsf(largest) / 8;
                bool beyond = w * largest < 0 && fabsf(w) > 7.5f * step;
                CHECK(fabsf(seen[k * N + n] - w) <= step * (beyond ? 1.0001f : 0.5001f), "%zu, %zu",
                      k, n);
                CHECK(w != largest || seen[k * N + n] == w, "the largest is kept");
            }
        }
    CHECK(seen[0] == 5 && seen[N] == 7 * -0.625f);
    free(W);
    free(packed);
}

/* The extremes of both sides: no sum of bytes overflows. */
TEST(extremes_stay_exact) {
    enum { K = 192, N = 17, M = 9 };
    float W[K * N], x[M * K], y[M * N];
    for (int kind = WEIGHTS_Q8; kind <= WEIGHTS_Q4; kind++)
        for (int signs = 0; signs < 4; signs++) {
            float most = kind == WEIGHTS_Q8 ? 127 : 8;
            for (size_t i = 0; i < K * N; i++) W[i] = signs & 1 ? -most : most;
            for (size_t i = 0; i < M * K; i++) x[i] = signs & 2 ? -127 : 127;
            void *packed = malloc(kern_pack_bytes((kern_weights_t)kind, K, N));
            kern_pack((kern_weights_t)kind, false, K, N, W, packed);
            for (size_t m = 1; m <= M; m += 4) {
                kern_packed_linear((kern_weights_t)kind, m, N, K, x, packed, NULL, y);
                for (size_t i = 0; i < m * N; i++)
                    CHECK(y[i] == K * W[0] * x[0], "kind %d: %g", kind, (double)y[i]);
            }
            free(packed);
        }
}

/* Rounding the rows: half a step of each value's block at most; no number stays none. */
TEST(rows_round_to_the_nearest) {
    enum { K = 200, N = 3 };
    float *W = draw("W", K * N), *x = draw("x", K), y[N], seen[K * N];
    for (size_t k = 64; k < 128; k++) x[k] *= 1e-3f;
    void *packed = malloc(kern_pack_bytes(WEIGHTS_Q8, K, N));
    kern_pack(WEIGHTS_Q8, false, K, N, W, packed);
    kern_unpack(WEIGHTS_Q8, false, K, N, packed, seen);
    kern_packed_linear(WEIGHTS_Q8, 1, N, K, x, packed, NULL, y);
    for (size_t n = 0; n < N; n++) {
        double sum = 0, bound = 0, largest[4] = {0};
        for (size_t k = 0; k < K; k++) largest[k / 64] = fmax(largest[k / 64], fabs((double)x[k]));
        for (size_t k = 0; k < K; k++) {
            sum += (double)x[k] * (double)seen[k * N + n];
            bound += largest[k / 64] / 254 * fabs((double)seen[k * N + n]);
        }
        CHECK(fabs(sum - (double)y[n]) <= bound * 1.001 && (double)y[n] != sum, "%g instead of %g",
              (double)y[n], sum);
    }
    x[70] = NAN;
    kern_packed_linear(WEIGHTS_Q8, 1, N, K, x, packed, NULL, y);
    CHECK(isnan(y[0]) && isnan(y[2]));
    free(W), free(x), free(packed);
}

/* A row's bits do not depend on the rows beside it, nor on threads. */
TEST(rows_stand_alone) {
    enum { M = 11, N = 330, K = 700 };
    float *x = draw("x", M * K), *W = draw("W", K * N), *all = draw("a", M * N),
          *one = draw("o", M * N);
    for (int kind = WEIGHTS_F32; kind <= WEIGHTS_Q4; kind++) {
        void *packed = malloc(kern_pack_bytes((kern_weights_t)kind, K, N));
        kern_pack((kern_weights_t)kind, true, K, N, W, packed);
        pool_set_threads(1);
        kern_packed_linear((kern_weights_t)kind, M, N, K, x, packed, NULL, all);
        for (size_t i = 0; i < M; i++)
            kern_packed_linear((kern_weights_t)kind, 1, N, K, x + i * K, packed, NULL, one + i * N);
        CHECK(!memcmp(all, one, M * N * sizeof *all), "kind %d, row by row", kind);
        for (size_t i = 0; i + 2 <= M; i += 2)
            kern_packed_linear((kern_weights_t)kind, 2, N, K, x + i * K, packed, NULL, one + i * N);
        CHECK(!memcmp(all, one, (M - 1) * N * sizeof *all), "kind %d, two by two", kind);
        pool_set_threads(3);
        kern_packed_linear((kern_weights_t)kind, M, N, K, x, packed, NULL, one);
        CHECK(!memcmp(all, one, M * N * sizeof *all), "kind %d, three threads", kind);
        free(packed);
    }
    free(x), free(W), free(all), free(one);
}

/* 32 bits give the sums of kern_gemm, so that a policy at play is the policy that was trained. */
TEST(floats_give_the_sums_of_gemm) {
    for (size_t i = 0; i < SIZES; i++) {
        size_t M = sizes[i][0], N = sizes[i][1], K = sizes[i][2];
        float *x = draw("x", M * K), *W = draw("W", K * N), *b = draw("b", N),
              *y = draw("y", M * N), *z = draw("z", M * N);
        void *packed = malloc(kern_pack_bytes(WEIGHTS_F32, K, N));
        kern_pack(WEIGHTS_F32, false, K, N, W, packed);
        kern_packed_linear(WEIGHTS_F32, M, N, K, x, packed, b, y);
        kern_gemm(false, false, M, N, K, x, K, W, N, z, N, false, b);
        CHECK(!memcmp(y, z, M * N * sizeof *y), "%zu x %zu x %zu", M, N, K);
        free(x), free(W), free(b), free(y), free(z), free(packed);
    }
}

static const size_t column_ranges[][2] = {{0, 330}, {0, 1},     {5, 6},    {16, 32},
                                          {7, 130}, {320, 330}, {31, 329}, {64, 65}};

/* Some columns have the bits that they have in the whole product. */
TEST(columns_stand_alone) {
    enum { M = 9, N = 330, K = 300 };
    float *x = draw("x", M * K), *W = draw("W", K * N), *b = draw("b", N), *all = draw("a", M * N),
          *some = draw("s", M * N + 1);
    for (int kind = WEIGHTS_F32; kind <= WEIGHTS_Q4; kind++) {
        void *packed = malloc(kern_pack_bytes((kern_weights_t)kind, K, N));
        kern_pack((kern_weights_t)kind, true, K, N, W, packed);
        for (size_t m = 1; m <= M; m += 4) {
            kern_packed_linear((kern_weights_t)kind, m, N, K, x, packed, b, all);
            for (size_t r = 0; r < sizeof column_ranges / sizeof *column_ranges; r++) {
                size_t lo = column_ranges[r][0], hi = column_ranges[r][1], n = hi - lo;
                some[m * n] = 77;
                kern_packed_columns((kern_weights_t)kind, m, N, K, x, packed, b, lo, hi, some);
                for (size_t i = 0; i < m; i++)
                    CHECK(!memcmp(some + i * n, all + i * N + lo, n * sizeof *some),
                          "kind %d, row %zu of %zu, columns %zu .. %zu", kind, i, m, lo, hi);
                CHECK(some[m * n] == 77, "a number behind the last one");
            }
        }
        free(packed);
    }
    free(x), free(W), free(b), free(all), free(some);
}

/* The layer over parameters and over their packed twins: the columns of the whole layer. */
TEST(a_layer_of_some_columns) {
    enum { M = 3, N = 50, K = 20, LO = 11, HI = 37 };
    params_t *params = params_new(1);
    float all[M * N];
    for (int way = 0; way < 8; way++) { /* all and some columns, plain and packed, both orders */
        weight_order_t order = way < 4 ? W_OUT_IN : W_IN_OUT;
        tape_t *t = tape_new(params);
        nn_t nn;
        nn_begin(&nn, t);
        var_t x = tape_input(t, "x", F32_2(M, K)),
              W = way < 4 ? nn_param2(&nn, "W", N, K, init_normal(1))
                          : nn_param2(&nn, "V", K, N, init_normal(1)),
              b = nn_param1(&nn, "b", N, init_normal(1));
        nn_packed_t *twins = nn_packed_new(params, WEIGHTS_F32);
        nn.packed = way % 4 >= 2 ? twins : NULL;
        var_t y =
            way % 2 ? nn_apply_columns(&nn, x, W, b, order, LO, HI) : nn_apply(&nn, x, W, b, order);
        plan_t *p = plan_new(t, &(plan_opts_t){.keep = &y, .n_keep = 1});
        for (size_t i = 0; i < M * K; i++) ((float *)plan_data(p, x))[i] = (float)(i * 7 % 13) - 6;
        plan_forward(p);
        const float *out = plan_data(p, y);
        if (way % 4 == 0) memcpy(all, out, sizeof all);
        size_t lo = way % 2 ? LO : 0, n = way % 2 ? HI - LO : N;
        for (size_t i = 0; i < M; i++)
            CHECK(!memcmp(out + i * n, all + i * N + lo, n * sizeof *out), "way %d, row %zu", way,
                  i);
        plan_free(p);
        tape_free(t);
        nn_packed_free(twins);
    }
    params_free(params);
}
