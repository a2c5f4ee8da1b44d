/* env.h - a control environment: it declares its task, shows observations, takes actions.
 *
 * Built in are the drivers of env.c; any other program can be one (env_command.c, FORMATS.md 7).
 * Use an environment in the process that opened it. The screen driver of a simulator starts with
 * the first image, so use without images works where there is none. Use:
 *
 *     env_t *e = env_open(&(env_opts_t){.name = "reacher"}, &rc, &why);
 *     env_action_t action;
 *     env_observation_t seen;
 *     env_outcome_t out = {0};
 *     if (env_reset(e, seed, episode, &why)) ...
 *     while (!out.terminated && !out.truncated) {
 *         if (env_observe(e, true, &seen, &why)) ...
 *         if (env_expert(e, &action, &why) != ENV_EXPERT) ...
 *         if (env_step(e, &action, &out, &why)) ...
 *     }
 *     env_close(e);
 *
 * How to add one: env_driver.h.
 */
#ifndef GATO_ENV_H
#define GATO_ENV_H

#include "common/io/token_db/task.h"

/* Most columns of all acted vectors, and of all acted discrete slots, of one environment. */
enum { ENV_ACTIONS = 256, ENV_DISCRETE = 32 };

/* What an environment shows of one slot; all NULL: it is missing in this timestep. Borrowed, valid
 * until the next call. */
typedef struct {
    const uint8_t *rgb; /* image [image_h, image_w, 3], top row first */
    const char *text;
    const float *vector;      /* [width] */
    const uint32_t *discrete; /* [width] */
} env_value_t;
/* By the slots of the task; acted ones stay empty. */
typedef struct {
    env_value_t slot[TASK_SLOTS];
} env_observation_t;

/* The columns of all acted vectors in the units of the environment, and of all acted discrete
 * slots, each in the order of the task's slots. */
typedef struct {
    float vector[ENV_ACTIONS];
    uint32_t discrete[ENV_DISCRETE];
} env_action_t;

typedef struct {
    float reward;
    bool terminated, truncated;
    bool success; /* the task is solved in this state; a flag at any step counts */
} env_outcome_t;

typedef struct {
    const char *name;    /* of a built-in one; NULL with a command */
    const char *command; /* run by sh -c; NULL with a name */
    size_t size;         /* side of the images in pixels, where it can be chosen; 0 = its own */
    /* Limits of a child in seconds; 0 = the preset (start 120, reset 60, step 30). */
    double start_timeout, reset_timeout, step_timeout;
    const char *log; /* a file that the child's stderr is appended to; NULL = this program's */
} env_opts_t;

typedef struct env env_t;
/* NULL with a reason: *rc = RC_USAGE for an unknown name, RC_RUNTIME for a missing library or a
 * child that does not answer. Close with env_close. */
env_t *env_open(const env_opts_t *o, int *rc, reason_t *why);
/* NULL is allowed. */
void env_close(env_t *e);
/* Slots, sizes in pixels, bounds, max_steps (0 = no limit), returns, the spec of the environment.
 * Acted vectors without finite bounds are taken as they come. */
const task_t *env_task(const env_t *e);
/* "reacher", or the command: for messages. */
const char *env_name(const env_t *e);

/* Starts an episode; everything random in it is a function of (seed, episode). 0, or -1 with a
 * reason. A child that died or was stopped is started anew; it has to declare the same task. */
int env_reset(env_t *e, uint64_t seed, uint64_t episode, reason_t *why);
/* The current observation, of a running episode or of one that has just ended; images only when
 * they are wanted. Numbers are finite, discrete values in range, texts UTF-8. 0, or -1 with a
 * reason: the episode has failed. */
int env_observe(env_t *e, bool images, env_observation_t *seen, reason_t *why);
/* Executes an action, its vectors clamped to finite declared bounds. 0, or -1 with a reason, also
 * for a number that is not finite and a discrete value out of range: the episode has failed and
 * only env_reset may follow. A step outside an episode is a BUG. */
int env_step(env_t *e, const env_action_t *action, env_outcome_t *out, reason_t *why);

typedef enum { ENV_EXPERT = 0, ENV_NO_EXPERT = 1, ENV_EXPERT_FAILED = -1 } env_expert_t;
/* What the scripted expert would do in the current state, also while another policy plays;
 * clamped as env_step does. ENV_NO_EXPERT: there is none, or it knows nothing here.
 * ENV_EXPERT_FAILED with a reason: the episode has failed. Outside a running episode it is a BUG.
 * */
env_expert_t env_expert(env_t *e, env_action_t *action, reason_t *why);

/* Does the environment ever show a goal? Where it does not, env_goal says ENV_NO_GOAL. */
bool env_knows_goals(const env_t *e);
typedef enum { ENV_GOAL = 0, ENV_NO_GOAL = 1, ENV_GOAL_FAILED = -1 } env_goal_t;
/* What a solved state of this episode would show: images only, by the slots of the task (one that
 * stays empty is not told); borrowed as an observation. The state is as before, and nothing random
 * is drawn: a goal that is asked for changes no episode. ENV_NO_GOAL: the environment knows none.
 * ENV_GOAL_FAILED with a reason: the episode has failed. Outside a running episode it is a BUG. */
env_goal_t env_goal(env_t *e, env_observation_t *goal, reason_t *why);

/* The simulator's whole state as doubles, for tests and for hashes across machines (pixels differ
 * between drivers, states do not). Writes at most `cap` of them and returns how many there are; 0
 * where the environment does not tell. reacher: two joint angles, two joint velocities, x and y of
 * the target. */
size_t env_state(const env_t *e, double *out, size_t cap);
/* What draws the images ("llvmpipe (LLVM 15.0.6, 256 bits)"), to keep with recorded images. Starts
 * the screen driver. "" where that means nothing; NULL with a reason when the driver fails. */
const char *env_renderer(env_t *e, reason_t *why);

/* Columns of all acted vectors and of all acted discrete slots. */
static inline size_t env_n_vector(const task_t *task) {
    return (size_t)task_width(task, SIDE_ACTED, SLOT_VECTOR);
}
static inline size_t env_n_discrete(const task_t *task) {
    return (size_t)task_width(task, SIDE_ACTED, SLOT_DISCRETE);
}

#endif
