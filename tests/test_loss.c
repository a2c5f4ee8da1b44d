/* test_loss.c - losses and softmax-over-a-range kernels: values against double-precision loops,
 * gradients against central differences of those loops. */
#include "common/kernel/kernel.h"
#include "tests/kernel_check.h"

/* ---- L1, MSE ---- */

typedef struct {
    kern_loss_t f;
    const float *a, *b, *w;
    size_t rows, C;
    float dout;
    bool slope;
} pair_case_t;

static double reference_pair(const pair_case_t *p) {
    double sum = 0, weight = 0;
    for (size_t i = 0; i < p->rows * p->C; i++) {
        double w = p->w ? (double)p->w[i / p->C] : 1, d = (double)p->a[i] - p->b[i];
        if (w != 0) sum += w * (p->f == LOSS_L1 ? fabs(d) : d * d);
        weight += w;
    }
    return weight == 0 ? 0 : sum / weight;
}

static void run_pair(void *ctx, float *out, bool add) {
    const pair_case_t *p = ctx;
    if (p->slope)
        kern_loss_backward(p->f, p->a, p->b, p->w, p->rows, p->C, p->dout, out, add);
    else
        kern_loss_forward(p->f, p->a, p->b, p->w, p->rows, p->C, out);
}

TEST(l1_and_mse) {
    static const size_t shapes[][2] = {{1, 1},     {7, 3},    {50000, 3}, {300, 129},
                                       {20000, 8}, {3, 2000}, {23, 1},    {1, 559}};
    for (size_t s = 0; s < COUNT(shapes) * 4; s++) {
        size_t rows = shapes[s / 4][0], C = shapes[s / 4][1], n = rows * C;
        float *a = floats(1, n, 0.1, 1), *b = floats(2, n, 0, 1), *w = floats(3, rows, 1, 1), value,
              *da = xmalloc(n * sizeof *da);
        pair_case_t p = {.f = s % 2 ? LOSS_MSE : LOSS_L1,
                         .a = a,
                         .b = b,
                         .w = s / 2 % 2 ? w : NULL,
                         .rows = rows,
                         .C = C,
                         .dout = 3};
        a[n / 2] = b[n / 2]; /* the corner of |x|: slope 0 */
        if (p.w && rows > 4)
            w[1] = 0, w[rows - 1] = 0, a[C] = NAN; /* a row of no weight may hold anything */
        double want = reference_pair(&p), weight = 0, *slope = doubles(n), *size = doubles(n);
        check_kernel("loss", run_pair, &p, false, &want, &want, 1, 1e-6, &value);
        for (size_t i = 0; i < n; i++) weight += p.w ? (double)w[i / C] : 1;
        /* the loss is a sum over elements, so an element's difference needs that element alone */
        for (size_t i = 0; i < n; i++) {
            double wi = p.w ? (double)w[i / C] : 1, d = (double)a[i] - b[i],
                   h = fmin(1e-4, fabs(d) / 2);
            if (h > 0 && wi != 0)
                slope[i] = 3 * wi / weight *
                           (p.f == LOSS_L1 ? fabs(d + h) - fabs(d - h)
                                           : (d + h) * (d + h) - (d - h) * (d - h)) /
                           (2 * h);
            size[i] = 3 * wi / weight * (1 + (isnan(d) ? 0 : fabs(d)));
        }
        p.slope = true;
        check_kernel("loss slope", run_pair, &p, true, slope, size, n, 1e-6, da);
        free(a), free(b), free(w), free(da), free(slope), free(size);
    }
}

TEST(loss_without_any_weight_is_zero) {
    float a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {0}, w[2] = {0, 0}, out = NAN, da[6];
    fill_nan(da, 6);
    kern_loss_forward(LOSS_MSE, a, b, w, 2, 3, &out);
    CHECK(out == 0);
    kern_loss_backward(LOSS_MSE, a, b, w, 2, 3, 1, da, false);
    for (size_t i = 0; i < 6; i++) CHECK(da[i] == 0);
}

TEST(loss_of_nan_is_nan) {
    float a[20] = {0}, b[20] = {0}, out = 0;
    a[17] = NAN;
    kern_loss_forward(LOSS_L1, a, b, NULL, 20, 1, &out);
    CHECK(isnan(out));
}

/* ---- softmax over a range ---- */

typedef struct {
    size_t n, V;
    const float *logits, *w, *dvalue, *value;
    const int32_t *target, *range;
    float dout, *loss_row;
} softmax_case_t;

/* Row i's loss and, with bins, its expected center. */
static double row_loss(const softmax_case_t *c, const double *x, size_t i, double *expected) {
    size_t lo = (size_t)c->range[2 * i], hi = (size_t)c->range[2 * i + 1];
    double sum = 0, first = 0, top = -INFINITY;
    for (size_t j = lo; j < hi; j++) top = fmax(top, x[j]);
    for (size_t j = lo; j < hi; j++) {
        sum += exp(x[j] - top);
        first += exp(x[j] - top) * ((2 * (double)(j - lo) + 1) / (double)(hi - lo) - 1);
    }
    *expected = first / sum;
    return c->target ? log(sum) + top - x[c->target[i]] : 0;
}

static void run_xent(void *ctx, float *out, bool add) {
    const softmax_case_t *c = ctx;
    (void)add;
    kern_xent_forward(c->logits, c->target, c->range, c->w, c->n, c->V, c->loss_row, out);
}
static void run_xent_back(void *ctx, float *out, bool add) {
    const softmax_case_t *c = ctx;
    kern_xent_backward(c->logits, c->target, c->range, c->w, c->n, c->V, c->dout, out, add);
}
static void run_expect(void *ctx, float *out, bool add) {
    const softmax_case_t *c = ctx;
    (void)add;
    kern_expect_forward(c->logits, c->range, c->n, c->V, out);
}
static void run_expect_back(void *ctx, float *out, bool add) {
    const softmax_case_t *c = ctx;
    kern_expect_backward(c->logits, c->range, c->value, c->dvalue, c->n, c->V, out, add);
}

typedef struct {
    const softmax_case_t *c;
    size_t i;
    bool expected;
} row_ctx_t;
static double row_value(void *ctx, const double *x) {
    const row_ctx_t *r = ctx;
    double expected, loss = row_loss(r->c, x, r->i, &expected);
    return r->expected ? expected : loss;
}

static const size_t softmax_shapes[][2] = {{1, 1},    {5, 7},   {37, 50}, {300, 33}, {40, 300},
                                           {3, 1500}, {20, 24}, {20, 15}, {20, 31}};

/* Ranges of several widths, one logit wide to all of them; every fifth row keeps the whole row. */
static void make_ranges(size_t n, size_t V, int32_t *range, int32_t *target) {
    for (size_t i = 0; i < n; i++) {
        size_t lo = i % 5 == 0 ? 0 : i * 31 % V, hi = i % 5 == 0 ? V : lo + 1 + i * 17 % (V - lo);
        range[2 * i] = (int32_t)lo, range[2 * i + 1] = (int32_t)hi;
        target[i] = (int32_t)(lo + i * 13 % (hi - lo));
    }
}

/* Differences of every logit's row value, times factor[i]; zero outside the range. */
static void differences(const softmax_case_t *c, bool expected, const double *factor, double *slope,
                        double *size) {
    double *x = widen(c->logits, c->n * c->V);
    for (size_t i = 0; i < c->n; i++)
        for (size_t j = 0; j < c->V; j++) {
            row_ctx_t r = {c, i, expected};
            bool inside = (int32_t)j >= c->range[2 * i] && (int32_t)j < c->range[2 * i + 1];
            slope[i * c->V + j] = inside && factor[i] != 0
                                      ? factor[i] * slope_at(row_value, &r, x + i * c->V, j, 1e-5)
                                      : 0;
            size[i * c->V + j] = inside ? fabs(factor[i]) : 0;
        }
    free(x);
}

TEST(cross_entropy_over_ranges) {
    for (size_t s = 0; s < COUNT(softmax_shapes) * 2; s++) {
        size_t n = softmax_shapes[s / 2][0], V = softmax_shapes[s / 2][1];
        float *logits = floats(1, n * V, 0, 6), *w = floats(2, n, 1, 0.9),
              *rows = floats(3, n, 0, 1), *d = floats(4, n * V, 0, 1), out;
        int32_t *target = xmalloc(n * sizeof *target), *range = xmalloc(2 * n * sizeof *range);
        double sum = 0, weight = 0, *factor = doubles(n), *slope = doubles(n * V),
               *size = doubles(n * V), *x, unused;
        make_ranges(n, V, range, target);
        bool weighted = s % 2;
        if (weighted && n > 3)
            w[2] = 0, fill_nan(logits + 2 * V, V); /* a row of no weight is not read */
        softmax_case_t c = {.n = n,
                            .V = V,
                            .logits = logits,
                            .w = weighted ? w : NULL,
                            .target = target,
                            .range = range,
                            .dout = 2.5f,
                            .loss_row = rows};
        x = widen(logits, n * V);
        for (size_t i = 0; i < n; i++) {
            factor[i] = weighted ? (double)w[i] : 1;
            sum += factor[i] == 0 ? 0 : factor[i] * row_loss(&c, x + i * V, i, &unused);
            weight += factor[i];
        }
        double mean = sum / weight, scale = 1 + fabs(mean);
        check_kernel("xent", run_xent, &c, false, &mean, &scale, 1, 1e-6, &out);
        for (size_t i = 0; i < n; i++) {
            double want = factor[i] == 0 ? 0 : row_loss(&c, x + i * V, i, &unused);
            CHECK(fabs(rows[i] - want) <= 1e-6 * (10 + fabs(want)), "row %zu: %g against %g", i,
                  (double)rows[i], want);
            factor[i] *= 2.5 / weight;
        }
        differences(&c, false, factor, slope, size);
        check_kernel("xent slope", run_xent_back, &c, true, slope, size, n * V, 2e-6, d);
        for (size_t i = 0; i < n * V; i++)
            if (size[i] == 0) CHECK(d[i] == 0, "outside the range: %g", (double)d[i]);
        free(logits), free(w), free(rows), free(d), free(target), free(range), free(factor),
            free(slope), free(size), free(x);
    }
}

TEST(cross_entropy_of_extreme_logits) {
    float logits[8] = {1000, -1000, 0, 999, -INFINITY, 3e38f, 0, 0}, row[2], out, d[8];
    int32_t target[2] = {3, 1}, range[4] = {0, 4, 0, 4};
    kern_xent_forward(logits, target, range, NULL, 1, 4, row, &out);
    CHECK_NEAR(row[0], 1 + log1p(exp(-1)), 1e-6);
    kern_xent_backward(logits, target, range, NULL, 1, 4, 1, d, false);
    CHECK_NEAR(d[0], 1 / (1 + exp(-1)), 1e-6);
    CHECK_NEAR(d[3], -1 / (1 + exp(-1)), 1e-6);
    kern_xent_forward(logits, target, range, NULL, 2, 4, row,
                      &out); /* certain and right: no loss, no slope */
    CHECK(row[1] == 0);
    float none[1] = {0};
    kern_xent_forward(logits, target, range, none, 1, 4, row, &out);
    CHECK(out == 0 && row[0] == 0, "no weight at all: loss 0");
    fill_nan(d, 4);
    kern_xent_backward(logits, target, range, none, 1, 4, 1, d, false);
    for (size_t i = 0; i < 4; i++) CHECK(d[i] == 0);
    logits[1] = NAN;
    kern_xent_forward(logits, target, range, NULL, 1, 4, row, &out);
    CHECK(isnan(out) && isnan(row[0]), "NaN logits must be seen");
}

TEST(expected_center_over_ranges) {
    for (size_t s = 0; s < COUNT(softmax_shapes); s++) {
        size_t n = softmax_shapes[s][0], V = softmax_shapes[s][1];
        float *logits = floats(1, n * V, 0, 4), *value = floats(2, n, 0, 1),
              *dvalue = floats(3, n, 0, 1), *d = floats(4, n * V, 0, 1);
        int32_t *target = xmalloc(n * sizeof *target), *range = xmalloc(2 * n * sizeof *range);
        double *factor = widen(dvalue, n), *slope = doubles(n * V), *size = doubles(n * V),
               *want = doubles(n), *one = doubles(n), *x;
        make_ranges(n, V, range, target);
        softmax_case_t c = {
            .n = n, .V = V, .logits = logits, .range = range, .dvalue = dvalue, .value = value};
        x = widen(logits, n * V);
        for (size_t i = 0; i < n; i++) row_loss(&c, x + i * V, i, &want[i]), one[i] = 1;
        check_kernel("expect", run_expect, &c, false, want, one, n, 1e-6, value);
        differences(&c, true, factor, slope, size);
        check_kernel("expect slope", run_expect_back, &c, true, slope, size, n * V, 2e-6, d);
        free(logits), free(value), free(dvalue), free(d), free(target), free(range), free(factor),
            free(slope), free(size), free(want), free(one), free(x);
    }
}
