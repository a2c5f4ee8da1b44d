/* test_base.c - floor 0: failing, random numbers, threads, logs, sizes, scratch memory. Command
 * lines have test_cli.c. */
#include "common/base/die.h"
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/base/rng.h"
#include "common/base/scratch.h"
#include "common/base/sizes.h"
#include "tests/child.h"
#include "tests/test.h"

#include <cblas.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* ---- die ---- */

static int dies(void *arg) {
    die_set_program("vqvae");
    die(*(int *)arg, "cannot open '%s': %s", "a\nb\x1b[31m%s", "no");
}

TEST(die_one_line_and_code) {
    child_t c;
    for (int code = 1; code <= 4; code++) {
        child_run(dies, &code, &c);
        CHECK(c.code == code, "%d", c.code);
        CHECK_STR(c.err, "vqvae: cannot open 'a?b?[31m%s': no\n");
        CHECK_STR(c.out, "");
    }
}

static int dies_long(void *arg) {
    char *text = xmalloc(10000);
    memset(text, 'x', 9999);
    text[9999] = 0;
    die(RC_DATA, "%s", text);
}

static int dies_errno(void *arg) {
    warn("first");
    warn("second");
    if (warn_count() != 2) return 0;
    errno = ENOSPC;
    die_errno(RC_RUNTIME, "cannot write '%s'", "f");
}

TEST(die_cause_warning_and_length) {
    child_t c;
    child_run(dies_errno, NULL, &c);
    CHECK(c.code == 1);
    CHECK_STR(
        c.err,
        "?: warning: first\n?: warning: second\n?: cannot write 'f': No space left on device\n");
    child_run(dies_long, NULL, &c);
    CHECK(c.code == 3 && child_lines(c.err) == 1 && strlen(c.err) > 1000 &&
          c.err[strlen(c.err) - 1] == '\n');
}

static void *dies_in_thread(void *arg) {
    pthread_barrier_wait(arg);
    die(RC_DATA, "thread");
}

static int dies_twice(void *arg) {
    pthread_barrier_t barrier;
    pthread_t thread[4];
    pthread_barrier_init(&barrier, NULL, 4);
    for (int i = 0; i < 4; i++) pthread_create(&thread[i], NULL, dies_in_thread, &barrier);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    return 0;
}

TEST(die_from_many_threads_once) {
    child_t c;
    child_run(dies_twice, NULL, &c);
    CHECK(c.code == RC_DATA);
    CHECK_STR(c.err, "?: thread\n");
}

static void die_at_exit(void) {
    die(RC_DATA, "again");
}
static int dies_at_exit(void *arg) {
    atexit(die_at_exit);
    die(RC_MISFIT, "first");
}
static int wants_too_much(void *arg) {
    xcalloc((size_t)1 << 40, (size_t)1 << 40);
    return 0;
}
static int hits_bug(void *arg) {
    alarm(5);
    BUG("shape %d", 3);
}

TEST(die_corners) {
    child_t c;
    child_run(dies_at_exit, NULL, &c);
    CHECK(c.code == RC_DATA || c.code == RC_MISFIT, "%d", c.code); /* ends, whatever the code */
    child_run(wants_too_much, NULL, &c);
    CHECK(c.code == RC_RUNTIME && strstr(c.err, "out of memory"));
    child_run(hits_bug, NULL, &c);
    CHECK(c.code == 128 + 6 && strstr(c.err, "test_base.c") && strstr(c.err, "shape 3"));
    reason_t why;
    CHECK(reason_set(&why, "%s %d", "row", 7) == -1 && reason_set(NULL, "x") == -1);
    CHECK_STR(why.text, "row 7");
    reason_set(&why, "file: %s", why.text);
    CHECK_STR(why.text, "file: row 7");
}

TEST(die_allocation) {
    size_t cap = 0;
    int *p = NULL;
    for (int i = 0; i < 1000; i++) {
        p = xgrow(p, &cap, (size_t)i + 1, sizeof *p);
        p[i] = i;
    }
    int wrong = 0;
    for (int i = 0; i < 1000; i++) wrong += p[i] != i;
    CHECK(wrong == 0 && cap >= 1000 && cap < 4000);
    free(p);
    void *a = xaligned(100), *zero = xmalloc(0);
    CHECK(((uintptr_t)a & 63) == 0 && zero);
    free(a);
    free(zero);
    char *s = xasprintf("%s-%d", "a", 1);
    CHECK_STR(s, "a-1");
    free(s);
}

/* ---- rng ---- */

/* Values from a few lines of Python that follow the header's words: the numbers of old checkpoints
 * must not change. */
TEST(rng_known_values) {
    rng_t r = rng_make(1, "data.order");
    CHECK(rng_u64(r, 0) == 0x2fea688608859793u);
    CHECK(rng_u64(r, 1) == 0x6d96a3298b53b22au);
    CHECK(rng_u64(rng_fold(r, 7), 12345) == 0x1ecb5b3a5b328d2fu);
    CHECK(rng_u64(rng_make(0, ""), 0) == 0xa17bb52c2797073eu);
}

/* Chi-square of counts against equal expectation, as a number of standard deviations from its
 * mean. */
static double chi_sigma(const double *count, size_t n, double expected) {
    double chi = 0;
    for (size_t i = 0; i < n; i++) chi += (count[i] - expected) * (count[i] - expected) / expected;
    return (chi - (double)(n - 1)) / sqrt(2.0 * (double)(n - 1));
}

TEST(rng_bytes_are_uniform) {
    for (uint64_t seed = 0; seed < 4; seed++) {
        rng_t r = rng_make(seed, "uniform");
        static double count[8][256];
        memset(count, 0, sizeof count);
        for (uint64_t i = 0; i < 1 << 16; i++) {
            uint64_t v = rng_u64(r, i);
            for (int b = 0; b < 8; b++) count[b][v >> (8 * b) & 255]++;
        }
        for (int b = 0; b < 8; b++)
            CHECK(fabs(chi_sigma(count[b], 256, 256)) < 5, "byte %d: %g", b,
                  chi_sigma(count[b], 256, 256));
    }
}

/* Two sequences are independent when their xor has every bit set half of the time. */
static void check_independent(const char *what, rng_t a, rng_t b, uint64_t shift) {
    enum { N = 1 << 14 };
    double ones[64] = {0};
    for (uint64_t i = 0; i < N; i++) {
        uint64_t x = rng_u64(a, i) ^ rng_u64(b, i + shift);
        for (int bit = 0; bit < 64; bit++) ones[bit] += (double)(x >> bit & 1);
    }
    for (int bit = 0; bit < 64; bit++)
        CHECK(fabs(ones[bit] - N / 2) < 5 * sqrt(N) / 2, "%s: bit %d: %g", what, bit, ones[bit]);
}

TEST(rng_streams_are_independent) {
    rng_t r = rng_make(5, "dropout/h.3");
    check_independent("neighbours", r, r, 1);
    check_independent("seeds", r, rng_make(6, "dropout/h.3"), 0);
    check_independent("names", r, rng_make(5, "dropout/h.4"), 0);
    check_independent("folds", rng_fold(r, 0), rng_fold(r, 1), 0);
    check_independent("fold and parent", r, rng_fold(r, 0), 0);
    check_independent("fold order", rng_fold(rng_fold(r, 1), 2), rng_fold(rng_fold(r, 2), 1), 0);
}

TEST(rng_uniform_range_and_pairs) {
    enum { N = 1 << 18, CELLS = 32 };
    rng_t r = rng_make(9, "pairs");
    static double count[CELLS * CELLS];
    memset(count, 0, sizeof count);
    double low = 1, high = 0, sum = 0;
    for (uint64_t i = 0; i < N; i++) {
        float x = rng_uniform(r, 2 * i);
        double y = rng_uniform64(r, 2 * i + 1);
        low = fmin(low, fmin(x, y));
        high = fmax(high, fmax(x, y));
        sum += x;
        count[(int)(x * CELLS) * CELLS + (int)(y * CELLS)]++;
    }
    CHECK(low >= 0 && low < 1e-4 && high < 1 && high > 1 - 1e-4);
    CHECK_NEAR(sum / N, 0.5, 5 * sqrt(1.0 / 12 / N));
    CHECK(fabs(chi_sigma(count, CELLS * CELLS, (double)N / CELLS / CELLS)) < 5);
}

TEST(rng_normal_moments) {
    enum { N = 200000 };
    rng_t r = rng_make(2, "normal");
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0, tail = 0, lag = 0, last = 0;
    for (uint64_t i = 0; i < N; i++) {
        double x = (double)rng_normal(r, i);
        m1 += x / N;
        m2 += x * x / N;
        m3 += x * x * x / N;
        m4 += x * x * x * x / N;
        lag += x * last / N;
        last = x;
        tail += fabs(x) > 1.959963985;
    }
    double s = sqrt(1.0 / N); /* standard errors of moments 1..4: 1, sqrt 2, sqrt 15, sqrt 96 */
    CHECK_NEAR(m1, 0, 5 * s);
    CHECK_NEAR(m2, 1, 5 * sqrt(2) * s);
    CHECK_NEAR(m3, 0, 5 * sqrt(15) * s);
    CHECK_NEAR(m4, 3, 5 * sqrt(96) * s);
    CHECK_NEAR(lag, 0, 5 * s);
    CHECK_NEAR(tail / N, 0.05, 5 * sqrt(0.05 * 0.95 / N));
}

TEST(rng_below_is_uniform) {
    rng_t r = rng_make(3, "below");
    double count[7] = {0}, upper = 0;
    for (uint64_t i = 0; i < 70000; i++) count[rng_below(r, i, 7)]++;
    CHECK(fabs(chi_sigma(count, 7, 10000)) < 5);
    for (uint64_t i = 0; i < 40000; i++) upper += rng_below(r, i, 3000000000u) >= 1500000000u;
    CHECK_NEAR(upper, 20000, 5 * 100);
    CHECK(rng_below(r, 0, 1) == 0);
}

TEST(rng_permute_is_a_bijection) {
    static const uint64_t sizes[] = {1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, 65537};
    static unsigned char seen[65537];
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint64_t n = sizes[s], out = 0, twice = 0;
        memset(seen, 0, sizeof seen);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t j = rng_permute(rng_make(4, "order"), i, n);
            if (j >= n)
                out++;
            else
                twice += seen[j]++;
        }
        CHECK(!out && !twice, "n %d: %d out, %d twice", (int)n, (int)out, (int)twice);
    }
    uint64_t huge = (uint64_t)1 << 63;
    CHECK(rng_permute(rng_make(4, "order"), huge - 1, huge) !=
          rng_permute(rng_make(4, "order"), huge - 2, huge));
}

TEST(rng_permute_is_fair) {
    enum { N = 24000 };
    double order[27] = {0}, six[6], place[100] = {0};
    for (uint64_t seed = 0; seed < N; seed++) {
        rng_t r = rng_make(seed, "fair");
        order[9 * rng_permute(r, 0, 3) + 3 * rng_permute(r, 1, 3) + rng_permute(r, 2, 3)]++;
        place[10 * rng_permute(r, 0, 10) + rng_permute(r, 1, 10)]++; /* neighbours, too */
    }
    size_t k = 0;
    for (int i = 0; i < 27; i++) {
        if (order[i] > 0 && k < 6) six[k++] = order[i];
    }
    CHECK(k == 6 && fabs(chi_sigma(six, 6, N / 6.0)) < 5);
    double pairs[90];
    k = 0;
    for (int i = 0; i < 100; i++) {
        if (i / 10 == i % 10)
            CHECK(place[i] == 0);
        else
            pairs[k++] = place[i];
    }
    CHECK(fabs(chi_sigma(pairs, 90, N / 90.0)) < 5, "%g", chi_sigma(pairs, 90, N / 90.0));
}

/* ---- pool ---- */

typedef struct {
    atomic_int arrived, all, nested_elsewhere, bad_id;
    atomic_int times[1000];
    int want;
} together_t;

/* Waits until `want` items run at the same time: only that many threads can do it. */
static void meet(void *arg, size_t i) {
    together_t *t = arg;
    atomic_fetch_add(&t->arrived, 1);
    double start = log_now();
    while (atomic_load(&t->arrived) < t->want && log_now() - start < 5) sched_yield();
    if (atomic_load(&t->arrived) >= t->want) atomic_fetch_add(&t->all, 1);
}

TEST(pool_n_threads_really_run) {
    for (int n = 2; n <= 4; n++) {
        together_t t = {.want = n};
        pool_set_threads(n);
        CHECK(pool_threads() == n);
        CHECK(openblas_get_num_threads() == 1);
        parallel_for((size_t)n, meet, &t);
        CHECK(t.all == n, "%d of %d met", (int)t.all, n);
    }
    pool_set_threads(0); /* what that is: test_processors.c */
    CHECK(pool_threads() >= 1 && pool_threads() <= (int)sysconf(_SC_NPROCESSORS_CONF));
}

static void inner(void *arg, size_t i) {
    together_t *t = arg;
    atomic_fetch_add(&t->times[i], 1);
    if (pool_thread_id() < 0 || pool_thread_id() >= t->want) atomic_fetch_add(&t->bad_id, 1);
}
typedef struct {
    together_t *t;
    pthread_t self;
    size_t next;
} nest_t;
static void in_order(void *arg, size_t i) {
    nest_t *n = arg;
    if (i != n->next++ || !pthread_equal(n->self, pthread_self()))
        atomic_fetch_add(&n->t->nested_elsewhere, 1);
}
static void outer(void *arg, size_t i) {
    nest_t n = {arg, pthread_self(), 0};
    int id = pool_thread_id();
    if (n.t->arrived != 1) { /* a loop of one item leaves the threads to its nested loops */
        parallel_for(20, in_order, &n);
        if (n.next != 20 || pool_thread_id() != id) atomic_fetch_add(&n.t->nested_elsewhere, 1);
    }
    inner(arg, i);
}

static void meet_below(void *arg, size_t i) {
    parallel_for(3, meet, arg);
}

TEST(pool_loop_of_one_leaves_threads) {
    together_t t = {.want = 3};
    pool_set_threads(3);
    parallel_for(1, meet_below, &t);
    CHECK(t.all == 3);
    pool_set_threads(0);
}

TEST(pool_each_item_once) {
    for (int threads = 1; threads <= 5; threads++) {
        for (size_t n = 0; n <= 1000; n += n < 10 ? 1 : 330) {
            static together_t t;
            memset(&t, 0, sizeof t);
            t.want = threads;
            t.arrived = (int)n;
            pool_set_threads(threads);
            parallel_for(n, outer, &t);
            int wrong = 0;
            for (size_t i = 0; i < 1000; i++) wrong += t.times[i] != (i < n);
            CHECK(!wrong && !t.bad_id && !t.nested_elsewhere, "threads %d n %d", threads, (int)n);
        }
    }
    CHECK(pool_thread_id() == 0);
    pool_set_threads(0);
}

/* ---- pipeline ---- */

typedef struct {
    int n, made, written, out_of_order, in_flight_max;
    atomic_int in_flight, working, workers_max, outside;
    bool nested;
} flow_t;

/* Every stage of a pipeline with several workers is inside: a parallel_for stays on its thread. */
static void check_serial(flow_t *f) {
    together_t t = {0};
    nest_t n = {&t, pthread_self(), 0};
    if (!f->nested) return;
    parallel_for(5, in_order, &n);
    if (t.nested_elsewhere) f->outside++;
}

static void *flow_read(void *ctx) {
    flow_t *f = ctx;
    check_serial(f);
    if (f->made == f->n) return NULL;
    int now = atomic_fetch_add(&f->in_flight, 1) + 1;
    if (now > f->in_flight_max) f->in_flight_max = now;
    int *item = xmalloc(2 * sizeof *item);
    item[0] = item[1] = f->made++;
    return item;
}
static void flow_map(void *ctx, void *item) {
    flow_t *f = ctx;
    int *v = item, now = atomic_fetch_add(&f->working, 1) + 1;
    if (now > f->workers_max) f->workers_max = now; /* two at once: one is lost, towards less */
    usleep(v[0] % 7 * 100);                         /* later items overtake earlier ones */
    check_serial(f);
    v[1] = v[0] * v[0];
    atomic_fetch_sub(&f->working, 1);
}
static void flow_write(void *ctx, void *item) {
    flow_t *f = ctx;
    int *v = item;
    if (v[0] != f->written || v[1] != v[0] * v[0]) f->out_of_order++;
    check_serial(f);
    f->written++;
    atomic_fetch_sub(&f->in_flight, 1);
    free(item);
}

TEST(pipeline_order_and_depth) {
    for (int workers = 1; workers <= 4; workers++) {
        for (int depth = 1; depth <= 6; depth += 5) {
            flow_t f = {.n = 100, .nested = workers > 1};
            pool_set_threads(3);
            pipeline_run(&(pipeline_t){&f, flow_read, flow_map, flow_write, workers, depth});
            CHECK(f.written == 100 && !f.out_of_order && !f.outside && f.in_flight_max <= depth,
                  "%d workers, depth %d", workers, depth);
            CHECK(f.workers_max <= workers && (workers == 1 || depth == 1 || f.workers_max > 1),
                  "%d", f.workers_max);
        }
    }
    flow_t none = {.n = 0};
    pipeline_run(&(pipeline_t){&none, flow_read, flow_map, flow_write, 2, 2});
    CHECK(none.written == 0);
    together_t t = {.want = 2}; /* and the caller is free again */
    pool_set_threads(2);
    parallel_for(2, meet, &t);
    CHECK(t.all == 2);
    pool_set_threads(0);
}

static void flow_inside(void *arg, size_t i) {
    flow_t *f = (flow_t *)arg + i;
    pipeline_run(&(pipeline_t){f, flow_read, flow_map, flow_write, 2, 4});
}

TEST(pipeline_inside_parallel_for) {
    flow_t f[3] = {{.n = 10}, {.n = 5}, {.n = 0}};
    pool_set_threads(2);
    parallel_for(3, flow_inside, f);
    CHECK(f[0].written == 10 && f[1].written == 5 && f[2].written == 0 && !f[0].out_of_order);
    pool_set_threads(0);
}

static void flow_die(void *ctx, void *item) {
    if (*(int *)item == 5) die(RC_DATA, "item 5");
}
static int pipeline_dies(void *arg) {
    flow_t f = {.n = 100};
    alarm(10);
    pipeline_run(&(pipeline_t){&f, flow_read, flow_die, flow_write, 3, 4});
    return 0;
}

TEST(pipeline_stage_may_die) {
    child_t c;
    child_run(pipeline_dies, NULL, &c);
    CHECK(c.code == RC_DATA);
    CHECK_STR(c.err, "?: item 5\n");
}

/* ---- log ---- */

TEST(log_units) {
    char b[32];
    CHECK_STR(log_bytes(b, 0), "0 B");
    CHECK_STR(log_bytes(b, 999), "999 B");
    CHECK_STR(log_bytes(b, 1234567890), "1.2 GB");
    CHECK_STR(log_bytes(b, 999960), "1.0 MB");
    CHECK_STR(log_seconds(b, 0.25), "0.2 s");
    CHECK_STR(log_seconds(b, 45.2), "45 s");
    CHECK_STR(log_seconds(b, 59.97), "1 m 0 s");
    CHECK_STR(log_seconds(b, 200), "3 m 20 s");
    CHECK_STR(log_seconds(b, 3600 * 5 + 60 * 7 + 1), "5 h 7 m");
    CHECK_STR(log_seconds(b, 86400 * 2 + 3600), "2 d 1 h");
    CHECK_STR(log_seconds(b, INFINITY), "?");
}

static int logs(void *arg) {
    progress_t p;
    progress_begin(&p, "train", 100, 200);
    usleep(150000);
    progress_step(&p, 150, "loss 0.12");
    log_line("a line");
    p.last -= 11; /* as if time had passed */
    progress_step(&p, 150, "loss 0.12");
    progress_end(&p);
    return 0;
}

TEST(fault_072_plain_lines_without_tty) {
    child_t c;
    child_run(logs, NULL, &c);
    CHECK(c.code == 0 && !strchr(c.err, '\r') && !strchr(c.err, '\033'));
    CHECK(child_lines(c.err) == 3, "%s", c.err); /* a line, one progress line, the end */
    CHECK(strstr(c.err, "150/200") && strstr(c.err, "75%") && strstr(c.err, "loss 0.12") &&
              strstr(c.err, "ETA"),
          "%s", c.err);
    CHECK_STR(c.out, "");
}

static int logs_to_terminal(void *arg) {
    const char **env = arg;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master)) return 77;
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    if (slave < 0 || dup2(slave, 2) < 0) return 77;
    setenv("TERM", env[0], 1);
    if (env[1])
        setenv("NO_COLOR", env[1], 1);
    else
        unsetenv("NO_COLOR");
    logs(NULL);
    char text[4096];
    ssize_t n = read(master, text, sizeof text);
    return n > 0 && fwrite(text, 1, (size_t)n, stdout) == (size_t)n ? 0 : 1;
}

TEST(fault_072_terminal_dumb_no_color) {
    static const char *const env[][2] = {{"xterm", NULL}, {"dumb", NULL}, {"xterm", "1"}};
    for (int i = 0; i < 3; i++) {
        child_t c;
        child_run(logs_to_terminal, (void *)env[i], &c);
        if (c.code == 77) continue; /* no pseudo terminals here */
        CHECK(c.code == 0 && (strstr(c.out, "\033[K") != NULL) == (i == 0), "%d: %s", i, c.out);
        if (i == 0)
            CHECK(strstr(c.out, "\r\033[Ktrain [###############.....] 150/200  75%") != NULL, "%s",
                  c.out);
    }
}

TEST(fault_074_monotonic_clock) {
    double a = log_now(), b = log_now();
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    CHECK(b >= a && fabs(b - ((double)t.tv_sec + 1e-9 * (double)t.tv_nsec)) < 1);
}

/* ---- sizes, scratch ---- */

TEST(sizes_by_counting) {
    for (size_t a = 0; a < 70; a++)
        for (size_t b = 1; b < 12; b++) {
            size_t blocks = 0;
            while (blocks * b < a) blocks++;
            CHECK(ceil_div(a, b) == blocks, "%zu / %zu: %zu", a, b, ceil_div(a, b));
            CHECK(round_up(a, b) == blocks * b, "%zu to %zu: %zu", a, b, round_up(a, b));
            CHECK(min_size(a, b) <= a && min_size(a, b) <= b, "min %zu %zu", a, b);
            CHECK(max_size(a, b) >= a && max_size(a, b) >= b, "max %zu %zu", a, b);
            CHECK(min_size(a, b) + max_size(a, b) == a + b, "%zu %zu", a, b);
        }
}

static void *scratch_elsewhere(void *slot) {
    return scratch_get(*(int *)slot, 1);
}

TEST(scratch_blocks_do_not_overlap) {
    enum { BYTES = 1000 };
    unsigned char *block[SCRATCH_SLOTS];
    for (int i = 0; i < SCRATCH_SLOTS; i++) {
        block[i] = scratch_get(i, BYTES);
        CHECK((uintptr_t)block[i] % 64 == 0, "slot %d is not aligned", i);
        memset(block[i], i, BYTES);
    }
    for (int i = 0; i < SCRATCH_SLOTS; i++) {
        CHECK(scratch_get(i, BYTES / 2) == block[i], "slot %d moved without need", i);
        for (size_t k = 0; k < BYTES; k++) REQUIRE(block[i][k] == i, "slot %d, byte %zu", i, k);
    }
    int slot = 3;
    pthread_t thread;
    void *other = NULL;
    REQUIRE(pthread_create(&thread, NULL, scratch_elsewhere, &slot) == 0, "no thread");
    pthread_join(thread, &other);
    CHECK(other && other != block[slot], "two threads share a block");
}

static int scratch_beyond(void *slot) {
    scratch_get(*(int *)slot, 1);
    return 0;
}

TEST(scratch_slot_beyond_the_last_is_a_bug) {
    child_t c;
    const int wrong[] = {-1, SCRATCH_SLOTS};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int slot = wrong[i];
        child_run(scratch_beyond, &slot, &c);
        CHECK(strstr(c.err, "scratch slot"), "slot %d: '%s'", slot, c.err);
    }
}
