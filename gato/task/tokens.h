/* tokens.h - numbers as tokens: mu-law, bins, and the ranges of the vocabulary.
 *
 *   text               0 .. text-1
 *   continuous values  text .. text+bins-1
 *   discrete values    the next 1024
 *   image codes        appended last
 *   FAST               behind them (fast.h): of chunks of acted numbers
 *
 * Observations and actions share the ranges. Every operation rounds to float32 and the bin
 * truncates toward zero, so a value has the same bin on every machine. The caller refuses NaN.
 */
#ifndef GATO_TOKENS_H
#define GATO_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

enum { TOKENS_DISCRETE = 1024 };

typedef struct {
    uint32_t text;  /* ids of the text tokenizer */
    uint32_t bins;  /* bins of a continuous value */
    uint32_t codes; /* image codes with rows of the token table; 0 when images enter otherwise */
    float mu, M;    /* of the mu-law */
    bool outside;   /* mu-law only where |x| > 1 */
    /* acted numbers: mu of their mu-law, whose M is 1; 0 = bins of equal width */
    float actions_mu;
    uint32_t fast;       /* ids of FAST; 0 = none */
    bool actions_fitted; /* acted numbers have bins of their column (action_bins.h) */
} tokens_t;

/* Have acted numbers bins of equal width? */
static inline bool tokens_actions_even(const tokens_t *t) {
    return !(t->actions_mu > 0) && !t->actions_fitted;
}

/* First id of each range, and the number of all ids. */
static inline uint32_t tokens_continuous(const tokens_t *t) {
    return t->text;
}
static inline uint32_t tokens_discrete(const tokens_t *t) {
    return t->text + t->bins;
}
static inline uint32_t tokens_codes(const tokens_t *t) {
    return t->text + t->bins + TOKENS_DISCRETE;
}
static inline uint32_t tokens_fast(const tokens_t *t) {
    return tokens_codes(t) + t->codes;
}
static inline uint32_t tokens_total(const tokens_t *t) {
    return tokens_fast(t) + t->fast;
}

/* sign(x) ln(1 + mu |x|) / ln(1 + mu M) */
float tokens_mu_law(float x, float mu, float M);
/* min(bins-1, int((clamp(a,-1,1) + 1) * bins/2)) */
uint32_t tokens_bin(float a, uint32_t bins);
/* Bin of an observed number: the mu-law, then tokens_bin. */
uint32_t tokens_bin_observation(const tokens_t *t, float x);
/* Bin of an acted number by a formula (action_bins.h has the others), scaled to [-1,1]; and the
 * number of a bin: its left edge or its center, undoing the mu-law sign(x) ln(1 + mu |x|) /
 * ln(1 + mu). */
uint32_t tokens_bin_action(const tokens_t *t, float x);
float tokens_action_value(const tokens_t *t, uint32_t bin, bool left);
/* A number whose bin is `bin`: where the mu-law sends it is the bin's center. */
float tokens_observation_value(const tokens_t *t, uint32_t bin);
/* The value of a bin of equal width: its left edge 2b/bins - 1, or its center. */
float tokens_bin_value(uint32_t bin, uint32_t bins, bool left);

#endif
