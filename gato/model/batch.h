/* batch.h - sequences as index arrays, the inputs of the model's tape.
 *
 * Each pool gives rows [n, D]; one gather by index assembles the batch [B,T,D]. A target names the
 * position that predicts it. The arrays here are ragged and unpadded; gato_graph_fill lays the
 * sequences into rows and pads them. Sequences of any tasks mix freely. Training adds whole
 * sequences, acting one timestep or one token at a time.
 *
 * Sequences of very different lengths share rows of [B,T] (packing), so that padding stays small: a
 * token sees its own sequence only. Which sequences a batch has does not depend on it.
 */
#ifndef GATO_BATCH_H
#define GATO_BATCH_H

#include "gato/model/head.h"
#include "gato/model/layout.h"
#include "gato/model/model.h"

/* Where the row of a position comes from: the number of the pool in the high bits (0 = the
 * separator, 1 + i = pool i of the model), the number of the row in the POOL_SHIFT low bits. */
enum { POOL_SHIFT = 40 };

typedef struct {
    int64_t *v;
    size_t n, cap;
} places_t;

typedef struct batch {
    const gato_model_t *model; /* borrowed */
    bool train;
    rng_t draw; /* the random rows and columns of images, by (sample, timestep, slot) */
    /* sequences */
    column_t start;  /* [B + 1] first position of each sequence, then the end */
    column_t window; /* [B] attention window of each, in timesteps */
    column_t task;   /* [B] its number */
    /* per position */
    places_t at;                      /* pool << POOL_SHIFT | row */
    column_t inner;                   /* inner position or -1 */
    column_t step;                    /* timestep within the sequence */
    column_t id;                      /* vocabulary id; 0 for a row outside of the vocabulary */
    column_t mask;                    /* 1 where the token is acted, or text to be predicted */
    rows_t *pool;                     /* [model->n_pools] */
    targets_t *target;                /* [model->n_groups] */
    size_t targets, target_sequences; /* N, and the sequences that have some */
    /* the sequence at hand */
    timestep_place_t *place;
    size_t n_places, place_cap;
    size_t *before;  /* [n_groups] targets before it */
    double *numbers; /* [n_groups] their numbers */
} batch_t;

/* Borrows m. Release with batch_release. */
void batch_init(batch_t *b, const gato_model_t *m);
void batch_release(batch_t *b);
/* Empties the batch. train: image tokens get random rows and columns, drawn from (seed, step). */
void batch_clear(batch_t *b, bool train, uint64_t seed, uint64_t step);

/* A sequence: begin, then per timestep an observation and, where there are actions, its actions
 * (or single tokens), then end, which collects the targets. Data of the timesteps are borrowed
 * until batch_end. The functions that can fail return -1 with a reason: an image whose sizes do not
 * fit; the batch is then to be cleared. */
void batch_begin(batch_t *b, uint32_t task);
/* Adds the observation of s and its separator. sample: the number of the sequence in the whole
 * training, for random draws. */
int batch_observation(batch_t *b, const timestep_t *s, int32_t step, uint64_t sample,
                      reason_t *why);
/* Adds the observation without its separator: that of a text which is still to be written. */
int batch_beginning(batch_t *b, const timestep_t *s, int32_t step, reason_t *why);
/* Adds the action tokens of the timestep that was added last. inputs: false = they have no tokens,
 * and are targets only of what is read at the separator. */
void batch_actions(batch_t *b, bool inputs);
/* Adds tokens first .. end - 1 of the observation of s, to which its separator belongs as the last
 * one, without targets: s may lack what later tokens hold, but not its sizes. */
void batch_part(batch_t *b, const timestep_t *s, int32_t step, size_t first, size_t end);
/* Adds one token of the table to the timestep at hand, without a target: the one just chosen.
 * inner: its inner position, -1 for those of actions. */
void batch_token(batch_t *b, uint32_t id, int32_t inner, int32_t step);
void batch_end(batch_t *b);

size_t batch_sequences(const batch_t *b);
/* Positions of all sequences, without padding. */
size_t batch_positions(const batch_t *b);
/* Positions of the longest sequence. */
size_t batch_longest(const batch_t *b);

#endif
