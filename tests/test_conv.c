/* test_conv.c - convolutions and their gradients against one naive loop in double precision.
 *
 * A gradient check alone would pass on a wrong convolution whose forward and backward agree; here
 * each pass has the same outside reference.
 */
#include "common/kernel/kernel.h"
#include "common/kernel/winograd.h"
#include "tests/kernel_check.h"

typedef struct {
    kern_conv_t g;
    const float *x, *w, *bias, *dy;
    int pass; /* 0 forward, 1 input gradient, 2 weight gradient */
} conv_case_t;

static void run_conv(void *ctx, float *out, bool add) {
    const conv_case_t *c = ctx;
    if (c->pass == 0) kern_conv_forward(&c->g, c->x, c->w, c->bias, out);
    if (c->pass == 1) kern_conv_backward_input(&c->g, c->dy, c->w, out, add);
    if (c->pass == 2) kern_conv_backward_weight(&c->g, c->x, c->dy, out, add);
}

/* One loop over every (output, tap) pair that lands inside the image; the three passes read it
 * three ways. */
static void reference_conv(const conv_case_t *c, double *out, double *size) {
    const kern_conv_t *g = &c->g;
    size_t up = g->up == 2 ? 2 : 1;
    for (size_t n = 0; n < g->N; n++)
        for (size_t o = 0; o < g->OH * g->OW; o++)
            for (size_t t = 0; t < g->kh * g->kw; t++) {
                ptrdiff_t y =
                    (ptrdiff_t)(o / g->OW * g->stride + t / g->kw) - (ptrdiff_t)g->pad_top;
                ptrdiff_t x =
                    (ptrdiff_t)(o % g->OW * g->stride + t % g->kw) - (ptrdiff_t)g->pad_left;
                if (y < 0 || x < 0 || y >= (ptrdiff_t)(g->H * up) || x >= (ptrdiff_t)(g->W * up))
                    continue;
                size_t px = (n * g->H + (size_t)y / up) * g->W + (size_t)x / up,
                       py = n * g->OH * g->OW + o;
                for (size_t i = 0; i < g->Cin; i++)
                    for (size_t j = 0; j < g->Cout; j++) {
                        size_t at_x = px * g->Cin + i, at_w = (t * g->Cin + i) * g->Cout + j,
                               at_y = py * g->Cout + j;
                        size_t to = c->pass == 0 ? at_y : c->pass == 1 ? at_x : at_w;
                        double a = c->pass == 0 ? c->x[at_x] : c->dy[at_y],
                               b = c->pass == 2 ? c->x[at_x] : c->w[at_w];
                        out[to] += a * b;
                        size[to] += fabs(a * b);
                    }
            }
    for (size_t i = 0; c->pass == 0 && c->bias && i < g->N * g->OH * g->OW * g->Cout; i++) {
        out[i] += (double)c->bias[i % g->Cout];
        size[i] += fabs(c->bias[i % g->Cout]);
    }
}

/* Outputs of a tile share its rounding errors: each is held against the largest. */
static void level(double *size, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) most = size[i] > most ? size[i] : most;
    for (size_t i = 0; i < n; i++) size[i] = most;
}

static void check_conv(kern_conv_t g, bool with_bias) {
    size_t nx = g.N * g.H * g.W * g.Cin, nw = g.kh * g.kw * g.Cin * g.Cout,
           ny = g.N * g.OH * g.OW * g.Cout;
    float *x = floats(1, nx, 0.2, 1), *w = floats(2, nw, 0, 1), *bias = floats(3, g.Cout, 0, 1),
          *dy = floats(4, ny, 0.1, 1);
    conv_case_t c = {.g = g, .x = x, .w = w, .bias = with_bias ? bias : NULL, .dy = dy};
    static const char *name[] = {"forward", "input", "weight"};
    for (c.pass = 0; c.pass < 3; c.pass++) {
        size_t n = c.pass == 0 ? ny : c.pass == 1 ? nx : nw;
        double *want = doubles(n), *size = doubles(n);
        float *out = xmalloc((n + 1) * sizeof *out);
        char what[199];
        snprintf(what, sizeof what,
                 "conv %s N%zu %zux%zu C%zu->%zu k%zux%zu s%zu pad %zu,%zu up%zu", name[c.pass],
                 g.N, g.H, g.W, g.Cin, g.Cout, g.kh, g.kw, g.stride, g.pad_top, g.pad_left, g.up);
        reference_conv(&c, want, size);
        if (winograd_pays(&g)) level(size, n);
        check_kernel(what, run_conv, &c, c.pass > 0, want, size, n, 2e-6, out);
        if (c.pass == 0) { /* over weights that were packed for one image: the same bits */
            kern_conv_t one = g;
            one.N = 1;
            size_t bytes = kern_conv_pack_bytes(&one);
            float *packed = xaligned(bytes + 64), *again = xmalloc(n * sizeof *again);
            packed[bytes / sizeof *packed] = 77;
            kern_conv_pack(&one, w, packed);
            CHECK(packed[bytes / sizeof *packed] == 77, "%s: packs beyond its bytes", what);
            kern_conv_packed(&g, x, packed, c.bias, again);
            check_same(what, again, out, n);
            free(packed), free(again);
        }
        if (c.pass < 2 && g.N > 1) { /* the last image alone: the same bits */
            conv_case_t one = c;
            size_t each = n / g.N;
            one.g.N = 1;
            one.x = x + nx / g.N * (g.N - 1), one.dy = dy + ny / g.N * (g.N - 1);
            float *alone = xmalloc((each + 1) * sizeof *alone);
            run_conv(&one, alone, false);
            check_same(what, alone, out + n - each, each);
            free(alone);
        }
        free(want), free(size), free(out);
    }
    free(x), free(w), free(bias), free(dy);
}

/* pad: top, left, bottom, right */
static kern_conv_t shape(size_t N, size_t H, size_t W, size_t Cin, size_t Cout, size_t k,
                         size_t stride, size_t up, size_t top, size_t left, size_t bottom,
                         size_t right) {
    kern_conv_t g = {.N = N,
                     .H = H,
                     .W = W,
                     .Cin = Cin,
                     .Cout = Cout,
                     .kh = k,
                     .kw = k,
                     .stride = stride,
                     .pad_top = top,
                     .pad_left = left};
    g.up = up;
    g.OH = (H * up + top + bottom - k) / stride + 1;
    g.OW = (W * up + left + right - k) / stride + 1;
    return g;
}
static void conv_case(size_t N, size_t H, size_t W, size_t Cin, size_t Cout, size_t k,
                      size_t stride, size_t up, size_t top, size_t left, size_t bottom,
                      size_t right) {
    check_conv(shape(N, H, W, Cin, Cout, k, stride, up, top, left, bottom, right),
               (N + H + Cin) % 2);
}

TEST(conv_3x3) {
    conv_case(3, 8, 8, 16, 16, 3, 1, 1, 1, 1, 1, 1);
    conv_case(3, 7, 9, 5, 17, 3, 1, 1, 1, 1, 1, 1);
    conv_case(1, 13, 5, 3, 8, 3, 1, 1, 1, 1, 1, 1);
    conv_case(3, 16, 12, 32, 24, 3, 1, 1, 1, 1, 1, 1);
    conv_case(2, 19, 21, 17, 3, 3, 1, 1, 1, 1, 1, 1);
    conv_case(2, 6, 6, 40, 40, 3, 1, 1, 0, 0, 0, 0);
    conv_case(1, 33, 31, 8, 64, 3, 1, 1, 1, 1, 1, 1);
    conv_case(2, 1, 1, 16, 16, 3, 1, 1, 1, 1, 1, 1); /* the kernel is larger than the image */
    conv_case(3, 2, 3, 9, 7, 3, 1, 1, 1, 1, 1, 1);
    conv_case(2, 5, 4, 8, 8, 3, 1, 1, 2, 0, 0, 1);
    conv_case(3, 5, 5, 12, 3, 3, 1, 1, 1, 1, 1, 1);
}

TEST(conv_stride_2) {
    conv_case(3, 8, 8, 16, 16, 3, 2, 1, 0, 0, 1, 1); /* one zero row below, one zero column right */
    conv_case(3, 9, 7, 5, 17, 3, 2, 1, 0, 0, 1, 1);
    conv_case(2, 11, 6, 3, 16, 4, 2, 1, 1, 1, 1, 1);
    conv_case(2, 10, 10, 17, 5, 4, 2, 1, 1, 1, 1, 1);
    conv_case(1, 16, 16, 32, 32, 4, 2, 1, 1, 1, 1, 1);
    conv_case(2, 7, 7, 4, 6, 1, 2, 1, 0, 0, 0, 0);
    conv_case(3, 10, 10, 9, 5, 3, 2, 1, 0, 0, 1, 1);
}

TEST(conv_other_kernels) {
    conv_case(3, 7, 5, 17, 33, 1, 1, 1, 0, 0, 0, 0);
    conv_case(2, 8, 8, 64, 3, 1, 1, 1, 0, 0, 0, 0);
    conv_case(3, 5, 5, 17, 3, 1, 1, 1, 0, 0, 0,
              0); /* 25 pixels: register tiles end differently in 1 and in 3 images */
    conv_case(3, 5, 5, 300, 7, 1, 1, 1, 0, 0, 0, 0);
    conv_case(2, 9, 6, 5, 17, 5, 1, 1, 2, 2, 2, 2);
    conv_case(2, 3, 2, 3, 8, 5, 1, 1, 2, 2, 2, 2); /* larger than the image */
    conv_case(1, 8, 8, 16, 1, 4, 1, 1, 1, 1, 1, 1);
    conv_case(1, 6, 7, 3, 4, 7, 3, 1, 3, 3, 3, 3);
    check_conv((kern_conv_t){.N = 2,
                             .H = 6,
                             .W = 8,
                             .Cin = 5,
                             .Cout = 6,
                             .OH = 6,
                             .OW = 6,
                             .kh = 1,
                             .kw = 3,
                             .stride = 1,
                             .up = 1},
               true);
    check_conv((kern_conv_t){.N = 2,
                             .H = 8,
                             .W = 6,
                             .Cin = 3,
                             .Cout = 6,
                             .OH = 2,
                             .OW = 2,
                             .kh = 4,
                             .kw = 3,
                             .stride = 4,
                             .up = 1},
               true);
}

TEST(conv_of_enlarged_image) {
    conv_case(3, 4, 4, 16, 16, 3, 1, 2, 1, 1, 1, 1);
    conv_case(3, 5, 3, 5, 17, 3, 1, 2, 1, 1, 1, 1);
    conv_case(2, 9, 7, 17, 3, 3, 1, 2, 1, 1, 1, 1);
    conv_case(1, 1, 1, 8, 8, 3, 1, 2, 1, 1, 1, 1);
    conv_case(2, 3, 4, 4, 6, 1, 1, 2, 0, 0, 0, 0);
    conv_case(1, 4, 6, 3, 5, 5, 1, 2, 2, 2, 2, 2);
}

/* A 3x3 convolution that goes through winograd.c, with any padding of its own. */
static void winograd_padded(size_t N, size_t H, size_t W, size_t Cin, size_t Cout, size_t up,
                            size_t top, size_t left, size_t bottom, size_t right) {
    kern_conv_t g = shape(N, H, W, Cin, Cout, 3, 1, up, top, left, bottom, right);
    CHECK(winograd_pays(&g), "%zux%zu C%zu->%zu up%zu does not go through winograd.c", H, W, Cin,
          Cout, up);
    check_conv(g, (H + W + Cin) % 2);
    g.plain = true; /* held to the error of plain sums */
    CHECK(!winograd_pays(&g));
    check_conv(g, (H + W + Cin) % 2);
}
static void winograd_case(size_t N, size_t H, size_t W, size_t Cin, size_t Cout, size_t up) {
    winograd_padded(N, H, W, Cin, Cout, up, 1, 1, 1, 1);
}

TEST(winograd) {
    winograd_case(1, 4, 8, 16, 16, 1);
    winograd_case(3, 8, 7, 3, 20, 1);
    winograd_case(2, 9, 8, 12, 4, 1);
    winograd_case(2, 6, 8, 13, 3, 1);
    winograd_case(3, 8, 8, 64, 64, 1);
    winograd_case(2, 5, 7, 17, 24, 1);
    winograd_case(2, 7, 5, 24, 33, 1);
    winograd_case(3, 9, 13, 33, 17, 1);
    winograd_case(2, 3, 11, 40, 24, 1);
    winograd_case(2, 8, 8, 8, 28, 1); /* whole vectors of channels, and every kind of rest */
    winograd_case(2, 9, 7, 31, 8, 1);
    winograd_case(2, 7, 9, 19, 35, 1);
    winograd_case(1, 8, 9, 56, 11, 1);
    winograd_case(2, 16, 12, 130, 20, 1); /* several slices of channels */
    winograd_case(2, 13, 12, 130, 12, 1); /* and one vector of results */
    winograd_case(2, 8, 8, 20, 136, 1);
    winograd_case(1, 33, 31, 16, 48, 1); /* several blocks, and pieces of a weight gradient */
    winograd_case(5, 20, 22, 32, 16, 1);
    winograd_case(3, 24, 24, 70, 66, 1); /* a block shared by the threads, the last one short */
    winograd_padded(2, 8, 9, 17, 24, 1, 0, 0, 0, 0);
    winograd_padded(2, 6, 7, 24, 17, 1, 2, 0, 0, 1);
    winograd_padded(2, 7, 8, 17, 17, 1, 0, 2, 2, 1);
}

TEST(winograd_of_enlarged_image) {
    winograd_case(3, 4, 4, 16, 16, 2);
    winograd_case(2, 5, 4, 3, 6, 2);
    winograd_case(2, 5, 7, 17, 24, 2);
    winograd_case(2, 7, 5, 24, 33, 2);
    winograd_case(1, 3, 9, 33, 17, 2);
    winograd_case(2, 6, 4, 72, 20, 2);
    winograd_case(2, 6, 5, 8, 12, 2);
    winograd_case(1, 5, 6, 28, 8, 2);
    winograd_case(2, 4, 5, 19, 31, 2);
    winograd_case(4, 14, 16, 16, 40, 2);
    winograd_case(2, 12, 12, 96, 80, 2);
}

/* An image's output and input gradient: the same bits alone, among three and among sixteen,
 * wherever it stands. */
static void batch_case(size_t H, size_t W, size_t Cin, size_t Cout, size_t up) {
    kern_conv_t g = shape(16, H, W, Cin, Cout, 3, 1, up, 1, 1, 1, 1);
    CHECK(winograd_pays(&g), "%zux%zu C%zu->%zu does not go through winograd.c", H, W, Cin, Cout);
    size_t nx = H * W * Cin, ny = g.OH * g.OW * Cout;
    float *x = floats(1, 16 * nx, 0.2, 1), *w = floats(2, 9 * Cin * Cout, 0, 1),
          *bias = floats(3, Cout, 0, 1), *dy = floats(4, 16 * ny, 0.1, 1);
    for (int pass = 0; pass < 2; pass++) {
        size_t each = pass ? nx : ny;
        float *all = xmalloc(16 * each * sizeof *all), *some = xmalloc(3 * each * sizeof *some);
        conv_case_t c = {.g = g, .x = x, .w = w, .bias = bias, .dy = dy, .pass = pass};
        run_conv(&c, all, false);
        for (size_t n = 1; n <= 3; n += 2)
            for (size_t first = 0; first + n <= 16; first += 5) {
                c.g.N = n, c.x = x + first * nx, c.dy = dy + first * ny;
                run_conv(&c, some, false);
                check_same(pass ? "input gradient of some images" : "some images", some,
                           all + first * each, n * each);
            }
        free(all), free(some);
    }
    free(x), free(w), free(bias), free(dy);
}

TEST(winograd_any_batch) {
    batch_case(8, 8, 16, 32, 1);
    batch_case(5, 7, 24, 17, 1);
    batch_case(9, 8, 3, 12, 1);
    batch_case(16, 12, 33, 20, 1);
    batch_case(6, 6, 130, 136, 1);
    batch_case(7, 8, 8, 28, 1);
    batch_case(5, 4, 17, 24, 2);
    batch_case(8, 8, 64, 32, 2);
}
