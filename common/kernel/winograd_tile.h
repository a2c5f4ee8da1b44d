/* winograd_tile.h - the transforms of winograd.h: between a square of pixels and a square of
 * points, a vector of channels at a time.
 *
 * The points in each direction are 0, +-a, +-b and infinity. Not the usual 1 and 2: with
 * a = sqrt(1/2), b = sqrt(2) no factor is larger than 2.9, and the errors are a third to a quarter
 * (SPEED.md).
 *
 * Under the x2 enlargement the six rows that a tile reads are four rows of the image, p q q r r s.
 * Two equal neighbours are a multiple of 1 + z, so with a = 1 all values at the point -a are 0.
 * That point is left out, and 25 of 36 products remain. The same holds where a gradient is summed
 * over the 2x2 pixels that came from one.
 *
 * The transform of a square is that of a line, for each of its columns and then for each row of the
 * result. Which code a channel of a tile runs through depends on its place in the image only, so
 * its bits do too.
 */
#ifndef KERNEL_WINOGRAD_TILE_H
#define KERNEL_WINOGRAD_TILE_H

#include "common/kernel/vmath.h"

#include <stdbool.h>

/* Pixels of an output tile's side, of its inputs' side, and all points. */
enum { TILE = 4, SIDE = 6, POINTS = SIDE * SIDE };

/* ---- one line ---- */

/* What happens along one direction: pixels or taps become points, or points become pixels or taps.
 * The matrices' names are Lavin & Gray's. Those in _5 and _PAIRS have a = 1 and no point -a. */
typedef enum {
    LINE_INPUT,        /* B^T: 6 pixels to 6 points */
    LINE_INPUT_5,      /* 6 pixels to 5 points */
    LINE_INPUT_PAIRS,  /* 4 pixels, read as p q q r r s, to 5 points */
    LINE_OUTPUT,       /* A^T: 6 points to 4 pixels */
    LINE_OUTPUT_5,     /* 5 points to 4 pixels */
    LINE_OUTPUT_PAIRS, /* 5 points to 2 pixels: sums of pairs of the 4 */
    LINE_GRAD,         /* A: 4 pixels to 6 points */
    LINE_GRAD_5,       /* 4 pixels to 5 points */
    LINE_FILTER,       /* G: 3 taps to 6 points */
    LINE_FILTER_5,     /* 3 taps to 5 points */
    LINE_TAPS,         /* G^T: 6 points to 3 taps */
    LINE_TAPS_5        /* 5 points to 3 taps */
} line_t;

/* How many values go in. */
VMATH size_t line_from(line_t kind) {
    static const size_t n[] = {6, 6, 4, 6, 5, 5, 4, 4, 3, 3, 6, 5};
    return n[kind];
}
/* How many come out. */
VMATH size_t line_to(line_t kind) {
    static const size_t n[] = {6, 5, 5, 4, 4, 2, 6, 5, 6, 5, 3, 3};
    return n[kind];
}

/* The points a and b and their squares; `full`: all six points are used. */
#define POINT_A (full ? 0.707106781f : 1.f)
#define POINT_B (full ? 1.414213562f : 1.6f)
#define POINT_AA (full ? 0.5f : 1.f)
#define POINT_BB (full ? 2.f : 2.56f)

/* to = B^T d. Row i of B^T has the coefficients of prod (z - point) over the finite points other
 * than i; with +-a and +-b in pairs, even and odd powers are shared:
 *
 *     at 0         aa bb d0 - (aa + bb) d2 + d4
 *     at +-a       (d4 - bb d2) +- a (d3 - bb d1)
 *     at +-b       (d4 - aa d2) +- b (d3 - aa d1)
 *     at infinity  aa bb d1 - (aa + bb) d3 + d5
 *
 * Value i goes to to[i*step], in this and all the following. */
VMATH void line_input(line_t kind, const vf *d, vf *to, size_t step) {
    bool full = kind == LINE_INPUT;
    float a = POINT_A, b = POINT_B, aa = POINT_AA, bb = POINT_BB;
    if (kind == LINE_INPUT_PAIRS) { /* d = p q r s */
        vf f = d[2] - d[1];
        to[0] = bb * d[0] + (d[2] - (1 + bb) * d[1]);
        to[step] = 2 * (d[2] - bb * d[1]);
        to[2 * step] = (1 + b) * f;
        to[3 * step] = (1 - b) * f;
        to[4 * step] = bb * d[1] + (d[3] - (1 + bb) * d[2]);
        return;
    }
    size_t at = 0;
    vf even_a = d[4] - bb * d[2], odd_a = d[3] - bb * d[1], even_b = d[4] - aa * d[2],
       odd_b = d[3] - aa * d[1];
    to[at++ * step] = aa * bb * d[0] + (d[4] - (aa + bb) * d[2]);
    to[at++ * step] = even_a + a * odd_a;
    if (full) to[at++ * step] = even_a - a * odd_a;
    to[at++ * step] = even_b + b * odd_b;
    to[at++ * step] = even_b - b * odd_b;
    to[at * step] = aa * bb * d[1] + (d[5] - (aa + bb) * d[3]);
}

/* to = A^T m. Column i of A^T has the powers 0 to 3 of point i: a polynomial's values back to four
 * outputs, y_k = sum over points of point^k m. */
VMATH void line_output(line_t kind, const vf *m, vf *to, size_t step) {
    bool full = kind == LINE_OUTPUT;
    float a = POINT_A, b = POINT_B, aa = POINT_AA, bb = POINT_BB;
    if (kind == LINE_OUTPUT_PAIRS) {
        vf both = (1 + b) * m[2] + (1 - b) * m[3];
        to[0] = m[0] + (2 * m[1] + both);
        to[step] = m[4] + (2 * m[1] + bb * both);
        return;
    }
    vf minus_a = full ? m[2] : (vf){0}, plus_b = m[2 + full], minus_b = m[3 + full],
       last = m[4 + full];
    vf even_a = m[1] + minus_a, odd_a = a * (m[1] - minus_a), even_b = plus_b + minus_b,
       odd_b = b * (plus_b - minus_b);
    to[0] = m[0] + (even_a + even_b);
    to[step] = odd_a + odd_b;
    to[2 * step] = aa * even_a + bb * even_b;
    to[3 * step] = last + (aa * odd_a + bb * odd_b);
}

/* to = A y: the transpose of line_output, four output gradients at all points. */
VMATH void line_grad(line_t kind, const vf *y, vf *to, size_t step) {
    bool full = kind == LINE_GRAD;
    float a = POINT_A, b = POINT_B, aa = POINT_AA, bb = POINT_BB;
    size_t at = 0;
    vf even_a = y[0] + aa * y[2], odd_a = y[1] + aa * y[3], even_b = y[0] + bb * y[2],
       odd_b = y[1] + bb * y[3];
    to[at++ * step] = y[0];
    to[at++ * step] = even_a + a * odd_a;
    if (full) to[at++ * step] = even_a - a * odd_a;
    to[at++ * step] = even_b + b * odd_b;
    to[at++ * step] = even_b - b * odd_b;
    to[at * step] = y[3];
}

/* to = G w. Row i of G has the powers 0 to 2 of point i, divided by prod (point i - point) over the
 * other finite points. */
VMATH void line_filter(line_t kind, const vf *w, vf *to, size_t step) {
    bool full = kind == LINE_FILTER;
    float a = POINT_A, b = POINT_B, aa = POINT_AA, bb = POINT_BB;
    float over_0 = 1 / (aa * bb), over_a = 1 / (2 * aa * (aa - bb)),
          over_b = 1 / (2 * bb * (bb - aa));
    size_t at = 0;
    vf even_a = over_a * (w[0] + aa * w[2]), odd_a = over_a * a * w[1],
       even_b = over_b * (w[0] + bb * w[2]), odd_b = over_b * b * w[1];
    to[at++ * step] = over_0 * w[0];
    to[at++ * step] = even_a + odd_a;
    if (full) to[at++ * step] = even_a - odd_a;
    to[at++ * step] = even_b + odd_b;
    to[at++ * step] = even_b - odd_b;
    to[at * step] = w[2];
}

/* to = G^T u: the transpose of line_filter, sums at the points to three taps. */
VMATH void line_taps(line_t kind, const vf *u, vf *to, size_t step) {
    bool full = kind == LINE_TAPS;
    float a = POINT_A, b = POINT_B, aa = POINT_AA, bb = POINT_BB;
    float over_0 = 1 / (aa * bb), over_a = 1 / (2 * aa * (aa - bb)),
          over_b = 1 / (2 * bb * (bb - aa));
    vf minus_a = full ? u[2] : (vf){0}, plus_b = u[2 + full], minus_b = u[3 + full],
       last = u[4 + full];
    vf even_a = over_a * (u[1] + minus_a), odd_a = over_a * a * (u[1] - minus_a),
       even_b = over_b * (plus_b + minus_b), odd_b = over_b * b * (plus_b - minus_b);
    to[0] = over_0 * u[0] + (even_a + even_b);
    to[step] = odd_a + odd_b;
    to[2 * step] = last + (aa * even_a + bb * even_b);
}

/* The transform of this kind; the enum's order makes each test a range. */
VMATH void line_apply(line_t kind, const vf *from, vf *to, size_t step) {
    if (kind <= LINE_INPUT_PAIRS)
        line_input(kind, from, to, step);
    else if (kind <= LINE_OUTPUT_PAIRS)
        line_output(kind, from, to, step);
    else if (kind <= LINE_GRAD_5)
        line_grad(kind, from, to, step);
    else if (kind <= LINE_FILTER_5)
        line_filter(kind, from, to, step);
    else
        line_taps(kind, from, to, step);
}

/* ---- a square of pixels, to points and back ---- */

/* Some lanes from memory and back, the others 0. Where their number is known they are picked one by
 * one: a copy through the stack stalls. */
VMATH vf load_lanes(const float *p, size_t lanes) {
    if (lanes == VL) return v_load(p);
    if (lanes == VL / 2) return V_PICK(*(const vhu *)p, (vh){0}, V_LANES);
    if (lanes == 3 && !VMATH_WIDE) return (vf){p[0], p[1], p[2]};
    return v_load_part(p, lanes, 0);
}
VMATH void store_lanes(float *p, vf a, size_t lanes) {
    if (lanes == VL)
        v_store(p, a);
    else if (lanes == VL / 2)
        *(vhu *)p = v_low(a);
    else
        v_store_part(p, a, lanes);
}

/* Makes the compiler forget what it knows of a loop's invariants. It would keep some seventy
 * addresses on the stack. */
#define FORGET(a, b) __asm__("" : "+r"(a), "+r"(b))

/* Channels c .. c+lanes-1 of a square of pixels, to points: dst[p*stride] = (T px T^T)[p], T as
 * `kind`
 *
 *   px      [n*n]: where each pixel of the square lies, n = line_from(kind)
 *   lanes   how many channels there are, VL at most; the others become 0, because a row of points
 *           is a multiple of eight floats
 *   dst     the first point; point p is `stride` floats times p further
 *   step    floats from a pixel to the same one of the tile to the right. What that tile does not
 *           share with this one is fetched into the L2 cache (L1 holds the points). */
VMATH void to_points_of(line_t kind, float *const *px, size_t c, size_t lanes, float *dst,
                        size_t stride, size_t step) {
    size_t from = line_from(kind), to = line_to(kind);
    /* Columns that the tile to the right has too. Filters have no such tile. */
    size_t shared = kind <= LINE_INPUT_PAIRS ? 2 : kind <= LINE_GRAD_5 ? 0 : from;
    vf half[SIDE * SIDE], v[SIDE];
#pragma GCC unroll 6
    for (size_t j = 0; j < from; j++) {
#pragma GCC unroll 6
        for (size_t i = 0; i < from; i++) {
            const float *p = px[i * from + j] + c;
            v[i] = load_lanes(p, lanes);
            if (j >= shared) __builtin_prefetch(p + step, 0, 2);
        }
        line_apply(kind, v, half + j, from);
    }
#pragma GCC unroll 6
    for (size_t i = 0; i < to; i++) {
        line_apply(kind, half + i * from, v, 1);
#pragma GCC unroll 6
        for (size_t j = 0; j < to; j++, dst += stride) store_lanes(dst, v[j], lanes <= 8 ? 8 : VL);
    }
}

/* All C channels of a square of pixels to points: whole vectors, then the rest. */
VMATH void to_points(line_t kind, float *const *px, size_t C, float *dst, size_t stride,
                     size_t step) {
    size_t c = 0;
    for (; c + VL <= C; c += VL) {
        FORGET(px, stride);
        to_points_of(kind, px, c, VL, dst + c, stride, step);
    }
    size_t rest = C - c;
    if (rest == VL / 2)
        to_points_of(kind, px, c, VL / 2, dst + c, stride, step);
    else if (rest == 3)
        to_points_of(kind, px, c, 3, dst + c, stride, step); /* RGB images */
    else if (VMATH_WIDE && rest > 8)
        to_points_of(kind, px, c, rest, dst + c, stride, step);
    else if (rest)
        to_points_of(kind, px, c, rest, dst + c, stride, step);
}

/* The way back, for channels c .. c+lanes-1: px[i] (+)= (T src T^T)[i] + bias, T as `kind`; point p
 * is at src + p*stride, and bias may be NULL. */
VMATH void from_points_of(line_t kind, const float *src, size_t stride, const float *bias, bool add,
                          float *const *px, size_t c, size_t lanes) {
    size_t from = line_from(kind), to = line_to(kind);
    vf half[SIDE * SIDE], v[SIDE], b = bias ? v_load_part(bias + c, lanes, 0) : (vf){0};
#pragma GCC unroll 6
    for (size_t j = 0; j < from; j++) {
        const float *p = src + j * stride;
#pragma GCC unroll 6
        for (size_t i = 0; i < from; i++, p += from * stride) v[i] = v_load(p);
        line_apply(kind, v, half + j, from);
    }
#pragma GCC unroll 6
    for (size_t i = 0; i < to; i++) {
        line_apply(kind, half + i * from, v, 1);
#pragma GCC unroll 6
        for (size_t j = 0; j < to; j++) {
            float *p = px[i * to + j] + c;
            v[j] += b;
            if (add) v[j] += load_lanes(p, lanes);
            store_lanes(p, v[j], lanes);
        }
    }
}

/* All C channels. */
VMATH void from_points(line_t kind, const float *src, size_t stride, const float *bias, bool add,
                       float *const *px, size_t C) {
    size_t c = 0;
    for (; c + VL <= C; c += VL) {
        FORGET(px, stride);
        from_points_of(kind, src + c, stride, bias, add, px, c, VL);
    }
    size_t rest = C - c;
    if (rest == VL / 2)
        from_points_of(kind, src + c, stride, bias, add, px, c, VL / 2);
    else if (rest == 3)
        from_points_of(kind, src + c, stride, bias, add, px, c, 3);
    else if (rest)
        from_points_of(kind, src + c, stride, bias, add, px, c, rest);
}

/* ---- where a tile lies ---- */

/* A grid of tiles over images [H,W,C]: tile (ty,tx) has the n x n pixels from row ty*step - top and
 * column tx*step - left on. */
typedef struct {
    float *data; /* read only where the tiles are inputs */
    size_t H, W, C, n, step;
    ptrdiff_t top, left;
} tiles_t;

/* px[n*n] = where the pixels of a tile are; `outside` for those beyond the image. */
VMATH void tile_pixels_of(const tiles_t *g, ptrdiff_t n, size_t image, size_t ty, size_t tx,
                          float *outside, float **px) {
    ptrdiff_t y = (ptrdiff_t)(ty * g->step) - g->top, x = (ptrdiff_t)(tx * g->step) - g->left;
    ptrdiff_t H = (ptrdiff_t)g->H, W = (ptrdiff_t)g->W, C = (ptrdiff_t)g->C,
              first = ((ptrdiff_t)image * H + y) * W + x;
    if (y >= 0 && x >= 0 && y + n <= H && x + n <= W) { /* most tiles of a large image */
        float *row = g->data + first * C;
        for (ptrdiff_t i = 0; i < n; i++, row += W * C)
#pragma GCC unroll 6
            for (ptrdiff_t j = 0; j < n; j++) px[i * n + j] = row + j * C;
        return;
    }
    for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t j = 0; j < n; j++) {
            bool in = y + i >= 0 && y + i < H && x + j >= 0 && x + j < W;
            px[i * n + j] = in ? g->data + (first + i * W + j) * C : outside;
        }
}

/* The same for any grid; n is one of three numbers, which the compiler then knows. */
static inline void tile_pixels(const tiles_t *g, size_t image, size_t ty, size_t tx, float *outside,
                               float **px) {
    if (g->n == SIDE)
        tile_pixels_of(g, SIDE, image, ty, tx, outside, px);
    else if (g->n == TILE)
        tile_pixels_of(g, TILE, image, ty, tx, outside, px);
    else
        tile_pixels_of(g, TILE / 2, image, ty, tx, outside, px);
}

#endif
