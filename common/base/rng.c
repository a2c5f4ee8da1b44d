/* rng.c - counter-based random numbers: streams, and the draws that are more than one mix (the
 * plain ones are inline in rng.h). */
#include "common/base/rng.h"

#include "common/base/die.h"

#include <math.h>

rng_t rng_make(uint64_t seed, const char *stream) {
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a; the mix below repairs its weak high bits */
    for (const unsigned char *s = (const unsigned char *)stream; *s; s++)
        hash = (hash ^ *s) * 0x100000001B3u;
    /* The seed is mixed too: small seeds would otherwise differ from each other in the last few
     * bits only. */
    return (rng_t){rng_mix(seed + 0x9E3779B97F4A7C15u), rng_mix(hash)};
}

/* Its multiplier differs from rng_u64's, so that a sub-stream's key is never a number the parent
 * draws on its way. */
rng_t rng_fold(rng_t r, uint64_t word) {
    return (rng_t){r.seed, rng_mix(r.stream + 0xD1B54A32D192ED03u * (word + 1))};
}

float rng_normal(rng_t r, uint64_t i) {
    double u = 1.0 - rng_uniform64(r, 2 * i); /* (0,1]: its logarithm is finite */
    double angle = 6.283185307179586 * rng_uniform64(r, 2 * i + 1);
    return (float)(sqrt(-2.0 * log(u)) * cos(angle));
}

uint32_t rng_below(rng_t r, uint64_t i, uint32_t n) {
    if (!n) BUG("rng_below: n is zero");
    return (uint32_t)(((unsigned __int128)rng_u64(r, i) * n) >> 64);
}

/* A Feistel network permutes the smallest 2^(2h) >= n. Walking its cycle until the value falls
 * below n permutes 0..n-1 (Black & Rogaway 2002). The domain is below 4n, so a walk takes less than
 * four steps on average. */
uint64_t rng_permute(rng_t r, uint64_t i, uint64_t n) {
    if (i >= n)
        BUG("rng_permute: element %llu of %llu", (unsigned long long)i, (unsigned long long)n);
    unsigned half = 1;
    while (half < 32 && (n - 1) >> (2 * half)) half++;
    const uint64_t mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t left = i >> half, right = i & mask;
        for (uint64_t round = 0; round < 8; round++) {
            uint64_t next = left ^ (rng_u64(r, round << 32 | right) & mask);
            left = right;
            right = next;
        }
        i = left << half | right;
    } while (i >= n);
    return i;
}
