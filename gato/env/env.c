/* env.c - the table of environments, and what all of them share: argument checks, clamped actions,
 * the step limit. */
#include "gato/env/env.h"
#include "common/base/cli.h"
#include "common/io/token_db/leaves.h"
#include "gato/env/env_driver.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const env_driver_t *const drivers[] = {&env_reacher};
enum { N_DRIVERS = sizeof drivers / sizeof drivers[0] };

typedef enum { EPISODE_NONE, EPISODE_RUNNING, EPISODE_OVER, EPISODE_FAILED } episode_state_t;

struct env {
    const env_driver_t *driver;
    void *self;
    env_info_t info;
    episode_state_t state;
    size_t steps;
};

static const env_driver_t *find_driver(const char *name, reason_t *why) {
    const char *names[N_DRIVERS];
    for (size_t i = 0; i < N_DRIVERS; i++) {
        names[i] = drivers[i]->name;
        if (strcmp(name, names[i]) == 0) return drivers[i];
    }
    const char *near = cli_nearest(name, names, N_DRIVERS);
    reason_set(why, "unknown environment '%s' (%s '%s'%s)", name,
               near ? "did you mean" : "there is", near ? near : names[0], near ? "?" : "");
    return NULL;
}

env_t *env_open(const char *name, int *rc, reason_t *why) {
    *rc = RC_USAGE;
    const env_driver_t *driver = find_driver(name, why);
    if (!driver) return NULL;
    *rc = RC_RUNTIME;
    env_info_t info = {.name = driver->name};
    void *self = driver->open(&info, rc, why);
    if (!self) return NULL;
    if (info.n_vector > ENV_VECTOR || info.n_actions > ENV_ACTIONS || !info.max_steps)
        BUG("environment '%s': sizes", name);
    env_t *e = NEW(env_t);
    *e = (env_t){.driver = driver, .self = self, .info = info};
    *rc = RC_OK;
    return e;
}

void env_close(env_t *e) {
    if (!e) return;
    e->driver->close(e->self);
    free(e);
}

const env_info_t *env_info(const env_t *e) {
    return &e->info;
}

char *env_leaves(const env_info_t *info) {
    leaves_t l = {0};
    if (info->image_w) leaves_add(&l, LEAF_OBSERVATION, LEAF_IMAGE, "image", 1);
    if (info->text) leaves_add(&l, LEAF_OBSERVATION, LEAF_TEXT, "text", 1);
    if (info->n_vector)
        leaves_add(&l, LEAF_OBSERVATION, LEAF_CONTINUOUS, "vector", (uint32_t)info->n_vector);
    if (info->n_actions)
        leaves_add(&l, LEAF_ACTION, LEAF_CONTINUOUS, "", (uint32_t)info->n_actions);
    char *text = leaves_json(&l);
    leaves_release(&l);
    return text;
}

int env_reset(env_t *e, uint64_t seed, uint64_t episode, reason_t *why) {
    e->steps = 0;
    e->state = EPISODE_FAILED;
    if (e->driver->reset(e->self, seed, episode, why)) return -1;
    e->state = EPISODE_RUNNING;
    return 0;
}

int env_observe(env_t *e, uint8_t *rgb, float *vector, reason_t *why) {
    if (e->state == EPISODE_NONE)
        BUG("environment '%s' observed before its first reset", e->info.name);
    return e->driver->observe(e->self, rgb, vector, why);
}

int env_step(env_t *e, const float *action, float *reward, bool *terminated, bool *truncated,
             reason_t *why) {
    if (e->state != EPISODE_RUNNING)
        BUG("environment '%s' stepped outside an episode", e->info.name);
    e->state = EPISODE_FAILED;
    float clamped[ENV_ACTIONS];
    for (size_t i = 0; i < e->info.n_actions; i++) {
        if (!isfinite(action[i]))
            return reason_set(why, "step %zu: action %zu is not finite", e->steps, i);
        clamped[i] = fminf(fmaxf(action[i], -1), 1);
    }
    float r = 0;
    bool over = false;
    if (e->driver->step(e->self, clamped, &r, &over, why)) return -1;
    e->steps++;
    bool cut = !over && e->steps >= e->info.max_steps;
    e->state = over || cut ? EPISODE_OVER : EPISODE_RUNNING;
    if (reward) *reward = r;
    if (terminated) *terminated = over;
    if (truncated) *truncated = cut;
    return 0;
}

bool env_success(const env_t *e) {
    return (e->state == EPISODE_RUNNING || e->state == EPISODE_OVER) && e->driver->success(e->self);
}

int env_expert(env_t *e, float *action) {
    return e->driver->expert ? e->driver->expert(e->self, action) : -1;
}

size_t env_state(const env_t *e, double *out, size_t cap) {
    return e->driver->state(e->self, out, cap);
}

const char *env_renderer(env_t *e, reason_t *why) {
    return e->info.image_w ? e->driver->renderer(e->self, why) : "";
}
