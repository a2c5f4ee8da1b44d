/* settings.h - settings that would do nothing: an error where a training would lack what it asks
 * for, a warning where a key has no effect. */
#ifndef GATO_SETTINGS_H
#define GATO_SETTINGS_H

#include "gato/data/dataset.h"

/* Checks settings together with the opened data. die(RC_USAGE) with the key to change when there is
 * nothing to learn, when the loss on image codes is asked for and would never run, or when a shard
 * would never be drawn. Warns of each other key that differs from its default and has no effect, of
 * each source or task from which nothing is learned, and of a task whose attention window is wider
 * than its sequences; logs a line for each source of which
 * nothing can be held out. */
void gato_settings_check(const gato_config_t *c, const dataset_t *d);

#endif
