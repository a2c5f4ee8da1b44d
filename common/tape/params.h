/* params.h - named parameters: get-or-create, shape checked, one contiguous block each for values,
 * gradients and moments.
 *
 * The same name is the same weight and the key in the checkpoint. In memory every tensor has the
 * layout its kernel wants; on disk it has PyTorch's: param_layout_t says which,
 * params_export/import convert.
 */
#ifndef TAPE_PARAMS_H
#define TAPE_PARAMS_H

#include "common/base/rng.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    LAYOUT_SAME, /* memory = disk (vectors, tables, Linear [out,in], Conv1D [in,out]) */
    LAYOUT_CONV, /* memory [kh,kw,in,out], disk OIHW */
    LAYOUT_PIXELS, /* memory [out, pixel, 3], disk [out, 3 * pixels]: a Linear over flattened RGB patches, channels
                      first on disk */
} param_layout_t;

typedef enum {
    INIT_ZERO,
    INIT_ONE,
    INIT_NORMAL,  /* N(0, a) */
    INIT_UNIFORM, /* [-a,a] */
    INIT_NEAR_ONE /* N(1, a) */
} param_init_kind_t;
typedef struct {
    param_init_kind_t kind;
    float a;
} param_init_t;

typedef struct {
    char *name;
    int rank;
    size_t dim[4]; /* PyTorch's shape (disk) */
    param_layout_t layout;
    size_t count, offset; /* floats, into the blocks; offsets are multiples of 16 */
} param_t;

typedef struct params params_t;

params_t *params_new(uint64_t seed);
void params_free(params_t *p);
/* Names and shapes alone: nothing may ask for its numbers. */
params_t *params_sketch(void);
/* Parameters that a file will fill: new ones are zero, since drawing their first values can take
 * longer than reading.
 */
params_t *params_blank(void);
/* Room for blocks of so many floats (params_block of a sketch), so that they need not grow by
 * copies. */
void params_reserve(params_t *p, size_t floats);

/* Index of `name`, created with the given disk shape and initialised from stream (seed, name) when
 * new; BUG when it exists with another shape. Pointers into the blocks move when a parameter is
 * created; indices do not. */
int params_get(params_t *p, const char *name, int rank, const size_t *dim, param_layout_t layout,
               param_init_t init);
int params_find(const params_t *p, const char *name); /* -1 = none */
size_t params_n(const params_t *p);
const param_t *params_at(const params_t *p, int i);
/* Total floats of a block, padding included. */
size_t params_block(const params_t *p);

/* Block b: 0 values, 1 gradients, 2 and 3 Adam moments, 4 weight average. Allocated (zeroed) at
 * first use. */
enum { PARAMS_VALUE, PARAMS_GRAD, PARAMS_M, PARAMS_V, PARAMS_AVERAGE, PARAMS_BLOCKS };
float *params_base(params_t *p, int block);
float *params_ptr(params_t *p, int block, int i);
bool params_has(const params_t *p, int block);

/* Copies tensor i of a block to/from `disk` (count floats, PyTorch layout). */
void params_export(params_t *p, int block, int i, float *disk);
void params_import(params_t *p, int block, int i, const float *disk);

/* True if `name` is selected by the patterns: the last matching one decides; "!prefix" excludes; ""
 * matches all; n = 0 selects none. */
bool params_match(const char *name, const char *const *pattern, size_t n);

#endif
