/* data.c - the sources of images: opened, checked, split, read; see data.h. */
#include "vqvae/data.h"

#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "vqvae/data_cache.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* A dataset whose frames take less, decoded, is read as a whole when it is opened: it will be
 * kept. */
static const size_t small_dataset = (size_t)256 << 20;

/* ---- opening ---- */

typedef struct {
    data_t *d;
    data_source_t *s;
    bad_items_t *bad;
    bool *good;
    size_t *index; /* of the good ones */
} scan_t;

static void scan_item(void *ctx, size_t i) {
    scan_t *c = ctx;
    reason_t why;
    image_status_t status = data_cache_fill(c->d, c->s, i, &why);
    c->good[i] = status == IMAGE_OK;
    if (!c->good[i])
        bad_items_add(c->bad, image_source_name(c->s->source), image_source_key(c->s->source, i),
                      why.text, status == IMAGE_UNSUPPORTED);
}

/* "episode_3" of frame i. */
static const char *episode_of(const data_source_t *s, size_t i, char buf[512]) {
    return image_source_group(s->source, i, SPLIT_EPISODE, buf);
}

/* Frames are read by the episode: the first one's verdict is that of all. */
static void scan_episodes(scan_t *c, size_t n) {
    char name[512], other[512];
    bool small = true;
    for (size_t i = 0, end; i < n; i = end) {
        image_t im = {0};
        reason_t why;
        bool good = true;
        episode_of(c->s, i, name);
        end = i + 1;
        while (end < n && !strcmp(name, episode_of(c->s, end, other))) end++;
        c->s->n_episodes++;
        if (small && image_source_read(c->s->source, i, &im, &c->d->opts, &why) != IMAGE_OK) {
            bad_items_add(c->bad, image_source_name(c->s->source), name, why.text, false);
            good = false;
        }
        if (good && small) small = n <= small_dataset / (3 * im.w * im.h);
        memset(c->good + i, good, end - i);
        image_release(&im);
    }
}

static const char *item_group(void *ctx, size_t i, char buf[512]) {
    const scan_t *c = ctx;
    return image_source_group(c->s->source, c->index[i], (split_by_t)c->d->config.data.split_by,
                              buf);
}

static const char *item_key(void *ctx, size_t i, char buf[512]) {
    const scan_t *c = ctx;
    (void)buf;
    return image_source_key(c->s->source, c->index[i]);
}

static void split_source(scan_t *c, size_t n) {
    data_source_t *s = c->s;
    size_t good = 0;
    c->index = xcalloc(n, sizeof *c->index);
    for (size_t i = 0; i < n; i++)
        if (c->good[i]) c->index[good++] = i;
    bool *held = xcalloc(good, sizeof *held);
    split_items(good, c->d->config.data.holdout, item_group, item_key, c, held);
    s->train = xcalloc(good, sizeof *s->train);
    s->held_out = xcalloc(good, sizeof *s->held_out);
    for (size_t i = 0; i < good; i++) {
        if (held[i])
            s->held_out[s->n_held_out++] = c->index[i];
        else
            s->train[s->n_train++] = c->index[i];
    }
    if (!s->n_train)
        die(RC_DATA, "'%s': none of its images can be read", image_source_name(s->source));
    free(held);
    free(c->index);
}

static void open_source(data_t *d, data_source_t *s, const char *spec, double max_bad) {
    char *path;
    s->weight = source_spec_split(spec, &path);
    s->source = image_source_open_or_die(path);
    image_source_tell(s->source);
    size_t n = image_source_count(s->source);
    scan_t c = {.d = d, .s = s, .bad = bad_items_new(max_bad), .good = xcalloc(n, sizeof(bool))};
    s->frames = image_source_is_episodes(s->source);
    data_cache_add_source(s);
    s->lost_episodes = bad_items_new(max_bad);
    if (s->frames)
        scan_episodes(&c, n);
    else
        parallel_for(n, scan_item, &c);
    bad_items_summary(c.bad);
    bad_items_check(c.bad, s->frames ? s->n_episodes : n);
    s->n_bad = bad_items_count(c.bad);
    split_source(&c, n);
    bad_items_free(c.bad);
    free(c.good);
    free(path);
}

/* d->opts and d->crop_opts: of a crop as much must be left as of the whole. */
static void set_options(data_t *d, uint64_t max_pixels, bool lenient) {
    double part = d->config.data.crop == CROP_RANDOM ? 0.8 : 1;
    if (d->config.data.crop == CROP_RESIZED) {
        const double *ratio = d->config.data.crop_ratio.v;
        double narrow = fmin(1, fmin(ratio[0], 1 / ratio[1])); /* of the narrowest crop's sides */
        part = sqrt(d->config.data.crop_scale.v[0] * narrow);
    }
    d->opts = config_image_opts(&d->config, max_pixels);
    d->opts.lenient = lenient;
    d->opts.notes = &d->notes;
    d->opts.want_w = d->w;
    d->opts.want_h = d->h;
    d->crop_opts = d->opts;
    d->crop_opts.want_w = (size_t)ceil((double)d->w / part);
    d->crop_opts.want_h = (size_t)ceil((double)d->h / part);
}

data_t *data_open(const cli_list_t *specs, const config_t *c, uint64_t seed, double max_bad,
                  uint64_t max_pixels, bool lenient) {
    data_t *d = NEW(data_t);
    d->config = *c;
    d->seed = seed;
    d->lost = bad_items_new(1);
    config_size(c, &d->w, &d->h);
    set_options(d, max_pixels, lenient);
    d->cache = data_cache_open(d);
    d->n = specs->n;
    d->source = xcalloc(d->n, sizeof *d->source);
    double sum = 0;
    for (size_t i = 0; i < d->n; i++) {
        open_source(d, &d->source[i], specs->item[i], max_bad);
        sum += d->source[i].weight;
    }
    for (size_t i = 0; i < d->n; i++) d->source[i].weight /= sum;
    image_notes_summary(&d->notes);
    d->opts.notes = d->crop_opts.notes = NULL; /* each file was seen once */
    data_cache_filled(d);
    return d;
}

void data_refuse_out(const cli_list_t *specs, const char *out) {
    for (size_t i = 0; i < specs->n; i++) {
        char *path;
        source_spec_split(specs->item[i], &path);
        if (fs_same(path, out))
            die(RC_USAGE, "'%s' is the folder of the images; --out must be another folder", out);
        free(path);
    }
}

void data_summary(const data_t *d) {
    bad_items_summary(d->lost);
    for (size_t i = 0; i < d->n; i++) bad_items_summary(d->source[i].lost_episodes);
}

void data_close(data_t *d) {
    if (!d) return;
    bad_items_free(d->lost);
    for (size_t i = 0; i < d->n; i++) {
        bad_items_free(d->source[i].lost_episodes);
        free(d->source[i].train);
        free(d->source[i].held_out);
        free(d->source[i].median);
        for (size_t k = 0; d->source[i].kept && k < image_source_count(d->source[i].source); k++)
            image_release(&d->source[i].kept[k].im);
        free(d->source[i].kept);
        image_source_close(d->source[i].source);
    }
    data_cache_close(d->cache);
    free(d->source);
    free(d);
}

uint64_t data_manifest(const data_t *d) {
    uint64_t h = 0;
    for (size_t i = 0; i < d->n; i++) {
        uint64_t part[2] = {h, image_source_manifest(d->source[i].source)};
        h = XXH64(part, sizeof part, 0);
    }
    uint64_t lenient = 1; /* what was left out without it is there with it */
    return d->opts.lenient ? XXH64(&lenient, sizeof lenient, h) : h;
}

/* ---- reading ---- */

/* Decodes an item that opened well before; the world may have changed since. False when it cannot
 * be read any more, as data_take. */
static bool decode(const data_t *d, const data_source_t *s, size_t item, const image_opts_t *opts,
                   image_t *im) {
    reason_t why;
    if (image_source_read(s->source, item, im, opts, &why) == IMAGE_OK) return true;
    if (s->frames) {
        char name[512];
        bad_items_add(s->lost_episodes, image_source_name(s->source), episode_of(s, item, name),
                      why.text, false);
        bad_items_check(s->lost_episodes, s->n_episodes);
    } else {
        bad_items_add(d->lost, image_source_name(s->source), image_source_key(s->source, item),
                      why.text, false);
    }
    return false;
}

static void replace(image_t *im, image_t by) {
    image_release(im);
    *im = by;
}

void data_prepare(const data_t *d, image_t *im) {
    if (d->config.data.crop != CROP_CENTER)
        image_reduce(im, d->crop_opts.want_w, d->crop_opts.want_h);
    else if (im->w != d->w || im->h != d->h)
        replace(im, image_fit(im, d->w, d->h));
}

const image_t *data_take(const data_t *d, const data_source_t *s, size_t item, image_t *own) {
    *own = (image_t){0};
    const image_t *kept = data_cache_get(d, s, item, own);
    if (kept) return kept;
    if (!decode(d, s, item, &d->crop_opts, own)) return NULL;
    data_prepare(d, own);
    return own;
}

void data_fit(const data_t *d, const image_t *im, uint8_t *rgb) {
    image_t fitted = im->w == d->w && im->h == d->h ? *im : image_fit(im, d->w, d->h);
    memcpy(rgb, fitted.rgb, d->w * d->h * 3);
    if (fitted.rgb != im->rgb) image_release(&fitted);
}

bool data_read(const data_t *d, const data_source_t *s, size_t item, uint8_t *rgb) {
    image_t own = {0};
    const image_t *im = NULL;
    if (d->config.data.crop == CROP_CENTER)
        im = data_take(d, s, item, &own);
    else if (decode(d, s, item, &d->opts, &own))
        im = &own;
    if (im) data_fit(d, im, rgb);
    image_release(&own);
    return im != NULL;
}

_Noreturn void data_die_lost(const data_source_t *s) {
    die(RC_DATA, "'%s': %d images in a row cannot be read any more", image_source_name(s->source),
        DATA_LOST_IN_A_ROW);
}

size_t data_count(const data_source_t *s, split_t split) {
    if (split == SPLIT_TRAIN) return s->n_train;
    if (split == SPLIT_VAL) return s->n_held_out;
    return s->n_train + s->n_held_out;
}

size_t data_say_empty(const data_t *d, split_t split) {
    double holdout = d->config.data.holdout;
    size_t total = 0;
    for (size_t i = 0; i < d->n; i++) {
        const data_source_t *s = &d->source[i];
        size_t n = data_count(s, split);
        total += n;
        if (!n)
            warn("nothing is held out of '%s' (data.holdout = %g, %zu images): --split all "
                 "takes what there is%s",
                 image_source_name(s->source), holdout, data_count(s, SPLIT_ALL),
                 holdout > 0 ? "" : ", --set data.holdout=F holds out a share");
    }
    return total;
}

size_t data_item(const data_source_t *s, split_t split, size_t i) {
    if (split == SPLIT_VAL) return s->held_out[i];
    return i < s->n_train ? s->train[i] : s->held_out[i - s->n_train];
}
