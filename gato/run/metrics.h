/* metrics.h - held-out metrics of a policy: one pass over the sequences of a side. */
#ifndef GATO_METRICS_H
#define GATO_METRICS_H

#include "common/io/text/json.h"
#include "gato/data/dataset.h"
#include "gato/model/graph.h"

/* Every task, where a task's number is asked for. */
#define METRICS_ALL UINT32_MAX

/* Runs sequences of a source and a task (at most `limit`, spread evenly; 0 = all) through the
 * inference graphs and adds their sums to *f (gato_metrics_init). */
void metrics_over(gato_graphs_t *g, const dataset_t *d, size_t source, uint32_t task, side_t side,
                  size_t limit, gato_metrics_t *f);
/* The sequences and positions (tokens) of a task that were run. */
size_t metrics_sequences(const gato_metrics_t *f, uint32_t task);
size_t metrics_positions(const gato_metrics_t *f, uint32_t task);
/* The loss that training minimizes, of one task or all, computed from sums over many batches: per
 * token, whatever loss.per_sequence says; over images the mean over the horizons that have targets.
 * NAN when nothing was measured. */
double metrics_loss(const gato_model_t *m, const gato_metrics_t *f, uint32_t task);
/* The mean absolute error of actions, [-1,1] being their range; NAN likewise. */
double metrics_action_error(const gato_metrics_t *f, uint32_t task);
/* Writes the members of an eval line, loss .. perplexity_text, loss_vector and those of further
 * heads; null where nothing was measured, or where the configuration does not train what would be.
 * */
void metrics_members(const gato_model_t *m, const gato_metrics_t *f, uint32_t task, jsonw_t *w);

/* ---- modalities, in metrics.jsonl ---- */

enum { METRICS_MODALITIES = 4 /* action, image, text, vector */ };
/* The key of the held-out loss of modality i: "loss_<modality>_held_out" over all tasks, or
 * "loss_<task>/<modality>"; malloc'ed. */
char *metrics_modality_key(const char *task, size_t i);
/* Writes the members of these keys, of one task or all (METRICS_ALL), where there is a number. */
void metrics_modalities(const gato_model_t *m, const gato_metrics_t *f, uint32_t task, jsonw_t *w);

#endif
