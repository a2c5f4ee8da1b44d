/* shards.h - what the parts of the dataset share: an open shard, its tasks, and what memory keeps
 * of its records. Private to gato/data. */
#ifndef GATO_SHARDS_H
#define GATO_SHARDS_H

#include "gato/data/dataset.h"
#include "gato/task/scaling.h"

/* What memory keeps of a record. */
typedef struct {
    uint32_t body; /* number in the shard's list */
    uint32_t T, text_len;
    uint32_t tokens;       /* of its largest timestep, without a text that is predicted */
    uint32_t image_tokens; /* of these, of images */
    uint32_t span;         /* timesteps (control) or text tokens per sequence */
    bool observed, acted;  /* has observed vectors, actions */
    bool values;           /* has observed discrete values */
    uint64_t key_hash, content;
} item_t;

/* A task of a shard. */
typedef struct {
    const task_t *of; /* as the shard has it */
    uint32_t task;    /* number in the dataset's list */
    int32_t *map;     /* [of->n_slots] the dataset's slot for each slot of the shard */
    int32_t goal,
        goal_from;          /* the task's slot of goals, and the shard's that fills it; -1 = none */
    scaling_map_t *scaling; /* [of->n_slots] of acted vectors, to those of the model */
    uint64_t *side[2];      /* record numbers of training and held-out side */
    size_t n_side[2];
    uint64_t *sequences[2]; /* [n_side + 1] how many sequences come before each */
} body_t;

typedef struct {
    char *path;
    double weight;
    token_db_t *db;
    bool sampled; /* it keeps some steps of its episodes (tokenize --frames) */
    bool spread;  /* its steps are samples of their episodes, not consecutive */
    body_t *body;
    size_t n_bodies;
    item_t *item; /* [n]; NULL when one record is wanted */
    char **group; /* [n] names for the split, during the opening */
    size_t n;
} shard_t;

/* What samples are drawn from: all of a shard (data.balance = data), or a task of it. */
typedef struct {
    const shard_t *shard;
    size_t first, end; /* bodies */
    uint64_t n;        /* records of the training side */
    uint32_t number;   /* for its random order: does not depend on the other streams */
    double weight;
    /* Of the samples that no stream before it takes, it takes share / 2^32. */
    uint64_t share;
} stream_t;

struct dataset {
    gato_config_t config;
    vocabulary_t vocabulary;
    tasks_t tasks;
    size_t adopted;   /* tasks that came from a policy: they keep what they are */
    uint32_t *window; /* [tasks.n] timesteps per sequence */
    shard_t *shard;
    size_t n;
    stream_t *stream;
    size_t n_streams;
};

/* Reads a record, or die(RC_DATA). */
void shard_read(const shard_t *s, uint64_t i, token_record_t *r);
/* Reads every record once: fills item and group, and the sizes of images that shards leave open. */
void shards_scan(dataset_t *d);
/* The item of one record (no scan). */
item_t shard_item(const dataset_t *d, const shard_t *s, uint64_t i);
/* Divides the records of each task of a shard between the sides. */
void shards_split(dataset_t *d);
/* Sets d->window, then the span of one item. */
void shards_windows(dataset_t *d);
void item_set_span(const dataset_t *d, const shard_t *s, item_t *t);
/* The number of sequences per record: after the spans. */
void shards_count_sequences(dataset_t *d);
/* Texts' lengths: before the windows. */
void shards_text_lengths(dataset_t *d);
/* Means, deviations and scaling of the training side. */
void shards_statistics(dataset_t *d);
/* How columns of shards become columns of the model. */
void shards_map_scaling(dataset_t *d);
/* FAST (bin_kind = fast) into the vocabulary, unless the policy has one: of folder dir, or (NULL)
 * fitted to the training side. */
void shards_fast(dataset_t *d, const char *dir);
void shards_make_streams(dataset_t *d);

/* Is the task control? */
static inline bool body_control(const body_t *b) {
    return b->of->kind == RECORD_EPISODE;
}

#endif
