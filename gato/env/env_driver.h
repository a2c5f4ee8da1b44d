/* env_driver.h - what an environment implements: one static table, listed in env.c, which checks
 * arguments, clamps actions and counts steps. A driver sees only finite actions in [-1,1] of a
 * running episode. Functions return 0, or -1 with a reason.
 */
#ifndef GATO_ENV_DRIVER_H
#define GATO_ENV_DRIVER_H

#include "gato/env/env.h"

typedef struct {
    const char *name;
    /* Fills *info (its strings live as long as the environment) and returns the driver's own state,
     * or NULL with *rc and a reason. */
    void *(*open)(env_info_t *info, int *rc, reason_t *why);
    void (*close)(void *self);
    int (*reset)(void *self, uint64_t seed, uint64_t episode, reason_t *why);
    int (*observe)(void *self, uint8_t *rgb, float *vector, reason_t *why);
    /* *terminated is false on entry; env.c applies max_steps. */
    int (*step)(void *self, const float *action, float *reward, bool *terminated, reason_t *why);
    bool (*success)(const void *self);
    int (*expert)(void *self, float *action); /* NULL = no expert */
    size_t (*state)(const void *self, double *out, size_t cap);
    const char *(*renderer)(void *self, reason_t *why);
} env_driver_t;

extern const env_driver_t env_reacher;

#endif
