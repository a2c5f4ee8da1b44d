/* op_attention.c - attention over separate q, k, v or one packed matrix. Output 1 is the log of the
 * softmax denominators. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Inputs: q, k, v, or one qkv in place of q while k and v are absent. */
enum { Q, K, V, FIRST_SEEN, N_IN };
enum { OUT, LOG_SUM, N_OUT };
enum { HEADS, CAUSAL, PACKED }; /* attr.i */
enum { SCALE };                 /* attr.f */

static bool is_packed(const op_run_t *r) {
    return r->attr->i[PACKED] != 0;
}

static kern_attention_t geometry(const op_run_t *r) {
    const shape_t *o = r->out_shape[OUT];
    size_t D = o->dim[2], heads = (size_t)r->attr->i[HEADS];
    size_t ld = is_packed(r) ? 3 * D : D;
    return (kern_attention_t){.B = o->dim[0],
                              .Tq = o->dim[1],
                              .Tk = o->dim[1],
                              .heads = heads,
                              .dh = D / heads,
                              .ldq = ld,
                              .ldk = ld,
                              .ldv = ld,
                              .ldo = D,
                              .scale = r->attr->f[SCALE],
                              .causal = r->attr->i[CAUSAL] != 0,
                              .first = r->in[FIRST_SEEN]};
}

/* Where q, k and v lie: apart, or as columns [0,D), [D,2D), [2D,3D) of qkv. */
static void values(const op_run_t *r, size_t D, const float *x[3]) {
    for (size_t i = Q; i <= V; i++)
        x[i] = is_packed(r) ? (const float *)r->in[Q] + i * D : r->in[i];
}
/* The same of their gradients; NULL where none is wanted. */
static void gradients(const op_run_t *r, size_t D, float *dx[3]) {
    for (size_t i = Q; i <= V; i++) {
        if (!is_packed(r))
            dx[i] = r->din[i];
        else
            dx[i] = r->din[Q] ? r->din[Q] + i * D : NULL;
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
    if (!is_packed(r) && (r->add[Q] != r->add[K] || r->add[K] != r->add[V]))
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
    return 4.0 * (double)(g.B * g.heads) * (double)g.Tq * (double)g.Tk * (double)g.dh *
           (g.causal ? 0.5 : 1);
}

static const opdef_t attention_def = {.name = "attention",
                                      .forward = forward,
                                      .backward = backward,
                                      .scratch = scratch,
                                      .keeps_in =
                                          OP_BIT(Q) | OP_BIT(K) | OP_BIT(V) | OP_BIT(FIRST_SEEN),
                                      .keeps_out = OP_BIT(OUT) | OP_BIT(LOG_SUM),
                                      .grads_in = OP_BIT(Q) | OP_BIT(K) | OP_BIT(V),
                                      .flops = flops};

static var_t record(tape_t *t, const var_t in[3], bool packed, attention_opts_t o) {
    shape_t s = tape_shape(t, in[Q]);
    size_t D = packed ? s.dim[2] / 3 : s.dim[2];
    if (s.rank != 3 || !o.heads || D % o.heads)
        tape_shape_bug(t, "attention", "width and heads do not fit", s, F32_1(o.heads));
    for (int i = K; i <= V; i++)
        if (!packed && tape_count(t, in[i]) != tape_count(t, in[Q]))
            tape_shape_bug(t, "attention", "q, k, v differ", s, tape_shape(t, in[i]));
    if (o.first != NO_VAR && (!o.causal || tape_count(t, o.first) != s.dim[0] * s.dim[1]))
        tape_shape_bug(t, "attention", "`first` does not fit, or attention is not causal", s,
                       tape_shape(t, o.first));
    op_spec_t spec = {
        .def = &attention_def, .n_in = N_IN, .n_out = N_OUT, .in = {in[Q], in[K], in[V], o.first}};
    spec.out[OUT] = F32_3(s.dim[0], s.dim[1], D);
    spec.out[LOG_SUM] = F32_3(s.dim[0], o.heads, s.dim[1]);
    spec.attr.i[HEADS] = (int64_t)o.heads;
    spec.attr.i[CAUSAL] = o.causal;
    spec.attr.i[PACKED] = packed;
    spec.attr.f[SCALE] = o.scale > 0 ? o.scale : 1 / sqrtf((float)(D / o.heads));
    return tape_op(t, &spec);
}

var_t op_attention(tape_t *t, var_t q, var_t k, var_t v, attention_opts_t o) {
    return record(t, (var_t[]){q, k, v}, false, o);
}
var_t op_attention_packed(tape_t *t, var_t qkv, attention_opts_t o) {
    return record(t, (var_t[]){qkv, NO_VAR, NO_VAR}, true, o);
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
