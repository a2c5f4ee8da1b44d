/* page.h - the page of `vqvae report`, part by part. No dates, and of paths the last name alone:
 * the same RUN and images give the same bytes. */
#ifndef VQVAE_PAGE_H
#define VQVAE_PAGE_H

#include "common/report/parts.h"
#include "vqvae/gallery.h"

typedef struct {
    const char *run;
    metrics_log_t metrics;
    /* NULL: no checkpoint yet. */
    vqvae_t *v;
    /* NULL: no images. */
    data_t *d;
    split_t split;
    gallery_t g;
    html_t h;
} page_t;

/* Writes the whole page to p->h. Reorders p->g. die(RC_DATA) when the RUN's configuration is
 * damaged. */
void page_write(page_t *p);

/* Its parts, each written to the end of p->h. */

/* Numbers of the training and the tokenizer (page_curves.c). */
void page_tiles(page_t *p);
/* Metrics over the optimizer steps (page_curves.c). */
void page_curves(page_t *p);
/* A table: the metrics of each source's images (page_images.c). */
void page_metrics(page_t *p);
/* Originals beside reconstructions; then the worst and the best, for which p->g is sorted by error
 * (page_images.c). */
void page_images(page_t *p);
/* How often each code was used, and an image of each (page_codebook.c). */
void page_codebook(page_t *p);
#endif
