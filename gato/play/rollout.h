/* rollout.h - one played episode: observations, actions, rewards, and what the expert would have
 * done.
 *
 * A recording of a perfect player never shows how to recover from a mistake. So the play can be
 * disturbed: the executed action then differs from the policy's, while the label stays the expert's
 * clean action for the present state.
 */
#ifndef GATO_ROLLOUT_H
#define GATO_ROLLOUT_H

#include "gato/env/env.h"
#include "gato/play/policy.h"

typedef struct {
    uint64_t seed;
    double burst;          /* probability per step that 3-8 steps of one random action begin */
    double noise;          /* standard deviation of Gaussian noise on each action ... */
    double noise_episodes; /* ... in this fraction of the episodes */
} rollout_opts_t;

/* The result of a rollout besides its arrays. */
typedef struct {
    int failed; /* 1: `why` holds the reason, and nothing else is valid */
    reason_t why;
    size_t T;
    double ret; /* sum of rewards */
    bool success;
} rollout_head_t;

/* Views into one block of memory, [head | arrays], which goes through a pipe as a whole. The caller
 * owns the block. */
typedef struct {
    rollout_head_t *head;
    uint8_t *rgb;                    /* [max_steps + 1, h, w, 3], NULL without images */
    float *vector;                   /* [max_steps + 1, n_vector], NULL without */
    float *action, *expert;          /* [max_steps, n_actions], executed and clean */
    float *reward;                   /* [max_steps] */
    uint8_t *terminated, *truncated; /* [max_steps] */
} rollout_t;
/* The size of a block. */
size_t rollout_bytes(const env_info_t *info);
/* The views into a block of rollout_bytes, 16-byte aligned. */
rollout_t rollout_view(const env_info_t *info, void *block);

/* Plays an episode from its reset to its end: a function of (environment, policy, opts, episode)
 * alone. The head tells of failures. Every byte of the block that is not written is zero. */
void rollout_play(const rollout_t *r, env_t *env, const policy_t *policy, void *player,
                  const rollout_opts_t *opts, uint64_t episode);

#endif
