/* bench.c - `gato bench`: how fast a policy, or what a configuration would train, is on this
 * machine. A JSON line per task. Data are made up (bench_body.h), so what is chosen means nothing.
 */
#include "common/base/log.h"
#include "common/base/percentile.h"
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/kernel/level.h"
#include "common/train/optimizer.h"
#include "gato/bench_body.h"
#include "gato/commands.h"
#include "gato/model/graph.h"
#include "gato/stage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    stage_args_t stage; /* model, task, weights, how it plays and plans */
    const char *config, *measure;
    cli_list_t set;
    double seconds;
    int64_t batch, threads;
    uint64_t seed;
} options_t;

static const char *const parts[] = {"train", "forward", "step", "imagine", "plan"};
enum { TRAIN, FORWARD, STEP, IMAGINE, PLAN, PARTS };

/* ---- the command line ---- */

/* Of the options of act and record, those that change how fast a policy plays. */
static void play_options(stage_args_t *a, cli_opt_t out[STAGE_OPTIONS]) {
    static const char *const taken[] = {"--task",       "--plan",   "--horizon",
                                        "--iterations", "--elite",  "--execute",
                                        "--ensemble",   "--decode", "--temperature"};
    cli_opt_t all[STAGE_OPTIONS];
    size_t n = 0;
    stage_options(a, all);
    for (size_t i = 0; all[i].name; i++) {
        if (!strcmp(all[i].name, "--task"))
            all[i].help = "measure that task alone (unless given: all, a line each)";
        if (!strcmp(all[i].name, "--plan"))
            all[i].help = "measure a plan, too, by N action sequences (unless given: 64)";
        for (size_t k = 0; k < sizeof taken / sizeof *taken; k++)
            if (!strcmp(all[i].name, taken[k])) out[n++] = all[i];
    }
    out[n] = (cli_opt_t){0};
}

static options_t parse(int argc, char **argv) {
    options_t o = {.stage = stage_presets("model"), .seconds = 2};
    const cli_opt_t own[] = {
        {"--model", CLI_STR, &o.stage.model, "RUN", "the policy", false},
        {"--config", CLI_STR, &o.config, "FILE",
         "without a RUN: what gato train would make of this configuration, for a body with an "
         "image "
         "of 8 x 8 codes, 8 observed and 4 acted numbers",
         false},
        {"--set", CLI_LIST, &o.set, "KEY=VALUE", "set a configuration key (without a RUN)", false},
        {"--measure", CLI_STR, &o.measure, "LIST",
         "what, with commas: train, forward, step, imagine, plan (unless given: all that the "
         "policy "
         "can; plan with --plan alone)",
         false},
        {"--batch", CLI_INT, &o.batch, "N",
         "sequences of training and forward pass, lanes of imagining (0 = train.batch)", false},
        {"--weights", CLI_STR, &o.stage.weights, "BITS", "f32, bf16, q8 or q4, in all but training",
         false},
        {"--seconds", CLI_DURATION, &o.seconds, "S", "how long each part is measured, at least",
         false},
        {"--seed", CLI_U64, &o.seed, "S", "of the made-up data", false},
        {"--threads", CLI_INT, &o.threads, "N", "threads (0 = all processors)", false},
        {0},
    };
    cli_opt_t play[STAGE_OPTIONS];
    play_options(&o.stage, play);
    cli_parse(argc, argv, "bench",
              "measure training, forward pass, control step, imagining and planning: a JSON line "
              "per task",
              (const cli_opt_t *const[]){own, play}, 2);
    if (!o.stage.model == !(o.config || o.set.n))
        die(RC_USAGE, "--model RUN, or --config FILE (--set KEY=VALUE): one of them is needed");
    if (o.batch < 0 || o.batch > 65536) die(RC_USAGE, "--batch must be 0 to 65536");
    if (!(o.seconds >= 0 && o.seconds <= 3600)) die(RC_USAGE, "--seconds must be 0 to 3600");
    if (o.threads < 0 || o.threads > 1024) die(RC_USAGE, "--threads must be 0 to 1024");
    return o;
}

/* Refuses options that no part reads. */
static void check_idle(const options_t *o, const bool asked[PARTS]) {
    const stage_args_t *a = &o->stage;
    bool plays =
        a->execute != INT64_MIN || a->decode || !isnan(a->temperature) || !isnan(a->ensemble);
    if (!o->measure || asked[STEP] || asked[IMAGINE] || asked[PLAN]) return;
    if (plays)
        die(RC_USAGE,
            "--execute, --ensemble, --decode and --temperature do nothing: --measure '%s' has none "
            "of step, imagine and plan",
            o->measure);
    if (strcmp(a->weights, "f32") != 0 && !asked[FORWARD])
        die(RC_USAGE, "--weights does nothing: training is f32");
}

/* Which parts are asked for by name. */
static void find_parts(const options_t *o, bool asked[PARTS]) {
    memset(asked, 0, PARTS * sizeof *asked);
    for (const char *at = o->measure; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        size_t n = strcspn(at, ","), i = 0;
        while (i < PARTS && (strlen(parts[i]) != n || strncmp(at, parts[i], n))) i++;
        if (i == PARTS)
            die(RC_USAGE, "--measure '%s': train, forward, step, imagine and plan can be measured",
                o->measure);
        asked[i] = true;
    }
    const stage_args_t *a = &o->stage;
    bool told = a->horizon != INT64_MIN || a->iterations != INT64_MIN || a->elite != INT64_MIN;
    bool plans = a->plan != INT64_MIN || asked[PLAN];
    if (told && !plans)
        die(RC_USAGE, "--horizon, --iterations and --elite are of plans: --plan N is missing");
    if (a->plan != INT64_MIN && o->measure && !asked[PLAN])
        die(RC_USAGE, "--plan does nothing: --measure '%s' has no plan", o->measure);
    check_idle(o, asked);
    if (!o->measure) asked[PLAN] = plans;
}

/* ---- the policy ---- */

/* A new instance: the player takes one, training changes another. */
static gato_model_t *make_model(const options_t *o) {
    if (o->stage.model) return run_open(o->stage.model);
    gato_config_t c;
    reason_t why;
    config_defaults(gato_config_table, &c);
    if (o->config) config_file(gato_config_table, &c, o->config);
    config_sets(gato_config_table, &c, &o->set);
    if (gato_config_check(&c, &why)) die(RC_USAGE, "%s", why.text);
    if (c.data.goal != GOAL_NONE)
        die(RC_USAGE, "data.goal: the made-up body has no goals; measure a RUN");
    if (c.model.bin_kind == BIN_KIND_FAST)
        die(RC_USAGE, "model.bin_kind = fast: the made-up body has no chunks to fit FAST to; "
                      "measure a RUN");
    tasks_t tasks = bench_tasks(&c);
    vocabulary_t vocabulary = bench_vocabulary(o->seed);
    layout_t l;
    if (layout_declared(&l, &c, &tasks.v[0], &why)) die(RC_USAGE, "%s", why.text);
    if (layout_tokens(&l) > (size_t)c.model.context)
        die(RC_USAGE,
            "a timestep of the made-up body, %zu tokens, is longer than the context of %lld "
            "(model.context)",
            layout_tokens(&l), (long long)c.model.context);
    gato_model_t *m = gato_model_new(&c, &vocabulary, &tasks, o->seed);
    tasks_release(&tasks);
    vocabulary_release(&vocabulary);
    return m;
}

/* ---- timing ---- */

/* Milliseconds of each call. */
typedef struct {
    float *ms;
    size_t n, cap;
} times_t;

/* Calls fn, after two calls that record plans and touch memory, for so many seconds and three times
 * at least. */
static times_t measure(double seconds, void (*fn)(void *ctx), void *ctx) {
    enum { WARM_UP = 2, LEAST = 3 };
    times_t t = {0};
    for (int i = 0; i < WARM_UP; i++) fn(ctx);
    double begin = log_now(), last = begin;
    while (t.n < LEAST || last - begin < seconds) {
        fn(ctx);
        double now = log_now();
        t.ms = xgrow(t.ms, &t.cap, t.n + 1, sizeof *t.ms);
        t.ms[t.n++] = (float)((now - last) * 1000);
        last = now;
    }
    percentile_sort(t.ms, t.n);
    return t;
}

/* Units per second of the median call; frees the times. */
static double rate(times_t *t, size_t units) {
    double ms = percentile(t->ms, t->n, 0.5);
    free(t->ms);
    *t = (times_t){0};
    return (double)units / ms * 1000;
}

/* ---- training and forward pass ---- */

typedef struct {
    gato_model_t *m;
    gato_graphs_t *graphs;
    batch_t batch;
    optimizer_t optimizer;
    int64_t step;
} network_t;

/* B sequences of the task, each as long as its attention window. */
static void fill(network_t *w, uint32_t task, size_t B, bool train, uint64_t seed) {
    reason_t why;
    size_t n = w->m->window[task];
    bool mse = w->m->config.loss.action_kind == ACTION_MSE,
         discrete = task_width(&w->m->tasks.v[task], SIDE_ACTED, SLOT_DISCRETE) > 0,
         acts = task_width(&w->m->tasks.v[task], SIDE_ACTED, SLOT_VECTOR) > 0 || discrete;
    batch_init(&w->batch, w->m);
    batch_clear(&w->batch, train, seed, 0);
    for (size_t k = 0; k < B; k++) {
        bench_steps_t s = bench_steps(w->m, task, n, seed + k);
        batch_begin(&w->batch, task);
        for (size_t i = 0; i < n; i++) {
            if (batch_observation(&w->batch, &s.step[i], (int32_t)i, k, &why))
                die(RC_MISFIT, "%s", why.text);
            bool unread = train && mse && i + 1 == n && !discrete; /* as sequence_add */
            if (acts) batch_actions(&w->batch, !unread);
        }
        batch_end(&w->batch);
        bench_steps_release(&s);
    }
}

static void run_network(void *ctx) {
    network_t *w = ctx;
    gato_metrics_t f;
    gato_metrics_init(&f, w->m);
    gato_step(w->graphs, &w->batch, 0, (uint64_t)w->step, 0, false, &f);
    gato_metrics_release(&f);
    if (w->optimizer.n_wrt) optimizer_step(&w->optimizer, w->m->params, w->step++, 1);
}

/* Tokens per second; *ms: of a call, *padding: share of the positions without a token. */
static double network_speed(const options_t *o, uint32_t task, size_t B, bool train, double *ms) {
    network_t w = {.m = make_model(o)};
    const gato_config_t *c = &w.m->config;
    player_opts_t play = stage_player(&o->stage, false);
    nn_packed_t *packed = NULL;
    if (train) {
        w.optimizer = optimizer_of(&c->optim, c->train.steps, 0);
        w.optimizer.wrt = w.m->wrt;
        w.optimizer.n_wrt = w.m->n_wrt;
    } else if (play.weights != WEIGHTS_F32) {
        gato_model_merge(w.m);
        packed = nn_packed_new(w.m->params, play.weights);
    }
    w.graphs = gato_graphs_new(w.m, (graph_opts_t){.train = train, .packed = packed});
    fill(&w, task, B, train, o->seed);
    size_t tokens = batch_positions(&w.batch);
    times_t t = measure(o->seconds, run_network, &w);
    *ms = percentile(t.ms, t.n, 0.5);
    batch_release(&w.batch);
    gato_graphs_free(w.graphs);
    nn_packed_free(packed);
    gato_model_free(w.m);
    return rate(&t, tokens);
}

/* ---- at play ---- */

typedef struct {
    player_t *player;
    uint32_t task;
    size_t lanes, at;
    bool encodes; /* images come as pixels, through the tokenizer */
    bench_steps_t seen;
    uint8_t *rgb; /* of the largest image */
    planner_t *planner;
    rng_t draw;
} play_t;

static const task_t *task_of(const play_t *p) {
    return &player_model(p->player)->tasks.v[p->task];
}

/* The next timestep as the policy sees it, without actions: its images become codes. */
static timestep_t look(play_t *p) {
    timestep_t step = p->seen.step[p->at++ % p->seen.n];
    reason_t why;
    for (uint32_t k = 0; k < task_of(p)->n_slots; k++) {
        const slot_t *slot = &task_of(p)->slot[k];
        slot_value_t *v = &step.slot[k];
        if (slot->side == SIDE_ACTED) *v = (slot_value_t){0};
        if (slot->kind != SLOT_IMAGE || !p->encodes || !v->codes) continue;
        tokenizer_grid_t grid;
        uint32_t *codes =
            player_codes(p->player, p->task, k, p->rgb, slot->image_w, slot->image_h, &grid, &why);
        if (!codes) die(RC_MISFIT, "%s", why.text);
        if (grid.h != v->grid_h || grid.w != v->grid_w)
            die(RC_MISFIT, "image '%s' gives %zu x %zu codes, and the task has %zu x %zu",
                slot->name, grid.h, grid.w, v->grid_h, v->grid_w);
        memcpy((uint32_t *)(uintptr_t)v->codes, codes, grid.h * grid.w * sizeof *codes);
        free(codes);
    }
    return step;
}

static void push(play_t *p, size_t lane) {
    reason_t why;
    timestep_t step = look(p);
    player_turn_t turn = {.lane = lane, .recorded = &step, .draw = rng_fold(p->draw, p->at)};
    if (player_push(p->player, &turn, 1, &why)) die(RC_MISFIT, "%s", why.text);
}

static void run_step(void *ctx) {
    push(ctx, 0);
}

static void run_dream(void *ctx) {
    play_t *p = ctx;
    static const sampler_t likeliest = {.top_p = 1};
    reason_t why;
    player_dream_t *dream = xcalloc(p->lanes, sizeof *dream);
    for (size_t i = 0; i < p->lanes; i++) dream[i] = (player_dream_t){.lane = i, .draw = p->draw};
    if (player_dream(p->player, dream, p->lanes, &likeliest, &why)) die(RC_MISFIT, "%s", why.text);
    free(dream);
}

static void run_plan(void *ctx) {
    play_t *p = ctx;
    reason_t why;
    if (!planner_choose(p->planner, rng_fold(p->draw, p->at++), &why))
        die(RC_MISFIT, "%s", why.text);
}

/* n lanes whose attention windows are full. */
static void begin(play_t *p, size_t n) {
    reason_t why;
    if (player_lanes(p->player, n, &why)) die(RC_USAGE, "%s", why.text);
    p->lanes = n;
    for (size_t i = 0; i < n; i++) {
        player_reset(p->player, i, p->task);
        for (uint32_t k = 0; k < player_model(p->player)->window[p->task]; k++) push(p, i);
    }
}

static void open_player(const options_t *o, uint32_t task, bool tokenizer, bool plans, play_t *p) {
    int rc;
    reason_t why;
    player_opts_t how = stage_player(&o->stage, plans);
    gato_model_t *m = make_model(o);
    task_t body = task_copy(&m->tasks.v[task]);
    *p = (play_t){.task = task,
                  .player = player_of(m, tokenizer ? o->stage.model : NULL, &how, &rc, &why),
                  .encodes = tokenizer && !gato_config_image_in(&m->config)->pixels,
                  .draw = rng_make(o->seed, "bench.play")};
    if (!p->player) die(rc, "%s", why.text);
    if (player_bind(p->player, &body, body.name, false, &why) < 0) die(RC_MISFIT, "%s", why.text);
    size_t bytes = 1;
    for (uint32_t k = 0; k < body.n_slots; k++) {
        size_t n = (size_t)body.slot[k].image_h * body.slot[k].image_w * 3;
        if (n > bytes) bytes = n;
    }
    p->rgb = xmalloc(bytes);
    for (size_t i = 0; i < bytes; i++) p->rgb[i] = (uint8_t)rng_below(p->draw, i, 256);
    p->seen = bench_steps(m, task, (size_t)m->window[task] + 8, o->seed);
    task_release(&body);
}

static void close_player(play_t *p) {
    planner_free(p->planner);
    player_close(p->player);
    bench_steps_release(&p->seen);
    free(p->rgb);
}

/* Goals for every camera: noise. */
static void open_planner(const options_t *o, play_t *p) {
    reason_t why;
    search_opts_t how = stage_plan(&o->stage);
    if (!p->encodes)
        die(RC_USAGE, "a plan compares codes by the tokenizer of a RUN, and there is none");
    p->planner = planner_new(p->player, p->task, task_of(p), &how, &why);
    if (!p->planner) die(RC_USAGE, "%s", why.text);
    begin(p, 1 + how.candidates);
    for (uint32_t k = 0; k < task_of(p)->n_slots; k++) {
        const slot_t *slot = &task_of(p)->slot[k];
        bool goal = (int)k == layout_goal(&player_model(p->player)->config, task_of(p));
        if (slot->kind != SLOT_IMAGE || goal) continue;
        if (planner_goal(p->planner, k, p->rgb, slot->image_w, slot->image_h, &why))
            die(RC_USAGE, "%s", why.text);
    }
    env_action_t action;
    planner_placeholder(p->planner, &action);
    timestep_t seen = look(p);
    for (uint32_t k = 0; k < task_of(p)->n_slots; k++) { /* a plan begins behind a given action */
        const slot_t *slot = &task_of(p)->slot[k];
        if (slot->side == SIDE_ACTED) seen.slot[k] = p->seen.step[0].slot[k];
    }
    player_turn_t turn = {.lane = 0, .recorded = &seen, .draw = p->draw};
    if (player_push(p->player, &turn, 1, &why)) die(RC_MISFIT, "%s", why.text);
}

/* ---- a task ---- */

/* NAN = not measured. */
typedef struct {
    double train, train_ms, forward, step[2], imagine, plan[2];
} speed_t;

static void measure_play(const options_t *o, uint32_t task, size_t B, const bool asked[PARTS],
                         bool tokenizer, speed_t *s) {
    play_t p;
    reason_t why;
    open_player(o, task, tokenizer, false, &p);
    if (!o->measure || asked[STEP]) {
        begin(&p, 1);
        times_t t = measure(o->seconds, run_step, &p);
        s->step[0] = percentile(t.ms, t.n, 0.5);
        s->step[1] = percentile(t.ms, t.n, 0.99);
        free(t.ms);
    }
    bool can = !player_dreams(p.player, task, &why);
    if (asked[IMAGINE] && !can) die(RC_USAGE, "--measure imagine: %s", why.text);
    if (can && (!o->measure || asked[IMAGINE])) {
        layout_t l;
        begin(&p, B);
        if (layout_declared(&l, &player_model(p.player)->config, task_of(&p), &why))
            die(RC_MISFIT, "%s", why.text);
        times_t t = measure(o->seconds, run_dream, &p);
        s->imagine = rate(&t, B * layout_tokens(&l));
    }
    close_player(&p);
    if (!asked[PLAN]) return;
    open_player(o, task, tokenizer, true, &p);
    open_planner(o, &p);
    times_t t = measure(o->seconds, run_plan, &p);
    s->plan[0] = percentile(t.ms, t.n, 0.5);
    s->plan[1] = percentile(t.ms, t.n, 0.99);
    free(t.ms);
    close_player(&p);
}

static void print(const options_t *o, const gato_model_t *m, uint32_t task, size_t B, bool encodes,
                  const speed_t *s) {
    layout_t l;
    reason_t why;
    jsonw_t w;
    if (layout_declared(&l, &m->config, &m->tasks.v[task], &why)) die(RC_MISFIT, "%s", why.text);
    jsonw_begin(&w);
    jsonw_str(&w, "model", o->stage.model ? o->stage.model : o->config);
    jsonw_str(&w, "task", m->tasks.v[task].name);
    jsonw_int(&w, "parameters", (int64_t)gato_model_parameters(m));
    jsonw_int(&w, "threads", pool_threads());
    jsonw_str(&w, "level", kern_level_name(kern_level()));
    jsonw_str(&w, "weights", o->stage.weights);
    jsonw_int(&w, "chunk", m->config.model.chunk);
    jsonw_int(&w, "batch", (int64_t)B);
    jsonw_int(&w, "window", (int64_t)m->window[task]);
    jsonw_int(&w, "tokens", (int64_t)layout_tokens(&l));
    jsonw_num(&w, "train_tokens_per_s", s->train);
    jsonw_num(&w, "train_step_ms", s->train_ms);
    jsonw_num(&w, "forward_tokens_per_s", s->forward);
    jsonw_bool(&w, "step_encodes", encodes);
    jsonw_num(&w, "step_ms_p50", s->step[0]);
    jsonw_num(&w, "step_ms_p99", s->step[1]);
    jsonw_num(&w, "imagine_tokens_per_s", s->imagine);
    jsonw_num(&w, "imagine_of_forward", s->imagine / s->forward);
    jsonw_num(&w, "plan_ms_p50", s->plan[0]);
    jsonw_num(&w, "plan_ms_p99", s->plan[1]);
    puts(jsonw_end(&w));
    fflush(stdout);
    jsonw_free(&w);
}

static void bench(const options_t *o, const gato_model_t *m, uint32_t task,
                  const bool asked[PARTS]) {
    speed_t s = {NAN, NAN, NAN, {NAN, NAN}, NAN, {NAN, NAN}};
    double ms;
    size_t B = o->batch ? (size_t)o->batch : (size_t)m->config.train.batch;
    bool plays = m->tasks.v[task].kind == RECORD_EPISODE, tokenizer = false;
    if (o->stage.model && task_first(&m->tasks.v[task], SIDE_OBSERVED, SLOT_IMAGE) >= 0) {
        char *inside = fs_join(o->stage.model, RUN_TOKENIZER);
        tokenizer = fs_is_dir(inside);
        free(inside);
    }
    bool at_play = asked[STEP] || asked[IMAGINE] || asked[PLAN] || !o->measure;
    if (!plays && o->measure && at_play)
        die(RC_USAGE, "--measure '%s': task '%s' is none of episodes", o->measure,
            m->tasks.v[task].name);
    if (!o->measure || asked[TRAIN]) s.train = network_speed(o, task, B, true, &s.train_ms);
    if (!o->measure || asked[FORWARD]) s.forward = network_speed(o, task, B, false, &ms);
    if (plays && at_play) measure_play(o, task, B, asked, tokenizer, &s);
    print(o, m, task, B, plays && tokenizer && !gato_config_image_in(&m->config)->pixels, &s);
}

int cmd_gato_bench(int argc, char **argv) {
    options_t o = parse(argc, argv);
    bool asked[PARTS];
    find_parts(&o, asked);
    pool_set_threads((int)o.threads);
    stage_player(&o.stage, asked[PLAN]);
    if (asked[PLAN]) stage_plan(&o.stage);
    gato_model_t *m = make_model(&o);
    int only = o.stage.task ? tasks_find(&m->tasks, o.stage.task) : -1;
    if (o.stage.task && only < 0) die(RC_USAGE, "--task '%s': no such task", o.stage.task);
    for (uint32_t t = 0; t < m->tasks.n; t++)
        if (only < 0 || (uint32_t)only == t) bench(&o, m, t, asked);
    gato_model_free(m);
    free(o.set.item);
    return RC_OK;
}
