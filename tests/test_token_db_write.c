/* test_token_db_write.c - writing shards under trouble: full maps and disks, two writers, kill -9
 * at any moment, resuming, readers beside a writer. What lies in the file is judged by
 * token_oracle.h, with plain LMDB.
 */
#include "common/io/token_db/token_db.h"
#include "tests/folder.h"
#include "tests/token_oracle.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char arguments[] = "{\"a\":1}", other_arguments[] = "{\"a\":2}", byte_text[] = "byte";
static char fingerprint[] = "00112233445566778899aabbccddeeff",
            other_fingerprint[] = "00112233445566778899aabbccddeef0";

static shard_meta_t meta_of(void) {
    static tasks_t tasks;
    if (!tasks.n) {
        tasks_add(&tasks, task_new("image", RECORD_IMAGE));
        task_add(&tasks.v[0], SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    }
    return (shard_meta_t){.arguments = arguments,
                          .fingerprint = fingerprint,
                          .text_tokenizer = byte_text,
                          .codes = 512,
                          .text_vocab = 257,
                          .tasks = tasks};
}

static const char *shard(void) {
    return in_folder("x.lmdb");
}

static token_db_t *create(shard_meta_t *m, uint64_t max_map, int *rc, reason_t *why) {
    *rc = 0;
    why->text[0] = 0;
    return token_db_create(shard(), m, max_map, rc, why);
}

/* Record number i: its content is a function of i. */
static int put(token_db_t *db, uint64_t i, reason_t *why) {
    static uint32_t codes[1024];
    char key[32];
    uint32_t side = 4 + (uint32_t)(i % 29);
    int n = snprintf(key, sizeof key, "item_%llu", (unsigned long long)i);
    for (uint32_t c = 0; c < side * side; c++) codes[c] = (uint32_t)((i * 31 + c * 7) % 512);
    token_record_t r = {.T = 1, .key = key, .key_len = (uint32_t)n, .source = "s", .source_len = 1};
    r.slot[0] = (slot_data_t){.grid_h = side, .grid_w = side, .codes = codes};
    return token_db_put(db, &r, why);
}

/* An image kept as it is: `mb` megabytes. */
static int put_big(token_db_t *db, uint32_t mb, reason_t *why) {
    uint32_t size = mb << 20;
    uint8_t *pixels = calloc(size, 1);
    token_record_t r = {.T = 1};
    r.slot[0] = (slot_data_t){.pixels = pixels, .pixel_size = &size, .pixels_bytes = size};
    int rc = token_db_put(db, &r, why);
    free(pixels);
    return rc;
}

static uint64_t count(void) {
    int rc;
    reason_t why;
    token_record_t r;
    token_db_t *db = token_db_open(shard(), &rc, &why);
    CHECK(db, "%s", why.text);
    if (!db) return 0;
    uint64_t n = token_db_count(db);
    for (uint64_t i = 0; i < n; i++) {
        CHECK(token_db_get(db, i, &r, &why) == 0, "%s", why.text);
        token_record_release(&r);
    }
    token_db_close(db);
    return n;
}

/* ---- resuming ---- */

TEST(resume_goes_on_where_the_last_commit_was) {
    int rc;
    reason_t why;
    shard_meta_t m = meta_of();
    folder_open();
    token_db_t *db = create(&m, 0, &rc, &why);
    REQUIRE(db, "%s", why.text);
    for (uint64_t i = 0; i < 10; i++) CHECK(put(db, i, &why) == 0);
    token_db_mark(db, 99, 10, 1234);
    m.images = 10;
    m.tokens = 1000;
    CHECK(token_db_commit(db, &why) == 0);
    CHECK(put(db, 10, &why) == 0);
    token_db_mark(db, 99, 11, 1235); /* never committed */
    uint64_t last = 0;
    CHECK(token_db_done(db, 99, &last) == 11 && last == 1235);
    token_db_close(db);
    CHECK(count() == 10);
    CHECK(access(in_folder("x.lmdb.lock"), F_OK) != 0, "the lock file stays");
    shard_meta_t again = meta_of();
    db = create(&again, 0, &rc, &why);
    REQUIRE(db, "%s", why.text);
    CHECK(again.records == 10 && again.images == 10 && again.tokens == 1000 && again.bad == 0 &&
          token_db_count(db) == 10);
    CHECK(token_db_done(db, 99, &last) == 10 && last == 1234);
    CHECK(token_db_done(db, 98, &last) == 0);
    CHECK(put(db, 10, &why) == 0 && token_db_put_bad(db, "k", 1, "r", &why) == 0 &&
          token_db_commit(db, &why) == 0);
    CHECK(put(db, 11, &why) == 0 &&
          token_db_commit(db, &why) == 0); /* behind a bad item: no longer at the end */
    CHECK(again.records == 12 && again.bad == 1);
    token_db_close(db);
    CHECK(count() == 12);
    size_t n;
    oracle_dump(shard(), &n);
    CHECK(n == 1 + 12 + 1 + 1, "%zu entries", n);
    folder_remove();
}

static void resume_with(shard_meta_t m, const char *says) {
    int rc;
    reason_t why;
    CHECK(!create(&m, 0, &rc, &why) && rc == RC_MISFIT && strstr(why.text, says) &&
              strstr(why.text, "x.lmdb"),
          "rc %d: %s", rc, why.text);
}

TEST(fault_047_resume_with_other_options) {
    int rc;
    reason_t why;
    shard_meta_t m = meta_of(), other = meta_of();
    folder_open();
    token_db_close(create(&m, 0, &rc, &why));
    other.arguments = other_arguments;
    resume_with(other, "arguments is {\"a\":1}, asked for is {\"a\":2}");
    other = meta_of();
    other.fingerprint = other_fingerprint;
    resume_with(other, "its fingerprint is 00112233445566778899aabbccddeeff, asked for is "
                       "00112233445566778899aabbccddeef0");
    other.fingerprint = NULL;
    resume_with(other, "asked for is (none)");
    other = meta_of();
    other.codes = 513;
    resume_with(other, "number of codes is 512, asked for is 513");
    other = meta_of();
    tasks_t one = other.tasks;
    other.tasks = tasks_copy(&one);
    task_add(&other.tasks.v[0], SLOT_TEXT, SIDE_OBSERVED, "text", 1);
    resume_with(other, "its tasks are ...");
    resume_with(other, "asked for are ...");
    tasks_release(&other.tasks);
    token_db_t *db = create(&m, 0, &rc, &why);
    CHECK(db, "%s", why.text);
    token_db_close(db);
    folder_remove();
}

/* Sizes of images are what a run learns from its records: the next run takes them over. */
TEST(sizes_are_taken_over) {
    int rc;
    reason_t why;
    shard_meta_t m = meta_of(), again = meta_of();
    tasks_t plain = m.tasks;
    m.tasks = tasks_copy(&plain);
    again.tasks = tasks_copy(&plain);
    folder_open();
    token_db_t *db = create(&m, 0, &rc, &why);
    REQUIRE(db, "%s", why.text);
    slot_t *slot = m.tasks.v[0].slot;
    slot->grid_h = 2;
    slot->grid_w = 3;
    slot->image_h = 16;
    slot->image_w = 24;
    CHECK(put(db, 0, &why) == 0 && token_db_commit(db, &why) == 0, "%s", why.text);
    token_db_close(db);
    db = create(&again, 0, &rc, &why);
    REQUIRE(db, "%s", why.text);
    slot = again.tasks.v[0].slot;
    CHECK(slot->grid_h == 2 && slot->grid_w == 3 && slot->image_h == 16 && slot->image_w == 24);
    token_db_close(db);
    tasks_release(&m.tasks);
    tasks_release(&again.tasks);
    folder_remove();
}

TEST(tasks_that_are_none) {
    int rc;
    reason_t why;
    shard_meta_t m = meta_of();
    tasks_t plain = m.tasks;
    folder_open();
    m.tasks = tasks_copy(&plain);
    task_add(&m.tasks.v[0], SLOT_DISCRETE, SIDE_OBSERVED, "x", 1);
    CHECK(!create(&m, 0, &rc, &why) && rc == RC_DATA && strstr(why.text, "its range is missing") &&
              strstr(why.text, "x.lmdb"),
          "%d: %s", rc, why.text);
    tasks_release(&m.tasks);
    m.tasks = tasks_copy(&plain);
    tasks_add(&m.tasks, task_new("image", RECORD_TEXT));
    CHECK(!create(&m, 0, &rc, &why) && rc == RC_DATA && strstr(why.text, "is there twice"), "%s",
          why.text);
    free(m.tasks.v[1].name);
    m.tasks.v[1].name = strdup("text");
    task_add(&m.tasks.v[1], SLOT_TEXT, SIDE_OBSERVED, "text", 1);
    m.text_vocab = 0;
    CHECK(!create(&m, 0, &rc, &why) && rc == RC_DATA && strstr(why.text, "no text vocabulary"),
          "%s", why.text);
    tasks_release(&m.tasks);
    folder_remove();
}

TEST(fault_066_a_folder_with_other_things) {
    int rc;
    reason_t why;
    shard_meta_t m = meta_of();
    folder_open();
    mkdir(shard(), 0777);
    fclose(fopen(in_folder("x.lmdb/letter.txt"), "w"));
    CHECK(!create(&m, 0, &rc, &why) && rc == RC_USAGE &&
              strstr(why.text, "exists and is no token shard"),
          "%s", why.text);
    unlink(in_folder("x.lmdb/letter.txt"));
    rmdir(shard());
    fclose(fopen(shard(), "w"));
    CHECK(!create(&m, 0, &rc, &why) && rc == RC_USAGE &&
              strstr(why.text, "exists and is no token shard"),
          "%s", why.text);
    folder_remove();
}

TEST(fault_046_resume_of_a_damaged_shard) {
    int rc;
    reason_t why;
    shard_meta_t m = meta_of();
    folder_open();
    token_db_t *db = create(&m, 0, &rc, &why);
    for (uint64_t i = 0; i < 200; i++) put(db, i, &why);
    token_db_commit(db, &why);
    token_db_close(db);
    struct stat st;
    stat(in_folder("x.lmdb/data.mdb"), &st);
    CHECK(truncate(in_folder("x.lmdb/data.mdb"), st.st_size / 2) == 0);
    CHECK(!create(&m, 0, &rc, &why) && rc == RC_DATA && strstr(why.text, "truncated"), "rc %d: %s",
          rc, why.text);
    folder_remove();
}

TEST(fault_050_a_record_that_may_not_be_written) {
    int rc;
    reason_t why;
    shard_meta_t m = meta_of();
    uint32_t codes[1] = {512};
    token_record_t r = {.T = 1};
    r.slot[0] = (slot_data_t){.grid_h = 1, .grid_w = 1, .codes = codes};
    folder_open();
    token_db_t *db = create(&m, 0, &rc, &why);
    CHECK(token_db_put(db, &r, &why) == -1 && strstr(why.text, "codes[0] = 512 is not below 512"),
          "%s", why.text);
    codes[0] = 511;
    r.T = 0;
    CHECK(token_db_put(db, &r, &why) == -1 && strstr(why.text, "without steps"), "%s", why.text);
    r.T = 1;
    CHECK(token_db_put(db, &r, &why) == 0 && token_db_commit(db, &why) == 0 && m.records == 1);
    token_db_close(db);
    CHECK(count() == 1);
    folder_remove();
}

/* ---- the map ---- */

TEST(fault_041_map_full) {
    int rc;
    reason_t why;
    shard_meta_t m = meta_of();
    folder_open();
    token_db_t *db = create(&m, 4 << 20, &rc, &why);
    REQUIRE(db, "%s", why.text);
    CHECK(put_big(db, 1, &why) == 0 && token_db_commit(db, &why) == 0, "%s", why.text);
    CHECK(put_big(db, 4, &why) == 0 && token_db_commit(db, &why) == -1);
    CHECK(strstr(why.text, "--max-map 4 MB") && strstr(why.text, "what was committed is good"),
          "%s", why.text);
    token_db_close(db);
    CHECK(count() == 1);
    shard_meta_t more = meta_of();
    db = create(&more, 16 << 20, &rc, &why); /* and with more room it goes on */
    REQUIRE(db, "%s", why.text);
    CHECK(put_big(db, 4, &why) == 0 && token_db_commit(db, &why) == 0, "%s", why.text);
    token_db_close(db);
    CHECK(count() == 2);
    folder_remove();
}

/* The map starts at 64 MB; one transaction of 150 MB makes it double twice. */
TEST(fault_041_map_grows_between_transactions) {
    int rc;
    reason_t why;
    shard_meta_t m = meta_of();
    folder_open();
    token_db_t *db = create(&m, 0, &rc, &why);
    REQUIRE(db, "%s", why.text);
    CHECK(put(db, 0, &why) == 0 && token_db_commit(db, &why) == 0);
    for (int i = 0; i < 3; i++) CHECK(put_big(db, 50, &why) == 0);
    token_db_mark(db, 7, 4, 3);
    CHECK(put(db, 4, &why) == 0 && token_db_commit(db, &why) == 0, "%s", why.text);
    token_db_close(db);
    CHECK(count() == 5);
    shard_meta_t again = meta_of();
    db = create(&again, 0, &rc, &why);
    uint64_t last;
    CHECK(db && token_db_done(db, 7, &last) == 4 && again.records == 5 && put(db, 5, &why) == 0 &&
              token_db_commit(db, &why) == 0,
          "%s", why.text);
    token_db_close(db);
    CHECK(count() == 6);
    folder_remove();
}

/* A limit on file sizes acts like a full disk, and is named. */
static int write_until_full(void *arg) {
    int rc;
    reason_t why;
    shard_meta_t m = meta_of();
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){2 << 20, 2 << 20});
    token_db_t *db = create(&m, 0, &rc, &why);
    for (uint64_t i = m.records;; i++) {
        if (put(db, i, &why)) return 70;
        if (i % 50 == 49 && token_db_commit(db, &why)) break;
    }
    fputs(why.text, stderr);
    token_db_close(db);
    return 0;
}

TEST(fault_070_file_size_limit) {
    int rc;
    reason_t why;
    folder_open();
    child_t c;
    child_run(write_until_full, NULL, &c);
    CHECK(c.code == 0 && strstr(c.err, "file size limit (ulimit -f)") &&
              strstr(c.err, "what was committed is good"),
          "%d: %s", c.code, c.err);
    uint64_t n = count();
    CHECK(n > 50 && n % 50 == 0, "%llu records", (unsigned long long)n);
    shard_meta_t m = meta_of();
    token_db_t *db = create(&m, 0, &rc, &why); /* with room again, it goes on */
    REQUIRE(db, "%s", why.text);
    CHECK(m.records == n && put(db, n, &why) == 0 && token_db_commit(db, &why) == 0, "%s",
          why.text);
    token_db_close(db);
    CHECK(count() == n + 1);
    folder_remove();
}

TEST(fault_042_disk_full) {
    folder_open();
    if (mount("none", folder, "tmpfs", 0, "size=4m")) {
        SKIP("a small file system cannot be mounted here (needs root)");
        folder_remove();
        return;
    }
    int rc = 0;
    reason_t why;
    shard_meta_t m = meta_of();
    token_db_t *db = create(&m, 0, &rc, &why);
    REQUIRE(db, "%s", why.text);
    CHECK(put_big(db, 1, &why) == 0 && token_db_commit(db, &why) == 0, "%s", why.text);
    CHECK(put_big(db, 6, &why) == 0 && token_db_commit(db, &why) == -1);
    CHECK(strstr(why.text, "disk full? free ") && strstr(why.text, "MB are free now"), "%s",
          why.text);
    token_db_close(db);
    CHECK(count() == 1);
    CHECK(mount("none", folder, "tmpfs", MS_REMOUNT, "size=32m") == 0);
    shard_meta_t again = meta_of();
    db = create(&again, 0, &rc, &why);
    CHECK(db && again.records == 1 && put_big(db, 6, &why) == 0 && token_db_commit(db, &why) == 0,
          "%s", why.text);
    token_db_close(db);
    CHECK(count() == 2);
    CHECK(umount(folder) == 0);
    folder_remove();
}

/* ---- several processes ---- */

static int second_writer(void *arg) {
    int rc;
    reason_t why;
    shard_meta_t m = meta_of();
    token_db_t *db = create(&m, 0, &rc, &why);
    if (db) return 70;
    fputs(why.text, stderr);
    return rc;
}

TEST(fault_044_two_writers) {
    int rc;
    reason_t why;
    char says[64];
    child_t c;
    shard_meta_t m = meta_of();
    folder_open();
    token_db_t *db = create(&m, 0, &rc, &why);
    REQUIRE(db, "%s", why.text);
    child_run(second_writer, NULL, &c);
    snprintf(says, sizeof says, "x.lmdb' is locked by pid %ld", (long)getpid());
    CHECK(c.code == RC_RUNTIME && strstr(c.err, says), "%d: %s", c.code, c.err);
    CHECK(put(db, 0, &why) == 0 && token_db_commit(db, &why) == 0, "%s", why.text);
    token_db_close(db);
    FILE *f = fopen(in_folder("x.lmdb.lock"), "w"); /* what a killed writer leaves */
    fputs("99999999\n", f);
    fclose(f);
    db = create(&m, 0, &rc, &why);
    CHECK(db, "%s", why.text);
    token_db_close(db);
    folder_remove();
}

/* In a child, so that the reader here is another process. */
static int write_more(void *arg) {
    int rc;
    reason_t why;
    shard_meta_t m = meta_of();
    token_db_t *db = create(&m, 0, &rc, &why);
    if (!db) return 70;
    for (uint64_t i = m.records, to = i + 300; i < to; i++)
        if (put(db, i, &why) || (i % 10 == 9 && token_db_commit(db, &why))) return 71;
    token_db_close(db);
    return 0;
}

TEST(fault_045_reading_while_somebody_writes) {
    int rc;
    reason_t why;
    child_t c;
    folder_open();
    child_run(write_more, NULL, &c);
    CHECK(c.code == 0);
    token_db_t *db = token_db_open(shard(), &rc, &why);
    REQUIRE(db, "%s", why.text);
    child_run(write_more, NULL, &c);
    CHECK(c.code == 0 && token_db_count(db) == 300, "a snapshot that moves");
    for (uint64_t i = 0; i < 300; i++) {
        token_record_t r;
        char key[32];
        int n = snprintf(key, sizeof key, "item_%llu", (unsigned long long)i);
        REQUIRE(token_db_get(db, i, &r, &why) == 0, "%s", why.text);
        CHECK(r.key_len == (uint32_t)n && memcmp(r.key, key, r.key_len) == 0 &&
              r.slot[0].codes[1] == (i * 31 + 7) % 512);
        token_record_release(&r);
    }
    token_db_close(db);
    /* Opening again and again while a writer commits. */
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) _exit(write_more(NULL));
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        uint64_t n = count();
        CHECK(n >= 600 && n % 10 == 0, "%llu records", (unsigned long long)n);
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0 && count() == 900);
    folder_remove();
}

/* ---- kill -9 ---- */

enum { ITEMS = 1500, BATCH = 6 };

/* What a tokenizing run does: skips what is done, commits every few items. */
static int tokenize_all(void) {
    int rc;
    reason_t why;
    shard_meta_t m = meta_of();
    token_db_t *db = create(&m, 0, &rc, &why);
    if (!db) {
        fprintf(stderr, "rc %d: %s\n", rc, why.text);
        return 70;
    }
    uint64_t last, done = token_db_done(db, 5, &last);
    if (done && last != XXH64(&(uint64_t){done - 1}, sizeof done, 0)) return 75;
    for (uint64_t item = done; item < ITEMS; item++) {
        if (item % 97 == 5 ? token_db_put_bad(db, "x", 1, "bad", &why) : put(db, item, &why))
            return 71;
        m.images += item % 97 != 5;
        token_db_mark(db, 5, item + 1, XXH64(&item, sizeof item, 0));
        if (item % BATCH == BATCH - 1 && token_db_commit(db, &why)) return 73;
    }
    m.complete = true;
    if (token_db_commit(db, &why)) return 74;
    token_db_close(db);
    return 0;
}

TEST(fault_043_kill_9_and_resume) {
    size_t n, n_killed;
    folder_open();
    CHECK(tokenize_all() == 0);
    uint64_t whole = oracle_dump(shard(), &n);
    folder_remove();
    folder_open();
    int kills = 0, status = 0;
    fflush(NULL);
    for (unsigned try = 0; try < 400; try++) {
        pid_t pid = fork();
        if (pid == 0) _exit(tokenize_all());
        uint64_t h = XXH64(&try, sizeof try, 1);
        usleep((useconds_t)(200 +
                            h % 12000)); /* any moment: while it opens, puts, commits or closes */
        kill(pid, SIGKILL);
        if (waitpid(pid, &status, 0) != pid) exit(1);
        if (WIFEXITED(status)) break;
        kills++;
        if (access(in_folder("x.lmdb/data.mdb"), F_OK) || try % 4) continue;
        struct stat st;
        if (stat(in_folder("x.lmdb/data.mdb"), &st) || st.st_size < 16384) continue;
        oracle_dump(shard(),
                    /* whole batches: an entry an item, the meta, and a mark once there are any */
                    &n_killed);
        CHECK(n_killed == 1 || (n_killed - 2) % BATCH == 0, "%zu entries", n_killed);
    }
    if (!WIFEXITED(status)) status = tokenize_all() << 8;
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
    CHECK(kills > 5, "only %d kills", kills);
    CHECK(oracle_dump(shard(), &n_killed) == whole && n_killed == n, "%zu entries against %zu",
          n_killed, n);
    folder_remove();
}
