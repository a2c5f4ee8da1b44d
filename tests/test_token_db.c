/* test_token_db.c - token shards: what is put comes back, what lies in the file is what FORMATS.md
 * says (token_oracle.h reads it with plain LMDB), and no damage or forgery of the file passes.
 */
#include "tests/token_db_case.h"

static void check_episode(const token_record_t *r) {
    CHECK(r->kind == RECORD_EPISODE && r->T == T && r->first_step == 1ull << 40 && r->grid_h == 2 &&
          r->grid_w == 3);
    CHECK(r->image_h == 16 && r->image_w == 24 && r->key_len == 9 && r->source_len == 3 &&
          r->text_len == 5);
    SAME(r->key, "episode_3", 9);
    SAME(r->codes, codes, T * CELLS);
    SAME(r->text, text, 5);
    SAME(r->continuous, continuous, T * 2);
    SAME(r->discrete, discrete, T * 2);
    SAME(r->actions, actions, T * 2);
    SAME(r->discrete_actions, discrete_actions, T);
    SAME(r->label_actions, label_actions, T * 2);
    SAME(r->rewards, rewards, T);
    SAME(r->terminated, terminated, T);
    SAME(r->truncated, truncated, T);
    CHECK(!r->pixels && !r->pixel_size);
}

TEST(round_trip) {
    make_shard(8, 0);
    int rc;
    reason_t why;
    token_db_t *db = open_shard(&rc, &why);
    REQUIRE(db, "%s", why.text);
    const shard_meta_t *m = token_db_meta(db);
    CHECK(m->codes == 8 && m->code_dim == 2 && m->grid_h == 2 && m->image_w == 24 &&
          m->text_vocab == 257 && m->mu == 100 && m->M == 256);
    CHECK(m->records == 3 && m->images == 1 && m->episodes == 1 && m->tokens == 99 && m->bad == 1 &&
          m->complete && token_db_count(db) == 3);
    CHECK(!m->env && !m->quantizer && m->action_low[1] == -INFINITY && m->discrete_range[1] == 9 &&
          m->discrete_action_range[0] == 5);
    CHECK_STR(m->arguments, "{\"in\":\"x\"}");
    CHECK_STR(m->fingerprint, "00112233445566778899aabbccddeeff");
    SAME(m->codebook, codebook, 16);
    token_record_t r;
    REQUIRE(token_db_get(db, 0, &r, &why) == 0, "%s", why.text);
    CHECK(r.kind == RECORD_IMAGE && r.T == 1 && r.pixels_bytes == 7 && !r.text && !r.actions &&
          !r.rewards);
    SAME(r.codes, codes, CELLS);
    SAME(r.pixels, "not png", 7);
    token_record_release(&r);
    REQUIRE(token_db_get(db, 1, &r, &why) == 0, "%s", why.text);
    check_episode(&r);
    token_record_release(&r);
    REQUIRE(token_db_get(db, 2, &r, &why) == 0, "%s", why.text);
    CHECK(r.kind == RECORD_TEXT && !r.codes && r.source_len == 0);
    SAME(r.text, text, 5);
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
    REQUIRE(v && size > 144);
    const uint32_t words[] = {8, 2, 2, 3, 16, 24, 257, 2, 2, 2, 1, 1};
    const uint64_t counts[] = {3, 1, 1, 0, 99, 0, 1};
    for (int i = 0; i < 12; i++) CHECK(oracle_le(v + 32 + 4 * i, 4) == words[i], "word %d", i);
    CHECK(memcmp(v + 32 + 48, (float[]){100, 256}, 8) == 0);
    for (int i = 0; i < 7; i++)
        CHECK(oracle_le(v + 32 + 56 + 8 * i, 8) == counts[i], "count %d", i);
    char type;
    uint64_t count;
    const uint8_t *p = oracle_part(v, 112, 33, &type, &count);
    CHECK(p && type == 'B' && count == 10 && memcmp(p, "{\"in\":\"x\"}", 10) == 0);
    p = oracle_part(v, 112, 39, &type, &count);
    CHECK(p && type == 'I' && count == 2 && oracle_le(p + 4, 4) == 9);
    p = oracle_part(v, 112, 41, &type, &count);
    CHECK(p && type == 'f' && count == 2 && memcmp(p, action_low, 8) == 0);
    CHECK(!oracle_part(v, 112, 38, &type, &count), "env is absent");
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

static void check_part(const uint8_t *v, unsigned number, char want, const void *data, uint64_t n,
                       size_t element) {
    char type = 0;
    uint64_t count = 0;
    const uint8_t *p = oracle_part(v, 32, number, &type, &count);
    CHECK(p && type == want && count == n && memcmp(p, data, n * element) == 0, "part %u", number);
    CHECK(p && (p - v) % 8 == 0, "part %u is not aligned", number);
}

static void check_layout(uint32_t K, char type) {
    make_shard(K, 0);
    size_t size;
    uint16_t small[T * CELLS], small_text[5];
    for (int i = 0; i < T * CELLS; i++) small[i] = (uint16_t)codes[i];
    for (int i = 0; i < 5; i++) small_text[i] = (uint16_t)text[i];
    uint8_t *v = oracle_get(shard(), 1, 0, 1, &size);
    REQUIRE(v && size > 64);
    CHECK(v[32] == 1 && !v[33] && oracle_le(v + 36, 4) == T && oracle_le(v + 40, 4) == 2 &&
          oracle_le(v + 44, 4) == 3);
    CHECK(oracle_le(v + 48, 4) == 16 && oracle_le(v + 52, 4) == 24 &&
          oracle_le(v + 56, 8) == 1ull << 40);
    check_part(v, 1, 'B', "episode_3", 9, 1);
    check_part(v, 2, 'B', "set", 3, 1);
    check_part(v, 3, type, type == 'H' ? (void *)small : (void *)codes, T * CELLS,
               type == 'H' ? 2 : 4);
    check_part(v, 4, 'H', small_text, 5, 2);
    check_part(v, 5, 'f', continuous, T * 2, 4);
    check_part(v, 6, 'I', discrete, T * 2, 4);
    check_part(v, 7, 'f', actions, T * 2, 4);
    check_part(v, 8, 'I', discrete_actions, T, 4);
    check_part(v, 9, 'f', label_actions, T * 2, 4);
    check_part(v, 10, 'f', rewards, T, 4);
    check_part(v, 11, 'B', terminated, T, 1);
    check_part(v, 12, 'B', truncated, T, 1);
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

static uint8_t *find_part(uint8_t *v, unsigned number) {
    char type;
    uint64_t count;
    return (uint8_t *)(uintptr_t)oracle_part(v, 32, number, &type, &count);
}

/* Overwrites `bytes` of part `number` of the episode and expects `says`. */
static void forge(unsigned number, size_t at, const void *data, size_t bytes, const char *says) {
    make_shard(8, 1);
    size_t size;
    uint8_t *v = oracle_get(shard(), 1, 0, 1, &size);
    memcpy((number ? find_part(v, number) : v) + at, data, bytes);
    oracle_put(shard(), 1, 0, 1, v, size, true);
    free(v);
    int rc;
    reason_t why;
    token_record_t r;
    token_db_t *db = open_shard(&rc, &why);
    REQUIRE(db, "%s", why.text);
    CHECK(token_db_get(db, 1, &r, &why) == -1 && !r.owned, "part %u passed", number);
    CHECK(strstr(why.text, says) && strstr(why.text, "record 1") && strstr(why.text, "at byte "),
          "%s", why.text);
    CHECK(token_db_get(db, 3, &r, &why) == 0, "%s", why.text);
    check_episode(&r);
    token_record_release(&r);
    token_db_close(db);
    folder_remove();
}

TEST(fault_048_ids_out_of_range) {
    forge(3, 10, (uint16_t[]){8}, 2, "'episode_3' at byte ");
    forge(3, 10, (uint16_t[]){8}, 2, "codes[5] = 8 is not below 8");
    forge(4, 8, (uint16_t[]){257}, 2, "text[4] = 257 is not below 257");
    forge(6, 12, (uint32_t[]){9}, 4, "discrete[3] = 9 is not below 9");
    forge(6, 8, (uint32_t[]){0xFFFFFFFF}, 4, "discrete[2] = 4294967295 is not below 4");
    forge(8, 0, (uint32_t[]){5}, 4, "discrete_actions[0] = 5 is not below 5");
}

TEST(fault_081_not_finite) {
    forge(5, 4, (float[]){NAN}, 4, "continuous[1] is not finite");
    forge(7, 0, (float[]){INFINITY}, 4, "actions[0] is not finite");
    forge(10, 8, (float[]){-INFINITY}, 4, "rewards[2] is not finite");
    forge(11, 1, (uint8_t[]){2}, 1, "terminated[1] = 2 is no truth value");
}

TEST(fault_048_sizes_that_lie) {
    forge(0, 36, (uint32_t[]){4}, 4, "a part whose size does not fit its steps");
    forge(0, 36, (uint32_t[]){0}, 4, "a record without steps");
    forge(0, 40, (uint32_t[]){0xFFFFFFFF}, 4, "grids of");
    forge(0, 32, (uint32_t[]){3}, 4, "record kind 3");
    forge(0, 10, (uint16_t[]){0xFFFF}, 2, "more parts than there is room for");
    forge(0, 64 + 8, (uint64_t[]){1ull << 63}, 8, "a part longer than the value");
    forge(0, 64 + 2, "x", 1, "its table of parts");
    forge(0, 24, (uint64_t[]){7}, 8, "it belongs to another key");
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
    forge_meta(4, (uint16_t[]){2}, 2, false, RC_MISFIT,
               "format version 2, this program reads version 1");
}
TEST(fault_053_the_other_byte_order) {
    forge_meta(7, "b", 1, true, RC_MISFIT,
               "written with the byte order 'b', this program reads 'l'");
}
TEST(fault_046_meta_that_lies) {
    forge_meta(32 + 56, (uint64_t[]){4}, 8, false, RC_DATA,
               "4 records and 1 bad items counted, 3 and 1 found");
    forge_meta(32, (uint32_t[]){9}, 4, false, RC_DATA, "the codebook's size");
    forge_meta(32 + 32, (uint32_t[]){3}, 4, false, RC_DATA, "discrete_range");
    forge_meta(0, "tkdc", 4, false, RC_DATA, "corrupt");
}
