/* optim_config.h - the configuration keys optim.*, the same in every program that trains, and the
 * optimizer they ask for.
 */
#ifndef TRAIN_OPTIM_CONFIG_H
#define TRAIN_OPTIM_CONFIG_H

#include "common/io/text/config.h"
#include "common/train/optimizer.h"

typedef struct {
    int kind, schedule;
    double lr, eps, weight_decay, clip, min_ratio;
    config_nums_t betas;
    int64_t warmup;
} optim_config_t;

/* Rows of a config_key_t table; AT(optim.lr) is the offset of a member. Programs differ in these
 * defaults (as JSON). */
#define OPTIM_CONFIG_ROWS(KIND, BETAS, WEIGHT_DECAY, WARMUP, MIN_RATIO)                             \
    {"optim.kind",                                                                                  \
     CF_CHOICE,                                                                                     \
     AT(optim.kind),                                                                                \
     KIND,                                                                                          \
     "adam|adamw",                                                                                  \
     0,                                                                                             \
     0,                                                                                             \
     0,                                                                                             \
     "weight decay inside the gradient, or decoupled"},                                             \
        {"optim.lr", CF_NUM, AT(optim.lr), "0.001", NULL, 0, 10, 0, "learning rate after warm-up"}, \
        {"optim.betas",                                                                             \
         CF_NUMS,                                                                                   \
         AT(optim.betas),                                                                           \
         BETAS,                                                                                     \
         NULL,                                                                                      \
         0,                                                                                         \
         1,                                                                                         \
         0,                                                                                         \
         "decays of the two moments"},                                                              \
        {"optim.eps", CF_NUM, AT(optim.eps),                                                        \
         "1e-08",     NULL,   0,                                                                    \
         1,           0,      "added to the root of the second moment"},                            \
        {"optim.weight_decay", CF_NUM, AT(optim.weight_decay), WEIGHT_DECAY, NULL, 0, 10, 0,        \
         "weight decay"},                                                                           \
        {"optim.clip", CF_NUM, AT(optim.clip),                                                      \
         "1",          NULL,   0,                                                                   \
         1e9,          0,      "largest global gradient norm (0 = none)"},                          \
        {"optim.warmup",                                                                            \
         CF_INT,                                                                                    \
         AT(optim.warmup),                                                                          \
         WARMUP,                                                                                    \
         NULL,                                                                                      \
         0,                                                                                         \
         1e9,                                                                                       \
         0,                                                                                         \
         "steps of rising learning rate"},                                                          \
        {"optim.schedule",                                                                          \
         CF_CHOICE,                                                                                 \
         AT(optim.schedule),                                                                        \
         "\"cosine\"",                                                                              \
         "cosine|linear|constant",                                                                  \
         0,                                                                                         \
         0,                                                                                         \
         0,                                                                                         \
         "fall of the learning rate after warm-up"},                                                \
    {                                                                                               \
        "optim.min_ratio", CF_NUM, AT(optim.min_ratio), MIN_RATIO, NULL, 0, 1, 0,                   \
            "last learning rate over the largest"                                                   \
    }

/* One warning for each key that would do nothing in a training of `steps`; `preset` holds the
 * program's defaults. */
void optim_settings_check(const optim_config_t *c, const optim_config_t *preset, int64_t steps);

/* For a training of `steps`; what moves (wrt) is left to the caller. */
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
