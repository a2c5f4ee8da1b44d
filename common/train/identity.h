/* identity.h - what makes two starts of a training the same run: program, network, data and seed.
 * training.json records it; a resume compares.
 */
#ifndef TRAIN_IDENTITY_H
#define TRAIN_IDENTITY_H

#include "common/io/text/config.h"

typedef struct {
    const char *program;
    const config_field_t *table;
    const void *config;
    size_t config_size;
    uint64_t seed, manifest; /* manifest: hash of the data's keys and sizes */
    const char *init;        /* fingerprint of the weights that it began with (--init), or NULL */
    bool any_data;           /* a resume goes on with other data (--allow-data-change) */
} identity_t;

/* training.json's text after `step` updates, malloc'ed, deterministic. */
char *identity_json(const identity_t *id, int64_t step);
/* The step to go on from. die()s: RC_DATA damaged text, RC_MISFIT another program, architecture
 * (the keys, then and now), seed, or data unless any_data. Other keys may have changed: logged. */
int64_t identity_resume(const identity_t *id, const char *run, const char *json);

#endif
