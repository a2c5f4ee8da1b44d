/* test_adversary.c - the discriminator and LPIPS in a training: names and start, LPIPS's reader of
 * foreign weights, the plan with its passes, the weight of the generator's term, accumulation and
 * what is skipped.
 */
#include "common/io/safetensors/safetensors.h"
#include "common/kernel/kernel.h"
#include "common/nn/lpips.h"
#include "common/nn/patchgan.h"
#include "common/tape/plan.h"
#include "tests/folder.h"
#include "tests/kernel_check.h"
#include "vqvae/adversary.h"

#include <unistd.h>

/* ---- the discriminator ---- */

static double spread(params_t *p, const char *name, double center) {
    int at = params_find(p, name);
    const float *v = params_ptr(p, PARAMS_VALUE, at);
    double s = 0;
    size_t n = params_at(p, at)->count;
    for (size_t i = 0; i < n; i++) s += pow(v[i] - center, 2) / (double)n;
    return sqrt(s);
}

TEST(patchgan_names_and_start) {
    static const struct {
        const char *name;
        int rank;
        size_t dim[4];
    } want[] = {
        {"d.main.0.weight", 4, {64, 3, 4, 4}},
        {"d.main.0.bias", 1, {64}},
        {"d.main.2.weight", 4, {128, 64, 4, 4}},
        {"d.main.3.weight", 1, {128}},
        {"d.main.3.bias", 1, {128}},
        {"d.main.5.weight", 4, {256, 128, 4, 4}},
        {"d.main.6.weight", 1, {256}},
        {"d.main.6.bias", 1, {256}},
        {"d.main.8.weight", 4, {512, 256, 4, 4}},
        {"d.main.9.weight", 1, {512}},
        {"d.main.9.bias", 1, {512}},
        {"d.main.11.weight", 4, {1, 512, 4, 4}},
        {"d.main.11.bias", 1, {1}},
    };
    params_t *p = params_new(3);
    patchgan_t net = {64, 3};
    patchgan_declare(p, &net, "d");
    CHECK(params_n(p) == COUNT(want), "%zu tensors", params_n(p));
    for (size_t i = 0; i < COUNT(want); i++) {
        int at = params_find(p, want[i].name);
        REQUIRE(at >= 0, "no '%s'", want[i].name);
        const param_t *q = params_at(p, at);
        CHECK(q->rank == want[i].rank &&
                  !memcmp(q->dim, want[i].dim, (size_t)q->rank * sizeof *q->dim),
              "'%s'", want[i].name);
    }
    CHECK_NEAR(spread(p, "d.main.0.weight", 0), 0.02, 0.002);
    CHECK_NEAR(spread(p, "d.main.8.weight", 0), 0.02, 0.0001);
    CHECK_NEAR(spread(p, "d.main.9.weight", 1), 0.02, 0.003);
    CHECK_NEAR(spread(p, "d.main.9.bias", 0), 0, 0);
    CHECK_NEAR(spread(p, "d.main.0.bias", 0), 1 / sqrt(48.0 * 3), 0.02);
    params_free(p);
}

TEST(patchgan_sizes) {
    for (size_t layers = 1; layers <= 4; layers++)
        for (size_t side = 2; side <= 50; side++) {
            size_t out = side;
            bool fits = true;
            for (size_t i = 0; i < layers + 2 && fits; i++) {
                fits = out + 2 >= 4;
                if (fits) out = (out - 2) / (i < layers ? 2 : 1) + 1;
            }
            patchgan_t net = {2, layers};
            CHECK(patchgan_fits(&net, side, 99) == fits && patchgan_fits(&net, 99, side) == fits,
                  "%zu layers, %zu", layers, side);
            if (!fits) continue;
            params_t *p = params_new(0);
            tape_t *t = tape_new(p);
            nn_t nn;
            nn_begin(&nn, t);
            shape_t s = tape_shape(
                t, nn_patchgan(&nn, &net, tape_input(t, "x", F32_4(1, side, side, 3)), NULL));
            CHECK(s.dim[1] == out && s.dim[2] == out && s.dim[3] == 1, "%zu layers, %zu: %zu",
                  layers, side, s.dim[1]);
            tape_free(t);
            params_free(p);
        }
}

/* ---- LPIPS's weights ---- */

static const int conv_at[13] = {0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28};
static const int slice_of[13] = {1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5};
static const uint64_t narrow[5] = {4, 5, 6, 7, 8};

typedef enum { TAMING, TORCHVISION, PACKAGE } spelling_t;

/* Writes a narrow network; `skip` tensors in order are left out, tensor `bent` has another shape,
 * `nan` a NaN. */
static void write_lpips(const char *path, spelling_t how, int skip, int bent, int nan) {
    st_writer_t *w = st_writer_new();
    reason_t why;
    uint64_t in = 3;
    int k = 0;
    for (int i = 0; i < 13 + 5; i++) {
        bool linear = i >= 13;
        uint64_t out = linear ? narrow[i - 13] : narrow[slice_of[i] - 1];
        for (int part = 0; part < (linear ? 1 : 2); part++, k++) {
            char name[96];
            if (linear)
                snprintf(name, sizeof name,
                         how == TAMING    ? "loss.perceptual_loss.lin%d.model.1.weight"
                         : how == PACKAGE ? "lins.%d.model.1.weight"
                                          : "lin%d.model.1.weight",
                         i - 13);
            else if (how == TORCHVISION)
                snprintf(name, sizeof name, "features.%d.%s", conv_at[i], part ? "bias" : "weight");
            else
                snprintf(name, sizeof name, "%snet.slice%d.%d.%s",
                         how == TAMING ? "loss.perceptual_loss." : "", slice_of[i], conv_at[i],
                         part ? "bias" : "weight");
            uint64_t dim[4] = {out, in, 3, 3};
            if (linear) dim[0] = 1, dim[1] = out, dim[2] = dim[3] = 1;
            int rank = part ? 1 : 4;
            if (k == bent) dim[part ? 0 : 1]++;
            size_t n = part ? (size_t)dim[0] : (size_t)(dim[0] * dim[1] * dim[2] * dim[3]);
            float *v = floats((uint32_t)k, n, 0, 0.5);
            if (k == nan) v[n / 2] = NAN;
            if (k == skip)
                free(v);
            else
                st_writer_give(w, name, ST_F32, rank, dim, v);
        }
        in = linear ? in : out;
    }
    CHECK(!st_write(w, path, &why), "%s", why.text);
    st_writer_free(w);
}

/* LPIPS of two fixed images. */
static float distance_by(const lpips_t *l, const float *a, const float *b) {
    tape_t *t = tape_new(NULL);
    nn_t nn;
    nn_begin(&nn, t);
    var_t va = tape_input(t, "a", F32_4(1, 17, 16, 3)),
          vb = tape_input(t, "b", F32_4(1, 17, 16, 3)), d = nn_lpips(&nn, l, va, vb);
    plan_t *p = plan_new(t, &(plan_opts_t){.keep = &d, .n_keep = 1});
    memcpy(plan_data(p, va), a, 17 * 16 * 3 * sizeof *a);
    memcpy(plan_data(p, vb), b, 17 * 16 * 3 * sizeof *b);
    plan_forward(p);
    float v = plan_scalar(p, d);
    plan_free(p);
    tape_free(t);
    return v;
}

TEST(lpips_spellings) {
    folder_open();
    const char *path = in_folder("w.safetensors");
    float *a = floats(11, 17 * 16 * 3, 0, 1), *b = floats(12, 17 * 16 * 3, 0, 1), first = 0;
    for (int how = TAMING; how <= PACKAGE; how++) {
        lpips_t *l;
        reason_t why;
        write_lpips(path, (spelling_t)how, -1, -1, -1);
        int rc = lpips_load(&l, path, &why);
        REQUIRE(rc == 0, "%d: %s", rc, why.text);
        float d = distance_by(l, a, b);
        if (how == TAMING) first = d;
        CHECK(isfinite(d) && d != 0 && d == first, "spelling %d: %g", how, d);
        CHECK(fabsf(distance_by(l, a, a)) < 1e-12f, "of an image to itself");
        lpips_free(l);
    }
    free(a), free(b);
    folder_remove();
}

TEST(lpips_refuses) {
    folder_open();
    const char *path = in_folder("w.safetensors");
    lpips_t *l;
    reason_t why;
    for (int k = 0; k < 31; k++) {
        write_lpips(path, TORCHVISION, k, -1, -1);
        CHECK(lpips_load(&l, path, &why) == RC_MISFIT && !l && strstr(why.text, "missing"),
              "%d: %s", k, why.text);
        write_lpips(path, TAMING, -1, k, -1);
        CHECK(lpips_load(&l, path, &why) == RC_MISFIT && !l && strstr(why.text, "shape"), "%d: %s",
              k, why.text);
        write_lpips(path, PACKAGE, -1, -1, k);
        CHECK(lpips_load(&l, path, &why) == RC_DATA && !l && strstr(why.text, "NaN"), "%d: %s", k,
              why.text);
    }
    write_lpips(path, TAMING, -1, -1, -1);
    FILE *f = fopen(path, "r+");
    REQUIRE(f && !fseek(f, 0, SEEK_END) && !ftruncate(fileno(f), ftell(f) - 1), "truncated");
    fclose(f);
    CHECK(lpips_load(&l, path, &why) == RC_DATA && !l, "a truncated file");
    CHECK(lpips_load(&l, in_folder("none"), &why) == RC_DATA && !l, "no file");
    folder_remove();
}

/* ---- the plan ---- */

enum { BATCH = 2, SIDE = 24 };
typedef struct {
    params_t *params;
    tape_t *tape;
    plan_t *plan;
    adversary_t *adversary;
    adversary_vars_t vars;
    var_t image, loss, recon;
    adversary_step_t metrics;
} gan_t;

static var_t conv3(nn_t *nn, const char *name, var_t x, size_t out) {
    size_t dim[4] = {out, shape_cols(tape_shape(nn->tape, x)), 3, 3};
    var_t w = nn_param(nn, name, 4, dim, LAYOUT_CONV, init_normal(0.3f));
    return op_conv2d(nn->tape, x, w, NO_VAR, (conv_opts_t){.stride = 1, 1, 1, 1, 1, 1, false});
}

/* Two convolutions stand for the tokenizer. */
static void gan_open_scaled(gan_t *g, const config_t *c, const lpips_t *l, bool unshared,
                            float scale) {
    static const char *const wrt[] = {"", "!" ADVERSARY_PREFIX};
    *g = (gan_t){.params = params_new(2)};
    params_get(g->params, "decoder.conv_out.weight", 4, (size_t[]){3, 5, 3, 3}, LAYOUT_CONV,
               init_normal(0.3f));
    g->adversary = adversary_new(c, g->params, SIDE, SIDE, 2);
    g->tape = tape_new(g->params);
    nn_t nn;
    nn_begin(&nn, g->tape);
    g->image = tape_input(g->tape, "image", F32_4(BATCH, SIDE, SIDE, 3));
    var_t h = op_act(g->tape, conv3(&nn, "encoder.weight", g->image, 5), ACT_SILU);
    g->recon = conv3(&nn, "decoder.conv_out.weight", h, 3);
    var_t terms[2] = {op_loss(g->tape, LOSS_L1, g->recon, g->image, NO_VAR, false),
                      nn_lpips(&nn, l, g->recon, g->image)};
    g->loss = op_weighted_sum(g->tape, terms, (float[]){scale, 0.5f * scale}, 2);
    g->vars = adversary_record(g->adversary, &nn, g->image, g->recon);
    pass_t pass[1 + ADVERSARY_PASSES] = {
        {.root = {g->loss, g->vars.gan}, .n_roots = 2, .wrt = wrt, .n_wrt = 2}};
    size_t n = 1 + adversary_passes(g->adversary, &g->vars, g->loss, pass + 1);
    var_t keep[2 + ADVERSARY_KEEP] = {g->image, g->recon};
    size_t n_keep = 2 + adversary_keep(g->adversary, &g->vars, keep + 2);
    g->plan = plan_new(
        g->tape,
        &(plan_opts_t){
            .keep = keep, .n_keep = n_keep, .pass = pass, .n_pass = n, .unshared = unshared});
}

static void gan_open(gan_t *g, const config_t *c, const lpips_t *l, bool unshared) {
    gan_open_scaled(g, c, l, unshared, 1);
}

static void gan_images(gan_t *g, uint32_t seed) {
    float *x = floats(seed, BATCH * SIDE * SIDE * 3, 0, 1);
    memcpy(plan_data(g->plan, g->image), x, BATCH * SIDE * SIDE * 3 * sizeof *x);
    free(x);
}

static void gan_step(gan_t *g, int64_t step, int64_t micros) {
    g->metrics = (adversary_step_t){0};
    for (int64_t m = 0; m < micros; m++) {
        gan_images(g, (uint32_t)(20 + m));
        plan_accumulate(g->plan, 0, m > 0);
        plan_forward(g->plan);
        adversary_replay(g->adversary, g->plan, &g->vars, step, m, &g->metrics);
        plan_backward(g->plan, 0);
    }
}

static void gan_close(gan_t *g) {
    plan_free(g->plan);
    tape_free(g->tape);
    adversary_free(g->adversary);
    params_free(g->params);
}

static config_t gan_config(void) {
    config_t c;
    config_defaults(config_table, &c);
    c.loss.disc = 0.8, c.loss.disc_start = 10, c.loss.disc_channels = 4;
    return c;
}

static lpips_t *narrow_lpips(void) {
    lpips_t *l;
    reason_t why;
    folder_open();
    write_lpips(in_folder("w.safetensors"), TAMING, -1, -1, -1);
    if (lpips_load(&l, in_folder("w.safetensors"), &why)) CHECK(false, "%s", why.text);
    folder_remove();
    return l;
}

TEST(shared_memory_equals_unshared) {
    config_t c = gan_config();
    lpips_t *l = narrow_lpips();
    c.train.accumulate = 2;
    gan_t g[2];
    checkpoint_state_t state[2][ADVERSARY_STATE];
    for (int k = 0; k < 2; k++) {
        gan_open(&g[k], &c, l, k);
        gan_step(&g[k], 10, 2);
        CHECK(adversary_update(g[k].adversary, &g[k].metrics), "an update");
    }
    CHECK(g[0].metrics.d_weight == g[1].metrics.d_weight && g[0].metrics.d_weight > 0, "%g",
          g[0].metrics.d_weight);
    for (int b = PARAMS_VALUE; b <= PARAMS_V; b++)
        for (size_t i = 0; i < params_n(g[0].params); i++)
            CHECK(!memcmp(params_ptr(g[0].params, b, (int)i), params_ptr(g[1].params, b, (int)i),
                          params_at(g[0].params, (int)i)->count * sizeof(float)),
                  "block %d of '%s'", b, params_at(g[0].params, (int)i)->name);
    size_t n = adversary_state(g[0].adversary, state[0]);
    CHECK(n == 7 && adversary_state(g[1].adversary, state[1]) == n, "%zu", n);
    for (size_t i = 0; i < n; i++)
        CHECK(!memcmp(state[0][i].data, state[1][i].data, state[0][i].count * sizeof(float)), "%s",
              state[0][i].name);
    for (int k = 0; k < 2; k++) gan_close(&g[k]);
    lpips_free(l);
}

/* d = clamp(|dW nll| / (|dW g| + 1e-4), 0, 1e4) * weight from gradients that two runs of their own
 * give. */
TEST(weight_of_the_generator) {
    config_t c = gan_config();
    lpips_t *l = narrow_lpips();
    gan_t g;
    gan_open(&g, &c, l, false);
    gan_step(&g, 10, 1);
    int at = params_find(g.params, "decoder.conv_out.weight");
    size_t n = params_at(g.params, at)->count;
    double norm[2];
    for (int root = 0; root < 2; root++) {
        const char *all = "";
        pass_t pass = {.root = {root ? g.vars.gan : g.loss}, .n_roots = 1, .wrt = &all, .n_wrt = 1};
        plan_t *p = plan_new(
            g.tape, &(plan_opts_t){.keep = &g.recon, .n_keep = 1, .pass = &pass, .n_pass = 1});
        memcpy(plan_data(p, g.image), plan_data(g.plan, g.image),
               tape_count(g.tape, g.image) * sizeof(float));
        plan_forward(p);
        plan_backward(p, 0);
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += pow(params_ptr(g.params, PARAMS_GRAD, at)[i], 2);
        norm[root] = sqrt(sum);
        plan_free(p);
    }
    double want = 0.8 * norm[0] / (norm[1] + 1e-4);
    CHECK_NEAR(g.metrics.d_weight, want, 1e-5 * want);
    gan_close(&g);
    for (int age = 0; age < 6; age++) { /* a ramp of four steps */
        c.loss.disc_ramp = 4;
        c.loss.disc_adaptive = age % 2;
        gan_open(&g, &c, l, false);
        CHECK(!adversary_acts(g.adversary, 9) && adversary_acts(g.adversary, 10), "starts at 10");
        gan_step(&g, 10 + age, 1);
        double full = c.loss.disc_adaptive ? want : 0.8;
        CHECK_NEAR(g.metrics.d_weight, full * (age < 4 ? age / 4.0 : 1), 1e-5 * full);
        gan_close(&g);
    }
    c.loss.disc_adaptive = true;
    for (int k = 0; k < 2; k++) { /* a discriminator without slope: |dW nll| / 1e-4, at most 1e4 */
        gan_open_scaled(&g, &c, l, false, k ? 100 : 1);
        memset(params_ptr(g.params, PARAMS_VALUE,
                          params_find(g.params, "discriminator.main.11.weight")),
               0, 32 * 16 * sizeof(float));
        gan_step(&g, 14, 1);
        CHECK_NEAR(g.metrics.d_weight, 0.8 * (k ? 1e4 : norm[0] / 1e-4), 0.1);
        gan_close(&g);
    }
    lpips_free(l);
}

/* Two micro-batches: the discriminator's gradient is the sum of theirs, its statistics the mean;
 * the average of the weights is the generator's business. */
TEST(discriminator_accumulates) {
    config_t c = gan_config();
    c.train.weight_average = 0.5;
    lpips_t *l = narrow_lpips();
    gan_t g;
    gan_open(&g, &c, l, false);
    size_t n = params_block(g.params);
    float *grad = params_base(g.params, PARAMS_GRAD);
    double *sum = doubles(n), *size = doubles(n), mean = 0;
    checkpoint_state_t state[ADVERSARY_STATE];
    for (uint32_t m = 0; m < 2; m++) {
        gan_images(&g, 20 + m);
        plan_forward(g.plan);
        adversary_replay(g.adversary, g.plan, &g.vars, 10, 0, &g.metrics);
        plan_backward(g.plan, 0);
        for (size_t i = 0; i < n; i++) sum[i] += grad[i], size[i] = 1;
        for (int side = 0; side < 2; side++)
            mean += (side ? 0.1 : 0.1 * 0.9) *
                    ((float *)plan_data(g.plan, g.vars.stats[side][0].mean))[1] / 2;
    }
    gan_close(&g);
    c.train.accumulate = 2;
    gan_open(&g, &c, l, false);
    memcpy(params_base(g.params, PARAMS_AVERAGE), params_base(g.params, PARAMS_VALUE),
           n * sizeof(float));
    float *before = copy_of(params_base(g.params, PARAMS_VALUE), n);
    gan_step(&g, 10, 2);
    grad = params_base(g.params, PARAMS_GRAD);
    for (size_t i = 0; i < params_n(g.params); i++) {
        const param_t *q = params_at(g.params, (int)i);
        if (!strncmp(q->name, ADVERSARY_PREFIX, strlen(ADVERSARY_PREFIX)))
            check_close(q->name, grad + q->offset, sum + q->offset, size + q->offset, q->count,
                        1e-6);
    }
    CHECK(adversary_update(g.adversary, &g.metrics), "an update");
    adversary_state(g.adversary, state);
    CHECK_NEAR(state[1].data[1], mean, 1e-7);
    check_same("average", params_base(g.params, PARAMS_AVERAGE), before, n);
    int at = params_find(g.params, "decoder.conv_out.weight");
    check_same("decoder", params_ptr(g.params, PARAMS_VALUE, at),
               before + params_at(g.params, at)->offset, 135);
    gan_close(&g);
    free(sum), free(size), free(before);
    lpips_free(l);
}

/* A step whose numbers are none moves nothing. */
TEST(discriminator_skips_what_is_not_finite) {
    config_t c = gan_config();
    lpips_t *l = narrow_lpips();
    gan_t g;
    gan_open(&g, &c, l, false);
    gan_step(&g, 10, 1);
    int at = params_find(g.params, "discriminator.main.0.weight");
    float *w = params_ptr(g.params, PARAMS_VALUE, at), was = w[0];
    checkpoint_state_t state[ADVERSARY_STATE];
    adversary_state(g.adversary, state);
    adversary_step_t bad = g.metrics;
    bad.loss_disc = NAN;
    CHECK(!adversary_update(g.adversary, &bad), "a loss");
    params_ptr(g.params, PARAMS_GRAD, at)[3] = INFINITY;
    CHECK(!adversary_update(g.adversary, &g.metrics), "a gradient");
    CHECK(w[0] == was && state[0].data[0] == 0 && state[1].data[0] == 0, "nothing moved");
    gan_step(&g, 10, 1);
    CHECK(adversary_update(g.adversary, &g.metrics), "a good one");
    CHECK(w[0] != was && state[0].data[0] == 1 && state[1].data[0] != 0, "moved");
    gan_close(&g);
    lpips_free(l);
}
