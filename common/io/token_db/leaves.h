/* leaves.h - the names of a timestep's columns: which leaf of the dataset's spaces became which
 * part, in the order of the columns.
 *
 * Widths alone do not tell two recordings apart whose columns stand in another order, so a shard
 * and a policy keep this list, as canonical JSON:
 *   {"actions":[{"name":"arm","part":"continuous","width":2}],
 *    "observations":[{"name":"state/joints","part":"continuous","width":6}, ...]}
 * name: the leaf's path, "" of a space that is no Dict or Tuple. part: image, continuous, discrete
 * or text. width: columns (1 of images and texts). Absent (NULL) where nobody knows: former shards.
 */
#ifndef IO_LEAVES_H
#define IO_LEAVES_H

#include "common/base/die.h"
#include <stdint.h>

typedef enum { LEAF_IMAGE, LEAF_CONTINUOUS, LEAF_DISCRETE, LEAF_TEXT, LEAF_PARTS } leaf_part_t;
typedef enum { LEAF_OBSERVATION, LEAF_ACTION, LEAF_SIDES } leaf_side_t;

typedef struct {
    char *name;
    leaf_side_t side;
    leaf_part_t part;
    uint32_t width;
} leaf_t;

typedef struct {
    leaf_t *v;
    size_t n;
} leaves_t;

/* Appends a leaf; the name is copied. */
void leaves_add(leaves_t *l, leaf_side_t side, leaf_part_t part, const char *name, uint32_t width);
void leaves_release(leaves_t *l);
/* Columns of a part. */
uint64_t leaves_width(const leaves_t *l, leaf_side_t side, leaf_part_t part);
/* malloc'ed */
char *leaves_json(const leaves_t *l);
/* -1 with a reason when it is no such list; *out is empty then. */
int leaves_parse(leaves_t *out, const char *json, reason_t *why);

/* Do two lists (JSON, NULL = not known) name the same columns in the same order? A part that one of
 * them does not have fits everything, and so does a leaf without a name of the same width. -1 with
 * both lists. */
int leaves_fit(const char *a, const char *b, reason_t *why);
/* What both know: the parts of a, and those of b that a does not have. malloc'ed; NULL when both
 * are. */
char *leaves_merge(const char *a, const char *b);
/* The name of a column, for messages: "arm/joints[2]", or "" when it is not known. */
const char *leaves_column(const leaves_t *l, leaf_side_t side, leaf_part_t part, uint32_t column,
                          char buf[300]);

#endif
