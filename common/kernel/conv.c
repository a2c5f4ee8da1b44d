/* conv.c - 2-D convolutions over the register tile of micro.h, without an im2col matrix (conv.h).
 *
 * A convolution is a product over taps and channels: an output pixel's left-hand side is the row
 *
 *     [ x at tap (0,0), Cin floats | x at tap (0,1) | ... | x at tap (kh-1,kw-1) ]
 *
 * and the right-hand side is w as a matrix [kh*kw*Cin, Cout]. The row is never written out: each
 * tap is a segment of contiguous floats in the image, or in a row of zeros outside it, and the tile
 * takes a list of pointers to segments (micro_rows). This is the "indirect convolution" of Dukhan
 * (2019).
 *
 *   forward          pixels of y; the segments are taps of x
 *   input gradient   pixels of x; the segments are the pixels of dy whose taps read them, and w is
 *                    transposed. With stride > 1 a list holds only the taps that meet the pixel.
 *   weight gradient  for each tap a product over pixels: a pixel is one step of k (micro_steps)
 *
 * Where the taps of a row of the kernel lie side by side and are few, the whole row is one segment.
 *
 * In the weight gradient inputs of few channels (RGB images) have segments too short for the tile.
 * They are gathered into a small im2col block instead, so that a pixel is one long segment.
 *
 * A task is a block of pixels of ONE image. Weight gradients cut the pixels of the batch into
 * pieces fixed by the shape. 3x3 kernels of stride 1 go to winograd.c where that is the faster way.
 */
#include "common/base/die.h"
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/micro.h"
#include "common/kernel/slots.h"
#include "common/kernel/winograd.h"

#include <stdlib.h>

enum {
    /* Pixels of a task. */
    BLOCK = 96,
    /* Pixels of a block of a weight gradient. */
    STEP_BLOCK = 256,
    /* Steps of k in a partial sum: whole taps, or a part of one. */
    KSLICE = 256,
    /* Fewer input channels than this go through im2col. */
    NARROW = 8,
    /* Taps of dy that may meet an input pixel along one axis. */
    MEET_MOST = 64
};

typedef struct {
    const kern_conv_t *g;
    const float *src; /* what the segments read: x, or dy for the input gradient */
    const float *w, *bias;
    const float *dy; /* weight gradient */
    float *dst;
    bool add;
    size_t taps, src_c, dst_c; /* kh*kw; channels of a segment and of a result */
    size_t panels;             /* of dst_c columns */
    size_t blocks, block;      /* per image; pixels of one */
    const float *packed;       /* the weights, [panels][taps*src_c][NR] */
    float *made;               /* the same while they are packed */
    const float *zeros;        /* what a tap outside the image reads */
    /* Weight gradient: pieces of piece_blocks blocks each, with sums [pieces][taps*Cin][Cout]. */
    float *parts;
    size_t pieces, piece_blocks, total_blocks;
} conv_t;

/* ---- pixels and taps ---- */

/* Where an output pixel reads: row and column of its tap (0,0), and its image. */
typedef struct {
    int y, x;
    const float *image;
} patch_t;

static inline patch_t patch_at(const conv_t *c, size_t n, size_t pixel) {
    const kern_conv_t *g = c->g;
    size_t oy = pixel / g->OW, ox = pixel - oy * g->OW;
    return (patch_t){(int)(oy * g->stride) - (int)g->pad_top,
                     (int)(ox * g->stride) - (int)g->pad_left, c->src + n * g->H * g->W * g->Cin};
}

/* What tap (r,s) of a pixel reads: a pointer to Cin values of x, or to zeros. */
static inline const float *tap_input(const conv_t *c, const patch_t *p, int r, int s) {
    const kern_conv_t *g = c->g;
    int y = p->y + r, x = p->x + s;
    if (y < 0 || x < 0) return c->zeros;
    if (g->up == 2) {
        y /= 2;
        x /= 2;
    }
    if (y >= (int)g->H || x >= (int)g->W) return c->zeros;
    return p->image + ((size_t)y * g->W + (size_t)x) * g->Cin;
}

/* The product of a block: out[i][0 .. cols) = sum over segments s of a_s(i)[seg_k] times w, for all
 * panels.
 *
 *   a      the segments of `rows` pixels, in groups of MR pixels: [rows/MR][segs][MR] pointers
 *   boff   [segs]: the row of w where a segment begins
 *   seg_k  floats of a segment
 *   out    [rows]: where each pixel's results go
 *   bias   [cols] or NULL
 *
 * A partial sum has KSLICE steps: several whole segments, or a part of a longer one. */
static void run_rows(const conv_t *c, const float *const *a, const size_t *boff, size_t segs,
                     size_t seg_k, size_t rows, float *const *out, size_t cols, const float *bias,
                     bool add) {
    size_t K = c->taps * c->src_c;
    size_t per = seg_k >= KSLICE ? 1 : KSLICE / seg_k; /* segments of a partial sum */
    for (size_t p = 0; p < c->panels; p += PAIR) {
        float edge[WIDE] = {0};
        micro_out_t o = {.n = min_size(WIDE, cols - p * NR), .add = add};
        if (bias) {
            memcpy(edge, bias + p * NR, o.n * sizeof *edge);
            o.bias = edge;
        }
        const float *b = c->packed + p * K * NR;
        for (size_t r = 0; r < rows; r += MR) {
            int mr = (int)min_size(MR, rows - r);
            float *row[MR];
            for (int i = 0; i < mr; i++) row[i] = out[r + i] + p * NR;
            o.row = row;
            const float *const *group = a + r / MR * segs * MR;
            o.first = true;
            if (!segs) micro_rows(mr, group, boff, 0, 0, b, K * NR, &o);
            for (size_t s = 0; s < segs; s += per) {
                if (seg_k <= KSLICE) {
                    micro_rows(mr, group + s * MR, boff + s, min_size(per, segs - s), seg_k, b,
                               K * NR, &o);
                    o.first = false;
                    continue;
                }
                for (size_t k = 0; k < seg_k; k += KSLICE) { /* many channels: parts of a segment */
                    const float *part[MR];
                    size_t off = boff[s] + k;
                    for (int i = 0; i < mr; i++)
                        part[i] = group[s * MR + i] + (group[s * MR + i] == c->zeros ? 0 : k);
                    micro_rows(mr, part, &off, 1, min_size(KSLICE, seg_k - k), b, K * NR, &o);
                    o.first = false;
                }
            }
        }
    }
}

/* im2col of one pixel: dst[taps*Cin]. */
static void gather_pixel(const conv_t *c, const patch_t *p, float *dst) {
    for (int r = 0; r < (int)c->g->kh; r++)
        for (int s = 0; s < (int)c->g->kw; s++) {
            const float *src = tap_input(c, p, r, s);
            for (size_t i = 0; i < c->g->Cin; i++) *dst++ = src[i];
        }
}

/* ---- forward ---- */

/* Are the taps of a row one segment? They lie side by side, so a list has kh entries instead of
 * kh*kw; near the left and right side the row is copied, with its zeros. */
static bool rows_whole(const kern_conv_t *g) {
    return g->up == 1 && g->kw * g->Cin <= KSLICE;
}

/* The lists of `rows` pixels from pixel p0 of image n on, a segment per row of the kernel: pointers
 * to kw*Cin values of x, to zeros, or to copies in `edge`. */
static void list_rows(const conv_t *c, size_t n, size_t p0, size_t rows, const float **a,
                      float *edge) {
    const kern_conv_t *g = c->g;
    ptrdiff_t W = (ptrdiff_t)g->W, kw = (ptrdiff_t)g->kw, Cin = (ptrdiff_t)g->Cin, seg_k = kw * Cin;
    const float *image = c->src + n * g->H * g->W * g->Cin;
    for (size_t r = 0, count; r < rows; r += count) { /* pixels of one row of y */
        size_t oy = (p0 + r) / g->OW, ox = (p0 + r) % g->OW;
        count = min_size(g->OW - ox, rows - r);
        for (size_t ky = 0; ky < g->kh; ky++) {
            ptrdiff_t y = (ptrdiff_t)(oy * g->stride + ky) - (ptrdiff_t)g->pad_top,
                      x = (ptrdiff_t)(ox * g->stride) - (ptrdiff_t)g->pad_left;
            bool inside = y >= 0 && y < (ptrdiff_t)g->H;
            const float **group = a + (r / MR * g->kh + ky) * MR;
            size_t at = r % MR;
            for (size_t i = 0; i < count; i++, x += (ptrdiff_t)g->stride) {
                const float *from = image + (y * W + x) * Cin;
                if (!inside || x + kw <= 0 || x >= W) {
                    from = c->zeros;
                } else if (x < 0 || x + kw > W) {
                    ptrdiff_t left = x < 0 ? -x : 0, right = x + kw > W ? W - x : kw;
                    memset(edge, 0, (size_t)seg_k * sizeof *edge);
                    memcpy(edge + left * Cin, from + left * Cin,
                           (size_t)((right - left) * Cin) * sizeof *edge);
                    from = edge;
                    edge += seg_k;
                }
                group[at] = from;
                if (++at == MR) {
                    at = 0;
                    group += g->kh * MR;
                }
            }
        }
    }
}

/* The same with a segment per tap. */
static void list_taps(const conv_t *c, size_t n, size_t p0, size_t rows, const float **a) {
    for (size_t r = 0; r < rows; r++) {
        patch_t patch = patch_at(c, n, p0 + r);
        const float **at = a + r / MR * c->taps * MR + r % MR;
        for (int ky = 0; ky < (int)c->g->kh; ky++)
            for (int kx = 0; kx < (int)c->g->kw; kx++, at += MR) *at = tap_input(c, &patch, ky, kx);
    }
}

/* One block of output pixels: their taps, then the product. */
static void forward_task(void *ctx, size_t task) {
    const conv_t *c = ctx;
    const kern_conv_t *g = c->g;
    size_t n = task / c->blocks, p0 = task % c->blocks * c->block,
           rows = min_size(c->block, g->OH * g->OW - p0);
    bool whole = rows_whole(g);
    size_t segs = whole ? g->kh : c->taps, seg_k = whole ? g->kw * g->Cin : g->Cin;
    const float **a =
        scratch_get(SCRATCH_CONV_POINTERS, (segs * (BLOCK + MR) + segs) * sizeof(void *));
    size_t *boff = (size_t *)(a + segs * (BLOCK + MR));
    float *out[BLOCK];
    if (whole)
        list_rows(c, n, p0, rows, a,
                  scratch_get(SCRATCH_CONV_TASK, BLOCK * segs * seg_k * sizeof(float)));
    else
        list_taps(c, n, p0, rows, a);
    for (size_t r = 0; r < rows; r++) out[r] = c->dst + (n * g->OH * g->OW + p0 + r) * g->Cout;
    for (size_t s = 0; s < segs; s++) boff[s] = s * seg_k;
    run_rows(c, a, boff, segs, seg_k, rows, out, g->Cout, c->bias, false);
}

/* Panel p of w: columns are output channels, rows (tap, input channel) as they lie. */
static void pack_forward_task(void *ctx, size_t p) {
    const conv_t *c = ctx;
    size_t K = c->taps * c->g->Cin;
    micro_pack(false, c->w, c->g->Cout, c->g->Cout, 0, K, p * NR, c->made + p * K * NR);
}

/* A row of n zeros, shared by all tasks of the call. */
static float *zeros_of(size_t n) {
    return memset(scratch_get(SCRATCH_REDUCE, n * sizeof(float)), 0, n * sizeof(float));
}

static conv_t conv_new(const kern_conv_t *g, size_t src_c, size_t dst_c) {
    conv_t c = {.g = g, .taps = g->kh * g->kw, .src_c = src_c, .dst_c = dst_c};
    c.panels = ceil_div(dst_c, NR);
    c.zeros = zeros_of(max_size(src_c, dst_c) + KSLICE + NR); /* a tap, or a row of them */
    return c;
}

size_t kern_conv_pack_bytes(const kern_conv_t *g) {
    if (winograd_pays(g)) return winograd_floats(g) * sizeof(float);
    return ceil_div(g->Cout, NR) * g->kh * g->kw * g->Cin * NR * sizeof(float);
}

void kern_conv_pack(const kern_conv_t *g, const float *w, float *packed) {
    if (winograd_pays(g)) {
        winograd_filter(g, w, packed);
        return;
    }
    conv_t c = conv_new(g, g->Cin, g->Cout);
    c.w = w;
    c.made = packed;
    parallel_for(c.panels, pack_forward_task, &c);
}

void kern_conv_packed(const kern_conv_t *g, const float *x, const float *packed, const float *bias,
                      float *y) {
    if (winograd_pays(g)) {
        winograd_forward(g, x, packed, bias, y);
        return;
    }
    conv_t c = conv_new(g, g->Cin, g->Cout);
    c.src = x;
    c.packed = packed;
    c.bias = bias;
    c.dst = y;
    /* As many blocks for each thread: few images are cut into smaller ones. It changes no bit. */
    size_t pixels = g->OH * g->OW, threads = (size_t)pool_threads(),
           wanted = round_up(g->N * ceil_div(pixels, BLOCK), threads);
    if (!wanted) return;
    c.block = round_up(ceil_div(pixels, ceil_div(wanted, g->N)), MR);
    c.blocks = ceil_div(pixels, c.block);
    parallel_for(g->N * c.blocks, forward_task, &c);
}

void kern_conv_forward(const kern_conv_t *g, const float *x, const float *w, const float *bias,
                       float *y) {
    float *packed = scratch_get(SCRATCH_CONV_PACK, kern_conv_pack_bytes(g));
    kern_conv_pack(g, w, packed);
    kern_conv_packed(g, x, packed, bias, y);
}

/* ---- input gradient ---- */

/* The forward was y[oy,ox] += x[iy,ix] w[r,s] with iy = oy*stride + r - pad_top. So
 *
 *     dx[iy,ix] = sum dy[oy,ox] w[r,s]^T over all (oy,r) and (ox,s) that meet (iy,ix)
 *
 * With up = 2 the rows 2 iy and 2 iy + 1 of the enlarged image both read row iy. The taps that meet
 * a row depend on iy mod stride, its phase: a task takes pixels of one phase, which all have the
 * same list.
 */

/* Panel p of w transposed: columns are input channels, rows (tap, output channel). */
static void pack_backward_task(void *ctx, size_t p) {
    const conv_t *c = ctx;
    size_t Cin = c->g->Cin, Cout = c->g->Cout, K = c->taps * Cout;
    for (size_t t = 0; t < c->taps; t++)
        micro_pack(true, c->w + t * Cin * Cout, Cout, Cin, 0, Cout, p * NR,
                   c->made + (p * K + t * Cout) * NR);
}

/* What meets input row i along one axis: pairs of an output row and a tap. Returns how many. All
 * rows of one phase have the same taps, but a pair's output row may lie outside: index is -1 then.
 *
 *   k, out, up  kernel size, output rows, enlargement
 *   index, tap  [MEET_MOST] */
static size_t meet(size_t i, size_t stride, size_t pad, size_t k, size_t out, size_t up, int *index,
                   size_t *tap) {
    size_t n = 0;
    for (size_t u = 0; u < up; u++)
        for (size_t r = 0; r < k; r++) {
            long at = (long)(i * up + u + pad) - (long)r;
            if (((at % (long)stride) + (long)stride) % (long)stride) continue;
            long o = at / (long)stride;
            index[n] = at < 0 || o >= (long)out ? -1 : (int)o;
            tap[n++] = r;
        }
    return n;
}

/* One block of input pixels of one phase: their pairs, then the product. */
static void backward_input_task(void *ctx, size_t task) {
    const conv_t *c = ctx;
    const kern_conv_t *g = c->g;
    size_t phases = g->stride * g->stride, phase = task % phases, n = task / phases / c->blocks,
           block = task / phases % c->blocks;
    size_t py = phase / g->stride, px = phase % g->stride;
    if (py >= g->H || px >= g->W) return;
    size_t h = ceil_div(g->H - py, g->stride),
           w = ceil_div(g->W - px, g->stride); /* pixels of this phase */
    if (block * BLOCK >= h * w) return;
    size_t rows = min_size(BLOCK, h * w - block * BLOCK), most = g->kh * g->up * g->kw * g->up;
    const float **a =
        scratch_get(SCRATCH_CONV_POINTERS, (most * (BLOCK + MR) + most) * sizeof(void *));
    size_t *boff = (size_t *)(a + most * (BLOCK + MR));
    float *out[BLOCK];
    int iy[MEET_MOST], ix[MEET_MOST];
    size_t ty[MEET_MOST], tx[MEET_MOST], segs = 0;
    for (size_t r = 0; r < rows; r++) {
        size_t y = (block * BLOCK + r) / w * g->stride + py,
               x = (block * BLOCK + r) % w * g->stride + px;
        size_t ny = meet(y, g->stride, g->pad_top, g->kh, g->OH, g->up, iy, ty),
               nx = meet(x, g->stride, g->pad_left, g->kw, g->OW, g->up, ix, tx);
        segs = ny * nx;
        out[r] = c->dst + ((n * g->H + y) * g->W + x) * g->Cin;
        const float **at = a + r / MR * segs * MR + r % MR;
        for (size_t i = 0; i < ny; i++)
            for (size_t j = 0; j < nx; j++) {
                bool inside = iy[i] >= 0 && ix[j] >= 0;
                at[(i * nx + j) * MR] =
                    inside
                        ? c->src + ((n * g->OH + (size_t)iy[i]) * g->OW + (size_t)ix[j]) * g->Cout
                        : c->zeros;
                boff[i * nx + j] = (ty[i] * g->kw + tx[j]) * g->Cout;
            }
    }
    run_rows(c, a, boff, segs, g->Cout, rows, out, g->Cin, NULL, c->add);
}

void kern_conv_backward_input(const kern_conv_t *g, const float *dy, const float *w, float *dx,
                              bool add) {
    if (winograd_pays(g)) {
        winograd_backward_input(g, dy, w, dx, add);
        return;
    }
    if (g->kh * g->up > MEET_MOST || g->kw * g->up > MEET_MOST)
        BUG("convolution kernels of %zu x %zu are not supported", g->kh, g->kw);
    conv_t c = conv_new(g, g->Cout, g->Cin);
    c.src = dy;
    c.w = w;
    c.dst = dx;
    c.add = add;
    c.blocks = ceil_div(ceil_div(g->H, g->stride) * ceil_div(g->W, g->stride), BLOCK);
    c.made = scratch_get(SCRATCH_CONV_PACK, c.panels * c.taps * g->Cout * NR * sizeof(float));
    parallel_for(c.panels, pack_backward_task, &c);
    c.packed = c.made;
    parallel_for(g->N * c.blocks * g->stride * g->stride, backward_input_task, &c);
}

/* ---- weight gradient ---- */

/* The forward was y[p,:] += x(p,t) w[t,:,:] for pixel p and tap t, where x(p,t) [Cin] is what the
 * tap reads. So dw[t,:,:] = sum_p x(p,t)^T dy[p,:]: a product [Cin, pixels] [pixels, Cout] per tap.
 */

/* dw[M,Cout] (+)= sum over kc pixels k of a[k][0 .. M)^T dy[k,:]
 *
 *   dy     [kc,Cout]; its whole panels are read where they lie
 *   edge   the last panel [kc][NR], packed, where Cout is no multiple of NR
 *   first  overwrite dw */
static void steps_rows(const conv_t *c, const float *const *a, size_t M, size_t kc, const float *dy,
                       float *dw, bool first, float *edge) {
    size_t Cout = c->g->Cout;
    size_t whole = Cout / NR, step;
    for (size_t p = 0; p < c->panels; p += step) {
        step = p + PAIR <= whole ? PAIR : 1;
        micro_out_t o = {.n = min_size(step * NR, Cout - p * NR), .first = first};
        const float *b = p < whole ? dy + p * NR : edge;
        size_t stride = p < whole ? Cout : NR;
        for (size_t m = 0; m < M; m += MR) {
            int mr = (int)min_size(MR, M - m);
            float *row[MR];
            for (int i = 0; i < mr; i++) row[i] = dw + (m + i) * Cout + p * NR;
            o.row = row;
            micro_steps(mr, a, NULL, 0, m, kc, b, stride, NR, &o);
        }
    }
}

/* One piece of the pixels of the batch, block after block: parts[piece] = its dw. */
static void backward_weight_task(void *ctx, size_t piece) {
    const conv_t *c = ctx;
    const kern_conv_t *g = c->g;
    size_t K = c->taps * g->Cin, pixels = g->OH * g->OW, total = g->N * pixels;
    bool narrow = g->Cin < NARROW;
    float *dw = c->parts + piece * K * g->Cout;
    float *columns =
        scratch_get(SCRATCH_CONV_TASK, STEP_BLOCK * (NR + (narrow ? K + MR : 0)) * sizeof(float));
    float *edge = columns + (narrow ? STEP_BLOCK * (K + MR) : 0);
    const float *a[STEP_BLOCK];
    patch_t patch[STEP_BLOCK];
    size_t b1 = min_size((piece + 1) * c->piece_blocks, c->total_blocks);
    for (size_t block = piece * c->piece_blocks; block < b1; block++) {
        size_t p0 = block * STEP_BLOCK, kc = min_size(STEP_BLOCK, total - p0);
        const float *dy = c->dy + p0 * g->Cout;
        bool first = block == piece * c->piece_blocks;
        if (g->Cout % NR) micro_pack(false, dy, g->Cout, g->Cout, 0, kc, g->Cout / NR * NR, edge);
        for (size_t k = 0; k < kc; k++)
            patch[k] = patch_at(c, (p0 + k) / pixels, (p0 + k) % pixels);
        if (narrow) {
            for (size_t k = 0; k < kc; k++) {
                gather_pixel(c, &patch[k], columns + k * K);
                a[k] = columns + k * K;
            }
            steps_rows(c, a, K, kc, dy, dw, first, edge);
        } else {
            for (size_t t = 0; t < c->taps; t++) {
                for (size_t k = 0; k < kc; k++)
                    a[k] = tap_input(c, &patch[k], (int)(t / g->kw), (int)(t % g->kw));
                steps_rows(c, a, g->Cin, kc, dy, dw + t * g->Cin * g->Cout, first, edge);
            }
        }
    }
}

typedef struct {
    const float *parts;
    float *out;
    size_t pieces, count;
    bool add;
} sum_t;
enum { SUM_BLOCK = 4096 };

/* Some elements of dw: the pieces, in order. */
static void sum_task(void *ctx, size_t block) {
    const sum_t *s = ctx;
    size_t i1 = min_size((block + 1) * SUM_BLOCK, s->count);
    for (size_t i = block * SUM_BLOCK; i < i1; i++) {
        float v = s->parts[i];
        for (size_t p = 1; p < s->pieces; p++) v += s->parts[p * s->count + i];
        s->out[i] = s->add ? s->out[i] + v : v;
    }
}

void kern_conv_backward_weight(const kern_conv_t *g, const float *x, const float *dy, float *dw,
                               bool add) {
    if (winograd_pays(g)) {
        winograd_backward_weight(g, x, dy, dw, add);
        return;
    }
    conv_t c = conv_new(g, g->Cin, g->Cout);
    c.src = x;
    c.dy = dy;
    size_t count = c.taps * g->Cin * g->Cout;
    c.total_blocks = ceil_div(g->N * g->OH * g->OW, STEP_BLOCK);
    c.piece_blocks = ceil_div(c.total_blocks, KERN_PIECES);
    c.pieces = ceil_div(c.total_blocks, c.piece_blocks);
    c.parts = scratch_get(SCRATCH_CONV_PARTS, c.pieces * count * sizeof(float));
    parallel_for(c.pieces, backward_weight_task, &c);
    sum_t s = {c.parts, dw, c.pieces, count, add};
    parallel_for(ceil_div(count, SUM_BLOCK), sum_task, &s);
}
