/* groupnorm.c - GroupNorm over NHWC images, with SiLU folded in (norm.h).
 *
 * An image is a matrix [HW,C]: a row per pixel. Every channel is reduced first, with vectors that
 * run along the channels, and channels are combined to groups in double afterwards. So groups of
 * one channel cost no more than groups of sixteen.
 *
 * C need not be a multiple of the vector. Pixels are therefore read in wide rows of L = pixels*C
 * floats: as many pixels as make L a multiple of VL, and at least eight vectors. Column j of a wide
 * row always belongs to channel j % C, so sums per column are folded to sums per channel at the
 * end:
 *
 *     memory    | pixel 0 | pixel 1 | pixel 2 | pixel 3 | pixel 4 | pixel 5 | ...
 *     wide rows |<=========== L ===========>|<=========== L ===========>|
 *     sums      s[0..L)  ->  fold  ->  s[0..C)
 *
 * An image is cut into pieces by its own shape, and a piece into blocks of wide rows. A thread
 * takes a whole image, which stays in its cache for the second sweep. When images are few, threads
 * share the pieces. The sums are the same either way.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/slots.h"
#include "common/kernel/vmath.h"

#include <math.h>

enum {
    /* Least floats of a wide row. */
    WIDE_MIN = 8 * VL,
    /* Floats of a block, summed in float before doubles take over. 16 KB: L1 still has them for the
     * second reading. */
    BLOCK_FLOATS = 4096,
    /* Least floats of a piece of an image. */
    PIECE_FLOATS = 32768
};

/* ---- sums over wide rows ---- */

/* What is summed per column of the wide rows, to s0 and s1. */
typedef enum {
    SUM,     /* s0: x */
    SQUARES, /* s0: (x - p)^2, s1: x - p, for a center p per column */
    DOT      /* s0: dz, s1: dz xhat */
} sweep_t;

/* What DOT needs per column [L]: z = scale x + shift (SiLU's argument), xhat = rstd x + center. */
typedef struct {
    const float *scale, *shift, *rstd, *center;
} coef_t;

/* d silu(u) / du times dy */
VMATH vf silu_back(vf u, vf dy) {
    vf s = v_sigmoid(u);
    return dy * (s + u * s * (1.f - s));
}

/* Sums the columns [j, j + nv*VL) of x [rows,L] over all rows; the nv (8 at most) vectors of sums
 * stay in registers. kind and nv are constants at each call, so the branches vanish. */
VMATH void sweep_columns(sweep_t kind, int nv, const float *x, const float *dy, size_t rows,
                         size_t L, size_t j, const float *p, const coef_t *coef, float *s0,
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
                a1[v] +=
                    dz * (t * v_load(coef->rstd + j + VL * v) + v_load(coef->center + j + VL * v));
            }
        }
    }
    for (int v = 0; v < nv; v++) {
        v_store(s0 + j + VL * v, a0[v]);
        if (kind != SUM) v_store(s1 + j + VL * v, a1[v]);
    }
}

/* s0, s1 [L] = the sums of `kind` over x, dy [rows,L]. */
VMATH void sweep_block(sweep_t kind, const float *x, const float *dy, size_t rows, size_t L,
                       const float *p, const coef_t *coef, float *s0, float *s1) {
    size_t j = 0;
    if (kind == SUM) { /* one sum per column: registers hold twice as many */
        for (; j + 8 * VL <= L; j += 8 * VL)
            sweep_columns(kind, 8, x, dy, rows, L, j, p, coef, s0, s1);
    }
    for (; j + 4 * VL <= L; j += 4 * VL) sweep_columns(kind, 4, x, dy, rows, L, j, p, coef, s0, s1);
    for (; j < L; j += VL) sweep_columns(kind, 1, x, dy, rows, L, j, p, coef, s0, s1);
}

/* DOT behind SiLU: dz = silu'(scale x + shift) dy. Row by row with the sums in memory, because the
 * sigmoid takes the time and not the sums. Leaves dz [rows,L] in `out` unless that is NULL. */
static void silu_block(const float *x, const float *dy, size_t rows, size_t L, const coef_t *coef,
                       float *s0, float *s1, float *out) {
    memset(s0, 0, L * sizeof *s0);
    memset(s1, 0, L * sizeof *s1);
    for (size_t i = 0; i < rows * L; i += L)
        for (size_t j = 0; j < L; j += VL) {
            vf t = v_load(x + i + j),
               dz = silu_back(t * v_load(coef->scale + j) + v_load(coef->shift + j),
                              v_load(dy + i + j));
            v_store(s0 + j, v_load(s0 + j) + dz);
            v_store(s1 + j,
                    v_load(s1 + j) + dz * (t * v_load(coef->rstd + j) + v_load(coef->center + j)));
            if (out) v_store(out + i + j, dz);
        }
}

/* ---- GroupNorm geometry ---- */

typedef struct {
    size_t N, HW, C, G;
    size_t pixels, L;  /* of a wide row: L = pixels * C floats */
    size_t block_rows; /* wide rows of a block */
    size_t piece;      /* pixels of a piece: a whole number of blocks */
    size_t pieces;     /* of an image */
    bool silu, add_dx;
    bool keep_dz; /* dx holds dz between the sweeps: no second sigmoid */
    float eps;
    const float *x, *gamma, *beta, *dy;
    float *y, *mean, *rstd, *dx;
    /* What a piece leaves behind, [N][pieces][2][C]: forward means and sums of squared deviations,
     * backward sums of dz and of dz xhat. */
    double *parts;
} norm_t;

/* Fixes wide rows, blocks and pieces: from HW and C alone, never from N or the threads. */
static void norm_init(norm_t *g) {
    /* The least number of pixels that fills whole vectors: VL / gcd(VL, C), VL a power of two. */
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

/* A task per image while images fill the threads evenly. Else two rounds with a task per piece: the
 * sums, then `apply` (NULL: none). */
static void norm_run(norm_t *g, pool_fn sums, pool_fn apply, pool_fn image) {
    size_t threads = (size_t)pool_threads();
    if (g->pieces == 1 || g->N >= 4 * threads || g->N % threads == 0) {
        parallel_for(g->N, image, g);
    } else {
        parallel_for(g->N * g->pieces, sums, g);
        if (apply) parallel_for(g->N * g->pieces, apply, g);
    }
}

/* s[c] = sum over the pixels p of a wide row of s[p*C + c]: columns to channels, [L] -> [C]. */
static void fold(const norm_t *g, float *s) {
    for (size_t p = 1; p < g->pixels; p++)
        for (size_t c = 0; c < g->C; c++) s[c] += s[p * g->C + c];
}
/* The reverse: repeats the channels for every pixel of a wide row, [C] -> [L]. */
static void spread(const norm_t *g, float *s) {
    for (size_t p = 1; p < g->pixels; p++) memcpy(s + p * g->C, s, g->C * sizeof *s);
}

/* ---- GroupNorm forward ---- */

/* Merges the statistics of two sets of pixels, channel by channel (Chan et al. 1979). With n pixels
 * of mean m and M = sum (x - m)^2 on one side, n', m', M' on the other, and d = m' - m:
 *
 *     mean of both           = m + d n' / (n + n')
 *     squared deviations     = M + M' + d^2 n n' / (n + n')
 *
 * No large sums are subtracted from each other, so a mean far from zero costs no digits.
 *
 *   mean, m2          [C], of `seen` pixels; become those of seen + count
 *   new_mean, new_m2  [C], of `count` pixels */
static void merge(size_t C, double seen, double count, const double *new_mean, const double *new_m2,
                  double *mean, double *m2) {
    double total = seen + count, part = count / total, cross = seen * count / total;
    for (size_t c = 0; c < C; c++) {
        double d = new_mean[c] - mean[c];
        mean[c] += d * part;
        m2[c] += new_m2[c] + d * d * cross;
    }
}

/* Statistics of one block, x [rows,L] and `tail` pixels behind it, merged into mean and m2 [C] of
 * `seen` pixels.
 *
 * Two sweeps over the block, both in float: the sums give a center per channel, then deviations
 * from that center are squared and summed. The center is rounded, so it is not quite the mean. The
 * sum of the plain deviations says by how much, and both results are corrected for it:
 *
 *     off  = sum (x - p) / count         mean = p + off
 *     M    = sum (x - p)^2 - count off^2
 */
static void block_stats(const norm_t *g, const float *x, size_t rows, size_t tail, double seen,
                        double *mean, double *m2) {
    size_t C = g->C, L = g->L, count = rows * g->pixels + tail;
    float *sums = scratch_get(SCRATCH_NORM_TASK, L * 3 * sizeof *sums + C * 2 * sizeof(double)),
          *center = sums + L, *off = center + L;
    double *block_mean = (double *)(off + L), *block_m2 = block_mean + C;
    const float *rest = x + rows * L;
    sweep_block(SUM, x, NULL, rows, L, NULL, NULL, sums, NULL);
    fold(g, sums);
    for (size_t t = 0; t < tail; t++)
        for (size_t c = 0; c < C; c++) sums[c] += rest[t * C + c];
    for (size_t c = 0; c < C; c++) center[c] = sums[c] / (float)count;
    spread(g, center);
    sweep_block(SQUARES, x, NULL, rows, L, center, NULL, sums, off);
    fold(g, sums);
    fold(g, off);
    for (size_t t = 0; t < tail; t++)
        for (size_t c = 0; c < C; c++) {
            float d = rest[t * C + c] - center[c];
            sums[c] += d * d;
            off[c] += d;
        }
    for (size_t c = 0; c < C; c++) {
        double d = (double)off[c] / (double)count;
        block_mean[c] = (double)center[c] + d;
        block_m2[c] = fmax((double)sums[c] - d * d * (double)count, 0);
    }
    merge(C, seen, (double)count, block_mean, block_m2, mean, m2);
}

/* Mean and m2 [C] of one piece of image n, block after block, left in its part. The last block also
 * takes the pixels that fill no wide row. */
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

/* mean, rstd [G] of image n: pieces are merged to channels, then the channels of a group are merged
 * with equal counts (HW each). Reads the parts only, so every task of the image may repeat it. */
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

/* y = act(scale x + shift) over one piece; scale and shift [L] are a channel's constants,
 * spread. */
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

/* One piece: with scale = rstd gamma and shift = beta - mean rstd gamma, z is a multiply-add. */
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
    if (piece == 0) { /* one task of the image writes what the backward reads */
        for (size_t i = 0; i < g->G; i++) {
            g->mean[n * g->G + i] = (float)mean[i];
            g->rstd[n * g->G + i] = (float)rstd[i];
        }
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
                .beta = beta,
                .y = y,
                .mean = mean,
                .rstd = rstd};
    if (!N || !HW || !C) return;
    norm_init(&g);
    norm_run(&g, stats_task, apply_task, forward_image_task);
}

/* ---- GroupNorm backward ---- */

/* The forward was z = gamma xhat + beta, y = act(z), xhat = (x - mean) rstd. With dz = act'(z) dy
 * and the sums of a channel over the pixels, S0 = sum dz and S1 = sum dz xhat:
 *
 *     dbeta  = S0                      (over all images)
 *     dgamma = S1                      (over all images)
 *     dx     = rstd (gamma dz - m0 - xhat m1)
 *     m0     = sum_c gamma_c S0_c / elements of the group,   m1 the same with S1
 *
 * First sweep: S0 and S1 of every piece. Second sweep: dx, which needs the sums of the whole group.
 * Where dx is overwritten, the first sweep leaves dz in it, so the sigmoid runs once. */

/* Image n's coefficients per column, in mem [4][L]: z = scale x + shift, xhat = rstd x + center. */
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

/* Adds S0 and S1 [C] of one block: x, dy [rows,L] and `tail` pixels. Leaves dz in dz_out unless
 * NULL. */
static void dot_block(const norm_t *g, const float *x, const float *dy, size_t rows, size_t tail,
                      const coef_t *coef, float *dz_out, double *S0, double *S1) {
    size_t C = g->C, L = g->L;
    float *s0 = scratch_get(SCRATCH_NORM_TASK, 2 * L * sizeof *s0), *s1 = s0 + L;
    if (g->silu)
        silu_block(x, dy, rows, L, coef, s0, s1, dz_out);
    else
        sweep_block(DOT, x, dy, rows, L, NULL, coef, s0, s1);
    /* The last pixels are fewer than a wide row: one row, padded with dy = 0. */
    for (size_t j = 0, at = rows * L; j < tail * C; j += VL) {
        size_t left = min_size(VL, tail * C - j);
        vf t = v_load_part(x + at + j, left, 0), dz = v_load_part(dy + at + j, left, 0);
        if (g->silu) dz = silu_back(t * v_load(coef->scale + j) + v_load(coef->shift + j), dz);
        v_store(s0 + j, v_load(s0 + j) + dz);
        v_store(s1 + j,
                v_load(s1 + j) + dz * (t * v_load(coef->rstd + j) + v_load(coef->center + j)));
        if (dz_out) v_store_part(dz_out + at + j, dz, left);
    }
    fold(g, s0);
    fold(g, s1);
    for (size_t c = 0; c < C; c++) {
        S0[c] += (double)s0[c];
        S1[c] += (double)s1[c];
    }
}

/* S0 and S1 [C] of one piece of an image, left in its part. */
static void dot_task(void *ctx, size_t task) {
    const norm_t *g = ctx;
    size_t n = task / g->pieces, piece = task % g->pieces;
    size_t first = piece * g->piece, count = piece_end(g, piece) - first, rows = count / g->pixels,
           at = (n * g->HW + first) * g->C;
    double *S0 = part_of(g, n, piece), *S1 = S0 + g->C;
    coef_t coef = image_coef(g, n, scratch_get(SCRATCH_NORM_COEF, 4 * g->L * sizeof(float)));
    memset(S0, 0, 2 * g->C * sizeof *S0);
    size_t r = 0;
    do {
        size_t now = min_size(g->block_rows, rows - r),
               tail = r + now == rows ? count % g->pixels : 0;
        size_t from = at + r * g->L;
        float *dz = g->keep_dz ? g->dx + from : NULL;
        dot_block(g, g->x + from, g->dy + from, now, tail, &coef, dz, S0, S1);
        r += now;
    } while (r < rows);
}

/* dx = P dz + Q x + R, per column [L]. From dx = rstd (gamma dz - m0 - (x - mean) rstd m1):
 *   P = rstd gamma,   Q = -rstd^2 m1,   R = -rstd m0 + rstd^2 mean m1. */
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
        m0 /= count;
        m1 /= count;
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

/* dx (+)= P dz + Q x + R over `count` floats from the first column of a wide row on. dy holds dz
 * itself unless `silu`. */
VMATH void dx_sweep(bool silu, bool add, const float *x, const float *dy, size_t count, size_t L,
                    const coef_t *coef, const float *P, const float *Q, const float *R, float *dx) {
    for (size_t i = 0; i < count; i += L)
        for (size_t j = 0; j < L && i + j < count; j += VL) {
            size_t at = i + j, left = count - at;
            vf t, dz, d;
            if (left >= VL) {
                t = v_load(x + at);
                dz = v_load(dy + at);
            } else {
                t = v_load_part(x + at, left, 0);
                dz = v_load_part(dy + at, left, 0);
            }
            if (silu) dz = silu_back(t * v_load(coef->scale + j) + v_load(coef->shift + j), dz);
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
    coef_t coef = image_coef(g, n, mem);
    dx_coef(g, n, P, Q, R);
    if (g->keep_dz)
        dx_sweep(false, false, g->x + at, g->dx + at, count, L, &coef, P, Q, R, g->dx + at);
    else if (g->silu)
        dx_sweep(true, true, g->x + at, g->dy + at, count, L, &coef, P, Q, R, g->dx + at);
    else
        dx_sweep(false, g->add_dx, g->x + at, g->dy + at, count, L, &coef, P, Q, R, g->dx + at);
}

static void backward_image_task(void *ctx, size_t n) {
    const norm_t *g = ctx;
    for (size_t p = 0; p < g->pieces; p++) dot_task(ctx, n * g->pieces + p);
    if (!g->dx) return;
    for (size_t p = 0; p < g->pieces; p++) dx_task(ctx, n * g->pieces + p);
}

/* out[C] (+)= S0 (which 0) or S1 (which 1) of all pieces of all images, in order. */
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
                .mean = (float *)mean, /* read only here */
                .rstd = (float *)rstd,
                .dx = dx,
                .add_dx = add_dx};
    if (!C || (!dx && !dgamma && !dbeta)) return;
    g.keep_dz = silu && dx && !add_dx;
    norm_init(&g);
    if (HW) norm_run(&g, dot_task, dx ? dx_task : NULL, backward_image_task);
    if (dbeta) sum_parts(&g, 0, dbeta, add_dbeta);
    if (dgamma) sum_parts(&g, 1, dgamma, add_dgamma);
}
