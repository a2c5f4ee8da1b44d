/* layout.h - the tokens of one timestep, in order:
 *
 *   [ images | texts | vectors | discrete values ] SEPARATOR [ acted vectors | acted discrete ]
 *
 * Missing slots take no tokens; in control, texts and vectors may come first
 * (model.text_first, model.vector_first, in this order). A sequence is
 * one timestep after the other. The tokens before the separator have the inner positions 0, 1, ...
 * A text or a captioned image is one timestep whose text the model predicts. How many tokens a slot
 * has is its embedding's to say (embed.h).
 */
#ifndef GATO_LAYOUT_H
#define GATO_LAYOUT_H

#include "gato/model/timestep.h"
#include "gato/task/config.h"

/* The name of an image slot that is filled from later timesteps of the episode. */
#define GOAL_SLOT "goal"

typedef struct {
    const task_t *task;
    uint8_t order[TASK_SLOTS]; /* numbers of the slots in order of appearance */
    size_t count[TASK_SLOTS];  /* tokens of each slot, by its number */
} layout_t;

/* The layout of a timestep of data. 0, or -1 with a reason: an image whose sizes do not fit. */
int layout_of(layout_t *l, const gato_config_t *c, const task_t *task, const timestep_t *s,
              reason_t *why);
/* The largest timestep that a task declares: with every slot, and texts of slot_t.text_len ids.
 * Images of no declared size count 0. */
int layout_declared(layout_t *l, const gato_config_t *c, const task_t *task, reason_t *why);
/* Tokens before the separator, and of the whole timestep. */
size_t layout_observation(const layout_t *l);
size_t layout_tokens(const layout_t *l);
/* The first token of a slot within the timestep. */
size_t layout_start(const layout_t *l, uint32_t slot);

/* The slot that is filled with goals (data.goal), or -1: the task has none. */
int layout_goal(const gato_config_t *c, const task_t *task);

/* The attention window of a task: how many timesteps a token sees, its own included: floor(context
 * / tokens of the largest timestep), but no more than a training sequence holds (train.window): at
 * play, a network that was trained on single timesteps takes older ones for noise. At least 1; 1
 * for a task without episodes. */
uint32_t layout_window(const gato_config_t *c, const task_t *task);

/* The row of a position table that stands for place i of n along an axis; n <= vocabulary. The
 * table's `vocabulary` rows are cut into n intervals [e_i, e_{i+1}), e_i = floor(i vocabulary / n).
 *   mean     the middle of interval i, halves to even; else the row at `draw` in [0,1) of it
 *   closed   the interval includes its upper end, and the mean is rounded down */
int32_t layout_position(size_t i, size_t n, size_t vocabulary, bool closed, bool mean, float draw);

#endif
