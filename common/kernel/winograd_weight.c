/* winograd_weight.c - the weight gradient of winograd.h.
 *
 * The forward is y = A^T [(G w G^T) . (B^T x B)] A for each tile, so
 *
 *     dw = G^T [ sum over tiles (A dy A^T) . (B^T x B) ] G
 *
 * Pixels of x and of dy go to points. At each point a product over tiles follows,
 *
 *     sums[point][Cin, Cout] += v[point][tiles, Cin]^T d[point][tiles, Cout]
 *
 * and one transform of the sums gives the 3x3 taps.
 *
 * Tiles are cut into pieces by the shape, each with sums of its own, and a piece into blocks whose
 * points stay in the L2 cache. Where the sums are larger than the cache, or tiles are few, there is
 * one piece and the threads share it.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/micro.h"
#include "common/kernel/slots.h"
#include "common/kernel/winograd.h"
#include "common/kernel/winograd_tile.h"

enum {
    /* Floats of a block's points, and of a piece's sums: beyond that the threads share one
     * piece. */
    CACHE = 96 * 1024,
    SUMS = 80 * 1024,
    /* Tiles of a task that spreads. */
    GROUP = 8,
    /* Tiles of a block. */
    LEAST = 16,
    MOST = 64,
    /* Least tiles of a piece. */
    PIECE = 64
};

typedef struct {
    tiles_t x, dy;
    bool half; /* x is enlarged: 25 points */
    bool add;
    size_t tiles_x, tiles_image, tiles; /* in a row, an image, the batch */
    size_t pieces, piece_tiles, block;  /* pieces, tiles of one, tiles of a block */
    size_t points, panels;              /* 36 or 25 points; panels of Cout */
    size_t ldv, ldd;                    /* floats of a tile at one point: x, dy */
    size_t vs, ds, us;                  /* floats from one point to the next: x, dy, sums */
    float *dw;
    float *sums;    /* [pieces][points][Cin][ldd] */
    float *outside; /* a pixel of zeros */
} grad_t;

/* The block at work: tiles t0 .. t0+tiles-1 of a piece. */
typedef struct {
    const grad_t *g;
    size_t t0, tiles;
    bool first; /* of its piece: overwrites the sums */
    float *v;   /* [points][tiles][ldv] */
    float *d;   /* [points][tiles][ldd] */
    float *sums;
} block_t;

/* v and d of GROUP tiles. */
static void spread_task(void *ctx, size_t group) {
    const block_t *b = ctx;
    const grad_t *g = b->g;
    size_t x_step = g->x.step * g->x.C, dy_step = g->dy.step * g->dy.C;
    float *px[POINTS];
    for (size_t t = group * GROUP; t < min_size((group + 1) * GROUP, b->tiles); t++) {
        size_t image = (b->t0 + t) / g->tiles_image, at = (b->t0 + t) % g->tiles_image;
        tile_pixels(&g->x, image, at / g->tiles_x, at % g->tiles_x, g->outside, px);
        if (g->half)
            to_points(LINE_INPUT_PAIRS, px, g->x.C, b->v + t * g->ldv, g->vs, x_step);
        else
            to_points(LINE_INPUT, px, g->x.C, b->v + t * g->ldv, g->vs, x_step);
        tile_pixels(&g->dy, image, at / g->tiles_x, at % g->tiles_x, g->outside, px);
        if (g->half)
            to_points(LINE_GRAD_5, px, g->dy.C, b->d + t * g->ldd, g->ds, dy_step);
        else
            to_points(LINE_GRAD, px, g->dy.C, b->d + t * g->ldd, g->ds, dy_step);
    }
}

/* sums[Cin,Cout] (+)= v^T d at one point, over the tiles of a block. */
static void product_task(void *ctx, size_t point) {
    const block_t *b = ctx;
    const grad_t *g = b->g;
    const float *v = b->v + point * g->vs;
    for (size_t p = 0; p < g->panels; p += PAIR) {
        const float *d = b->d + point * g->ds + p * NR;
        float *sum = b->sums + point * g->us + p * NR;
        micro_out_t o = {.n = PAIR == 1 ? WIDE : min_size(WIDE, (g->panels - p) * NR),
                         .first = b->first};
        micro_matrix_t(g->x.C, v, g->ldv, b->tiles, d, g->ldd, NR, sum, g->ldd, NULL, o);
    }
}

/* One piece, block after block. Where each thread has a piece of its own this runs inside a
 * parallel_for, and the loops run in order. */
static void piece_task(void *ctx, size_t piece) {
    const grad_t *g = ctx;
    size_t end = min_size((piece + 1) * g->piece_tiles, g->tiles);
    block_t b = {.g = g, .t0 = piece * g->piece_tiles, .first = true};
    b.v = scratch_get(SCRATCH_CONV_TASK, g->points * (g->vs + g->ds) * sizeof(float));
    b.d = b.v + g->points * g->vs;
    b.sums = g->sums + piece * g->points * g->us;
    for (; b.t0 < end; b.t0 += g->block) {
        b.tiles = min_size(g->block, end - b.t0);
        parallel_for(ceil_div(b.tiles, GROUP), spread_task, &b);
        parallel_for(g->points, product_task, &b);
        b.first = false;
    }
}

/* One input channel: adds the sums of all pieces in order, then dw = G^T sums G. */
static void taps_task(void *ctx, size_t ci) {
    const grad_t *g = ctx;
    size_t Cin = g->x.C, Cout = g->dy.C;
    for (size_t point = 0; point < g->points; point++) {
        float *sum = g->sums + point * g->us + ci * g->ldd;
        for (size_t p = 1; p < g->pieces; p++) {
            const float *more = sum + p * g->points * g->us;
            for (size_t j = 0; j < g->ldd; j++) sum[j] += more[j];
        }
    }
    float *px[9];
    for (size_t t = 0; t < 9; t++) px[t] = g->dw + (t * Cin + ci) * Cout;
    const float *sum = g->sums + ci * g->ldd;
    if (g->half)
        from_points(LINE_TAPS_5, sum, g->us, NULL, g->add, px, Cout);
    else
        from_points(LINE_TAPS, sum, g->us, NULL, g->add, px, Cout);
}

/* Fixes pieces and blocks, and how points lie. */
static void plan_pieces(grad_t *g) {
    bool large = g->points * g->us > SUMS;
    g->pieces = large ? 1 : min_size(KERN_PIECES, g->tiles / PIECE);
    if (g->pieces == 0) g->pieces = 1;
    g->piece_tiles = ceil_div(g->tiles, g->pieces);
    g->pieces = ceil_div(g->tiles, g->piece_tiles);
    size_t fit = CACHE / (g->points * (g->ldv + g->ldd));
    if (fit > MOST || g->pieces == 1) fit = MOST;
    if (fit < LEAST) fit = LEAST;
    g->block = ceil_div(g->piece_tiles, ceil_div(g->piece_tiles, fit));
    /* An odd number of cache lines from point to point: with a power of two all points of a tile
     * would fall into one cache set. */
    g->vs = (g->block * g->ldv / 16 | 1) * 16 + 16;
    g->ds = (g->block * g->ldd / 16 | 1) * 16 + 16;
}

void winograd_backward_weight(const kern_conv_t *g, const float *x, const float *dy, float *dw,
                              bool add) {
    grad_t f = {.dw = dw, .half = g->up == 2, .add = add};
    f.x = (tiles_t){.data = (float *)x,
                    .H = g->H,
                    .W = g->W,
                    .C = g->Cin,
                    .n = f.half ? 4 : SIDE,
                    .step = TILE / g->up,
                    .top = (ptrdiff_t)g->pad_top,
                    .left = (ptrdiff_t)g->pad_left};
    f.dy = (tiles_t){
        .data = (float *)dy, .H = g->OH, .W = g->OW, .C = g->Cout, .n = TILE, .step = TILE};
    f.tiles_x = ceil_div(g->OW, TILE);
    f.tiles_image = f.tiles_x * ceil_div(g->OH, TILE);
    f.tiles = g->N * f.tiles_image;
    f.points = f.half ? 25 : 36;
    f.panels = ceil_div(g->Cout, NR);
    /* Tiles are the steps of the product here. Rows of 64 channels or more would fall into few
     * cache sets, so a cache line more lies between them. */
    f.ldv = round_up(g->Cin, 8) + (g->Cin >= 64 ? 16 : 0);
    f.ldd = f.panels * NR + (g->Cout >= 64 ? 16 : 0);
    f.us = g->Cin * f.ldd + 16;
    plan_pieces(&f);
    size_t zeros = max_size(f.ldv, f.ldd);
    f.outside =
        memset(scratch_get(SCRATCH_REDUCE, zeros * sizeof(float)), 0, zeros * sizeof(float));
    f.sums = scratch_get(SCRATCH_CONV_PARTS, f.pieces * f.points * f.us * sizeof(float));
    parallel_for(f.pieces, piece_task, &f);
    parallel_for(g->Cin, taps_task, &f);
}
