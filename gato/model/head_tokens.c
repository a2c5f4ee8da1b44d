/* head_tokens.c - see head_tokens.h. */
#include "gato/model/head_tokens.h"

#include "gato/task/action_bins.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const head_vars_t head_vars_none = {.root = {NO_VAR, NO_VAR},
                                    .value = {NO_VAR, NO_VAR, NO_VAR, NO_VAR}};

bool slot_acted(const slot_t *slot, slot_kind_t kind) {
    return slot->side == SIDE_ACTED && slot->kind == kind;
}

double head_numbers(const batch_t *b, const head_t *head) {
    double n = 0;
    for (size_t g = 0; g < b->model->n_groups; g++)
        if (b->model->group[g].head == head) n += b->target[g].numbers;
    return n;
}

void head_error(head_sums_t *sums, double predicted, double clean) {
    double d = predicted - clean;
    sums->squared += d * d;
    sums->absolute += fabs(d);
    sums->n_values++;
}

/* ---- targets ---- */

size_t tokens_inputs(const gato_model_t *m, const group_t *g, input_spec_t spec[ROWS_INPUTS]) {
    int32_t all = (int32_t)tokens_total(&m->tokens);
    spec[INPUT_POSITION] = (input_spec_t){.name = "position", .type = DT_I32};
    spec[INPUT_WEIGHT] = (input_spec_t){.name = "weight", .type = DT_F32};
    spec[TOKEN_TARGET] = (input_spec_t){.name = "target", .type = DT_I32};
    spec[TOKEN_RANGE] =
        (input_spec_t){.name = "range", .type = DT_I32, .rank = 1, .dim = {2}, .pad = {0, all}};
    spec[TOKEN_OWN] =
        (input_spec_t){.name = "own_range", .type = DT_I32, .rank = 1, .dim = {2}, .pad = {0, 1}};
    return TOKEN_INPUTS;
}

size_t tokens_value_inputs(const gato_model_t *m, const group_t *g,
                           input_spec_t spec[ROWS_INPUTS]) {
    tokens_inputs(m, g, spec);
    spec[TOKEN_VALUE] = (input_spec_t){.name = "value", .type = DT_F32};
    spec[TOKEN_COLUMN] =
        (input_spec_t){.name = "column", .type = DT_I32, .rank = 1, .dim = {2}, .pad = {0, 0}};
    return TOKEN_COLUMN + 1;
}

void tokens_put(const gato_model_t *m, targets_t *to, size_t position, uint32_t id, uint32_t lo,
                uint32_t hi) {
    column_t *in = to->rows.input;
    column_put(&in[INPUT_POSITION], (int32_t)position);
    *column_floats(&in[INPUT_WEIGHT], 1) = 1;
    column_put(&in[TOKEN_TARGET], (int32_t)id);
    int32_t *range = column_ints(&in[TOKEN_RANGE], 1), *own = column_ints(&in[TOKEN_OWN], 1);
    range[0] = 0;
    range[1] = (int32_t)tokens_total(&m->tokens);
    own[0] = (int32_t)lo;
    own[1] = (int32_t)hi;
}

static void collect_slot(const gato_model_t *m, const timestep_place_t *at, uint32_t k,
                         targets_t *to) {
    const tokens_t *tokens = &m->tokens;
    const slot_t *slot = &m->tasks.v[at->data.task].slot[k];
    const slot_value_t *v = &at->data.slot[k];
    const float *clean = v->label_vector ? v->label_vector : v->vector;
    const uint32_t *value = v->label_discrete ? v->label_discrete : v->discrete;
    uint32_t bins = tokens_continuous(tokens), discrete = tokens_discrete(tokens);
    for (size_t i = 0; i < at->count[k]; i++) {
        size_t position = at->first[k] + i - 1;
        if (slot->kind == SLOT_VECTOR) {
            tokens_put(m, to, position, bins + action_bin(tokens, slot, (uint32_t)i, clean[i]),
                       bins, bins + tokens->bins);
            *column_floats(&to->rows.input[TOKEN_VALUE], 1) = clean[i];
            int32_t *column = column_ints(&to->rows.input[TOKEN_COLUMN], 1);
            column[0] = (int32_t)k;
            column[1] = (int32_t)i;
        } else {
            tokens_put(m, to, position, discrete + value[i], discrete, discrete + slot->range[i]);
        }
        rows_added(&to->rows, 1);
    }
}

void tokens_collect_acted(const batch_t *b, const sequence_places_t *s, slot_kind_t kind,
                          targets_t *to) {
    const task_t *task = &b->model->tasks.v[s->task];
    for (size_t i = 0; i < s->n_steps; i++)
        for (uint32_t k = 0; k < task->n_slots; k++)
            if (slot_acted(&task->slot[k], kind)) collect_slot(b->model, &s->step[i], k, to);
}

void tokens_collect_observed(const batch_t *b, const sequence_places_t *s, slot_kind_t kind,
                             targets_t *to) {
    const gato_model_t *m = b->model;
    const task_t *task = &m->tasks.v[s->task];
    bool bins = kind == SLOT_VECTOR;
    uint32_t lo = bins ? tokens_continuous(&m->tokens) : tokens_discrete(&m->tokens);
    for (size_t i = 0; i < s->n_steps; i++)
        for (uint32_t k = 0; k < task->n_slots; k++) {
            const timestep_place_t *at = &s->step[i];
            const slot_t *slot = &task->slot[k];
            if (slot->side != SIDE_OBSERVED || slot->kind != kind) continue;
            for (size_t j = 0; j < at->count[k]; j++) {
                size_t position = at->first[k] + j;
                if (!tokens_follows(s, i, position)) continue;
                tokens_put(m, to, position - 1, (uint32_t)column_at(&b->id, position), lo,
                           lo + (bins ? m->tokens.bins : slot->range[j]));
                rows_added(&to->rows, 1);
            }
        }
}

/* The first position of a timestep. */
static size_t timestep_start(const timestep_place_t *at) {
    size_t first = at->separator;
    for (size_t k = 0; k < TASK_SLOTS; k++)
        if (at->count[k] && at->first[k] < first) first = at->first[k];
    return first;
}

bool tokens_follows(const sequence_places_t *s, size_t i, size_t position) {
    if (position == s->first) return false;
    return s->step[i].data.linked || position != timestep_start(&s->step[i]);
}

/* ---- the loss ---- */

/* The logits of all rows at once: the faster way while they are few. */
static void record_whole(nn_t *nn, const gato_model_t *m, var_t rows, const var_t *in, bool expect,
                         bool train, head_vars_t *out) {
    tape_t *t = nn->tape;
    var_t logits = gato_logits(nn, m, rows, 0, tokens_total(&m->tokens));
    out->root[0] = op_xent(t, logits, in[TOKEN_TARGET], in[TOKEN_RANGE], in[INPUT_WEIGHT],
                           &out->value[TOKEN_ROWS]);
    if (expect) out->value[TOKEN_EXPECTATION] = op_expect(t, logits, in[TOKEN_OWN]);
    if (!train) out->value[TOKEN_LOGITS] = logits;
}

/* A slice of rows at a time. */
static void record_sliced(nn_t *nn, const gato_model_t *m, var_t rows, const var_t *in, bool expect,
                          bool train, head_vars_t *out) {
    head_xent_t o = {.target = in[TOKEN_TARGET],
                     .range = in[TOKEN_RANGE],
                     .weight = in[INPUT_WEIGHT],
                     .own_range = expect || !train ? in[TOKEN_OWN] : NO_VAR};
    head_xent_out_t y = nn_head_xent(nn, rows, gato_head(nn, m), o);
    out->root[0] = y.loss;
    out->value[TOKEN_ROWS] = y.row;
    if (expect) out->value[TOKEN_EXPECTATION] = y.value;
    if (!train) out->value[TOKEN_BEST] = y.best;
}

void tokens_record(nn_t *nn, const gato_model_t *m, var_t rows, const var_t *in, bool expect,
                   bool train, head_vars_t *out) {
    size_t n = shape_rows(tape_shape(nn->tape, rows));
    *out = head_vars_none;
    if (n * tokens_total(&m->tokens) <= TOKEN_LOGITS_MOST)
        record_whole(nn, m, rows, in, expect, train, out);
    else
        record_sliced(nn, m, rows, in, expect, train, out);
}

double tokens_factor(const batch_t *b, const targets_t *t, double weight) {
    bool per_sequence = b->model->config.loss.per_sequence;
    double n = (double)(per_sequence ? b->target_sequences : b->targets);
    return weight * t->weight / fmax(n, 1);
}

double tokens_action_factor(const batch_t *b, const group_t *g, const targets_t *t, size_t r) {
    (void)g, (void)r;
    return tokens_factor(b, t, b->model->config.loss.action);
}

static size_t highest(const float *v, size_t lo, size_t hi) {
    size_t best = lo;
    for (size_t i = lo + 1; i < hi; i++)
        if (v[i] > v[best]) best = i;
    return best;
}

/* The likeliest id of its own range, of each target; NULL in training. */
static int32_t *best_ids(const gato_model_t *m, const targets_t *t, plan_t *plan,
                         const head_vars_t *vars, bool train) {
    if (train || !t->rows.n) return NULL;
    size_t V = tokens_total(&m->tokens), n = t->rows.n;
    int32_t *best = xmalloc(n * sizeof *best);
    if (vars->value[TOKEN_BEST] != NO_VAR) {
        memcpy(best, plan_data(plan, vars->value[TOKEN_BEST]), n * sizeof *best);
        return best;
    }
    const float *logits = plan_data(plan, vars->value[TOKEN_LOGITS]);
    const column_t *own = &t->rows.input[TOKEN_OWN];
    for (size_t i = 0; i < n; i++)
        best[i] = (int32_t)highest(logits + i * V, (size_t)column_at(own, 2 * i),
                                   (size_t)column_at(own, 2 * i + 1));
    return best;
}

/* What the likeliest bin of target i stands for. */
static double likeliest_number(const gato_model_t *m, const targets_t *t, size_t i, int32_t best) {
    const column_t *column = &t->rows.input[TOKEN_COLUMN];
    const task_t *task = &m->tasks.v[column_at(&t->task, i)];
    const slot_t *slot = &task->slot[column_at(column, 2 * i)];
    uint32_t bin = (uint32_t)best - tokens_continuous(&m->tokens);
    return (double)action_value(&m->tokens, slot, (uint32_t)column_at(column, 2 * i + 1), bin,
                                false);
}

void tokens_measure(const gato_model_t *m, const group_t *g, const targets_t *t, plan_t *plan,
                    const head_vars_t *vars, bool train, head_sums_t *sums) {
    const float *rows = plan_data(plan, vars->value[TOKEN_ROWS]), *mean = NULL, *value = NULL;
    int32_t *best = best_ids(m, t, plan, vars, train);
    if (t->rows.n_inputs > TOKEN_VALUE) value = t->rows.input[TOKEN_VALUE].v;
    if (vars->value[TOKEN_EXPECTATION] != NO_VAR)
        mean = plan_data(plan, vars->value[TOKEN_EXPECTATION]);
    for (size_t i = 0; i < t->rows.n; i++) {
        head_sums_t *sum = &sums[column_at(&t->task, i)];
        sum->ce += (double)rows[i];
        sum->n++;
        if (mean) head_error(sum, (double)mean[i], (double)value[i]);
        if (!best) continue;
        if (value && !mean) head_error(sum, likeliest_number(m, t, i, best[i]), (double)value[i]);
        sum->correct += best[i] == column_at(&t->rows.input[TOKEN_TARGET], i);
        sum->n_correct++;
    }
    free(best);
}
