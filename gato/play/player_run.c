/* player_run.c - the network over chunks of new tokens of some lanes, and their caches (player.h).
 *
 * The tokens of all lanes lie one behind the other in a row of positions. Everything but attention
 * computes every position alone, and attention every lane.
 */
#include "gato/play/player_private.h"

#include "common/base/sizes.h"

#include <stdlib.h>
#include <string.h>

enum { POSITIONS, LANES, LO, HI, POOLS }; /* of a key */

/* The recorded network for one chunk; behind it pool_input and `value`. */
typedef struct {
    tape_t *tape;
    plan_t *plan;
    gato_inputs_t in;
    var_t last_row; /* I32 [lanes]: the position that is read of each */
    var_t last, logits;
    var_t *value; /* [tasks * TASK_SLOTS] regressed slots, [lanes, width] */
} chunk_t;

static size_t head_width(const player_t *p) {
    return (size_t)(p->m->config.model.width / p->m->config.model.heads);
}
static float *cache_new(const player_t *p, size_t capacity) {
    return xaligned(capacity * kern_cache_width((size_t)p->m->config.model.heads, head_width(p)) *
                    sizeof(float));
}
static size_t whole_panels(size_t rows) {
    return round_up(rows, KERN_CACHE_PANEL);
}

static const head_t *recorder_of(const gato_config_t *c, const slot_t *slot) {
    for (size_t h = 0; heads[h]; h++)
        if (heads[h]->plays && heads[h]->plays(c, slot) && heads[h]->play.record) return heads[h];
    return NULL;
}

/* Records what the heads read at the last position of each lane. */
static void record_heads(nn_t *nn, const player_t *p, const size_t *key, chunk_t *c) {
    const gato_model_t *m = p->m;
    const size_t *regress = key + POOLS + m->n_pools;
    for (uint32_t t = 0; t < m->tasks.n; t++)
        for (uint32_t k = 0; k < m->tasks.v[t].n_slots; k++) {
            var_t *v = &c->value[t * TASK_SLOTS + k];
            const slot_t *slot = &m->tasks.v[t].slot[k];
            const head_t *head =
                regress[t] && slot->side == SIDE_ACTED ? recorder_of(&m->config, slot) : NULL;
            *v = head ? head->play.record(nn, m, t, k, c->last) : NO_VAR;
        }
    c->logits = key[LO] < key[HI]
                    ? gato_logits(nn, m, c->last, (uint32_t)key[LO], (uint32_t)key[HI])
                    : NO_VAR;
}

void player_record_chunk(void *context, const void *key_, plan_memory_t *memory,
                         cached_plan_t *cached) {
    const player_t *p = context;
    const size_t *key = key_;
    const gato_model_t *m = p->m;
    chunk_t *c = cached->vars;
    c->in.pool_input = (var_t *)(c + 1);
    c->value = c->in.pool_input + m->n_pools * ROWS_INPUTS;
    size_t L = (size_t)m->config.model.layers, D = (size_t)m->config.model.width,
           T = key[POSITIONS], B = key[LANES];
    tape_t *t = c->tape = cached->tape = tape_new(m->params);
    nn_t nn;
    nn_begin(&nn, t);
    nn.packed = p->packed;
    var_t x = gato_embed(&nn, m, key + POOLS, 1, T, &c->in);
    c->last_row = tape_input(t, "last", I32_1(B));
    var_t lanes = op_attention_lanes(t, p->span, B);
    transformer_opts_t o = gato_blocks(m, NO_VAR, false);
    size_t mark = nn_push(&nn, "transformer");
    for (size_t i = 0; i < L; i++) {
        /* after the keys and values of the last layer, only the last positions count */
        bool last = i + 1 == L;
        var_t qkv = nn_block_qkv(&nn, i, x);
        var_t attended = op_attention_cached(t, qkv, lanes, o.heads, i, last);
        if (last)
            x = tape_reshape(t, op_gather(t, tape_reshape(t, x, F32_2(T, D)), c->last_row),
                             F32_3(1, B, D));
        x = nn_block_rest(&nn, i, x, attended, o);
    }
    c->last = tape_reshape(t, nn_final_norm(&nn, x), F32_2(B, D));
    nn_pop(&nn, mark);
    record_heads(&nn, p, key, c);
    size_t n = m->tasks.n * TASK_SLOTS;
    var_t *keep = xmalloc((n + 2) * sizeof *keep);
    memcpy(keep, c->value, n * sizeof *keep);
    keep[n] = c->last;
    keep[n + 1] = c->logits;
    c->plan = cached->plan =
        plan_new(t, &(plan_opts_t){.keep = keep, .n_keep = n + 2, .memory = memory});
    free(keep);
}

/* ---- a lane's cache ---- */

static size_t first_row(const attention_lane_t *s) {
    return s->early ? s->early_first : s->first;
}

void player_lane_init(player_t *p, player_lane_t *lane) {
    size_t L = (size_t)p->m->config.model.layers;
    *lane = (player_lane_t){.cache = xcalloc(L, sizeof *lane->cache)};
    lane->hidden = xcalloc((size_t)p->m->config.model.width, sizeof *lane->hidden);
    lane->span.capacity = whole_panels(3 * ((size_t)p->m->config.model.context + 64));
    lane->span.cache = lane->cache;
    for (size_t i = 0; i < L; i++) lane->cache[i] = cache_new(p, lane->span.capacity);
}

void player_lane_release(player_t *p, player_lane_t *lane) {
    for (int64_t i = 0; i < p->m->config.model.layers; i++) free(lane->cache[i]);
    if (lane->past)
        for (uint32_t i = 0; i < p->m->window[lane->task]; i++)
            player_timestep_release(&lane->past[i]);
    player_timestep_release(&lane->now);
    free(lane->past);
    free(lane->begin);
    free(lane->cache);
    free(lane->hidden);
}

/* Makes room for T more rows: the visible ones move to the front, into a larger cache where they
 * need one. */
static void make_room(player_t *p, player_lane_t *lane, size_t T) {
    attention_lane_t *s = &lane->span;
    if (s->used + T <= s->capacity) return;
    size_t first = first_row(s) / KERN_CACHE_PANEL * KERN_CACHE_PANEL, live = s->used - first,
           need = live + T + KERN_CACHE_PANEL,
           capacity = need > s->capacity ? whole_panels(2 * need) : s->capacity;
    for (int64_t i = 0; i < p->m->config.model.layers; i++) {
        float *old = lane->cache[i];
        if (capacity > s->capacity) lane->cache[i] = cache_new(p, capacity);
        kern_cache_move((size_t)p->m->config.model.heads, head_width(p), old, s->capacity, first,
                        live, lane->cache[i], capacity);
        if (lane->cache[i] != old) free(old);
    }
    s->capacity = capacity;
    /* Places of steps that are out of sight fall below the front; they are never read. */
    for (uint32_t i = 0; i < p->m->window[lane->task]; i++)
        lane->begin[i] = lane->begin[i] > first ? lane->begin[i] - first : 0;
    s->first -= first;
    s->used -= first;
    if (s->early) s->early_first -= first;
}

/* ---- chunks ---- */

/* What the chunk must give: the ids that some lane chooses next from, and tasks that regress. */
static void ask(player_t *p, player_lane_t **lane, size_t n, bool separators) {
    size_t *regress = p->key + POOLS + p->m->n_pools;
    p->key[LO] = SIZE_MAX;
    p->key[HI] = 0;
    memset(regress, 0, p->m->tasks.n * sizeof *regress);
    for (size_t i = 0; i < n; i++) {
        const player_body_t *body = &p->body[lane[i]->task];
        if (separators && body->regresses) regress[lane[i]->task] = 1;
        if (lane[i]->column >= body->columns) continue;
        const player_column_t *c = &body->column[lane[i]->column];
        if (c->regressed) continue; /* its tokens run before the next one is chosen */
        p->key[LO] = min_size(p->key[LO], c->lo);
        p->key[HI] = max_size(p->key[HI], c->hi);
    }
    if (p->key[LO] >= p->key[HI]) p->key[LO] = p->key[HI] = 0;
}

/* Hands the results to the lanes. */
static void give(player_t *p, const chunk_t *c, player_lane_t **lane, size_t n, bool separators) {
    size_t D = (size_t)p->m->config.model.width, lo = p->key[LO], width = p->key[HI] - lo;
    const float *hidden = plan_data(c->plan, c->last),
                *logits = c->logits == NO_VAR ? NULL : plan_data(c->plan, c->logits);
    for (size_t i = 0; i < n; i++) {
        memcpy(lane[i]->hidden, hidden + i * D, D * sizeof *hidden);
        lane[i]->logits = logits ? logits + i * width : NULL;
        lane[i]->logits_lo = (uint32_t)lo;
        const player_body_t *body = &p->body[lane[i]->task];
        for (size_t k = 0; k < body->columns && separators; k++) {
            const player_column_t *col = &body->column[k];
            if (!col->regressed) continue;
            var_t v = c->value[lane[i]->task * TASK_SLOTS + col->slot];
            size_t w = p->m->tasks.v[lane[i]->task].slot[col->slot].width;
            lane[i]->value[k] = ((const float *)plan_data(c->plan, v))[i * w + col->k];
        }
    }
}

/* Runs the sequences of the batch, one a lane, behind what is in the lanes' caches. */
static void run_chunk(player_t *p, player_lane_t **lane, size_t n, bool separators) {
    const batch_t *b = &p->batch;
    p->key[POSITIONS] = batch_positions(b);
    p->key[LANES] = n;
    for (size_t i = 0; i < p->m->n_pools; i++) p->key[POOLS + i] = b->pool[i].n;
    ask(p, lane, n, separators);
    for (size_t i = 0; i < n; i++) {
        size_t T = (size_t)(column_at(&b->start, i + 1) - column_at(&b->start, i));
        lane[i]->span.T = T;
        make_room(p, lane[i], T);
        p->span[i] = lane[i]->span;
    }
    chunk_t *c = plan_cache_get(p->chunks, p->key, p)->vars;
    packing_t pack = {.B = 1, .T = batch_positions(b)};
    pack.row = xcalloc(2 * n, sizeof *pack.row);
    pack.offset = pack.row + n;
    for (size_t i = 0; i < n; i++) pack.offset[i] = (uint32_t)column_at(&b->start, i);
    gato_inputs_fill(c->plan, c->tape, p->m, &c->in, p->key + POOLS, b, &pack);
    free(pack.row);
    int32_t *last = plan_data(c->plan, c->last_row);
    for (size_t i = 0; i < n; i++) last[i] = column_at(&b->start, i + 1) - 1;
    plan_forward(c->plan);
    for (size_t i = 0; i < n; i++) {
        lane[i]->span.used += lane[i]->span.T;
        lane[i]->span.early = 0;
        lane[i]->n_pending = 0;
    }
    give(p, c, lane, n, separators);
}

static void put_observation(player_t *p, const timestep_t *s, int32_t step) {
    reason_t why;
    if (batch_observation(&p->batch, s, step, 0, &why)) BUG("%s", why.text);
}

/* The tokens that waited belong to the step before: they still see one step more of the past. */
static void put_step(player_t *p, player_lane_t *lane) {
    attention_lane_t *s = &lane->span;
    size_t N = p->m->window[lane->task], step = (size_t)lane->step,
           waiting = N > 1 ? lane->n_pending : 0;
    s->early = waiting;
    s->early_first = s->first;
    if (step >= N) s->first = lane->begin[(step + 1) % N]; /* the oldest that stays */
    if (N == 1) s->first = s->used;
    lane->begin[step % N] = s->used + waiting;
    batch_begin(&p->batch, lane->task);
    for (size_t i = 0; i < waiting; i++) batch_token(&p->batch, lane->pending[i], lane->step - 1);
    put_observation(p, &lane->now, lane->step);
    batch_end(&p->batch);
}

/* With rebuild: everything visible from the start, then the first `n` tokens of this action. */
static void put_context(player_t *p, player_lane_t *lane, size_t n) {
    int32_t N = (int32_t)p->m->window[lane->task];
    lane->span.first = lane->span.used = lane->span.early = 0;
    batch_begin(&p->batch, lane->task);
    for (int32_t t = lane->step + 1 > N ? lane->step + 1 - N : 0; t < lane->step; t++) {
        put_observation(p, &lane->past[t % N], t);
        batch_actions(&p->batch, true);
    }
    put_observation(p, &lane->now, lane->step);
    for (size_t i = 0; i < n; i++) batch_token(&p->batch, lane->id[i], lane->step);
    batch_end(&p->batch);
}

void player_run_observations(player_t *p, player_lane_t **lane, size_t n) {
    batch_clear(&p->batch, false, 0, 0);
    for (size_t i = 0; i < n; i++) {
        lane[i]->column = 0;
        if (p->o.rebuild)
            put_context(p, lane[i], 0);
        else
            put_step(p, lane[i]);
    }
    run_chunk(p, lane, n, true);
}

void player_run_pending(player_t *p, player_lane_t **lane, size_t n) {
    batch_clear(&p->batch, false, 0, 0);
    for (size_t i = 0; i < n; i++) {
        if (p->o.rebuild) {
            put_context(p, lane[i], lane[i]->column);
            continue;
        }
        batch_begin(&p->batch, lane[i]->task);
        for (size_t k = 0; k < lane[i]->n_pending; k++)
            batch_token(&p->batch, lane[i]->pending[k], lane[i]->step);
        batch_end(&p->batch);
    }
    run_chunk(p, lane, n, false);
}

size_t player_chunk_bytes(const gato_model_t *m) {
    return sizeof(chunk_t) + (m->n_pools * ROWS_INPUTS + m->tasks.n * TASK_SLOTS) * sizeof(var_t);
}
size_t player_key_sizes(const gato_model_t *m) {
    return POOLS + m->n_pools + m->tasks.n;
}
