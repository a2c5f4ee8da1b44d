/* hash_set.c - see hash_set.h. Linear probing, at most half full. */
#include "common/io/hash_set.h"
#include "common/base/die.h"

#include <stdlib.h>

/* cap is a power of two, and a slot is free. */
static bool insert(uint64_t *slot, size_t cap, uint64_t hash) {
    size_t i = (size_t)hash & (cap - 1);
    while (slot[i]) {
        if (slot[i] == hash) return false;
        i = (i + 1) & (cap - 1);
    }
    slot[i] = hash;
    return true;
}

static void grow(hash_set_t *s) {
    size_t cap = s->cap ? 2 * s->cap : 64;
    uint64_t *slot = xcalloc(cap, sizeof *slot);
    for (size_t i = 0; i < s->cap; i++)
        if (s->slot[i]) insert(slot, cap, s->slot[i]);
    free(s->slot);
    s->slot = slot;
    s->cap = cap;
}

bool hash_set_add(hash_set_t *s, uint64_t hash) {
    if (2 * s->n >= s->cap) grow(s);
    bool added = insert(s->slot, s->cap, hash ? hash : 1);
    s->n += added;
    return added;
}

void hash_set_release(hash_set_t *s) {
    free(s->slot);
    *s = (hash_set_t){0};
}
