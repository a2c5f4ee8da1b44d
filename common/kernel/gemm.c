/* gemm.c - matrix products over the register tile of micro.h (gemm.h).
 *
 * C[M,N] = A[M,K] B[K,N]. The columns of B are cut into panels of NR and each panel is packed k
 * after k, so the tile reads it in one stream. A task is a block of C, and an element of C always
 * sums its K products in the same order: in partial sums of KC steps, added in order. So an element
 * never depends on the number of rows or of threads.
 *
 *   A as stored [M,K]: all of B is packed once. A task then reads its rows of A where they lie.
 *
 *           k0    k0+KC                    p0  p1  panels
 *     r0  +---+-----+---+            k0  +---+---+---+
 *         |   |#####|   |  times         |   |###|   |   into C rows r0..r1, panels p0..p1
 *     r1  +---+-----+---+         k0+KC  +---+---+---+
 *
 *   A transposed, stored [K,M]: this is a weight gradient, with few outputs and long sums. A task
 *   packs both sides of its block, KC steps at a time. Where C has few blocks, the sum over K is
 *   cut into pieces as well; the shape fixes them, each has a matrix of its own, and they are added
 *   in order.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/micro.h"
#include "common/kernel/slots.h"

enum {
    /* Steps of k in a partial sum: a tile's panels (16 or 32 KB) stay in L1. */
    KC = 256,
    /* Rows of a task: its slice of A stays in L2. */
    MC = 96,
    /* Panels of a task, and where that would give fewer than MANY_TASKS tasks. */
    PANELS = 16,
    PANELS_FEW = 8,
    MANY_TASKS = 4 * KERN_PIECES,
    /* Rows and panels of a task with transposed A: KC steps of both sides stay in L2. */
    STEP_ROWS = 256,
    STEP_PANELS = 16,
    /* Up to so many panels A is read too seldom to be worth packing. */
    FEW_PANELS = 4,
    /* Least steps of a piece of a cut sum. */
    PIECE_ROWS = 256
};

typedef struct {
    bool ta, tb, add, serial;
    size_t M, N, K, lda, ldb, ldc;
    size_t panels;                     /* of B: N / NR, rounded up */
    size_t row_blocks, block_rows;     /* C is cut into row_blocks x panel_blocks blocks, */
    size_t panel_blocks, block_panels; /* each of block_rows rows and block_panels panels */
    size_t pieces, piece_rows;         /* transposed A: pieces of the sum, steps of k in each */
    const float *A, *B, *bias;
    float *C;
    float *packed; /* B as [panels][K][NR] */
    float *parts;  /* sums of the pieces, [pieces][M][N] */
} gemm_t;

/* n tasks: on the pool, or here when the caller asked for that or there is but one. */
static void run(const gemm_t *g, size_t n, pool_fn fn) {
    if (g->serial || n == 1) {
        for (size_t i = 0; i < n; i++) fn((void *)g, i);
    } else {
        parallel_for(n, fn, (void *)g);
    }
}

/* ---- A as it is stored ---- */

/* Panel j of B: columns j*NR .. of all K rows. */
static void pack_task(void *ctx, size_t j) {
    const gemm_t *g = ctx;
    micro_pack(g->tb, g->B, g->ldb, g->N, 0, g->K, j * NR, g->packed + j * g->K * NR);
}

/* How the tiles over panel p store their columns: all tiles of a task below one another share it. A
 * tile is PAIR panels wide unless `end` or the last column of C comes first. `edge` [WIDE] keeps
 * their bias. */
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

/* One block of C: rows [r0,r1) x panels [p0,p1), all of K. Partial sums of KC steps are added to C
 * one after the other; the first one overwrites it, or adds to what the caller had there. */
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

/* ---- A transposed ---- */

/* A task: steps [k0,k1) of the sum for rows [r0,r1) x panels [p0,p1). `out` is C or a piece's own
 * matrix, of row stride ldout. */
typedef struct {
    size_t k0, k1, r0, r1, p0, p1, ldout;
    float *out;
    bool add;
    const float *bias;
} steps_t;

/* Floats of a packed tile of A [KC][MR] and of a packed panel of B [KC][NR], and a cache line more:
 * an odd number of lines, so that tiles do not fall into the same sets of the cache. */
enum { LEFT = KC * MR + NR, RIGHT = KC * NR + NR };

/* Packs kc steps of the task's rows as tiles [kc][MR], a tile every LEFT floats. Read as they lie,
 * the columns of A would fall into few sets of the cache. */
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

/* Packs kc steps of the task's panels, a panel every RIGHT floats. B [K,N] is read row by row
 * across all whole panels: its rows are far apart, and each new one is a wait for memory. */
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

/* Adds steps [k, k + kc) of a block, over packed sides. Meanwhile it fetches what the next KC steps
 * will be packed from: a row of each side per tile. */
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

/* The same with only the right side packed: A is read where it lies. */
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

/* One block: pack KC steps, run them, pack the next. */
static void steps_block(const gemm_t *g, const steps_t *s) {
    size_t panels = s->p1 - s->p0;
    bool pack = panels > FEW_PANELS;
    size_t floats = panels * RIGHT;
    if (pack) floats += ceil_div(s->r1 - s->r0, MR) * LEFT;
    float *right = scratch_get(SCRATCH_GEMM_TASK, floats * sizeof *right);
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

/* A block of C, or of one piece of its sum: task = piece * blocks + block. */
static void steps_task(void *ctx, size_t task) {
    const gemm_t *g = ctx;
    size_t blocks = g->row_blocks * g->panel_blocks, piece = task / blocks, block = task % blocks;
    steps_t s = {.out = g->C, .ldout = g->ldc, .add = g->add, .bias = g->bias};
    if (g->pieces > 1) s = (steps_t){.out = g->parts + piece * g->M * g->N, .ldout = g->N};
    s.k0 = piece * g->piece_rows;
    s.k1 = min_size(s.k0 + g->piece_rows, g->K);
    s.r0 = block % g->row_blocks * g->block_rows;
    s.r1 = min_size(s.r0 + g->block_rows, g->M);
    s.p0 = block / g->row_blocks * g->block_panels;
    s.p1 = min_size(s.p0 + g->block_panels, g->panels);
    steps_block(g, &s);
}

/* A row of C: the pieces in order, then the bias. */
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

/* ---- how a product is cut ---- */

/* K = 0, a sum over nothing: C becomes the bias or zeros. */
static void gemm_empty(const gemm_t *g) {
    for (size_t i = 0; i < g->M; i++)
        for (size_t j = 0; j < g->N; j++)
            g->C[i * g->ldc + j] = (g->add ? g->C[i * g->ldc + j] : 0) + (g->bias ? g->bias[j] : 0);
}

/* n cut into so many equal blocks: the size of one, a multiple of `unit`. */
static size_t block_size(size_t n, size_t blocks, size_t unit) {
    return ceil_div(ceil_div(n, blocks), unit) * unit;
}

/* A as it is stored: equal blocks of C, their rows an even number of blocks so that two threads end
 * together. */
static void plan_tiles(gemm_t *g) {
    g->row_blocks = ceil_div(g->M, MC);
    if (g->row_blocks > 1) g->row_blocks += g->row_blocks % 2;
    g->block_rows = block_size(g->M, g->row_blocks, MR);
    g->row_blocks = ceil_div(g->M, g->block_rows);
    size_t most = g->row_blocks * ceil_div(g->panels, PANELS) < MANY_TASKS ? PANELS_FEW : PANELS;
    g->block_panels = block_size(g->panels, ceil_div(g->panels, most), PAIR);
    g->panel_blocks = ceil_div(g->panels, g->block_panels);
}

/* A transposed: large blocks of C, so that both sides are packed seldom. With fewer than
 * KERN_PIECES blocks the sum is cut as well. The number of tasks is even, so that two threads end
 * together. */
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

/* Cuts the product and runs it. */
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
                .bias = bias,
                .serial = true};
    gemm(&g);
}
