/* test_search.c - the cross-entropy method over made-up distances: draws counted, updates by double
 * loops, minima known by hand. */
#include "gato/play/search.h"

#include "tests/test.h"

/* One bounded vector of 2, an unbounded one of 1, a discrete slot of 2 columns. */
static task_t body(void) {
    static const float low[2] = {-1, 2}, high[2] = {1, 6}, none = INFINITY, less = -INFINITY;
    static const uint32_t range[2] = {3, 5};
    task_t t = {.n_slots = 3};
    slot_t *s = t.slot;
    s[0] = (slot_t){.kind = SLOT_VECTOR, .side = SIDE_ACTED, .width = 2};
    s[1] = (slot_t){.kind = SLOT_DISCRETE, .side = SIDE_ACTED, .width = 2};
    s[2] = (slot_t){.kind = SLOT_VECTOR, .side = SIDE_ACTED, .width = 1};
    slot_fill(&s[0], low, high, NULL);
    return t;
}
