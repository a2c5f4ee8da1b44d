/* player_choose.c - hidden states become actions: slot after slot, column after column.
 *
 * A slot that a head reads at the separator has all its columns at once (regression), maybe those
 * of the next timesteps too: what a chunk holds is not read again (player_chunk.c). The columns
 * of any other are tokens: each is chosen from the logits of its own range at the token before it,
 * and runs before the next one is chosen. So are the tokens of a chunk (FAST), of which only those
 * may come that leave it whole. What does the reading is recorded for a slot or a range
 * and so many rows; lanes that ask the same at the same time are read together.
 */
#include "gato/play/player_private.h"

#include "gato/task/action_bins.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { READERS = 64 };

/* What is read: a slot at the separator (whole), or the logits of ids lo .. hi - 1. */
typedef struct {
    size_t rows;
    uint32_t whole, task, slot, lo, hi, unused;
} read_t;

typedef struct {
    var_t rows, out;
    plan_t *plan;
} reader_t;

static const head_t *head_that_plays(const player_t *p, const slot_t *slot) {
    for (size_t i = 0; heads[i]; i++)
        if (heads[i]->plays && heads[i]->plays(&p->m->config, slot)) return heads[i];
    BUG("no head chooses slot '%s'", slot->name);
}

/* Does its head say at once what is done in the next timesteps? */
static bool plans_ahead(const head_t *head) {
    return head->play.record || head->play.fast;
}

static void record_reader(void *context, const void *key, plan_memory_t *memory,
                          cached_plan_t *at) {
    const player_t *p = context;
    const read_t *k = key;
    reader_t *r = at->vars;
    tape_t *t = at->tape = tape_new(p->m->params);
    nn_t nn;
    nn_begin(&nn, t);
    nn.packed = p->packed;
    r->rows = tape_input(t, "rows", F32_2(k->rows, (size_t)p->m->config.model.width));
    if (k->whole) {
        const slot_t *slot = &p->m->tasks.v[k->task].slot[k->slot];
        r->out = head_that_plays(p, slot)->play.record(&nn, p->m, k->task, k->slot, r->rows);
    } else {
        r->out = gato_logits(&nn, p->m, r->rows, k->lo, k->hi);
    }
    r->plan = at->plan =
        plan_new(t, &(plan_opts_t){.keep = &r->out, .n_keep = 1, .memory = memory});
}

void player_choose_open(player_t *p) {
    p->readers = plan_cache_new(READERS, sizeof(read_t), sizeof(reader_t), record_reader);
}

void player_choose_close(player_t *p) {
    plan_cache_free(p->readers);
}

/* ---- tokens ---- */

static uint32_t highest(const float *v, uint32_t n) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (v[i] > v[best]) best = i;
    return best;
}

/* Draws from the softmax over n logits at a temperature, in double; u in [0,1). */
static uint32_t draw_from(const float *logits, uint32_t n, double temperature, double u) {
    double top = (double)logits[highest(logits, n)], sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += exp(((double)logits[i] - top) / temperature);
    double at = 0;
    for (uint32_t i = 0; i < n; i++) {
        at += exp(((double)logits[i] - top) / temperature) / sum;
        if (at > u) return i;
    }
    return n - 1;
}

static double expectation(const tokens_t *t, const slot_t *slot, uint32_t column,
                          const float *logits) {
    uint32_t bins = t->bins;
    double top = (double)logits[highest(logits, bins)], sum = 0, mean = 0;
    for (uint32_t i = 0; i < bins; i++) {
        double e = exp((double)logits[i] - top);
        sum += e;
        mean += e * (double)action_value(t, slot, column, i, false);
    }
    return mean / sum;
}

static bool samples(const player_t *p) {
    return p->o.decode == DECODE_SAMPLE && p->o.temperature > 0;
}

/* The number of a slot's column that the logits of its bins stand for; *bin: its token. */
static float choose_number(const player_t *p, const slot_t *slot, uint32_t column,
                           const float *logits, double u, uint32_t *bin) {
    const tokens_t *t = &p->m->tokens;
    uint32_t bins = t->bins;
    if (p->o.decode == DECODE_MEAN) {
        float value = (float)expectation(t, slot, column, logits);
        *bin = action_bin(t, slot, column, value);
        return value;
    }
    *bin = samples(p) ? draw_from(logits, bins, p->o.temperature, u) : highest(logits, bins);
    return action_value(t, slot, column, *bin, p->o.decode == DECODE_LEFT);
}

static void add_token(lane_t *lane, uint32_t id) {
    lane->waiting[lane->n_waiting++] = id;
    lane->chosen[lane->n_chosen++] = id;
}

/* The first column of an acted slot among those of its kind in the task. */
static uint32_t first_column(const task_t *task, uint32_t slot) {
    uint32_t n = 0;
    for (uint32_t k = 0; k < slot; k++)
        if (task->slot[k].side == SIDE_ACTED && task->slot[k].kind == task->slot[slot].kind)
            n += task->slot[k].width;
    return n;
}

const float *player_read(player_t *p, lane_t *const *lane, size_t n, uint32_t lo, uint32_t hi) {
    size_t D = (size_t)p->m->config.model.width;
    read_t key = {.rows = n, .lo = lo, .hi = hi};
    reader_t *r = plan_cache_get(p->readers, &key, p)->vars;
    float *rows = plan_data(r->plan, r->rows);
    for (size_t i = 0; i < n; i++) memcpy(rows + i * D, lane[i]->hidden, D * sizeof *rows);
    plan_forward(r->plan);
    return plan_data(r->plan, r->out);
}

/* ---- turns ---- */

static const task_t *task_of(const player_t *p, const lane_t *lane) {
    return &p->m->tasks.v[lane->task];
}

/* A slot does what the lane's chunks say. Behind the tokens of a chunk there are none of what is
 * done: in training there were none either. */
static void do_planned(const player_t *p, lane_t *lane) {
    const task_t *task = task_of(p, lane);
    const slot_t *slot = &task->slot[lane->slot];
    const tokens_t *t = &p->m->tokens;
    uint32_t first = first_column(task, lane->slot);
    for (uint32_t k = 0; k < slot->width; k++) {
        float *scaled = &lane->scaled[first + k];
        *scaled = fminf(1, fmaxf(-1, lane_does(p, lane, first + k)));
        if (!p->m->fast) add_token(lane, tokens_continuous(t) + action_bin(t, slot, k, *scaled));
    }
    lane->slot++;
}

/* The next slot that is acted and has to be read; NULL = there is none. */
static const slot_t *next_slot(const player_t *p, lane_t *lane) {
    const task_t *task = task_of(p, lane);
    while (lane->slot < task->n_slots) {
        const slot_t *slot = &task->slot[lane->slot];
        if (slot->side != SIDE_ACTED)
            lane->slot++;
        else if (!lane->plans && plans_ahead(head_that_plays(p, slot)))
            do_planned(p, lane);
        else
            return slot;
    }
    return NULL;
}

/* What the lane asks for next; false: it has all its actions. *run: its waiting tokens must run
 * first. */
static bool next_read(const player_t *p, lane_t *lane, read_t *r, bool *run) {
    const slot_t *slot = next_slot(p, lane);
    if (!slot) return false;
    *r = (read_t){.rows = 1};
    *run = false;
    if (head_that_plays(p, slot)->play.record) {
        r->whole = 1;
        r->task = lane->task;
        r->slot = lane->slot;
        return true;
    }
    bool number = slot->kind == SLOT_VECTOR;
    *run = lane->n_waiting > 0;
    if (head_that_plays(p, slot)->play.fast) {
        r->lo = tokens_fast(&p->m->tokens);
        r->hi = r->lo + p->m->tokens.fast;
        return true;
    }
    r->lo = number ? tokens_continuous(&p->m->tokens) : tokens_discrete(&p->m->tokens);
    r->hi = r->lo + (number ? p->m->tokens.bins : slot->range[lane->column]);
    return true;
}

/* The id of FAST that the logits of all of them choose, among those that may come next. */
static uint32_t choose_id(const player_t *p, const fast_state_t *s, const float *logits, double u) {
    uint32_t n = p->m->tokens.fast, kept = 0;
    uint32_t *id = xmalloc(n * sizeof *id);
    float *of = xmalloc(n * sizeof *of);
    for (uint32_t i = 0; i < n; i++) {
        if (!fast_allows(p->m->fast, s, i)) continue;
        id[kept] = i;
        of[kept++] = logits[i];
    }
    if (!kept) BUG("no id of FAST may come with %u coefficients left", s->left);
    uint32_t chosen = id[samples(p) ? draw_from(of, kept, p->o.temperature, u) : highest(of, kept)];
    free(id);
    free(of);
    return chosen;
}

/* The chunk that the ids of the lane make. */
static void plan_written(const player_t *p, lane_t *lane, uint32_t first, uint32_t width) {
    size_t n = lane->n_chosen - lane->chunk_first;
    uint32_t *id = xmalloc(n * sizeof *id);
    float *rows = xmalloc((size_t)p->m->config.model.chunk * width * sizeof *rows);
    for (size_t i = 0; i < n; i++)
        id[i] = lane->chosen[lane->chunk_first + i] - tokens_fast(&p->m->tokens);
    fast_decode(p->m->fast, id, n, width, rows);
    lane_plan(p, lane, first, width, rows);
    free(id);
    free(rows);
}

/* Takes the next id of a chunk; draws go by its number in the slot. */
static void take_id(const player_t *p, const player_turn_t *turn, lane_t *lane,
                    const float *logits) {
    const task_t *task = task_of(p, lane);
    const slot_t *slot = &task->slot[lane->slot];
    if (!lane->column) {
        lane->writing = fast_begin(p->m->fast, slot->width);
        lane->chunk_first = lane->n_chosen;
    }
    double u = rng_uniform64(rng_fold(turn->draw, 1 + lane->slot), lane->column++);
    uint32_t id = choose_id(p, &lane->writing, logits, u);
    fast_take(p->m->fast, &lane->writing, id);
    add_token(lane, tokens_fast(&p->m->tokens) + id);
    if (lane->writing.left) return;
    lane->column = 0;
    plan_written(p, lane, first_column(task, lane->slot), slot->width);
    do_planned(p, lane);
}

/* Takes what was read, and moves on to the next column. */
static void take(const player_t *p, const player_turn_t *turn, lane_t *lane, const read_t *r,
                 const float *out) {
    const task_t *task = task_of(p, lane);
    const slot_t *slot = &task->slot[lane->slot];
    uint32_t first = first_column(task, lane->slot), bin;
    uint32_t drawn =
        slot->kind == SLOT_VECTOR ? 0 : (uint32_t)task_width(task, SIDE_ACTED, SLOT_VECTOR);
    if (r->whole) {
        lane_plan(p, lane, first, slot->width, out);
        do_planned(p, lane);
        return;
    }
    if (head_that_plays(p, slot)->play.fast) {
        take_id(p, turn, lane, out);
        return;
    }
    double u = rng_uniform64(turn->draw, drawn + first + lane->column);
    if (slot->kind == SLOT_VECTOR) {
        lane->scaled[first + lane->column] = choose_number(p, slot, lane->column, out, u, &bin);
        add_token(lane, r->lo + bin);
    } else {
        uint32_t n = r->hi - r->lo;
        uint32_t v = samples(p) ? draw_from(out, n, p->o.temperature, u) : highest(out, n);
        lane->discrete[first + lane->column] = v;
        add_token(lane, r->lo + v);
    }
    if (++lane->column == slot->width) {
        lane->column = 0;
        lane->slot++;
    }
}

static bool same_read(const read_t *a, const read_t *b) {
    return !memcmp(a, b, sizeof *a);
}

/* Reads for all lanes that asked; those that ask the same together. */
static void read_all(player_t *p, player_turn_t *const *turn, lane_t *const *lane,
                     const read_t *ask, const bool *asks, size_t n) {
    size_t D = (size_t)p->m->config.model.width;
    bool *done = xcalloc(n, sizeof *done);
    for (size_t i = 0; i < n; i++) {
        if (!asks[i] || done[i]) continue;
        read_t key = ask[i];
        key.rows = 0;
        for (size_t k = i; k < n; k++) key.rows += asks[k] && same_read(&ask[k], &ask[i]);
        reader_t *r = plan_cache_get(p->readers, &key, p)->vars;
        float *rows = plan_data(r->plan, r->rows);
        size_t at = 0;
        for (size_t k = i; k < n; k++)
            if (asks[k] && same_read(&ask[k], &ask[i]))
                memcpy(rows + D * at++, ask[k].whole ? lane[k]->separator : lane[k]->hidden,
                       D * sizeof *rows);
        plan_forward(r->plan);
        const float *out = plan_data(r->plan, r->out);
        size_t width = key.hi - key.lo;
        if (key.whole)
            width = task_of(p, lane[i])->slot[key.slot].width * (size_t)p->m->config.model.chunk;
        for (size_t k = i; k < n; k++) {
            if (done[k] || !asks[k] || !same_read(&ask[k], &ask[i])) continue;
            done[k] = true;
            take(p, turn[k], lane[k], &ask[k], out);
            out += width;
        }
    }
    free(done);
}

/* Asks every lane what comes next: reads where it can be read, else runs the tokens that wait.
 * False: no lane asks for anything. */
static bool choose_more(player_t *p, player_turn_t *const *turn, lane_t *const *lane, size_t n) {
    read_t *ask = xcalloc(n, sizeof *ask);
    bool *asks = xcalloc(n, sizeof *asks);
    lane_t **runs = xcalloc(n, sizeof *runs);
    size_t n_asks = 0, n_runs = 0;
    for (size_t i = 0; i < n; i++) {
        bool run;
        if (!next_read(p, lane[i], &ask[i], &run)) continue;
        if (run)
            runs[n_runs++] = lane[i];
        else
            asks[i] = true;
        n_asks += asks[i];
    }
    if (n_asks)
        read_all(p, turn, lane, ask, asks, n);
    else if (n_runs)
        player_run_tokens(p, runs, n_runs);
    free(ask);
    free(asks);
    free(runs);
    return n_asks || n_runs;
}

/* From the columns of the task to those of the body, in its units. */
static void give(const player_t *p, const lane_t *lane, env_action_t *action) {
    const task_t *task = task_of(p, lane);
    const binding_t *b = &p->binding[lane->task];
    for (uint32_t k = 0; k < task->n_slots; k++) {
        const slot_t *slot = &task->slot[k];
        if (slot->side != SIDE_ACTED) continue;
        uint32_t first = first_column(task, k);
        if (slot->kind == SLOT_VECTOR)
            scaling_to_units(slot, lane->scaled + first, action->vector + b->column[k]);
        else
            memcpy(action->discrete + b->column[k], lane->discrete + first,
                   slot->width * sizeof(uint32_t));
    }
}

void player_choose(player_t *p, player_turn_t *const *turn, lane_t *const *lane, size_t n) {
    if (!n) return;
    while (choose_more(p, turn, lane, n)) continue;
    for (size_t i = 0; i < n; i++) {
        turn[i]->action = (env_action_t){0};
        give(p, lane[i], &turn[i]->action);
    }
}

/* ---- given actions ---- */

int player_check_given(const player_t *p, const lane_t *lane, const env_action_t *given,
                       reason_t *why) {
    const task_t *task = task_of(p, lane);
    const binding_t *b = &p->binding[lane->task];
    char buf[TASK_NAME + 32];
    for (uint32_t k = 0; k < task->n_slots; k++) {
        const slot_t *slot = &task->slot[k];
        if (slot->side != SIDE_ACTED) continue;
        for (uint32_t i = 0; i < slot->width; i++) {
            if (slot->kind == SLOT_VECTOR && !isfinite(given->vector[b->column[k] + i]))
                return reason_set(why, "given %s is not finite", slot_column(slot, i, buf));
            if (slot->kind == SLOT_DISCRETE && given->discrete[b->column[k] + i] >= slot->range[i])
                return reason_set(why, "given %s = %u is not below %u", slot_column(slot, i, buf),
                                  given->discrete[b->column[k] + i], slot->range[i]);
        }
    }
    return 0;
}

/* The tokens of an acted slot whose values lie in the lane. */
static void add_tokens(const player_t *p, lane_t *lane, const slot_t *slot, uint32_t first) {
    const tokens_t *t = &p->m->tokens;
    for (uint32_t k = 0; k < slot->width; k++)
        add_token(lane, slot->kind == SLOT_VECTOR
                            ? tokens_continuous(t) + action_bin(t, slot, k, lane->scaled[first + k])
                            : tokens_discrete(t) + lane->discrete[first + k]);
}

void player_take_given(const player_t *p, lane_t *lane, const env_action_t *given) {
    const task_t *task = task_of(p, lane);
    const binding_t *b = &p->binding[lane->task];
    for (uint32_t k = 0; k < task->n_slots; k++) {
        const slot_t *slot = &task->slot[k];
        if (slot->side != SIDE_ACTED) continue;
        uint32_t first = first_column(task, k);
        if (slot->kind == SLOT_VECTOR)
            scaling_from_units(slot, given->vector + b->column[k], lane->scaled + first);
        else
            memcpy(lane->discrete + first, given->discrete + b->column[k],
                   slot->width * sizeof(uint32_t));
        add_tokens(p, lane, slot, first);
    }
}

/* ---- recorded actions ---- */

int player_check_recorded(const player_t *p, const lane_t *lane, const timestep_t *s, bool *all,
                          reason_t *why) {
    const task_t *task = task_of(p, lane);
    size_t acted = 0, there = 0;
    layout_t l;
    if (s->task != lane->task) BUG("a timestep of task %u in a lane of %u", s->task, lane->task);
    for (uint32_t k = 0; k < task->n_slots; k++) {
        if (task->slot[k].side != SIDE_ACTED) continue;
        acted++;
        there += slot_value_present(&s->slot[k]);
    }
    *all = there == acted;
    if (there && there < acted)
        return reason_set(why, "%zu of %zu acted slots are recorded", there, acted);
    return layout_of(&l, &p->m->config, task, s, why);
}

void player_take_recorded(const player_t *p, lane_t *lane, const timestep_t *s,
                          env_action_t *action) {
    const task_t *task = task_of(p, lane);
    for (uint32_t k = 0; k < task->n_slots; k++) {
        const slot_t *slot = &task->slot[k];
        const slot_value_t *v = &s->slot[k];
        if (slot->side != SIDE_ACTED) continue;
        uint32_t first = first_column(task, k);
        if (v->vector) memcpy(lane->scaled + first, v->vector, slot->width * sizeof(float));
        if (v->discrete)
            memcpy(lane->discrete + first, v->discrete, slot->width * sizeof(uint32_t));
        add_tokens(p, lane, slot, first);
    }
    *action = (env_action_t){0};
    give(p, lane, action);
}
