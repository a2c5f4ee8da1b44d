/* foreign.h - policies and language models that others trained, by project: what they say of
 * themselves, and their tensors under our names. A file a project.
 *
 * The text ids are the model's own: no text tokenizer comes with the weights.
 */
#ifndef GATO_FOREIGN_H
#define GATO_FOREIGN_H

#include "common/io/safetensors/safetensors.h"
#include "gato/model/model.h"

#include <cjson/cJSON.h>

typedef struct {
    const char *name; /* as `gato import --from` calls it */
    bool images;      /* it also takes images, as patches */
    /* What the network is: sets the architecture in *c, which has the defaults, and text ids, mu
     * and M in *v, from the project's configuration and the header of the weights. 0, or -1 with a
     * reason: what is missing, or what no policy here can express. */
    int (*describe)(const cJSON *config, const st_file_t *file, gato_config_t *c, vocabulary_t *v,
                    reason_t *why);
    /* Fills the parameters of a model that has its first values. *ignored: tensors passed over. The
     * exit codes of weights_read: every missing, unknown or misshaped tensor is told. */
    int (*read)(gato_model_t *m, st_file_t *file, const char *path, size_t *ignored, reason_t *why);
} foreign_t;

extern const foreign_t foreign_gpt2, foreign_neko;
/* Every project, NULL at the end. */
extern const foreign_t *const foreigns[];
/* NULL for another name. */
const foreign_t *foreign_find(const char *name);

/* ---- for describe ---- */

/* A positive integer of the configuration; `preset` (0 = none) where it is missing or null. */
int foreign_integer(const cJSON *o, const char *key, int64_t preset, int64_t *out, reason_t *why);
/* Is the key true, or a number other than 0? `preset` where it is missing or null. */
bool foreign_flag(const cJSON *o, const char *key, bool preset);

#endif
