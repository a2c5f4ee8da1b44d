/* tokens.c - see tokens.h.
 *
 * Each step is computed in double and rounded to float, which gives the correctly rounded float
 * result of a single operation and leaves the compiler nothing to fuse.
 */
#include "gato/task/tokens.h"

#include <math.h>

float tokens_mu_law(float x, float mu, float M) {
    float product = (float)((double)mu * fabs((double)x)), scale = (float)((double)mu * (double)M);
    float a = (float)log((double)(float)(1.0 + (double)product));
    float b = (float)log((double)(float)(1.0 + (double)scale));
    return copysignf((float)((double)a / (double)b), x);
}

uint32_t tokens_bin(float a, uint32_t bins) {
    float c = a < -1 ? -1 : a > 1 ? 1 : a;
    float shifted = (float)((double)c + 1.0), bin = (float)((double)shifted * ((double)bins / 2));
    uint32_t b = (uint32_t)bin;
    return b < bins ? b : bins - 1;
}

uint32_t tokens_bin_observation(const tokens_t *t, float x) {
    bool squash = !t->outside || fabsf(x) > 1;
    return tokens_bin(squash ? tokens_mu_law(x, t->mu, t->M) : x, t->bins);
}

float tokens_bin_value(uint32_t bin, uint32_t bins, bool left) {
    return (float)((2.0 * bin + (left ? 0 : 1)) / bins - 1);
}

float tokens_observation_value(const tokens_t *t, uint32_t bin) {
    double y = (double)tokens_bin_value(bin, t->bins, false), mu = (double)t->mu;
    if (t->outside && fabs(y) <= (double)tokens_mu_law(1, t->mu, t->M)) return (float)y;
    return (float)copysign(expm1(fabs(y) * log1p(mu * (double)t->M)) / mu, y);
}
