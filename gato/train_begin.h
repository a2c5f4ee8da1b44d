/* train_begin.h - where a training of `gato train` comes from: nothing, a RUN of its own that it
 * continues (--resume), or another RUN that it goes on from (--init). */
#ifndef GATO_TRAIN_BEGIN_H
#define GATO_TRAIN_BEGIN_H

#include "gato/run/run.h"

typedef struct {
    const char *out, *init; /* --out; --init, or NULL */
    bool resume;
    /* --resume with a checkpoint in --out: what it was trained with. */
    bool resumed;
    gato_config_t config; /* of the run that is resumed, or of --init */
    uint64_t seed;        /* of the run that is resumed */
    /* The tasks and the vocabulary that a policy has already; NULL = a new one. */
    const tasks_t *tasks;
    const vocabulary_t *vocabulary;
    char fingerprint[RUN_FINGERPRINT]; /* of the weights that it began with; "" = none */
    gato_model_t *from;                /* of --init */
    run_text_t text;                   /* of --resume */
} train_begin_t;

/* Looks at the RUN, and sets *c to the configuration that --config and --set change: the defaults,
 * with --resume that of the RUN, with --init the defaults on the RUN's architecture. die()s:
 * RC_USAGE for --init with --resume, or for the same folder twice; the exit codes of run_load. */
void train_begin(train_begin_t *b, gato_config_t *c);
/* Checks the configuration when it is settled: does the network stay that of the RUN? die_list()s
 * with RC_MISFIT and the keys that differ. */
void train_begin_check(const train_begin_t *b, const gato_config_t *c);
/* Copies the weights of --init into a new model, bit for bit. */
void train_begin_weights(const train_begin_t *b, gato_model_t *m);
void train_begin_release(train_begin_t *b);

#endif
