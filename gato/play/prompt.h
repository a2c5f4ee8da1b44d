/* prompt.h - what a policy is fed before each episode: the end of a recorded one. NEKO evaluates
 * with a context that is all prompt, from which timesteps then fall out whole, oldest first. */
#ifndef GATO_PROMPT_H
#define GATO_PROMPT_H

#include "gato/play/player.h"

typedef struct prompts prompts_t;
/* Opens "X.lmdb:ID", one record of a shard, or "X.lmdb", from which each episode draws one, for a
 * task of the player. top: only of so many of the shard's episodes, those with the highest returns;
 * 0 = all. die()s as dataset_open where the shard does not fit the policy, and with RC_USAGE where
 * there is no such record, are fewer episodes, or the attention window has no room beside the
 * present timestep. Close with prompts_close. */
prompts_t *prompts_open(const char *spec, size_t top, const player_t *p, uint32_t task);
/* A hash of the records that there are. */
uint64_t prompts_hash(const prompts_t *s);
/* NULL is allowed; after the lanes that it fed were reset or closed. */
void prompts_close(prompts_t *s);
/* Feeds the lane, just reset, as many of the last timesteps of a record as the attention window
 * holds beside the present one. draw: of the record. 0, or -1 with a reason. */
int prompts_feed(prompts_t *s, player_t *p, size_t lane, rng_t draw, reason_t *why);

#endif
