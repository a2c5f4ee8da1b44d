/* layout.h - the tokens of one timestep, in order:
 *
 *   [ image | text | continuous | discrete ] SEPARATOR [ continuous actions | discrete actions ]
 *
 * Absent parts vanish; text may come before the image. A sequence is its timesteps one after
 * another. Inner positions 0, 1, ... belong to the tokens before the separator. A text or a
 * captioned image is one timestep whose text is to be predicted.
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
    bool text_target; /* the text is to be predicted (records of text), not observed */
} layout_t;

/* Tokens before the separator / of the whole timestep. */
size_t layout_observation(const layout_t *l);
size_t layout_tokens(const layout_t *l);
/* The i-th part in order of appearance, 0 <= i < PARTS. */
part_t layout_order(const layout_t *l, size_t i);
/* First token of a part inside the timestep. */
size_t layout_start(const layout_t *l, part_t part);
/* Part and index inside the part of token i of the timestep. */
part_t layout_part(const layout_t *l, size_t i, size_t *index);
/* Inner position of token i, or -1. */
int32_t layout_inner(const layout_t *l, size_t i);
/* Is token i to be predicted (by the token before it)? */
bool layout_target(const layout_t *l, size_t i);

/* Which of `vocabulary` rows of a position table stands for place i of n along an axis: the i-th of
 * n integer intervals [e_i, e_{i+1}), e_i = floor(i * vocabulary / n). `mean`: its middle, halves
 * to even. Otherwise row draw of the interval, draw in [0,1). closed: the upper end belongs to the
 * interval too, and the mean is rounded down. n <= vocabulary. */
int32_t layout_position(size_t i, size_t n, size_t vocabulary, bool closed, bool mean, float draw);

#endif
