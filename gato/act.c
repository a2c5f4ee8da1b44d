/* act.c - `gato act`: a policy plays an environment in a closed loop. Episode i is a function of
 * (seed, 2^32 + i); `gato record` plays (seed, i). So act never repeats a recorded episode. */
#include "common/base/cli.h"
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/io/image/image.h"
#include "common/io/text/json.h"
#include "gato/commands.h"
#include "gato/play/player.h"
#include "gato/play/workers.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *env, *policy, *model, *decode, *context, *strip, *weights;
    int64_t episodes, threads;
    uint64_t seed;
    bool blank;
    double temperature;
} options_t;

/* What a worker process returns for one episode. */
typedef struct {
    int failed;
    reason_t why;
    double ret;
    uint32_t length;
    uint32_t success;
    float ms[]; /* [max_steps] milliseconds per action */
} outcome_t;

static size_t outcome_bytes(const env_info_t *info) {
    return sizeof(outcome_t) + info->max_steps * sizeof(float);
}

typedef struct {
    const options_t *o;
    player_opts_t play;
    const policy_t *policy;
    env_t *env;
    void *player;
    image_t *frame; /* [n_frames] for --strip, or NULL */
    size_t n_frames;
} stage_t;

static const uint64_t ACT_EPISODES = (uint64_t)1 << 32;

static void fail(outcome_t *r, const reason_t *why) {
    r->failed = 1;
    r->why = *why;
}

/* Plays one episode. `rgb` is what the policy sees, `shown` what the strip shows: the same buffer
 * if both want an image. */
static void play(stage_t *s, uint64_t episode, outcome_t *r) {
    const env_info_t *info = env_info(s->env);
    reason_t why;
    size_t bytes = info->image_w * info->image_h * 3;
    uint8_t *rgb = s->policy->needs_image && bytes ? xmalloc(bytes) : NULL;
    uint8_t *shown = s->frame && !rgb ? xmalloc(bytes) : rgb;
    float vector[ENV_VECTOR], action[ENV_ACTIONS];
    bool end = false;
    if (env_reset(s->env, s->o->seed, ACT_EPISODES + episode, &why)) fail(r, &why);
    for (size_t t = 0; !end && !r->failed && t < info->max_steps; t++) {
        bool terminated, truncated;
        float reward;
        if (env_observe(s->env, s->frame ? shown : rgb, vector, &why)) {
            fail(r, &why);
            break;
        }
        if (s->frame) {
            s->frame[s->n_frames] = image_new(info->image_w, info->image_h);
            memcpy(s->frame[s->n_frames++].rgb, shown, bytes);
        }
        policy_view_t view = {s->env, info, rgb, vector, s->o->seed, ACT_EPISODES + episode, t};
        double start = log_now();
        if (s->policy->act(s->player, &view, action, &why)) {
            fail(r, &why);
            break;
        }
        r->ms[t] = (float)((log_now() - start) * 1000);
        if (env_step(s->env, action, &reward, &terminated, &truncated, &why)) {
            fail(r, &why);
            break;
        }
        r->ret += reward;
        r->length++;
        end = terminated || truncated;
    }
    r->success = !r->failed && env_success(s->env);
    if (shown != rgb) free(shown);
    free(rgb);
}

static void open_player(stage_t *s) {
    if (!s->policy->open || s->player) return;
    int rc = RC_RUNTIME;
    reason_t why;
    s->player = s->policy->open(env_info(s->env), s->o->model, &s->play, &rc, &why);
    if (!s->player) die(rc, "%s", why.text);
}

static void play_into(void *ctx, size_t episode, void *block) {
    stage_t *s = ctx;
    if (s->o->threads > 1) pool_set_threads(1); /* other episodes keep the processors busy */
    open_player(s);
    memset(block, 0, outcome_bytes(env_info(s->env)));
    play(s, episode, block);
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double percentile(const float *sorted, size_t n, double q) {
    return n ? sorted[(size_t)floor(q * (double)(n - 1) + 0.5)] : NAN;
}

/* The 95 % interval of a proportion k / n, by Wilson. */
static void wilson(double k, double n, double out[2]) {
    double z = 1.959964, p = k / n, mid = (p + z * z / (2 * n)) / (1 + z * z / n),
           half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    out[0] = fmax(0, mid - half);
    out[1] = fmin(1, mid + half);
}

/* Writes ten frames of the first episode side by side. */
static void write_strip(stage_t *s, const char *path) {
    enum { SHOWN = 10 };
    size_t max = env_info(s->env)->max_steps;
    outcome_t *r = xcalloc(1, outcome_bytes(env_info(s->env)));
    s->frame = xcalloc(max, sizeof *s->frame);
    open_player(s);
    play(s, 0, r);
    image_t shown[SHOWN];
    size_t n = min_size(s->n_frames, SHOWN);
    for (size_t i = 0; i < n; i++) shown[i] = s->frame[n > 1 ? i * (s->n_frames - 1) / (n - 1) : 0];
    reason_t why;
    if (n) {
        image_t sheet = image_sheet(shown, n, n, 2), big = image_zoom(&sheet, 2);
        if (image_write_png(&big, path, &why)) die(RC_RUNTIME, "%s", why.text);
        image_release(&sheet);
        image_release(&big);
    }
    for (size_t i = 0; i < s->n_frames; i++) image_release(&s->frame[i]);
    free(s->frame);
    free(r);
}

static options_t parse(int argc, char **argv) {
    options_t o = {
        .env = "reacher", .policy = "model", .context = "cache", .weights = "f32", .episodes = 100};
    const cli_opt_t table[] = {
        {"--env", CLI_STR, &o.env, "NAME", "the environment", false},
        {"--policy", CLI_STR, &o.policy, "NAME", "who plays: model, expert or random", false},
        {"--model", CLI_STR, &o.model, "RUN", "the trained policy (--policy model)", false},
        {"--episodes", CLI_INT, &o.episodes, "N", "how many episodes", false},
        {"--blank-image", CLI_FLAG, &o.blank, NULL, "show the policy black images only: a control",
         false},
        {"--decode", CLI_STR, &o.decode, "HOW",
         "mean, center, left, greedy or sample (default: the RUN's act.decode)", false},
        {"--temperature", CLI_DOUBLE, &o.temperature, "T",
         "temperature of drawn tokens (default: the RUN's act.temperature)", false},
        {"--context", CLI_STR, &o.context, "HOW",
         "cache, or rebuild (run the whole context for every token)", false},
        {"--weights", CLI_STR, &o.weights, "BITS",
         "f32, bf16 or q8: how the weights of linear layers are stored at play", false},
        {"--strip", CLI_STR, &o.strip, "FILE", "write a PNG of ten frames of the first episode",
         false},
        {"--seed", CLI_U64, &o.seed, "S",
         "episode i is a function of S and i, and never one that record plays", false},
        {"--threads", CLI_INT, &o.threads, "N", "worker processes (0 = one per processor)", false},
        {0},
    };
    cli_parse(argc, argv, "act",
              "play episodes; print return, success rate and time per action as JSON",
              (const cli_opt_t *const[]){table}, 1);
    if (o.episodes < 1 || o.episodes > 1000000000) die(RC_USAGE, "--episodes must be 1 or more");
    if (o.threads < 0 || o.threads > 1024) die(RC_USAGE, "--threads must be 0 to 1024");
    if (o.temperature < 0) die(RC_USAGE, "--temperature must be positive");
    if (strcmp(o.context, "cache") && strcmp(o.context, "rebuild"))
        die(RC_USAGE, "--context '%s': one of cache, rebuild is needed", o.context);
    return o;
}

static int decode_of(const char *name) {
    static const char *const names[] = {"mean", "center", "left", "greedy", "sample"};
    if (!name) return -1;
    for (int i = 0; i < 5; i++)
        if (!strcmp(name, names[i])) return i;
    die(RC_USAGE, "--decode '%s': one of mean, center, left, greedy, sample is needed", name);
}

int cmd_gato_act(int argc, char **argv) {
    options_t o = parse(argc, argv);
    player_opts_t play = {.rebuild = !strcmp(o.context, "rebuild"),
                          .blank = o.blank,
                          .decode = decode_of(o.decode),
                          .temperature = o.temperature,
                          .weights = gato_weights_named(o.weights)};
    pool_set_threads((int)o.threads);
    if (!o.threads) o.threads = pool_threads();
    reason_t why;
    int rc;
    stage_t s = {.o = &o, .play = play, .policy = policy_find(o.policy, &why)};
    if (!s.policy) die(RC_USAGE, "%s", why.text);
    if (s.policy->needs_model && !o.model)
        die(RC_USAGE, "--policy %s needs --model RUN", s.policy->name);
    s.env = env_open(o.env, &rc, &why);
    if (!s.env) die(rc, "%s", why.text);
    if (s.policy->open) { /* report a RUN that does not load before workers start */
        void *trial = s.policy->open(env_info(s.env), o.model, &play, &rc, &why);
        if (!trial) die(rc, "%s", why.text);
        s.policy->close(trial);
    }
    const env_info_t *info = env_info(s.env);
    size_t n = (size_t)o.episodes, bytes = outcome_bytes(info);
    size_t n_ms = 0, played = 0, failed = 0, successes = 0;
    outcome_t *r = xcalloc(1, bytes);
    float *ms = xmalloc(n * info->max_steps * sizeof *ms);
    double sum = 0, squares = 0, length = 0;
    size_t processes = min_size((size_t)o.threads, n);
    o.threads = (int64_t)processes;
    workers_t *workers = workers_start(processes, n, bytes, play_into, &s);
    progress_t bar;
    progress_begin(&bar, "act", 0, n);
    for (size_t i = 0; i < n; i++) {
        workers_next(workers, r);
        progress_step(&bar, i + 1, NULL);
        if (r->failed) {
            if (!failed++) warn("episode %zu: %s", i, r->why.text);
            continue;
        }
        played++;
        sum += r->ret;
        squares += r->ret * r->ret;
        length += r->length;
        successes += r->success;
        for (uint32_t t = 0; t < r->length; t++) ms[n_ms++] = r->ms[t];
    }
    workers_end(workers);
    progress_end(&bar);
    if (!played) die(RC_RUNTIME, "all %zu episodes failed", n);
    qsort(ms, n_ms, sizeof *ms, by_value);
    double mean = sum / (double)played, ci[2], range = info->expert_return - info->random_return;
    wilson((double)successes, (double)n, ci);
    jsonw_t w = {0};
    jsonw_begin(&w);
    jsonw_str(&w, "env", info->name);
    jsonw_str(&w, "policy", s.policy->name);
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, o.seed);
    jsonw_raw(&w, "seed", seed); /* 64 bits: more than jsonw_int holds */
    jsonw_int(&w, "episodes", (int64_t)n);
    jsonw_num(&w, "return_mean", mean);
    jsonw_num(&w, "return_std", sqrt(fmax(0, squares / (double)played - mean * mean)));
    /* an episode that failed counts as not solved */
    jsonw_num(&w, "success_rate", (double)successes / (double)n);
    jsonw_open(&w, "success_ci", '[');
    jsonw_num(&w, NULL, ci[0]);
    jsonw_num(&w, NULL, ci[1]);
    jsonw_close(&w, ']');
    jsonw_num(&w, "length_mean", length / (double)played);
    jsonw_num(&w, "normalized_score", range > 0 ? (mean - info->random_return) / range : NAN);
    jsonw_num(&w, "step_ms_p50", percentile(ms, n_ms, 0.5));
    jsonw_num(&w, "step_ms_p99", percentile(ms, n_ms, 0.99));
    puts(jsonw_end(&w));
    jsonw_free(&w);
    if (o.strip) write_strip(&s, o.strip);
    if (s.player) s.policy->close(s.player);
    env_close(s.env);
    free(r);
    free(ms);
    return RC_OK;
}
