/* policy.h - who chooses the actions: one static table per policy, listed in policy.c. "expert" and
 * "random" are there; "model" is player.c's. */
#ifndef GATO_POLICY_H
#define GATO_POLICY_H

#include "gato/env/env.h"

/* What a policy may see before it acts. */
typedef struct {
    env_t *env; /* for the expert, which reads the state */
    const env_info_t *info;
    const uint8_t *rgb;  /* [h,w,3]; NULL without images, or for a policy that needs none */
    const float *vector; /* [n_vector] */
    uint64_t seed, episode;
    size_t step; /* 0 begins an episode: the policy forgets the last one */
} policy_view_t;

struct player_opts; /* how a trained model plays (player.h) */

typedef struct {
    const char *name;
    bool needs_model, needs_image;
    /* Makes the state of one player; each worker process opens its own. NULL with *rc and a reason
     * on failure. opts: NULL = the RUN's. A policy without state has no open. */
    void *(*open)(const env_info_t *info, const char *model, const struct player_opts *opts,
                  int *rc, reason_t *why);
    void (*close)(void *self);
    /* action [info->n_actions]. The same view gives the same action. 0, or -1 with a reason. */
    int (*act)(void *self, const policy_view_t *view, float *action, reason_t *why);
} policy_t;

/* The policy of that name; NULL with a reason that lists the known names. */
const policy_t *policy_find(const char *name, reason_t *why);

#endif
