/* hash_set.h - a set of 64-bit hashes that only grows: "was this folder, was this item here
 * before?"
 */
#ifndef IO_HASH_SET_H
#define IO_HASH_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialized = empty. */
typedef struct {
    uint64_t *slot; /* open addressing; 0 = free */
    size_t n, cap;
} hash_set_t;
/* True when the hash was not yet in. */
bool hash_set_add(hash_set_t *s, uint64_t hash);
void hash_set_release(hash_set_t *s);

#endif
