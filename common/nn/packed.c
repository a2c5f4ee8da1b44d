/* packed.c - packed matrices by parameter, made when a layer first asks for one. */
#include "common/base/die.h"
#include "common/nn/nn.h"

#include <stdlib.h>

struct nn_packed {
    params_t *params;
    kern_weights_t kind;
    void **data; /* by parameter index */
    size_t n, bytes;
};

nn_packed_t *nn_packed_new(params_t *p, kern_weights_t kind) {
    nn_packed_t *k = NEW(nn_packed_t);
    *k = (nn_packed_t){.params = p, .kind = kind, .n = params_n(p)};
    k->data = xcalloc(k->n + 1, sizeof *k->data);
    return k;
}

void nn_packed_free(nn_packed_t *p) {
    if (!p) return;
    for (size_t i = 0; i < p->n; i++) free(p->data[i]);
    free(p->data);
    free(p);
}

size_t nn_packed_bytes(const nn_packed_t *p) {
    return p->bytes;
}

static void pack(nn_packed_t *p, int i, size_t in, size_t out, weight_order_t order,
                 const float *W) {
    if ((size_t)i >= p->n) BUG("parameter %d is younger than its packed twins", i);
    size_t bytes = kern_pack_bytes(p->kind, in, out);
    p->data[i] = xaligned(bytes);
    p->bytes += bytes;
    kern_pack(p->kind, order == W_OUT_IN, in, out, W, p->data[i]);
}

void nn_packed_put(nn_packed_t *p, int i, const float *W) {
    const param_t *param = params_at(p->params, i);
    if (param->rank != 2 || p->data[i]) BUG("'%s' cannot be packed", param->name);
    pack(p, i, param->dim[1], param->dim[0], W_OUT_IN, W);
}

static const void *packed_matrix(nn_packed_t *p, int i, size_t in, size_t out,
                                 weight_order_t order) {
    if ((size_t)i >= p->n || !p->data[i])
        pack(p, i, in, out, order, params_ptr(p->params, PARAMS_VALUE, i));
    return p->data[i];
}

/* The packed twin of parameter i, W, on the tape; *out: columns of the product. */
static var_t packed_var(nn_t *nn, int i, var_t W, weight_order_t order, size_t *out) {
    shape_t s = tape_shape(nn->tape, W);
    size_t in = order == W_OUT_IN ? shape_cols(s) : shape_rows(s);
    *out = shape_count(s) / in;
    const void *data = packed_matrix(nn->packed, i, in, *out, order);
    return tape_bound(nn->tape, "packed", F32_1(kern_pack_bytes(nn->packed->kind, in, *out) / 4),
                      data);
}

var_t nn_apply(nn_t *nn, var_t x, var_t W, var_t b, weight_order_t order) {
    int i = tape_param_index(nn->tape, W);
    if (!nn->packed || i < 0) return op_linear(nn->tape, x, W, b, order);
    size_t out;
    var_t packed = packed_var(nn, i, W, order, &out);
    return op_packed_linear(nn->tape, x, packed, b, out, nn->packed->kind);
}

var_t nn_apply_columns(nn_t *nn, var_t x, var_t W, var_t b, weight_order_t order, size_t lo,
                       size_t hi) {
    int i = tape_param_index(nn->tape, W);
    if (!nn->packed || i < 0) return op_linear_columns(nn->tape, x, W, b, order, lo, hi);
    size_t out;
    var_t packed = packed_var(nn, i, W, order, &out);
    return op_packed_columns(nn->tape, x, packed, b, out, nn->packed->kind, lo, hi);
}

head_xent_out_t nn_head_xent(nn_t *nn, var_t x, var_t W, head_xent_t o) {
    int i = tape_param_index(nn->tape, W);
    if (!nn->packed || i < 0) return op_head_xent(nn->tape, x, W, o);
    size_t out;
    var_t packed = packed_var(nn, i, W, W_OUT_IN, &out);
    return op_packed_head_xent(nn->tape, x, packed, out, nn->packed->kind, o);
}
