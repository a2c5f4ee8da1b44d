/* config.h - the configuration keys of `gato train` (--help-config prints the table), which a RUN
 * records.
 *
 * Keys that shape parameters or the meaning of tokens are CONFIG_ARCH: a run refuses a model whose
 * values differ. Losses whose heads have parameters of their own are CONFIG_HEAD.
 */
#ifndef GATO_CONFIG_H
#define GATO_CONFIG_H

#include "common/io/text/config.h"
#include "common/train/optim_config.h"

typedef enum { IMAGE_IN_CODES, IMAGE_IN_TABLE, IMAGE_IN_BOTH, IMAGE_IN_PATCHES } image_in_t;
typedef enum { CODE_NORM_NONE, CODE_NORM_WHITE } code_norm_t;
typedef enum { VECTOR_IN_BINS, VECTOR_IN_LINEAR } vector_in_t;
typedef enum { POS_NONE, POS_NEKO, POS_GATO } patch_pos_t;
typedef enum { MU_LAW_ALWAYS, MU_LAW_OUTSIDE } mu_law_t;
typedef enum { ACTION_CE, ACTION_MSE, ACTION_MIX } action_kind_t;
typedef enum { BALANCE_DATA, BALANCE_TASK } balance_t;
typedef enum { DECODE_MEAN, DECODE_CENTER, DECODE_LEFT, DECODE_GREEDY, DECODE_SAMPLE } decode_t;

typedef struct {
    struct {
        int64_t width, layers, heads, context, bins, merge, patch, patch_mid, patch_groups,
            patch_blocks;
        int image_in, code_norm, vector_in, patch_pos, activation, mu_law;
        bool inner_pos, code_pos_random, text_first, control_text;
        double dropout, pos_init, block_init;
    } model;
    struct {
        int action_kind;
        double action, ce_weight, text, image, vector, discrete;
        config_ints_t horizon; /* ascending, at least one */
        bool per_sequence;
    } loss;
    optim_config_t optim;
    struct {
        int64_t steps, batch, accumulate, save_every, eval_every, log_every, window;
        double weight_average, prompt;
        bool tensorboard;
        char freeze[CONFIG_STRING];
    } train;
    struct {
        double holdout;
        int split_by, balance;
    } data;
    struct {
        int decode;
        double temperature;
    } act;
} gato_config_t;

extern const config_field_t gato_config_table[];

/* What a choice of model.image_in takes of an image and of the vocabulary. */
typedef struct {
    bool pixels;   /* reads pixels; else codes */
    bool codebook; /* reads the codebook's vectors */
    bool ids;      /* codes are ids of the vocabulary: rows of the token table */
} image_in_reads_t;
const image_in_reads_t *gato_config_image_in(const gato_config_t *c);

/* The key of the first loss (CONFIG_HEAD) whose head `to` has and `from` lacks, and its weight in
 * both; NULL = there is none. */
const char *gato_config_new_head(const gato_config_t *from, const gato_config_t *to,
                                 double weight[2]);

/* Do the values fit each other (heads divide the width, merge needs codes, ...)? 0, or -1 with a
 * reason; the program then exits 2. */
int gato_config_check(const gato_config_t *c, reason_t *why);

#endif
