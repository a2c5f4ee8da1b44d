/* data_cache.c - see data_cache.h. */
#include "vqvae/data_cache.h"

#include "common/base/log.h"
#include "common/base/memory.h"
#include "vqvae/cache_file.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct data_cache {
    uint64_t budget, rule[2];
    cache_file_t *file; /* NULL = none */
    atomic_uint_fast64_t used;
    atomic_bool full;             /* an image found no room: no other one is tried */
    atomic_size_t decoded_always; /* images that found no room */
};

/* ---- opening ---- */

/* A hash of all that decides what data_prepare leaves of a file. */
static void rule_of(const data_t *d, uint64_t rule[2]) {
    char version[100];
    const image_opts_t *o = &d->crop_opts;
    const char *form = d->config.data.crop == CROP_CENTER ? "fitted to" : "reduced for";
    char *text = xasprintf("%s %zu x %zu, wanted %zu x %zu, background %d %d %d, at most %llu, "
                           "lenient %d, decoders %s",
                           form, d->w, d->h, o->want_w, o->want_h, o->background[0],
                           o->background[1], o->background[2], (unsigned long long)o->max_pixels,
                           o->lenient, image_pixels_version(version));
    XXH128_hash_t hash = XXH3_128bits(text, strlen(text));
    rule[0] = hash.low64;
    rule[1] = hash.high64;
    free(text);
}

data_cache_t *data_cache_open(const data_t *d) {
    data_cache_t *c = NEW(data_cache_t);
    double share = d->config.data.cache;
    const char *path = d->config.data.cache_file;
    int rc;
    reason_t why;
    /* Below 1 a share of what is free, from 1 on megabytes. */
    if (share < 1)
        c->budget = (uint64_t)(share * (double)memory_available(""));
    else
        c->budget = (uint64_t)(share * (1 << 20));
    rule_of(d, c->rule);
    if (*path) {
        c->file = cache_file_open(path, &rc, &why);
        if (!c->file) die(rc, "data.cache_file: %s", why.text);
    }
    return c;
}

void data_cache_close(data_cache_t *c) {
    if (!c) return;
    cache_file_close(c->file);
    free(c);
}

void data_cache_add_source(data_source_t *s) {
    if (!s->frames) s->kept = xcalloc(image_source_count(s->source), sizeof *s->kept);
}

/* What an item is now; false when nobody can tell. */
static bool key_of(const data_cache_t *c, const data_source_t *s, size_t i, uint64_t key[2]) {
    uint64_t both[4] = {c->rule[0], c->rule[1]};
    if (!image_source_stamp(s->source, i, both + 2)) return false;
    XXH128_hash_t hash = XXH3_128bits(both, sizeof both);
    key[0] = hash.low64;
    key[1] = hash.high64;
    return true;
}

/* ---- filling ---- */

/* Takes room in memory for an image; false when there is not enough. */
static bool take_room(data_cache_t *c, const image_t *im) {
    enum { OVERHEAD = 16 }; /* of an allocation */
    uint64_t bytes = im->w * im->h * 3 + OVERHEAD;
    if (atomic_load(&c->full)) return false;
    if (atomic_fetch_add(&c->used, bytes) + bytes <= c->budget) return true;
    atomic_fetch_sub(&c->used, bytes);
    atomic_store(&c->full, true);
    return false;
}

/* Owns *im from now on. */
static void keep(data_cache_t *c, data_kept_t *kept, image_t *im, bool in_file) {
    bool in_memory = take_room(c, im);
    kept->in_file = in_file;
    if (in_memory)
        kept->im = *im;
    else
        image_release(im);
    if (!in_memory && !in_file) atomic_fetch_add(&c->decoded_always, 1);
}

image_status_t data_cache_fill(const data_t *d, data_source_t *s, size_t i, reason_t *why) {
    data_cache_t *c = d->cache;
    image_t im = {0};
    unsigned noticed;
    bool known = key_of(c, s, i, s->kept[i].key); /* before it is read: a later change shows */
    if (known && c->file && cache_file_get(c->file, s->kept[i].key, &im, &noticed)) {
        image_notes_add(d->crop_opts.notes, noticed);
        keep(c, &s->kept[i], &im, true);
        return IMAGE_OK;
    }
    image_notes_t notes = {0};
    image_opts_t opts = d->crop_opts;
    opts.notes = &notes;
    image_status_t status = image_source_read(s->source, i, &im, &opts, why);
    if (status != IMAGE_OK) return status;
    noticed = image_notes_set(&notes);
    image_notes_add(d->crop_opts.notes, noticed);
    if (!known || (!c->file && atomic_load(&c->full))) {
        image_release(&im);
        if (known) atomic_fetch_add(&c->decoded_always, 1);
        return IMAGE_OK;
    }
    data_prepare(d, &im);
    if (c->file) cache_file_put(c->file, s->kept[i].key, &im, noticed);
    keep(c, &s->kept[i], &im, c->file != NULL);
    return IMAGE_OK;
}

void data_cache_filled(const data_t *d) {
    data_cache_t *c = d->cache;
    size_t always = atomic_load(&c->decoded_always), added;
    char size[32];
    if (c->file) {
        cache_file_flush(c->file);
        size_t images = cache_file_count(c->file, &added);
        log_line("'%s': %zu images, %zu of them new", d->config.data.cache_file, images, added);
    } else if (always && c->budget) {
        log_line("%s of memory (data.cache) hold all but %zu images, which are decoded for every "
                 "sample; --set data.cache_file=F keeps all in a file",
                 log_bytes(size, (double)c->budget), always);
    }
}

/* ---- reading ---- */

const image_t *data_cache_get(const data_t *d, const data_source_t *s, size_t i, image_t *own) {
    uint64_t key[2];
    unsigned noticed;
    if (!s->kept) return NULL;
    const data_kept_t *kept = &s->kept[i];
    if (!kept->im.rgb && !kept->in_file) return NULL;
    if (!key_of(d->cache, s, i, key) || key[0] != kept->key[0] || key[1] != kept->key[1])
        return NULL;
    if (kept->im.rgb) return &kept->im;
    return cache_file_get(d->cache->file, key, own, &noticed) ? own : NULL;
}
