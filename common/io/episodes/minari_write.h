/* minari_write.h - writes Minari datasets (HDF5) without Python: the layout of release 0.5 with raw
 * frames. Readers are behind episode_source.h. The layout is described in FORMATS.md.
 *
 * A dataset grows episode by episode, and every reader finds all finished ones at any time: while
 * it is written, and after a kill at any moment. Use:
 *
 *     minari_writer_t *w = minari_writer_new(dir, &spec, false, &rc, &why);
 *     minari_writer_begin(w, seed);
 *     while (more) minari_writer_rows(w, &some_steps, false);
 *     minari_writer_rows(w, &last_observation, true);
 *     if (minari_writer_end(w, NULL, &why)) ...
 *     minari_writer_close(w);
 *
 * The same episodes give the same bytes, also when a killed writer is followed by one that appends.
 */
#ifndef IO_MINARI_WRITE_H
#define IO_MINARI_WRITE_H

#include "common/base/die.h"
#include "common/io/episodes/episode.h"

typedef struct minari_writer minari_writer_t;
typedef struct {
    const char *dataset_id, *algorithm, *env_spec; /* env_spec: JSON text or NULL */
    /* Paths may go through groups ("agent/wrist"); the only leaf of a bare space has the path
     * "". */
    const space_leaf_t *obs, *act;
    size_t n_obs, n_act;
    bool dict_obs; /* true: Dict with the leaves' paths as keys; false: one bare leaf */
    /* Mean returns of a random policy and of an expert, by which returns are normalized: written
     * where both are known (finite) and differ. */
    double random_return, expert_return;
} minari_spec_t;

/* A dataset in DIR/data; spec is copied. append: goes on with the dataset that is there, if there
 * is one; else it is replaced. NULL with a reason: *rc = RC_MISFIT when what is there has another
 * spec, RC_DATA when it is damaged or not written here, RC_RUNTIME when it cannot be written, or
 * another process is writing it; RC_USAGE for paths that no HDF5 file can have side by side. */
minari_writer_t *minari_writer_new(const char *dir, const minari_spec_t *spec, bool append, int *rc,
                                   reason_t *why);

/* What a recorder finds again when it goes on: attributes `episode`, `return` and `success` of the
 * episode's group, which readers pass over. */
typedef struct {
    int64_t number; /* of the episode in the recording, which skips those that failed */
    double ret;
    bool success;
    size_t T; /* set by the writer */
} minari_note_t;
/* The committed episodes and their notes, [count]; valid until the next commit. Zeros where an
 * episode was written without. */
size_t minari_writer_count(const minari_writer_t *w);
const minari_note_t *minari_writer_notes(const minari_writer_t *w);

/* Writes an episode in pieces, for episodes of any length: memory is a row, and one chunk of each
 * dataset (h5_write.h). seed: -1 = none.
 * rows: e holds e->T further steps, and as many observations; `last`: one observation more. Labels
 * and success flags are written when the first rows have them. */
void minari_writer_begin(minari_writer_t *w, int64_t seed);
void minari_writer_rows(minari_writer_t *w, const recorded_episode_t *e, bool last);
/* Makes the episode at hand durable: it, and metadata that count it, are on disk afterwards. note
 * may be NULL. -1 with a reason; then only minari_writer_close may follow. */
int minari_writer_end(minari_writer_t *w, const minari_note_t *note, reason_t *why);
/* Forgets the episode at hand. */
void minari_writer_drop(minari_writer_t *w);
/* begin, rows and end of a whole episode, whose arrays stay the caller's. */
int minari_writer_add(minari_writer_t *w, const recorded_episode_t *e, reason_t *why);

/* Ends and frees w: an episode at hand is dropped. NULL is allowed. */
void minari_writer_close(minari_writer_t *w);

#endif
