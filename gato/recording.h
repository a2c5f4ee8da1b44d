/* recording.h - the dataset that `gato record` writes: what an environment shows and takes as a
 * Minari dataset, episode by episode, and how to go on with one. */
#ifndef GATO_RECORDING_H
#define GATO_RECORDING_H

#include "common/io/episodes/minari_write.h"
#include "gato/play/episode.h"

typedef struct recording recording_t;

/* Opens DIR/data for episodes of this task. renderer: what draws the images, "" = nothing to say.
 * append and errors as minari_writer_new. */
recording_t *recording_open(const char *dir, const task_t *task, const char *policy,
                            const char *renderer, bool append, int *rc, reason_t *why);
void recording_close(recording_t *r);
/* The writer, for its notes. */
const minari_writer_t *recording_writer(const recording_t *r);

/* Begins an episode, when the first step comes, and takes its steps in order, also the last one, of
 * which only the observation counts. An episode has labels when the expert knew the first step; one
 * that it does not know later is labelled with what was executed. */
void recording_step(recording_t *r, uint64_t seed, const episode_step_t *s);
/* The episode is over: on disk when it returns 0. */
int recording_end(recording_t *r, const minari_note_t *note, reason_t *why);
/* Forgets the episode at hand, if there is one. */
void recording_drop(recording_t *r);

#endif
