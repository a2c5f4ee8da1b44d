/* page.c - the page as a whole: its head and the order of its parts; see page.h. */
#include "vqvae/page.h"

#include <stdlib.h>

/* The configuration, in bold what is not the default. */
static void page_config(page_t *p) {
    config_t usual;
    config_defaults(config_table, &usual);
    char *text = config_print(config_table, &usual);
    report_config(&p->h, p->run, text);
    free(text);
}

void page_write(page_t *p) {
    report_begin(&p->h, p->run, "vqvae");
    page_tiles(p);
    if (p->d) page_metrics(p);
    page_curves(p);
    if (p->d) {
        page_codebook(p);
        page_images(p);
    }
    page_config(p);
    report_end(&p->h);
}
