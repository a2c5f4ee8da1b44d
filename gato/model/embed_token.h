/* embed_token.h - the token table, which embeddings share. */
#ifndef GATO_EMBED_TOKEN_H
#define GATO_EMBED_TOKEN_H

#include "gato/model/embed.h"

/* embed_token.weight [vocab,D] */
var_t token_table(nn_t *nn, const struct gato_model *m);

#endif
