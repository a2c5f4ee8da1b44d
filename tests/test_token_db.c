/* test_token_db.c - token shards: what is put comes back, what lies in the file is what FORMATS.md
 * says (token_oracle.h reads it with plain LMDB), and no damage or forgery of the file passes.
 */
#include "tests/token_db_case.h"

static void check_episode(const token_record_t *r) {
    const slot_data_t *front = &r->slot[FRONT], *wrist = &r->slot[WRIST];
    CHECK(r->task == ARM && r->T == T && r->first_step == 1ull << 40 && r->key_len == 9 &&
          r->source_len == 3);
    CHECK(front->grid_h == 2 && front->grid_w == 3 && front->image_h == 16 &&
          front->image_w == 24 && !front->present && !front->pixels && !front->pixel_size);
    CHECK(wrist->grid_h == 1 && wrist->grid_w == 2 && wrist->image_h == 32 &&
          wrist->image_w == 64 && wrist->pixels_bytes == 6);
    SAME(r->key, "episode_3", 9);
    SAME(front->codes, codes, T * CELLS);
    SAME(wrist->codes, wrist_codes, T * 2);
    SAME(wrist->present, wrist_present, T);
    SAME(wrist->pixels, wrist_pixels, 6);
    SAME(wrist->pixel_size, wrist_pixel_size, T);
    CHECK(r->slot[MISSION].text_len == 5 && r->slot[MISSION].prompt_len == 2);
    SAME(r->slot[MISSION].text, text, 5);
    SAME(r->slot[STATE].vector, state, T * 2);
    SAME(r->slot[KEYS].discrete, keys, T * 2);
    SAME(r->slot[TORQUE].vector, torque, T * 2);
    SAME(r->slot[TORQUE].label_vector, label_torque, T * 2);
    SAME(r->slot[GRIP].discrete, grip, T);
    SAME(r->slot[GRIP].label_discrete, label_grip, T);
    SAME(r->rewards, rewards, T);
    SAME(r->terminated, terminated, T);
    SAME(r->truncated, truncated, T);
    SAME(r->success, success, T);
}

static void check_meta(const shard_meta_t *m) {
    CHECK(m->codes == 8 && m->code_dim == 2 && m->text_vocab == 257 && m->mu == 100 && m->M == 256);
    CHECK(m->records == 3 && m->images == 1 && m->episodes == 1 && m->tokens == 99 && m->bad == 1 &&
          m->complete);
    CHECK_STR(m->arguments, "{\"in\":\"x\"}");
    CHECK_STR(m->fingerprint, "00112233445566778899aabbccddeeff");
    SAME(m->codebook, codebook, 16);
    REQUIRE(m->tasks.n == 3 && m->tasks.v[ARM].n_slots == 7);
    const slot_t *slot = m->tasks.v[ARM].slot;
    CHECK(!m->quantizer && m->tasks.v[0].slot[0].grid_h == 2 && slot[TORQUE].low[1] == -INFINITY &&
          slot[TORQUE].raw[1] == 1 && slot[KEYS].range[1] == 9 && slot[GRIP].range[0] == 5 &&
          m->tasks.v[ARM].max_steps == 9);
}

TEST(round_trip) {
    make_shard(8, 0);
    int rc;
    reason_t why;
    token_db_t *db = open_shard(&rc, &why);
    REQUIRE(db, "%s", why.text);
    check_meta(token_db_meta(db));
    CHECK(token_db_count(db) == 3);
    token_record_t r;
    REQUIRE(token_db_get(db, 0, &r, &why) == 0, "%s", why.text);
    CHECK(r.task == IMAGE_TASK && r.T == 1 && r.slot[0].pixels_bytes == 7 && !r.slot[0].text &&
          !r.slot[1].vector && !r.rewards);
    SAME(r.slot[0].codes, codes, CELLS);
    SAME(r.slot[0].pixels, "not png", 7);
    token_record_release(&r);
    REQUIRE(token_db_get(db, 1, &r, &why) == 0, "%s", why.text);
    check_episode(&r);
    token_record_release(&r);
    REQUIRE(token_db_get(db, 2, &r, &why) == 0, "%s", why.text);
    CHECK(r.task == TEXT_TASK && !r.slot[0].codes && r.source_len == 0);
    SAME(r.slot[0].text, text, 5);
    token_record_release(&r);
    CHECK(token_db_get(db, 3, &r, &why) == -1 && strstr(why.text, "there is no record 3"));
    char *key, *reason;
    REQUIRE(token_db_bad(db, 0, &key, &reason, &why) == 0);
    CHECK(memcmp(key, "b\0d", 4) == 0);
    CHECK_STR(reason, "cannot be read");
    free(key);
    free(reason);
    CHECK(token_db_bad(db, 1, &key, &reason, &why) == -1 && !why.text[0]);
    token_db_close(db);
    folder_remove();
}

/* A record of the arm that has the first of its vectors, its text and no more. */
TEST(slots_that_are_missing) {
    folder_open();
    int rc, number = -1;
    reason_t why;
    shard_meta_t m = meta_of(8);
    token_record_t r = {.task = ARM, .T = 2};
    r.slot[STATE].vector = state;
    r.slot[MISSION] = (slot_data_t){.text = text}; /* an empty text is there all the same */
    token_db_t *db = token_db_create(shard(), &m, 0, &rc, &why);
    REQUIRE(db && !token_db_put(db, &r, &why) && !token_db_commit(db, &why), "%s", why.text);
    token_db_close(db);
    db = open_shard(&rc, &why);
    REQUIRE(db && !token_db_get(db, 0, &r, &why), "%s", why.text);
    const task_t *arm = &token_db_meta(db)->tasks.v[ARM];
    CHECK(token_record_find(&r, arm, SIDE_OBSERVED, SLOT_VECTOR, &number) == &r.slot[STATE] &&
          number == STATE);
    CHECK(token_record_find(&r, arm, SIDE_OBSERVED, SLOT_TEXT, NULL) == &r.slot[MISSION] &&
          !r.slot[MISSION].text_len);
    CHECK(!token_record_find(&r, arm, SIDE_OBSERVED, SLOT_IMAGE, NULL) &&
          !token_record_find(&r, arm, SIDE_ACTED, SLOT_VECTOR, NULL) &&
          !token_record_find(&r, arm, SIDE_ACTED, SLOT_DISCRETE, NULL) && !r.rewards);
    SAME(r.slot[STATE].vector, state, 4);
    token_record_release(&r);
    token_db_close(db);
    folder_remove();
}

/* As many slots as a task may have, each with all that a record can keep of an image. */
TEST(every_slot_with_every_part) {
    folder_open();
    int rc;
    reason_t why;
    task_t task = task_new("eyes", RECORD_EPISODE);
    shard_meta_t m = {.arguments = arguments, .codes = 70000, .tasks = {&task, 1}};
    token_record_t r = {.task = 0, .T = T};
    uint32_t code[TASK_SLOTS][T];
    for (uint32_t i = 0; i < TASK_SLOTS; i++) {
        char name[8];
        snprintf(name, sizeof name, "eye%u", i);
        REQUIRE(task_add(&task, SLOT_IMAGE, SIDE_OBSERVED, name, 1));
        for (uint32_t t = 0; t < T; t++) code[i][t] = wrist_present[t] ? 65536 + 10 * i + t : 0;
        r.slot[i] = (slot_data_t){.grid_h = 1,
                                  .grid_w = 1,
                                  .codes = code[i],
                                  .present = wrist_present,
                                  .pixels = wrist_pixels,
                                  .pixel_size = wrist_pixel_size,
                                  .pixels_bytes = 6};
    }
    token_db_t *db = token_db_create(shard(), &m, 0, &rc, &why);
    REQUIRE(db && !token_db_put(db, &r, &why) && !token_db_commit(db, &why), "%s", why.text);
    token_db_close(db);
    db = open_shard(&rc, &why);
    REQUIRE(db && !token_db_get(db, 0, &r, &why), "%s", why.text);
    for (uint32_t i = 0; i < TASK_SLOTS; i++) {
        SAME(r.slot[i].codes, code[i], T);
        SAME(r.slot[i].pixel_size, wrist_pixel_size, T);
    }
    token_record_release(&r);
    token_db_close(db);
    task_release(&task);
    folder_remove();
}

/* The checksum of the header, as plain LMDB sees it. */
TEST(checksums_of_records) {
    make_shard(8, 2);
    int rc;
    reason_t why;
    size_t size;
    token_db_t *db = open_shard(&rc, &why);
    REQUIRE(db, "%s", why.text);
    uint64_t sum[5];
    for (uint64_t i = 0; i < 5; i++) sum[i] = token_db_checksum(db, i);
    CHECK(token_db_checksum(db, 5) == 0);
    token_db_close(db);
    for (uint64_t i = 0; i < 5; i++) {
        uint8_t *v = oracle_get(shard(), 1, 0, i, &size);
        CHECK(sum[i] == oracle_le(v + 16, 8) && sum[i] != sum[(i + 1) % 5]);
        free(v);
    }
    folder_remove();
}

TEST(fault_049_nul_in_keys) {
    make_shard(8, 0);
    int rc;
    reason_t why;
    token_record_t r;
    token_db_t *db = open_shard(&rc, &why);
    REQUIRE(db && token_db_get(db, 2, &r, &why) == 0);
    CHECK(r.key_len == 9);
    SAME(r.key, "nul\0in it", 9);
    token_record_release(&r);
    token_db_close(db);
    folder_remove();
}

/* ---- the file, by FORMATS.md ---- */

TEST(layout_of_the_meta) {
    make_shard(8, 0);
    size_t n, size;
    oracle_dump(shard(), &n);
    CHECK(n == 2 + 3 + 1 + 1, "%zu entries", n);
    uint8_t *v = oracle_get(shard(), 0, 0, 0, &size);
    REQUIRE(v && size > 112);
    const uint32_t words[] = {8, 2, 257, 1};
    const uint64_t counts[] = {3, 1, 1, 0, 99, 0, 1};
    for (int i = 0; i < 4; i++) CHECK(oracle_le(v + 32 + 4 * i, 4) == words[i], "word %d", i);
    CHECK(memcmp(v + 32 + 16, (float[]){100, 256}, 8) == 0);
    for (int i = 0; i < 7; i++)
        CHECK(oracle_le(v + 32 + 24 + 8 * i, 8) == counts[i], "count %d", i);
    char type;
    uint64_t count;
    const uint8_t *p = oracle_part(v, 80, 33, &type, &count);
    CHECK(p && type == 'B' && count == 10 && memcmp(p, "{\"in\":\"x\"}", 10) == 0);
    p = oracle_part(v, 80, 38, &type, &count);
    CHECK(p && type == 'B' && count == sizeof tasks_text - 1 && !memcmp(p, tasks_text, count));
    CHECK(!oracle_part(v, 80, 36, &type, &count), "the quantizer is absent");
    free(v);
    v = oracle_get(shard(), 0, 1, 0, &size);
    p = v ? oracle_part(v, 0, 48, &type, &count) : NULL;
    CHECK(p && type == 'f' && count == 16 && memcmp(p, codebook, 64) == 0);
    free(v);
    v = oracle_get(shard(), 2, 0, 0xDEADBEEF12345678u, &size);
    CHECK(v && size == 48 && oracle_le(v + 32, 8) == 17 &&
          oracle_le(v + 40, 8) == 0x1122334455667788u);
    free(v);
    v = oracle_get(shard(), 3, 0, 0, &size);
    p = v ? oracle_part(v, 0, 49, &type, &count) : NULL;
    CHECK(p && count == 14 && memcmp(p, "cannot be read", 14) == 0);
    free(v);
    folder_remove();
}

static void check_part(const uint8_t *v, unsigned number, unsigned slot, char want,
                       const void *data, uint64_t n, size_t element) {
    char type = 0;
    uint64_t count = 0;
    const uint8_t *p = oracle_part_at(v, 16, number, slot, &type, &count);
    CHECK(p && type == want && count == n && memcmp(p, data, n * element) == 0, "part %u of %u",
          number, slot);
    CHECK(p && (p - v) % 8 == 0, "part %u of %u is not aligned", number, slot);
}

static void check_layout(uint32_t K, char type) {
    make_shard(K, 0);
    size_t size;
    uint16_t small[T * CELLS], small_text[5], small_wrist[T * 2];
    for (int i = 0; i < T * CELLS; i++) small[i] = (uint16_t)codes[i];
    for (int i = 0; i < T * 2; i++) small_wrist[i] = (uint16_t)wrist_codes[i];
    for (int i = 0; i < 5; i++) small_text[i] = (uint16_t)text[i];
    uint8_t *v = oracle_get(shard(), 1, 0, 1, &size);
    REQUIRE(v && size > 64);
    CHECK(oracle_le(v + 32, 4) == ARM && oracle_le(v + 36, 4) == T &&
          oracle_le(v + 40, 8) == 1ull << 40 && oracle_le(v + 10, 2) == 21);
    bool narrow = type == 'H';
    check_part(v, 1, 0, 'B', "episode_3", 9, 1);
    check_part(v, 2, 0, 'B', "set", 3, 1);
    check_part(v, 3, 0, type, narrow ? (void *)small : (void *)codes, T * CELLS, narrow ? 2 : 4);
    check_part(v, 3, 1, type, narrow ? (void *)small_wrist : (void *)wrist_codes, T * 2,
               narrow ? 2 : 4);
    check_part(v, 4, 2, 'H', small_text, 5, 2);
    check_part(v, 5, 3, 'f', state, T * 2, 4);
    check_part(v, 5, 5, 'f', torque, T * 2, 4);
    check_part(v, 6, 4, 'I', keys, T * 2, 4);
    check_part(v, 6, 6, 'I', grip, T, 4);
    check_part(v, 7, 5, 'f', label_torque, T * 2, 4);
    check_part(v, 8, 6, 'I', label_grip, T, 4);
    check_part(v, 9, 1, 'B', wrist_present, T, 1);
    check_part(v, 10, 0, 'f', rewards, T, 4);
    check_part(v, 11, 0, 'B', terminated, T, 1);
    check_part(v, 12, 0, 'B', truncated, T, 1);
    check_part(v, 13, 1, 'I', wrist_pixel_size, T, 4);
    check_part(v, 14, 1, 'B', wrist_pixels, 6, 1);
    check_part(v, 16, 2, 'I', (uint32_t[]){2}, 1, 4);
    check_part(v, 18, 0, 'I', (uint32_t[]){2, 3, 16, 24}, 4, 4);
    check_part(v, 18, 1, 'I', (uint32_t[]){1, 2, 32, 64}, 4, 4);
    check_part(v, 19, 0, 'B', success, T, 1);
    free(v);
    int rc;
    reason_t why;
    token_record_t r;
    token_db_t *db = open_shard(&rc, &why);
    REQUIRE(db && token_db_get(db, 1, &r, &why) == 0);
    check_episode(&r);
    token_record_release(&r);
    token_db_close(db);
    folder_remove();
}

TEST(layout_of_records) {
    check_layout(65536, 'H');
}
TEST(layout_of_records_with_many_codes) {
    check_layout(65537, 'I');
}

/* ---- forged values: the checksum is right, the content is not ---- */

static uint8_t *find_part(uint8_t *v, unsigned number, unsigned slot) {
    char type;
    uint64_t count;
    return (uint8_t *)(uintptr_t)oracle_part_at(v, 16, number, slot, &type, &count);
}

/* Byte 3 of the table's entry for a part. */
static size_t entry_of(const uint8_t *v, unsigned number, unsigned slot) {
    size_t at = 32 + 16;
    while (oracle_le(v + at, 2) != number || v[at + 3] != slot) at += 16;
    return at;
}

/* Expects that the episode `v`, with a checksum that is right, is refused, and frees it. */
static void refused(uint8_t *v, size_t size, const char *says) {
    oracle_put(shard(), 1, 0, 1, v, size, true);
    free(v);
    int rc;
    reason_t why;
    token_record_t r;
    token_db_t *db = open_shard(&rc, &why);
    REQUIRE(db, "%s", why.text);
    CHECK(token_db_get(db, 1, &r, &why) == -1 && !r.owned, "it passed: %s", says);
    CHECK(strstr(why.text, says) && strstr(why.text, "record 1") && strstr(why.text, "at byte "),
          "'%s' instead of '%s'", why.text, says);
    CHECK(token_db_get(db, 3, &r, &why) == 0, "%s", why.text);
    check_episode(&r);
    token_record_release(&r);
    token_db_close(db);
    folder_remove();
}

/* Overwrites `bytes` of part `number` of a slot (0: of the value) of the episode, and expects
 * `says`. */
static void forge_slot(unsigned number, unsigned slot, size_t at, const void *data, size_t bytes,
                       const char *says) {
    make_shard(8, 1);
    size_t size;
    uint8_t *v = oracle_get(shard(), 1, 0, 1, &size);
    memcpy((number ? find_part(v, number, slot) : v) + at, data, bytes);
    refused(v, size, says);
}

static void forge(unsigned number, size_t at, const void *data, size_t bytes, const char *says) {
    forge_slot(number, 0, at, data, bytes, says);
}

TEST(fault_048_ids_out_of_range) {
    forge(3, 10, (uint16_t[]){8}, 2, "'episode_3' at byte ");
    forge(3, 10, (uint16_t[]){8}, 2, "image 'front': codes[5] = 8 is not below 8");
    forge_slot(3, WRIST, 0, (uint16_t[]){8}, 2, "image 'wrist': codes[0] = 8 is not below 8");
    forge_slot(4, MISSION, 8, (uint16_t[]){257}, 2,
               "text 'mission': text[4] = 257 is not below 257");
    forge_slot(6, KEYS, 12, (uint32_t[]){9}, 4,
               "discrete 'keys' of 2: discrete[3] = 9 is not below 9");
    forge_slot(6, KEYS, 8, (uint32_t[]){0xFFFFFFFF}, 4, "discrete[2] = 4294967295 is not below 4");
    forge_slot(6, GRIP, 0, (uint32_t[]){5}, 4,
               "discrete 'grip' of 1: discrete[0] = 5 is not below 5");
    forge_slot(8, GRIP, 4, (uint32_t[]){5}, 4, "label_discrete[1] = 5 is not below 5");
}

TEST(fault_081_not_finite) {
    forge_slot(5, STATE, 4, (float[]){NAN}, 4, "vector 'state' of 2: vector[1] is not finite");
    forge_slot(5, TORQUE, 0, (float[]){INFINITY}, 4, "vector[0] is not finite");
    forge_slot(7, TORQUE, 4, (float[]){NAN}, 4, "label_vector[1] is not finite");
    forge(10, 8, (float[]){-INFINITY}, 4, "rewards[2] is not finite");
    forge(11, 1, (uint8_t[]){2}, 1, "terminated[1] = 2 is no truth value");
    forge(12, 1, (uint8_t[]){2}, 1, "truncated[1] = 2 is no truth value");
    forge(19, 1, (uint8_t[]){2}, 1, "success[1] = 2 is no truth value");
}

TEST(fault_048_sizes_that_lie) {
    forge(0, 36, (uint32_t[]){4}, 4, "a part whose size does not fit its steps");
    forge(0, 36, (uint32_t[]){0}, 4, "a record without steps");
    forge(0, 32, (uint32_t[]){3}, 4, "task 3 of 3");
    forge(0, 32, (uint32_t[]){0}, 4, "3 steps in a record of kind image");
    forge(18, 0, (uint32_t[]){0xFFFFFFFF}, 4, "grids of");
    forge_slot(18, WRIST, 4, (uint32_t[]){3}, 4, "a part whose size does not fit its steps");
    forge(18, 0, (uint32_t[]){0}, 4, "a part whose size does not fit its steps");
    forge_slot(16, MISSION, 0, (uint32_t[]){6}, 4, "a prompt longer than the text");
    forge_slot(13, WRIST, 0, (uint32_t[]){3}, 4, "pixel_size does not add up to the pixels");
    forge_slot(13, WRIST, 0, (uint32_t[]){0, 0, 6}, 12, "the pixels of step 0 are missing");
    forge(0, 10, (uint16_t[]){0xFFFF}, 2, "more parts than there is room for");
    forge(0, 48 + 8, (uint64_t[]){1ull << 63}, 8, "a part longer than the value");
    forge(0, 48 + 2, "x", 1, "its table of parts");
    forge(0, 24, (uint64_t[]){7}, 8, "it belongs to another key");
}

TEST(fault_048_masks_that_lie) {
    forge_slot(9, WRIST, 0, (uint8_t[]){2}, 1, "present[0] = 2 is no truth value");
    forge_slot(9, WRIST, 0, (uint8_t[]){0}, 1, "image 'wrist': step 0 lacks it and has numbers");
    forge_slot(9, WRIST, 1, (uint8_t[]){1}, 1, "the pixels of step 1 are missing");
    forge_slot(3, WRIST, 4, (uint16_t[]){1}, 2, "step 1 lacks it and has numbers");
}

/* Gives a part of the episode to another slot. */
static void move_part(unsigned number, unsigned slot, uint8_t to, const char *says) {
    make_shard(8, 1);
    size_t size;
    uint8_t *v = oracle_get(shard(), 1, 0, 1, &size);
    v[entry_of(v, number, slot) + 3] = to;
    refused(v, size, says);
}

TEST(fault_048_parts_of_slots_that_have_none) {
    move_part(3, WRIST, MISSION, "part 3 at slot 2, which has none");
    move_part(4, MISSION, FRONT, "part 4 at slot 0, which has none");
    move_part(5, TORQUE, GRIP, "part 5 at slot 6, which has none");
    move_part(6, GRIP, 7, "part 6 at slot 7, which has none");
    move_part(7, TORQUE, STATE, "part 7 at slot 3, which has none");
    move_part(8, GRIP, KEYS, "part 8 at slot 4, which has none");
    move_part(9, WRIST, 255, "part 9 at slot 255, which has none");
    move_part(18, WRIST, STATE, "part 18 at slot 3, which has none");
    move_part(10, 0, 1, "part 10 belongs to no slot");
    move_part(3, WRIST, FRONT, "its table of parts");
}

static void forge_meta(size_t at, const void *data, size_t bytes, bool big_endian, int want,
                       const char *says) {
    make_shard(8, 0);
    size_t size;
    uint8_t *v = oracle_get(shard(), 0, 0, 0, &size);
    memcpy(v + at, data, bytes);
    uint64_t sum = oracle_sum(v, size);
    if (big_endian) sum = __builtin_bswap64(sum);
    memcpy(v + 16, &sum, 8);
    oracle_put(shard(), 0, 0, 0, v, size, false);
    free(v);
    int rc;
    reason_t why;
    CHECK(!open_shard(&rc, &why) && rc == want && strstr(why.text, says) &&
              strstr(why.text, "x.lmdb"),
          "rc %d: %s", rc, why.text);
    folder_remove();
}

TEST(fault_047_another_version) {
    forge_meta(4, (uint16_t[]){3}, 2, false, RC_MISFIT,
               "format version 3, this program reads version 2");
}

/* A meta as version 1 wrote it: 112 bytes of head, and its arguments. A mark of version 1 beside it
 * changes nothing. */
static void old_shard(const char *made_by, const char *says) {
    make_shard(8, 0);
    uint8_t v[256] = "tkdb\x01\0\0l", mark[48] = "tkdb\x01\0\x02l";
    size_t n = strlen(made_by), padded = (n + 7) / 8 * 8;
    v[10] = 1;
    v[32 + 112] = 33;
    v[32 + 112 + 2] = 'B';
    memcpy(v + 32 + 112 + 8, &n, 8);
    memcpy(v + 32 + 112 + 16, made_by, n);
    oracle_put(shard(), 0, 0, 0, v, 32 + 112 + 16 + padded, true);
    memcpy(mark + 24, &(uint64_t){0xDEADBEEF12345678u}, 8);
    oracle_put(shard(), 2, 0, 0xDEADBEEF12345678u, mark, sizeof mark, true);
    int rc;
    reason_t why;
    shard_meta_t m = meta_of(8);
    CHECK(!open_shard(&rc, &why) && rc == RC_MISFIT && strstr(why.text, says), "rc %d: '%s'", rc,
          why.text);
    CHECK(!token_db_create(shard(), &m, 0, &rc, &why) && rc == RC_MISFIT && strstr(why.text, says),
          "rc %d: '%s'", rc, why.text);
    folder_remove();
}

TEST(fault_047_version_1_says_what_makes_it_anew) {
    old_shard("{\"command\":\"episodes\",\"source\":\"data/set\"}",
              "x.lmdb': format version 1, this program reads version 2; make it anew: tokenize "
              "episodes --in 'data/set'");
    old_shard("{\"command\":\"text\"}", "tokenize text --in '...'");
    old_shard("{\"command\":1}", "format version 1, this program reads version 2");
    old_shard("no JSON", "format version 1, this program reads version 2");
}
TEST(fault_053_the_other_byte_order) {
    forge_meta(7, "b", 1, true, RC_MISFIT,
               "written with the byte order 'b', this program reads 'l'");
}
TEST(fault_046_meta_that_lies) {
    forge_meta(32 + 24, (uint64_t[]){4}, 8, false, RC_DATA,
               "4 records and 1 bad items counted, 3 and 1 found");
    forge_meta(32, (uint32_t[]){9}, 4, false, RC_DATA, "the codebook's size");
    forge_meta(32 + 8, (uint32_t[]){0}, 4, false, RC_DATA, "there is no text vocabulary");
    forge_meta(32 + 16, (float[]){NAN}, 4, false, RC_DATA, "mu or M");
    forge_meta(0, "tkdc", 4, false, RC_DATA, "corrupt");
}
