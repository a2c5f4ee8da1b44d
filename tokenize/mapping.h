/* mapping.h - which observations and actions of a dataset become which part of a record: --obs and
 * --act, or by themselves.
 *
 * "image=KEY,continuous=KEY+KEY2,discrete=KEY,text=KEY": KEY is the path of a leaf (agent/pixels,
 * _index_0), of a Dict or Tuple (then all leaves below it that fit the part), or "." for
 * everything. What is not named is left out, and not read. For actions there are continuous and
 * discrete.
 */
#ifndef TOKENIZE_MAPPING_H
#define TOKENIZE_MAPPING_H

#include "common/io/episodes/episode_source.h"

typedef enum { ROLE_IMAGE, ROLE_CONTINUOUS, ROLE_DISCRETE, ROLE_TEXT } role_t;
typedef struct {
    size_t leaf;
    role_t role;
} use_t;
typedef struct {
    use_t *use; /* in the order of their columns */
    size_t n;
} mapping_t;

/* `text` NULL: observations: the first image; Boxes of at most one dimension are continuous,
 * Discrete, MultiDiscrete and MultiBinary discrete; the first text. Actions: Boxes and Discretes;
 * what has no place is told in a warning. Makes the image's leaf SPACE_IMAGE, and leaves that
 * nobody uses are skipped by episode_source_read. die()s: RC_USAGE for a mapping that the dataset
 * cannot follow (naming what it has), RC_DATA for an image of other than 1 or 3 channels. */
mapping_t mapping_observations(episode_source_t *m, const char *name, const char *text);
mapping_t mapping_actions(episode_source_t *m, const char *name, const char *text);
void mapping_release(mapping_t *p);

/* Whole numbers of a Box taken as discrete: element k's first value and range (those of a Discrete
 * leaf: 0, since its values come less their start, and its range). */
double mapping_first(const space_leaf_t *l, size_t k);
int64_t mapping_range(const space_leaf_t *l, size_t k);

#endif
