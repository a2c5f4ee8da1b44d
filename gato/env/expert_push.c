/* expert_push.c - the pusher's expert: waypoints on a circle around the puck, then a push. */
#include "gato/env/expert_push.h"
#include <math.h>

/* Tuned for a greatest velocity of 0.25 m/s and 25 actions per second: an action moves 10 mm. */
static const double GAIN = 40, /* parts of the greatest velocity per meter to go */
    GAP = 0.016,               /* between pusher and puck on the way around, meters */
    STRIDE = 0.5,              /* between waypoints, radians */
    SLIP = 0.35,               /* pushes when it is no farther than this off the line, radians */
    NEAR = 0.03,               /* ... and this near to the puck, meters */
    CENTER = 60;               /* of the correction to the line while it pushes, per meter */
static const double TURN = 6.283185307179586;

static double bounded(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

static void act_along(double x, double y, float action[2]) {
    double longest = fmax(1, fmax(fabs(x), fabs(y)));
    action[0] = (float)(x / longest);
    action[1] = (float)(y / longest);
}

void expert_push_act(const double pusher[2], const double puck[2], const double goal[2],
                     double touch, float action[2]) {
    double to_goal = atan2(goal[1] - puck[1], goal[0] - puck[0]);
    double x = pusher[0] - puck[0], y = pusher[1] - puck[1], away = hypot(x, y);
    double here = atan2(y, x), behind = to_goal + TURN / 2;
    double turn = remainder(behind - here, TURN);
    if (fabs(turn) < SLIP && away < touch + NEAR) {
        /* Toward the goal, and to the line through goal and puck. */
        double off = away * sin(turn);
        act_along(cos(to_goal) + CENTER * off * sin(to_goal),
                  sin(to_goal) - CENTER * off * cos(to_goal), action);
        return;
    }
    double angle = here + bounded(turn, -STRIDE, STRIDE), radius = touch + GAP;
    double to_x = puck[0] + radius * cos(angle) - pusher[0],
           to_y = puck[1] + radius * sin(angle) - pusher[1];
    act_along(GAIN * to_x, GAIN * to_y, action);
}
