/* env_driver.h - what an environment implements: one static table, listed in env.c, which checks
 * arguments, clamps actions and counts steps. A driver sees only actions inside their declared
 * bounds and ranges, of a running episode. Functions return 0, or -1 with a reason.
 *
 * Add one: a file env_x.c with an env_driver_t, its line in env.c, its test, its lines in
 * README.md.
 */
#ifndef GATO_ENV_DRIVER_H
#define GATO_ENV_DRIVER_H

#include "gato/env/env.h"

typedef struct {
    const char *name; /* NULL: it is not opened by name (env_command.c) */
    bool sized;       /* takes env_opts_t.size */
    /* Returns the driver's own state, and its task, which env.c owns from then on. NULL with *rc
     * and a reason. */
    void *(*open)(const env_opts_t *o, task_t *task, int *rc, reason_t *why);
    void (*close)(void *self);
    int (*reset)(void *self, uint64_t seed, uint64_t episode, reason_t *why);
    /* *seen is empty on entry. */
    int (*observe)(void *self, bool images, env_observation_t *seen, reason_t *why);
    /* *out is zero on entry; env.c applies max_steps. */
    int (*step)(void *self, const env_action_t *action, env_outcome_t *out, reason_t *why);
    env_expert_t (*expert)(void *self, env_action_t *action, reason_t *why); /* NULL = none */
    /* *goal is empty on entry; the driver fills slots of images. */
    env_goal_t (*goal)(void *self, env_observation_t *goal, reason_t *why); /* NULL = none */
    /* NULL: one that has `goal` answers it. */
    bool (*knows_goals)(const void *self);
    size_t (*state)(const void *self, double *out, size_t cap); /* NULL = none */
    const char *(*renderer)(void *self, reason_t *why);         /* NULL = "" */
} env_driver_t;

extern const env_driver_t env_reacher, env_pusher, env_grid, env_command;

#endif
