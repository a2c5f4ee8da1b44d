/* test_minari.c - reading Minari datasets: fixtures are made by libhdf5 called directly, so that
 * the project's writer has no hand in them. tests/interop/minari_roundtrip.py reads what the Python
 * package writes.
 */
#include "common/io/episodes/minari_meta.h"
#include "tests/minari_case.h"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef WITH_HDF5
TEST(reads_what_libhdf5_wrote) {
    make_fixture();
    int rc;
    reason_t why;
    episode_source_t *m = open_fixture(&rc, &why);
    REQUIRE(m, "%s", why.text);
    CHECK(episode_source_count(m) == EPISODES && episode_source_n_obs(m) == 4 &&
          episode_source_n_act(m) == 1);
    CHECK_STR(episode_source_dataset_id(m), "made/by-hand-v0");
    CHECK_STR(episode_source_env_spec(m), "{\"id\": \"E-v0\"}");
    CHECK(isnan(episode_source_random_return(m)) && isnan(episode_source_expert_return(m)));
    CHECK(episode_source_obs(m, 0)->kind == SPACE_IMAGE &&
          episode_source_obs(m, 0)->count == FRAME &&
          episode_source_act(m, 0)->high[0] == INFINITY);
    for (size_t e = 0; e < EPISODES; e++) check_episode(m, e);
    size_t T = 0, n, h, w, c;
    uint8_t *frames;
    CHECK(episode_source_steps(m, 4, &T, &why) == 0 && T == 7);
    REQUIRE(episode_source_read_frames(m, 2, &frames, &n, &h, &w, &c, &why) == 0, "%s", why.text);
    CHECK(n == 6 && h == SIDE && w == SIDE && c == 1);
    for (size_t i = 0; i < n * FRAME; i++) CHECK(frames[i] == pixel(2, i));
    free(frames);
    episode_source_close(m);
    m = episode_source_open(in_folder("set/data"), &rc, &why); /* the data folder itself */
    CHECK(m);
    episode_source_close(m);
    folder_remove();
}

/* ---- bad episodes ---- */

/* Replaces one dataset of episode_2 by one of other rows. */
static void replace(const char *path, void (*make)(hid_t group, const char *name),
                    const char *says) {
    make_fixture();
    hid_t file = fixture_file(), g = H5Gopen2(file, "episode_2", H5P_DEFAULT);
    H5Ldelete(g, path, H5P_DEFAULT);
    if (make) make(g, path);
    H5Gclose(g);
    H5Fclose(file);
    expect_bad(2, says);
    folder_remove();
}

static void short_numbers(hid_t g, const char *name) {
    put_numbers(g, name, H5T_IEEE_F32LE, 2, 4, 1);
}
static void wide_numbers(hid_t g, const char *name) {
    put_numbers(g, name, H5T_IEEE_F32LE, 2, 6, 3);
}
static void short_frames(hid_t g, const char *name) {
    put_frames(g, name, 2, 5);
}
static void some_texts(hid_t g, const char *name) {
    put_texts(g, name, 6, true);
}
static void big_discrete(hid_t g, const char *name) {
    put(g, name, H5T_STD_I64LE, H5T_NATIVE_INT, 1, (hsize_t[]){6}, (int[]){0, 1, 2, 3, 4, 0});
}

TEST(fault_038_rewards_shorter_than_actions) {
    replace("rewards", short_numbers, "episode_2:rewards: 4 rows where total_steps asks for 5");
}
TEST(fault_038_observations_T_instead_of_T_plus_1) {
    replace("observations/image", short_frames,
            "episode_2:observations/image: 5 rows where total_steps asks for 6");
}
TEST(fault_038_rows_of_another_width) {
    replace("observations/vector", wide_numbers,
            "episode_2:observations/vector: rows of another shape");
}
TEST(fault_038_texts_for_numbers) {
    replace("observations/vector", some_texts, "observations/vector: rows of another shape");
}
TEST(fault_038_discrete_out_of_range) {
    replace("observations/mode", big_discrete, "step 4: 4 is not in -3..3");
}
TEST(fault_038_field_missing) {
    replace("actions", NULL, "episode_2:actions: missing");
}
TEST(fault_038_numbers_for_frames) {
    replace("observations/image", wide_numbers,
            "episode_2:observations/image: rows of another shape");
}

static void jpeg_matrix(hid_t g, const char *name) {
    uint8_t v[6 * 50] = {0xFF, 0xD8, 0xFF};
    put(g, name, H5T_STD_U8LE, H5T_NATIVE_UINT8, 2, (hsize_t[]){6, 50}, v);
}

static void jpeg_vlen(hid_t g, const char *name) {
    uint8_t bytes[4] = {0xFF, 0xD8, 0xFF, 0xE0};
    hvl_t v[6];
    for (int i = 0; i < 6; i++) v[i] = (hvl_t){.len = 4, .p = bytes};
    hid_t type = H5Tvlen_create(H5T_NATIVE_UINT8);
    put(g, name, type, type, 1, (hsize_t[]){6}, v);
    H5Tclose(type);
}

TEST(fault_038_jpeg_rows_that_are_none) {
    replace("observations/image", jpeg_matrix, "episode_2:observations/image: row 0: ");
    replace("observations/image", jpeg_vlen, "episode_2:observations/image: row 0: ");
}

TEST(fault_038_missing_episode) {
    make_fixture();
    hid_t file = fixture_file();
    H5Ldelete(file, "episode_3", H5P_DEFAULT);
    H5Fclose(file);
    expect_bad(3, "episode_3: missing");
    folder_remove();
}

static void expect_unusable(int want, const char *says) {
    int rc;
    reason_t why;
    episode_source_t *m = open_fixture(&rc, &why);
    CHECK(!m && rc == want, "rc %d", rc);
    CHECK(strstr(why.text, says), "'%s' does not say '%s'", why.text, says);
    episode_source_close(m);
    folder_remove();
}

TEST(fault_038_total_episodes_far_off) {
    make_fixture();
    write_fixture_meta(500, "");
    expect_unusable(RC_DATA, "total_episodes is 500 but there are 5");
}
TEST(fault_038_metadata_missing) {
    make_fixture();
    unlink(in_folder("set/data/metadata.json"));
    expect_unusable(RC_DATA, "metadata.json");
}
TEST(fault_038_metadata_malformed) {
    make_fixture();
    write_text(in_folder("set/data/metadata.json"), "{\"total_episodes\": 5,");
    expect_unusable(RC_DATA, "metadata.json:");
}
TEST(fault_038_arrow_refused) {
    make_fixture();
    write_text(in_folder("set/data/metadata.json"), "{\"data_format\": \"parquet\"}");
    expect_unusable(RC_DATA, "'parquet' is not read here, only 'hdf5': convert it");
}
TEST(fault_038_truncated) {
    make_fixture();
    struct stat s;
    stat(in_folder("set/data/main_data.hdf5"), &s);
    if (truncate(in_folder("set/data/main_data.hdf5"), s.st_size / 2)) exit(1);
    expect_unusable(RC_DATA, "truncated");
}
TEST(fault_038_no_hdf5) {
    make_fixture();
    write_text(in_folder("set/data/main_data.hdf5"), "hello");
    expect_unusable(RC_DATA, "not an HDF5 file");
}
TEST(fault_038_locked_by_a_writer) {
    make_fixture();
    int fd = open(in_folder("set/data/main_data.hdf5"), O_RDWR);
    flock(fd, LOCK_EX);
    int rc;
    reason_t why;
    CHECK(!open_fixture(&rc, &why) && rc == RC_DATA && strstr(why.text, "locked"), "%s", why.text);
    close(fd);
    folder_remove();
}
TEST(fault_038_no_dataset) {
    folder_open();
    mkdir(in_folder("set"), 0777);
    expect_unusable(RC_USAGE, "is no Minari dataset");
}

/* Truncation at many places: open or reading fails with a reason, nothing crashes. */
TEST(fault_038_truncated_anywhere) {
    make_fixture();
    struct stat s;
    stat(in_folder("set/data/main_data.hdf5"), &s);
    int good = 0;
    for (off_t cut = s.st_size - 1; cut > 0; cut -= s.st_size / 40) {
        if (truncate(in_folder("set/data/main_data.hdf5"), cut)) exit(1);
        int rc;
        reason_t why;
        episode_source_t *m = open_fixture(&rc, &why);
        good += m != NULL;
        episode_source_close(m);
    }
    CHECK(good == 0, "%d opened", good);
    folder_remove();
}

/* ---- hostile files ---- */

static void external_link(hid_t g, const char *name) {
    H5Lcreate_external("/etc/passwd", "/x", g, name, H5P_DEFAULT, H5P_DEFAULT);
}
static void soft_link(hid_t g, const char *name) {
    H5Lcreate_soft("/episode_0/rewards", g, name, H5P_DEFAULT, H5P_DEFAULT);
}

TEST(fault_039_external_link) {
    replace("rewards", external_link, "rewards: refused: an external link");
}
TEST(fault_039_external_link_to_a_group) {
    replace("observations", external_link, "observations/image: refused: an external link");
}
TEST(fault_039_soft_link) {
    replace("rewards", soft_link, "rewards: refused: a symbolic link");
}

static void put_created(hid_t g, const char *name, hid_t create, int rank, const hsize_t *dim,
                        bool fill) {
    hid_t space = H5Screate_simple(rank, dim, NULL);
    hid_t d = H5Dcreate2(g, name, rank == 3 ? H5T_STD_U8LE : H5T_IEEE_F64LE, space, H5P_DEFAULT,
                         create, H5P_DEFAULT);
    double v[16] = {0};
    if (d < 0) exit(1);
    if (fill) H5Dwrite(d, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, v);
    H5Dclose(d);
    H5Sclose(space);
    H5Pclose(create);
}

static void external_storage(hid_t g, const char *name) {
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(create, "/etc/hostname", 0, 40);
    put_created(g, name, create, 1, (hsize_t[]){5}, false);
}

static void virtual_storage(hid_t g, const char *name) {
    hid_t create = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, (hsize_t[]){5}, NULL);
    H5Pset_virtual(create, space, "/etc/hostname", "x", space);
    H5Sclose(space);
    put_created(g, name, create, 1, (hsize_t[]){5}, false);
}

TEST(fault_039_storage_in_another_file) {
    replace("rewards", external_storage, "rewards: refused: its data lie in another file");
    replace("rewards", virtual_storage, "rewards: refused: its data lie in another file");
}

static size_t filter_identity(unsigned flags, size_t n_cd, const unsigned *cd, size_t bytes,
                              size_t *size, void **buf) {
    return bytes;
}

static void unknown_filter(hid_t g, const char *name) {
    static const H5Z_class2_t filter = {H5Z_CLASS_T_VERS, 31999, 1,    1,
                                        "mystery",        NULL,  NULL, filter_identity};
    H5Zregister(&filter);
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(create, 1, (hsize_t[]){5});
    H5Pset_filter(create, 31999, H5Z_FLAG_MANDATORY, 0, NULL);
    put_created(g, name, create, 1, (hsize_t[]){5}, true);
    H5Zunregister(31999);
}

TEST(fault_039_filter_plugin) {
    replace("rewards", unknown_filter, "rewards: refused: needs the filter plugin 31999 'mystery'");
}

/* A billion frames in a file of kilobytes, with total_steps forged to match. */
static void huge_frames(hid_t g, const char *name) {
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(create, 3, (hsize_t[]){1, SIDE, SIDE});
    put_created(g, name, create, 3, (hsize_t[]){1000000000, SIDE, SIDE}, false);
    H5Adelete(g, "total_steps");
    put_attr(g, "total_steps", 999999999);
}

TEST(fault_039_dims_beyond_the_file) {
    make_fixture();
    hid_t file = fixture_file(), g = H5Gopen2(file, "episode_2", H5P_DEFAULT);
    H5Ldelete(g, "observations/image", H5P_DEFAULT);
    huge_frames(g, "observations/image");
    H5Gclose(g);
    H5Fclose(file);
    int rc;
    reason_t why;
    size_t n, h, w, c;
    uint8_t *frames;
    episode_source_t *m = open_fixture(&rc, &why);
    REQUIRE(m, "%s", why.text);
    CHECK(episode_source_read_frames(m, 2, &frames, &n, &h, &w, &c, &why) ==
                  EPISODE_SOURCE_REFUSED &&
              strstr(why.text, "refused: claims 1024000000000 bytes"),
          "%s", why.text);
    episode_source_close(m);
    folder_remove();
}

static void forged_steps(long long steps, const char *says) {
    make_fixture();
    hid_t file = fixture_file(), g = H5Gopen2(file, "episode_2", H5P_DEFAULT);
    H5Adelete(g, "total_steps");
    if (steps > -2) put_attr(g, "total_steps", steps);
    H5Gclose(g);
    H5Fclose(file);
    expect_bad(2, says);
    folder_remove();
}

TEST(fault_039_forged_total_steps) {
    forged_steps(1000000000000000000, "episode_2:total_steps: 1000000000000000000 is no length");
    forged_steps(-1, "total_steps: -1 is no length");
    forged_steps(-2, "total_steps: missing");
}

#else

TEST(fault_038_built_without_hdf5) {
    int rc = 0;
    reason_t why;
    folder_open();
    mkdir(in_folder("data"), 0777);
    write_text(in_folder("data/metadata.json"), "{}");
    CHECK(!episode_source_open(folder, &rc, &why) && rc == RC_RUNTIME &&
          strstr(why.text, "built without HDF5"));
    folder_remove();
}

#endif
