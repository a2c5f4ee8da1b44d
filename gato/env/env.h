/* env.h - a control environment: reset, observe, step. Built in: "reacher" (MuJoCo).
 *
 * An observation has up to three parts: an image, a vector of floats, a text. An action is a vector
 * of floats in [-1,1]. There are no discrete observations or actions yet. Use an environment in the
 * thread that opened it. The screen driver starts with the first image, so use without images works
 * where there is none. How to add an environment: env_driver.h.
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
    size_t image_w, image_h; /* RGB image in pixels; 0 = none */
    size_t n_vector;         /* floats observed per step, at most ENV_VECTOR */
    float vector_limit;      /* declared bound of their absolute values; 0 = unbounded */
    const char *text;        /* the mission; NULL = none */
    size_t n_actions;        /* floats per action, at most ENV_ACTIONS */
    size_t max_steps;        /* an episode is cut here */
    /* mean returns over many episodes, the 0 and the 1 of normalized scores; both 0 = not known */
    double random_return, expert_return;
    const char *spec_json; /* gymnasium's EnvSpec as JSON, for recorded datasets */
} env_info_t;

typedef struct env env_t;
/* NULL with a reason: *rc = RC_USAGE for an unknown name, RC_RUNTIME for a missing library. Close
 * with env_close. */
env_t *env_open(const char *name, int *rc, reason_t *why);
void env_close(env_t *e);
const env_info_t *env_info(const env_t *e);
/* The names of its observations and actions, as `gato record` writes them
 * (common/io/token_db/leaves.h): JSON, malloc'ed. */
char *env_leaves(const env_info_t *info);

/* Starts an episode; everything random in it is a function of (seed, episode). 0, or -1 with a
 * reason. */
int env_reset(env_t *e, uint64_t seed, uint64_t episode, reason_t *why);
/* The current observation: rgb [h,w,3], top row first, and vector [n_vector]; NULL = not wanted.
 * 0, or -1 with a reason. */
int env_observe(env_t *e, uint8_t *rgb, float *vector, reason_t *why);
/* Executes action [n_actions], clamped to [-1,1]. 0, or -1 with a reason, also for a number that is
 * not finite: the episode has failed and only env_reset may follow. A step past the end is a BUG.
 * reward, terminated and truncated may be NULL. */
int env_step(env_t *e, const float *action, float *reward, bool *terminated, bool *truncated,
             reason_t *why);
/* Is the task solved in the current state? Ask after the last step. */
bool env_success(const env_t *e);
/* The scripted expert's action [n_actions] for the current state: 0, or -1 without an expert. */
int env_expert(env_t *e, float *action);

/* The simulator's whole state as doubles, for tests and for hashes across machines (pixels differ
 * between drivers, states do not). Writes at most `cap` of them and returns how many there are.
 * reacher: two joint angles, two joint velocities, x and y of the target. */
size_t env_state(const env_t *e, double *out, size_t cap);
/* What draws the images ("llvmpipe (LLVM 15.0.6, 256 bits)"), to keep with recorded images. Starts
 * the screen driver. "" without images; NULL with a reason when the driver fails. */
const char *env_renderer(env_t *e, reason_t *why);

#endif
