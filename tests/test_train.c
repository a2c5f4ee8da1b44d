/* test_train.c - what moves weights: the schedule by hand, Adam and AdamW with clipping and average
 * against their formulas in double precision.
 */
#include "common/base/die.h"
#include "common/base/pool.h"
#include "common/train/optimizer.h"
#include "tests/test.h"

__attribute__((constructor)) static void one_thread(void) {
    pool_set_threads(1);
}

/* ---- schedule ---- */

TEST(schedule_by_hand) {
    schedule_t s = {SCHEDULE_COSINE, 0.8, 0.25, 3, 11};
    CHECK_NEAR(schedule_lr(&s, 0), 0.2, 1e-12); /* 1/4, 2/4, 3/4 of it, then all */
    CHECK_NEAR(schedule_lr(&s, 1), 0.4, 1e-12);
    CHECK_NEAR(schedule_lr(&s, 2), 0.6, 1e-12);
    CHECK_NEAR(schedule_lr(&s, 3), 0.8, 1e-12);
    CHECK_NEAR(schedule_lr(&s, 5), 0.2 + 0.3 * (1 + M_SQRT1_2),
               1e-12); /* a quarter of the way: cos 45 */
    CHECK_NEAR(schedule_lr(&s, 7), 0.5, 1e-12);
    CHECK_NEAR(schedule_lr(&s, 11), 0.2, 1e-12);
    CHECK_NEAR(schedule_lr(&s, 500), 0.2, 1e-12);
    s.kind = SCHEDULE_LINEAR;
    CHECK_NEAR(schedule_lr(&s, 2), 0.6, 1e-12);
    CHECK_NEAR(schedule_lr(&s, 5), 0.65, 1e-12);
    CHECK_NEAR(schedule_lr(&s, 9), 0.35, 1e-12);
    CHECK_NEAR(schedule_lr(&s, 12), 0.2, 1e-12);
    s.kind = SCHEDULE_CONSTANT;
    CHECK_NEAR(schedule_lr(&s, 0), 0.2, 1e-12);
    CHECK_NEAR(schedule_lr(&s, 3), 0.8, 1e-12);
    CHECK_NEAR(schedule_lr(&s, 99), 0.8, 1e-12);
    s = (schedule_t){SCHEDULE_COSINE, 1, 0, 0, 4};
    CHECK_NEAR(schedule_lr(&s, 0), 1, 1e-12);
    CHECK_NEAR(schedule_lr(&s, 2), 0.5, 1e-12);
    s = (schedule_t){SCHEDULE_COSINE, 1, 0, 8, 4}; /* a warm-up longer than the run */
    CHECK_NEAR(schedule_lr(&s, 3), 4.0 / 9, 1e-12);
    CHECK_NEAR(schedule_lr(&s, 8), 1, 1e-12);
}

/* ---- optimizer ---- */

enum { TENSORS = 5 };
static const struct {
    const char *name;
    size_t n;
} tensor[TENSORS] = {{"a.w", 7}, {"b.w", 40}, {"a.v", 16}, {"c.w", 3}, {"a.u", 20001}};

static params_t *five_tensors(void) {
    params_t *p = params_new(3);
    for (int i = 0; i < TENSORS; i++)
        params_get(p, tensor[i].name, 1, &tensor[i].n, LAYOUT_SAME, (param_init_t){INIT_NORMAL, 1});
    return p;
}

/* Gradients of step s: of many sizes, so that eps and the root matter. */
static float gradient(int64_t s, int i, size_t e) {
    rng_t r = rng_fold(rng_fold(rng_make(8, "gradient"), (uint64_t)s), (uint64_t)i);
    return rng_normal(r, e) * powf(10, (float)(int)(e % 7) - 4);
}

static void check_optimizer(const char *what, optimizer_t o, const char *const *wrt, size_t n_wrt,
                            double scale) {
    params_t *p = five_tensors();
    double *w[TENSORS], *m[TENSORS], *v[TENSORS], *avg[TENSORS];
    for (int i = 0; i < TENSORS; i++) {
        w[i] = xcalloc(tensor[i].n, sizeof(double)), m[i] = xcalloc(tensor[i].n, sizeof(double)),
        v[i] = xcalloc(tensor[i].n, sizeof(double));
        avg[i] = xcalloc(tensor[i].n, sizeof(double));
        for (size_t e = 0; e < tensor[i].n; e++)
            avg[i][e] = w[i][e] = params_ptr(p, PARAMS_VALUE, i)[e];
    }
    o.wrt = wrt, o.n_wrt = n_wrt;
    if (o.average > 0)
        memcpy(params_base(p, PARAMS_AVERAGE), params_base(p, PARAMS_VALUE),
               params_block(p) * sizeof(float));
    bool clipped = false, let = false;
    for (int64_t s = 0; s < 25; s++) {
        double sum = 0, lr = schedule_lr(&o.schedule, s);
        for (int i = 0; i < TENSORS; i++)
            for (size_t e = 0; e < tensor[i].n; e++) {
                float g = gradient(s, i, e) * (s % 2 ? 1 : 0.01f);
                params_ptr(p, PARAMS_GRAD, i)[e] = g;
                if (params_match(tensor[i].name, wrt, n_wrt)) sum += pow(scale * (double)g, 2);
            }
        optimizer_step_t r = optimizer_step(&o, p, s, scale);
        double norm = sqrt(sum), factor = o.clip > 0 && norm > o.clip ? o.clip / norm : 1;
        *(factor < 1 ? &clipped : &let) = true;
        CHECK(!r.skipped, "%s: step %d", what, (int)s);
        CHECK_NEAR(r.grad_norm, norm, 1e-9 * norm + 1e-12);
        CHECK_NEAR(r.lr, lr, 1e-15);
        double decay = fmin(o.average, (1.0 + (double)s) / (10.0 + (double)s));
        for (int i = 0; i < TENSORS; i++)
            for (size_t e = 0; e < tensor[i].n; e++) {
                if (params_match(tensor[i].name, wrt, n_wrt)) {
                    double g = factor * scale * (double)params_ptr(p, PARAMS_GRAD, i)[e];
                    if (o.kind == OPTIM_ADAM) g += o.weight_decay * w[i][e];
                    m[i][e] = o.beta1 * m[i][e] + (1 - o.beta1) * g;
                    v[i][e] = o.beta2 * v[i][e] + (1 - o.beta2) * g * g;
                    double mh = m[i][e] / (1 - pow(o.beta1, (double)s + 1)),
                           vh = v[i][e] / (1 - pow(o.beta2, (double)s + 1));
                    if (o.kind == OPTIM_ADAMW) w[i][e] -= lr * o.weight_decay * w[i][e];
                    w[i][e] -= lr * mh / (sqrt(vh) + o.eps);
                }
                avg[i][e] = decay * avg[i][e] + (1 - decay) * w[i][e];
            }
    }
    CHECK(o.clip == 0 || (clipped && let), "%s: some steps clip, others do not", what);
    double worst = 0, worst_average = 0;
    for (int i = 0; i < TENSORS; i++)
        for (size_t e = 0; e < tensor[i].n; e++) {
            worst = fmax(worst, fabs(params_ptr(p, PARAMS_VALUE, i)[e] - w[i][e]));
            if (o.average > 0)
                worst_average =
                    fmax(worst_average, fabs(params_ptr(p, PARAMS_AVERAGE, i)[e] - avg[i][e]));
        }
    CHECK(worst < 4e-6, "%s: weights differ by %g", what, worst);
    CHECK(worst_average < 4e-6, "%s: averages differ by %g", what, worst_average);
    for (int i = 0; i < TENSORS; i++) free(w[i]), free(m[i]), free(v[i]), free(avg[i]);
    params_free(p);
}

TEST(optimizer_by_formula) {
    static const char *const all[] = {""}, *const some[] = {"a.", "!a.v"};
    optimizer_t o = {.kind = OPTIM_ADAM,
                     .beta1 = 0.9,
                     .beta2 = 0.99,
                     .eps = 1e-8,
                     .schedule = {SCHEDULE_COSINE, 0.01, 0.1, 4, 20}};
    check_optimizer("adam", o, all, 1, 1);
    check_optimizer("adam, mean of four", o, all, 1, 0.25);
    check_optimizer("adam, some frozen", o, some, 2, 1);
    o.weight_decay = 0.1;
    check_optimizer("adam with decay in the gradient", o, all, 1, 1);
    o.kind = OPTIM_ADAMW;
    check_optimizer("adamw", o, all, 1, 1);
    o.clip = 300;
    check_optimizer("adamw, clipped", o, all, 1, 0.5);
    o.beta1 = 0.5, o.beta2 = 0.9, o.eps = 1e-4, o.average = 0.95;
    check_optimizer("average, some frozen", o, some, 2, 1);
    o.average = 0.3;
    check_optimizer("short average", o, all, 1, 1);
}

TEST(fault_062_gradient_not_finite) {
    static const char *const all[] = {""}, *const some[] = {"", "!b."};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int k = 0; k < 3; k++) {
        params_t *p = five_tensors();
        optimizer_t o = {.beta1 = 0.9,
                         .beta2 = 0.99,
                         .eps = 1e-8,
                         .clip = 1,
                         .average = 0.9,
                         .schedule = {SCHEDULE_CONSTANT, 0.1, 1, 0, 9},
                         .wrt = all,
                         .n_wrt = 1};
        float was = params_ptr(p, PARAMS_VALUE, 1)[39], *g = params_ptr(p, PARAMS_GRAD, 1);
        for (size_t e = 0; e < 40; e++) g[e] = 1;
        g[20] = bad[k];
        optimizer_step_t r = optimizer_step(&o, p, 0, 1);
        CHECK(r.skipped && !isfinite(r.grad_norm), "norm %g", r.grad_norm);
        CHECK(params_ptr(p, PARAMS_VALUE, 1)[39] == was, "nothing moves");
        CHECK(!params_has(p, PARAMS_M) || params_ptr(p, PARAMS_M, 1)[39] == 0, "no moment moves");
        o.wrt = some, o.n_wrt = 2; /* what is frozen may be anything */
        r = optimizer_step(&o, p, 0, 1);
        CHECK(!r.skipped && r.grad_norm == 0, "norm %g", r.grad_norm);
        params_free(p);
    }
}

TEST(optimizer_threads) {
    static const char *const all[] = {""};
    float *want = NULL;
    for (int threads = 1; threads <= 3; threads++) {
        params_t *p = params_new(3);
        params_get(p, "w", 1, (size_t[]){100003}, LAYOUT_SAME, (param_init_t){INIT_NORMAL, 1});
        optimizer_t o = {.beta1 = 0.9,
                         .beta2 = 0.99,
                         .eps = 1e-8,
                         .clip = 0.5,
                         .schedule = {SCHEDULE_CONSTANT, 0.1, 1, 0, 9},
                         .wrt = all,
                         .n_wrt = 1};
        pool_set_threads(threads);
        for (int64_t s = 0; s < 3; s++) {
            for (size_t e = 0; e < 100003; e++)
                params_ptr(p, PARAMS_GRAD, 0)[e] = gradient(0, 0, e % 1000);
            optimizer_step(&o, p, s, 1);
        }
        if (!want)
            want = memcpy(xmalloc(100003 * sizeof *want), params_ptr(p, PARAMS_VALUE, 0),
                          100003 * sizeof *want);
        CHECK(!memcmp(want, params_ptr(p, PARAMS_VALUE, 0), 100003 * sizeof *want), "%d threads",
              threads);
        params_free(p);
    }
    pool_set_threads(1);
    free(want);
}
