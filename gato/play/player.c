/* player.c - see player.h. */
#include "gato/play/player.h"

#include "common/base/sizes.h"
#include "common/io/fs.h"
#include "common/io/token_db/bounds.h"
#include "common/io/token_db/leaves.h"
#include "common/tape/plan_cache.h"
#include "gato/model/batch.h"
#include "gato/model/graph.h"
#include "gato/run/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNKS = 8 };

/* The recorded network for one chunk of new tokens. */
typedef struct {
    gato_graph_t g; /* tape, plan and inputs, without losses */
    var_t last, logits, action;
    int32_t last_row; /* the position that the heads read; bound to the tape */
} chunk_t;

struct player {
    gato_model_t *m;
    nn_packed_t *packed;
    tokenizer_t *tokenizer;
    player_opts_t o;
    batch_t batch;
    plan_cache_t *chunks; /* chunk_t by graph_shape_t */
    float **cache;        /* [layers] of [capacity, kern_cache_width] */
    size_t capacity;
    /* first visible row, rows in use, tokens of the step before that come first in this chunk, and
     * the first row that those see; and bound to op_attention_cached */
    int32_t span[4];
    attention_lane_t lane;
    int32_t step;
    int32_t *begin; /* ring [attn_window]: first row of each of the last timesteps */
    size_t acts;    /* tokens of an action */
    /* action tokens of the last step, which run in front of the next observation */
    uint32_t waiting[ENV_ACTIONS];
    size_t n_waiting;
    timestep_t *past; /* with rebuild: ring [attn_window] of timesteps that own their arrays */
    chunk_t *ran;     /* the last one */
};

/* ---- the network over a chunk ---- */

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

static void record_chunk(void *context, const void *key, plan_memory_t *memory,
                         cached_plan_t *cached) {
    const player_t *p = context;
    const graph_shape_t *s = key;
    chunk_t *c = cached->vars;
    const gato_model_t *m = p->m;
    size_t L = (size_t)m->config.model.layers, D = (size_t)m->config.model.width, T = s->T;
    c->g = gato_graph_none();
    c->g.shape = *s;
    tape_t *t = c->g.tape = cached->tape = tape_new(m->params);
    nn_t nn;
    nn_begin(&nn, t);
    nn.packed = p->packed;
    gato_pools_t pools = {s->tokens, s->images, s->vectors};
    var_t x = gato_embed(&nn, m, pools, 1, T, &c->g.in);
    c->last_row = (int32_t)T - 1;
    var_t lane = op_attention_lanes(t, &p->lane, 1);
    var_t at = tape_bound(t, "last", I32_1(1), &c->last_row);
    transformer_opts_t o = gato_blocks(m, NO_VAR, false);
    size_t mark = nn_push(&nn, "transformer");
    for (size_t i = 0; i < L; i++) {
        /* after the keys and values of the last layer, only the last position counts */
        bool last = i + 1 == L;
        var_t qkv = nn_block_qkv(&nn, i, x);
        var_t attended = op_attention_cached(t, qkv, lane, o.heads, i, last);
        if (last)
            x = tape_reshape(t, op_gather(t, tape_reshape(t, x, F32_2(T, D)), at), F32_3(1, 1, D));
        x = nn_block_rest(&nn, i, x, attended, o);
    }
    c->last = tape_reshape(t, nn_final_norm(&nn, x), F32_2(1, D));
    nn_pop(&nn, mark);
    bool regress = m->config.loss.action_kind == ACTION_MSE && m->facts.n_actions;
    c->action = regress ? gato_action(&nn, m, c->last) : NO_VAR;
    c->logits = regress && !m->facts.n_discrete_actions ? NO_VAR : gato_logits(&nn, m, c->last);
    var_t keep[3] = {c->last, c->action, c->logits};
    cached->plan = plan_new(t, &(plan_opts_t){.keep = keep, .n_keep = 3, .memory = memory});
    c->g.plan = cached->plan;
}

static chunk_t *chunk_for(player_t *p) {
    const batch_t *b = &p->batch;
    size_t width = p->m->facts.n_continuous;
    graph_shape_t s = {.B = 1,
                       .T = batch_positions(b),
                       .tokens = b->token.n,
                       .images = b->images,
                       .vectors = width ? b->vector.n / width : 0};
    return plan_cache_get(p->chunks, &s, p)->vars;
}

/* The first row that any token of the next chunk sees. */
static int32_t first_row(const player_t *p) {
    return p->span[2] ? p->span[3] : p->span[0];
}

/* Moves the visible rows, from the start of a panel on, to the front of a cache of `capacity`
 * rows. A larger cache is a new one. */
static void cache_compact(player_t *p, size_t capacity) {
    size_t L = (size_t)p->m->config.model.layers, heads = (size_t)p->m->config.model.heads;
    int32_t first = first_row(p) / KERN_CACHE_PANEL * KERN_CACHE_PANEL;
    size_t live = (size_t)(p->span[1] - first);
    for (size_t i = 0; i < L; i++) {
        float *old = p->cache[i];
        if (capacity > p->capacity) p->cache[i] = cache_new(p, capacity);
        kern_cache_move(heads, head_width(p), old, p->capacity, (size_t)first, live, p->cache[i],
                        capacity);
        if (p->cache[i] != old) free(old);
    }
    p->capacity = capacity;
    for (int32_t i = 0; i < p->m->attn_window; i++) p->begin[i] -= first;
    p->span[0] -= first;
    p->span[1] -= first;
    if (p->span[2]) p->span[3] -= first;
}

/* Runs the tokens of the batch after those in the cache. */
static void run_chunk(player_t *p) {
    size_t T = batch_positions(&p->batch);
    size_t need = (size_t)(p->span[1] - first_row(p)) + T + KERN_CACHE_PANEL;
    /* The attention window counts timesteps without their text: with a mission in each, more tokens
     * than model.context may be visible. */
    if ((size_t)p->span[1] + T > p->capacity)
        cache_compact(p, need > p->capacity ? whole_panels(2 * need) : p->capacity);
    p->ran = chunk_for(p);
    gato_inputs_fill(&p->ran->g, p->m, &p->batch);
    p->lane = (attention_lane_t){.T = T,
                                 .used = (size_t)p->span[1],
                                 .first = (size_t)p->span[0],
                                 .early = (size_t)p->span[2],
                                 .early_first = (size_t)p->span[3],
                                 .capacity = p->capacity,
                                 .cache = p->cache};
    plan_forward(p->ran->g.plan);
    p->span[1] += (int32_t)T;
}

/* ---- opening ---- */

player_t *player_open(const char *dir, const player_opts_t *o, int *rc, reason_t *why) {
    player_t *p = NEW(player_t);
    p->o = *o;
    p->m = run_load(dir, rc, why);
    if (!p->m) {
        free(p);
        return NULL;
    }
    const gato_config_t *c = &p->m->config;
    if (p->o.decode < 0) p->o.decode = c->act.decode;
    if (p->o.temperature <= 0) p->o.temperature = c->act.temperature;
    if (p->m->facts.codes && c->model.image_in != IMAGE_IN_PATCHES) {
        char *inside = fs_join(dir, "vqvae");
        p->tokenizer = tokenizer_open(inside, rc, why);
        free(inside);
        if (p->tokenizer && p->m->facts.fingerprint &&
            strcmp(tokenizer_fingerprint(p->tokenizer), p->m->facts.fingerprint)) {
            reason_set(why,
                       "'%s': the policy was trained on codes of tokenizer %s, but vqvae/ is %s",
                       dir, p->m->facts.fingerprint, tokenizer_fingerprint(p->tokenizer));
            *rc = RC_MISFIT;
            tokenizer_free(p->tokenizer);
            p->tokenizer = NULL;
        }
        if (!p->tokenizer) {
            gato_model_free(p->m);
            free(p);
            return NULL;
        }
    }
    p->packed = nn_packed_new(p->m->params, p->o.weights);
    p->chunks = plan_cache_new(CHUNKS, sizeof(graph_shape_t), sizeof(chunk_t), record_chunk);
    batch_init(&p->batch, &p->m->config, &p->m->facts);
    size_t L = (size_t)c->model.layers;
    p->acts = p->m->facts.n_actions + p->m->facts.n_discrete_actions;
    p->capacity = whole_panels(3 * ((size_t)c->model.context + p->acts + 64));
    p->cache = xcalloc(L, sizeof *p->cache);
    for (size_t i = 0; i < L; i++) p->cache[i] = cache_new(p, p->capacity);
    p->begin = xcalloc((size_t)p->m->attn_window, sizeof *p->begin);
    p->past = xcalloc((size_t)p->m->attn_window, sizeof *p->past);
    player_reset(p);
    return p;
}

static void release_step(timestep_t *s) {
    free((void *)(uintptr_t)s->codes);
    free((void *)(uintptr_t)s->rgb);
    free((void *)(uintptr_t)s->text);
    free((void *)(uintptr_t)s->continuous);
    free((void *)(uintptr_t)s->actions);
    *s = (timestep_t){0};
}

void player_close(player_t *p) {
    if (!p) return;
    plan_cache_free(p->chunks);
    for (int64_t i = 0; i < p->m->config.model.layers; i++) free(p->cache[i]);
    for (int32_t i = 0; i < p->m->attn_window; i++) release_step(&p->past[i]);
    free(p->past);
    free(p->cache);
    free(p->begin);
    batch_release(&p->batch);
    tokenizer_free(p->tokenizer);
    nn_packed_free(p->packed);
    gato_model_free(p->m);
    free(p);
}

const gato_model_t *player_model(const player_t *p) {
    return p->m;
}
const float *player_hidden(const player_t *p) {
    return plan_data(p->ran->g.plan, p->ran->last);
}

int player_fits(const player_t *p, const env_info_t *info, reason_t *why) {
    const gato_facts_t *f = &p->m->facts;
    if (f->n_continuous != info->n_vector)
        return reason_set(why, "the policy reads %u numbers, environment '%s' shows %zu",
                          f->n_continuous, info->name, info->n_vector);
    if (f->n_actions != info->n_actions)
        return reason_set(why, "the policy gives %u actions, environment '%s' takes %zu",
                          f->n_actions, info->name, info->n_actions);
    if (f->n_discrete || f->n_discrete_actions)
        return reason_set(why, "the policy has discrete values, environment '%s' has none",
                          info->name);
    if (gato_has_images(p->m) && !info->image_w)
        return reason_set(why, "the policy needs images, environment '%s' has none", info->name);
    reason_t inner;
    char *leaves = env_leaves(info);
    int rc = leaves_fit(f->leaves, leaves, &inner);
    free(leaves);
    if (rc)
        reason_set(why, "the policy and environment '%s' do not fit: %s", info->name, inner.text);
    return rc;
}

void player_reset(player_t *p) {
    p->span[0] = p->span[1] = 0;
    p->step = 0;
    p->n_waiting = 0;
}

/* ---- one timestep ---- */

/* Turns the observation into the model's arrays, which the timestep owns. */
static int observe(player_t *p, const uint8_t *rgb, size_t w, size_t h, const float *vector,
                   const char *text, timestep_t *s, reason_t *why) {
    const gato_facts_t *f = &p->m->facts;
    *s = (timestep_t){0};
    if (gato_has_images(p->m)) {
        image_t im = image_new(w, h);
        if (rgb && !p->o.blank)
            memcpy(im.rgb, rgb, w * h * 3);
        else
            memset(im.rgb, 0, w * h * 3);
        if (p->tokenizer) {
            image_t ready = tokenizer_preprocess(p->tokenizer, &im);
            tokenizer_grid_t grid = tokenizer_grid(p->tokenizer, ready.w, ready.h);
            s->grid_w = grid.w;
            s->grid_h = grid.h;
            uint32_t *codes = xmalloc(s->grid_w * s->grid_h * sizeof *codes);
            tokenizer_encode(p->tokenizer, ready.rgb, 1, ready.w, ready.h, codes);
            s->codes = codes;
            image_release(&ready);
            image_release(&im);
            if (f->grid_h && (s->grid_h != f->grid_h || s->grid_w != f->grid_w))
                return reason_set(why,
                                  "images give %zu x %zu codes; the policy was trained on %u x %u",
                                  s->grid_h, s->grid_w, f->grid_h, f->grid_w);
        } else {
            s->rgb = im.rgb;
            s->image_w = w;
            s->image_h = h;
        }
    }
    if (f->n_continuous && !vector)
        return reason_set(why, "the policy reads %u numbers, but the observation has none",
                          f->n_continuous);
    if (f->n_continuous) {
        float *copy = xmalloc(f->n_continuous * sizeof *copy);
        memcpy(copy, vector, f->n_continuous * sizeof *copy);
        s->continuous = copy;
        for (uint32_t i = 0; i < f->n_continuous; i++)
            if (!isfinite(copy[i])) return reason_set(why, "observation %u is not finite", i);
    }
    if (text && f->text_vocab && p->m->config.model.control_text) {
        size_t n = strlen(text);
        uint32_t *ids = xmalloc((n + 1) * sizeof *ids);
        for (size_t i = 0; i < n; i++) ids[i] = (uint8_t)text[i];
        ids[n] = 256;
        s->text = ids;
        s->text_len = n + 1;
    }
    return 0;
}

static void run_token(player_t *p, uint32_t id) {
    batch_clear(&p->batch, false, 0, 0);
    batch_begin(&p->batch);
    batch_token(&p->batch, id, -1, p->step);
    batch_end(&p->batch);
    run_chunk(p);
}

/* Runs the action tokens that waited, then the present observation. The former belong to the step
 * before, so they still see one step more of the past. */
static void run_observation(player_t *p, const timestep_t *s) {
    int32_t N = p->m->attn_window;
    size_t waiting = N > 1 ? p->n_waiting : 0;
    p->span[2] = (int32_t)waiting;
    p->span[3] = p->span[0];
    if (p->step >= N)
        p->span[0] = p->begin[(p->step + 1) % N]; /* the oldest step that stays: step + 1 - N */
    if (N == 1) p->span[0] = p->span[1];
    p->begin[p->step % N] = p->span[1] + (int32_t)waiting;
    batch_clear(&p->batch, false, 0, 0);
    batch_begin(&p->batch);
    for (size_t i = 0; i < waiting; i++) batch_token(&p->batch, p->waiting[i], -1, p->step - 1);
    batch_observation(&p->batch, s, p->step, 0);
    batch_end(&p->batch);
    run_chunk(p);
    p->n_waiting = 0;
    p->span[2] = 0;
}

/* With rebuild: runs everything visible from the start, then `n` action tokens of this step. */
static void run_context(player_t *p, const timestep_t *now, const uint32_t *id, size_t n) {
    int32_t first = p->step + 1 > p->m->attn_window ? p->step + 1 - p->m->attn_window : 0;
    p->span[0] = p->span[1] = 0;
    batch_clear(&p->batch, false, 0, 0);
    batch_begin(&p->batch);
    for (int32_t t = first; t < p->step; t++) {
        batch_observation(&p->batch, &p->past[t % p->m->attn_window], t, 0);
        batch_actions(&p->batch, &p->past[t % p->m->attn_window], t);
    }
    batch_observation(&p->batch, now, p->step, 0);
    for (size_t i = 0; i < n; i++) batch_token(&p->batch, id[i], -1, p->step);
    batch_end(&p->batch);
    run_chunk(p);
}

/* Draws from the softmax over [lo, hi) at a temperature, in double; u in [0,1). */
static uint32_t draw_from(const float *logits, uint32_t lo, uint32_t hi, double temperature,
                          double u) {
    double top = -INFINITY, sum = 0;
    for (uint32_t i = lo; i < hi; i++) top = fmax(top, logits[i]);
    for (uint32_t i = lo; i < hi; i++) sum += exp((logits[i] - top) / temperature);
    double at = 0;
    for (uint32_t i = lo; i < hi; i++) {
        at += exp((logits[i] - top) / temperature) / sum;
        if (at > u) return i;
    }
    return hi - 1;
}

static uint32_t highest(const float *v, uint32_t lo, uint32_t hi) {
    uint32_t best = lo;
    for (uint32_t i = lo + 1; i < hi; i++)
        if (v[i] > v[best]) best = i;
    return best;
}

static double expectation(const float *logits, uint32_t lo, uint32_t bins) {
    double top = -INFINITY, sum = 0, mean = 0;
    for (uint32_t i = 0; i < bins; i++) top = fmax(top, logits[lo + i]);
    for (uint32_t i = 0; i < bins; i++) {
        double e = exp(logits[lo + i] - top);
        sum += e;
        mean += e * tokens_bin_value(i, bins, false);
    }
    return mean / sum;
}

/* Chooses continuous action `i` from the logits; returns its token. */
static uint32_t choose(const player_t *p, const float *logits, size_t i, rng_t draw,
                       float *action) {
    const tokens_t *t = &p->m->tokens;
    uint32_t lo = tokens_continuous(t), bin;
    switch ((decode_t)p->o.decode) {
    case DECODE_MEAN:
        *action = (float)expectation(logits, lo, t->bins);
        return lo + tokens_bin(*action, t->bins);
    case DECODE_SAMPLE:
        bin = draw_from(logits, lo, lo + t->bins, p->o.temperature, rng_uniform64(draw, i)) - lo;
        break;
    default:
        bin = highest(logits, lo, lo + t->bins) - lo;
    }
    *action = tokens_bin_value(bin, t->bins, p->o.decode == DECODE_LEFT);
    return lo + bin;
}

int player_act(player_t *p, const uint8_t *rgb, size_t w, size_t h, const float *vector,
               const char *text, rng_t draw, float *action, reason_t *why) {
    timestep_t s;
    if (observe(p, rgb, w, h, vector, text, &s, why)) {
        release_step(&s);
        return -1;
    }
    uint32_t id[ENV_ACTIONS];
    size_t n = p->m->facts.n_actions;
    if (p->o.rebuild) {
        run_context(p, &s, NULL, 0);
    } else {
        run_observation(p, &s);
    }
    bool regress = p->ran->action != NO_VAR;
    if (regress) {
        const float *a = plan_data(p->ran->g.plan, p->ran->action);
        for (size_t i = 0; i < n; i++) {
            action[i] = fminf(1, fmaxf(-1, a[i]));
            id[i] = tokens_continuous(&p->m->tokens) + tokens_bin(action[i], p->m->tokens.bins);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (!regress)
            id[i] = choose(p, plan_data(p->ran->g.plan, p->ran->logits), i, draw, &action[i]);
        if (regress || i + 1 == n) continue; /* no token of this step reads it */
        if (p->o.rebuild)
            run_context(p, &s, id, i + 1);
        else
            run_token(p, id[i]);
    }
    if (p->o.rebuild) {
        float *executed = xmalloc(n * sizeof *executed);
        memcpy(executed, action, n * sizeof *executed);
        s.actions = executed;
        release_step(&p->past[p->step % p->m->attn_window]);
        p->past[p->step % p->m->attn_window] = s;
    } else {
        release_step(&s);
        p->n_waiting = regress ? n : n > 0;
        memcpy(p->waiting, id + n - p->n_waiting, p->n_waiting * sizeof *id);
    }
    const gato_facts_t *f = &p->m->facts;
    if (f->action_low && f->action_high)
        for (size_t i = 0; i < n; i++)
            action[i] = bounds_unscale(action[i], f->action_low[i], f->action_high[i]);
    p->step++;
    return 0;
}

/* ---- as a policy ---- */

static void *policy_open(const env_info_t *info, const char *model, const player_opts_t *opts,
                         int *rc, reason_t *why) {
    static const player_opts_t preset = {.decode = -1};
    if (!model) {
        *rc = RC_USAGE;
        reason_set(why, "--policy model needs --model RUN");
        return NULL;
    }
    player_t *p = player_open(model, opts ? opts : &preset, rc, why);
    if (p && player_fits(p, info, why)) {
        *rc = RC_MISFIT;
        player_close(p);
        return NULL;
    }
    return p;
}

static void policy_close(void *self) {
    player_close(self);
}

static int policy_act(void *self, const policy_view_t *v, float *action, reason_t *why) {
    if (!v->step) player_reset(self);
    rng_t draw = rng_fold(rng_fold(rng_make(v->seed, "policy.sample"), v->episode), v->step);
    return player_act(self, v->rgb, v->info->image_w, v->info->image_h, v->vector, v->info->text,
                      draw, action, why);
}

const policy_t player_policy = {.name = "model",
                                .needs_model = true,
                                .needs_image = true,
                                .open = policy_open,
                                .close = policy_close,
                                .act = policy_act};
