/* head_text.c - the text of texts and images by cross entropy, but for what is given of it. */
#include "gato/model/head_tokens.h"

static bool serves(const gato_config_t *c, const task_t *task) {
    (void)c;
    return task->kind != RECORD_EPISODE && task_first(task, SIDE_OBSERVED, SLOT_TEXT) >= 0;
}

static void collect(const batch_t *b, const group_t *g, const sequence_places_t *s, targets_t *to) {
    (void)g;
    const gato_model_t *m = b->model;
    uint32_t k = (uint32_t)task_first(&m->tasks.v[s->task], SIDE_OBSERVED, SLOT_TEXT);
    for (size_t t = 0; t < s->n_steps; t++) {
        const slot_value_t *v = &s->step[t].data.slot[k];
        for (size_t i = v->text_given; i < s->step[t].count[k]; i++) {
            size_t position = s->step[t].first[k] + i;
            if (position == s->first) continue; /* nothing before it */
            tokens_put(m, to, position - 1, v->text[i], 0, m->tokens.text);
            rows_added(&to->rows, 1);
        }
    }
}

static void record(nn_t *nn, const gato_model_t *m, const group_t *g, size_t n, var_t rows,
                   const var_t *in, bool train, head_vars_t *out) {
    (void)g, (void)n;
    tokens_record(nn, m, rows, in, false, train, out);
}

static double factor(const batch_t *b, const group_t *g, const targets_t *t, size_t r) {
    (void)g, (void)r;
    return tokens_factor(b, t, b->model->config.loss.text);
}

const head_t head_text = {.name = "text",
                          .of = "text",
                          .learns = LEARNS_TEXTS,
                          .weight = offsetof(gato_config_t, loss.text),
                          .serves = serves,
                          .inputs = tokens_inputs,
                          .collect = collect,
                          .counts = true,
                          .record = record,
                          .factor = factor,
                          .measure = tokens_measure};
