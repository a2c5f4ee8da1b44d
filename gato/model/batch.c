/* batch.c - see batch.h. */
#include "gato/model/batch.h"

#include <stdlib.h>
#include <string.h>

static const column_t ints = {.per = 1, .type = DT_I32};

/* ---- making and emptying ---- */

void batch_init(batch_t *b, const gato_model_t *m) {
    input_spec_t spec[ROWS_INPUTS];
    *b = (batch_t){.model = m,
                   .start = ints,
                   .window = ints,
                   .task = ints,
                   .inner = ints,
                   .step = ints,
                   .id = ints,
                   .mask = ints};
    b->pool = xcalloc(m->n_pools + 1, sizeof *b->pool);
    for (size_t i = 0; i < m->n_pools; i++)
        rows_init(&b->pool[i], spec, m->pool[i].embed->inputs(m, &m->pool[i], spec));
    b->target = xcalloc(m->n_groups + 1, sizeof *b->target);
    for (size_t i = 0; i < m->n_groups; i++) {
        rows_init(&b->target[i].rows, spec, m->group[i].head->inputs(m, &m->group[i], spec));
        b->target[i].task = ints;
    }
    b->before = xcalloc(m->n_groups + 1, sizeof *b->before);
    b->numbers = xcalloc(m->n_groups + 1, sizeof *b->numbers);
    column_put(&b->start, 0);
}

void batch_release(batch_t *b) {
    if (!b->model) return;
    for (size_t i = 0; i < b->model->n_pools; i++) rows_release(&b->pool[i]);
    for (size_t i = 0; i < b->model->n_groups; i++) {
        rows_release(&b->target[i].rows);
        free(b->target[i].task.v);
    }
    column_t *column[] = {&b->start, &b->window, &b->task, &b->inner, &b->step, &b->id, &b->mask};
    for (size_t i = 0; i < sizeof column / sizeof *column; i++) free(column[i]->v);
    free(b->at.v);
    free(b->pool);
    free(b->target);
    free(b->place);
    free(b->before);
    free(b->numbers);
    *b = (batch_t){0};
}

void batch_clear(batch_t *b, bool train, uint64_t seed, uint64_t step) {
    column_t *column[] = {&b->start, &b->window, &b->task, &b->inner, &b->step, &b->id, &b->mask};
    for (size_t i = 0; i < sizeof column / sizeof *column; i++) column[i]->n = 0;
    for (size_t i = 0; i < b->model->n_pools; i++) rows_clear(&b->pool[i]);
    for (size_t i = 0; i < b->model->n_groups; i++) {
        rows_clear(&b->target[i].rows);
        b->target[i].task.n = 0;
        b->target[i].weight = b->target[i].numbers = 0;
    }
    b->at.n = b->targets = b->target_sequences = b->n_places = 0;
    b->train = train;
    b->draw = rng_fold(rng_make(seed, "gato.positions"), step);
    column_put(&b->start, 0);
}

size_t batch_sequences(const batch_t *b) {
    return b->start.n - 1;
}
size_t batch_positions(const batch_t *b) {
    return b->at.n;
}
size_t batch_longest(const batch_t *b) {
    size_t longest = 0;
    for (size_t i = 0; i + 1 < b->start.n; i++) {
        size_t n = (size_t)(column_at(&b->start, i + 1) - column_at(&b->start, i));
        if (n > longest) longest = n;
    }
    return longest;
}

/* ---- positions ---- */

static void put_position(batch_t *b, size_t pool, size_t row, int32_t inner, int32_t step,
                         bool mask) {
    places_t *at = &b->at;
    at->v = xgrow(at->v, &at->cap, at->n + 1, sizeof *at->v);
    at->v[at->n++] = (int64_t)pool << POOL_SHIFT | (int64_t)row;
    column_put(&b->inner, inner);
    column_put(&b->step, step);
    column_put(&b->mask, mask);
}

static timestep_place_t *last_place(batch_t *b) {
    if (!b->n_places) BUG("no timestep in this sequence");
    return &b->place[b->n_places - 1];
}

/* Which of a slot's tokens are targets in the sense of the mask: all that are acted; of a text that
 * is to be predicted, what is not given. */
static bool masked(const batch_t *b, const timestep_place_t *at, uint32_t k, size_t i) {
    const task_t *task = &b->model->tasks.v[at->data.task];
    if (task->slot[k].side == SIDE_ACTED) return true;
    return task->slot[k].kind == SLOT_TEXT && task->kind != RECORD_EPISODE &&
           i >= at->data.slot[k].text_given;
}

/* Adds tokens lo .. hi - 1 of the n of a slot; inner: the inner position of the first of all, or
 * -1. */
static void put_tokens(batch_t *b, timestep_place_t *at, uint32_t k, size_t n, size_t lo, size_t hi,
                       int32_t inner, uint64_t sample) {
    const gato_model_t *m = b->model;
    if (lo >= hi) return;
    size_t pool = gato_model_pool(m, at->data.task, k);
    rows_t *rows = &b->pool[pool];
    size_t row = rows->n;
    embed_put_t p = {.model = m, .task = at->data.task, .slot = k, .train = b->train};
    p.draw = rng_fold(rng_fold(b->draw, sample), (uint64_t)at->step);
    if (k) p.draw = rng_fold(p.draw, k);
    int32_t *id = column_ints(&b->id, n);
    m->pool[pool].embed->put(&p, &at->data.slot[k], rows, id);
    if (hi - lo < n) { /* embeddings put whole slots */
        memmove(id, id + lo, (hi - lo) * sizeof *id);
        b->id.n -= n - (hi - lo);
        rows_keep(rows, row, lo, hi);
    }
    rows_added(rows, hi - lo);
    at->first[k] = b->at.n;
    at->count[k] = hi - lo;
    for (size_t i = lo; i < hi; i++)
        put_position(b, pool + 1, row + i - lo, inner < 0 ? -1 : inner + (int32_t)i, at->step,
                     masked(b, at, k, i));
}

static void put_slot(batch_t *b, timestep_place_t *at, uint32_t k, size_t n, int32_t inner,
                     uint64_t sample) {
    put_tokens(b, at, k, n, 0, n, inner, sample);
}

static void put_separator(batch_t *b, int32_t step) {
    column_put(&b->id, 0);
    put_position(b, 0, 0, -1, step, false);
}

void batch_begin(batch_t *b, uint32_t task) {
    if (column_at(&b->start, b->start.n - 1) != (int32_t)b->at.n)
        BUG("the last sequence was not ended");
    if (task >= b->model->tasks.n) BUG("task %u of %zu", task, b->model->tasks.n);
    b->n_places = 0;
    column_put(&b->task, (int32_t)task);
    column_put(&b->window, (int32_t)b->model->window[task]);
}

/* The slots that are observed. */
static int put_observed(batch_t *b, const timestep_t *s, int32_t step, uint64_t sample,
                        reason_t *why) {
    const gato_model_t *m = b->model;
    layout_t l;
    if (layout_of(&l, &m->config, &m->tasks.v[s->task], s, why)) return -1;
    if ((int32_t)s->task != column_at(&b->task, b->task.n - 1))
        BUG("a timestep of task %u in a sequence of another", s->task);
    b->place = xgrow(b->place, &b->place_cap, b->n_places + 1, sizeof *b->place);
    timestep_place_t *at = &b->place[b->n_places++];
    *at = (timestep_place_t){.data = *s, .step = step};
    size_t inner = 0;
    for (uint32_t i = 0; i < l.task->n_slots; i++) {
        uint32_t k = l.order[i];
        if (l.task->slot[k].side != SIDE_OBSERVED) continue;
        put_slot(b, at, k, l.count[k], m->config.model.inner_pos ? (int32_t)inner : -1, sample);
        inner += l.count[k];
    }
    return 0;
}

int batch_observation(batch_t *b, const timestep_t *s, int32_t step, uint64_t sample,
                      reason_t *why) {
    if (put_observed(b, s, step, sample, why)) return -1;
    last_place(b)->separator = b->at.n;
    put_separator(b, step);
    return 0;
}

void batch_part(batch_t *b, const timestep_t *s, int32_t step, size_t first, size_t end) {
    const gato_model_t *m = b->model;
    layout_t l;
    reason_t why;
    if (layout_of(&l, &m->config, &m->tasks.v[s->task], s, &why)) BUG("%s", why.text);
    timestep_place_t at = {.data = *s, .step = step};
    size_t inner = 0;
    for (uint32_t i = 0; i < l.task->n_slots; i++) {
        uint32_t k = l.order[i];
        if (l.task->slot[k].side != SIDE_OBSERVED) continue;
        size_t n = l.count[k], lo = first > inner ? first - inner : 0,
               hi = end > inner ? end - inner : 0;
        put_tokens(b, &at, k, n, lo, hi < n ? hi : n,
                   m->config.model.inner_pos ? (int32_t)inner : -1, 0);
        inner += n;
    }
    if (end > inner) put_separator(b, step);
}

int batch_beginning(batch_t *b, const timestep_t *s, int32_t step, reason_t *why) {
    return put_observed(b, s, step, 0, why);
}

/* The row of an id of the vocabulary. */
static void put_id(batch_t *b, uint32_t id, int32_t inner, int32_t step, bool mask) {
    const gato_model_t *m = b->model;
    size_t pool = 0;
    while (pool < m->n_pools && !m->pool[pool].embed->vocabulary) pool++;
    if (pool == m->n_pools) BUG("a model without tokens");
    rows_t *rows = &b->pool[pool];
    column_put(&rows->input[0], (int32_t)id);
    column_put(&b->id, (int32_t)id);
    put_position(b, pool + 1, rows->n, inner, step, mask);
    rows_added(rows, 1);
}

/* The clean actions of a slot from this timestep on; NULL where the episode or the slot ends before
 * the chunk does. */
static const float *whole_chunk(const slot_value_t *v, size_t chunk) {
    if (v->n_ahead < chunk) return NULL;
    for (size_t j = 0; v->ahead_present && j < chunk; j++)
        if (!v->ahead_present[j]) return NULL;
    return v->ahead;
}

/* The tokens that FAST makes of a slot's chunk. */
static void put_chunk(batch_t *b, timestep_place_t *at, uint32_t k) {
    const gato_model_t *m = b->model;
    const float *chunk = whole_chunk(&at->data.slot[k], (size_t)m->config.model.chunk);
    text_ids_t ids = {0};
    if (!chunk) return;
    fast_encode(m->fast, chunk, m->tasks.v[at->data.task].slot[k].width, &ids);
    at->first[k] = b->at.n;
    at->count[k] = ids.n;
    for (size_t i = 0; i < ids.n; i++)
        put_id(b, tokens_fast(&m->tokens) + ids.id[i], -1, at->step, true);
    text_ids_release(&ids);
}

void batch_actions(batch_t *b, bool inputs) {
    timestep_place_t *at = last_place(b);
    const task_t *task = &b->model->tasks.v[at->data.task];
    for (uint32_t k = 0; k < task->n_slots && inputs; k++) {
        if (task->slot[k].side != SIDE_ACTED || !slot_value_present(&at->data.slot[k])) continue;
        if (b->model->fast && task->slot[k].kind == SLOT_VECTOR)
            put_chunk(b, at, k);
        else
            put_slot(b, at, k, task->slot[k].width, -1, 0);
    }
}

void batch_token(batch_t *b, uint32_t id, int32_t inner, int32_t step) {
    put_id(b, id, b->model->config.model.inner_pos ? inner : -1, step, false);
}

/* ---- targets ---- */

/* Gives the targets of this sequence their weights: those that count share among all that do. */
static void weigh(batch_t *b, size_t counting) {
    for (size_t g = 0; g < b->model->n_groups; g++) {
        const head_t *head = b->model->group[g].head;
        targets_t *t = &b->target[g];
        size_t added = t->rows.n - b->before[g];
        if (!added) continue;
        bool shared = b->model->config.loss.per_sequence && (head->counts || head->shares);
        float weight = shared ? 1 / (float)(head->counts ? counting : added) : 1;
        column_t *c = &t->rows.input[INPUT_WEIGHT];
        float *w = (float *)c->v + b->before[g] * c->per;
        for (size_t i = 0; i < added * c->per && shared; i++) w[i] = weight;
        for (size_t i = 0; i < added * c->per; i++) t->weight += (double)w[i];
        t->numbers = b->numbers[g] + (t->numbers - b->numbers[g]) * (double)weight;
    }
}

void batch_end(batch_t *b) {
    const gato_model_t *m = b->model;
    sequence_places_t s = {.step = b->place,
                           .n_steps = b->n_places,
                           .task = (uint32_t)column_at(&b->task, b->task.n - 1),
                           .first = (size_t)column_at(&b->start, b->start.n - 1),
                           .end = b->at.n};
    size_t counting = 0;
    for (size_t g = 0; g < m->n_groups; g++) {
        const group_t *group = &m->group[g];
        targets_t *t = &b->target[g];
        b->before[g] = t->rows.n;
        b->numbers[g] = t->numbers;
        bool other = group->head->own && group->task != s.task;
        if (!other && group->head->serves(&m->config, &m->tasks.v[s.task]))
            group->head->collect(b, group, &s, t);
        size_t added = t->rows.n - b->before[g];
        for (size_t i = 0; i < added; i++) column_put(&t->task, (int32_t)s.task);
        if (group->head->counts) counting += added;
    }
    weigh(b, counting);
    b->targets += counting;
    b->target_sequences += counting > 0;
    column_put(&b->start, (int32_t)b->at.n);
}
