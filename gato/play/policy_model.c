/* policy_model.c - a trained model plays, alone in one lane. */
#include "gato/play/policy.h"
#include "gato/task/scaling.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

typedef struct {
    player_t *player;
    uint32_t task; /* which task of the model it plays */
} model_t;

static void close_model(void *self) {
    model_t *m = self;
    player_close(m->player);
    free(m);
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
        *rc = RC_RUNTIME;
        if (!player_lanes(player, 1, why)) return m;
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

/* The numbers, and the settings of the RUN that decide how they play. */
static void weights(const void *self, char out[RUN_FINGERPRINT]) {
    const gato_model_t *m = player_model(((const model_t *)self)->player);
    const gato_config_t *c = &m->config;
    char all[200];
    run_fingerprint(m, out);
    int n = snprintf(all, sizeof all, "%s window=%lld decode=%d temperature=%.17g", out,
                     (long long)c->train.window, c->act.decode, c->act.temperature);
    snprintf(out, RUN_FINGERPRINT, "%016llx", (unsigned long long)XXH64(all, (size_t)n, 0));
}

int policy_model_turn(void *model, const policy_view_t *view, const env_action_t *given,
                      env_action_t *action, reason_t *why) {
    model_t *m = model;
    if (view->step == 0) player_reset(m->player, 0, m->task);
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
