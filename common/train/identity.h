/* identity.h - what makes two starts of a training the same run: program, network, data, seed and
 * --init. training.json records it, and a resume compares.
 */
#ifndef TRAIN_IDENTITY_H
#define TRAIN_IDENTITY_H

#include "common/io/text/config.h"

typedef struct {
    const char *program;         /* "vqvae" */
    const config_field_t *table; /* of the configuration */
    const void *config;          /* the program's struct of config_size bytes */
    size_t config_size;
    uint64_t seed;
    uint64_t manifest; /* hash of the data's keys and sizes */
    const char *init;  /* fingerprint of the weights that it began with (--init), or NULL */
    bool any_data;     /* a resume goes on with other data (--allow-data-change) */
} identity_t;          /* everything is borrowed */

/* The text of training.json after `step` updates: one line of JSON, malloc'ed, a function of its
 * arguments alone. */
char *identity_json(const identity_t *id, int64_t step);
/* Compares with `json`, the text of the run's last checkpoint, and returns the step to go on from.
 * `run` names the folder in messages. die()s: RC_DATA when the text is damaged; RC_MISFIT for
 * another program, --init, seed, network (CONFIG_ARCH keys: told then and now), or other data
 * unless any_data. Other keys may have changed: they are logged. */
int64_t identity_resume(const identity_t *id, const char *run, const char *json);

#endif
