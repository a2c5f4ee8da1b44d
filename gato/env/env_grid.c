/* env_grid.c - "grid": a room of MiniGrid with keys, balls and boxes in six colors; the agent
 * has to go to the one that the mission names, and is there when it faces it. It sees 7 x 7
 * cells before it. The image and the mission say all that it needs; `direction` is MiniGrid's
 * compass.
 *
 * An episode ends with the mission, at most after 64 actions; the reward is 1 - 0.9 * steps / 64
 * for the action that solves it, else 0. grid_world.[ch] has the rules; this file fits them to
 * env.h.
 */
#include "gato/env/env_driver.h"
#include "gato/env/grid_world.h"
#include <stdlib.h>
#include <string.h>

/* Of the task's slots. */
enum { SEEN_IMAGE, SEEN_MISSION, SEEN_DIRECTION };

typedef struct {
    grid_world_t world;
    grid_sprites_t *sprites;
    uint32_t steps; /* of the episode so far */
    uint8_t rgb[GRID_IMAGE * GRID_IMAGE * 3];
    char text[GRID_MISSION];
    uint32_t compass;
} grid_t;

static const char SPEC[] =
    "{\"additional_wrappers\":[],\"disable_env_checker\":false,\"entry_point\":null,\"id\":\"grid-"
    "v0\","
    "\"kwargs\":{},\"max_episode_steps\":64,\"nondeterministic\":false,\"order_enforce\":true,"
    "\"reward_threshold\":null,\"vector_entry_point\":null}";

static void add_discrete(task_t *task, slot_side_t side, const char *name, uint32_t range) {
    slot_t *slot = task_add(task, SLOT_DISCRETE, side, name, 1);
    slot->range = xmalloc(sizeof *slot->range);
    slot->range[0] = range;
}

static void declare(task_t *task) {
    *task = task_new("grid", RECORD_EPISODE);
    slot_t *image = task_add(task, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    image->image_h = image->image_w = GRID_IMAGE;
    task_add(task, SLOT_TEXT, SIDE_OBSERVED, "mission", 1);
    add_discrete(task, SIDE_OBSERVED, "direction", GRID_DIRECTIONS);
    add_discrete(task, SIDE_ACTED, "", GRID_ACTIONS);
    task->max_steps = GRID_STEPS;
    task->random_return = 0.176; /* both measured over 1,000 episodes */
    task->expert_return = 0.930;
    task->env = xstrdup(SPEC);
}

static void *grid_open(const env_opts_t *o, task_t *task, int *rc, reason_t *why) {
    grid_t *g = NEW(grid_t);
    g->sprites = grid_sprites_new();
    declare(task);
    return g;
}

static void grid_close(void *self) {
    grid_t *g = self;
    free(g->sprites);
    free(g);
}

static int grid_reset(void *self, uint64_t seed, uint64_t episode, reason_t *why) {
    grid_t *g = self;
    grid_world_make(&g->world, seed, episode);
    grid_world_mission(&g->world, g->text);
    g->steps = 0;
    return 0;
}

static int grid_observe(void *self, bool images, env_observation_t *seen, reason_t *why) {
    grid_t *g = self;
    if (images) {
        grid_view_draw(g->sprites, &g->world, g->rgb);
        seen->slot[SEEN_IMAGE].rgb = g->rgb;
    }
    g->compass = g->world.direction;
    seen->slot[SEEN_MISSION].text = g->text;
    seen->slot[SEEN_DIRECTION].discrete = &g->compass;
    return 0;
}

static int grid_act(void *self, const env_action_t *action, env_outcome_t *out, reason_t *why) {
    grid_t *g = self;
    grid_world_act(&g->world, action->discrete[0]);
    g->steps++;
    out->success = out->terminated = grid_world_solved(&g->world);
    if (out->success) out->reward = (float)grid_reward(g->steps);
    return 0;
}

static env_expert_t grid_expert(void *self, env_action_t *action, reason_t *why) {
    const grid_t *g = self;
    action->discrete[0] = grid_plan(&g->world);
    return ENV_EXPERT;
}

/* What the agent sees where the expert, from here on alone, ends: it faces the thing. */
static env_goal_t grid_goal(void *self, env_observation_t *goal, reason_t *why) {
    grid_t *g = self;
    grid_world_t solved = g->world;
    for (int t = 0; t < GRID_STEPS && !grid_world_solved(&solved); t++)
        grid_world_act(&solved, grid_plan(&solved));
    if (!grid_world_solved(&solved)) return ENV_NO_GOAL;
    grid_view_draw(g->sprites, &solved, g->rgb);
    goal->slot[SEEN_IMAGE].rgb = g->rgb;
    return ENV_GOAL;
}

/* Place and direction of the agent; kind and color of what it carries, of the mission, and of every
 * cell, row by row. */
static size_t grid_state(const void *self, double *out, size_t cap) {
    const grid_world_t *w = &((const grid_t *)self)->world;
    double all[7 + 2 * GRID_ROOM * GRID_ROOM] = {w->x,
                                                 w->y,
                                                 w->direction,
                                                 w->carried.kind,
                                                 w->carried.color,
                                                 w->mission.kind,
                                                 w->mission.color};
    size_t n = 7;
    for (int y = 0; y < GRID_ROOM; y++)
        for (int x = 0; x < GRID_ROOM; x++) {
            all[n++] = w->cell[y][x].kind;
            all[n++] = w->cell[y][x].color;
        }
    memcpy(out, all, (cap < n ? cap : n) * sizeof(double));
    return n;
}

const env_driver_t env_grid = {
    .name = "grid",
    .open = grid_open,
    .close = grid_close,
    .reset = grid_reset,
    .observe = grid_observe,
    .step = grid_act,
    .expert = grid_expert,
    .goal = grid_goal,
    .state = grid_state,
};
