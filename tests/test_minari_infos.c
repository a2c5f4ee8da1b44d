/* test_minari_infos.c - the infos of Minari datasets: success, masks of what is missing, and the
 * expert's actions. */
#include "tests/test.h"

#ifdef WITH_HDF5
#include "tests/minari_case.h"

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

#endif
