/* tape.h - record once: a tape is the program of one model for one set of shapes; it holds no
 * numbers.
 *
 * A var_t is an index into the tape. Ops append to the tape in call order, which is a topological
 * order. Mistakes while recording (shapes that do not fit) are BUG()s that name the scope path and
 * both shapes. plan.h turns a tape into memory and a schedule; op.h is for authors of ops; ops.h
 * lists them.
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

tape_t *tape_new(params_t *params); /* params: not owned, may be NULL if none is used */
void tape_free(tape_t *t);
params_t *tape_params(const tape_t *t);

/* A value that the caller fills before each replay (plan_data). */
var_t tape_input(tape_t *t, const char *name, shape_t shape);
/* A value in memory that the caller owns and binds before replay (plan_bind): KV caches, constant
 * codebooks. No gradient. */
var_t tape_extern(tape_t *t, const char *name, shape_t shape);
/* An extern that every plan of this tape finds at `memory` (packed weights). */
var_t tape_bound(tape_t *t, const char *name, shape_t shape, const void *memory);
/* The parameter with index i of the tape's params. */
var_t tape_param(tape_t *t, int i);
/* Which parameter a var is; -1 = none. */
int tape_param_index(const tape_t *t, var_t v);
/* The same elements under another shape; value and gradient are shared. */
var_t tape_reshape(tape_t *t, var_t v, shape_t shape);
/* The same value, through which no gradient flows. */
var_t tape_detach(tape_t *t, var_t v);

shape_t tape_shape(const tape_t *t, var_t v);
size_t tape_count(const tape_t *t, var_t v);
size_t tape_n_vars(const tape_t *t);

/* Scope path that later ops belong to (error messages, dropout streams). tape_scope returns the old
 * length for tape_unscope. */
size_t tape_scope(tape_t *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tape_unscope(tape_t *t, size_t old);
const char *tape_path(const tape_t *t);

/* FLOPs of one forward replay (multiply-adds count two; matrix products and convolutions only). */
double tape_flops(const tape_t *t);

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
/* All leading dims folded: rows = count / last dim. */
size_t shape_rows(shape_t s);
size_t shape_cols(shape_t s);

#endif
