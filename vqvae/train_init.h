/* train_init.h - --init RUN: fine-tuning starts from another tokenizer's weights.
 *
 * The order of a command: train_init_load, then the configuration's files and settings,
 * train_init_check, trainer_new, train_init_state.
 */
#ifndef VQVAE_TRAIN_INIT_H
#define VQVAE_TRAIN_INIT_H

#include "vqvae/config.h"
#include "vqvae/trainer.h"

typedef struct {
    const char
        *run; /* --init; NULL = the training starts from the seed, and nothing below is set */
    char *preprocess;     /* of tokenizer.json, JSON, owned */
    char fingerprint[33]; /* of the RUN, hexadecimal */
    bool trained;         /* its codes mean something */
    config_t config;      /* as the RUN asks for it, before files and settings */
} train_init_t;

/* Reads the RUN: its weights into p (which is empty), its network, its size and no steps without
 * quantizer into *c. `out` is the folder of the training. die()s: RC_USAGE when it is the RUN
 * itself; RC_MISFIT when this program does not train the RUN's quantizer. */
void train_init_load(train_init_t *init, const char *out, params_t *p, config_t *c);

/* Beside the settled configuration: die(RC_MISFIT) when it asks for another network than the
 * RUN's, or for a quantizer with a codebook where the RUN has none, or the other way round. */
void train_init_check(const train_init_t *init, const config_t *c);

/* Hands the RUN's codebook to the trainer's quantizer, and its discriminator to the trainer's if
 * the configuration asks for one of that shape; else a new one starts by the seed, with a warning.
 * The optimizer of both begins anew. */
void train_init_state(const train_init_t *init, trainer_t *t);

#endif
