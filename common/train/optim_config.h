/* optim_config.h - the configuration keys optim.*, the same in every program that trains, and the
 * optimizer they ask for.
 */
#ifndef TRAIN_OPTIM_CONFIG_H
#define TRAIN_OPTIM_CONFIG_H

#include "common/io/text/config.h"
#include "common/train/optimizer.h"

typedef struct {
    int kind;     /* of optimizer_t */
    int schedule; /* schedule_kind_t */
    double lr, eps, weight_decay, clip, min_ratio;
    config_nums_t betas; /* two */
    int64_t warmup;
} optim_config_t;

/* The rows optim.* of a configuration table (config_field_t). AT(optim.lr) must give the offset of
 * that member in the program's struct. The arguments are the defaults in which the programs
 * differ, as JSON text. */
/* clang-format off */
#define OPTIM_CONFIG_ROWS(KIND, BETAS, WEIGHT_DECAY, WARMUP, MIN_RATIO)                            \
    {"optim.kind", CF_CHOICE, AT(optim.kind), KIND, "adam|adamw", 0, 0, 0,                         \
     "adam: weight decay is part of the gradient; adamw: beside it"},                              \
    {"optim.lr", CF_NUM, AT(optim.lr), "0.001", NULL, 0, 10, 0,                                    \
     "learning rate at the end of the warm-up, the largest"},                                      \
    {"optim.betas", CF_NUMS, AT(optim.betas), BETAS, NULL, 0, 1, 0,                                \
     "decay of the running means of the gradient and of its square"},                              \
    {"optim.eps", CF_NUM, AT(optim.eps), "1e-08", NULL, 0, 1, 0,                                   \
     "added to the root of the mean square, against division by 0"},                               \
    {"optim.weight_decay", CF_NUM, AT(optim.weight_decay), WEIGHT_DECAY, NULL, 0, 10, 0,           \
     "how strongly weights are pulled towards 0"},                                                 \
    {"optim.clip", CF_NUM, AT(optim.clip), "1", NULL, 0, 1e9, 0,                                   \
     "a gradient with a larger global norm is scaled down to it (0 = never)"},                     \
    {"optim.warmup", CF_INT, AT(optim.warmup), WARMUP, NULL, 0, 1e9, 0,                            \
     "first steps, in which the learning rate rises"},                                             \
    {"optim.schedule", CF_CHOICE, AT(optim.schedule), "\"cosine\"", "cosine|linear|constant",      \
     0, 0, 0, "how the learning rate falls after the warm-up"},                                    \
    {"optim.min_ratio", CF_NUM, AT(optim.min_ratio), MIN_RATIO, NULL, 0, 1, 0,                     \
     "last learning rate, as a share of optim.lr"}
/* clang-format on */

/* Warns of each key that would do nothing in a training of `steps`. `preset` holds the program's
 * defaults. */
void optim_settings_check(const optim_config_t *c, const optim_config_t *preset, int64_t steps);

/* The optimizer of a training of `steps`, with an average of decay `average` (0 = none). The caller
 * fills in what moves (wrt). */
static inline optimizer_t optimizer_of(const optim_config_t *c, int64_t steps, double average) {
    return (optimizer_t){
        .kind = c->kind == 0 ? OPTIM_ADAM : OPTIM_ADAMW,
        .beta1 = c->betas.v[0],
        .beta2 = c->betas.v[1],
        .eps = c->eps,
        .weight_decay = c->weight_decay,
        .clip = c->clip,
        .average = average,
        .schedule = {(schedule_kind_t)c->schedule, c->lr, c->min_ratio, c->warmup, steps}};
}

#endif
