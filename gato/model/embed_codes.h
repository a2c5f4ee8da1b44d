/* embed_codes.h - the vectors of a codebook as rows, which two embeddings use. */
#ifndef GATO_EMBED_CODES_H
#define GATO_EMBED_CODES_H

#include "gato/model/embed.h"

/* The input "code": the codes of a merged token, -1 = none. */
input_spec_t codes_input(const struct gato_model *m);
/* code I32 [n] -> [n,Dc]: the vectors that enter, whitened where model.code_norm asks for it. No
 * gradient: the codebook does not train. */
var_t codes_vectors(nn_t *nn, const struct gato_model *m, var_t code);
/* code I32 [n, merge * merge] -> [n,D]: the vectors of a block side by side, projected. */
var_t codes_rows(nn_t *nn, const struct gato_model *m, size_t n, var_t code);
/* Sets the codebook and, where model.code_norm asks for it, the whitened one. */
void codes_start(struct gato_model *m, const pool_t *pool);
/* Does the model have a codebook? */
bool codes_possible(const struct gato_model *m);

#endif
