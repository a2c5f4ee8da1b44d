/* facts.h - what a model knows of its data: vocabularies, widths of a timestep, the codebook, and
 * how values were scaled.
 *
 * Training takes the facts from shards; from then on they live in the RUN. A policy refuses a shard
 * whose facts differ: silent mixing of codebooks is the one mistake that a pipeline of two stages
 * invites.
 */
#ifndef GATO_FACTS_H
#define GATO_FACTS_H

#include "common/io/token_db/token_db.h"
#include "gato/model/layout.h"
#include "gato/task/config.h"
#include "gato/task/tokens.h"

#include <cjson/cJSON.h>

typedef struct {
    uint32_t text_vocab, n_continuous, n_discrete, n_actions, n_discrete_actions;
    uint32_t *discrete_range, *discrete_action_range; /* sizes of the discrete spaces */
    float *action_low, *action_high; /* [n_actions], finite: [low, high] is [-1,1] to the model */
    float *declared_low, *declared_high; /* [n_actions] as the dataset declares, maybe infinite */
    uint8_t *action_scaling;             /* [n_actions] scaling_t: where low and high come from */
    uint32_t codes, code_dim, grid_h, grid_w, image_h, image_w;
    /* [n_continuous] over the training side; NULL = not known. Only for the start of training: not
     * in config.json. */
    float *vector_mean, *vector_deviation;
    float *codebook; /* [codes, code_dim], NULL when the shard carries none */
    float mu, M;
    char *fingerprint, *preprocess, *quantizer, *text_tokenizer, *env; /* NULL = none */
    char *leaves; /* names of the columns (common/io/token_db/leaves.h), NULL = not known */
} gato_facts_t;

void gato_facts_release(gato_facts_t *f);
/* A deep copy: every array and string is its own. */
gato_facts_t gato_facts_copy(const gato_facts_t *f);
/* Copies the values of a shard's meta. Actions are scaled as declared; those without finite bounds
 * by [-1,1], until scaling.h has seen the data. -1 with a reason: a discrete space of more than
 * 1024 values, or discrete values without their ranges. */
int gato_facts_from_meta(gato_facts_t *f, const shard_meta_t *m, reason_t *why);
/* Adds to f what `more` knows; -1 with both values where they differ. What one of them lacks
 * (images, control) fits everything. codes: does the model read codes at all? */
int gato_facts_merge(gato_facts_t *f, const gato_facts_t *more, bool codes, reason_t *why);
/* Does a model of these facts know everything that the data contain? 0, or -1 with both values. */
int gato_facts_fit(const gato_facts_t *model, const gato_facts_t *data, bool codes, reason_t *why);

/* The member "facts" of config.json, without the codebook, which is a tensor. Delete with
 * cJSON_Delete. */
cJSON *gato_facts_json(const gato_facts_t *f);
/* Reads that member: 0, or -1 with a reason. Release f in either case. */
int gato_facts_parse(gato_facts_t *f, const cJSON *object, reason_t *why);

/* The vocabulary of a model. */
tokens_t gato_tokens(const gato_config_t *c, const gato_facts_t *f);
/* The layout of a timestep of control, or of a text or captioned image, with so many image tokens
 * and text tokens. */
layout_t gato_layout(const gato_config_t *c, const gato_facts_t *f, size_t image_tokens,
                     size_t text, bool control);
/* How many tokens an image has, merged codes or patches, and in how many rows and columns; 0 with a
 * reason when the sizes do not fit. */
size_t gato_image_tokens(const gato_config_t *c, size_t grid_h, size_t grid_w, size_t image_h,
                         size_t image_w, size_t *rows, size_t *cols, reason_t *why);
/* The attention window: how many timesteps a token of control sees, its own included:
 * floor(context / tokens of a timestep), at least 1. */
int32_t gato_attn_window(const gato_config_t *c, const gato_facts_t *f);

#endif
