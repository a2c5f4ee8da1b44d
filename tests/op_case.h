/* op_case.h - a case of an op: its inputs, how it is recorded, its formula in double. */
#ifndef TESTS_OP_CASE_H
#define TESTS_OP_CASE_H

#include "common/base/rng.h"
#include "common/tape/ops.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { IN = 12 };

typedef enum { ABSENT, PARAM, CONST, INDEX } source_t;
typedef enum {
    NORMAL, /* about N(0, 1) */
    AWAY,   /* 0.2 <= |v| <= 1: away from kinks */
    NEAR,   /* |v| <= 0.1 */
    WEIGHT, /* 0, 0.5, 1, 1.5 ... in turn */
    CODES,  /* integers -1 .. lo-1 */
    /* the first position seen: windows that grow and shrink; every other row holds one position of
     * padding, then two sequences */
    SEEN,
    SOME,   /* rows below `bound`, ascending, then two of padding */
    RANGE,  /* pairs lo, hi within lo columns */
    TARGET, /* inside RANGE */
} fill_t;

typedef struct {
    source_t source;
    shape_t shape;
    fill_t fill;
    int bound;
} in_t;

typedef struct op_case {
    const char *name;
    var_t (*record)(tape_t *t, const var_t *v, const struct op_case *c);
    void (*formula)(const struct op_case *c, const double *const *x, double *y);
    in_t in[IN];
    int64_t a[8];
    float f;
    bool together; /* attention wants the gradients of q, k, v all or none */
} op_case_t;

#define DIM(c, i, d) ((c)->in[i].shape.dim[d])
#define COLS(c, i) shape_cols((c)->in[i].shape)
#define ROWS(c, i) shape_rows((c)->in[i].shape)
#define COUNT(c, i) shape_count((c)->in[i].shape)

#endif
