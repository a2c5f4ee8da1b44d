/* reencode.c - see reencode.h. */
#include "tokenize/reencode.h"

#include "common/io/episodes/episode_source.h"
#include "common/io/fs.h"
#include "common/io/source/image_source.h"
#include "common/io/text/json.h"
#include "tokenize/encoder.h"
#include "tokenize/episode_fields.h"
#include "tokenize/window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 32 };

typedef struct {
    reencode_t *a;
    image_opts_t opts;
    size_t frames; /* of an episode, and how they were chosen */
    take_t take;
    bool captions;   /* images of `tokenize text`: files under their keys */
    char *obs, *act; /* which parts of an episode were taken, NULL = by themselves */
    /* where images come from, by what the shard holds */
    image_source_t *source;
    size_t cursor;
    episode_source_t *m;
    episode_fields_t spaces;
    recorded_episode_t episode;
    long long loaded;
    /* the batch */
    encoded_t image[BATCH];
    uint32_t *codes[BATCH]; /* stored */
    size_t n;
} rerun_t;

static char *string_of(const cJSON *args, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(args, key);
    return cJSON_IsString(item) ? xstrdup(item->valuestring) : NULL;
}

/* The options the images were decoded with. */
static void take_options(rerun_t *s, const shard_meta_t *m) {
    image_opts_t o = image_opts_default();
    cJSON *args = m->arguments ? json_parse(m->arguments, strlen(m->arguments), false, NULL) : NULL;
    const cJSON *b = cJSON_GetObjectItemCaseSensitive(args, "background");
    uint64_t v;
    for (int i = 0; i < 3; i++)
        if (json_u64(cJSON_GetArrayItem(b, i), &v) && v < 256) o.background[i] = (uint8_t)v;
    o.lenient = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, "lenient"));
    o.no_exif = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, "no_exif"));
    if (json_u64(cJSON_GetObjectItemCaseSensitive(args, "max_pixels"), &v)) o.max_pixels = v;
    if (json_u64(cJSON_GetObjectItemCaseSensitive(args, "frames"), &v)) s->frames = (size_t)v;
    const char *command = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(args, "command"));
    s->captions = command && !strcmp(command, "text");
    s->take = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, "head"))     ? TAKE_HEAD
              : cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, "spread")) ? TAKE_SPREAD
                                                                               : TAKE_WINDOW;
    encoder_want(s->a->tokenizer, &o);
    s->obs = string_of(args, "obs");
    s->act = string_of(args, "act");
    s->opts = o;
    cJSON_Delete(args);
}

static void open_source(rerun_t *s) {
    reencode_t *a = s->a;
    if (!a->in) return;
    if (s->captions) return;
    if (!token_db_meta(a->db)->episodes) {
        s->source = image_source_open_or_die(a->in);
        return;
    }
    s->m = episode_source_open_or_die(a->in);
    episode_source_lenient(s->m, s->opts.lenient);
    episode_fields_init(&s->spaces, s->m, a->in, s->obs, s->act);
    if (s->spaces.image < 0) die(RC_MISFIT, "'%s' has no images among its observations", a->in);
}

static _Noreturn void fail(const reencode_t *a, const token_record_t *r, const char *reason) {
    die(RC_DATA, "'%s': '%.*s': %s", a->in ? a->in : a->path, (int)r->key_len, r->key, reason);
}

static image_t from_pixels(const rerun_t *s, const token_record_t *r, size_t t) {
    const reencode_t *a = s->a;
    const uint8_t *at = r->pixels;
    image_t im = {0};
    reason_t why;
    if (!at) fail(a, r, "keeps no pixels");
    for (size_t k = 0; k < t; k++) at += r->pixel_size[k];
    if (image_decode(&im, at, r->pixel_size[t], &s->opts, &why) != IMAGE_OK) fail(a, r, why.text);
    return im;
}

/* Records stand in the order of the source: one pass over its keys finds them all. */
static image_t from_source(rerun_t *s, const token_record_t *r) {
    size_t n = image_source_count(s->source);
    image_t im = {0};
    reason_t why;
    for (; s->cursor < n; s->cursor++) {
        const char *key = image_source_key(s->source, s->cursor);
        if (strlen(key) == r->key_len && !memcmp(key, r->key, r->key_len)) break;
    }
    if (s->cursor == n) fail(s->a, r, "is not there any more");
    if (image_source_read(s->source, s->cursor, &im, &s->opts, &why) != IMAGE_OK)
        fail(s->a, r, why.text);
    return im;
}

static image_t from_file(const rerun_t *s, const token_record_t *r) {
    image_t im = {0};
    reason_t why;
    char *key = xasprintf("%.*s", (int)r->key_len, r->key),
         *path = *key == '/' ? xstrdup(key) : fs_join(s->a->in, key);
    if (image_read(&im, path, &s->opts, &why) != IMAGE_OK) fail(s->a, r, why.text);
    free(key);
    free(path);
    return im;
}

static image_t from_dataset(rerun_t *s, const token_record_t *r, size_t t) {
    long long number;
    char key[64];
    reason_t why;
    snprintf(key, sizeof key, "%.*s", (int)(r->key_len < 63 ? r->key_len : 63), r->key);
    if (sscanf(key, "episode_%lld", &number) != 1 || number < 0 ||
        (uint64_t)number >= episode_source_count(s->m))
        fail(s->a, r, "is not there any more");
    if (s->loaded != number) {
        if (s->loaded >= 0) recorded_episode_release(&s->episode);
        s->loaded = -1;
        if (episode_source_read(s->m, (size_t)number, &s->episode, &why)) fail(s->a, r, why.text);
        s->loaded = number;
    }
    size_t *step = xcalloc(s->episode.T + 1, sizeof *step);
    size_t n = window_steps(key, s->episode.T, s->frames, s->take, step), at = step[t < n ? t : 0];
    bool same = n == r->T && step[0] == r->first_step;
    free(step);
    if (!same) fail(s->a, r, "has another number of steps now");
    return episode_fields_frame(&s->spaces, &s->episode, at);
}

/* A code that came out otherwise may be a near tie that another machine's rounding decides. */
static void measure(reencode_t *a, const encoded_t *p, const uint32_t *stored) {
    size_t grid = (size_t)p->grid_h * p->grid_w;
    double *gap = xmalloc(grid * sizeof *gap);
    tokenizer_code_gaps(a->tokenizer, p->im.rgb, p->im.w, p->im.h, stored, gap);
    for (size_t k = 0; k < grid; k++)
        if (p->codes[k] != stored[k] && gap[k] > a->gap) a->gap = gap[k];
    free(gap);
}

static void compare(rerun_t *s) {
    encoder_t e = {s->a->tokenizer, BATCH, false};
    encoder_run(&e, s->image, s->n);
    for (size_t i = 0; i < s->n; i++) {
        const encoded_t *p = &s->image[i];
        size_t grid = (size_t)p->grid_h * p->grid_w;
        size_t different = 0;
        for (size_t k = 0; k < grid; k++) different += p->codes[k] != s->codes[i][k];
        if (different) measure(s->a, p, s->codes[i]);
        s->a->different += different;
        s->a->codes += grid;
        free(s->codes[i]);
        encoded_release(&s->image[i]);
    }
    s->a->images += s->n;
    s->n = 0;
}

static void add(rerun_t *s, const token_record_t *r, size_t t) {
    reencode_t *a = s->a;
    size_t grid = (size_t)r->grid_h * r->grid_w, w, h;
    tokenizer_image_size(a->tokenizer, (tokenizer_grid_t){r->grid_h, r->grid_w}, &w, &h);
    encoded_t *p = &s->image[s->n];
    *p = (encoded_t){.im = !a->in        ? from_pixels(s, r, t)
                           : s->captions ? from_file(s, r)
                           : s->m        ? from_dataset(s, r, t)
                                         : from_source(s, r)};
    if (a->in)
        encoder_prepare(&(encoder_t){.tokenizer = a->tokenizer},
                        p); /* kept pixels are what the encoder saw */
    if (p->im.w != w || p->im.h != h) fail(a, r, "has another size now");
    s->codes[s->n] =
        memcpy(xmalloc(grid * sizeof(uint32_t)), r->codes + t * grid, grid * sizeof(uint32_t));
    if (++s->n == BATCH) compare(s);
}

/* Is image i of n one of `sample`, spread evenly? */
static bool chosen(uint64_t i, uint64_t n, uint64_t sample) {
    if (!sample || sample >= n) return true;
    unsigned __int128 a = (unsigned __int128)i * sample, b = a + sample;
    return (uint64_t)(a / n) != (uint64_t)(b / n);
}

void reencode_run(reencode_t *a) {
    rerun_t s = {.a = a, .loaded = -1};
    uint64_t n = token_db_meta(a->db)->images, number = 0;
    take_options(&s, token_db_meta(a->db));
    open_source(&s);
    for (uint64_t i = 0; i < token_db_count(a->db); i++) {
        token_record_t r;
        reason_t why;
        if (token_db_get(a->db, i, &r, &why)) die(RC_DATA, "%s", why.text);
        for (size_t t = 0; r.codes && t < r.T; t++)
            if (chosen(number++, n, a->sample)) add(&s, &r, t);
        token_record_release(&r);
    }
    compare(&s);
    if (s.loaded >= 0) recorded_episode_release(&s.episode);
    if (s.m) episode_fields_release(&s.spaces);
    free(s.obs);
    free(s.act);
    episode_source_close(s.m);
    image_source_close(s.source);
}
