/* player_dream.c - the model chooses what is observed: token after token of a timestep, in many
 * lanes at a time.
 *
 * A lane knows so many tokens of its present observation, and so many of them have run. Where all
 * that it knows has run, what comes next is read from the hidden state of its last token: an image
 * token code by code (future.h), a vector, a bin, a discrete value. Lanes that ask the same are
 * read together; where none can read, what is known runs.
 */
#include "gato/play/player_private.h"

#include "gato/model/embed_image.h"
#include "gato/model/future.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FUTURES = 64 };

/* What is read: code i of an image token, or a vector as a whole, or the logits of ids. */
typedef enum { READ_CODE, READ_VECTOR, READ_IDS } future_kind_t;
typedef struct {
    size_t rows;
    uint32_t kind, i, task, slot, lo, hi;
} ask_t;

typedef struct {
    var_t rows, code; /* of code i > 0: what predicted the code before, and that code */
    var_t last;       /* the codes of the token one timestep before, where the model knows them */
    var_t state, out;
    plan_t *plan;
} future_t;

/* A lane in its dream. */
typedef struct {
    player_dream_t *d;
    lane_t *lane;
    layout_t layout;
    seen_t truth;
    size_t all, known, ran; /* tokens of the observation */
    bool separated;         /* the separator has run */
    uint32_t slot;          /* of the next token */
    size_t token;           /* its number within the slot */
    ask_t ask;
    bool asks;
} dreamer_t;

/* ---- reading ---- */

static void record_future(void *context, const void *key, plan_memory_t *memory,
                          cached_plan_t *at) {
    const player_t *p = context;
    const ask_t *k = key;
    future_t *f = at->vars;
    tape_t *t = at->tape = tape_new(p->m->params);
    nn_t nn;
    nn_begin(&nn, t);
    nn.packed = p->packed;
    f->state = f->rows = tape_input(t, "rows", F32_2(k->rows, (size_t)p->m->config.model.width));
    f->code = f->last = NO_VAR;
    if (k->kind == READ_VECTOR) {
        f->out = future_vector(&nn, p->m, k->task, k->slot, f->rows);
    } else {
        uint32_t part = (uint32_t)future_part(p->m, 1);
        if (future_knows_last(p->m, part))
            f->last = tape_input(t, "last", I32_2(k->rows, future_block(p->m)));
        if (k->i) {
            f->code = tape_input(t, "code", I32_1(k->rows));
            f->state = future_take(&nn, p->m, part, k->i - 1, f->rows, f->code);
        } else {
            f->state = future_begin(&nn, p->m, part, f->rows, f->last);
        }
        f->out = future_logits(&nn, p->m, part, k->i, f->state, f->last);
    }
    var_t keep[] = {f->state, f->out};
    f->plan = at->plan = plan_new(t, &(plan_opts_t){.keep = keep, .n_keep = 2, .memory = memory});
}

void player_dream_open(player_t *p) {
    p->futures = plan_cache_new(FUTURES, sizeof(ask_t), sizeof(future_t), record_future);
}

void player_dream_close(player_t *p) {
    plan_cache_free(p->futures);
}

/* ---- what a model can ---- */

static int no_images(const gato_model_t *m, const slot_t *slot, reason_t *why) {
    if (gato_config_image_in(&m->config)->pixels)
        return reason_set(why, "image '%s' enters as pixels (model.image_in), and codes are dreamt",
                          slot->name);
    if (m->config.loss.image <= 0)
        return reason_set(why, "the policy predicts no image: it was trained with loss.image = 0");
    if (future_part(m, 1) < 0)
        return reason_set(why, "the policy does not predict the next image: loss.horizon has no 1");
    return 0;
}

static int no_slot(const gato_model_t *m, const slot_t *slot, reason_t *why) {
    switch (slot->kind) {
    case SLOT_IMAGE:
        return no_images(m, slot, why);
    case SLOT_VECTOR:
        if (m->config.loss.vector > 0) return 0;
        return reason_set(why,
                          "the policy does not predict vector '%s': it was trained with "
                          "loss.vector = 0",
                          slot->name);
    case SLOT_DISCRETE:
        if (m->config.loss.discrete > 0) return 0;
        return reason_set(why,
                          "the policy does not predict discrete '%s': it was trained with "
                          "loss.discrete = 0",
                          slot->name);
    default:
        return 0;
    }
}

int player_dreams(const player_t *p, uint32_t task, reason_t *why) {
    const gato_model_t *m = p->m;
    const task_t *t = &m->tasks.v[task];
    if (p->o.rebuild) return reason_set(why, "a player that rebuilds its context does not dream");
    if (m->window[task] < 2)
        return reason_set(why,
                          "the policy sees one timestep of task '%s' at a time "
                          "(model.context, train.window): its dreams would not depend on "
                          "those before",
                          t->name);
    for (uint32_t k = 0; k < t->n_slots; k++) {
        bool is_goal = (int)k == layout_goal(&m->config, t);
        if (t->slot[k].side != SIDE_OBSERVED || is_goal || p->binding[task].body[k] < 0) continue;
        if (no_slot(m, &t->slot[k], why)) return -1;
    }
    return 0;
}

/* ---- beginning ---- */

static const task_t *task_of(const player_t *p, const lane_t *lane) {
    return &p->m->tasks.v[lane->task];
}

/* Texts and goals are given. */
static bool is_given(const player_t *p, const lane_t *lane, uint32_t k) {
    const task_t *task = task_of(p, lane);
    return task->slot[k].kind == SLOT_TEXT || (int)k == layout_goal(&p->m->config, task);
}

/* Takes the truth of a lane. 0, or -1 with a reason. */
static int take_truth(player_t *p, dreamer_t *w, reason_t *why) {
    const player_dream_t *d = w->d;
    const timestep_t *last = &w->lane->last.data;
    const task_t *task = task_of(p, w->lane);
    bool all;
    if (d->given && player_check_given(p, w->lane, d->given, why)) return -1;
    if (d->seen && player_observe(p, w->lane, d->seen, &w->truth, why)) return -1;
    if (d->recorded) {
        if (player_check_recorded(p, w->lane, d->recorded, &all, why)) return -1;
        w->truth.data = *d->recorded;
    }
    for (uint32_t k = 0; k < task->n_slots; k++) {
        const slot_value_t *v = &w->truth.data.slot[k], *was = &last->slot[k];
        if (is_given(p, w->lane, k)) continue;
        if (!v->codes || !was->codes || (v->grid_h == was->grid_h && v->grid_w == was->grid_w))
            continue;
        return reason_set(why, "image '%s' has %zu x %zu codes, and had %zu x %zu before",
                          task->slot[k].name, v->grid_h, v->grid_w, was->grid_h, was->grid_w);
    }
    return 0;
}

static int begin(player_t *p, player_dream_t *d, dreamer_t *w, reason_t *why) {
    if (d->lane >= p->n_lanes || !p->lane[d->lane].is_open) BUG("lane %zu was not reset", d->lane);
    *w = (dreamer_t){.d = d, .lane = &p->lane[d->lane]};
    if (!w->lane->step) BUG("lane %zu dreams of what it has never seen", d->lane);
    d->sums = (dream_sums_t){0};
    return player_dreams(p, w->lane->task, why) || take_truth(p, w, why) ? -1 : 0;
}

/* The next token that is not known; those of given slots are known at once. */
static void find_next(const player_t *p, dreamer_t *w) {
    const task_t *task = task_of(p, w->lane);
    size_t at = 0;
    for (uint32_t i = 0; i < task->n_slots; i++) {
        uint32_t k = w->layout.order[i];
        if (task->slot[k].side != SIDE_OBSERVED) continue;
        if (w->known >= at && w->known < at + w->layout.count[k]) {
            w->slot = k;
            w->token = w->known - at;
            if (!is_given(p, w->lane, k)) return;
            w->known = at + w->layout.count[k];
        }
        at += w->layout.count[k];
    }
    w->all = at;
}

/* The timestep has the slots and sizes of the last one; what is to be chosen is overwritten. */
static void start(const player_t *p, dreamer_t *w) {
    lane_t *l = w->lane;
    reason_t why;
    seen_release(&l->now);
    player_copy_seen(p, &l->last.data, &l->now);
    l->now.data.linked = true;
    int goal = layout_goal(&p->m->config, task_of(p, l));
    if (goal >= 0 && l->goal.data.slot[goal].codes)
        l->now.data.slot[goal] = l->goal.data.slot[goal];
    l->n_chosen = l->slot = l->column = 0;
    if (layout_of(&w->layout, &p->m->config, task_of(p, l), &l->now.data, &why))
        BUG("a timestep that was seen: %s", why.text);
    w->all = layout_observation(&w->layout);
    lane_begin(p, l);
    find_next(p, w);
}

/* ---- choosing ---- */

/* -log softmax(logits)[id], in double. */
static double surprise(const float *logits, uint32_t n, uint32_t id) {
    double top = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < n; i++) top = fmax(top, (double)logits[i]);
    for (uint32_t i = 0; i < n; i++) sum += exp((double)logits[i] - top);
    return log(sum) + top - (double)logits[id];
}

/* A number in [0,1) for draw `i` within a slot. */
static double uniform(const dreamer_t *w, size_t i) {
    return rng_uniform64(rng_fold(w->d->draw, 1 + w->slot), i);
}

/* Chooses code i of the token at hand; returns the code that is fed. */
static uint32_t choose_code(const player_t *p, dreamer_t *w, const sampler_t *how,
                            const float *logits, size_t i) {
    uint32_t K = p->m->vocabulary.codes;
    slot_value_t *now = &w->lane->now.data.slot[w->slot];
    const slot_value_t *truth = &w->truth.data.slot[w->slot];
    size_t cell = image_block_cell(&p->m->config, now->grid_w, w->token, i);
    dream_sums_t *s = &w->d->sums;
    uint32_t code = sampler_choose(how, logits, K, uniform(w, w->token * future_block(p->m) + i));
    if (w->d->codes[w->slot]) w->d->codes[w->slot][cell] = code;
    if (truth->codes) {
        const slot_value_t *last = &w->lane->last.data.slot[w->slot];
        bool changed = last->codes && last->codes[cell] != truth->codes[cell],
             equal = code == truth->codes[cell];
        double ce = surprise(logits, K, truth->codes[cell]);
        s->n++;
        s->equal += equal;
        s->ce += ce;
        s->n_changed += changed;
        s->equal_changed += changed && equal;
        s->ce_changed += changed ? ce : 0;
        if (w->d->force) code = truth->codes[cell];
    }
    s->own += surprise(logits, K, code);
    s->n_own++;
    ((uint32_t *)(uintptr_t)now->codes)[cell] = code; /* the lane's own array */
    return code;
}

/* Takes a number of a vector, in its units. */
static void take_number(const player_t *p, dreamer_t *w, size_t i, float value) {
    const slot_t *slot = &task_of(p, w->lane)->slot[w->slot];
    const slot_value_t *truth = &w->truth.data.slot[w->slot];
    if (w->d->vector[w->slot]) w->d->vector[w->slot][i] = value;
    if (truth->vector) {
        double error = (double)value - (double)truth->vector[i];
        if (slot->deviation) error /= (double)slot->deviation[i];
        w->d->sums.squared += error * error;
        w->d->sums.n_values++;
        if (w->d->force) value = truth->vector[i];
    }
    ((float *)(uintptr_t)w->lane->now.data.slot[w->slot].vector)[i] = value;
}

static void take_vector(const player_t *p, dreamer_t *w, const float *out) {
    const slot_t *slot = &task_of(p, w->lane)->slot[w->slot];
    for (uint32_t i = 0; i < slot->width; i++)
        take_number(p, w, i,
                    (slot->mean ? slot->mean[i] : 0) +
                        (slot->deviation ? slot->deviation[i] : 1) * out[i]);
}

static void take_id(const player_t *p, dreamer_t *w, const sampler_t *how, const float *logits) {
    uint32_t chosen = sampler_choose(how, logits, w->ask.hi - w->ask.lo, uniform(w, w->token));
    if (task_of(p, w->lane)->slot[w->slot].kind == SLOT_VECTOR) {
        take_number(p, w, w->token, tokens_observation_value(&p->m->tokens, chosen));
        return;
    }
    const slot_value_t *truth = &w->truth.data.slot[w->slot];
    if (w->d->discrete[w->slot]) w->d->discrete[w->slot][w->token] = chosen;
    if (truth->discrete && w->d->force) chosen = truth->discrete[w->token];
    ((uint32_t *)(uintptr_t)w->lane->now.data.slot[w->slot].discrete)[w->token] = chosen;
}

/* ---- reading for many lanes ---- */

/* The codes of the token at hand one timestep before, [block]. */
static void last_codes(const player_t *p, const dreamer_t *w, int32_t *out) {
    image_block(&p->m->config, &w->lane->last.data.slot[w->slot], w->token, out);
}

/* The codes of a token, one after the other. */
static void read_codes(player_t *p, dreamer_t *const *w, size_t n, const sampler_t *how) {
    size_t D = (size_t)p->m->config.model.width, K = p->m->vocabulary.codes;
    float *state = xmalloc(n * D * sizeof *state);
    int32_t *code = xcalloc(n, sizeof *code);
    for (size_t k = 0; k < n; k++) memcpy(state + k * D, w[k]->lane->hidden, D * sizeof *state);
    for (size_t i = 0; i < future_block(p->m); i++) {
        ask_t key = {.rows = n, .kind = READ_CODE, .i = (uint32_t)i};
        future_t *f = plan_cache_get(p->futures, &key, p)->vars;
        memcpy(plan_data(f->plan, f->rows), state, n * D * sizeof *state);
        if (i) memcpy(plan_data(f->plan, f->code), code, n * sizeof *code);
        for (size_t k = 0; f->last != NO_VAR && k < n; k++)
            last_codes(p, w[k], (int32_t *)plan_data(f->plan, f->last) + k * future_block(p->m));
        plan_forward(f->plan);
        memcpy(state, plan_data(f->plan, f->state), n * D * sizeof *state);
        const float *logits = plan_data(f->plan, f->out);
        for (size_t k = 0; k < n; k++)
            code[k] = (int32_t)choose_code(p, w[k], how, logits + k * K, i);
    }
    free(state);
    free(code);
}

static void read_vectors(player_t *p, dreamer_t *const *w, size_t n) {
    size_t D = (size_t)p->m->config.model.width;
    ask_t key = w[0]->ask;
    key.rows = n;
    future_t *f = plan_cache_get(p->futures, &key, p)->vars;
    float *rows = plan_data(f->plan, f->rows);
    for (size_t k = 0; k < n; k++) memcpy(rows + k * D, w[k]->lane->hidden, D * sizeof *rows);
    plan_forward(f->plan);
    const float *out = plan_data(f->plan, f->out);
    size_t width = task_of(p, w[0]->lane)->slot[key.slot].width;
    for (size_t k = 0; k < n; k++) take_vector(p, w[k], out + k * width);
}

static void read_ids(player_t *p, dreamer_t *const *w, size_t n, const sampler_t *how) {
    lane_t **lane = xcalloc(n, sizeof *lane);
    for (size_t k = 0; k < n; k++) lane[k] = w[k]->lane;
    uint32_t lo = w[0]->ask.lo, hi = w[0]->ask.hi;
    const float *logits = player_read(p, lane, n, lo, hi);
    for (size_t k = 0; k < n; k++) take_id(p, w[k], how, logits + k * (hi - lo));
    free(lane);
}

static void ask(const player_t *p, dreamer_t *w) {
    const tokens_t *t = &p->m->tokens;
    const slot_t *slot = &task_of(p, w->lane)->slot[w->slot];
    w->asks = w->known < w->all && w->ran == w->known;
    if (!w->asks) return;
    w->ask = (ask_t){.rows = 1, .kind = READ_IDS};
    if (slot->kind == SLOT_IMAGE) {
        w->ask.kind = READ_CODE;
    } else if (slot->kind == SLOT_DISCRETE) {
        w->ask.lo = tokens_discrete(t);
        w->ask.hi = w->ask.lo + slot->range[w->token];
    } else if (p->m->config.model.vector_in == VECTOR_IN_BINS) {
        w->ask.lo = tokens_continuous(t);
        w->ask.hi = w->ask.lo + t->bins;
    } else {
        w->ask.kind = READ_VECTOR;
        w->ask.task = w->lane->task;
        w->ask.slot = w->slot;
    }
}

/* Reads for all lanes that ask; those that ask the same together. False: none asks. */
static bool read_all(player_t *p, dreamer_t *w, size_t n, const sampler_t *how) {
    dreamer_t **same = xcalloc(n, sizeof *same);
    bool any = false;
    for (size_t i = 0; i < n; i++) ask(p, &w[i]);
    for (size_t i = 0; i < n; i++) {
        size_t count = 0;
        if (!w[i].asks) continue;
        any = true;
        for (size_t k = i; k < n; k++)
            if (w[k].asks && !memcmp(&w[k].ask, &w[i].ask, sizeof w[k].ask)) same[count++] = &w[k];
        if (w[i].ask.kind == READ_CODE) read_codes(p, same, count, how);
        if (w[i].ask.kind == READ_VECTOR) read_vectors(p, same, count);
        if (w[i].ask.kind == READ_IDS) read_ids(p, same, count, how);
        for (size_t k = 0; k < count; k++) {
            same[k]->asks = false;
            same[k]->known++;
            find_next(p, same[k]);
        }
    }
    free(same);
    return any;
}

/* Runs what is known, the separator behind the last token. False: there is nothing. */
static bool run_known(player_t *p, dreamer_t *w, size_t n) {
    lane_t **lane = xcalloc(n, sizeof *lane);
    size_t *first = xcalloc(2 * n, sizeof *first), *end = first + n, count = 0;
    for (size_t i = 0; i < n; i++) {
        if (w[i].separated) continue;
        first[count] = w[i].ran;
        w[i].separated = w[i].known == w[i].all;
        end[count] = w[i].known + w[i].separated;
        w[i].ran = w[i].known;
        lane[count++] = w[i].lane;
    }
    if (count) player_run_parts(p, lane, first, end, count);
    free(lane);
    free(first);
    return count > 0;
}

/* Waiting tokens of actions belong to the timestep before. */
static void run_waiting(player_t *p, dreamer_t *w, size_t n) {
    lane_t **lane = xcalloc(n, sizeof *lane);
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (w[i].lane->n_waiting) lane[count++] = w[i].lane;
    if (count) player_run_tokens(p, lane, count);
    free(lane);
}

/* The actions of all lanes, and the end of their timesteps. */
static void act(player_t *p, dreamer_t *w, size_t n) {
    size_t D = (size_t)p->m->config.model.width, chooses = 0;
    player_turn_t *turn = xcalloc(n, sizeof *turn), **choose = xcalloc(n, sizeof *choose);
    lane_t **lane = xcalloc(n, sizeof *lane);
    for (size_t i = 0; i < n; i++) {
        player_dream_t *d = w[i].d;
        lane_t *l = w[i].lane;
        bool recorded = false;
        memcpy(l->separator, l->hidden, D * sizeof *l->hidden);
        if (d->recorded) player_check_recorded(p, l, d->recorded, &recorded, NULL);
        turn[i] = (player_turn_t){.lane = d->lane, .draw = d->draw};
        if (d->given) {
            lane_plans_nothing(l);
            player_take_given(p, l, d->given);
            turn[i].action = *d->given;
        } else if (recorded) {
            lane_plans_nothing(l);
            player_take_recorded(p, l, d->recorded, &turn[i].action);
        } else {
            lane_begins_step(p, l);
            lane[chooses] = l;
            choose[chooses++] = &turn[i];
        }
    }
    player_choose(p, choose, lane, chooses);
    for (size_t i = 0; i < n; i++) {
        w[i].d->action = turn[i].action;
        lane_next(p, w[i].lane);
    }
    free(turn);
    free(choose);
    free(lane);
}

int player_dream(player_t *p, player_dream_t *dream, size_t n, const sampler_t *how,
                 reason_t *why) {
    dreamer_t *w = xcalloc(n + 1, sizeof *w);
    reason_t cause;
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        rc = begin(p, &dream[i], &w[i], &cause);
        if (rc && n > 1) reason_set(why, "lane %zu: %s", dream[i].lane, cause.text);
        if (rc && n == 1) reason_set(why, "%s", cause.text);
    }
    if (!rc && n) {
        run_waiting(p, w, n);
        for (size_t i = 0; i < n; i++) start(p, &w[i]);
        while (read_all(p, w, n, how) || run_known(p, w, n)) continue;
        act(p, w, n);
    }
    for (size_t i = 0; i < n; i++) seen_release(&w[i].truth);
    free(w);
    return rc;
}

/* ---- lanes and images ---- */

void player_fork(player_t *p, size_t from, size_t to) {
    size_t D = (size_t)p->m->config.model.width;
    if (from >= p->n_lanes || to >= p->n_lanes || from == to || !p->lane[from].is_open)
        BUG("lane %zu becomes lane %zu of %zu", from, to, p->n_lanes);
    if (p->o.rebuild) BUG("lanes that rebuild their contexts are not copied");
    const lane_t *a = &p->lane[from];
    lane_t *b = &p->lane[to];
    seen_release(&b->now);
    seen_release(&b->last);
    b->task = a->task;
    b->is_open = true;
    b->step = a->step;
    b->n_waiting = a->n_waiting;
    b->n_chosen = a->n_chosen;
    memcpy(b->waiting, a->waiting, sizeof b->waiting);
    memcpy(b->hidden, a->hidden, D * sizeof *b->hidden);
    memcpy(b->separator, a->separator, D * sizeof *b->separator);
    lane_copy_plans(p, a, b);
    lane_copy_cache(p, a, b);
    player_copy_seen(p, &a->last.data, &b->last);
    seen_release(&b->goal);
    timestep_t goal = a->goal.data;
    goal.task = a->task;
    player_copy_seen(p, &goal, &b->goal);
}

tokenizer_grid_t player_grid(const player_t *p, size_t lane, uint32_t slot) {
    const slot_value_t *v = &p->lane[lane].last.data.slot[slot];
    return v->codes ? (tokenizer_grid_t){v->grid_h, v->grid_w} : (tokenizer_grid_t){0, 0};
}

const uint32_t *player_seen_codes(const player_t *p, size_t lane, uint32_t slot) {
    return p->lane[lane].last.data.slot[slot].codes;
}

int player_shows(const player_t *p, reason_t *why) {
    if (p->tokenizer && tokenizer_can_decode(p->tokenizer)) return 0;
    return reason_set(why, p->tokenizer ? "the codes of its tokenizer do not become images"
                                        : "it has no tokenizer");
}

image_t player_image(player_t *p, const uint32_t *codes, tokenizer_grid_t grid) {
    size_t w, h;
    if (!p->tokenizer) BUG("a policy without a tokenizer");
    tokenizer_image_size(p->tokenizer, grid, &w, &h);
    image_t im = image_new(w, h);
    tokenizer_decode(p->tokenizer, codes, 1, grid, im.rgb);
    return im;
}

uint32_t *player_codes(player_t *p, uint32_t task, uint32_t slot, const uint8_t *rgb, size_t w,
                       size_t h, tokenizer_grid_t *grid, reason_t *why) {
    seen_t s = {0};
    slot_value_t v = {0};
    uint32_t *codes = NULL;
    if (!p->tokenizer) BUG("a policy without a tokenizer");
    if (!player_see_image(p, &p->m->tasks.v[task].slot[slot], rgb, w, h, &s, &v, why)) {
        size_t n = v.grid_h * v.grid_w;
        codes = memcpy(xmalloc((n + 1) * sizeof *codes), v.codes, n * sizeof *codes);
        *grid = (tokenizer_grid_t){v.grid_h, v.grid_w};
    }
    seen_release(&s);
    return codes;
}

double player_distance(player_t *p, const uint32_t *a, const uint32_t *b, size_t n) {
    const float *vectors = tokenizer_vectors(p->tokenizer);
    size_t D = tokenizer_width(p->tokenizer);
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < D; k++) {
            double d = (double)vectors[a[i] * D + k] - (double)vectors[b[i] * D + k];
            sum += d * d;
        }
    return n ? sum / (double)n : 0;
}

int player_redo(player_t *p, size_t lane, const env_action_t *given, reason_t *why) {
    lane_t *l = &p->lane[lane];
    if (!l->step || l->n_waiting != l->n_chosen)
        BUG("lane %zu: its last action was not given", lane);
    if (player_check_given(p, l, given, why)) return -1;
    l->n_waiting = l->n_chosen = 0;
    player_take_given(p, l, given);
    return 0;
}
