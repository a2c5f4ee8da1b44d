/* data.c - see data.h. */
#include "vqvae/data.h"

#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/base/rng.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* A dataset whose frames take less, decoded, is read as a whole when it is opened: it will be
 * kept. */
static const size_t small_dataset = (size_t)256 << 20;

enum { MEDIAN_SAMPLES = 101, FOCUS_DIFFERENCE = 16, LOST_IN_A_ROW = 64 };

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
    image_t im = {0};
    reason_t why;
    image_status_t status = image_source_read(c->s->source, i, &im, &c->d->opts, &why);
    c->good[i] = status == IMAGE_OK;
    if (!c->good[i])
        bad_items_add(c->bad, image_source_name(c->s->source), image_source_key(c->s->source, i),
                      why.text, status == IMAGE_UNSUPPORTED);
    image_release(&im);
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
        for (end = i + 1; end < n && !strcmp(name, episode_of(c->s, end, other));) end++;
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
    scan_t c = {d, s, bad_items_new(max_bad), xcalloc(n, sizeof(bool)), NULL};
    s->frames = image_source_is_episodes(s->source);
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

/* What a giant may be shrunk to: of a crop as much must be left as of the whole. */
static void want(data_t *d) {
    double part = d->config.data.crop == CROP_RANDOM ? 0.8 : 1;
    if (d->config.data.crop == CROP_RESIZED) part = sqrt(d->config.data.crop_scale.v[0]);
    if (part < 0.125) part = 0.125;
    d->opts.want_w = (size_t)ceil((double)d->w / part);
    d->opts.want_h = (size_t)ceil((double)d->h / part);
}

data_t *data_open(const cli_list_t *specs, const config_t *c, uint64_t seed, double max_bad,
                  uint64_t max_pixels, bool lenient) {
    data_t *d = NEW(data_t);
    d->config = *c;
    d->seed = seed;
    d->opts = config_image_opts(c, max_pixels);
    d->opts.lenient = lenient;
    d->opts.notes = &d->notes;
    d->lost = bad_items_new(1);
    config_size(c, &d->w, &d->h);
    want(d);
    d->n = specs->n;
    d->source = xcalloc(d->n, sizeof *d->source);
    double sum = 0;
    for (size_t i = 0; i < d->n; i++) {
        open_source(d, &d->source[i], specs->item[i], max_bad);
        sum += d->source[i].weight;
    }
    for (size_t i = 0; i < d->n; i++) d->source[i].weight /= sum;
    image_notes_summary(&d->notes);
    d->opts.notes = NULL; /* each file was seen once */
    return d;
}

void data_refuse_out(const cli_list_t *specs, const char *out) {
    for (size_t i = 0; i < specs->n; i++) {
        char *path;
        source_spec_split(specs->item[i], &path);
        if (fs_same(path, out))
            die(RC_USAGE, "'%s' is the folder of the images; --out must be another", out);
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
        image_source_close(d->source[i].source);
        bad_items_free(d->source[i].lost_episodes);
        free(d->source[i].train);
        free(d->source[i].held_out);
        free(d->source[i].median);
    }
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

/* Decodes an item that opened well before; the world may have changed since. */
static bool decode(const data_t *d, const data_source_t *s, size_t item, image_t *im) {
    reason_t why;
    if (image_source_read(s->source, item, im, &d->opts, &why) == IMAGE_OK) return true;
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

static void fit_into(const data_t *d, const image_t *im, uint8_t *rgb) {
    image_t fitted = im->w == d->w && im->h == d->h ? *im : image_fit(im, d->w, d->h);
    memcpy(rgb, fitted.rgb, d->w * d->h * 3);
    if (fitted.rgb != im->rgb) image_release(&fitted);
}

bool data_read(const data_t *d, const data_source_t *s, size_t item, uint8_t *rgb) {
    image_t im;
    if (!decode(d, s, item, &im)) return false;
    fit_into(d, &im, rgb);
    image_release(&im);
    return true;
}

static _Noreturn void die_lost(const data_source_t *s) {
    die(RC_DATA, "'%s': %d images in a row cannot be read any more", image_source_name(s->source),
        LOST_IN_A_ROW);
}

size_t data_count(const data_source_t *s, split_t split) {
    return split == SPLIT_TRAIN ? s->n_train
           : split == SPLIT_VAL ? s->n_held_out
                                : s->n_train + s->n_held_out;
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

typedef struct {
    const data_t *d;
    data_source_t *s;
    uint8_t *frames;
    size_t n;
} median_t;

static void median_read(void *ctx, size_t i) {
    median_t *m = ctx;
    size_t n = m->s->n_train, first = i * n / m->n;
    for (size_t k = 0; k < LOST_IN_A_ROW; k++)
        if (data_read(m->d, m->s, m->s->train[(first + k) % n],
                      m->frames + i * m->d->w * m->d->h * 3))
            return;
    die_lost(m->s);
}

static int by_value(const void *a, const void *b) {
    return *(const uint8_t *)a - *(const uint8_t *)b;
}

static void median_row(void *ctx, size_t y) {
    median_t *m = ctx;
    size_t row = m->d->w * 3, frame = row * m->d->h;
    uint8_t v[MEDIAN_SAMPLES];
    for (size_t x = 0; x < row; x++) {
        for (size_t i = 0; i < m->n; i++) v[i] = m->frames[i * frame + y * row + x];
        qsort(v, m->n, 1, by_value);
        m->s->median[y * row + x] = v[m->n / 2];
    }
}

void data_median(const data_t *d, data_source_t *s) {
    size_t n = s->n_train < MEDIAN_SAMPLES ? s->n_train : MEDIAN_SAMPLES, frame = d->w * d->h * 3;
    median_t m = {d, s, xmalloc(n * frame), n};
    s->median = xmalloc(frame);
    parallel_for(n, median_read, &m);
    parallel_for(d->h, median_row, &m);
    free(m.frames);
}

void data_medians(data_t *d) {
    for (size_t i = 0; i < d->n; i++) data_median(d, &d->source[i]);
}

size_t data_foreground(const data_t *d, const data_source_t *s, const uint8_t *rgb, bool *front) {
    size_t n = 0;
    for (size_t i = 0; i < d->w * d->h; i++) {
        int most = 0;
        for (size_t c = 0; c < 3; c++) {
            int diff = abs(rgb[i * 3 + c] - s->median[i * 3 + c]);
            if (diff > most) most = diff;
        }
        n += front[i] = most > FOCUS_DIFFERENCE;
    }
    return n;
}

/* Mean 1 over the image, so that every image counts the same. */
static void focus_weights(const data_t *d, const data_source_t *s, const uint8_t *rgb,
                          float *weight) {
    size_t n = d->w * d->h;
    bool *is_front = xmalloc(n * sizeof *is_front);
    double focus = d->config.loss.focus, front = (double)data_foreground(d, s, rgb, is_front),
           mean = (focus * front + ((double)n - front)) / (double)n;
    float high = (float)(focus / mean), low = (float)(1 / mean);
    for (size_t i = 0; i < n; i++) weight[i] = is_front[i] ? high : low;
    free(is_front);
}

static void crop_to(image_t *im, size_t x, size_t y, size_t w, size_t h) {
    image_t crop = image_crop(im, x, y, w, h);
    image_release(im);
    *im = crop;
}

static void crop_random(const data_t *d, rng_t r, image_t *im) {
    double scale = 0.8 + 0.2 * rng_uniform64(r, 10);
    double side = scale * fmin((double)im->w / (double)d->w, (double)im->h / (double)d->h);
    size_t w = (size_t)fmax(1, floor(side * (double)d->w)),
           h = (size_t)fmax(1, floor(side * (double)d->h));
    size_t x = rng_below(r, 11, (uint32_t)(im->w - w + 1)),
           y = rng_below(r, 12, (uint32_t)(im->h - h + 1));
    crop_to(im, x, y, w, h);
}

crop_box_t data_crop_resized(const data_t *d, rng_t r, size_t w, size_t h) {
    enum { TRIES = 10 };
    const double *scale = d->config.data.crop_scale.v, *ratio = d->config.data.crop_ratio.v;
    double shape = (double)d->w / (double)d->h, low = log(ratio[0]), high = log(ratio[1]);
    for (uint64_t i = 0; i < TRIES; i++) {
        double area = (double)w * (double)h *
                      (scale[0] + (scale[1] - scale[0]) * rng_uniform64(r, 20 + 4 * i));
        double wide = shape * exp(low + (high - low) * rng_uniform64(r, 21 + 4 * i));
        double cw = floor(sqrt(area * wide) + 0.5), ch = floor(sqrt(area / wide) + 0.5);
        if (cw < 1 || ch < 1 || cw > (double)w || ch > (double)h) continue;
        crop_box_t b = {.w = (size_t)cw, .h = (size_t)ch};
        b.x = rng_below(r, 22 + 4 * i, (uint32_t)(w - b.w + 1));
        b.y = rng_below(r, 23 + 4 * i, (uint32_t)(h - b.h + 1));
        return b;
    }
    /* As much as the nearest allowed shape holds, from the middle. */
    double is = (double)w / (double)h, wide = fmin(fmax(is, shape * ratio[0]), shape * ratio[1]);
    crop_box_t b = {.w = w, .h = h};
    if (is < wide) b.h = (size_t)fmax(1, floor((double)w / wide + 0.5));
    if (is > wide) b.w = (size_t)fmax(1, floor((double)h * wide + 0.5));
    b.x = (w - b.w) / 2;
    b.y = (h - b.h) / 2;
    return b;
}

static void crop_resized(const data_t *d, rng_t r, image_t *im) {
    crop_box_t b = data_crop_resized(d, r, im->w, im->h);
    crop_to(im, b.x, b.y, b.w, b.h);
    image_t fitted = image_resize(im, d->w, d->h);
    image_release(im);
    *im = fitted;
}

static void augment(const data_t *d, rng_t r, image_t *im) {
    if (d->config.data.crop == CROP_RANDOM) crop_random(d, r, im);
    if (d->config.data.crop == CROP_RESIZED) crop_resized(d, r, im);
    if (d->config.data.flip && rng_below(r, 13, 2)) {
        for (size_t y = 0; y < im->h; y++)
            for (size_t x = 0; x < im->w / 2; x++)
                for (size_t c = 0; c < 3; c++) {
                    uint8_t *a = &im->rgb[(y * im->w + x) * 3 + c],
                            *b = &im->rgb[(y * im->w + im->w - 1 - x) * 3 + c], t = *a;
                    *a = *b;
                    *b = t;
                }
    }
}

void data_sample(const data_t *d, uint64_t g, uint8_t *rgb, float *weight) {
    rng_t r = rng_fold(rng_make(d->seed, "data.sample"), g);
    double u = rng_uniform64(r, 0), sum = 0;
    size_t k = 0;
    while (k + 1 < d->n && u >= (sum += d->source[k].weight)) k++;
    const data_source_t *s = &d->source[k];
    /* A source's own sequence passes through it epoch by epoch at the speed of its weight. */
    uint64_t at = (uint64_t)((double)g * s->weight);
    rng_t order = rng_fold(rng_fold(rng_make(d->seed, "data.order"), k), at / s->n_train);
    image_t im;
    size_t tries = 0;
    while (!decode(d, s, s->train[rng_permute(order, (at + tries) % s->n_train, s->n_train)], &im))
        if (++tries == LOST_IN_A_ROW) die_lost(s);
    augment(d, r, &im);
    fit_into(d, &im, rgb);
    image_release(&im);
    if (weight) focus_weights(d, s, rgb, weight);
}

typedef struct {
    const data_t *d;
    uint64_t first;
    float *image, *weight;
} batch_t;

static void batch_sample(void *ctx, size_t i) {
    const batch_t *b = ctx;
    size_t n = b->d->w * b->d->h;
    uint8_t *rgb = xmalloc(n * 3);
    data_sample(b->d, b->first + i, rgb, b->weight ? b->weight + i * n : NULL);
    image_to_float(rgb, n * 3, b->image + i * n * 3);
    free(rgb);
}

void data_batch(const data_t *d, uint64_t first, size_t n, float *image, float *weight) {
    batch_t b = {d, first, image, weight};
    parallel_for(n, batch_sample, &b);
}

/* ---- for commands that load a tokenizer ---- */

split_t parse_split(const char *text) {
    if (!strcmp(text, "train")) return SPLIT_TRAIN;
    if (!strcmp(text, "val")) return SPLIT_VAL;
    if (!strcmp(text, "all")) return SPLIT_ALL;
    die(RC_USAGE, "--split '%s': one of val, train, all is needed", text);
}

/* What stands behind transparent images belongs to a tokenizer's preprocessing. */
static void background_of(const vqvae_t *v, config_ints_t *background) {
    uint8_t rgb[3];
    if (vqvae_preprocess_background(v, rgb))
        *background = (config_ints_t){{rgb[0], rgb[1], rgb[2]}, 3};
}

vqvae_t *model_open(const char *run) {
    int rc;
    reason_t why;
    vqvae_t *v = vqvae_load(run, &rc, &why);
    if (!v) die(rc, "%s", why.text);
    vqvae_warn_untrained(v, run);
    return v;
}

config_t config_for_model(const vqvae_t *v, const char *run, const cli_list_t *set) {
    config_t c;
    size_t w, h;
    config_defaults(config_table, &c);
    config_of_run(run, &c);
    c.data.crop = CROP_CENTER; /* nothing is cropped at random here */
    config_from_model(&c, vqvae_config(v));
    background_of(v, &c.data.background);
    vqvae_preprocess_size(v, &w, &h);
    if (w) c.data.size = (config_ints_t){{(int64_t)w, (int64_t)h}, 2};
    config_sets(config_table, &c, set);
    config_model(&c);
    return c;
}

void config_from_init(config_t *c, const vqvae_t *v) {
    size_t w, h;
    config_from_model(c, vqvae_config(v));
    background_of(v, &c->data.background);
    vqvae_preprocess_size(v, &w, &h);
    if (w) c->data.size = (config_ints_t){{(int64_t)w, (int64_t)h}, 2};
    c->train.warmup_no_quant = 0;
}
