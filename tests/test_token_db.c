/* test_token_db.c - token shards: what is put comes back, what lies in the file is what FORMATS.md says (token_oracle.h
 * reads it with plain LMDB), and no damage or forgery of the file passes.
 */
#include "common/io/token_db.h"
#include "common/io/token_db_value.h"
#include "tests/folder.h"
#include "tests/token_oracle.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

/* ---- a shard with one record of each kind
 * -------------------------------------------------------------------------------*/

enum { T = 3, CELLS = 6 };

static float codebook[8 * 2] = {0.5f, -1, 2};
static uint32_t discrete_range[2] = {4, 9}, discrete_action_range[1] = {5};
static float action_low[2] = {-2, -INFINITY}, action_high[2] = {2, 3};

static char tool[] = "tokenize 0.1", arguments[] = "{\"in\":\"x\"}", fingerprint[] = "00112233445566778899aabbccddeeff";
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
static float continuous[T * 2] = {0.1f, -1e30f, 3, 4, 5, 6}, actions[T * 2] = {-1, 1, 0.5f, 0, 0.25f, -0.75f};
static float label_actions[T * 2] = {1, 1, 1, -1, -1, -1}, rewards[T] = {0, -0.5f, 1e10f};
static uint32_t discrete[T * 2] = {0, 8, 3, 0, 1, 1}, discrete_actions[T] = {4, 0, 1}, pixel_size[1] = {7};
static uint8_t terminated[T] = {0, 0, 1}, truncated[T] = {0, 1, 0};

static token_record_t image_record(void) {
    return (token_record_t){.kind = RECORD_IMAGE,
                            .T = 1,
                            .key = "a/x.png",
                            .key_len = 7,
                            .source = "pictures",
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
    for (int i = 0; i < 3 + more; i++) CHECK(token_db_put(db, &r[i < 3 ? i : 1], &why) == 0, "%s", why.text);
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

static void check_episode(const token_record_t *r) {
    CHECK(r->kind == RECORD_EPISODE && r->T == T && r->first_step == 1ull << 40 && r->grid_h == 2 && r->grid_w == 3);
    CHECK(r->image_h == 16 && r->image_w == 24 && r->key_len == 9 && r->source_len == 3 && r->text_len == 5);
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
    CHECK(m->codes == 8 && m->code_dim == 2 && m->grid_h == 2 && m->image_w == 24 && m->text_vocab == 257 &&
          m->mu == 100 && m->M == 256);
    CHECK(m->records == 3 && m->images == 1 && m->episodes == 1 && m->tokens == 99 && m->bad == 1 && m->complete &&
          token_db_count(db) == 3);
    CHECK(!m->env && !m->quantizer && m->action_low[1] == -INFINITY && m->discrete_range[1] == 9 &&
          m->discrete_action_range[0] == 5);
    CHECK_STR(m->arguments, "{\"in\":\"x\"}");
    CHECK_STR(m->fingerprint, "00112233445566778899aabbccddeeff");
    SAME(m->codebook, codebook, 16);
    token_record_t r;
    REQUIRE(token_db_get(db, 0, &r, &why) == 0, "%s", why.text);
    CHECK(r.kind == RECORD_IMAGE && r.T == 1 && r.pixels_bytes == 7 && !r.text && !r.actions && !r.rewards);
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

/* ---- the file, by FORMATS.md
 * --------------------------------------------------------------------------------------------*/

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
    for (int i = 0; i < 7; i++) CHECK(oracle_le(v + 32 + 56 + 8 * i, 8) == counts[i], "count %d", i);
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
    CHECK(v && size == 48 && oracle_le(v + 32, 8) == 17 && oracle_le(v + 40, 8) == 0x1122334455667788u);
    free(v);
    v = oracle_get(shard(), 3, 0, 0, &size);
    p = v ? oracle_part(v, 0, 49, &type, &count) : NULL;
    CHECK(p && count == 14 && memcmp(p, "cannot be read", 14) == 0);
    free(v);
    folder_remove();
}

static void check_part(const uint8_t *v, unsigned number, char want, const void *data, uint64_t n, size_t element) {
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
    CHECK(v[32] == 1 && !v[33] && oracle_le(v + 36, 4) == T && oracle_le(v + 40, 4) == 2 && oracle_le(v + 44, 4) == 3);
    CHECK(oracle_le(v + 48, 4) == 16 && oracle_le(v + 52, 4) == 24 && oracle_le(v + 56, 8) == 1ull << 40);
    check_part(v, 1, 'B', "episode_3", 9, 1);
    check_part(v, 2, 'B', "set", 3, 1);
    check_part(v, 3, type, type == 'H' ? (void *)small : (void *)codes, T * CELLS, type == 'H' ? 2 : 4);
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

/* ---- forged values: the checksum is right, the content is not
 * -------------------------------------------------------------*/

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
    CHECK(strstr(why.text, says) && strstr(why.text, "record 1") && strstr(why.text, "at byte "), "%s", why.text);
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

static void forge_meta(size_t at, const void *data, size_t bytes, bool big_endian, int want, const char *says) {
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
    CHECK(!open_shard(&rc, &why) && rc == want && strstr(why.text, says) && strstr(why.text, "x.lmdb"), "rc %d: %s", rc,
          why.text);
    folder_remove();
}

TEST(fault_047_another_version) {
    forge_meta(4, (uint16_t[]){2}, 2, false, RC_MISFIT, "format version 2, this program reads version 1");
}
TEST(fault_053_the_other_byte_order) {
    forge_meta(7, "b", 1, true, RC_MISFIT, "written with the byte order 'b', this program reads 'l'");
}
TEST(fault_046_meta_that_lies) {
    forge_meta(32 + 56, (uint64_t[]){4}, 8, false, RC_DATA, "4 records and 1 bad items counted, 3 and 1 found");
    forge_meta(32, (uint32_t[]){9}, 4, false, RC_DATA, "the codebook's size");
    forge_meta(32 + 32, (uint32_t[]){3}, 4, false, RC_DATA, "discrete_range");
    forge_meta(0, "tkdc", 4, false, RC_DATA, "corrupt");
}

/* ---- damage
 * ---------------------------------------------------------------------------------------------------------------*/

/* Everything a reader can see, as one hash; 0 when anything is refused. */
static uint64_t visible(void) {
    int rc;
    reason_t why;
    token_db_t *db = open_shard(&rc, &why);
    if (!db) {
        CHECK(why.text[0] && rc, "refused without a reason");
        return 0;
    }
    const shard_meta_t *m = token_db_meta(db);
    uint64_t h = XXH64(&m->codes, sizeof m->codes, 1), ok = 1;
    h = XXH64(&m->records, 7 * sizeof m->records, h);
    h = XXH64(m->arguments, strlen(m->arguments), h);
    h = XXH64(m->codebook, sizeof codebook, h);
    for (uint64_t i = 0; i < token_db_count(db) && ok; i++) {
        token_record_t r;
        ok = token_db_get(db, i, &r, &why) == 0;
        if (!ok) break;
        h = XXH64(r.key, r.key_len, h);
        if (r.codes) h = XXH64(r.codes, r.T * CELLS * sizeof *r.codes, h);
        if (r.continuous) h = XXH64(r.continuous, r.T * 2 * sizeof *r.continuous, h);
        if (r.pixels) h = XXH64(r.pixels, r.pixels_bytes, h);
        token_record_release(&r);
    }
    char *key, *reason;
    for (uint64_t i = 0; i < m->bad && ok; i++) {
        ok = token_db_bad(db, i, &key, &reason, &why) == 0;
        if (!ok) break;
        h = XXH64(reason, strlen(reason), h);
        free(key);
        free(reason);
    }
    token_db_close(db);
    return ok ? h : 0;
}

static uint8_t *slurp(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    uint8_t *v = malloc(*size);
    if (fread(v, 1, *size, f) != *size) exit(1);
    fclose(f);
    return v;
}

static void flip(int fd, size_t at, uint8_t byte) {
    if (pwrite(fd, &byte, 1, (off_t)at) != 1) exit(1);
}

/* Every 5th byte of the file, one bit: either refused, or it makes no difference to anybody (free pages, padding of
 * pages). */
TEST(fault_046_one_flipped_byte) {
    make_shard(8, 40);
    size_t size, refused = 0, same = 0;
    uint8_t *file = slurp(in_folder("x.lmdb/data.mdb"), &size);
    uint64_t before = visible();
    CHECK(before);
    int fd = open(in_folder("x.lmdb/data.mdb"), O_RDWR);
    for (size_t at = 8192; at < size; at += 5) {
        flip(fd, at, file[at] ^ (uint8_t)(1 << at % 8));
        uint64_t now = visible();
        flip(fd, at, file[at]);
        refused += now == 0;
        same += now == before;
        CHECK(now == 0 || now == before, "byte %zu changes what is read", at);
    }
    for (size_t at = 0; at < 8192; at += 1) { /* the meta pages: at worst the state before is seen, whole */
        flip(fd, at, file[at] ^ (uint8_t)(1 << at % 8));
        visible();
        flip(fd, at, file[at]);
    }
    for (size_t at = 0; at < 2 * 160 * 8; at++) { /* every bit of what stands on them */
        size_t byte = at / 8 % 160 + (at < 160 * 8 ? 0 : 4096);
        flip(fd, byte, file[byte] ^ (uint8_t)(1 << at % 8));
        visible();
        flip(fd, byte, file[byte]);
    }
    CHECK(visible() == before && refused > 1000, "%zu refused, %zu without effect", refused, same);
    close(fd);
    free(file);
    folder_remove();
}

/* Inside a value every single byte counts. */
TEST(fault_046_every_byte_of_a_value) {
    make_shard(8, 0);
    size_t size, value_size, found = 0;
    uint8_t *file = slurp(in_folder("x.lmdb/data.mdb"), &size), *v = oracle_get(shard(), 1, 0, 1, &value_size);
    int fd = open(in_folder("x.lmdb/data.mdb"), O_RDWR);
    for (size_t at = 8192; at + value_size <= size; at++) {
        if (memcmp(file + at, v, value_size) != 0) continue;
        found++;
        for (size_t i = 0; i < value_size; i++) {
            flip(fd, at + i, file[at + i] ^ (uint8_t)(1 << i % 8));
            CHECK(visible() == 0, "byte %zu of the value", i);
            flip(fd, at + i, file[at + i]);
        }
    }
    CHECK(found == 1, "the value was found %zu times", found);
    close(fd);
    free(file);
    free(v);
    folder_remove();
}

TEST(fault_046_truncated) {
    make_shard(8, 200);
    struct stat st;
    stat(in_folder("x.lmdb/data.mdb"), &st);
    for (off_t cut = st.st_size - 1; cut >= 0; cut -= 1 + st.st_size / 150) {
        if (truncate(in_folder("x.lmdb/data.mdb"), cut)) exit(1);
        int rc;
        reason_t why;
        token_db_t *db = open_shard(&rc, &why);
        CHECK(!db && rc == RC_DATA, "%jd of %jd bytes: rc %d %s", (intmax_t)cut, (intmax_t)st.st_size, rc, why.text);
        token_db_close(db);
    }
    folder_remove();
}

TEST(fault_046_random_bytes) {
    folder_open();
    mkdir(shard(), 0777);
    int rc;
    reason_t why;
    for (unsigned seed = 0; seed < 20; seed++) {
        FILE *f = fopen(in_folder("x.lmdb/data.mdb"), "wb");
        for (unsigned i = 0; i < 20000; i++) fputc((int)(XXH64(&i, 4, seed) & 255), f);
        fclose(f);
        CHECK(!open_shard(&rc, &why) && rc == RC_DATA, "rc %d", rc);
    }
    folder_remove();
}

static int read_truncated(void *arg) {
    int rc;
    reason_t why;
    token_record_t r;
    die_set_program("gato");
    token_db_t *db = open_shard(&rc, &why);
    if (!db || truncate(in_folder("x.lmdb/data.mdb"), 8192)) return 77;
    for (uint64_t i = 0; i < token_db_count(db); i++) token_db_get(db, i, &r, &why);
    return 78;
}

static int fault_elsewhere(void *arg) {
    int rc;
    reason_t why;
    if (!open_shard(&rc, &why)) return 77;
    raise(SIGBUS);
    return 78;
}

TEST(fault_046_truncated_while_it_is_read) {
    make_shard(8, 200);
    child_t c;
    child_run(fault_elsewhere, NULL, &c);
    CHECK(c.code > 3 && c.code != 77 && c.code != 78, "a SIGBUS elsewhere gave %d", c.code);
    child_run(read_truncated, NULL, &c);
    CHECK(c.code == RC_DATA, "code %d", c.code);
    CHECK(strstr(c.err, "gato: '") && strstr(c.err, "x.lmdb': truncated while it was read") && child_lines(c.err) == 1,
          "%s", c.err);
    folder_remove();
}

/* ---- opening
 * --------------------------------------------------------------------------------------------------------------*/

TEST(fault_050_nothing_in_it) {
    int rc;
    reason_t why;
    folder_open();
    CHECK(!open_shard(&rc, &why) && rc == RC_USAGE && strstr(why.text, "does not exist"), "%s", why.text);
    mkdir(shard(), 0777);
    CHECK(!open_shard(&rc, &why) && rc == RC_USAGE && strstr(why.text, "is no token shard"), "%s", why.text);
    FILE *f = fopen(in_folder("x.lmdb/data.mdb"), "wb");
    fclose(f);
    CHECK(!open_shard(&rc, &why) && rc == RC_DATA, "%s", why.text);
    shard_meta_t m = meta_of(8);
    token_db_t *db = token_db_create(shard(), &m, 0, &rc, &why);
    REQUIRE(db, "%s", why.text);
    token_db_close(db);
    db = open_shard(&rc, &why);
    CHECK(db && token_db_count(db) == 0 && !token_db_meta(db)->complete, "%s", why.text);
    token_db_close(db);
    folder_remove();
}

TEST(one_file_is_opened_once) {
    make_shard(8, 0);
    int rc;
    reason_t why;
    token_record_t r;
    shard_meta_t m = meta_of(8);
    CHECK(symlink("x.lmdb", in_folder("y.lmdb")) == 0);
    token_db_t *a = open_shard(&rc, &why), *b = token_db_open(in_folder("y.lmdb"), &rc, &why);
    CHECK(a && a == b, "two handles");
    CHECK(!token_db_create(shard(), &m, 0, &rc, &why) && rc == RC_USAGE && strstr(why.text, "open in this process"),
          "%s", why.text);
    token_db_close(a);
    CHECK(token_db_get(b, 0, &r, &why) == 0, "%s", why.text);
    token_record_release(&r);
    token_db_close(b);
    a = open_shard(&rc, &why);
    CHECK(a);
    token_db_close(a);
    folder_remove();
}

/* As a user who may not write there. */
static int read_as_nobody(void *arg) {
    int rc;
    reason_t why;
    token_record_t r;
    if (geteuid() == 0 && (setgid(65534) || setuid(65534))) return 76;
    if (access(shard(), W_OK) == 0) return 77;
    token_db_t *db = open_shard(&rc, &why);
    if (!db) fprintf(stderr, "%s\n", why.text);
    if (!db || token_db_get(db, 1, &r, &why)) return 78;
    token_record_release(&r);
    token_db_close(db);
    return 0;
}

TEST(fault_052_read_only_medium) {
    make_shard(8, 0);
    child_t c;
    unlink(in_folder("x.lmdb/lock.mdb"));
    chmod(folder, 0755);
    chmod(shard(), 0555);
    chmod(in_folder("x.lmdb/data.mdb"), 0444);
    child_run(read_as_nobody, NULL, &c);
    CHECK(c.code == 0, "code %d: %s", c.code, c.err);
    CHECK(access(in_folder("x.lmdb/lock.mdb"), F_OK) != 0);
    chmod(shard(), 0755);
    folder_remove();
}

static void *read_all(void *arg) {
    token_db_t *db = arg;
    size_t bad = 0;
    for (int pass = 0; pass < 20; pass++) {
        for (uint64_t i = 3; i < token_db_count(db); i++) {
            token_record_t r;
            bad += token_db_get(db, i, &r, NULL) != 0 || memcmp(r.codes, codes, sizeof codes) != 0;
            token_record_release(&r);
        }
    }
    return (void *)bad;
}

TEST(reading_from_several_threads) {
    make_shard(8, 100);
    int rc;
    reason_t why;
    pthread_t thread[4];
    token_db_t *db = open_shard(&rc, &why);
    REQUIRE(db, "%s", why.text);
    for (int i = 0; i < 4; i++) pthread_create(&thread[i], NULL, read_all, db);
    for (int i = 0; i < 4; i++) {
        void *bad;
        pthread_join(thread[i], &bad);
        CHECK(!bad);
    }
    token_db_close(db);
    folder_remove();
}
