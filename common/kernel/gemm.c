/* gemm.c - matrix products over the register tile of micro.h.
 *
 * The right-hand side is packed into panels once; tasks are blocks of C, so an element never
 * depends on the number of rows or threads. With a transposed left-hand side (weight gradients: few
 * outputs, long sums) a task packs both sides of its block, some steps at a time, and few blocks
 * are made more by cutting the sum into pieces fixed by the shape.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/micro.h"
#include "common/kernel/slots.h"

enum {
    KC = 256,       /* k block: a tile's panels (16 or 32 KB) stay in L1 */
    MC = 96,        /* rows of a task: its slice of A stays in L2 */
    PANELS = 16,    /* panels of a task, */
    PANELS_FEW = 8, /* and where those are few */
    MANY_TASKS = 4 * KERN_PIECES,
    STEP_ROWS = 256, /* of a task with transposed A, and its panels: KC steps of both stay in L2 */
    STEP_PANELS = 16,
    FEW_PANELS = 4,
    PIECE_ROWS = 256 /* least rows of a piece of a cut sum */
};

typedef struct {
    bool ta, tb, add, serial;
    size_t M, N, K, lda, ldb, ldc, panels;
    size_t row_blocks, panel_blocks, block_rows, block_panels; /* of C; a task each */
    size_t pieces, piece_rows;                                 /* of the sum, with transposed A */
    const float *A, *B, *bias;
    float *C, *packed, *parts;
} gemm_t;

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

/* Where the columns of panels [p, end) go, a tile's at most: what all tiles below them share.
 * `edge` [WIDE] keeps their bias. */
static micro_out_t out_of(const gemm_t *g, size_t p, size_t end, bool first, bool add,
                          const float *bias, float *edge) {
    micro_out_t o = {
        .n = min_size(min_size(PAIR, end - p) * NR, g->N - p * NR), .first = first, .add = add};
    if (bias) {
        memset(edge, 0, WIDE * sizeof *edge);
        memcpy(edge, bias + p * NR, o.n * sizeof *edge);
        o.bias = edge;
    }
    return o;
}

/* One block of C, all of K. */
static void tile_task(void *ctx, size_t task) {
    const gemm_t *g = ctx;
    size_t r0 = task % g->row_blocks * g->block_rows, r1 = min_size(r0 + g->block_rows, g->M);
    size_t p0 = task / g->row_blocks * g->block_panels,
           p1 = min_size(p0 + g->block_panels, g->panels);
    for (size_t k0 = 0; k0 < g->K; k0 += KC) {
        size_t kc = min_size(KC, g->K - k0);
        for (size_t p = p0; p < p1; p += PAIR) {
            float edge[WIDE];
            micro_out_t o = out_of(g, p, p1, k0 == 0, g->add, g->bias, edge);
            const float *b = g->packed + (p * g->K + k0) * NR;
            micro_matrix(r1 - r0, g->A + r0 * g->lda + k0, g->lda, kc, b, g->K * NR,
                         g->C + r0 * g->ldc + p * NR, g->ldc, o);
        }
    }
}

/* Transposed A: steps k0..k1 of the sum for rows [r0,r1) x panels [p0,p1). */
typedef struct {
    size_t k0, k1, r0, r1, p0, p1, ldout;
    float *out;
    bool add;
    const float *bias;
} steps_t;

/* Floats of a packed tile of A and of a packed panel of B; an odd number of cache lines, see
 * pack_left. */
enum { LEFT = KC * MR + NR, RIGHT = KC * NR + NR };

/* kc steps of the rows, as tiles [kc][MR]: read as they lie, the columns of A would fall into few
 * sets of the cache. */
static void pack_left(const gemm_t *g, const steps_t *s, size_t k0, size_t kc, float *to) {
    size_t rows = s->r1 - s->r0;
    for (size_t k = 0; k < kc; k++) {
        const float *from = g->A + (k0 + k) * g->lda + s->r0;
        float *tile = to + k * MR;
        size_t r = 0;
        for (; r + MR <= rows; r += MR, tile += LEFT) memcpy(tile, from + r, MR * sizeof *tile);
        if (r < rows) memcpy(tile, from + r, (rows - r) * sizeof *tile);
    }
}

/* kc steps of the panels. B is read row by row where it lies so: its rows are far apart, and each
 * is a wait. */
static void pack_right(const gemm_t *g, const steps_t *s, size_t k0, size_t kc, float *to) {
    size_t whole = g->tb ? s->p0 : min_size(s->p1, g->N / NR);
    for (size_t k = 0; k < kc; k++) {
        const float *from = g->B + (k0 + k) * g->ldb;
        float *panel = to + k * NR;
        for (size_t p = s->p0; p < whole; p++, panel += RIGHT)
            memcpy(panel, from + p * NR, NR * sizeof *panel);
    }
    for (size_t p = whole; p < s->p1; p++)
        micro_pack(g->tb, g->B, g->ldb, g->N, k0, kc, p * NR, to + (p - s->p0) * RIGHT);
}

/* Steps k..k+kc of a block over packed sides. Where the next ones will be packed from is fetched
 * meanwhile: a row of each side a tile. */
static void packed_steps(const gemm_t *g, const steps_t *s, size_t k, size_t kc, const float *left,
                         const float *right) {
    size_t across = ceil_div(s->r1 - s->r0, MR), tiles = across * ceil_div(s->p1 - s->p0, PAIR),
           tile = 0;
    for (size_t p = s->p0; p < s->p1; p += PAIR) {
        float edge[WIDE];
        micro_out_t o = out_of(g, p, s->p1, k == s->k0, s->add, s->bias, edge);
        for (size_t r = s->r0; r < s->r1; r += MR, tile++) {
            size_t soon = k + kc + tile * KC / tiles;
            const float *next[2] = {left, right};
            if (soon < s->k1) next[0] = g->A + soon * g->lda + s->r0;
            if (soon < s->k1 && !g->tb) next[1] = g->B + soon * g->ldb + s->p0 * NR;
            micro_matrix_t(min_size(MR, s->r1 - r), left + (r - s->r0) / MR * LEFT, MR, kc,
                           right + (p - s->p0) * RIGHT, NR, RIGHT, s->out + r * s->ldout + p * NR,
                           s->ldout, next, o);
        }
    }
}

/* The same over A as it lies. */
static void plain_steps(const gemm_t *g, const steps_t *s, size_t k, size_t kc,
                        const float *right) {
    for (size_t p = s->p0; p < s->p1; p += PAIR) {
        float edge[WIDE];
        micro_out_t o = out_of(g, p, s->p1, k == s->k0, s->add, s->bias, edge);
        micro_matrix_t(s->r1 - s->r0, g->A + k * g->lda + s->r0, g->lda, kc,
                       right + (p - s->p0) * RIGHT, NR, RIGHT, s->out + s->r0 * s->ldout + p * NR,
                       s->ldout, NULL, o);
    }
}

static void steps_block(const gemm_t *g, const steps_t *s) {
    size_t panels = s->p1 - s->p0;
    bool pack = panels > FEW_PANELS; /* else A is read too seldom */
    float *right = scratch_get(SCRATCH_GEMM_TASK,
                               (panels * RIGHT + (pack ? ceil_div(s->r1 - s->r0, MR) * LEFT : 0)) *
                                   sizeof *right);
    float *left = right + panels * RIGHT;
    for (size_t k = s->k0; k < s->k1; k += KC) {
        size_t kc = min_size(KC, s->k1 - k);
        pack_right(g, s, k, kc, right);
        if (pack) {
            pack_left(g, s, k, kc, left);
            packed_steps(g, s, k, kc, left, right);
        } else {
            plain_steps(g, s, k, kc, right);
        }
    }
}

/* A block of C, or of a piece of its sum. */
static void steps_task(void *ctx, size_t task) {
    const gemm_t *g = ctx;
    size_t blocks = g->row_blocks * g->panel_blocks, piece = task / blocks, block = task % blocks;
    steps_t s = {.out = g->C, .ldout = g->ldc, .add = g->add, .bias = g->bias};
    if (g->pieces > 1) s = (steps_t){.out = g->parts + piece * g->M * g->N, .ldout = g->N};
    s.k0 = piece * g->piece_rows, s.k1 = min_size(s.k0 + g->piece_rows, g->K);
    s.r0 = block % g->row_blocks * g->block_rows, s.r1 = min_size(s.r0 + g->block_rows, g->M);
    s.p0 = block / g->row_blocks * g->block_panels,
    s.p1 = min_size(s.p0 + g->block_panels, g->panels);
    steps_block(g, &s);
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

/* The size of n cut into equal blocks, which is a multiple of `unit`. */
static size_t block_size(size_t n, size_t blocks, size_t unit) {
    return ceil_div(ceil_div(n, blocks), unit) * unit;
}

/* Equal blocks of C, an even number for the threads. */
static void plan_tiles(gemm_t *g) {
    g->row_blocks = ceil_div(g->M, MC);
    if (g->row_blocks > 1) g->row_blocks += g->row_blocks % 2;
    g->block_rows = block_size(g->M, g->row_blocks, MR);
    g->row_blocks = ceil_div(g->M, g->block_rows);
    size_t most = g->row_blocks * ceil_div(g->panels, PANELS) < MANY_TASKS ? PANELS_FEW : PANELS;
    g->block_panels = block_size(g->panels, ceil_div(g->panels, most), PAIR);
    g->panel_blocks = ceil_div(g->panels, g->block_panels);
}

/* Large blocks of C, so that both sides are packed seldom. Where there are few, the sum is cut as
 * well. An even number of tasks, for the threads. */
static void plan_steps(gemm_t *g) {
    g->block_panels = block_size(g->panels, ceil_div(g->panels, STEP_PANELS), PAIR);
    g->panel_blocks = ceil_div(g->panels, g->block_panels);
    g->row_blocks = ceil_div(g->M, STEP_ROWS);
    size_t blocks = g->row_blocks * g->panel_blocks, wanted = ceil_div(KERN_PIECES, blocks);
    if (blocks % 2 && wanted == 1) g->row_blocks++;
    if (blocks % 2 && wanted > 1) wanted += wanted % 2;
    g->block_rows = block_size(g->M, g->row_blocks, MR);
    g->row_blocks = ceil_div(g->M, g->block_rows);
    g->pieces = min_size(wanted, ceil_div(g->K, PIECE_ROWS));
    g->piece_rows = ceil_div(g->K, g->pieces);
    g->pieces = ceil_div(g->K, g->piece_rows);
}

static void gemm(gemm_t *g) {
    if (!g->M || !g->N) return;
    if (!g->K) {
        gemm_empty(g);
        return;
    }
    g->panels = ceil_div(g->N, NR);
    if (!g->ta) {
        plan_tiles(g);
        g->packed = scratch_get(SCRATCH_GEMM_PACK, (g->panels * g->K + 1) * NR * sizeof(float));
        run(g, g->panels, pack_task);
        run(g, g->row_blocks * g->panel_blocks, tile_task);
        return;
    }
    plan_steps(g);
    if (g->pieces > 1)
        g->parts = scratch_get(SCRATCH_GEMM_PARTS, g->pieces * g->M * g->N * sizeof(float));
    run(g, g->pieces * g->row_blocks * g->panel_blocks, steps_task);
    if (g->pieces > 1) run(g, g->M, sum_pieces_task);
}

void kern_gemm(bool ta, bool tb, size_t M, size_t N, size_t K, const float *A, size_t lda,
               const float *B, size_t ldb, float *C, size_t ldc, bool add, const float *bias) {
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

void kern_gemm_serial(bool ta, bool tb, size_t M, size_t N, size_t K, const float *A, size_t lda,
                      const float *B, size_t ldb, float *C, size_t ldc, bool add,
                      const float *bias) {
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
    size_t wide; /* floats of a wide row: several rows where one is short */
    float *parts;
} colsum_t;

enum { WIDE_ROW = 128 };

/* s[n] += the sum of four rows of n floats */
static void add_rows(size_t n, const float *x, float *restrict s) {
    for (size_t j = 0; j < n; j++) s[j] += (x[j] + x[n + j]) + (x[2 * n + j] + x[3 * n + j]);
}

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
