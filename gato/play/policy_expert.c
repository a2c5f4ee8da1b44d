/* policy_expert.c - plays what the environment's scripted expert would do. */
#include "gato/play/policy.h"

static int act(void *self, const policy_view_t *view, env_action_t *action, reason_t *why) {
    if (!view->expert) return reason_set(why, "'%s' has no expert for this state", view->body->name);
    *action = *view->expert;
    return 0;
}

const policy_t policy_expert = {.name = "expert", .needs_expert = true, .act = act};
