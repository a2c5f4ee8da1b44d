/* test_norm.c - GroupNorm and LayerNorm against their definitions in double precision. The
 * reference gradients are the textbook formulas, which the first test holds against central
 * differences of the reference forward.
 */
#include "common/kernel/kernel.h"
#include "tests/kernel_check.h"

/* A norm over [N, HW, C] in G groups; LayerNorm is one group over one "pixel" an image, i.e. HW =
 * 1, G = 1. */
typedef struct {
    size_t N, HW, C, G;
    double eps;
    bool silu;
    const float *x, *gamma, *beta, *dy;
    float *mean, *rstd; /* as the kernel's forward left them */
    bool layer;
    int want; /* 0 y, 1 dx, 2 dgamma, 3 dbeta */
} norm_case_t;

static double silu(double u) {
    return u / (1 + exp(-u));
}
static double silu_slope(double u) {
    double s = 1 / (1 + exp(-u));
    return s + u * s * (1 - s);
}

static void group_stats(const norm_case_t *c, const double *x, size_t n, size_t g, double *mean,
                        double *rstd) {
    size_t width = c->C / c->G;
    double sum = 0, square = 0, count = (double)(c->HW * width);
    for (size_t p = 0; p < c->HW; p++)
        for (size_t k = g * width; k < (g + 1) * width; k++) sum += x[(n * c->HW + p) * c->C + k];
    *mean = sum / count;
    for (size_t p = 0; p < c->HW; p++)
        for (size_t k = g * width; k < (g + 1) * width; k++)
            square += pow(x[(n * c->HW + p) * c->C + k] - *mean, 2);
    *rstd = 1 / sqrt(square / count + c->eps);
}

static void reference_forward(const norm_case_t *c, const double *x, const double *gamma,
                              const double *beta, double *y, double *size) {
    size_t width = c->C / c->G;
    for (size_t n = 0; n < c->N; n++)
        for (size_t g = 0; g < c->G; g++) {
            double mean, rstd;
            group_stats(c, x, n, g, &mean, &rstd);
            for (size_t p = 0; p < c->HW; p++)
                for (size_t k = g * width; k < (g + 1) * width; k++) {
                    size_t i = (n * c->HW + p) * c->C + k;
                    double u = (x[i] - mean) * rstd * gamma[k] + beta[k];
                    y[i] = c->silu ? silu(u) : u;
                    if (size)
                        size[i] = (fabs(x[i]) + fabs(mean)) * rstd * fabs(gamma[k]) + fabs(beta[k]);
                }
        }
}

/* dx, dgamma, dbeta and the sums of absolute terms. */
static void reference_backward(const norm_case_t *c, const double *x, double *dx, double *dx_size,
                               double *dgamma, double *dgamma_size, double *dbeta,
                               double *dbeta_size) {
    size_t width = c->C / c->G;
    double count = (double)(c->HW * width), *dz = doubles(c->HW * width),
           *xh = doubles(c->HW * width), *az = doubles(c->HW * width);
    for (size_t n = 0; n < c->N; n++)
        for (size_t g = 0; g < c->G; g++) {
            double mean, rstd, m0 = 0, m1 = 0, a0 = 0, a1 = 0;
            group_stats(c, x, n, g, &mean, &rstd);
            for (size_t e = 0; e < c->HW * width; e++) {
                size_t k = g * width + e % width, i = (n * c->HW + e / width) * c->C + k;
                xh[e] = (x[i] - mean) * rstd;
                dz[e] =
                    (double)c->dy[i] * (c->silu ? silu_slope(xh[e] * c->gamma[k] + c->beta[k]) : 1);
                /* terms as large as x rstd cancel in xhat; the slope of SiLU sees that error too */
                double big = (fabs(x[i]) + fabs(mean)) * rstd,
                       wide = big * fabs(c->gamma[k]) + fabs(c->beta[k]);
                az[e] = fabs(c->dy[i]) * (c->silu ? 1 + wide : 1);
                dgamma[k] += dz[e] * xh[e], dgamma_size[k] += az[e] * big;
                dbeta[k] += dz[e], dbeta_size[k] += az[e];
                m0 += dz[e] * c->gamma[k] / count, a0 += fabs(az[e] * c->gamma[k]) / count;
                m1 += dz[e] * c->gamma[k] * xh[e] / count,
                    a1 += fabs(az[e] * c->gamma[k] * big) / count;
            }
            for (size_t e = 0; e < c->HW * width; e++) {
                size_t k = g * width + e % width, i = (n * c->HW + e / width) * c->C + k;
                double big = (fabs(x[i]) + fabs(mean)) * rstd;
                dx[i] = rstd * (dz[e] * c->gamma[k] - m0 - xh[e] * m1);
                dx_size[i] = rstd * (fabs(az[e] * c->gamma[k]) + a0 + big * a1);
            }
        }
    free(dz), free(xh), free(az);
}

/* ---- the reference against differences ---- */

typedef struct {
    const norm_case_t *c;
    double *x, *gamma, *beta;
} loss_ctx_t;
/* sum y dy, at the values in ctx (one of which is being moved) */
static double norm_loss(void *ctx, const double *moved) {
    (void)moved;
    const loss_ctx_t *l = ctx;
    size_t n = l->c->N * l->c->HW * l->c->C;
    double *y = doubles(n), s = 0;
    reference_forward(l->c, l->x, l->gamma, l->beta, y, NULL);
    for (size_t i = 0; i < n; i++) s += y[i] * l->c->dy[i];
    free(y);
    return s;
}

TEST(reference_gradients_match_differences) {
    for (int act = 0; act < 2; act++) {
        norm_case_t c = {.N = 2, .HW = 5, .C = 6, .G = 3, .eps = 1e-3, .silu = act};
        enum { n = 60, C = 6 };
        float *x = floats(1, n, 0.3, 1), *gamma = floats(2, C, 1, 0.5), *beta = floats(3, C, 0, 1),
              *dy = floats(4, n, 0, 1);
        c.x = x, c.gamma = gamma, c.beta = beta, c.dy = dy;
        loss_ctx_t l = {&c, widen(x, n), widen(gamma, C), widen(beta, C)};
        double dx[n] = {0}, dg[C] = {0}, db[C] = {0}, s0[n], s1[C], s2[C];
        reference_backward(&c, l.x, dx, s0, dg, s1, db, s2);
        for (size_t i = 0; i < n; i++)
            CHECK_NEAR(dx[i], slope_at(norm_loss, &l, l.x, i, 1e-5), 1e-7);
        for (size_t i = 0; i < C; i++)
            CHECK_NEAR(dg[i], slope_at(norm_loss, &l, l.gamma, i, 1e-5), 1e-7);
        for (size_t i = 0; i < C; i++)
            CHECK_NEAR(db[i], slope_at(norm_loss, &l, l.beta, i, 1e-5), 1e-7);
        free(x), free(gamma), free(beta), free(dy), free(l.x), free(l.gamma), free(l.beta);
    }
}

/* ---- the kernels ---- */

static void run_norm(void *ctx, float *out, bool add) {
    norm_case_t *c = ctx;
    float *dx = c->want == 1 ? out : NULL, *dg = c->want == 2 ? out : NULL,
          *db = c->want == 3 ? out : NULL;
    if (c->layer && c->want == 0)
        kern_layernorm_forward(c->x, c->gamma, c->beta, c->N, c->C, (float)c->eps, out, c->mean,
                               c->rstd);
    else if (c->layer)
        kern_layernorm_backward(c->x, c->gamma, c->mean, c->rstd, c->dy, c->N, c->C, dx, add, dg,
                                add, db, add);
    else if (c->want == 0)
        kern_groupnorm_forward(c->x, c->gamma, c->beta, c->N, c->HW, c->C, c->G, (float)c->eps,
                               c->silu, out, c->mean, c->rstd);
    else
        kern_groupnorm_backward(c->x, c->gamma, c->beta, c->mean, c->rstd, c->dy, c->N, c->HW, c->C,
                                c->G, c->silu, dx, add, dg, add, db, add);
}

/* The last image alone has the bits it has in the batch: y and dx. */
static void check_alone(norm_case_t c, const float *batch) {
    size_t each = c.HW * c.C, before = (c.N - 1) * each;
    float *alone = xmalloc(each * sizeof *alone);
    c.x += before, c.dy += before;
    c.mean += (c.N - 1) * c.G, c.rstd += (c.N - 1) * c.G;
    c.N = 1;
    run_norm(&c, alone, false);
    check_same("norm of one image", alone, batch + before, each);
    free(alone);
}

/* y over x, dx over dy: the bits of separate memory, on any number of threads. */
static void check_in_place(norm_case_t c, const float *apart) {
    size_t n = c.N * c.HW * c.C;
    const float **over = c.want ? &c.dy : &c.x, *in = *over;
    for (int threads = 1; threads <= 3; threads++) {
        float *out = copy_of(in, n);
        pool_set_threads(threads);
        *over = out;
        run_norm(&c, out, false);
        check_same("norm in place", out, apart, n);
        free(out);
    }
    pool_set_threads(2);
}

static void check_norm(norm_case_t c) {
    size_t n = c.N * c.HW * c.C, C = c.C, groups = c.N * c.G;
    float *x = floats(1, n, 0.4, 1.5), *gamma = floats(2, C, 1, 0.5), *beta = floats(3, C, 0, 1),
          *dy = floats(4, n, 0.2, 1);
    float *out = xmalloc((n + 1) * sizeof *out), *mean = xmalloc(groups * sizeof *mean),
          *rstd = xmalloc(groups * sizeof *rstd);
    for (size_t i = 0; i < n; i++)
        x[i] *= 1 + (float)(i % C) / (float)C; /* channels differ in mean and spread */
    c.x = x, c.gamma = gamma, c.beta = beta, c.dy = dy, c.mean = mean, c.rstd = rstd;
    double *X = widen(x, n), *g = widen(gamma, C), *b = widen(beta, C), *y = doubles(n),
           *size = doubles(n);
    double *d[4] = {NULL, doubles(n), doubles(C), doubles(C)},
           *s[4] = {NULL, doubles(n), doubles(C), doubles(C)};
    char what[99];
    snprintf(what, sizeof what, "%s N%zu HW%zu C%zu G%zu silu%d",
             c.layer ? "layernorm" : "groupnorm", c.N, c.HW, C, c.G, c.silu);
    reference_forward(&c, X, g, b, y, size);
    c.want = 0;
    check_kernel(what, run_norm, &c, false, y, size, n, 1e-6, out);
    for (size_t i = 0; i < groups; i++) {
        double m, r;
        group_stats(&c, X, i / c.G, i % c.G, &m, &r);
        CHECK(fabs(mean[i] - m) <= 2e-7 * (fabs(m) + 1 / r), "%s mean %zu: %.9g against %.9g", what,
              i, (double)mean[i], m);
        CHECK(fabs(rstd[i] - r) <= 5e-7 * r, "%s rstd %zu: %.9g against %.9g", what, i,
              (double)rstd[i], r);
    }
    check_in_place(c, out);
    if (c.N > 1) check_alone(c, out);
    reference_backward(&c, X, d[1], s[1], d[2], s[2], d[3], s[3]);
    for (c.want = 1; c.want <= 3; c.want++) {
        check_kernel(what, run_norm, &c, true, d[c.want], s[c.want], c.want == 1 ? n : C, 1e-6,
                     out);
        if (c.want == 1) check_in_place(c, out);
        if (c.want == 1 && c.N > 1) check_alone(c, out);
    }
    for (int i = 1; i < 4; i++) free(d[i]), free(s[i]);
    free(x), free(gamma), free(beta), free(dy), free(out), free(mean), free(rstd), free(X), free(g),
        free(b), free(y), free(size);
}

TEST(groupnorm_forward_and_gradients) {
    static const size_t shapes[][4] = {
        {1, 1, 1, 1},       {3, 35, 3, 3},     {3, 49, 5, 1},   {3, 64, 17, 17}, {3, 64, 32, 32},
        {3, 100, 64, 32},   {3, 81, 128, 32},  {2, 16, 48, 16}, {3, 7, 6, 2},    {1, 5000, 4, 2},
        {3, 4096, 16, 16},  {2, 1024, 96, 32}, {3, 1, 64, 32},  {5, 300, 12, 4}, {1, 2047, 40, 8},
        {3, 1500, 136, 17}, {2, 1000, 8, 4},   {2, 777, 24, 8}, {2, 150, 28, 7}, {1, 3000, 11, 11}};
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (int act = 0; act < 2; act++)
            check_norm((norm_case_t){.N = shapes[i][0],
                                     .HW = shapes[i][1],
                                     .C = shapes[i][2],
                                     .G = shapes[i][3],
                                     .eps = 1e-6,
                                     .silu = act});
}

/* All three gradients in one call, as the tape asks for them, are those of three calls. */
TEST(groupnorm_gradients_together) {
    enum { N = 3, HW = 700, C = 20, G = 5, n = N * HW * C };
    float *x = floats(1, n, 0, 1), *dy = floats(2, n, 0, 1), *gamma = floats(3, C, 1, 1),
          *beta = floats(4, C, 0, 1), *y = floats(5, n, 0, 1);
    float mean[N * G], rstd[N * G], dg[2][C], db[2][C],
        *dx[2] = {floats(6, n, 0, 1), floats(7, n, 0, 1)};
    kern_groupnorm_forward(x, gamma, beta, N, HW, C, G, 1e-6f, true, y, mean, rstd);
    kern_groupnorm_backward(x, gamma, beta, mean, rstd, dy, N, HW, C, G, true, dx[0], false, dg[0],
                            false, db[0], false);
    kern_groupnorm_backward(x, gamma, beta, mean, rstd, dy, N, HW, C, G, true, NULL, false, dg[1],
                            false, NULL, false);
    kern_groupnorm_backward(x, gamma, beta, mean, rstd, dy, N, HW, C, G, true, NULL, false, NULL,
                            false, db[1], false);
    kern_groupnorm_backward(x, gamma, beta, mean, rstd, dy, N, HW, C, G, true, dx[1], false, NULL,
                            false, NULL, false);
    check_same("dgamma", dg[0], dg[1], C);
    check_same("dbeta", db[0], db[1], C);
    check_same("dx", dx[0], dx[1], n);
    free(x), free(dy), free(gamma), free(beta), free(y), free(dx[0]), free(dx[1]);
}

/* Means far from zero, one outlying first pixel, an empty image: where sums of squares lose their
 * digits. */
TEST(groupnorm_statistics_of_hard_images) {
    enum { HW = 4096, C = 8, G = 4, n = HW * C };
    for (int kind = 0; kind < 3; kind++) {
        float *x = floats(1, n, 0, 0.01), gamma[C], beta[C], mean[G], rstd[G],
              *y = xmalloc(n * sizeof *y);
        for (size_t i = 0; i < C; i++) gamma[i] = 1, beta[i] = 0.5f;
        for (size_t i = 0; i < n; i++)
            x[i] = kind == 0 ? x[i] + 3 : kind == 1 ? (i < C ? 5 : x[i]) : 0.7f;
        norm_case_t c = {.N = 1, .HW = HW, .C = C, .G = G, .eps = 1e-6};
        double *X = widen(x, n);
        kern_groupnorm_forward(x, gamma, beta, 1, HW, C, G, 1e-6f, false, y, mean, rstd);
        for (size_t g = 0; g < G; g++) {
            double m, r;
            group_stats(&c, X, 0, g, &m, &r);
            CHECK_NEAR(mean[g], m, 1e-7 * fabs(m) + 1e-9);
            CHECK_NEAR(rstd[g], r, 1e-6 * r);
        }
        if (kind == 2)
            for (size_t i = 0; i < n; i++)
                CHECK_NEAR(y[i], 0.5, 1e-4); /* (x - mean) / sqrt(eps): one ulp of x becomes 6e-5 */
        free(x), free(X), free(y);
    }
}

TEST(layernorm_forward_and_gradients) {
    static const size_t shapes[][2] = {{1, 1},    {3, 5},   {40, 17},   {300, 128},
                                       {33, 768}, {7, 100}, {1000, 64}, {257, 24},
                                       {50, 8},   {50, 20}, {50, 31},   {50, 40}};
    for (size_t i = 0; i < COUNT(shapes); i++)
        check_norm((norm_case_t){
            .N = shapes[i][0], .HW = 1, .C = shapes[i][1], .G = 1, .eps = 1e-5, .layer = true});
}
