/* window.c - see window.h. */
#include "tokenize/window.h"

#include <stdint.h>
#include <string.h>
#include <xxhash.h>

/* Draw `i` of the episode, uniform over 0 .. n - 1. */
static size_t draw(const char *key, size_t i, size_t n) {
    return (size_t)(((unsigned __int128)XXH64(key, strlen(key), i) * n) >> 64);
}

size_t window_steps(const char *key, size_t T, size_t frames, take_t take, size_t *step) {
    size_t K = frames && frames < T ? frames : T;
    size_t first = K < T && take == TAKE_WINDOW ? draw(key, 0, T - K + 1) : 0;
    for (size_t k = 0; k < K; k++) {
        size_t from = k * T / K, to = (k + 1) * T / K;
        step[k] = K < T && take == TAKE_SPREAD ? from + draw(key, k, to - from) : first + k;
    }
    return K;
}
