/* planner.h - chooses an action by dreaming: the cross-entropy method (Rubinstein & Kroese 2004)
 * over action sequences, each imagined in a lane of its own that is forked from the episode's.
 *
 * Sequences are drawn, dreamt as one batch and ranked by the mean distance of the dreamt codes
 * from those of a goal image; the elite's means and deviations (shares, of discrete columns) are
 * what the next iteration draws from. The next step begins with the means, shifted by a step. One
 * iteration is random shooting.
 */
#ifndef GATO_PLANNER_H
#define GATO_PLANNER_H

#include "gato/play/player.h"

typedef struct {
    size_t candidates; /* sequences of an iteration; the player has one lane more */
    size_t horizon;    /* timesteps that are dreamt */
    size_t iterations;
    size_t elite; /* 1 .. candidates */
} planner_opts_t;

typedef struct planner planner_t;

/* Borrows p, whose lane 0 is the episode's, and body, which it is bound to. NULL with a reason:
 * options out of range, a model that cannot dream. Free with planner_free. */
planner_t *planner_new(player_t *p, uint32_t task, const task_t *body, const planner_opts_t *o,
                       reason_t *why);
void planner_free(planner_t *plan);
/* An episode begins: forgets the last plan and its goals. */
void planner_begin(planner_t *plan);
/* What an image slot of the policy's task is to look like, w x h pixels. 0, or -1 with a reason.
 * */
int planner_goal(planner_t *plan, uint32_t slot, const uint8_t *rgb, size_t w, size_t h,
                 reason_t *why);
/* The action of the timestep that lane 0 has just been pushed, which player_redo gives to the
 * lane; *distance: of the best dream from the goal. draw: the random key of this step. 0, or -1
 * with a reason: no goal. */
int planner_choose(planner_t *plan, rng_t draw, env_action_t *action, double *distance,
                   reason_t *why);
/* An action for pushes before it is known: the middle of every column. */
void planner_placeholder(const planner_t *plan, env_action_t *action);

#endif
