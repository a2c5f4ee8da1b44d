/* policy.c - the table of policies; the scripted expert and the uniformly random player. */
#include "gato/play/policy.h"
#include "common/base/rng.h"
#include "gato/play/player.h"
#include <string.h>

static int expert_act(void *self, const policy_view_t *view, float *action, reason_t *why) {
    if (env_expert(view->env, action))
        return reason_set(why, "environment '%s' has no expert", view->info->name);
    return 0;
}

static int random_act(void *self, const policy_view_t *view, float *action, reason_t *why) {
    rng_t rng = rng_fold(rng_make(view->seed, "policy.random"), view->episode);
    for (size_t i = 0; i < view->info->n_actions; i++)
        action[i] = 2 * rng_uniform(rng, view->step * ENV_ACTIONS + i) - 1;
    return 0;
}

static const policy_t expert = {.name = "expert", .act = expert_act},
                      random_player = {.name = "random", .act = random_act};
static const policy_t *const policies[] = {&expert, &random_player, &player_policy};

const policy_t *policy_find(const char *name, reason_t *why) {
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
        if (strcmp(policies[i]->name, name) == 0) return policies[i];
    char known[128] = "";
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        if (i) strncat(known, ", ", sizeof known - strlen(known) - 1);
        strncat(known, policies[i]->name, sizeof known - strlen(known) - 1);
    }
    reason_set(why, "unknown policy '%s' (there are: %s)", name, known);
    return NULL;
}
