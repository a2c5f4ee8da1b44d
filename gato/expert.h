/* expert.h - scripted experts: control laws as plain functions of the state. They know no
 * simulator. */
#ifndef GATO_EXPERT_H
#define GATO_EXPERT_H

/* A planar arm of two links of length `link`: the joint angles that put its tip on `target`. There
 * are two (elbow left, elbow right); the one nearer to `angle` is chosen. Call once an episode:
 * changing the mind underway makes the arm swing about. A target out of reach gives the stretched
 * arm toward it. */
void expert_reach_aim(double link, const double target[2], const double angle[2], double goal[2]);
/* PD control toward goal: action [2] in [-1,1]. The first joint turns freely and takes the short
 * way round; the second has a stop. */
void expert_reach_act(const double goal[2], const double angle[2], const double velocity[2],
                      float action[2]);

#endif
