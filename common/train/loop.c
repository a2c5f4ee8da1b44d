/* loop.c - see loop.h. */
#include "common/train/loop.h"

#include "common/base/log.h"
#include "common/base/signals.h"
#include "common/io/fs.h"
#include "common/train/events.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    const loop_t *l;
    FILE *metrics;
    char *metrics_path;
    events_t *events; /* NULL = none */
    progress_t bar;
    int failed_saves;        /* in a row */
    int64_t skipped;         /* steps in a row */
    int64_t empty;           /* steps of this start */
    double started;          /* seconds (log_now) */
    double items_sum, clock; /* since the last line */
    /* Sum and number of the losses since the last line: part of the checkpoint, so that the first
     * line after a resume is that of an uninterrupted run. */
    float loss[2];
} running_t;

static const char LOOP_STATE[] = "loop.loss";

/* ---- metrics.jsonl ---- */

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

static double unix_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void report(running_t *r, int64_t step, const loop_step_t *s, bool evaluate) {
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
    if (evaluate) { /* it may take minutes: announced first, and the step's own line stays due */
        double last = r->bar.last;
        progress_step(&r->bar, (size_t)step, "evaluating");
        r->bar.last = last;
    }
    if (r->l->report) r->l->report(r->l->ctx, step, evaluate, &w, note, sizeof note);
    fprintf(r->metrics, "%s\n", jsonw_end(&w));
    if (fflush(r->metrics)) die_errno(RC_RUNTIME, "cannot write '%s'", r->metrics_path);
    events_line(r->events, w.text, unix_time());
    jsonw_free(&w);
    char line[192];
    snprintf(line, sizeof line, "loss %.4g%s%s", mean, note[0] ? " " : "", note);
    progress_step(&r->bar, (size_t)step, line);
    r->loss[0] = r->loss[1] = 0;
    r->items_sum = 0;
    r->clock = log_now();
}

/* ---- checkpoints ---- */

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
    int rc = checkpoint_save(r->l->out, &c, &why);
    free(state);
    if (!rc) {
        r->failed_saves = 0;
        return;
    }
    r->failed_saves++;
    if (last || r->failed_saves >= 2)
        die(RC_RUNTIME, "cannot save the checkpoint of step %lld: %s", (long long)step, why.text);
    warn("cannot save the checkpoint of step %lld: %s; training goes on and tries again",
         (long long)step, why.text);
}

int64_t loop_evaluations(int64_t steps, int64_t eval_every) {
    if (eval_every <= 0) return 1;
    return steps / eval_every + (steps % eval_every != 0);
}

/* ---- running ---- */

static void open_run(running_t *r, int64_t first, const st_file_t *from) {
    const loop_t *l = r->l;
    const st_tensor_t *pending = from ? st_find(from, "state/loop.loss") : NULL;
    if (pending && pending->count == 2 && st_read_f32(pending, r->loss, NULL))
        BUG("the loop's state is no float");
    cut_metrics(r->metrics_path, first);
    r->metrics = fopen(r->metrics_path, "a");
    if (!r->metrics) die_errno(RC_RUNTIME, "cannot open '%s'", r->metrics_path);
    if (l->tensorboard)
        r->events = events_open(l->out);
    else
        events_remove(l->out, NULL); /* those of a former start would end before this one does */
    signals_catch(&(signals_options_t){.usr1_asks_status = true, .take_ignored = true});
    progress_begin(&r->bar, "train", (size_t)first, (size_t)l->steps);
    r->clock = log_now();
}

/* Sums up the step; `step` counts the updates so far, this one included. */
static void count_step(running_t *r, int64_t step, const loop_step_t *s) {
    r->items_sum += s->items;
    if (s->empty) {
        r->empty++;
        return;
    }
    if (!s->skipped) {
        r->skipped = 0;
        r->loss[0] += (float)s->loss;
        r->loss[1]++;
        return;
    }
    r->skipped++;
    warn("step %lld: loss or gradient is not finite; the step is skipped", (long long)step);
    if (r->skipped > r->l->max_skipped)
        die(RC_RUNTIME,
            "loss or gradient not finite for %lld steps in a row; the last checkpoint is kept",
            (long long)r->skipped);
}

/* Does a multiple of `every` (0 = never) end here? */
static bool due(int64_t step, int64_t every) {
    return every > 0 && step % every == 0;
}

static bool must_stop(const running_t *r, int64_t step) {
    const loop_t *l = r->l;
    if (signals_stop_asked()) return true;
    if (l->stop_at > 0 && step >= l->stop_at) return true;
    return l->time_limit > 0 && log_now() - r->started > l->time_limit;
}

/* Step number `step`, from 0, and what follows it. Returns true if the training stops here, before
 * its end. */
static bool run_step(running_t *r, int64_t step) {
    const loop_t *l = r->l;
    loop_step_t s = l->step(l->ctx, step);
    step++;
    count_step(r, step, &s);
    bool end = step == l->steps, evaluate = end || due(step, l->eval_every),
         stop = !end && must_stop(r, step);
    /* metrics are a function of the step: a stop never adds a line */
    if (evaluate || due(step, l->log_every))
        report(r, step, &s, evaluate);
    else
        progress_step(&r->bar, (size_t)step, NULL);
    if (signals_take_status())
        log_line("step %lld of %lld, loss %.4g", (long long)step, (long long)l->steps, s.loss);
    if (stop || (!end && due(step, l->save_every))) save(r, step, stop);
    return stop;
}

static void write_done(const loop_t *l, int64_t step) {
    reason_t why;
    char counts[64];
    snprintf(counts, sizeof counts, "{\"steps\":%lld}", (long long)step);
    if (fs_done_write(l->out, l->arguments, counts, &why)) die(RC_RUNTIME, "%s", why.text);
}

int loop_run(const loop_t *l, int64_t first, const st_file_t *from) {
    running_t r = {.l = l, .metrics_path = fs_join(l->out, "metrics.jsonl"), .started = log_now()};
    open_run(&r, first, from);

    int64_t step = first;
    bool stop = l->stop_at > 0 && first >= l->stop_at && first < l->steps;
    for (; step < l->steps && !stop; step++) stop = run_step(&r, step);

    progress_end(&r.bar);
    events_close(r.events);
    if (!stop) save(&r, step, true);
    if (fclose(r.metrics)) die_errno(RC_RUNTIME, "cannot write '%s'", r.metrics_path);
    free(r.metrics_path);
    if (r.empty)
        warn("%lld of %lld steps had nothing to learn in their samples, and moved nothing",
             (long long)r.empty, (long long)(step - first));
    if (!stop) {
        write_done(l, step);
        return RC_OK;
    }
    log_line("stopped after step %lld of %lld; --resume goes on", (long long)step,
             (long long)l->steps);
    return RC_STOPPED;
}
