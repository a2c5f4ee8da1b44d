/* model.c - see model.h. */
#include "gato/model/model.h"

#include "gato/model/layout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Matrices that one op_concat_rows takes. */
enum { CONCAT = 12 };

static size_t width(const gato_model_t *m) {
    return (size_t)m->config.model.width;
}

/* ---- names ---- */

const char *model_tensor_name(const char *name, char buf[3 * TASK_NAME]) {
    static const char stays[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    char *to = buf;
    if (strlen(name) >= TASK_NAME) BUG("a name of %zu bytes", strlen(name));
    for (; *name; name++) {
        if (strchr(stays, *name))
            *to++ = *name;
        else
            to += sprintf(to, "%%%02X", (unsigned char)*name);
    }
    *to = 0;
    return buf;
}

void model_task_tensor(const gato_model_t *m, const char *prefix, uint32_t task,
                       char buf[MODEL_TENSOR]) {
    char name[3 * TASK_NAME];
    snprintf(buf, MODEL_TENSOR, "%s.%s", prefix, model_tensor_name(m->tasks.v[task].name, name));
}

void model_slot_tensor(const gato_model_t *m, const char *prefix, uint32_t task, uint32_t slot,
                       char buf[MODEL_TENSOR]) {
    char a[3 * TASK_NAME], b[3 * TASK_NAME];
    snprintf(buf, MODEL_TENSOR, "%s.%s.%s", prefix, model_tensor_name(m->tasks.v[task].name, a),
             model_tensor_name(m->tasks.v[task].slot[slot].name, b));
}

/* ---- embeddings ---- */

/* All rows under one another, more of them than one op takes. */
static var_t concat(tape_t *t, var_t *v, size_t n) {
    while (n > CONCAT) {
        v[n - CONCAT] = op_concat_rows(t, v + n - CONCAT, CONCAT);
        n -= CONCAT - 1;
    }
    return op_concat_rows(t, v, n);
}

shape_t gato_input_shape(const input_spec_t *spec, size_t n) {
    shape_t s = {spec->type, spec->rank + 1, {n, 1, 1, 1}};
    for (int d = 0; d < spec->rank; d++) s.dim[d + 1] = spec->dim[d];
    return s;
}

static var_t pool_rows(nn_t *nn, const gato_model_t *m, const pool_t *pool, size_t n, var_t *in) {
    input_spec_t spec[ROWS_INPUTS];
    size_t inputs = pool->embed->inputs(m, pool, spec);
    for (size_t i = 0; i < inputs; i++)
        in[i] = tape_input(nn->tape, spec[i].name, gato_input_shape(&spec[i], n));
    return pool->embed->record(nn, m, pool, n, in);
}

var_t gato_embed(nn_t *nn, const gato_model_t *m, const size_t *n, size_t B, size_t T,
                 gato_inputs_t *in) {
    tape_t *t = nn->tape;
    size_t D = width(m), count = 0;
    var_t *pool = xmalloc((m->n_pools + 1) * sizeof *pool);
    in->at = in->inner = NO_VAR;
    pool[count++] = tape_reshape(t, nn_param1(nn, "separator_token", D, init_zero()), F32_2(1, D));
    for (size_t i = 0; i < m->n_pools; i++) {
        var_t *inputs = in->pool_input + i * ROWS_INPUTS;
        for (size_t k = 0; k < ROWS_INPUTS; k++) inputs[k] = NO_VAR;
        if (n[i]) pool[count++] = pool_rows(nn, m, &m->pool[i], n[i], inputs);
    }
    in->at = tape_input(t, "at", I32_2(B, T));
    var_t x = op_gather(t, concat(t, pool, count), in->at);
    free(pool);
    var_t inner = nn_param2(nn, "pos_embed_observation.weight", (size_t)m->config.model.context, D,
                            init_normal((float)m->config.model.pos_init));
    if (!m->config.model.inner_pos) return x;
    in->inner = tape_input(t, "inner", I32_2(B, T));
    return op_add(t, x, op_gather(t, inner, in->inner));
}

/* ---- blocks and heads ---- */

transformer_opts_t gato_blocks(const gato_model_t *m, var_t first, bool train) {
    static const int activation[] = {MLP_GELU, MLP_GELU_NEW, MLP_GEGLU};
    transformer_opts_t o = {.layers = (size_t)m->config.model.layers,
                            .heads = (size_t)m->config.model.heads,
                            .dropout = train ? (float)m->config.model.dropout : 0,
                            .first = first};
    o.activation = activation[m->config.model.activation];
    return o;
}

static nn_lora_t adapters(const gato_model_t *m, bool train) {
    const gato_config_t *c = &m->config;
    nn_lora_t o = {.rank = (size_t)c->lora.rank, .targets = c->lora.targets};
    if (o.rank) o.scale = (float)(c->lora.alpha / (double)c->lora.rank);
    if (train) o.dropout = (float)c->lora.dropout;
    return o;
}

void gato_model_merge(gato_model_t *m) {
    nn_lora_merge(m->params, adapters(m, false).scale);
    m->config.lora.rank = 0;
}

var_t gato_hidden(nn_t *nn, const gato_model_t *m, var_t x, var_t first, var_t read, bool train) {
    shape_t s = tape_shape(nn->tape, x);
    transformer_opts_t o = gato_blocks(m, first, train);
    size_t mark = nn_push(nn, "transformer");
    nn->lora = adapters(m, train);
    x = op_dropout(nn->tape, x, o.dropout, s.dim[1] * s.dim[2]);
    x = nn_transformer(nn, x, read, o);
    nn_pop(nn, mark);
    return x;
}

var_t gato_predictor(nn_t *nn, const gato_model_t *m, const char *name, size_t out) {
    return nn_param2(nn, name, out, width(m), init_uniform(1 / sqrtf((float)width(m))));
}

var_t gato_predict(nn_t *nn, const gato_model_t *m, const char *name, var_t rows, size_t out) {
    return nn_apply(nn, rows, gato_predictor(nn, m, name, out), NO_VAR, W_OUT_IN);
}

var_t gato_head(nn_t *nn, const gato_model_t *m) {
    return gato_predictor(nn, m, "predict_token.weight", tokens_total(&m->tokens));
}

var_t gato_logits(nn_t *nn, const gato_model_t *m, var_t rows, uint32_t lo, uint32_t hi) {
    return nn_apply_columns(nn, rows, gato_head(nn, m), NO_VAR, W_OUT_IN, lo, hi);
}

/* ---- the model ---- */

static bool pool_possible(const gato_model_t *m, const embed_t *e) {
    return !e->possible || e->possible(m);
}

/* One pool for each embedding that serves a slot, or for each such slot. */
static void list_pools(gato_model_t *m) {
    size_t cap = 0;
    for (size_t e = 0; embeds[e]; e++) {
        bool listed = false;
        for (uint32_t task = 0; task < m->tasks.n && pool_possible(m, embeds[e]); task++)
            for (uint32_t slot = 0; slot < m->tasks.v[task].n_slots; slot++) {
                if (embed_of(&m->config, &m->tasks.v[task].slot[slot]) != embeds[e]) continue;
                if (listed && !embeds[e]->own) continue;
                listed = true;
                m->pool = xgrow(m->pool, &cap, m->n_pools + 1, sizeof *m->pool);
                m->pool[m->n_pools++] = (pool_t){.embed = embeds[e],
                                                 .task = embeds[e]->own ? task : 0,
                                                 .slot = embeds[e]->own ? slot : 0};
            }
    }
}

size_t gato_model_pool(const gato_model_t *m, uint32_t task, uint32_t slot) {
    const embed_t *e = embed_of(&m->config, &m->tasks.v[task].slot[slot]);
    for (size_t i = 0; i < m->n_pools; i++) {
        const pool_t *pool = &m->pool[i];
        if (pool->embed == e && (!e->own || (pool->task == task && pool->slot == slot))) return i;
    }
    BUG("no pool for slot %u of task %u", slot, task);
}

static void list_groups(gato_model_t *m) {
    size_t cap = 0;
    for (size_t h = 0; heads[h]; h++) {
        const head_t *head = heads[h];
        for (uint32_t task = 0; task < m->tasks.n; task++) {
            if (!head->serves(&m->config, &m->tasks.v[task])) continue;
            size_t parts = head->parts ? head->parts(m, task) : 1;
            for (uint32_t part = 0; part < parts; part++) {
                group_t g = {head, head->own ? task : 0, part};
                if (head->possible && !head->possible(m, &g)) continue;
                m->group = xgrow(m->group, &cap, m->n_groups + 1, sizeof *m->group);
                m->group[m->n_groups++] = g;
            }
            if (!head->own) break;
        }
    }
}

static void record_group(nn_t *nn, const gato_model_t *m, const group_t *g, var_t rows) {
    input_spec_t spec[ROWS_INPUTS];
    var_t in[ROWS_INPUTS];
    size_t n = g->head->inputs(m, g, spec);
    for (size_t i = 0; i < n; i++)
        in[i] = tape_input(nn->tape, spec[i].name, gato_input_shape(&spec[i], 1));
    head_vars_t vars;
    g->head->record(nn, m, g, 1, rows, in, true, &vars);
}

/* Records everything once: parameters then exist in one order, whatever runs first. */
static void declare(gato_model_t *m) {
    tape_t *t = tape_new(m->params);
    nn_t nn;
    nn_begin(&nn, t);
    nn.conv1d_std = (float)m->config.model.block_init;
    size_t *n = xmalloc((m->n_pools + 1) * sizeof *n);
    for (size_t i = 0; i < m->n_pools; i++) n[i] = 1;
    gato_inputs_t in = {.pool_input =
                            xmalloc((m->n_pools + 1) * ROWS_INPUTS * sizeof *in.pool_input)};
    var_t x = gato_embed(&nn, m, n, 1, 1, &in);
    x = gato_hidden(&nn, m, x, NO_VAR, NO_VAR, false);
    var_t rows = tape_reshape(t, x, F32_2(1, width(m)));
    gato_head(&nn, m);
    for (size_t i = 0; i < m->n_groups; i++) record_group(&nn, m, &m->group[i], rows);
    free(in.pool_input);
    free(n);
    tape_free(t);
}

/* The prefixes of params_match: what trains; "!" excludes. */
static void choose_trainable(gato_model_t *m) {
    static const char *const fixed[GATO_FIXED] = {"", "!image_codes.codebook",
                                                  "!image_codes.white"};
    for (size_t i = 0; i < GATO_FIXED; i++) m->wrt[m->n_wrt++] = fixed[i];
    if (m->config.lora.rank) {
        m->wrt[m->n_wrt++] = "!transformer.";
        m->wrt[m->n_wrt++] = "transformer.h.*.lora_";
    }
    reason_t why;
    if (freeze_init(&m->freeze, m->config.train.freeze, &why)) return; /* gato train refuses it */
    for (size_t i = 0; i < m->freeze.n; i++) m->wrt[m->n_wrt++] = m->freeze.pattern[i];
}

/* Who made the vocabulary has read these files. */
static fast_t *open_fast(const gato_config_t *c, const vocabulary_t *v) {
    int rc;
    reason_t why;
    if (!v->fast) return NULL;
    fast_t *f =
        fast_parse(v->fast_processor, v->fast_tokenizer, (uint32_t)c->model.chunk, &rc, &why);
    if (!f) BUG("%s", why.text);
    return f;
}

static gato_model_t *model_over(params_t *p, const gato_config_t *c, const vocabulary_t *v,
                                const tasks_t *tasks) {
    gato_model_t *m = NEW(gato_model_t);
    m->config = *c;
    m->vocabulary = vocabulary_copy(v);
    m->tasks = tasks_copy(tasks);
    m->tokens = vocabulary_tokens(c, v);
    m->window = xcalloc(tasks->n + 1, sizeof *m->window);
    for (size_t i = 0; i < tasks->n; i++) m->window[i] = layout_window(c, &tasks->v[i]);
    m->fast = open_fast(c, v);
    m->params = p;
    choose_trainable(m);
    list_pools(m);
    list_groups(m);
    declare(m);
    return m;
}

gato_model_t *gato_model_blank(const gato_config_t *c, const vocabulary_t *v,
                               const tasks_t *tasks) {
    return model_over(params_blank(), c, v, tasks);
}

gato_model_t *gato_model_new(const gato_config_t *c, const vocabulary_t *v, const tasks_t *tasks,
                             uint64_t seed) {
    gato_model_t *m = model_over(params_new(seed), c, v, tasks);
    for (size_t i = 0; i < m->n_pools; i++)
        if (m->pool[i].embed->start) m->pool[i].embed->start(m, &m->pool[i]);
    return m;
}

void gato_model_free(gato_model_t *m) {
    if (!m) return;
    vocabulary_release(&m->vocabulary);
    tasks_release(&m->tasks);
    fast_free(m->fast);
    params_free(m->params);
    free(m->window);
    free(m->pool);
    free(m->group);
    free(m);
}

size_t gato_model_parameters(const gato_model_t *m) {
    size_t n = 0;
    for (size_t i = 0; i < params_n(m->params); i++) {
        const param_t *p = params_at(m->params, (int)i);
        if (params_match(p->name, m->wrt, GATO_FIXED)) n += p->count;
    }
    return n;
}
