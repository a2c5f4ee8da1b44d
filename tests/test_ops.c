/* test_ops.c - every op of tape/ops.h against a naive double-precision formula (op_cases.h), and
 * its gradient against central differences of that formula: one table of cases, one generic check.
 *
 * The generic check records the op, weighs its output with fixed numbers to a scalar, and holds:
 * values; gradients that overwrite (over NaN) and add (to what was there, and of an op used twice);
 * each parameter alone; the same bits on replay, for any number of threads and with unshared
 * memory. Differences are taken in double at two step widths, whose disagreement bounds their
 * error.
 */
#include "common/base/pool.h"
#include "common/base/rng.h"
#include "common/tape/ops.h"
#include "common/tape/plan.h"
#include "tests/op_cases.h"
#include "tests/test.h"

enum {
    LARGE = 600,
    FD_MOST = 160,
    FD_LARGE = 12 /* elements of one input whose derivative is taken */
};

/* ---- the generic check ---- */

static int32_t range_lo(size_t row) {
    return (int32_t)(row % 3);
}
static int32_t range_hi(size_t row, int columns) {
    return columns - (int32_t)(row % 2);
}

/* Even rows: two or three positions at a time, seeing two more groups. Odd rows: position 0 is
 * padding, one sequence fills 1 .. 4, another the rest. */
static double first_seen(size_t row, size_t at) {
    if (row % 2) return at == 0 ? -1 : at < 5 ? 1 : 5 + (double)(at > 8);
    size_t group = 2 + row / 2 % 2;
    return at / group < 2 ? 0 : (double)((at / group - 2) * group);
}

/* Element e of input i as every copy of the case sees it. */
static double fill(const op_case_t *c, size_t i, size_t e) {
    const in_t *in = &c->in[i];
    rng_t r = rng_fold(rng_make(77, c->name), i);
    double u = rng_uniform64(r, 2 * e);
    size_t row = e / 2, columns = shape_cols(in->shape);
    switch (in->fill) {
    case NORMAL:
        return (float)rng_normal(r, e);
    case AWAY:
        return (float)((0.2 + 0.8 * u) * (rng_below(r, 2 * e + 1, 2) ? 1 : -1));
    case NEAR:
        return (float)(0.2 * u - 0.1);
    case WEIGHT:
        return 0.5 * (double)(e % 4);
    case CODES:
        return (double)rng_below(r, e, (uint32_t)in->bound + 1) - 1;
    case SEEN:
        return first_seen(e / columns, e % columns);
    case SOME: {
        size_t rows = shape_count(in->shape) - 2;
        return e < rows ? (double)(e * (size_t)in->bound / rows) : -1;
    }
    case RANGE:
        return e % 2 ? range_hi(row, in->bound) : range_lo(row);
    case TARGET:
        return range_lo(e) + (int32_t)(7 * e) % (range_hi(e, in->bound) - range_lo(e));
    }
    return 0;
}

static bool there(const op_case_t *c, int i) {
    return c->in[i].source != ABSENT && c->in[i].shape.rank >= 0;
}

typedef struct {
    params_t *params;
    tape_t *tape;
    plan_t *plan;
    plan_memory_t memory;
    var_t in[IN], out, weight;
    int param[IN];
    size_t n_out;
} rig_t;

/* The fixed numbers that weigh output e. */
static double weight_of(size_t e) {
    return (float)((0.5 + rng_uniform64((rng_t){3, 4}, e)) * (e % 3 == 1 ? -1 : 1));
}

/* Inputs are values with a life of their own: they must last until the backward that reads them. */
static bool indirect;

/* The op once, or twice with weights 1 and -0.5; `wrt` selects parameters. */
static void rig_open(rig_t *g, const op_case_t *c, bool twice, const char *wrt, bool unshared) {
    *g = (rig_t){.params = params_new(1)};
    g->tape = tape_new(g->params);
    for (int i = 0; i < IN; i++) {
        g->in[i] = NO_VAR;
        g->param[i] = -1;
        if (!there(c, i)) continue;
        char name[8];
        snprintf(name, sizeof name, "p%c", 'a' + i);
        const shape_t *s = &c->in[i].shape;
        if (c->in[i].source == PARAM) {
            g->param[i] = params_get(g->params, name, s->rank, s->dim, LAYOUT_SAME,
                                     (param_init_t){INIT_ZERO, 0});
            float *v = params_ptr(g->params, PARAMS_VALUE, g->param[i]);
            for (size_t e = 0; e < shape_count(*s); e++) v[e] = (float)fill(c, (size_t)i, e);
            g->in[i] = tape_param(g->tape, g->param[i]);
            if (indirect) g->in[i] = op_scale(g->tape, g->in[i], 1);
        } else {
            g->in[i] = tape_input(g->tape, name, *s);
        }
    }
    var_t total[2];
    for (int k = 0; k < 1 + twice; k++) {
        size_t scope = tape_scope(g->tape, "case");
        var_t y = c->record(g->tape, g->in, c);
        tape_unscope(g->tape, scope);
        g->n_out = tape_count(g->tape, y);
        if (indirect) y = op_scale(g->tape, y, 1);
        if (!k) {
            g->out = y;
            g->weight = tape_input(g->tape, "weight", F32_2(1, g->n_out));
        }
        y = op_linear(g->tape, tape_reshape(g->tape, y, F32_2(1, g->n_out)), g->weight, NO_VAR,
                      W_OUT_IN);
        total[k] = tape_reshape(g->tape, y, F32_0());
    }
    var_t root = op_weighted_sum(g->tape, total, (float[]){1, -0.5f}, 1 + (size_t)twice);
    pass_t pass = {.root = {root}, .n_roots = 1, .wrt = &wrt, .n_wrt = 1};
    g->plan = plan_new(g->tape, &(plan_opts_t){.keep = &g->out,
                                               .n_keep = 1,
                                               .pass = &pass,
                                               .n_pass = 1,
                                               .unshared = unshared,
                                               .memory = &g->memory});
    plan_key(g->plan, KEY_SEED, KEY_STEP, KEY_FIRST);
}

static void rig_close(rig_t *g) {
    plan_free(g->plan);
    plan_memory_release(&g->memory);
    tape_free(g->tape);
    params_free(g->params);
}

/* A replay over memory full of NaN. */
static void rig_run(rig_t *g, const op_case_t *c) {
    memset(g->memory.base, 0xff, g->memory.bytes);
    for (int i = 0; i < IN; i++) {
        if (g->in[i] == NO_VAR || g->param[i] >= 0) continue;
        void *to = plan_data(g->plan, g->in[i]);
        for (size_t e = 0; e < COUNT(c, i); e++) {
            if (c->in[i].source == INDEX)
                ((int32_t *)to)[e] = (int32_t)fill(c, (size_t)i, e);
            else
                ((float *)to)[e] = (float)fill(c, (size_t)i, e);
        }
    }
    for (size_t e = 0; e < g->n_out; e++)
        ((float *)plan_data(g->plan, g->weight))[e] = (float)weight_of(e);
    plan_forward(g->plan);
    plan_backward(g->plan, 0);
}

static void set_gradients(rig_t *g, float v) {
    float *d = params_base(g->params, PARAMS_GRAD);
    for (size_t i = 0; i < params_block(g->params); i++) d[i] = v;
}

static bool same_bits(const float *a, const float *b, size_t n) {
    return memcmp(a, b, n * sizeof *a) == 0;
}

/* What a rig's replay leaves: outputs and gradients side by side. */
static float *results(rig_t *g, size_t *n) {
    *n = g->n_out;
    for (int i = 0; i < IN; i++)
        if (g->param[i] >= 0) *n += params_at(g->params, g->param[i])->count;
    float *all = malloc(*n * sizeof *all), *at = all;
    memcpy(at, plan_data(g->plan, g->out), g->n_out * sizeof *at);
    at += g->n_out;
    for (int i = 0; i < IN; i++) {
        if (g->param[i] < 0) continue;
        size_t count = params_at(g->params, g->param[i])->count;
        memcpy(at, params_ptr(g->params, PARAMS_GRAD, g->param[i]), count * sizeof *at);
        at += count;
    }
    return all;
}

static double weighed(const op_case_t *c, double *const *x, double *y, size_t n) {
    double sum = 0;
    c->formula(c, (const double *const *)x, y);
    for (size_t e = 0; e < n; e++) sum += weight_of(e) * y[e];
    return sum;
}

/* d(weighed)/d(x[i][e]) by central differences, Richardson's extrapolation from steps h and h/2;
 * *error bounds it. */
static double difference(const op_case_t *c, double *const *x, size_t i, size_t e, double *y,
                         size_t n, double *error) {
    double at = x[i][e], d[2], h = 1.0 / 512;
    for (int k = 0; k < 2; k++, h /= 2) {
        x[i][e] = at + h;
        double high = weighed(c, x, y, n);
        x[i][e] = at - h;
        d[k] = (high - weighed(c, x, y, n)) / (2 * h);
    }
    x[i][e] = at;
    double best = (4 * d[1] - d[0]) / 3;
    *error = fabs(best - d[1]) / 3;
    return best;
}

static double largest(const float *v, size_t n) {
    double m = 0;
    for (size_t i = 0; i < n; i++) m = fmax(m, fabs((double)v[i]));
    return m;
}

/* Values and gradients of the rig against the formula. */
static void check_numbers(const op_case_t *c, rig_t *g) {
    double *x[IN] = {0}, *y = malloc(g->n_out * sizeof *y);
    for (int i = 0; i < IN; i++) {
        if (!there(c, i)) continue;
        x[i] = malloc(COUNT(c, i) * sizeof **x);
        for (size_t e = 0; e < COUNT(c, i); e++) x[i][e] = fill(c, (size_t)i, e);
    }
    weighed(c, x, y, g->n_out);
    const float *out = plan_data(g->plan, g->out);
    double scale_out = largest(out, g->n_out);
    for (size_t e = 0; e < g->n_out; e++)
        CHECK(fabs(out[e] - y[e]) <= 4e-6 * scale_out,
              "%s: value %zu is %.9g, the formula gives %.9g", c->name, e, out[e], y[e]);
    for (int i = 0; i < IN; i++) {
        if (g->param[i] < 0) continue;
        size_t n = COUNT(c, i), stride = n / (COUNT(c, 0) > LARGE ? FD_LARGE : FD_MOST) + 1;
        const float *d = params_ptr(g->params, PARAMS_GRAD, g->param[i]);
        double most = largest(d, n);
        for (size_t e = 0; e < n; e += stride) {
            double error, want = difference(c, x, (size_t)i, e, y, g->n_out, &error),
                          allowed = 2e-5 * most + 1e-7 + 2 * error;
            CHECK(fabs(d[e] - want) <= allowed,
                  "%s: input %d: gradient %zu is %.9g, differences give %.9g +- %.2g", c->name, i,
                  e, d[e], want, error);
            CHECK(allowed <= 1e-3 * fmax(most, 0.05),
                  "%s: input %d: the check of gradient %zu is blunt (%g of %g)", c->name, i, e,
                  allowed, most);
        }
    }
    for (int i = 0; i < IN; i++) free(x[i]);
    free(y);
}

static void check_adds(const op_case_t *c, rig_t *g) {
    enum { BEFORE = 3 };
    size_t n, n2;
    set_gradients(g, BEFORE);
    plan_accumulate(g->plan, 0, true);
    rig_run(g, c);
    float *sum = results(g, &n);
    plan_accumulate(g->plan, 0, false);
    set_gradients(g, NAN);
    rig_run(g, c);
    float *once = results(g, &n2);
    double most = largest(once + g->n_out, n - g->n_out);
    for (size_t i = g->n_out; i < n; i++)
        CHECK(fabs(sum[i] - (BEFORE + (double)once[i])) <= 1e-6 * (BEFORE + most),
              "%s: %g added to %d gives %g", c->name, once[i], BEFORE, sum[i]);
    rig_t two;
    rig_open(&two, c, true, "", false);
    set_gradients(&two, NAN);
    rig_run(&two, c);
    float *half = results(&two, &n2);
    for (size_t i = g->n_out; i < n; i++)
        CHECK(fabs(half[i] - 0.5 * once[i]) <= 2e-6 * most, "%s: used twice, 1 - 0.5: %g, once %g",
              c->name, half[i], once[i]);
    rig_close(&two);
    free(sum);
    free(once);
    free(half);
}

static void check_alone(const op_case_t *c, rig_t *all) {
    for (int i = 0; i < IN && !c->together; i++) {
        if (all->param[i] < 0) continue;
        char name[8];
        snprintf(name, sizeof name, "p%c", 'a' + i);
        rig_t g;
        rig_open(&g, c, false, name, false);
        set_gradients(&g, 42);
        rig_run(&g, c);
        for (int j = 0; j < IN; j++) {
            if (g.param[j] < 0) continue;
            const float *d = params_ptr(g.params, PARAMS_GRAD, g.param[j]),
                        *was = params_ptr(all->params, PARAMS_GRAD, all->param[j]);
            if (i == j)
                CHECK(same_bits(d, was, COUNT(c, j)), "%s: input %d alone has another gradient",
                      c->name, i);
            else
                CHECK(d[0] == 42 && d[COUNT(c, j) - 1] == 42, "%s: input %d was not selected",
                      c->name, j);
        }
        rig_close(&g);
    }
}

static void check_case(const op_case_t *c) {
    rig_t g, apart;
    size_t n, n2;
    pool_set_threads(1);
    rig_open(&g, c, false, "", false);
    set_gradients(&g, NAN);
    rig_run(&g, c);
    check_numbers(c, &g);
    float *first = results(&g, &n);
    for (int threads = 1; threads <= 3; threads++) { /* 1: a plain replay */
        pool_set_threads(threads);
        set_gradients(&g, NAN);
        rig_run(&g, c);
        float *again = results(&g, &n2);
        CHECK(same_bits(first, again, n), "%s: other bits on replay with %d threads", c->name,
              threads);
        free(again);
    }
    pool_set_threads(1); /* waiting threads spin: costly where others work too */
    indirect = true;
    rig_open(&apart, c, false, "", true);
    set_gradients(&apart, NAN);
    rig_run(&apart, c);
    float *unshared = results(&apart, &n2);
    CHECK(same_bits(first, unshared, n),
          "%s: other bits without shared memory, over values of limited life", c->name);
    rig_close(&apart);
    indirect = false;
    check_alone(c, &g);
    check_adds(c, &g);
    rig_close(&g);
    free(first);
    free(unshared);
}

TEST(ops_table) {
    for (size_t i = 0; i < CASES; i++) check_case(&cases[i]);
}

/* ---- what differences cannot say ---- */

TEST(dropout_key) {
    enum { N = 40, D = 50 };
    float y[6][N * D];
    size_t kept = 0, differ = 0;
    struct {
        uint64_t seed, step, first;
        const char *scope;
    } key[6] = {{1, 1, 0, "a"}, {1, 1, 0, "a"}, {2, 1, 0, "a"},
                {1, 2, 0, "a"}, {1, 1, 0, "b"}, {1, 1, 7, "a"}};
    for (int k = 0; k < 6; k++) {
        tape_t *t = tape_new(NULL);
        var_t x = tape_input(t, "x", F32_2(N, D));
        tape_scope(t, "%s", key[k].scope);
        var_t out = op_dropout(t, x, 0.25f, D);
        plan_t *p = plan_new(t, &(plan_opts_t){.keep = &out, .n_keep = 1});
        for (size_t i = 0; i < N * D; i++) ((float *)plan_data(p, x))[i] = 3;
        plan_key(p, key[k].seed, key[k].step, key[k].first);
        plan_forward(p);
        memcpy(y[k], plan_data(p, out), sizeof y[k]);
        plan_free(p);
        tape_free(t);
    }
    for (size_t i = 0; i < N * D; i++) {
        CHECK(y[0][i] == 0 || fabsf(y[0][i] - 4) < 1e-6f, "3 / 0.75, not %g", y[0][i]);
        kept += y[0][i] > 0;
    }
    CHECK(kept > N * D * 0.70 && kept < N * D * 0.80, "%zu of %d kept", kept, N * D);
    CHECK(same_bits(y[0], y[1], N * D), "the same key");
    for (int k = 2; k < 5; k++) {
        for (size_t i = differ = 0; i < N * D; i++) differ += y[0][i] != y[k][i];
        CHECK(differ > N * D / 4, "key %d: only %zu differ", k, differ);
    }
    /* sample 7 of a batch that starts at 0 is sample 0 of one that starts at 7 */
    CHECK(same_bits(y[0] + 7 * D, y[5], (N - 7) * D), "the mask follows the sample, not its place");
    tape_t *t = tape_new(NULL);
    var_t x = tape_input(t, "x", F32_1(4));
    CHECK(op_dropout(t, x, 0, 4) == x, "p = 0 records nothing");
    tape_free(t);
}

TEST(xent_rows) {
    enum { N = 5, V = 7 };
    params_t *params = params_new(0);
    tape_t *t = tape_new(params);
    var_t logits = tape_param(t, params_get(params, "l", 2, (size_t[]){N, V}, LAYOUT_SAME,
                                            (param_init_t){INIT_NORMAL, 1}));
    var_t target = tape_input(t, "t", I32_1(N)), range = tape_input(t, "r", I32_2(N, 2)),
          weight = tape_input(t, "w", F32_1(N)), row;
    var_t total = op_xent(t, logits, target, range, weight, &row);
    /* A loss made of the rows reaches nobody: rows are metrics to report. */
    var_t root = op_loss(t, LOSS_MSE, row, weight, NO_VAR, false);
    const char *all = "";
    pass_t pass = {.root = {root}, .n_roots = 1, .wrt = &all, .n_wrt = 1};
    var_t keep[] = {row, total};
    plan_t *p = plan_new(t, &(plan_opts_t){.keep = keep, .n_keep = 2, .pass = &pass, .n_pass = 1});
    for (int32_t i = 0; i < N; i++) {
        ((int32_t *)plan_data(p, target))[i] = 2 + i % 3;
        ((int32_t *)plan_data(p, range))[2 * i] = 2;
        ((int32_t *)plan_data(p, range))[2 * i + 1] = 6;
        ((float *)plan_data(p, weight))[i] = i == 3 ? 0 : 1;
    }
    plan_forward(p);
    plan_backward(p, 0);
    const float *l = params_ptr(params, PARAMS_VALUE, 0), *d = params_ptr(params, PARAMS_GRAD, 0),
                *rows = plan_data(p, row);
    double sum = 0;
    for (size_t i = 0; i < N; i++) {
        double z = 0;
        for (size_t j = 2; j < 6; j++) z += exp(l[i * V + j]);
        double want = i == 3 ? 0 : log(z) - l[i * V + 2 + i % 3];
        CHECK_NEAR(rows[i], want, 1e-5);
        sum += want;
    }
    CHECK_NEAR(plan_scalar(p, total), sum / 4, 1e-5);
    for (size_t i = 0; i < N * V; i++) CHECK(d[i] == 0, "gradient %zu is %g", i, d[i]);
    plan_free(p);
    tape_free(t);
    params_free(params);
}

/* The quantizer is a constant staircase: its gradients are a definition (straight-through, van den
 * Oord et al. 2017), written out here in double. */
static void check_vq(size_t n, size_t K, size_t D, float commitment, float codebook, bool through,
                     bool by_loss) {
    params_t *params = params_new(5);
    tape_t *t = tape_new(params);
    int pz = params_get(params, "z", 3, (size_t[]){1, n, D}, LAYOUT_SAME,
                        (param_init_t){INIT_NORMAL, 1});
    int pe =
        params_get(params, "e", 2, (size_t[]){K, D}, LAYOUT_SAME, (param_init_t){INIT_NORMAL, 1});
    vq_out_t q = op_vq(t, tape_param(t, pz), tape_param(t, pe), commitment, codebook);
    var_t w = tape_input(t, "w", F32_2(1, n * D));
    var_t dot = tape_reshape(
        t, op_linear(t, tape_reshape(t, q.quantized, F32_2(1, n * D)), w, NO_VAR, W_OUT_IN),
        F32_0());
    var_t parts[] = {dot, q.loss, q.mse}; /* the mse and the statistics give no gradient */
    var_t root;
    if (through && by_loss)
        root = op_weighted_sum(t, parts, (float[]){1, 0.5f, 9}, 3);
    else if (through)
        root = dot;
    else
        root = op_weighted_sum(t, parts + 1, (float[]){by_loss ? 0.5f : 0, 9}, 2);
    const char *all = "";
    pass_t pass = {.root = {root}, .n_roots = 1, .wrt = &all, .n_wrt = 1};
    var_t keep[] = {q.index, q.quantized, q.loss, q.mse, q.counts, q.sums};
    plan_t *p = plan_new(t, &(plan_opts_t){.keep = keep, .n_keep = 6, .pass = &pass, .n_pass = 1});
    float *z = params_ptr(params, PARAMS_VALUE, pz), *e = params_ptr(params, PARAMS_VALUE, pe);
    if (K > 3) memcpy(e + 3 * D, e + 1 * D, D * sizeof *e); /* a tie: code 1 wins over 3 */
    memcpy(z, e + 1 * D, D * sizeof *z);
    for (size_t i = 0; i < n * D; i++) ((float *)plan_data(p, w))[i] = (float)weight_of(i);
    plan_forward(p);
    const int32_t *idx = plan_data(p, q.index);
    double mse = 0, *dz = calloc(n * D, sizeof *dz), *de = calloc(K * D, sizeof *de),
           *sums = calloc(K * D, sizeof *sums), *counts = calloc(K, sizeof *counts);
    for (size_t i = 0; i < n; i++) {
        size_t best = 0;
        double least = INFINITY;
        for (size_t k = 0; k < K; k++) {
            double d2 = 0;
            for (size_t d = 0; d < D; d++) d2 += pow((double)z[i * D + d] - e[k * D + d], 2);
            if (d2 < least) least = d2, best = k;
        }
        CHECK((size_t)idx[i] == best, "vector %zu: code %d, the nearest is %zu", i, (int)idx[i],
              best);
        counts[best]++;
        for (size_t d = 0; d < D; d++) {
            double diff = (double)z[i * D + d] - e[best * D + d], N = (double)(n * D),
                   s = by_loss ? 0.5 : 0;
            mse += diff * diff / N;
            sums[best * D + d] += z[i * D + d];
            dz[i * D + d] =
                (through ? (float)weight_of(i * D + d) : 0) + s * commitment * 2 * diff / N;
            de[best * D + d] -= s * codebook * 2 * diff / N;
            CHECK(((float *)plan_data(p, q.quantized))[i * D + d] == e[best * D + d],
                  "quantized is the code itself");
        }
    }
    CHECK_NEAR(plan_scalar(p, q.mse), mse, 1e-6 * mse + 1e-9);
    CHECK_NEAR(plan_scalar(p, q.loss), (commitment + codebook) * mse, 2e-6 * mse + 1e-9);
    for (size_t k = 0; k < K; k++)
        CHECK(((float *)plan_data(p, q.counts))[k] == counts[k], "counts of code %zu", k);
    for (size_t k = 0; k < K * D; k++)
        CHECK_NEAR(((float *)plan_data(p, q.sums))[k], sums[k], 1e-5);
    for (int add = 0; add < 2; add++) {
        float *g = params_base(params, PARAMS_GRAD), start = add ? 2 : NAN;
        for (size_t i = 0; i < params_block(params); i++) g[i] = start;
        plan_accumulate(p, 0, add);
        for (size_t i = 0; i < n * D; i++) ((float *)plan_data(p, w))[i] = (float)weight_of(i);
        plan_forward(p);
        plan_backward(p, 0);
        for (size_t i = 0; i < n * D; i++)
            CHECK_NEAR(params_ptr(params, PARAMS_GRAD, pz)[i], dz[i] + (add ? 2 : 0), 2e-6);
        for (size_t k = 0; k < K * D; k++)
            CHECK_NEAR(params_ptr(params, PARAMS_GRAD, pe)[k], de[k] + (add ? 2 : 0), 2e-6);
    }
    free(dz), free(de), free(sums), free(counts);
    plan_free(p);
    tape_free(t);
    params_free(params);
}

TEST(vq_pseudo_gradients) {
    for (int through = 0; through < 2; through++)
        for (int by_loss = 0; by_loss < 2; by_loss++) {
            check_vq(9, 5, 3, 0.25f, 1, through, by_loss);
            check_vq(30, 7, 8, 1, 0.25f, through, by_loss);
            check_vq(17, 2, 1, 0.25f, 0, through, by_loss);
        }
}

TEST(threads_really_run) {
    pool_set_threads(3);
    CHECK(pool_threads() == 3, "%d", pool_threads());
    pool_set_threads(1);
}
