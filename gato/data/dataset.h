/* dataset.h - sequences from token shards: what training sees at (seed, step, sample), and what is
 * held out.
 *
 * A sequence is a list of timesteps of one record, or a piece of one text. Which sequence a sample
 * is depends on (seed, optimizer step, index of the sample in the step) alone: any number of
 * threads, machines or accumulated replays sees the same data. Shards may hold several tasks; tasks
 * of one name from several shards are one task, and must fit (task_fit).
 */
#ifndef GATO_DATASET_H
#define GATO_DATASET_H

#include "common/base/cli.h"
#include "common/io/image/image.h"
#include "common/io/token_db/token_db.h"
#include "gato/model/batch.h"
#include "gato/task/vocabulary.h"

typedef struct dataset dataset_t;
typedef enum { SIDE_TRAIN, SIDE_VAL, SIDE_ALL } side_t;

/* One sequence. Release it with sequence_release before the dataset closes. */
typedef struct {
    token_record_t record;
    const char *shard;  /* path, for messages */
    const task_t *of;   /* the shard's task: sizes of the record's slots */
    uint32_t task;      /* number in the dataset's list */
    const int32_t *map; /* [of->n_slots] the task's slot for each slot of the record */
    uint32_t *step;     /* [n_steps] timesteps of the record in order: [prompt, main] */
    size_t n_steps, n_prompt;
    bool lone; /* its steps are samples of an episode, not consecutive (tokenize --spread) */
    /* Has it a goal (data.goal)? Then the task's slot of it, the record's slot that it comes from,
     * and how many timesteps on it lies; 0 = at the record's end. */
    bool has_goal;
    uint32_t goal, goal_from, goal_ahead;
    size_t text_first, text_len; /* the piece of the record's text */
    float *scaled;               /* owned: acted vectors that were scaled anew for the model */
    uint64_t sample;             /* the sample's number in the whole training, for random draws */
} sequence_t;
void sequence_release(sequence_t *w);
/* The timesteps of a sequence; they point into it. */
typedef struct {
    timestep_t *step; /* [n]; what they point to is the sequence's, or in image */
    size_t n;
    image_t *image; /* [n_images] those that were decoded */
    size_t n_images;
} sequence_steps_t;
/* 0, or -1 with a reason as sequence_add. Release with sequence_steps_release, in both cases. */
int sequence_steps(const gato_config_t *c, const sequence_t *w, sequence_steps_t *out,
                   reason_t *why);
void sequence_steps_release(sequence_steps_t *s);
/* Adds a sequence to a batch of a model whose tasks are the dataset's (or adopted ones). 0, or -1
 * with a reason: a kept image that cannot be decoded, named by shard, record and step. */
int sequence_add(batch_t *b, const sequence_t *w, reason_t *why);
/* The kept image of timestep i in slot `slot` of the dataset's task, for the caller to release;
 * empty where none was kept. 0, or -1 with a reason as sequence_add. */
int sequence_image(const sequence_t *w, size_t i, uint32_t slot, image_t *im, reason_t *why);

typedef struct {
    /* Tasks of a policy that reads the data, or NULL for a new one: the policy's tasks keep their
     * numbers, sizes, statistics and scaling; what the data have beyond them is added behind when
     * `extend`, and else refused. */
    const tasks_t *tasks;
    const vocabulary_t *vocabulary;
    bool extend;
    const char *fast; /* a folder of FAST (fast.h), or NULL */
    /* Reads only what `trace --id` needs: no statistics, no scan of all records. */
    bool one_record;
} dataset_opts_t;

/* Opens shards "X.lmdb[=WEIGHT]" and reads every record once (checksums, ids, NaN, sizes, the names
 * for the split, statistics). die()s with RC_USAGE for a missing shard, one that is named twice, or
 * a timestep longer than the context, RC_DATA for a corrupt or unfinished shard or NaN (named by
 * shard, record, step and field), RC_MISFIT for shards that do not fit each other or the policy.
 * Close with dataset_close. */
dataset_t *dataset_open(const cli_list_t *specs, const gato_config_t *c, const dataset_opts_t *o);
void dataset_close(dataset_t *d);
/* With statistics and scaling of the training side. */
const tasks_t *dataset_tasks(const dataset_t *d);
const vocabulary_t *dataset_vocabulary(const dataset_t *d);
/* XXH64 over the contents of all records (their checksums), by which a resume refuses other data.
 * */
uint64_t dataset_manifest(const dataset_t *d);
/* The same over the checksums that the records carry, which are not read: a look-up each. */
uint64_t dataset_checksums(const dataset_t *d);

size_t dataset_sources(const dataset_t *d);
const char *dataset_source(const dataset_t *d, size_t source); /* its path */
/* Records of a source (SIZE_MAX: of all) and task (UINT32_MAX: of all). */
size_t dataset_records(const dataset_t *d, size_t source, uint32_t task, side_t side);

/* What the training side offers to learn. */
typedef struct {
    size_t records, episodes; /* records; of these, episodes */
    size_t spread;            /* of these, steps that are no neighbors (tokenize --spread) */
    size_t texts, missions;   /* records with a text to predict, episodes with a text */
    size_t images;            /* records with an image */
    size_t image_tokens;      /* most tokens of the images of a timestep */
    size_t steps;             /* most timesteps of an episode in one sequence */
    size_t image_steps;       /* most timesteps of an episode with images in one sequence */
    size_t observed, acted;   /* timesteps with observed vectors, with actions */
    size_t values;            /* timesteps with observed discrete values */
} dataset_kinds_t;
/* Of a task (UINT32_MAX: of all together). */
dataset_kinds_t dataset_kinds(const dataset_t *d, uint32_t task);
/* Timesteps of a task that a sequence holds, and a token sees (layout_window). */
uint32_t dataset_window(const dataset_t *d, uint32_t task);

/* Sample `index` of the `per_step` samples (batch * accumulate * machines) of optimizer step
 * `step`, from the training side. Thread-safe. A source of weight w is drawn w / sum of the time
 * (data.balance = data: by its weight; task: tasks have equal shares, shared among their sources by
 * weight), and gives each of its records once before any twice. The first round(train.prompt *
 * per_step) samples have a prompt if they are control, half of them the end of their episode. */
void dataset_sample(const dataset_t *d, uint64_t seed, uint64_t step, size_t index, size_t per_step,
                    sequence_t *w);

/* The share of all samples that a source gives; with data.balance = task, that of the task of which
 * it gives least. 0: it is never drawn, its weight vanishes beside the others'. */
double dataset_share(const dataset_t *d, size_t source);

/* How many sequences without prompt hold each timestep and text token of a side once: of a source
 * and a task, as dataset_records. */
size_t dataset_sequences(const dataset_t *d, size_t source, uint32_t task, side_t side);
/* The i-th of them. */
void dataset_sequence(const dataset_t *d, size_t source, uint32_t task, side_t side, size_t i,
                      sequence_t *w);
/* The first sequence of record `id` of a source (for trace); false if there is no such record. */
bool dataset_first_sequence(const dataset_t *d, size_t source, uint64_t id, sequence_t *w);

/* The last n timesteps of record `id` of a source, all of a shorter one: a prompt. false if there
 * is no such record, or it is of another task. */
bool dataset_end(const dataset_t *d, size_t source, uint64_t id, uint32_t task, size_t n,
                 sequence_t *w);
/* The k episodes of a source and a task with the highest returns, sums of their rewards: fills
 * id[k] with the last record of each, the best first; of equal ones the earlier first. Returns how
 * many episodes there are, maybe fewer than k. Reads every record. die()s with RC_MISFIT where
 * rewards are missing, or were left out with their steps. */
size_t dataset_top(const dataset_t *d, size_t source, uint32_t task, size_t k, uint64_t *id);
/* The number in its source of record i of a side and a task, as dataset_records counts them. */
uint64_t dataset_record(const dataset_t *d, size_t source, uint32_t task, side_t side, size_t i);
/* Record `id` of a source with all its timesteps as one sequence, however long; false if there is
 * no such record, or it is no episode. */
bool dataset_episode(const dataset_t *d, size_t source, uint64_t id, sequence_t *w);

/* How many of `steps` timesteps are prompt and how many main part: main = round(steps / 2), halves
 * to even, but at least 1. */
void dataset_prompt_split(size_t steps, size_t *prompt, size_t *main_part);

#endif
