/* rng.h - counter-based random numbers: value = f(seed, stream, i). No state, so the same number
 * comes out under any batch size, accumulation, thread count or restart.
 *
 * A stream names a purpose ("dropout/h.3", "data.order"); rng_stream hashes the name. Further
 * coordinates (optimizer step, sample index) are folded in with rng_fold. The generator is
 * SplitMix64's finalizer over the three words, applied twice (Steele, Lea & Flood 2014); it passes
 * the uniformity tests in tests/test_base.c. The plain draws are inline, so that a loop over
 * elements (dropout) vectorizes.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

typedef struct {
    uint64_t seed, stream;
} rng_t;

rng_t rng_make(uint64_t seed, const char *stream);
/* A sub-stream, e.g. rng_fold(r, step). */
rng_t rng_fold(rng_t r, uint64_t word);

/* SplitMix64's finalizer: a bijection of 64 bits in which every input bit flips every output bit
 * with probability 1/2.
 */
static inline uint64_t rng_mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline uint64_t rng_u64(rng_t r, uint64_t i) {
    return rng_mix(rng_mix(r.stream + 0x9E3779B97F4A7C15u * (i + 1)) ^ r.seed);
}
/* [0,1) with 24 bits, exact in float. */
static inline float rng_uniform(rng_t r, uint64_t i) {
    return (float)(int32_t)(rng_u64(r, i) >> 40) * 0x1p-24f;
}
/* [0,1) with 53 bits. */
static inline double rng_uniform64(rng_t r, uint64_t i) {
    return (double)(rng_u64(r, i) >> 11) * 0x1p-53;
}
/* N(0,1) by Box-Muller over draws 2i and 2i+1. */
float rng_normal(rng_t r, uint64_t i);
/* Unbiased to 2^-32: [0,n), n > 0. */
uint32_t rng_below(rng_t r, uint64_t i, uint32_t n);
/* The i-th element of a pseudo-random permutation of 0..n-1 (cycle-walking Feistel network): an
 * epoch's order without storing it. */
uint64_t rng_permute(rng_t r, uint64_t i, uint64_t n);

#endif
