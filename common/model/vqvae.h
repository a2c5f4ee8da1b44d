/* vqvae.h - the image tokenizer: encoder, quantizer, decoder; the graph and names of diffusers'
 * VQModel (a VQModelFSQ has levels in place of the codebook and is ours alone).
 *
 *     image -> encoder -> quant_conv 1x1 -> nearest code -> post_quant_conv 1x1 -> decoder -> image
 *
 * (van den Oord et al. 2017; Esser et al. 2021). Images are NHWC in [-1,1]. With f = 2^(levels-1)
 * an image of H x W has (H/f) x (W/f) codes of 0 .. K-1, each a vector of width D. That is the kind
 * `grid`; others (kind.h) have something else in place of the two 1x1 convolutions, and a grid of
 * codes of another shape. vqvae trains this network. Programs that only use tokens see it as a
 * tokenizer_t (tokenizer.h).
 *
 *     int rc;
 *     reason_t why;
 *     vqvae_t *v = vqvae_open("run", &rc, &why);
 *     if (!v) die(rc, "%s", why.text);
 *     size_t gw, gh;
 *     vqvae_grid(vqvae_config(v), 64, 64, &gw, &gh);
 *     uint32_t *codes = xcalloc(gw * gh, sizeof *codes);
 *     vqvae_encode_images(v, rgb, 1, 64, 64, codes);
 *     vqvae_decode_codes(v, codes, 1, gw, gh, rgb);
 */
#ifndef MODEL_VQVAE_H
#define MODEL_VQVAE_H

#include "common/base/die.h"
#include "common/io/image/image.h"
#include "common/io/text/config.h"
#include "common/nn/nn.h"
#include "common/tape/plan.h"

/* ---- the network's shape (vqvae_config.c) ---- */

enum { VQ_LEVELS = 8 };

/* The shape of the kind causal1d (kind_causal1d.c); all 0 in other kinds. */
typedef struct {
    /* Codes of an image; width and heads of the transformers, blocks of each. */
    size_t queries, width, heads, encoder_layers, decoder_layers;
    /* The encoder's features: images have one size, of rows f x columns f pixels. */
    size_t rows, columns;
    /* Code i depends on the queries 0 .. i alone. A size_t: 0 or 1. */
    size_t causal;
} vqvae_causal1d_t;

typedef struct {
    /* Resolutions, each half of the one before, and the channels at each. */
    size_t levels, channels[VQ_LEVELS];
    /* At the encoder's level i and the decoder's levels-1-i. */
    bool attention[VQ_LEVELS];
    bool mid_attention;
    size_t layers_per_block, latent_channels;
    /* D and K. */
    size_t vq_embed_dim, codes;
    size_t norm_groups, in_channels, out_channels;
    /* Levels of a VQModelFSQ, whose codes are products of levels. n = 0: there is a codebook. */
    kern_fsq_t fsq;
    vqvae_causal1d_t causal1d;
} vqvae_config_t;

/* f = 2^(levels-1), the side of the square of pixels that one feature stands for; sides of images
 * are multiples of it. */
size_t vqvae_stride(const vqvae_config_t *c);
/* The grid of codes of an image of w x h pixels: gh rows of gw. 0 x 0: there is no such image. */
void vqvae_grid(const vqvae_config_t *c, size_t w, size_t h, size_t *gw, size_t *gh);
/* gw gh of that: how many codes an image of w x h pixels has; 0: there is no such image. */
size_t vqvae_tokens(const vqvae_config_t *c, size_t w, size_t h);
/* The size of the image that a grid of codes becomes. 0 x 0: there is no such grid. */
void vqvae_image_size(const vqvae_config_t *c, size_t gw, size_t gh, size_t *w, size_t *h);
/* Kinds whose codes are ordered: how many an image has; any first k of them (a grid of 1 x k) are
 * an image too. 0: the others. */
size_t vqvae_most_kept(const vqvae_config_t *c);
/* The only size of images of such a network; false, and nothing set: it takes any multiple of the
 * stride. */
bool vqvae_fixed_size(const vqvae_config_t *c, size_t *w, size_t *h);
/* 0, or -1 with a reason for values that no network can have (channels that the groups do not
 * divide, ...). */
int vqvae_config_check(const vqvae_config_t *c, reason_t *why);
/* config.json as diffusers writes it, malloc'ed. sample_size is only information there. */
char *vqvae_config_json(const vqvae_config_t *c, size_t sample_size);
/* Reads config.json, `size` bytes. RC_OK; RC_DATA when it is no JSON object; RC_MISFIT when it
 * describes another kind of network or has impossible values. Unknown keys are warned of. */
int vqvae_config_parse(vqvae_config_t *c, const char *text, size_t size, reason_t *why);

/* ---- graph (vqvae.c): recorded on the nn's tape, parameters under diffusers' names ---- */

/* image [N,H,W,3] -> prequant [N,gh,gw,D], what the quantizer gets. *encoder_out, when not NULL:
 * the features [N,H/f,W/f,latent_channels] behind the convolutions. */
var_t vqvae_encode(nn_t *nn, const vqvae_config_t *c, var_t image, var_t *encoder_out);
/* The parameter quantize.embedding.weight [K,D]. */
var_t vqvae_codebook(nn_t *nn, const vqvae_config_t *c);
/* quantized [N,gh,gw,D] -> image [N,H,W,3], not clamped to [-1,1].
 *
 * kept  NO_VAR, or where vqvae_most_kept is Q > 0: I32 [N*Q], as vqvae_keep fills it; the decoder
 *       sees a learned mask in place of what is not kept */
var_t vqvae_decode(nn_t *nn, const vqvae_config_t *c, var_t quantized, var_t kept);
/* Of n images of Q codes: image i keeps its first `keep` codes. kept [n*Q]: of token t its own row
 * where it is kept, else row n*Q, that of the mask. */
void vqvae_keep(size_t n, size_t Q, size_t i, size_t keep, int32_t *kept);
/* Codes and vectors of prequant [N,gh,gw,D], by the nearest code or by levels. No losses; where
 * nn->packed is set the codes alone are sure to be there. */
vq_out_t vqvae_quantize(nn_t *nn, const vqvae_config_t *c, var_t prequant);
/* Vectors [s..,D] of codes I32 s. */
var_t vqvae_vectors(nn_t *nn, const vqvae_config_t *c, var_t codes);
/* Creates in p all the model's parameters that it lacks. No activations are allocated. */
void vqvae_declare(params_t *p, const vqvae_config_t *c);

/* ---- weights (vqvae_weights.c) ---- */

/* Fills p from a safetensors file under diffusers' names (older attention names too). 0, or with a
 * reason RC_DATA for a damaged file and RC_MISFIT for tensors that are missing, unknown or of
 * another shape (the first five are named). */
int vqvae_read_weights(params_t *p, const char *path, reason_t *why);

/* ---- tokenizer.json (vqvae_fingerprint.c) ---- */

/* Its quantizer as canonical JSON, malloc'ed: the name of the codes' kind, and what describe of
 * codes_kind_t and model_kind_t add. */
char *vqvae_quantizer_text(const vqvae_config_t *c);
/* The whole file, malloc'ed. The other texts are canonical JSON; `trained` as vqvae_trained. */
char *vqvae_tokenizer_text(const char *fingerprint, const char *preprocess_json,
                           const char *quantizer_json, bool trained);
/* The fingerprint: 32 hex digits of XXH3-128 over name, shape and numbers of every parameter of
 * encoder, quant_conv and codebook, and over the two texts. `block` is PARAMS_VALUE or
 * PARAMS_AVERAGE. */
void vqvae_fingerprint_make(params_t *p, int block, const char *quantizer_json,
                            const char *preprocess_json, char hex[33]);
/* The same with `codebook` [K,D] in place of quantize.embedding.weight: what is published may be
 * made from what is trained. NULL: the parameter. */
void vqvae_fingerprint_with(params_t *p, int block, const float *codebook,
                            const char *quantizer_json, const char *preprocess_json, char hex[33]);

/* ---- a frozen tokenizer from a RUN folder (vqvae_frozen.c) ---- */

typedef struct vqvae vqvae_t;

/* Reads DIR/config.json, diffusion_pytorch_model.safetensors and, if there is one, tokenizer.json.
 * NULL with *rc and a reason: RC_USAGE when `dir` is no such folder, RC_DATA when it is corrupt,
 * RC_MISFIT when names or shapes differ, the parts do not fit each other, or the network is of
 * another kind (spatial norms, Gumbel models). */
vqvae_t *vqvae_open(const char *dir, int *rc, reason_t *why);
/* For programs: dies instead, and warns when the codes are not trained. */
vqvae_t *vqvae_open_or_die(const char *dir);
void vqvae_free(vqvae_t *v);

/* What is returned here belongs to v. */
const vqvae_config_t *vqvae_config(const vqvae_t *v);
params_t *vqvae_params(vqvae_t *v);
/* [K,D]: what the decoder sees of each code. */
const float *vqvae_codebook_data(vqvae_t *v);
const char *vqvae_fingerprint(const vqvae_t *v);
/* Parts of tokenizer.json as canonical JSON. */
const char *vqvae_quantizer_json(const vqvae_t *v);
const char *vqvae_preprocess_json(const vqvae_t *v);

/* False while a training has not come to its first step with the quantizer: the codes mean nothing
 * yet. What was imported counts as trained. */
bool vqvae_trained(const vqvae_t *v);
/* One warning, naming `dir`, when the codes are not trained; else nothing. */
void vqvae_warn_untrained(const vqvae_t *v, const char *dir);

/* The size in pixels that images are fitted to; 0 = their own. */
void vqvae_preprocess_size(const vqvae_t *v, size_t *w, size_t *h);
/* What stands behind transparent images. False, and rgb as it was, when the preprocessing names
 * nothing. */
bool vqvae_preprocess_background(const vqvae_t *v, uint8_t rgb[3]);
/* An image as the encoder sees it: fitted to the preprocessing size or, without one, padded to the
 * stride (edges repeated). The caller releases it. Thread-safe. */
image_t vqvae_preprocess(const vqvae_t *v, const image_t *im);

/* Codes [n,gh,gw] of images rgb [n,h,w,3] of a size that vqvae_grid knows. An image's codes depend
 * on that image alone. Plans are cached by shape; one thread at a time. */
void vqvae_encode_images(vqvae_t *v, const uint8_t *rgb, size_t n, size_t w, size_t h,
                         uint32_t *codes);
/* Images rgb [n,h,w,3] of codes [n,gh,gw], each below K; h and w as vqvae_image_size says. One
 * thread at a time. */
void vqvae_decode_codes(vqvae_t *v, const uint32_t *codes, size_t n, size_t gw, size_t gh,
                        uint8_t *rgb);
/* For codes of one image rgb [h,w,3] that were made elsewhere, where a near tie may fall otherwise:
 * how much further each is from the encoder's vector than the nearest code,
 *
 *     gap = (d - d_min) / d_min      of squared distances; gap [gh,gw]
 *
 * (vqvae_gap.c) */
void vqvae_code_gaps(vqvae_t *v, const uint8_t *rgb, size_t w, size_t h, const uint32_t *codes,
                     double *gap);

#endif
