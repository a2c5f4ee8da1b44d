/* seed_trace.c - `vqvae trace` of a SEED tokenizer. Tensors bear the names of the published modules
 * that give them, but for `pixels` (after mean and deviation), `prequant`, `indices`, `quantized`,
 * `embedding` and `reconstructed`; the first axis counts images. */
#include "common/base/sizes.h"
#include "common/io/fs.h"
#include "common/model/seed.h"
#include "common/tape/plan.h"
#include "vqvae/seed.h"

#include <stdlib.h>
#include <string.h>

enum { VALUES = 4 * SEED_LAYERS };

/* A value of one image, and those of all images one after another. */
typedef struct {
    char *name;
    var_t var;
    float *all;
} value_t;

typedef struct {
    value_t value[VALUES];
    size_t n;
    var_t image;
    plan_t *plan;
    tape_t *tape;
} trace_t;

static void add(trace_t *t, char *name, var_t var) {
    if (var == NO_VAR)
        free(name);
    else
        t->value[t->n++] = (value_t){name, var, NULL};
}

static void add_layers(trace_t *t, const char *prefix, const var_t *layer, size_t n) {
    for (size_t i = 0; i < n; i++) add(t, xasprintf("%s%zu", prefix, i), layer[i]);
}

static void record(trace_t *t, seed_t *s) {
    const seed_config_t *c = seed_config(s);
    var_t layer[SEED_LAYERS], keep[VALUES];
    nn_t nn;
    t->tape = tape_new(seed_params(s));
    seed_begin(s, &nn, t->tape);
    t->image = tape_input(t->tape, "image", F32_4(1, c->image_size, c->image_size, 3));
    var_t seen = seed_see(&nn, c, t->image, layer);
    add_layers(t, "visual_encoder.blocks.", layer, c->vision_layers);
    add(t, xstrdup("ln_vision"), seen);
    var_t embeddings = seed_query(&nn, c, seen, layer);
    add_layers(t, "Qformer.bert.encoder.layer.", layer, c->layers);
    var_t prequant = seed_prequant(&nn, c, embeddings);
    add(t, xstrdup("prequant"), prequant);
    vq_out_t q = seed_quantize(&nn, c, prequant);
    add(t, xstrdup("indices"), q.index);
    add(t, xstrdup("quantized"), q.quantized);
    var_t up = seed_up(&nn, c, q.quantized);
    add(t, xstrdup("decode_task_layer"), up);
    var_t states = seed_decode(&nn, c, up, layer);
    add_layers(t, "blocks_image.", layer, c->decode_layers);
    add(t, xstrdup("embedding"), seed_embedding(&nn, c, states));
    add(t, xstrdup("reconstructed"), seed_reconstruct(&nn, c, up));
    for (size_t i = 0; i < t->n; i++) keep[i] = t->value[i].var;
    t->plan = plan_new(t->tape, &(plan_opts_t){.keep = keep, .n_keep = t->n});
}

static image_t read_image(seed_t *s, const char *path, const image_opts_t *opts) {
    image_t im;
    reason_t why;
    if (!fs_exists(path)) die(RC_USAGE, "'%s': no such file", path);
    if (image_read(&im, path, opts, &why) != IMAGE_OK) die(RC_DATA, "'%s': %s", path, why.text);
    image_t ready = seed_preprocess(s, &im);
    image_release(&im);
    return ready;
}

/* [S,S,3] -> [3,S,S] */
static void planes(const float *x, size_t pixels, float *out) {
    for (size_t i = 0; i < pixels * 3; i++) out[i % 3 * pixels + i / 3] = x[i];
}

/* The axes of one image's value behind that of the images. */
static void give(st_writer_t *w, const trace_t *t, value_t *v, size_t images) {
    shape_t s = tape_shape(t->tape, v->var);
    size_t count = shape_count(s) * images;
    uint64_t dim[TAPE_RANK] = {images};
    for (int d = 1; d < s.rank; d++) dim[d] = s.dim[d];
    if (s.type == DT_F32) {
        st_writer_give(w, v->name, ST_F32, s.rank, dim, v->all);
        return;
    }
    int64_t *wide = xmalloc(count * sizeof *wide);
    for (size_t i = 0; i < count; i++) {
        int32_t number;
        memcpy(&number, &v->all[i], sizeof number);
        wide[i] = number;
    }
    free(v->all);
    st_writer_give(w, v->name, ST_I64, s.rank, dim, wide);
}

void seed_trace(const char *run, const cli_list_t *images, const image_opts_t *opts,
                const char *out) {
    int rc;
    reason_t why;
    seed_t *s = seed_open(run, &rc, &why);
    if (!s) die(rc, "%s", why.text);
    size_t side = seed_config(s)->image_size, pixels = side * side;
    trace_t *t = NEW(trace_t);
    record(t, s);
    float *seen = xmalloc(images->n * pixels * 3 * sizeof *seen);
    for (size_t v = 0; v < t->n; v++)
        t->value[v].all = xmalloc(images->n * tape_count(t->tape, t->value[v].var) * sizeof(float));
    for (size_t i = 0; i < images->n; i++) {
        image_t im = read_image(s, images->item[i], opts);
        seed_pixels(s, im.rgb, plan_data(t->plan, t->image));
        planes(plan_data(t->plan, t->image), pixels, seen + i * pixels * 3);
        plan_forward(t->plan);
        for (size_t v = 0; v < t->n; v++) {
            size_t n = tape_count(t->tape, t->value[v].var);
            memcpy(t->value[v].all + i * n, plan_data(t->plan, t->value[v].var), n * sizeof(float));
        }
        image_release(&im);
    }
    st_writer_t *w = st_writer_new();
    st_writer_give(w, "pixels", ST_F32, 4, (uint64_t[]){images->n, 3, side, side}, seen);
    for (size_t v = 0; v < t->n; v++) give(w, t, &t->value[v], images->n);
    if (st_write(w, out, &why)) die(RC_RUNTIME, "%s", why.text);
    st_writer_free(w);
    for (size_t v = 0; v < t->n; v++) free(t->value[v].name);
    plan_free(t->plan);
    tape_free(t->tape);
    free(t);
    seed_free(s);
}
