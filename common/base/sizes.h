/* sizes.h - the arithmetic of cutting work into blocks: smaller, larger, a quotient rounded up. */
#ifndef BASE_SIZES_H
#define BASE_SIZES_H

#include <stddef.h>

static inline size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}
static inline size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}
/* How many blocks of b hold a: a/b rounded up; b > 0, and a + b does not overflow. */
static inline size_t ceil_div(size_t a, size_t b) {
    return (a + b - 1) / b;
}
/* The least multiple of b that is at least a. */
static inline size_t round_up(size_t a, size_t b) {
    return ceil_div(a, b) * b;
}

#endif
