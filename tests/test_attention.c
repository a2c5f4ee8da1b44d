/* test_attention.c - attention against the definition, with the whole T x T matrix in double
 * precision. The reference gradients are formulas, which the first test holds against central
 * differences of the reference forward.
 */
#include "common/kernel/kernel.h"
#include "tests/kernel_check.h"

typedef struct {
    kern_attention_t g;
    const float *q, *k, *v, *o, *lse, *do_;
    float *lse_out;
    int want; /* 0 o, 1 dq, 2 dk, 3 dv */
} attention_case_t;

static bool sees(const kern_attention_t *g, size_t b, size_t i, size_t j) {
    size_t own = i + g->Tk - g->Tq;
    if (g->causal && j > own) return false;
    if (!g->first) return true;
    int32_t first = g->first[b * g->Tk + own];
    return first < 0 ? j == own : j >= (size_t)first;
}

/* p[Tq,Tk] of one head; s = scale q k. Returns through lse the log of each row's denominator. */
static void weights(const kern_attention_t *g, const double *q, const double *k, size_t b, size_t h,
                    double *p, double *lse) {
    for (size_t i = 0; i < g->Tq; i++) {
        double top = -INFINITY, sum = 0;
        for (size_t j = 0; j < g->Tk; j++) {
            double s = 0;
            for (size_t d = 0; d < g->dh; d++)
                s += q[(b * g->Tq + i) * g->ldq + h * g->dh + d] *
                     k[(b * g->Tk + j) * g->ldk + h * g->dh + d];
            p[i * g->Tk + j] = sees(g, b, i, j) ? s * (double)g->scale : -INFINITY;
            top = fmax(top, p[i * g->Tk + j]);
        }
        for (size_t j = 0; j < g->Tk; j++) sum += exp(p[i * g->Tk + j] - top);
        for (size_t j = 0; j < g->Tk; j++) p[i * g->Tk + j] = exp(p[i * g->Tk + j] - top) / sum;
        lse[i] = top + log(sum);
    }
}

static void reference_forward(const kern_attention_t *g, const double *q, const double *k,
                              const double *v, double *o, double *size, double *lse) {
    double *p = doubles(g->Tq * g->Tk);
    for (size_t b = 0; b < g->B; b++)
        for (size_t h = 0; h < g->heads; h++) {
            weights(g, q, k, b, h, p, lse + (b * g->heads + h) * g->Tq);
            for (size_t i = 0; i < g->Tq; i++)
                for (size_t j = 0; j < g->Tk; j++)
                    for (size_t d = 0; d < g->dh; d++) {
                        double t = p[i * g->Tk + j] * v[(b * g->Tk + j) * g->ldv + h * g->dh + d];
                        o[(b * g->Tq + i) * g->ldo + h * g->dh + d] += t;
                        if (size) size[(b * g->Tq + i) * g->ldo + h * g->dh + d] += fabs(t);
                    }
        }
    free(p);
}

/* One array a gradient and its sums of absolute terms, at the strides of q, k, v. */
typedef struct {
    double *dq, *dk, *dv, *sq, *sk, *sv;
} grads_t;

static void reference_backward(const kern_attention_t *g, const double *q, const double *k,
                               const double *v, const double *o, const float *do_, grads_t r) {
    double *p = doubles(g->Tq * g->Tk), *lse = doubles(g->Tq);
    for (size_t b = 0; b < g->B; b++)
        for (size_t h = 0; h < g->heads; h++) {
            weights(g, q, k, b, h, p, lse);
            for (size_t i = 0; i < g->Tq; i++) {
                size_t at_q = (b * g->Tq + i) * g->ldq + h * g->dh,
                       at_o = (b * g->Tq + i) * g->ldo + h * g->dh;
                double delta = 0, delta_size = 0;
                for (size_t d = 0; d < g->dh; d++)
                    delta += o[at_o + d] * do_[at_o + d],
                        delta_size += fabs(o[at_o + d] * do_[at_o + d]);
                for (size_t j = 0; j < g->Tk; j++) {
                    size_t at_k = (b * g->Tk + j) * g->ldk + h * g->dh,
                           at_v = (b * g->Tk + j) * g->ldv + h * g->dh;
                    double w = p[i * g->Tk + j], dp = 0, dp_size = 0;
                    for (size_t d = 0; d < g->dh; d++) {
                        dp += do_[at_o + d] * v[at_v + d],
                            dp_size += fabs(do_[at_o + d] * v[at_v + d]);
                        r.dv[at_v + d] += w * do_[at_o + d],
                            r.sv[at_v + d] += fabs(w * do_[at_o + d]);
                    }
                    double ds = w * (dp - delta) * (double)g->scale,
                           ds_size = w * (dp_size + delta_size) * (double)g->scale;
                    for (size_t d = 0; d < g->dh; d++) {
                        r.dq[at_q + d] += ds * k[at_k + d],
                            r.sq[at_q + d] += fabs(ds_size * k[at_k + d]);
                        r.dk[at_k + d] += ds * q[at_q + d],
                            r.sk[at_k + d] += fabs(ds_size * q[at_q + d]);
                    }
                }
            }
        }
    free(p), free(lse);
}

typedef struct {
    const kern_attention_t *g;
    const float *do_;
    double *q, *k, *v;
} loss_ctx_t;
static double attention_loss(void *ctx, const double *moved) {
    (void)moved;
    const loss_ctx_t *l = ctx;
    size_t n = l->g->B * l->g->Tq * l->g->ldo;
    double *o = doubles(n), *lse = doubles(l->g->B * l->g->heads * l->g->Tq), s = 0;
    reference_forward(l->g, l->q, l->k, l->v, o, NULL, lse);
    for (size_t i = 0; i < n; i++) s += o[i] * l->do_[i];
    free(o), free(lse);
    return s;
}

TEST(reference_gradients_match_differences) {
    enum { B = 2, T = 5, H = 2, D = 3, n = B * T * H * D };
    int32_t first[B * T] = {-1, 1, 1, 1, 3, 0, 0, 2, 2, 2};
    for (int causal = 0; causal < 2; causal++) {
        kern_attention_t g = {.B = B,
                              .Tq = T,
                              .Tk = T,
                              .heads = H,
                              .dh = D,
                              .ldq = H * D,
                              .ldk = H * D,
                              .ldv = H * D,
                              .ldo = H * D};
        g.scale = 0.7f, g.causal = causal, g.first = causal ? first : NULL;
        float *x[4];
        for (uint32_t i = 0; i < 4; i++) x[i] = floats(i, n, 0.1, 1.5);
        loss_ctx_t l = {&g, x[3], widen(x[0], n), widen(x[1], n), widen(x[2], n)};
        grads_t r = {doubles(n), doubles(n), doubles(n), doubles(n), doubles(n), doubles(n)};
        double *o = doubles(n), lse[B * H * T];
        reference_forward(&g, l.q, l.k, l.v, o, NULL, lse);
        reference_backward(&g, l.q, l.k, l.v, o, x[3], r);
        for (size_t i = 0; i < n; i++)
            CHECK_NEAR(r.dq[i], slope_at(attention_loss, &l, l.q, i, 1e-5), 1e-8);
        for (size_t i = 0; i < n; i++)
            CHECK_NEAR(r.dk[i], slope_at(attention_loss, &l, l.k, i, 1e-5), 1e-8);
        for (size_t i = 0; i < n; i++)
            CHECK_NEAR(r.dv[i], slope_at(attention_loss, &l, l.v, i, 1e-5), 1e-8);
        for (size_t i = 0; i < 4; i++) free(x[i]);
        free(l.q), free(l.k), free(l.v), free(o);
        free(r.dq), free(r.dk), free(r.dv), free(r.sq), free(r.sk), free(r.sv);
    }
}

/* ---- the kernel ---- */

static void run_attention(void *ctx, float *out, bool add) {
    const attention_case_t *c = ctx;
    const kern_attention_t *g = &c->g;
    if (c->want == 0) {
        kern_attention_forward(g, c->q, c->k, c->v, out, c->lse_out);
        return;
    }
    size_t nq = g->B * g->Tq * g->ldq, nk = g->B * g->Tk * g->ldk, nv = g->B * g->Tk * g->ldv,
           bytes = kern_attention_scratch(g);
    float *dq = floats(7, nq, 0, 1), *dk = floats(8, nk, 0, 1), *dv = floats(9, nv, 0, 1);
    void *scratch = bytes ? xaligned(bytes) : NULL;
    kern_attention_backward(g, c->q, c->k, c->v, c->o, c->lse, c->do_, c->want == 1 ? out : dq,
                            c->want == 2 ? out : dk, c->want == 3 ? out : dv, add, scratch);
    free(dq), free(dk), free(dv), free(scratch);
}

/* The last batch item alone has the bits it has in the batch: o, and every gradient. */
static void check_alone(attention_case_t c, const float *batch, size_t n) {
    size_t each = n / c.g.B, b = c.g.B - 1;
    float *alone = xmalloc((each + 1) * sizeof *alone),
          *lse = xmalloc(c.g.heads * c.g.Tq * sizeof *lse);
    c.q += b * c.g.Tq * c.g.ldq, c.o += b * c.g.Tq * c.g.ldo, c.do_ += b * c.g.Tq * c.g.ldo;
    c.k += b * c.g.Tk * c.g.ldk, c.v += b * c.g.Tk * c.g.ldv, c.lse += b * c.g.heads * c.g.Tq;
    if (c.g.first) c.g.first += b * c.g.Tk;
    c.g.B = 1;
    c.lse_out = lse;
    run_attention(&c, alone, false);
    check_same("attention of one item", alone, batch + b * each, each);
    free(alone), free(lse);
}

static void check_attention(kern_attention_t g) {
    size_t D = g.heads * g.dh;
    g.ldq = D, g.ldk = D, g.ldv = D, g.ldo = D, g.scale = (float)(1 / sqrt((double)g.dh));
    size_t nq = g.B * g.Tq * D, nk = g.B * g.Tk * D, rows = g.B * g.heads * g.Tq;
    float *q = floats(1, nq, 0.2, 2), *k = floats(2, nk, 0.1, 2), *v = floats(3, nk, 0.3, 1),
          *do_ = floats(4, nq, 0, 1);
    float *o = xmalloc((nq + 1) * sizeof *o), *out = xmalloc((nq + nk + 1) * sizeof *out),
          *lse = xmalloc(rows * sizeof *lse);
    double *Q = widen(q, nq), *K = widen(k, nk), *V = widen(v, nk), *O = doubles(nq),
           *size = doubles(nq), *L = doubles(rows);
    attention_case_t c = {
        .g = g, .q = q, .k = k, .v = v, .o = o, .lse = lse, .do_ = do_, .lse_out = lse};
    char what[150];
    snprintf(what, sizeof what, "attention B%zu Tq%zu Tk%zu h%zu dh%zu causal%d window%d", g.B,
             g.Tq, g.Tk, g.heads, g.dh, g.causal, g.first != NULL);
    reference_forward(&g, Q, K, V, O, size, L);
    check_kernel(what, run_attention, &c, false, O, size, nq, 4e-6, o);
    for (size_t i = 0; i < rows; i++)
        CHECK(fabs(lse[i] - L[i]) <= 2e-6 * (1 + fabs(L[i])), "%s lse %zu: %.9g against %.9g", what,
              i, (double)lse[i], L[i]);
    if (g.B > 1) check_alone(c, o, nq);
    grads_t r = {doubles(nq), doubles(nk), doubles(nk), doubles(nq), doubles(nk), doubles(nk)};
    reference_backward(&g, Q, K, V, O, do_, r);
    double *want[] = {NULL, r.dq, r.dk, r.dv}, *sizes[] = {NULL, r.sq, r.sk, r.sv};
    for (c.want = 1; c.want <= 3; c.want++) {
        check_kernel(what, run_attention, &c, true, want[c.want], sizes[c.want],
                     c.want == 1 ? nq : nk, 4e-6, out);
        if (g.B > 1) check_alone(c, out, c.want == 1 ? nq : nk);
    }
    free(r.dq), free(r.dk), free(r.dv), free(r.sq), free(r.sk), free(r.sv);
    free(q), free(k), free(v), free(do_), free(o), free(out), free(lse), free(Q), free(K), free(V),
        free(O), free(size), free(L);
}

TEST(attention_full_and_causal) {
    static const size_t shapes[][4] = {{1, 1, 1, 1},    {3, 5, 2, 7},   {3, 20, 4, 32},
                                       {2, 64, 1, 64},  {3, 65, 2, 17}, {2, 130, 3, 8},
                                       {2, 63, 1, 128}, {1, 600, 1, 8}, {2, 192, 1, 20},
                                       {2, 31, 2, 24},  {2, 95, 1, 12}};
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (int causal = 0; causal < 2; causal++)
            check_attention((kern_attention_t){.B = shapes[i][0],
                                               .Tq = shapes[i][1],
                                               .Tk = shapes[i][1],
                                               .heads = shapes[i][2],
                                               .dh = shapes[i][3],
                                               .causal = causal});
}

/* Queries at the end of a longer row of keys, as with a cache: a few, one, and more keys than one
 * strip holds. */
TEST(attention_of_late_queries) {
    static const size_t shapes[][5] = {{3, 1, 20, 2, 8},   {2, 3, 70, 2, 16},  {1, 70, 1100, 1, 4},
                                       {2, 1, 513, 1, 32}, {1, 4, 600, 2, 68}, {2, 2, 21, 3, 7},
                                       {1, 5, 40, 1, 8},   {1, 74, 90, 1, 8},  {2, 3, 31, 2, 24},
                                       {2, 1, 47, 1, 76}};
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (int causal = 0; causal < 2; causal++)
            check_attention((kern_attention_t){.B = shapes[i][0],
                                               .Tq = shapes[i][1],
                                               .Tk = shapes[i][2],
                                               .heads = shapes[i][3],
                                               .dh = shapes[i][4],
                                               .causal = causal});
}

/* Queries of another sequence: fewer and more of them than keys. */
TEST(attention_to_another_sequence) {
    static const size_t shapes[][5] = {{2, 16, 64, 4, 32}, {3, 64, 16, 4, 32}, {1, 1, 5, 1, 4},
                                       {2, 9, 2, 2, 7},    {1, 300, 3, 1, 8},  {2, 5, 700, 1, 12}};
    for (size_t i = 0; i < COUNT(shapes); i++)
        check_attention((kern_attention_t){.B = shapes[i][0],
                                           .Tq = shapes[i][1],
                                           .Tk = shapes[i][2],
                                           .heads = shapes[i][3],
                                           .dh = shapes[i][4]});
}

/* What each position of B rows sees first. Timesteps are `step` tokens long, and a token sees
 * `window` of them. Row b begins with b * pad tokens of padding, row 2 ends with some, and a row
 * holds a new sequence every `length` tokens. */
static int32_t *make_first(size_t B, size_t T, size_t step, size_t pad, size_t window,
                           size_t length) {
    int32_t *first = xmalloc((B * T + 1) * sizeof *first);
    for (size_t b = 0; b < B; b++)
        for (size_t t = 0; t < T; t++) {
            size_t begin = b * pad + (t - b * pad) / length * length, at = (t - begin) / step;
            bool padding = t < b * pad || (b == 2 && t + 3 > T);
            first[b * T + t] =
                padding ? -1 : (int32_t)(begin + (at < window ? 0 : (at + 1 - window) * step));
        }
    return first;
}

typedef struct {
    size_t B, Tq, Tk, heads, dh, step, pad, window, length;
} window_case_t;

static void check_windows(const window_case_t *w, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int32_t *first = make_first(w[i].B, w[i].Tk, w[i].step, w[i].pad, w[i].window, w[i].length);
        check_attention((kern_attention_t){.B = w[i].B,
                                           .Tq = w[i].Tq,
                                           .Tk = w[i].Tk,
                                           .heads = w[i].heads,
                                           .dh = w[i].dh,
                                           .causal = true,
                                           .first = first});
        free(first);
    }
}

TEST(attention_in_a_window) {
    enum { ALL = 10000 };
    static const window_case_t windows[] = {
        {3, 12, 12, 2, 4, 3, 2, 2, ALL},     {3, 64, 64, 1, 16, 5, 20, 3, ALL},
        {2, 150, 150, 2, 8, 4, 70, 5, ALL},  {2, 700, 700, 1, 4, 10, 130, 7, ALL},
        {3, 40, 40, 1, 8, 1, 5, 1, ALL},     {2, 50, 50, 1, 8, 7, 3, ALL, ALL},
        {3, 5, 30, 2, 8, 4, 6, 3, ALL},      {3, 45, 45, 1, 8, 4, 6, 30, ALL},
        {2, 1, 1200, 1, 8, 6, 40, 150, ALL}, {2, 140, 1300, 1, 4, 8, 100, 4, ALL}};
    check_windows(windows, COUNT(windows));
}

/* Several sequences in a row, shorter and longer than a block and a strip. */
TEST(attention_of_packed_sequences) {
    static const window_case_t windows[] = {
        {3, 64, 64, 2, 8, 1, 5, 1000, 9},  {2, 200, 200, 1, 16, 3, 7, 2, 31},
        {1, 150, 150, 2, 4, 1, 0, 99, 73}, {2, 1300, 1300, 1, 4, 20, 11, 8, 600},
        {2, 80, 80, 1, 20, 1, 1, 1, 1},    {3, 70, 300, 1, 8, 2, 4, 10, 40}};
    check_windows(windows, COUNT(windows));
}

/* rows[n,D] out of x[.,D]; -1 = zeros. */
static double *picked(const double *x, const int32_t *at, size_t n, size_t D) {
    double *rows = doubles(n * D);
    for (size_t i = 0; i < n; i++)
        if (at[i] >= 0) memcpy(rows + i * D, x + (size_t)at[i] * D, D * sizeof *x);
    return rows;
}
static float *picked_floats(const float *x, const int32_t *at, size_t n, size_t D) {
    float *rows = xmalloc((n * D + 1) * sizeof *rows);
    for (size_t i = 0; i < n; i++)
        if (at[i] >= 0)
            memcpy(rows + i * D, x + (size_t)at[i] * D, D * sizeof *x);
        else
            fill_nan(rows + i * D, D); /* nobody reads padding */
    return rows;
}

/* Every `every`th position asks, of batch item 1 none, and three rows of padding: what the
 * reference gives where the gradient of every other row is 0. */
static void check_some(kern_attention_t g, size_t every) {
    enum { PADDING = 3 };
    size_t D = g.heads * g.dh, all = g.B * g.Tk, n = 0;
    g.ldq = D, g.ldk = D, g.ldv = D, g.ldo = D, g.scale = (float)(1 / sqrt((double)g.dh));
    float *q = floats(1, all * D, 0.2, 2), *k = floats(2, all * D, 0.1, 2),
          *v = floats(3, all * D, 0.3, 1), *do_ = floats(4, all * D, 0, 1);
    int32_t *at = xmalloc((all + PADDING) * sizeof *at);
    for (size_t i = 0; i < all; i++) {
        if ((g.B == 1 || i / g.Tk != 1) && i % every == every - 1)
            at[n++] = (int32_t)i;
        else
            memset(do_ + i * D, 0, D * sizeof *do_);
    }
    for (size_t i = 0; i < PADDING; i++) at[n++] = -1;
    double *Q = widen(q, all * D), *K = widen(k, all * D), *V = widen(v, all * D),
           *O = doubles(all * D), *size = doubles(all * D), *L = doubles(all * g.heads);
    grads_t r = {doubles(all * D), doubles(all * D), doubles(all * D),
                 doubles(all * D), doubles(all * D), doubles(all * D)};
    reference_forward(&g, Q, K, V, O, size, L);
    reference_backward(&g, Q, K, V, O, do_, r);
    double *want[] = {picked(O, at, n, D), picked(r.dq, at, n, D), r.dk, r.dv},
           *sizes[] = {picked(size, at, n, D), picked(r.sq, at, n, D), r.sk, r.sv};
    float *some_q = picked_floats(q, at, n, D), *some_do = picked_floats(do_, at, n, D),
          *o = xmalloc((n * D + 1) * sizeof *o), *lse = xmalloc(g.heads * n * sizeof *lse),
          *out = xmalloc((all * D + n * D + 1) * sizeof *out);
    attention_case_t c = {
        .g = g, .q = some_q, .k = k, .v = v, .o = o, .lse = lse, .do_ = some_do, .lse_out = lse};
    c.g.Tq = n;
    c.g.at = at;
    char what[150];
    snprintf(what, sizeof what, "attention of some: B%zu T%zu h%zu dh%zu every %zu window%d", g.B,
             g.Tk, g.heads, g.dh, every, g.first != NULL);
    check_kernel(what, run_attention, &c, false, want[0], sizes[0], n * D, 4e-6, o);
    for (size_t h = 0; h < g.heads; h++)
        for (size_t i = 0; i + PADDING < n; i++) {
            size_t b = (size_t)at[i] / g.Tk;
            double l = L[(b * g.heads + h) * g.Tk + (size_t)at[i] % g.Tk];
            CHECK(fabs(lse[h * n + i] - l) <= 2e-6 * (1 + fabs(l)), "%s lse of row %zu", what, i);
        }
    for (c.want = 1; c.want <= 3; c.want++)
        check_kernel(what, run_attention, &c, true, want[c.want], sizes[c.want],
                     (c.want == 1 ? n : all) * D, 4e-6, out);
    for (size_t i = 0; i < 2; i++) free(want[i]), free(sizes[i]);
    free(q), free(k), free(v), free(do_), free(at), free(Q), free(K), free(V), free(O), free(size);
    free(L), free(r.dq), free(r.dk), free(r.dv), free(r.sq), free(r.sk), free(r.sv);
    free(some_q), free(some_do), free(o), free(lse), free(out);
}

TEST(attention_of_some_positions) {
    static const window_case_t windows[] = {
        {1, 12, 12, 2, 4, 3, 0, 2, 1000},   {3, 64, 64, 1, 16, 5, 20, 3, 1000},
        {2, 150, 150, 2, 8, 4, 7, 5, 31},   {1, 700, 700, 1, 4, 10, 0, 7, 600},
        {3, 90, 90, 2, 20, 1, 5, 1000, 40}, {2, 30, 30, 1, 8, 2, 1, 3, 7}};
    static const size_t every[] = {1, 3, 17, 1000};
    for (size_t i = 0; i < COUNT(windows); i++)
        for (size_t k = 0; k < COUNT(every); k++) {
            const window_case_t *w = &windows[i];
            int32_t *first = make_first(w->B, w->Tk, w->step, w->pad, w->window, w->length);
            kern_attention_t g = {.B = w->B,
                                  .Tq = w->Tk,
                                  .Tk = w->Tk,
                                  .heads = w->heads,
                                  .dh = w->dh,
                                  .causal = true};
            check_some(g, every[k]);
            g.first = first;
            check_some(g, every[k]);
            free(first);
        }
}

/* A sequence in a row of several has the bits that it has without the others' numbers. */
TEST(attention_of_packed_sequences_is_apart) {
    enum { T = 100, D = 16, n = T * D, CUT = 40 };
    float *x = floats(1, n, 0, 1), *o[2] = {floats(3, n, 0, 1), floats(4, n, 0, 1)}, lse[T];
    int32_t first[T];
    for (int32_t i = 0; i < T; i++) first[i] = i < CUT ? 0 : CUT;
    kern_attention_t g = {.B = 1,
                          .Tq = T,
                          .Tk = T,
                          .heads = 1,
                          .dh = D,
                          .ldq = D,
                          .ldk = D,
                          .ldv = D,
                          .ldo = D,
                          .scale = 1,
                          .causal = true,
                          .first = first};
    for (int i = 0; i < 2; i++) {
        kern_attention_forward(&g, x, x, x, o[i], lse);
        for (size_t j = 0; j < CUT * D; j++) x[j] += 3;
    }
    check_same("the other sequence", o[0] + CUT * D, o[1] + CUT * D, n - CUT * D);
    CHECK(memcmp(o[0], o[1], CUT * D * sizeof(float)), "the changed sequence");
    free(x), free(o[0]), free(o[1]);
}

/* q, k, v and their gradients as columns of one matrix [B*T, 3D] give the bits of three
 * matrices. */
TEST(attention_in_a_packed_matrix) {
    enum { B = 2, T = 77, H = 3, dh = 10, D = H * dh, n = B * T };
    float *packed = floats(1, n * 3 * D, 0, 1), *part[3], *grad[3], *do_ = floats(2, n * D, 0, 1),
          *dpacked = floats(3, n * 3 * D, 0, 1);
    float *o[2] = {floats(4, n * D, 0, 1), floats(5, n * D, 0, 1)},
          *lse[2] = {floats(6, B * H * T, 0, 1), floats(7, B * H * T, 0, 1)};
    for (size_t p = 0; p < 3; p++) {
        part[p] = floats(8, n * D, 0, 1), grad[p] = floats(9, n * D, 0, 1);
        for (size_t i = 0; i < n; i++)
            memcpy(part[p] + i * D, packed + i * 3 * D + p * D, D * sizeof(float));
    }
    kern_attention_t g = {.B = B,
                          .Tq = T,
                          .Tk = T,
                          .heads = H,
                          .dh = dh,
                          .ldq = D,
                          .ldk = D,
                          .ldv = D,
                          .ldo = D,
                          .scale = 0.3f,
                          .causal = true};
    kern_attention_t wide = g;
    wide.ldq = wide.ldk = wide.ldv = 3 * D;
    kern_attention_forward(&g, part[0], part[1], part[2], o[0], lse[0]);
    kern_attention_forward(&wide, packed, packed + D, packed + 2 * D, o[1], lse[1]);
    check_same("packed o", o[0], o[1], n * D);
    check_same("packed lse", lse[0], lse[1], B * H * T);
    kern_attention_backward(&g, part[0], part[1], part[2], o[0], lse[0], do_, grad[0], grad[1],
                            grad[2], false, NULL);
    kern_attention_backward(&wide, packed, packed + D, packed + 2 * D, o[0], lse[0], do_, dpacked,
                            dpacked + D, dpacked + 2 * D, false, NULL);
    for (size_t p = 0; p < 3; p++) {
        for (size_t i = 0; i < n; i++)
            check_same("packed gradient", grad[p] + i * D, dpacked + i * 3 * D + p * D, D);
        free(part[p]), free(grad[p]);
    }
    CHECK(kern_attention_scratch(&g) == 0, "this test passes no scratch");
    free(packed), free(do_), free(dpacked), free(o[0]), free(o[1]), free(lse[0]), free(lse[1]);
}

/* Rows before a changed key keep their bits: nothing leaks from the future or from another batch
 * item. */
TEST(attention_hides_the_future) {
    enum { B = 2, T = 100, D = 16, n = B * T * D, changed = 70 };
    float *x = floats(1, n, 0, 1), *k = floats(2, n, 0, 1),
          *o[2] = {floats(3, n, 0, 1), floats(4, n, 0, 1)}, lse[B * T];
    kern_attention_t g = {.B = B,
                          .Tq = T,
                          .Tk = T,
                          .heads = 1,
                          .dh = D,
                          .ldq = D,
                          .ldk = D,
                          .ldv = D,
                          .ldo = D,
                          .scale = 1,
                          .causal = true};
    for (int i = 0; i < 2; i++) {
        kern_attention_forward(&g, x, k, k, o[i], lse);
        for (size_t d = 0; d < D; d++) k[changed * D + d] += 5;
    }
    check_same("earlier rows", o[0], o[1], changed * D);
    check_same("the other item", o[0] + T * D, o[1] + T * D, T * D);
    for (size_t i = changed; i < T; i++)
        CHECK(memcmp(o[0] + i * D, o[1] + i * D, D * sizeof(float)), "row %zu does not see key %d",
              i, changed);
    free(x), free(k), free(o[0]), free(o[1]);
}

/* Scores that overflow e^x, and NaN, which must not vanish. */
TEST(attention_of_extreme_scores) {
    enum { T = 20, D = 8, n = T * D };
    float *q = floats(1, n, 0, 100), *v = floats(2, n, 0, 1), *o = floats(3, n, 0, 1), lse[T];
    kern_attention_t g = {.B = 1,
                          .Tq = T,
                          .Tk = T,
                          .heads = 1,
                          .dh = D,
                          .ldq = D,
                          .ldk = D,
                          .ldv = D,
                          .ldo = D,
                          .scale = 1};
    double *Q = widen(q, n), *V = widen(v, n), *O = doubles(n), *size = doubles(n), L[T];
    reference_forward(&g, Q, Q, V, O, size, L);
    kern_attention_forward(&g, q, q, v, o, lse);
    for (size_t i = 0; i < n; i++)
        CHECK_NEAR(o[i], O[i], 2e-2 * size[i] + 1e-6); /* scores of 3e4 carry an error of 4e-3 */
    for (size_t i = 0; i < n; i++)
        q[i] = 5 + q[i] * 1e-3f, v[i] = -5 + v[i]; /* all scores about -200 */
    for (size_t i = 0; i < n; i++) Q[i] = (double)q[i], V[i] = (double)v[i], O[i] = 0;
    reference_forward(&g, Q, V, V, O, size, L);
    kern_attention_forward(&g, q, v, v, o, lse);
    for (size_t i = 0; i < n; i++) CHECK_NEAR(o[i], O[i], 1e-3);
    fill_nan(q + 3 * D, D);
    kern_attention_forward(&g, q, v, v, o, lse);
    for (size_t i = 0; i < T; i++)
        CHECK(isnan(o[i * D]) == (i == 3), "row %zu: %g", i, (double)o[i * D]);
    free(q), free(v), free(o), free(Q), free(V), free(O), free(size);
}

/* More queries than keys: the first ones stand before every key. Their rows are zero. */
TEST(attention_to_nothing) {
    enum { TQ = 9, TK = 5, D = 4 };
    int32_t first[TK] = {0};
    float *x = floats(1, TQ * D, 0, 1), out[TQ * D], lse[TQ];
    for (int windowed = 0; windowed < 2; windowed++) {
        kern_attention_t g = {.B = 1,
                              .Tq = TQ,
                              .Tk = TK,
                              .heads = 1,
                              .dh = D,
                              .ldq = D,
                              .ldk = D,
                              .ldv = D,
                              .ldo = D,
                              .scale = 1,
                              .causal = true,
                              .first = windowed ? first : NULL};
        fill_nan(out, TQ * D);
        kern_attention_forward(&g, x, x, x, out, lse);
        for (size_t j = 0; j < TQ * D; j++)
            CHECK((out[j] == 0) == (j < (TQ - TK) * D), "[%zu] is %g", j, (double)out[j]);
    }
    free(x);
}
