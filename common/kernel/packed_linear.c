/* packed_linear.c - products with packed weights: 32, 16, 8 or 4 bits each (packed.h).
 *
 * Acting multiplies one row, or a few, by every weight of the network, so it is bound by reading
 * weights. Packed (packed_layout.h), they are read in the order of use without a copy, and fewer
 * bits are fewer bytes.
 *
 * With 8 and 4 bits the rows of x are rounded to bytes as well, with a scale per 64 values, so that
 * a block is a sum of integers: y += x_scale w_scale sum_k xq_k wq_k (packed_block.h). Those with
 * FMA give the same bits.
 *
 * A task is a group of panels for all rows, so that even one row keeps several sums in flight. Over
 * 32-bit weights, which a task needs not widen, many rows are cut as well. An element's value
 * depends on its row and column only.
 */
#include "common/kernel/packed_block.h"

#include "common/base/pool.h"
#include "common/kernel/slots.h"

#include <float.h>
#include <math.h>

enum {
    /* Steps of k in a partial sum: as in gemm.c, so that 32-bit weights give its bits. */
    KC = 256,
    /* Rows of a task over 32-bit weights, a multiple of every TALL. */
    BLOCK_ROWS = 96,
    /* Fewer multiplications than this are not worth a second thread. */
    SMALL = 1 << 16
};

typedef struct {
    kern_weights_t kind;
    size_t M, N, K;
    size_t lo, hi;                  /* the columns of y */
    size_t panel, panel_end, bytes; /* the panels that they lie in, and bytes of one */
    size_t groups, block_rows;      /* of a task: its group of panels, its rows */
    const float *x, *bias;
    const uint8_t *packed; /* from panel `first` on */
    size_t first;
    float *y;
    size_t blocks;  /* 8 and 4 bits: K / QK, rounded up; */
    quantized_t *q; /* the rows as bytes [M, blocks*QK] */
    float *scale;   /* and their scales [M, blocks] */
    int32_t *less;  /* 4 bits: block_less [M, 2*blocks] */
} linear_t;

static bool in_bytes(kern_weights_t kind) {
    return kind == WEIGHTS_Q8 || kind == WEIGHTS_Q4;
}

/* Rounds one block of a row. A value that is not finite makes the scale NaN, and so the row's
 * results. Magnitudes are compared as integers: floats that may be NaN would go one by one. */
static void quantize(const float x[QK], int zero, quantized_t q[QK], float *scale) {
    uint32_t magnitude = 0;
    for (size_t k = 0; k < QK; k++) {
        uint32_t u;
        memcpy(&u, x + k, sizeof u);
        u &= 0x7fffffff;
        magnitude = u > magnitude ? u : magnitude;
    }
    float largest;
    memcpy(&largest, &magnitude, sizeof largest);
    if (magnitude >= 0x7f800000) {
        for (size_t k = 0; k < QK; k++) q[k] = (quantized_t)zero;
        *scale = NAN;
        return;
    }
    float over = largest > 127 / FLT_MAX ? 127 / largest : 0; /* tinier ones count as 0 */
    *scale = largest / 127;
    for (size_t k = 0; k < QK; k++) q[k] = (quantized_t)((int)rintf(x[k] * over) + zero);
}

static void quantize_task(void *ctx, size_t row) {
    const linear_t *l = ctx;
    int zero = l->kind == WEIGHTS_Q8 ? ZERO : 0;
    for (size_t b = 0; b < l->blocks; b++) {
        const float *x = l->x + row * l->K + b * QK;
        size_t n = min_size(QK, l->K - b * QK), at = row * l->blocks + b;
        float last[QK] = {0};
        if (n < QK) x = memcpy(last, x, n * sizeof *x);
        quantize(x, zero, l->q + at * QK, l->scale + at);
        if (l->kind == WEIGHTS_Q4)
            for (size_t i = 0; i < 2; i++)
                l->less[2 * at + i] = block_less(l->q + at * QK + i * Q4K);
    }
}

/* Vector `part` of the 16 weights of step k, as floats; `at` is where the panel's partial sum
 * begins. */
ALWAYS lanes_t weights(kern_weights_t kind, const uint8_t *at, size_t k, int part) {
    size_t i = k * NR + (size_t)part * LANES;
    if (kind == WEIGHTS_F32) return *(const lanes_u *)(const void *)(at + i * 4);
    words_t u = __builtin_convertvector(*(const halves_t *)(const void *)(at + i * 2), words_t)
                << 16;
    return (lanes_t)u;
}

/* The first column of vector j of a tile that begins at panel p; *n: how many of its columns
 * exist. */
ALWAYS size_t column(const linear_t *l, size_t p, int j, size_t *n) {
    size_t n0 = (p + (size_t)(j / PARTS)) * NR + (size_t)(j % PARTS) * LANES;
    *n = n0 < l->N ? min_size(LANES, l->N - n0) : 0;
    return n0;
}

/* Every row of sums starts from the bias. */
ALWAYS void tile_begin(const linear_t *l, int mr, int nv, size_t p, lanes_t total[TALL][SUMS]) {
    for (int j = 0; j < nv; j++) {
        lanes_t bias = {0};
        size_t n, n0 = column(l, p, j, &n);
        if (l->bias && n == LANES)
            bias = *(const lanes_u *)(l->bias + n0);
        else if (l->bias)
            memcpy(&bias, l->bias + n0, n * sizeof *l->bias);
        for (int i = 0; i < mr; i++) total[i][j] = bias;
    }
}

/* The sums to rows r .. of y, those of its columns. */
ALWAYS void tile_end(const linear_t *l, int mr, int nv, size_t r, size_t p,
                     lanes_t total[TALL][SUMS]) {
    for (int j = 0; j < nv; j++) {
        size_t n, n0 = column(l, p, j, &n), from = max_size(n0, l->lo),
                  to = min_size(n0 + n, l->hi);
        if (from >= to) continue;
        for (int i = 0; i < mr; i++) {
            float *y = l->y + (r + (size_t)i) * (l->hi - l->lo) + (from - l->lo);
            if (to - from == LANES)
                *(lanes_u *)y = total[i][j];
            else
                memcpy(y, (const float *)&total[i][j] + (from - n0), (to - from) * sizeof *y);
        }
    }
}

/* Step k: acc[i] += x[i*K + k] times the weights of each panel. The weights come first, so that the
 * compiler keeps them in registers and not the values of all rows. With 32 registers there is room
 * for those as well, and 16-bit weights are faster widened late. */
ALWAYS void step_of(kern_weights_t kind, int mr, int nv, const uint8_t *const *at, size_t k,
                    const float *x, size_t K, lanes_t acc[TALL][SUMS]) {
    lanes_t w[SUMS];
    int at_once =
        kind == WEIGHTS_BF16 && LANES == 16 ? mr : 0; /* rows served as a weight is widened */
    for (int j = 0; j < nv; j++) {
        w[j] = weights(kind, at[j / PARTS], k, j % PARTS);
        for (int i = 0; i < at_once; i++)
            acc[i][j] = lanes_madd(lanes_set(x[(size_t)i * K + k]), w[j], acc[i][j]);
    }
    for (int i = at_once; i < mr; i++)
        for (int j = 0; j < nv; j++)
            acc[i][j] = lanes_madd(lanes_set(x[(size_t)i * K + k]), w[j], acc[i][j]);
}

/* y of mr rows from r on and np panels from p on, 32 or 16 bits: partial sums of KC steps. */
ALWAYS void tile(const linear_t *l, kern_weights_t kind, int mr, int np, size_t r, size_t p) {
    lanes_t total[TALL][SUMS];
    int nv = np * PARTS;
    size_t K = l->K;
    tile_begin(l, mr, nv, p, total);
    for (size_t k0 = 0; k0 < K; k0 += KC) {
        lanes_t acc[TALL][SUMS];
        const uint8_t *at[GROUP];
        for (int j = 0; j < np; j++)
            at[j] = l->packed + (p - l->first + (size_t)j) * l->bytes +
                    k0 * NR * (kind == WEIGHTS_F32 ? 4 : 2);
        for (int j = 0; j < nv; j++)
            for (int i = 0; i < mr; i++) acc[i][j] = (lanes_t){0};
        size_t kc = min_size(KC, K - k0);
        const float *x = l->x + r * K + k0;
        size_t k = 0;
        for (; k + 4 <= kc; k += 4)
            for (size_t t = k; t < k + 4; t++) step_of(kind, mr, nv, at, t, x, K, acc);
        for (; k < kc; k++) step_of(kind, mr, nv, at, k, x, K, acc);
        for (int j = 0; j < nv; j++)
            for (int i = 0; i < mr; i++) total[i][j] += acc[i][j];
    }
    tile_end(l, mr, nv, r, p, total);
}

/* y of mr rows and np panels, 8 bits: the blocks' sums, scaled, in order. */
ALWAYS void tile_bytes(const linear_t *l, int mr, int np, size_t r, size_t p) {
    lanes_t total[TALL][SUMS], sum[TALL][SUMS];
    int nv = np * PARTS;
    tile_begin(l, mr, nv, p, total);
    for (size_t b = 0; b < l->blocks; b++) {
        const uint8_t *at[GROUP];
        for (int j = 0; j < np; j++) at[j] = l->packed + (p + (size_t)j) * l->bytes + b * Q_BLOCK;
        block_sums(mr, np, l->q + (r * l->blocks + b) * QK, l->blocks * QK, at, sum);
        for (int j = 0; j < nv; j++) {
            lanes_t scale = ((const lanes_u *)(const void *)at[j / PARTS])[j % PARTS];
            for (int i = 0; i < mr; i++)
                total[i][j] = lanes_madd(
                    sum[i][j], lanes_set(l->scale[(r + (size_t)i) * l->blocks + b]) * scale,
                    total[i][j]);
        }
    }
    tile_end(l, mr, nv, r, p, total);
}

/* The same, 4 bits. */
ALWAYS void tile_bytes4(const linear_t *l, bool widened, int mr, int np, size_t r, size_t p) {
    lanes_t total[TALL][SUMS], sum[TALL][SUMS];
    size_t blocks = ceil_div(l->K, Q4K);
    int nv = np * PARTS;
    tile_begin(l, mr, nv, p, total);
    for (size_t b = 0; b < blocks; b++) {
        const uint8_t *at[GROUP];
        for (int j = 0; j < np; j++)
            at[j] = l->packed + (p - l->first + (size_t)j) * l->bytes + b * q4_block(widened);
        block_sums4(widened, mr, np, l->q + r * l->blocks * QK + b * Q4K, l->blocks * QK,
                    l->less + r * l->blocks * 2 + b, l->blocks * 2, at, sum);
        for (int j = 0; j < nv; j++) {
            lanes_t scale = ((const lanes_u *)(const void *)at[j / PARTS])[j % PARTS];
            for (int i = 0; i < mr; i++)
                total[i][j] = lanes_madd(
                    sum[i][j], lanes_set(l->scale[(r + (size_t)i) * l->blocks + b / 2]) * scale,
                    total[i][j]);
        }
    }
    tile_end(l, mr, nv, r, p, total);
}

/* How a task reads the weights: their kind, or 4 bits that it widened to bytes. */
typedef struct {
    kern_weights_t kind;
    bool widened;
} form_t;

ALWAYS void tile_of(const linear_t *l, form_t form, int mr, int np, size_t r, size_t p) {
    if (form.kind == WEIGHTS_Q8)
        tile_bytes(l, mr, np, r, p);
    else if (form.kind == WEIGHTS_Q4)
        tile_bytes4(l, form.widened, mr, np, r, p);
    else
        tile(l, form.kind, mr, np, r, p);
}

/* mr rows over panels [p0,p1): np at a time, then one at a time. */
ALWAYS void rows_of(const linear_t *l, form_t form, int mr, int np, size_t r, size_t p0,
                    size_t p1) {
    size_t p = p0;
    for (; p + (size_t)np <= p1; p += (size_t)np) tile_of(l, form, mr, np, r, p);
    for (; p < p1; p++) tile_of(l, form, mr, 1, r, p);
}

/* Rows [r0,r1) over panels [p0,p1). The fewer rows are left, the more panels a tile takes, so that
 * as many sums are in flight as registers hold. With bytes a sum needs two registers. */
ALWAYS void rows(const linear_t *l, form_t form, size_t r0, size_t r1, size_t p0, size_t p1) {
    for (size_t r = r0; r < r1;) {
        size_t left = r1 - r;
        if (left >= TALL && !in_bytes(form.kind)) {
            rows_of(l, form, TALL, WIDE, r, p0, p1);
            r += TALL;
        } else if (TALL > 4 && left >= 4) {
            rows_of(l, form, 4, WIDE, r, p0, p1);
            r += 4;
        } else if (left >= 2) {
            rows_of(l, form, 2, TALL > 4 ? 2 : 1, r, p0, p1);
            r += 2;
        } else {
            rows_of(l, form, 1, TALL > 4 ? 4 : 2, r, p0, p1);
            r += 1;
        }
    }
}

/* Many rows over 16- or 4-bit weights: a task widens its panels once and not at every tile. */
static void rows_widened(const linear_t *l, size_t p0, size_t p1) {
    size_t floats = l->K * NR;
    float *wide = scratch_get(SCRATCH_PACKED_TASK, (p1 - p0) * floats * sizeof *wide);
    for (size_t p = p0; p < p1; p++)
        for (size_t k = 0; k < l->K; k++)
            for (int part = 0; part < PARTS; part++)
                *(lanes_u *)(wide + (p - p0) * floats + k * NR + (size_t)part * LANES) =
                    weights(WEIGHTS_BF16, l->packed + p * l->bytes, k, part);
    linear_t f32 = *l;
    f32.packed = (const uint8_t *)wide;
    f32.first = p0;
    f32.bytes = floats * sizeof *wide;
    rows(&f32, (form_t){WEIGHTS_F32, false}, 0, l->M, p0, p1);
}

static void rows_widened4(const linear_t *l, size_t p0, size_t p1) {
    size_t blocks = ceil_div(l->K, Q4K), bytes = blocks * q4_block(true);
    uint8_t *wide = scratch_get(SCRATCH_PACKED_TASK, (p1 - p0) * bytes), *to = wide;
    for (size_t p = p0; p < p1; p++)
        for (size_t b = 0; b < blocks; b++, to += q4_block(true)) {
            const uint8_t *from = l->packed + p * l->bytes + b * Q4_BLOCK;
            memcpy(to, from, Q4_HEAD);
            for (size_t i = 0; i < Q4K * NR / 2; i++) {
                to[Q4_HEAD + i] = from[Q4_HEAD + i] & 15;
                to[Q4_HEAD + Q4K * NR / 2 + i] = from[Q4_HEAD + i] >> 4;
            }
        }
    linear_t bytes4 = *l;
    bytes4.packed = wide;
    bytes4.first = p0;
    bytes4.bytes = bytes;
    rows(&bytes4, (form_t){WEIGHTS_Q4, true}, 0, l->M, p0, p1);
}

static void group_task(void *ctx, size_t task) {
    const linear_t *l = ctx;
    size_t r0 = task / l->groups * l->block_rows, r1 = min_size(r0 + l->block_rows, l->M);
    size_t p0 = l->panel + task % l->groups * GROUP, p1 = min_size(p0 + GROUP, l->panel_end);
    bool many = l->M >= TALL;
    if (l->kind == WEIGHTS_F32)
        rows(l, (form_t){WEIGHTS_F32, false}, r0, r1, p0, p1);
    else if (l->kind == WEIGHTS_Q8)
        rows(l, (form_t){WEIGHTS_Q8, false}, r0, r1, p0, p1);
    else if (l->kind == WEIGHTS_BF16 && many)
        rows_widened(l, p0, p1);
    else if (l->kind == WEIGHTS_BF16)
        rows(l, (form_t){WEIGHTS_BF16, false}, r0, r1, p0, p1);
    else if (many)
        rows_widened4(l, p0, p1);
    else
        rows(l, (form_t){WEIGHTS_Q4, false}, r0, r1, p0, p1);
}

void kern_packed_columns(kern_weights_t kind, size_t M, size_t N, size_t K, const float *x,
                         const void *packed, const float *bias, size_t lo, size_t hi, float *y) {
    if (!M || lo >= hi) return;
    linear_t l = {.kind = kind,
                  .M = M,
                  .N = N,
                  .K = K,
                  .lo = lo,
                  .hi = hi,
                  .panel = lo / NR,
                  .panel_end = ceil_div(hi, NR),
                  .bytes = panel_bytes(kind, K),
                  .x = x,
                  .bias = bias,
                  .packed = packed,
                  .y = y};
    if (in_bytes(kind)) {
        l.blocks = ceil_div(K, QK);
        size_t bytes = ceil_div(M * l.blocks * QK * sizeof *l.q, 64) * 64;
        l.q = scratch_get(SCRATCH_PACKED,
                          bytes + M * l.blocks * (sizeof *l.scale + 2 * sizeof *l.less));
        l.scale = (float *)(void *)((uint8_t *)l.q + bytes);
        l.less = (int32_t *)(void *)(l.scale + M * l.blocks);
        if (M * K < SMALL / 8) {
            for (size_t i = 0; i < M; i++) quantize_task(&l, i);
        } else {
            parallel_for(M, quantize_task, &l);
        }
    }
    l.groups = ceil_div(l.panel_end - l.panel, GROUP);
    l.block_rows = kind == WEIGHTS_F32 ? min_size(M, BLOCK_ROWS) : M;
    size_t tasks = l.groups * ceil_div(M, l.block_rows);
    if (M * (hi - lo) * K < SMALL) {
        for (size_t i = 0; i < tasks; i++) group_task(&l, i);
    } else {
        parallel_for(tasks, group_task, &l);
    }
}

void kern_packed_linear(kern_weights_t kind, size_t M, size_t N, size_t K, const float *x,
                        const void *packed, const float *bias, float *y) {
    kern_packed_columns(kind, M, N, K, x, packed, bias, 0, N, y);
}
