/* op_losses.h - cases of the losses, and of what heads make of logits: part of op_cases.h. */
#ifndef TESTS_OP_LOSSES_H
#define TESTS_OP_LOSSES_H

#include "tests/op_case.h"

/* a: kind, both sides. Inputs: a, target, weight or nothing. */
static var_t loss(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_loss(t, (kern_loss_t)c->a[0], v[0], v[1], v[2], c->a[1] != 0);
}
static void loss_formula(const op_case_t *c, const double *const *x, double *y) {
    double sum = 0, total = 0;
    for (size_t i = 0; i < COUNT(c, 0); i++) {
        double w = x[2] ? x[2][i / COLS(c, 0)] : 1, d = x[0][i] - x[1][i];
        sum += w * (c->a[0] == LOSS_L1 ? fabs(d) : d * d);
        total += w;
    }
    *y = sum / total;
}

/* Inputs: logits, target, range, weight or nothing. */
static var_t xent(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_xent(t, v[0], v[1], v[2], v[3], NULL);
}
static void xent_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t V = COLS(c, 0);
    double sum = 0, total = 0;
    for (size_t i = 0; i < ROWS(c, 0); i++) {
        double z = 0, w = x[3] ? x[3][i] : 1;
        for (size_t j = (size_t)x[2][2 * i]; j < (size_t)x[2][2 * i + 1]; j++)
            z += exp(x[0][i * V + j]);
        sum += w * (log(z) - x[0][i * V + (size_t)x[1][i]]);
        total += w;
    }
    *y = total > 0 ? sum / total : 0;
}
static var_t expect(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_expect(t, v[0], v[1]);
}
static void expect_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t V = COLS(c, 0);
    for (size_t i = 0; i < ROWS(c, 0); i++) {
        double z = 0, s = 0, lo = x[1][2 * i], bins = x[1][2 * i + 1] - lo;
        for (double b = 0; b < bins; b++) {
            double e = exp(x[0][i * V + (size_t)(lo + b)]);
            z += e;
            s += e * ((2 * b + 1) / bins - 1);
        }
        y[i] = s / z;
    }
}

/* Inputs: x, W, target, range, weight, own range, wanted values. a: 0 = the loss, 1 = the
 * expectation, 2 = 0.7 of the loss and 1.5 of the expectation's squared error. */
static var_t head_xent(tape_t *t, const var_t *v, const op_case_t *c) {
    head_xent_out_t o =
        op_head_xent(t, v[0], v[1], (head_xent_t){v[2], v[3], v[4], c->a[0] ? v[5] : NO_VAR});
    if (c->a[0] < 2) return c->a[0] ? o.value : o.loss;
    var_t error = op_loss(t, LOSS_MSE, o.value, v[6], NO_VAR, false);
    return op_weighted_sum(t, (var_t[]){o.loss, error}, (float[]){0.7f, 1.5f}, 2);
}
static void head_xent_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t n = ROWS(c, 0), D = COLS(c, 0), V = ROWS(c, 1);
    double sum = 0, total = 0, error = 0, logit[64];
    for (size_t i = 0; i < n; i++) {
        double z = 0, own = 0, mean = 0, w = x[4] ? x[4][i] : 1;
        for (size_t j = 0; j < V; j++) {
            logit[j] = 0;
            for (size_t d = 0; d < D; d++) logit[j] += x[0][i * D + d] * x[1][j * D + d];
            if ((double)j >= x[3][2 * i] && (double)j < x[3][2 * i + 1]) z += exp(logit[j]);
        }
        sum += w * (log(z) - logit[(size_t)x[2][i]]);
        total += w;
        if (!c->a[0]) continue;
        double lo = x[5][2 * i], bins = x[5][2 * i + 1] - lo;
        for (double b = 0; b < bins; b++) {
            double e = exp(logit[(size_t)(lo + b)]);
            own += e;
            mean += e * ((2 * b + 1) / bins - 1);
        }
        error += pow(mean / own - (x[6] ? x[6][i] : 0), 2) / (double)n;
        if (c->a[0] == 1) y[i] = mean / own;
    }
    if (c->a[0] == 0) *y = sum / total;
    if (c->a[0] == 2) *y = (double)0.7f * sum / total + 1.5 * error;
}

#endif
