/* settings.h - settings that would do nothing: refused where a training would miss what it asks
 * for, told where a key has no say. */
#ifndef GATO_SETTINGS_H
#define GATO_SETTINGS_H

#include "gato/dataset.h"

/* Beside the opened data. die(RC_USAGE) with the key to change when there is nothing to learn or
 * when the loss on image codes is asked for and would never run; a warning for each other key that
 * differs from its default and has no effect; a line for each source of which nothing can be held
 * out. */
void gato_settings_check(const gato_config_t *c, const dataset_t *d);

#endif
