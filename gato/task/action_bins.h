/* action_bins.h - acted numbers as bins and back, by model.bin_kind.
 *
 * uniform and mulaw are formulas (tokens.h). With quantile each column has bins of its own
 * (slot_t.bin_edges, bin_values), fitted once to the numbers of the training side: as many numbers
 * in each as can be. A RUN keeps them.
 *
 *   edge        halfway between the greatest number of a bin and the least one of the next: where
 *               all numbers differ and the bins divide them, numpy.quantile(v, k / bins,
 *               method="midpoint")
 *   value       the mean of the numbers in the bin
 *   ties        equal numbers share a bin; one that comes as often as a bin is large has its own
 *   few         with no more different numbers than bins each has a bin, and its value is exact.
 *               Bins that are left over have edges beyond 1, which no number reaches, and the
 *               greatest value
 *   none        a column without numbers has bins of equal width
 *
 * So with the shares of the training side, the expectation over bins is the mean of its numbers.
 */
#ifndef GATO_ACTION_BINS_H
#define GATO_ACTION_BINS_H

#include "gato/task/scaling.h"
#include "gato/task/tokens.h"

/* Sets n_bins, bin_edges and bin_values of an acted vector slot that has its scaling, from the
 * numbers of `records` records (scaling.h). Of more than 2^20 numbers a column, an even share
 * counts. */
void action_bins_fit(slot_t *slot, uint32_t bins, size_t records, scaling_feed_fn feed, void *ctx);
/* Fits one column: v [n], sorted, in [-1,1]; to edge [bins - 1] and value [bins]. */
void action_bins_column(const float *v, size_t n, uint32_t bins, float *edge, float *value);

/* The bin of a number of column k, scaled to [-1,1] (clamped to it), and the number of a bin. left:
 * its left edge instead of its center, for kinds whose bins have one (not quantile). */
uint32_t action_bin(const tokens_t *t, const slot_t *slot, uint32_t k, float x);
float action_value(const tokens_t *t, const slot_t *slot, uint32_t k, uint32_t bin, bool left);

#endif
