/* rows.h - growing arrays, one entry a row: the ragged side of a tape's inputs.
 *
 * Embeddings and heads declare the inputs of their tape with input_spec_t and append rows; graph.c
 * makes the inputs, and copies and pads the rows into them. So neither knows how a graph is filled.
 */
#ifndef GATO_ROWS_H
#define GATO_ROWS_H

#include "common/tape/tape.h"

enum { ROWS_INPUTS = 8 };

/* One input of n rows. */
typedef struct {
    const char *name; /* of the tape's input, within the scope of its pool or group */
    dtype_t type;
    int rank;       /* of one row; 0 = one element per row */
    size_t dim[3];  /* [rank] */
    int32_t pad[2]; /* I32: what rows of padding hold, by turns; F32: they are 0 */
} input_spec_t;
/* Elements per row. */
size_t input_count(const input_spec_t *s);

/* The rows of one input: I32 or F32 by its spec. */
typedef struct {
    size_t per; /* elements per row */
    dtype_t type;
    void *v;
    size_t n, cap; /* elements */
} column_t;
/* Room for `rows` more rows: where they begin. BUG: of the other type. */
int32_t *column_ints(column_t *c, size_t rows);
float *column_floats(column_t *c, size_t rows);
/* Appends one row of one integer. */
void column_put(column_t *c, int32_t v);
/* Element i of a column of integers. */
int32_t column_at(const column_t *c, size_t i);

/* n rows of several inputs. The caller keeps every column at n rows. */
typedef struct {
    size_t n, n_inputs;
    input_spec_t spec[ROWS_INPUTS];
    column_t input[ROWS_INPUTS];
} rows_t;
void rows_init(rows_t *r, const input_spec_t *spec, size_t n_inputs);
/* Counts rows whose columns were appended. BUG: a column of another length. */
void rows_added(rows_t *r, size_t rows);
/* Of the rows behind row `from`, which were appended and not counted, keeps lo .. hi - 1. */
void rows_keep(rows_t *r, size_t from, size_t lo, size_t hi);
/* Empties it and keeps the memory. */
void rows_clear(rows_t *r);
void rows_release(rows_t *r);

#endif
