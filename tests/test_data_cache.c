/* test_data_cache.c - images kept between samples of `vqvae`: the samples are those without a
 * cache, whatever is kept and wherever, of files as they are now; memory stays within its budget.
 *
 * Oracle of a sample without a cache: image_read and image_fit of the file.
 */
#include "common/base/pool.h"
#include "tests/folder.h"
#include "tests/image_bytes.h"
#include "tests/rss.h"
#include "tests/test.h"
#include "vqvae/data.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IMAGES = 9, SIDE = 16, SAMPLES = 60, VALUES = SIDE * SIDE * 3 };

/* ---- images ---- */

static uint8_t *noise(size_t n, unsigned seed) {
    uint8_t *p = malloc(n);
    uint32_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        p[i] = (uint8_t)(x >> 24);
    }
    return p;
}

static void put_bytes(const char *path, const blob_t *b) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(b->p, 1, b->n, f) != b->n || fclose(f)) abort();
}

static void put_png(const char *path, unsigned w, unsigned h, unsigned seed) {
    uint8_t *rgb = noise((size_t)3 * w * h, seed);
    blob_t b = png_rgb(w, h, rgb);
    put_bytes(path, &b);
    free(b.p);
    free(rgb);
}

/* Names and sizes of all kinds: below, at and beyond twice what crops need, one JPEG above a
 * megapixel. */
static void put_images(void) {
    static const unsigned size[IMAGES - 1][2] = {{16, 16}, {40, 30}, {80, 90},   {200, 33},
                                                 {7, 9},   {64, 64}, {300, 301}, {16, 500}};
    char name[40];
    if (mkdir(in_folder("pics"), 0777)) abort();
    for (unsigned i = 0; i + 1 < IMAGES; i++) {
        snprintf(name, sizeof name, "pics/%u.png", i);
        put_png(in_folder(name), size[i][0], size[i][1], i);
    }
    uint8_t *p = noise(1200 * 900, 77);
    blob_t b = jpeg_make(&(jpeg_spec_t){.w = 1200, .h = 900, .channels = 1}, p);
    put_bytes(in_folder("pics/8.jpg"), &b);
    free(b.p);
    free(p);
}

/* ---- samples ---- */

typedef struct {
    crop_t crop;
    double cache;
    const char *file; /* NULL = none */
    int threads;
} setting_t;

static data_t *open_pics(const setting_t *s, const char *spec) {
    config_t c;
    config_defaults(config_table, &c);
    c.data.size = (config_ints_t){{SIDE, SIDE}, 2};
    c.data.holdout = 0.2;
    c.data.crop = s->crop;
    c.data.flip = s->crop != CROP_CENTER;
    c.data.cache = s->cache;
    if (s->file) snprintf(c.data.cache_file, sizeof c.data.cache_file, "%s", s->file);
    cli_list_t list = {&spec, 1, 1};
    pool_set_threads(s->threads);
    return data_open(&list, &c, 7, 0, 0, false);
}

/* The samples, and behind them the held-out images. */
typedef struct {
    float batch[SAMPLES * VALUES];
    uint8_t held[IMAGES][VALUES];
} seen_t;

static seen_t *see(const setting_t *s, const char *spec) {
    seen_t *seen = calloc(1, sizeof *seen);
    data_t *d = open_pics(s, spec);
    data_batch(d, 0, SAMPLES / 2, seen->batch, NULL);
    data_batch(d, SAMPLES / 2, SAMPLES / 2, seen->batch + SAMPLES / 2 * VALUES, NULL);
    const data_source_t *source = &d->source[0];
    for (size_t i = 0; i < data_count(source, SPLIT_VAL); i++)
        if (!data_read(d, source, data_item(source, SPLIT_VAL, i), seen->held[i])) abort();
    data_close(d);
    return seen;
}

/* Is it the image of one of the files, fitted? */
static bool is_fitted(const uint8_t *rgb) {
    bool is = false;
    for (int i = 0; i < IMAGES && !is; i++) {
        char name[40];
        image_opts_t o = image_opts_default();
        image_t im;
        reason_t why;
        o.want_w = o.want_h = SIDE;
        snprintf(name, sizeof name, "pics/%d.%s", i, i < 8 ? "png" : "jpg");
        if (image_read(&im, in_folder(name), &o, &why)) abort();
        image_t fitted = image_fit(&im, SIDE, SIDE);
        is = !memcmp(fitted.rgb, rgb, VALUES);
        image_release(&im);
        image_release(&fitted);
    }
    return is;
}

static int count_differing(const seen_t *a, const seen_t *b) {
    int n = 0;
    for (int g = 0; g < SAMPLES; g++)
        n += memcmp(a->batch + g * VALUES, b->batch + g * VALUES, VALUES * sizeof(float)) != 0;
    return n + (memcmp(a->held, b->held, sizeof a->held) != 0);
}

static int modes_in_child(void *arg) {
    const crop_t *crop = arg;
    char file[400];
    snprintf(file, sizeof file, "%s", in_folder("images.cache"));
    const setting_t off = {*crop, 0, NULL, 1};
    const setting_t modes[] = {
        {*crop, 0.25, NULL, 1}, {*crop, 0.25, NULL, 3}, {*crop, 1, NULL, 2}, /* a megabyte */
        {*crop, 1e-7, NULL, 2},                                              /* room for little */
        {*crop, 0, file, 2},                                                 /* cold */
        {*crop, 0, file, 1},                                                 /* warm */
        {*crop, 0.25, file, 3},
    };
    seen_t *want = see(&off, in_folder("pics"));
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
        seen_t *seen = see(&modes[m], in_folder("pics"));
        int differ = count_differing(want, seen);
        if (differ) printf("mode %zu: %d differ. ", m, differ);
        free(seen);
    }
    uint8_t rgb[VALUES];
    int unknown = 0;
    for (int g = 0; *crop == CROP_CENTER && g < SAMPLES; g++) {
        image_from_float(want->batch + g * VALUES, VALUES, rgb);
        unknown += !is_fitted(rgb);
    }
    for (int i = 0; i < 2; i++) unknown += !is_fitted(want->held[i]);
    printf("%d unknown", unknown);
    free(want);
    return 0;
}

TEST(samples_with_and_without_a_cache) {
    child_t c;
    for (crop_t crop = CROP_CENTER; crop <= CROP_RESIZED; crop++) {
        folder_open();
        put_images();
        child_run(modes_in_child, &crop, &c);
        CHECK(c.code == 0 && !strcmp(c.out, "0 unknown"), "%d: %s %s", c.code, c.out, c.err);
        /* 7 or 8 are trained on; all are in the file, from its first run on */
        CHECK(strstr(c.err, "images.cache': 9 images, 9 of them new") &&
                  strstr(c.err, "images.cache': 9 images, 0 of them new"),
              "%s", c.err);
        CHECK(strstr(c.err, "of memory (data.cache) hold all but "), "%s", c.err);
        folder_remove();
    }
}

/* The same through a tar. */
static int tar_in_child(void *arg) {
    char tar[400], file[400], command[1000];
    snprintf(tar, sizeof tar, "%s", in_folder("pics.tar"));
    snprintf(file, sizeof file, "%s", in_folder("images.cache"));
    snprintf(command, sizeof command, "cd '%s' && tar -cf '%s' --sort=name *", in_folder("pics"),
             tar);
    if (system(command)) return 2;
    const setting_t off = {CROP_CENTER, 0, NULL, 1}, memory = {CROP_CENTER, 0.25, NULL, 1},
                    disk = {CROP_CENTER, 0, file, 1};
    seen_t *want = see(&off, tar), *seen[3] = {see(&memory, tar), see(&disk, tar), see(&disk, tar)};
    for (int i = 0; i < 3; i++) {
        printf("%d ", count_differing(want, seen[i]));
        free(seen[i]);
    }
    free(want);
    return 0;
}

TEST(tars_too) {
    child_t c;
    folder_open();
    put_images();
    child_run(tar_in_child, NULL, &c);
    CHECK(c.code == 0 && !strcmp(c.out, "0 0 0 "), "%d: %s %s", c.code, c.out, c.err);
    CHECK(strstr(c.err, "9 images, 0 of them new"), "%s", c.err);
    folder_remove();
}

/* ---- files that change ---- */

/* Another image of the same number of bytes and the same time under the name of the first. */
static void replace_unseen(void) {
    struct stat st;
    const char *path = in_folder("pics/1.png");
    if (stat(path, &st)) abort();
    uint8_t *gray = noise(40 * 30, 5);
    blob_t b = png_make(&(png_spec_t){.w = 40, .h = 30, .depth = 8, .type = 0}, gray);
    if (b.n > (size_t)st.st_size) abort();
    while (b.n < (size_t)st.st_size) blob_put(&b, "", 1); /* bytes behind the end are let through */
    put_bytes(path, &b);
    struct timespec times[2] = {st.st_atim, st.st_mtim};
    if (utimensat(AT_FDCWD, path, times, 0)) abort();
    free(b.p);
    free(gray);
}

static int stale_in_child(void *arg) {
    char file[400];
    snprintf(file, sizeof file, "%s", in_folder("images.cache"));
    const setting_t off = {CROP_CENTER, 0, NULL, 1}, disk = {CROP_CENTER, 0, file, 1};
    seen_t *before = see(&disk, in_folder("pics"));
    replace_unseen();
    seen_t *want = see(&off, in_folder("pics")), *seen = see(&disk, in_folder("pics"));
    printf("%d %d", count_differing(before, want) > 0, count_differing(want, seen));
    free(before);
    free(want);
    free(seen);
    return 0;
}

TEST(a_changed_image_is_read_anew) {
    child_t c;
    folder_open();
    put_images();
    child_run(stale_in_child, NULL, &c);
    CHECK(c.code == 0 && !strcmp(c.out, "1 0"), "%d: %s %s", c.code, c.out, c.err);
    CHECK(strstr(c.err, "10 images, 1 of them new"), "%s", c.err);
    folder_remove();
}

/* Other settings, other pixels: what one of them left in the file is not taken by another. */
static int settings_in_child(void *arg) {
    char file[400];
    snprintf(file, sizeof file, "%s", in_folder("images.cache"));
    for (crop_t crop = CROP_CENTER; crop <= CROP_RESIZED; crop++) {
        const setting_t off = {crop, 0, NULL, 1}, disk = {crop, 0, file, 1};
        seen_t *want = see(&off, in_folder("pics")), *seen = see(&disk, in_folder("pics"));
        printf("%d ", count_differing(want, seen));
        free(want);
        free(seen);
    }
    return 0;
}

TEST(settings_do_not_share) {
    child_t c;
    folder_open();
    put_images();
    child_run(settings_in_child, NULL, &c);
    CHECK(c.code == 0 && !strcmp(c.out, "0 0 0 "), "%d: %s %s", c.code, c.out, c.err);
    CHECK(strstr(c.err, "27 images, 9 of them new"), "%s", c.err);
    folder_remove();
}

/* Damage while it is open: nothing wrong comes out. */
static int damage_in_child(void *arg) {
    char file[400];
    snprintf(file, sizeof file, "%s", in_folder("images.cache"));
    const setting_t off = {CROP_CENTER, 0, NULL, 1}, disk = {CROP_CENTER, 0, file, 1};
    seen_t *want = see(&off, in_folder("pics"));
    data_t *d = open_pics(&disk, in_folder("pics"));
    struct stat st;
    int fd = open(file, O_RDWR);
    if (fd < 0 || fstat(fd, &st)) return 2;
    for (off_t at = 0; at < st.st_size; at += 100)
        if (pwrite(fd, "\x55", 1, at) != 1) return 2;
    float *batch = malloc(SAMPLES * VALUES * sizeof *batch);
    data_batch(d, 0, SAMPLES, batch, NULL);
    printf("%d ", memcmp(batch, want->batch, sizeof want->batch));
    if (ftruncate(fd, 10)) return 2;
    data_batch(d, 0, SAMPLES, batch, NULL);
    printf("%d", memcmp(batch, want->batch, sizeof want->batch));
    return 0;
}

TEST(damage_while_it_is_read) {
    child_t c;
    folder_open();
    put_images();
    child_run(damage_in_child, NULL, &c);
    CHECK(c.code == 0 && !strcmp(c.out, "0 0"), "%d: %s %s", c.code, c.out, c.err);
    CHECK(strstr(c.err, "images.cache' is damaged"), "%s", c.err);
    folder_remove();
}

/* What is odd about an image is told by every run, also of one that takes it from the file. */
static int oddities_in_child(void *arg) {
    char file[400];
    snprintf(file, sizeof file, "%s", in_folder("images.cache"));
    const setting_t disk = {CROP_CENTER, 0, file, 1};
    replace_unseen();
    for (int i = 0; i < 2; i++) data_close(open_pics(&disk, in_folder("pics")));
    return 0;
}

TEST(oddities_are_told_again) {
    child_t c;
    folder_open();
    put_images();
    child_run(oddities_in_child, NULL, &c);
    const char *line = "1 image with harmless warnings: 1 PNG with bytes behind its end";
    const char *first = strstr(c.err, line);
    CHECK(c.code == 0 && first && strstr(first + 1, line), "%d: %s", c.code, c.err);
    folder_remove();
}

/* ---- memory ---- */

enum { MANY = 120, WIDE = 256 }; /* 23.6 MB as bytes */

static int memory_in_child(void *arg) {
    const double *budget = arg;
    const char *spec = folder;
    config_t c;
    config_defaults(config_table, &c);
    c.data.size = (config_ints_t){{WIDE, WIDE}, 2};
    c.data.cache = *budget;
    cli_list_t list = {&spec, 1, 1};
    pool_set_threads(1);
    uint8_t *rgb = malloc(3 * WIDE * WIDE);
    rss_reset();
    long before = rss_peak_mb();
    data_t *d = data_open(&list, &c, 7, 0, 0, false);
    for (uint64_t g = 0; g < 2 * MANY; g++) data_sample(d, g, rgb, NULL);
    printf("%ld", rss_peak_mb() - before);
    return 0;
}

TEST(memory_stays_within_its_budget) {
    static const double budgets[] = {0, 4, 12, 100};
    folder_open();
    for (unsigned i = 0; i < MANY; i++) {
        char name[20];
        snprintf(name, sizeof name, "%u.png", i);
        put_png(in_folder(name), WIDE + 8, WIDE, i);
    }
#ifndef __SANITIZE_ADDRESS__
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        child_t c;
        double budget = budgets[i];
        child_run(memory_in_child, &budget, &c);
        long grown = atol(c.out), held = budget < 23 ? (long)budget : 23;
        CHECK(c.code == 0 && grown >= held - 1 && grown <= held + 4, "budget %g: %ld MB, %s",
              budget, grown, c.err);
    }
#endif
    folder_remove();
}
