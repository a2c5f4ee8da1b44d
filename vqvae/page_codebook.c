/* page_codebook.c - how often each code was used, and an image of each; see page.h. */
#include "common/base/sizes.h"
#include "vqvae/page.h"

#include <math.h>
#include <stdlib.h>

/* Codes that are shown, and how many in a row: of a grid, and of ordered ones, which are whole
 * images. */
enum { MOST_CODES = 1024, CODE_COLUMNS = 32, MOST_ORDERED = 128, ORDERED_COLUMNS = 16 };

typedef struct {
    double count;
    uint32_t code;
} use_t;

static int by_use(const void *a, const void *b) {
    const use_t *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->code < y->code ? -1 : x->code > y->code;
}

/* How much larger the images of codes of f x f pixels are shown. */
static size_t zoom_for(size_t f) {
    if (f < 4) return 6;
    if (f < 8) return 4;
    return f < 16 ? 3 : 2;
}

void page_codebook(page_t *p) {
    size_t K = vqvae_config(p->v)->codes, used = 0;
    use_t *use = xcalloc(K, sizeof *use);
    double total = 0, *x = xmalloc(K * sizeof *x), *share = xmalloc(K * sizeof *share);
    for (size_t c = 0; c < K; c++) {
        use[c].code = (uint32_t)c;
        for (size_t k = 0; k < p->d->n; k++) use[c].count += p->g.counts[k * K + c];
        total += use[c].count;
        used += use[c].count > 0;
    }
    qsort(use, K, sizeof *use, by_use);
    for (size_t c = 0; c < K; c++) {
        x[c] = (double)c + 1;
        share[c] = total > 0 ? 100 * use[c].count / total : 0;
    }
    html_put(&p->h, "<h2>Codebook</h2>\n<div class=\"charts\">\n");
    html_chart(&p->h, &(chart_t){.title = "Share of the codes, % (most used first)",
                                 .x = x,
                                 .n = K,
                                 .series = {{NULL, share}},
                                 .n_series = 1,
                                 .area = true,
                                 .mark = NAN});
    html_printf(&p->h,
                "</div>\n<p>These images use %zu of %zu codes; used alike, each would have %.3g "
                "%%.</p>\n",
                used, K, 100.0 / (double)K);
    bool ordered = vqvae_most_kept(vqvae_config(p->v));
    size_t n = min_size(K, ordered ? MOST_ORDERED : MOST_CODES),
           columns = min_size(n, ordered ? ORDERED_COLUMNS : CODE_COLUMNS);
    uint32_t *order = xmalloc(n * sizeof *order);
    for (size_t c = 0; c < n; c++) order[c] = use[c].code;
    image_t sheet = gallery_codes(p->v, order, n, columns);
    html_printf(&p->h,
                "<h3>What each code draws</h3>\n<p class=\"dim\">The %zu most used codes, row by "
                "row, each %s.</p>\n<div class=\"scroll\">",
                n, ordered ? "as the only code of an image" : "decoded on a grid of itself");
    html_image(&p->h, &sheet, ordered ? 1 : zoom_for(vqvae_stride(vqvae_config(p->v))),
               "an image of each code");
    html_put(&p->h, "</div>\n");
    image_release(&sheet);
    free(order);
    free(use);
    free(x);
    free(share);
}
