/* reads.h - the positions that the losses of a batch read. In the last layer only they are computed
 * behind their keys and values.
 */
#ifndef GATO_READS_H
#define GATO_READS_H

#include "gato/model/graph.h"

typedef struct {
    int32_t *number; /* [B*T] of a position among those that are read, in order; -1 = unread */
    size_t n, cap;
} reads_t;

/* Finds what all groups of the batch read. */
void reads_find(reads_t *r, const batch_t *b, const packing_t *p);
void reads_release(reads_t *r);
/* How many rows a graph has for them: n rounded up, so that shapes stay few; 0 = all of [B,T],
 * where that is nearly as many. */
size_t reads_bound(const reads_t *r, const packing_t *p, bool exact);
/* The positions [n] that are read, behind them -1 up to `all`. */
void reads_fill(const reads_t *r, const packing_t *p, int32_t *to, size_t all);

#endif
