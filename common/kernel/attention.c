/* attention.c - softmax attention without the T x T matrix (attention.h), after Dao et al. 2022
 * (FlashAttention).
 *
 * Forward, one task per (batch item, head, block of query rows). A strip of scores, ROWS x KEYS at
 * most, lives in the thread's scratch. For each strip of keys j .. j+n-1:
 *
 *     s   = q k^T                        [rows, n]
 *     top = max(before, max_j scale s)   the running maximum of each row
 *     e   = exp(scale s - top)           0 where the mask hides the key
 *     sum = sum * fade + sum_j e         fade = exp(before - top)
 *     o   = o * fade + e v
 *
 * The fade corrects what came earlier, which was measured from a lower maximum. At the end o /=
 * sum, and lse = top + log(sum). Keys that the mask hides from the whole block are never
 * touched.
 *
 * Backward, one task per (batch item, head), which owns that head's dq, dk and dv. Strips are
 * computed again from lse, once for all three gradients. (Row tasks and key tasks of their own
 * would compute every strip twice.)
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/slots.h"
#include "common/kernel/vmath.h"

#include <math.h>

enum {
    /* Query rows of a block, at most. */
    ROWS = 72,
    /* Rows of the register tile: blocks are whole ones. */
    TILE = 8,
    /* Up to so many rows, keys and values are read where they are: packing them would cost more. */
    FEW = 4,
    /* Keys of a strip. */
    KEYS = 512
};
/* A maximum over no keys; finite, so that NaN scores still come out as NaN. */
static const float NOTHING = -3e38f;

typedef struct {
    const kern_attention_t *g;
    const float *q, *k, *v, *o, *lse_in, *do_;
    float *out, *lse, *dq, *dk, *dv;
    size_t row_blocks, block_rows; /* of the queries of a head, with `at` at most */
    size_t width;                  /* floats from one row of a strip to the next */
    bool add;
} attention_t;

/* A block of query rows of batch item b and head h, and the keys j0 .. j1-1 that at least one of
 * them may see. */
typedef struct {
    size_t b, h, rows, j0, j1;
    size_t row;           /* the first, as a row of q and o */
    size_t lse;           /* where its number lies in lse */
    ptrdiff_t own;        /* row i of the block stands at key position own + i, */
    const int32_t *at;    /* or at[i] - b Tk */
    const int32_t *first; /* [Tk] of the batch item; NULL: from the first key on */
} block_t;

/* ---- masks ---- */

/* The keys of a strip that one query row sees, [begin, end), counted from the strip's first key. */
typedef struct {
    size_t begin, end;
} view_t;

/* The key position of row i of a block. */
static ptrdiff_t position(const kern_attention_t *g, const block_t *block, size_t i) {
    return block->at ? block->at[i] - (ptrdiff_t)(block->b * g->Tk) : block->own + (ptrdiff_t)i;
}

/* The first key that the row at key position `own` >= 0 sees. */
static size_t first_key(const block_t *block, ptrdiff_t own) {
    if (!block->first) return 0;
    int32_t first = block->first[own];
    return first < 0 ? (size_t)own : (size_t)first;
}

/* The view of the block's row i on the keys from .. from+n-1. */
static view_t row_view(const kern_attention_t *g, const block_t *block, size_t i, size_t from,
                       size_t n) {
    view_t view = {0, n};
    if (!g->causal) return view;
    ptrdiff_t own = position(g, block, i);
    if (own < (ptrdiff_t)from) return (view_t){0, 0};
    size_t first = first_key(block, own);
    view.end = min_size(n, (size_t)own + 1 - from);
    view.begin = min_size(view.end, max_size(first, from) - from);
    return view;
}

/* Narrows [j0, j1) to keys that some row of the block may see: behind the last row nothing under
 * causality, before the least `first` of the rows neither. */
static void block_range(const kern_attention_t *g, block_t *block) {
    block->j0 = 0;
    block->j1 = g->Tk;
    if (!g->causal) return;
    ptrdiff_t end = block->rows ? position(g, block, block->rows - 1) + 1 : 0;
    block->j1 = end < 0 ? 0 : min_size(g->Tk, (size_t)end);
    if (!block->first) return;
    block->j0 = block->j1;
    for (size_t i = 0; i < block->rows; i++) {
        ptrdiff_t own = position(g, block, i);
        if (own >= 0) block->j0 = min_size(block->j0, first_key(block, own));
    }
}

/* How many of n ascending positions lie before `end`; negative ones come last and do not count. */
static size_t rows_before(const int32_t *at, size_t n, size_t end) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (at[middle] >= 0 && (size_t)at[middle] < end)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The rows of q that stand in batch item b: from *row on; returns how many. */
static size_t item_rows(const kern_attention_t *g, size_t b, size_t *row) {
    *row = b * g->Tq;
    if (!g->at) return g->Tq;
    *row = rows_before(g->at, g->Tq, b * g->Tk);
    return rows_before(g->at, g->Tq, (b + 1) * g->Tk) - *row;
}

static block_t block_of(const attention_t *a, size_t head, size_t index) {
    const kern_attention_t *g = a->g;
    block_t block = {.b = head / g->heads, .h = head % g->heads};
    size_t n = item_rows(g, block.b, &block.row), i0 = min_size(index * a->block_rows, n);
    block.row += i0;
    block.rows = min_size(a->block_rows, n - i0);
    block.own = (ptrdiff_t)(i0 + g->Tk) - (ptrdiff_t)g->Tq;
    block.at = g->at ? g->at + block.row : NULL;
    block.lse = g->at ? block.h * g->Tq + block.row : head * g->Tq + i0;
    block.first = g->first ? g->first + block.b * g->Tk : NULL;
    block_range(g, &block);
    return block;
}

/* A mask of the VL keys from j on: the lanes that the row sees. */
VMATH vi visible(const view_t *w, size_t j) {
    vi key = v_lanes() + (int32_t)j;
    return (key >= (int32_t)w->begin) & (key < (int32_t)w->end);
}

/* Where the vectors lie that the row sees in part: one at `from` if from < inner, then whole ones
 * from `inner` on, and one more where they end if that is before view.end. */
typedef struct {
    size_t from, inner;
} edges_t;
static edges_t edges_of(const view_t *w) {
    size_t from = w->begin / VL * VL;
    return (edges_t){from, w->begin > from ? from + VL : from};
}

/* ---- forward ---- */

/* VL scores are scaled, -inf where `mask` hides the key. */
VMATH vf scale_scores(float *s, float scale, vi mask) {
    vf t = v_select(mask, v_load(s) * scale, v_set(-INFINITY));
    v_store(s, t);
    return t;
}

/* One row of a strip, s[n]: moves the running maximum *top, and the scores become weights
 * e^(scale s - top), zero outside of the row's view. Returns the sum of the weights. A strip row
 * is readable to a multiple of VL. */
static float weigh_row(float *s, size_t n, float scale, const view_t *w, float *top) {
    edges_t edge = edges_of(w);
    size_t j = edge.inner;
    vf high = v_set(*top), sum = {0};
    if (edge.from < edge.inner)
        high = v_max(scale_scores(s + edge.from, scale, visible(w, edge.from)), high);
    for (; j + VL <= w->end; j += VL) {
        vf t = v_load(s + j) * scale;
        v_store(s + j, t);
        high = v_max(t, high);
    }
    if (j < w->end) high = v_max(scale_scores(s + j, scale, visible(w, j)), high);
    *top = v_highest(high);
    memset(s, 0, edge.from * sizeof *s);
    for (j = edge.from; j < w->end; j += VL) {
        vf e = v_exp_down(v_load(s + j) - *top);
        v_store(s + j, e);
        sum += e;
    }
    for (; j < n; j++) s[j] = 0;
    return v_sum(sum);
}

static void scale_rows(float *x, size_t n, float s) {
    for (size_t d = 0; d < n; d++) x[d] *= s;
}

/* s[rows,n] = q[rows,dh] k[n,dh]^T for few rows, keys where they lie. VL keys at a time: VL vectors
 * of sums over dh, added up to one vector of scores. The last vector repeats the last key. */
static void few_scores(const kern_attention_t *g, size_t rows, size_t n, const float *q,
                       const float *k, float *s, size_t width) {
    for (size_t j = 0; j < n; j += VL) {
        const float *key[VL];
        for (size_t i = 0; i < VL; i++) key[i] = k + min_size(j + i, n - 1) * g->ldk;
        for (size_t r = 0; r < rows; r++) {
            const float *x = q + r * g->ldq;
            vf sum[VL] = {{0}};
            size_t d = 0;
            for (; d + VL <= g->dh; d += VL) {
                vf xs = v_load(x + d);
                for (int i = 0; i < VL; i++) sum[i] += xs * v_load(key[i] + d);
            }
            if (d < g->dh) {
                vf xs = v_load_part(x + d, g->dh - d, 0);
                for (int i = 0; i < VL; i++) sum[i] += xs * v_load_part(key[i] + d, g->dh - d, 0);
            }
            v_store(s + r * width + j, v_sums(sum));
        }
    }
}

/* o (+)= s[n] v[n,:] for one row and nv (8 at most) vectors of columns. */
VMATH void few_columns(int nv, size_t n, const float *s, const float *v, size_t ldv, float *o,
                       bool add) {
    vf sum[8];
    for (int i = 0; i < nv; i++) sum[i] = add ? v_load(o + VL * i) : (vf){0};
    for (size_t j = 0; j < n; j++)
        for (int i = 0; i < nv; i++) sum[i] += s[j] * v_load(v + j * ldv + VL * i);
    for (int i = 0; i < nv; i++) v_store(o + VL * i, sum[i]);
}

/* o[rows,dh] (+)= s[rows,n] v[n,dh] for few rows, values where they lie: 64 columns at a time, then
 * a vector, then the rest. */
static void few_values(const kern_attention_t *g, size_t rows, size_t n, const float *s,
                       size_t width, const float *v, float *o, bool add) {
    for (size_t r = 0; r < rows; r++) {
        size_t d = 0;
        float *out = o + r * g->ldo;
        for (; d + 64 <= g->dh; d += 64)
            few_columns(64 / VL, n, s + r * width, v + d, g->ldv, out + d, add);
        for (; d + VL <= g->dh; d += VL)
            few_columns(1, n, s + r * width, v + d, g->ldv, out + d, add);
        if (d < g->dh) {
            size_t left = g->dh - d;
            vf sum = add ? v_load_part(out + d, left, 0) : (vf){0};
            for (size_t j = 0; j < n; j++)
                sum += s[r * width + j] * v_load_part(v + j * g->ldv + d, left, 0);
            v_store_part(out + d, sum, left);
        }
    }
}

/* One block of query rows over all its keys, strip by strip. */
static void forward_task(void *ctx, size_t task) {
    const attention_t *a = ctx;
    const kern_attention_t *g = a->g;
    block_t block = block_of(a, task / a->row_blocks, task % a->row_blocks);
    size_t dh = g->dh, column = block.h * dh;
    bool few = block.rows <= FEW;
    const float *q = a->q + block.row * g->ldq + column;
    float *o = a->out + block.row * g->ldo + column, *lse = a->lse + block.lse;
    float *strip = scratch_get(SCRATCH_ATTENTION_TASK, ROWS * a->width * sizeof *strip), top[ROWS],
          sum[ROWS];
    for (size_t r = 0; r < block.rows; r++) {
        top[r] = NOTHING;
        sum[r] = 0;
        if (block.j0 == block.j1) memset(o + r * g->ldo, 0, dh * sizeof *o);
    }
    for (size_t j = block.j0; j < block.j1; j += KEYS) {
        size_t n = min_size(KEYS, block.j1 - j), key = block.b * g->Tk + j;
        if (few)
            few_scores(g, block.rows, n, q, a->k + key * g->ldk + column, strip, a->width);
        else
            kern_gemm_serial(false, true, block.rows, n, dh, q, g->ldq,
                             a->k + key * g->ldk + column, g->ldk, strip, a->width, false, NULL);
        for (size_t r = 0; r < block.rows; r++) {
            view_t w = row_view(g, &block, r, j, n);
            float before = top[r], *s = strip + r * a->width;
            float now = weigh_row(s, n, g->scale, &w, &top[r]);
            if (j == block.j0) {
                sum[r] = now;
            } else {
                float fade = v_exp_down(v_set(before - top[r]))[0];
                sum[r] = sum[r] * fade + now;
                if (fade != 1) scale_rows(o + r * g->ldo, dh, fade);
            }
        }
        if (few)
            few_values(g, block.rows, n, strip, a->width, a->v + key * g->ldv + column, o,
                       j > block.j0);
        else
            kern_gemm_serial(false, false, block.rows, dh, n, strip, a->width,
                             a->v + key * g->ldv + column, g->ldv, o, g->ldo, j > block.j0, NULL);
    }
    for (size_t r = 0; r < block.rows; r++) {
        scale_rows(o + r * g->ldo, dh, sum[r] == 0 ? 0 : 1 / sum[r]);
        lse[r] = (float)((double)top[r] + log((double)sum[r]));
    }
}

/* Cuts the query rows of a batch item into equal blocks of whole tiles, as the item with most of
 * them needs; a strip is as wide as the keys need. */
static void plan_blocks(attention_t *a) {
    const kern_attention_t *g = a->g;
    size_t most = 0, row;
    for (size_t b = 0; b < g->B; b++) most = max_size(most, item_rows(g, b, &row));
    a->row_blocks = ceil_div(most, ROWS);
    a->block_rows = a->row_blocks ? ceil_div(ceil_div(most, a->row_blocks), TILE) * TILE : TILE;
    a->row_blocks = ceil_div(most, a->block_rows);
    a->width = ceil_div(min_size(KEYS, g->Tk), VL) * VL;
}

/* Rows of padding become 0. */
static void clear_padding(const kern_attention_t *g, float *x, size_t ld) {
    if (!g->at) return;
    for (size_t row = rows_before(g->at, g->Tq, g->B * g->Tk); row < g->Tq; row++)
        memset(x + row * ld, 0, g->heads * g->dh * sizeof *x);
}

void kern_attention_forward(const kern_attention_t *g, const float *q, const float *k,
                            const float *v, float *o, float *lse) {
    attention_t a = {.g = g, .q = q, .k = k, .v = v, .out = o, .lse = lse};
    plan_blocks(&a);
    parallel_for(g->B * g->heads * a.row_blocks, forward_task, &a);
    clear_padding(g, o, g->ldo);
}

/* ---- backward ---- */

/* The forward was p = softmax(scale q k^T), o = p v. With p = exp(scale q k^T - lse) computed
 * again:
 *
 *     dv = p^T do                     dp = do v^T
 *     ds = scale p (dp - delta)       delta_i = sum_j p_ij dp_ij = sum_d o_id do_id
 *     dq = ds k                       dk = ds^T q
 */

/* VL keys of a strip's row: scores become p, dp becomes ds, zero where `mask` is. */
VMATH void slopes_of(float *s, float *dp, float scale, float lse, float delta, vi mask) {
    vf p = v_exp_down(v_load(s) * scale - lse);
    vf ds = p * (v_load(dp) - delta) * scale;
    v_store(s, (vf)((vi)p & mask));
    v_store(dp, (vf)((vi)ds & mask));
}

/* One row of a strip: s, scores, becomes p; dp becomes ds. Zero outside of the row's view. */
static void slope_row(float *s, float *dp, size_t n, float scale, const view_t *w, float lse,
                      float delta) {
    edges_t edge = edges_of(w);
    size_t j = edge.inner;
    const vi all = v_lanes() >= 0;
    memset(s, 0, edge.from * sizeof *s);
    memset(dp, 0, edge.from * sizeof *dp);
    if (edge.from < edge.inner)
        slopes_of(s + edge.from, dp + edge.from, scale, lse, delta, visible(w, edge.from));
    for (; j + VL <= w->end; j += VL) slopes_of(s + j, dp + j, scale, lse, delta, all);
    if (j < w->end) {
        slopes_of(s + j, dp + j, scale, lse, delta, visible(w, j));
        j += VL;
    }
    for (; j < n; j++) {
        s[j] = 0;
        dp[j] = 0;
    }
}

/* One block of query rows: its dq, and what it adds to dk and dv of all keys it sees. `strip` and
 * `slope` are [ROWS,width] each. */
static void backward_block(const attention_t *a, const block_t *block, float *strip, float *slope) {
    const kern_attention_t *g = a->g;
    size_t dh = g->dh, column = block->h * dh, row = block->row;
    const float *q = a->q + row * g->ldq + column, *o = a->o + row * g->ldo + column,
                *do_ = a->do_ + row * g->ldo + column;
    const float *lse = a->lse_in + block->lse;
    float *dq = a->dq + row * g->ldq + column, delta[ROWS];
    for (size_t r = 0; r < block->rows; r++) {
        vf sum = {0};
        for (size_t d = 0; d < dh; d += VL) {
            const float *x = o + r * g->ldo + d, *dx = do_ + r * g->ldo + d;
            sum += dh - d >= VL ? v_load(x) * v_load(dx)
                                : v_load_part(x, dh - d, 0) * v_load_part(dx, dh - d, 0);
        }
        delta[r] = v_sum(sum);
        if (!a->add && block->j0 == block->j1) memset(dq + r * g->ldq, 0, dh * sizeof *dq);
    }
    for (size_t j = block->j0; j < block->j1; j += KEYS) {
        size_t n = min_size(KEYS, block->j1 - j), key = block->b * g->Tk + j, width = a->width;
        const float *keys = a->k + key * g->ldk + column, *values = a->v + key * g->ldv + column;
        float *dk = a->dk + key * g->ldk + column, *dv = a->dv + key * g->ldv + column;
        kern_gemm_serial(false, true, block->rows, n, dh, q, g->ldq, keys, g->ldk, strip, width,
                         false, NULL);
        kern_gemm_serial(false, true, block->rows, n, dh, do_, g->ldo, values, g->ldv, slope, width,
                         false, NULL);
        for (size_t r = 0; r < block->rows; r++) {
            view_t w = row_view(g, block, r, j, n);
            float *s = strip + r * width, *ds = slope + r * width;
            slope_row(s, ds, n, g->scale, &w, lse[r], delta[r]);
        }
        kern_gemm_serial(true, false, n, dh, block->rows, strip, width, do_, g->ldo, dv, g->ldv,
                         true, NULL);
        kern_gemm_serial(true, false, n, dh, block->rows, slope, width, q, g->ldq, dk, g->ldk, true,
                         NULL);
        kern_gemm_serial(false, false, block->rows, dh, n, slope, width, keys, g->ldk, dq, g->ldq,
                         a->add || j > block->j0, NULL);
    }
}

/* One head: dk and dv start from zero unless they are added to, then block after block adds. */
static void backward_task(void *ctx, size_t head) {
    const attention_t *a = ctx;
    const kern_attention_t *g = a->g;
    size_t b = head / g->heads, column = head % g->heads * g->dh;
    float *strip = scratch_get(SCRATCH_ATTENTION_TASK, 2 * ROWS * a->width * sizeof *strip);
    if (!a->add) {
        for (size_t j = 0; j < g->Tk; j++) {
            memset(a->dk + (b * g->Tk + j) * g->ldk + column, 0, g->dh * sizeof *a->dk);
            memset(a->dv + (b * g->Tk + j) * g->ldv + column, 0, g->dh * sizeof *a->dv);
        }
    }
    for (size_t i = 0; i < a->row_blocks; i++) {
        block_t block = block_of(a, head, i);
        backward_block(a, &block, strip, strip + ROWS * a->width);
    }
}

/* Everything lives in the threads' own scratch. */
size_t kern_attention_scratch(const kern_attention_t *g) {
    (void)g;
    return 0;
}

void kern_attention_backward(const kern_attention_t *g, const float *q, const float *k,
                             const float *v, const float *o, const float *lse, const float *do_,
                             float *dq, float *dk, float *dv, bool add, void *scratch) {
    (void)scratch;
    attention_t a = {.g = g,
                     .q = q,
                     .k = k,
                     .v = v,
                     .o = o,
                     .lse_in = lse,
                     .do_ = do_,
                     .dq = dq,
                     .dk = dk,
                     .dv = dv,
                     .add = add};
    plan_blocks(&a);
    parallel_for(g->B * g->heads, backward_task, &a);
    if (!add) clear_padding(g, dq, g->ldq);
}
