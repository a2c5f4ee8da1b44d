/* op_rows.h - the ops of tape/op_rows.c, with their formulas: a part of op_cases.h. */
#ifndef TESTS_OP_ROWS_H
#define TESTS_OP_ROWS_H

#include "tests/op_case.h"

static var_t gather(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_gather(t, v[0], v[1]);
}
static void gather_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t D = COLS(c, 0);
    for (size_t i = 0; i < COUNT(c, 1); i++)
        for (size_t d = 0; d < D; d++)
            y[i * D + d] = x[1][i] < 0 ? 0 : x[0][(size_t)x[1][i] * D + d];
}
/* a: 2 x what is added to every gate */
static var_t add_at(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_add_at(t, v[0], v[1], v[2], (float)c->a[0] / 2);
}
static void add_at_formula(const op_case_t *c, const double *const *x, double *y) {
    size_t D = COLS(c, 0);
    for (size_t i = 0; i < COUNT(c, 0); i++)
        y[i] = x[0][i] + (x[1][i / D] == (double)(i % D) ? x[2][i / D] + 0.5 * (double)c->a[0] : 0);
}
static int inputs(const op_case_t *c) {
    int n = 0;
    while (n < IN && c->in[n].source != ABSENT) n++;
    return n;
}
/* a[0]: the first input once more at the end */
static var_t concat(tape_t *t, const var_t *v, const op_case_t *c) {
    var_t list[IN];
    int n = inputs(c);
    memcpy(list, v, sizeof list);
    if (c->a[0]) list[n++] = v[0];
    return op_concat_rows(t, list, (size_t)n);
}
static void concat_formula(const op_case_t *c, const double *const *x, double *y) {
    int n = inputs(c);
    for (int i = 0; i < n + (c->a[0] != 0); i++)
        for (size_t j = 0; j < COUNT(c, i % n); j++) *y++ = x[i % n][j];
}

/* a[0]: times */
static var_t repeat(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_repeat(t, v[0], (size_t)c->a[0]);
}
static void repeat_formula(const op_case_t *c, const double *const *x, double *y) {
    for (int64_t i = 0; i < c->a[0]; i++)
        for (size_t j = 0; j < COUNT(c, 0); j++) *y++ = x[0][j];
}

/* a: first row, step */
static var_t every(tape_t *t, const var_t *v, const op_case_t *c) {
    return op_every_row(t, v[0], (size_t)c->a[0], (size_t)c->a[1]);
}
static void every_formula(const op_case_t *c, const double *const *x, double *y) {
    for (size_t i = (size_t)c->a[0]; i < ROWS(c, 0); i += (size_t)c->a[1])
        for (size_t j = 0; j < COLS(c, 0); j++) *y++ = x[0][i * COLS(c, 0) + j];
}

#endif
