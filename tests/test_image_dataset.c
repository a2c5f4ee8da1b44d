/* test_image_dataset.c - sources read by several threads; frames of Minari datasets as images. */
#include "tests/image_source_case.h"

/* ---- threads, datasets ---- */

typedef struct {
    const image_source_t *s;
    int seed, wrong;
    int (*check)(const image_source_t *s, size_t i);
} reader_t;

static void *read_many(void *arg) {
    reader_t *r = arg;
    for (int i = 0; i < 300; i++)
        r->wrong += r->check(r->s, (size_t)(i * 7919 + r->seed * 31) % image_source_count(r->s));
    return NULL;
}

static void check_threads(const image_source_t *s,
                          int (*check)(const image_source_t *s, size_t i)) {
    pthread_t thread[4];
    reader_t r[4];
    for (int i = 0; i < 4; i++) {
        r[i] = (reader_t){s, i, 0, check};
        pthread_create(&thread[i], NULL, read_many, &r[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        CHECK(r[i].wrong == 0, "%d wrong", r[i].wrong);
    }
}

static int level_by_key(const image_source_t *s, size_t i) {
    reason_t why;
    return level_of(s, i, &why) != atoi(image_source_key(s, i));
}

TEST(folder_read_by_threads) {
    open_folder();
    for (int i = 0; i < 50; i++) {
        char name[20];
        snprintf(name, sizeof name, "%d.png", i);
        put_png(name, (uint8_t)i);
    }
    image_source_t *s = image_source_open_or_die(folder);
    check_threads(s, level_by_key);
    image_source_close(s);
    remove_folder();
}

enum { SIDE = 36, EPISODES = 12 };
static size_t steps_of(size_t episode) {
    return 1 + episode % 5;
}
static uint8_t pixel(size_t episode, size_t step, size_t i) {
    return (uint8_t)(episode * 31 + step * 7 + i * 13 + i / 100);
}

/* Episodes of different lengths; channels 1 or 3. Written by the project's writer, whose own test
 * is test_minari.c. */
static bool put_dataset(size_t channels) {
    space_leaf_t obs[2] = {{.path = "image",
                            .kind = SPACE_IMAGE,
                            .dtype = "uint8",
                            .rank = 3,
                            .dim = {SIDE, SIDE, channels},
                            .count = SIDE * SIDE * channels},
                           {.path = "state",
                            .kind = SPACE_BOX,
                            .dtype = "float32",
                            .rank = 1,
                            .dim = {1},
                            .count = 1}};
    space_leaf_t act = {.kind = SPACE_DISCRETE, .dtype = "int64", .count = 1, .n = 2};
    double low = -1, high = 1;
    obs[1].low = &low;
    obs[1].high = &high;
    minari_spec_t spec = {.dataset_id = "test/x-v0",
                          .algorithm = "none",
                          .obs = obs,
                          .act = &act,
                          .n_obs = 2,
                          .n_act = 1,
                          .dict_obs = true};
    reason_t why = {""};
    int rc;
    minari_writer_t *w = minari_writer_new(folder, &spec, false, &rc, &why);
    bool ok = w != NULL;
    for (size_t e = 0; ok && e < EPISODES; e++) {
        size_t T = steps_of(e), n = obs[0].count;
        uint8_t *frames = malloc((T + 1) * n), flags[8] = {0};
        float state[9] = {0}, action[8] = {0}, rewards[8] = {0};
        for (size_t k = 0; k < (T + 1) * n; k++) frames[k] = pixel(e, k / n, k % n);
        recorded_episode_t ep = {.T = T,
                                 .image = (uint8_t *[2]){frames, NULL},
                                 .value = (float *[2]){NULL, state},
                                 .text = (char **[2]){NULL, NULL},
                                 .action = (float *[1]){action},
                                 .rewards = rewards,
                                 .terminated = flags,
                                 .truncated = flags,
                                 .seed = -1,
                                 .n_obs = 2,
                                 .n_act = 1};
        ok = minari_writer_add(w, &ep, &why) == 0;
        free(frames);
    }
    minari_writer_close(w);
    if (!ok) fprintf(stderr, "  %s\n", why.text);
    return ok;
}

static int wrong_frame(const image_source_t *s, size_t i, size_t channels) {
    size_t episode, step;
    image_t im;
    reason_t why;
    if (sscanf(image_source_key(s, i), "episode_%zu/%zu", &episode, &step) != 2) return 1;
    if (image_source_read(s, i, &im, NULL, &why) || im.w != SIDE || im.h != SIDE) return 1;
    int wrong = 0;
    for (size_t k = 0; k < 3 * SIDE * SIDE; k++)
        wrong |= im.rgb[k] != pixel(episode, step, channels == 3 ? k : k / 3);
    image_release(&im);
    return wrong;
}
static int wrong_rgb(const image_source_t *s, size_t i) {
    return wrong_frame(s, i, 3);
}
static int wrong_gray(const image_source_t *s, size_t i) {
    return wrong_frame(s, i, 1);
}

#ifdef WITH_HDF5
TEST(dataset_frames) {
    for (size_t channels = 1; channels <= 3; channels += 2) {
        open_folder();
        REQUIRE(put_dataset(channels));
        for (int inside = 0; inside < 2; inside++) {
            image_source_t *s = image_source_open_or_die(inside ? in_folder("data") : folder);
            size_t i = 0;
            char key[40], buf[512];
            for (size_t e = 0; e < EPISODES; e++) {
                for (size_t t = 0; t <= steps_of(e); t++, i++) {
                    snprintf(key, sizeof key, "episode_%zu/%zu", e, t);
                    REQUIRE(i < image_source_count(s));
                    CHECK_STR(image_source_key(s, i), key);
                    snprintf(key, sizeof key, "episode_%zu", e);
                    for (int by = 0; by < 3; by++)
                        CHECK_STR(image_source_group(s, i, (split_by_t)by, buf), key);
                }
            }
            CHECK(image_source_count(s) == i && image_source_counts(s)->images == i);
            check_threads(s, channels == 3 ? wrong_rgb : wrong_gray);
            image_source_close(s);
        }
        remove_folder();
    }
}

TEST(dataset_manifest) {
    open_folder();
    REQUIRE(put_dataset(3));
    uint64_t a = manifest(), b = manifest();
    remove_folder();
    open_folder();
    REQUIRE(put_dataset(1));
    CHECK(a == b && manifest() != a);
    remove_folder();
}

/* Zeroes stand where episode groups' names are looked up: what cannot be read is left out or bad,
 * the rest is as before. */
TEST(fault_038_dataset_damaged) {
    open_folder();
    REQUIRE(put_dataset(3));
    struct stat st;
    CHECK(!stat(in_folder("data/main_data.hdf5"), &st) &&
          !truncate(in_folder("data/main_data.hdf5"), st.st_size / 2));
    check_dies(folder, RC_DATA, "main_data.hdf5");
    CHECK(!unlink(in_folder("data/metadata.json")));
    check_dies(folder, RC_DATA, "metadata.json");
    remove_folder();
}
#else
TEST(dataset_without_hdf5) {
    (void)put_dataset;
    (void)wrong_rgb;
    (void)wrong_gray;
    open_folder();
    put_text("data/main_data.hdf5", "x");
    check_dies(folder, RC_RUNTIME, "HDF5");
    remove_folder();
}
#endif
