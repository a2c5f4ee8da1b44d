/* seen.h - a set of 64-bit hashes that only grows: "was this folder, was this item here before?"
 */
#ifndef IO_SEEN_H
#define IO_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialized = empty. */
typedef struct {
    uint64_t *slot; /* open addressing; 0 = free */
    size_t n, cap;
} seen_t;
/* True when the hash was not yet in. */
bool seen_add(seen_t *s, uint64_t hash);
void seen_release(seen_t *s);

#endif
