/* act.c - elementwise kernels: activations and their derivatives, scale, add, multiply, dropout
 * (act.h).
 *
 * Arrays are cut into spans for the pool. The tail of a span goes through the same vector code as
 * its body, so an element's bits depend on its own value alone.
 */
#include "common/base/pool.h"
#include "common/base/rng.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/vmath.h"

enum {
    SPAN = 16384, /* elements of a task */
    DRAWS = 256   /* random numbers made at a time */
};

typedef struct {
    const float *a, *b;
    float *y;
    float s; /* scale's factor, dropout's probability */
    size_t n;
    kern_act_t act;
    bool add;
    rng_t rng;         /* dropout: its stream, */
    uint64_t first;    /* and the index of element 0 in it */
    const int32_t *at; /* of rows: [rows] their numbers, */
    size_t D;          /* and their width */
} elementwise_t;

/* Elements of a task. */
static size_t span_of(size_t n, size_t task) {
    return min_size(n - task * SPAN, SPAN);
}

static void run(const elementwise_t *e, pool_fn fn) {
    parallel_for(ceil_div(e->n, SPAN), fn, (void *)e);
}

/* y[i] (+)= EXPR for i < n, an expression of the vectors va = a[i..] and vb = b[i..]. */
#define SWEEP(n, pa, pb, py, add, EXPR)                                                            \
    do {                                                                                           \
        size_t i_ = 0, n_ = (n);                                                                   \
        for (; i_ + VL <= n_; i_ += VL) {                                                          \
            vf va = v_load((pa) + i_), vb = v_load((pb) + i_), vr = (EXPR);                        \
            (void)vb;                                                                              \
            if (add) vr += v_load((py) + i_);                                                      \
            v_store((py) + i_, vr);                                                                \
        }                                                                                          \
        if (i_ < n_) {                                                                             \
            size_t left_ = n_ - i_;                                                                \
            vf va = v_load_part((pa) + i_, left_, 0), vb = v_load_part((pb) + i_, left_, 0),       \
               vr = (EXPR);                                                                        \
            (void)vb;                                                                              \
            if (add) vr += v_load_part((py) + i_, left_, 0);                                       \
            v_store_part((py) + i_, vr, left_);                                                    \
        }                                                                                          \
    } while (0)

/* gelu_tanh(x) = x sigmoid(2u), since 0.5 (1 + tanh u) = sigmoid(2u): no cancellation in the
 * negative tail. */
VMATH vf twice_u(vf x) {
    return x * (1.5957691216f + 0.0713548163f * (x * x));
}

/* act(x) */
VMATH vf act_value(kern_act_t act, vf x) {
    switch (act) {
    case ACT_SILU:
        return x * v_sigmoid(x);
    case ACT_GELU:
        return 0.5f * x * (1.f + v_erf(x * 0.70710678f));
    case ACT_GELU_TANH:
        return x * v_sigmoid(twice_u(x));
    case ACT_RELU:
        return v_max(v_set(0), x);
    case ACT_LEAKY_RELU:
        return v_select(x > 0.f, x, 0.2f * x);
    case ACT_TANH:
        return v_tanh(x);
    }
    return x;
}

/* act'(x) */
VMATH vf act_slope(kern_act_t act, vf x) {
    vf s;
    switch (act) {
    case ACT_SILU:
        s = v_sigmoid(x);
        return s + x * s * (1.f - s);
    case ACT_GELU:
        /* Phi(x) + x phi(x) */
        return 0.5f * (1.f + v_erf(x * 0.70710678f)) +
               x * (0.39894228f * v_exp_down(-0.5f * (x * x)));
    case ACT_GELU_TANH:
        s = v_sigmoid(twice_u(x));
        return s + x * s * (1.f - s) * (1.5957691216f + 0.2140644490f * (x * x));
    case ACT_RELU:
        return v_select(x > 0.f, v_set(1), v_set(0));
    case ACT_LEAKY_RELU:
        return v_select(x > 0.f, v_set(1), v_set(0.2f));
    case ACT_TANH:
        s = v_tanh(x);
        return 1.f - s * s;
    }
    return x;
}

/* LOOP(act): the switch stands outside the loops, so one loop is compiled per activation. */
#define EACH_ACT(act, LOOP)                                                                        \
    switch (act) {                                                                                 \
    case ACT_SILU:                                                                                 \
        LOOP(ACT_SILU);                                                                            \
        break;                                                                                     \
    case ACT_GELU:                                                                                 \
        LOOP(ACT_GELU);                                                                            \
        break;                                                                                     \
    case ACT_GELU_TANH:                                                                            \
        LOOP(ACT_GELU_TANH);                                                                       \
        break;                                                                                     \
    case ACT_RELU:                                                                                 \
        LOOP(ACT_RELU);                                                                            \
        break;                                                                                     \
    case ACT_LEAKY_RELU:                                                                           \
        LOOP(ACT_LEAKY_RELU);                                                                      \
        break;                                                                                     \
    case ACT_TANH:                                                                                 \
        LOOP(ACT_TANH);                                                                            \
        break;                                                                                     \
    }

static void forward_task(void *ctx, size_t task) {
    const elementwise_t *e = ctx;
    size_t at = task * SPAN, n = span_of(e->n, task);
    const float *x = e->a + at;
    float *y = e->y + at;
#define FORWARD(A) SWEEP(n, x, x, y, false, act_value(A, va))
    EACH_ACT(e->act, FORWARD)
}

static void backward_task(void *ctx, size_t task) {
    const elementwise_t *e = ctx;
    size_t at = task * SPAN, n = span_of(e->n, task);
    const float *x = e->a + at, *dy = e->b + at;
    float *dx = e->y + at;
    bool add = e->add;
#define BACKWARD(A) SWEEP(n, x, dy, dx, add, act_slope(A, va) * vb)
    EACH_ACT(e->act, BACKWARD)
}

void kern_act_forward(kern_act_t act, const float *x, size_t n, float *y) {
    elementwise_t e = {.a = x, .y = y, .n = n, .act = act};
    run(&e, forward_task);
}

void kern_act_backward(kern_act_t act, const float *x, const float *dy, size_t n, float *dx,
                       bool add) {
    elementwise_t e = {.a = x, .b = dy, .y = dx, .n = n, .act = act, .add = add};
    run(&e, backward_task);
}

static void scale_task(void *ctx, size_t task) {
    const elementwise_t *e = ctx;
    size_t at = task * SPAN, n = span_of(e->n, task);
    const float *x = e->a + at;
    float *y = e->y + at, s = e->s;
    if (e->add)
        SWEEP(n, x, x, y, true, s * va);
    else
        SWEEP(n, x, x, y, false, s * va);
}

static void add_task(void *ctx, size_t task) {
    const elementwise_t *e = ctx;
    size_t at = task * SPAN, n = span_of(e->n, task);
    const float *a = e->a + at, *b = e->b + at;
    float *y = e->y + at;
    SWEEP(n, a, b, y, false, va + vb);
}

static void mul_task(void *ctx, size_t task) {
    const elementwise_t *e = ctx;
    size_t at = task * SPAN, n = span_of(e->n, task);
    const float *a = e->a + at, *b = e->b + at;
    float *y = e->y + at;
    if (e->add)
        SWEEP(n, a, b, y, true, va * vb);
    else
        SWEEP(n, a, b, y, false, va * vb);
}

void kern_scale(const float *x, float s, size_t n, float *y, bool add) {
    elementwise_t e = {.a = x, .s = s, .y = y, .n = n, .add = add};
    run(&e, scale_task);
}

void kern_add(const float *a, const float *b, size_t n, float *y) {
    elementwise_t e = {.a = a, .b = b, .y = y, .n = n};
    run(&e, add_task);
}

void kern_mul(const float *a, const float *b, size_t n, float *y, bool add) {
    elementwise_t e = {.a = a, .b = b, .y = y, .n = n, .add = add};
    run(&e, mul_task);
}

/* draw[DRAWS] from index `first` on. A loop of its own, so that the compiler sees vectors in it. */
static void draw_some(rng_t rng, uint64_t first, float *draw) {
    for (uint64_t i = 0; i < DRAWS; i++) draw[i] = rng_uniform(rng, first + i);
}

/* Elements at .. at+n-1, the first of which has the index `first`. */
static void drop(const elementwise_t *e, size_t at, size_t n, uint64_t first) {
    const float *x = e->a + at;
    float *y = e->y + at, p = e->s, scale = p < 1 ? 1.f / (1.f - p) : 0, draw[DRAWS];
    for (size_t i = 0; i < n; i += DRAWS) {
        size_t count = min_size(n - i, DRAWS);
        draw_some(e->rng, first + i, draw);
        if (e->add)
            SWEEP(count, x + i, draw, y + i, true, v_select(vb >= p, va * scale, v_set(0)));
        else
            SWEEP(count, x + i, draw, y + i, false, v_select(vb >= p, va * scale, v_set(0)));
    }
}

static void dropout_task(void *ctx, size_t task) {
    const elementwise_t *e = ctx;
    drop(e, task * SPAN, span_of(e->n, task), e->first + task * SPAN);
}

static void dropout_row_task(void *ctx, size_t row) {
    const elementwise_t *e = ctx;
    if (e->at[row] >= 0)
        drop(e, row * e->D, e->D, e->first + (uint64_t)e->at[row] * e->D);
    else if (!e->add)
        memset(e->y + row * e->D, 0, e->D * sizeof *e->y);
}

void kern_dropout(const float *x, size_t n, float p, uint64_t seed, uint64_t stream, uint64_t first,
                  float *y, bool add) {
    elementwise_t e = {
        .a = x, .s = p, .n = n, .y = y, .add = add, .rng = {seed, stream}, .first = first};
    run(&e, dropout_task);
}

void kern_dropout_rows(const float *x, const int32_t *at, size_t n, size_t D, float p,
                       uint64_t seed, uint64_t stream, uint64_t first, float *y, bool add) {
    elementwise_t e = {.a = x,
                       .s = p,
                       .y = y,
                       .add = add,
                       .rng = {seed, stream},
                       .first = first,
                       .at = at,
                       .D = D};
    parallel_for(n, dropout_row_task, &e);
}
