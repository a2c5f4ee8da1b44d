/* embed.h - how slots become rows of width D, the input of the transformer: one static table a row,
 * listed in embed.c. Nothing else in gato/ names one.
 *
 * A slot has exactly one embedding under a configuration: the first of the list that serves it.
 * Rows that come from the same parameters form a pool; one gather by index assembles the batch from
 * the pools. An embedding whose parameters belong to a task's slot has a pool for each such slot,
 * every other one has one pool.
 *
 * Add one: a file embed_x.c with an embed_t, its line in embed.c, its test, its lines in README.md.
 */
#ifndef GATO_EMBED_H
#define GATO_EMBED_H

#include "common/base/rng.h"
#include "common/nn/nn.h"
#include "gato/model/rows.h"
#include "gato/model/timestep.h"
#include "gato/task/config.h"

struct gato_model;
typedef struct embed embed_t;

/* The rows of one embedding; of one task's slot where they are its own. */
typedef struct {
    const embed_t *embed;
    uint32_t task, slot; /* of an embedding with `own`; else 0 */
} pool_t;

/* What `put` may need besides the value. */
typedef struct {
    const struct gato_model *model;
    uint32_t task;
    uint32_t slot;
    bool train;
    rng_t draw; /* of this image: for random places */
} embed_put_t;

struct embed {
    const char *name;
    bool own;        /* its parameters belong to a task's slot: <name>.<task>.<slot>.* */
    bool vocabulary; /* its rows are those of the vocabulary, input 0 being the id */
    bool (*serves)(const gato_config_t *c, const slot_t *slot);
    /* Can a model have it at all (codes need a codebook)? NULL = always. */
    bool (*possible)(const struct gato_model *m);
    /* Sets *n to the tokens of a value, by its sizes alone: 0 where it holds nothing that is read
     * here. -1 with a reason: sizes that do not fit the configuration. */
    int (*tokens)(const gato_config_t *c, const slot_t *slot, const slot_value_t *value, size_t *n,
                  reason_t *why);
    /* The inputs of the pool; returns how many. */
    size_t (*inputs)(const struct gato_model *m, const pool_t *pool,
                     input_spec_t spec[ROWS_INPUTS]);
    /* Appends the rows of a value to the columns, as many as `tokens` says, and writes the
     * vocabulary id of each to id (0 where it has none). The caller counts them (rows_added). */
    void (*put)(const embed_put_t *p, const slot_value_t *value, rows_t *rows, int32_t *id);
    /* Records the rows [n, D], n >= 1. The parameters exist from its first recording on. */
    var_t (*record)(nn_t *nn, const struct gato_model *m, const pool_t *pool, size_t n,
                    const var_t *in);
    /* Sets first values that depend on the data, in a new model; NULL = none. */
    void (*start)(struct gato_model *m, const pool_t *pool);
};

/* The embedding of a slot under a configuration; BUG if there is none. */
const embed_t *embed_of(const gato_config_t *c, const slot_t *slot);
/* Every embedding, NULL at the end: the order of the pools. */
extern const embed_t *const embeds[];

#endif
