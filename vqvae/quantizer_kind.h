/* quantizer_kind.h - the kinds of quantizer that can be trained: a table with one row per kind, one
 * file each (quant_ema.c ... quant_fsq.c). What all kinds share is quantizer.c.
 *
 * To add a kind: its file quant_x.c, its name in QUANTIZER_KINDS below, its row in QUANTIZERS.md,
 * and what is special to it in tests/test_quantizer.c, which checks for every kind what all must
 * keep. One whose codes are no rows of a codebook also has a row in common/model/codes.h.
 */
#ifndef VQVAE_QUANTIZER_KIND_H
#define VQVAE_QUANTIZER_KIND_H

#include "vqvae/quantizer.h"

typedef struct quantizer_kind {
    /* Of quantizer.kind. */
    const char *name;
    /* The keys of quantizer.* that it reads beside kind, with blanks between. */
    const char *keys;
    /* It learns or keeps quantize.embedding.weight. */
    bool codebook;
    /* Rows of the codebook may be set one by one: k-means and restarts apply. */
    bool moves;
    /* The optimizer moves the rows: a row that is set loses its moments. */
    bool gradient;
    /* Codes are vectors of the encoder's space: distances between them mean something. */
    bool same_space;
    /* Which parameters no gradient moves: a pattern of params_match, or NULL. */
    const char *fixed;

    /* The width and number of codes that the configuration demands. NULL: what it says. */
    void (*settle)(const config_t *c, int64_t *width, int64_t *codes);
    /* Its part of the network; die(RC_USAGE) when impossible. NULL: none. */
    void (*network)(const config_t *c, vqvae_config_t *m);
    /* Can the loaded network be of this kind only? Then reads its settings back. NULL: never. */
    bool (*from_network)(config_t *c, const vqvae_config_t *m);
    /* Creates parameters beside the network's. NULL: none. */
    void (*declare)(const config_t *c, params_t *p);
    /* Fills its own members of q. NULL: none. */
    void (*init)(quantizer_t *q, const config_t *c);
    /* Codes, vectors and loss of prequant [N,h,w,D]. */
    vq_out_t (*record)(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m, var_t prequant);
    /* See quantizer_bypass. NULL: prequant itself. */
    var_t (*bypass)(nn_t *nn, const vqvae_config_t *m, var_t prequant);
    /* Brings rows x [n,D] to where codes lie, in y (may be x). NULL: they are there. */
    void (*place)(const float *x, size_t n, size_t D, float *y);
    /* Moves the codebook by the counts [K] and sums [K,D] of a step. NULL: it does not. */
    void (*update)(quantizer_t *q, const float *counts, const float *sums);
    /* Fills q->published [K,D]. NULL: the parameter is published as it is. */
    void (*publish)(quantizer_t *q, int block);
} quantizer_kind_t;

/* quantizer.kind's choices and what --help-config says of each, in its order. */
#define QUANTIZER_KINDS(X)                                                                         \
    X(ema, "a codebook that follows moving averages")                                              \
    X(ste, "a codebook trained by gradient, the decoder's gradient goes straight to the encoder")  \
    X(simvq, "a frozen codebook behind a learned linear map")                                      \
    X(rotation, "as ste, but the decoder's gradient is rotated back from code to vector")          \
    X(l2, "as ste, with codes and vectors of unit length (vq_embed_dim 8 is usual)")               \
    X(fsq, "no codebook, each channel is rounded to its levels")
#define QUANTIZER_EXTERN(name, help) extern const quantizer_kind_t quant_##name;
QUANTIZER_KINDS(QUANTIZER_EXTERN)
/* "ema|ste|...": each name with a bar before it, without the first bar. */
#define QUANTIZER_BAR(name, help) "|" #name
#define QUANTIZER_CHOICES (&(QUANTIZER_KINDS(QUANTIZER_BAR))[1])
/* "; ema: ...; ste: ..." */
#define QUANTIZER_HELP(name, help) "; " #name ": " help

/* All kinds, in that order: quantizer_kind_at(0 .. quantizer_kinds() - 1). */
size_t quantizer_kinds(void);
const quantizer_kind_t *quantizer_kind_at(size_t i);

/* Does the kind read quantizer.KEY? And which kinds do: "ste, rotation", malloc'ed. */
bool quantizer_reads(const quantizer_kind_t *kind, const char *key);
char *quantizer_readers(const char *key);

/* The codebook [K,D] of q, in its params. */
float *quantizer_codebook(const quantizer_t *q);
/* quantizer_record of a kind with the codebook e [K,D]: codes by the nearest row, the losses. */
vq_out_t quantizer_record_nearest(const quantizer_t *q, nn_t *nn, var_t prequant, var_t e,
                                  vq_through_t through);
/* quantizer_kind_t.record of kinds whose codebook is looked up as it is. */
vq_out_t quantizer_record_plain(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m,
                                var_t prequant);

#endif
