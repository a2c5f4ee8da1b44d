/* layout.h - the tokens of one timestep, in order:
 *
 *   [ image | text | continuous | discrete ] SEPARATOR [ continuous actions | discrete actions ]
 *
 * Absent parts take no tokens; text may come before the image. A sequence is one timestep after the
 * other. The tokens before the separator have the inner positions 0, 1, ... A text or a captioned
 * image is one timestep whose text the model predicts.
 */
#ifndef GATO_LAYOUT_H
#define GATO_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    PART_IMAGE,
    PART_TEXT,
    PART_CONTINUOUS,
    PART_DISCRETE,
    PART_SEPARATOR,
    PART_ACTION,
    PART_DISCRETE_ACTION,
    PARTS
} part_t;

typedef struct {
    size_t count[PARTS]; /* tokens of each part; the separator counts 1 */
    bool text_first;
    bool text_target; /* the text is predicted (records of text), not observed */
} layout_t;

/* How many tokens stand before the separator. */
size_t layout_observation(const layout_t *l);
/* How many tokens the timestep has. */
size_t layout_tokens(const layout_t *l);
/* The i-th part in order of appearance, 0 <= i < PARTS. */
part_t layout_order(const layout_t *l, size_t i);
/* The first token of a part within the timestep. */
size_t layout_start(const layout_t *l, part_t part);
/* The part that token i of the timestep belongs to; *index: its number within the part. */
part_t layout_part(const layout_t *l, size_t i, size_t *index);
/* Inner position of token i, or -1. */
int32_t layout_inner(const layout_t *l, size_t i);
/* Is token i a target (of the token before it)? */
bool layout_target(const layout_t *l, size_t i);

/* The row of a position table that stands for place i of n along an axis; n <= vocabulary. The
 * table's `vocabulary` rows are cut into n intervals [e_i, e_{i+1}), e_i = floor(i vocabulary / n).
 *   mean     the middle of interval i, halves to even; else the row at `draw` in [0,1) of it
 *   closed   the interval includes its upper end, and the mean is rounded down */
int32_t layout_position(size_t i, size_t n, size_t vocabulary, bool closed, bool mean, float draw);

#endif
