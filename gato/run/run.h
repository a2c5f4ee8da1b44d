/* run.h - the RUN folder of a policy: config.json (configuration, vocabulary and tasks),
 * model.safetensors under NEKO's names, and tokenizer.json where texts are not bytes.
 *
 * config.json: {"format": "gato", "version": 2, "config": every key, "vocabulary": what all tasks
 * share (vocabulary.h), "tasks": the bodies it plays (task.h)}. The codebook is the tensor
 * image_codes.codebook. Training files beside them belong to common/train/checkpoint.h.
 */
#ifndef GATO_RUN_H
#define GATO_RUN_H

#include "common/nn/weights.h"
#include "common/train/checkpoint.h"
#include "gato/model/model.h"

#define GATO_CONFIG_FILE "config.json"
#define GATO_WEIGHTS_FILE "model.safetensors"
#define GATO_TEXT_FILE "tokenizer.json"
#define RUN_TOKENIZER "vqvae" /* the folder of the tokenizer inside a RUN */
#define RUN_FAST "fast"       /* that of FAST (model.bin_kind = fast) */
enum { GATO_VERSION = 2 };

/* The text of config.json; deterministic, malloc'ed. */
char *run_json(const gato_model_t *m);
/* The text files of a RUN, to text[2], in the order in which they are put in place: the text
 * tokenizer's if it has one, and config.json, which is `json`. Returns how many. */
size_t run_files(const gato_model_t *m, const char *json, checkpoint_text_t text[2]);
/* What config.json says. Release with run_text_release. */
typedef struct {
    gato_config_t config;
    vocabulary_t vocabulary;
    tasks_t tasks;
} run_text_t;
void run_text_release(run_text_t *t);
/* Reads the text of config.json. 0, or an exit code with a reason: RC_DATA for text that is not
 * this JSON, RC_MISFIT for another format or version or an unknown key. */
int run_parse(const char *text, size_t size, run_text_t *t, reason_t *why);
/* Reads config.json of a RUN, and the file of its text tokenizer. 0, or an exit code with a reason:
 * RC_USAGE for a missing config.json, RC_MISFIT for the file of another tokenizer. */
int run_read_text(const char *dir, run_text_t *t, reason_t *why);
/* Loads a RUN. NULL with a reason and *rc: RC_USAGE for a missing folder or file, RC_DATA for a
 * corrupt one or NaN, RC_MISFIT with the first differences of names and shapes. */
gato_model_t *run_load(const char *dir, int *rc, reason_t *why);
/* The same, but die()s. */
gato_model_t *run_open(const char *dir);
/* Fills m's values from an open file of NEKO's, where adapters bear peft's names; passes over
 * *ignored tensors (NULL: nobody asks), the buffers of its transformer. The exit codes of
 * weights_read. */
int run_read_neko(gato_model_t *m, st_file_t *file, const char *path, size_t *ignored,
                  reason_t *why);
/* The name of a RUN for a tensor of a network that peft wraps or not: without "base_model.model."
 * and ".base_layer", and "lora_A.weight" with the adapter's name, "default". False: too long. */
bool run_name_of_peft(const char *theirs, char out[WEIGHTS_NAME]);
/* Names the weights: a hash of the parameters, names and numbers, as 16 hexadecimal digits. */
enum { RUN_FINGERPRINT = 17 };
void run_fingerprint(const gato_model_t *m, char out[RUN_FINGERPRINT]);
/* Writes model.safetensors, of a block of the parameters (PARAMS_VALUE), and the text files, for
 * tools that make a RUN without training. 0, or an exit code with a reason. */
int run_save(const gato_model_t *m, int block, const char *dir, reason_t *why);
/* Writes the files of FAST into dir/fast, if the policy has it. 0, or -1 with a reason. */
int run_write_fast(const gato_model_t *m, const char *dir, reason_t *why);
/* Copies the inference files of the tokenizer RUN `from` into dir/vqvae: the policy's folder is
 * complete then. 0, or -1 with a reason. */
int run_copy_tokenizer(const char *from, const char *dir, reason_t *why);

#endif
