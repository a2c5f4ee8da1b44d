/* gato_case.h - reads tests/reference/gato into a model and a batch: what the tests of the policy
 * share. */
#ifndef TESTS_GATO_CASE_H
#define TESTS_GATO_CASE_H

#include "common/base/die.h"
#include "common/io/safetensors/safetensors.h"
#include "gato/model/batch.h"
#include "gato/model/graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASE_STEPS = 8 };
typedef struct {
    st_file_t weights, file;
    gato_config_t config;
    vocabulary_t vocabulary; /* borrows its codebook */
    tasks_t tasks;           /* one: "body" */
    timestep_t step[CASE_STEPS];
    size_t n_steps;
    void *owned[256];
    size_t n_owned;
} gato_case_t;

static inline void case_open(st_file_t *f, const char *name) {
    char path[256];
    reason_t why;
    snprintf(path, sizeof path, "tests/reference/gato/%s.safetensors", name);
    if (st_open(f, path, &why)) die(RC_DATA, "%s", why.text);
}

static inline const st_tensor_t *case_tensor(const gato_case_t *c, const char *name) {
    const st_tensor_t *t = st_find(&c->file, name);
    return t ? t : st_find(&c->weights, name);
}

static void *case_own(gato_case_t *c, size_t bytes) {
    if (c->n_owned == sizeof c->owned / sizeof *c->owned) BUG("too many arrays");
    return c->owned[c->n_owned++] = xcalloc(1, bytes);
}

/* Values of a tensor; NULL when absent. Kept until case_close. */
static inline float *case_floats(gato_case_t *c, const char *name) {
    const st_tensor_t *t = st_find(&c->file, name);
    if (!t) return NULL;
    float *v = case_own(c, t->count * sizeof *v);
    if (st_read_f32(t, v, NULL)) BUG("%s is no float tensor", name);
    return v;
}

static inline uint32_t *case_ids(gato_case_t *c, const char *name) {
    const st_tensor_t *t = st_find(&c->file, name);
    if (!t) return NULL;
    uint32_t *v = case_own(c, t->count * sizeof *v);
    for (size_t i = 0; i < t->count; i++) {
        int64_t x;
        memcpy(&x, t->data + 8 * i, 8);
        v[i] = (uint32_t)x;
    }
    return v;
}

static size_t case_dim(const gato_case_t *c, const char *name, int d) {
    const st_tensor_t *t = st_find(&c->file, name);
    return t ? (size_t)t->dim[d] : 0;
}

/* Adds the slot that a tensor of the file holds, if there is one; returns its number. */
static int case_slot(gato_case_t *c, const char *tensor, slot_kind_t kind, slot_side_t side,
                     const char *name) {
    const st_tensor_t *t = st_find(&c->file, tensor);
    if (!t) return -1;
    uint32_t width = kind == SLOT_IMAGE || kind == SLOT_TEXT ? 1 : (uint32_t)t->dim[1];
    slot_t *slot = task_add(&c->tasks.v[0], kind, side, name, width);
    if (kind == SLOT_DISCRETE) {
        slot->range = xcalloc(width, sizeof *slot->range);
        for (uint32_t i = 0; i < width; i++) slot->range[i] = 9;
    }
    return task_find(&c->tasks.v[0], side, name);
}

static inline vocabulary_t case_vocabulary(void) {
    return (vocabulary_t){.text = 257, .mu = 100, .M = 256, .codes = 32, .code_dim = 4};
}

static inline void case_config(gato_case_t *c) {
    config_defaults(gato_config_table, &c->config);
    static const char *const set[] = {
        "model.width=12", "model.layers=2",     "model.heads=2",        "model.context=64",
        "model.bins=32",  "model.patch_mid=64", "model.patch_groups=32"};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        config_set(gato_config_table, &c->config, set[i]);
}

static inline void case_task(gato_case_t *c) {
    c->vocabulary = case_vocabulary();
    tasks_add(&c->tasks,
              task_new("body", st_find(&c->file, "in.text") ? RECORD_TEXT : RECORD_EPISODE));
    case_slot(c, "in.codes", SLOT_IMAGE, SIDE_OBSERVED, "image");
    case_slot(c, "in.pixels", SLOT_IMAGE, SIDE_OBSERVED, "image");
    case_slot(c, "in.text", SLOT_TEXT, SIDE_OBSERVED, "text");
    case_slot(c, "in.continuous", SLOT_VECTOR, SIDE_OBSERVED, "vector");
    case_slot(c, "in.discrete", SLOT_DISCRETE, SIDE_OBSERVED, "discrete");
    case_slot(c, "in.actions", SLOT_VECTOR, SIDE_ACTED, "action");
    case_slot(c, "in.discrete_actions", SLOT_DISCRETE, SIDE_ACTED, "choice");
}

/* The value of a slot that the task has. */
static inline slot_value_t *case_value(gato_case_t *c, size_t t, slot_side_t side,
                                       slot_kind_t kind) {
    return &c->step[t].slot[task_first(&c->tasks.v[0], side, kind)];
}

static inline void case_steps(gato_case_t *c) {
    uint32_t *codes = case_ids(c, "in.codes"), *text = case_ids(c, "in.text"),
             *discrete = case_ids(c, "in.discrete"), *choice = case_ids(c, "in.discrete_actions");
    float *vector = case_floats(c, "in.continuous"), *actions = case_floats(c, "in.actions"),
          *labels = case_floats(c, "in.label_actions");
    const st_tensor_t *pixels = st_find(&c->file, "in.pixels");
    size_t gh = case_dim(c, "in.codes", 1), gw = case_dim(c, "in.codes", 2),
           h = case_dim(c, "in.pixels", 1), w = case_dim(c, "in.pixels", 2);
    for (size_t t = 0; t < c->n_steps; t++) {
        c->step[t].linked = t > 0;
        if (codes)
            *case_value(c, t, SIDE_OBSERVED, SLOT_IMAGE) =
                (slot_value_t){.codes = codes + t * gh * gw, .grid_h = gh, .grid_w = gw};
        if (pixels)
            *case_value(c, t, SIDE_OBSERVED, SLOT_IMAGE) =
                (slot_value_t){.rgb = pixels->data + t * h * w * 3, .image_h = h, .image_w = w};
        if (text)
            *case_value(c, t, SIDE_OBSERVED, SLOT_TEXT) =
                (slot_value_t){.text = text, .text_len = case_dim(c, "in.text", 0)};
        if (vector)
            case_value(c, t, SIDE_OBSERVED, SLOT_VECTOR)->vector =
                vector + t * case_dim(c, "in.continuous", 1);
        if (discrete)
            case_value(c, t, SIDE_OBSERVED, SLOT_DISCRETE)->discrete =
                discrete + t * case_dim(c, "in.discrete", 1);
        if (actions)
            *case_value(c, t, SIDE_ACTED, SLOT_VECTOR) =
                (slot_value_t){.vector = actions + t * case_dim(c, "in.actions", 1),
                               .label_vector = labels + t * case_dim(c, "in.actions", 1)};
        if (choice)
            case_value(c, t, SIDE_ACTED, SLOT_DISCRETE)->discrete =
                choice + t * case_dim(c, "in.discrete_actions", 1);
    }
}

static inline void case_load(gato_case_t *c, const char *name) {
    *c = (gato_case_t){0};
    case_open(&c->weights, "weights");
    case_open(&c->file, name);
    case_task(c);
    case_config(c);
    c->config.model.merge = atoi(st_meta(&c->file, "merge"));
    if (!strcmp(st_meta(&c->file, "vector_in"), "linear"))
        c->config.model.vector_in = VECTOR_IN_LINEAR;
    if (!strcmp(st_meta(&c->file, "image_in"), "patches"))
        c->config.model.image_in = IMAGE_IN_PATCHES;
    c->n_steps = (size_t)atoi(st_meta(&c->file, "steps"));
    case_steps(c);
}

static inline void case_close(gato_case_t *c) {
    for (size_t i = 0; i < c->n_owned; i++) free(c->owned[i]);
    tasks_release(&c->tasks);
    st_close(&c->weights);
    st_close(&c->file);
}

/* The reference has one task, so its layers bear no name of a task: finds a parameter without it.
 * */
static const st_tensor_t *case_weight(const gato_case_t *c, const char *prefix, const char *name) {
    static const char *const task[] = {"", ".body", ".body.vector"};
    for (size_t i = 0; i < 3; i++) {
        char key[256];
        const char *at = i ? strstr(name, task[i]) : name;
        if (!at) continue;
        int n = (int)(at - name);
        snprintf(key, sizeof key, "%s%.*s%s", prefix, n, name, at + strlen(task[i]));
        const st_tensor_t *t = case_tensor(c, key);
        if (t) return t;
    }
    return NULL;
}

/* Reads a parameter into v. Tables of codes lie in the case's file, those of the vocabulary that
 * they are appended to in the shared one. */
static inline bool case_read(const gato_case_t *c, const param_t *p, float *v) {
    const st_tensor_t *t = case_weight(c, "w.", p->name);
    if (!t || st_read_f32(t, v, NULL)) return false;
    if (t->count == p->count) return true;
    char key[256];
    snprintf(key, sizeof key, "w.%s", p->name);
    const st_tensor_t *shared = st_find(&c->weights, key);
    if (!shared || shared->count + t->count != p->count) return false;
    return !st_read_f32(shared, v, NULL) && !st_read_f32(t, v + shared->count, NULL);
}

/* The model with the case's weights; every parameter must be there. */
static inline gato_model_t *case_model(const gato_case_t *c) {
    gato_model_t *m = gato_model_new(&c->config, &c->vocabulary, &c->tasks, 1);
    for (size_t i = 0; i < params_n(m->params); i++) {
        const param_t *p = params_at(m->params, (int)i);
        float *v = xmalloc(p->count * sizeof *v);
        if (!case_read(c, p, v)) BUG("weight %s", p->name);
        params_import(m->params, PARAMS_VALUE, (int)i, v);
        free(v);
    }
    return m;
}

/* The record as one sequence, behind those that the batch has. */
static inline void case_add(const gato_case_t *c, batch_t *b) {
    reason_t why;
    batch_begin(b, 0);
    for (size_t t = 0; t < c->n_steps; t++) {
        if (batch_observation(b, &c->step[t], (int32_t)t, 0, &why)) BUG("%s", why.text);
        batch_actions(b, true);
    }
    batch_end(b);
}

static inline void case_batch(const gato_case_t *c, const gato_model_t *m, batch_t *b) {
    batch_init(b, m);
    case_add(c, b);
}

/* The largest difference from a tensor of the file. */
static inline double case_worst(const gato_case_t *c, const char *name, const float *ours,
                                size_t n) {
    const st_tensor_t *t = st_find(&c->file, name);
    if (!t || t->count != n) return INFINITY;
    float *v = xmalloc(n * sizeof *v);
    double d = st_read_f32(t, v, NULL) ? INFINITY : 0;
    for (size_t i = 0; i < n; i++) d = fmax(d, fabs((double)ours[i] - (double)v[i]));
    free(v);
    return d;
}

static inline double case_scalar(const gato_case_t *c, const char *name) {
    float v = NAN;
    const st_tensor_t *t = st_find(&c->file, name);
    if (t) st_read_f32(t, &v, NULL);
    return (double)v;
}

static inline bool case_same_ids(const gato_case_t *c, const char *name, const column_t *ours) {
    const st_tensor_t *t = st_find(&c->file, name);
    if (!t || t->count != ours->n) return false;
    for (size_t i = 0; i < ours->n; i++) {
        int64_t v = t->data[i];
        if (t->type == ST_I64) memcpy(&v, t->data + 8 * i, 8);
        if (v != column_at(ours, i)) return false;
    }
    return true;
}

/* Executes a batch; the loss. */
static inline double case_step(gato_graphs_t *g, const batch_t *b) {
    gato_metrics_t f;
    gato_metrics_init(&f, gato_graphs_model(g));
    gato_step(g, b, 0, 0, 0, false, &f);
    double loss = f.loss;
    gato_metrics_release(&f);
    return loss;
}

#endif
