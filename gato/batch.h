/* batch.h - sequences as index arrays: what the model's tape reads.
 *
 * Each modality gives rows [n, D] (tokens of the table, images, vectors); one gather by index
 * assembles the batch [B,T,D]. Targets name the position that predicts them. Arrays here are ragged
 * and unpadded; gato_graph_fill pads them to the shape of a graph. The same builder serves training
 * (whole windows) and acting (one timestep, or one token, at a time).
 */
#ifndef GATO_BATCH_H
#define GATO_BATCH_H

#include "common/base/rng.h"
#include "gato/config.h"
#include "gato/dataset.h"
#include "gato/facts.h"

typedef struct {
    int32_t *v;
    size_t n, cap;
} ints_t;
typedef struct {
    float *v;
    size_t n, cap;
} floats_t;

/* Where the row of a position comes from: its pool in the high bits, the row's number in it
 * below. */
enum { POOL_SEPARATOR, POOL_TOKEN, POOL_IMAGE, POOL_VECTOR, POOLS, POOL_SHIFT = 28 };

/* One prediction: position (in batch order, ragged) that predicts, what, and the columns that
 * compete. */
typedef struct {
    ints_t position, target;
    floats_t weight; /* 1, or 1 / targets of the sequence */
    floats_t value;  /* continuous actions: the label's value */
    ints_t sequence; /* which sequence */
    ints_t text;     /* 1: a text token */
} targets_t;

typedef struct {
    /* what the model is */
    const gato_config_t *config;
    const gato_facts_t *facts;
    tokens_t tokens;
    bool train;
    rng_t positions; /* of random places; drawn by (sample, image) */
    /* sequences */
    ints_t start; /* first position of each sequence, and the end: B + 1 */
    /* per position */
    ints_t at;    /* pool << POOL_SHIFT | row */
    ints_t inner; /* inner position or -1 */
    ints_t step;  /* timestep of the sequence */
    ints_t id;    /* vocabulary id, 0 where a row is no entry of it */
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
    ints_t future;      /* [n] positions that predict an image token */
    ints_t future_code; /* [n, merge * merge] */
    size_t targets, target_sequences;
} batch_t;

/* One timestep of data; absent parts NULL. */
typedef struct {
    const uint32_t *codes; /* [grid_h * grid_w] */
    size_t grid_h, grid_w;
    const uint8_t *rgb; /* [image_h, image_w, 3], patches */
    size_t image_h, image_w;
    const uint32_t *text;
    size_t text_len;
    bool text_target;
    size_t text_given; /* with text_target: the first ids, which are not */
    const float *continuous;
    const uint32_t *discrete;
    const float *actions; /* executed */
    const uint32_t *discrete_actions;
    const float *label_actions; /* clean, NULL = actions */
} timestep_t;

void batch_init(batch_t *b, const gato_config_t *c, const gato_facts_t *f);
void batch_release(batch_t *b);
/* Empties it. train: random places of patches, drawn from (seed, step). */
void batch_clear(batch_t *b, bool train, uint64_t seed, uint64_t step);

/* A whole window as one sequence. die()s RC_DATA when kept images cannot be decoded. */
void batch_add_sequence(batch_t *b, const sequence_t *w);

/* The pieces: begin a sequence; its observation and separator (returns tokens added); its action
 * tokens with their targets; end it. */
void batch_begin(batch_t *b);
size_t batch_observation(batch_t *b, const timestep_t *s, int32_t step, uint64_t sample);
void batch_actions(batch_t *b, const timestep_t *s, int32_t step);
/* A single token of the table (acting: the action token that was just chosen). inner -1 = none. */
void batch_token(batch_t *b, uint32_t id, int32_t inner, int32_t step);
void batch_end(batch_t *b);

size_t batch_sequences(const batch_t *b);
size_t batch_positions(const batch_t *b);
size_t batch_longest(const batch_t *b);

/* Normalized pixels of an image cut into patches in raster order, zeros (of 0..255) below and to
 * the right: ((v/255)*2-1)/sqrt(patch). out [rows * cols, patch, patch, 3]. */
void batch_patches(const uint8_t *rgb, size_t h, size_t w, size_t patch, float *out);

#endif
