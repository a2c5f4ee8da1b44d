/* test_data.c - training samples of `vqvae`: random resized crops keep their promises and are a
 * function of seed and number, and images that vanish are replaced.
 */
#include "common/base/pool.h"
#include "tests/folder.h"
#include "tests/image_bytes.h"
#include "tests/test.h"
#include "vqvae/data.h"

#include <unistd.h>

static void put_image(const char *name, unsigned w, unsigned h, unsigned seed) {
    uint8_t *rgb = malloc(3 * (size_t)w * h);
    for (size_t i = 0; i < 3 * (size_t)w * h; i++)
        rgb[i] = (uint8_t)((i / 3 % w) * 5 + (i / 3 / w) * 3 + seed * 29);
    blob_t b = png_rgb(w, h, rgb);
    FILE *f = fopen(in_folder(name), "wb");
    if (!f || fwrite(b.p, 1, b.n, f) != b.n || fclose(f)) abort();
    free(b.p);
    free(rgb);
}

static config_t resized(int64_t w, int64_t h) {
    config_t c;
    config_defaults(config_table, &c);
    c.data.crop = CROP_RESIZED;
    c.data.flip = true;
    c.data.size = (config_ints_t){{w, h}, 2};
    c.data.holdout = 0;
    return c;
}

TEST(crops_keep_area_and_shape) {
    static const double scales[][2] = {{0.08, 1}, {0.3, 0.3}, {0.5, 0.9}};
    data_t d = {.config = resized(32, 16), .w = 32, .h = 16};
    for (size_t k = 0; k < 3; k++) {
        double least = 1e9, most = 0, thin = 1e9, wide = 0, mean = 0;
        enum { N = 4000, W = 800, H = 500 };
        d.config.data.crop_scale = (config_nums_t){{scales[k][0], scales[k][1]}, 2};
        size_t corners = 0;
        for (uint64_t g = 0; g < N; g++) {
            crop_box_t b = data_crop_resized(&d, rng_fold(rng_make(5, "t"), g), W, H);
            REQUIRE(b.w && b.h && b.x + b.w <= W && b.y + b.h <= H);
            double area = (double)(b.w * b.h) / (W * H),
                   shape = (double)b.w / (double)b.h / 2; /* of data.size: 2 */
            least = fmin(least, area), most = fmax(most, area), thin = fmin(thin, shape),
            wide = fmax(wide, shape);
            mean += area / N;
            corners += b.x < (W - b.w) / 2;
        }
        double low = scales[k][0], high = scales[k][1];
        CHECK(least > low * 0.98 && most < high * 1.04, "areas %g to %g", least, most);
        CHECK(thin > 0.74 && wide < 1.35, "shapes %g to %g", thin, wide);
        CHECK(thin < 0.78 && wide > 1.28);
        CHECK(corners > N * 0.45 && corners < N * 0.55, "%zu to the left", corners);
        if (k == 1) CHECK_NEAR(mean, 0.3, 0.01);
    }
}

/* One shape alone, and ranges far from that of data.size or of the image: the shape is kept to a
 * pixel, the area as far as the image has room for it. */
TEST(crops_of_narrow_ratios) {
    static const double ratios[][2] = {{0.5, 0.5}, {1, 1},       {2, 2},     {0.1, 0.1},
                                       {10, 10},   {0.3, 0.301}, {3, 3.001}, {0.01, 0.01}};
    enum { N = 500, W = 800, H = 500 };
    data_t d = {.config = resized(32, 16), .w = 32, .h = 16};
    d.config.data.crop_scale = (config_nums_t){{0.05, 0.9}, 2};
    for (size_t k = 0; k < sizeof ratios / sizeof *ratios; k++) {
        double low = 2 * ratios[k][0], high = 2 * ratios[k][1]; /* of data.size: 2 */
        d.config.data.crop_ratio = (config_nums_t){{ratios[k][0], ratios[k][1]}, 2};
        size_t least = SIZE_MAX, most = 0;
        for (uint64_t g = 0; g < N; g++) {
            crop_box_t b = data_crop_resized(&d, rng_fold(rng_make(6, "t"), g), W, H);
            REQUIRE(b.w && b.h && b.x + b.w <= W && b.y + b.h <= H);
            double w = (double)b.w, h = (double)b.h;
            CHECK((w + 0.51) / (h - 0.51) >= low && (w - 0.51) / (h + 0.51) <= high,
                  "%zu x %zu, wanted %g to %g", b.w, b.h, low, high);
            least = b.w * b.h < least ? b.w * b.h : least;
            most = b.w * b.h > most ? b.w * b.h : most;
        }
        double room = fmin(W, H * high) * fmin(H, W / low); /* of the largest box of that shape */
        CHECK((double)most <= 1.02 * fmin(room, 0.9 * W * H) + W, "%zu of %g", most, room);
        CHECK((double)least >= 0.96 * fmin(room, 0.05 * W * H) - W, "%zu", least);
        CHECK(room < 0.05 * W * H || least < most, "areas are drawn");
    }
}

TEST(crops_of_strips) {
    data_t d = {.config = resized(16, 16), .w = 16, .h = 16};
    for (uint64_t g = 0; g < 50; g++) {
        crop_box_t b = data_crop_resized(&d, rng_fold(rng_make(5, "t"), g), 1, 10000);
        CHECK(b.w == 1 && b.h == 1 && b.x == 0 && b.y < 10000);
        b = data_crop_resized(&d, rng_fold(rng_make(5, "t"), g), 10000, 30);
        CHECK(b.h == 30 && b.w == 40 && b.x == 4980, "%zu %zu %zu", b.w, b.h, b.x);
    }
}

/* Sample by sample, by batches of other sizes, with other threads: the same bytes; other samples
 * and seeds: others. */
TEST(resized_crops_are_a_function_of_seed_and_sample) {
    enum { N = 24, S = 16 * 16 * 3 };
    const char *spec;
    config_t c = resized(16, 16);
    folder_open();
    for (unsigned i = 0; i < 5; i++) {
        char name[20];
        snprintf(name, sizeof name, "%u.png", i);
        put_image(name, 40 + 7 * i, 60 - 5 * i, i);
    }
    spec = folder;
    cli_list_t list = {&spec, 1, 1};
    data_t *d = data_open(&list, &c, 7, 0, 0, false), *e = data_open(&list, &c, 8, 0, 0, false);
    float *a = malloc(N * S * sizeof *a), *b = malloc(N * S * sizeof *b);
    pool_set_threads(1);
    for (uint64_t g = 0; g < N; g++) data_batch(d, g, 1, a + g * S, NULL);
    pool_set_threads(4);
    data_batch(d, 0, N, b, NULL);
    CHECK(!memcmp(a, b, N * S * sizeof *a));
    data_batch(d, 10, 4, b, NULL);
    CHECK(!memcmp(a + 10 * S, b, 4 * S * sizeof *a));
    data_batch(e, 0, N, b, NULL);
    size_t same = 0, repeated = 0;
    for (size_t g = 0; g < N; g++) {
        same += !memcmp(a + g * S, b + g * S, S * sizeof *a);
        for (size_t k = 0; k < g; k++) repeated += !memcmp(a + g * S, a + k * S, S * sizeof *a);
    }
    CHECK(same == 0 && repeated == 0, "%zu as with another seed, %zu twice", same, repeated);
    data_close(d);
    data_close(e);
    free(a);
    free(b);
    folder_remove();
}

/* With the whole image as crop and no flip, a sample is the image resized. */
TEST(resized_crop_of_all_is_a_resize) {
    const char *spec;
    uint8_t rgb[16 * 16 * 3];
    config_t c = resized(16, 16);
    reason_t why;
    c.data.flip = false;
    c.data.crop_scale = (config_nums_t){{1, 1}, 2};
    c.data.crop_ratio = (config_nums_t){{0.5, 0.5}, 2};
    folder_open();
    put_image("a.png", 40, 80, 1);
    spec = folder;
    cli_list_t list = {&spec, 1, 1};
    data_t *d = data_open(&list, &c, 7, 0, 0, false);
    image_t im;
    REQUIRE(image_read(&im, in_folder("a.png"), NULL, &why) == IMAGE_OK);
    image_t want = image_resize(&im, 16, 16);
    data_sample(d, 3, rgb, NULL);
    CHECK(!memcmp(rgb, want.rgb, sizeof rgb));
    image_release(&im);
    image_release(&want);
    data_close(d);
    folder_remove();
}

static int vanish_in_child(void *arg) {
    enum { N = 40, S = 8 * 8 * 3 };
    const char *spec = folder;
    config_t c = resized(8, 8);
    c.data.crop = CROP_CENTER;
    c.data.flip = false;
    cli_list_t list = {&spec, 1, 1};
    pool_set_threads(1);
    data_t *d = data_open(&list, &c, 7, 0, 0, false);
    uint8_t before[N][S], after[N][S], again[N][S];
    for (uint64_t g = 0; g < N; g++) data_sample(d, g, before[g], NULL);
    unlink(in_folder("3.png"));
    for (uint64_t g = 0; g < N; g++) data_sample(d, g, after[g], NULL);
    for (uint64_t g = N; g-- > 0;) data_sample(d, g, again[g], NULL);
    int changed = 0, unknown = 0;
    for (int g = 0; g < N; g++) {
        int known = 0;
        for (int k = 0; k < N; k++) known |= !memcmp(after[g], before[k], S);
        changed += memcmp(after[g], before[g], S) != 0;
        unknown += !known;
    }
    if (arg) {
        for (int i = 0; i < 10; i++) {
            char name[20];
            snprintf(name, sizeof name, "%d.png", i);
            unlink(in_folder(name));
        }
        data_sample(d, 0, after[0], NULL);
    }
    printf("%d of %d changed, %d unknown, %s, %zu lost", changed, N, unknown,
           memcmp(after, again, sizeof after) ? "differ" : "same", bad_items_count(d->lost));
    return 0;
}

TEST(fault_028_vanished_images_are_replaced) {
    child_t c;
    for (int all = 0; all < 2; all++) {
        folder_open();
        for (unsigned i = 0; i < 10; i++) {
            char name[20];
            snprintf(name, sizeof name, "%u.png", i);
            put_image(name, 9, 9, i);
        }
        child_run(vanish_in_child, all ? folder : NULL, &c);
        if (all) {
            CHECK(c.code == RC_DATA && strstr(c.err, "64 images in a row cannot be read any more"),
                  "%d: %s", c.code, c.err);
        } else { /* 40 samples are 4 epochs of 10: the vanished one was in each */
            CHECK(c.code == 0);
            CHECK_STR(c.out, "4 of 40 changed, 0 unknown, same, 1 lost");
            CHECK(strstr(c.err, "skipped '3.png'") && child_lines(c.err) == 2, "%s", c.err);
        }
        folder_remove();
    }
}
