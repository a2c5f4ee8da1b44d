/* packed.c - packed twins of parameters, made when a layer first asks for one. */
#include "common/base/die.h"
#include "common/nn/nn.h"

#include <stdlib.h>

enum {
    /* Bytes of convolutions' twins. At Winograd's points they are up to four times the weights, and
     * what they spare is small beside large images: what comes later is made at every call. */
    CONV_MOST = 128 << 20
};

/* A form of a parameter. A convolution's depends on the image, so there may be several; their sizes
 * tell them apart (kern_conv_pack_bytes). */
typedef struct twin {
    size_t bytes;
    float *data;
    struct twin *next;
} twin_t;

struct nn_packed {
    params_t *params;
    kern_weights_t kind;
    twin_t **twin; /* by parameter index */
    size_t n, bytes, conv_bytes;
};

nn_packed_t *nn_packed_new(params_t *p, kern_weights_t kind) {
    nn_packed_t *k = NEW(nn_packed_t);
    *k = (nn_packed_t){.params = p, .kind = kind, .n = params_n(p)};
    k->twin = xcalloc(k->n + 1, sizeof(twin_t *));
    return k;
}

void nn_packed_free(nn_packed_t *p) {
    if (!p) return;
    for (size_t i = 0; i < p->n; i++)
        for (twin_t *twin = p->twin[i], *next; twin; twin = next) {
            next = twin->next;
            free(twin->data);
            free(twin);
        }
    free(p->twin);
    free(p);
}

size_t nn_packed_bytes(const nn_packed_t *p) {
    return p->bytes;
}

static twin_t *find_twin(const nn_packed_t *p, int i, size_t bytes) {
    if ((size_t)i >= p->n) BUG("parameter %d is younger than its packed twins", i);
    twin_t *twin = p->twin[i];
    while (twin && twin->bytes != bytes) twin = twin->next;
    return twin;
}

/* A new twin; the caller fills it. */
static twin_t *new_twin(nn_packed_t *p, int i, size_t bytes) {
    twin_t *twin = NEW(twin_t);
    *twin = (twin_t){.bytes = bytes, .data = xaligned(bytes), .next = p->twin[i]};
    p->twin[i] = twin;
    p->bytes += bytes;
    return twin;
}

static const float *values(const nn_packed_t *p, int i) {
    return params_ptr(p->params, PARAMS_VALUE, i);
}

/* The twin on the tape. */
static var_t twin_var(nn_t *nn, const twin_t *twin) {
    return tape_bound(nn->tape, "packed", F32_1(twin->bytes / sizeof(float)), twin->data);
}

/* A matrix's twin; W NULL: of the parameter's own numbers, where it is not there yet. */
static twin_t *pack(nn_packed_t *p, int i, size_t in, size_t out, weight_order_t order,
                    const float *W) {
    size_t bytes = kern_pack_bytes(p->kind, in, out);
    twin_t *twin = find_twin(p, i, bytes);
    if (!twin) {
        twin = new_twin(p, i, bytes);
        kern_pack(p->kind, order == W_OUT_IN, in, out, W ? W : values(p, i), twin->data);
    }
    return twin;
}

void nn_packed_put(nn_packed_t *p, int i, const float *W) {
    const param_t *param = params_at(p->params, i);
    if (param->rank != 2 || p->twin[i]) BUG("'%s' cannot be packed", param->name);
    pack(p, i, param->dim[1], param->dim[0], W_OUT_IN, W);
}

/* The packed twin of parameter i, W, on the tape; *out: columns of the product. */
static var_t packed_var(nn_t *nn, int i, var_t W, weight_order_t order, size_t *out) {
    nn_packed_t *p = nn->packed;
    shape_t s = tape_shape(nn->tape, W);
    size_t in = order == W_OUT_IN ? shape_cols(s) : shape_rows(s);
    *out = shape_count(s) / in;
    return twin_var(nn, pack(p, i, in, *out, order, NULL));
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

var_t nn_apply_conv(nn_t *nn, var_t x, var_t w, var_t b, conv_opts_t o) {
    nn_packed_t *p = nn->packed;
    int i = tape_param_index(nn->tape, w);
    if (!p || i < 0) return op_conv2d(nn->tape, x, w, b, o);
    shape_t s = tape_shape(nn->tape, w);
    kern_conv_t g = op_conv2d_shape(nn->tape, tape_shape(nn->tape, x), s, o);
    size_t bytes = kern_conv_pack_bytes(&g);
    twin_t *twin = find_twin(p, i, bytes);
    if (!twin) {
        if (bytes > CONV_MOST - p->conv_bytes) return op_conv2d(nn->tape, x, w, b, o);
        twin = new_twin(p, i, bytes);
        p->conv_bytes += bytes;
        kern_conv_pack(&g, values(p, i), twin->data);
    }
    return op_conv2d_packed(nn->tape, x, twin_var(nn, twin), s, b, o);
}

var_t nn_nearest(nn_t *nn, var_t z, var_t codebook) {
    nn_packed_t *p = nn->packed;
    int i = tape_param_index(nn->tape, codebook);
    if (!p || i < 0) return op_vq(nn->tape, z, codebook, 0, 0).index;
    shape_t s = tape_shape(nn->tape, codebook);
    size_t K = shape_rows(s), D = shape_cols(s), bytes = kern_vq_pack_bytes(K, D);
    twin_t *twin = find_twin(p, i, bytes);
    if (!twin) {
        twin = new_twin(p, i, bytes);
        kern_vq_pack(values(p, i), K, D, twin->data);
    }
    return op_vq_packed(nn->tape, z, twin_var(nn, twin), K);
}
