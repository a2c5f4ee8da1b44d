/* example_episodes.c - the use that episode_source.h opens with. */
#include "common/io/episodes/episode_source.h"
#include "common/io/episodes/minari_write.h"
#include "tests/folder.h"
#include "tests/test.h"

#ifdef WITH_HDF5

/* Two episodes of 2 and 3 steps; the reward of step t of episode i is 10 i + t. */
static int write_recording(const char *path, reason_t *why) {
    double bound[2] = {-1, 1};
    space_leaf_t leaf = {
        .dtype = "float32", .rank = 1, .dim = {1}, .count = 1, .low = bound, .high = bound + 1};
    minari_spec_t spec = {.dataset_id = "a-v0", .obs = &leaf, .act = &leaf, .n_obs = 1, .n_act = 1};
    int rc;
    minari_writer_t *w = minari_writer_new(path, &spec, false, &rc, why);
    float zeros[4] = {0}, *array[1] = {zeros};
    uint8_t *no_image[1] = {NULL}, flags[4] = {0};
    char **no_text[1] = {NULL};
    for (size_t i = 0; w && i < 2; i++) {
        float rewards[3];
        for (size_t t = 0; t < 3; t++) rewards[t] = (float)(10 * i + t);
        recorded_episode_t e = {.T = i + 2,
                                .image = no_image,
                                .value = array,
                                .text = no_text,
                                .action = array,
                                .rewards = rewards,
                                .terminated = flags,
                                .truncated = flags,
                                .seed = -1,
                                .n_obs = 1,
                                .n_act = 1};
        if (minari_writer_add(w, &e, why)) return -1;
    }
    minari_writer_close(w);
    return w ? 0 : -1;
}

TEST(rewards_of_a_recording) {
    int rc;
    reason_t why;
    float reward = 0;
    folder_open();
    const char *path = folder;
    REQUIRE(!write_recording(path, &why), "%s", why.text);
    /* use of common/io/episodes/episode_source.h */
    episode_source_t *source = episode_source_open(path, &rc, &why);
    for (size_t i = 0; source && i < episode_source_count(source); i++) {
        recorded_episode_t episode;
        if (episode_source_read(source, i, &episode, &why)) continue; // why says what is wrong
        for (size_t t = 0; t < episode.T; t++) reward += episode.rewards[t];
        recorded_episode_release(&episode);
    }
    episode_source_close(source);
    /* end of use */
    CHECK_NEAR(reward, 0 + 1 + 10 + 11 + 12, 0);
    folder_remove();
}

#else

TEST(built_without_hdf5) {
    CHECK(true);
}

#endif
