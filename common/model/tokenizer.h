/* tokenizer.h - a frozen image tokenizer, whatever made it: image -> codes, codes ->
 * vectors, codes -> image. tokenize, gato and others that only use tokens know no more than this.
 *
 *     int rc;
 *     reason_t why;
 *     tokenizer_t *t = tokenizer_open("run", &rc, &why);
 *     if (!t) die(rc, "%s", why.text);
 *     image_t ready = tokenizer_preprocess(t, &image);
 *     tokenizer_grid_t grid = tokenizer_grid(t, ready.w, ready.h);
 *     uint32_t *codes = xcalloc(grid.h * grid.w, sizeof *codes);
 *     tokenizer_encode(t, ready.rgb, 1, ready.w, ready.h, codes);
 *
 * Families are rows of a table (tokenizer_kind_t), one file each, found by probing the folder:
 * tokenizer_vq.c reads diffusers' VQModel folders, tokenizer_seed.c SEED's. An image's codes
 * depend on that image alone.
 * Some families do not turn codes into images: ask tokenizer_can_decode before work begins.
 */
#ifndef MODEL_TOKENIZER_H
#define MODEL_TOKENIZER_H

#include "common/base/die.h"
#include "common/io/image/image.h"

typedef struct tokenizer tokenizer_t;

/* Codes of an image: h rows of w. */
typedef struct {
    size_t h, w;
} tokenizer_grid_t;

/* What a family is. `self` is what its open returned. Shapes and errors as in the functions below,
 * which pass their arguments on. */
typedef struct {
    const char *name;
    /* The folder's files for use, NULL behind the last. */
    const char *const *files;
    /* Does the folder hold one of these? Looks, and opens nothing for good. */
    bool (*probe)(const char *dir);
    void *(*open)(const char *dir, int *rc, reason_t *why);
    void (*free)(void *self);
    size_t (*codes)(const void *self);
    size_t (*width)(const void *self);
    const float *(*vectors)(void *self);
    const char *(*fingerprint)(const void *self);
    const char *(*quantizer_json)(const void *self);
    const char *(*preprocess_json)(const void *self);
    void (*warn_untrained)(const void *self, const char *dir);
    tokenizer_grid_t (*grid)(const void *self, size_t w, size_t h);
    void (*image_size)(const void *self, tokenizer_grid_t grid, size_t *w, size_t *h);
    size_t (*most_kept)(const void *self); /* NULL: 0 */
    void (*preprocess_size)(const void *self, size_t *w, size_t *h);
    bool (*preprocess_background)(const void *self, uint8_t rgb[3]);
    image_t (*preprocess)(const void *self, const image_t *im);
    void (*encode)(void *self, const uint8_t *rgb, size_t n, size_t w, size_t h, uint32_t *codes);
    /* NULL: its codes do not become images. */
    void (*decode)(void *self, const uint32_t *codes, size_t n, tokenizer_grid_t grid,
                   uint8_t *rgb);
    void (*code_gaps)(void *self, const uint8_t *rgb, size_t w, size_t h, const uint32_t *codes,
                      double *gap);
} tokenizer_kind_t;

/* The tokenizer of a RUN folder. NULL with *rc and a reason: RC_USAGE when `dir` holds none,
 * RC_DATA when it is corrupt, RC_MISFIT when its parts do not fit each other. */
tokenizer_t *tokenizer_open(const char *dir, int *rc, reason_t *why);
/* For programs: die()s instead. */
tokenizer_t *tokenizer_open_or_die(const char *dir);
void tokenizer_free(tokenizer_t *t);
/* Copies the tokenizer of a folder to another, which is made if need be and holds no other one
 * afterwards. 0, or -1 with a reason. */
int tokenizer_copy(const char *from, const char *to, reason_t *why);

/* Number K of codes, and width D of a code's vector. */
size_t tokenizer_codes(const tokenizer_t *t);
size_t tokenizer_width(const tokenizer_t *t);
/* [K,D]: what the decoder sees of each code. Owned by t. */
const float *tokenizer_vectors(tokenizer_t *t);
/* 32 hex digits over everything that decides a code. */
const char *tokenizer_fingerprint(const tokenizer_t *t);
/* Canonical JSON of tokenizer.json. */
const char *tokenizer_quantizer_json(const tokenizer_t *t);
const char *tokenizer_preprocess_json(const tokenizer_t *t);

/* Warns, naming `dir`, when its training stopped before the codes were learned. */
void tokenizer_warn_untrained(const tokenizer_t *t, const char *dir);

/* The codes of an image of w x h as the encoder sees it (0 x 0: there is no such image), and the
 * size of the image that a grid of codes becomes. */
tokenizer_grid_t tokenizer_grid(const tokenizer_t *t, size_t w, size_t h);
void tokenizer_image_size(const tokenizer_t *t, tokenizer_grid_t grid, size_t *w, size_t *h);

/* Of a tokenizer whose codes are ordered: how many an image has; any first k of them, a grid of
 * 1 x k, are an image too. 0: all codes are needed. */
size_t tokenizer_most_kept(const tokenizer_t *t);

/* The size that images are fitted to; 0 = native, or whole images are wanted all the same. */
void tokenizer_preprocess_size(const tokenizer_t *t, size_t *w, size_t *h);
/* What stands behind transparent images: false, and rgb as it was, when nothing is said. */
bool tokenizer_preprocess_background(const tokenizer_t *t, uint8_t rgb[3]);
/* The image as the encoder sees it. Thread-safe. */
image_t tokenizer_preprocess(const tokenizer_t *t, const image_t *im);

/* Codes [n, grid] of n prepared images of one size, rgb [n,h,w,3]. */
void tokenizer_encode(tokenizer_t *t, const uint8_t *rgb, size_t n, size_t w, size_t h,
                      uint32_t *codes);
/* Do codes become images? */
bool tokenizer_can_decode(const tokenizer_t *t);
/* For programs: die()s (RC_MISFIT), naming the folder, if they do not. */
void tokenizer_can_decode_or_die(const tokenizer_t *t, const char *dir);
/* Images [n,h,w,3] of n grids of codes. BUG: a tokenizer that cannot. */
void tokenizer_decode(tokenizer_t *t, const uint32_t *codes, size_t n, tokenizer_grid_t grid,
                      uint8_t *rgb);
/* For codes made elsewhere: how much further codes[i] of one image is from what the encoder says
 * than the nearest code, (d - d_min) / d_min of squared distances, gap [grid]. */
void tokenizer_code_gaps(tokenizer_t *t, const uint8_t *rgb, size_t w, size_t h,
                         const uint32_t *codes, double *gap);

#endif
