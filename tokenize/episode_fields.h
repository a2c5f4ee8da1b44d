/* episode_fields.h - turns the leaves of a dataset's episodes into the slots of a record, by a
 * mapping (mapping.h) and the task that it makes (episode_task.h).
 *
 *     observations   images -> codes; numbers -> vectors; Discrete -> discrete; texts ->
 *                    tokens of the episode's first ones, a line each, in one slot
 *     actions        Boxes, scaled from their bounds to [-1,1] unless those say nothing
 *                    (bounds.h); Discrete
 *     infos          expert_action -> labels; success; present -> where a slot is there
 *
 * Timestep t is observation t with action t: the observation after the last action is left out.
 * Encodes no image: episode_fields_frame gives the frames to the encoder. The images of a task are
 * its first slots: image k is slot k.
 */
#ifndef TOKENIZE_EPISODE_FIELDS_H
#define TOKENIZE_EPISODE_FIELDS_H

#include "common/io/episodes/episode_source.h"
#include "common/io/image/image.h"
#include "common/io/text/text_tokenizer.h"
#include "common/io/token_db/token_db.h"
#include "common/model/tokenizer.h"
#include "tokenize/mapping.h"

typedef struct {
    const episode_source_t *source;
    const char *name; /* of the dataset, for messages */
    const text_tokenizer_t *text_tokenizer;
    mapping_t obs, act;
    task_t task;
    size_t leaf[TASK_SLOTS];       /* of each slot: the number of its leaf */
    size_t n_images;               /* image slots */
    uint64_t values, beyond;       /* action values, and those outside their bounds */
    uint64_t seen, clipped;        /* numbers observed, and those that the mu-law clips */
    uint64_t episodes, text_moves; /* episodes filled, and those whose text changes within */
} episode_fields_t;

/* Arrays of a record that were made for it. {0} is empty. */
typedef struct {
    void **array;
    size_t n, cap;
} episode_arrays_t;
/* Room for one more, which the list owns; zeroed. */
void *episode_arrays_add(episode_arrays_t *arrays, size_t n, size_t size);
void episode_arrays_release(episode_arrays_t *arrays);

/* obs, act, task: --obs, --act and --task; NULL = the default. source, name and text_tokenizer must
 * outlive the fields; text_tokenizer may be NULL where episode_fields_fill is not called. die()s as
 * mapping.h and episode_task.h say. */
void episode_fields_init(episode_fields_t *fields, episode_source_t *source, const char *name,
                         const text_tokenizer_t *text_tokenizer, const char *obs, const char *act,
                         const char *task);
void episode_fields_release(episode_fields_t *fields);
/* Settles the sizes of the images and gives the meta the task. Logs which actions are stored as
 * they are. tokenizer: NULL = no codes. */
void episode_fields_meta(episode_fields_t *fields, const tokenizer_t *tokenizer,
                         shard_meta_t *meta);

/* Can the episode become a record? 0; or -1 with dataset, episode, step and field: a NaN, an
 * infinity, a discrete value outside its range or above 1023. What is marked as missing is not
 * looked at. */
int episode_fields_check(const episode_fields_t *fields, const recorded_episode_t *episode,
                         const char *key, reason_t *why);
/* Steps first .. first + record->T - 1 of a checked episode as arrays of the record, but for the
 * codes and pixels of images. The arrays lie in *arrays and in the episode, and live as long as
 * both. */
void episode_fields_fill(episode_fields_t *fields, const recorded_episode_t *episode, size_t first,
                         token_record_t *record, episode_arrays_t *arrays);
/* The frame of image slot k in a step as an RGB image, owned by the caller; without pixels when it
 * is missing. */
image_t episode_fields_frame(const episode_fields_t *fields, const recorded_episode_t *episode,
                             size_t k, size_t step);
/* Warns, at the end: more than 1 % of the actions are outside their bounds, or of the numbers
 * observed beyond the mu-law's M; texts change within episodes. */
void episode_fields_report(const episode_fields_t *fields);

#endif
