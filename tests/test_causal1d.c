/* test_causal1d.c - the kind causal1d: values of PyTorch (tests/reference/make_causal.py), codes
 * that no later query changes, gradients of its blocks by differences, images of first codes, codes
 * that are a function of one image.
 */
#include "common/base/pool.h"
#include "common/io/safetensors/safetensors.h"
#include "common/model/kind.h"
#include "common/nn/cross_attention.h"
#include "tests/test.h"

#define REFERENCE "tests/reference/"

__attribute__((constructor)) static void one_thread(void) {
    pool_set_threads(1);
}

static vqvae_t *open_reference(void) {
    int rc;
    reason_t why = {""};
    vqvae_t *v = vqvae_open(REFERENCE "causal1d", &rc, &why);
    if (!v) BUG("%s (tests run in the top folder)", why.text);
    return v;
}

static float *values(const st_file_t *f, const char *name, size_t *n) {
    const st_tensor_t *t = st_find(f, name);
    if (!t) BUG("no tensor '%s'", name);
    float *v = xmalloc((*n = t->count) * sizeof *v);
    if (st_read_f32(t, v, NULL)) BUG("'%s' is no float", name);
    return v;
}

static int64_t integer(const st_file_t *f, const char *name, size_t i) {
    int64_t v;
    memcpy(&v, st_find(f, name)->data + 8 * i, 8);
    return v;
}

/* The reference's images [2,12,16,3]; *n of them. */
static uint8_t *images(const st_file_t *f, size_t *n) {
    const st_tensor_t *t = st_find(f, "images");
    uint8_t *rgb = xmalloc(t->count);
    for (size_t i = 0; i < t->count; i++) rgb[i] = (uint8_t)integer(f, "images", i);
    *n = t->count / (12 * 16 * 3);
    return rgb;
}

/* ---- values ---- */

/* Our [n,h,w,c] against the file's [n,c,h,w]. */
static void check_map(const st_file_t *f, const char *name, const float *ours, shape_t s) {
    size_t n, C = s.dim[3], HW = s.dim[1] * s.dim[2];
    float *theirs = values(f, name, &n);
    double worst = 0;
    REQUIRE(n == shape_count(s), "%s: %zu values, the reference has %zu", name, shape_count(s), n);
    for (size_t i = 0; i < n; i++) {
        double d = ours[i] - (double)theirs[(i / (HW * C) * C + i % C) * HW + i / C % HW];
        worst = fmax(worst, isfinite(d) ? fabs(d) : INFINITY);
    }
    CHECK(worst <= 1e-5, "%s: differs by %g", name, worst);
    free(theirs);
}

TEST(values_of_pytorch) {
    enum { KEEP = 2 };
    vqvae_t *v = open_reference();
    const vqvae_config_t *c = vqvae_config(v);
    st_file_t f;
    reason_t why;
    REQUIRE(!st_open(&f, REFERENCE "causal1d_trace.safetensors", &why), "%s", why.text);
    size_t n, Q = c->causal1d.queries, w, h;
    uint8_t *rgb = images(&f, &n);
    vqvae_image_size(c, Q, 1, &w, &h);
    REQUIRE(w == 16 && h == 12 && vqvae_tokens(c, w, h) == Q && !vqvae_tokens(c, 16, 16), "sizes");
    tape_t *t = tape_new(vqvae_params(v));
    nn_t nn;
    nn_begin(&nn, t);
    var_t in = tape_input(t, "image", F32_4(n, h, w, 3)),
          kept = tape_input(t, "kept", I32_1(n * Q)), features,
          prequant = vqvae_encode(&nn, c, in, &features);
    vq_out_t q = vqvae_quantize(&nn, c, prequant);
    var_t all = vqvae_decode(&nn, c, q.quantized, NO_VAR),
          some = vqvae_decode(&nn, c, q.quantized, kept),
          keep[] = {features, prequant, q.index, all, some};
    plan_t *p = plan_new(t, &(plan_opts_t){.keep = keep, .n_keep = 5});
    image_to_float(rgb, n * w * h * 3, plan_data(p, in));
    for (size_t i = 0; i < n; i++) vqvae_keep(n, Q, i, KEEP, plan_data(p, kept));
    plan_forward(p);
    check_map(&f, "encoder_out", plan_data(p, features), tape_shape(t, features));
    check_map(&f, "prequant", plan_data(p, prequant), tape_shape(t, prequant));
    check_map(&f, "decoder_out", plan_data(p, all), tape_shape(t, all));
    check_map(&f, "decoder_out_kept", plan_data(p, some), tape_shape(t, some));
    const int32_t *ids = plan_data(p, q.index);
    for (size_t i = 0; i < n * Q; i++)
        CHECK(ids[i] == integer(&f, "indices", i), "code %zu: %d", i, (int)ids[i]);

    /* The frozen way: the same codes, and the image of the first two of them alone. */
    uint32_t *codes = xmalloc(n * Q * sizeof *codes), prefix[2 * KEEP];
    uint8_t *shown = xmalloc(n * w * h * 3), *want = xmalloc(n * w * h * 3);
    vqvae_encode_images(v, rgb, n, w, h, codes);
    for (size_t i = 0; i < n * Q; i++) CHECK(codes[i] == (uint32_t)ids[i], "frozen code %zu", i);
    for (size_t i = 0; i < n * KEEP; i++) prefix[i] = codes[i / KEEP * Q + i % KEEP];
    for (int way = 0; way < 2; way++) {
        vqvae_decode_codes(v, way ? prefix : codes, n, way ? KEEP : Q, 1, shown);
        image_from_float(plan_data(p, way ? some : all), n * w * h * 3, want);
        CHECK(!memcmp(shown, want, n * w * h * 3), "the frozen decoder, way %d", way);
    }
    plan_free(p);
    tape_free(t);
    st_close(&f);
    vqvae_free(v);
    free(rgb), free(codes), free(shown), free(want);
}

/* ---- causality ---- */

/* prequant [Q,D] of the reference's first image. */
static void encode_first(vqvae_t *v, const vqvae_config_t *c, float *z) {
    st_file_t f;
    reason_t why;
    size_t n, Q = c->causal1d.queries;
    REQUIRE(!st_open(&f, REFERENCE "causal1d_trace.safetensors", &why), "%s", why.text);
    uint8_t *rgb = images(&f, &n);
    tape_t *t = tape_new(vqvae_params(v));
    nn_t nn;
    nn_begin(&nn, t);
    var_t in = tape_input(t, "image", F32_4(1, 12, 16, 3)), out = vqvae_encode(&nn, c, in, NULL);
    plan_t *p = plan_new(t, &(plan_opts_t){.keep = &out, .n_keep = 1});
    image_to_float(rgb, 12 * 16 * 3, plan_data(p, in));
    plan_forward(p);
    memcpy(z, plan_data(p, out), Q * c->vq_embed_dim * sizeof *z);
    plan_free(p);
    tape_free(t);
    st_close(&f);
    free(rgb);
}

TEST(no_later_query_matters) {
    vqvae_t *v = open_reference();
    vqvae_config_t c = *vqvae_config(v);
    size_t Q = c.causal1d.queries, W = c.causal1d.width, D = c.vq_embed_dim;
    float was[64], now[64];
    REQUIRE(Q * D <= 64, "room");
    float *query =
        params_ptr(vqvae_params(v), PARAMS_VALUE, params_find(vqvae_params(v), "encoder.queries"));
    for (size_t causal = 0; causal < 2; causal++) {
        c.causal1d.causal = causal;
        encode_first(v, &c, was);
        for (size_t j = 0; j < Q; j++) {
            for (size_t i = 0; i < W; i++) query[j * W + i] += i % 2 ? 1.f : -0.5f;
            encode_first(v, &c, now);
            for (size_t i = 0; i < W; i++) query[j * W + i] -= i % 2 ? 1.f : -0.5f;
            bool before = !memcmp(was, now, j * D * sizeof *was),
                 own = !memcmp(was + j * D, now + j * D, D * sizeof *was);
            CHECK(!own, "query %zu does not matter to its own code", j);
            if (causal) CHECK(before, "causal: query %zu reaches codes before it", j);
            if (!causal && j) CHECK(!before, "full: query %zu does not reach codes before it", j);
        }
    }
    vqvae_free(v);
}

/* ---- gradients ---- */

/* mean (block(x; context) - target)^2, and with `mask` the rows of x replaced at random before. */
typedef struct {
    params_t *params;
    tape_t *tape;
    plan_t *plan;
    var_t loss;
} block_t;

static block_t block_open(self_attention_t self, bool context) {
    enum { B = 2, TQ = 5, TK = 7, W = 8, C = 6 };
    block_t b = {.params = params_new(3)};
    b.tape = tape_new(b.params);
    nn_t nn;
    nn_begin(&nn, b.tape);
    var_t x = nn_param2(&nn, "x", TQ, W, init_normal(1)),
          c = nn_param2(&nn, "context", B * TK, C, init_normal(1)),
          target = tape_input(b.tape, "target", F32_3(B, TQ, W)),
          kept = tape_input(b.tape, "kept", I32_1(B * TQ));
    var_t both[] = {op_repeat(b.tape, x, B), nn_param2(&nn, "mask", 1, W, init_normal(1))};
    x = tape_reshape(b.tape, op_gather(b.tape, op_concat_rows(b.tape, both, 2), kept),
                     F32_3(B, TQ, W));
    c = tape_reshape(b.tape, c, F32_3(B, TK, C));
    var_t y = nn_query_block(&nn, x, context ? c : NO_VAR, 2, self);
    b.loss = op_loss(b.tape, LOSS_MSE, y, target, NO_VAR, false);
    pass_t pass = {.root = {b.loss}, .n_roots = 1, .wrt = (const char *[]){""}, .n_wrt = 1};
    b.plan = plan_new(
        b.tape,
        &(plan_opts_t){.keep = (var_t[]){target, kept}, .n_keep = 2, .pass = &pass, .n_pass = 1});
    float *wanted = plan_data(b.plan, target);
    for (size_t i = 0; i < B * TQ * W; i++) wanted[i] = (float)(i % 7) / 3 - 1;
    for (size_t i = 0; i < B; i++) vqvae_keep(B, TQ, i, TQ - 1 - i, plan_data(b.plan, kept));
    return b;
}

static double block_loss(const block_t *b) {
    plan_forward(b->plan);
    return plan_scalar(b->plan, b->loss);
}

/* The slope along a direction of signs, for each parameter. */
TEST(gradients_of_blocks) {
    for (int way = 0; way < 6; way++) {
        block_t b = block_open((self_attention_t)(way % 3), way >= 3);
        block_loss(&b);
        plan_backward(b.plan, 0);
        for (size_t i = 0; i < params_n(b.params); i++) {
            const param_t *q = params_at(b.params, (int)i);
            float *x = params_ptr(b.params, PARAMS_VALUE, (int)i),
                  *g = params_ptr(b.params, PARAMS_GRAD, (int)i), *was = xmalloc(q->count * 4);
            double want = 0, step = 4e-3 / sqrt((double)q->count), loss[2], size = 0;
            memcpy(was, x, q->count * sizeof *x);
            for (size_t k = 0; k < q->count; k++) {
                want += k % 3 % 2 ? -(double)g[k] : (double)g[k];
                size += fabs((double)g[k]);
            }
            for (int side = 0; side < 2; side++) {
                double d = side ? -step : step;
                for (size_t k = 0; k < q->count; k++) x[k] = (float)(was[k] + (k % 3 % 2 ? -d : d));
                loss[side] = block_loss(&b);
            }
            memcpy(x, was, q->count * sizeof *x);
            double slope = (loss[0] - loss[1]) / (2 * step);
            CHECK(fabs(slope - want) <= 2e-3 * (size + 0.1), "block %d, %s: %g, by differences %g",
                  way, q->name, want, slope);
            free(was);
        }
        plan_free(b.plan);
        tape_free(b.tape);
        params_free(b.params);
    }
}

/* ---- images apart ---- */

TEST(codes_and_images_of_one_image) {
    enum { N = 16, PIXELS = 12 * 16 * 3 };
    vqvae_t *v = open_reference();
    size_t Q = vqvae_config(v)->causal1d.queries;
    uint8_t *rgb = xmalloc(N * PIXELS), *shown = xmalloc(N * PIXELS), *alone = xmalloc(PIXELS);
    uint32_t *codes = xmalloc(N * Q * sizeof *codes), *own = xmalloc(N * Q * sizeof *own);
    for (size_t i = 0; i < N * PIXELS; i++)
        rgb[i] = (uint8_t)(rng_u64(rng_make(1, "images"), i / 40) + i % 40);
    for (size_t i = 0; i < N; i++) vqvae_encode_images(v, rgb + i * PIXELS, 1, 16, 12, own + i * Q);
    bool differ = false;
    for (size_t i = Q; i < N * Q; i++) differ |= own[i] != own[i % Q];
    CHECK(differ, "all images have the same codes");
    static const size_t sizes[] = {1, 3, 16};
    for (int threads = 1; threads <= 3; threads += 2)
        for (size_t s = 0; s < 3; s++) {
            pool_set_threads(threads);
            for (size_t i = 0; i + sizes[s] <= N; i += sizes[s])
                vqvae_encode_images(v, rgb + i * PIXELS, sizes[s], 16, 12, codes + i * Q);
            size_t whole = N / sizes[s] * sizes[s];
            CHECK(!memcmp(codes, own, whole * Q * sizeof *codes), "batches of %zu, %d threads",
                  sizes[s], threads);
        }
    pool_set_threads(1);
    /* First codes: of each image alone as in a batch, and another image for another number. */
    for (size_t keep = 1; keep <= Q; keep++) {
        for (size_t i = 0; i < N * keep; i++) codes[i] = own[i / keep * Q + i % keep];
        vqvae_decode_codes(v, codes, N, keep, 1, shown);
        vqvae_decode_codes(v, codes + (N - 1) * keep, 1, keep, 1, alone);
        CHECK(!memcmp(alone, shown + (N - 1) * PIXELS, PIXELS), "the first %zu codes alone", keep);
        if (keep == Q) continue;
        vqvae_decode_codes(v, own + (N - 1) * Q, 1, Q, 1, shown);
        CHECK(memcmp(alone, shown, PIXELS), "%zu codes look as all", keep);
    }
    vqvae_free(v);
    free(rgb), free(shown), free(alone), free(codes), free(own);
}
