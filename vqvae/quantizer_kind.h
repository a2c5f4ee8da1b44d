/* quantizer_kind.h - the kinds of quantizer that can be trained: a table with one row per kind, one
 * file each (quant_ema.c ... quant_fsq.c). What all kinds share is quantizer.c.
 *
 * To add a kind: its file, its name in QUANTIZER_KINDS, its row in QUANTIZERS.md, its test.
 */
#ifndef VQVAE_QUANTIZER_KIND_H
#define VQVAE_QUANTIZER_KIND_H

#include "vqvae/quantizer.h"

typedef struct quantizer_kind {
    const char *name; /* of quantizer.kind */
    const char *keys; /* the keys of quantizer.* that it reads beside kind, with blanks between */
    bool codebook;    /* it learns or keeps quantize.embedding.weight */
    bool moves;       /* rows of the codebook may be set one by one: k-means and restarts apply */
    bool gradient;    /* the optimizer moves the rows: a row that is set loses its moments */
    bool
        /* codes are vectors of the encoder's space: distances between them mean something */
        same_space;
    const char *fixed; /* which parameters no gradient moves: a pattern of params_match, or NULL */

    /* The width and number of codes that the configuration demands. NULL: what it says. */
    void (*settle)(const config_t *c, int64_t *width, int64_t *codes);
    /* Its part of the network; die(RC_USAGE) when impossible. NULL: none. */
    void (*network)(const config_t *c, vqvae_config_t *m);
    /* Whether a loaded network can only be of this kind; then its settings are read back. NULL: it
     * never is. */
    bool (*from_network)(config_t *c, const vqvae_config_t *m);
    /* Creates parameters beside the network's. NULL: none. */
    void (*declare)(const config_t *c, params_t *p);
    /* Fills its own members of q. NULL: none. */
    void (*init)(quantizer_t *q, const config_t *c);
    vq_out_t (*record)(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m, var_t prequant);
    /* See quantizer_bypass. NULL: prequant itself. */
    var_t (*bypass)(nn_t *nn, const vqvae_config_t *m, var_t prequant);
    /* Rows [n,D] of x brought to where codes lie, to y (may be x). NULL: they are there. */
    void (*place)(const float *x, size_t n, size_t D, float *y);
    /* Moves the codebook by the counts [K] and sums [K,D] of a step. NULL: it does not. */
    void (*update)(quantizer_t *q, const float *counts, const float *sums);
    /* Fills q->published [K,D]. NULL: the parameter is published as it is. */
    void (*publish)(quantizer_t *q, int block);
} quantizer_kind_t;

/* quantizer.kind's choices, in the order of --help-config. */
#define QUANTIZER_KINDS(X) X(ema) X(ste) X(simvq) X(rotation) X(l2) X(fsq)
#define QUANTIZER_EXTERN(name) extern const quantizer_kind_t quant_##name;
QUANTIZER_KINDS(QUANTIZER_EXTERN)
/* "ema|ste|..." behind a first bar. */
#define QUANTIZER_BAR(name) "|" #name
#define QUANTIZER_CHOICES (&(QUANTIZER_KINDS(QUANTIZER_BAR))[1])

/* Does the kind read quantizer.KEY, and who does: "ste, rotation", malloc'ed. */
bool quantizer_reads(const quantizer_kind_t *kind, const char *key);
char *quantizer_readers(const char *key);

/* The codebook of q as floats [K,D]. */
float *quantizer_codebook(const quantizer_t *q);
/* quantizer_record of a kind with the codebook e [K,D]: codes by the nearest row, the losses. */
vq_out_t quantizer_record_nearest(const quantizer_t *q, nn_t *nn, var_t prequant, var_t e,
                                  vq_through_t through);
/* quantizer_kind_t.record of kinds whose codebook is looked up as it is. */
vq_out_t quantizer_record_plain(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m,
                                var_t prequant);

#endif
