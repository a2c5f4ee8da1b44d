/* layout_case.h - small models of one task and the rows of their batches, for tests that write
 * sequences out by hand. */
#ifndef TESTS_LAYOUT_CASE_H
#define TESTS_LAYOUT_CASE_H

#include "tests/test.h"

#include "common/io/text/json.h"
#include "gato/model/graph.h"
#include "gato/model/head_tokens.h"

static inline gato_config_t config_of(const char *const *set, size_t n) {
    gato_config_t c;
    config_defaults(gato_config_table, &c);
    for (size_t i = 0; i < n; i++) config_set(gato_config_table, &c, set[i]);
    return c;
}

static inline slot_t *add_discrete(task_t *t, slot_side_t side, const char *name, uint32_t width,
                                   uint32_t range) {
    slot_t *slot = task_add(t, SLOT_DISCRETE, side, name, width);
    slot->range = xcalloc(width, sizeof *slot->range);
    for (uint32_t i = 0; i < width; i++) slot->range[i] = range;
    return slot;
}

static inline gato_model_t *model_of(gato_config_t c, task_t task, uint32_t text, uint32_t codes) {
    /* a small network: its numbers are not asked for here */
    c.model.width = 8;
    c.model.heads = c.model.layers = 1;
    vocabulary_t v = {.text = text, .codes = codes, .code_dim = 1, .mu = 100, .M = 256};
    tasks_t tasks = {0};
    tasks_add(&tasks, task);
    gato_model_t *m = gato_model_new(&c, &v, &tasks, 1);
    tasks_release(&tasks);
    return m;
}

/* The group of a head, by name; part: which of several. */
static inline const targets_t *targets_of(const batch_t *b, const char *head, uint32_t part) {
    for (size_t i = 0; i < b->model->n_groups; i++)
        if (!strcmp(b->model->group[i].head->name, head) && b->model->group[i].part == part)
            return &b->target[i];
    BUG("no targets of '%s'", head);
}

static inline const column_t *input_of(const batch_t *b, const char *head, uint32_t part,
                                       size_t k) {
    return &targets_of(b, head, part)->rows.input[k];
}

static inline void check_ids(const char *what, const column_t *a, const int32_t *want, size_t n) {
    CHECK(a->n == n, "%s: %zu instead of %zu", what, a->n, n);
    for (size_t i = 0; i < n && i < a->n; i++)
        CHECK(column_at(a, i) == want[i], "%s[%zu]: %d instead of %d", what, i, column_at(a, i),
              want[i]);
}

static inline void check_floats(const char *what, const column_t *a, const float *want, size_t n) {
    CHECK(a->n == n, "%s: %zu instead of %zu", what, a->n, n);
    for (size_t i = 0; i < n && i < a->n; i++) {
        float v = ((const float *)a->v)[i];
        CHECK(v == want[i], "%s[%zu]: %g instead of %g", what, i, (double)v, (double)want[i]);
    }
}

/* One sequence of the only task; steps without actions have no acted values. */
static inline void add_sequence(batch_t *b, const timestep_t *step, size_t n, bool last_unread) {
    reason_t why;
    batch_begin(b, 0);
    for (size_t i = 0; i < n; i++) {
        if (batch_observation(b, &step[i], (int32_t)i, 0, &why)) CHECK(false, "%s", why.text);
        batch_actions(b, !last_unread || i + 1 < n);
    }
    batch_end(b);
}

#endif
