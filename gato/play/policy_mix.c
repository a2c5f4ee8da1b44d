/* policy_mix.c - the expert's action with probability beta, else the model's. With the expert's
 * action as the label of every step that is the data of DAgger (Ross, Gordon & Bagnell 2011). */
#include "gato/play/policy.h"
#include <stdlib.h>

typedef struct {
    void *model;
    double beta;
} mix_t;

static void close_mix(void *self) {
    mix_t *m = self;
    policy_model.close(m->model);
    free(m);
}

static void *open_mix(const task_t *body, const policy_opts_t *o, int *rc, reason_t *why) {
    void *model = policy_model.open(body, o, rc, why);
    if (!model) return NULL;
    mix_t *m = NEW(mix_t);
    *m = (mix_t){model, o->beta};
    return m;
}

static const char *about(const void *self, char buf[512]) {
    return policy_model.about(((const mix_t *)self)->model, buf);
}

static void weights(const void *self, char out[RUN_FINGERPRINT]) {
    policy_model.weights(((const mix_t *)self)->model, out);
}

/* The model sees every step, whoever acts: its context is that of the episode. */
static int act(void *self, const policy_view_t *view, env_action_t *action, reason_t *why) {
    mix_t *m = self;
    rng_t r = rng_fold(rng_make(view->seed, "policy.mix"), view->episode);
    bool expert = rng_uniform64(r, view->step) < m->beta;
    if (expert && !view->expert)
        return reason_set(why, "'%s' has no expert for this state", view->body->name);
    return policy_model_turn(m->model, view, expert ? view->expert : NULL, action, why);
}

const policy_t policy_mix = {.name = "mix",
                             .needs_model = true,
                             .needs_image = true,
                             .needs_expert = true,
                             .open = open_mix,
                             .close = close_mix,
                             .about = about,
                             .weights = weights,
                             .act = act};
