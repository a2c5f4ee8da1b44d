/* dataset.h - sequences from token shards: what training sees at (seed, step, sample), and what is
 * held out.
 *
 * A sequence is a list of timesteps of one record, or a piece of one text. Which sequence a sample
 * is depends on (seed, optimizer step, index of the sample in the step) alone: any number of
 * threads, machines or accumulated replays sees the same data.
 */
#ifndef GATO_DATASET_H
#define GATO_DATASET_H

#include "common/base/cli.h"
#include "common/io/token_db/token_db.h"
#include "gato/task/config.h"
#include "gato/task/facts.h"

typedef struct dataset dataset_t;
typedef enum { SIDE_TRAIN, SIDE_VAL, SIDE_ALL } side_t;

/* One sequence. Release it with sequence_release before the dataset closes. */
typedef struct {
    token_record_t record;
    const char *shard; /* path, for messages */
    uint32_t *step;    /* [n_steps] timesteps of the record in order: [prompt, main] */
    size_t n_steps, n_prompt;
    size_t text_first, text_len; /* the piece of the record's text */
    float *actions, *labels;     /* owned: the record's, scaled anew for the model; else NULL */
    uint64_t sample;             /* the sample's number in the whole training, for random draws */
} sequence_t;
void sequence_release(sequence_t *w);

/* Opens shards "X.lmdb[=WEIGHT]" and reads every record once (checksums, ids, NaN). die()s with
 * RC_USAGE for a missing shard or a timestep longer than the context, RC_DATA for a corrupt shard
 * or NaN (named by shard, record, step and field), RC_MISFIT for shards that do not fit each
 * other. Close with dataset_close. */
dataset_t *dataset_open(const cli_list_t *specs, const gato_config_t *c);
void dataset_close(dataset_t *d);
/* From now on, sequences have their actions scaled by the facts of `policy`; NULL: by bounds that
 * are chosen here from the training side (scaling.h), reported, and set in dataset_facts. Without
 * this call, actions stay as the shards hold them. */
void dataset_scale_actions(dataset_t *d, const gato_facts_t *policy);
const gato_facts_t *dataset_facts(const dataset_t *d);
/* XXH64 over shards and keys, by which a resume refuses other data. */
uint64_t dataset_manifest(const dataset_t *d);

size_t dataset_sources(const dataset_t *d);
const char *dataset_source(const dataset_t *d, size_t source); /* its path */
size_t dataset_records(const dataset_t *d, side_t side);       /* of all sources */
size_t dataset_source_records(const dataset_t *d, size_t source, side_t side);

/* What the training side offers to learn. */
typedef struct {
    size_t episodes, texts, images; /* records: control, captions and plain text, with an image */
    bool mission;                   /* some episode has text */
    size_t steps, image_steps;      /* most timesteps of an episode in one sequence; with images */
    size_t image_tokens;            /* most tokens of one image */
} dataset_kinds_t;
/* Of the sources first .. end - 1. */
dataset_kinds_t dataset_kinds(const dataset_t *d, size_t first, size_t end);

/* Sample `index` of the `per_step` samples (batch * accumulate * machines) of optimizer step
 * `step`, from the training side. Thread-safe. The first round(train.prompt * per_step) samples
 * have a prompt if they are control, half of them the end of their episode. */
void dataset_sample(const dataset_t *d, uint64_t seed, uint64_t step, size_t index, size_t per_step,
                    sequence_t *w);

/* How many sequences without prompt hold each timestep and text token of a source's side once. */
size_t dataset_sequences(const dataset_t *d, size_t source, side_t side);
/* The i-th of them. */
void dataset_sequence(const dataset_t *d, size_t source, side_t side, size_t i, sequence_t *w);
/* The first sequence of record `id` of a source (for trace); false if there is no such record. */
bool dataset_first_sequence(const dataset_t *d, size_t source, uint64_t id, sequence_t *w);

/* How many of `steps` timesteps are prompt and how many main part: main = round(steps / 2), halves
 * to even, but at least 1. */
void dataset_prompt_split(size_t steps, size_t *prompt, size_t *main_part);

#endif
