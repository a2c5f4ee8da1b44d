/* seed.h - what the commands do for a SEED tokenizer (common/model/seed.h), which has no image
 * decoder and is not trained here. Like the commands, these die(). */
#ifndef VQVAE_SEED_H
#define VQVAE_SEED_H

#include "common/base/cli.h"
#include "common/io/image/image.h"

/* `vqvae import --from seed`: files of safetensors, which hold a network between them, become a
 * RUN. config: NULL, or a JSON file with what shapes do not say. weights: NULL, or how matrices are
 * kept. */
void seed_import(const cli_list_t *files, const char *config, const char *weights, const char *out,
                 bool force);
/* `vqvae info` of a RUN that holds one. */
void seed_info(const char *run);
/* `vqvae trace`: every value on the way of the images, each at any size, to `out`. */
void seed_trace(const char *run, const cli_list_t *images, const image_opts_t *opts,
                const char *out);

#endif
