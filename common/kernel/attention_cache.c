/* attention_cache.c - attention of a few new positions over a KV cache, as acting does it step by
 * step (attention.h).
 *
 * The cache lies as the products read it, so nothing is packed at a step. Head after head:
 *
 *     keys    [capacity/16][dh][16]      panels of 16 positions, so a vector is 16 keys of one d
 *     values  [capacity][dh, padded]     rows filled up to whole vectors
 *
 * A head's share stays in the L2 cache while its rows of queries go by. A tile of rows goes through
 * strips of keys whose scores stay in the L1 cache, with a running maximum as in attention.c. A
 * task is a head of a lane, or some tiles of its rows where there are fewer of those than threads.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/lanes.h"
#include "common/kernel/slots.h"
#include "common/kernel/vmath.h"

#include <math.h>

enum {
    /* Keys of a panel, columns of a group of values. */
    NR = KERN_CACHE_PANEL,
    /* Keys of a strip. */
    STRIP = 512,
    /* Floats from one row of scores to the next: no power of two, and a constant, so that one
     * pointer serves all rows. */
    WIDTH = STRIP + NR
};
/* A tile is TALL rows x WIDE vectors of sums, all in registers; a single row takes FLAT vectors. */
enum {
    TALL = LANES == 16  ? 12
           : LANES == 8 ? 6
                        : 3,
    WIDE = LANES == 4 ? 4 : 2,
    FLAT = 4,
    PARTS = NR / LANES /* vectors of a panel's 16 */
};
/* A maximum over no keys. */
static const float NOTHING = -3e38f;

/* ---- the cache ---- */

/* dh rounded up to whole vectors of values. */
static size_t padded(size_t dh) {
    return round_up(dh, NR);
}
size_t kern_cache_width(size_t heads, size_t dh) {
    return heads * (dh + padded(dh));
}

/* Where a head's keys and values begin. */
static float *keys_of(float *cache, size_t capacity, size_t dh, size_t head) {
    return cache + head * capacity * (dh + padded(dh));
}
static float *values_of(float *cache, size_t capacity, size_t dh, size_t head) {
    return keys_of(cache, capacity, dh, head) + capacity * dh;
}

void kern_cache_move(size_t heads, size_t dh, const float *from, size_t capacity, size_t first,
                     size_t n, float *to, size_t to_capacity) {
    size_t whole = ceil_div(n, NR) * NR;
    for (size_t h = 0; h < heads; h++) {
        const float *keys = keys_of((float *)(uintptr_t)from, capacity, dh, h),
                    *values = values_of((float *)(uintptr_t)from, capacity, dh, h);
        memmove(keys_of(to, to_capacity, dh, h), keys + first * dh, whole * dh * sizeof *to);
        memmove(values_of(to, to_capacity, dh, h), values + first * padded(dh),
                n * padded(dh) * sizeof *to);
    }
}

/* Writes the new positions' keys and values of one head. */
static void append(const kern_cached_t *g, size_t head) {
    size_t dh = g->dh, dp = padded(dh), D = g->heads * dh;
    float *keys = keys_of(g->cache, g->capacity, dh, head),
          *values = values_of(g->cache, g->capacity, dh, head);
    for (size_t i = 0; i < g->T; i++) {
        size_t at = g->used + i;
        const float *k = g->qkv + i * 3 * D + D + head * dh, *v = k + D;
        float *panel = keys + at / NR * NR * dh + at % NR, *row = values + at * dp;
        for (size_t d = 0; d < dh; d++) panel[d * NR] = k[d];
        memcpy(row, v, dh * sizeof *row);
        memset(row + dh, 0, (dp - dh) * sizeof *row);
    }
}

/* ---- one tile of rows ---- */

#define ALWAYS static inline __attribute__((always_inline))

/* s[mr rows][nv vectors] = q k^T for nv/PARTS panels of keys.
 *
 *   q  [dh][TALL]: a row of queries per column, scaled
 *   k  panels [dh][NR], one after the other
 *   s  rows of WIDTH floats */
ALWAYS void scores_of(int mr, int nv, size_t dh, const float *q, const float *k, float *s) {
    lanes_t acc[TALL][FLAT];
    for (int j = 0; j < nv; j++)
        for (int i = 0; i < mr; i++) acc[i][j] = (lanes_t){0};
    for (size_t d = 0; d < dh; d++, q += TALL) {
        /* All keys first: the compiler keeps them in registers, and not every row's q. */
        lanes_t key[FLAT];
        for (int j = 0; j < nv; j++)
            key[j] =
                *(const lanes_u *)(k + ((size_t)(j / PARTS) * dh + d) * NR + j % PARTS * LANES);
        for (int i = 0; i < mr; i++)
            for (int j = 0; j < nv; j++) acc[i][j] = lanes_madd(lanes_set(q[i]), key[j], acc[i][j]);
    }
    for (int j = 0; j < nv; j++)
        for (int i = 0; i < mr; i++) *(lanes_u *)(s + i * WIDTH + j * LANES) = acc[i][j];
}

/* s[mr rows][panels*NR] = q k^T: nv/PARTS panels at a time, then one at a time. */
ALWAYS void scores(int mr, int nv, size_t dh, size_t panels, const float *q, const float *k,
                   float *s) {
    size_t p = 0, some = (size_t)(nv / PARTS);
    for (; p + some <= panels; p += some) scores_of(mr, nv, dh, q, k + p * dh * NR, s + p * NR);
    for (; p < panels; p++) scores_of(mr, PARTS, dh, q, k + p * dh * NR, s + p * NR);
}

/* o[mr rows][nv vectors] = o * fade + s v over n keys.
 *
 *   s     [mr] rows of WIDTH floats, n weights each
 *   v, o  rows of dp floats
 *   fade  [mr], or NULL: o is overwritten */
ALWAYS void values_into(int mr, int nv, size_t dp, size_t n, const float *s, const float *v,
                        const float *fade, float *o) {
    lanes_t acc[TALL][FLAT];
    for (int j = 0; j < nv; j++)
        for (int i = 0; i < mr; i++) acc[i][j] = (lanes_t){0};
    for (size_t k = 0; k < n; k++, v += dp) {
        lanes_t value[FLAT];
        for (int j = 0; j < nv; j++) value[j] = *(const lanes_u *)(v + j * LANES);
        for (int i = 0; i < mr; i++)
            for (int j = 0; j < nv; j++)
                acc[i][j] = lanes_madd(lanes_set(s[i * WIDTH + (int)k]), value[j], acc[i][j]);
    }
    for (int j = 0; j < nv; j++)
        for (int i = 0; i < mr; i++) {
            lanes_u *out = (lanes_u *)(o + (size_t)i * dp + j * LANES);
            *out = fade ? lanes_madd(*out, lanes_set(fade[i]), acc[i][j]) : acc[i][j];
        }
}

/* All dp columns: nv vectors at a time, then NR columns at a time. */
ALWAYS void values(int mr, int nv, size_t dp, size_t n, const float *s, const float *v,
                   const float *fade, float *o) {
    size_t d = 0, some = (size_t)nv * LANES;
    for (; d + some <= dp; d += some) values_into(mr, nv, dp, n, s, v + d, fade, o + d);
    for (; d < dp; d += NR) values_into(mr, PARTS, dp, n, s, v + d, fade, o + d);
}

/* How many rows a tile computes: four heights serve all. Rows beyond the last are zeros. */
static int height(size_t rows) {
    if (rows == 1) return 1;
    if (rows <= TALL / 3) return TALL / 3;
    if (rows <= TALL / 3 * 2) return TALL / 3 * 2;
    return TALL;
}

/* scores and values for a tile of that height, with its numbers known to the compiler. */

static void scores_tile(int mr, size_t dh, size_t panels, const float *q, const float *k,
                        float *s) {
    if (mr == 1)
        scores(1, FLAT, dh, panels, q, k, s);
    else if (mr == TALL / 3)
        scores(TALL / 3, WIDE, dh, panels, q, k, s);
    else if (mr == TALL / 3 * 2)
        scores(TALL / 3 * 2, WIDE, dh, panels, q, k, s);
    else
        scores(TALL, WIDE, dh, panels, q, k, s);
}

static void values_tile(int mr, size_t dp, size_t n, const float *s, const float *v,
                        const float *fade, float *o) {
    if (mr == 1)
        values(1, FLAT, dp, n, s, v, fade, o);
    else if (mr == TALL / 3)
        values(TALL / 3, WIDE, dp, n, s, v, fade, o);
    else if (mr == TALL / 3 * 2)
        values(TALL / 3 * 2, WIDE, dp, n, s, v, fade, o);
    else
        values(TALL, WIDE, dp, n, s, v, fade, o);
}

/* One row, s[n]: the scores of keys [from, to) become weights e^(s - top), the others zero. Moves
 * the running maximum *top and returns the sum of the weights. */
static float weigh(float *s, size_t n, size_t from, size_t to, float *top) {
    for (size_t j = 0; j < from; j++) s[j] = -INFINITY;
    for (size_t j = max_size(from, to); j < n; j++) s[j] = -INFINITY;
    vf high = v_set(*top), sum = {0};
    for (size_t j = 0; j < n; j += VL) high = v_max(v_load(s + j), high);
    *top = v_highest(high);
    for (size_t j = 0; j < n; j += VL) {
        vf e = v_exp_down(v_load(s + j) - *top);
        v_store(s + j, e);
        sum += e;
    }
    return v_sum(sum);
}

/* ---- tasks ---- */

typedef struct {
    const kern_cached_t *lane;
    size_t blocks; /* tasks of a head of a lane */
} cached_t;

/* The first position that new position i sees. */
static size_t first_of(const kern_cached_t *g, size_t i) {
    return i < g->early ? g->early_first : g->first;
}

/* New positions i0 .. i0+rows-1 of a head, one tile, over all keys from the panel on that holds
 * the first one that any row of the lane sees: attention.c tells the recurrence. */
static void tile_of(const kern_cached_t *g, size_t head, size_t i0, size_t rows) {
    size_t dh = g->dh, dp = padded(dh), D = g->heads * dh;
    const float *keys = keys_of(g->cache, g->capacity, dh, head),
                *vs = values_of(g->cache, g->capacity, dh, head);
    int mr = height(rows);
    float *s = scratch_get(SCRATCH_ATTENTION_TASK, (TALL * WIDTH + TALL * (dh + dp)) * sizeof *s);
    float *q = s + TALL * WIDTH, *o = q + TALL * dh, top[TALL], sum[TALL] = {0}, fade[TALL] = {0};
    memset(q, 0, TALL * dh * sizeof *q);
    for (size_t i = 0; i < rows; i++) {
        top[i] = NOTHING;
        for (size_t d = 0; d < dh; d++)
            q[d * TALL + i] = g->qkv[(i0 + i) * 3 * D + head * dh + d] * g->scale;
    }
    size_t first = min_size(g->first, g->early ? g->early_first : g->first) / NR * NR,
           end = g->used + i0 + rows;
    for (size_t j = first; j < end; j += STRIP) {
        size_t n = min_size(STRIP, end - j), panels = ceil_div(n, NR);
        scores_tile(mr, dh, panels, q, keys + j * dh, s);
        for (size_t i = 0; i < rows; i++) {
            size_t from = max_size(first_of(g, i0 + i), j) - j,
                   to = max_size(g->used + i0 + i + 1, j) - j;
            float before = top[i];
            float now = weigh(s + i * WIDTH, panels * NR, min_size(from, panels * NR),
                              min_size(to, n), &top[i]);
            fade[i] = v_exp_down(v_set(before - top[i]))[0];
            sum[i] = sum[i] * fade[i] + now;
        }
        values_tile(mr, dp, n, s, vs + j * dp, j > first ? fade : NULL, o);
    }
    for (size_t i = 0; i < rows; i++) {
        float *out = g->out + (i0 - g->skip + i) * D + head * dh,
              over = sum[i] == 0 ? 0 : 1 / sum[i];
        for (size_t d = 0; d < dh; d++) out[d] = o[i * dp + d] * over;
    }
}

/* Some tiles of a head of a lane; a head in one piece first writes its own new keys and values.
 * Blocks are whole tiles, so that a row's bits are the same however the rows are cut. */
static void block_task(void *ctx, size_t task) {
    const cached_t *c = ctx;
    size_t heads = c->lane->heads, head = task / c->blocks % heads;
    const kern_cached_t *g = &c->lane[task / c->blocks / heads];
    size_t rows = ceil_div(ceil_div(g->T - g->skip, TALL), c->blocks) * TALL,
           i0 = g->skip + task % c->blocks * rows, i1 = min_size(i0 + rows, g->T);
    if (c->blocks == 1) append(g, head);
    for (size_t i = i0; i < i1; i += TALL) tile_of(g, head, i, min_size(TALL, i1 - i));
}

static void append_task(void *ctx, size_t task) {
    const cached_t *c = ctx;
    append(&c->lane[task / c->lane->heads], task % c->lane->heads);
}

void kern_attention_cached(const kern_cached_t *lane, size_t n) {
    if (!n) return;
    cached_t c = {.lane = lane, .blocks = 1};
    size_t heads = n * lane->heads, threads = (size_t)pool_threads(), tiles = 1;
    for (size_t i = 0; i < n; i++)
        tiles = max_size(tiles, ceil_div(lane[i].T - lane[i].skip, TALL));
    if (heads % threads) c.blocks = min_size(tiles, ceil_div(2 * threads, heads));
    if (c.blocks > 1) parallel_for(heads, append_task, &c);
    parallel_for(heads * c.blocks, block_task, &c);
}
