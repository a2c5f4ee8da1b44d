/* test_minari_durable.c - Minari datasets that grow: the same bytes in pieces and after going on,
 * whole after a kill at any time, in little memory. Oracles: libhdf5, and an uninterrupted writer.
 */
#include "common/io/episodes/episode_source.h"
#include "common/io/episodes/minari_write.h"
#include "tests/folder.h"
#include "tests/rss.h"
#include "tests/test.h"
#include <signal.h>

#ifdef WITH_HDF5
#include "tests/minari_sample.h"

/* The bytes of every dataset do not depend on the pieces in which an episode comes, nor on episodes
 * that were dropped on the way. */
TEST(pieces_give_the_same_bytes) {
    folder_open();
    reason_t why;
    CHECK(write_episodes(in_folder("a"), 5, false, false, &why) == 0);
    CHECK(write_episodes(in_folder("b"), 5, false, true, &why) == 0);
    char cmd[400];
    snprintf(cmd, sizeof cmd, "cd '%s' && diff -rq a b", folder);
    CHECK(system(cmd) == 0);
    folder_remove();
}

/* One episode of 20 frames of 2 MB, after `dropped` steps of another that is dropped: 8 frames fill
 * a chunk, which is in the file by then. */
static int write_large(const char *dir, size_t dropped, reason_t *why) {
    int rc;
    space_leaf_t obs = leaf("eye", SPACE_IMAGE, "uint8", 3, 1000, 2000, 1),
                 act = leaf("", SPACE_BOX, "float32", 0, 0, 0, 0);
    minari_spec_t spec = {.obs = &obs, .n_obs = 1, .act = &act, .n_act = 1, .dict_obs = true};
    uint8_t *frame = calloc(obs.count, 1), flag = 0, *image[] = {frame};
    float one = 1, *action[] = {&one};
    minari_writer_t *w = minari_writer_new(dir, &spec, false, &rc, why);
    for (size_t turn = 0; w && turn < 2; turn++) {
        size_t steps = turn ? 19 : dropped;
        minari_writer_begin(w, -1);
        for (size_t t = 0; t <= steps; t++) {
            memset(frame, (int)(turn + t), 1000);
            recorded_episode_t e = {.T = t < steps,
                                    .image = image,
                                    .action = action,
                                    .rewards = &one,
                                    .terminated = &flag,
                                    .truncated = &flag,
                                    .n_obs = 1,
                                    .n_act = 1};
            minari_writer_rows(w, &e, t == steps);
        }
        if (!turn) minari_writer_drop(w);
    }
    rc = w ? minari_writer_end(w, NULL, why) : -1;
    minari_writer_close(w);
    free(frame);
    return rc;
}

TEST(what_is_dropped_leaves_no_bytes) {
    folder_open();
    reason_t why = {""};
    CHECK(write_large(in_folder("a"), 0, &why) == 0, "%s", why.text);
    CHECK(write_large(in_folder("b"), 12, &why) == 0, "%s", why.text);
    char cmd[400];
    snprintf(cmd, sizeof cmd, "cd '%s' && diff -rq a b", folder);
    CHECK(system(cmd) == 0);
    folder_remove();
}

/* 300 episodes are more than the root's header holds: links move into blocks behind it. */
TEST(a_writer_goes_on_to_the_same_bytes) {
    folder_open();
    reason_t why = {""};
    enum { ALL = 300 };
    CHECK(write_episodes(in_folder("a"), ALL, false, false, &why) == 0);
    for (int n = 0; n <= ALL; n += 75)
        CHECK(write_episodes(in_folder("b"), n, true, false, &why) == 0, "%s", why.text);
    char cmd[400];
    snprintf(cmd, sizeof cmd, "cd '%s' && diff -rq a b", folder);
    CHECK(system(cmd) == 0);
    hid_t file = H5Fopen(in_folder("b/data/main_data.hdf5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    H5G_info_t info;
    CHECK(file >= 0 && H5Gget_info(file, &info) >= 0 && info.nlinks == ALL);
    for (int i = 0; i < ALL; i++) {
        char name[40];
        snprintf(name, sizeof name, "episode_%d", i);
        CHECK(attr_of(file, name, "id") == i, "%s", name);
    }
    H5Fclose(file);
    folder_remove();
}

/* 250 MB of frames through 16 MB chunks: their compressed bytes alone are held. */
static int long_episode(void *arg) {
    reason_t why;
    int rc;
    space_leaf_t obs = leaf("eye", SPACE_IMAGE, "uint8", 3, 500, 1000, 1),
                 act = leaf("", SPACE_BOX, "float32", 0, 0, 0, 0);
    minari_spec_t spec = {.obs = &obs, .n_obs = 1, .act = &act, .n_act = 1, .dict_obs = true};
    uint8_t *frame = calloc(obs.count, 1), flag = 0, *image[] = {frame};
    float one = 1, *action[] = {&one};
    rss_reset();
    minari_writer_t *w = minari_writer_new(folder, &spec, false, &rc, &why);
    if (!w) return 1;
    minari_writer_begin(w, -1);
    for (size_t t = 0; t <= 500; t++) {
        frame[t * 1000 % obs.count] = (uint8_t)t;
        recorded_episode_t e = {.T = t < 500,
                                .image = image,
                                .action = action,
                                .rewards = &one,
                                .terminated = &flag,
                                .truncated = &flag,
                                .n_obs = 1,
                                .n_act = 1};
        minari_writer_rows(w, &e, t == 500);
    }
    if (minari_writer_end(w, NULL, &why)) return 2;
    minari_writer_close(w);
    printf("%ld\n", rss_peak_mb());
    return 0;
}

TEST(a_long_episode_is_not_held_in_memory) {
    folder_open();
    child_t c;
    child_run(long_episode, NULL, &c);
    CHECK(c.code == 0 && atol(c.out) < 64, "code %d, %s MB", c.code, c.out);
    folder_remove();
}

static int write_for_ever(void *arg) {
    reason_t why;
    write_episodes(folder, 1 << 20, true, true, &why);
    return 1;
}

/* After a kill at any time the metadata count what is there, or one less; every episode is whole;
 * and the next writer goes on. */
TEST(fault_025_killed_writers) {
    folder_open();
    size_t before = 0, grown = 0;
    for (unsigned kill_number = 0; kill_number < 120; kill_number++) {
        fflush(NULL);
        pid_t pid = fork();
        if (!pid) _exit(write_for_ever(NULL));
        usleep(1000 + kill_number * 7919 % 50000);
        kill(pid, SIGKILL);
        int status, rc;
        CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "the writer failed");
        if (access(in_folder("data/metadata.json"), F_OK)) continue;
        reason_t why = {""};
        episode_source_t *m = episode_source_open(folder, &rc, &why);
        REQUIRE(m, "kill %u: %s", kill_number, why.text);
        size_t count = episode_source_count(m);
        for (size_t i = before ? before - 1 : 0; i < count; i++) {
            recorded_episode_t e;
            REQUIRE(episode_source_read(m, i, &e, &why) == 0, "%s", why.text);
            CHECK(e.T == OUT_T && memcmp(e.image[0], out_image, sizeof out_image) == 0 &&
                  strcmp(e.text[2][2], "\xc3\xbc") == 0);
            recorded_episode_release(&e);
        }
        episode_source_close(m);
        hid_t file = H5Fopen(in_folder("data/main_data.hdf5"), H5F_ACC_RDONLY, H5P_DEFAULT);
        H5G_info_t info = {0};
        CHECK(file >= 0 && H5Gget_info(file, &info) >= 0);
        CHECK(info.nlinks == count || info.nlinks == count + 1, "%zu of %zu", count,
              (size_t)info.nlinks);
        H5Fclose(file);
        CHECK(count >= before, "%zu episodes after %zu", count, before);
        grown += count > before;
        before = count;
    }
    CHECK(grown > 10, "only %zu of the writers got to an episode", grown);
    folder_remove();
}

#else

TEST(looked_at_with_libhdf5) {
    SKIP("datasets that grow (built without HDF5)");
}

#endif
