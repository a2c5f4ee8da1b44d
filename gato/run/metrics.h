/* metrics.h - held-out metrics of a policy: one pass over the sequences of a side. */
#ifndef GATO_METRICS_H
#define GATO_METRICS_H

#include "common/io/text/json.h"
#include "gato/data/dataset.h"
#include "gato/model/graph.h"

/* Runs sequences of `source` (at most `limit`, spread evenly; 0 = all) through the inference graphs
 * and returns their sums. */
gato_metrics_t metrics_over(gato_graphs_t *g, const dataset_t *d, size_t source, side_t side,
                            size_t limit);
/* The loss that training minimizes, computed from sums over many batches: per token, whatever
 * loss.per_sequence says. NAN when nothing was measured. */
double metrics_loss(const gato_model_t *m, const gato_metrics_t *f);
/* Writes the members loss .. perplexity_text of an eval line; null where nothing was measured. */
void metrics_members(const gato_model_t *m, const gato_metrics_t *f, jsonw_t *w);

#endif
