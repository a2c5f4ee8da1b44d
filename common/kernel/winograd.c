/* winograd.c - forward and input gradient of winograd.h.
 *
 * Both are one machine, in three steps per block of tiles:
 *
 *     spread   source pixels to points       v[point][tile, K]  = B^T x B
 *     product  at each point                 m[point][tile, N]  = v[point] u[point][K, N]
 *     gather   points to result pixels       y                  = A^T m A (+ bias)
 *
 * with u = G w G^T, made once per network where that is frozen, else once per call. K and N are
 * Cin and Cout for the forward. The input gradient is the forward with the weights turned by 180
 * degrees and transposed, so there K = Cout and N = Cin.
 *
 * Blocks run over the images of the batch: a row of a product does not feel its neighbours
 * (micro.h), so how tiles are cut into blocks changes no bit. A block's points stay in the L2
 * cache, and each block is one thread's. Where the channels are so many that few tiles would fit,
 * all threads share a larger block instead, so that the weights are read seldom. They share it too
 * where there are fewer blocks than threads: a single small image.
 */
#include "common/kernel/winograd.h"

#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/micro.h"
#include "common/kernel/slots.h"
#include "common/kernel/winograd_tile.h"

enum {
    /* Floats of a block's points. With AVX-512 come larger caches. */
    CACHE = (LANES == 16 ? 160 : 96) * 1024,
    /* Tiles of a block: fewer do not pay for reading the weights. */
    LEAST = 24,
    MOST = 96,
    /* Input channels of a task that packs weights. */
    KPACK = 64,
    /* Input channels of a partial sum: errors grow with the length of a running sum. */
    SLICE = 64,
    SLICE_HALF = 32,
    /* Channels of an RGB image: nobody measured fewer. */
    CHANNELS = 3
};

bool winograd_pays(const kern_conv_t *g) {
    if (g->plain || g->kh != 3 || g->kw != 3 || g->stride != 1 || g->Cin < CHANNELS ||
        g->Cout < CHANNELS)
        return false;
    if (g->pad_top > 2 || g->pad_left > 2 || g->up < 1 || g->up > 2) return false;
    /* LINE_INPUT_PAIRS reads p q q r r s: the pairs lie so with a padding of 1 only. */
    if (g->up == 2 && (g->pad_top != 1 || g->pad_left != 1)) return false;
    /* A single tile would be right too. But at batch 1 transforming many channels of weights takes
     * longer than the image. And of a tile's 16 outputs at least 6 must lie inside the image. */
    size_t tiles = ceil_div(g->OH, TILE) * ceil_div(g->OW, TILE);
    return tiles > 1 && 6 * tiles <= g->OH * g->OW;
}

typedef struct {
    tiles_t src, dst;
    size_t tiles_x, tiles_image, tiles; /* in a row, an image, the batch */
    size_t block;                       /* tiles of a block */
    size_t points, panels;              /* 36 or 25 points; panels of the result's channels */
    size_t ldv, ldm;                    /* floats of a tile at one point: source, result */
    size_t vs, ms, us; /* floats from one point to the next: source, result, weights */
    bool transposed;   /* input gradient */
    bool half;         /* of an enlarged image: 25 points */
    bool add;
    const float *w, *bias;
    const float *u; /* [points][panels][K][NR] */
    float *made;    /* the same while it is made */
    float *outside; /* a pixel of zeros */
} winograd_t;

/* The block at work: tiles t0 .. t0+tiles-1. */
typedef struct {
    const winograd_t *g;
    size_t t0, tiles;
    float *v; /* [points][tiles][ldv] */
    float *m; /* [points][tiles][ldm] */
} block_t;

/* u = G w G^T for KPACK channels of one panel. Each of the 9 taps is packed as the plain
 * convolution would have it, [kc][NR], and the transform runs over those floats as over channels of
 * a pixel. */
static void filter_task(void *ctx, size_t task) {
    const winograd_t *g = ctx;
    size_t K = g->src.C, N = g->dst.C, slices = ceil_div(K, KPACK), panel = task / slices,
           k0 = task % slices * KPACK, kc = min_size(KPACK, K - k0);
    float *tap = scratch_get(SCRATCH_CONV_TASK, 9 * KPACK * NR * sizeof *tap), *px[9];
    for (size_t t = 0; t < 9; t++) {
        px[t] = tap + t * KPACK * NR;
        if (g->transposed)
            micro_pack(true, g->w + (8 - t) * K * N, K, N, k0, kc, panel * NR, px[t]);
        else
            micro_pack(false, g->w + t * K * N, N, N, k0, kc, panel * NR, px[t]);
    }
    float *u = g->made + (panel * K + k0) * NR;
    if (g->half)
        to_points(LINE_FILTER_5, px, kc * NR, u, g->us, 0);
    else
        to_points(LINE_FILTER, px, kc * NR, u, g->us, 0);
}

/* Where the source pixels of a tile lie. */
static void tile_at(const winograd_t *g, const tiles_t *side, size_t tile, float **px) {
    size_t image = tile / g->tiles_image, at = tile % g->tiles_image;
    tile_pixels(side, image, at / g->tiles_x, at % g->tiles_x, g->outside, px);
}

/* Spread: v of MR tiles. */
static void spread_task(void *ctx, size_t group) {
    const block_t *b = ctx;
    const winograd_t *g = b->g;
    size_t step = g->src.step * g->src.C;
    for (size_t t = group * MR; t < min_size((group + 1) * MR, b->tiles); t++) {
        float *px[POINTS], *v = b->v + t * g->ldv;
        tile_at(g, &g->src, b->t0 + t, px);
        if (!g->half)
            to_points(LINE_INPUT, px, g->src.C, v, g->vs, step);
        else if (g->transposed)
            to_points(LINE_INPUT_5, px, g->src.C, v, g->vs, step);
        else
            to_points(LINE_INPUT_PAIRS, px, g->src.C, v, g->vs, step);
    }
}

/* Product: m[tiles,N] = v[tiles,K] u[K,N] at one point. */
static void product_task(void *ctx, size_t point) {
    const block_t *b = ctx;
    const winograd_t *g = b->g;
    size_t K = g->src.C, slice = g->half ? SLICE_HALF : SLICE;
    for (size_t k = 0; k < K; k += slice)
        for (size_t p = 0; p < g->panels; p += PAIR) {
            const float *u = g->u + point * g->us + (p * K + k) * NR;
            const float *v = b->v + point * g->vs + k;
            float *m = b->m + point * g->ms + p * NR;
            micro_out_t o = {.n = PAIR == 1 ? WIDE : min_size(WIDE, g->ldm - p * NR),
                             .first = k == 0};
            micro_matrix(b->tiles, v, g->ldv, min_size(slice, K - k), u, K * NR, m, g->ldm, o);
        }
}

/* Two products like micro_matrix's of half a tile's columns, side by side: one vector of sums per
 * row is too few to hide how long a multiply-add takes.
 *
 *   A, A + a_step  the left sides, and likewise b, b + b_step and C, C + c_step
 *   n              columns of each, a whole vector
 *   first          as in micro_out_t */
MICRO void product_two(size_t M, const float *A, size_t a_step, size_t lda, size_t kc,
                       const float *b, size_t b_step, float *C, size_t c_step, size_t ldc,
                       bool first) {
    size_t r = 0;
    for (; r + MR <= M; r += MR) {
        const float *r0 = A + r * lda, *r1 = r0 + lda, *r2 = r1 + lda, *r3 = r2 + lda,
                    *r4 = r3 + lda, *r5 = r4 + lda, *r6 = r5 + lda, *r7 = r6 + lda;
        lanes_t acc[MR][VECTORS];
        micro_clear(MR, 2, acc);
        for (size_t k = 0; k < kc; k++) {
            lanes_t left = *(const lanes_u *)(b + k * NR),
                    right = *(const lanes_u *)(b + b_step + k * NR);
#define MICRO_ROW(i, r)                                                                            \
    if (MR > i) {                                                                                  \
        acc[i % MR][0] = lanes_madd(lanes_set(r[k]), left, acc[i % MR][0]);                        \
        acc[i % MR][1] = lanes_madd(lanes_set(r[k + a_step]), right, acc[i % MR][1]);              \
    }
            MICRO_ROW(0, r0)
            MICRO_ROW(1, r1)
            MICRO_ROW(2, r2)
            MICRO_ROW(3, r3)
            MICRO_ROW(4, r4)
            MICRO_ROW(5, r5)
            MICRO_ROW(6, r6)
            MICRO_ROW(7, r7)
#undef MICRO_ROW
        }
        for (size_t i = 0; i < MR; i++)
            for (size_t j = 0; j < 2; j++) {
                lanes_u *at = (lanes_u *)(C + (r + i) * ldc + j * c_step);
                *at = first ? acc[i][j] : acc[i][j] + *at;
            }
    }
    for (size_t j = 0; j < 2 && r < M; j++)
        micro_matrix(M - r, A + r * lda + j * a_step, lda, kc, b + j * b_step, 0,
                     C + r * ldc + j * c_step, ldc, (micro_out_t){.n = LANES, .first = first});
}

/* The same at two points, where a result has a single vector of channels. */
static void two_points_task(void *ctx, size_t pair) {
    const block_t *b = ctx;
    const winograd_t *g = b->g;
    size_t K = g->src.C, slice = g->half ? SLICE_HALF : SLICE, point = 2 * pair;
    if (point + 1 == g->points) {
        product_task(ctx, point);
        return;
    }
    for (size_t k = 0; k < K; k += slice)
        product_two(b->tiles, b->v + point * g->vs + k, g->vs, g->ldv, min_size(slice, K - k),
                    g->u + point * g->us + k * NR, g->us, b->m + point * g->ms, g->ms, g->ldm,
                    k == 0);
}

/* Gather: the result pixels of MR tiles. Pixels beyond the image go nowhere. */
static void gather_task(void *ctx, size_t group) {
    const block_t *b = ctx;
    const winograd_t *g = b->g;
    float *nowhere = scratch_get(SCRATCH_CONV_POINTERS, g->dst.C * sizeof *nowhere), *px[POINTS];
    for (size_t t = group * MR; t < min_size((group + 1) * MR, b->tiles); t++) {
        size_t tile = b->t0 + t, at = tile % g->tiles_image;
        tile_pixels(&g->dst, tile / g->tiles_image, at / g->tiles_x, at % g->tiles_x, nowhere, px);
        const float *m = b->m + t * g->ldm;
        if (!g->half)
            from_points(LINE_OUTPUT, m, g->ms, g->bias, g->add, px, g->dst.C);
        else if (g->transposed)
            from_points(LINE_OUTPUT_PAIRS, m, g->ms, NULL, g->add, px, g->dst.C);
        else
            from_points(LINE_OUTPUT_5, m, g->ms, g->bias, false, px, g->dst.C);
    }
}

/* The three steps. Where each thread has a block of its own this runs inside a parallel_for, and
 * the loops run in order. */
static void block_task(void *ctx, size_t block) {
    const winograd_t *g = ctx;
    block_t b = {.g = g, .t0 = block * g->block};
    b.tiles = min_size(g->block, g->tiles - b.t0);
    b.v = scratch_get(SCRATCH_CONV_TASK, g->points * (g->vs + g->ms) * sizeof(float));
    b.m = b.v + g->points * g->vs;
    size_t groups = ceil_div(b.tiles, MR);
    parallel_for(groups, spread_task, &b);
    if (g->ldm == LANES)
        parallel_for(ceil_div(g->points, 2), two_points_task, &b);
    else
        parallel_for(g->points, product_task, &b);
    parallel_for(groups, gather_task, &b);
}

/* The size of a block, and how its points lie. True if the threads are to share one block. */
static bool plan_blocks(winograd_t *g) {
    size_t threads = (size_t)pool_threads(),
           fit = CACHE / (g->points * (g->ldv + g->ldm)) / MR * MR;
    bool shared = fit < LEAST;
    if (shared || fit > MOST) fit = MOST;
    size_t blocks = ceil_div(g->tiles, fit), even = round_up(blocks, threads);
    if (!shared && g->tiles >= even * LEAST) blocks = even; /* all threads end together */
    if (blocks < threads) shared = true;
    g->block = ceil_div(ceil_div(g->tiles, blocks), MR) * MR; /* equal blocks */
    /* An odd number of cache lines from point to point: with a power of two all points of a tile
     * would fall into one cache set. */
    g->vs = (g->block * g->ldv / 16 | 1) * 16 + 16;
    g->ms = (g->block * g->ldm / 16 | 1) * 16 + 16;
    return shared;
}

/* What follows from the two sides' channels. */
static void plan_points(winograd_t *g) {
    g->points = g->half ? 25 : 36;
    g->panels = ceil_div(g->dst.C, NR);
    g->ldv = round_up(g->src.C, 8);
    g->ldm = g->panels * NR;
    g->us = g->panels * g->src.C * NR + 16;
}

/* Makes u. */
static void filter(winograd_t *g, float *u) {
    g->made = u;
    parallel_for(g->panels * ceil_div(g->src.C, KPACK), filter_task, g);
}

/* All tiles: plan and run the blocks. */
static void run(winograd_t *g, size_t tiles_y, size_t tiles_x, size_t images) {
    g->tiles_x = tiles_x;
    g->tiles_image = tiles_y * tiles_x;
    g->tiles = images * g->tiles_image;
    if (!g->tiles) return;
    bool shared = plan_blocks(g);
    g->outside =
        memset(scratch_get(SCRATCH_REDUCE, g->ldv * sizeof(float)), 0, g->ldv * sizeof(float));
    size_t blocks = ceil_div(g->tiles, g->block);
    if (shared) {
        for (size_t i = 0; i < blocks; i++) block_task(g, i);
    } else {
        parallel_for(blocks, block_task, g);
    }
}

/* The forward but for its pixels. */
static winograd_t forward_of(const kern_conv_t *g) {
    winograd_t f = {.half = g->up == 2};
    f.src = (tiles_t){.H = g->H,
                      .W = g->W,
                      .C = g->Cin,
                      .n = f.half ? 4 : SIDE,
                      .step = TILE / g->up,
                      .top = (ptrdiff_t)g->pad_top,
                      .left = (ptrdiff_t)g->pad_left};
    f.dst = (tiles_t){.H = g->OH, .W = g->OW, .C = g->Cout, .n = TILE, .step = TILE};
    plan_points(&f);
    return f;
}

size_t winograd_floats(const kern_conv_t *g) {
    winograd_t f = forward_of(g);
    return f.points * f.us;
}

void winograd_filter(const kern_conv_t *g, const float *w, float *u) {
    winograd_t f = forward_of(g);
    f.w = w;
    filter(&f, u);
}

void winograd_forward(const kern_conv_t *g, const float *x, const float *u, const float *bias,
                      float *y) {
    winograd_t f = forward_of(g);
    f.src.data = (float *)x; /* read only */
    f.dst.data = y;
    f.u = u;
    f.bias = bias;
    run(&f, ceil_div(g->OH, TILE), ceil_div(g->OW, TILE), g->N);
}

void winograd_backward_input(const kern_conv_t *g, const float *dy, const float *w, float *dx,
                             bool add) {
    winograd_t f = {.w = w, .transposed = true, .half = g->up == 2, .add = add};
    f.src = (tiles_t){.data = (float *)dy,
                      .H = g->OH,
                      .W = g->OW,
                      .C = g->Cout,
                      .n = SIDE,
                      .step = TILE,
                      .top = 2 - (ptrdiff_t)g->pad_top,
                      .left = 2 - (ptrdiff_t)g->pad_left};
    f.dst = (tiles_t){
        .data = dx, .H = g->H, .W = g->W, .C = g->Cin, .n = TILE / g->up, .step = TILE / g->up};
    plan_points(&f);
    float *u = scratch_get(SCRATCH_CONV_PACK, f.points * f.us * sizeof *u);
    filter(&f, u);
    f.u = u;
    run(&f, ceil_div(g->H * g->up, TILE), ceil_div(g->W * g->up, TILE), g->N);
}
