/* derive.h - RUNs that are made of another one without training: what `gato merge` and
 * `gato adapter` write. */
#ifndef GATO_DERIVE_H
#define GATO_DERIVE_H

#include "gato/run/run.h"

/* Dies unless `out` can take a RUN made of `model`: RC_USAGE. */
void derive_check(const char *model, const char *out, bool force);
/* Writes m as the RUN `out`, with the tokenizer of the RUN `model`, so that the folder is complete,
 * and RUN/done: by whom, and its line of JSON. Dies with the reason. */
void derive_run(const gato_model_t *m, const char *model, const char *out, const char *by,
                const char *counts);

#endif
