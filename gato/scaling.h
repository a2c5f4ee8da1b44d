/* scaling.h - the ends that actions are scaled by, to [-1,1] for the model and back at play.
 *
 * Declared bounds serve where they say something. Where they are absent, or so wide that the
 * numbers of the training side fill under a thousandth of them, the quantiles 1 % and 99 % of the
 * training side do. A policy keeps what was used (facts.h): an action never leaves it unscaled.
 */
#ifndef GATO_SCALING_H
#define GATO_SCALING_H

#include "gato/facts.h"

/* What the ends of a column are. QUANTILES of a column that never changes are one number, and that
 * is what is played. EXTREMES: least and greatest number, where both quantiles are the same. */
typedef enum { SCALING_DECLARED, SCALING_QUANTILES, SCALING_EXTREMES, SCALINGS } scaling_t;
extern const char *const scaling_names[SCALINGS];

/* The numbers of the training side, record by record: `feed` calls scaling_put for every action
 * number of record i, in the units of the environment. It is called several times for each record,
 * from several threads. Executed actions and labels alike: both have to fit. */
typedef struct scaling_sink scaling_sink_t;
typedef void (*scaling_feed_fn)(void *ctx, size_t i, scaling_sink_t *sink);
void scaling_put(scaling_sink_t *sink, size_t column, float v);

/* Chooses action_low, action_high and action_scaling of f from its declared bounds and `records`
 * records; exact, in memory that does not grow with them. */
void scaling_choose(gato_facts_t *f, size_t records, scaling_feed_fn feed, void *ctx);
/* One line for each column that is not scaled as declared (the first few). */
void scaling_tell(const gato_facts_t *f);
/* Takes over what a policy was trained with. */
void scaling_adopt(gato_facts_t *f, const gato_facts_t *policy);

/* From a shard's columns to a model's. */
typedef struct {
    float low, high;       /* by which they are stored */
    float to_low, to_high; /* by which the model wants them */
    bool raw;              /* they are stored in the units of the environment */
    bool same;             /* nothing to do */
} scaling_column_t;
typedef struct {
    scaling_column_t *column;
    uint32_t n;
    bool same; /* nothing to do in any of them */
} scaling_map_t;
void scaling_map_init(scaling_map_t *m, const shard_meta_t *shard, const gato_facts_t *model);
void scaling_map_release(scaling_map_t *m);
/* A stored number in the units of the environment. */
float scaling_units(const scaling_column_t *c, float stored);
/* Rows [T, n] as the model wants them, malloc'ed; NULL when they are so already. */
float *scaling_map(const scaling_map_t *m, const float *stored, size_t T);

#endif
