/* scratch.c - see scratch.h. */
#include "common/base/scratch.h"

#include "common/base/die.h"

#include <stdlib.h>

static _Thread_local struct {
    void *p;
    size_t bytes;
} slots[SCRATCH_SLOTS];

void *scratch_get(scratch_slot_t slot, size_t bytes) {
    if (slots[slot].bytes < bytes) {
        free(slots[slot].p);
        size_t want = bytes + bytes / 4 + 64;
        slots[slot].p = xaligned(want);
        slots[slot].bytes = want;
    }
    return slots[slot].p;
}
