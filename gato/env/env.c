/* env.c - the table of environments, and what all of them share: checks of arguments and of what is
 * shown, clamped actions, the step limit. */
#include "gato/env/env.h"
#include "common/base/cli.h"
#include "common/io/utf8.h"
#include "gato/env/env_driver.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Those that are opened by name. */
static const env_driver_t *const drivers[] = {&env_reacher, &env_pusher, &env_grid};
enum { N_DRIVERS = sizeof drivers / sizeof drivers[0] };

typedef enum { EPISODE_NONE, EPISODE_RUNNING, EPISODE_OVER, EPISODE_FAILED } episode_state_t;

struct env {
    const env_driver_t *driver;
    void *self;
    char *name;
    task_t task;
    episode_state_t state;
    size_t steps;
};

/* "'a', 'b', 'c'" */
static const char *list_of(const char *const names[N_DRIVERS]) {
    static char list[N_DRIVERS * 32];
    size_t n = 0;
    for (size_t i = 0; i < N_DRIVERS; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s'%s'", i ? ", " : "", names[i]);
    return list;
}

static const env_driver_t *find_driver(const char *name, reason_t *why) {
    const char *names[N_DRIVERS];
    for (size_t i = 0; i < N_DRIVERS; i++) {
        names[i] = drivers[i]->name;
        if (strcmp(name, names[i]) == 0) return drivers[i];
    }
    const char *near = cli_nearest(name, names, N_DRIVERS);
    if (near)
        reason_set(why, "unknown environment '%s' (did you mean '%s'?)", name, near);
    else
        reason_set(why, "unknown environment '%s' (there are %s)", name, list_of(names));
    return NULL;
}

env_t *env_open(const env_opts_t *o, int *rc, reason_t *why) {
    if (!o->name == !o->command) BUG("an environment has a name or a command");
    *rc = RC_USAGE;
    const env_driver_t *driver = o->command ? &env_command : find_driver(o->name, why);
    if (!driver) return NULL;
    if (o->size && !driver->sized) {
        reason_set(why, "environment '%s': the size of its images cannot be chosen",
                   o->command ? o->command : o->name);
        return NULL;
    }
    *rc = RC_RUNTIME;
    task_t task = {0};
    void *self = driver->open(o, &task, rc, why);
    if (!self) return NULL;
    const char *name = o->command ? o->command : o->name;
    reason_t bad;
    if (task_check(&task, &bad)) BUG("environment '%s': %s", name, bad.text);
    if (env_n_vector(&task) > ENV_ACTIONS || env_n_discrete(&task) > ENV_DISCRETE)
        BUG("environment '%s': too many actions", name);
    env_t *e = NEW(env_t);
    *e = (env_t){.driver = driver, .self = self, .name = xstrdup(name), .task = task};
    *rc = RC_OK;
    return e;
}

void env_close(env_t *e) {
    if (!e) return;
    e->driver->close(e->self);
    task_release(&e->task);
    free(e->name);
    free(e);
}

const task_t *env_task(const env_t *e) {
    return &e->task;
}

const char *env_name(const env_t *e) {
    return e->name;
}

int env_reset(env_t *e, uint64_t seed, uint64_t episode, reason_t *why) {
    e->steps = 0;
    e->state = EPISODE_FAILED;
    if (e->driver->reset(e->self, seed, episode, why)) return -1;
    e->state = EPISODE_RUNNING;
    return 0;
}

/* ---- observations ---- */

static int check_value(const slot_t *slot, const env_value_t *value, reason_t *why) {
    char name[TASK_NAME + 32];
    for (uint32_t k = 0; value->vector && k < slot->width; k++)
        if (!isfinite(value->vector[k]))
            return reason_set(why, "%s is not finite", slot_column(slot, k, name));
    for (uint32_t k = 0; value->discrete && k < slot->width; k++)
        if (value->discrete[k] >= slot->range[k])
            return reason_set(why, "%s is %u, its values are 0 to %u", slot_column(slot, k, name),
                              value->discrete[k], slot->range[k] - 1);
    if (!value->text) return 0;
    size_t n = strlen(value->text);
    return utf8_check((const uint8_t *)value->text, n) == n
               ? 0
               : reason_set(why, "%s is not UTF-8", slot_column(slot, 0, name));
}

int env_observe(env_t *e, bool images, env_observation_t *seen, reason_t *why) {
    if (e->state != EPISODE_RUNNING && e->state != EPISODE_OVER)
        BUG("environment '%s' observed outside an episode", e->name);
    *seen = (env_observation_t){0};
    reason_t bad;
    if (e->driver->observe(e->self, images, seen, &bad)) {
        e->state = EPISODE_FAILED;
        return reason_set(why, "%s", bad.text);
    }
    for (uint32_t i = 0; i < e->task.n_slots; i++)
        if (check_value(&e->task.slot[i], &seen->slot[i], &bad)) {
            e->state = EPISODE_FAILED;
            return reason_set(why, "environment '%s': step %zu: it shows %s", e->name, e->steps,
                              bad.text);
        }
    return 0;
}

/* ---- actions ---- */

/* Vectors clamped to their bounds, of which some may be infinite; the rest is refused. */
static int take_action(const task_t *task, const env_action_t *action, env_action_t *taken,
                       reason_t *why) {
    *taken = (env_action_t){0};
    char name[TASK_NAME + 32];
    size_t v = 0, d = 0;
    for (uint32_t i = 0; i < task->n_slots; i++) {
        const slot_t *slot = &task->slot[i];
        if (slot->side != SIDE_ACTED) continue;
        for (uint32_t k = 0; k < slot->width; k++) {
            slot_column(slot, k, name);
            if (slot->kind == SLOT_VECTOR) {
                float x = action->vector[v];
                if (!isfinite(x)) return reason_set(why, "%s is not finite", name);
                taken->vector[v++] = fminf(fmaxf(x, slot->low[k]), slot->high[k]);
            } else {
                uint32_t x = action->discrete[d];
                if (x >= slot->range[k])
                    return reason_set(why, "%s is %u, its values are 0 to %u", name, x,
                                      slot->range[k] - 1);
                taken->discrete[d++] = x;
            }
        }
    }
    return 0;
}

int env_step(env_t *e, const env_action_t *action, env_outcome_t *out, reason_t *why) {
    if (e->state != EPISODE_RUNNING) BUG("environment '%s' stepped outside an episode", e->name);
    e->state = EPISODE_FAILED;
    *out = (env_outcome_t){0};
    env_action_t taken;
    reason_t bad;
    if (take_action(&e->task, action, &taken, &bad))
        return reason_set(why, "step %zu: %s", e->steps, bad.text);
    if (e->driver->step(e->self, &taken, out, why)) return -1;
    if (!isfinite(out->reward))
        return reason_set(why, "environment '%s': step %zu: its reward is not finite", e->name,
                          e->steps);
    e->steps++;
    if (!out->terminated && e->task.max_steps && e->steps >= e->task.max_steps)
        out->truncated = true;
    e->state = out->terminated || out->truncated ? EPISODE_OVER : EPISODE_RUNNING;
    return 0;
}

env_expert_t env_expert(env_t *e, env_action_t *action, reason_t *why) {
    if (e->state != EPISODE_RUNNING) BUG("environment '%s': an expert outside an episode", e->name);
    if (!e->driver->expert) return ENV_NO_EXPERT;
    env_action_t raw = {0};
    env_expert_t answer = e->driver->expert(e->self, &raw, why);
    reason_t bad;
    if (answer == ENV_EXPERT && take_action(&e->task, &raw, action, &bad)) {
        reason_set(why, "environment '%s': step %zu: its expert's %s", e->name, e->steps, bad.text);
        answer = ENV_EXPERT_FAILED;
    }
    if (answer == ENV_EXPERT_FAILED) e->state = EPISODE_FAILED;
    return answer;
}

bool env_knows_goals(const env_t *e) {
    const env_driver_t *d = e->driver;
    return d->goal && (!d->knows_goals || d->knows_goals(e->self));
}

env_goal_t env_goal(env_t *e, env_observation_t *goal, reason_t *why) {
    if (e->state != EPISODE_RUNNING) BUG("environment '%s': a goal outside an episode", e->name);
    *goal = (env_observation_t){0};
    if (!env_knows_goals(e)) return ENV_NO_GOAL;
    env_goal_t answer = e->driver->goal(e->self, goal, why);
    if (answer == ENV_GOAL_FAILED) e->state = EPISODE_FAILED;
    return answer;
}

size_t env_state(const env_t *e, double *out, size_t cap) {
    return e->driver->state ? e->driver->state(e->self, out, cap) : 0;
}

const char *env_renderer(env_t *e, reason_t *why) {
    return e->driver->renderer ? e->driver->renderer(e->self, why) : "";
}
