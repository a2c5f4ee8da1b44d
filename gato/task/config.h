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
typedef enum { BIN_KIND_UNIFORM, BIN_KIND_MULAW, BIN_KIND_QUANTILE, BIN_KIND_FAST } bin_kind_t;
typedef enum { ACTION_CE, ACTION_MSE, ACTION_MIX } action_kind_t;
typedef enum { BALANCE_DATA, BALANCE_TASK } balance_t;
typedef enum { GOAL_NONE, GOAL_END, GOAL_AHEAD } goal_t;
typedef enum { DECODE_MEAN, DECODE_CENTER, DECODE_LEFT, DECODE_GREEDY, DECODE_SAMPLE } decode_t;

typedef struct {
    struct {
        int64_t width, layers, heads, context, bins, chunk, merge, patch, patch_mid, patch_groups,
            patch_blocks;
        int bin_kind, image_in, code_norm, vector_in, patch_pos, activation, mu_law;
        bool inner_pos, code_pos_random, text_first, vector_first, control_text, image_last;
        double dropout, pos_init, block_init, fast_scale;
    } model;
    struct {
        int action_kind;
        double action, ce_weight, text, image, image_changed, image_first, vector, discrete;
        config_ints_t horizon; /* ascending, at least one */
        bool per_sequence;
    } loss;
    struct {
        int64_t rank;
        double alpha, dropout;
        char targets[CONFIG_STRING];
    } lora;
    optim_config_t optim;
    struct {
        int64_t steps, batch, accumulate, save_every, eval_every, log_every, window;
        double weight_average, prompt;
        bool tensorboard;
        char freeze[CONFIG_STRING], eval_env[CONFIG_STRING];
        int64_t eval_episodes;
    } train;
    struct {
        double holdout, goal_share;
        int64_t goal_ahead;
        int split_by, balance, goal;
    } data;
    struct {
        int decode;
        double temperature;
        int64_t execute;
        double ensemble; /* ENSEMBLE_OFF, or 0 and above */
    } act;
} gato_config_t;

enum { ENSEMBLE_OFF = -1 };

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
/* Can the actions of chunks of model.chunk be used like that? 0, or -1 with a reason. */
int gato_config_check_chunks(int64_t chunk, int64_t execute, double ensemble, reason_t *why);
/* Can actions be chosen from their bins like that (a decode_t)? 0, or -1 with a reason. */
int gato_config_check_decode(const gato_config_t *c, int decode, reason_t *why);
/* "8 actions at once, 4 used before the next": for people. Returns the length, as snprintf. */
int gato_config_chunks(int64_t chunk, int64_t execute, double ensemble, char *out, size_t size);

#endif
