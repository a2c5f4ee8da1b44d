/* episode.c - see episode.h. */
#include "gato/play/episode.h"
#include "common/base/log.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- an observation that outlives the environment's next call ---- */

typedef struct {
    env_observation_t seen; /* into slot */
    struct {
        void *v;
        size_t cap;
    } slot[TASK_SLOTS];
} kept_t;

static const void *keep(kept_t *k, uint32_t slot, const void *from, size_t bytes) {
    if (!from) return NULL;
    k->slot[slot].v = xgrow(k->slot[slot].v, &k->slot[slot].cap, bytes, 1);
    memcpy(k->slot[slot].v, from, bytes);
    return k->slot[slot].v;
}

static void keep_all(kept_t *k, const task_t *task, const env_observation_t *seen) {
    memset(&k->seen, 0, sizeof k->seen);
    for (uint32_t i = 0; i < task->n_slots; i++) {
        const slot_t *slot = &task->slot[i];
        const env_value_t *from = &seen->slot[i];
        env_value_t *to = &k->seen.slot[i];
        size_t pixels = (size_t)slot->image_h * slot->image_w * 3;
        to->rgb = keep(k, i, from->rgb, pixels);
        if (from->text) to->text = keep(k, i, from->text, strlen(from->text) + 1);
        if (from->vector) to->vector = keep(k, i, from->vector, slot->width * sizeof(float));
        if (from->discrete)
            to->discrete = keep(k, i, from->discrete, slot->width * sizeof(uint32_t));
    }
}

static void release_kept(kept_t *k) {
    for (size_t i = 0; i < TASK_SLOTS; i++) free(k->slot[i].v);
}

/* ---- disturbances ---- */

/* Disturbances of one episode. Draws are numbered by step, so a step does not depend on the steps
 * before it, except that no burst begins within another. */
typedef struct {
    rng_t burst, noise;
    double burst_probability;
    float sigma; /* 0 in quiet episodes */
    size_t burst_end;
    env_action_t burst_action;
    uint64_t columns; /* draws of an action */
} disturbance_t;

/* LEAST_DRAWS: as many columns as former versions left room for, whose recordings come out
 * again. */
enum { BURST_SHORTEST = 3, BURST_LENGTHS = 6, LEAST_DRAWS = 16 };

static disturbance_t disturbance(const task_t *task, const episode_opts_t *o, uint64_t episode) {
    bool noisy = rng_uniform64(rng_make(o->seed, "record.noisy"), episode) < o->noise_episodes;
    uint64_t columns = env_n_vector(task) + env_n_discrete(task);
    return (disturbance_t){
        .burst = rng_fold(rng_make(o->seed, "record.burst"), episode),
        .noise = rng_fold(rng_make(o->seed, "record.noise"), episode),
        .burst_probability = o->burst,
        .sigma = noisy ? (float)o->noise : 0,
        .columns = columns > LEAST_DRAWS ? columns : LEAST_DRAWS,
    };
}

/* One number of the executed action. The environment clamps, and the recording must hold what it
 * executes. A NaN stays a NaN, so that the environment refuses it. */
static float disturbed(float v, float low, float high, float sigma, float noise) {
    bool bounded = isfinite(low) && isfinite(high);
    float spread = sigma * (bounded ? (high - low) / 2 : 1);
    v += spread * noise;
    if (v > high) v = high;
    if (v < low) v = low;
    return v;
}

static void disturb(disturbance_t *d, const task_t *task, size_t step, env_action_t *action) {
    uint64_t draw = step * (d->columns + 2);
    if (step >= d->burst_end && rng_uniform64(d->burst, draw) < d->burst_probability) {
        d->burst_end = step + BURST_SHORTEST + rng_below(d->burst, draw + 1, BURST_LENGTHS);
        policy_draw(task, d->burst, draw + 2, &d->burst_action);
    }
    bool burst = step < d->burst_end;
    if (burst) *action = d->burst_action;
    size_t k = 0;
    for (uint32_t i = 0; i < task->n_slots; i++) {
        const slot_t *slot = &task->slot[i];
        if (slot->side != SIDE_ACTED || slot->kind != SLOT_VECTOR) continue;
        for (uint32_t c = 0; c < slot->width; c++, k++) {
            bool noisy = !burst && d->sigma > 0;
            float noise = noisy ? rng_normal(d->noise, step * d->columns + k) : 0;
            action->vector[k] =
                disturbed(action->vector[k], slot->low[c], slot->high[c], d->sigma, noise);
        }
    }
}

/* ---- the loop ---- */

typedef struct {
    env_t *env;
    const policy_t *policy;
    void *player;
    const episode_opts_t *o;
    uint64_t episode;
    bool images;
    episode_sink_t sink;
    void *ctx;
    disturbance_t trouble;
    kept_t kept, goal;
    size_t max_steps;
} play_t;

static int observe(play_t *p, reason_t *why) {
    env_observation_t seen = {0};
    if (env_observe(p->env, p->images, &seen, why)) return -1;
    keep_all(&p->kept, env_task(p->env), &seen);
    return 0;
}

/* Asks the expert: *expert is NULL when there is none. */
static int ask(play_t *p, env_action_t *answer, const env_action_t **expert, reason_t *why) {
    *expert = NULL;
    if (!p->o->labels && !p->policy->needs_expert) return 0;
    memset(answer, 0, sizeof *answer);
    env_expert_t known = env_expert(p->env, answer, why);
    if (known == ENV_EXPERT) *expert = answer;
    return known == ENV_EXPERT_FAILED ? -1 : 0;
}

/* From the present observation to the next. */
static int one_step(play_t *p, size_t step, env_outcome_t *out, reason_t *why) {
    env_action_t action = {0}, answer;
    episode_step_t s = {.step = step, .seen = &p->kept.seen, .action = &action};
    if (ask(p, &answer, &s.expert, why)) return -1;
    policy_view_t view = {.body = env_task(p->env),
                          .seen = &p->kept.seen,
                          .goal = p->o->goal && !step ? &p->goal.seen : NULL,
                          .expert = s.expert,
                          .seed = p->o->seed,
                          .episode = p->episode,
                          .step = step};
    double start = log_now();
    if (p->policy->act(p->player, &view, &action, why)) return -1;
    s.ms = (float)((log_now() - start) * 1000);
    disturb(&p->trouble, view.body, step, &action);
    if (env_step(p->env, &action, &s.out, why)) return -1;
    if (step + 1 == p->max_steps && !s.out.terminated) s.out.truncated = true;
    *out = s.out;
    return p->sink ? p->sink(p->ctx, &s, why) : 0;
}

static int ask_goal(play_t *p, reason_t *why) {
    env_observation_t goal;
    env_goal_t known = env_goal(p->env, &goal, why);
    if (known == ENV_NO_GOAL)
        return reason_set(why, "environment '%s' knows no goal to show", env_name(p->env));
    if (known == ENV_GOAL) keep_all(&p->goal, env_task(p->env), &goal);
    return known == ENV_GOAL ? 0 : -1;
}

/* ---- where an episode begins ---- */

enum { MOST_STATE = 4096 /* doubles of a state that tell two starts apart */ };

static uint64_t mixed(uint64_t h, const void *bytes, size_t n) {
    return bytes ? XXH64(bytes, n, h) : h;
}

static void name_start(const play_t *p, episode_result_t *result) {
    double state[MOST_STATE];
    size_t n = env_state(p->env, state, MOST_STATE);
    if (n) {
        result->start = XXH64(state, (n < MOST_STATE ? n : MOST_STATE) * sizeof *state, 0);
        return;
    }
    const task_t *task = env_task(p->env);
    for (uint32_t i = 0; i < task->n_slots; i++) {
        const slot_t *slot = &task->slot[i];
        const env_value_t *seen = &p->kept.seen.slot[i];
        size_t pixels = (size_t)slot->image_h * slot->image_w * 3;
        if (slot->kind == SLOT_IMAGE) result->view = mixed(result->view, seen->rgb, pixels);
        result->start = mixed(result->start, seen->text, seen->text ? strlen(seen->text) : 0);
        result->start = mixed(result->start, seen->vector, slot->width * sizeof(float));
        result->start = mixed(result->start, seen->discrete, slot->width * sizeof(uint32_t));
    }
}

static int play(play_t *p, episode_result_t *result, reason_t *why) {
    if (env_reset(p->env, p->o->seed, p->episode, why)) return -1;
    if (p->o->goal && ask_goal(p, why)) return -1;
    if (observe(p, why)) return -1;
    name_start(p, result);
    for (bool over = false; !over;) {
        env_outcome_t out = {0};
        if (one_step(p, result->T, &out, why)) return -1;
        result->T++;
        result->ret += (double)out.reward;
        result->success |= out.success;
        over = out.terminated || out.truncated;
        if (observe(p, why)) return -1;
    }
    episode_step_t last = {.step = result->T, .seen = &p->kept.seen};
    return p->sink ? p->sink(p->ctx, &last, why) : 0;
}

int episode_play(env_t *env, const policy_t *policy, void *player, const episode_opts_t *o,
                 uint64_t episode, bool images, episode_sink_t sink, void *ctx,
                 episode_result_t *result, reason_t *why) {
    const task_t *task = env_task(env);
    size_t most = o->max_steps && (!task->max_steps || o->max_steps < task->max_steps)
                      ? o->max_steps
                      : task->max_steps;
    if (!most) BUG("an episode without an end");
    play_t *p = NEW(play_t);
    *p = (play_t){.env = env,
                  .policy = policy,
                  .player = player,
                  .o = o,
                  .episode = episode,
                  .images = images,
                  .sink = sink,
                  .ctx = ctx,
                  .trouble = disturbance(task, o, episode),
                  .max_steps = most};
    *result = (episode_result_t){0};
    int rc = play(p, result, why);
    release_kept(&p->kept);
    release_kept(&p->goal);
    free(p);
    return rc;
}
