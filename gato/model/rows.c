/* rows.c - see rows.h. */
#include "gato/model/rows.h"

#include "common/base/die.h"

#include <stdlib.h>
#include <string.h>

size_t input_count(const input_spec_t *s) {
    size_t n = 1;
    for (int d = 0; d < s->rank; d++) n *= s->dim[d];
    return n;
}

/* Both types are of 4 bytes. */
static void *column_more(column_t *c, dtype_t type, size_t rows) {
    if (c->type != type) BUG("a column of type %d, asked for %d", (int)c->type, (int)type);
    size_t first = c->n;
    c->n += rows * c->per;
    c->v = xgrow(c->v, &c->cap, c->n, 4);
    return (char *)c->v + 4 * first;
}

int32_t *column_ints(column_t *c, size_t rows) {
    return column_more(c, DT_I32, rows);
}

float *column_floats(column_t *c, size_t rows) {
    return column_more(c, DT_F32, rows);
}

void column_put(column_t *c, int32_t v) {
    *column_ints(c, 1) = v;
}

int32_t column_at(const column_t *c, size_t i) {
    return ((const int32_t *)c->v)[i];
}

void rows_init(rows_t *r, const input_spec_t *spec, size_t n_inputs) {
    if (n_inputs > ROWS_INPUTS) BUG("%zu inputs", n_inputs);
    *r = (rows_t){.n_inputs = n_inputs};
    for (size_t i = 0; i < n_inputs; i++) {
        r->spec[i] = spec[i];
        r->input[i] = (column_t){.per = input_count(&spec[i]), .type = spec[i].type};
    }
}

void rows_clear(rows_t *r) {
    r->n = 0;
    for (size_t i = 0; i < r->n_inputs; i++) r->input[i].n = 0;
}

void rows_keep(rows_t *r, size_t from, size_t lo, size_t hi) {
    for (size_t i = 0; i < r->n_inputs; i++) {
        column_t *c = &r->input[i];
        char *v = (char *)c->v + 4 * from * c->per;
        memmove(v, v + 4 * lo * c->per, 4 * (hi - lo) * c->per);
        c->n = (from + hi - lo) * c->per;
    }
}

void rows_release(rows_t *r) {
    for (size_t i = 0; i < r->n_inputs; i++) free(r->input[i].v);
    *r = (rows_t){0};
}

void rows_added(rows_t *r, size_t rows) {
    r->n += rows;
    for (size_t i = 0; i < r->n_inputs; i++)
        if (r->input[i].n != r->n * r->input[i].per)
            BUG("input '%s': %zu elements in %zu rows of %zu", r->spec[i].name, r->input[i].n, r->n,
                r->input[i].per);
}
