/* policy.h - who chooses the actions: one static table per policy, listed in policy.c.
 *
 * Add one: a file policy_x.c with a policy_t, its line in policy.c, its test, its lines in
 * README.md.
 */
#ifndef GATO_POLICY_H
#define GATO_POLICY_H

#include "common/base/rng.h"
#include "gato/env/env.h"
#include "gato/play/planner.h"
#include "gato/run/run.h"

/* --goal env: the environment shows the goal of each episode (env_goal). */
#define GOAL_FROM_ENV "env"

/* How a policy plays. */
typedef struct {
    const char *model;  /* a RUN; NULL = none */
    const char *task;   /* --task; NULL = by name or fit */
    bool allow_missing; /* player_bind */
    player_opts_t player;
    const char *prompt; /* "X.lmdb" or "X.lmdb:ID" (prompt.h); NULL = none */
    size_t prompt_top;  /* of X.lmdb the best episodes only; 0 = all */
    const char *goal;   /* an image file, or GOAL_FROM_ENV; NULL = none */
    search_opts_t plan;
    bool forget; /* a plan begins from the present timestep alone */
    double beta; /* mix: probability of the expert's action in each step */
} policy_opts_t;

/* What a policy may see before it acts. */
typedef struct {
    const task_t *body; /* the environment's */
    const env_observation_t *seen;
    const env_observation_t *goal; /* at step 0: what the environment shows of it, or NULL */
    /* What the expert would do, or NULL without expert. Asked once per step, by the caller. */
    const env_action_t *expert;
    uint64_t seed, episode;
    size_t step; /* 0 begins an episode: the policy forgets the last one */
} policy_view_t;

/* What a policy has planned in a step. Distances are those of planner.h. */
typedef struct {
    double ms;       /* that the plan took, without what is seen before it */
    double imagined; /* distance at the end of the plan's horizon */
    /* Of the plan before this one, whose executed actions have led here: the distance now less the
     * one that it imagined for now. */
    bool has_gap;
    double gap;
} planned_t;

typedef struct {
    const char *name;
    bool needs_model, needs_image, needs_expert;
    /* Makes the state of one player; each worker process opens its own. NULL with *rc and a reason
     * on failure. A policy without state has no open. */
    void *(*open)(const task_t *body, const policy_opts_t *o, int *rc, reason_t *why);
    void (*close)(void *self);
    /* One line for people about how the open policy acts (the bounds that scale its actions), in
     * buf; "" = nothing to say. A policy without such a line has none. */
    const char *(*about)(const void *self, char buf[512]);
    /* Names what it plays with of files, in as many digits as run_fingerprint: its weights and its
     * RUN's settings of play, a goal's image, a prompt's records. A policy without weights has
     * none. */
    void (*weights)(const void *self, char out[RUN_FINGERPRINT]);
    /* The same view gives the same action. 0, or -1 with a reason. */
    int (*act)(void *self, const policy_view_t *view, env_action_t *action, reason_t *why);
    /* What the last act has planned; NULL: nothing. A policy that never plans has none. */
    const planned_t *(*planned)(const void *self);
} policy_t;

/* The policy of that name; NULL with a reason that lists the known names, the nearest first. */
const policy_t *policy_find(const char *name, reason_t *why);

/* An action drawn from the whole space, as Gymnasium samples one: uniform between finite bounds,
 * exponential from one finite bound, normal without bounds; discrete values uniform. Takes the
 * draws first .. first + columns - 1 of r, for vectors, then for discrete values. */
void policy_draw(const task_t *body, rng_t r, uint64_t first, env_action_t *action);

/* For policies that hold a model as policy_model.open returns it: gives it a timestep. given: what
 * is done in it; NULL: the model chooses. */
int policy_model_turn(void *model, const policy_view_t *view, const env_action_t *given,
                      env_action_t *action, reason_t *why);

extern const policy_t policy_expert, policy_random, policy_model, policy_mix, policy_plan;

#endif
