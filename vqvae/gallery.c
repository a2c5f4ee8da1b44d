/* gallery.c - see gallery.h. */
#include "vqvae/gallery.h"

#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/io/image/image_metrics.h"
#include "vqvae/evaluation.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 32, SIDE = 3 /* of a code's own grid */ };

typedef struct {
    const data_t *d;
    shot_t *shot;
    uint8_t *rgb, *recon;
    bool there[BATCH];
} batch_t;

static void read_shot(void *ctx, size_t i) {
    batch_t *b = ctx;
    const shot_t *s = &b->shot[i];
    b->there[i] =
        data_read(b->d, &b->d->source[s->source], s->item, b->rgb + i * b->d->w * b->d->h * 3);
}

static void compare_shot(void *ctx, size_t i) {
    batch_t *b = ctx;
    size_t n = b->d->w * b->d->h * 3;
    float *x = xmalloc(2 * n * sizeof *x);
    image_to_float(b->rgb + i * n, n, x);
    image_to_float(b->recon + i * n, n, x + n);
    b->shot[i].mse = image_mse(x + n, x, n);
    b->shot[i].ssim = image_ssim(x, x + n, b->d->w, b->d->h);
    free(x);
}

/* Those that vanished or are damaged leave no gap, neither among the shots nor in the batch.
 * Returns how many stay. */
static size_t close_gaps(batch_t *b, gallery_t *g, size_t first, size_t m, size_t out) {
    size_t n = 0, per = b->d->w * b->d->h * 3;
    for (size_t i = 0; i < m; i++) {
        if (!b->there[i]) continue;
        if (n < i) memcpy(b->rgb + n * per, b->rgb + i * per, per);
        g->shot[out + n] = g->shot[first + i];
        n++;
    }
    b->shot = g->shot + out;
    return n;
}

static void choose(gallery_t *g, const data_t *d, split_t split, size_t limit) {
    size_t cap = 0;
    for (size_t k = 0; k < d->n; k++) {
        size_t all = data_count(&d->source[k], split), n = limit && all > limit ? limit : all;
        for (size_t i = 0; i < n; i++) {
            g->shot = xgrow(g->shot, &cap, g->n + 1, sizeof *g->shot);
            g->shot[g->n++] =
                (shot_t){.source = k, .item = data_item(&d->source[k], split, i * all / n)};
        }
    }
}

gallery_t gallery_new(vqvae_t *v, const data_t *d, split_t split, size_t limit) {
    gallery_t g = {0};
    size_t per = d->w * d->h * 3, K = vqvae_config(v)->codes, gw, gh;
    vqvae_grid(vqvae_config(v), d->w, d->h, &gw, &gh);
    size_t grid = gw * gh;
    choose(&g, d, split, limit);
    g.counts = xcalloc(d->n * K, sizeof *g.counts);
    batch_t b = {.d = d, .rgb = xmalloc(BATCH * per), .recon = xmalloc(BATCH * per)};
    uint32_t *codes = xmalloc(BATCH * grid * sizeof *codes);
    progress_t bar;
    progress_begin(&bar, "report", 0, g.n);
    size_t kept = 0;
    for (size_t first = 0; first < g.n; first += BATCH) {
        size_t m = min_size(g.n - first, BATCH);
        b.shot = g.shot + first;
        parallel_for(m, read_shot, &b);
        size_t n = close_gaps(&b, &g, first, m, kept);
        vqvae_encode_images(v, b.rgb, n, d->w, d->h, codes);
        vqvae_decode_codes(v, codes, n, gw, gh, b.recon);
        parallel_for(n, compare_shot, &b);
        kept += n;
        for (size_t i = 0; i < n * grid; i++) g.counts[b.shot[i / grid].source * K + codes[i]]++;
        progress_step(&bar, first + m, NULL);
    }
    progress_end(&bar);
    g.n = kept;
    free(b.rgb);
    free(b.recon);
    free(codes);
    return g;
}

void gallery_release(gallery_t *g) {
    free(g->shot);
    free(g->counts);
    *g = (gallery_t){0};
}

void gallery_pair(vqvae_t *v, const data_t *d, const shot_t *s, image_t *original,
                  image_t *reconstruction) {
    size_t gw, gh;
    vqvae_grid(vqvae_config(v), d->w, d->h, &gw, &gh);
    uint32_t *codes = xmalloc(gw * gh * sizeof *codes);
    *original = image_new(d->w, d->h);
    *reconstruction = image_new(d->w, d->h);
    if (!data_read(d, &d->source[s->source], s->item, original->rgb))
        memset(original->rgb, 0, d->w * d->h * 3);
    vqvae_encode_images(v, original->rgb, 1, d->w, d->h, codes);
    vqvae_decode_codes(v, codes, 1, gw, gh, reconstruction->rgb);
    free(codes);
}

image_t gallery_prefixes(vqvae_t *v, const data_t *d, const shot_t *s, size_t n) {
    enum { MARGIN = 2 };
    size_t keep[EVALUATION_KEPT], n_keep = evaluation_kept(vqvae_config(v), keep),
                                  columns = n_keep + 1;
    uint32_t *codes = xmalloc(vqvae_tokens(vqvae_config(v), d->w, d->h) * sizeof *codes);
    image_t *tile = xcalloc(n * columns, sizeof *tile);
    for (size_t i = 0; i < n; i++) {
        image_t *row = tile + i * columns;
        for (size_t k = 0; k < columns; k++) row[k] = image_new(d->w, d->h);
        if (!data_read(d, &d->source[s[i].source], s[i].item, row->rgb))
            memset(row->rgb, 0, d->w * d->h * 3);
        vqvae_encode_images(v, row->rgb, 1, d->w, d->h, codes);
        for (size_t k = 0; k < n_keep; k++)
            vqvae_decode_codes(v, codes, 1, keep[k], 1, row[k + 1].rgb);
    }
    image_t sheet = image_sheet(tile, n * columns, columns, MARGIN);
    for (size_t i = 0; i < n * columns; i++) image_release(&tile[i]);
    free(tile);
    free(codes);
    return sheet;
}

image_t gallery_codes(vqvae_t *v, const uint32_t *code, size_t n, size_t columns) {
    const vqvae_config_t *c = vqvae_config(v);
    bool ordered = vqvae_most_kept(c);
    size_t side = ordered ? 1 : SIDE, per = side * side, rows = ceil_div(n, columns), w, h;
    vqvae_image_size(c, side, side, &w, &h);
    /* What is shown of a decoded image of w x h: from (left, top) on. */
    size_t left = ordered ? 0 : w / side, top = ordered ? 0 : h / side, shown_w = w / side,
           shown_h = h / side;
    image_t sheet = image_new(columns * (shown_w + 1) + 1, rows * (shown_h + 1) + 1);
    memset(sheet.rgb, 128, sheet.w * sheet.h * 3);
    uint32_t grid[BATCH * SIDE * SIDE];
    uint8_t *rgb = xmalloc(BATCH * w * h * 3);
    for (size_t first = 0; first < n; first += BATCH) {
        size_t m = min_size(n - first, BATCH);
        for (size_t i = 0; i < m * per; i++) grid[i] = code[first + i / per];
        vqvae_decode_codes(v, grid, m, side, side, rgb);
        for (size_t i = 0; i < m; i++) {
            image_t whole = {w, h, rgb + i * w * h * 3},
                    middle = image_crop(&whole, left, top, shown_w, shown_h);
            size_t at = first + i;
            image_paste(&sheet, &middle, at % columns * (shown_w + 1) + 1,
                        at / columns * (shown_h + 1) + 1);
            image_release(&middle);
        }
    }
    free(rgb);
    return sheet;
}
