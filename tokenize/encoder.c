/* encoder.c - see encoder.h. */
#include "tokenize/encoder.h"

#include "common/base/pool.h"

#include <stdlib.h>
#include <string.h>

void encoded_release(encoded_t *p) {
    image_release(&p->im);
    free(p->codes);
    free(p->png);
    *p = (encoded_t){0};
}

void encoder_hint_size(tokenizer_t *tokenizer, image_opts_t *o) {
    if (tokenizer) tokenizer_preprocess_size(tokenizer, &o->want_w, &o->want_h);
}

void encoder_prepare(const encoder_t *e, encoded_t *p) {
    if (!e->tokenizer) return;
    image_t im = tokenizer_preprocess(e->tokenizer, &p->im);
    image_release(&p->im);
    p->im = im;
}

typedef struct {
    encoded_t *p;
    const size_t *at; /* n of them, of one size */
    size_t n;
    uint8_t *rgb;
} group_t;

static void gather(void *ctx, size_t i) {
    const group_t *g = ctx;
    const image_t *im = &g->p[g->at[i]].im;
    size_t bytes = im->w * im->h * 3;
    memcpy(g->rgb + i * bytes, im->rgb, bytes);
}

static void encode_group(const encoder_t *e, const group_t *g) {
    const image_t *first = &g->p[g->at[0]].im;
    tokenizer_grid_t grid = tokenizer_grid(e->tokenizer, first->w, first->h);
    size_t cells = grid.w * grid.h;
    uint32_t *codes = xmalloc(g->n * cells * sizeof *codes);
    parallel_for(g->n, gather, (void *)g);
    tokenizer_encode(e->tokenizer, g->rgb, g->n, first->w, first->h, codes);
    for (size_t i = 0; i < g->n; i++) {
        encoded_t *p = &g->p[g->at[i]];
        p->grid_h = (uint32_t)grid.h;
        p->grid_w = (uint32_t)grid.w;
        p->codes = xmalloc(cells * sizeof *codes);
        memcpy(p->codes, codes + i * cells, cells * sizeof *codes);
    }
    free(codes);
}

/* All images of the size of p[at[0]], in batches. A plan is made for every number of images,
 * and only a few are kept: what is left over goes in powers of two. */
static void encode_size(const encoder_t *e, encoded_t *p, const size_t *at, size_t n) {
    group_t g = {.p = p, .at = at};
    g.rgb = xmalloc((n < e->batch ? n : e->batch) * p[at[0]].im.w * p[at[0]].im.h * 3);
    while (n) {
        g.n = e->batch;
        if (n < g.n)
            for (g.n = 1; 2 * g.n <= n;) g.n *= 2;
        encode_group(e, &g);
        g.at += g.n;
        n -= g.n;
    }
    free(g.rgb);
}

static void encode_all(const encoder_t *e, encoded_t *p, size_t n) {
    size_t *at = xmalloc(n * sizeof *at);
    for (size_t i = 0; i < n; i++) {
        if (!p[i].im.rgb || p[i].codes) continue;
        size_t m = 0;
        for (size_t k = i; k < n; k++)
            if (p[k].im.rgb && p[k].im.w == p[i].im.w && p[k].im.h == p[i].im.h) at[m++] = k;
        encode_size(e, p, at, m);
    }
    free(at);
}

static void to_png(void *ctx, size_t i) {
    encoded_t *p = (encoded_t *)ctx + i;
    reason_t why;
    if (p->im.rgb && image_encode_png(&p->im, &p->png, &p->png_size, &why))
        die(RC_RUNTIME, "%s", why.text);
}

void encoder_run(const encoder_t *e, encoded_t *p, size_t n) {
    if (e->tokenizer) encode_all(e, p, n);
    if (e->keep) parallel_for(n, to_png, p);
}
