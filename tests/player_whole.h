/* player_whole.h - the oracle of the player's tests: a game as one sequence that is run once, and
 * what its hidden states say of each action. */
#ifndef TESTS_PLAYER_WHOLE_H
#define TESTS_PLAYER_WHOLE_H

#include "tests/player_case.h"

typedef struct {
    batch_t batch;
    gato_graphs_t *graphs;
    gato_metrics_t metrics;
    const float *hidden, *logits; /* [T, WIDTH] [T, ids] */
    size_t ids;
    size_t end[LONGEST], separator[LONGEST]; /* of each timestep; end: behind its last token */
    void *owned[LONGEST * TASK_SLOTS];
    size_t n_owned;
} whole_t;

static void *whole_own(whole_t *w, void *block) {
    return w->owned[w->n_owned++] = block;
}

/* "the red ball" and its end: tests/reference/bpe/texts.json */
static const uint32_t red_ball[] = {326, 221, 275, 68, 299, 372, 0};

static void whole_observe(whole_t *w, const slot_t *slot, const env_value_t *seen,
                          vqvae_t *tokenizer, slot_value_t *v) {
    if (seen->rgb && tokenizer) {
        size_t gw = slot->image_w / 4, gh = slot->image_h / 4;
        uint32_t *codes = whole_own(w, xcalloc(gw * gh, sizeof *codes));
        vqvae_encode_images(tokenizer, seen->rgb, 1, slot->image_w, slot->image_h, codes);
        *v = (slot_value_t){.codes = codes, .grid_h = gh, .grid_w = gw};
    } else if (seen->rgb) {
        *v = (slot_value_t){.rgb = seen->rgb, .image_h = slot->image_h, .image_w = slot->image_w};
    } else if (seen->text && w->batch.model->vocabulary.text_file) {
        if (strcmp(seen->text, "the red ball")) BUG("no ids for '%s'", seen->text);
        *v = (slot_value_t){.text = red_ball, .text_len = sizeof red_ball / sizeof *red_ball};
    } else if (seen->text) {
        size_t n = strlen(seen->text);
        uint32_t *ids = whole_own(w, xcalloc(n + 1, sizeof *ids));
        for (size_t i = 0; i < n; i++) ids[i] = (uint8_t)seen->text[i];
        ids[n] = 256;
        *v = (slot_value_t){.text = ids, .text_len = n + 1};
    } else {
        *v = (slot_value_t){.vector = seen->vector, .discrete = seen->discrete};
    }
}

/* A number of the environment between the bounds of the slot. */
static double scaled(const slot_t *slot, uint32_t i, double x) {
    double low = (double)slot->scale_low[i], high = (double)slot->scale_high[i];
    return fmin(1, fmax(-1, 2 * (x - low) / (high - low) - 1));
}

static void whole_act(whole_t *w, const task_t *task, const env_action_t *a, timestep_t *s) {
    size_t vector = 0, discrete = 0;
    for (uint32_t k = 0; k < task->n_slots; k++) {
        const slot_t *slot = &task->slot[k];
        if (slot->side == SIDE_OBSERVED) continue;
        float *x = whole_own(w, xcalloc(slot->width, sizeof *x));
        for (uint32_t i = 0; i < slot->width && slot->kind == SLOT_VECTOR; i++)
            x[i] = (float)scaled(slot, i, (double)a->vector[vector++]);
        if (slot->kind == SLOT_VECTOR)
            s->slot[k].vector = x;
        else
            s->slot[k].discrete = memcpy(x, a->discrete + discrete, 4 * (size_t)slot->width);
        discrete += slot->kind == SLOT_DISCRETE ? slot->width : 0;
    }
}

/* window: how many timesteps a token sees. tokens: of a timestep with all that the scene shows; 0 =
 * they differ. */
static whole_t *whole_open(gato_model_t *m, uint32_t task, uint32_t window, size_t tokens,
                           const scene_t *scene, const game_t *g) {
    whole_t *w = NEW(whole_t);
    view_t *view = xcalloc(g->T, sizeof *view);
    reason_t why;
    int rc;
    char *dir = fs_join(in_folder("run"), "vqvae");
    vqvae_t *v = m->config.model.image_in == IMAGE_IN_PATCHES || !m->vocabulary.codes
                     ? NULL
                     : vqvae_open(dir, &rc, &why);
    m->window[task] = window;
    batch_init(&w->batch, m);
    batch_begin(&w->batch, task);
    for (size_t t = 0; t < g->T; t++) {
        timestep_t s = {.task = task, .linked = t > 0};
        show(scene, t, &view[t]);
        for (uint32_t k = 0; k < scene->task->n_slots; k++)
            whole_observe(w, &scene->task->slot[k], &view[t].seen.slot[k], v, &s.slot[k]);
        whole_act(w, scene->task, &g->action[t], &s);
        if (batch_observation(&w->batch, &s, (int32_t)t, 0, &why)) BUG("%s", why.text);
        w->separator[t] = batch_positions(&w->batch) - 1;
        batch_actions(&w->batch, true);
        w->end[t] = batch_positions(&w->batch);
        if (tokens) CHECK(w->end[t] == (t + 1) * tokens, "step %zu ends at %zu", t, w->end[t]);
    }
    batch_end(&w->batch);
    gato_metrics_init(&w->metrics, m);
    w->graphs = gato_graphs_new(m, (graph_opts_t){.all_logits = true, .exact = true});
    gato_step(w->graphs, &w->batch, 0, 0, 0, false, &w->metrics);
    const gato_graph_t *at = gato_graphs_last(w->graphs);
    w->hidden = plan_data(at->plan, at->hidden);
    w->logits = plan_data(at->plan, at->logits);
    w->ids = tokens_total(&m->tokens);
    for (size_t t = 0; t < g->T; t++) view_release(&view[t]);
    free(view);
    free(dir);
    vqvae_free(v);
    return w;
}

static void whole_close(whole_t *w) {
    for (size_t i = 0; i < w->n_owned; i++) free(w->owned[i]);
    gato_metrics_release(&w->metrics);
    gato_graphs_free(w->graphs);
    batch_release(&w->batch);
    free(w);
}

/* Logits of the ids from `lo` on, from which token i behind the separator of step t is read. */
static const float *whole_logits(const whole_t *w, size_t t, size_t i, size_t lo) {
    return w->logits + (w->separator[t] + i) * w->ids + lo;
}

static void softmax(const float *logits, double temperature, double *out) {
    double sum = 0, top = -INFINITY;
    for (size_t b = 0; b < BINS; b++) top = fmax(top, (double)logits[b]);
    for (size_t b = 0; b < BINS; b++) sum += out[b] = exp(((double)logits[b] - top) / temperature);
    for (size_t b = 0; b < BINS; b++) out[b] /= sum;
}

static double center(size_t bin) {
    return -1 + (2.0 * (double)bin + 1) / BINS;
}

static double mean_value(const float *logits) {
    double p[BINS], mean = 0;
    softmax(logits, 1, p);
    for (size_t b = 0; b < BINS; b++) mean += p[b] * center(b);
    return mean;
}

/* The highest of n; *margin: by how much. */
static size_t likeliest(const float *logits, size_t n, double *margin) {
    size_t best = 0;
    double second = -INFINITY;
    for (size_t b = 1; b < n; b++)
        if (logits[b] > logits[best]) best = b;
    for (size_t b = 0; b < n; b++)
        if (b != best) second = fmax(second, (double)logits[b]);
    *margin = (double)logits[best] - second;
    return best;
}

/* Column `column` of the regressed actions of step t, with predict_action by hand. */
static double regressed(const gato_model_t *m, const task_t *task, const whole_t *w, size_t t,
                        size_t column) {
    char name[300];
    snprintf(name, sizeof name, "predict_action.%s.weight", task->name);
    const float *weight = params_ptr(m->params, PARAMS_VALUE, params_find(m->params, name));
    snprintf(name, sizeof name, "predict_action.%s.bias", task->name);
    const float *bias = params_ptr(m->params, PARAMS_VALUE, params_find(m->params, name));
    double sum = (double)bias[column];
    for (size_t d = 0; d < WIDTH; d++)
        sum += (double)weight[column * WIDTH + d] * (double)w->hidden[w->separator[t] * WIDTH + d];
    return fmin(1, fmax(-1, sum));
}

typedef struct {
    double hidden, action; /* largest differences */
    double moved;          /* how far actions move from one timestep to the next */
    size_t wrong;          /* discrete values */
    size_t distinct;       /* steps whose discrete values are not those of the step before */
} difference_t;

static void compare_actions(const gato_model_t *m, const task_t *task, const whole_t *w,
                            const game_t *g, size_t t, difference_t *d) {
    bool regress = m->config.loss.action_kind == ACTION_MSE;
    size_t vector = 0, discrete = 0;
    const env_action_t *a = &g->action[t], *last = t ? &g->action[t - 1] : a;
    for (uint32_t k = 0; k < task->n_slots; k++) {
        const slot_t *slot = &task->slot[k];
        for (uint32_t i = 0; slot->side == SIDE_ACTED && i < slot->width; i++) {
            size_t token = vector + discrete;
            double margin;
            if (slot->kind == SLOT_VECTOR) {
                double want =
                    regress ? regressed(m, task, w, t, vector)
                            : mean_value(whole_logits(w, t, token, w->batch.model->tokens.text));
                double got = scaled(slot, i, (double)a->vector[vector]);
                d->action = fmax(d->action, fabs(got - want));
                d->moved =
                    fmax(d->moved, fabs(got - scaled(slot, i, (double)last->vector[vector])));
                vector++;
            } else {
                size_t want =
                    likeliest(whole_logits(w, t, token, w->batch.model->tokens.text + BINS),
                              slot->range[i], &margin);
                d->wrong += margin > 1e-3 && a->discrete[discrete] != want;
                d->distinct += a->discrete[discrete] != last->discrete[discrete];
                discrete++;
            }
        }
    }
}

/* A game of expectations and regression against the whole. */
static inline difference_t differ(gato_model_t *m, uint32_t task, uint32_t window, size_t tokens,
                                  const scene_t *scene, const game_t *g) {
    const task_t *t = scene->task;
    whole_t *w = whole_open(m, task, window, tokens, scene, g);
    difference_t d = {0};
    bool numbers =
        m->config.loss.action_kind == ACTION_MSE && !task_width(t, SIDE_ACTED, SLOT_DISCRETE);
    for (size_t k = 0; k < g->T; k++) {
        /* the last token does not run before the next timestep; regressed ones neither */
        size_t at = numbers ? w->separator[k] : w->end[k] - 2;
        for (size_t i = 0; i < WIDTH; i++)
            d.hidden =
                fmax(d.hidden, fabs((double)g->hidden[k][i] - (double)w->hidden[at * WIDTH + i]));
        compare_actions(m, t, w, g, k, &d);
    }
    whole_close(w);
    return d;
}

static inline void check_difference(const char *name, size_t window, size_t T, difference_t d) {
    CHECK(d.hidden < TOLERANCE, "%s, %zu steps, window %zu: hidden states differ by %g", name, T,
          window, d.hidden);
    CHECK(d.action < TOLERANCE, "%s, %zu steps, window %zu: actions differ by %g", name, T, window,
          d.action);
    CHECK(!d.wrong, "%s, %zu steps, window %zu: %zu discrete values differ", name, T, window,
          d.wrong);
    CHECK(d.moved > 10 * TOLERANCE || d.distinct, "%s: actions hardly move, %g", name, d.moved);
}

#endif
