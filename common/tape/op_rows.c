/* op_rows.c - gather rows of a table, take every n-th row, add to an element of each row, stack
 * rows of several matrices, or of one matrix many times. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

#include <string.h>

enum { TABLE, INDEX, N_GATHER_IN };

static void gather_forward(const op_run_t *r) {
    kern_gather_forward(r->in[TABLE], r->in[INDEX], shape_count(*r->in_shape[INDEX]),
                        shape_cols(*r->in_shape[TABLE]), r->out[0], false);
}
static void gather_backward(const op_run_t *r) {
    const shape_t *table = r->in_shape[TABLE];
    kern_gather_backward(r->dout[0], r->in[INDEX], shape_count(*r->in_shape[INDEX]),
                         shape_cols(*table), r->din[TABLE], shape_rows(*table), r->add[TABLE]);
}
static const opdef_t gather_def = {.name = "gather",
                                   .forward = gather_forward,
                                   .backward = gather_backward,
                                   .keeps_in = OP_BIT(INDEX),
                                   .grads_in = OP_BIT(TABLE)};

var_t op_gather(tape_t *t, var_t table, var_t idx) {
    shape_t st = tape_shape(t, table), si = tape_shape(t, idx);
    if (st.rank != 2 || si.type != DT_I32 || si.rank >= TAPE_RANK)
        tape_shape_bug(t, "gather", "needs a table [rows,D] and I32 indices", st, si);
    op_spec_t s = {
        .def = &gather_def, .n_in = N_GATHER_IN, .n_out = 1, .in = {table, idx}, .out = {si}};
    s.out[0].type = DT_F32;
    s.out[0].dim[s.out[0].rank++] = st.dim[1];
    return tape_op(t, &s);
}

static void every_forward(const op_run_t *r) {
    size_t first = (size_t)r->attr->i[0], step = (size_t)r->attr->i[1];
    size_t D = shape_cols(*r->in_shape[0]), n = shape_rows(*r->out_shape[0]);
    const char *x = r->in[0]; /* both types are of 4 bytes */
    char *y = r->out[0];
    for (size_t i = 0; i < n; i++) memcpy(y + 4 * i * D, x + 4 * (first + i * step) * D, 4 * D);
}
static const opdef_t every_def = {.name = "every_row", .forward = every_forward};

var_t op_every_row(tape_t *t, var_t x, size_t first, size_t step) {
    shape_t s = tape_shape(t, x);
    if (!step || first >= shape_rows(s))
        BUG("%s: every_row from %zu by %zu of %zu", tape_path(t), first, step, shape_rows(s));
    op_spec_t o = {.def = &every_def, .n_in = 1, .n_out = 1, .in = {x}};
    o.out[0] = F32_2((shape_rows(s) - first - 1) / step + 1, shape_cols(s));
    o.out[0].type = s.type;
    o.attr.i[0] = (int64_t)first;
    o.attr.i[1] = (int64_t)step;
    return tape_op(t, &o);
}

enum { ROWS, AT, GATE, N_ADD_AT_IN };

static void add_at_forward(const op_run_t *r) {
    size_t n = shape_rows(*r->in_shape[ROWS]), D = shape_cols(*r->in_shape[ROWS]);
    const int32_t *at = r->in[AT];
    const float *gate = r->in[GATE];
    float *y = r->out[0];
    if (r->in[ROWS] != r->out[0]) kern_scale(r->in[ROWS], 1, n * D, y, false);
    for (size_t i = 0; i < n; i++)
        if (at[i] >= 0) y[i * D + (size_t)at[i]] += gate[i] + r->attr->f[0];
}
/* The gate's first: the rows' may lie over dy, and is the same. */
static void add_at_backward(const op_run_t *r) {
    size_t n = shape_rows(*r->in_shape[ROWS]), D = shape_cols(*r->in_shape[ROWS]);
    const int32_t *at = r->in[AT];
    for (size_t i = 0; r->din[GATE] && i < n; i++) {
        float d = at[i] >= 0 ? r->dout[0][i * D + (size_t)at[i]] : 0;
        r->din[GATE][i] = r->add[GATE] ? r->din[GATE][i] + d : d;
    }
    if (r->din[ROWS] && (r->add[ROWS] || r->din[ROWS] != r->dout[0]))
        kern_scale(r->dout[0], 1, n * D, r->din[ROWS], r->add[ROWS]);
}
static const opdef_t add_at_def = {.name = "add_at",
                                   .forward = add_at_forward,
                                   .backward = add_at_backward,
                                   .keeps_in = OP_BIT(AT),
                                   .grads_in = OP_BIT(ROWS) | OP_BIT(GATE),
                                   .over_in = OP_BIT(ROWS),
                                   .same_dout = OP_BIT(ROWS)};

var_t op_add_at(tape_t *t, var_t x, var_t idx, var_t gate, float plus) {
    shape_t sx = tape_shape(t, x), si = tape_shape(t, idx);
    if (sx.rank != 2 || si.type != DT_I32 || shape_count(si) != shape_rows(sx))
        tape_shape_bug(t, "add_at", "needs [n,D] and n I32 indices", sx, si);
    if (tape_count(t, gate) != shape_rows(sx))
        tape_shape_bug(t, "add_at", "needs a gate a row", sx, tape_shape(t, gate));
    op_spec_t s = {
        .def = &add_at_def, .n_in = N_ADD_AT_IN, .n_out = 1, .in = {x, idx, gate}, .out = {sx}};
    s.attr.f[0] = plus;
    return tape_op(t, &s);
}

static void concat_forward(const op_run_t *r) {
    float *out = r->out[0];
    for (int i = 0; i < r->n_in; i++) {
        size_t n = shape_count(*r->in_shape[i]);
        memcpy(out, r->in[i], n * sizeof *out);
        out += n;
    }
}
static void concat_backward(const op_run_t *r) {
    const float *dout = r->dout[0];
    for (int i = 0; i < r->n_in; i++) {
        size_t n = shape_count(*r->in_shape[i]);
        if (r->din[i]) kern_scale(dout, 1, n, r->din[i], r->add[i]);
        dout += n;
    }
}
static const opdef_t concat_def = {.name = "concat_rows",
                                   .forward = concat_forward,
                                   .backward = concat_backward,
                                   .grads_in = OP_ALL};

var_t op_concat_rows(tape_t *t, const var_t *v, size_t n) {
    if (!n || n > OP_IN) BUG("%s: concat_rows of %zu matrices", tape_path(t), n);
    op_spec_t s = {.def = &concat_def, .n_in = (int)n, .n_out = 1};
    size_t rows = 0, D = shape_cols(tape_shape(t, v[0]));
    for (size_t i = 0; i < n; i++) {
        shape_t si = tape_shape(t, v[i]);
        if (shape_cols(si) != D)
            tape_shape_bug(t, "concat_rows", "widths differ", tape_shape(t, v[0]), si);
        rows += shape_rows(si);
        s.in[i] = v[i];
    }
    s.out[0] = F32_2(rows, D);
    return tape_op(t, &s);
}

/* The copies as rows of one matrix [times, rows x columns]: their gradients are its column sums. */
static void repeat_forward(const op_run_t *r) {
    size_t n = shape_count(*r->in_shape[0]), times = shape_count(*r->out_shape[0]) / n;
    float *out = r->out[0];
    for (size_t i = 0; i < times; i++) memcpy(out + i * n, r->in[0], n * sizeof *out);
}
static void repeat_backward(const op_run_t *r) {
    size_t n = shape_count(*r->in_shape[0]), times = shape_count(*r->out_shape[0]) / n;
    kern_colsum(r->dout[0], times, n, r->din[0], r->add[0]);
}
static const opdef_t repeat_def = {.name = "repeat",
                                   .forward = repeat_forward,
                                   .backward = repeat_backward,
                                   .grads_in = OP_BIT(0)};

var_t op_repeat(tape_t *t, var_t x, size_t times) {
    shape_t sx = tape_shape(t, x);
    if (!times || sx.type != DT_F32) BUG("%s: repeat %zu times", tape_path(t), times);
    op_spec_t s = {.def = &repeat_def, .n_in = 1, .n_out = 1, .in = {x}};
    s.out[0] = F32_2(times * shape_rows(sx), shape_cols(sx));
    return tape_op(t, &s);
}
