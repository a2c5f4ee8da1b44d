/* scaling.h - the bounds that scale acted vectors: to [-1,1] for the model, and back at play.
 *
 * Declared bounds apply where they mean something. Where they are absent, or so wide that the
 * numbers of the training side fill less than a thousandth of them, the quantiles 1 % and 99 % of
 * the training side apply instead. A policy keeps the bounds in use (slot_t), so no action leaves
 * it unscaled.
 */
#ifndef GATO_SCALING_H
#define GATO_SCALING_H

#include "common/io/token_db/task.h"

/* Receives the numbers of one acted slot from the training side. `feed` calls scaling_put for every
 * number of record i, executed actions and labels alike, in the units of the environment. It runs
 * several times per record, in several threads. */
typedef struct scaling_sink scaling_sink_t;
typedef void (*scaling_feed_fn)(void *ctx, size_t i, scaling_sink_t *sink);
void scaling_put(scaling_sink_t *sink, size_t column, float v);

/* Sets scale_low, scale_high and scaling of an acted vector slot from its declared bounds and the
 * numbers of `records` records. Quantiles are exact; memory does not grow with the records. */
void scaling_choose(slot_t *slot, size_t records, scaling_feed_fn feed, void *ctx);
/* The same by quantiles wherever the numbers differ, whatever is declared. */
void scaling_by_quantiles(slot_t *slot, size_t records, scaling_feed_fn feed, void *ctx);
/* The numbers of each column as the model has them, in [-1,1]: v[k] is malloc'ed and sorted, n[k]
 * long. Where a column has more than `most` of them, they are those of evenly spread records. */
void scaling_numbers(const slot_t *slot, size_t records, size_t most, scaling_feed_fn feed,
                     void *ctx, float **v, size_t *n);
/* Warns about each column that is not scaled as declared, the first few one by one. task: its name,
 * for the message. */
void scaling_report(const char *task, const slot_t *slot);

/* How a column of a shard becomes a column of a model. */
typedef struct {
    float low, high;       /* bounds that scaled the stored numbers */
    float to_low, to_high; /* bounds of the model */
    bool raw;              /* stored in the units of the environment */
    bool same;             /* nothing to do */
} scaling_column_t;
typedef struct {
    scaling_column_t *column;
    uint32_t n;
    bool same; /* nothing to do in any column */
} scaling_map_t;
/* shard: the slot in the shard's meta; model: the same slot of the model. Release with
 * scaling_map_release. */
void scaling_map_init(scaling_map_t *m, const slot_t *shard, const slot_t *model);
void scaling_map_release(scaling_map_t *m);
/* A stored number in the units of the environment. */
float scaling_units(const scaling_column_t *c, float stored);
/* Rows [T, n] scaled for the model. */
void scaling_map(const scaling_map_t *m, const float *stored, size_t T, float *scaled);
/* One row from the model's [-1,1], clamped to it, to the environment's units, and back. */
void scaling_to_units(const slot_t *slot, const float *scaled, float *units);
void scaling_from_units(const slot_t *slot, const float *units, float *scaled);

#endif
