/* expert.c - the two-link arm's expert: inverse kinematics once, then a PD controller. */
#include "gato/env/expert.h"
#include <math.h>

/* Tuned for links of 0.15 m, 0.05 kg, joint damping 0.02 and motors of 0.1 Nm: nearly critical
 * damping at 50 actions per second. */
static const double STIFFNESS = 14, DAMPING = 0.8;
static const double TURN = 6.283185307179586;

static double bounded(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

/* How far away a solution is: the motion of both joints together. */
static double way(const double goal[2], const double angle[2]) {
    return fabs(remainder(goal[0] - angle[0], TURN)) + fabs(goal[1] - angle[1]);
}

void expert_reach_aim(double link, const double target[2], const double angle[2], double goal[2]) {
    double x = target[0], y = target[1];
    double c = bounded((x * x + y * y - 2 * link * link) / (2 * link * link), -1, 1);
    double elbow = acos(c), toward = atan2(y, x);
    /* Equal links form an isosceles triangle, so the shoulder stands half the elbow's angle off the
     * target's direction. */
    double left[2] = {toward - elbow / 2, elbow}, right[2] = {toward + elbow / 2, -elbow};
    const double *best = way(right, angle) < way(left, angle) ? right : left;
    goal[0] = best[0];
    goal[1] = best[1];
}

void expert_reach_act(const double goal[2], const double angle[2], const double velocity[2],
                      float action[2]) {
    double e[2] = {remainder(goal[0] - angle[0], TURN), goal[1] - angle[1]};
    for (int i = 0; i < 2; i++)
        action[i] = (float)bounded(STIFFNESS * e[i] - DAMPING * velocity[i], -1, 1);
}
