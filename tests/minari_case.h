/* minari_case.h - a Minari dataset of 5 episodes made with libhdf5 called directly, so that the
 * project's writer has no hand in it; and what reading it must give. Without HDF5 only write_text
 * is there.
 */
#ifndef TESTS_MINARI_CASE_H
#define TESTS_MINARI_CASE_H

#include "common/io/episodes/episode_source.h"
#include "common/io/fs.h"
#include "tests/folder.h"
#include "tests/test.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

#endif

#endif
