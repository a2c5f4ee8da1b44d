/* facts.h - what a model knows of its data: vocabularies, widths of a timestep, the codebook and
 * how values were scaled.
 *
 * Facts come from shards at training and live in the RUN from then on. A shard of other facts is
 * refused: silent mixing of codebooks is the one mistake a pipeline of two stages invites.
 */
#ifndef GATO_FACTS_H
#define GATO_FACTS_H

#include "common/io/token_db/token_db.h"
#include "gato/config.h"
#include "gato/layout.h"
#include "gato/tokens.h"

#include <cjson/cJSON.h>

typedef struct {
    uint32_t text_vocab, n_continuous, n_discrete, n_actions, n_discrete_actions;
    uint32_t *discrete_range, *discrete_action_range; /* sizes of the discrete spaces */
    float *action_low,
        *action_high; /* [n_actions], finite: what is between them is [-1,1] to the model */
    float *declared_low, *declared_high; /* [n_actions] by the data set, maybe infinite */
    uint8_t *action_scaling;             /* [n_actions] scaling_t: what the ends above are */
    uint32_t codes, code_dim, grid_h, grid_w, image_h, image_w;
    /* [n_continuous] over the training side; NULL = not known. A start for training only: not part
     * of config.json. */
    float *vector_mean, *vector_deviation;
    float *codebook; /* [codes, code_dim], NULL when the shard carries none */
    float mu, M;
    char *fingerprint, *preprocess, *quantizer, *text_tokenizer, *env; /* NULL = none */
    char *leaves; /* names of the columns (common/io/token_db/leaves.h), NULL = not known */
} gato_facts_t;

void gato_facts_release(gato_facts_t *f);
/* Every array and string anew. */
gato_facts_t gato_facts_copy(const gato_facts_t *f);
/* Values of a shard's meta (copied); actions are scaled as declared, those without finite bounds by
 * [-1,1] until scaling.h has seen the data. -1: a discrete space beyond 1024 values, a width
 * without ranges. */
int gato_facts_from_meta(gato_facts_t *f, const shard_meta_t *m, reason_t *why);
/* Adds what `more` knows to f; -1 with both values where they differ. What one of them does not
 * have (no images, no control) fits everything. codes: does the model look at codes at all? */
int gato_facts_merge(gato_facts_t *f, const gato_facts_t *more, bool codes, reason_t *why);
/* Does a model of these facts know everything that the data bring? -1 with both values. */
int gato_facts_fit(const gato_facts_t *model, const gato_facts_t *data, bool codes, reason_t *why);

/* Members of config.json's "facts" (without the codebook, a tensor), and back: -1 with a reason. */
cJSON *gato_facts_json(const gato_facts_t *f);
int gato_facts_parse(gato_facts_t *f, const cJSON *object, reason_t *why);

tokens_t gato_tokens(const gato_config_t *c, const gato_facts_t *f);
/* The layout of a control timestep, images of grid_h x grid_w codes (or image_h x image_w
 * pixels); 0 = no image. */
layout_t gato_layout(const gato_config_t *c, const gato_facts_t *f, size_t image_tokens,
                     size_t text, bool control);
/* Tokens of an image: merged codes or patches; 0 with a reason when the sizes do not fit. */
size_t gato_image_tokens(const gato_config_t *c, size_t grid_h, size_t grid_w, size_t image_h,
                         size_t image_w, size_t *rows, size_t *cols, reason_t *why);
/* Timesteps that a token sees in control: floor(context / tokens of a timestep), at least 1. */
int32_t gato_band(const gato_config_t *c, const gato_facts_t *f);

#endif
