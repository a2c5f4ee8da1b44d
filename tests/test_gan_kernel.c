/* test_gan_kernel.c - kernels of the discriminator and of LPIPS: BatchNorm, 2x2 maximum, losses of
 * logits, distances of features; against plain loops in double precision.
 */
#include "common/kernel/kernel.h"
#include "tests/kernel_check.h"

/* ---- BatchNorm ---- */

typedef struct {
    size_t rows, C;
    bool leaky;
    const float *x, *gamma, *beta, *dy;
    float *mean, *rstd, *var;
    int want; /* 0 y, 1 dx, 2 dgamma, 3 dbeta */
} bn_case_t;

static void run_bn(void *ctx, float *out, bool add) {
    bn_case_t *c = ctx;
    if (!c->want)
        kern_batchnorm_forward(c->x, c->gamma, c->beta, c->rows, c->C, 1e-5f, c->leaky, out,
                               c->mean, c->rstd, c->var);
    else
        kern_batchnorm_backward(c->x, c->gamma, c->beta, c->mean, c->rstd, c->dy, c->rows, c->C,
                                c->leaky, c->want == 1 ? out : NULL, add, c->want == 2 ? out : NULL,
                                add, c->want == 3 ? out : NULL, add);
}

static void check_bn(size_t rows, size_t C, bool leaky) {
    size_t n = rows * C, count[4] = {n, n, C, C};
    float *x = floats(1, n, 3, 2), *gamma = floats(2, C, 1, 0.5), *beta = floats(3, C, 0, 1),
          *dy = floats(4, n, 0, 1);
    double *want[4], *size[4];
    for (int i = 0; i < 4; i++) want[i] = doubles(count[i]), size[i] = doubles(count[i]);
    float *mean = xmalloc(C * sizeof *mean), *rstd = xmalloc(C * sizeof *mean),
          *var = xmalloc(C * sizeof *mean);
    for (size_t k = 0; k < C; k++) {
        double m = 0, v = 0, s0 = 0, s1 = 0, a0 = 0, a1 = 0;
        for (size_t r = 0; r < rows; r++) m += x[r * C + k] / (double)rows;
        for (size_t r = 0; r < rows; r++) v += pow(x[r * C + k] - m, 2);
        double rs = 1 / sqrt(v / (double)rows + 1e-5), g = (double)gamma[k];
        for (int sweep = 0; sweep < 2; sweep++)
            for (size_t i = k; i < n; i += C) {
                double h = (x[i] - m) * rs, z = h * g + beta[k],
                       dz = dy[i] * (leaky && z <= 0 ? 0.2 : 1), big = (fabs(x[i]) + fabs(m)) * rs;
                if (!sweep) {
                    want[0][i] = leaky && z <= 0 ? 0.2 * z : z;
                    size[0][i] = big * g + fabs(beta[k]);
                    s0 += dz, s1 += dz * h, a0 += fabs(dz), a1 += fabs(dz) * big;
                } else {
                    want[1][i] = g * rs * (dz - s0 / (double)rows - h * s1 / (double)rows);
                    size[1][i] = g * rs * (fabs(dz) + (a0 + big * a1) / (double)rows);
                }
            }
        want[2][k] = s1, size[2][k] = a1, want[3][k] = s0, size[3][k] = a0;
    }
    bn_case_t c = {rows, C, leaky, x, gamma, beta, dy, mean, rstd, var, 0};
    float *out = xmalloc(n * sizeof *out);
    for (c.want = 0; c.want < 4; c.want++)
        check_kernel("batchnorm", run_bn, &c, c.want > 0, want[c.want], size[c.want], count[c.want],
                     2e-6, out);
    for (size_t k = 0; k < C; k++) {
        double m = 0, v = 0;
        for (size_t r = 0; r < rows; r++) m += x[r * C + k] / (double)rows;
        for (size_t r = 0; r < rows; r++) v += pow(x[r * C + k] - m, 2);
        CHECK_NEAR(mean[k], m, 1e-6 * 5);
        CHECK_NEAR(var[k], rows > 1 ? v / (double)(rows - 1) : 0, 1e-6 * 4);
    }
    for (int i = 0; i < 4; i++) free(want[i]), free(size[i]);
    free(x), free(gamma), free(beta), free(dy), free(mean), free(rstd), free(var), free(out);
}

TEST(batchnorm) {
    for (int leaky = 0; leaky < 2; leaky++) {
        check_bn(7, 5, leaky);
        check_bn(64, 16, leaky);
        check_bn(1, 3, leaky);
        check_bn(4099, 37, leaky);
        check_bn(20000, 1, leaky);
        check_bn(33, 512, leaky);
    }
}

/* ---- 2x2 maximum ---- */

typedef struct {
    const float *x, *dy;
    size_t N, H, W, C;
} pool_case_t;

static void run_pool(void *ctx, float *out, bool add) {
    pool_case_t *c = ctx;
    if (c->dy)
        kern_maxpool2_backward(c->x, c->dy, c->N, c->H, c->W, c->C, out, add);
    else
        kern_maxpool2_forward(c->x, c->N, c->H, c->W, c->C, out);
}

static void check_pool(size_t N, size_t H, size_t W, size_t C) {
    size_t OH = H / 2, OW = W / 2, n = N * H * W * C, m = N * OH * OW * C;
    float *x = floats(5, n, 0, 1), *dy = floats(6, m, 0, 1), *out = xmalloc(n * sizeof *out);
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] < 0 ? 0 : roundf(8 * x[i]); /* ties, as behind a ReLU */
    double *y = doubles(m), *dx = doubles(n), *ones = doubles(n);
    for (size_t i = 0; i < n; i++) ones[i] = 1;
    for (size_t i = 0; i < m; i++) {
        size_t c = i % C, ox = i / C % OW, oy = i / C / OW % OH, b = i / C / OW / OH, best = 0;
        y[i] = -INFINITY;
        for (size_t q = 0; q < 4; q++) {
            size_t at = ((b * H + 2 * oy + q / 2) * W + 2 * ox + q % 2) * C + c;
            if (x[at] > y[i]) y[i] = x[at], best = at; /* the first largest */
        }
        dx[best] += dy[i];
    }
    pool_case_t c = {x, NULL, N, H, W, C};
    check_kernel("maxpool", run_pool, &c, false, y, ones, m, 0, out);
    c.dy = dy;
    check_kernel("maxpool backward", run_pool, &c, true, dx, ones, n, 1e-7, out);
    free(x), free(dy), free(out), free(y), free(dx), free(ones);
}

TEST(maxpool) {
    check_pool(2, 4, 6, 3);
    check_pool(3, 5, 7, 5);
    check_pool(1, 2, 2, 1);
    check_pool(1, 3, 2, 17);
    check_pool(2, 16, 16, 64);
    float x[4] = {1, NAN, 3, 2}, y;
    kern_maxpool2_forward(x, 1, 2, 2, 1, &y);
    CHECK(isnan(y), "a NaN is not hidden: %g", y);
}

/* ---- logits ---- */

TEST(gan_losses) {
    static const float x[] = {-40, -3, -1, -0.5f, 0, 0.25f, 1, 2.5f, 40};
    enum { N = COUNT(x) };
    for (int f = GAN_GENERATOR; f <= GAN_VANILLA_FAKE; f++) {
        double want = 0, slope[N];
        for (size_t i = 0; i < N; i++) {
            double u = (double)x[i];
            switch ((kern_gan_t)f) {
            case GAN_GENERATOR:
                want -= u, slope[i] = -1;
                break;
            case GAN_HINGE_REAL:
                want += u < 1 ? 1 - u : 0, slope[i] = u < 1 ? -1 : 0;
                break;
            case GAN_HINGE_FAKE:
                want += u > -1 ? 1 + u : 0, slope[i] = u > -1 ? 1 : 0;
                break;
            case GAN_VANILLA_REAL:
                want += log1p(exp(-u)), slope[i] = -1 / (1 + exp(u));
                break;
            case GAN_VANILLA_FAKE:
                want += log1p(exp(u)), slope[i] = 1 / (1 + exp(-u));
                break;
            }
        }
        float out, d[N], sum[N];
        kern_gan_forward((kern_gan_t)f, x, N, &out);
        CHECK_NEAR(out, want / N, 1e-6 * (1 + fabs(want) / N));
        for (size_t i = 0; i < N; i++) d[i] = NAN, sum[i] = 2;
        kern_gan_backward((kern_gan_t)f, x, N, 3, d, false);
        kern_gan_backward((kern_gan_t)f, x, N, 3, sum, true);
        for (size_t i = 0; i < N; i++) {
            CHECK_NEAR(d[i], 3 * slope[i] / N, 1e-7);
            CHECK_NEAR(sum[i], 2 + 3 * slope[i] / N, 5e-7);
        }
    }
    float bad[2] = {1, NAN}, out;
    for (int f = GAN_GENERATOR; f <= GAN_VANILLA_FAKE; f++) {
        kern_gan_forward((kern_gan_t)f, bad, 2, &out);
        CHECK(isnan(out), "kind %d hides a NaN: %g", f, out);
    }
}

/* ---- features ---- */

typedef struct {
    const float *a, *b, *w;
    size_t rows, C;
    bool slope;
} feature_case_t;

static void run_distance(void *ctx, float *out, bool add) {
    feature_case_t *c = ctx;
    if (c->slope)
        kern_feature_distance_backward(c->a, c->b, c->w, c->rows, c->C, 1.5f, out, add);
    else
        kern_feature_distance_forward(c->a, c->b, c->w, c->rows, c->C, out);
}

static void check_distance(size_t rows, size_t C, bool empty) {
    size_t n = rows * C;
    float *a = floats(7, n, 0.5, 1), *b = floats(8, n, 0.5, 1), *w = floats(9, C, 0.5, 0.5),
          *out = xmalloc(n * 4);
    for (size_t k = 0; empty && k < C; k++)
        a[k] = b[n - C + k] = 0; /* a pixel that no channel sees */
    double value = 0, size = 0, *d = doubles(n), *ds = doubles(n);
    for (size_t r = 0; r < rows; r++) {
        double la = 0, lb = 0, along = 0, wide = 0;
        for (size_t i = r * C; i < (r + 1) * C; i++)
            la += (double)a[i] * a[i], lb += (double)b[i] * b[i];
        la = sqrt(la), lb = sqrt(lb);
        for (size_t k = 0; k < C; k++) {
            size_t i = r * C + k;
            double u = a[i] / (la + 1e-10), v = b[i] / (lb + 1e-10),
                   g = 2 * w[k] * (u - v) * 1.5 / (double)rows;
            value += w[k] * (u - v) * (u - v) / (double)rows;
            size += w[k] * (fabs(u) + fabs(v)) * (fabs(u) + fabs(v)) / (double)rows;
            d[i] = g / (la + 1e-10),
            ds[i] = 2 * w[k] * (fabs(u) + fabs(v)) * 1.5 / (double)rows / (la + 1e-10);
            along += g * a[i], wide += ds[i] * fabs(a[i]);
        }
        for (size_t i = r * C; i < (r + 1) * C; i++) {
            d[i] = la > 0 ? d[i] - a[i] * along / (la * pow(la + 1e-10, 2)) : 0;
            ds[i] = la > 0 ? ds[i] + fabs(a[i]) * wide / pow(la, 2) : 1;
        }
    }
    feature_case_t c = {a, b, w, rows, C, false};
    check_kernel("distance", run_distance, &c, false, &value, &size, 1, 1e-6, out);
    c.slope = true;
    check_kernel("distance backward", run_distance, &c, true, d, ds, n, 2e-6, out);
    free(a), free(b), free(w), free(out), free(d), free(ds);
}

TEST(feature_distance) {
    check_distance(1, 3, false);
    check_distance(5, 8, true);
    check_distance(70, 19, true);
    check_distance(300, 64, false);
    check_distance(9000, 5, true);
    check_distance(11, 512, true);
}

static void run_standardize(void *ctx, float *out, bool add) {
    feature_case_t *c = ctx;
    if (c->slope)
        kern_standardize_backward(c->a, c->w, c->rows, c->C, out, add);
    else
        kern_standardize_forward(c->a, c->b, c->w, c->rows, c->C, out);
}

TEST(standardize) {
    static const size_t rows[] = {1, 7, 20000};
    for (size_t k = 0; k < COUNT(rows); k++) {
        size_t n = rows[k] * 3;
        float *x = floats(10, n, 0, 1), mean[3] = {-0.03f, -0.088f, -0.188f},
              std[3] = {0.458f, 0.448f, 0.45f};
        float *out = xmalloc(n * sizeof *out);
        double *y = doubles(n), *dx = doubles(n), *size = doubles(n);
        for (size_t i = 0; i < n; i++) {
            y[i] = ((double)x[i] - mean[i % 3]) / std[i % 3];
            dx[i] = (double)x[i] / std[i % 3];
            size[i] = (fabs(x[i]) + 0.2) / std[i % 3];
        }
        feature_case_t c = {x, mean, std, rows[k], 3, false};
        check_kernel("standardize", run_standardize, &c, false, y, size, n, 2e-7, out);
        c.slope = true;
        check_kernel("standardize backward", run_standardize, &c, true, dx, size, n, 2e-7, out);
        free(x), free(out), free(y), free(dx), free(size);
    }
}
