/* token_db_case.h - a shard with one record of each kind, for the tests of what reads it. */
#ifndef TESTS_TOKEN_DB_CASE_H
#define TESTS_TOKEN_DB_CASE_H

#include "common/io/token_db/token_db.h"
#include "common/io/token_db/token_db_value.h"
#include "tests/folder.h"
#include "tests/token_oracle.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

/* ---- a shard with one record of each kind ---- */

enum { T = 3, CELLS = 6 };

static float codebook[8 * 2] = {0.5f, -1, 2};
static uint32_t discrete_range[2] = {4, 9}, discrete_action_range[1] = {5};
static float action_low[2] = {-2, -INFINITY}, action_high[2] = {2, 3};

static char tool[] = "tokenize 0.1", arguments[] = "{\"in\":\"x\"}",
            fingerprint[] = "00112233445566778899aabbccddeeff";
static char preprocess[] = "{}", byte_text[] = "byte";

static shard_meta_t meta_of(uint32_t K) {
    return (shard_meta_t){.tool = tool,
                          .arguments = arguments,
                          .fingerprint = fingerprint,
                          .preprocess = preprocess,
                          .text_tokenizer = byte_text,
                          .codes = K,
                          .code_dim = K == 8 ? 2 : 0,
                          .codebook = K == 8 ? codebook : NULL,
                          .grid_h = 2,
                          .grid_w = 3,
                          .image_h = 16,
                          .image_w = 24,
                          .text_vocab = 257,
                          .n_continuous = 2,
                          .n_discrete = 2,
                          .n_actions = 2,
                          .n_discrete_actions = 1,
                          .discrete_range = discrete_range,
                          .discrete_action_range = discrete_action_range,
                          .action_low = action_low,
                          .action_high = action_high,
                          .mu = 100,
                          .M = 256};
}

static uint32_t codes[T * CELLS] = {0, 1, 2, 3, 4, 5, 6, 7, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2},
                          text[5] = {72, 105, 0, 255, 256};
static float continuous[T * 2] = {0.1f, -1e30f, 3, 4, 5, 6},
                            actions[T * 2] = {-1, 1, 0.5f, 0, 0.25f, -0.75f};
static float label_actions[T * 2] = {1, 1, 1, -1, -1, -1}, rewards[T] = {0, -0.5f, 1e10f};
static uint32_t discrete[T * 2] = {0, 8, 3, 0, 1, 1}, discrete_actions[T] = {4, 0, 1},
                             pixel_size[1] = {7};
static uint8_t terminated[T] = {0, 0, 1}, truncated[T] = {0, 1, 0};

static token_record_t image_record(void) {
    return (token_record_t){.kind = RECORD_IMAGE,
                            .T = 1,
                            .key = "a/x.png",
                            .key_len = 7,
                            .source = "my_shots",
                            .source_len = 8,
                            .grid_h = 2,
                            .grid_w = 3,
                            .image_h = 16,
                            .image_w = 24,
                            .codes = codes,
                            .pixels = (const uint8_t *)"not png",
                            .pixel_size = pixel_size,
                            .pixels_bytes = 7};
}

static token_record_t episode_record(void) {
    return (token_record_t){.kind = RECORD_EPISODE,
                            .T = T,
                            .key = "episode_3",
                            .key_len = 9,
                            .source = "set",
                            .source_len = 3,
                            .grid_h = 2,
                            .grid_w = 3,
                            .image_h = 16,
                            .image_w = 24,
                            .first_step = 1ull << 40,
                            .codes = codes,
                            .text = text,
                            .text_len = 5,
                            .continuous = continuous,
                            .discrete = discrete,
                            .actions = actions,
                            .discrete_actions = discrete_actions,
                            .label_actions = label_actions,
                            .rewards = rewards,
                            .terminated = terminated,
                            .truncated = truncated};
}

static token_record_t text_record(void) {
    return (token_record_t){.kind = RECORD_TEXT,
                            .T = 1,
                            .key = "nul\0in it",
                            .key_len = 9,
                            .source = "",
                            .source_len = 0,
                            .text = text,
                            .text_len = 5};
}

static const char *shard(void) {
    return in_folder("x.lmdb");
}

/* Records 0 image, 1 episode, 2 text, then `more` episodes, a mark and a bad item. */
static void make_shard(uint32_t K, int more) {
    int rc = 0;
    reason_t why = {""};
    shard_meta_t m = meta_of(K);
    folder_open();
    token_db_t *db = token_db_create(shard(), &m, 0, &rc, &why);
    REQUIRE(db, "%s", why.text);
    token_record_t r[3] = {image_record(), episode_record(), text_record()};
    for (int i = 0; i < 3 + more; i++)
        CHECK(token_db_put(db, &r[i < 3 ? i : 1], &why) == 0, "%s", why.text);
    token_db_mark(db, 0xDEADBEEF12345678u, 17, 0x1122334455667788u);
    CHECK(token_db_put_bad(db, "b\0d", 3, "cannot be read", &why) == 0);
    m.images = 1;
    m.episodes = 1 + (uint64_t)more;
    m.tokens = 99;
    m.complete = true;
    CHECK(token_db_commit(db, &why) == 0, "%s", why.text);
    token_db_close(db);
}

static token_db_t *open_shard(int *rc, reason_t *why) {
    *rc = 0;
    why->text[0] = 0;
    return token_db_open(shard(), rc, why);
}

#define SAME(got, want, n) CHECK((got) && memcmp((got), (want), (n) * sizeof *(want)) == 0, #got)

#endif
