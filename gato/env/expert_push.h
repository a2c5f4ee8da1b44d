/* expert_push.h - the expert that pushes a round puck over a table: a control law as a plain
 * function of the state, without a simulator. */
#ifndef GATO_EXPERT_PUSH_H
#define GATO_EXPERT_PUSH_H

/* The velocity that a round pusher should have, as a part of its greatest: action [2] in [-1,1], to
 * bring the puck to the goal. Places are [2] in meters; `touch` is the distance of the two middles
 * in contact. It goes around the puck to the side away from the goal and pushes from there; when
 * the puck slips to a side it corrects, or goes around again. It has no memory: it labels any
 * state. */
void expert_push_act(const double pusher[2], const double puck[2], const double goal[2],
                     double touch, float action[2]);

#endif
