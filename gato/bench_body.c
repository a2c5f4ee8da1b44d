/* bench_body.c - see bench_body.h. */
#include "gato/bench_body.h"

#include "common/base/rng.h"
#include "common/base/sizes.h"
#include "gato/model/layout.h"
#include "gato/task/action_bins.h"

#include <stdlib.h>
#include <string.h>

/* Bins of equal width, for there are no numbers to fit them to. */
static void put_bins(slot_t *acted, uint32_t bins) {
    acted->n_bins = bins;
    acted->bin_edges = xcalloc((size_t)acted->width * (bins - 1), sizeof *acted->bin_edges);
    acted->bin_values = xcalloc((size_t)acted->width * bins, sizeof *acted->bin_values);
    for (size_t k = 0; k < acted->width; k++)
        action_bins_column(NULL, 0, bins, acted->bin_edges + k * (bins - 1),
                           acted->bin_values + k * bins);
}

tasks_t bench_tasks(const gato_config_t *c) {
    tasks_t list = {0};
    task_t body = task_new("body", RECORD_EPISODE);
    slot_t *image = task_add(&body, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    image->image_h = image->image_w = BODY_SIDE;
    image->grid_h = image->grid_w = BODY_GRID;
    slot_t *seen = task_add(&body, SLOT_VECTOR, SIDE_OBSERVED, "state", BODY_SEES);
    seen->mean = floats_of(BODY_SEES, 0);
    seen->deviation = floats_of(BODY_SEES, 1);
    slot_t *acted = task_add(&body, SLOT_VECTOR, SIDE_ACTED, "action", BODY_ACTS);
    memset(acted->raw, 0, BODY_ACTS);
    acted->scaling = xcalloc(BODY_ACTS, sizeof *acted->scaling); /* SCALING_DECLARED */
    acted->scale_low = floats_of(BODY_ACTS, -1);
    acted->scale_high = floats_of(BODY_ACTS, 1);
    for (size_t k = 0; k < BODY_ACTS; k++) {
        acted->low[k] = -1;
        acted->high[k] = 1;
    }
    if (c->model.bin_kind == BIN_KIND_QUANTILE) put_bins(acted, (uint32_t)c->model.bins);
    tasks_add(&list, body);
    return list;
}

vocabulary_t bench_vocabulary(uint64_t seed) {
    enum { DIM = 64 };
    vocabulary_t v = {.text = 257,
                      .text_tokenizer = xstrdup("byte"),
                      .codes = BODY_CODES,
                      .code_dim = DIM,
                      .codebook = xmalloc(BODY_CODES * DIM * sizeof(float)),
                      .mu = 100,
                      .M = 256};
    rng_t r = rng_make(seed, "bench.codebook");
    for (size_t i = 0; i < BODY_CODES * DIM; i++) v.codebook[i] = rng_normal(r, i);
    return v;
}

static void *own(bench_steps_t *s, size_t n, size_t size) {
    s->owned = xgrow(s->owned, &s->cap, s->n_owned + 1, sizeof *s->owned);
    return s->owned[s->n_owned++] = xcalloc(n, size);
}

static uint32_t *numbers(bench_steps_t *s, size_t n, uint32_t below, rng_t r) {
    uint32_t *v = own(s, n, sizeof *v);
    for (size_t i = 0; i < n; i++) v[i] = rng_below(r, i, below);
    return v;
}

/* A text that fills what the context has room for is as long as a training's longest. */
static size_t text_length(const gato_model_t *m, const task_t *task, const slot_t *slot) {
    layout_t l;
    reason_t why;
    size_t context = (size_t)m->config.model.context, rest = 0;
    if (task->kind == RECORD_EPISODE) return m->config.model.control_text ? slot->text_len : 0;
    if (layout_declared(&l, &m->config, task, &why)) return 0;
    for (uint32_t k = 0; k < task->n_slots; k++)
        if (task->slot[k].kind != SLOT_TEXT) rest += l.count[k];
    size_t room = context > rest + 1 ? context - rest - 1 : 1;
    return slot->text_len ? min_size(slot->text_len, room) : room;
}

/* Vectors of n timesteps and of the chunk behind each. */
static void put_vectors(bench_steps_t *s, const gato_model_t *m, uint32_t k, const slot_t *slot,
                        rng_t r) {
    size_t chunk = (size_t)m->config.model.chunk;
    float *v = own(s, (s->n + chunk) * slot->width, sizeof *v);
    for (size_t i = 0; i < (s->n + chunk) * slot->width; i++) v[i] = 2 * rng_uniform(r, i) - 1;
    for (size_t i = 0; i < s->n; i++) {
        slot_value_t *to = &s->step[i].slot[k];
        to->vector = v + i * slot->width;
        if (slot->side == SIDE_OBSERVED) continue;
        to->ahead = to->vector;
        to->n_ahead = chunk;
    }
}

static void put_slot(bench_steps_t *s, const gato_model_t *m, const task_t *task, uint32_t k,
                     size_t i, rng_t r) {
    const slot_t *slot = &task->slot[k];
    slot_value_t *to = &s->step[i].slot[k];
    size_t pixels = (size_t)slot->image_h * slot->image_w * 3;
    uint8_t *rgb;
    switch (slot->kind) {
    case SLOT_IMAGE:
        to->grid_h = slot->grid_h;
        to->grid_w = slot->grid_w;
        to->image_h = slot->image_h;
        to->image_w = slot->image_w;
        if (!gato_config_image_in(&m->config)->pixels) {
            if (slot->grid_h)
                to->codes = numbers(s, to->grid_h * to->grid_w, m->vocabulary.codes, r);
            return;
        }
        if (!pixels) return;
        rgb = own(s, pixels, 1);
        for (size_t p = 0; p < pixels; p++) rgb[p] = (uint8_t)rng_below(r, p, 256);
        to->rgb = rgb;
        return;
    case SLOT_TEXT:
        to->text_len = text_length(m, task, slot);
        if (to->text_len) to->text = numbers(s, to->text_len, m->vocabulary.text, r);
        return;
    case SLOT_DISCRETE: {
        uint32_t *v = own(s, slot->width, sizeof *v);
        for (uint32_t c = 0; c < slot->width; c++) v[c] = rng_below(r, c, slot->range[c]);
        to->discrete = v;
        return;
    }
    default:
        return; /* put_vectors */
    }
}

bench_steps_t bench_steps(const gato_model_t *m, uint32_t task, size_t n, uint64_t seed) {
    const task_t *t = &m->tasks.v[task];
    bench_steps_t s = {.step = xcalloc(n, sizeof *s.step), .n = n};
    rng_t r = rng_make(seed, "bench.steps");
    for (size_t i = 0; i < n; i++) {
        s.step[i].task = task;
        s.step[i].linked = i > 0;
        for (uint32_t k = 0; k < t->n_slots; k++)
            put_slot(&s, m, t, k, i, rng_fold(rng_fold(r, i), k));
    }
    for (uint32_t k = 0; k < t->n_slots; k++)
        if (t->slot[k].kind == SLOT_VECTOR)
            put_vectors(&s, m, k, &t->slot[k], rng_fold(rng_fold(r, n), k));
    return s;
}

void bench_steps_release(bench_steps_t *s) {
    for (size_t i = 0; i < s->n_owned; i++) free(s->owned[i]);
    free(s->owned);
    free(s->step);
    *s = (bench_steps_t){0};
}
