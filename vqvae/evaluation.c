/* evaluation.c - see evaluation.h. */
#include "vqvae/evaluation.h"

#include "common/base/pool.h"
#include "common/base/sizes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 32, LEAST_OBJECT = 4 /* pixels */ };

typedef struct {
    const evaluation_t *e;
    const data_source_t *s;
    size_t first, w, h;
    uint8_t *rgb, *recon; /* [BATCH,h,w,3] */
    bool there[BATCH];
    double mse[BATCH], ssim[BATCH], front_error[BATCH];
    size_t front[BATCH]; /* pixels */
} batch_t;

static void read_item(void *ctx, size_t i) {
    batch_t *b = ctx;
    b->there[i] = data_read(b->e->d, b->s, data_item(b->s, b->e->split, b->first + i),
                            b->rgb + i * b->w * b->h * 3);
}

/* Images that vanished since the sources were opened leave no gap. Returns how many of m stay. */
static size_t close_gaps(batch_t *b, size_t m) {
    size_t n = 0, frame = b->w * b->h * 3;
    for (size_t i = 0; i < m; i++) {
        if (b->there[i] && n < i) memcpy(b->rgb + n * frame, b->rgb + i * frame, frame);
        n += b->there[i];
    }
    return n;
}

/* Squared error on [0,1] over the pixels that differ from the source's median image. */
static void compare_front(batch_t *b, size_t i) {
    size_t n = b->w * b->h;
    const uint8_t *x = b->rgb + i * n * 3, *y = b->recon + i * n * 3;
    bool *front = xmalloc(n * sizeof *front);
    b->front[i] = data_foreground(b->e->d, b->s, x, front);
    b->front_error[i] = 0;
    for (size_t p = 0; p < n * 3; p++)
        if (front[p / 3]) b->front_error[i] += (x[p] - y[p]) * (x[p] - y[p]) / (255.0 * 255.0);
    free(front);
}

static void compare_item(void *ctx, size_t i) {
    batch_t *b = ctx;
    size_t n = b->w * b->h * 3;
    float *x = xmalloc(2 * n * sizeof *x);
    image_to_float(b->rgb + i * n, n, x);
    image_to_float(b->recon + i * n, n, x + n);
    b->mse[i] = image_mse(x + n, x, n);
    b->ssim[i] = image_ssim(x, x + n, b->w, b->h);
    free(x);
    if (b->s->median) compare_front(b, i);
}

/* The object counts as kept when the reconstruction shows at least a quarter of its pixels within 5
 * % of the image's side. */
static void compare_object(const evaluation_t *e, const batch_t *b, size_t i,
                           evaluation_sums_t *sums) {
    double x, y, rx, ry;
    size_t n = object_find(e->object, b->rgb + i * b->w * b->h * 3, b->w, b->h, &x, &y);
    if (n < LEAST_OBJECT) return;
    sums->with_object++;
    size_t m = object_find(e->object, b->recon + i * b->w * b->h * 3, b->w, b->h, &rx, &ry);
    if (!m) return;
    double error = hypot(rx - x, ry - y);
    if (m * 4 >= n && error <= 0.05 * (double)b->w) {
        sums->object_kept++;
        sums->object_error += error;
    }
}

evaluation_sums_t evaluation_sums_new(size_t K) {
    return (evaluation_sums_t){.counts = xcalloc(K, sizeof(float))};
}

void evaluation_sums_release(evaluation_sums_t *s) {
    free(s->counts);
    s->counts = NULL;
}

void evaluation_sums_add(evaluation_sums_t *to, const evaluation_sums_t *from, size_t K) {
    to->images += from->images;
    to->mse += from->mse;
    to->ssim += from->ssim;
    to->seconds += from->seconds;
    to->front_pixels += from->front_pixels;
    to->front_error += from->front_error;
    to->with_object += from->with_object;
    to->object_kept += from->object_kept;
    to->object_error += from->object_error;
    for (size_t i = 0; i < EVALUATION_KEPT; i++) {
        to->kept_mse[i] += from->kept_mse[i];
        to->kept_ssim[i] += from->kept_ssim[i];
    }
    for (size_t k = 0; k < K; k++) to->counts[k] += from->counts[k];
}

size_t evaluation_kept(const vqvae_config_t *c, size_t keep[EVALUATION_KEPT]) {
    size_t all = vqvae_most_kept(c), n = 0;
    for (size_t k = 1; k < all; k *= 2) keep[n++] = k;
    if (all) keep[n++] = all;
    return n;
}

/* Decodes the first codes alone of m images, whose codes are [m,gw], and adds what they give. */
static void evaluate_prefixes(batch_t *b, size_t m, const uint32_t *codes, size_t gw,
                              evaluation_sums_t *sums) {
    size_t keep[EVALUATION_KEPT], n = evaluation_kept(vqvae_config(b->e->v), keep);
    uint32_t *prefix = xmalloc(m * gw * sizeof *prefix);
    for (size_t k = 0; k < n; k++) {
        for (size_t i = 0; i < m; i++)
            memcpy(prefix + i * keep[k], codes + i * gw, keep[k] * sizeof *prefix);
        vqvae_decode_codes(b->e->v, prefix, m, keep[k], 1, b->recon);
        parallel_for(m, compare_item, b);
        for (size_t i = 0; i < m; i++) {
            sums->kept_mse[k] += b->mse[i];
            sums->kept_ssim[k] += b->ssim[i];
        }
    }
    free(prefix);
}

size_t evaluation_images(const evaluation_t *e, const data_source_t *s) {
    size_t n = data_count(s, e->split);
    return e->limit ? min_size(n, e->limit) : n;
}

void evaluation_source(const evaluation_t *e, const data_source_t *s, evaluation_sums_t *sums,
                       progress_t *bar, size_t *done) {
    size_t n = evaluation_images(e, s), gw, gh;
    vqvae_grid(vqvae_config(e->v), e->d->w, e->d->h, &gw, &gh);
    size_t grid = gw * gh;
    batch_t b = {.e = e, .s = s, .w = e->d->w, .h = e->d->h};
    b.rgb = xmalloc(BATCH * b.w * b.h * 3);
    b.recon = xmalloc(BATCH * b.w * b.h * 3);
    uint32_t *codes = xmalloc(BATCH * grid * sizeof *codes);
    for (; b.first < n; b.first += BATCH) {
        size_t taken = min_size(n - b.first, BATCH);
        parallel_for(taken, read_item, &b);
        *done += taken;
        size_t m = close_gaps(&b, taken);
        if (!m) continue;
        double start = log_now();
        vqvae_encode_images(e->v, b.rgb, m, b.w, b.h, codes);
        sums->seconds += log_now() - start;
        evaluate_prefixes(&b, m, codes, gw, sums);
        vqvae_decode_codes(e->v, codes, m, gw, gh, b.recon);
        parallel_for(m, compare_item, &b);
        for (size_t i = 0; i < m; i++) {
            sums->mse += b.mse[i];
            sums->ssim += b.ssim[i];
            if (s->median) {
                sums->front_pixels += b.front[i];
                sums->front_error += b.front_error[i];
            }
            if (e->object) compare_object(e, &b, i, sums);
        }
        for (size_t i = 0; i < m * grid; i++) sums->counts[codes[i]]++;
        sums->images += m;
        progress_step(bar, *done, NULL);
    }
    free(b.rgb);
    free(b.recon);
    free(codes);
}
