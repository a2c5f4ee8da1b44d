/* embed_patches.c - images as patches of pixels: residual blocks (model.patch_blocks), then a
 * linear layer over the pixels.
 *
 * Block 1 is Gato's as NEKO builds it. It has no first norm, because three channels form no groups:
 * its first GELU acts on raw pixels. Block 2 is the same over the output of block 1.
 */
#include "gato/model/embed_image.h"
#include "gato/model/model.h"

#include <math.h>

static size_t side(const gato_model_t *m) {
    return (size_t)m->config.model.patch;
}

static bool serves(const gato_config_t *c, const slot_t *slot) {
    return slot->kind == SLOT_IMAGE && c->model.image_in == IMAGE_IN_PATCHES;
}

static int tokens(const gato_config_t *c, const slot_t *slot, const slot_value_t *value, size_t *n,
                  reason_t *why) {
    (void)slot;
    image_size_t size;
    if (image_patches(c, value, &size, why)) return -1;
    *n = size.rows * size.cols;
    return 0;
}

static size_t inputs(const gato_model_t *m, const pool_t *pool, input_spec_t spec[ROWS_INPUTS]) {
    (void)pool;
    spec[0] =
        (input_spec_t){.name = "pixel", .type = DT_F32, .rank = 3, .dim = {side(m), side(m), 3}};
    return image_place_inputs(m, spec, 1);
}

/* Cuts rgb [h,w,3] into patches in raster order, padded with 0 below and to the right, and
 * normalizes each value v to ((v/255)*2-1)/sqrt(patch). */
static void cut(const slot_value_t *value, image_size_t size, size_t patch, float *out) {
    float root = sqrtf((float)patch);
    for (size_t i = 0; i < size.rows * size.cols; i++)
        for (size_t y = 0; y < patch; y++)
            for (size_t x = 0; x < patch; x++)
                for (size_t c = 0; c < 3; c++) {
                    size_t Y = i / size.cols * patch + y, X = i % size.cols * patch + x;
                    bool inside = Y < value->image_h && X < value->image_w;
                    float v = inside ? (float)value->rgb[(Y * value->image_w + X) * 3 + c] : 0;
                    *out++ = (v / 255 * 2 - 1) / root;
                }
}

static void put(const embed_put_t *p, const slot_value_t *value, rows_t *rows, int32_t *id) {
    image_size_t size;
    image_patches(&p->model->config, value, &size, NULL);
    size_t n = size.rows * size.cols;
    cut(value, size, side(p->model), column_floats(&rows->input[0], n));
    for (size_t i = 0; i < n; i++) id[i] = 0;
    image_put_places(p, size, rows, 1);
}

/* x + conv2(gelu(gn2(conv1(gelu(x))))), x [n,patch,patch,3] */
static var_t residual_block(nn_t *nn, const gato_model_t *m, const char *name, var_t x) {
    tape_t *t = nn->tape;
    size_t mark = nn_push(nn, "image_embedding.%s", name);
    var_t h =
        nn_conv2d(nn, "conv1", op_act(t, x, ACT_GELU), (size_t)m->config.model.patch_mid, 3, 1);
    h = op_act(t, nn_groupnorm(nn, "gn2", h, (size_t)m->config.model.patch_groups, 1e-5f, false),
               ACT_GELU);
    x = op_add(t, x, nn_conv2d(nn, "conv2", h, 3, 3, 1));
    nn_pop(nn, mark);
    return x;
}

static var_t record(nn_t *nn, const gato_model_t *m, const pool_t *pool, size_t n,
                    const var_t *in) {
    (void)pool;
    static const char *const block[] = {"patch_embedding", "patch_embedding_2"};
    tape_t *t = nn->tape;
    size_t D = (size_t)m->config.model.width, flat = side(m) * side(m) * 3;
    var_t x = in[0];
    for (int64_t i = 0; i < m->config.model.patch_blocks; i++)
        x = residual_block(nn, m, block[i], x);
    size_t mark = nn_push(nn, "image_embedding.post_embedding_projection");
    param_init_t init = init_uniform(1 / sqrtf((float)flat));
    var_t W = nn_param(nn, "weight", 2, (size_t[]){D, flat}, LAYOUT_PIXELS, init);
    x = op_linear(t, tape_reshape(t, x, F32_2(n, flat)), W, nn_param1(nn, "bias", D, init),
                  W_OUT_IN);
    nn_pop(nn, mark);
    return image_places(nn, m, x, in + 1,
                        "image_embedding.patch_pos_encoding.height_pos_embedding.weight",
                        "image_embedding.patch_pos_encoding.width_pos_embedding.weight");
}

const embed_t embed_patches = {.name = "image_embedding",
                               .serves = serves,
                               .tokens = tokens,
                               .inputs = inputs,
                               .put = put,
                               .record = record};
