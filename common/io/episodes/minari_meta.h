/* minari_meta.h - metadata.json of a Minari dataset: bytes to named leaves, and leaves back to
 * space JSON. No HDF5 here: pure functions over bytes, shared by the reader, the writer and the
 * fuzz target.
 */
#ifndef IO_MINARI_META_H
#define IO_MINARI_META_H

#include "common/base/die.h"
#include "common/io/episodes/episode.h"

typedef struct {
    char *dataset_id; /* "" when absent */
    char *env_spec;   /* JSON text or NULL */
    uint64_t episodes, steps;
    /* ref_min_score and ref_max_score: mean returns of a random policy and of an expert; NAN =
     * absent. */
    double random_return, expert_return;
    /* An image may be stored as JPEG bytes. Absent means true: the data's structure decides. */
    bool jpeg;
    space_leaf_t *obs, *act;
    size_t n_obs, n_act;
} minari_meta_t;

/* -1 with a reason that starts with the field ("observation_space/camera: ..."); *out is then
 * empty. */
int minari_meta_parse(const char *text, size_t size, minari_meta_t *out, reason_t *why);
void minari_meta_release(minari_meta_t *m);

/* The space as Minari serializes it; malloc'ed. dict: a Dict with the leaves' paths as keys,
 * sorted; else the one bare leaf. */
char *minari_space_json(const space_leaf_t *leaves, size_t n, bool dict);

#endif
