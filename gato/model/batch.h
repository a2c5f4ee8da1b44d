/* batch.h - sequences as index arrays, the inputs of the model's tape.
 *
 * Each modality gives rows [n, D] (tokens of the table, images, vectors); one gather by index
 * assembles the batch [B,T,D]. A target names the position that predicts it. The arrays here are
 * ragged and unpadded; gato_graph_fill pads them to the shape of a graph. Training adds whole
 * sequences, acting one timestep or one token at a time.
 */
#ifndef GATO_BATCH_H
#define GATO_BATCH_H

#include "common/base/rng.h"
#include "gato/data/dataset.h"
#include "gato/task/config.h"
#include "gato/task/facts.h"

typedef struct {
    int32_t *v;
    size_t n, cap;
} ints_t;
typedef struct {
    float *v;
    size_t n, cap;
} floats_t;

/* Where the row of a position comes from: the pool in the high bits, the number of the row in that
 * pool in the POOL_SHIFT low bits. */
enum { POOL_SEPARATOR, POOL_TOKEN, POOL_IMAGE, POOL_VECTOR, POOLS, POOL_SHIFT = 28 };

/* Predictions, one entry each: the position (ragged, in batch order) that predicts, and what. */
typedef struct {
    ints_t position, target;
    floats_t weight; /* 1, or 1 / targets of the sequence */
    floats_t value;  /* continuous actions: the label's value */
    ints_t sequence; /* number of the sequence in the batch */
    ints_t text;     /* 1: a text token */
} targets_t;

typedef struct {
    /* the model's, borrowed */
    const gato_config_t *config;
    const gato_facts_t *facts;
    tokens_t tokens;
    bool train;
    rng_t positions; /* draws the random rows and columns of images, by (sample, timestep) */
    /* sequences */
    ints_t start; /* [B + 1] first position of each sequence, then the end */
    /* per position */
    ints_t at;    /* pool << POOL_SHIFT | row */
    ints_t inner; /* inner position or -1 */
    ints_t step;  /* timestep within the sequence */
    ints_t id;    /* vocabulary id; 0 for a row outside of the vocabulary */
    ints_t mask;  /* 1 where the token is a target */
    /* rows of the pools */
    ints_t token;    /* [n] vocabulary ids */
    ints_t code;     /* [n, merge * merge] */
    ints_t row, col; /* [n] rows of the position tables, -1 = none */
    floats_t pixel;  /* [n, patch, patch, 3], normalized */
    floats_t vector; /* [n, n_continuous] */
    size_t images;   /* rows of the image pool */
    /* targets */
    targets_t continuous, other; /* continuous actions; discrete actions and text */
    ints_t separator;            /* [n] positions of separators that regress an action */
    floats_t action;             /* [n, n_actions] clean actions */
    floats_t action_weight;
    ints_t future;      /* [n] positions that predict an image token (loss.image) */
    ints_t future_code; /* [n, merge * merge] */
    size_t targets, target_sequences;
} batch_t;

/* One timestep of data, borrowed; absent parts are NULL. */
typedef struct {
    const uint32_t *codes; /* [grid_h * grid_w] */
    size_t grid_h, grid_w;
    const uint8_t *rgb; /* [image_h, image_w, 3], patches */
    size_t image_h, image_w;
    const uint32_t *text;
    size_t text_len;
    bool text_target;
    size_t text_given; /* with text_target: how many ids at its start are given, not predicted */
    const float *continuous;
    const uint32_t *discrete;
    const float *actions; /* executed */
    const uint32_t *discrete_actions;
    const float *label_actions; /* clean, NULL = actions */
} timestep_t;

void batch_init(batch_t *b, const gato_config_t *c, const gato_facts_t *f);
void batch_release(batch_t *b);
/* Empties the batch. train: image tokens get random rows and columns, drawn from (seed, step). */
void batch_clear(batch_t *b, bool train, uint64_t seed, uint64_t step);

/* Adds a sequence. die()s with RC_DATA when kept images cannot be decoded. */
void batch_add_sequence(batch_t *b, const sequence_t *w);

/* A sequence in pieces: begin, then per timestep an observation and its actions (or single tokens),
 * then end. */
void batch_begin(batch_t *b);
/* Adds the observation of s and its separator; returns the number of tokens added. */
size_t batch_observation(batch_t *b, const timestep_t *s, int32_t step, uint64_t sample);
/* Adds the action tokens of s, with their targets. */
void batch_actions(batch_t *b, const timestep_t *s, int32_t step);
/* Adds one token of the table, without a target (acting: the action token just chosen). inner: its
 * inner position, -1 = none. */
void batch_token(batch_t *b, uint32_t id, int32_t inner, int32_t step);
void batch_end(batch_t *b);

size_t batch_sequences(const batch_t *b);
/* Positions of all sequences, without padding. */
size_t batch_positions(const batch_t *b);
/* Positions of the longest sequence. */
size_t batch_longest(const batch_t *b);

/* Cuts rgb [h,w,3] into patches in raster order, padded with 0 below and to the right, and
 * normalizes each value v to ((v/255)*2-1)/sqrt(patch). out [rows * cols, patch, patch, 3]. */
void batch_patches(const uint8_t *rgb, size_t h, size_t w, size_t patch, float *out);

#endif
