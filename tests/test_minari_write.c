/* test_minari_write.c - what minari_writer makes, looked at object by object with libhdf5 called
 * directly. tests/interop/minari_roundtrip.py loads it with the Python package.
 */
#include "common/io/episodes/episode_source.h"
#include "common/io/episodes/minari_write.h"
#include "common/io/fs.h"
#include "tests/folder.h"
#include "tests/test.h"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <zlib.h>

#ifdef WITH_HDF5
#include <hdf5.h>

#include "tests/minari_sample.h"

/* Dataset `path`: type, extent, chunked in one piece, deflate or none, no
 * times; its bytes equal `want`. */
static void check_data(hid_t file, const char *path, hid_t type, int rank, const hsize_t *dim,
                       bool zip, const void *want, size_t bytes) {
    hid_t d = H5Dopen2(file, path, H5P_DEFAULT);
    REQUIRE(d >= 0, "%s", path);
    hid_t t = H5Dget_type(d), s = H5Dget_space(d), p = H5Dget_create_plist(d);
    hsize_t now[8], max[8], chunk[8];
    CHECK(H5Tequal(t, type) > 0, "%s: type", path);
    REQUIRE(H5Sget_simple_extent_dims(s, now, max) == rank && H5Pget_chunk(p, 8, chunk) == rank,
            "%s: rank", path);
    for (int i = 0; i < rank; i++)
        CHECK(now[i] == dim[i] && chunk[i] == dim[i] && max[i] == dim[i], "%s: axis %d", path, i);
    bool times = true;
    H5Pget_obj_track_times(p, &times);
    CHECK(!times && H5Pget_nfilters(p) == (zip ? 1 : 0), "%s: times or filters", path);
    unsigned level = 0, config;
    size_t n = 1;
    if (zip)
        CHECK(H5Pget_filter2(p, 0, &config, &n, &level, 0, NULL, NULL) == H5Z_FILTER_DEFLATE &&
              level == 4);
    void *got = malloc(bytes);
    if (want)
        CHECK(H5Dread(d, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, got) >= 0 &&
                  memcmp(got, want, bytes) == 0,
              "%s: data", path);
    free(got);
    H5Pclose(p);
    H5Sclose(s);
    H5Tclose(t);
    H5Dclose(d);
}

TEST(writes_the_layout) {
    folder_open();
    reason_t why = {""};
    REQUIRE(write_sample(folder, 11, &why) == 0, "%s", why.text);
    hid_t file = H5Fopen(in_folder("data/main_data.hdf5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    REQUIRE(file >= 0);
    CHECK(attr_of(file, "episode_0", "id") == 0 && attr_of(file, "episode_10", "id") == 10);
    CHECK(attr_of(file, "episode_0", "total_steps") == OUT_T &&
          attr_of(file, "episode_0", "seed") == 42);
    CHECK(H5Aexists_by_name(file, "episode_1", "seed", H5P_DEFAULT) == 0);
    char name[32] = "";
    H5Lget_name_by_idx(file, "/", H5_INDEX_CRT_ORDER, H5_ITER_INC, 10, name, sizeof name,
                       H5P_DEFAULT);
    CHECK_STR(name, "episode_10"); /* creation order is tracked */
    double rewards[OUT_T];
    for (int i = 0; i < OUT_T; i++) rewards[i] = (double)out_rewards[i];
    int64_t mode[OUT_T + 1] = {10, 11, 12, 13, 14};
    hid_t flag = H5Tenum_create(H5T_STD_I8LE), text = H5Tcopy(H5T_C_S1);
    H5Tenum_insert(flag, "FALSE", &(int8_t){0});
    H5Tenum_insert(flag, "TRUE", &(int8_t){1});
    H5Tset_size(text, H5T_VARIABLE);
    H5Tset_cset(text, H5T_CSET_UTF8);
    check_data(file, "episode_0/observations/image", H5T_STD_U8LE, 4,
               (hsize_t[]){OUT_T + 1, SIDE, SIDE, OUT_C}, true, out_image, sizeof out_image);
    check_data(file, "episode_3/observations/vector", H5T_IEEE_F32LE, 2, (hsize_t[]){OUT_T + 1, 2},
               false, out_vector, sizeof out_vector);
    check_data(file, "episode_3/observations/mode", H5T_STD_I64LE, 1, (hsize_t[]){OUT_T + 1}, false,
               mode, sizeof mode);
    check_data(file, "episode_3/observations/text", text, 1, (hsize_t[]){OUT_T + 1}, false, NULL,
               0);
    check_data(file, "episode_3/actions", H5T_IEEE_F32LE, 2, (hsize_t[]){OUT_T, 1}, false,
               out_action, sizeof out_action);
    check_data(file, "episode_3/infos/expert_action", H5T_IEEE_F32LE, 2, (hsize_t[]){OUT_T, 1},
               false, out_expert, sizeof out_expert);
    check_data(file, "episode_3/rewards", H5T_IEEE_F64LE, 1, (hsize_t[]){OUT_T}, false, rewards,
               sizeof rewards);
    check_data(file, "episode_3/terminations", flag, 1, (hsize_t[]){OUT_T}, false, out_terminated,
               OUT_T);
    check_data(file, "episode_3/truncations", flag, 1, (hsize_t[]){OUT_T}, false, out_truncated,
               OUT_T);
    hid_t d = H5Dopen2(file, "episode_3/observations/text", H5P_DEFAULT);
    char *got[OUT_T + 1];
    CHECK(H5Dread(d, text, H5S_ALL, H5S_ALL, H5P_DEFAULT, got) >= 0);
    for (int t = 0; t <= OUT_T; t++) CHECK_STR(got[t] ? got[t] : "", out_text[t]);
    hid_t space = H5Dget_space(d);
    H5Dvlen_reclaim(text, space, H5P_DEFAULT, got);
    H5Sclose(space);
    H5Dclose(d);
    H5Tclose(text);
    H5Tclose(flag);
    H5Fclose(file);
    CHECK(access(in_folder("data/.lock"), F_OK) != 0, "the lock is still there");
    folder_remove();
}

TEST(writes_metadata_to_the_byte) {
    folder_open();
    reason_t why = {""};
    REQUIRE(write_sample(folder, 2, &why) == 0, "%s", why.text);
    FILE *f = fopen(in_folder("data/metadata.json"), "r");
    static char text[400000];
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    const char *begins = "{\"action_space\":\"{\\\"type\\\": \\\"Box\\\", \\\"dtype\\\": "
                         "\\\"float32\\\", \\\"shape\\\": [1], "
                         "\\\"low\\\": [-1], "
                         "\\\"high\\\": "
                         "[1]}\",\"algorithm_name\":\"x\\\"y\",\"author\":[],\"author_email\":[],"
                         "\"code_permalink\":\"\","
                         "\"data_format\":\"hdf5\",\"dataset_id\":\"a-v0\",\"dataset_size\":0,"
                         "\"env_spec\":\"{\\\"id\\\": 1}\","
                         "\"jpeg_encoding\":false,\"minari_version\":\"0.5.3\",\"observation_"
                         "space\":\"{\\\"type\\\": \\\"Dict\\\", "
                         "\\\"subspaces\\\": {\\\"image\\\": {\\\"type\\\": \\\"Box\\\", "
                         "\\\"dtype\\\": \\\"uint8\\\", \\\"shape\\\": "
                         "[32, 32, 3], "
                         "\\\"low\\\": [[[0, 0, 0], [0, 0, 0], ";
    const char *ends =
        "\\\"vector\\\": {\\\"type\\\": \\\"Box\\\", \\\"dtype\\\": \\\"float32\\\", "
        "\\\"shape\\\": "
        "[2], \\\"low\\\": [-Infinity, "
        "-Infinity], \\\"high\\\": [Infinity, "
        "Infinity]}}}\",\"requirements\":[],\"total_episodes\":2,\"total_steps\":8}\n";
    CHECK(strncmp(text, begins, strlen(begins)) == 0, "%.900s", text);
    CHECK(strlen(text) > strlen(ends) && strcmp(text + strlen(text) - strlen(ends), ends) == 0,
          "%s", text + strlen(text) - 400);
    CHECK(strstr(text, "\\\"mode\\\": {\\\"type\\\": \\\"Discrete\\\", \\\"dtype\\\": "
                       "\\\"int64\\\", \\\"start\\\": "
                       "10, \\\"n\\\": 5}, \\\"text\\\": "));
    folder_remove();
}

TEST(same_data_same_bytes) {
    folder_open();
    reason_t why;
    CHECK(write_sample(in_folder("a"), 3, &why) == 0);
    struct timespec next_second = {1, 100000000};
    nanosleep(&next_second, NULL); /* times in HDF5 count seconds */
    CHECK(write_sample(in_folder("b"), 3, &why) == 0);
    char cmd[400];
    snprintf(cmd, sizeof cmd, "cd '%s' && diff -rq a b", folder);
    CHECK(system(cmd) == 0);
    folder_remove();
}

TEST(write_then_read) {
    folder_open();
    reason_t why;
    int rc;
    CHECK(write_sample(folder, 2, &why) == 0);
    episode_source_t *m = episode_source_open(folder, &rc, &why);
    REQUIRE(m, "%s", why.text);
    recorded_episode_t e;
    REQUIRE(episode_source_read(m, 1, &e, &why) == 0, "%s", why.text);
    const char *order[] = {"image", "mode", "text",
                           "vector"}; /* sorted, as the package sorts them */
    for (int i = 0; i < 4; i++) CHECK_STR(episode_source_obs(m, (size_t)i)->path, order[i]);
    CHECK(memcmp(e.image[0], out_image, sizeof out_image) == 0 &&
          memcmp(e.value[1], out_mode, sizeof out_mode) == 0);
    CHECK(memcmp(e.value[3], out_vector, sizeof out_vector) == 0 &&
          strcmp(e.text[2][2], "\xc3\xbc") == 0 && e.seed == -1);
    CHECK(memcmp(e.rewards, out_rewards, sizeof out_rewards) == 0 &&
          memcmp(e.expert_action[0], out_expert, sizeof out_expert) == 0);
    recorded_episode_release(&e);
    episode_source_close(m);
    folder_remove();
}

/* No other process is kept out of it by a writer that is at work: readers see the last commit. */
TEST(readable_while_it_is_written) {
    folder_open();
    reason_t why = {""};
    int rc;
    REQUIRE(write_sample(folder, 2, &why) == 0, "%s", why.text);
    int fd = open(in_folder("data/.lock"), O_CREAT | O_RDWR, 0666);
    flock(fd, LOCK_EX);
    episode_source_t *m = episode_source_open(folder, &rc, &why);
    CHECK(m && episode_source_count(m) == 2, "%s", why.text);
    episode_source_close(m);
    close(fd);
    folder_remove();
}

TEST(fault_044_two_minari_writers) {
    folder_open();
    reason_t why = {""};
    REQUIRE(write_sample(folder, 2, &why) == 0, "%s", why.text);
    int fd = open(in_folder("data/.lock"), O_CREAT | O_RDWR, 0666);
    flock(fd, LOCK_EX);
    CHECK(write_episodes(folder, 3, true, false, &why) == RC_RUNTIME &&
              strstr(why.text, "another process is writing it"),
          "%s", why.text);
    CHECK(write_sample(folder, 1, &why) == RC_RUNTIME);
    close(fd);
    int rc;
    episode_source_t *m = episode_source_open(folder, &rc, &why);
    CHECK(m && episode_source_count(m) == 2, "the other's episodes were touched");
    episode_source_close(m);
    folder_remove();
}

TEST(zero_steps_are_legal) {
    folder_open();
    reason_t why;
    int rc;
    space_leaf_t obs = leaf("", SPACE_BOX, "float32", 1, 2, 0, 0),
                 act = leaf("", SPACE_BOX, "float32", 1, 1, 0, 0);
    minari_spec_t spec = {.dataset_id = "a-v0", .obs = &obs, .n_obs = 1, .act = &act, .n_act = 1};
    float *value[] = {out_vector}, *action[] = {out_action};
    recorded_episode_t e = {.T = 0,
                            .value = value,
                            .action = action,
                            .rewards = out_rewards,
                            .terminated = out_terminated,
                            .truncated = out_truncated,
                            .seed = -1,
                            .n_obs = 1,
                            .n_act = 1};
    minari_writer_t *w = minari_writer_new(folder, &spec, false, &rc, &why);
    REQUIRE(w && minari_writer_add(w, &e, &why) == 0, "%s", why.text);
    minari_writer_close(w);
    episode_source_t *m = episode_source_open(folder, &rc, &why);
    REQUIRE(m, "%s", why.text);
    REQUIRE(episode_source_read(m, 0, &e, &why) == 0, "%s", why.text);
    CHECK(e.T == 0 && e.value[0][0] == out_vector[0] && !e.expert_action[0]);
    recorded_episode_release(&e);
    episode_source_close(m);
    folder_remove();
}

static minari_writer_t *open_box(const char *path, const char *id, bool append, int *rc,
                                 reason_t *why) {
    space_leaf_t obs = leaf("x", SPACE_BOX, "float32", 1, 1, 0, 0),
                 act = leaf(path, SPACE_BOX, "float32", 1, 1, 0, 0);
    minari_spec_t spec = {
        .dataset_id = id, .obs = &obs, .n_obs = 1, .act = &act, .n_act = 1, .dict_obs = true};
    return minari_writer_new(folder, &spec, append, rc, why);
}

TEST(another_spec_is_refused) {
    folder_open();
    reason_t why = {""};
    int rc;
    minari_writer_close(open_box("", "a-v0", false, &rc, &why));
    CHECK(!open_box("", "b-v0", true, &rc, &why) && rc == RC_MISFIT, "%s", why.text);
    CHECK(!open_box("y", "a-v0", true, &rc, &why) && rc == RC_MISFIT, "%s", why.text);
    minari_writer_t *w = open_box("", "a-v0", true, &rc, &why);
    CHECK(w, "%s", why.text);
    minari_writer_close(w);
    folder_remove();
}

/* A damaged file, or one of libhdf5's own, is refused, not overwritten. */
TEST(foreign_files_are_refused) {
    folder_open();
    reason_t why = {""};
    int rc;
    minari_writer_close(open_box("", "a-v0", false, &rc, &why));
    const char *path = in_folder("data/main_data.hdf5");
    for (int at = 0; at < 100; at++) {
        int fd = open(path, O_RDWR);
        uint8_t byte, other;
        if (pread(fd, &byte, 1, at) != 1) {
            close(fd);
            break;
        }
        other = byte ^ 0x10;
        CHECK(pwrite(fd, &other, 1, at) == 1);
        CHECK(!open_box("", "a-v0", true, &rc, &why) && rc == RC_DATA, "byte %d", at);
        CHECK(pwrite(fd, &byte, 1, at) == 1);
        close(fd);
    }
    H5Fclose(H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
    CHECK(!open_box("", "a-v0", true, &rc, &why) && rc == RC_DATA, "%s", why.text);
    folder_remove();
}

/* ---- names, gaps, long episodes ---- */

enum { LONG_T = 3000, ROW = 2500 };

/* Row t of the long dataset: 10 kB, so that 16 MB hold 1677 rows. */
static void long_row(size_t t, float *row) {
    for (size_t k = 0; k < ROW; k++) row[k] = (float)(t * 7 + k % 11);
}

/* The chunk that begins with this row: all its bytes, those behind the last row zero. */
static void check_last_chunk(hid_t file, const char *path, hsize_t row, size_t rows, size_t bytes,
                             bool zip) {
    hid_t d = H5Dopen2(file, path, H5P_DEFAULT), p = H5Dget_create_plist(d);
    hsize_t chunk[8], offset[8] = {row}, stored = 0;
    uint32_t mask = 1;
    REQUIRE(d >= 0 && H5Pget_chunk(p, 8, chunk) > 0, "%s", path);
    REQUIRE(H5Dget_chunk_storage_size(d, offset, &stored) >= 0 && stored > 0, "%s", path);
    uLongf whole = chunk[0] * bytes;
    uint8_t *raw = malloc(stored), *v = zip ? malloc(whole) : raw;
    CHECK(H5Dread_chunk(d, H5P_DEFAULT, offset, &mask, raw) >= 0 && mask == 0);
    if (zip)
        CHECK(uncompress(v, &whole, raw, stored) == Z_OK);
    else
        CHECK(stored == whole, "%zu of %zu bytes", (size_t)stored, (size_t)whole);
    CHECK(whole == chunk[0] * bytes);
    for (size_t i = rows * bytes; i < whole; i++)
        if (v[i]) {
            CHECK(v[i] == 0, "%s: byte %zu", path, i);
            break;
        }
    if (zip) free(v);
    free(raw);
    H5Pclose(p);
    H5Dclose(d);
}

TEST(datasets_of_several_chunks) {
    folder_open();
    reason_t why;
    int rc;
    space_leaf_t obs[] = {leaf("agent/arm", SPACE_BOX, "float32", 1, ROW, 0, 0),
                          leaf("agent/eye", SPACE_IMAGE, "uint8", 3, 50, 70, 3),
                          leaf("say", SPACE_TEXT, "str", 0, 0, 0, 0)},
                 act[] = {leaf("a", SPACE_DISCRETE, "int64", 1, 2, 0, 0),
                          leaf("b/c", SPACE_BOX, "float64", 0, 0, 0, 0)};
    double first[] = {0, -1}, last[] = {3, 2};
    act[0].low = first;
    act[0].high = last;
    minari_spec_t spec = {
        .dataset_id = "a-v0", .obs = obs, .n_obs = 3, .act = act, .n_act = 2, .dict_obs = true};
    minari_writer_t *w = minari_writer_new(folder, &spec, false, &rc, &why);
    REQUIRE(w, "%s", why.text);
    minari_writer_begin(w, -1);
    float *row = malloc(ROW * sizeof *row), wide = 0;
    static uint8_t eye[50 * 70 * 3];
    char word[80], *words[] = {word}, **text[] = {NULL, NULL, words};
    for (size_t t = 0; t <= LONG_T; t++) {
        long_row(t, row);
        memset(eye, (int)(t % 256), sizeof eye);
        snprintf(word, sizeof word, t % 3 ? "step %zu, %0*d" : "", t, (int)(t % 40), 0);
        uint8_t there = t % 2 == 0, flag = 0, *image[] = {NULL, eye, NULL},
                *present[] = {NULL, &there, NULL};
        float pair[] = {(float)(t % 4), (float)(t % 3)}, *value[] = {row, NULL, NULL},
              *action[] = {pair, &wide}, reward = (float)t;
        wide = (float)t / 4;
        recorded_episode_t e = {.T = t < LONG_T,
                                .image = image,
                                .value = value,
                                .text = text,
                                .present = present,
                                .action = action,
                                .rewards = &reward,
                                .terminated = &flag,
                                .truncated = &flag,
                                .success = &flag,
                                .n_obs = 3,
                                .n_act = 2};
        minari_writer_rows(w, &e, t == LONG_T);
    }
    minari_note_t note = {.number = 9, .ret = 0.1, .success = true};
    REQUIRE(minari_writer_end(w, &note, &why) == 0, "%s", why.text);
    minari_writer_close(w);
    hid_t file = H5Fopen(in_folder("data/main_data.hdf5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t d = H5Dopen2(file, "episode_0/observations/agent/arm", H5P_DEFAULT);
    REQUIRE(d >= 0);
    float *all = malloc((LONG_T + 1) * sizeof(float) * ROW);
    CHECK(H5Dread(d, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, all) >= 0);
    for (size_t t = 0; t <= LONG_T; t++) {
        long_row(t, row);
        CHECK(memcmp(row, all + t * ROW, ROW * sizeof *row) == 0, "row %zu", t);
    }
    H5Dclose(d);
    enum { ARM_ROWS = (16 << 20) / (4 * ROW), EYE_ROWS = (16 << 20) / sizeof eye };
    check_last_chunk(file, "episode_0/observations/agent/arm", ARM_ROWS, LONG_T + 1 - ARM_ROWS,
                     4 * ROW, false);
    check_last_chunk(file, "episode_0/observations/agent/eye", EYE_ROWS, LONG_T + 1 - EYE_ROWS,
                     sizeof eye, true);
    H5Fclose(file);
    free(all);
    free(row);
    episode_source_t *m = episode_source_open(folder, &rc, &why);
    REQUIRE(m, "%s", why.text);
    recorded_episode_t e;
    REQUIRE(episode_source_read(m, 0, &e, &why) == 0, "%s", why.text);
    CHECK(e.T == LONG_T && e.success && !e.expert_action[0] && !e.present[0] && e.present[1]);
    for (size_t t = 0; t <= LONG_T; t++) {
        snprintf(word, sizeof word, t % 3 ? "step %zu, %0*d" : "", t, (int)(t % 40), 0);
        CHECK(strcmp(e.text[2][t], word) == 0, "text %zu", t);
        CHECK(e.present[1][t] == (t % 2 == 0) && e.image[1][t * sizeof eye + 77] == t % 256);
    }
    for (size_t t = 0; t < LONG_T; t++)
        CHECK(e.action[0][2 * t] == (float)(t % 4) && e.action[0][2 * t + 1] == (float)(t % 3) &&
                  e.action[1][t] == (float)t / 4 && e.rewards[t] == (float)t,
              "step %zu", t);
    recorded_episode_release(&e);
    episode_source_close(m);
    w = minari_writer_new(folder, &spec, true, &rc, &why);
    REQUIRE(w && minari_writer_count(w) == 1, "%s", why.text);
    const minari_note_t *again = minari_writer_notes(w);
    CHECK(again->number == 9 && again->ret == 0.1 && again->success && again->T == LONG_T);
    minari_writer_close(w);
    folder_remove();
}

/* Metadata hold the reference scores where both are known. */
TEST(reference_scores) {
    folder_open();
    static const struct {
        double random, expert;
        const char *holds;
    } known[] = {{-15.88, -4.74, "\"ref_max_score\":-4.74,\"ref_min_score\":-15.88,"},
                 {0.5, 0.25, "\"ref_max_score\":0.25,\"ref_min_score\":0.5,"},
                 {0, 0, NULL},
                 {NAN, 3, NULL},
                 {3, NAN, NULL},
                 {-INFINITY, 3, NULL}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        reason_t why = {""};
        int rc = 0;
        uint8_t *text;
        size_t size;
        space_leaf_t box = leaf("", SPACE_BOX, "float32", 1, 1, 0, 0);
        minari_spec_t spec = {.obs = &box,
                              .act = &box,
                              .n_obs = 1,
                              .n_act = 1,
                              .random_return = known[i].random,
                              .expert_return = known[i].expert};
        minari_writer_t *w = minari_writer_new(folder, &spec, false, &rc, &why);
        REQUIRE(w, "%s", why.text);
        minari_writer_close(w);
        REQUIRE(!fs_read(in_folder("data/metadata.json"), 0, &text, &size, &why), "%s", why.text);
        const char *at = strstr((const char *)text, known[i].holds ? known[i].holds : "ref_");
        CHECK(!at == !known[i].holds, "%zu: %s", i, (const char *)text);
        free(text);
        episode_source_t *m = episode_source_open(folder, &rc, &why);
        REQUIRE(m, "%s", why.text);
        if (known[i].holds)
            CHECK(episode_source_random_return(m) == known[i].random &&
                  episode_source_expert_return(m) == known[i].expert);
        else
            CHECK(isnan(episode_source_random_return(m)));
        episode_source_close(m);
    }
    folder_remove();
}

TEST(names_that_exclude_each_other) {
    folder_open();
    static const char *const pair[][2] = {{"a", "a/b"},  {"a/b", "a"}, {"a", "a"}, {"/a", "b"},
                                          {"a//c", "b"}, {"a/", "b"},  {"", "b"}};
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        reason_t why = {""};
        int rc = 0;
        space_leaf_t obs[] = {leaf(pair[i][0], SPACE_BOX, "float32", 0, 0, 0, 0),
                              leaf(pair[i][1], SPACE_BOX, "float32", 0, 0, 0, 0)};
        minari_spec_t spec = {.obs = obs, .n_obs = 2, .act = obs, .n_act = 1, .dict_obs = true};
        CHECK(!minari_writer_new(folder, &spec, false, &rc, &why) && rc == RC_USAGE && *why.text,
              "%s", pair[i][0]);
    }
    folder_remove();
}

#else

TEST(looked_at_with_libhdf5) {
    SKIP("what the writer makes (built without HDF5)");
}

#endif
