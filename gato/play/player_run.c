/* player_run.c - new tokens of some lanes run as one batch behind the keys and values that each
 * lane has cached.
 *
 * A chunk is the recorded network for so many lanes, new positions and rows of pools: its rows are
 * those of the first lane, then of the second, ... Everything but attention treats each row alone,
 * so a lane's bits do not depend on the others.
 */
#include "gato/play/player_private.h"

#include "common/base/sizes.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNKS = 32 };

typedef struct {
    gato_inputs_t in; /* its array lies behind this struct */
    var_t last;       /* I32 [lanes] the last position of each */
    var_t hidden;     /* [lanes, D] */
    tape_t *tape;
    plan_t *plan;
} chunk_t;

static size_t head_width(const player_t *p) {
    return (size_t)(p->m->config.model.width / p->m->config.model.heads);
}

static size_t cache_width(const player_t *p) {
    return kern_cache_width((size_t)p->m->config.model.heads, head_width(p));
}

static float *cache_new(const player_t *p, size_t capacity) {
    return xaligned(capacity * cache_width(p) * sizeof(float));
}

static size_t whole_panels(size_t rows) {
    return round_up(rows, KERN_CACHE_PANEL);
}

/* ---- the network ---- */

/* [R, D] of the new positions -> [lanes, D] behind ln_f. */
static var_t record_blocks(nn_t *nn, const player_t *p, var_t x, size_t R, size_t lanes,
                           var_t last) {
    const gato_model_t *m = p->m;
    tape_t *t = nn->tape;
    size_t L = (size_t)m->config.model.layers, D = (size_t)m->config.model.width;
    transformer_opts_t o = gato_blocks(m, NO_VAR, false);
    var_t where = op_attention_lanes(t, p->lanes, lanes);
    size_t mark = nn_push(nn, "transformer");
    for (size_t i = 0; i < L; i++) {
        bool is_last = i + 1 == L; /* behind its keys and values only the last positions count */
        var_t qkv = nn_block_qkv(nn, i, x);
        var_t attended = op_attention_cached(t, qkv, where, o.heads, i, is_last);
        if (is_last) x = op_gather(t, tape_reshape(t, x, F32_2(R, D)), last);
        size_t rows = is_last ? lanes : R;
        x = nn_block_rest(nn, i, tape_reshape(t, x, F32_3(1, rows, D)),
                          tape_reshape(t, attended, F32_3(1, rows, D)), o);
    }
    x = tape_reshape(t, nn_final_norm(nn, x), F32_2(lanes, D));
    nn_pop(nn, mark);
    return x;
}

static void record_chunk(void *context, const void *key, plan_memory_t *memory, cached_plan_t *at) {
    const player_t *p = context;
    const size_t *sizes = key, lanes = sizes[0], R = sizes[1];
    chunk_t *c = at->vars;
    c->in.pool_input = (var_t *)(c + 1);
    c->tape = at->tape = tape_new(p->m->params);
    nn_t nn;
    nn_begin(&nn, c->tape);
    nn.packed = p->packed;
    var_t x = gato_embed(&nn, p->m, sizes + 2, 1, R, &c->in);
    c->last = tape_input(c->tape, "last", I32_1(lanes));
    c->hidden = record_blocks(&nn, p, x, R, lanes, c->last);
    c->plan = at->plan =
        plan_new(c->tape, &(plan_opts_t){.keep = &c->hidden, .n_keep = 1, .memory = memory});
}

void player_run_open(player_t *p) {
    size_t key = (2 + p->m->n_pools) * sizeof *p->key;
    p->key = xmalloc(key);
    p->chunks = plan_cache_new(
        CHUNKS, key, sizeof(chunk_t) + p->m->n_pools * ROWS_INPUTS * sizeof(var_t), record_chunk);
    batch_init(&p->batch, p->m);
}

void player_run_close(player_t *p) {
    plan_cache_free(p->chunks);
    batch_release(&p->batch);
    free(p->key);
}

/* ---- a lane's cache ---- */

void lane_clear(lane_t *lane) {
    lane->used = lane->first = 0;
}

/* Moves the visible rows of a lane, from the start of a panel on, to the front of the cache of
 * `to`, perhaps itself, that has room for `need` more. */
static void move_rows(const player_t *p, const lane_t *from, lane_t *to, size_t first,
                      size_t need) {
    size_t L = (size_t)p->m->config.model.layers, n_heads = (size_t)p->m->config.model.heads;
    size_t front = first / KERN_CACHE_PANEL * KERN_CACHE_PANEL, live = from->used - front,
           before = from->capacity;
    size_t wanted = live + need + KERN_CACHE_PANEL;
    size_t capacity = wanted > to->capacity ? whole_panels(2 * wanted) : to->capacity;
    for (size_t i = 0; i < L; i++) {
        const float *source = from->cache[i];
        float *old = to->cache[i];
        if (capacity > to->capacity) to->cache[i] = cache_new(p, capacity);
        if (live)
            kern_cache_move(n_heads, head_width(p), source, before, front, live, to->cache[i],
                            capacity);
        if (to->cache[i] != old) free(old);
    }
    to->capacity = capacity;
    /* A timestep that is out of sight may lie before the front: nobody asks for it any more. */
    for (uint32_t i = 0; i < p->m->window[from->task]; i++)
        to->begin[i] = from->begin[i] > front ? from->begin[i] - front : 0;
    to->used = from->used - front;
    to->first = from->first > front ? from->first - front : 0;
}

void lane_copy_cache(const player_t *p, const lane_t *from, lane_t *to) {
    move_rows(p, from, to, from->first, 0);
}

/* Room for T new positions of a lane of which the first `early` see from early_first on; a missing
 * cache is made. */
static attention_lane_t place(const player_t *p, lane_t *lane, size_t T, size_t early,
                              size_t early_first) {
    size_t oldest = early ? early_first : lane->first;
    if (lane->used + T > lane->capacity) {
        move_rows(p, lane, lane, oldest, T);
        early_first -= oldest / KERN_CACHE_PANEL * KERN_CACHE_PANEL;
    }
    return (attention_lane_t){.T = T,
                              .used = lane->used,
                              .first = lane->first,
                              .early = early,
                              .early_first = early ? early_first : 0,
                              .capacity = lane->capacity,
                              .cache = lane->cache};
}

/* Runs the batch, sequence i of which is the new tokens of lane i, already in p->lanes. */
static void run(player_t *p, lane_t *const *lane, size_t n) {
    const batch_t *b = &p->batch;
    size_t D = (size_t)p->m->config.model.width, R = batch_positions(b);
    p->key[0] = n;
    p->key[1] = R;
    for (size_t i = 0; i < p->m->n_pools; i++) p->key[2 + i] = b->pool[i].n;
    chunk_t *c = plan_cache_get(p->chunks, p->key, p)->vars;
    uint32_t *row = xcalloc(2 * n, sizeof *row), *offset = row + n;
    int32_t *last = plan_data(c->plan, c->last);
    for (size_t i = 0; i < n; i++) {
        offset[i] = (uint32_t)column_at(&b->start, i);
        last[i] = column_at(&b->start, i + 1) - 1;
    }
    packing_t packing = {.B = 1, .T = R, .row = row, .offset = offset};
    gato_inputs_fill(c->plan, c->tape, p->m, &c->in, p->key + 2, b, &packing);
    plan_forward(c->plan);
    const float *hidden = plan_data(c->plan, c->hidden);
    for (size_t i = 0; i < n; i++) {
        memcpy(lane[i]->hidden, hidden + i * D, D * sizeof *hidden);
        lane[i]->used += p->lanes[i].T;
    }
    free(row);
}

/* ---- pushes ---- */

static void put_observation(player_t *p, const seen_t *s, int32_t step) {
    reason_t why;
    if (batch_observation(&p->batch, &s->data, step, 0, &why))
        BUG("an observation that was checked: %s", why.text);
}

/* rebuild: all that the lane sees from the start, then the tokens of this timestep's actions. */
static void put_context(player_t *p, lane_t *lane) {
    int32_t N = (int32_t)p->m->window[lane->task];
    for (int32_t t = lane->step + 1 > N ? lane->step + 1 - N : 0; t < lane->step; t++) {
        put_observation(p, &lane->past[t % N], t);
        batch_actions(&p->batch, true);
    }
    put_observation(p, &lane->now, lane->step);
    for (size_t i = 0; i < lane->n_chosen; i++)
        batch_token(&p->batch, lane->chosen[i], -1, lane->step);
}

static void run_contexts(player_t *p, lane_t *const *lane, size_t n) {
    batch_clear(&p->batch, false, 0, 0);
    for (size_t i = 0; i < n; i++) {
        size_t before = batch_positions(&p->batch);
        batch_begin(&p->batch, lane[i]->task);
        put_context(p, lane[i]);
        batch_end(&p->batch);
        lane_clear(lane[i]);
        p->lanes[i] = place(p, lane[i], batch_positions(&p->batch) - before, 0, 0);
        lane[i]->n_waiting = 0;
    }
    run(p, lane, n);
}

void player_run_observations(player_t *p, lane_t *const *lane, size_t n) {
    size_t D = (size_t)p->m->config.model.width;
    if (p->o.rebuild) {
        run_contexts(p, lane, n);
    } else {
        batch_clear(&p->batch, false, 0, 0);
        for (size_t i = 0; i < n; i++) {
            lane_t *l = lane[i];
            int32_t N = (int32_t)p->m->window[l->task];
            /* Waiting tokens belong to the timestep before: they see one timestep more. With a
             * window of 1 nothing sees them. */
            size_t waiting = N > 1 ? l->n_waiting : 0, early_first = l->first,
                   before = batch_positions(&p->batch);
            batch_begin(&p->batch, l->task);
            for (size_t k = 0; k < waiting; k++)
                batch_token(&p->batch, l->waiting[k], -1, l->step - 1);
            put_observation(p, &l->now, l->step);
            batch_end(&p->batch);
            if (l->step >= N) l->first = l->begin[(l->step + 1) % N];
            if (N == 1) l->first = l->used;
            l->begin[l->step % N] = l->used + waiting;
            p->lanes[i] = place(p, l, batch_positions(&p->batch) - before, waiting, early_first);
            l->n_waiting = 0;
        }
        run(p, lane, n);
    }
    for (size_t i = 0; i < n; i++) memcpy(lane[i]->separator, lane[i]->hidden, D * sizeof(float));
}

void player_run_tokens(player_t *p, lane_t *const *lane, size_t n) {
    if (p->o.rebuild) {
        run_contexts(p, lane, n);
        return;
    }
    batch_clear(&p->batch, false, 0, 0);
    for (size_t i = 0; i < n; i++) {
        lane_t *l = lane[i];
        batch_begin(&p->batch, l->task);
        for (size_t k = 0; k < l->n_waiting; k++)
            batch_token(&p->batch, l->waiting[k], -1, l->step);
        batch_end(&p->batch);
        p->lanes[i] = place(p, l, l->n_waiting, 0, 0);
        l->n_waiting = 0;
    }
    run(p, lane, n);
}

/* ---- parts of timesteps ---- */

void lane_begin(const player_t *p, lane_t *lane) {
    int32_t N = (int32_t)p->m->window[lane->task];
    if (lane->step >= N) lane->first = lane->begin[(lane->step + 1) % N];
    if (N == 1) lane->first = lane->used;
    lane->begin[lane->step % N] = lane->used;
}

void player_run_parts(player_t *p, lane_t *const *lane, const size_t *first, const size_t *end,
                      size_t n) {
    batch_clear(&p->batch, false, 0, 0);
    for (size_t i = 0; i < n; i++) {
        batch_begin(&p->batch, lane[i]->task);
        batch_part(&p->batch, &lane[i]->now.data, lane[i]->step, first[i], end[i]);
        batch_end(&p->batch);
        p->lanes[i] = place(p, lane[i], end[i] - first[i], 0, 0);
    }
    run(p, lane, n);
}

/* ---- texts ---- */

void player_run_beginnings(player_t *p, lane_t *const *lane, size_t n) {
    reason_t why;
    batch_clear(&p->batch, false, 0, 0);
    for (size_t i = 0; i < n; i++) {
        size_t before = batch_positions(&p->batch);
        batch_begin(&p->batch, lane[i]->task);
        if (batch_beginning(&p->batch, &lane[i]->now.data, 0, &why))
            BUG("an observation that was checked: %s", why.text);
        batch_end(&p->batch);
        lane_clear(lane[i]);
        p->lanes[i] = place(p, lane[i], batch_positions(&p->batch) - before, 0, 0);
    }
    run(p, lane, n);
}

void player_run_words(player_t *p, lane_t *const *lane, const uint32_t *id, size_t n) {
    batch_clear(&p->batch, false, 0, 0);
    for (size_t i = 0; i < n; i++) {
        batch_begin(&p->batch, lane[i]->task);
        batch_token(&p->batch, id[i], (int32_t)lane[i]->used, 0);
        batch_end(&p->batch);
        p->lanes[i] = place(p, lane[i], 1, 0, 0);
    }
    run(p, lane, n);
}

/* ---- timesteps that end ---- */

/* rebuild: the actions become values of the timestep, so that they can run again. */
static void keep_actions(const player_t *p, lane_t *lane) {
    const task_t *task = &p->m->tasks.v[lane->task];
    seen_t *s = &lane->now;
    size_t vector = 0, discrete = 0;
    for (uint32_t k = 0; k < task->n_slots; k++) {
        const slot_t *slot = &task->slot[k];
        if (slot->side != SIDE_ACTED) continue;
        void *copy = xmalloc(slot->width * sizeof(float));
        s->owned[s->n_owned++] = copy;
        if (slot->kind == SLOT_VECTOR) {
            s->data.slot[k].vector =
                memcpy(copy, lane->scaled + vector, slot->width * sizeof(float));
            vector += slot->width;
        } else {
            s->data.slot[k].discrete =
                memcpy(copy, lane->discrete + discrete, slot->width * sizeof(uint32_t));
            discrete += slot->width;
        }
    }
}

void lane_next(player_t *p, lane_t *lane) {
    uint32_t N = p->m->window[lane->task];
    if (p->o.rebuild) {
        keep_actions(p, lane);
        seen_t *past = &lane->past[(uint32_t)lane->step % N];
        seen_release(past);
        *past = lane->now;
        lane->now = (seen_t){0};
    } else {
        seen_release(&lane->last);
        lane->last = lane->now;
        lane->now = (seen_t){0};
    }
    lane->step++;
}
