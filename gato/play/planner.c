/* planner.c - see planner.h. */
#include "gato/play/planner.h"

#include <stdlib.h>

struct planner {
    player_t *player;
    uint32_t task;
    search_opts_t o;
    search_t *search;
    uint32_t *goal[TASK_SLOTS], *dreamt[TASK_SLOTS]; /* goal: NULL = none; dreamt [candidates, n] */
    tokenizer_grid_t grid[TASK_SLOTS];
    size_t cells[TASK_SLOTS];
};

void planner_begin(planner_t *plan) {
    search_begin(plan->search);
    for (uint32_t k = 0; k < TASK_SLOTS; k++) {
        free(plan->goal[k]);
        free(plan->dreamt[k]);
        plan->goal[k] = plan->dreamt[k] = NULL;
    }
}

planner_t *planner_new(player_t *p, uint32_t task, const task_t *body, const search_opts_t *o,
                       reason_t *why) {
    if (player_dreams(p, task, why)) return NULL;
    search_t *search = search_new(body, o, why);
    if (!search) return NULL;
    planner_t *plan = NEW(planner_t);
    *plan = (planner_t){.player = p, .task = task, .o = *o, .search = search};
    return plan;
}

void planner_free(planner_t *plan) {
    if (!plan) return;
    planner_begin(plan);
    search_free(plan->search);
    free(plan);
}

int planner_goal(planner_t *plan, uint32_t slot, const uint8_t *rgb, size_t w, size_t h,
                 reason_t *why) {
    tokenizer_grid_t grid;
    uint32_t *codes = player_codes(plan->player, plan->task, slot, rgb, w, h, &grid, why);
    if (!codes) return -1;
    free(plan->goal[slot]);
    free(plan->dreamt[slot]);
    plan->goal[slot] = codes;
    plan->grid[slot] = grid;
    plan->cells[slot] = grid.h * grid.w;
    plan->dreamt[slot] =
        xcalloc(plan->o.candidates * plan->cells[slot], sizeof *plan->dreamt[slot]);
    return 0;
}

void planner_placeholder(const planner_t *plan, env_action_t *action) {
    search_middle(plan->search, action);
}

/* ---- distances ---- */

/* Of one timestep's codes, by slots. */
static double distance_of(const planner_t *plan, const uint32_t *const codes[TASK_SLOTS]) {
    double sum = 0;
    for (uint32_t k = 0; k < TASK_SLOTS; k++)
        if (plan->goal[k])
            sum += player_distance(plan->player, codes[k], plan->goal[k], plan->cells[k]);
    return sum;
}

int planner_distance(planner_t *plan, double *distance, reason_t *why) {
    const uint32_t *codes[TASK_SLOTS] = {0};
    bool any = false;
    for (uint32_t k = 0; k < TASK_SLOTS; k++) {
        if (!plan->goal[k]) continue;
        tokenizer_grid_t seen = player_grid(plan->player, 0, k), goal = plan->grid[k];
        codes[k] = player_seen_codes(plan->player, 0, k);
        if (!codes[k]) return reason_set(why, "a plan needs an image, and none is seen");
        if (seen.h != goal.h || seen.w != goal.w)
            return reason_set(why, "the goal has %zu x %zu codes, and what is seen %zu x %zu",
                              goal.h, goal.w, seen.h, seen.w);
        any = true;
    }
    if (!any) return reason_set(why, "a plan needs a goal");
    *distance = distance_of(plan, codes);
    return 0;
}

/* search_measure_t: candidate i dreams in lane 1 + i. */
static int dream_all(void *ctx, const env_action_t *sequence, double *distance, reason_t *why) {
    planner_t *plan = ctx;
    size_t N = plan->o.candidates, H = plan->o.horizon;
    static const sampler_t likeliest = {.top_p = 1};
    player_dream_t *d = xcalloc(N, sizeof *d);
    int rc = 0;
    for (size_t i = 0; i < N && !rc; i++) {
        player_fork(plan->player, 0, 1 + i);
        rc = player_redo(plan->player, 1 + i, &sequence[i * H], why);
    }
    for (size_t h = 1; h <= H && !rc; h++) {
        for (size_t i = 0; i < N; i++) {
            d[i] = (player_dream_t){.lane = 1 + i, .given = &sequence[i * H + (h < H ? h : H - 1)]};
            for (uint32_t k = 0; k < TASK_SLOTS; k++)
                if (plan->goal[k]) d[i].codes[k] = plan->dreamt[k] + i * plan->cells[k];
        }
        rc = player_dream(plan->player, d, N, &likeliest, why);
        for (size_t i = 0; i < N && !rc; i++)
            distance[i * H + h - 1] = distance_of(plan, (const uint32_t *const *)d[i].codes);
    }
    free(d);
    return rc;
}

const search_found_t *planner_choose(planner_t *plan, rng_t draw, reason_t *why) {
    double now;
    if (planner_distance(plan, &now, why)) return NULL;
    const search_found_t *found = search_run(plan->search, draw, dream_all, plan, why);
    if (found) search_shift(plan->search, plan->o.execute);
    return found;
}
