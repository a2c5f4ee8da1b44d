/* test_whiten.c - whitened codebooks against Mahalanobis distances from a matrix inverse of the
 * test's own. */
#include "tests/test.h"

#include "common/base/rng.h"
#include "gato/model/whiten.h"

enum { K = 64, D = 5 };

/* Columns of very different spread and strongly mixed: one direction holds nearly everything. */
static void make_book(float *e) {
    static const double spread[D] = {30, 1, 0.3, 0.05, 0.01};
    rng_t r = rng_make(3, "book");
    for (size_t k = 0; k < K; k++) {
        double g[D], sum = 0;
        for (size_t d = 0; d < D; d++) sum += g[d] = spread[d] * (double)rng_normal(r, k * D + d);
        for (size_t d = 0; d < D; d++) e[k * D + d] = (float)(7 + g[d] + 0.5 * sum);
    }
}

static void covariance(const float *e, size_t k, size_t d, double *mean, double *c) {
    for (size_t i = 0; i < d; i++) {
        mean[i] = 0;
        for (size_t n = 0; n < k; n++) mean[i] += (double)e[n * d + i] / (double)k;
    }
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++) {
            c[i * d + j] = 0;
            for (size_t n = 0; n < k; n++)
                c[i * d + j] +=
                    ((double)e[n * d + i] - mean[i]) * ((double)e[n * d + j] - mean[j]) / (double)k;
        }
}

/* Gauss-Jordan with row exchanges. */
static void invert(double *a, double *inverse) {
    for (size_t i = 0; i < D * D; i++) inverse[i] = i % (D + 1) == 0;
    for (size_t c = 0; c < D; c++) {
        size_t best = c;
        for (size_t r = c; r < D; r++)
            if (fabs(a[r * D + c]) > fabs(a[best * D + c])) best = r;
        for (size_t j = 0; j < D; j++) {
            double x = a[c * D + j], y = inverse[c * D + j];
            a[c * D + j] = a[best * D + j], a[best * D + j] = x;
            inverse[c * D + j] = inverse[best * D + j], inverse[best * D + j] = y;
        }
        double pivot = a[c * D + c];
        for (size_t j = 0; j < D; j++) a[c * D + j] /= pivot, inverse[c * D + j] /= pivot;
        for (size_t r = 0; r < D; r++) {
            double f = r == c ? 0 : a[r * D + c];
            for (size_t j = 0; j < D; j++)
                a[r * D + j] -= f * a[c * D + j], inverse[r * D + j] -= f * inverse[c * D + j];
        }
    }
}

TEST(zero_mean_and_unit_covariance) {
    float e[K * D], white[K * D];
    double mean[D], c[D * D];
    make_book(e);
    whiten_codebook(e, K, D, white);
    covariance(white, K, D, mean, c);
    for (size_t i = 0; i < D; i++) {
        CHECK_NEAR(mean[i], 0, 1e-5);
        for (size_t j = 0; j < D; j++) CHECK_NEAR(c[i * D + j], i == j, 1e-5);
    }
}

TEST(distances_are_those_of_mahalanobis) {
    float e[K * D], white[K * D];
    double mean[D], c[D * D], inverse[D * D];
    make_book(e);
    whiten_codebook(e, K, D, white);
    covariance(e, K, D, mean, c);
    invert(c, inverse);
    for (size_t a = 0; a < K; a++)
        for (size_t b = 0; b < a; b++) {
            double want = 0, got = 0;
            for (size_t i = 0; i < D; i++) {
                double y = (double)white[a * D + i] - (double)white[b * D + i];
                got += y * y;
                for (size_t j = 0; j < D; j++)
                    want += ((double)e[a * D + i] - (double)e[b * D + i]) * inverse[i * D + j] *
                            ((double)e[a * D + j] - (double)e[b * D + j]);
            }
            CHECK_NEAR(got, want, 1e-4 * (1 + want));
        }
}

/* Fewer codes than dimensions, a dimension that repeats another, one that is constant, equal
 * codes. */
TEST(directions_without_variance_are_zero) {
    static const float e[3 * 5] = {1, 2, 2, 9, 0, -1, 4, 4, 9, 0.5f, 0, 3, 3, 9, 1};
    float white[15];
    whiten_codebook(e, 3, 5, white);
    double sum = 0;
    for (size_t i = 0; i < 15; i++) {
        CHECK(isfinite(white[i]));
        sum += (double)white[i] * (double)white[i];
    }
    CHECK_NEAR(sum, 3 * 2, 1e-5); /* three points span two directions, each of unit variance */
    for (size_t k = 0; k < 3; k++) CHECK(white[k * 5 + 3] == 0);
    static const float same[6] = {4, 4, 4, 4, 4, 4};
    whiten_codebook(same, 3, 2, white);
    for (size_t i = 0; i < 6; i++) CHECK(white[i] == 0);
}
