/* graph.h - the model at work on batches: tapes and plans cached by shape, batches padded into
 * them, losses.
 *
 * What is minimized, N being the number of token targets (action tokens and text; with per_sequence
 * the number of sequences):
 *   ce    (action sum(ce of action tokens) + text sum(ce of text)) / N + image mean(ce of codes)
 *   mix   the same with ce_weight on continuous action tokens,
 *         + action mean (expectation - clean value)^2
 *   mse   the same without continuous action tokens,
 *         + action mean (predict_action - clean action)^2
 * Cross entropies are over the whole vocabulary. Each term is a root of the one backward pass; its
 * factor is the root's seed.
 */
#ifndef GATO_GRAPH_H
#define GATO_GRAPH_H

#include "common/tape/plan_cache.h"
#include "gato/batch.h"
#include "gato/model.h"

/* Padded sizes: what a graph is cached by. T is exact up to 32 tokens, else rounded up like the
 * counts. */
typedef struct {
    size_t B, T, tokens, images, vectors, continuous, other, separators, futures;
} graph_shape_t;
/* Rounded up: multiples of 8 up to 64, then of 64, then of an eighth of the power of two below. */
size_t graph_bucket(size_t n);
graph_shape_t graph_shape(const gato_model_t *m, const batch_t *b);

typedef struct {
    bool train;      /* dropout, and one backward pass */
    bool all_logits; /* logits of every position instead of targets' (trace) */
    bool unshared;   /* tests: plan_opts_t.unshared */
    bool exact;      /* no padding of counts (trace, tests) */
    nn_packed_t *
        packed; /* not in training: linear layers over packed weights; NULL = over the parameters */
} graph_opts_t;

typedef struct {
    graph_shape_t shape;
    tape_t *tape; /* tape and plan: the cache's */
    plan_t *plan;
    gato_inputs_t in;
    var_t band;
    /* inputs of the losses; NO_VAR where absent */
    var_t c_position, c_target, c_range, c_own_range, c_weight, c_value, c_value_weight;
    var_t o_position, o_target, o_range, o_weight;
    var_t s_position, s_action, s_weight;
    var_t f_position, f_code, f_range, f_weight;
    /* values */
    var_t embeddings, hidden, logits;              /* trace: kept with all_logits */
    var_t c_logits, o_logits, expectation, action; /* c_logits, o_logits: kept without train */
    var_t c_loss, c_rows, o_loss, o_rows, value_loss, action_loss, f_loss, f_rows;
    var_t root[4];
    size_t n_roots;
} gato_graph_t;
/* A graph without values: every var is NO_VAR. */
gato_graph_t gato_graph_none(void);

/* Graphs of one model that share memory and never run at once. */
typedef struct {
    const gato_model_t *model;
    graph_opts_t opts;
    plan_cache_t *plans; /* by graph_shape_t */
    gato_graph_t *last;  /* the last batch's, the cache's; NULL before the first */
} gato_graphs_t;
void gato_graphs_init(gato_graphs_t *g, const gato_model_t *m, graph_opts_t o);
void gato_graphs_release(gato_graphs_t *g);

/* The graph for a batch, its inputs filled in. */
gato_graph_t *gato_graph_fill(gato_graphs_t *g, const batch_t *b);

/* Only the inputs that gato_embed made (and the band, if there is one): for graphs that others
 * record (player.c). */
void gato_inputs_fill(gato_graph_t *g, const gato_model_t *m, const batch_t *b);

/* Sums over targets (never weighted), for metrics over many batches. */
typedef struct {
    double loss; /* what is minimized, of one batch */
    double ce_continuous, ce_discrete, ce_text, ce_image;
    size_t n_continuous, n_discrete, n_text, n_image; /* targets; n_image counts codes */
    size_t correct,
        n_correct; /* action tokens whose own range has its maximum at the label (without train) */
    double squared, absolute; /* of predicted continuous actions against clean ones */
    size_t n_values;
    size_t positions, sequences;
} gato_metrics_t;

/* Fill, forward and, in training, backward (add: accumulate onto the gradients). (seed, step,
 * first_sample) keys dropout. */
gato_metrics_t gato_step(gato_graphs_t *g, const batch_t *b, uint64_t seed, uint64_t step,
                         uint64_t first_sample, bool add);
/* Adds the sums; loss is not added. */
void gato_metrics_add(gato_metrics_t *sum, const gato_metrics_t *more);

/* Multiply-adds x 2 of a training step of this batch (forward x 3) and bytes of its plan, for
 * --dry-run. */
double gato_graph_flops(const gato_graph_t *g);

#endif
