/* test_cache_file.c - a file of decoded images gives the pixels that were put or none, whatever
 * happens to it: every byte flipped, every length, a full disk, writers killed and at once.
 *
 * Images and keys are functions of a number, so that every answer can be checked.
 */
#include "tests/folder.h"
#include "tests/test.h"
#include "vqvae/cache_file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Image number i: 3 to 9 pixels wide, 2 to 5 high. */
static image_t image_of(unsigned i) {
    image_t im = image_new(3 + i % 7, 2 + i % 4);
    for (size_t k = 0; k < im.w * im.h * 3; k++) im.rgb[k] = (uint8_t)(i * 37 + k * k + k);
    return im;
}

static void key_of(unsigned i, uint64_t key[2]) {
    key[0] = i % 5; /* many keys share their first half */
    key[1] = i * 1000003u;
}

static bool is_image(unsigned i, const image_t *im) {
    image_t want = image_of(i);
    bool same = im->w == want.w && im->h == want.h && !memcmp(im->rgb, want.rgb, im->w * im->h * 3);
    image_release(&want);
    return same;
}

static void put(cache_file_t *f, unsigned i) {
    uint64_t key[2];
    image_t im = image_of(i);
    key_of(i, key);
    cache_file_put(f, key, &im, i % 3);
    image_release(&im);
}

/* 1: there and right, 0: not there, -1: wrong. */
static int look(cache_file_t *f, unsigned i) {
    uint64_t key[2];
    unsigned noticed;
    image_t im;
    key_of(i, key);
    if (!cache_file_get(f, key, &im, &noticed)) return im.rgb ? -1 : 0;
    int right = is_image(i, &im) && noticed == i % 3 ? 1 : -1;
    image_release(&im);
    return right;
}

/* How many of the first n are there; n + 1 when one is wrong. */
static size_t found(cache_file_t *f, unsigned n) {
    size_t there = 0;
    for (unsigned i = 0; i < n; i++) {
        int is = look(f, i);
        if (is < 0) return n + 1;
        there += (size_t)is;
    }
    return there;
}

static cache_file_t *open_cache(void) {
    int rc;
    reason_t why;
    cache_file_t *f = cache_file_open(in_folder("c"), &rc, &why);
    if (!f) fprintf(stderr, "%s\n", why.text);
    return f;
}

static void make_cache(unsigned n) {
    cache_file_t *f = open_cache();
    for (unsigned i = 0; i < n; i++) put(f, i);
    cache_file_close(f);
}

static uint8_t *slurp(size_t *n) {
    FILE *f = fopen(in_folder("c"), "rb");
    uint8_t *bytes = malloc(1 << 20);
    *n = f ? fread(bytes, 1, 1 << 20, f) : 0;
    if (f) fclose(f);
    return bytes;
}

static void spit(const void *bytes, size_t n) {
    FILE *f = fopen(in_folder("c"), "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) abort();
}

TEST(what_was_put_comes_back) {
    enum { N = 3000 };
    size_t added;
    folder_open();
    cache_file_t *f = open_cache();
    REQUIRE(f);
    CHECK(found(f, N) == 0);
    for (unsigned i = 0; i < N; i++) put(f, i);
    for (unsigned i = 0; i < N; i += 7) put(f, i); /* again: nothing is added */
    cache_file_flush(f);
    CHECK(found(f, N) == N && look(f, N) == 0);
    CHECK(cache_file_count(f, &added) == N && added == N);
    cache_file_close(f);
    f = open_cache();
    REQUIRE(f);
    CHECK(found(f, N) == N && look(f, N) == 0);
    CHECK(cache_file_count(f, &added) == N && added == 0);
    put(f, N);
    cache_file_close(f); /* flushes */
    f = open_cache();
    REQUIRE(f);
    CHECK(look(f, N) == 1);
    cache_file_close(f);
    folder_remove();
}

/* The layout of FORMATS.md 8, read by hand. */
TEST(layout) {
    size_t n;
    folder_open();
    make_cache(2); /* 3 x 2 and 4 x 3 */
    uint8_t *p = slurp(&n);
    REQUIRE(n == 16 + 24 + 2 * 48 + 24 + 40, "%zu", n);
    CHECK(!memcmp(p, "imgcache\1\0\0\0\0\0\0\0imgs\2\0\0\0\x40\0\0\0\0\0\0\0", 32));
    static const uint8_t second[] = {1, 0, 0, 0, 0,  0, 0, 0, 0x43, 0x42, 0x0F, 0,
                                     0, 0, 0, 0, 24, 0, 0, 0, 0,    0,    0,    0};
    CHECK(!memcmp(p + 40 + 48, second, sizeof second));
    CHECK(!memcmp(p + 40 + 48 + 32, "\4\0\0\0\3\0\0\0\1\0\0\0\0\0\0\0", 16));
    image_t a = image_of(0), b = image_of(1);
    CHECK(!memcmp(p + 136, a.rgb, 18) && !memcmp(p + 136 + 18, "\0\0\0\0\0\0", 6));
    CHECK(!memcmp(p + 160, b.rgb, 36) && !memcmp(p + 196, "\0\0\0\0", 4));
    image_release(&a);
    image_release(&b);
    free(p);
    folder_remove();
}

/* Whatever was damaged: nothing wrong comes out, and a run that puts all again has all again. */
static bool heals(unsigned n) {
    cache_file_t *f = open_cache();
    if (!f) return false;
    size_t there = found(f, n);
    for (unsigned i = 0; i < n; i++) put(f, i);
    cache_file_close(f);
    f = open_cache();
    bool all = f && found(f, n) == n;
    cache_file_close(f);
    return there <= n && all;
}

static int flip_in_child(void *arg) {
    enum { N = 70 }; /* two chunks */
    size_t n, refused = 0;
    make_cache(N);
    uint8_t *bytes = slurp(&n);
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= (uint8_t)(1 << i % 8);
        spit(bytes, n);
        if (i < 8) {
            int rc;
            reason_t why;
            size_t now;
            refused += !cache_file_open(in_folder("c"), &rc, &why) && rc == RC_USAGE;
            uint8_t *after = slurp(&now);
            if (now != n || memcmp(after, bytes, n)) return 3; /* no file of ours: untouched */
            free(after);
        } else if (!heals(N)) {
            fprintf(stderr, "byte %zu of %zu\n", i, n);
            return 1;
        }
        bytes[i] ^= (uint8_t)(1 << i % 8);
    }
    free(bytes);
    return refused == 8 ? 0 : 2;
}

TEST(every_byte_flipped) {
    child_t c;
    folder_open();
    child_run(flip_in_child, NULL, &c);
    CHECK(c.code == 0, "%d %s", c.code, c.err + (strlen(c.err) > 200 ? strlen(c.err) - 200 : 0));
    CHECK(strstr(c.err, "is damaged"));
    folder_remove();
}

static int cut_in_child(void *arg) {
    enum { N = 70 };
    size_t n;
    make_cache(N);
    uint8_t *bytes = slurp(&n);
    for (size_t length = 0; length < n; length++) {
        spit(bytes, length);
        if (!heals(N)) {
            fprintf(stderr, "length %zu of %zu\n", length, n);
            return 1;
        }
    }
    /* What a killed writer leaves is no damage. */
    spit(bytes, n - 1);
    cache_file_t *f = open_cache();
    printf("%zu there", found(f, N));
    cache_file_close(f);
    free(bytes);
    return 0;
}

TEST(every_length) {
    child_t c;
    folder_open();
    child_run(cut_in_child, NULL, &c);
    CHECK(c.code == 0, "%d %s", c.code, c.err);
    CHECK_STR(c.out, "64 there");
    CHECK(!strstr(c.err, "damaged"), "%s", c.err);
    folder_remove();
}

/* ---- several at once ---- */

enum { SHARED = 2000, WRITERS = 4 };

/* Each puts all images, from another one on, and looks at all meanwhile. */
static int write_all(unsigned first) {
    cache_file_t *f = open_cache();
    if (!f) return 1;
    for (unsigned i = 0; i < SHARED; i++) {
        put(f, (first + i) % SHARED);
        if (i % 3 == 0) cache_file_flush(f);
        if (look(f, i) < 0) return 2;
    }
    cache_file_flush(f);
    return found(f, SHARED) == SHARED ? 0 : 3;
}

TEST(several_writers) {
    pid_t pid[WRITERS];
    size_t added, n, alone;
    folder_open();
    make_cache(SHARED);
    uint8_t *bytes = slurp(&alone);
    free(bytes);
    remove(in_folder("c"));
    for (unsigned i = 0; i < WRITERS; i++) {
        pid[i] = fork();
        if (pid[i] == 0) _exit(write_all(i * SHARED / WRITERS));
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        int status;
        CHECK(waitpid(pid[i], &status, 0) == pid[i] && WIFEXITED(status) && !WEXITSTATUS(status),
              "%d", status);
    }
    cache_file_t *f = open_cache();
    REQUIRE(f);
    CHECK(found(f, SHARED) == SHARED && cache_file_count(f, &added) == SHARED);
    cache_file_close(f);
    bytes = slurp(&n);
    free(bytes);
    /* Each image once; no more than that but the heads of smaller chunks. */
    CHECK(n >= alone && n < alone + SHARED * 24, "%zu bytes against %zu", n, alone);
    folder_remove();
}

/* What another one wrote first is not written again, and can be had. */
TEST(two_that_put_the_same) {
    size_t n, added;
    folder_open();
    cache_file_t *f = open_cache(), *g = open_cache();
    REQUIRE(f && g);
    put(f, 0);
    put(g, 0);
    put(g, 1);
    cache_file_flush(f);
    cache_file_flush(g);
    free(slurp(&n));
    CHECK(n == 16 + 24 + 48 + 24 + 24 + 48 + 40, "%zu", n);
    CHECK(found(g, 2) == 2 && cache_file_count(g, &added) == 2 && added == 1);
    CHECK(found(f, 2) == 1);
    put(f, 2);
    cache_file_flush(f);
    CHECK(found(f, 3) == 3);
    cache_file_close(f);
    cache_file_close(g);
    folder_remove();
}

TEST(killed_writers) {
    folder_open();
    for (int k = 0; k < 20; k++) {
        pid_t pid = fork();
        if (pid == 0) {
            cache_file_t *f = open_cache();
            for (unsigned i = 0; f; i++) {
                put(f, (i * 7919 + (unsigned)k * 31) % 100000);
                if (i % 5 == 0) cache_file_flush(f);
            }
            _exit(1);
        }
        usleep((useconds_t)(2000 + 700 * k));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    cache_file_t *f = open_cache();
    REQUIRE(f);
    size_t there = found(f, 100000);
    CHECK(there > 100 && there <= 100000, "%zu", there);
    cache_file_close(f);
    folder_remove();
}

/* ---- what cannot be written ---- */

static int full_in_child(void *arg) {
    enum { N = 2000 };
    struct rlimit limit = {40000, 40000};
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit)) return 2;
    cache_file_t *f = open_cache();
    for (unsigned i = 0; i < N; i++) put(f, i);
    cache_file_flush(f);
    size_t there = found(f, N);
    cache_file_close(f);
    f = open_cache();
    size_t again = found(f, N);
    cache_file_close(f);
    printf("%s", there == again && there > 200 && there < N && there % 64 == 0 ? "some" : "wrong");
    return 0;
}

TEST(full_disk) {
    child_t c;
    folder_open();
    child_run(full_in_child, NULL, &c);
    CHECK_STR(c.out, "some");
    CHECK(child_lines(c.err) == 1 && strstr(c.err, "no more images are added to it"), "%s", c.err);
    folder_remove();
}

TEST(files_of_others) {
    int rc;
    reason_t why;
    size_t n;
    folder_open();
    spit("my thesis, chapter one", 22);
    CHECK(!cache_file_open(in_folder("c"), &rc, &why) && rc == RC_USAGE);
    CHECK(strstr(why.text, "is no cache of images"), "%s", why.text);
    uint8_t *bytes = slurp(&n);
    CHECK(n == 22 && !memcmp(bytes, "my thesis", 9));
    free(bytes);
    CHECK(!cache_file_open(folder, &rc, &why) && rc == RC_USAGE, "%s", why.text);
    CHECK(!cache_file_open(in_folder("none/c"), &rc, &why) && rc == RC_USAGE, "%s", why.text);
    CHECK(!cache_file_open("/dev/null", &rc, &why) && rc == RC_USAGE, "%s", why.text);
    folder_remove();
}

static int read_only_in_child(void *arg) {
    if (setgid(65534) || setuid(65534)) return 77;
    cache_file_t *f = open_cache();
    if (!f) return 1;
    size_t there = found(f, 100);
    put(f, 100);
    cache_file_close(f);
    return there == 100 ? 0 : 2;
}

TEST(a_file_that_may_only_be_read) {
    child_t c;
    size_t before, after;
    folder_open();
    make_cache(100);
    free(slurp(&before));
    if (chmod(folder, 0755) || chmod(in_folder("c"), 0444)) abort();
    child_run(read_only_in_child, NULL, &c);
    if (c.code == 77)
        printf("skipped: a file that may only be read: cannot become another user\n");
    else
        CHECK(c.code == 0, "%d %s", c.code, c.err);
    free(slurp(&after));
    CHECK(before == after);
    folder_remove();
}
