/* episode_fields.h - how the spaces of a dataset become the parts of a record, by a mapping
 * (mapping.h).
 *
 * Observations: the image -> codes; numbers -> continuous, one leaf after another; Discrete ->
 * discrete; texts -> byte tokens of the episode's first texts, a line each. Actions: Boxes, scaled
 * from their bounds to [-1,1] unless those say nothing (bounds.h); Discrete. infos/expert_action ->
 * label_actions. Timestep t is observation t with action t: the observation after the last action
 * is left out.
 */
#ifndef TOKENIZE_EPISODE_FIELDS_H
#define TOKENIZE_EPISODE_FIELDS_H

#include "common/io/episodes/episode_source.h"
#include "common/io/image/image.h"
#include "common/io/token_db/token_db.h"
#include "tokenize/mapping.h"

typedef struct {
    const episode_source_t *m;
    const char *name; /* of the dataset, for messages */
    mapping_t obs, act;
    int image, text; /* observation leaves, -1 = none; the first text */
    uint32_t n_continuous, n_discrete, n_actions, n_discrete_actions;
    float *low, *high;       /* [n_actions] as declared */
    uint64_t values, beyond; /* actions seen, and those outside their bounds */
    uint64_t seen, clipped;  /* continuous observations seen, and those that the mu-law clips */
    uint64_t episodes, text_moves; /* episodes filled, and those whose text changes on the way */
} episode_fields_t;

/* obs, act: --obs and --act, NULL = by themselves. die()s as mapping.h says, and for discrete
 * actions of more than 1024 values (4). */
void episode_fields_init(episode_fields_t *s, episode_source_t *m, const char *name,
                         const char *obs, const char *act);
void episode_fields_release(episode_fields_t *s);
/* Sets widths, ranges, bounds and the names of the columns. Says which actions are stored as they
 * are, because their bounds say nothing (bounds.h). */
void episode_fields_meta(const episode_fields_t *s, shard_meta_t *m);

/* NaN, infinity, discrete values beyond their range or 1023: -1 with dataset, episode, step and
 * field. */
int episode_fields_check(const episode_fields_t *s, const recorded_episode_t *e, const char *key,
                         reason_t *why);
/* Steps first .. first + r->T - 1 as arrays of r, owned by *arrays (release with free). */
void episode_fields_fill(episode_fields_t *s, const recorded_episode_t *e, size_t first,
                         token_record_t *r, void **arrays);
/* Frame `step` as an image. */
image_t episode_fields_frame(const episode_fields_t *s, const recorded_episode_t *e, size_t step);
/* Warns when more than 1 % of the actions were outside their bounds, or of the observations beyond
 * the mu-law's M; and when texts change within episodes. */
void episode_fields_report(const episode_fields_t *s);

#endif
