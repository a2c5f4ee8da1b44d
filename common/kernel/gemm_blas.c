/* gemm_blas.c - products of training, each by the faster of gemm.c and OpenBLAS (gemm.h).
 *
 * An OpenBLAS call stays on its thread (common/base/pool.c); C is cut into blocks, a call each. The
 * shape alone fixes the blocks and the choice, so any number of threads gives the same bytes. But
 * OpenBLAS adds in another order at the edges of a call: an element's bits depend on the shape of
 * the whole product. Inference, where they may not, stays with kern_gemm.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"

#include <cblas.h>
#include <limits.h>

/* ---- the choice ---- */

enum { NEVER = INT_MAX };

/* OpenBLAS has a product of which all of this holds. */
typedef struct {
    size_t least_sum, most_sum; /* K */
    size_t least_side;          /* the smaller of M and N */
} choice_t;

/* By the level that this file is compiled for: A as stored, A transposed. With AVX our own tile has
 * all: whole calls of OpenBLAS are often faster, calls cut into blocks were not yet (SPEED.md).
 * Where our tile has no tuned form, OpenBLAS has all but what is too small for a call. */
static const choice_t choices[2] =
#if defined __AVX__
    {{NEVER, 0, 0}, {NEVER, 0, 0}};
#else
    {{16, INT_MAX, 16}, {16, INT_MAX, 16}};
#endif

/* Sizes beyond most_sum's INT_MAX are more than OpenBLAS counts. */
static bool by_blas(bool ta, size_t M, size_t N, size_t K, size_t lda, size_t ldb, size_t ldc) {
    const choice_t *c = &choices[ta];
    size_t longest = max_size(max_size(M, N), max_size(lda, max_size(ldb, ldc)));
    return K >= c->least_sum && K <= c->most_sum && min_size(M, N) >= c->least_side &&
           longest <= INT_MAX;
}

/* ---- OpenBLAS ---- */

enum {
    ROWS = 256, /* of a block, and its columns, at most */
    COLUMNS = 512,
    LEAST = 64, /* a block is not cut below that */
    BLOCKS = 4, /* so many at least, where the shape has them */
    UNIT = 16   /* a block's rows and columns are multiples of it */
};

typedef struct {
    bool ta, tb, add;
    size_t M, N, K, lda, ldb, ldc;
    const float *A, *B;
    float *C;
    size_t row_blocks, rows, columns; /* blocks of [rows,columns], row_blocks below one another */
} blas_t;

static void block_task(void *ctx, size_t task) {
    const blas_t *g = ctx;
    size_t r = task % g->row_blocks * g->rows, c = task / g->row_blocks * g->columns;
    const float *A = g->A + (g->ta ? r : r * g->lda), *B = g->B + (g->tb ? c * g->ldb : c);
    cblas_sgemm(CblasRowMajor, g->ta ? CblasTrans : CblasNoTrans, g->tb ? CblasTrans : CblasNoTrans,
                (int)min_size(g->rows, g->M - r), (int)min_size(g->columns, g->N - c), (int)g->K, 1,
                A, (int)g->lda, B, (int)g->ldb, g->add ? 1 : 0, g->C + r * g->ldc + c, (int)g->ldc);
}

/* The size of one of so many equal blocks of n. */
static size_t block_of(size_t n, size_t blocks) {
    return ceil_div(ceil_div(n, blocks), UNIT) * UNIT;
}

/* Cuts the longer side of a block until there are enough of them, an even number so that two
 * threads end together. Returns how many. */
static size_t cut(blas_t *g) {
    size_t down = ceil_div(g->M, ROWS), across = ceil_div(g->N, COLUMNS);
    for (;;) {
        g->rows = block_of(g->M, down);
        g->columns = block_of(g->N, across);
        g->row_blocks = ceil_div(g->M, g->rows);
        size_t blocks = g->row_blocks * ceil_div(g->N, g->columns);
        if ((blocks >= BLOCKS && blocks % 2 == 0) || max_size(g->rows, g->columns) < 2 * LEAST)
            return blocks;
        if (g->rows >= g->columns)
            down++;
        else
            across++;
    }
}

void kern_gemm_train(bool ta, bool tb, size_t M, size_t N, size_t K, const float *A, size_t lda,
                     const float *B, size_t ldb, float *C, size_t ldc, bool add) {
    if (!by_blas(ta, M, N, K, lda, ldb, ldc)) {
        kern_gemm(ta, tb, M, N, K, A, lda, B, ldb, C, ldc, add, NULL);
        return;
    }
    blas_t g = {.ta = ta,
                .tb = tb,
                .add = add,
                .M = M,
                .N = N,
                .K = K,
                .lda = lda,
                .ldb = ldb,
                .ldc = ldc,
                .A = A,
                .B = B,
                .C = C};
    parallel_for(cut(&g), block_task, &g);
}
