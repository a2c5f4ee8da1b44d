/* loop.c - see loop.h. */
#include "common/train/loop.h"

#include "common/base/log.h"
#include "common/base/signals.h"
#include "common/io/fs.h"
#include "common/io/lock.h"
#include "common/train/events.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

cli_opt_t *loop_options(loop_options_t *o) {
    cli_opt_t table[] = {
        {"--out", CLI_STR, &o->out, "RUN", "folder of the run", true},
        {"--config", CLI_STR, &o->config, "FILE", "JSON file of configuration keys", false},
        {"--set", CLI_LIST, &o->set, "KEY=VALUE", "set one configuration key (repeatable)", false},
        {"--help-config", CLI_FLAG, &o->help_config, NULL,
         "print every configuration key, its default and meaning", false},
        {"--steps", CLI_INT, &o->steps, "N", "optimizer steps (train.steps)", false},
        {"--stop-at", CLI_INT, &o->stop_at, "N", "checkpoint after step N and exit 75", false},
        {"--time-limit", CLI_DURATION, &o->time_limit, "T",
         "checkpoint after this time (90s, 15m, 2h) and exit 75", false},
        {"--resume", CLI_FLAG, &o->resume, NULL,
         "go on from the last checkpoint in RUN (from the start if there is none)", false},
        {"--allow-data-change", CLI_FLAG, &o->allow_data_change, NULL,
         "with --resume: go on although the data is another than at the start", false},
        {"--force", CLI_FLAG, &o->force, NULL, "replace an existing RUN", false},
        {"--dry-run", CLI_FLAG, &o->dry_run, NULL,
         "print parameters, FLOPs a step, memory and expected time, then exit", false},
        {"--seed", CLI_U64, &o->seed, "S", "seed of everything random", false},
        {"--threads", CLI_INT, &o->threads, "N",
         "threads (0 = all processors); never changes a result", false},
        {0},
    };
    cli_opt_t *copy = xmalloc(sizeof table);
    memcpy(copy, table, sizeof table);
    return copy;
}

bool loop_help_config(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help-config")) return true;
    return false;
}

/* ---- starting ---- */

static const char LOCK_NAME[] = ".lock"; /* in the RUN, while it is being trained */
static lock_t run_lock = {.fd = -1};     /* of the process: it trains one RUN */

void loop_look(const loop_options_t *o) {
    reason_t why;
    char *path = fs_join(o->out, LOCK_NAME);
    int rc = o->resume || o->force ? lock_look(path, o->out, &why) : 0;
    if (rc) die(rc, "%s", why.text);
    free(path);
}

static void lock_run(const char *out) {
    reason_t why;
    char *path = fs_join(out, LOCK_NAME);
    int rc = lock_take(&run_lock, path, out, &why);
    if (rc) die(rc, "%s", why.text);
    free(path);
}

/* The images of a former run, samples/step-<digits>.png. */
static void remove_samples(const char *dir) {
    char *folder = fs_join(dir, "samples");
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        size_t digits = strncmp(e->d_name, "step-", 5) ? 0 : strspn(e->d_name + 5, "0123456789");
        if (!digits || strcmp(e->d_name + 5 + digits, ".png")) continue;
        char *path = fs_join(folder, e->d_name);
        if (unlink(path)) die_errno(RC_RUNTIME, "cannot remove '%s'", path);
        free(path);
    }
    if (d) closedir(d);
    free(folder);
}

/* --force: a former run's files go; anything else in the folder stays. */
void loop_remove_run(const char *dir) {
    remove_samples(dir);
    events_remove(dir, NULL);
    static const char *const files[] = {"done", "training.safetensors", "training.json",
                                        "metrics.jsonl", "report.html"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = fs_join(dir, files[i]);
        if (unlink(path) && errno != ENOENT) die_errno(RC_RUNTIME, "cannot remove '%s'", path);
        free(path);
    }
}

bool loop_begin(const loop_options_t *o, st_file_t *file, char **json) {
    reason_t why;
    if (o->steps < 0 || o->stop_at < 0 || o->threads < 0)
        die(RC_USAGE, "--steps, --stop-at and --threads cannot be negative");
    if (fs_exists(o->out) && !fs_is_dir(o->out))
        die(RC_USAGE, "'%s' is a file; a folder for the run is needed", o->out);
    if (!o->resume && !o->force && !fs_dir_empty(o->out))
        die(RC_USAGE, "'%s' exists and is not empty: --resume goes on, --force replaces it",
            o->out);
    if (fs_mkdirs(o->out, &why)) die(RC_RUNTIME, "%s", why.text);
    if (access(o->out, W_OK)) die_errno(RC_RUNTIME, "cannot write to '%s'", o->out);
    lock_run(o->out);
    if (o->resume && checkpoint_exists(o->out)) {
        int rc = checkpoint_open(o->out, file, json, &why);
        if (rc) die(rc, "cannot resume: %s", why.text);
        fs_done_clear(o->out);
        return true;
    }
    loop_remove_run(o->out);
    return false;
}

/* Keeps the lines of metrics.jsonl up to `step`: what came after the checkpoint will be written
 * again. */
static void cut_metrics(const char *path, int64_t step) {
    uint8_t *text;
    size_t size, keep = 0;
    reason_t why;
    if (!fs_exists(path)) return;
    if (fs_read(path, 0, &text, &size, &why)) die(RC_RUNTIME, "%s", why.text);
    while (keep < size) {
        char *end = memchr(text + keep, '\n', size - keep);
        long long at;
        if (!end || sscanf((char *)text + keep, "{\"step\":%lld", &at) != 1 || at > step) break;
        keep = (size_t)(end - (char *)text) + 1;
    }
    if (keep < size && fs_write(path, text, keep, &why)) die(RC_RUNTIME, "%s", why.text);
    free(text);
}

/* ---- running ---- */

typedef struct {
    const loop_t *l;
    const loop_options_t *o;
    FILE *metrics;
    char *metrics_path;
    events_t *events; /* NULL = none */
    int failed_saves;
    double started;
    double items_sum, clock; /* since the last line */
    float loss[2];           /* sum and number since the last line: part of the checkpoint */
} running_t;

static const char LOOP_STATE[] = "loop.loss";

static void save(running_t *r, int64_t step, bool last) {
    checkpoint_t c = {0};
    reason_t why;
    if (fflush(r->metrics) || fsync(fileno(r->metrics)))
        die_errno(RC_RUNTIME, "cannot write '%s'", r->metrics_path);
    r->l->checkpoint(r->l->ctx, step, &c);
    checkpoint_state_t *state = xcalloc(c.n_state + 1, sizeof *state);
    if (c.n_state) memcpy(state, c.state, c.n_state * sizeof *state);
    state[c.n_state++] = (checkpoint_state_t){LOOP_STATE, r->loss, 2};
    c.state = state;
    int rc = checkpoint_save(r->o->out, &c, &why);
    free(state);
    if (!rc) {
        r->failed_saves = 0;
        return;
    }
    if (last || ++r->failed_saves >= 2)
        die(RC_RUNTIME, "cannot save the checkpoint of step %lld: %s", (long long)step, why.text);
    warn("cannot save the checkpoint of step %lld: %s; training goes on and tries again",
         (long long)step, why.text);
}

int64_t loop_evaluations(int64_t steps, int64_t eval_every) {
    if (eval_every <= 0) return 1;
    return steps / eval_every + (steps % eval_every != 0);
}

static double unix_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void report(running_t *r, int64_t step, const loop_step_t *s, bool evaluate,
                   progress_t *bar) {
    jsonw_t w = {0};
    char note[128] = "";
    double mean = r->loss[1] > 0 ? r->loss[0] / r->loss[1] : NAN;
    double now = log_now(), rate = now > r->clock ? r->items_sum / (now - r->clock) : 0;
    jsonw_begin(&w);
    jsonw_int(&w, "step", step);
    jsonw_num(&w, "wall", round((now - r->started) * 1000) / 1000);
    jsonw_float(&w, "loss", (float)mean);
    jsonw_float(&w, "lr", (float)s->lr);
    jsonw_float(&w, "grad_norm", (float)s->grad_norm);
    jsonw_num(&w, r->l->unit, round(rate * 10) / 10);
    if (evaluate) { /* it may take minutes: said first, and the step's own line stays due */
        double last = bar->last;
        progress_step(bar, (size_t)step, "evaluating");
        bar->last = last;
    }
    if (r->l->report) r->l->report(r->l->ctx, step, evaluate, &w, note, sizeof note);
    fprintf(r->metrics, "%s\n", jsonw_end(&w));
    if (fflush(r->metrics)) die_errno(RC_RUNTIME, "cannot write '%s'", r->metrics_path);
    events_line(r->events, w.text, unix_time());
    jsonw_free(&w);
    char line[192];
    snprintf(line, sizeof line, "loss %.4g%s%s", mean, note[0] ? " " : "", note);
    progress_step(bar, (size_t)step, line);
    r->loss[0] = r->loss[1] = 0;
    r->items_sum = 0;
    r->clock = log_now();
}

int loop_run(const loop_t *l, const loop_options_t *o, int64_t first, const st_file_t *from) {
    running_t r = {
        .l = l, .o = o, .metrics_path = fs_join(o->out, "metrics.jsonl"), .started = log_now()};
    const st_tensor_t *pending = from ? st_find(from, "state/loop.loss") : NULL;
    if (pending && pending->count == 2 && st_read_f32(pending, r.loss, NULL))
        BUG("the loop's state is no float");
    cut_metrics(r.metrics_path, first);
    r.metrics = fopen(r.metrics_path, "a");
    if (!r.metrics) die_errno(RC_RUNTIME, "cannot open '%s'", r.metrics_path);
    if (l->tensorboard)
        r.events = events_open(o->out);
    else
        events_remove(o->out, NULL); /* what a former start left would end before this one does */
    signals_catch(&(signals_options_t){.usr1_asks_status = true, .take_ignored = true});
    progress_t bar;
    progress_begin(&bar, "train", (size_t)first, (size_t)l->steps);
    r.clock = log_now();
    int64_t skipped = 0, step = first;
    bool stop = o->stop_at > 0 && first >= o->stop_at && first < l->steps;
    while (step < l->steps && !stop) {
        loop_step_t s = l->step(l->ctx, step++);
        skipped = s.skipped ? skipped + 1 : 0;
        if (s.skipped)
            warn("step %lld: loss or gradient is not finite; the step is skipped", (long long)step);
        if (skipped > l->max_nan)
            die(RC_RUNTIME,
                "loss or gradient not finite for %lld steps in a row; the last checkpoint is kept",
                (long long)skipped);
        if (!s.skipped) r.loss[0] += (float)s.loss, r.loss[1]++;
        r.items_sum += s.items;
        bool end = step == l->steps,
             evaluate = end || (l->eval_every > 0 && step % l->eval_every == 0);
        stop = !end && (signals_stop_asked() || (o->stop_at > 0 && step >= o->stop_at) ||
                        (o->time_limit > 0 && log_now() - r.started > o->time_limit));
        /* metrics are a function of the step: a stop never adds a line */
        if (evaluate || step % l->log_every == 0)
            report(&r, step, &s, evaluate, &bar);
        else
            progress_step(&bar, (size_t)step, NULL);
        if (signals_take_status())
            log_line("step %lld of %lld, loss %.4g", (long long)step, (long long)l->steps, s.loss);
        if (stop || (!end && l->save_every > 0 && step % l->save_every == 0)) save(&r, step, stop);
    }
    progress_end(&bar);
    events_close(r.events);
    if (!stop) save(&r, step, true);
    if (fclose(r.metrics)) die_errno(RC_RUNTIME, "cannot write '%s'", r.metrics_path);
    free(r.metrics_path);
    if (!stop) {
        reason_t why;
        char counts[64];
        snprintf(counts, sizeof counts, "{\"steps\":%lld}", (long long)step);
        if (fs_done_write(o->out, l->arguments, counts, &why)) die(RC_RUNTIME, "%s", why.text);
        lock_release(&run_lock);
        return RC_OK;
    }
    lock_release(&run_lock);
    log_line("stopped after step %lld of %lld; --resume goes on", (long long)step,
             (long long)l->steps);
    return RC_STOPPED;
}
