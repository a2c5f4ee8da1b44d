/* op_attention.c - attention over separate q, k, v or one packed matrix. Output 1 is the log of the
 * softmax denominators. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Attributes: i[0] heads, i[1] causal, i[2] window, i[3] packed; f[0] scale.
 * Inputs: q k v timestep, or qkv - - timestep. */
static kern_attention_t geometry(const op_run_t *r) {
    const shape_t *o = r->out_shape[0];
    size_t D = o->dim[2], ld = r->attr->i[3] ? 3 * D : D, heads = (size_t)r->attr->i[0];
    return (kern_attention_t){.B = o->dim[0],
                              .Tq = o->dim[1],
                              .Tk = o->dim[1],
                              .heads = heads,
                              .dh = D / heads,
                              .ldq = ld,
                              .ldk = ld,
                              .ldv = ld,
                              .ldo = D,
                              .scale = r->attr->f[0],
                              .causal = r->attr->i[1] != 0,
                              .timestep = r->in[3],
                              .window = (int32_t)r->attr->i[2]};
}

static void split(const op_run_t *r, size_t D, const float *x[3], float *dx[3]) {
    for (size_t i = 0; i < 3; i++) {
        bool packed = r->attr->i[3];
        x[i] = packed ? (const float *)r->in[0] + i * D : r->in[i];
        dx[i] = packed ? r->din[0] + i * D : r->din[i];
    }
}

static void forward(const op_run_t *r) {
    kern_attention_t g = geometry(r);
    const float *x[3];
    for (size_t i = 0; i < 3; i++)
        x[i] = r->attr->i[3] ? (const float *)r->in[0] + i * g.ldo : r->in[i];
    kern_attention_forward(&g, x[0], x[1], x[2], r->out[0], r->out[1]);
}

static void backward(const op_run_t *r) {
    kern_attention_t g = geometry(r);
    const float *x[3];
    float *dx[3];
    split(r, g.ldo, x, dx);
    if (!dx[0] || !dx[1] || !dx[2]) BUG("attention: q, k and v need gradients together");
    bool packed = r->attr->i[3];
    if (!packed && (r->add[0] != r->add[1] || r->add[1] != r->add[2]))
        BUG("attention: q, k and v must be new values of their own");
    kern_attention_backward(&g, x[0], x[1], x[2], r->out[0], r->out[1], r->dout[0], dx[0], dx[1],
                            dx[2], r->add[0], r->scratch);
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
                                      .keeps_in = 15,
                                      .keeps_out = 3,
                                      .grads_in = 7,
                                      .flops = flops};

static var_t record(tape_t *t, const var_t in[3], bool packed, attention_opts_t o) {
    shape_t s = tape_shape(t, in[0]);
    size_t D = packed ? s.dim[2] / 3 : s.dim[2];
    if (s.rank != 3 || !o.heads || D % o.heads)
        tape_shape_bug(t, "attention", "width and heads do not fit", s, F32_1(o.heads));
    for (int i = 1; i < 3 && !packed; i++)
        if (tape_count(t, in[i]) != tape_count(t, in[0]))
            tape_shape_bug(t, "attention", "q, k, v differ", s, tape_shape(t, in[i]));
    if (o.timestep != NO_VAR && tape_count(t, o.timestep) != s.dim[0] * s.dim[1])
        tape_shape_bug(t, "attention", "timestep does not fit", s, tape_shape(t, o.timestep));
    op_spec_t spec = {.def = &attention_def,
                      .n_in = 4,
                      .n_out = 2,
                      .in = {in[0], packed ? NO_VAR : in[1], packed ? NO_VAR : in[2], o.timestep}};
    spec.out[0] = F32_3(s.dim[0], s.dim[1], D);
    spec.out[1] = F32_3(s.dim[0], o.heads, s.dim[1]);
    spec.attr.i[0] = (int64_t)o.heads;
    spec.attr.i[1] = o.causal;
    spec.attr.i[2] = o.window;
    spec.attr.i[3] = packed;
    spec.attr.f[0] = o.scale > 0 ? o.scale : 1 / sqrtf((float)(D / o.heads));
    return tape_op(t, &spec);
}

var_t op_attention(tape_t *t, var_t q, var_t k, var_t v, attention_opts_t o) {
    return record(t, (var_t[]){q, k, v}, false, o);
}
var_t op_attention_packed(tape_t *t, var_t qkv, attention_opts_t o) {
    return record(t, (var_t[]){qkv, NO_VAR, NO_VAR}, true, o);
}

/* ---- with a KV cache ---- */

static void cached_forward(const op_run_t *r) {
    const shape_t *x = r->in_shape[0];
    const int32_t *span = r->in[2];
    size_t T = x->dim[1], D = x->dim[2] / 3, heads = (size_t)r->attr->i[0];
    kern_cached_t g = {
        .T = T,
        .heads = heads,
        .dh = D / heads,
        .capacity = r->in_shape[1]->dim[0],
        .used = (size_t)span[1],
        .first = (size_t)span[0],
        .early = (size_t)span[2],
        .early_first = (size_t)span[3],
        .skip = T - (size_t)r->attr->i[1],
        .scale = 1 / sqrtf((float)(D / heads)),
        .qkv = r->in[0],
        .cache =
            (float *)(uintptr_t)r->in[1], /* the caller's own: writing it is this op's purpose */
        .out = r->out[0]};
    if (g.used + T > g.capacity || g.first > g.used || g.early > T ||
        (g.early && g.early_first > g.used))
        BUG("the KV cache of %zu rows is full", g.capacity);
    kern_attention_cached(&g);
}

static const opdef_t cached_def = {.name = "attention_cached", .forward = cached_forward};

var_t op_attention_cached(tape_t *t, var_t qkv, var_t cache, var_t span, size_t heads,
                          size_t rows) {
    shape_t s = tape_shape(t, qkv), c = tape_shape(t, cache);
    size_t D = s.rank == 3 ? s.dim[2] / 3 : 0;
    if (!D || s.dim[0] != 1 || !heads || D % heads || c.rank != 2 || c.dim[0] % KERN_CACHE_PANEL ||
        c.dim[1] != kern_cache_width(heads, D / heads))
        tape_shape_bug(t, "attention_cached", "qkv and cache do not fit", s, c);
    if (!rows || rows > s.dim[1])
        tape_shape_bug(t, "attention_cached", "too many rows", s, F32_1(rows));
    op_spec_t spec = {.def = &cached_def, .n_in = 3, .n_out = 1, .in = {qkv, cache, span}};
    spec.out[0] = F32_3(1, rows, D);
    spec.attr.i[0] = (int64_t)heads;
    spec.attr.i[1] = (int64_t)rows;
    return tape_op(t, &spec);
}
