/* episode_source.h - recorded episodes by number, whatever format holds them: a Minari dataset
 * folder or a D4RL file (FORMATS.md). The format is found by what stands at the path.
 *
 * Use (tests/examples/example_episodes.c):
 *
 *     episode_source_t *source = episode_source_open(path, &rc, &why);
 *     for (size_t i = 0; source && i < episode_source_count(source); i++) {
 *         recorded_episode_t episode;
 *         if (episode_source_read(source, i, &episode, &why)) continue; // why says what is wrong
 *         for (size_t t = 0; t < episode.T; t++) reward += episode.rewards[t];
 *         recorded_episode_release(&episode);
 *     }
 *     episode_source_close(source);
 *
 * A source has observations and actions: lists of leaves (episode.h), the same for every episode.
 *
 * Not thread-safe: HDF5 is not. Callers hold one lock for all sources of the process.
 */
#ifndef IO_EPISODE_SOURCE_H
#define IO_EPISODE_SOURCE_H

#include "common/base/die.h"
#include "common/io/episodes/episode.h"

/* ---- sources ---- */

typedef struct episode_source episode_source_t;

/* NULL with a reason. *rc: RC_USAGE when no format knows what stands there, RC_DATA when it cannot
 * be used, RC_RUNTIME when the program was built without the library that reads it. */
episode_source_t *episode_source_open(const char *path, int *rc, reason_t *why);
/* For programs: dies with the reason instead. */
episode_source_t *episode_source_open_or_die(const char *path);
void episode_source_close(episode_source_t *s);

/* Episodes. */
size_t episode_source_count(const episode_source_t *s);
/* The environment's specification as JSON text, or NULL. Owned by the source. */
const char *episode_source_env_spec(const episode_source_t *s);
/* The name that the recording gives itself; "" when it has none. Owned by the source. */
const char *episode_source_dataset_id(const episode_source_t *s);
/* Mean returns of a random policy and of an expert, as the recording states them; NAN: it does
 * not. */
double episode_source_random_return(const episode_source_t *s);
double episode_source_expert_return(const episode_source_t *s);
/* The leaves of the observations and of the actions. Owned by the source. */
size_t episode_source_n_obs(const episode_source_t *s);
const space_leaf_t *episode_source_obs(const episode_source_t *s, size_t i);
size_t episode_source_n_act(const episode_source_t *s);
const space_leaf_t *episode_source_act(const episode_source_t *s, size_t i);
/* A hash of the name, the number of episodes and the sizes of the files: a resumed job refuses
 * another recording. */
uint64_t episode_source_manifest(const episode_source_t *s);
/* The file whose presence makes the path a folder of episodes with frames: malloc'ed. NULL: it is
 * none. Looks at names alone and opens nothing. */
char *episode_source_frames_file(const char *path);

/* ---- what is to be read ---- */

/* Takes observation i as an image: SPACE_IMAGE as declared, or a u8 Box of [h,w], [h,w,c] or
 * [c,h,w] with c = 1 or 3 (3 at both ends: channels first). From then on it is SPACE_IMAGE and is
 * read as such. False: it is no image. */
bool episode_source_as_image(episode_source_t *s, size_t i);
/* The observations that are images when nobody says which: the declared ones; without any, all that
 * can be taken as one with sides of 32 or more become SPACE_IMAGE. */
void episode_source_find_images(episode_source_t *s);
/* The first of them, for those who read one: the first declared one, else the first
 * that can be taken as one with sides of 32 or more (it is SPACE_IMAGE from then on). -1: none. */
int episode_source_find_image(episode_source_t *s);
/* Leaves that are not wanted are not read: their arrays stay NULL. Texts among the actions never
 * are. */
void episode_source_skip_obs(episode_source_t *s, size_t i);
void episode_source_skip_act(episode_source_t *s, size_t i);
/* JPEG frames that end early or hold damaged data are taken as far as they decode. */
void episode_source_lenient(episode_source_t *s, bool lenient);

/* ---- reading ---- */

/* What a reader answers when a file reaches out of itself (links to other files, storage in them,
 * filters that need a plugin) or claims sizes that it cannot hold: the program stops. */
enum { EPISODE_SOURCE_REFUSED = -2 };

/* Reads an episode into *e, for the caller to release. A defect is -1 with
 * "file:episode:field: reason": the program skips and counts the episode. The other failure is
 * EPISODE_SOURCE_REFUSED. *e is empty after both. */
int episode_source_read(episode_source_t *s, size_t episode, recorded_episode_t *e, reason_t *why);
/* T of an episode, without its arrays (cheap). Errors as episode_source_read. */
int episode_source_steps(episode_source_t *s, size_t episode, size_t *T, reason_t *why);
/* Only the frames of episode_source_find_image's leaf: *frames [T1,h,w,c], malloc'ed, T1 = T + 1.
 * Errors as episode_source_read; formats without episode_source_frames_file have none. */
int episode_source_read_frames(episode_source_t *s, size_t episode, uint8_t **frames, size_t *T1,
                               size_t *h, size_t *w, size_t *c, reason_t *why);

#endif
