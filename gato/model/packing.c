/* packing.c - how the sequences of a batch lie in rows (graph.h). */
#include "common/base/sizes.h"
#include "gato/model/graph.h"

#include <stdlib.h>
#include <string.h>

/* Above this share of empty positions, sequences are packed. */
static const double PADDING = 0.1;
/* Rows longer than needed are tried until this share is reached. */
static const double LITTLE = 0.06;

/* Rows are multiples of it: of 8 where a coarser step would leave much of a row empty (115
 * positions in a row of 128), of `coarse` beyond, so that shapes stay few. */
static size_t grain(size_t longest, size_t coarse) {
    return longest <= 256 ? 8 : coarse;
}

static size_t length(const batch_t *b, size_t s) {
    return (size_t)(column_at(&b->start, s + 1) - column_at(&b->start, s));
}

static double empty(const batch_t *b, const packing_t *p) {
    return 1 - (double)batch_positions(b) / (double)(p->B * p->T);
}

/* Sequences in order, one a row. */
static void spread(packing_t *p, size_t n) {
    p->B = n;
    for (size_t s = 0; s < n; s++) {
        p->row[s] = (uint32_t)s;
        p->offset[s] = 0;
    }
}

/* Sequences by falling length, equal ones in order. */
typedef struct {
    size_t length;
    uint32_t number;
} sorted_t;

static int by_length(const void *a, const void *b) {
    const sorted_t *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? 1 : -1;
    return x->number < y->number ? -1 : 1;
}

/* Each into the first row of T that has room. used: room for one number a sequence. */
static void pack(packing_t *p, const sorted_t *sequence, size_t n, size_t T, size_t *used) {
    p->B = 0;
    p->T = T;
    for (size_t i = 0; i < n; i++) {
        size_t row = 0;
        while (row < p->B && used[row] + sequence[i].length > T) row++;
        if (row == p->B) used[p->B++] = 0;
        p->row[sequence[i].number] = (uint32_t)row;
        p->offset[sequence[i].number] = (uint32_t)used[row];
        used[row] += sequence[i].length;
    }
}

/* Rows of T, or longer ones up to twice as long: the shortest that leave little empty, or else
 * those that leave least. */
static void pack_best(packing_t *p, const batch_t *b, size_t n) {
    sorted_t *sequence = xmalloc(n * sizeof *sequence);
    size_t *used = xmalloc(n * sizeof *used);
    for (size_t s = 0; s < n; s++) sequence[s] = (sorted_t){length(b, s), (uint32_t)s};
    qsort(sequence, n, sizeof *sequence, by_length);
    size_t longest = batch_longest(b), more = grain(longest, 32);
    size_t first = round_up(longest, more), best = first;
    double least = 2;
    for (size_t T = first; T <= 2 * first && least >= LITTLE; T += more) {
        pack(p, sequence, n, T, used);
        if (empty(b, p) >= least) continue;
        least = empty(b, p);
        best = T;
    }
    pack(p, sequence, n, best, used);
    free(sequence);
    free(used);
}

packing_t packing_of(const batch_t *b, bool exact) {
    size_t n = batch_sequences(b), longest = batch_longest(b);
    packing_t p = {.row = xcalloc(n + 1, sizeof *p.row),
                   .offset = xcalloc(n + 1, sizeof *p.offset)};
    p.T = exact || longest <= 32 ? longest : round_up(longest, grain(longest, 64));
    spread(&p, n);
    double before = empty(b, &p);
    size_t T = p.T;
    if (exact || before < PADDING) return p;
    pack_best(&p, b, n);
    if (empty(b, &p) < before && p.B < n) return p;
    p.T = T; /* nothing is won */
    spread(&p, n);
    return p;
}

void packing_release(packing_t *p) {
    free(p->row);
    free(p->offset);
    *p = (packing_t){0};
}

size_t packing_place(const packing_t *p, const batch_t *b, int32_t position, size_t *sequence) {
    size_t s = *sequence;
    while (position < column_at(&b->start, s)) s--;
    while (position >= column_at(&b->start, s + 1)) s++;
    *sequence = s;
    return p->row[s] * p->T + p->offset[s] + (size_t)(position - column_at(&b->start, s));
}
