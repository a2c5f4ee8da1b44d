/* graph.h - the model at work on batches: tapes and plans cached by shape, batches padded into
 * them, losses.
 *
 * Training minimizes the sum of the terms below. w.* are the weights of the configuration
 * (loss.action, ...). N is the number of token targets (action tokens and text); with
 * loss.per_sequence that of sequences, and a target weighs 1 / (targets of its sequence). Cross
 * entropies (CE) of tokens are over the whole vocabulary.
 *
 *   term                                     action_kind    factor
 *   ------------------------------------------------------------------------------
 *   sum CE of continuous action tokens       ce             w.action / N
 *                                            mix            w.action w.ce_weight / N
 *   sum CE of discrete action tokens         any            w.action / N
 *   sum CE of text tokens                    any            w.text / N
 *   mean CE of image codes, over K codes     any            w.image
 *   mean (expectation - clean value)^2       mix            w.action
 *   mean (predict_action - clean action)^2   mse            w.action
 *
 * Each term is a root of the one backward pass; its factor is the root's seed.
 */
#ifndef GATO_GRAPH_H
#define GATO_GRAPH_H

#include "common/tape/plan_cache.h"
#include "gato/model/batch.h"
#include "gato/model/model.h"

/* Padded sizes, the key of a cached graph. T is exact up to 32 tokens; above, it and the counts are
 * rounded up. */
typedef struct {
    size_t B, T, tokens, images, vectors, continuous, other, separators, futures;
} graph_shape_t;
/* n rounded up to a multiple of 8 (up to 64), of 64 (up to 1024), then of an eighth of the power of
 * two below n. */
size_t graph_bucket(size_t n);
/* The padded sizes of a batch. */
graph_shape_t graph_shape(const gato_model_t *m, const batch_t *b);

typedef struct {
    bool train;      /* dropout, and one backward pass */
    bool all_logits; /* keep the logits of every position, not only of the targets (trace) */
    bool unshared;   /* tests: plan_opts_t.unshared */
    bool exact;      /* no padding of counts (trace, tests) */
    /* without train: linear layers read these packed weights; NULL = the parameters */
    nn_packed_t *packed;
} graph_opts_t;

typedef struct {
    graph_shape_t shape;
    tape_t *tape; /* tape and plan belong to the cache */
    plan_t *plan;
    gato_inputs_t in;
    var_t first; /* I32 [B,T]: the first position that each one sees; -1 = padding */
    /* inputs of the losses, NO_VAR where absent: continuous actions, other tokens (discrete actions
     * and text), separators that regress an action, future image codes */
    var_t c_position, c_target, c_range, c_own_range, c_weight, c_value, c_value_weight;
    var_t o_position, o_target, o_range, o_weight;
    var_t s_position, s_action, s_weight;
    var_t f_position, f_code, f_range, f_weight;
    /* values, NO_VAR where absent */
    var_t embeddings, hidden, logits;              /* trace: kept with all_logits */
    var_t c_logits, o_logits, expectation, action; /* c_logits, o_logits: kept without train */
    var_t c_loss, c_rows, o_loss, o_rows, value_loss, action_loss, f_loss, f_rows;
    var_t root[4];
    size_t n_roots;
} gato_graph_t;
/* An empty graph: every var is NO_VAR. */
gato_graph_t gato_graph_none(void);

/* Graphs of one model; they share memory, so only one runs at a time. */
typedef struct {
    const gato_model_t *model;
    graph_opts_t opts;
    plan_cache_t *plans; /* by graph_shape_t */
    gato_graph_t *last; /* the graph of the last batch, owned by the cache; NULL before the first */
} gato_graphs_t;
/* Borrows m, which must outlive g. Release with gato_graphs_release. */
void gato_graphs_init(gato_graphs_t *g, const gato_model_t *m, graph_opts_t o);
void gato_graphs_release(gato_graphs_t *g);

/* The graph for a batch, with its inputs filled in; owned by the cache. */
gato_graph_t *gato_graph_fill(gato_graphs_t *g, const batch_t *b);

/* Fills only the inputs that gato_embed made, and g->first if there is one: for graphs that
 * others record (player.c). */
void gato_inputs_fill(gato_graph_t *g, const gato_model_t *m, const batch_t *b);

/* Unweighted sums over targets, for metrics over many batches. */
typedef struct {
    double loss; /* what is minimized, of one batch */
    double ce_continuous, ce_discrete, ce_text, ce_image;
    size_t n_continuous, n_discrete, n_text, n_image; /* targets; n_image counts codes */
    /* without train: of n_correct action tokens, those whose own range has its maximum at the
     * label */
    size_t correct, n_correct;
    /* errors of n_values predicted continuous actions against clean ones */
    double squared, absolute;
    size_t n_values;
    size_t positions, sequences;
} gato_metrics_t;

/* Executes a batch: fills the graph, runs it forward and, in training, backward (add: adds to the
 * gradients instead of overwriting them). (seed, step, first_sample) is the key of dropout. */
gato_metrics_t gato_step(gato_graphs_t *g, const batch_t *b, uint64_t seed, uint64_t step,
                         uint64_t first_sample, bool add);
/* Adds the sums of `more`; `loss` stays. */
void gato_metrics_add(gato_metrics_t *sum, const gato_metrics_t *more);

/* FLOPs of a training step of this batch: three times those of forward. */
double gato_graph_flops(const gato_graph_t *g);

#endif
