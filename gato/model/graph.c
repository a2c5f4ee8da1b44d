/* graph.c - see graph.h. */
#include "gato/model/graph.h"

#include "common/base/sizes.h"

#include <math.h>
#include <string.h>

enum { PLANS = 12 };

/* ---- shapes ---- */

size_t graph_bucket(size_t n) {
    size_t grain = n <= 64 ? 8 : 64;
    while (grain * 16 <= n && n > 1024) grain *= 2; /* at most an eighth too many, and few shapes */
    return round_up(n, grain);
}

static size_t bucket(bool exact, size_t n) {
    return exact ? n : graph_bucket(n);
}

static graph_shape_t shape_for(const gato_model_t *m, const batch_t *b, bool exact) {
    graph_shape_t s = {.B = batch_sequences(b)};
    size_t longest = batch_longest(b);
    s.T = exact || longest <= 32 ? longest : round_up(longest, longest <= 64 ? 8 : 64);
    s.tokens = bucket(exact, b->token.n);
    s.images = bucket(exact, b->images);
    s.vectors = bucket(exact, m->facts.n_continuous ? b->vector.n / m->facts.n_continuous : 0);
    bool regress = m->config.loss.action_kind == ACTION_MSE;
    s.continuous = regress ? 0 : bucket(exact, b->continuous.position.n);
    s.other = bucket(exact, b->other.position.n);
    s.separators = regress ? bucket(exact, b->separator.n) : 0;
    s.futures = m->config.loss.image > 0 ? bucket(exact, b->future.n) : 0;
    return s;
}

graph_shape_t graph_shape(const gato_model_t *m, const batch_t *b) {
    return shape_for(m, b, false);
}

/* ---- recording ---- */

static var_t rows_at(tape_t *t, gato_graph_t *g, const char *name, size_t n, var_t *position) {
    shape_t s = tape_shape(t, g->hidden);
    *position = tape_input(t, name, I32_1(n));
    return op_gather(t, tape_reshape(t, g->hidden, F32_2(s.dim[0] * s.dim[1], s.dim[2])),
                     *position);
}

static void record_continuous(nn_t *nn, const gato_model_t *m, gato_graph_t *g, bool train) {
    tape_t *t = nn->tape;
    size_t n = g->shape.continuous;
    g->c_logits = gato_logits(nn, m, rows_at(t, g, "c_position", n, &g->c_position));
    g->c_target = tape_input(t, "c_target", I32_1(n));
    g->c_range = tape_input(t, "c_range", I32_2(n, 2));
    g->c_weight = tape_input(t, "c_weight", F32_1(n));
    g->c_loss = op_xent(t, g->c_logits, g->c_target, g->c_range, g->c_weight, &g->c_rows);
    g->root[g->n_roots++] = g->c_loss;
    bool mix = m->config.loss.action_kind == ACTION_MIX;
    if (train && !mix) return;
    g->c_own_range = tape_input(t, "c_own_range", I32_2(n, 2));
    g->c_value = tape_input(t, "c_value", F32_1(n));
    g->c_value_weight = tape_input(t, "c_value_weight", F32_1(n));
    g->expectation = op_expect(t, g->c_logits, g->c_own_range);
    var_t column = tape_reshape(t, g->expectation, F32_2(n, 1)),
          value = tape_reshape(t, g->c_value, F32_2(n, 1));
    g->value_loss = op_loss(t, LOSS_MSE, column, value, g->c_value_weight, false);
    if (mix) g->root[g->n_roots++] = g->value_loss;
}

static void record_losses(nn_t *nn, const gato_model_t *m, gato_graph_t *g, bool train) {
    tape_t *t = nn->tape;
    size_t block = (size_t)(m->config.model.merge * m->config.model.merge);
    size_t n = g->shape.other;
    if (g->shape.continuous) record_continuous(nn, m, g, train);
    if (n) {
        g->o_logits = gato_logits(nn, m, rows_at(t, g, "o_position", n, &g->o_position));
        g->o_target = tape_input(t, "o_target", I32_1(n));
        g->o_range = tape_input(t, "o_range", I32_2(n, 2));
        g->o_weight = tape_input(t, "o_weight", F32_1(n));
        g->o_loss = op_xent(t, g->o_logits, g->o_target, g->o_range, g->o_weight, &g->o_rows);
        g->root[g->n_roots++] = g->o_loss;
    }
    n = g->shape.separators;
    if (n) {
        g->action = gato_action(nn, m, rows_at(t, g, "s_position", n, &g->s_position));
        g->s_action = tape_input(t, "s_action", F32_2(n, m->facts.n_actions));
        g->s_weight = tape_input(t, "s_weight", F32_1(n));
        g->action_loss = op_loss(t, LOSS_MSE, g->action, g->s_action, g->s_weight, false);
        g->root[g->n_roots++] = g->action_loss;
    }
    n = g->shape.futures;
    if (n) {
        var_t logits = gato_future(nn, m, rows_at(t, g, "f_position", n, &g->f_position));
        g->f_code = tape_input(t, "f_code", I32_1(n * block));
        g->f_range = tape_input(t, "f_range", I32_2(n * block, 2));
        g->f_weight = tape_input(t, "f_weight", F32_1(n * block));
        g->f_loss = op_xent(t, logits, g->f_code, g->f_range, g->f_weight, &g->f_rows);
        g->root[g->n_roots++] = g->f_loss;
    }
}

static plan_t *make_plan(const gato_model_t *m, gato_graph_t *g, const graph_opts_t *o,
                         plan_memory_t *memory) {
    var_t keep[16];
    size_t n = 0;
    const var_t always[] = {g->c_loss,      g->c_rows,      g->o_loss, g->o_rows, g->value_loss,
                            g->expectation, g->action_loss, g->action, g->f_loss, g->f_rows};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++) keep[n++] = always[i];
    if (!o->train) {
        keep[n++] = g->c_logits;
        keep[n++] = g->o_logits;
    }
    if (o->all_logits) {
        keep[n++] = g->embeddings;
        keep[n++] = g->hidden;
        keep[n++] = g->logits;
    }
    pass_t pass = {.n_roots = g->n_roots, .wrt = m->wrt, .n_wrt = m->n_wrt};
    memcpy(pass.root, g->root, g->n_roots * sizeof *g->root);
    plan_opts_t p = {
        .keep = keep, .n_keep = n, .pass = &pass, .n_pass = o->train, .unshared = o->unshared};
    p.memory = o->unshared ? NULL : memory;
    return plan_new(g->tape, &p);
}

gato_graph_t gato_graph_none(void) {
    return (gato_graph_t){
        .in = {NO_VAR, NO_VAR, NO_VAR, NO_VAR, NO_VAR, NO_VAR, NO_VAR, NO_VAR, NO_VAR},
        .first = NO_VAR,
        .c_position = NO_VAR,
        .c_target = NO_VAR,
        .c_range = NO_VAR,
        .c_own_range = NO_VAR,
        .c_weight = NO_VAR,
        .c_value = NO_VAR,
        .c_value_weight = NO_VAR,
        .o_position = NO_VAR,
        .o_target = NO_VAR,
        .o_range = NO_VAR,
        .o_weight = NO_VAR,
        .s_position = NO_VAR,
        .s_action = NO_VAR,
        .s_weight = NO_VAR,
        .f_position = NO_VAR,
        .f_code = NO_VAR,
        .f_range = NO_VAR,
        .f_weight = NO_VAR,
        .embeddings = NO_VAR,
        .hidden = NO_VAR,
        .logits = NO_VAR,
        .c_logits = NO_VAR,
        .o_logits = NO_VAR,
        .expectation = NO_VAR,
        .action = NO_VAR,
        .c_loss = NO_VAR,
        .c_rows = NO_VAR,
        .o_loss = NO_VAR,
        .o_rows = NO_VAR,
        .value_loss = NO_VAR,
        .action_loss = NO_VAR,
        .f_loss = NO_VAR,
        .f_rows = NO_VAR,
        .root = {NO_VAR, NO_VAR, NO_VAR, NO_VAR},
    };
}

static void record_graph(void *context, const void *key, plan_memory_t *memory, cached_plan_t *at) {
    const gato_graphs_t *graphs = context;
    const gato_model_t *m = graphs->model;
    const graph_opts_t *o = &graphs->opts;
    const graph_shape_t *s = key;
    gato_graph_t *g = at->vars;
    *g = gato_graph_none();
    g->shape = *s;
    g->tape = at->tape = tape_new(m->params);
    nn_t nn;
    nn_begin(&nn, g->tape);
    nn.packed = o->packed;
    gato_pools_t pools = {s->tokens, s->images, s->vectors};
    g->embeddings = gato_embed(&nn, m, pools, s->B, s->T, &g->in);
    g->first = tape_input(g->tape, "first", I32_2(s->B, s->T));
    g->hidden = gato_hidden(&nn, m, g->embeddings, g->first, o->train);
    if (o->all_logits)
        g->logits = gato_logits(
            &nn, m,
            tape_reshape(g->tape, g->hidden, F32_2(s->B * s->T, (size_t)m->config.model.width)));
    record_losses(&nn, m, g, o->train);
    g->plan = at->plan = make_plan(m, g, o, memory);
}

void gato_graphs_init(gato_graphs_t *g, const gato_model_t *m, graph_opts_t o) {
    *g = (gato_graphs_t){.model = m, .opts = o};
    g->plans = plan_cache_new(PLANS, sizeof(graph_shape_t), sizeof(gato_graph_t), record_graph);
}

void gato_graphs_release(gato_graphs_t *g) {
    plan_cache_free(g->plans);
    *g = (gato_graphs_t){0};
}

static gato_graph_t *graph_for(gato_graphs_t *g, const batch_t *b) {
    graph_shape_t s = shape_for(g->model, b, g->opts.exact);
    g->last = plan_cache_get(g->plans, &s, g)->vars;
    return g->last;
}

double gato_graph_flops(const gato_graph_t *g) {
    return 3 * tape_flops(g->tape);
}

/* ---- filling ---- */

/* Copies `from` and pads it to the input's size. */
static void fill_ints(gato_graph_t *g, var_t v, const int32_t *from, size_t n, int32_t pad) {
    if (v == NO_VAR) return;
    size_t all = tape_count(g->tape, v);
    int32_t *to = plan_data(g->plan, v);
    if (n > all) BUG("%zu values for an input of %zu", n, all);
    if (n) memcpy(to, from, n * sizeof *to);
    for (size_t i = n; i < all; i++) to[i] = pad;
}

static void fill_floats(gato_graph_t *g, var_t v, const float *from, size_t n) {
    if (v == NO_VAR) return;
    size_t all = tape_count(g->tape, v);
    float *to = plan_data(g->plan, v);
    if (n > all) BUG("%zu values for an input of %zu", n, all);
    if (n) memcpy(to, from, n * sizeof *to);
    memset(to + n, 0, (all - n) * sizeof *to);
}

/* [lo, hi) for every row. */
static void fill_range(gato_graph_t *g, var_t v, uint32_t lo, uint32_t hi) {
    if (v == NO_VAR) return;
    int32_t *to = plan_data(g->plan, v);
    for (size_t i = 0; i < tape_count(g->tape, v); i += 2) {
        to[i] = (int32_t)lo;
        to[i + 1] = (int32_t)hi;
    }
}

/* The first n weights are 1, those of the padding 0. */
static void fill_ones(gato_graph_t *g, var_t v, size_t n) {
    if (v == NO_VAR) return;
    float *to = plan_data(g->plan, v);
    for (size_t i = 0; i < tape_count(g->tape, v); i++) to[i] = i < n;
}

static int32_t pool_row(const graph_shape_t *s, int32_t at) {
    uint32_t pool = (uint32_t)at >> POOL_SHIFT, row = (uint32_t)at & ((1u << POOL_SHIFT) - 1);
    size_t first[POOLS] = {0, 1, 1 + s->tokens, 1 + s->tokens + s->images};
    return (int32_t)(first[pool] + row);
}

/* The first position that each position of a sequence sees: that of the first timestep inside the
 * attention window of its own. Timesteps ascend. */
static void fill_first(const int32_t *step, size_t n, int32_t window, int32_t *first) {
    size_t low = 0;
    for (size_t p = 0; p < n; p++) {
        while (step[low] <= step[p] - window) low++;
        first[p] = (int32_t)low;
    }
}

static void fill_positions(gato_graph_t *g, const gato_model_t *m, const batch_t *b) {
    size_t B = g->shape.B, T = g->shape.T;
    int32_t *at = plan_data(g->plan, g->in.at);
    int32_t *seen = g->first == NO_VAR ? NULL : plan_data(g->plan, g->first);
    int32_t *inner = g->in.inner == NO_VAR ? NULL : plan_data(g->plan, g->in.inner);
    for (size_t i = 0; i < B; i++) {
        size_t first = (size_t)b->start.v[i], n = (size_t)b->start.v[i + 1] - first;
        if (seen) fill_first(b->step.v + first, n, m->attn_window, seen + i * T);
        for (size_t p = 0; p < T; p++) {
            bool real = p < n;
            at[i * T + p] = real ? pool_row(&g->shape, b->at.v[first + p]) : -1;
            if (seen && !real) seen[i * T + p] = -1;
            if (inner) inner[i * T + p] = real ? b->inner.v[first + p] : -1;
        }
    }
}

/* Turns ragged positions into rows of [B*T, D]. They come in order, so one walk over the sequences
 * is enough. */
static void fill_rows(gato_graph_t *g, var_t v, const batch_t *b, const ints_t *position) {
    if (v == NO_VAR) return;
    int32_t *to = plan_data(g->plan, v);
    size_t all = tape_count(g->tape, v), s = 0;
    for (size_t i = 0; i < all; i++) {
        to[i] = -1;
        if (i >= position->n) continue;
        int32_t p = position->v[i];
        while (p < b->start.v[s]) s--;
        while (p >= b->start.v[s + 1]) s++;
        to[i] = (int32_t)(s * g->shape.T) + p - b->start.v[s];
    }
}

/* Weights of discrete actions and of text, each times the factor of its loss. */
static void fill_other_weight(gato_graph_t *g, const gato_model_t *m, const batch_t *b) {
    if (g->o_weight == NO_VAR) return;
    float *to = plan_data(g->plan, g->o_weight);
    for (size_t i = 0; i < g->shape.other; i++) {
        bool real = i < b->other.weight.n;
        double factor = real && b->other.text.v[i] ? m->config.loss.text : m->config.loss.action;
        to[i] = real ? (float)(factor * (double)b->other.weight.v[i]) : 0;
    }
}

void gato_inputs_fill(gato_graph_t *g, const gato_model_t *m, const batch_t *b) {
    fill_ints(g, g->in.token, b->token.v, b->token.n, -1);
    fill_ints(g, g->in.code, b->code.v, b->code.n, -1);
    fill_ints(g, g->in.table_code, b->code.v, g->in.table_code == NO_VAR ? 0 : b->images, -1);
    if (g->in.table_code != NO_VAR) {
        int32_t *row = plan_data(g->plan, g->in.table_code);
        for (size_t i = 0; i < b->images; i++) row[i] += (int32_t)tokens_codes(&m->tokens);
    }
    fill_ints(g, g->in.row, b->row.v, b->row.n, -1);
    fill_ints(g, g->in.col, b->col.v, b->col.n, -1);
    fill_floats(g, g->in.pixel, b->pixel.v, b->pixel.n);
    fill_floats(g, g->in.vector, b->vector.v, b->vector.n);
    fill_positions(g, m, b);
}

gato_graph_t *gato_graph_fill(gato_graphs_t *cache, const batch_t *b) {
    const gato_model_t *m = cache->model;
    if (!batch_sequences(b) || !batch_positions(b)) BUG("an empty batch");
    gato_graph_t *g = graph_for(cache, b);
    uint32_t total = tokens_total(&m->tokens), first = tokens_continuous(&m->tokens);
    gato_inputs_fill(g, m, b);
    fill_rows(g, g->c_position, b, &b->continuous.position);
    fill_ints(g, g->c_target, b->continuous.target.v, b->continuous.target.n, (int32_t)first);
    fill_range(g, g->c_range, 0, total);
    fill_range(g, g->c_own_range, first, first + m->tokens.bins);
    fill_floats(g, g->c_weight, b->continuous.weight.v, b->continuous.weight.n);
    fill_floats(g, g->c_value, b->continuous.value.v, b->continuous.value.n);
    fill_floats(g, g->c_value_weight, b->continuous.weight.v, b->continuous.weight.n);
    fill_rows(g, g->o_position, b, &b->other.position);
    fill_ints(g, g->o_target, b->other.target.v, b->other.target.n, 0);
    fill_range(g, g->o_range, 0, total);
    fill_other_weight(g, m, b);
    fill_rows(g, g->s_position, b, &b->separator);
    fill_floats(g, g->s_action, b->action.v, b->action.n);
    fill_floats(g, g->s_weight, b->action_weight.v, b->action_weight.n);
    fill_rows(g, g->f_position, b, &b->future);
    fill_ints(g, g->f_code, b->future_code.v, b->future_code.n, 0);
    fill_range(g, g->f_range, 0, m->facts.codes);
    fill_ones(g, g->f_weight, b->future_code.n);
    return g;
}

/* ---- losses ---- */

static double sum_floats(const float *v, size_t n) {
    double s = 0;
    for (size_t i = 0; i < n; i++) s += (double)v[i];
    return s;
}

/* The factor of a root: the table at the top of graph.h. */
static double factor_of(const gato_model_t *m, const gato_graph_t *g, const batch_t *b,
                        var_t root) {
    const gato_config_t *c = &m->config;
    double targets = c->loss.per_sequence ? (double)b->target_sequences : (double)b->targets;
    if (root == g->value_loss || root == g->action_loss) return c->loss.action;
    if (root == g->f_loss) return c->loss.image;
    if (root == g->o_loss)
        return sum_floats(plan_data(g->plan, g->o_weight), g->shape.other) / fmax(targets, 1);
    double ce = c->loss.action_kind == ACTION_MIX ? c->loss.ce_weight : 1;
    return c->loss.action * ce * sum_floats(b->continuous.weight.v, b->continuous.weight.n) /
           fmax(targets, 1);
}

static size_t highest(const float *v, size_t lo, size_t hi) {
    size_t best = lo;
    for (size_t i = lo + 1; i < hi; i++)
        if (v[i] > v[best]) best = i;
    return best;
}

static void continuous_metrics(const gato_model_t *m, gato_graph_t *g, const batch_t *b, bool train,
                               gato_metrics_t *f) {
    size_t n = b->continuous.position.n, V = tokens_total(&m->tokens),
           lo = tokens_continuous(&m->tokens);
    f->n_continuous = n;
    f->ce_continuous = sum_floats(plan_data(g->plan, g->c_rows), n);
    if (g->expectation != NO_VAR) {
        const float *e = plan_data(g->plan, g->expectation);
        for (size_t i = 0; i < n; i++) {
            double d = (double)e[i] - (double)b->continuous.value.v[i];
            f->squared += d * d;
            f->absolute += fabs(d);
        }
        f->n_values += n;
    }
    if (train) return;
    const float *logits = plan_data(g->plan, g->c_logits);
    for (size_t i = 0; i < n; i++)
        f->correct +=
            highest(logits + i * V, lo, lo + m->tokens.bins) == (size_t)b->continuous.target.v[i];
    f->n_correct += n;
}

static void other_metrics(const gato_model_t *m, gato_graph_t *g, const batch_t *b, bool train,
                          gato_metrics_t *f) {
    const float *rows = plan_data(g->plan, g->o_rows);
    const float *logits = train ? NULL : plan_data(g->plan, g->o_logits);
    size_t V = tokens_total(&m->tokens), lo = tokens_discrete(&m->tokens);
    const targets_t *t = &b->other;
    for (size_t i = 0, k = 0; i < t->position.n; i++) {
        if (t->text.v[i]) {
            f->ce_text += (double)rows[i];
            f->n_text++;
            continue;
        }
        f->ce_discrete += (double)rows[i];
        f->n_discrete++;
        /* discrete actions of a timestep follow one another */
        k = i && !t->text.v[i - 1] && t->position.v[i] == t->position.v[i - 1] + 1 ? k + 1 : 0;
        if (!logits) continue;
        size_t size = m->facts.discrete_action_range[k % m->facts.n_discrete_actions];
        f->correct += highest(logits + i * V, lo, lo + size) == (size_t)t->target.v[i];
        f->n_correct++;
    }
}

static void action_metrics(const gato_model_t *m, gato_graph_t *g, const batch_t *b,
                           gato_metrics_t *f) {
    const float *a = plan_data(g->plan, g->action);
    for (size_t i = 0; i < b->action.n; i++) {
        double d = (double)a[i] - (double)b->action.v[i];
        f->squared += d * d;
        f->absolute += fabs(d);
    }
    f->n_values += b->action.n;
}

/* Seeds the backward pass with the factors of the terms of the loss for this batch. */
static void seed_roots(const gato_model_t *m, gato_graph_t *g, const batch_t *b) {
    for (size_t i = 0; i < g->n_roots; i++)
        plan_seed(g->plan, 0, i, (float)factor_of(m, g, b, g->root[i]));
}

static gato_metrics_t metrics(const gato_graphs_t *cache, gato_graph_t *g, const batch_t *b) {
    const gato_model_t *m = cache->model;
    gato_metrics_t f = {.positions = batch_positions(b), .sequences = batch_sequences(b)};
    for (size_t i = 0; i < g->n_roots; i++) {
        double factor = factor_of(m, g, b, g->root[i]);
        if (factor != 0) f.loss += factor * (double)plan_scalar(g->plan, g->root[i]);
    }
    if (g->c_loss != NO_VAR) continuous_metrics(m, g, b, cache->opts.train, &f);
    if (g->o_loss != NO_VAR) other_metrics(m, g, b, cache->opts.train, &f);
    if (g->action != NO_VAR) action_metrics(m, g, b, &f);
    if (g->f_loss != NO_VAR) {
        f.ce_image = sum_floats(plan_data(g->plan, g->f_rows), b->future_code.n);
        f.n_image = b->future_code.n;
    }
    return f;
}

gato_metrics_t gato_step(gato_graphs_t *cache, const batch_t *b, uint64_t seed, uint64_t step,
                         uint64_t first_sample, bool add) {
    gato_graph_t *g = gato_graph_fill(cache, b);
    plan_key(g->plan, seed, step, first_sample);
    plan_forward(g->plan);
    gato_metrics_t f = metrics(cache, g, b);
    if (cache->opts.train) {
        seed_roots(cache->model, g, b);
        plan_accumulate(g->plan, 0, add);
        plan_backward(g->plan, 0);
    }
    return f;
}

void gato_metrics_add(gato_metrics_t *sum, const gato_metrics_t *more) {
    sum->ce_continuous += more->ce_continuous;
    sum->ce_discrete += more->ce_discrete;
    sum->ce_text += more->ce_text;
    sum->ce_image += more->ce_image;
    sum->n_continuous += more->n_continuous;
    sum->n_discrete += more->n_discrete;
    sum->n_text += more->n_text;
    sum->n_image += more->n_image;
    sum->correct += more->correct;
    sum->n_correct += more->n_correct;
    sum->squared += more->squared;
    sum->absolute += more->absolute;
    sum->n_values += more->n_values;
    sum->positions += more->positions;
    sum->sequences += more->sequences;
}
