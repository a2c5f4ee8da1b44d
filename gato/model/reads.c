/* reads.c - see reads.h. */
#include "gato/model/reads.h"

#include <stdlib.h>

void reads_find(reads_t *r, const batch_t *b, const packing_t *p) {
    size_t all = p->B * p->T;
    r->number = xgrow(r->number, &r->cap, all, sizeof *r->number);
    for (size_t i = 0; i < all; i++) r->number[i] = -1;
    for (size_t g = 0; g < b->model->n_groups; g++) {
        const column_t *position = &b->target[g].rows.input[INPUT_POSITION];
        for (size_t i = 0, s = 0; i < position->n; i++)
            r->number[packing_place(p, b, column_at(position, i), &s)] = 0;
    }
    r->n = 0;
    for (size_t i = 0; i < all; i++)
        if (!r->number[i]) r->number[i] = (int32_t)r->n++;
}

void reads_release(reads_t *r) {
    free(r->number);
    *r = (reads_t){0};
}

size_t reads_bound(const reads_t *r, const packing_t *p, bool exact) {
    size_t all = p->B * p->T, rows = exact ? r->n : graph_bucket(r->n);
    return 8 * rows < 7 * all ? rows : 0; /* beyond, gathering costs more than it saves */
}

void reads_fill(const reads_t *r, const packing_t *p, int32_t *to, size_t all) {
    size_t n = 0;
    for (size_t i = 0; i < p->B * p->T; i++)
        if (r->number[i] >= 0) to[n++] = (int32_t)i;
    while (n < all) to[n++] = -1;
}
