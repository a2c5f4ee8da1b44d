/* scaling.h - the bounds that scale actions: to [-1,1] for the model, and back at play.
 *
 * Declared bounds apply where they mean something. Where they are absent, or so wide that the
 * numbers of the training side fill less than a thousandth of them, the quantiles 1 % and 99 % of
 * the training side apply instead. A policy keeps the bounds in use (facts.h), so no action leaves
 * it unscaled.
 */
#ifndef GATO_SCALING_H
#define GATO_SCALING_H

#include "gato/task/facts.h"

/* Where the bounds of a column come from. QUANTILES of a column that never changes are one number,
 * which is then played. EXTREMES: the least and the greatest number, where both quantiles are
 * equal. */
typedef enum { SCALING_DECLARED, SCALING_QUANTILES, SCALING_EXTREMES, SCALINGS } scaling_t;
extern const char *const scaling_names[SCALINGS];

/* Receives the action numbers of the training side. `feed` calls scaling_put for every number of
 * record i, executed actions and labels alike, in the units of the environment. It runs several
 * times per record, in several threads. */
typedef struct scaling_sink scaling_sink_t;
typedef void (*scaling_feed_fn)(void *ctx, size_t i, scaling_sink_t *sink);
void scaling_put(scaling_sink_t *sink, size_t column, float v);

/* Sets action_low, action_high and action_scaling of f from its declared bounds and the numbers of
 * `records` records. Quantiles are exact; memory does not grow with the records. */
void scaling_choose(gato_facts_t *f, size_t records, scaling_feed_fn feed, void *ctx);
/* Warns about each column that is not scaled as declared, the first few one by one. */
void scaling_report(const gato_facts_t *f);
/* Copies the bounds that a policy was trained with into f. */
void scaling_adopt(gato_facts_t *f, const gato_facts_t *policy);

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
/* Release with scaling_map_release. */
void scaling_map_init(scaling_map_t *m, const shard_meta_t *shard, const gato_facts_t *model);
void scaling_map_release(scaling_map_t *m);
/* A stored number in the units of the environment. */
float scaling_units(const scaling_column_t *c, float stored);
/* Rows [T, n] scaled for the model, malloc'ed; NULL when the stored ones already are. */
float *scaling_map(const scaling_map_t *m, const float *stored, size_t T);

#endif
