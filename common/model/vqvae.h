/* vqvae.h - the image tokenizer: encoder, quantizer, decoder; the graph and names of diffusers'
 * VQModel (a VQModelFSQ has levels in place of the codebook and is ours alone).
 *
 * encoder -> quant_conv 1x1 -> nearest code -> post_quant_conv 1x1 -> decoder (Esser et al. 2021;
 * van den Oord et al. 2017). Images are NHWC in [-1,1]; an image of H x W gives (H/f) x (W/f)
 * codes, f = 2^(levels-1). vqvae trains it, tokenize encodes with it, gato shows images with it.
 */
#ifndef MODEL_VQVAE_H
#define MODEL_VQVAE_H

#include "common/base/die.h"
#include "common/io/image/image.h"
#include "common/io/text/config.h"
#include "common/nn/nn.h"
#include "common/tape/plan.h"

enum { VQ_LEVELS = 8 };
typedef struct {
    size_t levels, channels[VQ_LEVELS];
    bool attention[VQ_LEVELS]; /* of the encoder's level i and of the decoder's levels-1-i */
    size_t layers_per_block, latent_channels, vq_embed_dim, codes, norm_groups, in_channels,
        out_channels;
    bool mid_attention;
    kern_fsq_t fsq; /* levels of a VQModelFSQ, whose codes are numbers; n = 0: a codebook */
} vqvae_config_t;

/* f = 2^(levels-1) */
size_t vqvae_stride(const vqvae_config_t *c);
/* Impossible values (channels no multiple of the groups, ...): -1 with a reason. */
int vqvae_config_check(const vqvae_config_t *c, reason_t *why);

/* ---- graph (recorded on the nn's tape; parameters under diffusers' names) ---- */
var_t vqvae_encode(nn_t *nn, const vqvae_config_t *c, var_t image,
                   var_t *encoder_out);                  /* -> prequant [N,h,w,D] */
var_t vqvae_codebook(nn_t *nn, const vqvae_config_t *c); /* quantize.embedding.weight */
var_t vqvae_decode(nn_t *nn, const vqvae_config_t *c,
                   var_t quantized); /* -> [N,H,W,3], unclamped */
/* Codes and vectors of prequant (no losses), vectors [s..,D] of codes I32 s: by nearest code or by
 * levels. */
vq_out_t vqvae_quantize(nn_t *nn, const vqvae_config_t *c, var_t prequant);
var_t vqvae_vectors(nn_t *nn, const vqvae_config_t *c, var_t codes);

/* ---- a frozen tokenizer, loaded from a RUN folder ---- */
typedef struct vqvae vqvae_t;

/* Reads DIR/config.json, diffusion_pytorch_model.safetensors and, if there, tokenizer.json. *rc:
 * RC_USAGE no such folder, RC_DATA corrupt, RC_MISFIT names or shapes (the first five differences),
 * spatial norms, Gumbel models. */
vqvae_t *vqvae_load(const char *dir, int *rc, reason_t *why);
void vqvae_free(vqvae_t *v);
const vqvae_config_t *vqvae_config(const vqvae_t *v);
params_t *vqvae_params(vqvae_t *v);
const float *vqvae_codebook_data(vqvae_t *v); /* [K,D]: what the decoder sees of each code */
/* 32 hex digits over encoder, quant_conv, quantize, quantizer and preprocess. */
const char *vqvae_fingerprint(const vqvae_t *v);
const char *vqvae_quantizer_json(const vqvae_t *v);  /* canonical JSON */
const char *vqvae_preprocess_json(const vqvae_t *v); /* canonical JSON */
/* False while a training has not come to its first step with quantizer: the codes mean nothing yet.
 * What was imported counts as trained. */
bool vqvae_trained(const vqvae_t *v);
/* What every program says of such a tokenizer: one warning, or nothing. */
void vqvae_warn_untrained(const vqvae_t *v, const char *dir);
/* Preprocessing size: 0 = native. */
void vqvae_preprocess_size(const vqvae_t *v, size_t *w, size_t *h);
/* What stands behind transparent images: false, and rgb as it was, when the preprocessing names
 * nothing. */
bool vqvae_preprocess_background(const vqvae_t *v, uint8_t rgb[3]);

/* Codes of n images of one size (multiples of the stride): codes [n, h/f * w/f]. An image's
 * codes depend on that image alone. Plans are cached by shape. */
void vqvae_encode_images(vqvae_t *v, const uint8_t *rgb, size_t n, size_t w, size_t h,
                         uint32_t *codes);
/* How much further codes[i] of one image are from what the encoder says than the nearest code: (d
 * - d_min) / d_min of squared distances, gap [h/f * w/f]. For codes made elsewhere: a near tie may
 * fall otherwise there. */
void vqvae_code_gaps(vqvae_t *v, const uint8_t *rgb, size_t w, size_t h, const uint32_t *codes,
                     double *gap);
/* Images of n grids: rgb [n, gh*f, gw*f, 3]. */
void vqvae_decode_codes(vqvae_t *v, const uint32_t *codes, size_t n, size_t gw, size_t gh,
                        uint8_t *rgb);
/* How tokenize and act prepare an image: fit to the preprocessing size, or pad to the stride at
 * native size (edges replicated). */
image_t vqvae_preprocess(const vqvae_t *v, const image_t *im);

/* ---- the RUN folder (vqvae_run.c) ---- */
/* The texts of tokenizer.json and config.json, malloc'ed. `trained` as vqvae_trained. */
char *vqvae_tokenizer_text(const char *fingerprint, const char *preprocess_json,
                           const char *quantizer_json, bool trained);
char *vqvae_config_json(const vqvae_config_t *c, size_t sample_size);
/* RC_OK, RC_DATA (no JSON object) or RC_MISFIT (a network of another kind, impossible values). */
int vqvae_config_parse(vqvae_config_t *c, const char *text, size_t size, reason_t *why);
/* All the model's parameters in p, recorded without numbers: creates missing ones. */
void vqvae_declare(params_t *p, const vqvae_config_t *c);
/* Fills p from a safetensors file (diffusers' names, older attention names too): 0, or the exit
 * code with a reason. */
int vqvae_read_weights(params_t *p, const char *path, reason_t *why);
/* tokenizer.json's quantizer as canonical JSON, malloc'ed: {"kind":"vq"} or
 * {"kind":"fsq","levels":[...]}. */
char *vqvae_quantizer_text(const vqvae_config_t *c);
int vqvae_fingerprint_of(params_t *p, int block, const char *quantizer_json,
                         const char *preprocess_json, char hex[33]);
/* The same with `codebook` [K,D] (NULL: the parameter) as quantize.embedding.weight: what is
 * published may be made from what is trained. */
void vqvae_fingerprint_with(params_t *p, int block, const float *codebook,
                            const char *quantizer_json, const char *preprocess_json, char hex[33]);

#endif
