/* kept_steps.c - see kept_steps.h. */
#include "tokenize/kept_steps.h"

#include "common/base/sizes.h"

#include <stdint.h>
#include <string.h>
#include <xxhash.h>

/* Draw number i for this episode, uniform over 0 .. n - 1. */
static size_t draw(const char *key, size_t i, size_t n) {
    return (size_t)(((unsigned __int128)XXH64(key, strlen(key), i) * n) >> 64);
}

size_t kept_steps_find(const char *key, size_t T, size_t frames, step_choice_t choice,
                       size_t *step) {
    size_t kept = frames ? min_size(frames, T) : T, first = 0;
    if (kept < T && choice == STEPS_CONSECUTIVE) first = draw(key, 0, T - kept + 1);
    for (size_t k = 0; k < kept; k++) {
        size_t from = k * T / kept, to = (k + 1) * T / kept;
        step[k] = first + k;
        if (kept < T && choice == STEPS_SPREAD) step[k] = from + draw(key, k, to - from);
    }
    return kept;
}
