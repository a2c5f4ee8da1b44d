/* mujoco_model.h - what every environment in MuJoCo needs of the library: a model out of a string,
 * numbers of its parts, and a look at whether a simulation is still sound. Built only with
 * MuJoCo. */
#ifndef GATO_MUJOCO_MODEL_H
#define GATO_MUJOCO_MODEL_H
#ifdef WITH_MUJOCO

#include "common/base/die.h"
#include <mujoco/mujoco.h>

/* The model of that XML; `name` is for messages. NULL with a reason, also for another version of
 * the library than this program was built for. From here on MuJoCo's errors are this program's
 * (die) and its warnings too (warn). Release with mj_deleteModel. */
mjModel *mujoco_model(const char *name, const char *xml, reason_t *why);
/* The number of the named part; a model without it is a BUG. */
int mujoco_id(const mjModel *m, mjtObj kind, const char *name);
/* Did a step meet numbers that are not finite or too large? MuJoCo resets such a state and goes on.
 * 0, or -1 with a reason. */
int mujoco_check(const mjData *d, reason_t *why);

#endif
#endif
