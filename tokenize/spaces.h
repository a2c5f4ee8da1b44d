/* spaces.h - how the spaces of a dataset become the parts of a record.
 *
 * Observations: the first picture -> codes; Boxes of at most one dimension -> continuous, one after another; Discrete
 * -> discrete; the first text -> byte tokens of the episode's first text. Actions: Boxes, scaled from their bounds to
 * [-1,1]; Discrete. infos/expert_action -> label_actions. Timestep t is observation t with action t: the observation
 * after the last action is left out.
 */
#ifndef TOKENIZE_SPACES_H
#define TOKENIZE_SPACES_H

#include "common/io/image.h"
#include "common/io/minari.h"
#include "common/io/token_db.h"

typedef struct {
    const minari_t *m;
    const char *name; /* of the dataset, for messages */
    int image, text;  /* observation leaves, -1 = none */
    uint32_t n_continuous, n_discrete, n_actions, n_discrete_actions;
    float *low, *high;       /* [n_actions] */
    uint64_t values, beyond; /* actions seen, and those outside their bounds */
} spaces_t;

/* Decides about every leaf; what has no place is told in a warning. die()s: discrete actions of more than 1024 values
 * (4), frames of other than 1 or 3 channels (3). */
void spaces_init(spaces_t *s, const minari_t *m, const char *name);
void spaces_release(spaces_t *s);
/* Sets widths, ranges and bounds. */
void spaces_meta(const spaces_t *s, shard_meta_t *m);

/* NaN, infinity, discrete values beyond 1023: -1 with dataset, episode, step and field. */
int spaces_check(const spaces_t *s, const minari_episode_t *e, const char *key, reason_t *why);
/* Steps first .. first + r->T - 1 as arrays of r, owned by *arrays (release with free). */
void spaces_fill(spaces_t *s, const minari_episode_t *e, size_t first, token_record_t *r, void **arrays);
/* Frame `step` as a picture. */
image_t spaces_frame(const spaces_t *s, const minari_episode_t *e, size_t step);
/* Warns when more than 1 % of the actions were outside their bounds. */
void spaces_report(const spaces_t *s);

#endif
