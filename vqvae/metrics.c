/* metrics.c - see metrics.h. */
#include "vqvae/metrics.h"

#include "common/base/die.h"

#include <math.h>
#include <stdlib.h>

latents_t metrics_latents(const float *z, const float *e, size_t n, size_t D) {
    double length = 0, error = 0, variance = 0, *mean = xcalloc(D, sizeof *mean);
    for (size_t i = 0; i < n; i++) {
        double square = 0;
        for (size_t d = 0; d < D; d++) {
            double v = z[i * D + d];
            square += v * v;
            mean[d] += v / (double)n;
            if (e) error += (v - e[i * D + d]) * (v - e[i * D + d]);
        }
        length += sqrt(square);
    }
    for (size_t i = 0; i < n * D; i++) variance += (z[i] - mean[i % D]) * (z[i] - mean[i % D]);
    free(mean);
    return (latents_t){.norm = n ? length / (double)n : NAN,
                       .error = e && variance > 0 ? error / variance : NAN};
}

double metrics_perplexity(const float *counts, size_t K) {
    double total = 0, h = 0;
    for (size_t k = 0; k < K; k++) total += counts[k];
    if (!(total > 0)) return NAN;
    for (size_t k = 0; k < K; k++)
        if (counts[k] > 0) h -= counts[k] / total * log(counts[k] / total);
    return exp(h);
}

size_t metrics_used(const float *counts, size_t K) {
    size_t used = 0;
    for (size_t k = 0; k < K; k++) used += counts[k] > 0;
    return used;
}
