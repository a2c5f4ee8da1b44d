/* dataset.h - sequences out of token shards: what is trained on at (seed, step, sample), and what
 * is held out.
 *
 * A sequence (sequence_t) is a list of timesteps of one record, or a piece of one text. Which one a
 * sample is, is a function of (seed, optimizer step, index of the sample in the step) alone: any
 * number of threads, machines or accumulated replays sees the same data.
 */
#ifndef GATO_DATASET_H
#define GATO_DATASET_H

#include "common/base/cli.h"
#include "common/io/token_db/token_db.h"
#include "gato/config.h"
#include "gato/facts.h"

typedef struct dataset dataset_t;
typedef enum { SIDE_TRAIN, SIDE_VAL, SIDE_ALL } side_t;

/* One sequence. Release with sequence_release before the data set is closed. */
typedef struct {
    token_record_t record;
    const char *shard; /* path, for messages */
    uint32_t *step;    /* [n_steps] timesteps of the record in order: [prompt, main] */
    size_t n_steps, n_prompt;
    size_t text_first, text_len; /* the piece of the record's text */
    float *actions, *labels;     /* owned: the record's where a model wants them scaled otherwise */
    uint64_t sample; /* number for random draws (the sample's number in the whole training) */
} sequence_t;
void sequence_release(sequence_t *w);

/* Opens shards "X.lmdb[=WEIGHT]" and reads every record once (checksums, ids, NaN). die()s:
 * RC_USAGE missing or a timestep longer than the context, RC_DATA corrupt or NaN (shard, record,
 * step, field), RC_MISFIT shards that do not fit each other. */
dataset_t *dataset_open(const cli_list_t *specs, const gato_config_t *c);
void dataset_close(dataset_t *d);
/* From now on the actions of sequences are scaled as the policy's facts say; NULL: by what the
 * training side asks for (scaling.h), which is chosen here, told, and in dataset_facts. Without
 * this call they are as the shards have them. */
void dataset_scale_actions(dataset_t *d, const gato_facts_t *policy);
const gato_facts_t *dataset_facts(const dataset_t *d);
/* XXH64 over shards and keys: a resume refuses other data. */
uint64_t dataset_manifest(const dataset_t *d);

size_t dataset_sources(const dataset_t *d);
const char *dataset_source(const dataset_t *d, size_t source); /* path */
size_t dataset_records(const dataset_t *d, side_t side);       /* of all sources */
size_t dataset_source_records(const dataset_t *d, size_t source, side_t side);

/* What the training side can be asked to learn. */
typedef struct {
    size_t episodes, texts, images; /* records: control, captions and plain text, with an image */
    bool mission;                   /* episodes have text */
    size_t steps, image_steps;      /* most timesteps of an episode in one sequence; with images */
    size_t image_tokens;            /* most tokens of one image */
} dataset_kinds_t;
/* Of sources first to end - 1. */
dataset_kinds_t dataset_kinds(const dataset_t *d, size_t first, size_t end);

/* Sample `index` of the `per_step` samples (batch * accumulate * machines) of optimizer step
 * `step`, from the training side. Thread-safe. The first round(prompt * per_step) samples are
 * prompted if they are control, half of them by the end of their episode. */
void dataset_sample(const dataset_t *d, uint64_t seed, uint64_t step, size_t index, size_t per_step,
                    sequence_t *w);

/* All sequences of a source's side, unprompted, each timestep and text token once: 0 <= i <
 * dataset_sequences. */
size_t dataset_sequences(const dataset_t *d, size_t source, side_t side);
void dataset_sequence(const dataset_t *d, size_t source, side_t side, size_t i, sequence_t *w);
/* The first window of record `id` of a source (trace); false if there is no such record. */
bool dataset_first_sequence(const dataset_t *d, size_t source, uint64_t id, sequence_t *w);

/* Timesteps of prompt and main part of a sequence of `window` steps, half-to-even: main =
 * round(window / 2). */
void dataset_prompt_split(size_t window, size_t *prompt, size_t *main_part);

#endif
