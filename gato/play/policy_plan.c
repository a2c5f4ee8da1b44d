/* policy_plan.c - a trained model dreams what actions would lead to, and does what comes nearest to
 * a goal image (planner.h). */
#include "common/base/log.h"
#include "common/io/fs.h"
#include "common/io/image/image.h"
#include "gato/model/layout.h"
#include "gato/play/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

typedef struct {
    player_t *player;
    planner_t *planner;
    uint32_t task;
    task_t body;
    image_t goal;                /* of --goal FILE */
    size_t horizon, execute;     /* of search_opts_t */
    bool forgets;                /* each plan begins without a past */
    const search_found_t *found; /* the plan at hand; NULL: none yet */
    size_t done;                 /* its actions so far */
    bool has_planned;            /* in the last act */
    planned_t planned;
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
    s->found = NULL;
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

/* Has the file as many codes as the camera that it is the goal of? */
static int check_size(plan_state_t *s, reason_t *why) {
    for (uint32_t k = 0; k < task_of(s)->n_slots; k++) {
        int camera = camera_of(s, k);
        if (camera < 0) continue;
        const slot_t *slot = &s->body.slot[camera];
        image_t black = image_new(slot->image_w, slot->image_h);
        memset(black.rgb, 0, black.w * black.h * 3);
        tokenizer_grid_t is, wanted;
        uint32_t *shown =
                     player_codes(s->player, s->task, k, black.rgb, black.w, black.h, &wanted, why),
                 *goal = player_codes(s->player, s->task, k, s->goal.rgb, s->goal.w, s->goal.h, &is,
                                      why);
        bool known = shown && goal, same = known && is.h == wanted.h && is.w == wanted.w;
        free(shown);
        free(goal);
        image_release(&black);
        if (known && !same)
            reason_set(why, "it has %zu x %zu codes, and camera '%s' %zu x %zu", is.h, is.w,
                       slot->name, wanted.h, wanted.w);
        return same ? 0 : -1;
    }
    return reason_set(why, "no camera of task '%s' to compare it with", s->body.name);
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
    if (!check_size(s, &cause)) return 0;
    return reason_set(why, "--goal '%s': %s", file, cause.text);
}

static void *open_plan(const task_t *body, const policy_opts_t *o, int *rc, reason_t *why) {
    player_t *player = player_open(o->model, &o->player, rc, why);
    if (!player) return NULL;
    plan_state_t *s = NEW(plan_state_t);
    s->player = player;
    s->body = task_copy(body);
    s->horizon = o->plan.horizon;
    s->execute = o->plan.execute;
    s->forgets = o->forget;
    *rc = RC_MISFIT;
    int task = player_bind(player, body, o->task, o->allow_missing, why);
    if (task >= 0) {
        s->task = (uint32_t)task;
        *rc = RC_USAGE;
        s->planner = planner_new(player, s->task, &s->body, &o->plan, why);
        *rc = s->planner ? RC_RUNTIME : RC_USAGE;
        if (s->planner && !player_lanes(player, 1 + o->plan.candidates, why) &&
            !read_goal(s, o->goal, rc, why))
            return s;
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
    const plan_state_t *s = self;
    const gato_model_t *m = player_model(s->player);
    char all[200];
    run_fingerprint(m, out);
    int n = snprintf(all, sizeof all, "%s window=%lld", out, (long long)m->config.train.window);
    if (s->goal.rgb)
        n += snprintf(all + n, sizeof all - (size_t)n, " goal=%016llx",
                      (unsigned long long)XXH64(s->goal.rgb, s->goal.w * s->goal.h * 3, 0));
    snprintf(out, RUN_FINGERPRINT, "%016llx", (unsigned long long)XXH64(all, (size_t)n, 0));
}

/* Compares the plan that has ended here with what came of it, and makes the next. */
static int make_plan(plan_state_t *s, rng_t draw, reason_t *why) {
    double now, start = log_now();
    if (planner_distance(s->planner, &now, why)) return -1;
    s->planned.has_gap = s->found != NULL;
    s->planned.gap = s->found ? now - s->found->distance[s->execute - 1] : 0;
    s->found = planner_choose(s->planner, draw, why);
    if (!s->found) return -1;
    s->planned.imagined = s->found->distance[s->horizon - 1];
    s->planned.ms = (log_now() - start) * 1000;
    s->has_planned = true;
    s->done = 0;
    return 0;
}

static int act(void *self, const policy_view_t *view, env_action_t *action, reason_t *why) {
    plan_state_t *s = self;
    rng_t draw = rng_fold(rng_fold(rng_make(view->seed, "policy.plan"), view->episode), view->step);
    s->has_planned = false;
    if (view->step == 0 && begin(s, view->goal, why)) return -1;
    bool goes_on = s->found && s->done < s->execute;
    if (goes_on)
        *action = s->found->action[s->done];
    else
        planner_placeholder(s->planner, action);
    if (s->forgets && !goes_on) player_reset(s->player, 0, s->task);
    player_turn_t turn = {.lane = 0, .seen = view->seen, .given = action};
    if (player_push(s->player, &turn, 1, why)) return -1;
    if (!goes_on) {
        if (make_plan(s, draw, why)) return -1;
        *action = s->found->action[0];
        if (player_redo(s->player, 0, action, why)) return -1;
    }
    s->done++;
    return 0;
}

static const planned_t *planned(const void *self) {
    const plan_state_t *s = self;
    return s->has_planned ? &s->planned : NULL;
}

const policy_t policy_plan = {.name = "plan",
                              .needs_model = true,
                              .needs_image = true,
                              .open = open_plan,
                              .close = close_plan,
                              .about = about,
                              .weights = weights,
                              .act = act,
                              .planned = planned};
