/* gato_case.h - reads tests/reference/gato into a model and a batch: what the tests of the policy
 * share. */
#ifndef TESTS_GATO_CASE_H
#define TESTS_GATO_CASE_H

#include "common/base/die.h"
#include "common/io/safetensors/safetensors.h"
#include "gato/model/batch.h"
#include "gato/model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASE_STEPS = 8 };
typedef struct {
    st_file_t weights, file;
    gato_config_t config;
    gato_facts_t facts;
    timestep_t step[CASE_STEPS];
    size_t n_steps;
    void *owned[16];
    size_t n_owned;
} gato_case_t;

static void case_open(st_file_t *f, const char *name) {
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

static void case_facts(gato_case_t *c) {
    gato_facts_t *f = &c->facts;
    *f = (gato_facts_t){.text_vocab = 257, .mu = 100, .M = 256, .codes = 32, .code_dim = 4};
    f->n_continuous = (uint32_t)case_dim(c, "in.continuous", 1);
    f->n_discrete = (uint32_t)case_dim(c, "in.discrete", 1);
    f->n_actions = (uint32_t)case_dim(c, "in.actions", 1);
    f->n_discrete_actions = (uint32_t)case_dim(c, "in.discrete_actions", 1);
    f->grid_h = (uint32_t)case_dim(c, "in.codes", 1);
    f->grid_w = (uint32_t)case_dim(c, "in.codes", 2);
    f->image_h = (uint32_t)case_dim(c, "in.pixels", 1);
    f->image_w = (uint32_t)case_dim(c, "in.pixels", 2);
    f->discrete_range = case_own(c, 4 * f->n_discrete);
    f->discrete_action_range = case_own(c, 4 * f->n_discrete_actions);
    for (uint32_t i = 0; i < f->n_discrete; i++) f->discrete_range[i] = 9;
    for (uint32_t i = 0; i < f->n_discrete_actions; i++) f->discrete_action_range[i] = 9;
}

static void case_load(gato_case_t *c, const char *name) {
    *c = (gato_case_t){0};
    case_open(&c->weights, "weights");
    case_open(&c->file, name);
    case_facts(c);
    config_defaults(gato_config_table, &c->config);
    static const char *const set[] = {
        "model.width=12", "model.layers=2",     "model.heads=2",        "model.context=64",
        "model.bins=32",  "model.patch_mid=64", "model.patch_groups=32"};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        config_set(gato_config_table, &c->config, set[i]);
    c->config.model.merge = atoi(st_meta(&c->file, "merge"));
    if (!strcmp(st_meta(&c->file, "vector_in"), "linear"))
        c->config.model.vector_in = VECTOR_IN_LINEAR;
    if (!strcmp(st_meta(&c->file, "image_in"), "patches"))
        c->config.model.image_in = IMAGE_IN_PATCHES;
    c->n_steps = (size_t)atoi(st_meta(&c->file, "steps"));
    uint32_t *codes = case_ids(c, "in.codes"), *text = case_ids(c, "in.text"),
             *discrete = case_ids(c, "in.discrete");
    uint32_t *discrete_actions = case_ids(c, "in.discrete_actions");
    float *continuous = case_floats(c, "in.continuous"), *actions = case_floats(c, "in.actions");
    float *labels = case_floats(c, "in.label_actions");
    const st_tensor_t *pixels = st_find(&c->file, "in.pixels");
    const gato_facts_t *f = &c->facts;
    for (size_t t = 0; t < c->n_steps; t++)
        c->step[t] = (timestep_t){
            .codes = codes ? codes + t * f->grid_h * f->grid_w : NULL,
            .grid_h = f->grid_h,
            .grid_w = f->grid_w,
            .rgb = pixels ? pixels->data + t * f->image_h * f->image_w * 3 : NULL,
            .image_h = f->image_h,
            .image_w = f->image_w,
            .text = text,
            .text_len = case_dim(c, "in.text", 0),
            .text_target = text != NULL,
            .continuous = continuous ? continuous + t * f->n_continuous : NULL,
            .discrete = discrete ? discrete + t * f->n_discrete : NULL,
            .actions = actions ? actions + t * f->n_actions : NULL,
            .label_actions = labels ? labels + t * f->n_actions : NULL,
            .discrete_actions =
                discrete_actions ? discrete_actions + t * f->n_discrete_actions : NULL};
}

static void case_close(gato_case_t *c) {
    for (size_t i = 0; i < c->n_owned; i++) free(c->owned[i]);
    st_close(&c->weights);
    st_close(&c->file);
}

/* The model with the case's weights; every parameter must be there. */
static inline gato_model_t *case_model(const gato_case_t *c) {
    gato_model_t *m = gato_model_new(&c->config, &c->facts, 1);
    for (size_t i = 0; i < params_n(m->params); i++) {
        const param_t *p = params_at(m->params, (int)i);
        char name[256];
        snprintf(name, sizeof name, "w.%s", p->name);
        const st_tensor_t *t = case_tensor(c, name);
        if (!t || t->count != p->count) BUG("weight %s", name);
        float *v = xmalloc(p->count * sizeof *v);
        if (st_read_f32(t, v, NULL)) BUG("weight %s", name);
        params_import(m->params, PARAMS_VALUE, (int)i, v);
        free(v);
    }
    return m;
}

/* The record as one sequence. */
static inline void case_batch(const gato_case_t *c, const gato_model_t *m, batch_t *b) {
    batch_init(b, &m->config, &m->facts);
    batch_begin(b);
    for (size_t t = 0; t < c->n_steps; t++) {
        batch_observation(b, &c->step[t], (int32_t)t, 0);
        batch_actions(b, &c->step[t], (int32_t)t);
    }
    batch_end(b);
}

#endif
