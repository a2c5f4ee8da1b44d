/* head.h - what is predicted from hidden states, and the loss of it: one static table a row,
 * listed in HEAD_KINDS below. Nothing else in gato/ names one.
 *
 * Training minimizes the sum of the terms below. w.* are the weights of the configuration
 * (loss.action, ...). N is the number of token targets (action tokens and text) of the batch; with
 * loss.per_sequence that of sequences, and a target weighs 1 / (targets of its sequence). Cross
 * entropies (CE) of tokens are over the whole vocabulary.
 *
 *   head          term                                          factor
 *   ---------------------------------------------------------------------------------------
 *   action_ce     sum CE of acted vectors' tokens               w.action / N
 *   action_fast   sum CE of whole chunks' tokens (FAST)         w.action / N
 *   action_mix    sum CE of acted vectors' tokens               w.action w.ce_weight / N
 *                 mean (expectation - clean value)^2            w.action
 *   action_mse    mean (predict_action - clean action)^2,       w.action, of each task its share
 *                 over the chunk as far as the episode goes
 *   discrete      sum CE of acted discrete tokens               w.action / N
 *   text          sum CE of predicted text                      w.text / N
 *   image         mean CE of image codes, over K, for each k    w.image / number of horizons
 *                 (weights: loss.image_changed, image_first)
 *   vector_ce     mean CE of the bins of observed vectors       w.vector
 *   vector        mean squared error of observed vectors,       w.vector, of each slot its share
 *                 standardized (vector_in = linear)
 *   observed      mean CE of observed discrete values           w.discrete
 *
 * action_mse with several tasks: the mean is over all numbers of the batch, so a task's term has
 * the factor w.action (its numbers / all numbers); vector likewise with its slots. With one task
 * both are w.action and w.vector.
 *
 * Images (horizon 1), vectors and observed discrete values are read at the token before theirs,
 * which may belong to the timestep before, but not across the seam between prompt and main part.
 *
 * Add one: a file head_x.c with a head_t named head_x, its X(x) in HEAD_KINDS, its weight in
 * task/config.[ch], its test, its lines in README.md.
 */
#ifndef GATO_HEAD_H
#define GATO_HEAD_H

#include "common/tape/plan.h"
#include "gato/model/embed.h"

struct batch;
typedef struct head head_t;

/* Targets that are recorded together: those of one head, of one task where its parameters belong
 * to it, and of one part where a head has several (a horizon, a slot). */
typedef struct {
    const head_t *head;
    uint32_t task; /* of a head with `own`; else 0 */
    uint32_t part;
} group_t;

/* A sequence as it lies in the batch, for collecting targets. */
typedef struct {
    const timestep_place_t *step; /* [n_steps] */
    size_t n_steps;
    uint32_t task;
    size_t first, end; /* its positions in the batch */
} sequence_places_t;

/* The targets of a group. Input 0 is `position` I32: the hidden row that predicts (a ragged
 * position of the batch; graph.c turns it into a row of [B * T], padding into -1). Input 1 is
 * `weight` F32: 1 per target as collected; batch_end shares it within a sequence where
 * loss.per_sequence says so. Beside the inputs, for metrics and weights: the task of each target.
 * */
typedef struct {
    rows_t rows;
    column_t task;
    double weight;  /* sum of the weights of all targets */
    double numbers; /* of heads that regress: the same times the numbers of each target */
} targets_t;
enum { INPUT_POSITION, INPUT_WEIGHT, INPUT_OTHER };

/* Unweighted sums over targets, for metrics over many batches. */
typedef struct {
    double ce;
    size_t n; /* targets of ce */
    /* without train: those whose own range has its maximum at the label */
    size_t correct, n_correct;
    /* errors of n_values predicted numbers against clean ones */
    double squared, absolute;
    size_t n_values;
} head_sums_t;

/* What a head recorded; NO_VAR where absent. All are kept by the plan. */
enum { HEAD_ROOTS = 2, HEAD_VALUES = 4 };
typedef struct {
    var_t root[HEAD_ROOTS];   /* scalars, each a root of the backward pass */
    var_t value[HEAD_VALUES]; /* what its metrics read */
} head_vars_t;
extern const head_vars_t head_vars_none;

/* What a head learns from, of a record: data without it have nothing for the head. */
typedef enum {
    LEARNS_ACTIONS,
    LEARNS_TEXTS,
    LEARNS_IMAGES,
    LEARNS_VECTORS,
    LEARNS_VALUES, /* observed discrete ones */
    LEARNS
} head_learns_t;

/* How a head chooses actions at play. */
typedef struct {
    /* Records the values of acted slot `slot` from hidden rows [n, D] of separators: F32
     * [n, chunk * width] in [-1,1] (unclamped), for each of the n the rows of this timestep and of
     * the next ones (model.chunk). NULL: the slot's columns are chosen token after token from the
     * logits of the token head over the column's range. */
    var_t (*record)(nn_t *nn, const struct gato_model *m, uint32_t task, uint32_t slot, var_t rows);
    /* Instead: a chunk of the slot, token of FAST after token, by the token head. */
    bool fast;
} head_play_t;

struct head {
    const char *name;
    /* What its metrics are of: "action", "discrete", "text", "image", "vector", "observed", or
     * what no other head is of. Heads of the same never serve the same model. */
    const char *of;
    head_learns_t learns;
    size_t weight; /* offset of its weight in gato_config_t (loss.x, a double): 0 = off */
    bool own;      /* its parameters belong to a task */
    /* Does a model of this configuration have it for records of this task? */
    bool (*serves)(const gato_config_t *c, const task_t *task);
    /* How many groups it has for a task (`own`) or the model; NULL = 1. */
    size_t (*parts)(const struct gato_model *m, uint32_t task);
    /* Has the group something to predict in the model? NULL = yes. */
    bool (*possible)(const struct gato_model *m, const group_t *g);
    size_t (*inputs)(const struct gato_model *m, const group_t *g, input_spec_t spec[ROWS_INPUTS]);
    /* Appends the targets of a sequence that has just been added to the batch, and counts them
     * (rows_added). */
    void (*collect)(const struct batch *b, const group_t *g, const sequence_places_t *s,
                    targets_t *to);
    /* Do its targets count in N, the number of token targets? */
    bool counts;
    /* With loss.per_sequence, targets that count share the weight 1 of their sequence. Do these,
     * which do not count, share one of their own? */
    bool shares;
    /* Records the losses over hidden rows [n, D], n >= 1. The parameters exist from then on.
     * train: only what the roots need. */
    void (*record)(nn_t *nn, const struct gato_model *m, const group_t *g, size_t n, var_t rows,
                   const var_t *in, bool train, head_vars_t *out);
    /* The factor of root r for this batch; 0 = no term. */
    double (*factor)(const struct batch *b, const group_t *g, const targets_t *t, size_t r);
    /* Adds the sums of the targets of each task to sums[task]. */
    void (*measure)(const struct gato_model *m, const group_t *g, const targets_t *t, plan_t *plan,
                    const head_vars_t *vars, bool train, head_sums_t *sums);
    /* The acted slots that it chooses at play; NULL = none. */
    bool (*plays)(const gato_config_t *c, const slot_t *slot);
    head_play_t play;
};

/* In the order of the groups and of the metrics. */
#define HEAD_KINDS(X)                                                                              \
    X(action_ce)                                                                                   \
    X(action_fast)                                                                                 \
    X(action_mix) X(discrete) X(text) X(action_mse) X(image) X(vector_ce) X(vector) X(observed)
#define HEAD_EXTERN(name) extern const head_t head_##name;
HEAD_KINDS(HEAD_EXTERN)
#define HEAD_ONE(name) +1
enum { HEADS = HEAD_KINDS(HEAD_ONE) };

/* All of them, NULL at the end. */
extern const head_t *const heads[HEADS + 1];
/* The number of a head in heads[]. */
size_t head_number(const head_t *head);
double head_weight(const head_t *head, const gato_config_t *c);

#endif
