/* record.c - `gato record`: a policy plays an environment; the episodes become a Minari dataset.
 *
 * Episode i is a function of (seed, i) and the options, whichever process plays it. This process
 * alone writes, in order, so the bytes are the same for any --threads. DIR/record.json holds the
 * options: the same command goes on behind the last episode that is there.
 */
#include "gato/record.h"
#include "common/base/log.h"
#include "common/base/signals.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "gato/play/message.h"
#include "gato/play/workers.h"
#include "gato/recording.h"
#include "gato/stage.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- options ---- */

typedef struct {
    stage_args_t stage;
    const char *out;
    int64_t episodes, threads;
    bool force;
    episode_opts_t play;
} options_t;

static options_t parse(int argc, char **argv) {
    options_t o = {.stage = stage_presets("expert"), .play = {.noise = 0.3, .labels = true}};
    cli_opt_t shared[STAGE_OPTIONS];
    const cli_opt_t own[] = {
        {"--episodes", CLI_INT, &o.episodes, "N", "how many episodes", true},
        {"--out", CLI_STR, &o.out, "DIR", "the dataset's folder; the same command goes on in it",
         true},
        {"--seed", CLI_U64, &o.play.seed, "S", "episode i is a function of S and i", false},
        {"--burst", CLI_DOUBLE, &o.play.burst, "P",
         "probability per step that 3-8 steps of one random action begin", false},
        {"--noise", CLI_DOUBLE, &o.play.noise, "SIGMA",
         "standard deviation of the noise on executed actions, in half-widths of their bounds",
         false},
        {"--noise-episodes", CLI_DOUBLE, &o.play.noise_episodes, "F",
         "fraction of the episodes that get noise", false},
        {"--threads", CLI_INT, &o.threads, "N",
         "worker processes (0 = one per processor); the bytes are the same for any", false},
        {"--force", CLI_FLAG, &o.force, NULL, "begin anew in a folder that is not empty", false},
        {0},
    };
    stage_options(&o.stage, shared);
    cli_parse(argc, argv, "record", "play episodes and write them as a Minari dataset (DIR/data)",
              (const cli_opt_t *const[]){own, shared}, 2);
    const episode_opts_t *p = &o.play;
    if (o.episodes < 1 || o.episodes > 1000000000) die(RC_USAGE, "--episodes must be 1 or more");
    if (!(p->burst >= 0 && p->burst <= 1)) die(RC_USAGE, "--burst is a probability: 0 to 1");
    if (!(p->noise_episodes >= 0 && p->noise_episodes <= 1))
        die(RC_USAGE, "--noise-episodes is a fraction: 0 to 1");
    if (!(p->noise >= 0 && p->noise <= 1000)) die(RC_USAGE, "--noise must be 0 or more");
    if (o.threads < 0 || o.threads > 1024) die(RC_USAGE, "--threads must be 0 to 1024");
    return o;
}

/* A number that is not known or not given is null. */
static void put_count(jsonw_t *w, const char *key, bool given, int64_t value) {
    if (given)
        jsonw_int(w, key, value);
    else
        jsonw_raw(w, key, "null");
}

/* The options that decide the bytes of an episode, as JSON; malloc'ed. */
static char *arguments(const options_t *o, const stage_t *s) {
    const stage_args_t *a = &o->stage;
    const search_opts_t *plan = &s->how.plan;
    bool plans = s->policy == &policy_plan;
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, o->play.seed);
    jsonw_t w;
    jsonw_begin(&w);
    jsonw_bool(&w, "allow_missing", a->allow_missing);
    jsonw_num(&w, "beta", a->beta);
    jsonw_num(&w, "burst", o->play.burst);
    jsonw_str(&w, "decode", a->decode);
    put_count(&w, "elite", plans, (int64_t)plan->elite);
    jsonw_num(&w, "ensemble", a->ensemble);
    jsonw_str(&w, "env", a->command ? NULL : s->env_name);
    jsonw_str(&w, "env_cmd", a->command);
    put_count(&w, "env_size", a->size != 0, a->size);
    put_count(&w, "execute", plans || a->execute != INT64_MIN,
              plans ? (int64_t)plan->execute : a->execute);
    jsonw_bool(&w, "forget", a->forget);
    jsonw_str(&w, "goal", a->goal);
    put_count(&w, "horizon", plans, (int64_t)plan->horizon);
    put_count(&w, "iterations", plans, (int64_t)plan->iterations);
    jsonw_int(&w, "max_steps", (int64_t)s->max_steps);
    jsonw_str(&w, "model", a->model);
    jsonw_num(&w, "noise", o->play.noise);
    jsonw_num(&w, "noise_episodes", o->play.noise_episodes);
    put_count(&w, "plan", plans, (int64_t)plan->candidates);
    jsonw_str(&w, "policy", s->policy->name);
    jsonw_str(&w, "prompt", a->prompt);
    put_count(&w, "prompt_top", a->prompt_top != INT64_MIN, a->prompt_top);
    jsonw_raw(&w, "seed", seed);
    jsonw_num(&w, "smooth", a->smooth);
    jsonw_str(&w, "task", a->task);
    jsonw_num(&w, "temperature", a->temperature);
    if (s->policy->weights) { /* the RUN may have been trained again since */
        char weights[RUN_FINGERPRINT];
        s->policy->weights(s->player, weights);
        jsonw_str(&w, "weights", weights);
    }
    char *text = xasprintf("%s\n", jsonw_end(&w));
    jsonw_free(&w);
    return text;
}

/* ---- the folder ---- */

/* Appends to text the members of b that differ from those of a, where an absent one is null. */
static void list_differences(const cJSON *a, const cJSON *b, char *text, size_t size) {
    const cJSON *item;
    cJSON_ArrayForEach(item, b) {
        const cJSON *other = cJSON_GetObjectItemCaseSensitive(a, item->string);
        char *is = other ? json_shown(other) : xstrdup("null"), *asked = json_shown(item);
        size_t used = strlen(text);
        if (strcmp(is, asked) != 0)
            snprintf(text + used, size - used, "%s%s is %.100s, not %.100s", used ? "; " : "",
                     item->string, is, asked);
        free(is);
        free(asked);
    }
}

/* Dies where the options of the recording that is there are not those asked for. Recordings of
 * former versions lack options that were not given. */
static void check_options(const char *path, const char *there, const char *wanted) {
    reason_t why;
    cJSON *old = json_parse(there, strlen(there), false, &why);
    cJSON *new = json_parse(wanted, strlen(wanted), false, &why);
    if (!cJSON_IsObject(old)) die(RC_DATA, "%s: no options of a recording", path);
    char text[700] = "";
    const cJSON *item;
    cJSON_ArrayForEach(item, old) if (!cJSON_GetObjectItemCaseSensitive(new, item->string))
        cJSON_AddNullToObject(new, item->string);
    list_differences(old, new, text, sizeof text);
    if (*text) die(RC_MISFIT, "'%s' records other episodes: %s (--force begins anew)", path, text);
    cJSON_Delete(old);
    cJSON_Delete(new);
}

/* Makes the folder. True: a recording of these options is there already, to go on with. */
static bool prepare_out(const options_t *o, const char *args) {
    reason_t why;
    if (fs_exists(o->out) && !fs_is_dir(o->out)) die(RC_USAGE, "'%s' is not a folder", o->out);
    char *path = fs_join(o->out, "record.json"), *data = fs_join(o->out, "data/metadata.json");
    bool there = !o->force && fs_exists(path);
    if (there) {
        uint8_t *old;
        size_t size;
        if (fs_read(path, 1 << 20, &old, &size, &why)) die(RC_DATA, "%s", why.text);
        check_options(path, (const char *)old, args);
        free(old);
    } else {
        if (!o->force && !fs_dir_empty(o->out))
            die(RC_USAGE, "'%s' is not empty (--force begins anew in it)", o->out);
        if (fs_mkdirs(o->out, &why)) die(RC_RUNTIME, "%s", why.text);
    }
    fs_done_clear(o->out);
    if (!there) {
        /* Old episodes must not stand beside the new options. */
        if (unlink(data) && errno != ENOENT && errno != ENOTDIR)
            die_errno(RC_RUNTIME, "cannot remove '%s'", data);
        if (fs_write(path, args, strlen(args), &why)) die(RC_RUNTIME, "%s", why.text);
    }
    free(path);
    free(data);
    return there;
}

/* ---- in a worker ---- */

/* The first word of a message. */
typedef enum { SAYS_STEP, SAYS_AGAIN, SAYS_DONE, SAYS_FAILED } says_t;

typedef struct {
    stage_t *stage;
    const options_t *o;
    workers_out_t *out;
    message_t message;
    bool stopped; /* the episode is not wanted any more */
} play_t;

static bool say(play_t *p, says_t says, const void *bytes, size_t n) {
    uint64_t word = says;
    p->message.n = 0;
    message_put(&p->message, &word, sizeof word);
    message_put(&p->message, bytes, n);
    p->stopped = !workers_send(p->out, p->message.v, p->message.n);
    return !p->stopped;
}

static int say_step(void *ctx, const episode_step_t *s, reason_t *why) {
    play_t *p = ctx;
    uint64_t word = SAYS_STEP;
    p->message.n = 0;
    message_put(&p->message, &word, sizeof word);
    message_put_step(&p->message, &p->stage->task, s);
    p->stopped = !workers_send(p->out, p->message.v, p->message.n);
    return p->stopped ? reason_set(why, "stopped") : 0;
}

static bool say_again(void *ctx, const reason_t *why) {
    play_t *p = ctx;
    return !p->stopped && say(p, SAYS_AGAIN, why->text, strlen(why->text) + 1);
}

static void play_item(void *ctx, size_t episode, workers_out_t *out) {
    play_t *p = ctx;
    reason_t why = {""};
    p->out = out;
    episode_result_t result;
    if (!stage_play(p->stage, &p->o->play, episode, true, say_step, say_again, p, &result, &why))
        say(p, SAYS_DONE, &result, sizeof result);
    else if (!p->stopped)
        say(p, SAYS_FAILED, why.text, strlen(why.text) + 1);
}

/* ---- in this process ---- */

/* Sums in the order of episodes. */
typedef struct {
    size_t episodes, steps, solved, frames; /* frames: of this run alone */
    double sum, squares;
} tally_t;

static void count(tally_t *t, const minari_note_t *n) {
    t->episodes++;
    t->steps += n->T;
    t->solved += n->success;
    t->sum += n->ret;
    t->squares += n->ret * n->ret;
}

typedef struct {
    const options_t *o;
    const stage_t *stage;
    recording_t *recording;
    tally_t tally;
    progress_t progress;
    reason_t failure; /* of the last episode that failed */
} writing_t;

static bool stop(void *ctx) {
    return signals_stop_asked();
}

/* Opens the dataset, and counts what is there. Returns the episode to go on with. */
static size_t open_recording(writing_t *w, bool append) {
    int rc;
    reason_t why;
    char *renderer = stage_renderer(w->stage);
    w->recording = recording_open(w->o->out, &w->stage->task, w->stage->policy->name, renderer,
                                  append, &rc, &why);
    free(renderer);
    if (!w->recording) die(rc, "%s", why.text);
    const minari_writer_t *writer = recording_writer(w->recording);
    const minari_note_t *note = minari_writer_notes(writer);
    size_t n = minari_writer_count(writer);
    for (size_t i = 0; i < n; i++) count(&w->tally, &note[i]);
    return n ? (size_t)note[n - 1].number + 1 : 0;
}

static void failed(writing_t *w, size_t episode, const char *how) {
    recording_drop(w->recording);
    reason_set(&w->failure, "%s", how);
    warn("episode %zu failed: %s", episode, how);
    progress_step(&w->progress, episode + 1, NULL);
}

static void take(void *ctx, size_t episode, const void *message, size_t bytes) {
    writing_t *w = ctx;
    const uint8_t *data = (const uint8_t *)message + sizeof(uint64_t);
    size_t n = bytes - sizeof(uint64_t);
    reason_t why;
    switch ((says_t) * (const uint64_t *)message) {
    case SAYS_STEP: {
        message_step_t step;
        message_get_step(data, n, &w->stage->task, &step);
        recording_step(w->recording, w->o->play.seed, &step.step);
        break;
    }
    case SAYS_AGAIN:
        recording_drop(w->recording);
        warn("episode %zu is played again: %s", episode, (const char *)data);
        break;
    case SAYS_FAILED:
        failed(w, episode, (const char *)data);
        break;
    case SAYS_DONE: {
        const episode_result_t *r = (const episode_result_t *)data;
        minari_note_t note = {
            .number = (int64_t)episode, .ret = r->ret, .success = r->success, .T = r->T};
        if (recording_end(w->recording, &note, &why)) die(RC_RUNTIME, "%s", why.text);
        count(&w->tally, &note);
        w->tally.frames += r->T + 1;
        progress_step(&w->progress, episode + 1, NULL);
    }
    }
}

static void lost(void *ctx, size_t episode, const char *how) {
    char *text = xasprintf("its worker process was %s", how);
    failed(ctx, episode, text);
    free(text);
}

static void report(const writing_t *w, size_t failures, double seconds) {
    const tally_t *t = &w->tally;
    double n = (double)t->episodes, mean = t->sum / n;
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, w->o->play.seed);
    jsonw_t j;
    jsonw_begin(&j);
    jsonw_str(&j, "env", w->stage->env_name);
    jsonw_str(&j, "task", w->stage->task.name);
    jsonw_str(&j, "policy", w->stage->policy->name);
    jsonw_raw(&j, "seed", seed); /* 64 bits: more than jsonw_int holds */
    jsonw_int(&j, "episodes", (int64_t)t->episodes);
    jsonw_int(&j, "failed", (int64_t)failures);
    jsonw_int(&j, "steps", (int64_t)t->steps);
    jsonw_num(&j, "return_mean", mean);
    jsonw_num(&j, "return_std", sqrt(fmax(0, t->squares / n - mean * mean)));
    jsonw_num(&j, "success_rate", (double)t->solved / n);
    jsonw_num(&j, "frames_per_s", (double)t->frames / seconds);
    puts(jsonw_end(&j));
    jsonw_free(&j);
}

static void finish(const options_t *o, const char *args, const tally_t *t) {
    reason_t why;
    char *counts = xasprintf("{\"episodes\":%zu,\"steps\":%zu}", t->episodes, t->steps);
    char *all = xasprintf("record episodes=%" PRId64 " %s", o->episodes, args);
    if (fs_done_write(o->out, all, counts, &why)) die(RC_RUNTIME, "%s", why.text);
    free(all);
    free(counts);
}

int cmd_record(int argc, char **argv) {
    options_t o = parse(argc, argv);
    stage_t stage = stage_open(&o.stage);
    o.play.max_steps = stage.max_steps;
    char *args = arguments(&o, &stage);
    signals_catch(&(signals_options_t){0});
    bool append = prepare_out(&o, args);
    double start = log_now();
    writing_t w = {.o = &o, .stage = &stage};
    size_t n = (size_t)o.episodes, first = open_recording(&w, append);
    if (first > n)
        die(RC_MISFIT, "'%s' holds episode %zu already, --episodes %zu asks for fewer", o.out,
            first - 1, n);
    if (first) log_line("'%s' holds %zu episodes: going on", o.out, w.tally.episodes);
    size_t workers = stage_hand_over(&stage, o.threads, n - first);
    progress_begin(&w.progress, "episodes", first, n);
    play_t play = {.stage = &stage, .o = &o};
    size_t end =
        workers_run(workers, first, n, play_item, &play,
                    &(workers_take_t){.ctx = &w, .take = take, .lost = lost, .stop = stop});
    progress_end(&w.progress);
    recording_close(w.recording);
    free(play.message.v);
    int rc = RC_OK;
    if (end < n) {
        log_line("stopped: '%s' holds %zu episodes; the same command goes on", o.out,
                 w.tally.episodes);
        rc = RC_STOPPED;
    } else if (!w.tally.episodes) {
        die(RC_RUNTIME, "all %zu episodes failed, the last one: %s", n, w.failure.text);
    } else {
        finish(&o, args, &w.tally);
        report(&w, n - w.tally.episodes, log_now() - start);
    }
    free(args);
    stage_close(&stage);
    return rc;
}
