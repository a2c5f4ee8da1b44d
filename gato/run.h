/* run.h - the RUN folder of a policy: config.json (configuration and facts) and model.safetensors
 * under NEKO's names.
 *
 * config.json: {"format": "gato", "version": 1, "config": every key, "facts": what the model knows
 * of its data}. The codebook is the tensor image_codes.codebook. Training files beside them belong
 * to common/train/checkpoint.h.
 */
#ifndef GATO_RUN_H
#define GATO_RUN_H

#include "gato/model.h"

#define GATO_CONFIG_FILE "config.json"
#define GATO_WEIGHTS_FILE "model.safetensors"
enum { GATO_VERSION = 1 };

/* The text of config.json, malloc'ed, deterministic. */
char *run_json(const gato_model_t *m);
/* Reads config.json's text: 0, or an exit code (RC_DATA no such JSON, RC_MISFIT another format,
 * version or key). */
int run_parse(const char *text, size_t size, gato_config_t *c, gato_facts_t *f, reason_t *why);
/* Loads a RUN. NULL with *rc: RC_USAGE no such folder or file, RC_DATA corrupt or NaN, RC_MISFIT
 * with the first differences of names and shapes. */
gato_model_t *run_load(const char *dir, int *rc, reason_t *why);
/* The same, die()ing. */
gato_model_t *run_open(const char *dir);
/* Fills m's values from a safetensors file: 0, or an exit code. Buffers that NEKO's files carry are
 * passed over. */
int run_read_weights(gato_model_t *m, const char *path, reason_t *why);
/* Writes config.json and model.safetensors (tools that make a RUN without training). */
int run_save(const gato_model_t *m, const char *dir, reason_t *why);

/* gato info, gato trace */
int cmd_gato_info(int argc, char **argv);
int cmd_gato_trace(int argc, char **argv);

#endif
