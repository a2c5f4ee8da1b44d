/* metrics.h - how the codes are used, and how near vectors are to them. */
#ifndef VQVAE_METRICS_H
#define VQVAE_METRICS_H

#include <stddef.h>

/* Of n vectors z [n,D] and their codes e [n,D] (NULL: none): mean length |z|, and mean |z - e|^2
 * over the variance of z (mean |z - mean z|^2); NAN where there is nothing to divide by. */
typedef struct {
    double norm, error;
} latents_t;
latents_t metrics_latents(const float *z, const float *e, size_t n, size_t D);

/* exp(-sum p ln p) of the shares p of counts [K]: how many codes would carry as much if all were
 * used alike. NAN when nothing was counted. */
double metrics_perplexity(const float *counts, size_t K);
/* How many of counts [K] are above 0. */
size_t metrics_used(const float *counts, size_t K);

#endif
