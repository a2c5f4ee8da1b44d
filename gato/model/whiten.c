/* whiten.c - see whiten.h. */
#include "gato/model/whiten.h"

#include "common/base/die.h"

#include <math.h>
#include <stdlib.h>

/* Lower Cholesky factor of a[D,D], in place. A direction without variance gets the pivot 0 and an
 * empty column. */
static void factorize(double *a, size_t D) {
    double largest = 0;
    for (size_t i = 0; i < D; i++) largest = fmax(largest, a[i * D + i]);
    for (size_t j = 0; j < D; j++) {
        double pivot = a[j * D + j];
        for (size_t k = 0; k < j; k++) pivot -= a[j * D + k] * a[j * D + k];
        bool flat = !(pivot > 1e-10 * largest);
        double root = flat ? 0 : sqrt(pivot);
        a[j * D + j] = root;
        for (size_t i = j + 1; i < D; i++) {
            double s = a[i * D + j];
            for (size_t k = 0; k < j; k++) s -= a[i * D + k] * a[j * D + k];
            a[i * D + j] = flat ? 0 : s / root;
        }
    }
}

void whiten_codebook(const float *e, size_t K, size_t D, float *white) {
    double *mean = xcalloc(D, sizeof *mean), *L = xcalloc(D * D, sizeof *L),
           *y = xcalloc(D, sizeof *y);
    for (size_t k = 0; k < K; k++)
        for (size_t d = 0; d < D; d++) mean[d] += (double)e[k * D + d] / (double)K;
    for (size_t k = 0; k < K; k++) {
        for (size_t d = 0; d < D; d++) y[d] = (double)e[k * D + d] - mean[d];
        for (size_t i = 0; i < D; i++)
            for (size_t j = 0; j <= i; j++) L[i * D + j] += y[i] * y[j] / (double)K;
    }
    factorize(L, D);
    for (size_t k = 0; k < K; k++)
        for (size_t i = 0; i < D; i++) {
            double s = (double)e[k * D + i] - mean[i], pivot = L[i * D + i];
            for (size_t j = 0; j < i; j++) s -= L[i * D + j] * y[j];
            y[i] = pivot > 0 ? s / pivot : 0;
            white[k * D + i] = (float)y[i];
        }
    free(mean);
    free(L);
    free(y);
}
