/* settings.h - settings that would do nothing: an error where a training would lack what it asks
 * for, a warning where a key has no effect. */
#ifndef VQVAE_SETTINGS_H
#define VQVAE_SETTINGS_H

#include "vqvae/config.h"
#include "vqvae/data.h"

/* Checks settled settings (config_settle), before anything is opened. die(RC_USAGE) with the key to
 * change when the quantizer, the discriminator or LPIPS is asked for and would never run. Warns of
 * each other key that differs from its default and has no effect. */
void settings_check(const config_t *c);
/* Checks settings together with the opened data. Warns of loss.focus on one image and of
 * data.split_by without folders; logs a line for a source of which nothing can be held out. */
void settings_check_data(const config_t *c, const data_t *d);

#endif
