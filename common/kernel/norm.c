/* norm.c - GroupNorm (with SiLU folded in) over NHWC images, LayerNorm over rows.
 *
 * GroupNorm reduces every channel first, vectorized over channels, and combines channels to groups
 * in double afterwards, so groups of one channel cost no more than groups of sixteen. Pixels are
 * handled in wide rows: as many pixels as make the floats a multiple of a vector (and at least
 * eight vectors), so odd channel counts vectorize as well. An image is cut into pieces by its own
 * shape; a thread takes a whole image (which stays in its cache for the second sweep) or, when
 * images are few, threads share the pieces: the same sums either way.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/slots.h"
#include "common/kernel/vmath.h"

#include <math.h>

enum {
    WIDE_MIN = 8 * VL, /* least floats of a wide row */
    BLOCK_FLOATS =
        /* summed in float before doubles take over; 16 KB, so its second reading is from L1 */
    4096,
    PIECE_FLOATS = 32768, /* least floats of a piece of an image */
    LAYER_FLOATS = 8192,  /* rows of a LayerNorm task */
    LAYER_BLOCK = 32      /* rows whose dgamma, dbeta are summed in float */
};

/* ---- sums over wide rows ---- */

/* SUM: x; SQUARES: (x - p)^2 and x - p for centers p; DOT: dz and dz xhat. Per column of the wide
 * row. */
typedef enum { SUM, SQUARES, DOT } sweep_t;

/* What DOT needs: u = scale x + shift (before SiLU), xhat = rstd x + center; all [L]. */
typedef struct {
    const float *scale, *shift, *rstd, *center;
} coef_t;

/* d silu(u) / du times dy */
VMATH vf silu_back(vf u, vf dy) {
    vf s = v_sigmoid(u);
    return dy * (s + u * s * (1.f - s));
}

/* nv vectors of columns from j on, all rows. */
VMATH void sweep_columns(sweep_t kind, int nv, const float *x, const float *dy, size_t rows,
                         size_t L, size_t j, const float *p, const coef_t *k, float *s0,
                         float *s1) {
    vf a0[8] = {{0}}, a1[8] = {{0}};
    x += j;
    if (kind >= DOT) dy += j;
    for (size_t r = 0; r < rows; r++) {
        for (int v = 0; v < nv; v++) {
            vf t = v_load(x + r * L + VL * v);
            if (kind == SUM) {
                a0[v] += t;
            } else if (kind == SQUARES) {
                t -= v_load(p + j + VL * v);
                a0[v] += t * t;
                a1[v] += t;
            } else {
                vf dz = v_load(dy + r * L + VL * v);
                a0[v] += dz;
                a1[v] += dz * (t * v_load(k->rstd + j + VL * v) + v_load(k->center + j + VL * v));
            }
        }
    }
    for (int v = 0; v < nv; v++) {
        v_store(s0 + j + VL * v, a0[v]);
        if (kind != SUM) v_store(s1 + j + VL * v, a1[v]);
    }
}

VMATH void sweep_block(sweep_t kind, const float *x, const float *dy, size_t rows, size_t L,
                       const float *p, const coef_t *k, float *s0, float *s1) {
    size_t j = 0;
    if (kind == SUM)
        for (; j + 8 * VL <= L; j += 8 * VL)
            sweep_columns(kind, 8, x, dy, rows, L, j, p, k, s0, s1);
    for (; j + 4 * VL <= L; j += 4 * VL) sweep_columns(kind, 4, x, dy, rows, L, j, p, k, s0, s1);
    for (; j < L; j += VL) sweep_columns(kind, 1, x, dy, rows, L, j, p, k, s0, s1);
}

/* DOT behind SiLU, row by row: the sigmoid, not the sums, takes the time. Leaves dz in `out` unless
 * NULL. */
static void silu_block(const float *x, const float *dy, size_t rows, size_t L, const coef_t *k,
                       float *s0, float *s1, float *out) {
    memset(s0, 0, L * sizeof *s0);
    memset(s1, 0, L * sizeof *s1);
    for (size_t i = 0; i < rows * L; i += L)
        for (size_t j = 0; j < L; j += VL) {
            vf t = v_load(x + i + j),
               dz = silu_back(t * v_load(k->scale + j) + v_load(k->shift + j), v_load(dy + i + j));
            v_store(s0 + j, v_load(s0 + j) + dz);
            v_store(s1 + j,
                    v_load(s1 + j) + dz * (t * v_load(k->rstd + j) + v_load(k->center + j)));
            if (out) v_store(out + i + j, dz);
        }
}

/* ---- GroupNorm geometry ---- */

typedef struct {
    size_t N, HW, C, G;
    size_t pixels, L;     /* of a wide row: L = pixels * C floats */
    size_t block_rows;    /* wide rows of a block */
    size_t piece, pieces; /* pixels of a piece (a whole number of blocks), pieces of an image */
    bool silu, add_dx;
    bool keep_dz; /* dx holds dz between the sweeps: no second sigmoid */
    float eps;
    const float *x, *gamma, *beta, *dy;
    float *y, *mean, *rstd, *dx;
    double *parts; /* [N][pieces][2][C] */
} norm_t;

static void norm_init(norm_t *g) {
    size_t pixels = VL;
    for (size_t c = g->C; c % 2 == 0 && pixels > 1; c /= 2) pixels /= 2;
    pixels *= ceil_div(WIDE_MIN, pixels * g->C);
    g->pixels = pixels;
    g->L = pixels * g->C;
    g->block_rows = max_size(BLOCK_FLOATS / g->L, 4);
    size_t block = g->block_rows * pixels,
           wanted = min_size(KERN_PIECES, ceil_div(g->HW * g->C, PIECE_FLOATS));
    g->piece = ceil_div(ceil_div(g->HW, max_size(wanted, 1)), block) * block;
    g->pieces = ceil_div(g->HW, g->piece);
    g->parts = scratch_get(SCRATCH_NORM, (g->N * g->pieces * 2 * g->C + 1) * sizeof(double));
}

static double *part_of(const norm_t *g, size_t n, size_t piece) {
    return g->parts + (n * g->pieces + piece) * 2 * g->C;
}
static size_t piece_end(const norm_t *g, size_t piece) {
    return min_size((piece + 1) * g->piece, g->HW);
}

/* Whole images while they fill the threads evenly, else the first sweep and the second one as two
 * rounds of pieces. */
static void norm_run(norm_t *g, pool_fn sums, pool_fn apply, pool_fn image) {
    size_t threads = (size_t)pool_threads();
    if (g->pieces == 1 || g->N >= 4 * threads || g->N % threads == 0) {
        parallel_for(g->N, image, g);
    } else {
        parallel_for(g->N * g->pieces, sums, g);
        if (apply) parallel_for(g->N * g->pieces, apply, g);
    }
}

/* Folds the pixels of a wide row together: s[L] -> s[C]. */
static void fold(const norm_t *g, float *s) {
    for (size_t p = 1; p < g->pixels; p++)
        for (size_t c = 0; c < g->C; c++) s[c] += s[p * g->C + c];
}
static void spread(const norm_t *g, float *s) {
    for (size_t p = 1; p < g->pixels; p++) memcpy(s + p * g->C, s, g->C * sizeof *s);
}

/* ---- GroupNorm forward ---- */

/* Channel means and sums of squared deviations of a few pixels, merged into (mean, m2) of `seen`
 * pixels (Chan et al. 1979). */
static void merge(size_t C, double seen, double count, const double *mean2, const double *m22,
                  double *mean, double *m2) {
    double total = seen + count, part = count / total, cross = seen * count / total;
    for (size_t c = 0; c < C; c++) {
        double d = mean2[c] - mean[c];
        mean[c] += d * part;
        m2[c] += m22[c] + d * d * cross;
    }
}

static void block_stats(const norm_t *g, const float *x, size_t rows, size_t tail, double seen,
                        double *mean, double *m2) {
    size_t C = g->C, L = g->L, count = rows * g->pixels + tail;
    float *s = scratch_get(SCRATCH_NORM_TASK, L * 3 * sizeof *s + C * 2 * sizeof(double)),
          *p = s + L, *off = p + L;
    double *bm = (double *)(off + L), *bq = bm + C;
    const float *rest = x + rows * L;
    sweep_block(SUM, x, NULL, rows, L, NULL, NULL, s, NULL);
    fold(g, s);
    for (size_t t = 0; t < tail; t++)
        for (size_t c = 0; c < C; c++) s[c] += rest[t * C + c];
    for (size_t c = 0; c < C; c++) p[c] = s[c] / (float)count;
    spread(g, p);
    sweep_block(SQUARES, x, NULL, rows, L, p, NULL, s, off);
    fold(g, s);
    fold(g, off);
    for (size_t t = 0; t < tail; t++)
        for (size_t c = 0; c < C; c++) {
            float d = rest[t * C + c] - p[c];
            s[c] += d * d;
            off[c] += d;
        }
    for (size_t c = 0; c < C;
         c++) { /* the center was rounded: what is left of the deviations corrects it */
        double d = (double)off[c] / (double)count;
        bm[c] = (double)p[c] + d;
        bq[c] = fmax((double)s[c] - d * d * (double)count, 0);
    }
    merge(C, seen, (double)count, bm, bq, mean, m2);
}

static void stats_piece(const norm_t *g, size_t n, size_t piece) {
    size_t first = piece * g->piece, count = piece_end(g, piece) - first, rows = count / g->pixels;
    const float *x = g->x + (n * g->HW + first) * g->C;
    double *mean = part_of(g, n, piece), *m2 = mean + g->C;
    memset(mean, 0, 2 * g->C * sizeof *mean);
    size_t r = 0;
    do {
        size_t now = min_size(g->block_rows, rows - r),
               tail = r + now == rows ? count % g->pixels : 0;
        if (now + tail) block_stats(g, x + r * g->L, now, tail, (double)(r * g->pixels), mean, m2);
        r += now;
    } while (r < rows);
}

/* Pieces -> channels -> groups: mean and rstd of image n. Reads the parts only, so it may be
 * repeated by every task of the image. */
static void image_stats(const norm_t *g, size_t n, double *mean, double *rstd) {
    size_t C = g->C, width = C / g->G;
    double *m = scratch_get(SCRATCH_NORM_TASK, 2 * C * sizeof *m), *q = m + C;
    memset(m, 0, 2 * C * sizeof *m);
    for (size_t p = 0; p < g->pieces; p++) {
        const double *part = part_of(g, n, p);
        merge(C, (double)(p * g->piece), (double)(piece_end(g, p) - p * g->piece), part, part + C,
              m, q);
    }
    for (size_t i = 0; i < g->G; i++) {
        double sum = 0, square = 0;
        for (size_t c = i * width; c < (i + 1) * width; c++) sum += m[c];
        mean[i] = sum / (double)width;
        for (size_t c = i * width; c < (i + 1) * width; c++)
            square += q[c] + (double)g->HW * (m[c] - mean[i]) * (m[c] - mean[i]);
        rstd[i] = 1 / sqrt(square / ((double)g->HW * (double)width) + (double)g->eps);
    }
}

/* y = act(scale x + shift) over one piece. */
static void apply_piece(const norm_t *g, size_t n, size_t piece, const float *scale,
                        const float *shift) {
    size_t first = piece * g->piece, L = g->L, at = (n * g->HW + first) * g->C,
           count = (piece_end(g, piece) - first) * g->C, i = 0;
    const float *x = g->x + at;
    float *y = g->y + at;
#define APPLY(ACT)                                                                                 \
    for (; i + L <= count; i += L)                                                                 \
        for (size_t j = 0; j < L; j += VL) {                                                       \
            vf u = v_load(x + i + j) * v_load(scale + j) + v_load(shift + j);                      \
            v_store(y + i + j, ACT);                                                               \
        }                                                                                          \
    for (size_t j = 0; i + j < count; j += VL) {                                                   \
        size_t left = min_size(VL, count - i - j);                                                 \
        vf u = v_load_part(x + i + j, left, 0) * v_load(scale + j) + v_load(shift + j);            \
        v_store_part(y + i + j, ACT, left);                                                        \
    }
    if (g->silu) {
        APPLY(u * v_sigmoid(u))
    } else {
        APPLY(u)
    }
}

static void apply_task(void *ctx, size_t task) {
    const norm_t *g = ctx;
    size_t n = task / g->pieces, piece = task % g->pieces, width = g->C / g->G;
    float *scale =
              scratch_get(SCRATCH_NORM_COEF, 2 * g->L * sizeof *scale + 2 * g->G * sizeof(double)),
          *shift = scale + g->L;
    double *mean = (double *)(shift + g->L), *rstd = mean + g->G;
    image_stats(g, n, mean, rstd);
    for (size_t c = 0; c < g->C; c++) {
        double s = rstd[c / width] * g->gamma[c];
        scale[c] = (float)s;
        shift[c] = (float)(g->beta[c] - mean[c / width] * s);
    }
    spread(g, scale);
    spread(g, shift);
    if (piece == 0)
        for (size_t i = 0; i < g->G; i++) {
            g->mean[n * g->G + i] = (float)mean[i];
            g->rstd[n * g->G + i] = (float)rstd[i];
        }
    apply_piece(g, n, piece, scale, shift);
}

static void stats_task(void *ctx, size_t task) {
    const norm_t *g = ctx;
    stats_piece(g, task / g->pieces, task % g->pieces);
}

static void forward_image_task(void *ctx, size_t n) {
    const norm_t *g = ctx;
    for (size_t p = 0; p < g->pieces; p++) stats_piece(g, n, p);
    for (size_t p = 0; p < g->pieces; p++) apply_task(ctx, n * g->pieces + p);
}

void kern_groupnorm_forward(const float *x, const float *gamma, const float *beta, size_t N,
                            size_t HW, size_t C, size_t G, float eps, bool silu, float *y,
                            float *mean, float *rstd) {
    norm_t g = {.N = N,
                .HW = HW,
                .C = C,
                .G = G,
                .eps = eps,
                .silu = silu,
                .x = x,
                .gamma = gamma,
                .beta = beta};
    g.y = y, g.mean = mean, g.rstd = rstd;
    if (!N || !HW || !C) return;
    norm_init(&g);
    norm_run(&g, stats_task, apply_task, forward_image_task);
}

/* ---- GroupNorm backward ---- */

/* z = gamma xhat + beta, y = act(z), dz = act'(z) dy. With S0 = sum dz and S1 = sum dz xhat of a
 * channel:
 *   dbeta = S0, dgamma = S1, dx = rstd (gamma dz - mean(gamma S0) - xhat mean(gamma S1)),
 * the means being over the group's elements. */

/* Wide-row coefficients of image n: z = scale x + shift, xhat = rstd x + center. */
static coef_t image_coef(const norm_t *g, size_t n, float *mem) {
    size_t L = g->L, width = g->C / g->G;
    float *scale = mem, *shift = mem + L, *rstd = mem + 2 * L, *center = mem + 3 * L;
    for (size_t c = 0; c < g->C; c++) {
        double r = (double)g->rstd[n * g->G + c / width], m = (double)g->mean[n * g->G + c / width];
        rstd[c] = (float)r;
        center[c] = (float)(-m * r);
        scale[c] = (float)(r * g->gamma[c]);
        shift[c] = (float)(g->beta[c] - m * r * g->gamma[c]);
    }
    for (size_t i = 0; i < 4; i++) spread(g, mem + i * L);
    return (coef_t){scale, shift, rstd, center};
}

static void dot_block(const norm_t *g, const float *x, const float *dy, size_t rows, size_t tail,
                      const coef_t *k, float *dz_out, double *S0, double *S1) {
    size_t C = g->C, L = g->L;
    float *s0 = scratch_get(SCRATCH_NORM_TASK, 2 * L * sizeof *s0), *s1 = s0 + L;
    if (g->silu)
        silu_block(x, dy, rows, L, k, s0, s1, dz_out);
    else
        sweep_block(DOT, x, dy, rows, L, NULL, k, s0, s1);
    /* The last pixels, fewer than a wide row: one row padded with dy = 0. */
    for (size_t j = 0, at = rows * L; j < tail * C; j += VL) {
        size_t left = min_size(VL, tail * C - j);
        vf t = v_load_part(x + at + j, left, 0), dz = v_load_part(dy + at + j, left, 0);
        if (g->silu) dz = silu_back(t * v_load(k->scale + j) + v_load(k->shift + j), dz);
        v_store(s0 + j, v_load(s0 + j) + dz);
        v_store(s1 + j, v_load(s1 + j) + dz * (t * v_load(k->rstd + j) + v_load(k->center + j)));
        if (dz_out) v_store_part(dz_out + at + j, dz, left);
    }
    fold(g, s0);
    fold(g, s1);
    for (size_t c = 0; c < C; c++) {
        S0[c] += (double)s0[c];
        S1[c] += (double)s1[c];
    }
}

static void dot_task(void *ctx, size_t task) {
    const norm_t *g = ctx;
    size_t n = task / g->pieces, piece = task % g->pieces;
    size_t first = piece * g->piece, count = piece_end(g, piece) - first, rows = count / g->pixels,
           at = (n * g->HW + first) * g->C;
    double *S0 = part_of(g, n, piece), *S1 = S0 + g->C;
    coef_t k = image_coef(g, n, scratch_get(SCRATCH_NORM_COEF, 4 * g->L * sizeof(float)));
    memset(S0, 0, 2 * g->C * sizeof *S0);
    size_t r = 0;
    do {
        size_t now = min_size(g->block_rows, rows - r),
               tail = r + now == rows ? count % g->pixels : 0;
        size_t from = at + r * g->L;
        dot_block(g, g->x + from, g->dy + from, now, tail, &k, g->keep_dz ? g->dx + from : NULL, S0,
                  S1);
        r += now;
    } while (r < rows);
}

/* dx = P dz + Q x + R with the group's means in Q and R. */
static void dx_coef(const norm_t *g, size_t n, float *P, float *Q, float *R) {
    size_t C = g->C, width = C / g->G;
    double count = (double)g->HW * (double)width;
    for (size_t i = 0; i < g->G; i++) {
        double m0 = 0, m1 = 0, r = (double)g->rstd[n * g->G + i], m = (double)g->mean[n * g->G + i];
        for (size_t c = i * width; c < (i + 1) * width; c++)
            for (size_t p = 0; p < g->pieces; p++) {
                const double *part = part_of(g, n, p);
                m0 += part[c] * g->gamma[c];
                m1 += part[C + c] * g->gamma[c];
            }
        m0 /= count, m1 /= count;
        for (size_t c = i * width; c < (i + 1) * width; c++) {
            P[c] = (float)(r * g->gamma[c]);
            Q[c] = (float)(-r * r * m1);
            R[c] = (float)(-r * m0 + r * r * m * m1);
        }
    }
    spread(g, P);
    spread(g, Q);
    spread(g, R);
}

VMATH void dx_sweep(bool silu, bool add, const float *x, const float *dy, size_t count, size_t L,
                    const coef_t *k, const float *P, const float *Q, const float *R, float *dx) {
    for (size_t i = 0; i < count; i += L)
        for (size_t j = 0; j < L && i + j < count; j += VL) {
            size_t at = i + j, left = count - at;
            vf t, dz, d;
            if (left >= VL)
                t = v_load(x + at), dz = v_load(dy + at);
            else
                t = v_load_part(x + at, left, 0), dz = v_load_part(dy + at, left, 0);
            if (silu) dz = silu_back(t * v_load(k->scale + j) + v_load(k->shift + j), dz);
            d = dz * v_load(P + j) + (t * v_load(Q + j) + v_load(R + j));
            if (left >= VL) {
                if (add) d += v_load(dx + at);
                v_store(dx + at, d);
            } else {
                if (add) d += v_load_part(dx + at, left, 0);
                v_store_part(dx + at, d, left);
            }
        }
}

static void dx_task(void *ctx, size_t task) {
    const norm_t *g = ctx;
    size_t n = task / g->pieces, piece = task % g->pieces, L = g->L;
    size_t first = piece * g->piece, at = (n * g->HW + first) * g->C,
           count = (piece_end(g, piece) - first) * g->C;
    float *mem = scratch_get(SCRATCH_NORM_COEF, 7 * L * sizeof *mem), *P = mem + 4 * L, *Q = P + L,
          *R = Q + L;
    coef_t k = image_coef(g, n, mem);
    dx_coef(g, n, P, Q, R);
    if (g->keep_dz)
        dx_sweep(false, false, g->x + at, g->dx + at, count, L, &k, P, Q, R, g->dx + at);
    else if (g->silu)
        dx_sweep(true, true, g->x + at, g->dy + at, count, L, &k, P, Q, R, g->dx + at);
    else
        dx_sweep(false, g->add_dx, g->x + at, g->dy + at, count, L, &k, P, Q, R, g->dx + at);
}

static void backward_image_task(void *ctx, size_t n) {
    const norm_t *g = ctx;
    for (size_t p = 0; p < g->pieces; p++) dot_task(ctx, n * g->pieces + p);
    for (size_t p = 0; g->dx && p < g->pieces; p++) dx_task(ctx, n * g->pieces + p);
}

static void sum_parts(const norm_t *g, size_t which, float *out, bool add) {
    for (size_t c = 0; c < g->C; c++) {
        double s = 0;
        for (size_t p = 0; p < g->N * g->pieces; p++) s += g->parts[(2 * p + which) * g->C + c];
        out[c] = (float)(add ? out[c] + s : s);
    }
}

void kern_groupnorm_backward(const float *x, const float *gamma, const float *beta,
                             const float *mean, const float *rstd, const float *dy, size_t N,
                             size_t HW, size_t C, size_t G, bool silu, float *dx, bool add_dx,
                             float *dgamma, bool add_dgamma, float *dbeta, bool add_dbeta) {
    norm_t g = {.N = N,
                .HW = HW,
                .C = C,
                .G = G,
                .silu = silu,
                .x = x,
                .gamma = gamma,
                .beta = beta,
                .dy = dy,
                .dx = dx,
                .add_dx = add_dx};
    g.mean = (float *)mean, g.rstd = (float *)rstd; /* read only here */
    if (!C || (!dx && !dgamma && !dbeta)) return;
    g.keep_dz = silu && dx && !add_dx;
    norm_init(&g);
    if (HW) norm_run(&g, dot_task, dx ? dx_task : NULL, backward_image_task);
    if (dbeta) sum_parts(&g, 0, dbeta, add_dbeta);
    if (dgamma) sum_parts(&g, 1, dgamma, add_dgamma);
}

/* ---- LayerNorm ---- */

typedef struct {
    size_t rows, C, task_rows;
    float eps;
    const float *x, *gamma, *beta, *dy;
    float *y, *mean, *rstd, *dx;
    bool add_dx;
    double *parts; /* [pieces][2][C]: dgamma, dbeta */
} layer_t;

static float row_sum(const float *x, size_t C) {
    vf s[4] = {{0}};
    size_t j = 0;
    for (; j + 4 * VL <= C; j += 4 * VL)
        for (int v = 0; v < 4; v++) s[v] += v_load(x + j + (size_t)v * VL);
    for (; j < C; j += VL) s[0] += j + VL <= C ? v_load(x + j) : v_load_part(x + j, C - j, 0);
    return v_sum((s[0] + s[1]) + (s[2] + s[3]));
}

static float row_squares(const float *x, size_t C, float mean) {
    vf s[4] = {{0}}, m = v_set(mean);
    size_t j = 0;
    for (; j + 4 * VL <= C; j += 4 * VL)
        for (int v = 0; v < 4; v++) {
            vf d = v_load(x + j + (size_t)v * VL) - m;
            s[v] += d * d;
        }
    for (; j < C; j += VL) {
        vf d = (j + VL <= C ? v_load(x + j) : v_load_part(x + j, C - j, mean)) - m;
        s[0] += d * d;
    }
    return v_sum((s[0] + s[1]) + (s[2] + s[3]));
}

static void layer_forward_task(void *ctx, size_t task) {
    const layer_t *l = ctx;
    size_t C = l->C, end = min_size((task + 1) * l->task_rows, l->rows);
    for (size_t r = task * l->task_rows; r < end; r++) {
        const float *x = l->x + r * C;
        float *y = l->y + r * C;
        float mean = row_sum(x, C) / (float)C,
              rstd = 1.f / sqrtf(row_squares(x, C, mean) / (float)C + l->eps);
        size_t j = 0;
        for (; j + VL <= C; j += VL)
            v_store(y + j,
                    (v_load(x + j) - mean) * rstd * v_load(l->gamma + j) + v_load(l->beta + j));
        if (j < C) {
            vf t =
                (v_load_part(x + j, C - j, 0) - mean) * rstd * v_load_part(l->gamma + j, C - j, 0);
            v_store_part(y + j, t + v_load_part(l->beta + j, C - j, 0), C - j);
        }
        l->mean[r] = mean;
        l->rstd[r] = rstd;
    }
}

void kern_layernorm_forward(const float *x, const float *gamma, const float *beta, size_t rows,
                            size_t C, float eps, float *y, float *mean, float *rstd) {
    if (!rows || !C) return;
    layer_t l = {.rows = rows,
                 .C = C,
                 .eps = eps,
                 .x = x,
                 .gamma = gamma,
                 .beta = beta,
                 .y = y,
                 .mean = mean,
                 .rstd = rstd};
    l.task_rows = max_size(LAYER_FLOATS / C, 1);
    parallel_for(ceil_div(rows, l.task_rows), layer_forward_task, &l);
}

/* dx = rstd (g - mean(g) - xhat mean(g xhat)), g = gamma dy; adds dy xhat and dy to the float sums
 * dg, db. */
static void layer_backward_row(const layer_t *l, size_t r, float *restrict dg, float *restrict db) {
    size_t C = l->C;
    const float *x = l->x + r * C, *dy = l->dy + r * C, *gamma = l->gamma;
    float rstd = l->rstd[r], center = -l->mean[r] * rstd;
    vf a0 = {0}, a1 = {0};
    for (size_t j = 0; j < C; j += VL) {
        size_t left = C - j;
        vf t, d, g;
        if (left >= VL)
            t = v_load(x + j), d = v_load(dy + j), g = v_load(gamma + j);
        else
            t = v_load_part(x + j, left, 0), d = v_load_part(dy + j, left, 0),
            g = v_load_part(gamma + j, left, 0);
        vf h = t * rstd + center;
        a0 += d * g;
        a1 += d * g * h;
        v_store(dg + j, v_load(dg + j) + d * h); /* dg, db are padded to whole vectors */
        v_store(db + j, v_load(db + j) + d);
    }
    if (!l->dx) return;
    float m0 = v_sum(a0) / (float)C, m1 = v_sum(a1) / (float)C, *dx = l->dx + r * C;
    size_t j = 0;
    for (; j + VL <= C; j += VL) {
        vf h = v_load(x + j) * rstd + center,
           d = rstd * (v_load(dy + j) * v_load(gamma + j) - m0 - h * m1);
        v_store(dx + j, l->add_dx ? v_load(dx + j) + d : d);
    }
    if (j < C) {
        size_t left = C - j;
        vf h = v_load_part(x + j, left, 0) * rstd + center,
           d = rstd *
               (v_load_part(dy + j, left, 0) * v_load_part(gamma + j, left, 0) - m0 - h * m1);
        v_store_part(dx + j, l->add_dx ? v_load_part(dx + j, left, 0) + d : d, left);
    }
}

static void layer_backward_task(void *ctx, size_t piece) {
    const layer_t *l = ctx;
    size_t C = l->C, wide = ceil_div(C, VL) * VL,
           end = min_size((piece + 1) * l->task_rows, l->rows);
    float *dg = scratch_get(SCRATCH_NORM_TASK, 2 * wide * sizeof *dg), *db = dg + wide;
    double *sum = l->parts + piece * 2 * C;
    memset(sum, 0, 2 * C * sizeof *sum);
    for (size_t r = piece * l->task_rows; r < end;) {
        size_t block = min_size(end, r + LAYER_BLOCK);
        memset(dg, 0, 2 * wide * sizeof *dg);
        for (; r < block; r++) layer_backward_row(l, r, dg, db);
        for (size_t j = 0; j < C; j++) {
            sum[j] += (double)dg[j];
            sum[C + j] += (double)db[j];
        }
    }
}

void kern_layernorm_backward(const float *x, const float *gamma, const float *mean,
                             const float *rstd, const float *dy, size_t rows, size_t C, float *dx,
                             bool add_dx, float *dgamma, bool add_dgamma, float *dbeta,
                             bool add_dbeta) {
    if (!C) return;
    layer_t l = {
        .rows = rows, .C = C, .x = x, .gamma = gamma, .dy = dy, .dx = dx, .add_dx = add_dx};
    l.mean = (float *)mean, l.rstd = (float *)rstd; /* read only here */
    l.task_rows = max_size(ceil_div(rows, KERN_PIECES), LAYER_BLOCK);
    size_t pieces = ceil_div(rows, l.task_rows);
    l.parts = scratch_get(SCRATCH_NORM, (pieces + 1) * 2 * C * sizeof *l.parts);
    parallel_for(pieces, layer_backward_task, &l);
    for (size_t j = 0; j < C; j++) {
        double g = 0, b = 0;
        for (size_t p = 0; p < pieces; p++) {
            g += l.parts[p * 2 * C + j];
            b += l.parts[p * 2 * C + C + j];
        }
        if (dgamma) dgamma[j] = (float)(add_dgamma ? dgamma[j] + g : g);
        if (dbeta) dbeta[j] = (float)(add_dbeta ? dbeta[j] + b : b);
    }
}
