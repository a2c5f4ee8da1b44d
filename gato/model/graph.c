/* graph.c - see graph.h. */
#include "gato/model/graph.h"

#include "common/base/sizes.h"
#include "gato/model/reads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Plans of all shapes that a training of several tasks meets again and again; they share memory. */
enum { PLANS = 64 };

enum { SIZE_B, SIZE_T, SIZE_READ, SIZES };

struct gato_graphs {
    const gato_model_t *model;
    graph_opts_t opts;
    plan_cache_t *plans; /* by sizes, size_t [SIZES + n_pools + n_groups]: and rows of each */
    size_t *sizes;       /* of the batch at hand */
    reads_t reads;       /* of the batch at hand */
    gato_graph_t *last;
    double padding;
};

/* ---- sizes ---- */

size_t graph_bucket(size_t n) {
    size_t grain = n <= 64 ? 8 : 64;
    while (grain * 16 <= n && n > 1024) grain *= 2; /* at most an eighth too many, and few shapes */
    return round_up(n, grain);
}

/* Rows of one task: they cost little, so that coarse steps keep shapes few. */
static size_t bucket_own(size_t n) {
    size_t power = n ? 8 : 0;
    while (power < n) power *= 2;
    return power;
}

static size_t bucket(const graph_opts_t *o, bool own, size_t n) {
    if (o->exact) return n;
    return own ? bucket_own(n) : graph_bucket(n);
}

static void sizes_of(gato_graphs_t *g, const batch_t *b, const packing_t *p) {
    const gato_model_t *m = g->model;
    size_t *s = g->sizes;
    bool mixed = m->tasks.n > 1;
    bool whole = g->opts.all_logits || g->opts.whole;
    s[SIZE_B] = p->B;
    s[SIZE_T] = p->T;
    s[SIZE_READ] = whole ? 0 : reads_bound(&g->reads, p, g->opts.exact);
    s += SIZES;
    for (size_t i = 0; i < m->n_pools; i++)
        *s++ = bucket(&g->opts, m->pool[i].embed->own && mixed, b->pool[i].n);
    for (size_t i = 0; i < m->n_groups; i++)
        *s++ = bucket(&g->opts, m->group[i].head->own && mixed, b->target[i].rows.n);
}

/* ---- recording ---- */

static void record_group(nn_t *nn, const gato_model_t *m, gato_graph_t *g, size_t i, size_t n,
                         bool train) {
    tape_t *t = nn->tape;
    input_spec_t spec[ROWS_INPUTS];
    var_t *in = g->group_input + i * ROWS_INPUTS;
    size_t inputs = m->group[i].head->inputs(m, &m->group[i], spec);
    for (size_t k = 0; k < inputs; k++)
        in[k] = tape_input(t, spec[k].name, gato_input_shape(&spec[k], n));
    shape_t s = tape_shape(t, g->hidden);
    var_t hidden = tape_reshape(t, g->hidden, F32_2(shape_rows(s), shape_cols(s)));
    var_t rows = op_gather(t, hidden, in[INPUT_POSITION]);
    m->group[i].head->record(nn, m, &m->group[i], n, rows, in, train, &g->head[i]);
}

static plan_t *make_plan(const gato_model_t *m, gato_graph_t *g, const graph_opts_t *o,
                         plan_memory_t *memory) {
    size_t n = 0;
    var_t *keep = xmalloc((m->n_groups * (HEAD_ROOTS + HEAD_VALUES) + 3) * sizeof *keep);
    pass_t *pass = NEW(pass_t);
    pass->wrt = m->wrt;
    pass->n_wrt = m->n_wrt;
    for (size_t i = 0; i < m->n_groups; i++) {
        for (size_t r = 0; r < HEAD_ROOTS; r++) {
            if (g->head[i].root[r] == NO_VAR) continue;
            if (pass->n_roots == PASS_ROOTS) BUG("more than %d terms of a loss", PASS_ROOTS);
            pass->root[pass->n_roots++] = g->head[i].root[r];
            keep[n++] = g->head[i].root[r];
        }
        for (size_t v = 0; v < HEAD_VALUES; v++) keep[n++] = g->head[i].value[v];
    }
    if (o->all_logits) {
        keep[n++] = g->embeddings;
        keep[n++] = g->hidden;
        keep[n++] = g->logits;
    }
    plan_opts_t p = {
        .keep = keep, .n_keep = n, .pass = pass, .n_pass = o->train, .unshared = o->unshared};
    p.memory = o->unshared ? NULL : memory;
    plan_t *plan = plan_new(g->tape, &p);
    free(pass);
    free(keep);
    return plan;
}

/* The arrays of a graph lie behind it. */
static size_t graph_bytes(const gato_model_t *m) {
    return sizeof(gato_graph_t) + m->n_groups * sizeof(head_vars_t) +
           (m->n_pools + m->n_groups) * ROWS_INPUTS * sizeof(var_t);
}

static void graph_init(gato_graph_t *g, const gato_model_t *m) {
    g->head = (head_vars_t *)(g + 1);
    g->in.pool_input = (var_t *)(g->head + m->n_groups);
    g->group_input = g->in.pool_input + m->n_pools * ROWS_INPUTS;
    for (size_t i = 0; i < m->n_groups; i++) g->head[i] = head_vars_none;
    for (size_t i = 0; i < m->n_groups * ROWS_INPUTS; i++) g->group_input[i] = NO_VAR;
    g->embeddings = g->hidden = g->logits = g->read = NO_VAR;
}

static void record_graph(void *context, const void *key, plan_memory_t *memory, cached_plan_t *at) {
    const gato_graphs_t *graphs = context;
    const gato_model_t *m = graphs->model;
    const graph_opts_t *o = &graphs->opts;
    const size_t *sizes = key, *pools = sizes + SIZES, *groups = pools + m->n_pools;
    gato_graph_t *g = at->vars;
    graph_init(g, m);
    g->B = sizes[SIZE_B];
    g->T = sizes[SIZE_T];
    g->tape = at->tape = tape_new(m->params);
    nn_t nn;
    nn_begin(&nn, g->tape);
    nn.packed = o->packed;
    g->embeddings = gato_embed(&nn, m, pools, g->B, g->T, &g->in);
    g->first = tape_input(g->tape, "first", I32_2(g->B, g->T));
    if (sizes[SIZE_READ]) g->read = tape_input(g->tape, "read", I32_1(sizes[SIZE_READ]));
    g->hidden = gato_hidden(&nn, m, g->embeddings, g->first, g->read, o->train);
    if (o->all_logits) {
        size_t D = (size_t)m->config.model.width;
        var_t rows = tape_reshape(g->tape, g->hidden, F32_2(g->B * g->T, D));
        g->logits = gato_logits(&nn, m, rows, 0, tokens_total(&m->tokens));
    }
    for (size_t i = 0; i < m->n_groups; i++)
        if (groups[i]) record_group(&nn, m, g, i, groups[i], o->train);
    g->plan = at->plan = make_plan(m, g, o, memory);
}

gato_graphs_t *gato_graphs_new(const gato_model_t *m, graph_opts_t o) {
    gato_graphs_t *g = NEW(gato_graphs_t);
    size_t sizes = SIZES + m->n_pools + m->n_groups;
    *g = (gato_graphs_t){.model = m, .opts = o, .sizes = xcalloc(sizes, sizeof *g->sizes)};
    g->plans = plan_cache_new(PLANS, sizes * sizeof *g->sizes, graph_bytes(m), record_graph);
    return g;
}

void gato_graphs_free(gato_graphs_t *g) {
    if (!g) return;
    plan_cache_free(g->plans);
    reads_release(&g->reads);
    free(g->sizes);
    free(g);
}

const gato_model_t *gato_graphs_model(const gato_graphs_t *g) {
    return g->model;
}

gato_graph_t *gato_graphs_last(const gato_graphs_t *g) {
    return g->last;
}

double gato_graphs_padding(const gato_graphs_t *g) {
    return g->padding;
}

double gato_graph_flops(const gato_graph_t *g) {
    return 3 * tape_flops(g->tape);
}

/* ---- filling ---- */

/* Copies a column and pads it to the input's size. */
static void fill_column(plan_t *plan, const tape_t *t, var_t v, const input_spec_t *spec,
                        const column_t *c) {
    if (v == NO_VAR) return;
    size_t all = tape_count(t, v);
    if (c->n > all) BUG("input '%s': %zu values in %zu", spec->name, c->n, all);
    if (spec->type == DT_F32) {
        float *to = plan_data(plan, v);
        if (c->n) memcpy(to, c->v, c->n * sizeof *to);
        memset(to + c->n, 0, (all - c->n) * sizeof *to);
        return;
    }
    int32_t *to = plan_data(plan, v);
    if (c->n) memcpy(to, c->v, c->n * sizeof *to);
    for (size_t i = c->n; i < all; i++) to[i] = spec->pad[i % 2];
}

/* The rows that the pool numbers of batch_t.at count from. */
static size_t *first_rows(const gato_model_t *m, const size_t *n) {
    size_t *first = xmalloc((m->n_pools + 1) * sizeof *first);
    first[0] = 0;
    for (size_t i = 0, at = 1; i < m->n_pools; at += n[i++]) first[i + 1] = at;
    return first;
}

void gato_inputs_fill(plan_t *plan, const tape_t *t, const gato_model_t *m, const gato_inputs_t *in,
                      const size_t *n, const batch_t *b, const packing_t *p) {
    for (size_t i = 0; i < m->n_pools; i++)
        for (size_t k = 0; k < b->pool[i].n_inputs; k++)
            fill_column(plan, t, in->pool_input[i * ROWS_INPUTS + k], &b->pool[i].spec[k],
                        &b->pool[i].input[k]);
    size_t *first = first_rows(m, n);
    int32_t *at = plan_data(plan, in->at),
            *inner = in->inner == NO_VAR ? NULL : plan_data(plan, in->inner);
    for (size_t i = 0; i < p->B * p->T; i++) at[i] = -1;
    for (size_t i = 0; i < p->B * p->T && inner; i++) inner[i] = -1;
    for (size_t s = 0; s < batch_sequences(b); s++) {
        size_t from = (size_t)column_at(&b->start, s), end = (size_t)column_at(&b->start, s + 1);
        size_t to = p->row[s] * p->T + p->offset[s];
        for (size_t i = from; i < end; i++, to++) {
            int64_t place = b->at.v[i];
            at[to] = (int32_t)(first[place >> POOL_SHIFT] +
                               (size_t)(place & (((int64_t)1 << POOL_SHIFT) - 1)));
            if (inner) inner[to] = column_at(&b->inner, i);
        }
    }
    free(first);
}

void gato_first_fill(const batch_t *b, const packing_t *p, int32_t *first) {
    for (size_t i = 0; i < p->B * p->T; i++) first[i] = -1;
    for (size_t s = 0; s < batch_sequences(b); s++) {
        size_t from = (size_t)column_at(&b->start, s), end = (size_t)column_at(&b->start, s + 1);
        int32_t *row = first + p->row[s] * p->T, window = column_at(&b->window, s);
        size_t low = from;
        for (size_t i = from; i < end; i++) { /* timesteps ascend */
            while (column_at(&b->step, low) <= column_at(&b->step, i) - window) low++;
            row[p->offset[s] + i - from] = (int32_t)(p->offset[s] + low - from);
        }
    }
}

/* Turns ragged positions into rows of the hidden states. */
static void fill_positions(gato_graph_t *g, var_t v, const batch_t *b, const packing_t *p,
                           const reads_t *reads, const column_t *position) {
    int32_t *to = plan_data(g->plan, v);
    size_t all = tape_count(g->tape, v), s = 0;
    for (size_t i = 0; i < all; i++) {
        to[i] = -1;
        if (i >= position->n) continue;
        size_t place = packing_place(p, b, column_at(position, i), &s);
        to[i] = g->read == NO_VAR ? (int32_t)place : reads->number[place];
    }
}

gato_graph_t *gato_graph_fill(gato_graphs_t *graphs, const batch_t *b) {
    const gato_model_t *m = graphs->model;
    if (!batch_sequences(b) || !batch_positions(b)) BUG("an empty batch");
    packing_t p = packing_of(b, graphs->opts.exact);
    reads_find(&graphs->reads, b, &p);
    sizes_of(graphs, b, &p);
    gato_graph_t *g = plan_cache_get(graphs->plans, graphs->sizes, graphs)->vars;
    graphs->last = g;
    gato_inputs_fill(g->plan, g->tape, m, &g->in, graphs->sizes + SIZES, b, &p);
    gato_first_fill(b, &p, plan_data(g->plan, g->first));
    if (g->read != NO_VAR)
        reads_fill(&graphs->reads, &p, plan_data(g->plan, g->read), tape_count(g->tape, g->read));
    for (size_t i = 0; i < m->n_groups; i++) {
        const rows_t *rows = &b->target[i].rows;
        const var_t *in = g->group_input + i * ROWS_INPUTS;
        if (in[INPUT_POSITION] == NO_VAR) continue;
        fill_positions(g, in[INPUT_POSITION], b, &p, &graphs->reads, &rows->input[INPUT_POSITION]);
        for (size_t k = 1; k < rows->n_inputs; k++)
            fill_column(g->plan, g->tape, in[k], &rows->spec[k], &rows->input[k]);
    }
    graphs->padding = 1 - (double)batch_positions(b) / (double)(p.B * p.T);
    packing_release(&p);
    return g;
}

/* ---- losses ---- */

void gato_metrics_init(gato_metrics_t *f, const gato_model_t *m) {
    *f = (gato_metrics_t){.model = m, .tasks = m->tasks.n};
    f->sums = xcalloc(f->tasks * HEADS + 1, sizeof *f->sums);
    f->part = xcalloc(f->tasks * m->n_groups + 1, sizeof *f->part);
    f->positions = xcalloc(f->tasks + 1, sizeof *f->positions);
    f->sequences = xcalloc(f->tasks + 1, sizeof *f->sequences);
}

void gato_metrics_release(gato_metrics_t *f) {
    free(f->sums);
    free(f->part);
    free(f->positions);
    free(f->sequences);
    *f = (gato_metrics_t){0};
}

static void sums_add(head_sums_t *to, const head_sums_t *more) {
    to->ce += more->ce;
    to->n += more->n;
    to->correct += more->correct;
    to->n_correct += more->n_correct;
    to->squared += more->squared;
    to->absolute += more->absolute;
    to->n_values += more->n_values;
}

void gato_metrics_add(gato_metrics_t *sum, const gato_metrics_t *more) {
    if (sum->tasks != more->tasks) BUG("%zu tasks and %zu", sum->tasks, more->tasks);
    for (size_t i = 0; i < sum->tasks * HEADS; i++) sums_add(&sum->sums[i], &more->sums[i]);
    for (size_t i = 0; i < sum->tasks * sum->model->n_groups; i++)
        sums_add(&sum->part[i], &more->part[i]);
    for (size_t i = 0; i < sum->tasks; i++) {
        sum->positions[i] += more->positions[i];
        sum->sequences[i] += more->sequences[i];
    }
}

static void measure(const gato_graphs_t *graphs, gato_graph_t *g, const batch_t *b,
                    gato_metrics_t *f) {
    const gato_model_t *m = graphs->model;
    head_sums_t *sums = xmalloc((m->tasks.n + 1) * sizeof *sums);
    for (size_t i = 0; i < m->n_groups; i++) {
        const group_t *group = &m->group[i];
        if (g->head[i].root[0] == NO_VAR) continue;
        memset(sums, 0, m->tasks.n * sizeof *sums);
        group->head->measure(m, group, &b->target[i], g->plan, &g->head[i], graphs->opts.train,
                             sums);
        size_t h = head_number(group->head);
        for (size_t t = 0; t < m->tasks.n; t++) {
            sums_add(&f->sums[t * HEADS + h], &sums[t]);
            sums_add(&f->part[t * m->n_groups + i], &sums[t]);
        }
    }
    free(sums);
    for (size_t s = 0; s < batch_sequences(b); s++) {
        int32_t task = column_at(&b->task, s);
        f->positions[task] += (size_t)(column_at(&b->start, s + 1) - column_at(&b->start, s));
        f->sequences[task]++;
    }
}

/* Sums the terms of head.h's table; seeds the backward pass with their factors. */
static void total(const gato_graphs_t *graphs, gato_graph_t *g, const batch_t *b,
                  gato_metrics_t *f) {
    const gato_model_t *m = graphs->model;
    size_t n = 0;
    f->loss = 0;
    f->terms = 0;
    for (size_t i = 0; i < m->n_groups; i++)
        for (size_t r = 0; r < HEAD_ROOTS; r++) {
            var_t root = g->head[i].root[r];
            if (root == NO_VAR) continue;
            const group_t *group = &m->group[i];
            double factor = group->head->factor(b, group, &b->target[i], r);
            if (graphs->opts.train) plan_seed(g->plan, 0, n++, (float)factor);
            if (factor == 0) continue;
            f->loss += factor * (double)plan_scalar(g->plan, root);
            f->terms++;
        }
}

void gato_step(gato_graphs_t *graphs, const batch_t *b, uint64_t seed, uint64_t step,
               uint64_t first_sample, bool add, gato_metrics_t *f) {
    gato_graph_t *g = gato_graph_fill(graphs, b);
    plan_key(g->plan, seed, step, first_sample);
    plan_forward(g->plan);
    measure(graphs, g, b, f);
    total(graphs, g, b, f);
    if (!graphs->opts.train) return;
    plan_accumulate(g->plan, 0, add);
    plan_backward(g->plan, 0);
}
