/* env.h - a control environment: reset, step, observe. Built in: "reacher" (MuJoCo). Each has an
 * expert.
 *
 * Observations have up to four parts: an image, a vector, discrete values, a text. Actions are
 * continuous in [-1,1] or discrete. An environment belongs to the thread that opened it. Nothing of
 * the screen driver is touched before the first image is asked for, so state-only use works
 * without it. How to add one: env_driver.h.
 */
#ifndef GATO_ENV_H
#define GATO_ENV_H

#include "common/base/die.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENV_VECTOR = 64, ENV_ACTIONS = 16 };

typedef struct {
    const char *name;
    size_t image_w, image_h; /* 0 = no image; RGB */
    size_t n_vector;         /* float observation */
    float vector_limit;      /* |value| bound declared in the space; 0 = unbounded */
    const char *text;        /* mission, NULL = none */
    size_t n_actions;        /* continuous */
    size_t max_steps;
    double random_return,
        /* means over many episodes: what normalized scores are measured by; 0, 0 = unknown */
        expert_return;
    const char *spec_json; /* env_spec for the dataset (gymnasium's EnvSpec as JSON) */
} env_info_t;

typedef struct env env_t;
/* NULL with a reason when the name is unknown or the library is missing; *rc RC_USAGE or
 * RC_RUNTIME. */
env_t *env_open(const char *name, int *rc, reason_t *why);
void env_close(env_t *e);
const env_info_t *env_info(const env_t *e);
/* The names of what it shows and takes, as `gato record` writes them (common/io/token_db/leaves.h);
 * malloc'ed. */
char *env_leaves(const env_info_t *info);

/* Starts episode number `episode` of stream `seed`: everything random is f(seed, episode). 0, or -1
 * with a reason. */
int env_reset(env_t *e, uint64_t seed, uint64_t episode, reason_t *why);
/* Current observation: rgb [h,w,3] top row first (NULL = not wanted), vector [n_vector] (NULL = not
 * wanted). */
int env_observe(env_t *e, uint8_t *rgb, float *vector, reason_t *why);
/* One action (clamped to [-1,1]; non-finite: -1). Any -1 ends the episode as failed; only env_reset
 * may follow. Stepping past the end is a BUG. terminated, truncated, reward may be NULL. */
int env_step(env_t *e, const float *action, float *reward, bool *terminated, bool *truncated,
             reason_t *why);
/* Is the task solved in the current state? (Ask after the last step.) */
bool env_success(const env_t *e);
/* The scripted expert's action for the current state. -1 when the environment has none. */
int env_expert(env_t *e, float *action);

/* The simulator's whole state as doubles, for tests and cross-machine hashes (pixels differ between
 * drivers, states do not). Writes at most `cap`, returns how many there are. reacher: joint angles
 * 2, joint velocities 2, target x y. */
size_t env_state(const env_t *e, double *out, size_t cap);
/* What draws the images ("llvmpipe (LLVM 15.0.6, 256 bits)"), to be kept with recorded images;
 * starts the screen driver. "" when there are no images, NULL with a reason when the driver
 * fails. */
const char *env_renderer(env_t *e, reason_t *why);

#endif
