/* whiten.c - see whiten.h. The algebra is OpenBLAS's and, inside it, LAPACK's. */
#include "gato/model/whiten.h"

#include "common/base/die.h"

#include <cblas.h>
#include <stdlib.h>

/* LAPACK's Cholesky factor of a symmetric matrix, which OpenBLAS brings without a header. Fortran's
 * upper triangle, column by column, is the lower one row by row. The last argument is the length of
 * `uplo`. */
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t length);

/* e less its mean, as doubles [K,D]. */
static double *centered(const float *e, size_t K, size_t D) {
    double *x = xcalloc(K * D, sizeof *x), *mean = xcalloc(D, sizeof *mean);
    for (size_t k = 0; k < K; k++)
        for (size_t d = 0; d < D; d++) mean[d] += (double)e[k * D + d] / (double)K;
    for (size_t k = 0; k < K; k++)
        for (size_t d = 0; d < D; d++) x[k * D + d] = (double)e[k * D + d] - mean[d];
    free(mean);
    return x;
}

/* L[n,n] = lower Cholesky factor of the rows and columns keep[0..n-1] of S[D,D]. Returns n, or the
 * first of them that has no variance of its own. */
static size_t factorize(const double *S, size_t D, const size_t *keep, size_t n, double flat,
                        double *L) {
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) L[i * n + j] = S[keep[i] * D + keep[j]];
    int size = (int)n, info = 0;
    dpotrf_("U", &size, L, &size, &info, 1);
    size_t done = info > 0 ? (size_t)info - 1 : n;
    for (size_t i = 0; i < done; i++)
        if (!(L[i * n + i] * L[i * n + i] > flat)) return i;
    return done;
}

void whiten_codebook(const float *e, size_t K, size_t D, float *white) {
    double *x = centered(e, K, D), *S = xcalloc(D * D, sizeof *S), *L = xcalloc(D * D, sizeof *L);
    size_t *keep = xcalloc(D, sizeof *keep), n = D;
    const int rows = (int)K, columns = (int)D;
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, columns, rows, 1 / (double)K, x, columns, 0,
                S, columns);
    double largest = 0;
    for (size_t i = 0; i < D; i++) {
        if (S[i * D + i] > largest) largest = S[i * D + i];
        keep[i] = i;
    }
    for (size_t at; n > 0 && (at = factorize(S, D, keep, n, 1e-10 * largest, L)) < n; n--)
        for (size_t i = at; i + 1 < n; i++) keep[i] = keep[i + 1];

    /* The kept columns move to the front of their rows: y L^T = x. */
    for (size_t k = 0; k < K; k++)
        for (size_t i = 0; i < n; i++) x[k * D + i] = x[k * D + keep[i]];
    if (n > 0)
        cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, rows, (int)n,
                    1, L, (int)n, x, columns);
    for (size_t k = 0; k < K; k++) {
        for (size_t d = 0; d < D; d++) white[k * D + d] = 0;
        for (size_t i = 0; i < n; i++) white[k * D + keep[i]] = (float)x[k * D + i];
    }
    free(x);
    free(S);
    free(L);
    free(keep);
}
