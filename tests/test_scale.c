/* test_scale.c - many small records: what writing, opening, reading all and reading at random cost,
 * and what memory they take. The cost of a record and the memory must not depend on how many there
 * are.
 *
 *   SCALE=10000000 build/tests/test_scale figures
 *
 * writes that many (powers of ten up to it) and prints its measurements; without it the test goes
 * to 10^5.
 */
#include "common/base/pool.h"
#include "common/io/token_db/token_db.h"
#include "tests/folder.h"
#include "tests/rss.h"
#include "tests/test.h"
#include <sys/stat.h>
#include <time.h>
#include <xxhash.h>

enum { GRID = 4, CODES = 1024, BATCH = 4096, SAMPLES = 100000 };

typedef struct {
    uint64_t n;
    double write_s, open_s, verify_s, sample_s; /* seconds of the whole stage */
    double bytes;
    long write_mb, read_mb; /* peaks of resident memory */
    int failures;
} figures_t;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const char *shard(void) {
    return in_folder("scale.lmdb");
}

/* Record i is a function of i: an image of 4 x 4 codes under a key of its number. */
static uint32_t code_of(uint64_t i, uint32_t k) {
    return (uint32_t)((i * 2654435761u + k * 40503u) >> 7) % CODES;
}

static int write_records(uint64_t n) {
    static char arguments[] = "{\"scale\":1}";
    int rc;
    reason_t why;
    task_t task = task_new("image", RECORD_IMAGE);
    task_add(&task, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    shard_meta_t m = {.arguments = arguments, .codes = CODES, .tasks = {&task, 1}};
    token_db_t *db = token_db_create(shard(), &m, 0, &rc, &why);
    if (!db) return 1;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t codes[GRID * GRID];
        char key[24];
        int len = snprintf(key, sizeof key, "item_%llu", (unsigned long long)i);
        for (uint32_t k = 0; k < GRID * GRID; k++) codes[k] = code_of(i, k);
        token_record_t r = {
            .T = 1, .key = key, .key_len = (uint32_t)len, .source = "synthetic", .source_len = 9};
        r.slot[0] = (slot_data_t){.grid_h = GRID, .grid_w = GRID, .codes = codes};
        if (token_db_put(db, &r, &why)) return 2;
        if (i % BATCH != BATCH - 1) continue;
        token_db_mark(db, 1, i + 1, i);
        if (token_db_commit(db, &why)) return 3;
    }
    m.complete = true;
    if (token_db_commit(db, &why)) return 4;
    token_db_close(db);
    task_release(&task);
    return 0;
}

static bool right(token_db_t *db, uint64_t i) {
    token_record_t r;
    char key[24];
    int len = snprintf(key, sizeof key, "item_%llu", (unsigned long long)i);
    if (token_db_get(db, i, &r, NULL)) return false;
    bool ok = r.key_len == (uint32_t)len && !memcmp(r.key, key, r.key_len);
    for (uint32_t k = 0; k < GRID * GRID; k++) ok &= r.slot[0].codes[k] == code_of(i, k);
    token_record_release(&r);
    return ok;
}

typedef struct {
    token_db_t *db;
    _Atomic uint64_t wrong;
} reading_t;

static void read_block(void *ctx, size_t block) {
    reading_t *s = ctx;
    uint64_t n = token_db_count(s->db), end = (uint64_t)(block + 1) * BATCH;
    for (uint64_t i = (uint64_t)block * BATCH; i < n && i < end; i++) s->wrong += !right(s->db, i);
}

/* Both in children, so that the peaks of memory are theirs alone. */
static int writing(void *arg) {
    figures_t *f = arg;
    rss_reset();
    double start = now();
    f->failures = write_records(f->n);
    f->write_s = now() - start;
    f->write_mb = rss_peak_mb();
    return 0;
}

static int reading(void *arg) {
    figures_t *f = arg;
    int rc;
    reason_t why;
    rss_reset();
    double start = now();
    reading_t s = {.db = token_db_open(shard(), &rc, &why)};
    f->open_s = now() - start;
    if (!s.db || token_db_count(s.db) != f->n) {
        f->failures++;
        return 0;
    }
    f->bytes = (double)token_db_bytes(s.db);
    start = now();
    parallel_for((size_t)((f->n + BATCH - 1) / BATCH), read_block, &s);
    f->verify_s = now() - start;
    start = now();
    for (uint64_t i = 0; i < SAMPLES; i++)
        s.wrong += !right(s.db, (uint64_t)(((unsigned __int128)XXH64(&i, 8, 0) * f->n) >> 64));
    f->sample_s = now() - start;
    f->failures += s.wrong > 0;
    f->read_mb = rss_peak_mb();
    token_db_close(s.db);
    return 0;
}

/* The measurements come back through a file: a child's memory is its own. */
typedef struct {
    int (*stage)(void *);
    figures_t *f;
} stage_t;

static int run_stage(void *arg) {
    stage_t *s = arg;
    int rc = s->stage(s->f);
    FILE *out = fopen(in_folder("figures"), "wb");
    if (!out || fwrite(s->f, sizeof *s->f, 1, out) != 1 || fclose(out)) return 1;
    return rc;
}

static bool stage(int (*fn)(void *), figures_t *f) {
    child_t c;
    child_run(run_stage, &(stage_t){fn, f}, &c);
    FILE *in = fopen(in_folder("figures"), "rb");
    bool ok = c.code == 0 && in && fread(f, sizeof *f, 1, in) == 1;
    if (in) fclose(in);
    return ok && !f->failures;
}

static figures_t measure(uint64_t n) {
    figures_t f = {.n = n};
    folder_open();
    CHECK(stage(writing, &f), "%llu records: writing", (unsigned long long)n);
    CHECK(stage(reading, &f), "%llu records: reading", (unsigned long long)n);
    folder_remove();
    return f;
}

TEST(memory_and_bytes_of_a_record_do_not_grow) {
    figures_t small = measure(10000), large = measure(100000), huge = measure(400000);
    double a = small.bytes / 1e4, b = large.bytes / 1e5;
    CHECK(b < 1.1 * a && b < 260, "%.1f and %.1f bytes a record", a, b);
    CHECK(large.write_mb < small.write_mb + 24, "writing took %ld and %ld MB", small.write_mb,
          large.write_mb);
    /* what is read is mapped: of files below 64 MB all of it may be resident */
    long mapped = (long)(large.bytes - small.bytes) >> 20;
    CHECK(large.read_mb < small.read_mb + mapped + 8, "reading took %ld and %ld MB", small.read_mb,
          large.read_mb);
    CHECK(huge.write_mb < large.write_mb + 32, "writing took %ld and %ld MB", large.write_mb,
          huge.write_mb);
    CHECK(huge.read_mb < 130, "reading %.0f MB took %ld MB", huge.bytes / 1e6, huge.read_mb);
}

TEST(figures) {
    const char *most = getenv("SCALE");
    uint64_t to = most ? strtoull(most, NULL, 10) : 0;
    for (uint64_t n = 1000; n <= to; n *= 10) {
        figures_t f = measure(n);
        printf("%9llu records: %.0f written/s, %.1f bytes a record, opened in %.3f s, %.0f "
               "verified/s, %.0f at random/s; "
               "%ld MB resident writing, %ld MB reading\n",
               (unsigned long long)n, (double)n / f.write_s, f.bytes / (double)n, f.open_s,
               (double)n / f.verify_s, SAMPLES / f.sample_s, f.write_mb, f.read_mb);
        fflush(stdout);
    }
}
