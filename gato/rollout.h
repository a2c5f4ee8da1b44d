/* rollout.h - one played episode: what was seen, done, rewarded, and what the expert would have
 * done.
 *
 * A recording of a perfect player never shows how to get back on the way, so the play can be
 * disturbed: the executed action is then not the policy's, while the label stays the expert's clean
 * action for the state at hand.
 */
#ifndef GATO_ROLLOUT_H
#define GATO_ROLLOUT_H

#include "gato/env.h"
#include "gato/policy.h"

typedef struct {
    uint64_t seed;
    double burst; /* probability a step that 3-8 steps of one constant random action begin */
    double noise; /* standard deviation of Gaussian noise on each action ... */
    double noise_episodes; /* ... in this fraction of the episodes */
} rollout_opts_t;

/* What leaves a rollout besides its arrays. */
typedef struct {
    int failed; /* 1: `why` says what, nothing else is valid */
    reason_t why;
    size_t T;
    double ret; /* sum of rewards */
    bool success;
} rollout_head_t;

/* One block of memory, [head | arrays], that can be sent through a pipe whole. The pointers look
 * into the caller's block. */
typedef struct {
    rollout_head_t *head;
    uint8_t *rgb;                    /* [max_steps + 1, h, w, 3], NULL without images */
    float *vector;                   /* [max_steps + 1, n_vector], NULL without */
    float *action, *expert;          /* [max_steps, n_actions], executed and clean */
    float *reward;                   /* [max_steps] */
    uint8_t *terminated, *truncated; /* [max_steps] */
} rollout_t;
size_t rollout_bytes(const env_info_t *info);
/* block: rollout_bytes, 16-byte aligned. */
rollout_t rollout_view(const env_info_t *info, void *block);

/* Plays episode `episode` from its reset to its end: a function of (environment, policy, opts,
 * episode) alone. Failures are in the head. Every byte of the block that is not written is zero. */
void rollout_play(const rollout_t *r, env_t *env, const policy_t *policy, void *player,
                  const rollout_opts_t *opts, uint64_t episode);

#endif
