/* test_token_db_damage.c - damaged shards, and how a shard is opened. */
#include "tests/token_db_case.h"

/* ---- damage ---- */

/* Everything a reader can see, as one hash; 0 when anything is refused. */
static uint64_t visible(void) {
    int rc;
    reason_t why;
    token_db_t *db = open_shard(&rc, &why);
    if (!db) {
        CHECK(why.text[0] && (rc == RC_DATA || rc == RC_MISFIT), "refused with %d: %s", rc,
              why.text);
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
        if (r.slot[0].codes) h = XXH64(r.slot[0].codes, r.T * CELLS * sizeof *codes, h);
        if (r.slot[STATE].vector) h = XXH64(r.slot[STATE].vector, r.T * 2 * sizeof *state, h);
        for (int k = 0; k < 2; k++)
            if (r.slot[k].pixels) h = XXH64(r.slot[k].pixels, r.slot[k].pixels_bytes, h);
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

/* Every 5th byte of the file, one bit: either refused, or it makes no difference to anybody (free
 * pages, padding of pages). */
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
    for (size_t at = 0; at < 8192;
         at += 1) { /* the meta pages: at worst the state before is seen, whole */
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
    uint8_t *file = slurp(in_folder("x.lmdb/data.mdb"), &size),
            *v = oracle_get(shard(), 1, 0, 1, &value_size);
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
        CHECK(!db && rc == RC_DATA, "%jd of %jd bytes: rc %d %s", (intmax_t)cut,
              (intmax_t)st.st_size, rc, why.text);
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
    CHECK(strstr(c.err, "gato: '") && strstr(c.err, "x.lmdb': truncated while it was read") &&
              child_lines(c.err) == 1,
          "%s", c.err);
    folder_remove();
}

/* ---- opening ---- */

TEST(fault_050_nothing_in_it) {
    int rc;
    reason_t why;
    folder_open();
    CHECK(!open_shard(&rc, &why) && rc == RC_USAGE && strstr(why.text, "does not exist"), "%s",
          why.text);
    mkdir(shard(), 0777);
    CHECK(!open_shard(&rc, &why) && rc == RC_USAGE && strstr(why.text, "is no token shard"), "%s",
          why.text);
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
    CHECK(!token_db_create(shard(), &m, 0, &rc, &why) && rc == RC_USAGE &&
              strstr(why.text, "open in this process"),
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
            bad += token_db_get(db, i, &r, NULL) != 0 ||
                   memcmp(r.slot[FRONT].codes, codes, sizeof codes) != 0;
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
