/* winograd.c - see winograd.h: forward and input gradient. The weight gradient is
 * winograd_weight.c.
 *
 * Both are one machine: source pixels to points, at each point a product with the transformed
 * weights, points to pixels of the result. The input gradient is the forward with the weights
 * turned by 180 degrees and transposed.
 *
 * Tiles go in blocks, over images: a row of a product does not feel its neighbours (micro.h). A
 * block's points stay in the L2 cache and each block is one thread's; where the channels are so
 * many that few tiles would fit, all threads share a larger block instead, so that the weights are
 * read seldom.
 */
#include "common/kernel/winograd.h"

#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/micro.h"
#include "common/kernel/slots.h"
#include "common/kernel/winograd_tile.h"

enum {
    CACHE = (LANES == 16 ? 160 : 96) *
            1024, /* floats of a block's points; with AVX-512 come larger caches */
    LEAST = 24,   /* tiles of a block: fewer do not pay for reading the weights */
    MOST = 96,
    KPACK = 64,  /* channels of a task that packs weights */
    CHANNELS = 3 /* a picture's; nobody measured fewer */
};

bool winograd_pays(const kern_conv_t *g) {
    if (g->plain || g->kh != 3 || g->kw != 3 || g->stride != 1 || g->Cin < CHANNELS ||
        g->Cout < CHANNELS)
        return false;
    if (g->pad_top > 2 || g->pad_left > 2 || g->up < 1 || g->up > 2) return false;
    if (g->up == 2 && (g->pad_top != 1 || g->pad_left != 1))
        return false; /* LINE_INPUT_PAIRS' pairs */
    /* A single tile would be right too, but at batch 1 turning many channels of weights takes
     * longer than the image. */
    size_t tiles = ceil_div(g->OH, TILE) * ceil_div(g->OW, TILE);
    return tiles > 1 && 6 * tiles <= g->OH * g->OW;
}

typedef struct {
    tiles_t src, dst;
    size_t tiles_x, tiles_image, tiles, block;
    size_t points, panels;
    size_t ldv, ldm, vs, ms,
        us; /* floats of a tile's row of points and of a whole point: source, result, weights */
    bool transposed, half, add; /* input gradient; of an enlarged image; add to the result */
    const float *w, *bias;
    float *packed, *outside;
} winograd_t;

/* The block at work. */
typedef struct {
    const winograd_t *g;
    size_t t0, tiles;
    float *v, *m;
} block_t;

/* Weights to points: panels [points][panels][K][NR]. The taps are packed as the plain convolution
 * would have them. */
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
    float *u = g->packed + (panel * K + k0) * NR;
    if (g->half)
        to_points(LINE_FILTER_5, px, kc * NR, u, g->us, 0);
    else
        to_points(LINE_FILTER, px, kc * NR, u, g->us, 0);
}

static void tile_at(const winograd_t *g, const tiles_t *side, size_t tile, float **px) {
    size_t image = tile / g->tiles_image, at = tile % g->tiles_image;
    tile_pixels(side, image, at / g->tiles_x, at % g->tiles_x, g->outside, px);
}

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

/* Channels are summed in slices: errors grow with the length of a running sum. */
static void product_task(void *ctx, size_t point) {
    const block_t *b = ctx;
    const winograd_t *g = b->g;
    size_t K = g->src.C, slice = g->half ? 32 : 64;
    for (size_t k = 0; k < K; k += slice)
        for (size_t p = 0; p < g->panels; p += PAIR) {
            const float *u = g->packed + point * g->us + (p * K + k) * NR;
            const float *v = b->v + point * g->vs + k;
            float *m = b->m + point * g->ms + p * NR;
            micro_out_t o = {.n = PAIR == 1 ? WIDE : min_size(WIDE, g->ldm - p * NR),
                             .first = k == 0};
            micro_matrix(b->tiles, v, g->ldv, min_size(slice, K - k), u, K * NR, m, g->ldm, o);
        }
}

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

/* Inside another parallel_for (a block a thread) these run in order. */
static void block_task(void *ctx, size_t block) {
    const winograd_t *g = ctx;
    block_t b = {.g = g, .t0 = block * g->block};
    b.tiles = min_size(g->block, g->tiles - b.t0);
    b.v = scratch_get(SCRATCH_CONV_TASK, g->points * (g->vs + g->ms) * sizeof(float));
    b.m = b.v + g->points * g->vs;
    size_t groups = ceil_div(b.tiles, MR);
    parallel_for(groups, spread_task, &b);
    parallel_for(g->points, product_task, &b);
    parallel_for(groups, gather_task, &b);
}

/* Sizes of the blocks; true if threads share one. */
static bool plan_blocks(winograd_t *g) {
    size_t fit = CACHE / (g->points * (g->ldv + g->ldm)) / MR * MR;
    bool shared = fit < LEAST;
    if (shared || fit > MOST) fit = MOST;
    g->block = ceil_div(ceil_div(g->tiles, ceil_div(g->tiles, fit)), MR) * MR; /* equal blocks */
    /* An odd number of cache lines between points: a power of two would put all of them in one
     * cache set. */
    g->vs = (g->block * g->ldv / 16 | 1) * 16 + 16;
    g->ms = (g->block * g->ldm / 16 | 1) * 16 + 16;
    return shared;
}

static void run(winograd_t *g, size_t tiles_y, size_t tiles_x, size_t images) {
    g->points = g->half ? 25 : 36;
    g->tiles_x = tiles_x, g->tiles_image = tiles_y * tiles_x, g->tiles = images * g->tiles_image;
    g->panels = ceil_div(g->dst.C, NR);
    g->ldv = ceil_div(g->src.C, 8) * 8, g->ldm = g->panels * NR;
    g->us = g->panels * g->src.C * NR + 16;
    if (!g->tiles) return;
    bool shared = plan_blocks(g);
    g->outside =
        memset(scratch_get(SCRATCH_REDUCE, g->ldv * sizeof(float)), 0, g->ldv * sizeof(float));
    g->packed = scratch_get(SCRATCH_CONV_PACK, g->points * g->us * sizeof(float));
    parallel_for(g->panels * ceil_div(g->src.C, KPACK), filter_task, g);
    size_t blocks = ceil_div(g->tiles, g->block);
    if (shared)
        for (size_t i = 0; i < blocks; i++) block_task(g, i);
    else
        parallel_for(blocks, block_task, g);
}

void winograd_forward(const kern_conv_t *g, const float *x, const float *w, const float *bias,
                      float *y) {
    winograd_t f = {.w = w, .bias = bias, .half = g->up == 2};
    f.src = (tiles_t){.data = (float *)x, .H = g->H, .W = g->W, .C = g->Cin};
    f.src.n = f.half ? 4 : SIDE, f.src.step = TILE / g->up;
    f.src.top = (ptrdiff_t)g->pad_top, f.src.left = (ptrdiff_t)g->pad_left;
    f.dst = (tiles_t){.data = y, .H = g->OH, .W = g->OW, .C = g->Cout, .n = TILE, .step = TILE};
    run(&f, ceil_div(g->OH, TILE), ceil_div(g->OW, TILE), g->N);
}

void winograd_backward_input(const kern_conv_t *g, const float *dy, const float *w, float *dx,
                             bool add) {
    winograd_t f = {.w = w, .transposed = true, .half = g->up == 2, .add = add};
    f.src = (tiles_t){
        .data = (float *)dy, .H = g->OH, .W = g->OW, .C = g->Cout, .n = SIDE, .step = TILE};
    f.src.top = 2 - (ptrdiff_t)g->pad_top, f.src.left = 2 - (ptrdiff_t)g->pad_left;
    f.dst = (tiles_t){.data = dx, .H = g->H, .W = g->W, .C = g->Cin};
    f.dst.n = f.dst.step = TILE / g->up;
    run(&f, ceil_div(g->H * g->up, TILE), ceil_div(g->W * g->up, TILE), g->N);
}
