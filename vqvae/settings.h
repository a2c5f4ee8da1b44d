/* settings.h - settings that would do nothing: an error where a training would miss what it asks
 * for, a warning where a key has no effect. */
#ifndef VQVAE_SETTINGS_H
#define VQVAE_SETTINGS_H

#include "vqvae/config.h"
#include "vqvae/data.h"

/* Checks settled settings, before anything is opened. die(RC_USAGE) with the key to change when the
 * quantizer, the discriminator or LPIPS is asked for and would never run; a warning for each other
 * key that differs from its default and has no effect beside the others. */
void settings_check(const config_t *c);
/* Checks them beside the opened data. Warnings only: loss.focus on one image, data.split_by without
 * folders, a source of which nothing can be held out. */
void settings_check_data(const config_t *c, const data_t *d);

#endif
