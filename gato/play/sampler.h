/* sampler.h - the next id of a text from its logits: the likeliest, or a draw at a temperature
 * among the likeliest ones.
 */
#ifndef GATO_SAMPLER_H
#define GATO_SAMPLER_H

#include <stdint.h>

typedef struct {
    double temperature; /* 0 = the likeliest */
    uint32_t top_k;     /* only so many likeliest; 0 = all */
    double top_p;       /* only the likeliest whose probabilities add up to this; 1 = all */
} sampler_t;

/* Chooses one of n > 0: logits are divided by the temperature, then cut by top_k, then by top_p
 * over what is left of them (at least one stays), and one is drawn by u in [0,1). Of equal logits
 * the first is the likelier. In double. */
uint32_t sampler_choose(const sampler_t *s, const float *logits, uint32_t n, double u);

#endif
