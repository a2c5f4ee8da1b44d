/* policy_plan.c - a trained model dreams what actions would lead to, and does what comes nearest to
 * a goal image (planner.h). */
#include "common/io/fs.h"
#include "common/io/image/image.h"
#include "gato/model/layout.h"
#include "gato/play/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    player_t *player;
    planner_t *planner;
    uint32_t task;
    task_t body;
    image_t goal; /* of --goal FILE */
} plan_state_t;

static void close_plan(void *self) {
    plan_state_t *s = self;
    planner_free(s->planner);
    player_close(s->player);
    image_release(&s->goal);
    task_release(&s->body);
    free(s);
}

static const task_t *task_of(const plan_state_t *s) {
    return &player_model(s->player)->tasks.v[s->task];
}

/* The body's camera of an image slot of the policy's task; -1: none. */
static int camera_of(const plan_state_t *s, uint32_t slot) {
    const task_t *task = task_of(s);
    const slot_t *image = &task->slot[slot];
    bool is_goal = (int)slot == layout_goal(&player_model(s->player)->config, task);
    if (image->side != SIDE_OBSERVED || image->kind != SLOT_IMAGE || is_goal) return -1;
    int k = task_find(&s->body, SIDE_OBSERVED, image->name);
    return k >= 0 && s->body.slot[k].kind == SLOT_IMAGE ? k : -1;
}

static bool has_camera(const plan_state_t *s) {
    for (uint32_t k = 0; k < task_of(s)->n_slots; k++)
        if (camera_of(s, k) >= 0) return true;
    return false;
}

/* The goals of an episode: the file's of the first camera, or what the environment shows of each.
 */
static int begin(plan_state_t *s, const env_observation_t *shown, reason_t *why) {
    size_t n = 0;
    planner_begin(s->planner);
    player_reset(s->player, 0, s->task);
    for (uint32_t k = 0; k < task_of(s)->n_slots; k++) {
        int camera = camera_of(s, k);
        if (camera < 0 || (s->goal.rgb && n)) continue;
        const slot_t *slot = &s->body.slot[camera];
        const uint8_t *rgb = s->goal.rgb ? s->goal.rgb : shown ? shown->slot[camera].rgb : NULL;
        size_t w = s->goal.rgb ? s->goal.w : slot->image_w,
               h = s->goal.rgb ? s->goal.h : slot->image_h;
        if (!rgb) continue;
        if (planner_goal(s->planner, k, rgb, w, h, why)) return -1;
        n++;
    }
    return n ? 0 : reason_set(why, "no image of a goal for a camera of task '%s'", s->body.name);
}

/* Does the goal have as many codes as images of the first camera? 0, or -1 with a reason. */
static int check_size(const plan_state_t *s, reason_t *why) {
    tokenizer_grid_t goal = {0}, seen = {0};
    uint32_t k = 0;
    while (camera_of(s, k) < 0) k++; /* begin() found one */
    const slot_t *slot = &s->body.slot[camera_of(s, k)];
    image_t dark = image_new(slot->image_w, slot->image_h);
    memset(dark.rgb, 0, dark.w * dark.h * 3);
    uint32_t *a =
                 player_codes(s->player, s->task, k, s->goal.rgb, s->goal.w, s->goal.h, &goal, why),
             *b = player_codes(s->player, s->task, k, dark.rgb, dark.w, dark.h, &seen, why);
    int rc = a && b ? 0 : -1;
    if (!rc && (goal.h != seen.h || goal.w != seen.w))
        rc = reason_set(why, "an image of %zu x %zu codes, and camera '%s' gives %zu x %zu", goal.h,
                        goal.w, slot->name, seen.h, seen.w);
    free(a);
    free(b);
    image_release(&dark);
    return rc;
}

static int read_goal(plan_state_t *s, const char *file, int *rc, reason_t *why) {
    image_opts_t how = image_opts_default();
    reason_t cause;
    *rc = RC_USAGE;
    if (!file) return reason_set(why, "a plan needs a goal: --goal FILE, or --goal env");
    *rc = RC_MISFIT;
    if (!has_camera(s))
        return reason_set(why, "a plan needs images, and task '%s' of the policy sees none of '%s'",
                          task_of(s)->name, s->body.name);
    if (!strcmp(file, GOAL_FROM_ENV)) return 0;
    *rc = RC_USAGE;
    if (!fs_exists(file)) return reason_set(why, "--goal: no file '%s', and not 'env'", file);
    *rc = RC_DATA;
    if (image_read(&s->goal, file, &how, &cause))
        return reason_set(why, "--goal '%s': %s", file, cause.text);
    *rc = RC_MISFIT;
    if (!begin(s, NULL, &cause) && !check_size(s, &cause)) return 0;
    return reason_set(why, "--goal '%s': %s", file, cause.text);
}

static void *open_plan(const task_t *body, const policy_opts_t *o, int *rc, reason_t *why) {
    player_t *player = player_open(o->model, &o->player, rc, why);
    if (!player) return NULL;
    plan_state_t *s = NEW(plan_state_t);
    s->player = player;
    s->body = task_copy(body);
    *rc = RC_MISFIT;
    int task = player_bind(player, body, o->task, o->allow_missing, why);
    if (task >= 0) {
        s->task = (uint32_t)task;
        if (!player_lanes(player, 1 + o->plan.candidates, why))
            s->planner = planner_new(player, s->task, &s->body, &o->plan, why);
        if (s->planner && !read_goal(s, o->goal, rc, why)) return s;
    }
    close_plan(s);
    return NULL;
}

static const char *about(const void *self, char buf[512]) {
    const plan_state_t *s = self;
    snprintf(buf, 512, "task '%s' of the policy dreams, attention window of %u timesteps",
             task_of(s)->name, player_model(s->player)->window[s->task]);
    return buf;
}

static void weights(const void *self, char out[RUN_FINGERPRINT]) {
    run_fingerprint(player_model(((const plan_state_t *)self)->player), out);
}

static int act(void *self, const policy_view_t *view, env_action_t *action, reason_t *why) {
    plan_state_t *s = self;
    rng_t draw = rng_fold(rng_fold(rng_make(view->seed, "policy.plan"), view->episode), view->step);
    env_action_t middle;
    double distance;
    if (view->step == 0 && begin(s, view->goal, why)) return -1;
    planner_placeholder(s->planner, &middle);
    player_turn_t turn = {.lane = 0, .seen = view->seen, .given = &middle};
    if (player_push(s->player, &turn, 1, why)) return -1;
    if (planner_choose(s->planner, draw, action, &distance, why)) return -1;
    return player_redo(s->player, 0, action, why);
}

const policy_t policy_plan = {.name = "plan",
                              .needs_model = true,
                              .needs_image = true,
                              .open = open_plan,
                              .close = close_plan,
                              .about = about,
                              .weights = weights,
                              .act = act};
