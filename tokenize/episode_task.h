/* episode_task.h - the task that a dataset of episodes is: its name, a slot for each leaf that a
 * mapping (mapping.h) takes, bounds and ranges, episode length, returns, the environment.
 */
#ifndef TOKENIZE_EPISODE_TASK_H
#define TOKENIZE_EPISODE_TASK_H

#include "common/io/episodes/episode_source.h"
#include "common/io/token_db/task.h"
#include "common/model/tokenizer.h"
#include "tokenize/mapping.h"

/* The task's name when --task gives none, malloc'ed: the dataset's id without its version; of an id
 * with a namespace, the last part of that, which names the environment ("reacher/expert-v0" is
 * "reacher", "D4RL/door/human-v2" is "door"). A dataset without an id: the name of its file or
 * folder, `path`. */
char *episode_task_name(const episode_source_t *source, const char *path);

/* The task, for the caller to release. dataset: for messages. leaf: receives the number of each
 * slot's leaf; of the text the first one's, since all texts are one slot. Images have no sizes yet.
 * die()s: too many slots, or acted discrete values with more than 1024 values each (4); bounds of
 * an action that contain no number (3). */
task_t episode_task_new(const char *task, const episode_source_t *source, const char *dataset,
                        const mapping_t *obs, const mapping_t *act, size_t leaf[TASK_SLOTS]);
/* Sets the sizes of the image slots, whose leaves these are, as the tokenizer sees them; NULL: as
 * they are recorded, without a grid. */
void episode_task_sizes(task_t *task, const episode_source_t *source, const size_t *leaf,
                        const tokenizer_t *tokenizer);
/* Logs which action columns are stored as they are, because their bounds say nothing (bounds.h). */
void episode_task_log_raw(const task_t *task, const char *dataset);

#endif
