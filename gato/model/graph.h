/* graph.h - the model at work on batches: tapes and plans cached by shape, sequences packed and
 * padded into them, losses (head.h), one backward pass.
 */
#ifndef GATO_GRAPH_H
#define GATO_GRAPH_H

#include "common/tape/plan_cache.h"
#include "gato/model/batch.h"

/* n rounded up to a multiple of 8 (up to 64), of 64 (up to 1024), then of an eighth of the power of
 * two below n. */
size_t graph_bucket(size_t n);

/* How the sequences of a batch lie in rows of T positions. */
typedef struct {
    size_t B, T;
    uint32_t *row, *offset; /* [sequences] the row of each, and its first place in it */
} packing_t;
/* Sequences keep their order, one a row, when `exact`, where padding is below a tenth, or where
 * packing wins nothing; else they are packed, the longest first, each into the first row that has
 * room. T: the exact length up to 32 positions or when `exact`, else a multiple of 8 up to 256 and
 * of 64 beyond; packed, of 8 or 32 and up to twice the longest sequence. A function of the lengths
 * alone. Release with packing_release. */
packing_t packing_of(const batch_t *b, bool exact);
void packing_release(packing_t *p);
/* The row of [B*T] of a ragged position of the batch. *sequence: where the search for its sequence
 * starts, and then that sequence. */
size_t packing_place(const packing_t *p, const batch_t *b, int32_t position, size_t *sequence);

typedef struct {
    bool train;      /* dropout, and one backward pass */
    bool all_logits; /* keep embeddings, hidden states and the logits of every position (trace) */
    bool unshared;   /* tests: plan_opts_t.unshared */
    bool exact;      /* no padding of counts (trace, tests) */
    bool whole;      /* tests: the last layer computes every position, as with all_logits */
    /* without train: linear layers read these packed weights; NULL = the parameters */
    nn_packed_t *packed;
} graph_opts_t;

typedef struct {
    size_t B, T;
    tape_t *tape; /* tape and plan belong to the cache */
    plan_t *plan;
    gato_inputs_t in;
    var_t first; /* I32 [B,T] */
    /* I32 [n]: the rows of [B*T] that losses read. NO_VAR: nearly all of them, so all are
     * computed. */
    var_t read;
    var_t hidden;             /* [B,T,D], or [n,D] of those rows; kept with all_logits */
    var_t embeddings, logits; /* trace: kept with all_logits; else NO_VAR */
    var_t *group_input;       /* [n_groups * ROWS_INPUTS]; NO_VAR where absent */
    head_vars_t *head;        /* [n_groups] */
} gato_graph_t;

/* Graphs of one model; they share memory, so only one runs at a time. */
typedef struct gato_graphs gato_graphs_t;
/* Borrows m, which must outlive it. Free with gato_graphs_free. */
gato_graphs_t *gato_graphs_new(const gato_model_t *m, graph_opts_t o);
void gato_graphs_free(gato_graphs_t *g);
const gato_model_t *gato_graphs_model(const gato_graphs_t *g);

/* The graph for a batch, with its inputs filled in; owned by the cache. */
gato_graph_t *gato_graph_fill(gato_graphs_t *g, const batch_t *b);
/* The graph of the last batch; NULL before the first. */
gato_graph_t *gato_graphs_last(const gato_graphs_t *g);
/* Positions of [B, T] that hold no token, over all: of the last batch. */
double gato_graphs_padding(const gato_graphs_t *g);

/* For graphs that others record (player.c). Fills the inputs that gato_embed made for n[i] rows of
 * pool i, of which the batch may have fewer; padding is a zero row. */
void gato_inputs_fill(plan_t *plan, const tape_t *t, const gato_model_t *m, const gato_inputs_t *in,
                      const size_t *n, const batch_t *b, const packing_t *p);
/* first [B,T] of gato_hidden: where the attention window of every position begins, -1 = padding. */
void gato_first_fill(const batch_t *b, const packing_t *p, int32_t *first);

/* Sums of one batch, or of many. */
typedef struct {
    double loss;       /* what is minimized, of one batch */
    size_t terms;      /* of that loss: 0 = there is nothing to learn in the batch */
    head_sums_t *sums; /* [tasks][HEADS], owned */
    head_sums_t *part; /* the same by group: [tasks][groups], owned */
    const gato_model_t *model;
    size_t tasks;
    size_t *positions, *sequences; /* [tasks] */
} gato_metrics_t;
void gato_metrics_init(gato_metrics_t *f, const gato_model_t *m);
void gato_metrics_release(gato_metrics_t *f);
/* Adds the sums of `more`; `loss` stays. */
void gato_metrics_add(gato_metrics_t *sum, const gato_metrics_t *more);

/* Executes a batch: fills the graph, runs it forward and, in training, backward (add: adds to the
 * gradients instead of overwriting them). (seed, step, first_sample) is the key of dropout. Adds to
 * *f, sets f->loss and f->terms. */
void gato_step(gato_graphs_t *g, const batch_t *b, uint64_t seed, uint64_t step,
               uint64_t first_sample, bool add, gato_metrics_t *f);

/* FLOPs of a training step of this batch: three times those of forward. */
double gato_graph_flops(const gato_graph_t *g);

#endif
