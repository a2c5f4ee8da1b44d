/* gemm.c - matrix products over the register tile of micro.h.
 *
 * The right-hand side is packed into panels once; tasks are tiles of C, so an element never depends on the number of
 * rows or threads. Transposed left-hand sides (weight gradients: few outputs, long sums) cut the sum into pieces fixed
 * by the shape instead.
 */
#include "common/base/pool.h"
#include "common/base/scratch.h"
#include "common/kernel/kernel.h"
#include "common/kernel/micro.h"

enum {
    KC = 256,        /* k block: a panel slice (16 KB) stays in L1 */
    MC = 96,         /* rows of a task: its slice of A stays in L2 */
    PANELS = 8,      /* panels of a task */
    PIECE_ROWS = 256 /* least rows of a piece of a cut sum */
};

typedef struct {
    bool ta, tb, add, serial;
    size_t M, N, K, lda, ldb, ldc, row_blocks, panels, panel_blocks, pieces, piece_rows;
    const float *A, *B, *bias;
    float *C, *packed, *parts;
} gemm_t;

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}
static size_t ceil_div(size_t a, size_t b) {
    return (a + b - 1) / b;
}

static void run(const gemm_t *g, size_t n, pool_fn fn) {
    if (g->serial || n == 1)
        for (size_t i = 0; i < n; i++) fn((void *)g, i);
    else
        parallel_for(n, fn, (void *)g);
}

static void pack_task(void *ctx, size_t j) {
    const gemm_t *g = ctx;
    micro_pack(g->tb, g->B, g->ldb, g->N, 0, g->K, j * NR, g->packed + j * g->K * NR);
}

/* One tile of C: MC rows x PANELS panels, all of K. */
static void tile_task(void *ctx, size_t task) {
    const gemm_t *g = ctx;
    size_t r0 = task % g->row_blocks * MC, r1 = min_size(r0 + MC, g->M);
    size_t p0 = task / g->row_blocks * PANELS, p1 = min_size(p0 + PANELS, g->panels);
    static const size_t zero = 0;
    for (size_t k0 = 0; k0 < g->K; k0 += KC) {
        size_t kc = min_size(KC, g->K - k0);
        for (size_t p = p0; p < p1; p++) {
            float edge[NR] = {0};
            micro_out_t o = {.n = min_size(NR, g->N - p * NR), .first = k0 == 0, .add = g->add};
            if (g->bias) {
                memcpy(edge, g->bias + p * NR, o.n * sizeof *edge);
                o.bias = edge;
            }
            const float *b = g->packed + (p * g->K + k0) * NR;
            for (size_t r = r0; r < r1; r += MR) {
                int mr = (int)min_size(MR, r1 - r);
                const float *a[MR];
                float *c[MR];
                for (int i = 0; i < mr; i++) {
                    a[i] = g->A + (r + i) * g->lda + k0;
                    c[i] = g->C + (r + i) * g->ldc + p * NR;
                }
                o.row = c;
                micro_rows(mr, a, &zero, 1, kc, b, &o);
            }
        }
    }
}

/* Transposed A: rows k0..k1 of the sum into `out` for outputs [r0,r1) x panels [p0,p1). */
static void steps_block(const gemm_t *g, size_t k0, size_t k1, size_t r0, size_t r1, size_t p0, size_t p1, float *out,
                        size_t ldout, bool add, const float *bias) {
    float *panel = scratch_get(SCRATCH_GEMM_TASK, KC * NR * sizeof *panel);
    const float *a[KC];
    for (size_t k = k0; k < k1; k += KC) {
        size_t kc = min_size(KC, k1 - k);
        for (size_t i = 0; i < kc; i++) a[i] = g->A + (k + i) * g->lda;
        for (size_t p = p0; p < p1; p++) {
            micro_pack(g->tb, g->B, g->ldb, g->N, k, kc, p * NR, panel);
            float edge[NR] = {0};
            micro_out_t o = {.n = min_size(NR, g->N - p * NR), .first = k == k0, .add = add};
            if (bias) {
                memcpy(edge, bias + p * NR, o.n * sizeof *edge);
                o.bias = edge;
            }
            for (size_t r = r0; r < r1; r += MR) {
                int mr = (int)min_size(MR, r1 - r);
                float *c[MR];
                for (int i = 0; i < mr; i++) c[i] = out + (r + i) * ldout + p * NR;
                o.row = c;
                micro_steps(mr, a, r, kc, panel, NR, &o);
            }
        }
    }
}

static void steps_tile_task(void *ctx, size_t task) {
    const gemm_t *g = ctx;
    size_t r0 = task % g->row_blocks * MC, p0 = task / g->row_blocks * PANELS;
    steps_block(g, 0, g->K, r0, min_size(r0 + MC, g->M), p0, min_size(p0 + PANELS, g->panels), g->C, g->ldc, g->add,
                g->bias);
}

static void steps_piece_task(void *ctx, size_t piece) {
    const gemm_t *g = ctx;
    size_t k0 = piece * g->piece_rows, k1 = min_size(k0 + g->piece_rows, g->K);
    steps_block(g, k0, k1, 0, g->M, 0, g->panels, g->parts + piece * g->M * g->N, g->N, false, NULL);
}

static void sum_pieces_task(void *ctx, size_t row) {
    const gemm_t *g = ctx;
    float *c = g->C + row * g->ldc;
    for (size_t j = 0; j < g->N; j++) {
        float s = g->parts[row * g->N + j];
        for (size_t p = 1; p < g->pieces; p++) s += g->parts[(p * g->M + row) * g->N + j];
        if (g->bias) s += g->bias[j];
        c[j] = g->add ? c[j] + s : s;
    }
}

/* A sum over nothing. */
static void gemm_empty(const gemm_t *g) {
    for (size_t i = 0; i < g->M; i++)
        for (size_t j = 0; j < g->N; j++)
            g->C[i * g->ldc + j] = (g->add ? g->C[i * g->ldc + j] : 0) + (g->bias ? g->bias[j] : 0);
}

static void gemm(gemm_t *g) {
    if (!g->M || !g->N) return;
    if (!g->K) {
        gemm_empty(g);
        return;
    }
    g->panels = ceil_div(g->N, NR);
    g->row_blocks = ceil_div(g->M, MC);
    g->panel_blocks = ceil_div(g->panels, PANELS);
    if (!g->ta) {
        g->packed = scratch_get(SCRATCH_GEMM_PACK, (g->panels * g->K + 1) * NR * sizeof(float));
        run(g, g->panels, pack_task);
        run(g, g->row_blocks * g->panel_blocks, tile_task);
        return;
    }
    size_t tiles = g->row_blocks * g->panel_blocks;
    g->pieces = tiles >= KERN_PIECES ? 1 : min_size(KERN_PIECES, ceil_div(g->K, PIECE_ROWS));
    if (g->pieces <= 1) {
        run(g, tiles, steps_tile_task);
        return;
    }
    g->piece_rows = ceil_div(g->K, g->pieces);
    g->pieces = ceil_div(g->K, g->piece_rows);
    g->parts = scratch_get(SCRATCH_GEMM_PARTS, g->pieces * g->M * g->N * sizeof(float));
    run(g, g->pieces, steps_piece_task);
    run(g, g->M, sum_pieces_task);
}

void kern_gemm(bool ta, bool tb, size_t M, size_t N, size_t K, const float *A, size_t lda, const float *B, size_t ldb,
               float *C, size_t ldc, bool add, const float *bias) {
    gemm_t g = {.ta = ta,
                .tb = tb,
                .M = M,
                .N = N,
                .K = K,
                .A = A,
                .lda = lda,
                .B = B,
                .ldb = ldb,
                .C = C,
                .ldc = ldc,
                .add = add,
                .bias = bias};
    gemm(&g);
}

void kern_gemm_serial(bool ta, bool tb, size_t M, size_t N, size_t K, const float *A, size_t lda, const float *B,
                      size_t ldb, float *C, size_t ldc, bool add, const float *bias) {
    gemm_t g = {.ta = ta,
                .tb = tb,
                .M = M,
                .N = N,
                .K = K,
                .A = A,
                .lda = lda,
                .B = B,
                .ldb = ldb,
                .C = C,
                .ldc = ldc,
                .add = add,
                .bias = bias};
    g.serial = true;
    gemm(&g);
}

typedef struct {
    const float *x;
    size_t rows, C, piece_rows, pieces;
    float *parts, *out;
    bool add;
} colsum_t;

static void colsum_task(void *ctx, size_t piece) {
    const colsum_t *c = ctx;
    float *s = c->parts + piece * c->C;
    size_t r1 = min_size((piece + 1) * c->piece_rows, c->rows);
    memset(s, 0, c->C * sizeof *s);
    for (size_t r = piece * c->piece_rows; r < r1; r++)
        for (size_t j = 0; j < c->C; j++) s[j] += c->x[r * c->C + j];
}

void kern_colsum(const float *x, size_t rows, size_t C, float *out, bool add) {
    colsum_t c = {.x = x, .rows = rows, .C = C, .out = out, .add = add};
    c.piece_rows = ceil_div(rows, KERN_PIECES);
    if (c.piece_rows < PIECE_ROWS) c.piece_rows = PIECE_ROWS;
    c.pieces = ceil_div(rows, c.piece_rows);
    c.parts = scratch_get(SCRATCH_REDUCE, (c.pieces + 1) * C * sizeof(float));
    parallel_for(c.pieces, colsum_task, &c);
    for (size_t j = 0; j < C; j++) {
        float s = 0;
        for (size_t p = 0; p < c.pieces; p++) s += c.parts[p * C + j];
        out[j] = add ? out[j] + s : s;
    }
}
