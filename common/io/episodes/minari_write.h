/* minari_write.h - writes Minari datasets (HDF5) without Python: the layout of release 0.5 with raw
 * frames. Readers are behind episode_source.h. The layout is described in FORMATS.md.
 *
 * The same data gives the same bytes: HDF5 without object times, images through its gzip filter,
 * jpeg_encoding false. Not thread-safe: HDF5 is not.
 */
#ifndef IO_MINARI_WRITE_H
#define IO_MINARI_WRITE_H

#include "common/base/die.h"
#include "common/io/episodes/episode.h"

typedef struct minari_writer minari_writer_t;
typedef struct {
    const char *dataset_id, *algorithm, *env_spec; /* env_spec: JSON text or NULL */
    const space_leaf_t *obs, *act;
    size_t n_obs, n_act;
    bool dict_obs; /* true: Dict with the leaves' paths as keys; false: one bare leaf */
} minari_spec_t;

/* A dataset in DIR/data; spec is copied. Everything has temporary names until the commit. NULL with
 * a reason: cannot be written, somebody else is writing it, or built without HDF5. */
minari_writer_t *minari_writer_new(const char *dir, const minari_spec_t *spec, reason_t *why);
/* Appends an episode, whose arrays stay the caller's. -1 with a reason. */
int minari_writer_add(minari_writer_t *w, const recorded_episode_t *e, reason_t *why);
/* Gives the files their names and frees w. -1 with a reason. */
int minari_writer_commit(minari_writer_t *w, reason_t *why);
/* Deletes what was written and frees w. */
void minari_writer_abort(minari_writer_t *w);

#endif
