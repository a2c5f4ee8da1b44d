/* test_attention_cache.c - attention over the KV cache against loops in double, step by step as
 * acting calls it. */
#include "tests/test.h"

#include "common/base/die.h"
#include "common/base/pool.h"
#include "common/base/rng.h"
#include "common/kernel/kernel.h"
#include "common/tape/ops.h"
#include "common/tape/plan.h"

enum { MOST = 1300, CAPACITY = 1312 };

/* Queries, keys and values of MOST positions, and a cache. */
typedef struct {
    size_t heads, dh;
    float *qkv, *cache, *out;
} case_t;

static case_t begin(size_t heads, size_t dh) {
    case_t c = {.heads = heads, .dh = dh};
    size_t n = MOST * 3 * heads * dh, room = CAPACITY * kern_cache_width(heads, dh);
    c.qkv = xmalloc(n * sizeof(float));
    c.cache = xaligned(room * sizeof(float));
    c.out = xmalloc(n * sizeof(float));
    rng_t r = rng_make(3, "qkv");
    for (size_t i = 0; i < n; i++) c.qkv[i] = rng_normal(r, i);
    memset(c.cache, 0xff, room * sizeof(float)); /* NaN: what was not written must not matter */
    return c;
}

static void end(case_t *c) {
    free(c->qkv), free(c->cache), free(c->out);
}

static kern_cached_t call(const case_t *c, size_t used, size_t T) {
    return (kern_cached_t){.T = T,
                           .heads = c->heads,
                           .dh = c->dh,
                           .capacity = CAPACITY,
                           .used = used,
                           .scale = 1 / sqrtf((float)c->dh),
                           .qkv = c->qkv + used * 3 * c->heads * c->dh,
                           .cache = c->cache,
                           .out = c->out};
}

/* Largest difference of a row of the output from softmax(scale q k) v over keys [first, row]. */
static double error(const case_t *c, size_t row, size_t first, float scale, const float *out) {
    size_t D = c->heads * c->dh;
    double worst = 0, *p = xmalloc((row + 1) * sizeof *p);
    for (size_t h = 0; h < c->heads; h++) {
        const float *q = c->qkv + row * 3 * D + h * c->dh;
        double top = -INFINITY, sum = 0;
        for (size_t j = first; j <= row; j++) {
            p[j] = 0;
            for (size_t d = 0; d < c->dh; d++)
                p[j] += (double)q[d] * (double)c->qkv[j * 3 * D + D + h * c->dh + d];
            top = fmax(top, p[j] *= (double)scale);
        }
        for (size_t j = first; j <= row; j++) sum += p[j] = exp(p[j] - top);
        for (size_t d = 0; d < c->dh; d++) {
            double o = 0;
            for (size_t j = first; j <= row; j++)
                o += p[j] / sum * (double)c->qkv[j * 3 * D + 2 * D + h * c->dh + d];
            worst = fmax(worst, fabs(o - (double)out[h * c->dh + d]));
        }
    }
    free(p);
    return worst;
}

static void check(const case_t *c, const kern_cached_t *g) {
    size_t D = c->heads * c->dh;
    for (size_t i = g->skip; i < g->T; i++) {
        size_t first = i < g->early ? g->early_first : g->first;
        double e = error(c, g->used + i, first, g->scale, c->out + (i - g->skip) * D);
        CHECK(e < 3e-6, "%zu heads of %zu, used %zu, row %zu of %zu: %g", c->heads, c->dh, g->used,
              i, g->T, e);
    }
}

static const size_t widths[][2] = {{4, 64}, {1, 8}, {3, 20}, {2, 48}, {1, 130}};

TEST(chunks_of_all_sizes) {
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        case_t c = begin(widths[w][0], widths[w][1]);
        size_t used = 0;
        static const size_t T[] = {1, 2, 3, 13, 66, 1, 25, 700, 67, 5, 4, 1};
        for (size_t i = 0; i < sizeof T / sizeof *T; used += T[i++]) {
            kern_cached_t g = call(&c, used, T[i]);
            kern_attention_cached(&g, 1);
            check(&c, &g);
        }
        end(&c);
    }
}

/* Rows of two timesteps, whose views begin at different positions; only the last rows asked for. */
TEST(views_that_begin_later) {
    case_t c = begin(2, 32);
    kern_cached_t g = call(&c, 0, 1100);
    kern_attention_cached(&g, 1);
    for (size_t used = 1100, i = 0; i < 4; used += 40, i++) {
        g = call(&c, used, 40);
        g.early = i == 3 ? 0 : i + 1;
        g.early_first = 70 * i + 5;
        g.first = 900 * (i % 2) + 70 * i + 77;
        g.skip = i == 2 ? 39 : i;
        kern_attention_cached(&g, 1);
        check(&c, &g);
    }
    end(&c);
}

/* Acting's own way: the rows before `first` leave the cache, the others move to its front. */
TEST(a_cache_that_moved) {
    case_t c = begin(3, 24);
    enum { OTHER = 496, USED = 470, FIRST = 144 };
    kern_cached_t g = call(&c, 0, USED);
    kern_attention_cached(&g, 1);
    float *smaller = xaligned(OTHER * kern_cache_width(c.heads, c.dh) * sizeof(float)),
          *want = xmalloc(66 * 72 * 4);
    kern_cache_move(c.heads, c.dh, c.cache, CAPACITY, FIRST, USED - FIRST, smaller, OTHER);
    g = call(&c, USED, 66);
    g.first = FIRST + 9;
    kern_attention_cached(&g, 1);
    check(&c, &g);
    memcpy(want, c.out, 66 * 72 * sizeof *want);
    kern_cache_move(c.heads, c.dh, c.cache, CAPACITY, FIRST, USED - FIRST, c.cache, CAPACITY);
    for (int i = 0; i < 2; i++) {
        g.used = USED - FIRST;
        g.first = 9;
        if (i) g.cache = smaller, g.capacity = OTHER;
        memset(c.out, 0, 66 * 72 * sizeof *want);
        kern_attention_cached(&g, 1);
        CHECK(!memcmp(want, c.out, 66 * 72 * sizeof *want), "%s",
              i ? "another cache" : "the same cache");
    }
    free(smaller), free(want);
    end(&c);
}

TEST(the_same_bytes_for_any_number_of_threads) {
    float *want = NULL;
    size_t bytes = 0;
    for (int threads = 1; threads < 8; threads++) {
        case_t c = begin(3, 40);
        pool_set_threads(threads);
        kern_cached_t g = call(&c, 0, 600);
        kern_attention_cached(&g, 1);
        g = call(&c, 600, 67);
        g.first = 100, g.early = 2, g.early_first = 35;
        kern_attention_cached(&g, 1);
        bytes = 67 * 120 * sizeof *want;
        if (!want) want = memcpy(xmalloc(bytes), c.out, bytes);
        CHECK(!memcmp(want, c.out, bytes), "%d threads", threads);
        end(&c);
    }
    free(want);
    pool_set_threads(2);
}

/* A score that is no number is not hidden by the maximum. */
TEST(no_number_stays_none) {
    case_t c = begin(1, 16);
    kern_cached_t g = call(&c, 0, 30);
    c.qkv[20 * 48 + 16 + 3] = NAN; /* key 20 */
    kern_attention_cached(&g, 1);
    CHECK(isfinite(c.out[19 * 16]) && isnan(c.out[20 * 16]) && isnan(c.out[29 * 16 + 15]), "%g %g",
          (double)c.out[19 * 16], (double)c.out[20 * 16]);
    end(&c);
}

/* Lanes of all lengths, places and caches in one call: each has the bits that it has alone, for any
 * number of threads. */
TEST(lanes_stand_alone) {
    enum { LANES = 5 };
    static const size_t used[LANES] = {0, 40, 333, 64, 7}, T[LANES] = {70, 1, 25, 1, 130},
                        early[LANES] = {0, 1, 3, 0, 0}, skip[LANES] = {0, 0, 24, 0, 129};
    for (int threads = 1; threads <= 5; threads++)
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
            case_t lane[LANES];
            kern_cached_t g[LANES];
            float *want[LANES];
            size_t D = widths[w][0] * widths[w][1], bytes[LANES];
            pool_set_threads(threads);
            for (size_t i = 0; i < LANES; i++) {
                lane[i] = begin(widths[w][0], widths[w][1]);
                for (size_t j = 0; j < MOST * 3 * D; j++) lane[i].qkv[j] += 0.1f * (float)i;
                g[i] = call(&lane[i], 0, used[i]);
                if (used[i]) kern_attention_cached(&g[i], 1);
                g[i] = call(&lane[i], used[i], T[i]);
                g[i].first = used[i] / 2;
                g[i].early = early[i], g[i].early_first = used[i] / 3, g[i].skip = skip[i];
                kern_attention_cached(&g[i], 1);
                bytes[i] = (T[i] - skip[i]) * D * sizeof(float);
                want[i] = memcpy(xmalloc(bytes[i]), lane[i].out, bytes[i]);
                memset(lane[i].out, 0, bytes[i]);
            }
            kern_attention_cached(g, LANES);
            for (size_t i = 0; i < LANES; i++) {
                check(&lane[i], &g[i]);
                CHECK(!memcmp(want[i], lane[i].out, bytes[i]), "lane %zu, %d threads", i, threads);
                free(want[i]);
                end(&lane[i]);
            }
        }
    pool_set_threads(2);
}

/* The op cuts qkv by the lanes, writes to the caches of its layer, and may give the last position
 * of each lane alone. */
TEST(the_op_over_lanes) {
    enum { LANES = 3, LAYERS = 2, HEADS = 2, DH = 20, D = HEADS * DH, ROWS = 9 };
    static const size_t used[LANES] = {30, 0, 200}, T[LANES] = {4, 3, 2};
    for (int last = 0; last < 2; last++) {
        case_t c[LANES];
        float *cache[LANES][LAYERS];
        attention_lane_t lane[LANES];
        tape_t *t = tape_new(NULL);
        var_t qkv = tape_input(t, "qkv", F32_3(1, ROWS, 3 * D)),
              out = op_attention_cached(t, qkv, op_attention_lanes(t, lane, LANES), HEADS, 1, last);
        plan_t *p = plan_new(t, &(plan_opts_t){.keep = &out, .n_keep = 1});
        float *to = plan_data(p, qkv);
        for (size_t i = 0; i < LANES; i++) {
            c[i] = begin(HEADS, DH);
            for (size_t j = 0; j < MOST * 3 * D; j++) c[i].qkv[j] += 0.1f * (float)i;
            cache[i][0] = NULL;
            cache[i][1] = c[i].cache;
            kern_cached_t g = call(&c[i], 0, used[i]);
            if (used[i]) kern_attention_cached(&g, 1);
            lane[i] = (attention_lane_t){.T = T[i],
                                         .used = used[i],
                                         .first = used[i] / 3,
                                         .early = i == 0,
                                         .early_first = 2,
                                         .capacity = CAPACITY,
                                         .cache = cache[i]};
            memcpy(to, c[i].qkv + used[i] * 3 * D, T[i] * 3 * D * sizeof *to);
            to += T[i] * 3 * D;
        }
        plan_forward(p);
        const float *got = plan_data(p, out);
        for (size_t i = 0; i < LANES; i++)
            for (size_t row = last ? T[i] - 1 : 0; row < T[i]; row++, got += D) {
                size_t first = i == 0 && row < 1 ? 2 : used[i] / 3;
                double e = error(&c[i], used[i] + row, first, 1 / sqrtf(DH), got);
                CHECK(e < 3e-6, "lane %zu, row %zu: %g", i, row, e);
            }
        plan_free(p);
        tape_free(t);
        for (size_t i = 0; i < LANES; i++) end(&c[i]);
    }
}
