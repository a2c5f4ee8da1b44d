/* policy_random.c - plays actions drawn from the whole space: the lower end of normalized
 * scores. */
#include "gato/play/policy.h"

/* Draws per step: as many as an action may have columns, and at least as many as former versions
 * took, whose recordings come out again. */
enum { DRAWS = 16 };

static int act(void *self, const policy_view_t *view, env_action_t *action, reason_t *why) {
    rng_t r = rng_fold(rng_make(view->seed, "policy.random"), view->episode);
    uint64_t columns = env_n_vector(view->body) + env_n_discrete(view->body);
    policy_draw(view->body, r, view->step * (columns > DRAWS ? columns : DRAWS), action);
    return 0;
}

const policy_t policy_random = {.name = "random", .act = act};
