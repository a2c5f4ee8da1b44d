/* rollout.c - the loop of observing, choosing, disturbing and stepping. */
#include "gato/play/rollout.h"
#include "common/base/rng.h"
#include "common/base/sizes.h"
#include <string.h>

/* Cuts `bytes` off the block (NULL while only counting). Every array starts 16-byte aligned. */
static void *cut(uint8_t *block, size_t *at, size_t bytes) {
    void *p = block && bytes ? block + *at : NULL;
    *at += round_up(bytes, 16);
    return p;
}

static size_t lay_out(rollout_t *r, const env_info_t *info, uint8_t *block) {
    size_t T = info->max_steps, at = 0;
    r->head = cut(block, &at, sizeof *r->head);
    r->rgb = cut(block, &at, (T + 1) * info->image_w * info->image_h * 3);
    r->vector = cut(block, &at, (T + 1) * info->n_vector * sizeof(float));
    r->action = cut(block, &at, T * info->n_actions * sizeof(float));
    r->expert = cut(block, &at, T * info->n_actions * sizeof(float));
    r->reward = cut(block, &at, T * sizeof(float));
    r->terminated = cut(block, &at, T);
    r->truncated = cut(block, &at, T);
    return at;
}

size_t rollout_bytes(const env_info_t *info) {
    return lay_out(&(rollout_t){0}, info, NULL);
}

rollout_t rollout_view(const env_info_t *info, void *block) {
    rollout_t r;
    lay_out(&r, info, block);
    return r;
}

/* Disturbances of one episode. Draws are numbered by step, so a step does not depend on the steps
 * before it, except that no burst begins within another. */
typedef struct {
    rng_t burst, noise;
    double burst_probability;
    float sigma; /* 0 in quiet episodes */
    size_t burst_end;
    float burst_action[ENV_ACTIONS];
} disturbance_t;

enum { BURST_SHORTEST = 3, BURST_LENGTHS = 6, BURST_DRAWS = ENV_ACTIONS + 2 };

static disturbance_t disturbance(const rollout_opts_t *o, uint64_t episode) {
    bool noisy = rng_uniform64(rng_make(o->seed, "record.noisy"), episode) < o->noise_episodes;
    return (disturbance_t){
        .burst = rng_fold(rng_make(o->seed, "record.burst"), episode),
        .noise = rng_fold(rng_make(o->seed, "record.noise"), episode),
        .burst_probability = o->burst,
        .sigma = noisy ? (float)o->noise : 0,
    };
}

static void disturb(disturbance_t *d, size_t step, float *action, size_t n) {
    uint64_t draw = (uint64_t)step * BURST_DRAWS;
    if (step >= d->burst_end && rng_uniform64(d->burst, draw) < d->burst_probability) {
        d->burst_end = step + BURST_SHORTEST + rng_below(d->burst, draw + 1, BURST_LENGTHS);
        for (size_t i = 0; i < n; i++)
            d->burst_action[i] = 2 * rng_uniform(d->burst, draw + 2 + i) - 1;
    }
    for (size_t i = 0; i < n; i++) {
        if (step < d->burst_end)
            action[i] = d->burst_action[i];
        else if (d->sigma > 0)
            action[i] += d->sigma * rng_normal(d->noise, step * ENV_ACTIONS + i);
        /* The environment clamps, and the recording must hold what it executes. A NaN stays a NaN,
         * so that the environment refuses it. */
        if (action[i] > 1) action[i] = 1;
        if (action[i] < -1) action[i] = -1;
    }
}

static int play(const rollout_t *r, env_t *env, const policy_t *policy, void *player,
                const rollout_opts_t *opts, uint64_t episode) {
    const env_info_t *info = env_info(env);
    size_t frame = info->image_w * info->image_h * 3, na = info->n_actions, nv = info->n_vector;
    rollout_head_t *head = r->head;
    disturbance_t trouble = disturbance(opts, episode);
    if (env_reset(env, opts->seed, episode, &head->why)) return -1;
    bool over = false;
    for (size_t t = 0;; t++) {
        uint8_t *rgb = r->rgb ? r->rgb + t * frame : NULL;
        float *vector = r->vector ? r->vector + t * nv : NULL;
        if (env_observe(env, rgb, vector, &head->why)) return -1;
        if (over) return 0;
        float *action = r->action + t * na;
        policy_view_t view = {env, info, rgb, vector, opts->seed, episode, t};
        if (policy->act(player, &view, action, &head->why)) return -1;
        if (env_expert(env, r->expert + t * na))
            return reason_set(&head->why, "environment '%s' has no expert", info->name);
        disturb(&trouble, t, action, na);
        bool terminated, truncated;
        if (env_step(env, action, r->reward + t, &terminated, &truncated, &head->why)) return -1;
        r->terminated[t] = terminated;
        r->truncated[t] = truncated;
        head->ret += r->reward[t];
        head->T = t + 1;
        over = terminated || truncated;
    }
}

void rollout_play(const rollout_t *r, env_t *env, const policy_t *policy, void *player,
                  const rollout_opts_t *opts, uint64_t episode) {
    memset(r->head, 0, rollout_bytes(env_info(env)));
    r->head->failed = play(r, env, policy, player, opts, episode) != 0;
    r->head->success = !r->head->failed && env_success(env);
}
