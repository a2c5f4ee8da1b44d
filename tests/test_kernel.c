/* test_kernel.c - matrix products, elementwise kernels, tables, codebook and optimizer against
 * loops in double precision. (Convolutions, norms, attention and losses have files of their own.)
 */
#include "common/base/rng.h"
#include "common/kernel/kernel.h"
#include "tests/kernel_check.h"

/* ---- gemm ---- */

typedef struct {
    bool ta, tb, serial, train;
    size_t M, N, K, lda, ldb, ldc;
    const float *A, *B, *bias;
} gemm_case_t;

/* The result is packed [M,N] for the checks; C itself has longer rows whose ends must stay as they
 * were. */
static void run_gemm(void *ctx, float *out, bool add) {
    const gemm_case_t *g = ctx;
    float *C = floats(5, (g->M + 1) * g->ldc, 0, 1), *before = copy_of(C, (g->M + 1) * g->ldc);
    for (size_t i = 0; i < g->M; i++) memcpy(C + i * g->ldc, out + i * g->N, g->N * sizeof *C);
    if (g->train)
        kern_gemm_train(g->ta, g->tb, g->M, g->N, g->K, g->A, g->lda, g->B, g->ldb, C, g->ldc, add);
    else
        (g->serial ? kern_gemm_serial : kern_gemm)(g->ta, g->tb, g->M, g->N, g->K, g->A, g->lda,
                                                   g->B, g->ldb, C, g->ldc, add, g->bias);
    for (size_t i = 0; i < g->M; i++) {
        memcpy(out + i * g->N, C + i * g->ldc, g->N * sizeof *C);
        check_same("gemm: beyond the row", C + i * g->ldc + g->N, before + i * g->ldc + g->N,
                   g->ldc - g->N);
    }
    free(C), free(before);
}

static void check_gemm(gemm_case_t g) {
    g.lda = (g.ta ? g.M : g.K) + 3, g.ldb = (g.tb ? g.K : g.N) + 2, g.ldc = g.N + 5;
    float *A = floats(1, (g.M + g.K + 1) * g.lda, 0.1, 1),
          *B = floats(2, (g.N + g.K + 1) * g.ldb, -0.1, 1), *bias = floats(3, g.N, 0, 1);
    float *out = xmalloc((g.M * g.N + 1) * sizeof *out), *serial = copy_of(out, g.M * g.N);
    double *want = doubles(g.M * g.N), *size = doubles(g.M * g.N);
    g.A = A, g.B = B;
    for (int with_bias = 1; with_bias >= 0; with_bias--) {
        g.bias = with_bias ? bias : NULL;
        for (size_t i = 0; i < g.M; i++)
            for (size_t j = 0; j < g.N; j++) {
                double s = with_bias ? (double)bias[j] : 0, t = fabs(s);
                for (size_t k = 0; k < g.K; k++) {
                    double p = (double)(g.ta ? A[k * g.lda + i] : A[i * g.lda + k]) *
                               (g.tb ? B[j * g.ldb + k] : B[k * g.ldb + j]);
                    s += p, t += fabs(p);
                }
                want[i * g.N + j] = s;
                size[i * g.N + j] = t;
            }
        char what[99];
        snprintf(what, sizeof what, "gemm ta=%d tb=%d %zux%zux%zu bias=%d", g.ta, g.tb, g.M, g.N,
                 g.K, with_bias);
        g.serial = false;
        check_kernel(what, run_gemm, &g, true, want, size, g.M * g.N, 1e-6, out);
        g.serial = true;
        run_gemm(&g, serial, false);
        check_same("gemm serial", out, serial, g.M * g.N);
    }
    g.train = true; /* `want` is that without a bias */
    char what[99];
    snprintf(what, sizeof what, "gemm train ta=%d tb=%d %zux%zux%zu", g.ta, g.tb, g.M, g.N, g.K);
    check_kernel(what, run_gemm, &g, true, want, size, g.M * g.N, 1e-6, out);
    free(A), free(B), free(bias), free(out), free(serial), free(want), free(size);
}

TEST(gemm_against_double) {
    static const size_t shapes[][3] = {
        {1, 1, 1},      {5, 3, 7},       {6, 16, 8},     {13, 17, 33}, {97, 31, 2000},
        {130, 150, 70}, {64, 24, 513},   {3, 1, 1000},   {7, 130, 1},  {100, 9, 256},
        {2, 33, 300},   {131, 513, 130}, {770, 257, 769}};
    for (size_t s = 0; s < COUNT(shapes); s++)
        for (int t = 0; t < 4; t++)
            check_gemm((gemm_case_t){.ta = t & 1,
                                     .tb = t >> 1,
                                     .M = shapes[s][0],
                                     .N = shapes[s][1],
                                     .K = shapes[s][2]});
}

/* A sum over nothing is the bias (or zero). */
TEST(gemm_of_empty_sum) {
    float bias[3] = {1, 2, 3}, C[6], want[6] = {1, 2, 3, 1, 2, 3};
    for (int t = 0; t < 4; t++) {
        fill_nan(C, 6);
        kern_gemm(t & 1, t >> 1, 2, 3, 0, bias, 3, bias, 3, C, 3, false, bias);
        check_same("gemm K=0", C, want, 6);
    }
}

/* The bytes depend neither on where the matrices lie nor on what runs beside. */
enum { BESIDE_M = 160, BESIDE_N = 192, BESIDE_K = 520, PLACES = 4 };
typedef struct {
    const float *A, *B;
    float *C[PLACES];
} beside_t;
static void beside_task(void *ctx, size_t i) {
    const beside_t *b = ctx;
    kern_gemm_train(true, false, BESIDE_M, BESIDE_N, BESIDE_K, b->A, BESIDE_M, b->B, BESIDE_N,
                    b->C[i], BESIDE_N, false);
}

TEST(gemm_train_at_any_place_and_beside_others) {
    enum { A = BESIDE_K * BESIDE_M, B = BESIDE_K * BESIDE_N, C = BESIDE_M * BESIDE_N };
    float *left = floats(1, A + PLACES, 0, 1), *right = floats(2, B + PLACES, 0, 1),
          *out = floats(3, PLACES * (C + 1), 0, 1), *want = floats(4, C, 0, 1);
    beside_t b = {.A = left, .B = right};
    for (size_t i = 0; i < PLACES; i++) b.C[i] = out + i * (C + 1);
    pool_set_threads(1);
    beside_task(&b, 0);
    memcpy(want, b.C[0], C * sizeof *want);
    for (size_t i = 1; i < PLACES; i++) {
        memmove(left + i, left + i - 1, A * sizeof *left);
        memmove(right + i, right + i - 1, B * sizeof *right);
        b.A = left + i, b.B = right + i;
        beside_task(&b, i);
        check_same("gemm train at another place", b.C[i], want, C);
    }
    pool_set_threads(2);
    for (int round = 0; round < 20; round++) {
        fill_nan(out, PLACES * (C + 1));
        parallel_for(PLACES, beside_task, &b);
        for (size_t i = 0; i < PLACES; i++) check_same("gemm train beside others", b.C[i], want, C);
    }
    free(left), free(right), free(out), free(want);
}

/* An element is a function of its row of A and its column of B: the same bits in any smaller
 * product. */
TEST(gemm_element_depends_on_its_row_and_column) {
    enum { M = 203, N = 75, K = 300 };
    float *A = floats(1, M * K, 0, 1), *B = floats(2, N * K, 0, 1), *C = floats(3, M * N, 0, 1),
          *part = floats(4, M * N, 0, 1);
    for (int tb = 0; tb < 2; tb++) {
        size_t ldb = tb ? K : N;
        kern_gemm(false, tb, M, N, K, A, K, B, ldb, C, N, false, NULL);
        static const size_t cut[][4] = {
            {0, 1, 0, N}, {7, 20, 0, N}, {100, 103, 3, 40}, {202, 1, 74, 1}, {95, 100, 17, 16}};
        for (size_t c = 0; c < COUNT(cut); c++) {
            size_t i0 = cut[c][0], m = cut[c][1], j0 = cut[c][2], n = cut[c][3];
            kern_gemm_serial(false, tb, m, n, K, A + i0 * K, K, B + (tb ? j0 * K : j0), ldb, part,
                             n, false, NULL);
            for (size_t i = 0; i < m; i++)
                check_same("gemm part", part + i * n, C + (i0 + i) * N + j0, n);
        }
    }
    free(A), free(B), free(C), free(part);
}

typedef struct {
    const float *x;
    size_t rows, C;
} colsum_case_t;
static void run_colsum(void *ctx, float *out, bool add) {
    const colsum_case_t *c = ctx;
    kern_colsum(c->x, c->rows, c->C, out, add);
}

TEST(colsum_against_double) {
    static const size_t shapes[][2] = {{1, 1}, {3, 5}, {5000, 17}, {2500, 64}, {300, 129}};
    for (size_t s = 0; s < COUNT(shapes); s++) {
        size_t rows = shapes[s][0], C = shapes[s][1];
        float *x = floats(7, rows * C, 0.2, 1), *out = xmalloc(C * sizeof *out);
        double *want = doubles(C), *size = doubles(C);
        for (size_t i = 0; i < rows * C; i++)
            want[i % C] += (double)x[i], size[i % C] += fabs(x[i]);
        check_kernel("colsum", run_colsum, &(colsum_case_t){x, rows, C}, true, want, size, C, 2e-6,
                     out);
        free(x), free(out), free(want), free(size);
    }
}

/* ---- elementwise ---- */

static double reference_act(kern_act_t act, double x, double *size) {
    *size = fabs(x);
    switch (act) {
    case ACT_SILU:
        *size = fabs(x / (1 + exp(-x)));
        return x / (1 + exp(-x));
    case ACT_GELU:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979324) * (x + 0.044715 * x * x * x)));
    case ACT_RELU:
        return x > 0 ? x : 0;
    case ACT_LEAKY_RELU:
        return x > 0 ? x : 0.2 * x;
    case ACT_TANH:
        *size = fabs(tanh(x));
        return tanh(x);
    }
    return 0;
}

typedef struct {
    kern_act_t act;
    const float *x, *dy;
    size_t n;
} act_case_t;
static void run_act(void *ctx, float *out, bool add) {
    const act_case_t *a = ctx;
    if (a->dy)
        kern_act_backward(a->act, a->x, a->dy, a->n, out, add);
    else
        kern_act_forward(a->act, a->x, a->n, out);
}

TEST(activations_and_their_slopes) {
    enum { n = 40003 };
    float *x = floats(1, n, 0, 12), *dy = floats(2, n, 0, 1), *out = xmalloc(n * sizeof *out);
    double *want = doubles(n), *size = doubles(n), *slope = doubles(n), *slope_size = doubles(n),
           unused;
    x[0] = 80, x[1] = -80, x[2] = 0, x[3] = 1e-20f, x[4] = -1e-3f;
    for (int act = ACT_SILU; act <= ACT_TANH; act++) {
        for (size_t i = 0; i < n; i++) {
            double h = 1e-5, at = (double)x[i];
            bool corner = (act == ACT_RELU || act == ACT_LEAKY_RELU) && fabs(at) < h;
            if (corner) h = 0;
            want[i] = reference_act(act, at, &size[i]);
            slope[i] = (reference_act(act, at + h, &unused) - reference_act(act, at - h, &unused)) /
                       (2 * h) * dy[i];
            if (corner) slope[i] = (at > 0 ? 1 : act == ACT_RELU ? 0 : 0.2) * dy[i];
            slope_size[i] = fabs(dy[i]) * (1 + fabs(at) * 0.1);
        }
        check_kernel("act forward", run_act, &(act_case_t){act, x, NULL, n}, false, want, size, n,
                     1e-6, out);
        for (size_t i = 0; i < 40; i++) { /* an element alone has the bits it has in the array */
            float alone;
            kern_act_forward(act, x + i, 1, &alone);
            check_same("act alone", &alone, out + i, 1);
        }
        check_kernel("act backward", run_act, &(act_case_t){act, x, dy, n}, true, slope, slope_size,
                     n, 2e-6, out);
        float *over = copy_of(dy, n), bad = NAN, y;
        kern_act_backward(act, x, dy, n, out, false);
        kern_act_backward(act, x, over, n, over, false);
        check_same("act backward in place", over, out, n);
        memcpy(over, x, n * sizeof *over);
        kern_act_forward(act, x, n, out);
        kern_act_forward(act, over, n, over);
        check_same("act forward in place", over, out, n);
        free(over);
        kern_act_forward(act, &bad, 1, &y);
        CHECK(isnan(y), "activation %d hides NaN", act);
    }
    free(x), free(dy), free(out), free(want), free(size), free(slope), free(slope_size);
}

TEST(scale_add_mul) {
    enum { n = 33333 };
    float *a = floats(1, n, 0, 2), *b = floats(2, n, 0, 2), *y = floats(3, n, 0, 2),
          *base = copy_of(y, n);
    kern_scale(a, 1.5f, n, y, false);
    for (size_t i = 0; i < n; i++) CHECK(y[i] == 1.5f * a[i]);
    memcpy(y, base, n * sizeof *y);
    kern_scale(a, 1.3f, n, y, true);
    for (size_t i = 0; i < n; i++) CHECK_NEAR(y[i], base[i] + (double)1.3f * a[i], 5e-7);
    kern_add(a, b, n, y);
    for (size_t i = 0; i < n; i++) CHECK(y[i] == a[i] + b[i]);
    memcpy(y, base, n * sizeof *y);
    kern_add(y, b, n, y); /* in place */
    for (size_t i = 0; i < n; i++) CHECK(y[i] == base[i] + b[i]);
    kern_mul(a, b, n, y, false);
    for (size_t i = 0; i < n; i++) CHECK(y[i] == a[i] * b[i]);
    memcpy(y, base, n * sizeof *y);
    kern_mul(y, b, n, y, false);
    for (size_t i = 0; i < n; i++) CHECK(y[i] == base[i] * b[i]);
    kern_scale(y, 0.75f, n, y, false);
    for (size_t i = 0; i < n; i++) CHECK(y[i] == 0.75f * (base[i] * b[i]));
    memcpy(y, base, n * sizeof *y);
    kern_mul(a, b, n, y, true);
    for (size_t i = 0; i < n; i++) CHECK_NEAR(y[i], base[i] + (double)a[i] * b[i], 5e-7);
    free(a), free(b), free(y), free(base);
}

TEST(dropout_is_a_function_of_the_index) {
    enum { n = 40000 };
    rng_t r = rng_make(7, "dropout");
    float *x = floats(1, n, 2, 1), *y = floats(2, n, 0, 1), *part = floats(3, n, 0, 1);
    size_t kept = 0;
    kern_dropout(x, n, 0.3f, r.seed, r.stream, 11, y, false);
    for (size_t i = 0; i < n; i++) {
        bool keep = rng_uniform(r, 11 + i) >= 0.3f;
        CHECK_NEAR(y[i], keep ? x[i] / 0.7 : 0, 1e-6);
        kept += y[i] != 0;
    }
    CHECK(fabs((double)kept - 0.7 * n) < 5 * sqrt(n * 0.21), "%zu of %d kept", kept, n);
    kern_dropout(x + 100, 5, 0.3f, r.seed, r.stream, 111, part, false);
    check_same("dropout of a part", part, y + 100, 5);
    float *sum = copy_of(x, n);
    kern_dropout(x, n, 0.3f, r.seed, r.stream, 11, sum, true);
    for (size_t i = 0; i < n; i++) CHECK_NEAR(sum[i], (double)x[i] + y[i], 1e-6);
    memcpy(sum, x, n * sizeof *sum);
    kern_dropout(sum, n, 0.3f, r.seed, r.stream, 11, sum, false);
    check_same("dropout in place", sum, y, n);
    kern_dropout(x, n, 0, r.seed, r.stream, 0, y, false);
    check_same("dropout 0", x, y, n);
    free(x), free(y), free(part), free(sum);
}

/* Rows of a larger matrix get what they get in it, and padding 0. */
TEST(dropout_of_some_rows) {
    enum { ROWS = 50, D = 300, N = 6 };
    static const int32_t at[N] = {0, 3, 4, 20, 49, -1};
    rng_t r = rng_make(7, "dropout");
    float *x = floats(1, ROWS * D, 2, 1), *y = floats(2, ROWS * D, 0, 1),
          *some = floats(3, N * D, 0, 1), *got = floats(4, N * D, 0, 1),
          *base = floats(5, N * D, 0, 1);
    kern_dropout(x, ROWS * D, 0.3f, r.seed, r.stream, 11, y, false);
    for (size_t i = 0; i + 1 < N; i++)
        memcpy(some + i * D, x + (size_t)at[i] * D, D * sizeof *some);
    kern_dropout_rows(some, at, N, D, 0.3f, r.seed, r.stream, 11, got, false);
    for (size_t i = 0; i + 1 < N; i++)
        check_same("dropout of a row", got + i * D, y + (size_t)at[i] * D, D);
    for (size_t j = 0; j < D; j++) CHECK(got[(N - 1) * D + j] == 0);
    float *sum = copy_of(base, N * D);
    kern_dropout_rows(some, at, N, D, 0.3f, r.seed, r.stream, 11, sum, true);
    for (size_t i = 0; i < N * D; i++) CHECK_NEAR(sum[i], (double)base[i] + (double)got[i], 1e-6);
    free(x), free(y), free(some), free(got), free(base), free(sum);
}

/* ---- rows, resampling ---- */

typedef struct {
    const float *in;
    const int32_t *idx;
    size_t n, D, rows;
} rows_case_t;
static void run_gather(void *ctx, float *out, bool add) {
    const rows_case_t *r = ctx;
    kern_gather_forward(r->in, r->idx, r->n, r->D, out, add);
}
static void run_scatter(void *ctx, float *out, bool add) {
    const rows_case_t *r = ctx;
    kern_gather_backward(r->in, r->idx, r->n, r->D, out, r->rows, add);
}

TEST(gather_and_its_adjoint) {
    static const size_t shapes[][3] = {
        {1, 1, 1}, {100, 7, 30}, {700, 128, 50}, {333, 65, 1000}, {3000, 32, 4}};
    for (size_t s = 0; s < COUNT(shapes); s++) {
        size_t n = shapes[s][0], D = shapes[s][1], rows = shapes[s][2];
        float *table = floats(1, rows * D, 0, 1), *dout = floats(2, n * D, 0, 1),
              *out = xmalloc(n * D * sizeof *out);
        float *dtable = xmalloc(rows * D * sizeof *dtable),
              *in_order = xcalloc(rows * D, sizeof *in_order);
        int32_t *idx = xmalloc(n * sizeof *idx);
        double *want = doubles(n * D), *size = doubles(n * D), *sum = doubles(rows * D),
               *sum_size = doubles(rows * D);
        for (size_t i = 0; i < n; i++) {
            idx[i] = i % 9 == 4 ? -1 : (int32_t)((i * 7919 + i / 3) % rows);
            for (size_t d = 0; d < D && idx[i] >= 0; d++) {
                size_t at = (size_t)idx[i] * D + d;
                want[i * D + d] = (double)table[at];
                sum[at] += (double)dout[i * D + d];
                sum_size[at] += fabs(dout[i * D + d]);
                in_order[at] += dout[i * D + d];
            }
        }
        for (size_t i = 0; i < n * D; i++) size[i] = 1;
        rows_case_t forward = {table, idx, n, D, rows}, backward = {dout, idx, n, D, rows};
        check_kernel("gather", run_gather, &forward, true, want, size, n * D, 1e-7, out);
        for (size_t i = 0; i < n * D; i++) CHECK(out[i] == (float)want[i]);
        check_kernel("scatter", run_scatter, &backward, true, sum, sum_size, rows * D, 2e-6,
                     dtable);
        check_same("scatter in order", dtable, in_order, rows * D);
        free(table), free(dout), free(out), free(dtable), free(in_order), free(idx), free(want),
            free(size), free(sum), free(sum_size);
    }
}

/* ---- codebook ---- */

static double distance(const float *z, const float *e, size_t D) {
    double s = 0;
    for (size_t d = 0; d < D; d++) s += ((double)z[d] - e[d]) * ((double)z[d] - e[d]);
    return s;
}

TEST(vq_nearest_code) {
    static const size_t shapes[][3] = {{1, 1, 1},      {70, 5, 3},   {300, 512, 16}, {515, 301, 64},
                                       {130, 1000, 4}, {64, 257, 1}, {50, 40, 8},    {50, 15, 12}};
    for (size_t s = 0; s < COUNT(shapes); s++) {
        size_t n = shapes[s][0], K = shapes[s][1], D = shapes[s][2], unclear = 0;
        float *z = floats(1, n * D, 0.5, 1), *e = floats(2, K * D, 0.5, 1);
        int32_t *idx = xmalloc(n * sizeof *idx), *other = xmalloc(n * sizeof *other), one;
        pool_set_threads(1);
        kern_vq_nearest(z, n, e, K, D, idx);
        pool_set_threads(3);
        kern_vq_nearest(z, n, e, K, D, other);
        pool_set_threads(2);
        CHECK(!memcmp(idx, other, n * sizeof *idx), "codes depend on the threads");
        for (size_t i = 0; i < n; i++) {
            double best = INFINITY, got = distance(z + i * D, e + (size_t)idx[i] * D, D);
            size_t at = 0;
            for (size_t k = 0; k < K; k++)
                if (distance(z + i * D, e + k * D, D) < best)
                    best = distance(z + i * D, e + k * D, D), at = k;
            CHECK(got <= best + 1e-5 * (double)D, "vector %zu: code %d at %g, code %zu at %g", i,
                  idx[i], got, at, best);
            unclear += at != (size_t)idx[i];
            kern_vq_nearest(z + i * D, 1, e, K, D, &one);
            CHECK(one == idx[i], "vector %zu alone gets %d, in the batch %d", i, one, idx[i]);
        }
        CHECK(unclear * 100 <= n, "%zu of %zu codes differ", unclear, n);
        free(z), free(e), free(idx), free(other);
    }
}

TEST(vq_lowest_index_wins_ties) {
    enum { n = 50, K = 700, D = 24 };
    float *z = floats(1, n * D, 0, 1), *e = floats(2, K * D, 0, 1);
    int32_t idx[n], again[n];
    static const size_t periods[] = {1, 8, 53, 301};
    for (size_t p = 0; p < COUNT(periods); p++) {
        kern_vq_nearest(z, n, e, periods[p], D, idx);
        for (size_t k = periods[p]; k < K; k++)
            memcpy(e + k * D, e + (k - periods[p]) * D, D * sizeof *e);
        kern_vq_nearest(z, n, e, K, D, again);
        for (size_t i = 0; i < n; i++)
            CHECK(idx[i] == again[i], "period %zu, vector %zu: %d, not %d", periods[p], i, again[i],
                  idx[i]);
        for (size_t k = 0; k < K; k++) e[k * D + k % D] += (float)k * 1e-3f; /* distinct again */
    }
    fill_nan(z, D); /* a NaN vector has no nearest code, but its index must stay inside the table */
    kern_vq_nearest(z, 1, e, K, D, idx);
    CHECK(idx[0] >= 0 && idx[0] < K);
    free(z), free(e);
}

TEST(vq_statistics) {
    enum { n = 3000, K = 37, D = 45 };
    float *z = floats(1, n * D, 0, 1), counts[K], *sums = floats(2, K * D, 0, 1),
          *want = xcalloc(K * D, sizeof *want), want_counts[K] = {0};
    int32_t *idx = xmalloc(n * sizeof *idx);
    for (size_t i = 0; i < n; i++) {
        idx[i] = (int32_t)(i * i % 31);
        want_counts[idx[i]]++;
        for (size_t d = 0; d < D; d++) want[(size_t)idx[i] * D + d] += z[i * D + d];
    }
    for (int threads = 1; threads <= 3; threads++) {
        pool_set_threads(threads);
        fill_nan(counts, K), fill_nan(sums, K * D);
        kern_vq_stats(z, idx, n, K, D, counts, sums);
        check_same("counts", counts, want_counts, K);
        check_same("sums in order", sums, want, K * D);
    }
    free(z), free(sums), free(want), free(idx);
}

/* ---- optimizer ---- */

TEST(adam_steps_against_double) {
    enum { n = 40001 };
    for (int decoupled = 0; decoupled < 2; decoupled++) {
        float *w[3], *m[3], *v[3];
        double *W = doubles(n), *Mo = doubles(n), *V = doubles(n);
        for (int t = 0; t < 3; t++)
            w[t] = floats(1, n, 0, 1), m[t] = xcalloc(n, sizeof(float)),
            v[t] = xcalloc(n, sizeof(float));
        for (size_t i = 0; i < n; i++) W[i] = (double)w[0][i];
        kern_adam_t o = {.lr = 0.01f,
                         .beta1 = 0.9f,
                         .beta2 = 0.99f,
                         .eps = 1e-8f,
                         .weight_decay = 0.1f,
                         .decoupled = decoupled,
                         .grad_scale = 0.5f};
        for (o.step = 1; o.step <= 5; o.step++) {
            float *g = floats((uint32_t)o.step + 10, n, 0.1, 1);
            for (int t = 0; t < 3; t++) {
                pool_set_threads(t + 1);
                kern_adam(&o, w[t], g, m[t], v[t], n);
            }
            double b1 = (double)o.beta1, b2 = (double)o.beta2, lr = (double)o.lr,
                   wd = (double)o.weight_decay;
            for (size_t i = 0; i < n; i++) {
                double d = (double)g[i] * o.grad_scale;
                if (decoupled)
                    W[i] -= lr * wd * W[i];
                else
                    d += wd * W[i];
                Mo[i] = b1 * Mo[i] + (1 - b1) * d;
                V[i] = b2 * V[i] + (1 - b2) * d * d;
                double mhat = Mo[i] / (1 - pow(b1, (double)o.step)),
                       vhat = V[i] / (1 - pow(b2, (double)o.step));
                W[i] -= lr * mhat / (sqrt(vhat) + (double)o.eps);
            }
            free(g);
        }
        for (size_t i = 0; i < n; i++) {
            CHECK(fabs(w[0][i] - W[i]) <= 1e-6 * (fabs(W[i]) + 0.1),
                  "weight %zu: %.9g against %.9g", i, (double)w[0][i], W[i]);
            CHECK(fabs(v[0][i] - V[i]) <= 2e-6 * V[i] + 1e-9, "v %zu: %.9g against %.9g", i,
                  (double)v[0][i], V[i]);
        }
        for (int t = 1; t < 3; t++) check_same("adam on more threads", w[0], w[t], n);
        for (int t = 0; t < 3; t++) free(w[t]), free(m[t]), free(v[t]);
        free(W), free(Mo), free(V);
    }
    pool_set_threads(2);
}

TEST(sum_of_squares) {
    static const size_t sizes[] = {0, 1, 7, 16385, 300007};
    for (size_t s = 0; s < COUNT(sizes); s++) {
        float *x = floats(3, sizes[s], 0.3, 1);
        double want = 0;
        for (size_t i = 0; i < sizes[s]; i++) want += (double)x[i] * x[i];
        pool_set_threads(1);
        double one = kern_sumsq(x, sizes[s]);
        pool_set_threads(3);
        CHECK(one == kern_sumsq(x, sizes[s]));
        pool_set_threads(2);
        CHECK_NEAR(one, want, 1e-12 * want);
        free(x);
    }
}
