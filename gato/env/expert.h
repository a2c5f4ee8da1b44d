/* expert.h - scripted experts: control laws as plain functions of the state, without a
 * simulator. */
#ifndef GATO_EXPERT_H
#define GATO_EXPERT_H

/* The joint angles goal [2] that put the tip of a planar arm, two links of length `link`, on
 * `target`. Of the two solutions (elbow left, elbow right) it takes the one nearer to `angle`. Call
 * it once per episode: an arm that changes its mind on the way swings about. For a target out of
 * reach the arm stretches toward it. */
void expert_reach_aim(double link, const double target[2], const double angle[2], double goal[2]);
/* PD control toward goal: action [2] in [-1,1]. The first joint turns freely and takes the shorter
 * way round; the second has a stop. */
void expert_reach_act(const double goal[2], const double angle[2], const double velocity[2],
                      float action[2]);

#endif
