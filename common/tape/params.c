/* params.c - see params.h. */
#include "common/tape/params.h"

#include "common/base/die.h"
#include "common/base/sizes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct params {
    uint64_t seed;
    param_t *at;
    size_t n, cap;
    size_t floats; /* of a block */
    bool sketch, blank;
    struct {
        float *p;
        size_t cap; /* floats; 0 = not in use */
    } block[PARAMS_BLOCKS];
};

enum { ALIGN_FLOATS = 16 };

params_t *params_new(uint64_t seed) {
    params_t *p = NEW(params_t);
    p->seed = seed;
    return p;
}

params_t *params_sketch(void) {
    params_t *p = params_new(0);
    p->sketch = true;
    return p;
}

params_t *params_blank(void) {
    params_t *p = params_new(0);
    p->blank = true;
    return p;
}

void params_free(params_t *p) {
    if (!p) return;
    for (size_t i = 0; i < p->n; i++) free(p->at[i].name);
    for (int b = 0; b < PARAMS_BLOCKS; b++) free(p->block[b].p);
    free(p->at);
    free(p);
}

static void block_set(params_t *p, int b, size_t cap) {
    float *grown = xaligned(cap * sizeof *grown);
    if (p->block[b].p) memcpy(grown, p->block[b].p, p->block[b].cap * sizeof *grown);
    memset(grown + p->block[b].cap, 0, (cap - p->block[b].cap) * sizeof *grown);
    free(p->block[b].p);
    p->block[b].p = grown;
    p->block[b].cap = cap;
}

static void block_grow(params_t *p, int b) {
    if (p->block[b].cap >= p->floats && p->block[b].p) return;
    size_t cap = p->block[b].cap;
    if (!cap) cap = p->floats > 4096 ? p->floats : 4096;
    while (cap < p->floats) cap += cap / 4; /* large networks: little memory beyond what is used */
    block_set(p, b, cap);
}

void params_reserve(params_t *p, size_t floats) {
    if (floats > p->block[PARAMS_VALUE].cap) block_set(p, PARAMS_VALUE, floats);
}

float *params_base(params_t *p, int block) {
    if (p->sketch) BUG("a sketch of parameters has no numbers");
    block_grow(p, block);
    return p->block[block].p;
}

float *params_ptr(params_t *p, int block, int i) {
    return params_base(p, block) + p->at[i].offset;
}
bool params_has(const params_t *p, int block) {
    return p->block[block].p != NULL;
}
size_t params_n(const params_t *p) {
    return p->n;
}
const param_t *params_at(const params_t *p, int i) {
    return &p->at[i];
}
size_t params_block(const params_t *p) {
    return p->floats;
}

int params_find(const params_t *p, const char *name) {
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->at[i].name, name)) return (int)i;
    return -1;
}

/* Position in memory of disk element `i`. */
static size_t memory_index(const param_t *q, size_t i) {
    if (q->layout == LAYOUT_SAME) return i;
    if (q->layout == LAYOUT_PIXELS) {
        size_t row = q->dim[1], pixels = row / 3, at = i % row;
        return i - at + at % pixels * 3 + at / pixels;
    }
    size_t O = q->dim[0], I = q->dim[1], kk = q->dim[2] * q->dim[3];
    size_t tap = i % kk, in = i / kk % I, out = i / kk / I;
    return (tap * I + in) * O + out;
}

static const char *shape_text(char buf[96], int rank, const size_t *dim) {
    size_t at = (size_t)snprintf(buf, 96, "[");
    for (int d = 0; d < rank; d++)
        at += (size_t)snprintf(buf + at, 96 - at, "%s%zu", d ? "," : "", dim[d]);
    snprintf(buf + at, 96 - at, "]");
    return buf;
}

int params_get(params_t *p, const char *name, int rank, const size_t *dim, param_layout_t layout,
               param_init_t init) {
    int old = params_find(p, name);
    if (old >= 0) {
        const param_t *q = &p->at[old];
        bool same = q->rank == rank && q->layout == layout;
        for (int d = 0; same && d < rank; d++) same = q->dim[d] == dim[d];
        if (!same) {
            char was[96], now[96];
            BUG("parameter '%s' is asked for with another shape: %s and %s", name,
                shape_text(was, q->rank, q->dim), shape_text(now, rank, dim));
        }
        return old;
    }
    p->at = xgrow(p->at, &p->cap, p->n + 1, sizeof *p->at);
    param_t *q = &p->at[p->n];
    *q = (param_t){
        .name = xstrdup(name), .rank = rank, .layout = layout, .count = 1, .offset = p->floats};
    for (int d = 0; d < rank; d++) {
        q->dim[d] = dim[d];
        q->count *= dim[d];
    }
    p->floats += round_up(q->count, ALIGN_FLOATS);
    if (p->sketch || (p->blank && !p->block[PARAMS_VALUE].p))
        return (int)p->n++; /* the block comes when asked for */
    for (int b = 0; b < PARAMS_BLOCKS; b++)
        if (b == PARAMS_VALUE || p->block[b].p) block_grow(p, b);
    if (p->blank) return (int)p->n++;
    float *v = p->block[PARAMS_VALUE].p + q->offset;
    rng_t r = rng_make(p->seed, name);
    for (size_t i = 0; i < q->count;
         i++) { /* drawn in disk order: independent of the memory layout */
        float x = init.kind == INIT_ZERO       ? 0
                  : init.kind == INIT_ONE      ? 1
                  : init.kind == INIT_NORMAL   ? init.a * rng_normal(r, i)
                  : init.kind == INIT_NEAR_ONE ? 1 + init.a * rng_normal(r, i)
                                               : init.a * (2 * rng_uniform(r, i) - 1);
        v[memory_index(q, i)] = x;
    }
    return (int)p->n++;
}

/* A convolution's kernel between memory [tap,in,out] and disk [out,in,tap], a cache line of outputs
 * at a time. */
static void move_conv(const param_t *q, float *memory, float *disk, bool to_disk) {
    size_t O = q->dim[0], I = q->dim[1], taps = q->dim[2] * q->dim[3];
    for (size_t from = 0; from < O; from += 16) {
        size_t to = from + 16 < O ? from + 16 : O;
        for (size_t in = 0; in < I; in++)
            for (size_t tap = 0; tap < taps; tap++)
                for (size_t out = from; out < to; out++) {
                    float *m = memory + (tap * I + in) * O + out,
                          *d = disk + (out * I + in) * taps + tap;
                    if (to_disk)
                        *d = *m;
                    else
                        *m = *d;
                }
    }
}

static void move(const param_t *q, float *memory, float *disk, bool to_disk) {
    if (q->layout == LAYOUT_CONV) {
        move_conv(q, memory, disk, to_disk);
    } else if (q->layout == LAYOUT_SAME) {
        memcpy(to_disk ? disk : memory, to_disk ? memory : disk, q->count * sizeof *disk);
    } else {
        for (size_t j = 0; j < q->count; j++) {
            float *m = memory + memory_index(q, j);
            *(to_disk ? &disk[j] : m) = *(to_disk ? m : &disk[j]);
        }
    }
}

void params_export(params_t *p, int block, int i, float *disk) {
    move(&p->at[i], params_ptr(p, block, i), disk, true);
}

void params_import(params_t *p, int block, int i, const float *disk) {
    move(&p->at[i], params_ptr(p, block, i), (float *)disk, false);
}

bool params_match(const char *name, const char *const *pattern, size_t n) {
    bool in = false;
    for (size_t i = 0; i < n; i++) {
        bool out = pattern[i][0] == '!';
        const char *prefix = pattern[i] + out;
        if (!strncmp(name, prefix, strlen(prefix))) in = !out;
    }
    return in;
}
