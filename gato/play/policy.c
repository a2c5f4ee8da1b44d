/* policy.c - the table of policies, and what they share. */
#include "gato/play/policy.h"
#include "common/base/cli.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const policy_t *const policies[] = {&policy_expert, &policy_random, &policy_model,
                                           &policy_mix, &policy_plan};
enum { POLICIES = sizeof policies / sizeof *policies };

const policy_t *policy_find(const char *name, reason_t *why) {
    const char *names[POLICIES];
    for (size_t i = 0; i < POLICIES; i++) {
        if (strcmp(policies[i]->name, name) == 0) return policies[i];
        names[i] = policies[i]->name;
    }
    const char *near = cli_nearest(name, names, POLICIES);
    char known[128] = "";
    for (size_t i = 0; i < POLICIES; i++) {
        if (near == names[i]) continue;
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, ", %s", names[i]);
    }
    reason_set(why, "unknown policy '%s' (there are: %s%s)", name, near ? near : "",
               near ? known : known + 2);
    return NULL;
}

static float draw_number(float low, float high, rng_t r, uint64_t i) {
    bool below = isfinite(low), above = isfinite(high);
    if (below && above) return low + (high - low) * rng_uniform(r, i);
    if (!below && !above) return rng_normal(r, i);
    float far = (float)-log1p(-rng_uniform64(r, i));
    return below ? low + far : high - far;
}

void policy_draw(const task_t *body, rng_t r, uint64_t first, env_action_t *action) {
    size_t n_vector = 0, n_discrete = 0;
    for (uint32_t i = 0; i < body->n_slots; i++) {
        const slot_t *slot = &body->slot[i];
        if (slot->side != SIDE_ACTED) continue;
        for (uint32_t k = 0; k < slot->width; k++) {
            uint64_t draw = first + n_vector + n_discrete;
            if (slot->kind == SLOT_VECTOR)
                action->vector[n_vector++] = draw_number(slot->low[k], slot->high[k], r, draw);
            else
                action->discrete[n_discrete++] = rng_below(r, draw, slot->range[k]);
        }
    }
}
