/* policy_model.c - a trained model plays, alone in one lane. */
#include "common/io/fs.h"
#include "common/io/image/image.h"
#include "gato/model/layout.h"
#include "gato/play/policy.h"
#include "gato/play/prompt.h"
#include "gato/task/scaling.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

typedef struct {
    player_t *player;
    uint32_t task; /* which task of the model it plays */
    task_t body;
    prompts_t *prompts; /* NULL = it plays without */
    image_t goal;       /* of --goal FILE */
    bool shown;         /* it is shown goals */
} model_t;

static void close_model(void *self) {
    model_t *m = self;
    player_close(m->player);
    prompts_close(m->prompts);
    image_release(&m->goal);
    task_release(&m->body);
    free(m);
}

/* Reads the goal's file and tries it: 0, or -1 with *rc and a reason. */
static int take_goal(model_t *m, const char *goal, int *rc, reason_t *why) {
    reason_t cause;
    if (!goal) return 0;
    *rc = RC_MISFIT;
    if (player_goal_camera(m->player, m->task) < 0)
        return reason_set(why,
                          "--goal: task '%s' of the policy has no slot of goals, or '%s' no camera "
                          "for it (gato train --set data.goal=end makes one)",
                          player_model(m->player)->tasks.v[m->task].name, m->body.name);
    if (!strcmp(goal, GOAL_FROM_ENV)) return 0;
    image_opts_t how = image_opts_default();
    *rc = RC_USAGE;
    if (!fs_exists(goal)) return reason_set(why, "--goal: no file '%s', and not 'env'", goal);
    *rc = RC_DATA;
    if (image_read(&m->goal, goal, &how, &cause))
        return reason_set(why, "--goal '%s': %s", goal, cause.text);
    *rc = RC_MISFIT;
    player_reset(m->player, 0, m->task);
    if (!player_goal(m->player, 0, m->goal.rgb, m->goal.w, m->goal.h, &cause)) return 0;
    return reason_set(why, "--goal '%s', %zu x %zu pixels: %s", goal, m->goal.h, m->goal.w,
                      cause.text);
}

static void *open_model(const task_t *body, const policy_opts_t *o, int *rc, reason_t *why) {
    player_t *player = player_open(o->model, &o->player, rc, why);
    if (!player) return NULL;
    model_t *m = NEW(model_t);
    m->player = player;
    *rc = RC_MISFIT;
    int task = player_bind(player, body, o->task, o->allow_missing, why);
    if (task >= 0) {
        m->task = (uint32_t)task;
        m->body = task_copy(body);
        m->shown = o->goal != NULL;
        *rc = RC_RUNTIME;
        if (!player_lanes(player, 1, why) && !take_goal(m, o->goal, rc, why)) {
            if (o->prompt) m->prompts = prompts_open(o->prompt, o->prompt_top, player, m->task);
            return m;
        }
    }
    close_model(m);
    return NULL;
}

/* "joints declared, torque quantiles": where the bounds of each acted vector come from. */
static const char *about(const void *self, char buf[512]) {
    const model_t *m = self;
    const gato_model_t *model = player_model(m->player);
    const task_t *task = &model->tasks.v[m->task];
    size_t used = (size_t)snprintf(buf, 512, "task '%s', attention window of %u timesteps",
                                   task->name, model->window[m->task]);
    char chunks[128];
    if (*player_chunks(m->player, chunks) && task_first(task, SIDE_ACTED, SLOT_VECTOR) >= 0)
        used += (size_t)snprintf(buf + used, 512 - used, ", %s", chunks);
    if (layout_goal(&model->config, task) >= 0)
        used += (size_t)snprintf(buf + used, 512 - used, ", %s",
                                 m->shown ? "shown a goal" : "without the goals of its training");
    for (uint32_t i = 0; i < task->n_slots; i++) {
        const slot_t *slot = &task->slot[i];
        if (slot->side != SIDE_ACTED || slot->kind != SLOT_VECTOR) continue;
        size_t by[SCALINGS] = {0};
        for (uint32_t k = 0; k < slot->width; k++) by[slot->scaling[k]]++;
        for (int s = 0; s < SCALINGS; s++) {
            if (!by[s] || used >= 400) continue;
            used += (size_t)snprintf(
                buf + used, 512 - used, ", %zu of %u columns of '%.60s' scaled by %s", by[s],
                slot->width, slot->name[0] ? slot->name : "action", scaling_names[s]);
        }
    }
    return buf;
}

/* The numbers, and the settings of the RUN that decide how they play; what else it reads of files
 * where there is something. */
static void weights(const void *self, char out[RUN_FINGERPRINT]) {
    const model_t *s = self;
    const gato_model_t *m = player_model(s->player);
    const gato_config_t *c = &m->config;
    char all[400];
    run_fingerprint(m, out);
    int n = snprintf(all, sizeof all, "%s window=%lld decode=%d temperature=%.17g", out,
                     (long long)c->train.window, c->act.decode, c->act.temperature);
    if (c->model.chunk > 1)
        n += snprintf(all + n, sizeof all - (size_t)n, " execute=%lld ensemble=%.17g",
                      (long long)c->act.execute, c->act.ensemble);
    if (s->goal.rgb)
        n += snprintf(all + n, sizeof all - (size_t)n, " goal=%016llx",
                      (unsigned long long)XXH64(s->goal.rgb, s->goal.w * s->goal.h * 3, 0));
    if (s->prompts)
        n += snprintf(all + n, sizeof all - (size_t)n, " prompt=%016llx",
                      (unsigned long long)prompts_hash(s->prompts));
    snprintf(out, RUN_FINGERPRINT, "%016llx", (unsigned long long)XXH64(all, (size_t)n, 0));
}

static int show_goal(model_t *m, const policy_view_t *view, reason_t *why) {
    if (m->goal.rgb) return player_goal(m->player, 0, m->goal.rgb, m->goal.w, m->goal.h, why);
    if (!view->goal) return 0;
    int camera = player_goal_camera(m->player, m->task);
    const uint8_t *rgb = view->goal->slot[camera].rgb;
    const slot_t *slot = &m->body.slot[camera];
    if (!rgb)
        return reason_set(why, "the environment shows no goal from its camera '%s'", slot->name);
    return player_goal(m->player, 0, rgb, slot->image_w, slot->image_h, why);
}

/* Begins an episode: what the policy has besides observations. */
static int begin(model_t *m, const policy_view_t *view, reason_t *why) {
    player_reset(m->player, 0, m->task);
    if (show_goal(m, view, why)) return -1;
    rng_t draw = rng_fold(rng_make(view->seed, "policy.prompt"), view->episode);
    return m->prompts ? prompts_feed(m->prompts, m->player, 0, draw, why) : 0;
}

int policy_model_turn(void *model, const policy_view_t *view, const env_action_t *given,
                      env_action_t *action, reason_t *why) {
    model_t *m = model;
    if (view->step == 0 && begin(m, view, why)) return -1;
    player_turn_t turn = {
        .lane = 0,
        .seen = view->seen,
        .given = given,
        .draw =
            rng_fold(rng_fold(rng_make(view->seed, "policy.sample"), view->episode), view->step)};
    if (player_push(m->player, &turn, 1, why)) return -1;
    *action = turn.action;
    return 0;
}

static int act(void *self, const policy_view_t *view, env_action_t *action, reason_t *why) {
    return policy_model_turn(self, view, NULL, action, why);
}

const policy_t policy_model = {.name = "model",
                               .needs_model = true,
                               .needs_image = true,
                               .open = open_model,
                               .close = close_model,
                               .about = about,
                               .weights = weights,
                               .act = act};
