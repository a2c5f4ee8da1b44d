/* mapping.h - which observations and actions of a dataset become slots of its task, and of what
 * kind: by --obs and --act, or by default.
 *
 *     image=KEY+KEY2,vector=KEY+KEY2,discrete=KEY,text=KEY
 *
 * KEY is the path of a leaf (agent/pixels, _index_0); or of a Dict or Tuple, for all leaves below
 * it that fit the kind; or "." for everything. What is not named is left out, and not read. Actions
 * can be vectors and discrete only. `continuous` is another word for `vector`.
 */
#ifndef TOKENIZE_MAPPING_H
#define TOKENIZE_MAPPING_H

#include "common/io/episodes/episode_source.h"
#include "common/io/token_db/task.h"

typedef struct {
    size_t leaf; /* number of the observation or action leaf */
    slot_kind_t kind;
} use_t;
typedef struct {
    use_t *use; /* [n], in the order of the declaration; owned */
    size_t n;
} mapping_t;

/* The mapping that text describes, released with mapping_release; name: of the dataset, for
 * messages. NULL is the default:
 *
 *     observations   all images (episode_source_find_images) of 1 or 3 channels; Boxes of at most
 *                    one dimension -> vector; Discrete, MultiDiscrete and MultiBinary ->
 *                    discrete; the first text
 *     actions        Boxes -> vector; Discrete -> discrete
 *
 * Warns of leaves that the default leaves out. Changes the source: its image leaves become
 * SPACE_IMAGE, and reading skips the leaves that nobody uses. die()s for a mapping that the dataset
 * cannot follow (2), naming what it has; for an image of other than 1 or 3 channels that is named
 * or the only one, and without any action (3). */
mapping_t mapping_observations(episode_source_t *source, const char *name, const char *text);
mapping_t mapping_actions(episode_source_t *source, const char *name, const char *text);
void mapping_release(mapping_t *mapping);

/* Of element k of a discrete leaf: its lowest value, and how many values it has. The lowest is the
 * lower bound of a Box of whole numbers, and 0 of a Discrete (its values come without their start).
 */
double mapping_first(const space_leaf_t *leaf, size_t k);
int64_t mapping_range(const space_leaf_t *leaf, size_t k);

#endif
