/* timestep.h - one timestep of data, and where its tokens lie in a batch.
 */
#ifndef GATO_TIMESTEP_H
#define GATO_TIMESTEP_H

#include "common/io/token_db/task.h"

/* What a timestep holds of one slot: borrowed. With all pointers NULL the slot is missing, and has
 * no tokens. */
typedef struct {
    /* images: codes, or pixels (patches) */
    const uint32_t *codes; /* [grid_h * grid_w] */
    size_t grid_h, grid_w;
    const uint8_t *rgb; /* [image_h, image_w, 3] */
    size_t image_h, image_w;
    /* texts */
    const uint32_t *text;
    size_t text_len;
    size_t text_given; /* of a predicted text: how many ids at its start are given */
    /* vectors [width]: observed as they are, acted scaled for the model */
    const float *vector, *label_vector; /* label: the clean target; NULL = vector */
    /* discrete values [width] */
    const uint32_t *discrete, *label_discrete;
    /* acted vectors, for chunks: the clean rows [n_ahead, width] of this timestep and of those that
     * follow it in its episode, and which of them are there (NULL = all). Set also where the slot
     * is missing in this timestep. n_ahead = 0: nothing is known but the timestep itself. */
    const float *ahead;
    const uint8_t *ahead_present;
    size_t n_ahead;
} slot_value_t;

/* Does the timestep have the slot? */
static inline bool slot_value_present(const slot_value_t *v) {
    return v->codes || v->rgb || v->text || v->vector || v->discrete;
}

typedef struct {
    uint32_t task; /* number in the model's list */
    slot_value_t slot[TASK_SLOTS];
    /* Is it the next timestep of the episode after the one before it in the sequence? False for the
     * first of a sequence, and at the seam between prompt and main part. */
    bool linked;
} timestep_t;

/* Where the tokens of a timestep lie in a batch (positions of the batch, ragged). */
typedef struct {
    timestep_t data;          /* what it points to is borrowed until batch_end */
    int32_t step;             /* number in the sequence, from 0 */
    size_t first[TASK_SLOTS]; /* first position of a slot's tokens */
    size_t count[TASK_SLOTS]; /* how many; 0 = the slot is missing */
    size_t separator;         /* its position */
} timestep_place_t;

#endif
