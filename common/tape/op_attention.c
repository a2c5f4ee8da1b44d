/* op_attention.c - attention over separate q, k, v, one packed matrix, or some positions' q and a
 * packed matrix of all keys and values. Output 1 is the log of the softmax denominators. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { Q, K, V, FIRST_SEEN, AT, N_IN };
enum { OUT, LOG_SUM, N_OUT };
enum { HEADS, CAUSAL, WAY }; /* attr.i */
enum { SCALE };              /* attr.f */

/* WAY: where q, k and v lie, as columns first * D .. of the input `in`, whose rows are `columns`
 * times D long. */
typedef enum { APART, PACKED, SOME } way_t;
typedef struct {
    int in;
    size_t first, columns;
} part_t;
static const part_t parts[][3] = {[APART] = {{Q, 0, 1}, {K, 0, 1}, {V, 0, 1}},
                                  [PACKED] = {{Q, 0, 3}, {Q, 1, 3}, {Q, 2, 3}},
                                  [SOME] = {{Q, 0, 1}, {K, 0, 2}, {K, 1, 2}}};

static kern_attention_t geometry(const op_run_t *r) {
    const shape_t *o = r->out_shape[OUT], *keys = r->in_shape[parts[r->attr->i[WAY]][K].in];
    const part_t *part = parts[r->attr->i[WAY]];
    size_t D = shape_cols(*o), heads = (size_t)r->attr->i[HEADS];
    return (kern_attention_t){.B = keys->dim[0],
                              .Tq = o->dim[o->rank - 2],
                              .Tk = keys->dim[1],
                              .heads = heads,
                              .dh = D / heads,
                              .ldq = part[Q].columns * D,
                              .ldk = part[K].columns * D,
                              .ldv = part[V].columns * D,
                              .ldo = D,
                              .scale = r->attr->f[SCALE],
                              .causal = r->attr->i[CAUSAL] != 0,
                              .first = r->in[FIRST_SEEN],
                              .at = r->in[AT]};
}

static void values(const op_run_t *r, size_t D, const float *x[3]) {
    const part_t *part = parts[r->attr->i[WAY]];
    for (size_t i = Q; i <= V; i++) x[i] = (const float *)r->in[part[i].in] + part[i].first * D;
}
/* The same of their gradients; NULL where none is wanted. */
static void gradients(const op_run_t *r, size_t D, float *dx[3]) {
    const part_t *part = parts[r->attr->i[WAY]];
    for (size_t i = Q; i <= V; i++) {
        float *din = r->din[part[i].in];
        dx[i] = din ? din + part[i].first * D : NULL;
    }
}

static void forward(const op_run_t *r) {
    kern_attention_t g = geometry(r);
    const float *x[3];
    values(r, g.ldo, x);
    kern_attention_forward(&g, x[Q], x[K], x[V], r->out[OUT], r->out[LOG_SUM]);
}

static void backward(const op_run_t *r) {
    kern_attention_t g = geometry(r);
    const float *x[3];
    float *dx[3];
    values(r, g.ldo, x);
    gradients(r, g.ldo, dx);
    if (!dx[Q] || !dx[K] || !dx[V]) BUG("attention: q, k and v need gradients together");
    const part_t *part = parts[r->attr->i[WAY]];
    if (r->add[part[Q].in] != r->add[part[K].in] || r->add[part[K].in] != r->add[part[V].in])
        BUG("attention: q, k and v must be new values of their own");
    kern_attention_backward(&g, x[Q], x[K], x[V], r->out[OUT], r->out[LOG_SUM], r->dout[OUT], dx[Q],
                            dx[K], dx[V], r->add[Q], r->scratch);
}

static size_t scratch(const op_run_t *r, bool backward_pass) {
    kern_attention_t g = geometry(r);
    return backward_pass ? kern_attention_scratch(&g) : 0;
}

static double flops(const op_run_t *r) {
    kern_attention_t g = geometry(r);
    const shape_t *o = r->out_shape[OUT];
    return 4.0 * (double)shape_count(*o) * (double)g.Tk * (g.causal ? 0.5 : 1);
}

static const opdef_t attention_def = {.name = "attention",
                                      .forward = forward,
                                      .backward = backward,
                                      .scratch = scratch,
                                      .keeps_in = OP_BIT(Q) | OP_BIT(K) | OP_BIT(V) |
                                                  OP_BIT(FIRST_SEEN) | OP_BIT(AT),
                                      .keeps_out = OP_BIT(OUT) | OP_BIT(LOG_SUM),
                                      .grads_in = OP_BIT(Q) | OP_BIT(K) | OP_BIT(V),
                                      .flops = flops};

/* k and v are of one shape, and q has as many items and columns; with `causal` as many rows too. */
static void check_apart(tape_t *t, const var_t in[3], bool causal) {
    shape_t q = tape_shape(t, in[Q]);
    for (int i = K; i <= V; i++) {
        shape_t s = tape_shape(t, in[i]);
        if (q.rank != 3 || s.rank != 3 || q.dim[0] != s.dim[0] || q.dim[2] != s.dim[2] ||
            tape_count(t, in[i]) != tape_count(t, in[K]) || (causal && q.dim[1] != s.dim[1]))
            tape_shape_bug(t, "attention", "q, k, v differ", q, s);
    }
}

/* in: q, k, v and `at`, NO_VAR where the way has none. */
static var_t record(tape_t *t, const var_t in[4], way_t way, attention_opts_t o) {
    const part_t *keys = &parts[way][K];
    shape_t s = tape_shape(t, in[keys->in]);
    size_t D = s.dim[2] / keys->columns;
    if (s.rank != 3 || !o.heads || D % o.heads)
        tape_shape_bug(t, "attention", "width and heads do not fit", s, F32_1(o.heads));
    if (way == APART) check_apart(t, in, o.causal);
    if (way == SOME && (!o.causal || tape_count(t, in[Q]) != tape_count(t, in[3]) * D))
        tape_shape_bug(t, "attention", "q and `at` differ, or attention is not causal",
                       tape_shape(t, in[Q]), tape_shape(t, in[3]));
    if (o.first != NO_VAR && (!o.causal || tape_count(t, o.first) != s.dim[0] * s.dim[1]))
        tape_shape_bug(t, "attention", "`first` does not fit, or attention is not causal", s,
                       tape_shape(t, o.first));
    op_spec_t spec = {.def = &attention_def,
                      .n_in = N_IN,
                      .n_out = N_OUT,
                      .in = {in[Q], in[K], in[V], o.first, in[3]}};
    if (way == SOME) {
        size_t rows = tape_count(t, in[3]);
        spec.out[OUT] = F32_2(rows, D);
        spec.out[LOG_SUM] = F32_2(o.heads, rows);
    } else {
        size_t rows = tape_shape(t, in[Q]).dim[1];
        spec.out[OUT] = F32_3(s.dim[0], rows, D);
        spec.out[LOG_SUM] = F32_3(s.dim[0], o.heads, rows);
    }
    spec.attr.i[HEADS] = (int64_t)o.heads;
    spec.attr.i[CAUSAL] = o.causal;
    spec.attr.i[WAY] = way;
    spec.attr.f[SCALE] = o.scale > 0 ? o.scale : 1 / sqrtf((float)(D / o.heads));
    return tape_op(t, &spec);
}

var_t op_attention(tape_t *t, var_t q, var_t k, var_t v, attention_opts_t o) {
    return record(t, (var_t[]){q, k, v, NO_VAR}, APART, o);
}
var_t op_attention_packed(tape_t *t, var_t qkv, attention_opts_t o) {
    return record(t, (var_t[]){qkv, NO_VAR, NO_VAR, NO_VAR}, PACKED, o);
}
var_t op_attention_some(tape_t *t, var_t q, var_t kv, var_t at, attention_opts_t o) {
    return record(t, (var_t[]){q, kv, NO_VAR, at}, SOME, o);
}

/* ---- with a KV cache ---- */

enum { QKV, LANES, N_CACHED_IN };
enum { CACHED_HEADS, CACHED_LAYER, CACHED_LAST }; /* attr.i */
enum { AT_ONCE = 64 };                            /* lanes of a call of the kernel */

static size_t lanes_of(const shape_t *s) {
    return shape_count(*s) * sizeof(float) / sizeof(attention_lane_t);
}

/* The part of a lane, its new positions being rows at .. of qkv and `out` its part of the output.
 */
static kern_cached_t cached_lane(const op_run_t *r, const attention_lane_t *lane, size_t at,
                                 float *out) {
    size_t D = shape_cols(*r->out_shape[OUT]), heads = (size_t)r->attr->i[CACHED_HEADS];
    if (!lane->T || lane->used + lane->T > lane->capacity || lane->first > lane->used ||
        lane->early > lane->T || (lane->early && lane->early_first > lane->used) ||
        lane->capacity % KERN_CACHE_PANEL)
        BUG("the KV cache of %zu rows is full, or a lane of %zu positions is impossible",
            lane->capacity, lane->T);
    return (kern_cached_t){.T = lane->T,
                           .heads = heads,
                           .dh = D / heads,
                           .capacity = lane->capacity,
                           .used = lane->used,
                           .first = lane->first,
                           .early = lane->early,
                           .early_first = lane->early_first,
                           .skip = r->attr->i[CACHED_LAST] ? lane->T - 1 : 0,
                           .scale = 1 / sqrtf((float)(D / heads)),
                           .qkv = (const float *)r->in[QKV] + at * 3 * D,
                           .cache = lane->cache[r->attr->i[CACHED_LAYER]],
                           .out = out};
}

static void cached_forward(const op_run_t *r) {
    const attention_lane_t *lane = r->in[LANES];
    size_t n = lanes_of(r->in_shape[LANES]), rows = shape_rows(*r->in_shape[QKV]), at = 0, done = 0;
    float *out = r->out[OUT];
    for (size_t first = 0; first < n; first += done) {
        kern_cached_t g[AT_ONCE];
        for (done = 0; done < AT_ONCE && first + done < n; done++, lane++) {
            if (at + lane->T > rows) BUG("lanes have more positions than the %zu of qkv", rows);
            g[done] = cached_lane(r, lane, at, out);
            at += lane->T;
            out += (lane->T - g[done].skip) * shape_cols(*r->out_shape[OUT]);
        }
        kern_attention_cached(g, done);
    }
    if (at != rows) BUG("lanes have %zu positions, qkv has %zu", at, rows);
}

static const opdef_t cached_def = {.name = "attention_cached", .forward = cached_forward};

var_t op_attention_lanes(tape_t *t, const attention_lane_t *lane, size_t n) {
    return tape_bound(t, "lanes", F32_2(n, sizeof *lane / sizeof(float)), lane);
}

var_t op_attention_cached(tape_t *t, var_t qkv, var_t lanes, size_t heads, size_t layer,
                          bool last) {
    shape_t s = tape_shape(t, qkv), l = tape_shape(t, lanes);
    size_t rows = shape_rows(s), D = shape_cols(s) / 3, n = lanes_of(&l);
    if (!D || !heads || D % heads || !n || n > rows)
        tape_shape_bug(t, "attention_cached", "qkv, heads and lanes do not fit", s, l);
    op_spec_t spec = {.def = &cached_def, .n_in = N_CACHED_IN, .n_out = 1, .in = {qkv, lanes}};
    spec.out[OUT] = F32_2(last ? n : rows, D);
    spec.attr.i[CACHED_HEADS] = (int64_t)heads;
    spec.attr.i[CACHED_LAYER] = (int64_t)layer;
    spec.attr.i[CACHED_LAST] = last;
    return tape_op(t, &spec);
}
