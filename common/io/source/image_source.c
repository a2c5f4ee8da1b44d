/* image_source.c - what all sources share: the kind is found by asking each, groups, the
 * manifest. The kinds are image_folder.c, image_source_tar.c and image_source_episodes.c.
 */
#include "common/io/source/image_source.h"
#include "common/io/source/image_source_kind.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#define KIND_ROW(name) &image_source_##name,
static const image_source_kind_t *const kinds[] = {IMAGE_SOURCE_KINDS(KIND_ROW)};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- opening ---- */

static const image_source_kind_t *kind_of(const char *spec) {
    for (size_t i = KINDS; i-- > 0;)
        if (kinds[i]->probe(spec)) return kinds[i];
    return NULL;
}

/* "'x' is a file; a folder of images, a WebDataset tar or a Minari dataset folder is needed". */
static void refuse(const char *spec, reason_t *why) {
    struct stat st;
    char list[600] = "";
    if (stat(spec, &st) != 0) {
        reason_set(why, "cannot open '%s': %s", spec, cause_of(errno));
        return;
    }
    for (size_t i = 0, n = 0; i < KINDS && n < sizeof list; i++) {
        const char *separator = i == 0 ? "" : i == KINDS - 1 ? " or " : ", ";
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", separator, kinds[i]->needs);
    }
    reason_set(why, "'%s' is a file; %s is needed", spec, list);
}

/* The option that takes such a source. */
static const char *option(void) {
    return strcmp(die_program(), "vqvae") ? "--in" : "--data";
}

static int no_images(const image_source_t *s, reason_t *why) {
    const source_counts_t *c = &s->counts;
    char formats[400];
    char *tars = s->tars_in ? found_tars(s->tars_in) : NULL;
    if (tars) {
        reason_set(why,
                   "no images found under '%s' (looked for " IMAGE_ENDINGS
                   "), but %zu tar%s: give %s by name, %s '%s'",
                   s->spec, c->tars, c->tars == 1 ? "" : "s", c->tars == 1 ? "it" : "them",
                   option(), tars);
        free(tars);
        return -1;
    }
    found_formats(c, false, formats, sizeof formats);
    return reason_set(why,
                      "no images found under '%s' (looked for " IMAGE_ENDINGS
                      "): %zu other files, %zu of "
                      "unsupported formats, %zu hidden, %zu dangling links, %zu unreadable%s%s",
                      s->spec, c->other_files + c->tars, c->unsupported, c->hidden,
                      c->links_dangling, c->unreadable, *formats ? "; not read: " : "", formats);
}

image_source_t *image_source_open(const char *spec, int *rc, reason_t *why) {
    const image_source_kind_t *kind = kind_of(spec);
    if (!kind) {
        *rc = RC_USAGE;
        refuse(spec, why);
        return NULL;
    }
    image_source_t *s = NEW(image_source_t);
    s->spec = xstrdup(spec);
    s->kind = kind;
    *rc = RC_DATA;
    int failed = kind->open(s, rc, why);
    if (!failed && !s->count) failed = no_images(s, why);
    if (!failed) return s;
    image_source_close(s);
    return NULL;
}

image_source_t *image_source_open_or_die(const char *spec) {
    int rc;
    reason_t why;
    image_source_t *s = image_source_open(spec, &rc, &why);
    if (!s) die(rc, "%s", why.text);
    return s;
}

void image_source_close(image_source_t *s) {
    if (!s) return;
    if (s->self) s->kind->close(s->self);
    free(s->spec);
    free(s->tars_in);
    free(s);
}

/* ---- what it holds ---- */

size_t image_source_count(const image_source_t *s) {
    return s->count;
}
const char *image_source_name(const image_source_t *s) {
    return s->spec;
}
const source_counts_t *image_source_counts(const image_source_t *s) {
    return &s->counts;
}

void image_source_tell(const image_source_t *s) {
    found_tell(s->spec, &s->counts);
}

bool image_source_is_episodes(const image_source_t *s) {
    return s->kind->episodes;
}

const char *image_source_key(const image_source_t *s, size_t i) {
    if (i >= s->count) BUG("item %zu of %zu", i, s->count);
    return s->kind->key(s->self, i);
}

const char *image_source_group(const image_source_t *s, size_t i, split_by_t by, char buf[512]) {
    const char *key = image_source_key(s, i);
    if (!s->kind->episodes) return split_group(key, strlen(key), by, buf);
    const char *step = strrchr(key, '/');
    return split_whole(key, step ? (size_t)(step - key) : strlen(key), buf);
}

image_status_t image_source_read(const image_source_t *s, size_t i, image_t *out,
                                 const image_opts_t *o, reason_t *why) {
    *out = (image_t){0};
    if (i >= s->count) BUG("item %zu of %zu", i, s->count);
    return s->kind->read(s->self, i, out, o, why);
}

bool image_source_stamp(const image_source_t *s, size_t i, uint64_t stamp[2]) {
    if (i >= s->count) BUG("item %zu of %zu", i, s->count);
    return s->kind->stamp && s->kind->stamp(s->self, i, stamp);
}

void stamp_of(uint64_t stamp[2], const char *path, const char *part, const struct stat *st) {
    XXH3_state_t *state = XXH3_createState();
    if (!state) die(RC_RUNTIME, "out of memory (for a hash)");
    int64_t numbers[] = {(int64_t)st->st_size, st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
                         st->st_ctim.tv_sec, st->st_ctim.tv_nsec};
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, path, strlen(path) + 1);
    XXH3_128bits_update(state, part, strlen(part) + 1);
    XXH3_128bits_update(state, numbers, sizeof numbers);
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    stamp[0] = hash.low64;
    stamp[1] = hash.high64;
}

int image_source_words(const image_source_t *s, size_t i, words_t *out, reason_t *why) {
    *out = (words_t){0};
    if (i >= s->count) BUG("item %zu of %zu", i, s->count);
    return s->kind->words ? s->kind->words(s->self, i, out, why) : 0;
}

bool image_source_has_words(const image_source_t *s) {
    return s->kind->words != NULL;
}

uint64_t image_source_manifest(const image_source_t *s) {
    XXH64_state_t *state = XXH64_createState();
    if (!state) die(RC_RUNTIME, "out of memory (for a hash)");
    XXH64_reset(state, s->stamp);
    for (size_t i = 0; i < s->count; i++) {
        const char *key = image_source_key(s, i);
        uint64_t size = s->kind->size(s->self, i);
        XXH64_update(state, key, strlen(key) + 1);
        XXH64_update(state, &size, sizeof size);
    }
    uint64_t hash = XXH64_digest(state);
    XXH64_freeState(state);
    return hash;
}
