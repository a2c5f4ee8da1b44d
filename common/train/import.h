/* import.h - other people's models: what the `import` commands ask of the files they are given,
 * before any of them is read or anything is written. Like the rest of a command, they die().
 */
#ifndef TRAIN_IMPORT_H
#define TRAIN_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Turns PyTorch's pickles, and checkpoints in several parts, into one safetensors file. */
#define IMPORT_SCRIPT "pipelines/import_taming.py"

/* A single safetensors file of weights. RC_USAGE for none or a folder; RC_DATA, naming the
 * script, for a pickle or one part of several. */
void import_check_weights(const char *path);
/* --config: its bytes, malloc'ed. RC_USAGE for none or a folder, RC_DATA when it cannot be read. */
uint8_t *import_read_config(const char *path, size_t *size);
/* --out: a folder that is absent or empty, or `force`. RC_USAGE otherwise, and when one of the n
 * `files` that will be written there is `weights` or `config`. */
void import_check_out(const char *out, bool force, const char *const *files, size_t n,
                      const char *weights, const char *config);

#endif
