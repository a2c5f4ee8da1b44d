/* quant_ste.c - the codebook learns by gradient; the decoder's gradient goes straight through to
 * the encoder (van den Oord et al. 2017, equation 3). */
#include "vqvae/quantizer_kind.h"

const quantizer_kind_t quant_ste = {.name = "ste",
                                    .keys = "commitment_weight codebook_weight restart kmeans",
                                    .codebook = true,
                                    .moves = true,
                                    .gradient = true,
                                    .same_space = true,
                                    .record = quantizer_record_plain};
