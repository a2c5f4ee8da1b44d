/* seed.h - the SEED tokenizer (Ge et al. 2023, arXiv 2307.08041): an image becomes Q ordered codes,
 * each a function of the image and read behind those before it.
 *
 *     image -> bicubic to S x S, CLIP's mean and deviation
 *           -> EVA-CLIP ViT without its final norm -> ln_vision       [T,E]
 *           -> Q-Former of Q learned queries, causal                  [Q,D]  causal embeddings
 *           -> Linear, tanh, Linear -> nearest of K codes             [Q,C]  codes
 *           -> Linear, tanh, Linear, + positions, ViT blocks          [Q,D]  decode states
 *           -> a head: a reversed Q-Former of one query, or image_down -> the embedding of the
 *              image that a diffusion model (not here) paints from    [V]
 *
 * Codes become that embedding, never pixels: there is no image decoder. Published: S 224, patches
 * of 14, E 1408 (39 blocks, 16 heads), D 768 (12 layers, 12 heads), Q 32, K 8192, C 32, V 1024.
 *
 * The published network masks the Q-Former only where Q is 32. Here `causal` is a setting of its
 * own and never follows from Q.
 *
 * A RUN holds config.json (all sizes, seed_config.c), seed.safetensors under the published names,
 * numbers in the types that they came in, and tokenizer.json. Matrices are kept in memory as
 * `weights` says, never as floats of all of them beside that.
 */
#ifndef MODEL_SEED_H
#define MODEL_SEED_H

#include "common/io/image/image.h"
#include "common/io/safetensors/safetensors.h"
#include "common/kernel/packed.h"
#include "common/nn/nn.h"

#define SEED_WEIGHTS_FILE "seed.safetensors"

/* ---- sizes (seed_config.c) ---- */

typedef enum { SEED_HEAD_NONE, SEED_HEAD_REVERSE, SEED_HEAD_DOWN } seed_head_t;
enum { SEED_LAYERS = 256 /* of each kind, less than that */, SEED_DOWN = 3 };

typedef struct {
    size_t image_size, patch_size; /* pixels on a side */
    size_t vision_width, vision_layers, vision_heads, vision_mlp;
    size_t width, layers, heads, mlp; /* of the Q-Former */
    size_t queries;
    bool causal;
    size_t codes, code_width;
    size_t decode_layers, decode_mlp;           /* blocks_image, `heads` heads */
    size_t reconstruct_layers, reconstruct_mlp; /* blocks, which give the causal embeddings back */
    bool reconstructs;                          /* there are pos_embed and blocks */
    seed_head_t head;
    size_t embedding;                   /* V; 0 without a head */
    size_t reverse_layers, reverse_mlp; /* SEED_HEAD_REVERSE */
    size_t down[SEED_DOWN];             /* SEED_HEAD_DOWN: widths of image_down */
    kern_weights_t weights;             /* how matrices are kept and multiplied */
} seed_config_t;

/* -1 with a reason that names the key: sizes that do not fit each other. */
int seed_config_check(const seed_config_t *c, reason_t *why);
/* config.json, malloc'ed. */
char *seed_config_json(const seed_config_t *c);
/* Reads config.json: every key is needed, no other is allowed. RC_OK, or with a reason RC_DATA (no
 * JSON) or RC_MISFIT. */
int seed_config_parse(seed_config_t *c, const char *text, size_t size, reason_t *why);
/* The same of a file that may leave keys out: those keep their values in c. The members that are
 * there and differ from `c` are refused unless they cannot be seen in tensors' shapes (heads,
 * causal, weights) or leave vision layers away. */
int seed_config_amend(seed_config_t *c, const char *text, size_t size, reason_t *why);
/* "f32", "bf16", "q8"; NULL for others. False: no such name. */
const char *seed_weights_name(kern_weights_t kind);
bool seed_weights_named(const char *name, kern_weights_t *kind);
/* tokenizer.json's parts as canonical JSON, malloc'ed: what decides a code beside the tensors. */
char *seed_quantizer_text(const seed_config_t *c);
char *seed_preprocess_text(const seed_config_t *c);

/* ---- the graph (seed.c): one image at a time, published names ---- */

/* image [1,S,S,3] by mean and deviation -> [1,T,E] behind ln_vision. block: NULL, or
 * [vision_layers]: receives the output of each block. */
var_t seed_see(nn_t *nn, const seed_config_t *c, var_t image, var_t *block);
/* seen [1,T,E] -> causal embeddings [1,Q,D]. layer: NULL, or [layers]. */
var_t seed_query(nn_t *nn, const seed_config_t *c, var_t seen, var_t *layer);
/* Causal embeddings -> [1,Q,C], whose nearest codes count. */
var_t seed_prequant(nn_t *nn, const seed_config_t *c, var_t embeddings);
vq_out_t seed_quantize(nn_t *nn, const seed_config_t *c, var_t prequant);
/* Vectors of codes [1,Q,C] -> [1,Q,D]. */
var_t seed_up(nn_t *nn, const seed_config_t *c, var_t quantized);
/* seed_up's -> decode states [1,Q,D]. block: NULL, or [decode_layers]. */
var_t seed_decode(nn_t *nn, const seed_config_t *c, var_t up, var_t *block);
/* Decode states -> [1,V]; NO_VAR without a head. */
var_t seed_embedding(nn_t *nn, const seed_config_t *c, var_t states);
/* seed_up's -> causal embeddings again [1,Q,D]; NO_VAR where the network does not. */
var_t seed_reconstruct(nn_t *nn, const seed_config_t *c, var_t up);
/* Creates all parameters in p, a sketch or blank. Matrices are apart (params_apart) in the latter,
 * `apart`. */
void seed_declare(params_t *p, const seed_config_t *c, bool apart);

/* ---- published files (seed_files.c) ---- */

/* An open file of the network: the quantizer's, or a ViT's own, whose tensors have no
 * "visual_encoder." before their names (`bare`). A whole ViT has a final norm and blocks that SEED
 * leaves out. */
typedef struct {
    st_file_t file;
    const char *path; /* borrowed */
    bool bare, whole;
    size_t vision_layers; /* a bare file's blocks from this one on are passed over */
} seed_file_t;

/* Opens a safetensors file and sees what it is. -1 with a reason. */
int seed_file_open(seed_file_t *f, const char *path, reason_t *why);
/* The published name of a tensor; false: one to pass over (positions' numbers, and what a whole ViT
 * has behind the blocks that are used). */
bool seed_file_name(const seed_file_t *f, const char *theirs, char *out, size_t size);
/* The tensor of a published name in n files, and the file that holds it; NULL: there is none. */
const st_tensor_t *seed_files_find(seed_file_t *f, size_t n, const char *name, seed_file_t **in);
/* All sizes of the network that n files hold between them, by the shapes of their tensors. Heads
 * are 88 wide in the ViT, 64 elsewhere (0 where that does not divide the width), causal, F32.
 * vision_layers is 0 with a whole ViT: shapes do not say which blocks are used. -1 with a reason: a
 * tensor that sizes are read from is missing or has another rank, or there are two heads. */
int seed_config_infer(seed_config_t *c, seed_file_t *f, size_t n, reason_t *why);

/* ---- weights (seed_weights.c) ---- */

/* Does a tensor decide codes, or only what they become? */
bool seed_decides(const char *name);
/* Checks names, shapes and numbers of n files against p, a sketch. RC_OK, RC_MISFIT, RC_DATA. */
int seed_check_files(params_t *p, seed_file_t *f, size_t n, size_t *ignored, reason_t *why);
/* The fingerprint of checked files. -1 with a reason. */
int seed_fingerprint_files(params_t *p, seed_file_t *f, size_t n, const char *quantizer,
                           const char *preprocess, char hex[33], reason_t *why);
/* Reads the RUN's file into p (blank, declared `apart`) and its packed matrices, and makes the
 * fingerprint. RC_OK, RC_MISFIT, RC_DATA. */
int seed_read_weights(params_t *p, nn_packed_t *packed, const char *path, const char *quantizer,
                      const char *preprocess, char hex[33], reason_t *why);

/* ---- frozen (seed_frozen.c) ---- */

typedef struct seed seed_t;

/* Does the folder hold one? */
bool seed_probe(const char *dir);
/* NULL with *rc and a reason, as vqvae_open. */
seed_t *seed_open(const char *dir, int *rc, reason_t *why);
void seed_free(seed_t *s);
const seed_config_t *seed_config(const seed_t *s);
params_t *seed_params(seed_t *s);
/* Bytes of the weights in memory. */
size_t seed_bytes(const seed_t *s);
const char *seed_fingerprint(const seed_t *s);
const char *seed_quantizer_json(const seed_t *s);
const char *seed_preprocess_json(const seed_t *s);
/* [K,C] */
const float *seed_codebook(seed_t *s);
/* The image as the network sees it: S x S. Thread-safe. */
image_t seed_preprocess(const seed_t *s, const image_t *im);
/* S x S bytes -> [S,S,3] by mean and deviation. */
void seed_pixels(const seed_t *s, const uint8_t *rgb, float *out);
/* Begins a recording over its weights. */
void seed_begin(seed_t *s, nn_t *nn, tape_t *t);
/* Codes [n,Q] of images rgb [n,S,S,3], each alone. */
void seed_encode_images(seed_t *s, const uint8_t *rgb, size_t n, uint32_t *codes);
/* As vqvae_code_gaps. */
void seed_code_gaps(seed_t *s, const uint8_t *rgb, const uint32_t *codes, double *gap);

#endif
