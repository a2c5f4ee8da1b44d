/* test_minari.c - reading Minari datasets: fixtures are made by libhdf5 called directly, so that
 * the project's writer has no hand in them. tests/interop/minari_roundtrip.py reads what the Python
 * package writes.
 */
#include "common/io/episodes/episode_source.h"
#include "common/io/episodes/minari_meta.h"
#include "common/io/fs.h"
#include "tests/folder.h"
#include "tests/test.h"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f)) exit(1);
}

#ifdef WITH_HDF5
#include "tests/minari_spaces.h"
#include <hdf5.h>

/* ---- fixtures: a dataset of 5 episodes made with plain libhdf5 ---- */

enum { EPISODES = 5, SIDE = 32, FRAME = SIDE * SIDE };

static size_t steps_of(size_t e) {
    return 3 + e;
}
static uint8_t pixel(size_t e, size_t i) {
    return (uint8_t)(e * 31 + i * 7 + i / 256);
}
static double number(size_t e, size_t i) {
    return (double)i * 0.5 - (double)e;
}

static void put(hid_t group, const char *name, hid_t type, hid_t memory, int rank,
                const hsize_t *dim, const void *data) {
    hid_t space = H5Screate_simple(rank, dim, NULL);
    hid_t d = H5Dcreate2(group, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (d < 0 || H5Dwrite(d, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) exit(1);
    H5Dclose(d);
    H5Sclose(space);
}

static void put_attr(hid_t group, const char *name, long long v) {
    hid_t space = H5Screate(H5S_SCALAR),
          a = H5Acreate2(group, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(a, H5T_NATIVE_LLONG, &v);
    H5Aclose(a);
    H5Sclose(space);
}

static void put_numbers(hid_t group, const char *name, hid_t type, size_t e, size_t rows,
                        size_t width) {
    double v[64];
    for (size_t i = 0; i < rows * width; i++) v[i] = number(e, i);
    put(group, name, type, H5T_NATIVE_DOUBLE, width > 1 ? 2 : 1, (hsize_t[]){rows, width}, v);
}

static void put_frames(hid_t group, const char *name, size_t e, size_t rows) {
    uint8_t *v = malloc(rows * FRAME);
    for (size_t i = 0; i < rows * FRAME; i++) v[i] = pixel(e, i);
    put(group, name, H5T_STD_U8LE, H5T_NATIVE_UINT8, 3, (hsize_t[]){rows, SIDE, SIDE}, v);
    free(v);
}

static void put_texts(hid_t group, const char *name, size_t rows, bool variable) {
    char fixed[16][8] = {""};
    char *variables[16];
    hid_t type = H5Tcopy(H5T_C_S1);
    for (size_t i = 0; i < rows; i++) {
        snprintf(fixed[i], 8, "go %u", (unsigned)i % 1000);
        variables[i] = fixed[i];
    }
    H5Tset_size(type, variable ? H5T_VARIABLE : 8);
    if (variable) H5Tset_cset(type, H5T_CSET_UTF8);
    put(group, name, type, type, 1, (hsize_t[]){rows},
        variable ? (void *)variables : (void *)fixed);
    H5Tclose(type);
}

static void put_flags(hid_t group, const char *name, size_t rows) {
    int8_t v[16] = {0};
    v[rows - 1] = 1;
    hid_t type = H5Tenum_create(H5T_STD_I8LE);
    H5Tenum_insert(type, "FALSE", &(int8_t){0});
    H5Tenum_insert(type, "TRUE", &(int8_t){1});
    put(group, name, type, type, 1, (hsize_t[]){rows}, v);
    H5Tclose(type);
}

static void fixture_episode(hid_t file, size_t e) {
    char name[32];
    size_t T = steps_of(e);
    snprintf(name, sizeof name, "episode_%zu", e);
    hid_t g = H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t obs = H5Gcreate2(g, "observations", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t infos = H5Gcreate2(g, "infos", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    put_attr(g, "id", (long long)e);
    put_attr(g, "total_steps", (long long)T);
    if (e == 1) put_attr(g, "seed", 77);
    put_frames(obs, "image", e, T + 1);
    put_texts(obs, "text", T + 1, e % 2);
    put_numbers(obs, "vector", e % 2 ? H5T_IEEE_F32LE : H5T_IEEE_F64BE, e, T + 1, 2);
    long long mode[16];
    for (size_t t = 0; t <= T; t++) mode[t] = (long long)(t % 4) - 3;
    put(obs, "mode", H5T_STD_I16LE, H5T_NATIVE_LLONG, 1, (hsize_t[]){T + 1}, mode);
    put_numbers(g, "actions", H5T_IEEE_F32LE, e, T, 2);
    put_numbers(g, "rewards", e % 2 ? H5T_IEEE_F64LE : H5T_IEEE_F32LE, e, T, 1);
    put_flags(g, "terminations", T);
    put_flags(g, "truncations", T);
    if (e == 2) put_numbers(infos, "expert_action", H5T_IEEE_F64LE, e, T, 2);
    if (e == 3) put_numbers(infos, "expert_action", H5T_IEEE_F64LE, e, T + 1, 2);
    H5Gclose(infos);
    H5Gclose(obs);
    H5Gclose(g);
}

#define LIST32(x)                                                                                  \
    "[" x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x      \
    "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x      \
    "," x "," x "]"

static const char fixture_meta[] =
    "{\"total_episodes\": %d, \"total_steps\": 25, \"data_format\": \"hdf5\"%s, \"dataset_id\": "
    "\"made/by-hand-v0\", "
    "\"env_spec\": \"{\\\"id\\\": \\\"E-v0\\\"}\", \"action_space\": \"%s\", "
    "\"observation_space\": "
    "\"{\\\"type\\\": \\\"Dict\\\", \\\"subspaces\\\": {\\\"image\\\": {\\\"type\\\": \\\"Box\\\", "
    "\\\"dtype\\\": "
    "\\\"uint8\\\", "
    "\\\"shape\\\": [32, 32], \\\"low\\\": " LIST32(LIST32("0")) ", \\\"high\\\": " LIST32(
        LIST32("255")) "}, "
                       "\\\"mode\\\": " DISCRETE ", \\\"text\\\": {\\\"type\\\": \\\"Text\\\", "
                       "\\\"max_length\\\": 9}, \\\"vector\\\": %s}}\"}";

static void write_fixture_meta(int episodes, const char *more) {
    char *text = xasprintf(fixture_meta, episodes, more, box2, box2);
    write_text(in_folder("set/data/metadata.json"), text);
    free(text);
}

static hid_t fixture_file(void) {
    return H5Fopen(in_folder("set/data/main_data.hdf5"), H5F_ACC_RDWR, H5P_DEFAULT);
}

static void make_fixture(void) {
    folder_open();
    mkdir(in_folder("set"), 0777);
    mkdir(in_folder("set/data"), 0777);
    write_fixture_meta(EPISODES, "");
    hid_t file =
        H5Fcreate(in_folder("set/data/main_data.hdf5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    for (size_t e = 0; e < EPISODES; e++) fixture_episode(file, e);
    H5Fclose(file);
}

static episode_source_t *open_fixture(int *rc, reason_t *why) {
    *rc = 0;
    why->text[0] = 0;
    return episode_source_open(in_folder("set"), rc, why);
}

static void check_episode(episode_source_t *m, size_t e) {
    recorded_episode_t p;
    reason_t why = {""};
    REQUIRE(episode_source_read(m, e, &p, &why) == 0, "%s", why.text);
    size_t T = steps_of(e);
    REQUIRE(p.T == T && p.n_obs == 4 && p.n_act == 1);
    CHECK(p.seed == (e == 1 ? 77 : -1));
    CHECK(!p.value[0] && !p.text[0] && !p.image[1] && !p.value[2] && !p.image[3]);
    for (size_t i = 0; i < (T + 1) * FRAME; i++)
        CHECK(p.image[0][i] == pixel(e, i), "pixel %zu", i);
    for (size_t t = 0; t <= T; t++) {
        char text[8];
        snprintf(text, sizeof text, "go %zu", t);
        CHECK(p.value[1][t] == (float)(t % 4), "mode %g", (double)p.value[1][t]);
        CHECK_STR(p.text[2][t], text);
    }
    for (size_t i = 0; i < (T + 1) * 2; i++) CHECK(p.value[3][i] == (float)number(e, i));
    for (size_t i = 0; i < T * 2; i++) CHECK(p.action[0][i] == (float)number(e, i));
    CHECK(!p.expert_action[0] == (e != 2 && e != 3));
    for (size_t i = 0; p.expert_action[0] && i < T * 2; i++)
        CHECK(p.expert_action[0][i] == (float)number(e, i));
    for (size_t t = 0; t < T; t++) {
        CHECK(p.rewards[t] == (float)number(e, t));
        CHECK(p.terminated[t] == (t == T - 1) && p.truncated[t] == (t == T - 1));
    }
    recorded_episode_release(&p);
}

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

/* ---- infos ---- */

static void put_bools(hid_t group, const char *name, size_t rows, const int8_t *v) {
    hid_t type = H5Tenum_create(H5T_STD_I8LE);
    H5Tenum_insert(type, "FALSE", &(int8_t){0});
    H5Tenum_insert(type, "TRUE", &(int8_t){1});
    put(group, name, type, type, 1, (hsize_t[]){rows}, v);
    H5Tclose(type);
}

/* Changes /episode_{e}/infos of the fixture. */
static void with_infos(size_t e, void (*change)(hid_t infos)) {
    char path[40];
    snprintf(path, sizeof path, "episode_%zu/infos", e);
    hid_t file = fixture_file(), infos = H5Gopen2(file, path, H5P_DEFAULT);
    change(infos);
    H5Gclose(infos);
    H5Fclose(file);
}

static void read_fixture(size_t e, recorded_episode_t *p) {
    int rc;
    reason_t why;
    episode_source_t *m = open_fixture(&rc, &why);
    REQUIRE(m, "%s", why.text);
    REQUIRE(episode_source_read(m, e, p, &why) == 0, "%s", why.text);
    episode_source_close(m);
}

/* Episode 1 has 4 steps. The collector writes an info at reset too: the flag of step t is in row
 * t + 1, the mask of observation t in row t. */
static void infos_of_a_collector(hid_t infos) {
    put_bools(infos, "success", 5, (int8_t[]){1, 0, 1, 0, 1});
    hid_t present = H5Gcreate2(infos, "present", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    put_bools(present, "image", 5, (int8_t[]){1, 0, 1, 1, 0});
    put(present, "vector", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 1, (hsize_t[]){4},
        (double[]){0, 1, 0.25, 0});
    H5Gclose(present);
}
static void infos_by_step(hid_t infos) {
    put(infos, "success", H5T_STD_I64LE, H5T_NATIVE_INT, 2, (hsize_t[]){4, 1},
        (int[]){0, -1, 0, 300});
}

TEST(infos_success_and_present) {
    recorded_episode_t p;
    make_fixture();
    with_infos(1, infos_of_a_collector);
    read_fixture(1, &p);
    REQUIRE(p.success && p.present);
    CHECK(memcmp(p.success, (uint8_t[]){0, 1, 0, 1}, 4) == 0);
    CHECK(p.present[0] && memcmp(p.present[0], (uint8_t[]){1, 0, 1, 1, 0}, 5) == 0);
    CHECK(p.present[3] && memcmp(p.present[3], (uint8_t[]){0, 1, 1, 0, 1}, 5) == 0);
    CHECK(!p.present[1] && !p.present[2]);
    recorded_episode_release(&p);
    read_fixture(0, &p);
    CHECK(!p.success && !p.present[0]);
    recorded_episode_release(&p);
    folder_remove();
    make_fixture();
    with_infos(1, infos_by_step);
    read_fixture(1, &p);
    CHECK(p.success && memcmp(p.success, (uint8_t[]){0, 1, 0, 1}, 4) == 0);
    recorded_episode_release(&p);
    folder_remove();
}

static void strange_success(hid_t infos) {
    put(infos, "success", H5T_STD_I64LE, H5T_NATIVE_INT, 2, (hsize_t[]){4, 2}, (int[8]){0});
}
static void short_present(hid_t infos) {
    hid_t present = H5Gcreate2(infos, "present", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    put_bools(present, "image", 3, (int8_t[]){1, 0, 1});
    H5Gclose(present);
}
static void nan_present(hid_t infos) {
    hid_t present = H5Gcreate2(infos, "present", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    put(present, "vector", H5T_IEEE_F32LE, H5T_NATIVE_DOUBLE, 1, (hsize_t[]){5},
        (double[]){1, 1, NAN, 1, 1});
    H5Gclose(present);
}
static void linked_present(hid_t infos) {
    H5Lcreate_external("/etc/passwd", "/x", infos, "present", H5P_DEFAULT, H5P_DEFAULT);
}

static void expect_bad(size_t e, const char *says);

/* What is called success may be something else; a mask that does not fit is a defect. */
TEST(infos_that_do_not_fit) {
    recorded_episode_t p;
    make_fixture();
    with_infos(1, strange_success);
    read_fixture(1, &p);
    CHECK(!p.success);
    recorded_episode_release(&p);
    folder_remove();
    static const struct {
        void (*change)(hid_t infos);
        const char *says;
    } bad[] = {{short_present, "infos/present/image: 3 rows where total_steps asks for 4"},
               {nan_present, "infos/present/vector: step 2: NaN"},
               {linked_present, "infos/present/image: refused: an external link"}};
    for (size_t i = 0; i < 3; i++) {
        make_fixture();
        with_infos(1, bad[i].change);
        expect_bad(1, bad[i].says);
        folder_remove();
    }
}

/* ---- several actions ---- */

#define DICT2(a, b)                                                                                \
    "{\\\"type\\\": \\\"Dict\\\", \\\"subspaces\\\": {\\\"arm\\\": " a ", \\\"hand\\\": " b "}}"
static const char box3[] =
    "{\\\"type\\\": \\\"Box\\\", \\\"dtype\\\": \\\"float32\\\", \\\"shape\\\": [3], \\\"low\\\": "
    "[-1, -1, -1], \\\"high\\\": [1, 1, 1]}";

/* One episode of 3 steps with the actions arm [3] and hand -3..3. */
static void make_two_actions(void) {
    folder_open();
    mkdir(in_folder("set"), 0777);
    char *actions = xasprintf(DICT2("%s", DISCRETE), box3);
    char *text = xasprintf(fixture_meta, 1, ", \"ref_min_score\": -12.5, \"ref_max_score\": 80",
                           actions, box2);
    write_text(in_folder("set/metadata.json"), text);
    free(text);
    free(actions);
    hid_t file =
        H5Fcreate(in_folder("set/main_data.hdf5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    fixture_episode(file, 0);
    hid_t g = H5Gopen2(file, "episode_0", H5P_DEFAULT), infos = H5Gopen2(g, "infos", H5P_DEFAULT);
    H5Ldelete(g, "actions", H5P_DEFAULT);
    hid_t taken = H5Gcreate2(g, "actions", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    put_numbers(taken, "arm", H5T_IEEE_F32LE, 1, 3, 3);
    put(taken, "hand", H5T_STD_I64LE, H5T_NATIVE_INT, 1, (hsize_t[]){3}, (int[]){0, 1, 2});
    hid_t clean = H5Gcreate2(infos, "expert_action", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    put_numbers(clean, "arm", H5T_IEEE_F32LE, 0, 3, 3);
    put(clean, "hand", H5T_STD_I64LE, H5T_NATIVE_INT, 1, (hsize_t[]){4}, (int[]){-3, 3, 0, 1});
    H5Gclose(clean);
    H5Gclose(taken);
    H5Gclose(infos);
    H5Gclose(g);
    H5Fclose(file);
}

TEST(infos_expert_action_by_the_actions_paths) {
    int rc;
    reason_t why = {""};
    recorded_episode_t p;
    make_two_actions();
    episode_source_t *m = episode_source_open(in_folder("set"), &rc, &why);
    REQUIRE(m, "%s", why.text);
    CHECK(episode_source_random_return(m) == -12.5 && episode_source_expert_return(m) == 80);
    REQUIRE(episode_source_n_act(m) == 2);
    REQUIRE(episode_source_read(m, 0, &p, &why) == 0, "%s", why.text);
    REQUIRE(p.expert_action[0] && p.expert_action[1]);
    for (size_t i = 0; i < 9; i++) {
        CHECK(p.action[0][i] == (float)number(1, i));
        CHECK(p.expert_action[0][i] == (float)number(0, i));
    }
    CHECK(memcmp(p.expert_action[1], (float[]){0, 6, 3}, 3 * sizeof(float)) == 0); /* less start */
    recorded_episode_release(&p);
    episode_source_skip_act(m, 0);
    REQUIRE(episode_source_read(m, 0, &p, &why) == 0, "%s", why.text);
    CHECK(!p.expert_action[0] && p.expert_action[1]);
    recorded_episode_release(&p);
    episode_source_close(m);
    folder_remove();
}

/* ---- bad episodes ---- */

/* The named one is refused with file, episode and field; its neighbours are read. */
static void expect_bad(size_t e, const char *says) {
    int rc;
    reason_t why;
    recorded_episode_t p;
    episode_source_t *m = open_fixture(&rc, &why);
    REQUIRE(m, "%s", why.text);
    CHECK(episode_source_read(m, e, &p, &why) ==
          (strstr(says, "refused") ? EPISODE_SOURCE_REFUSED : -1));
    CHECK(strstr(why.text, says), "'%s' does not say '%s'", why.text, says);
    CHECK(strstr(why.text, "main_data.hdf5:episode_"), "%s", why.text);
    CHECK(!p.image && !p.rewards, "a refused episode must leave nothing");
    check_episode(m, 0);
    check_episode(m, 4);
    episode_source_close(m);
}

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
