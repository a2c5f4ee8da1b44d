/* act.c - `gato act`: a policy plays an environment in a closed loop. Episode i is a function of
 * (seed, 2^32 + i); `gato record` plays (seed, i). So act never repeats a recorded episode. */
#include "common/base/log.h"
#include "common/base/percentile.h"
#include "common/base/sizes.h"
#include "common/io/fs.h"
#include "common/io/image/image.h"
#include "common/io/text/json.h"
#include "gato/commands.h"
#include "gato/play/message.h"
#include "gato/play/workers.h"
#include "gato/stage.h"
#include "gato/statistics.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    stage_args_t stage;
    const char *strip, *each;
    int64_t episodes, first, threads;
    episode_opts_t play;
} options_t;

static const uint64_t ACT_EPISODES = (uint64_t)1 << 32;

static options_t parse(int argc, char **argv) {
    options_t o = {.stage = stage_presets("model"), .episodes = 100};
    cli_opt_t shared[STAGE_OPTIONS];
    const cli_opt_t own[] = {
        {"--episodes", CLI_INT, &o.episodes, "N", "how many episodes", false},
        {"--first", CLI_INT, &o.first, "N", "number of the first of them", false},
        {"--each", CLI_STR, &o.each, "F.jsonl",
         "write a JSON line for each episode, for gato compare", false},
        {"--blank-image", CLI_FLAG, &o.stage.blank, NULL,
         "show the policy black images only: a control", false},
        {"--context", CLI_STR, &o.stage.context, "HOW",
         "cache, or rebuild (run the whole context for every token)", false},
        {"--weights", CLI_STR, &o.stage.weights, "BITS",
         "f32, bf16, q8 or q4: how the weights of linear layers are stored at play", false},
        {"--strip", CLI_STR, &o.strip, "FILE",
         "write a PNG of ten frames of the first episode, a row for each camera", false},
        {"--seed", CLI_U64, &o.play.seed, "S",
         "episode i is a function of S and i, and never one that record plays", false},
        {"--threads", CLI_INT, &o.threads, "N", "worker processes (0 = one per processor)", false},
        {0},
    };
    stage_options(&o.stage, shared);
    cli_parse(argc, argv, "act",
              "play episodes; print return, success rate and time per action as JSON",
              (const cli_opt_t *const[]){own, shared}, 2);
    if (o.episodes < 1 || o.episodes > 1000000000) die(RC_USAGE, "--episodes must be 1 or more");
    if (o.first < 0 || o.first > 1000000000) die(RC_USAGE, "--first must be 0 or more");
    if (o.threads < 0 || o.threads > 1024) die(RC_USAGE, "--threads must be 0 to 1024");
    return o;
}

/* ---- in a worker ---- */

/* What a worker sends for one episode; behind it the milliseconds of each action and the plans, or
 * the reason of a failure. */
typedef struct {
    uint64_t failed;
    episode_result_t result;
    uint64_t plans;
} outcome_t;

typedef struct {
    stage_t *stage;
    const options_t *o;
    float *ms; /* of the episode at hand */
    size_t cap;
    planned_t *plan; /* of the episode at hand */
    size_t n_plans, plan_cap;
    message_t message;
} play_t;

static int note_step(void *ctx, const episode_step_t *s, reason_t *why) {
    play_t *p = ctx;
    const stage_t *stage = p->stage;
    if (!s->action) return 0;
    p->ms = xgrow(p->ms, &p->cap, s->step + 1, sizeof *p->ms);
    p->ms[s->step] = s->ms;
    if (!s->step) p->n_plans = 0;
    const planned_t *plan = stage->policy->planned ? stage->policy->planned(stage->player) : NULL;
    if (!plan) return 0;
    p->plan = xgrow(p->plan, &p->plan_cap, p->n_plans + 1, sizeof *p->plan);
    p->plan[p->n_plans++] = *plan;
    return 0;
}

static bool say_again(void *ctx, const reason_t *why) {
    warn("an episode is played again: %s", why->text);
    return true;
}

static void play_item(void *ctx, size_t episode, workers_out_t *out) {
    play_t *p = ctx;
    outcome_t o;
    reason_t why = {""};
    memset(&o, 0, sizeof o);
    o.failed =
        stage_play(p->stage, &p->o->play, ACT_EPISODES + episode, p->stage->policy->needs_image,
                   note_step, say_again, p, &o.result, &why) != 0;
    o.plans = p->n_plans;
    p->message.n = 0;
    message_put(&p->message, &o, sizeof o);
    if (o.failed)
        message_put(&p->message, why.text, strlen(why.text) + 1);
    else
        message_put(&p->message, p->ms, o.result.T * sizeof *p->ms);
    if (!o.failed && o.plans) message_put(&p->message, p->plan, o.plans * sizeof *p->plan);
    workers_send(out, p->message.v, p->message.n);
}

/* ---- a line for each episode ---- */

enum { SIZES_TEXT = 256 };

/* Of --each; file NULL: not wanted. */
typedef struct {
    fs_writer_t out;
    const options_t *o;
    const stage_t *stage;
    char weights[RUN_FINGERPRINT]; /* "" = a policy without */
} each_t;

/* Before the workers take the player along. */
static void each_open(each_t *e, const options_t *o, const stage_t *s) {
    reason_t why;
    *e = (each_t){.o = o, .stage = s};
    if (!o->each) return;
    if (s->policy->weights) s->policy->weights(s->player, e->weights);
    if (fs_writer_open(&e->out, o->each, &why)) die(RC_RUNTIME, "--each: %s", why.text);
}

/* A hash as a string, since it is more than a JSON number holds, behind what it belongs to. */
static void put_hash(jsonw_t *w, const char *key, const char *of, uint64_t hash) {
    char text[SIZES_TEXT + 20];
    snprintf(text, sizeof text, "%s%016" PRIx64, of, hash);
    jsonw_str(w, key, text);
}

/* "64x64 48x48:" of its cameras: views of other sizes are not compared. */
static const char *image_sizes(const task_t *task, char buf[SIZES_TEXT]) {
    size_t n = 0;
    for (uint32_t i = 0; i < task->n_slots && n + 24 < SIZES_TEXT; i++)
        if (task->slot[i].kind == SLOT_IMAGE)
            n += (size_t)snprintf(buf + n, SIZES_TEXT - n, "%s%ux%u", n ? " " : "",
                                  task->slot[i].image_h, task->slot[i].image_w);
    snprintf(buf + n, SIZES_TEXT - n, ":");
    return buf;
}

/* r: NULL = the episode failed. */
static void each_line(each_t *e, size_t episode, const episode_result_t *r) {
    const task_t *task = &e->stage->task;
    double range = task->expert_return - task->random_return;
    char seed[24], sizes[SIZES_TEXT];
    jsonw_t w;
    if (!e->out.file) return;
    snprintf(seed, sizeof seed, "%" PRIu64, e->o->play.seed);
    jsonw_begin(&w);
    jsonw_str(&w, "task", task->name);
    jsonw_str(&w, "policy", e->stage->policy->name);
    jsonw_str(&w, "weights", *e->weights ? e->weights : NULL);
    jsonw_raw(&w, "seed", seed);
    jsonw_int(&w, "episode", (int64_t)episode);
    jsonw_bool(&w, "failed", !r);
    if (r) {
        put_hash(&w, "start", "", r->start);
        if (r->view) put_hash(&w, "view", image_sizes(task, sizes), r->view);
    }
    jsonw_bool(&w, "success", r && r->success);
    jsonw_num(&w, "return", r ? r->ret : NAN);
    jsonw_num(&w, "normalized", r && range > 0 ? (r->ret - task->random_return) / range : NAN);
    jsonw_num(&w, "length", r ? (double)r->T : NAN);
    fprintf(e->out.file, "%s\n", jsonw_end(&w));
    jsonw_free(&w);
}

static void each_close(each_t *e) {
    reason_t why;
    if (e->out.file && fs_writer_commit(&e->out, &why)) die(RC_RUNTIME, "--each: %s", why.text);
}

/* ---- in this process ---- */

typedef struct {
    size_t played, failed, successes;
    double sum, squares, length;
    float *ms;
    size_t n_ms, ms_cap, first_length;
    reason_t failure;
    progress_t progress;
    each_t each;
    size_t first;
    /* of plans */
    float *plan_ms;
    size_t n_plans, plan_ms_cap, n_gaps;
    double imagined, gap; /* sums */
} tally_t;

static void failed(tally_t *t, size_t episode, const char *how) {
    if (!t->failed++) warn("episode %zu failed: %s", episode, how);
    reason_set(&t->failure, "%s", how);
    each_line(&t->each, episode, NULL);
    progress_step(&t->progress, episode + 1 - t->first, NULL);
}

static void take_plans(tally_t *t, const planned_t *plan, size_t n) {
    if (!n) return;
    t->plan_ms = xgrow(t->plan_ms, &t->plan_ms_cap, t->n_plans + n, sizeof *t->plan_ms);
    for (size_t i = 0; i < n; i++) {
        t->plan_ms[t->n_plans++] = (float)plan[i].ms;
        t->imagined += plan[i].imagined;
        if (!plan[i].has_gap) continue;
        t->gap += plan[i].gap;
        t->n_gaps++;
    }
}

static void take(void *ctx, size_t episode, const void *message, size_t bytes) {
    tally_t *t = ctx;
    const outcome_t *o = message;
    const void *data = (const uint8_t *)message + round_up(sizeof *o, 8);
    if (o->failed) {
        failed(t, episode, data);
        return;
    }
    const episode_result_t *r = &o->result;
    t->played++;
    t->sum += r->ret;
    t->squares += r->ret * r->ret;
    t->length += (double)r->T;
    t->successes += r->success;
    if (episode == t->first) t->first_length = r->T;
    t->ms = xgrow(t->ms, &t->ms_cap, t->n_ms + r->T, sizeof *t->ms);
    memcpy(t->ms + t->n_ms, data, r->T * sizeof *t->ms);
    t->n_ms += r->T;
    size_t ms_bytes = round_up(r->T * sizeof *t->ms, 8);
    take_plans(t, (const planned_t *)((const uint8_t *)data + ms_bytes), o->plans);
    each_line(&t->each, episode, r);
    progress_step(&t->progress, episode + 1 - t->first, NULL);
}

static void lost(void *ctx, size_t episode, const char *how) {
    char *text = xasprintf("its worker process was %s", how);
    failed(ctx, episode, text);
    free(text);
}

static void report_plans(jsonw_t *w, tally_t *t) {
    percentile_sort(t->plan_ms, t->n_plans);
    jsonw_num(w, "plan_ms_p50", percentile(t->plan_ms, t->n_plans, 0.5));
    jsonw_num(w, "plan_ms_p99", percentile(t->plan_ms, t->n_plans, 0.99));
    jsonw_num(w, "plan_distance", t->imagined / (double)t->n_plans);
    jsonw_num(w, "plan_gap", t->n_gaps ? t->gap / (double)t->n_gaps : NAN);
}

static void report(const options_t *o, const stage_t *s, tally_t *t) {
    const task_t *task = &s->task;
    double n = (double)o->episodes, played = (double)t->played, mean = t->sum / played, ci[2];
    double range = task->expert_return - task->random_return; /* NAN where one is not known */
    percentile_sort(t->ms, t->n_ms);
    statistics_wilson((double)t->successes, n, ci);
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, o->play.seed);
    jsonw_t w;
    jsonw_begin(&w);
    jsonw_str(&w, "env", s->env_name);
    jsonw_str(&w, "task", task->name);
    jsonw_str(&w, "policy", s->policy->name);
    jsonw_raw(&w, "seed", seed); /* 64 bits: more than jsonw_int holds */
    jsonw_int(&w, "episodes", o->episodes);
    jsonw_int(&w, "failed", (int64_t)t->failed);
    jsonw_num(&w, "return_mean", mean);
    jsonw_num(&w, "return_std", sqrt(fmax(0, t->squares / played - mean * mean)));
    /* an episode that failed counts as not solved */
    jsonw_num(&w, "success_rate", (double)t->successes / n);
    jsonw_open(&w, "success_ci", '[');
    jsonw_num(&w, NULL, ci[0]);
    jsonw_num(&w, NULL, ci[1]);
    jsonw_close(&w, ']');
    jsonw_num(&w, "length_mean", t->length / played);
    jsonw_num(&w, "normalized_score", range > 0 ? (mean - task->random_return) / range : NAN);
    jsonw_num(&w, "step_ms_p50", percentile(t->ms, t->n_ms, 0.5));
    jsonw_num(&w, "step_ms_p99", percentile(t->ms, t->n_ms, 0.99));
    if (s->policy->planned) report_plans(&w, t);
    puts(jsonw_end(&w));
    jsonw_free(&w);
}

/* ---- the strip ---- */

enum { SHOWN = 10 };

/* Frames of the first episode, which is played once more: now its length is known. */
typedef struct {
    const task_t *task;
    size_t T, n; /* timesteps to choose from, and to show */
    image_t shown[TASK_SLOTS * SHOWN];
} strip_t;

static size_t shown_step(const strip_t *s, size_t i) {
    return s->n > 1 ? i * (s->T - 1) / (s->n - 1) : 0;
}

/* Camera c's frame of column i stands at c * n + i. */
static int keep_frame(void *ctx, const episode_step_t *step, reason_t *why) {
    strip_t *s = ctx;
    for (size_t i = 0; i < s->n && step->action; i++) {
        if (shown_step(s, i) != step->step) continue;
        size_t camera = 0;
        for (uint32_t k = 0; k < s->task->n_slots; k++) {
            const slot_t *slot = &s->task->slot[k];
            if (slot->kind != SLOT_IMAGE) continue;
            image_t *to = &s->shown[camera++ * s->n + i];
            const uint8_t *rgb = step->seen->slot[k].rgb;
            image_release(to);
            *to = image_new(slot->image_w, slot->image_h);
            size_t bytes = to->w * to->h * 3;
            if (rgb)
                memcpy(to->rgb, rgb, bytes);
            else
                memset(to->rgb, 0, bytes);
        }
    }
    return 0;
}

static bool once(void *ctx, const reason_t *why) {
    return true;
}

static size_t cameras(const task_t *task) {
    size_t n = 0;
    for (uint32_t k = 0; k < task->n_slots; k++) n += task->slot[k].kind == SLOT_IMAGE;
    return n;
}

static void write_strip(stage_t *stage, const options_t *o, size_t T) {
    strip_t *s = NEW(strip_t);
    *s = (strip_t){.task = &stage->task, .T = T, .n = min_size(T, SHOWN)};
    episode_result_t result;
    reason_t why;
    size_t n = s->n * cameras(s->task);
    if (stage_play(stage, &o->play, ACT_EPISODES + (uint64_t)o->first, true, keep_frame, once, s,
                   &result, &why))
        die(RC_RUNTIME, "no strip: the first episode failed: %s", why.text);
    image_t sheet = image_sheet(s->shown, n, s->n, 2), big = image_zoom(&sheet, 2);
    if (image_write_png(&big, o->strip, &why)) die(RC_RUNTIME, "%s", why.text);
    image_release(&sheet);
    image_release(&big);
    for (size_t i = 0; i < n; i++) image_release(&s->shown[i]);
    free(s);
}

/* Before the episodes are played: can the strip be written, and is there something to show? */
static void check_strip(const options_t *o, const task_t *task) {
    fs_writer_t w;
    reason_t why;
    if (!o->strip) return;
    if (!cameras(task)) die(RC_USAGE, "--strip: '%s' shows no images", task->name);
    if (fs_writer_open(&w, o->strip, &why)) die(RC_RUNTIME, "--strip: %s", why.text);
    fs_writer_abort(&w);
}

int cmd_gato_act(int argc, char **argv) {
    options_t o = parse(argc, argv);
    stage_t stage = stage_open(&o.stage);
    o.play.max_steps = stage.max_steps;
    check_strip(&o, &stage.task);
    tally_t t = {.first = (size_t)o.first};
    each_open(&t.each, &o, &stage);
    size_t n = (size_t)o.episodes, workers = stage_hand_over(&stage, o.threads, n);
    play_t play = {.stage = &stage, .o = &o};
    progress_begin(&t.progress, "act", 0, n);
    workers_run(workers, t.first, t.first + n, play_item, &play,
                &(workers_take_t){.ctx = &t, .take = take, .lost = lost});
    progress_end(&t.progress);
    if (!t.played) die(RC_RUNTIME, "all %zu episodes failed, the last one: %s", n, t.failure.text);
    each_close(&t.each);
    report(&o, &stage, &t);
    if (o.strip && t.first_length)
        write_strip(&stage, &o, t.first_length);
    else if (o.strip)
        warn("no strip: the first episode failed");
    free(play.ms);
    free(play.message.v);
    free(play.plan);
    free(t.ms);
    free(t.plan_ms);
    stage_close(&stage);
    return RC_OK;
}
