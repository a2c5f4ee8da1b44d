/* episode.h - plays episodes: observe, choose, disturb, step; and hands every timestep on as it
 * happens, so that an episode of any length needs the memory of one timestep.
 *
 * A recording of a perfect player never shows how to recover from a mistake. So the play can be
 * disturbed: the executed action then differs from the policy's, while the label stays the expert's
 * clean action for the present state.
 */
#ifndef GATO_EPISODE_H
#define GATO_EPISODE_H

#include "gato/play/policy.h"

typedef struct {
    uint64_t seed;
    double burst; /* probability per step that 3-8 steps of one random action begin */
    /* Standard deviation of Gaussian noise on acted vectors, in half-widths of their bounds (in
     * their own units where a bound is infinite) ... */
    double noise;
    double noise_episodes; /* ... in this fraction of the episodes */
    bool goal;             /* show the policy the goal that the environment knows */
    bool labels;           /* ask the expert in every step, if there is one */
    size_t max_steps;      /* beside the environment's; 0 = that alone. One of them must be there */
} episode_opts_t;

/* One timestep as it happened. seen is that before the action; of the last call (action NULL) it is
 * the observation after the last action. Borrowed. */
typedef struct {
    size_t step;
    const env_observation_t *seen;
    const env_action_t *action, *expert; /* executed; expert NULL = no label */
    env_outcome_t out;
    float ms; /* that the policy took to choose */
} episode_step_t;
/* Takes a timestep; non-zero with a reason ends the episode as failed. */
typedef int (*episode_sink_t)(void *ctx, const episode_step_t *s, reason_t *why);

typedef struct {
    size_t T;
    double ret;   /* sum of rewards */
    bool success; /* the flag of any step */
    /* Name the state that it began in, whoever plays: a hash of the simulator's state, or where the
     * environment tells none, of the numbers and texts that it shows; and then one of the
     * images, 0 where none were wanted. */
    uint64_t start, view;
} episode_result_t;

/* Plays an episode from its reset to its end: a function of (environment, policy, opts, episode)
 * alone. images: are they wanted, by the policy or the sink? 0, or -1 with a reason. */
int episode_play(env_t *env, const policy_t *policy, void *player, const episode_opts_t *o,
                 uint64_t episode, bool images, episode_sink_t sink, void *ctx,
                 episode_result_t *result, reason_t *why);

#endif
