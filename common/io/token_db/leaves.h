/* leaves.h - the names of a timestep's columns.
 *
 * A dataset's spaces are trees; each leaf becomes columns of one kind ("part") of a record. Widths
 * alone do not tell two recordings apart whose columns stand in another order. So a shard and a
 * policy keep the list of leaves in the order of the columns, as canonical JSON:
 *
 *   {"actions":[{"name":"arm","part":"continuous","width":2}],
 *    "observations":[{"name":"state/joints","part":"continuous","width":6}, ...]}
 *
 *   name    the leaf's path; "" when the space is neither a Dict nor a Tuple
 *   part    image, continuous, discrete or text
 *   width   columns; 1 for images and texts
 *
 * NULL in place of the JSON means that the names are not known, as in former shards.
 */
#ifndef IO_LEAVES_H
#define IO_LEAVES_H

#include "common/base/die.h"
#include <stdint.h>

typedef enum { LEAF_IMAGE, LEAF_CONTINUOUS, LEAF_DISCRETE, LEAF_TEXT, LEAF_PARTS } leaf_part_t;
typedef enum { LEAF_OBSERVATION, LEAF_ACTION, LEAF_SIDES } leaf_side_t;

typedef struct {
    char *name; /* owned */
    leaf_side_t side;
    leaf_part_t part;
    uint32_t width;
} leaf_t;

/* {0} is an empty list. */
typedef struct {
    leaf_t *v;
    size_t n;
} leaves_t;

/* Appends a leaf; the name is copied. */
void leaves_add(leaves_t *l, leaf_side_t side, leaf_part_t part, const char *name, uint32_t width);
/* Frees what the list owns and empties it. */
void leaves_release(leaves_t *l);
/* Number of columns of one side and part. */
uint64_t leaves_width(const leaves_t *l, leaf_side_t side, leaf_part_t part);
/* The list as canonical JSON, malloc'ed. */
char *leaves_json(const leaves_t *l);
/* Back. 0, or -1 with a reason and *out empty. */
int leaves_parse(leaves_t *out, const char *json, reason_t *why);

/* Do two lists (JSON, or NULL) name the same columns in the same order? A part that one of them
 * lacks fits any other, and a leaf without a name fits any leaf of its width. 0, or -1 with a
 * reason that shows both. */
int leaves_fit(const char *a, const char *b, reason_t *why);
/* All that two fitting lists know: the leaves of a, and those of the parts that only b has.
 * malloc'ed; NULL when both are NULL. */
char *leaves_merge(const char *a, const char *b);
/* The name of a column for messages: "arm/joints[2]", or "" when it is not known. Returns buf. */
const char *leaves_column(const leaves_t *l, leaf_side_t side, leaf_part_t part, uint32_t column,
                          char buf[300]);

#endif
