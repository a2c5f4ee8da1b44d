/* player.c - opens a policy, binds bodies to its tasks, keeps the lanes; see player.h. */
#include "gato/play/player_private.h"

#include "common/base/sizes.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "gato/run/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ---- */

static bool any_image(const gato_model_t *m) {
    for (size_t i = 0; i < m->tasks.n; i++)
        if (task_first(&m->tasks.v[i], SIDE_OBSERVED, SLOT_IMAGE) >= 0) return true;
    return false;
}

static int open_tokenizer(player_t *p, const char *dir, int *rc, reason_t *why) {
    const char *print = p->m->vocabulary.fingerprint;
    char *inside = fs_join(dir, "vqvae");
    p->tokenizer = tokenizer_open(inside, rc, why);
    bool is_there = fs_is_dir(inside);
    free(inside);
    if (!p->tokenizer) {
        if (is_there) return -1;
        *rc = RC_USAGE;
        return reason_set(why,
                          "'%s' has no tokenizer inside: its policy reads images as codes, and was "
                          "trained without --vqvae (copy the tokenizer's folder to '%s/vqvae')",
                          dir, dir);
    }
    if (!print || !strcmp(print, tokenizer_fingerprint(p->tokenizer))) return 0;
    *rc = RC_MISFIT;
    return reason_set(why,
                      "'%s': the policy was trained on codes of tokenizer %s, but vqvae/ is %s",
                      dir, print, tokenizer_fingerprint(p->tokenizer));
}

static int open_words(player_t *p, int *rc, reason_t *why) {
    const vocabulary_t *v = &p->m->vocabulary;
    const char *name = v->text_tokenizer ? v->text_tokenizer : "byte";
    p->words = text_tokenizer_load(name, v->text_file, rc, why);
    if (!p->words) return -1;
    if (!v->text || v->text == text_tokenizer_ids(p->words)) return 0;
    text_tokenizer_free(p->words); /* an import without the tokenizer of its ids */
    p->words = NULL;
    return 0;
}

int player_needs_words(const player_t *p, reason_t *why) {
    if (p->words) return 0;
    return reason_set(why,
                      "the policy has %u text ids and came without their tokenizer (gato import "
                      "--bpe)",
                      p->m->vocabulary.text);
}

/* The size that kept images were fitted to and how, by tokenizer.json's preprocess. */
static void find_size(player_t *p) {
    const char *text = p->m->vocabulary.preprocess;
    cJSON *o = text ? json_parse(text, strlen(text), false, NULL) : NULL;
    const cJSON *size = cJSON_GetObjectItemCaseSensitive(o, "size");
    const char *filter = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "filter"));
    uint64_t w = 0, h = 0;
    if (cJSON_GetArraySize(size) == 2 && json_u64(cJSON_GetArrayItem(size, 0), &w) &&
        json_u64(cJSON_GetArrayItem(size, 1), &h)) {
        p->fit_w = (size_t)w;
        p->fit_h = (size_t)h;
        p->fit_bicubic = filter && !strcmp(filter, "bicubic");
    }
    cJSON_Delete(o);
}

/* How chunks are used: as asked, else as the RUN says. */
static int use_chunks(player_t *p, reason_t *why) {
    const gato_config_t *c = &p->m->config;
    player_opts_t *o = &p->o;
    if (!o->execute && !o->averages) {
        o->execute = c->act.execute;
        o->ensemble = c->act.ensemble;
    } else {
        if (!o->execute) o->execute = 1;
        if (!o->averages) o->ensemble = ENSEMBLE_OFF;
    }
    return gato_config_check_chunks(c->model.chunk, o->execute, o->ensemble, why);
}

player_t *player_open(const char *dir, const player_opts_t *o, int *rc, reason_t *why) {
    gato_model_t *m = run_load(dir, rc, why);
    return m ? player_of(m, dir, o, rc, why) : NULL;
}

player_t *player_of(gato_model_t *m, const char *dir, const player_opts_t *o, int *rc,
                    reason_t *why) {
    player_t *p = NEW(player_t);
    p->o = *o;
    p->m = m;
    gato_model_merge(p->m);
    const gato_config_t *c = &p->m->config;
    if (p->o.decode < 0) p->o.decode = c->act.decode;
    if (p->o.temperature < 0) p->o.temperature = c->act.temperature;
    if (use_chunks(p, why) || gato_config_check_decode(c, p->o.decode, why)) {
        *rc = RC_USAGE;
        gato_model_free(p->m);
        free(p);
        return NULL;
    }
    bool pixels = gato_config_image_in(c)->pixels;
    if (any_image(p->m) && pixels) find_size(p);
    bool codes = dir && any_image(p->m) && !pixels;
    if (open_words(p, rc, why) || (codes && open_tokenizer(p, dir, rc, why))) {
        text_tokenizer_free(p->words);
        tokenizer_free(p->tokenizer);
        gato_model_free(p->m);
        free(p);
        return NULL;
    }
    p->packed = nn_packed_new(p->m->params, p->o.weights);
    p->binding = xcalloc(p->m->tasks.n + 1, sizeof *p->binding);
    for (size_t i = 0; i < p->m->tasks.n; i++) p->longest = max_size(p->longest, p->m->window[i]);
    player_run_open(p);
    player_choose_open(p);
    player_dream_open(p);
    return p;
}

const gato_model_t *player_model(const player_t *p) {
    return p->m;
}

/* ---- bodies ---- */

/* Does the body's slot stand for the task's, by side, kind and name? */
static bool same_name(const slot_t *a, const slot_t *b) {
    return a->side == b->side && a->kind == b->kind &&
           (!*a->name || !*b->name || !strcmp(a->name, b->name));
}

/* The body without the observed slots that the task does not read; borrows all. kept: their numbers
 * in the body. */
static task_t reduce(const task_t *task, const task_t *body, slot_t slot[TASK_SLOTS],
                     uint32_t kept[TASK_SLOTS]) {
    task_t reduced = *body;
    reduced.slot = slot;
    reduced.n_slots = 0;
    for (uint32_t k = 0; k < body->n_slots; k++) {
        bool read = body->slot[k].side == SIDE_ACTED;
        for (uint32_t i = 0; i < task->n_slots && !read; i++)
            read = same_name(&task->slot[i], &body->slot[k]);
        if (!read) continue;
        kept[reduced.n_slots] = k;
        slot[reduced.n_slots++] = body->slot[k];
    }
    return reduced;
}

/* "sees 64 x 64 image 'image', ...; does vector of 2" */
static void describe(const task_t *t, char *text, size_t size) {
    size_t at = 0;
    char buf[TASK_NAME + 64];
    *text = 0;
    for (uint32_t k = 0; k < t->n_slots && at + 1 < size; k++) {
        bool acted = t->slot[k].side == SIDE_ACTED,
             first = k == 0 || (t->slot[k - 1].side == SIDE_ACTED) != acted;
        const char *lead = !first ? ", " : acted ? (k ? "; does " : "does ") : "sees ";
        int n = snprintf(text + at, size - at, "%s%s", lead, slot_text(&t->slot[k], buf));
        at += n > 0 ? (size_t)n : 0;
    }
}

static int misfit(const task_t *task, const task_t *body, const char *cause, reason_t *why) {
    char of_task[200], of_body[200];
    describe(task, of_task, sizeof of_task);
    describe(body, of_body, sizeof of_body);
    return reason_set(why,
                      "task '%s' of the policy does not fit '%s': %.200s (the policy %s; '%s' %s)",
                      task->name, body->name, cause, of_task, body->name, of_body);
}

/* Fills *b with the slots of the body. 0, or -1 with a reason. */
static int correspond(const gato_config_t *c, const task_t *task, const task_t *body,
                      bool allow_missing, binding_t *b, reason_t *why) {
    slot_t slot[TASK_SLOTS];
    uint32_t kept[TASK_SLOTS];
    int32_t map[TASK_SLOTS];
    char buf[TASK_NAME + 64];
    reason_t cause;
    task_t reduced = reduce(task, body, slot, kept);
    if (task_fit(task, &reduced, &cause)) {
        cause.text[strcspn(cause.text, ";")] = 0; /* misfit() lists the slots itself */
        return misfit(task, body, cause.text, why);
    }
    task_map(task, &reduced, map);
    for (uint32_t k = 0; k < TASK_SLOTS; k++) b->body[k] = -1;
    uint32_t columns[SLOT_KINDS] = {0};
    for (uint32_t i = 0; i < reduced.n_slots; i++) {
        const slot_t *s = &slot[i];
        b->body[map[i]] = (int32_t)kept[i];
        b->image_w[map[i]] = s->image_w;
        b->image_h[map[i]] = s->image_h;
        if (s->side != SIDE_ACTED) continue;
        b->column[map[i]] = columns[s->kind];
        columns[s->kind] += s->width;
    }
    for (uint32_t k = 0; k < task->n_slots; k++) {
        const slot_t *s = &task->slot[k];
        if (b->body[k] >= 0 || (int)k == layout_goal(c, task) ||
            (allow_missing && s->side == SIDE_OBSERVED))
            continue;
        reason_set(&cause, "it has no %s%.200s%s", s->side == SIDE_ACTED ? "acted " : "",
                   slot_text(s, buf),
                   s->side == SIDE_OBSERVED ? " (--allow-missing plays without)" : "");
        return misfit(task, body, cause.text, why);
    }
    b->is_bound = true;
    return 0;
}

static int bind_to(player_t *p, size_t task, const task_t *body, bool allow_missing,
                   reason_t *why) {
    binding_t b = {0};
    const task_t *t = &p->m->tasks.v[task];
    if (t->kind != RECORD_EPISODE)
        return reason_set(why, "task '%s' of the policy is none of episodes", t->name);
    if (correspond(&p->m->config, t, body, allow_missing, &b, why)) return -1;
    bool reads = p->m->config.model.control_text && task_first(t, SIDE_OBSERVED, SLOT_TEXT) >= 0;
    if (reads && player_needs_words(p, why)) return -1;
    p->binding[task] = b;
    return (int)task;
}

static int unknown(const player_t *p, const char *name, const char *what, reason_t *why) {
    char list[400] = "";
    for (size_t i = 0; i < p->m->tasks.n; i++) {
        size_t at = strlen(list);
        snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", p->m->tasks.v[i].name);
    }
    return reason_set(why, "%s '%s'; it has: %s", what, name, list);
}

/* The task of that name; or of its last part, which is what tokenize calls a dataset recorded of it
 * ("suite/reach/expert-v0" is "reach"). -1 when there is none. */
static int task_named(const player_t *p, const char *name) {
    int task = tasks_find(&p->m->tasks, name);
    const char *slash = strrchr(name, '/');
    return task < 0 && slash ? tasks_find(&p->m->tasks, slash + 1) : task;
}

int player_bind(player_t *p, const task_t *body, const char *name, bool allow_missing,
                reason_t *why) {
    int task = name ? tasks_find(&p->m->tasks, name) : task_named(p, body->name);
    if (task >= 0) return bind_to(p, (size_t)task, body, allow_missing, why);
    if (name) return unknown(p, name, "the policy has no task", why);
    size_t fit = 0, only = 0, episodes = 0;
    reason_t cause;
    for (size_t i = 0; i < p->m->tasks.n; i++) {
        binding_t b = {0};
        if (p->m->tasks.v[i].kind != RECORD_EPISODE) continue;
        episodes++;
        if (correspond(&p->m->config, &p->m->tasks.v[i], body, allow_missing, &b, &cause)) continue;
        fit++;
        only = i;
    }
    if (fit == 1) return bind_to(p, only, body, allow_missing, why);
    if (fit > 1)
        return unknown(p, body->name, "several tasks of the policy fit, --task names one for", why);
    if (episodes == 1) return reason_set(why, "%s", cause.text);
    return unknown(p, body->name, "no task of the policy fits", why);
}

/* ---- lanes ---- */

static void lane_release(const player_t *p, lane_t *lane) {
    for (int64_t i = 0; lane->cache && i < p->m->config.model.layers; i++) free(lane->cache[i]);
    free(lane->cache);
    free(lane->begin);
    free(lane->hidden);
    free(lane->separator);
    free(lane->plan);
    for (size_t i = 0; lane->past && i < p->longest; i++) seen_release(&lane->past[i]);
    free(lane->past);
    seen_release(&lane->now);
    seen_release(&lane->last);
    seen_release(&lane->goal);
}

static void release_lanes(player_t *p) {
    for (size_t i = 0; i < p->n_lanes; i++) lane_release(p, &p->lane[i]);
    free(p->lane);
    free(p->lanes);
    p->lane = NULL;
    p->lanes = NULL;
    p->n_lanes = 0;
}

void player_close(player_t *p) {
    if (!p) return;
    player_run_close(p);
    player_choose_close(p);
    player_dream_close(p);
    release_lanes(p);
    free(p->binding);
    tokenizer_free(p->tokenizer);
    text_tokenizer_free(p->words);
    nn_packed_free(p->packed);
    gato_model_free(p->m);
    free(p);
}

int player_lanes(player_t *p, size_t n, reason_t *why) {
    size_t D = (size_t)p->m->config.model.width, L = (size_t)p->m->config.model.layers;
    if (!n || n > 1 << 16) return reason_set(why, "%zu lanes; 1 to %d are possible", n, 1 << 16);
    release_lanes(p);
    plan_cache_clear(p->chunks); /* they are bound to the former lanes */
    p->lane = xcalloc(n, sizeof *p->lane);
    p->lanes = xcalloc(n, sizeof *p->lanes);
    p->n_lanes = n;
    for (size_t i = 0; i < n; i++) {
        lane_t *lane = &p->lane[i];
        lane->cache = xcalloc(L, sizeof *lane->cache);
        lane->begin = xcalloc(p->longest + 1, sizeof *lane->begin);
        lane->hidden = xcalloc(D, sizeof *lane->hidden);
        lane->separator = xcalloc(D, sizeof *lane->separator);
        lane->plan = xcalloc(player_chunk_floats(p), sizeof *lane->plan);
        if (p->o.rebuild) lane->past = xcalloc(p->longest + 1, sizeof *lane->past);
    }
    return 0;
}

void player_reset(player_t *p, size_t lane, uint32_t task) {
    if (lane >= p->n_lanes) BUG("lane %zu of %zu", lane, p->n_lanes);
    if (task >= p->m->tasks.n || !p->binding[task].is_bound) BUG("task %u is not bound", task);
    lane_t *l = &p->lane[lane];
    for (size_t i = 0; l->past && i < p->longest; i++) seen_release(&l->past[i]);
    seen_release(&l->now);
    seen_release(&l->last);
    seen_release(&l->goal);
    l->task = task;
    l->is_open = true;
    l->step = 0;
    l->n_waiting = 0;
    lane_plans_nothing(l);
    lane_clear(l);
}

int player_goal_camera(const player_t *p, uint32_t task) {
    const task_t *t = &p->m->tasks.v[task];
    if (layout_goal(&p->m->config, t) < 0) return -1;
    return p->binding[task].body[task_first(t, SIDE_OBSERVED, SLOT_IMAGE)];
}

int player_goal(player_t *p, size_t lane, const uint8_t *rgb, size_t w, size_t h, reason_t *why) {
    lane_t *l = &p->lane[lane];
    const task_t *task = &p->m->tasks.v[l->task];
    int k = layout_goal(&p->m->config, task);
    if (k < 0)
        return reason_set(why, "task '%s' of the policy has no slot of goals (data.goal)",
                          task->name);
    seen_release(&l->goal);
    return player_see_image(p, &task->slot[k], rgb, w, h, &l->goal, &l->goal.data.slot[k], why);
}

const float *player_hidden(const player_t *p, size_t lane) {
    return p->lane[lane].hidden;
}

/* The lane sees what is recorded; where that has no goal, the lane's own. */
static void take_seen(const player_t *p, lane_t *lane, const timestep_t *s) {
    int goal = layout_goal(&p->m->config, &p->m->tasks.v[lane->task]);
    player_copy_seen(p, s, &lane->now);
    if (goal >= 0 && !slot_value_present(&s->slot[goal]))
        lane->now.data.slot[goal] = lane->goal.data.slot[goal];
}

/* Checks the turns and takes the observations. -1 with a reason: nothing has changed. */
static int observe_all(player_t *p, const player_turn_t *turn, size_t n, reason_t *why) {
    for (size_t i = 0; i < n; i++) {
        if (turn[i].lane >= p->n_lanes || !p->lane[turn[i].lane].is_open)
            BUG("lane %zu was not reset", turn[i].lane);
        lane_t *lane = &p->lane[turn[i].lane];
        reason_t cause;
        bool acts;
        bool refused =
            turn[i].recorded
                ? player_check_recorded(p, lane, turn[i].recorded, &acts, &cause) != 0
                : player_observe(p, lane, turn[i].seen, &lane->now, &cause) ||
                      (turn[i].given && player_check_given(p, lane, turn[i].given, &cause));
        if (!refused && turn[i].recorded) take_seen(p, lane, turn[i].recorded);
        if (!refused) continue;
        for (size_t k = 0; k <= i; k++) seen_release(&p->lane[turn[k].lane].now);
        if (n > 1) return reason_set(why, "lane %zu: %s", turn[i].lane, cause.text);
        return reason_set(why, "%s", cause.text);
    }
    return 0;
}

static bool acts_recorded(const player_t *p, const lane_t *lane, const timestep_t *s) {
    bool acts = false;
    return s && !player_check_recorded(p, lane, s, &acts, NULL) && acts;
}

/* Does anything read the present observation? Where no later step sees it and the action is planned
 * already, nothing does. */
static bool is_read(const player_t *p, const lane_t *lane) {
    return lane->plans || p->m->window[lane->task] > 1 ||
           task_width(&p->m->tasks.v[lane->task], SIDE_ACTED, SLOT_DISCRETE) > 0;
}

int player_push(player_t *p, player_turn_t *turn, size_t n, reason_t *why) {
    if (observe_all(p, turn, n, why)) return -1;
    lane_t **run = xcalloc(2 * n, sizeof *run), **chooses = run + n;
    player_turn_t **choose = xcalloc(n, sizeof *choose);
    size_t n_choose = 0, n_run = 0;
    for (size_t i = 0; i < n; i++) {
        lane_t *l = &p->lane[turn[i].lane];
        l->n_chosen = l->slot = l->column = 0;
        bool told = turn[i].given || acts_recorded(p, l, turn[i].recorded);
        if (told) {
            lane_plans_nothing(l);
        } else {
            lane_begins_step(p, l);
            chooses[n_choose] = l;
            choose[n_choose++] = &turn[i];
        }
        if (told || is_read(p, l))
            run[n_run++] = l;
        else
            l->n_waiting = 0;
    }
    if (n_run) player_run_observations(p, run, n_run);
    player_choose(p, choose, chooses, n_choose);
    for (size_t i = 0; i < n; i++) {
        lane_t *l = &p->lane[turn[i].lane];
        if (acts_recorded(p, l, turn[i].recorded)) {
            player_take_recorded(p, l, turn[i].recorded, &turn[i].action);
        } else if (turn[i].given) {
            player_take_given(p, l, turn[i].given);
            turn[i].action = *turn[i].given;
        }
        lane_next(p, l);
    }
    free(run);
    free(choose);
    return 0;
}

int player_feed(player_t *p, size_t lane, const timestep_t *step, size_t n, rng_t draw,
                reason_t *why) {
    for (size_t i = 0; i < n; i++) {
        timestep_t now = step[i];
        int goal = layout_goal(&p->m->config, &p->m->tasks.v[now.task]);
        if (goal >= 0) now.slot[goal] = (slot_value_t){0};
        player_turn_t turn = {.lane = lane, .recorded = &now, .draw = draw};
        if (player_push(p, &turn, 1, why)) return -1;
    }
    lane_plans_nothing(&p->lane[lane]);
    return 0;
}
