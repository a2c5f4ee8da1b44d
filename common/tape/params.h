/* params.h - named parameters in a few contiguous blocks: values, gradients, moments.
 *
 * The same name is the same weight, and the key in the checkpoint. In memory every tensor has the
 * layout that its kernel wants; on disk it has PyTorch's. param_layout_t says which, params_export
 * and params_import convert:
 *
 *     layout          disk                  memory              used by
 *     LAYOUT_SAME     any                   the same            vectors, tables, Linear [out,in],
 *                                                               Conv1D [in,out]
 *     LAYOUT_CONV     [out,in,kh,kw]        [kh,kw,in,out]      Conv2d
 *     LAYOUT_PIXELS   [out, 3 x pixels]     [out, pixels x 3]   Linear over flattened RGB patches
 */
#ifndef TAPE_PARAMS_H
#define TAPE_PARAMS_H

#include "common/base/rng.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { LAYOUT_SAME, LAYOUT_CONV, LAYOUT_PIXELS } param_layout_t;

typedef enum {
    INIT_ZERO,
    INIT_ONE,
    INIT_NORMAL,  /* N(0, a^2) */
    INIT_UNIFORM, /* [-a,a] */
    INIT_NEAR_ONE /* N(1, a^2) */
} param_init_kind_t;
typedef struct {
    param_init_kind_t kind;
    float a;
} param_init_t;

typedef struct {
    char *name;
    int rank;
    size_t dim[4]; /* on disk */
    param_layout_t layout;
    size_t count, offset; /* floats, into the blocks; offsets are multiples of 16 */
    bool apart;           /* params_apart */
} param_t;

typedef struct params params_t;

/* ---- making ---- */

/* First values are drawn from streams of (seed, name): they do not depend on the order of
 * making. */
params_t *params_new(uint64_t seed);
/* Names and shapes alone; BUG if its numbers are asked for. */
params_t *params_sketch(void);
/* For parameters that a file will fill: new ones are zero, since drawing first values can take
 * longer than reading. */
params_t *params_blank(void);
/* NULL is allowed. */
void params_free(params_t *p);
/* Makes room for values of so many floats (params_block of a sketch), so that the block need not
 * grow by copies. */
void params_reserve(params_t *p, size_t floats);
/* Index of `name`; made with this disk shape and first values if it is new. BUG: it exists with
 * another shape or layout. Pointers into the blocks move when a parameter is made; indices do
 * not. */
int params_get(params_t *p, const char *name, int rank, const size_t *dim, param_layout_t layout,
               param_init_t init);

/* Parameter i gets no place in the blocks: its numbers are elsewhere (nn_packed_put). BUG: a block
 * is there already, or its numbers are asked for. */
void params_apart(params_t *p, int i);

/* ---- finding ---- */

/* Index of `name`; -1: none. */
int params_find(const params_t *p, const char *name);
size_t params_n(const params_t *p);
/* Valid until the next params_get. */
const param_t *params_at(const params_t *p, int i);
/* Floats of a block, padding included. */
size_t params_block(const params_t *p);
/* True if the patterns select `name`. A pattern is a prefix, in which '*' stands for any bytes;
 * "!prefix" excludes; the last one that matches decides. "" matches every name; no patterns select
 * nothing. */
bool params_match(const char *name, const char *const *pattern, size_t n);

/* ---- numbers ---- */

/* Blocks: values, gradients, Adam's two moments, average of the weights. */
enum { PARAMS_VALUE, PARAMS_GRAD, PARAMS_M, PARAMS_V, PARAMS_AVERAGE, PARAMS_BLOCKS };
/* A whole block, and parameter i in it, in memory layout. A block is allocated, all zero, when it
 * is asked for first. */
float *params_base(params_t *p, int block);
float *params_ptr(params_t *p, int block, int i);
/* True if the block was asked for. */
bool params_has(const params_t *p, int block);

/* Copies parameter i of a block to or from `disk`: count floats in disk layout. */
void params_export(params_t *p, int block, int i, float *disk);
void params_import(params_t *p, int block, int i, const float *disk);

#endif
