/* colsum.c - sums over the rows of a matrix (gemm.h). */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/slots.h"

#include <string.h>

enum {
    /* Floats of a wide row: several rows side by side where one is short, so that a loop is
     * long. */
    WIDE_ROW = 128,
    /* Least rows of a piece. */
    PIECE_ROWS = 256
};

typedef struct {
    const float *x; /* [rows,C] */
    size_t rows, C, piece_rows, pieces;
    size_t wide;  /* floats of a wide row, a multiple of C */
    float *parts; /* [pieces][wide] */
} colsum_t;

/* s[j] += x[0,j] + x[1,j] + x[2,j] + x[3,j], rows of n floats. */
static void add_rows(size_t n, const float *x, float *restrict s) {
    for (size_t j = 0; j < n; j++) s[j] += (x[j] + x[n + j]) + (x[2 * n + j] + x[3 * n + j]);
}

/* One piece: four wide rows at a time, then rows, then the columns of a wide row that belong
 * together: s[C]. */
static void colsum_task(void *ctx, size_t piece) {
    const colsum_t *c = ctx;
    float *restrict s = c->parts + piece * c->wide;
    const float *x = c->x + piece * c->piece_rows * c->C,
                *end = c->x + min_size((piece + 1) * c->piece_rows, c->rows) * c->C;
    memset(s, 0, c->wide * sizeof *s);
    for (; x + 4 * c->wide <= end; x += 4 * c->wide) add_rows(c->wide, x, s);
    for (; x < end; x += c->C)
        for (size_t j = 0; j < c->C; j++) s[j] += x[j];
    for (size_t i = c->C; i < c->wide; i += c->C)
        for (size_t j = 0; j < c->C; j++) s[j] += s[i + j];
}

void kern_colsum(const float *x, size_t rows, size_t C, float *out, bool add) {
    if (!C) return;
    colsum_t c = {.x = x, .rows = rows, .C = C, .wide = C < WIDE_ROW ? WIDE_ROW / C * C : C};
    c.piece_rows = ceil_div(rows, KERN_PIECES);
    if (c.piece_rows < PIECE_ROWS) c.piece_rows = PIECE_ROWS;
    c.pieces = ceil_div(rows, c.piece_rows);
    c.parts = scratch_get(SCRATCH_REDUCE, (c.pieces + 1) * c.wide * sizeof(float));
    parallel_for(c.pieces, colsum_task, &c);
    for (size_t j = 0; j < C; j++) {
        float s = 0;
        for (size_t p = 0; p < c.pieces; p++) s += c.parts[p * c.wide + j];
        out[j] = add ? out[j] + s : s;
    }
}
