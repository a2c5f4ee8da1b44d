/* episode_fields.h - turns the leaves of a dataset's episodes into the parts of a record, by a
 * mapping (mapping.h).
 *
 *     observations   the image -> codes; numbers -> continuous, leaf after leaf; Discrete ->
 *                    discrete; texts -> byte tokens of the episode's first texts, a line each
 *     actions        Boxes, scaled from their bounds to [-1,1] unless those say nothing
 *                    (bounds.h); Discrete
 *     infos/expert_action   -> label_actions
 *
 * Timestep t is observation t with action t: the observation after the last action is left out.
 * Encodes no image: episode_fields_frame gives the frames to the encoder.
 */
#ifndef TOKENIZE_EPISODE_FIELDS_H
#define TOKENIZE_EPISODE_FIELDS_H

#include "common/io/episodes/episode_source.h"
#include "common/io/image/image.h"
#include "common/io/token_db/token_db.h"
#include "tokenize/mapping.h"

typedef struct {
    const episode_source_t *source;
    const char *name; /* of the dataset, for messages */
    mapping_t obs, act;
    int image, text; /* observation leaves: the image, the first text; -1 = none */
    uint32_t n_continuous, n_discrete, n_actions, n_discrete_actions;
    float *low, *high;             /* [n_actions] as declared */
    uint64_t values, beyond;       /* action values, and those outside their bounds */
    uint64_t seen, clipped;        /* continuous observations, and those that the mu-law clips */
    uint64_t episodes, text_moves; /* episodes filled, and those whose text changes within */
} episode_fields_t;

/* obs, act: --obs and --act; NULL = the default. source and name must outlive the fields. die()s as
 * mapping.h says, for discrete actions of more than 1024 values (4), and for empty bounds (3). */
void episode_fields_init(episode_fields_t *fields, episode_source_t *source, const char *name,
                         const char *obs, const char *act);
void episode_fields_release(episode_fields_t *fields);
/* Sets the meta's widths, ranges, bounds, environment and names of columns. Logs which actions are
 * stored as they are, because their bounds say nothing (bounds.h). */
void episode_fields_meta(const episode_fields_t *fields, shard_meta_t *meta);

/* Can the episode become a record? 0; or -1 with dataset, episode, step and field: a NaN, an
 * infinity, a discrete value outside its range or above 1023. */
int episode_fields_check(const episode_fields_t *fields, const recorded_episode_t *episode,
                         const char *key, reason_t *why);
/* Steps first .. first + record->T - 1 of a checked episode as arrays of the record, [T, width]
 * each. They lie in *arrays (release with free) and in the episode, and live as long as both. */
void episode_fields_fill(episode_fields_t *fields, const recorded_episode_t *episode, size_t first,
                         token_record_t *record, void **arrays);
/* The frame of a step as an RGB image, owned by the caller. */
image_t episode_fields_frame(const episode_fields_t *fields, const recorded_episode_t *episode,
                             size_t step);
/* Warns, at the end: more than 1 % of the actions are outside their bounds, or of the continuous
 * observations beyond the mu-law's M; texts change within episodes. */
void episode_fields_report(const episode_fields_t *fields);

#endif
