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

/* A dataset in DIR/data; spec is copied. append: goes on with a dataset of the same spec that is
 * there (RC: -1 with a reason when it differs). Every committed episode is durable: a killed writer
 * leaves a whole dataset without the episode at hand. NULL with a reason: cannot be written,
 * somebody else is writing it, or built without HDF5. */
minari_writer_t *minari_writer_new(const char *dir, const minari_spec_t *spec, bool append,
                                   reason_t *why);
/* Episodes that are there. */
size_t minari_writer_count(const minari_writer_t *w);
/* Appends an episode, whose arrays stay the caller's. -1 with a reason. */
int minari_writer_add(minari_writer_t *w, const recorded_episode_t *e, reason_t *why);

/* The same in pieces, for episodes of any length: begin, rows, end. rows: e holds e->T further steps
 * of every array, observations without the one more; `last` of them: T + 1 observations, and the
 * episode is complete. minari_writer_drop forgets the episode at hand. */
int minari_writer_begin(minari_writer_t *w, int64_t seed, reason_t *why);
int minari_writer_rows(minari_writer_t *w, const recorded_episode_t *e, bool last, reason_t *why);
/* Makes the episode at hand durable: it, and metadata that count it, are on disk afterwards. */
int minari_writer_end(minari_writer_t *w, reason_t *why);
int minari_writer_drop(minari_writer_t *w, reason_t *why);

/* Ends and frees w; what was committed stays. -1 with a reason. */
int minari_writer_close(minari_writer_t *w, reason_t *why);

#endif
