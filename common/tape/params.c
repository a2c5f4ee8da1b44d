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
        void *memory; /* that p lies in, aligned */
        size_t cap;   /* floats; 0 = not in use */
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
    for (int b = 0; b < PARAMS_BLOCKS; b++) free(p->block[b].memory);
    free(p->at);
    free(p);
}

/* Its first values are calloc's: pages of a large block that nobody writes (the moments of frozen
 * parameters) take no memory. */
static void block_set(params_t *p, int b, size_t cap) {
    enum { ALIGN = 64 };
    char *memory = xcalloc(cap * sizeof(float) + ALIGN, 1);
    float *grown = (float *)(memory + (ALIGN - (uintptr_t)memory % ALIGN) % ALIGN);
    if (p->block[b].p) memcpy(grown, p->block[b].p, p->block[b].cap * sizeof *grown);
    free(p->block[b].memory);
    p->block[b].memory = memory;
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

void params_apart(params_t *p, int i) {
    for (int b = 0; b < PARAMS_BLOCKS; b++)
        if (p->block[b].p) BUG("'%s' has numbers already", p->at[i].name);
    p->at[i].apart = true;
    p->floats = 0;
    for (size_t k = 0; k < p->n; k++) {
        p->at[k].offset = p->floats;
        if (!p->at[k].apart) p->floats += round_up(p->at[k].count, ALIGN_FLOATS);
    }
}

float *params_base(params_t *p, int block) {
    if (p->sketch) BUG("a sketch of parameters has no numbers");
    block_grow(p, block);
    return p->block[block].p;
}

float *params_ptr(params_t *p, int block, int i) {
    if (p->at[i].apart) BUG("the numbers of '%s' are not here", p->at[i].name);
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

/* Position in memory of disk element `i` (the table of params.h). */
static size_t memory_index(const param_t *param, size_t i) {
    switch (param->layout) {
    case LAYOUT_PIXELS: { /* a row on disk: all red, all green, all blue; in memory: r g b r g b */
        size_t row = param->dim[1], pixels = row / 3, start = i / row * row;
        size_t channel = i % row / pixels, pixel = i % row % pixels;
        return start + pixel * 3 + channel;
    }
    case LAYOUT_CONV: { /* [out,in,taps] -> [taps,in,out] */
        size_t n_out = param->dim[0], n_in = param->dim[1], taps = param->dim[2] * param->dim[3];
        size_t tap = i % taps, in = i / taps % n_in, out = i / taps / n_in;
        return (tap * n_in + in) * n_out + out;
    }
    default:
        return i;
    }
}

static const char *shape_text(char buf[96], int rank, const size_t *dim) {
    size_t at = (size_t)snprintf(buf, 96, "[");
    for (int d = 0; d < rank; d++)
        at += (size_t)snprintf(buf + at, 96 - at, "%s%zu", d ? "," : "", dim[d]);
    snprintf(buf + at, 96 - at, "]");
    return buf;
}

static float first_value(param_init_t init, rng_t r, size_t i) {
    switch (init.kind) {
    case INIT_ZERO:
        return 0;
    case INIT_ONE:
        return 1;
    case INIT_NORMAL:
        return init.a * rng_normal(r, i);
    case INIT_NEAR_ONE:
        return 1 + init.a * rng_normal(r, i);
    case INIT_UNIFORM:
        break;
    }
    return init.a * (2 * rng_uniform(r, i) - 1);
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
    /* Drawn in disk order, so that values do not depend on the memory's layout. */
    float *value = p->block[PARAMS_VALUE].p + q->offset;
    rng_t r = rng_make(p->seed, name);
    for (size_t i = 0; i < q->count; i++) value[memory_index(q, i)] = first_value(init, r, i);
    return (int)p->n++;
}

/* A convolution's kernel, memory [tap,in,out] from disk [out,in,tap], a cache line of outputs at a
 * time. */
enum { LINE = 16 };
static void import_conv(const param_t *param, float *memory, const float *disk) {
    size_t n_out = param->dim[0], n_in = param->dim[1], taps = param->dim[2] * param->dim[3];
    for (size_t from = 0; from < n_out; from += LINE) {
        size_t to = from + LINE < n_out ? from + LINE : n_out;
        for (size_t in = 0; in < n_in; in++)
            for (size_t tap = 0; tap < taps; tap++)
                for (size_t out = from; out < to; out++)
                    memory[(tap * n_in + in) * n_out + out] = disk[(out * n_in + in) * taps + tap];
    }
}

/* The way back. */
static void export_conv(const param_t *param, const float *memory, float *disk) {
    size_t n_out = param->dim[0], n_in = param->dim[1], taps = param->dim[2] * param->dim[3];
    for (size_t from = 0; from < n_out; from += LINE) {
        size_t to = from + LINE < n_out ? from + LINE : n_out;
        for (size_t in = 0; in < n_in; in++)
            for (size_t tap = 0; tap < taps; tap++)
                for (size_t out = from; out < to; out++)
                    disk[(out * n_in + in) * taps + tap] = memory[(tap * n_in + in) * n_out + out];
    }
}

void params_export(params_t *p, int block, int i, float *disk) {
    const param_t *param = &p->at[i];
    const float *memory = params_ptr(p, block, i);
    if (param->layout == LAYOUT_SAME)
        memcpy(disk, memory, param->count * sizeof *disk);
    else if (param->layout == LAYOUT_CONV)
        export_conv(param, memory, disk);
    else
        for (size_t j = 0; j < param->count; j++) disk[j] = memory[memory_index(param, j)];
}

void params_import(params_t *p, int block, int i, const float *disk) {
    const param_t *param = &p->at[i];
    float *memory = params_ptr(p, block, i);
    if (param->layout == LAYOUT_SAME)
        memcpy(memory, disk, param->count * sizeof *disk);
    else if (param->layout == LAYOUT_CONV)
        import_conv(param, memory, disk);
    else
        for (size_t j = 0; j < param->count; j++) memory[memory_index(param, j)] = disk[j];
}

/* Does the name begin with the pattern? */
static bool begins(const char *name, const char *pattern) {
    for (; *pattern && *pattern != '*'; pattern++, name++)
        if (*pattern != *name) return false;
    if (!*pattern) return true;
    while (!begins(name, pattern + 1)) {
        if (!*name) return false;
        name++;
    }
    return true;
}

bool params_match(const char *name, const char *const *pattern, size_t n) {
    bool in = false;
    for (size_t i = 0; i < n; i++) {
        bool out = pattern[i][0] == '!';
        const char *prefix = pattern[i] + out;
        if (begins(name, prefix)) in = !out;
    }
    return in;
}
