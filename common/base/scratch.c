/* scratch.c - see scratch.h. */
#include "common/base/scratch.h"

#include "common/base/die.h"

#include <stdlib.h>

static _Thread_local struct {
    void *p;
    size_t bytes;
} slots[SCRATCH_SLOTS];

void *scratch_get(int slot, size_t bytes) {
    if (slot < 0 || slot >= SCRATCH_SLOTS) BUG("scratch slot %d of %d", slot, SCRATCH_SLOTS);
    if (slots[slot].bytes < bytes) {
        free(slots[slot].p);
        size_t want = bytes + bytes / 4 + 64; /* room to grow: few calls of malloc in a run */
        slots[slot].p = xaligned(want);
        slots[slot].bytes = want;
    }
    return slots[slot].p;
}
