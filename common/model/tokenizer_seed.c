/* tokenizer_seed.c - a SEED RUN (seed.h) as a tokenizer: one row of Q ordered codes for an image of
 * any size. A code's vector is its row of the codebook: all that is decoded from a code is a
 * function of that row. */
#include "common/model/seed.h"
#include "common/model/tokenizer.h"

static const char *const files[] = {"config.json", SEED_WEIGHTS_FILE, "tokenizer.json", NULL};

static void *open_seed(const char *dir, int *rc, reason_t *why) {
    return seed_open(dir, rc, why);
}

static void free_seed(void *self) {
    seed_free(self);
}

static size_t codes(const void *self) {
    return seed_config(self)->codes;
}

static size_t width(const void *self) {
    return seed_config(self)->code_width;
}

static const float *vectors(void *self) {
    return seed_codebook(self);
}

static const char *fingerprint(const void *self) {
    return seed_fingerprint(self);
}

static const char *quantizer_json(const void *self) {
    return seed_quantizer_json(self);
}

static const char *preprocess_json(const void *self) {
    return seed_preprocess_json(self);
}

/* It is always somebody's finished training. */
static void warn_untrained(const void *self, const char *dir) {}

static tokenizer_grid_t grid(const void *self, size_t w, size_t h) {
    const seed_config_t *c = seed_config(self);
    bool fits = w == c->image_size && h == c->image_size;
    return fits ? (tokenizer_grid_t){1, c->queries} : (tokenizer_grid_t){0, 0};
}

static void image_size(const void *self, tokenizer_grid_t g, size_t *w, size_t *h) {
    const seed_config_t *c = seed_config(self);
    bool fits = g.h == 1 && g.w == c->queries;
    *w = *h = fits ? c->image_size : 0;
}

/* 0: the bicubic filter is to see the whole image, not one that was decoded smaller. */
static void preprocess_size(const void *self, size_t *w, size_t *h) {
    *w = *h = 0;
}

static bool preprocess_background(const void *self, uint8_t rgb[3]) {
    return false;
}

static image_t preprocess(const void *self, const image_t *im) {
    return seed_preprocess(self, im);
}

static void encode(void *self, const uint8_t *rgb, size_t n, size_t w, size_t h,
                   uint32_t *numbers) {
    if (!grid(self, w, h).w) BUG("an image of %zu x %zu is not what SEED sees", w, h);
    seed_encode_images(self, rgb, n, numbers);
}

static void code_gaps(void *self, const uint8_t *rgb, size_t w, size_t h, const uint32_t *numbers,
                      double *gap) {
    seed_code_gaps(self, rgb, numbers, gap);
}

const tokenizer_kind_t tokenizer_seed = {.name = "SEED",
                                         .files = files,
                                         .probe = seed_probe,
                                         .open = open_seed,
                                         .free = free_seed,
                                         .codes = codes,
                                         .width = width,
                                         .vectors = vectors,
                                         .fingerprint = fingerprint,
                                         .quantizer_json = quantizer_json,
                                         .preprocess_json = preprocess_json,
                                         .warn_untrained = warn_untrained,
                                         .grid = grid,
                                         .image_size = image_size,
                                         .preprocess_size = preprocess_size,
                                         .preprocess_background = preprocess_background,
                                         .preprocess = preprocess,
                                         .encode = encode,
                                         .code_gaps = code_gaps};
