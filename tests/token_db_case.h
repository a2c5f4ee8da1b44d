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

/* Tasks, and numbers of the arm's slots. The wrist's images are larger than the front's. */
enum { IMAGE_TASK, ARM, TEXT_TASK };
enum { FRONT, WRIST, MISSION, STATE, KEYS, TORQUE, GRIP };
static const char tasks_text[] =
    "[{\"kind\":\"image\",\"name\":\"image\",\"slots\":["
    "{\"grid\":[2,3],\"image\":[16,24],\"kind\":\"image\",\"name\":\"image\","
    "\"side\":\"observed\"}]},"
    "{\"kind\":\"episode\",\"max_steps\":9,\"name\":\"arm\",\"slots\":["
    "{\"kind\":\"image\",\"name\":\"front\",\"side\":\"observed\"},"
    "{\"kind\":\"image\",\"name\":\"wrist\",\"side\":\"observed\"},"
    "{\"kind\":\"text\",\"name\":\"mission\",\"side\":\"observed\"},"
    "{\"high\":[null,5],\"kind\":\"vector\",\"low\":[null,null],\"name\":\"state\","
    "\"side\":\"observed\"},"
    "{\"kind\":\"discrete\",\"name\":\"keys\",\"range\":[4,9],\"side\":\"observed\"},"
    "{\"high\":[2,3],\"kind\":\"vector\",\"low\":[-2,null],\"name\":\"torque\","
    "\"raw\":[0,1],\"side\":\"acted\"},"
    "{\"kind\":\"discrete\",\"name\":\"grip\",\"range\":[5],\"side\":\"acted\"}]},"
    "{\"kind\":\"text\",\"name\":\"text\",\"slots\":["
    "{\"kind\":\"text\",\"name\":\"text\",\"side\":\"observed\"}]}]";

static float codebook[8 * 2] = {0.5f, -1, 2};
static char tool[] = "tokenize 0.1", arguments[] = "{\"in\":\"x\"}",
            fingerprint[] = "00112233445566778899aabbccddeeff";
static char preprocess[] = "{}", byte_text[] = "byte";

static shard_meta_t meta_of(uint32_t K) {
    static tasks_t tasks;
    reason_t why;
    if (!tasks.n && tasks_parse(&tasks, tasks_text, sizeof tasks_text - 1, &why)) {
        fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
    return (shard_meta_t){.tool = tool,
                          .arguments = arguments,
                          .fingerprint = fingerprint,
                          .preprocess = preprocess,
                          .text_tokenizer = byte_text,
                          .codes = K,
                          .code_dim = K == 8 ? 2 : 0,
                          .codebook = K == 8 ? codebook : NULL,
                          .text_vocab = 257,
                          .tasks = tasks,
                          .mu = 100,
                          .M = 256};
}

static uint32_t codes[T * CELLS] = {0, 1, 2, 3, 4, 5, 6, 7, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2},
                          text[5] = {72, 105, 0, 255, 256};
/* of the wrist, which is missing in step 1 */
static uint32_t wrist_codes[T * 2] = {7, 6, 0, 0, 5, 4};
static uint8_t wrist_present[T] = {1, 0, 1}, wrist_pixels[] = "wrists";
static uint32_t wrist_pixel_size[T] = {2, 0, 4};
static float state[T * 2] = {0.1f, -1e30f, 3, 4, 5, 6},
                       torque[T * 2] = {-1, 1, 0.5f, 0, 0.25f, -0.75f};
static float label_torque[T * 2] = {1, 1, 1, -1, -1, -1}, rewards[T] = {0, -0.5f, 1e10f};
static uint32_t keys[T * 2] = {0, 8, 3, 0, 1, 1}, grip[T] = {4, 0, 1}, label_grip[T] = {0, 3, 2},
                         pixel_size[1] = {7};
static uint8_t terminated[T] = {0, 0, 1}, truncated[T] = {0, 1, 0}, success[T] = {0, 1, 1};

static token_record_t image_record(void) {
    token_record_t r = {.task = IMAGE_TASK,
                        .T = 1,
                        .key = "a/x.png",
                        .key_len = 7,
                        .source = "my_shots",
                        .source_len = 8};
    r.slot[0] = (slot_data_t){.grid_h = 2,
                              .grid_w = 3,
                              .image_h = 16,
                              .image_w = 24,
                              .codes = codes,
                              .pixels = (const uint8_t *)"not png",
                              .pixel_size = pixel_size,
                              .pixels_bytes = 7};
    return r;
}

static token_record_t episode_record(void) {
    token_record_t r = {.task = ARM,
                        .T = T,
                        .key = "episode_3",
                        .key_len = 9,
                        .source = "set",
                        .source_len = 3,
                        .first_step = 1ull << 40,
                        .rewards = rewards,
                        .terminated = terminated,
                        .truncated = truncated,
                        .success = success};
    r.slot[FRONT] =
        (slot_data_t){.grid_h = 2, .grid_w = 3, .image_h = 16, .image_w = 24, .codes = codes};
    r.slot[WRIST] = (slot_data_t){.present = wrist_present,
                                  .grid_h = 1,
                                  .grid_w = 2,
                                  .image_h = 32,
                                  .image_w = 64,
                                  .codes = wrist_codes,
                                  .pixels = wrist_pixels,
                                  .pixel_size = wrist_pixel_size,
                                  .pixels_bytes = 6};
    r.slot[MISSION] = (slot_data_t){.text = text, .text_len = 5, .prompt_len = 2};
    r.slot[STATE].vector = state;
    r.slot[KEYS].discrete = keys;
    r.slot[TORQUE] = (slot_data_t){.vector = torque, .label_vector = label_torque};
    r.slot[GRIP] = (slot_data_t){.discrete = grip, .label_discrete = label_grip};
    return r;
}

static token_record_t text_record(void) {
    token_record_t r = {.task = TEXT_TASK, .T = 1, .key = "nul\0in it", .key_len = 9, .source = ""};
    r.slot[0] = (slot_data_t){.text = text, .text_len = 5};
    return r;
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
