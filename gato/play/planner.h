/* planner.h - chooses actions by dreaming: a search (search.h) over action sequences, each imagined
 * in a lane of its own that is forked from the episode's.
 *
 * Distances are those of the dreamt codes from the codes of goal images (player_distance), summed
 * over the images that have a goal. A plan's first `execute` actions are done before the next plan,
 * which begins with the rest of it.
 */
#ifndef GATO_PLANNER_H
#define GATO_PLANNER_H

#include "gato/play/player.h"
#include "gato/play/search.h"

typedef struct planner planner_t;

/* Borrows p, whose lane 0 is the episode's and which has o->candidates lanes more, and body, which
 * it is bound to. NULL with a reason: options out of range, a model that cannot dream. Free with
 * planner_free. */
planner_t *planner_new(player_t *p, uint32_t task, const task_t *body, const search_opts_t *o,
                       reason_t *why);
void planner_free(planner_t *plan);
/* An episode begins: forgets the last plan and its goals. */
void planner_begin(planner_t *plan);
/* What an image slot of the policy's task is to look like, w x h pixels. 0, or -1 with a reason.
 * */
int planner_goal(planner_t *plan, uint32_t slot, const uint8_t *rgb, size_t w, size_t h,
                 reason_t *why);
/* The distance of the lane's last timestep, which was pushed, from the goals. 0, or -1 with a
 * reason: no goal, or one of another size than what the lane sees. */
int planner_distance(planner_t *plan, double *distance, reason_t *why);
/* Plans from the timestep that lane 0 has just been pushed; player_redo gives it the first action.
 * The plan is valid until the next. draw: the random key of this step. NULL with a reason, as of
 * planner_distance. */
const search_found_t *planner_choose(planner_t *plan, rng_t draw, reason_t *why);
/* An action for pushes before it is known: the middle of every column. */
void planner_placeholder(const planner_t *plan, env_action_t *action);

#endif
