/* plan_place.c - offsets: buffers that are never in use at the same moment may have the same
 * memory.
 *
 * Each buffer is a rectangle, as wide as its time of use and as high as its bytes. Rectangles must
 * not overlap, and the pile should be low:
 *
 *     offset
 *       ^     +-----------+
 *       |     |     C     |    +-------+
 *       |     +------+----+    |   D   |        D fits over A: A has ended by then
 *       |     |  A   |         |       |
 *       |  +--+------+---------+-------+--+
 *       |  |              B               |     the largest comes first
 *       +--+------------------------------+--> moment
 *
 * Largest first, each buffer goes to the lowest gap between those placed before it that live at the
 * same time. This is greedy first fit by decreasing size, as in Pisarchyk and Lee, "Efficient
 * Memory Management for Deep Neural Net Inference" (2020).
 */
#include "common/base/die.h"
#include "common/tape/plan_private.h"

#include <stdlib.h>

/* Larger first; of equal size, the older first, so that the order is the same everywhere. */
static int by_size(const void *a, const void *b, void *context) {
    const buffer_t *buffer = context;
    int left = *(const int *)a, right = *(const int *)b;
    if (buffer[left].bytes > buffer[right].bytes) return -1;
    if (buffer[left].bytes < buffer[right].bytes) return 1;
    return left - right;
}

/* The lowest offset with room for `wanted` among the placed buffers, which are sorted by offset. */
static size_t lowest_gap(const plan_t *plan, const buffer_t *wanted, const int *placed, size_t n) {
    size_t offset = 0;
    for (size_t i = 0; i < n; i++) {
        const buffer_t *other = &plan->buffer[placed[i]];
        bool together = other->last >= wanted->first && wanted->last >= other->first;
        if (!together) continue;
        if (offset + wanted->bytes <= other->offset) break; /* it fits below this one */
        size_t above = other->offset + other->bytes;
        if (above > offset) offset = above;
    }
    return offset;
}

/* Inserts the buffer into the list, which stays sorted by offset. */
static void insert_placed(const plan_t *plan, int *placed, size_t n, int index) {
    size_t offset = plan->buffer[index].offset, at = n;
    while (at > 0 && plan->buffer[placed[at - 1]].offset > offset) {
        placed[at] = placed[at - 1];
        at--;
    }
    placed[at] = index;
}

void plan_place(plan_t *plan) {
    int *order = xmalloc(plan->n_buffers * sizeof *order);
    int *placed = xmalloc(plan->n_buffers * sizeof *placed);
    size_t n = 0;
    for (size_t b = 0; b < plan->n_buffers; b++)
        if (plan->buffer[b].first >= 0) order[n++] = (int)b;
    qsort_r(order, n, sizeof *order, by_size, plan->buffer);
    plan->bytes = 0;
    for (size_t i = 0; i < n; i++) {
        buffer_t *buffer = &plan->buffer[order[i]];
        if (plan->unshared)
            buffer->offset = plan->bytes + PLAN_ALIGN; /* apart, with a gap before each */
        else
            buffer->offset = lowest_gap(plan, buffer, placed, i);
        size_t above = buffer->offset + buffer->bytes;
        if (above > plan->bytes) plan->bytes = above;
        insert_placed(plan, placed, i, order[i]);
    }
    free(order);
    free(placed);
}
