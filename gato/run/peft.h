/* peft.h - adapters (LoRA) as a folder of peft's: adapter_config.json and
 * adapter_model.safetensors, whose tensors stand beside those of a GPT-2. */
#ifndef GATO_PEFT_H
#define GATO_PEFT_H

#include "gato/run/run.h"

#define PEFT_CONFIG "adapter_config.json"
#define PEFT_WEIGHTS "adapter_model.safetensors"

/* Writes the adapters of m, which has some, into a folder that is there. bare: under the names of a
 * GPT2Model, as NEKO wraps it, else of a GPT2LMHeadModel. 0, or -1 with a reason. */
int peft_write(const gato_model_t *m, const char *dir, bool bare, reason_t *why);
/* A copy of `base`, which has none, with the adapters of a folder; both kinds of names are known.
 * NULL with a reason, and *rc is RC_USAGE for a missing file, RC_DATA for a corrupt one, RC_MISFIT
 * for adapters that are no LoRA of the transformer's Conv1D layers, or of another network. */
gato_model_t *peft_read(const gato_model_t *base, const char *dir, int *rc, reason_t *why);

#endif
