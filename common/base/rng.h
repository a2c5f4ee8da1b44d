/* rng.h - counter-based random numbers: value = f(seed, stream, i).
 *
 * There is no state, so the same number comes out under any batch size, accumulation, thread count
 * or restart. A stream names a purpose ("dropout/h.3", "data.order"); rng_make hashes the name.
 * Further coordinates (optimizer step, sample index) are folded in with rng_fold:
 *
 *     rng_t r = rng_fold(rng_make(seed, "data.order"), epoch);
 *     uint64_t sample = rng_permute(r, i, n);
 *
 * The generator applies SplitMix64's finalizer to the three words, twice (Steele, Lea & Flood
 * 2014). It passes the uniformity tests in tests/test_base.c. The plain draws are inline, so that a
 * loop over elements (dropout) vectorizes.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

typedef struct {
    uint64_t seed, stream;
} rng_t;

/* The stream of that name. */
rng_t rng_make(uint64_t seed, const char *stream);
/* A sub-stream: rng_fold(r, step). */
rng_t rng_fold(rng_t r, uint64_t word);

/* SplitMix64's finalizer: a bijection of 64 bits in which every input bit flips every output bit
 * with probability 1/2.
 */
static inline uint64_t rng_mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Draw i: 64 bits. */
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
/* Uniform on 0 .. n-1, unbiased to 2^-32; n > 0. */
uint32_t rng_below(rng_t r, uint64_t i, uint32_t n);
/* Element i of a pseudo-random permutation of 0 .. n-1: an epoch's order without storing it. (A
 * cycle-walking Feistel network, Black & Rogaway 2002.) */
uint64_t rng_permute(rng_t r, uint64_t i, uint64_t n);

#endif
