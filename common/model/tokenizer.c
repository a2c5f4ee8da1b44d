/* tokenizer.c - the families of tokenizers, and the way to the one that a folder holds. */
#include "common/model/tokenizer.h"

#include "common/io/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const tokenizer_kind_t tokenizer_seed, tokenizer_vq;

/* The last one is asked when no other is sure: it says what is missing. */
static const tokenizer_kind_t *const kinds[] = {&tokenizer_seed, &tokenizer_vq};
enum { KINDS = sizeof kinds / sizeof *kinds };

struct tokenizer {
    const tokenizer_kind_t *kind;
    void *self;
};

static const tokenizer_kind_t *kind_in(const char *dir) {
    size_t i = 0;
    while (i + 1 < KINDS && !kinds[i]->probe(dir)) i++;
    return kinds[i];
}

tokenizer_t *tokenizer_open(const char *dir, int *rc, reason_t *why) {
    const tokenizer_kind_t *kind = kind_in(dir);
    void *self = kind->open(dir, rc, why);
    if (!self) return NULL;
    tokenizer_t *t = NEW(tokenizer_t);
    *t = (tokenizer_t){kind, self};
    return t;
}

static bool lists(const tokenizer_kind_t *kind, const char *name) {
    for (const char *const *file = kind->files; *file; file++)
        if (!strcmp(*file, name)) return true;
    return false;
}

/* 0 also when there is no such file. */
static int remove_file(const char *path, reason_t *why) {
    if (!unlink(path) || errno == ENOENT) return 0;
    return reason_set(why, "cannot remove '%s': %s", path, cause_of(errno));
}

/* Removes the files of other families, which would be found first. */
static int clear_others(const tokenizer_kind_t *kind, const char *dir, reason_t *why) {
    int rc = 0;
    for (size_t i = 0; i < KINDS; i++)
        for (const char *const *file = kinds[i]->files; *file && !rc; file++) {
            if (lists(kind, *file)) continue;
            char *path = fs_join(dir, *file);
            rc = remove_file(path, why);
            free(path);
        }
    return rc;
}

int tokenizer_copy(const char *from, const char *to, reason_t *why) {
    const tokenizer_kind_t *kind = kind_in(from);
    int rc = fs_mkdirs(to, why);
    for (const char *const *file = kind->files; *file && !rc; file++) {
        char *source = fs_join(from, *file), *copy = fs_join(to, *file);
        if (fs_exists(source))
            rc = fs_copy(source, copy, why);
        else /* tokenizer.json may be absent: then one that is there is another tokenizer's */
            rc = remove_file(copy, why);
        free(source);
        free(copy);
    }
    return rc ? rc : clear_others(kind, to, why);
}

tokenizer_t *tokenizer_open_or_die(const char *dir) {
    int rc;
    reason_t why;
    tokenizer_t *t = tokenizer_open(dir, &rc, &why);
    if (!t) die(rc, "%s", why.text);
    return t;
}

void tokenizer_free(tokenizer_t *t) {
    if (!t) return;
    t->kind->free(t->self);
    free(t);
}

size_t tokenizer_codes(const tokenizer_t *t) {
    return t->kind->codes(t->self);
}

size_t tokenizer_width(const tokenizer_t *t) {
    return t->kind->width(t->self);
}

const float *tokenizer_vectors(tokenizer_t *t) {
    return t->kind->vectors(t->self);
}

const char *tokenizer_fingerprint(const tokenizer_t *t) {
    return t->kind->fingerprint(t->self);
}

const char *tokenizer_quantizer_json(const tokenizer_t *t) {
    return t->kind->quantizer_json(t->self);
}

const char *tokenizer_preprocess_json(const tokenizer_t *t) {
    return t->kind->preprocess_json(t->self);
}

void tokenizer_warn_untrained(const tokenizer_t *t, const char *dir) {
    t->kind->warn_untrained(t->self, dir);
}

tokenizer_grid_t tokenizer_grid(const tokenizer_t *t, size_t w, size_t h) {
    return t->kind->grid(t->self, w, h);
}

void tokenizer_image_size(const tokenizer_t *t, tokenizer_grid_t grid, size_t *w, size_t *h) {
    t->kind->image_size(t->self, grid, w, h);
}

size_t tokenizer_most_kept(const tokenizer_t *t) {
    return t->kind->most_kept ? t->kind->most_kept(t->self) : 0;
}
void tokenizer_preprocess_size(const tokenizer_t *t, size_t *w, size_t *h) {
    t->kind->preprocess_size(t->self, w, h);
}

bool tokenizer_preprocess_background(const tokenizer_t *t, uint8_t rgb[3]) {
    return t->kind->preprocess_background(t->self, rgb);
}

image_t tokenizer_preprocess(const tokenizer_t *t, const image_t *im) {
    return t->kind->preprocess(t->self, im);
}

void tokenizer_encode(tokenizer_t *t, const uint8_t *rgb, size_t n, size_t w, size_t h,
                      uint32_t *codes) {
    t->kind->encode(t->self, rgb, n, w, h, codes);
}

bool tokenizer_can_decode(const tokenizer_t *t) {
    return t->kind->decode != NULL;
}

void tokenizer_can_decode_or_die(const tokenizer_t *t, const char *dir) {
    if (!tokenizer_can_decode(t))
        die(RC_MISFIT, "'%s': the codes of a %s tokenizer do not become images", dir,
            t->kind->name);
}

void tokenizer_decode(tokenizer_t *t, const uint32_t *codes, size_t n, tokenizer_grid_t grid,
                      uint8_t *rgb) {
    if (!t->kind->decode) BUG("a %s tokenizer is asked for images", t->kind->name);
    t->kind->decode(t->self, codes, n, grid, rgb);
}

void tokenizer_code_gaps(tokenizer_t *t, const uint8_t *rgb, size_t w, size_t h,
                         const uint32_t *codes, double *gap) {
    t->kind->code_gaps(t->self, rgb, w, h, codes, gap);
}
