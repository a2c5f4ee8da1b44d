/* page_images.c - reconstructions beside their originals, and their metrics; see page.h. */
#include "common/base/sizes.h"
#include "common/io/image/image_metrics.h"
#include "vqvae/metrics.h"
#include "vqvae/page.h"

#include <stdlib.h>

enum { SHOWN = 12 /* pairs per source */, EXTREMES = 8, IN_ROWS = 6 /* by first codes */ };

static void pair(page_t *p, const shot_t *s) {
    image_t a, b;
    size_t zoom = p->d->w <= 64 ? 2 : 1;
    const char *key = image_source_key(p->d->source[s->source].source, s->item);
    gallery_pair(p->v, p->d, s, &a, &b);
    html_printf(&p->h, "<figure class=\"pair\" style=\"width:%zupx\"><div>",
                2 * p->d->w * zoom + 3);
    html_image(&p->h, &a, zoom, "original");
    html_image(&p->h, &b, zoom, "reconstruction");
    html_put(&p->h, "</div><figcaption>");
    html_text(&p->h, key);
    html_printf(&p->h, " &middot; %.2f dB</figcaption></figure>\n", image_psnr(s->mse));
    image_release(&a);
    image_release(&b);
}

static void metrics_row(page_t *p, const char *name, size_t first, size_t n, const float *counts) {
    size_t K = vqvae_config(p->v)->codes;
    double mse = 0, ssim = 0;
    for (size_t i = first; i < first + n; i++) {
        mse += p->g.shot[i].mse;
        ssim += p->g.shot[i].ssim;
    }
    html_put(&p->h, "<tr><td>");
    html_text(&p->h, name);
    html_printf(&p->h, "</td><td class=\"n\">%zu</td>", n);
    if (n)
        html_printf(&p->h,
                    "<td class=\"n\">%.2f</td><td class=\"n\">%.4f</td><td "
                    "class=\"n\">%.6f</td><td class=\"n\">%zu of "
                    "%zu</td><td class=\"n\">%.1f</td>",
                    image_psnr(mse / (double)n), ssim / (double)n, mse / (double)n,
                    metrics_used(counts, K), K, metrics_perplexity(counts, K));
    html_put(&p->h, "</tr>\n");
}

/* How many images of source k there are, and the first: they stand together. */
static size_t source_shots(const page_t *p, size_t k, size_t *first) {
    size_t n = 0;
    *first = 0;
    while (*first < p->g.n && p->g.shot[*first].source < k) ++*first;
    while (*first + n < p->g.n && p->g.shot[*first + n].source == k) n++;
    return n;
}

void page_metrics(page_t *p) {
    size_t K = vqvae_config(p->v)->codes, first;
    float *all = xcalloc(K, sizeof *all);
    html_put(&p->h, "<h2>Metrics</h2>\n<div class=\"scroll\"><table><tr><th>source</th><th "
                    "class=\"n\">images</th><th "
                    "class=\"n\">PSNR, dB</th><th class=\"n\">SSIM</th><th class=\"n\">MSE</th><th "
                    "class=\"n\">codes "
                    "used</th><th class=\"n\">perplexity</th></tr>\n");
    for (size_t k = 0; k < p->d->n; k++) {
        size_t n = source_shots(p, k, &first);
        char *name = report_name(image_source_name(p->d->source[k].source));
        metrics_row(p, name, first, n, p->g.counts + k * K);
        free(name);
        for (size_t i = 0; i < K; i++) all[i] += p->g.counts[k * K + i];
    }
    if (p->d->n > 1) metrics_row(p, "all together", 0, p->g.n, all);
    html_put(&p->h, "</table></div>\n");
    free(all);
}

/* n images from shot `first` on by their first codes alone, where codes are ordered. */
static void prefixes(page_t *p, size_t first, size_t n) {
    if (!n || !vqvae_most_kept(vqvae_config(p->v))) return;
    image_t sheet = gallery_prefixes(p->v, p->d, &p->g.shot[first], n);
    html_put(&p->h, "<p class=\"dim\">From the first 1, 2, 4 &hellip; codes to all; the originals "
                    "on the left.</p>\n<div class=\"scroll\">");
    html_image(&p->h, &sheet, p->d->w <= 64 ? 2 : 1, "images of first codes");
    html_put(&p->h, "</div>\n");
    image_release(&sheet);
}

static int by_error(const void *a, const void *b) {
    const shot_t *x = a, *y = b;
    if (x->mse != y->mse) return x->mse < y->mse ? -1 : 1;
    if (x->source != y->source) return x->source < y->source ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

void page_images(page_t *p) {
    html_put(&p->h, "<h2>Reconstructions</h2>\n<p class=\"dim\">Originals on the left.</p>\n");
    for (size_t k = 0; k < p->d->n; k++) {
        size_t first, n = source_shots(p, k, &first), shown = min_size(n, SHOWN);
        html_put(&p->h, "<h3>");
        char *name = report_name(image_source_name(p->d->source[k].source));
        html_text(&p->h, name);
        free(name);
        html_put(&p->h, "</h3>\n<div class=\"pairs\">\n");
        for (size_t i = 0; i < shown; i++) pair(p, &p->g.shot[first + i * n / shown]);
        html_put(&p->h, "</div>\n");
        prefixes(p, first, min_size(n, IN_ROWS));
    }
    if (p->g.n) qsort(p->g.shot, p->g.n, sizeof *p->g.shot, by_error);
    size_t n = min_size(p->g.n / 2, EXTREMES);
    if (!n) return;
    html_put(&p->h, "<h2>Worst</h2>\n<div class=\"pairs\">\n");
    for (size_t i = 0; i < n; i++) pair(p, &p->g.shot[p->g.n - 1 - i]);
    html_put(&p->h, "</div>\n<h2>Best</h2>\n<div class=\"pairs\">\n");
    for (size_t i = 0; i < n; i++) pair(p, &p->g.shot[i]);
    html_put(&p->h, "</div>\n");
}
