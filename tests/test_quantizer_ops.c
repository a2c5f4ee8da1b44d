/* test_quantizer_ops.c - every kind of quantizer as quantizer_record records it: codes, vectors,
 * losses and gradients against PyTorch's (tests/reference/make_quantizers.py), and the gradients
 * once more against central differences in double of what stands in for the staircase, written here
 * from the formulas.
 */
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "common/io/safetensors/safetensors.h"
#include "tests/golden.h"
#include "tests/test.h"
#include "vqvae/quantizer_kind.h"

enum { PARTS = 4 };
static const char *const part[PARTS] = {"z", "e", "weight", "bias"};
static const char *const parameter[PARTS] = {"z", "quantize.embedding.weight",
                                             "quantize.embedding_proj.weight",
                                             "quantize.embedding_proj.bias"};
static const double COMMITMENT = 0.25, CODEBOOK = 1;

typedef struct {
    const quantizer_kind_t *kind;
    char name[32];
    kern_fsq_t fsq;
    size_t n, K, D, count[PARTS];
    double *x[PARTS], *grad[PARTS], *g; /* parts, their gradients; upstream */
    const double *base[PARTS];          /* of what stands still while x is changed */
    int32_t *idx;
} case_t;

/* ---- the formulas, in double ---- */

static void unit(const double *x, size_t D, double least, double *y) {
    double s = 0;
    for (size_t d = 0; d < D; d++) s += x[d] * x[d];
    for (size_t d = 0; d < D; d++) y[d] = x[d] / fmax(sqrt(s), least);
}

static void vector_of(const case_t *c, const double *const *x, size_t i, double *z) {
    if (c->kind == &quant_l2)
        unit(x[0] + i * c->D, c->D, 1e-12, z);
    else
        memcpy(z, x[0] + i * c->D, c->D * sizeof *z);
}

static void code_of(const case_t *c, const double *const *x, size_t k, double *e) {
    for (size_t d = 0; d < c->D; d++) {
        e[d] = x[1][k * c->D + d];
        if (c->kind != &quant_simvq) continue;
        e[d] = x[3][d];
        for (size_t j = 0; j < c->D; j++) e[d] += x[2][d * c->D + j] * x[1][k * c->D + j];
    }
    if (c->kind == &quant_l2) unit(memcpy((double[16]){0}, e, c->D * sizeof *e), c->D, 1e-12, e);
}

/* z turned about what u and v were at the base, stretched as there. */
static void turn(const case_t *c, const double *z0, const double *q0, const double *z,
                 double *out) {
    double u[16], v[16], w[16], zn = 0, qn = 0, zw = 0, zu = 0;
    unit(z0, c->D, 1e-6, u);
    unit(q0, c->D, 1e-6, v);
    for (size_t d = 0; d < c->D; d++) w[d] = u[d] + v[d];
    unit(memcpy((double[16]){0}, w, sizeof w), c->D, 1e-6, w);
    for (size_t d = 0; d < c->D; d++) {
        zn += z0[d] * z0[d], qn += q0[d] * q0[d];
        zw += z[d] * w[d], zu += z[d] * u[d];
    }
    for (size_t d = 0; d < c->D; d++)
        out[d] = sqrt(qn / zn) * (z[d] - 2 * zw * w[d] + 2 * zu * v[d]);
}

static double bounded(int32_t l, double z) {
    double h = (l - 1) * 1.001 / 2, o = l % 2 ? 0 : 0.5;
    return tanh(z + atanh(o / h)) * h - o;
}

/* sum upstream * output + loss as autograd sees it at the base: rounding and nearest codes stand
 * still. */
static double objective(const case_t *c, const double *const *x) {
    double sum = 0, loss = 0;
    for (size_t i = 0; i < c->n; i++) {
        double z[16], z0[16], q[16], q0[16], out[16];
        for (size_t d = 0; c->kind == &quant_fsq && d < c->D; d++)
            sum += c->g[i * c->D + d] * bounded(c->fsq.level[d], x[0][i * c->D + d]) /
                   (c->fsq.level[d] / 2);
        if (c->kind == &quant_fsq) continue;
        vector_of(c, x, i, z);
        vector_of(c, c->base, i, z0);
        code_of(c, x, (size_t)c->idx[i], q);
        code_of(c, c->base, (size_t)c->idx[i], q0);
        if (c->kind == &quant_rotation) turn(c, z0, q0, z, out);
        for (size_t d = 0; d < c->D; d++) {
            sum +=
                c->g[i * c->D + d] * (c->kind == &quant_rotation ? out[d] : z[d] + q0[d] - z0[d]);
            loss += COMMITMENT * pow(q0[d] - z[d], 2) + CODEBOOK * pow(q[d] - z0[d], 2);
        }
    }
    return sum + loss / (double)(c->n * c->D);
}

/* ---- a case of the reference file ---- */

static double *read_part(const st_file_t *f, const case_t *c, const char *what, size_t *n) {
    char name[80];
    snprintf(name, sizeof name, "%s/%s", c->name, what);
    const st_tensor_t *t = st_find(f, name);
    if (n) *n = t ? t->count : 0;
    if (!t) return NULL;
    float *v = xmalloc(t->count * sizeof *v);
    if (st_read_f32(t, v, NULL)) BUG("'%s' is no float", name);
    double *wide = xmalloc(t->count * sizeof *wide);
    for (size_t i = 0; i < t->count; i++) wide[i] = v[i];
    free(v);
    return wide;
}

static void compare(const case_t *c, const char *what, const float *ours, const double *theirs,
                    size_t n, double tol) {
    double most = 1e-3;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(theirs[i]));
    for (size_t i = 0; i < n; i++)
        CHECK(fabs(ours[i] - theirs[i]) <= tol * most, "%s: %s %zu is %.9g, not %.9g", c->name,
              what, i, ours[i], theirs[i]);
}

static void check_differences(const case_t *c, int p, const float *ours) {
    const double *x[PARTS], h = 1e-4;
    memcpy(x, c->base, sizeof x);
    double *moved = xmalloc(c->count[p] * sizeof *moved), most = 1e-3;
    memcpy(moved, c->base[p], c->count[p] * sizeof *moved);
    x[p] = moved;
    for (size_t i = 0; i < c->count[p]; i++) most = fmax(most, fabs(c->grad[p][i]));
    for (size_t i = 0; i < c->count[p]; i++) {
        moved[i] = c->base[p][i] + h;
        double high = objective(c, x);
        moved[i] = c->base[p][i] - h;
        double slope = (high - objective(c, x)) / (2 * h);
        moved[i] = c->base[p][i];
        CHECK(fabs(ours[i] - slope) <= 1e-5 * most,
              "%s: gradient %s %zu is %.9g, differences give %.9g", c->name, part[p], i, ours[i],
              slope);
    }
    free(moved);
}

static void check_case(case_t *c, const st_file_t *f) {
    config_t config;
    config_begin(&config);
    config.quantizer.kind = quantizer_kind_index(c->kind);
    config.quantizer.levels.n = (int)c->fsq.n;
    for (size_t d = 0; d < c->fsq.n; d++) config.quantizer.levels.v[d] = c->fsq.level[d];
    config.quantizer.commitment_weight = COMMITMENT;
    config.quantizer.codebook_weight = CODEBOOK;
    for (int p = 0; p < PARTS; p++) {
        char key[16];
        snprintf(key, sizeof key, "grad/%s", part[p]);
        c->base[p] = c->x[p] = read_part(f, c, part[p], &c->count[p]);
        c->grad[p] = read_part(f, c, key, NULL);
    }
    size_t n, n_idx;
    c->g = read_part(f, c, "upstream", &n);
    double *quantized = read_part(f, c, "quantized", NULL), *loss = read_part(f, c, "loss", NULL);
    REQUIRE(c->x[0] && c->g && quantized && loss, "%s is not in the file", c->name);
    c->n = 40, c->D = n / c->n;
    if (c->x[1]) {
        c->K = c->count[1] / c->D;
        config.model.vq_embed_dim = (int64_t)c->D;
        config.model.num_vq_embeddings = (int64_t)c->K;
    }
    config_settle(&config);
    vqvae_config_t m = config_model(&config);
    params_t *params = params_new(1);
    params_get(params, "z", 2, (size_t[]){c->n, c->D}, LAYOUT_SAME, init_zero());
    quantizer_declare(&config, params);
    tape_t *t = tape_new(params);
    nn_t nn;
    nn_begin(&nn, t);
    if (!m.fsq.n) vqvae_codebook(&nn, &m);
    for (int p = 0; p < PARTS; p++) {
        int at = params_find(params, parameter[p]);
        CHECK((at >= 0) == (c->x[p] != NULL), "%s: parameter '%s'", c->name, parameter[p]);
        if (at < 0) continue;
        for (size_t i = 0; i < c->count[p]; i++)
            params_ptr(params, PARAMS_VALUE, at)[i] = (float)c->x[p][i];
    }
    quantizer_t q;
    quantizer_init(&q, &config, params, (double)c->n);
    vq_out_t o = quantizer_record(&q, &nn, &m, tape_param(t, 0));
    var_t w = tape_input(t, "w", F32_2(1, n)),
          dot = tape_reshape(
              t, op_linear(t, tape_reshape(t, o.quantized, F32_2(1, n)), w, NO_VAR, W_OUT_IN),
              F32_0()),
          root = op_weighted_sum(t, (var_t[]){dot, o.loss}, (float[]){1, 1}, 2);
    const char *wrt[2] = {"", quantizer_fixed(&config)};
    pass_t pass = {.root = {root}, .n_roots = 1, .wrt = wrt, .n_wrt = wrt[1] ? 2 : 1};
    var_t keep[] = {o.index, o.quantized, o.loss, o.counts};
    plan_t *plan =
        plan_new(t, &(plan_opts_t){.keep = keep, .n_keep = 4, .pass = &pass, .n_pass = 1});
    const st_tensor_t *indices = NULL;
    char name[80];
    snprintf(name, sizeof name, "%s/indices", c->name);
    indices = st_find(f, name);
    n_idx = indices->count;
    REQUIRE(n_idx == c->n, "%zu indices", n_idx);
    float *counts = xcalloc(m.codes, sizeof *counts);
    for (int add = 0; add < 2; add++) {
        float *grad = params_base(params, PARAMS_GRAD);
        for (size_t i = 0; i < params_block(params); i++) grad[i] = add ? 2 : NAN;
        plan_accumulate(plan, 0, add);
        for (size_t i = 0; i < n; i++) ((float *)plan_data(plan, w))[i] = (float)c->g[i];
        plan_forward(plan);
        plan_backward(plan, 0);
        c->idx = plan_data(plan, o.index);
        for (int p = 0; p < PARTS; p++) {
            int at = params_find(params, parameter[p]);
            if (at < 0 || !params_match(parameter[p], wrt, pass.n_wrt)) continue;
            float *ours = params_ptr(params, PARAMS_GRAD, at);
            for (size_t i = 0; add && i < c->count[p]; i++) ours[i] -= 2;
            compare(c, part[p], ours, c->grad[p], c->count[p], add ? 1e-5 : 2e-6);
            if (!add) check_differences(c, p, ours);
        }
    }
    for (size_t i = 0; i < c->n; i++) {
        int64_t id;
        memcpy(&id, indices->data + 8 * i, 8);
        CHECK(id == c->idx[i], "%s: code %zu is %d, not %d", c->name, i, (int)c->idx[i], (int)id);
        counts[id]++;
    }
    CHECK(!memcmp(counts, plan_data(plan, o.counts), m.codes * sizeof *counts), "%s: counts",
          c->name);
    compare(c, "quantized", plan_data(plan, o.quantized), quantized, n, 1e-6);
    CHECK_NEAR(plan_scalar(plan, o.loss), loss[0], 2e-6 * loss[0]);
    /* what is published is what the decoder saw */
    const float *codes = quantizer_publish(&q, PARAMS_VALUE), *seen = plan_data(plan, o.quantized);
    CHECK((codes != NULL) == (c->kind == &quant_simvq || c->kind == &quant_l2), "%s: published",
          c->name);
    for (size_t i = 0; codes && i < c->n; i++)
        CHECK(!memcmp(codes + (size_t)c->idx[i] * c->D, seen + i * c->D, c->D * sizeof *seen),
              "%s: published code %d", c->name, (int)c->idx[i]);
    for (int p = 0; p < PARTS; p++) free(c->x[p]), free(c->grad[p]);
    free(c->g), free(quantized), free(loss), free(counts);
    quantizer_release(&q);
    plan_free(plan);
    tape_free(t);
    params_free(params);
}

TEST(quantizers_as_pytorch) {
    static case_t cases[] = {{.kind = &quant_rotation, .name = "rotation", .fsq = {0}},
                             {.kind = &quant_simvq, .name = "simvq", .fsq = {0}},
                             {.kind = &quant_l2, .name = "l2", .fsq = {0}},
                             {.kind = &quant_fsq, .name = "fsq 8,5,5,5", .fsq = {4, {8, 5, 5, 5}}},
                             {.kind = &quant_fsq, .name = "fsq 3,4", .fsq = {2, {3, 4}}},
                             {.kind = &quant_fsq, .name = "fsq 7,6,5", .fsq = {3, {7, 6, 5}}},
                             {.kind = &quant_fsq, .name = "fsq 8,8,8", .fsq = {3, {8, 8, 8}}},
                             {.kind = &quant_fsq, .name = "fsq 16", .fsq = {1, {16}}}};
    st_file_t f;
    reason_t why;
    pool_set_threads(1);
    REQUIRE(!st_open(&f, "tests/reference/quantizers.safetensors", &why), "%s", why.text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_case(&cases[i], &f);
    st_close(&f);
}

/* What the decoder sees while there is no quantizer: z itself, or in the range of what will
 * come. */
TEST(before_the_first_step) {
    enum { N = 50, D = 3 };
    for (size_t k = 0; k < quantizer_kinds(); k++) {
        const quantizer_kind_t *kind = quantizer_kind_at(k);
        config_t config;
        config_begin(&config);
        config.quantizer.kind = quantizer_kind_index(kind);
        config.model.vq_embed_dim = D;
        config_settle(&config);
        vqvae_config_t m = config_model(&config);
        params_t *params = params_new(1);
        quantizer_declare(&config, params);
        quantizer_t q;
        quantizer_init(&q, &config, params, N);
        tape_t *t = tape_new(params);
        nn_t nn;
        nn_begin(&nn, t);
        var_t z = tape_input(t, "z", F32_2(N, D)), y = quantizer_bypass(&q, &nn, &m, z),
              keep[] = {z, y};
        plan_t *plan = plan_new(t, &(plan_opts_t){.keep = keep, .n_keep = 2});
        float *x = plan_data(plan, z);
        for (size_t i = 0; i < N * D; i++) x[i] = 3 * rng_normal(rng_make(5, "z"), i);
        plan_forward(plan);
        const float *out = plan_data(plan, y);
        for (size_t i = 0; i < N * D; i++) {
            const float *row = x + i / D * D;
            double want = x[i];
            if (kind == &quant_l2)
                want /= sqrt(row[0] * (double)row[0] + row[1] * (double)row[1] +
                             row[2] * (double)row[2]);
            if (kind == &quant_fsq) want = bounded(8, x[i]) / 4;
            CHECK_NEAR(out[i], want, 1e-6);
        }
        plan_free(plan);
        tape_free(t);
        quantizer_release(&q);
        params_free(params);
    }
}

/* ---- corners ---- */

/* A code and its vector: every one comes back, values beyond the ends and NaN stay codes. */
TEST(fsq_corners) {
    static const kern_fsq_t all[] = {
        {3, {3, 4, 5}}, {4, {8, 5, 5, 5}}, {1, {1000}}, {2, {1000, 999}}, {1, {3}}};
    for (size_t c = 0; c < sizeof all / sizeof *all; c++) {
        const kern_fsq_t *f = &all[c];
        size_t K = kern_fsq_codes(f), D = f->n;
        float *v = xmalloc(K * D * sizeof *v), *q = xmalloc(K * D * sizeof *q),
              *z = xmalloc(K * D * sizeof *z);
        int32_t *idx = xmalloc(K * sizeof *idx);
        kern_fsq_vectors(f, NULL, K, v);
        for (size_t i = 0; i < K; i++) { /* z in the middle of its step */
            size_t rest = i;
            for (size_t d = 0; d < D; d++) {
                int32_t l = f->level[d], k = (int32_t)(rest % (size_t)l) - l / 2;
                double h = (l - 1) * 1.001 / 2, o = l % 2 ? 0 : 0.5;
                CHECK_NEAR(v[i * D + d], (double)k / (l / 2), 1e-7);
                double t = fmax(-1 + 1e-12, fmin(1 - 1e-12, (k + o) / h));
                z[i * D + d] = (float)(atanh(t) - atanh(o / h));
                rest /= (size_t)l;
            }
        }
        kern_fsq_forward(f, z, K, idx, q);
        for (size_t i = 0; i < K; i++)
            CHECK(idx[i] == (int32_t)i, "code %zu comes back as %d", i, (int)idx[i]);
        CHECK(!memcmp(q, v, K * D * sizeof *q), "vectors of codes");
        for (size_t i = 0; i < D; i++) z[i] = 1e30f, z[D + i] = -INFINITY, z[2 * D + i] = NAN;
        kern_fsq_forward(f, z, 3, idx, q);
        CHECK(idx[0] == (int32_t)K - 1 && idx[1] == 0 && idx[2] == 0, "ends: %d %d %d", (int)idx[0],
              (int)idx[1], (int)idx[2]);
        kern_fsq_vectors(f, (int32_t[]){(int32_t)K - 1, 1}, 2, q);
        CHECK(!memcmp(q, v + (K - 1) * D, D * sizeof *q) && !memcmp(q + D, v + D, D * sizeof *q),
              "some codes");
        free(v), free(q), free(z), free(idx);
    }
    float q;
    int32_t idx;
    kern_fsq_forward(&(kern_fsq_t){1, {4}}, (float[]){0}, 1, &idx, &q);
    CHECK(idx == 2 && q == 0, "zero stays zero: %d %g", (int)idx, q);
}

/* Vectors and codes without direction give finite numbers. */
TEST(no_direction) {
    enum { D = 5 };
    float zero[D] = {0}, q[D] = {1, 0, -1, 2, 0}, minus[D], g[D] = {1, -2, 3, 4, 5}, out[D];
    for (int d = 0; d < D; d++) minus[d] = -q[d];
    kern_vq_rotate_backward(zero, q, g, 1, D, out, false);
    for (int d = 0; d < D; d++) CHECK(isfinite(out[d]), "z = 0");
    kern_vq_rotate_backward(q, zero, g, 1, D, out, false);
    for (int d = 0; d < D; d++)
        CHECK(out[d] == 0, "a code of length 0 stretches to 0, not %g", out[d]);
    kern_vq_rotate_backward(q, minus, g, 1, D, out, false);
    for (int d = 0; d < D; d++) CHECK(isfinite(out[d]), "opposite directions");
    kern_vq_rotate_backward(q, q, g, 1, D, out, false);
    for (int d = 0; d < D; d++) CHECK_NEAR(out[d], g[d], 1e-6); /* nothing to turn */
    kern_unit_rows_forward(zero, 1, D, out);
    for (int d = 0; d < D; d++) CHECK(out[d] == 0, "unit row of 0");
    kern_unit_rows_backward(zero, g, 1, D, out, false);
    for (int d = 0; d < D; d++) CHECK(isfinite(out[d]), "its gradient");
}

/* Any number of threads, any number of rows beside it: the same bits. */
TEST(rows_are_alone) {
    enum { N = 1000, D = 7 };
    static float z[N * D], q[N * D], g[N * D], one[3][N * D], many[3][N * D];
    static int32_t i1[N], i2[N];
    const kern_fsq_t f = {D, {3, 4, 5, 3, 4, 5, 3}};
    for (size_t i = 0; i < N * D; i++) {
        z[i] = rng_normal(rng_make(1, "z"), i);
        q[i] = rng_normal(rng_make(1, "q"), i);
        g[i] = rng_normal(rng_make(1, "g"), i);
    }
    for (size_t i = 0; i < N; i++) {
        kern_fsq_forward(&f, z + i * D, 1, i1 + i, one[0] + i * D);
        kern_vq_rotate_backward(z + i * D, q + i * D, g + i * D, 1, D, one[1] + i * D, false);
        kern_unit_rows_forward(z + i * D, 1, D, one[2] + i * D);
    }
    for (int threads = 1; threads <= 3; threads++) {
        pool_set_threads(threads);
        kern_fsq_forward(&f, z, N, i2, many[0]);
        kern_vq_rotate_backward(z, q, g, N, D, many[1], false);
        memcpy(many[2], z, sizeof z);
        kern_unit_rows_forward(many[2], N, D, many[2]); /* in place */
        CHECK(!memcmp(i1, i2, sizeof i1) && !memcmp(one, many, sizeof one), "%d threads", threads);
    }
    pool_set_threads(1);
}

/* ---- reference numbers of another implementation, where they lie beside the project ---- */

TEST(golden_fsq) {
    char *path = golden_path("quant/fsq.safetensors");
    st_file_t f;
    reason_t why;
    if (!path) return;
    REQUIRE(!st_open(&f, path, &why), "%s", why.text);
    free(path);
    static const struct {
        const char *name;
        kern_fsq_t f;
    } all[] = {
        {"8x5x5x5", {4, {8, 5, 5, 5}}}, {"8x6x5", {3, {8, 6, 5}}}, {"5x4x3x3", {4, {5, 4, 3, 3}}}};
    size_t seen = 0;
    for (size_t i = 0; i < 3; i++) {
        case_t c = {.D = all[i].f.n};
        snprintf(c.name, sizeof c.name, "%s", all[i].name);
        size_t n = 24, D = c.D, K = kern_fsq_codes(&all[i].f);
        float z[24 * 4], g[24 * 4], q[24 * 4], dz[24 * 4];
        double want[24 * 4];
        int32_t idx[24], theirs[24];
        float *book = xmalloc(K * D * sizeof *book), *ours = xmalloc(K * D * sizeof *ours);
#define GET(what, to)                                                                              \
    do {                                                                                           \
        snprintf(name, sizeof name, "%s.%s", c.name, what);                                        \
        const st_tensor_t *tensor = st_find(&f, name);                                             \
        REQUIRE(tensor && !st_read_f32(tensor, to, NULL), "%s", name);                             \
    } while (0)
        char name[64];
        GET("z", z);
        GET("upstream_grad", g);
        GET("implicit_codebook", book); /* the first codes of them */
        size_t count = st_find(&f, name)->count;
        kern_fsq_forward(&all[i].f, z, n, idx, q);
        kern_fsq_backward(&all[i].f, z, g, n, dz, false);
        kern_fsq_vectors(&all[i].f, NULL, K, ours);
        for (size_t k = 0; k < count; k++) CHECK_NEAR(ours[k], book[k], 1e-6);
        GET("zq", z);
        for (size_t k = 0; k < n * D; k++) want[k] = z[k];
        compare(&c, "zq", q, want, n * D, 1e-6);
        GET("grad.z", z);
        for (size_t k = 0; k < n * D; k++) want[k] = z[k];
        compare(&c, "grad.z", dz, want, n * D, 2e-5);
        snprintf(name, sizeof name, "%s.indices", c.name);
        memcpy(theirs, st_find(&f, name)->data, sizeof theirs);
        CHECK(!memcmp(theirs, idx, sizeof idx), "%s: indices", c.name);
        seen++;
        free(book), free(ours);
    }
    CHECK(seen == 3, "%zu cases", seen);
    st_close(&f);
}
