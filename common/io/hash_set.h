/* hash_set.h - a set of 64-bit hashes that only grows: "was this item here before?"
 *
 * An item is known by its hash alone; 0 and 1 count as the same hash.
 */
#ifndef IO_HASH_SET_H
#define IO_HASH_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* {0} is an empty set. */
typedef struct {
    uint64_t *slot; /* [cap] open addressing; 0 = free */
    size_t n, cap;  /* cap is a power of two, or 0 */
} hash_set_t;

/* Adds a hash. True when it was not yet in. */
bool hash_set_add(hash_set_t *s, uint64_t hash);
/* Frees what the set owns and empties it. */
void hash_set_release(hash_set_t *s);

#endif
