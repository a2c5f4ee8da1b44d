/* tape.h - record once: a tape is the program of one model for one set of shapes.
 *
 * It holds no numbers. A var_t is an index into it. Ops append to the tape in call order, which is
 * a topological order. plan.h turns a tape into memory and a schedule, ops.h lists the ops, op.h is
 * for authors of ops. Use (tests/examples/example_tape.c):
 *
 *     params_t *params = params_new(7); // the seed of first values
 *     param_init_t ones = {INIT_ONE, 0};
 *     int w = params_get(params, "w", 2, (size_t[]){1, 3}, LAYOUT_SAME, ones);
 *     tape_t *tape = tape_new(params);
 *     var_t x = tape_input(tape, "x", F32_2(4, 3));
 *     var_t y = op_linear(tape, x, tape_param(tape, w), NO_VAR, W_OUT_IN); // x w^T
 *     shape_t shape = tape_shape(tape, y);                                 // [4,1]
 *     double flops = tape_flops(tape);                                     // 4 x 3 multiply-adds
 *
 * Mistakes while recording (shapes that do not fit, a value of another tape) are BUG()s that name
 * the scope path and both shapes.
 */
#ifndef TAPE_TAPE_H
#define TAPE_TAPE_H

#include "common/tape/params.h"

typedef int32_t var_t;
#define NO_VAR ((var_t)-1)

typedef enum { DT_F32, DT_I32 } dtype_t; /* both 4 bytes */

enum { TAPE_RANK = 4 };
typedef struct {
    dtype_t type;
    int rank; /* 0 = scalar of one element */
    size_t dim[TAPE_RANK];
} shape_t;

typedef struct tape tape_t;

/* params: borrowed, must outlive the tape; NULL if the model has none. */
tape_t *tape_new(params_t *params);
/* NULL is allowed. Plans of the tape must be freed before it. */
void tape_free(tape_t *t);
params_t *tape_params(const tape_t *t);

/* ---- values ---- */

/* A value that the caller writes before each replay (plan_data). No gradient. name: for
 * messages. */
var_t tape_input(tape_t *t, const char *name, shape_t shape);
/* A value in memory that the caller owns and binds before a replay (plan_bind): a KV cache, a
 * constant codebook. No gradient. */
var_t tape_extern(tape_t *t, const char *name, shape_t shape);
/* An extern that every plan of this tape finds at `memory`, which must outlive them. */
var_t tape_bound(tape_t *t, const char *name, shape_t shape, const void *memory);
/* The parameter with index i of the tape's params. Its shape is that in memory: a convolution's is
 * [kh,kw,in,out]. The same parameter is the same var. */
var_t tape_param(tape_t *t, int i);
/* Index of the parameter that v is; -1: v is no parameter. */
int tape_param_index(const tape_t *t, var_t v);
/* The same elements under another shape of the same count; value and gradient are shared. */
var_t tape_reshape(tape_t *t, var_t v, shape_t shape);
/* The same value, through which no gradient flows. */
var_t tape_detach(tape_t *t, var_t v);

shape_t tape_shape(const tape_t *t, var_t v);
/* Elements of v. */
size_t tape_count(const tape_t *t, var_t v);
/* Values recorded so far. */
size_t tape_n_vars(const tape_t *t);

/* ---- scopes ---- */

/* Appends ".<text>" to the path that later ops belong to, for messages and the streams of dropout.
 * Returns the mark that tape_unscope takes back to the old path. nn_push does both for blocks. */
size_t tape_scope(tape_t *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tape_unscope(tape_t *t, size_t mark);
const char *tape_path(const tape_t *t);

/* FLOPs of one forward replay: matrix products and convolutions alone, a multiply-add counts 2. */
double tape_flops(const tape_t *t);

/* ---- shapes ---- */

static inline shape_t shape_of(dtype_t type, int rank, size_t a, size_t b, size_t c, size_t d) {
    return (shape_t){type, rank, {a, b, c, d}};
}
#define F32_0() shape_of(DT_F32, 0, 1, 1, 1, 1)
#define F32_1(a) shape_of(DT_F32, 1, a, 1, 1, 1)
#define F32_2(a, b) shape_of(DT_F32, 2, a, b, 1, 1)
#define F32_3(a, b, c) shape_of(DT_F32, 3, a, b, c, 1)
#define F32_4(a, b, c, d) shape_of(DT_F32, 4, a, b, c, d)
#define I32_1(a) shape_of(DT_I32, 1, a, 1, 1, 1)
#define I32_2(a, b) shape_of(DT_I32, 2, a, b, 1, 1)
size_t shape_count(shape_t s);
/* As a matrix: columns are the last dim (1 of a scalar), rows all others folded. */
size_t shape_rows(shape_t s);
size_t shape_cols(shape_t s);

#endif
