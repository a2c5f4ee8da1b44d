/* test_head.c - op_head_xent against the three ops that it stands for, and its memory. Against the
 * definition it is held by op_cases.h.
 */
#include "common/base/pool.h"
#include "common/base/rng.h"
#include "common/tape/ops.h"
#include "common/tape/plan.h"
#include "tests/child.h"
#include "tests/rss.h"
#include "tests/test.h"

#include <math.h>

/* What a head gives, by the fused op or by linear, xent and expect. The expectation is trained by
 * a mean squared error beside the cross entropy. */
typedef struct {
    params_t *params;
    tape_t *tape;
    plan_t *plan;
    size_t n, D, V;
    var_t target, range, weight, own, wanted; /* inputs */
    var_t loss, row, value, best, error;
} rig_t;

static void rig_open(rig_t *g, size_t n, size_t D, size_t V, bool fused) {
    *g = (rig_t){.params = params_new(5), .n = n, .D = D, .V = V, .best = NO_VAR};
    tape_t *t = g->tape = tape_new(g->params);
    param_init_t normal = {INIT_NORMAL, 1};
    params_reserve(g->params, (n + V) * D + 64);
    var_t x = tape_param(t, params_get(g->params, "x", 2, (size_t[]){n, D}, LAYOUT_SAME, normal)),
          w = tape_param(t, params_get(g->params, "w", 2, (size_t[]){V, D}, LAYOUT_SAME, normal));
    g->target = tape_input(t, "target", I32_1(n));
    g->range = tape_input(t, "range", I32_2(n, 2));
    g->weight = tape_input(t, "weight", F32_1(n));
    g->own = tape_input(t, "own", I32_2(n, 2));
    g->wanted = tape_input(t, "wanted", F32_1(n));
    if (fused) {
        head_xent_t o = {g->target, g->range, g->weight, g->own};
        head_xent_out_t out = op_head_xent(t, x, w, o);
        g->loss = out.loss, g->row = out.row, g->value = out.value, g->best = out.best;
    } else {
        var_t logits = op_linear(t, x, w, NO_VAR, W_OUT_IN);
        g->loss = op_xent(t, logits, g->target, g->range, g->weight, &g->row);
        g->value = op_expect(t, logits, g->own);
        g->best = logits;
    }
    g->error = op_loss(t, LOSS_MSE, g->value, g->wanted, NO_VAR, false);
    const char *all = "";
    pass_t pass = {.root = {g->loss, g->error}, .n_roots = 2, .wrt = &all, .n_wrt = 1};
    var_t keep[] = {g->row, g->value, g->best};
    g->plan = plan_new(t, &(plan_opts_t){.keep = keep, .n_keep = 3, .pass = &pass, .n_pass = 1});
    plan_seed(g->plan, 0, 1, 3);
}

static void rig_close(rig_t *g) {
    plan_free(g->plan);
    tape_free(g->tape);
    params_free(g->params);
}

static void own_range(const rig_t *g, size_t i, size_t *lo, size_t *hi) {
    *lo = g->V / 4 + i % 2;
    *hi = *lo + g->V / 8 + 1;
}

static void rig_run(rig_t *g) {
    int32_t *target = plan_data(g->plan, g->target), *range = plan_data(g->plan, g->range),
            *own = plan_data(g->plan, g->own);
    float *weight = plan_data(g->plan, g->weight), *wanted = plan_data(g->plan, g->wanted);
    for (size_t i = 0; i < g->n; i++) {
        size_t lo, hi;
        own_range(g, i, &lo, &hi);
        range[2 * i] = i % 3 ? 0 : 1;
        range[2 * i + 1] = (int32_t)g->V - (int32_t)(i % 2);
        target[i] = 1 + (int32_t)(i * 31 % (g->V - 2));
        own[2 * i] = (int32_t)lo;
        own[2 * i + 1] = (int32_t)hi;
        weight[i] = i % 5 == 2 ? 0 : 0.5f * (float)(i % 4 + 1);
        wanted[i] = 0.1f * (float)(i % 7) - 0.3f;
    }
    plan_forward(g->plan);
    plan_backward(g->plan, 0);
}

static const float *gradient(rig_t *g, const char *name) {
    return params_ptr(g->params, PARAMS_GRAD, params_find(g->params, name));
}

/* 2,048 rows over 52,000 ids: their logits would take 426 MB. The first test: what others leave to
 * the threads' scratch would count. */
static int train_a_large_vocabulary(void *arg) {
    (void)arg;
    rss_reset();
    rig_t g;
    rig_open(&g, 2048, 64, 52000, true);
    rig_run(&g);
    fprintf(stderr, "%ld MB", rss_peak_mb());
    rig_close(&g);
    return rss_peak_mb() > 64;
}

TEST(memory_of_a_large_vocabulary) {
    child_t c;
    pool_set_threads(1); /* the child has no other threads */
    child_run(train_a_large_vocabulary, NULL, &c);
    CHECK(c.code == 0, "%s", c.err);
    pool_set_threads(2);
}

static void check_near(const char *what, const float *a, const float *b, size_t n) {
    double most = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)b[i]));
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    }
    CHECK(worst <= 2e-6 * most && most > 0, "%s: off by %g of %g", what, worst, most);
}

static void check_shape(size_t n, size_t D, size_t V) {
    rig_t one, parts;
    rig_open(&one, n, D, V, true);
    rig_open(&parts, n, D, V, false);
    rig_run(&one);
    rig_run(&parts);
    CHECK(plan_scalar(one.plan, one.loss) == plan_scalar(parts.plan, parts.loss), "%zu: %g, %g", n,
          (double)plan_scalar(one.plan, one.loss), (double)plan_scalar(parts.plan, parts.loss));
    CHECK(!memcmp(plan_data(one.plan, one.row), plan_data(parts.plan, parts.row), 4 * n));
    CHECK(!memcmp(plan_data(one.plan, one.value), plan_data(parts.plan, parts.value), 4 * n));
    const float *logits = plan_data(parts.plan, parts.best);
    const int32_t *best = plan_data(one.plan, one.best);
    for (size_t i = 0; i < n; i++) {
        size_t lo, hi, want;
        own_range(&one, i, &lo, &hi);
        for (size_t j = want = lo; j < hi; j++)
            if (logits[i * V + j] > logits[i * V + want]) want = j;
        CHECK((size_t)best[i] == want, "row %zu: the maximum is at %zu, not %d", i, want, best[i]);
    }
    check_near("dx", gradient(&one, "x"), gradient(&parts, "x"), n * D);
    check_near("dw", gradient(&one, "w"), gradient(&parts, "w"), V * D);
    float *dx = memcpy(malloc(n * D * 4), gradient(&one, "x"), n * D * 4),
          *dw = memcpy(malloc(V * D * 4), gradient(&one, "w"), V * D * 4);
    for (int threads = 1; threads <= 3; threads += 2) {
        pool_set_threads(threads);
        rig_run(&one);
        CHECK(!memcmp(dx, gradient(&one, "x"), n * D * 4), "dx with %d threads", threads);
        CHECK(!memcmp(dw, gradient(&one, "w"), V * D * 4), "dw with %d threads", threads);
    }
    pool_set_threads(2);
    free(dx), free(dw);
    rig_close(&one);
    rig_close(&parts);
}

TEST(the_fused_head_equals_its_parts) {
    check_shape(1, 5, 40);
    check_shape(37, 16, 2400);
    check_shape(200, 8, 300);
}

TEST(several_slices_of_rows) {
    check_shape(43, 3, 160000);
    check_shape(17, 2, 700000); /* wider than a slice should be */
}

/* Over packed weights the fused head gives the bits of its parts over the same weights. */
static void check_packed(kern_weights_t kind, size_t n, size_t D, size_t V) {
    rig_t g;
    rig_open(&g, n, D, V, true); /* for its inputs */
    rig_run(&g);
    const float *w = params_ptr(g.params, PARAMS_VALUE, params_find(g.params, "w"));
    size_t bytes = kern_pack_bytes(kind, D, V);
    void *packed = malloc(bytes);
    kern_pack(kind, true, D, V, w, packed);
    tape_t *t = tape_new(g.params);
    var_t x = tape_param(t, params_find(g.params, "x")),
          W = tape_bound(t, "packed", F32_1(bytes / 4), packed);
    head_xent_t o = {tape_input(t, "target", I32_1(n)), tape_input(t, "range", I32_2(n, 2)),
                     tape_input(t, "weight", F32_1(n)), tape_input(t, "own", I32_2(n, 2))};
    head_xent_out_t one = op_packed_head_xent(t, x, W, V, kind, o);
    var_t row, logits = op_packed_linear(t, x, W, NO_VAR, V, kind),
               loss = op_xent(t, logits, o.target, o.range, o.weight, &row),
               value = op_expect(t, logits, o.own_range);
    var_t keep[] = {one.loss, one.row, one.value, one.best, loss, row, value, logits};
    plan_t *plan = plan_new(t, &(plan_opts_t){.keep = keep, .n_keep = 8});
    const var_t from[] = {g.target, g.range, g.weight, g.own},
                to[] = {o.target, o.range, o.weight, o.own_range};
    for (int i = 0; i < 4; i++)
        memcpy(plan_data(plan, to[i]), plan_data(g.plan, from[i]), 4 * tape_count(t, to[i]));
    plan_forward(plan);
    CHECK(plan_scalar(plan, one.loss) == plan_scalar(plan, loss));
    CHECK(!memcmp(plan_data(plan, one.row), plan_data(plan, row), 4 * n));
    CHECK(!memcmp(plan_data(plan, one.value), plan_data(plan, value), 4 * n));
    const int32_t *best = plan_data(plan, one.best);
    const float *all = plan_data(plan, logits);
    for (size_t i = 0; i < n; i++) {
        size_t lo, hi, want;
        own_range(&g, i, &lo, &hi);
        for (size_t j = want = lo; j < hi; j++)
            if (all[i * V + j] > all[i * V + want]) want = j;
        CHECK((size_t)best[i] == want, "row %zu: the maximum is at %zu, not %d", i, want, best[i]);
    }
    CHECK(kind == WEIGHTS_F32 || plan_scalar(plan, loss) != plan_scalar(g.plan, g.loss));
    plan_free(plan);
    tape_free(t);
    rig_close(&g);
    free(packed);
}

TEST(packed_weights) {
    for (kern_weights_t kind = WEIGHTS_F32; kind <= WEIGHTS_Q4; kind++) {
        check_packed(kind, 37, 16, 2400);
        check_packed(kind, 43, 3, 160000); /* slices of rows */
    }
}

/* An expectation alone: no gradient arrives at the cross entropy. */
TEST(only_the_expectation_is_trained) {
    rig_t g[2];
    for (int i = 0; i < 2; i++) {
        rig_open(&g[i], 20, 6, 90, i == 0);
        plan_seed(g[i].plan, 0, 0, 0);
        rig_run(&g[i]);
    }
    check_near("dw", gradient(&g[0], "w"), gradient(&g[1], "w"), 90 * 6);
    rig_close(&g[0]);
    rig_close(&g[1]);
}
