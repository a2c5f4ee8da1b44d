/* test_archive.c - WebDataset tars: what is a sample, what is a defect, and the same by index as by
 * stream. Archives are made by hand (tar.h), so that nothing of the reader is used to judge it.
 */
#include "common/io/source/archive.h"
#include "common/io/source/braces.h"
#include "common/io/source/image_source.h"
#include "tests/folder.h"
#include "tests/tar.h"
#include "tests/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ---- */

static void check_braces(const char *word, const char *want) {
    char **path, all[400] = "";
    size_t n;
    reason_t why;
    REQUIRE(braces_expand(word, &path, &n, &why) == 0, "%s", why.text);
    for (size_t i = 0; i < n; i++) {
        strncat(all, i ? " " : "", 2);
        strncat(all, path[i], 60);
    }
    CHECK(!strcmp(all, want), "%s: \"%s\" is not \"%s\"", word, all, want);
    CHECK(braces_in(word) == (n != 1 || strcmp(path[0], word) != 0));
    braces_free(path, n);
}

TEST(braces) { /* what bash makes of the same words */
    check_braces("a.tar", "a.tar");
    check_braces("a-{000..003}.tar", "a-000.tar a-001.tar a-002.tar a-003.tar");
    check_braces("{9..11}", "9 10 11");
    check_braces("{09..11}", "09 10 11");
    check_braces("{3..1}", "3 2 1");
    check_braces("{8..010}", "008 009 010");
    check_braces("{a,b}{0..1}", "a0 a1 b0 b1");
    check_braces("x{,y}z", "xz xyz");
    check_braces("x{a}z", "x{a}z");
    check_braces("x{0..}z{", "x{0..}z{");
    check_braces("{x{1,2}", "{x1 {x2");
    char **path;
    size_t n;
    reason_t why;
    CHECK(braces_expand("{0..999999999999}", &path, &n, &why) == -1 && strstr(why.text, "1000000"));
}

#ifdef WITH_LIBARCHIVE

/* One line a sample: key, status letter, and what its parts hold. */
static void describe(archive_stream_t *a, char *out, size_t cap, bool loaded) {
    archive_sample_t s;
    size_t at = 0;
    out[0] = 0;
    while (archive_next(a, &s) && at < cap) {
        const archive_part_t *part[] = {&s.image, &s.text, &s.json, &s.label};
        at += (size_t)snprintf(out + at, cap - at, "%s %c", s.key, "OBU"[-(int)s.status]);
        for (int i = 0; i < 4 && s.status == IMAGE_OK && at < cap; i++) {
            CHECK((part[i]->bytes != NULL) == (loaded && part[i]->is));
            if (part[i]->is)
                at += (size_t)snprintf(out + at, cap - at, " %c%zu", "itjl"[i], part[i] -> size);
        }
        at += (size_t)snprintf(out + at, cap - at, "\n");
        archive_sample_release(&s);
    }
}

static const char *put_tar(const char *name, const blob_t *t) {
    const char *path = in_folder(name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(t->p, 1, t->n, f) != t->n || fclose(f)) abort();
    return path;
}

/* The archive by stream from memory, by stream from a file, and by index: all say `want`. */
static void check_samples(const blob_t *t, const char *want) {
    char got[3][2000];
    int rc;
    reason_t why = {""};
    char *path = strdup(put_tar("t.tar", t));
    archive_stream_t *a[3] = {archive_open_bytes(t->p, t->n, &rc, &why),
                              archive_open(&path, 1, false, &rc, &why),
                              archive_open(&path, 1, true, &rc, &why)};
    for (int i = 0; i < 3; i++) {
        REQUIRE(a[i], "%s", why.text);
        describe(a[i], got[i], sizeof got[i], i < 2);
        CHECK(!strcmp(got[i], want), "way %d: \"%s\" is not \"%s\"", i, got[i], want);
        archive_close(a[i]);
    }
    free(path);
}

TEST(samples_by_key) {
    blob_t t = {0};
    folder_open();
    tar_text(&t, "__info__", "metadata");
    tar_text(&t, "__meta.json__", "{}");
    tar_text(&t, "__not.meta", "a member as others");
    tar_put(&t, "d.x/", '5', "", 0, 0);
    tar_text(&t, "d.x/0001.png", "p");
    tar_text(&t, "d.x/0001.txt", "hello");
    tar_text(&t, "d.x/0001.seg.png", "another extension");
    tar_text(&t, "d.x/noextension", "x");
    tar_text(&t, "d.x/.hidden", "x");
    tar_text(&t, "d.x/0001.CLS", "7");
    tar_text(&t, "d.x/0002.JPeG", "pi");
    tar_text(&t, "d.x/0002.json", "{}");
    tar_text(&t, "d.x/0001.png", "pic");
    tar_put(&t, "d.x/0001.txt", '2', "", 0, 0); /* a symbolic link */
    tar_text(&t, "/etc/passwd.png", "pict");
    tar_text(&t, "../../up.png", "pictu");
    tar_pax_path(&t, "long/\xC3\xA9.png", 11);
    tar_text(&t, "cut", "pictur");
    tar_end(&t);
    check_samples(&t, "__not U\nd.x/0001 O i1 t5 l1\nd.x/0002 O i2 j2\nd.x/0001~2 O "
                      "i3\n/etc/passwd O i4\n../../up O i5\n"
                      "long/\xC3\xA9 O i6\n");
    free(t.p);
    folder_remove();
}

TEST(fault_035_damage) {
    folder_open();
    static const char zeros[2000];
    const struct {
        const char *name, *want;
    } cases[] = {
        {"truncated last member", "0 O\n1 B\n"},
        {"negative size", "0 B\n"},
        {"hard link", "0 O\n1 B\n2 O\n"},
        {"sparse", "0 O\n1 B\n2 O\n"},
        {"checksum", "0 B\n"},
        {"cut in a header", "0 B\n"},
        {"repeated", "0 O\n1 B\n2 O\n"},
        {"claims more than there is", "0 O\n1 B\n"},
        {"claims more than an image has", "0 O\n1 B\n"},
        {"garbage", "t.tar B\n"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        blob_t t = {0};
        if (c == 9) {
            for (int i = 0; i < 3000; i++) blob_put(&t, "garbage ", 8);
        } else {
            tar_png(&t, "0.png", 0);
        }
        size_t at = t.n;
        if (c == 2) tar_put(&t, "1.png", '1', "", 0, 0);
        if (c == 3) tar_put(&t, "1.png", 'S', zeros, 512, 512);
        if (c == 7) tar_put(&t, "1.png", '0', zeros, 512, 100000);
        if (c == 8) tar_put(&t, "1.png", '0', zeros, 512, (size_t)1 << 32);
        if (c == 0 || c == 1 || c == 4 || c == 5 || c == 6) tar_png(&t, "1.png", 1);
        if (c == 6) tar_text(&t, "1.txt", "x"), tar_text(&t, "1.TXT", "x");
        if (c != 9 && c != 7 && c != 8) tar_png(&t, "2.png", 2), tar_end(&t);
        if (c == 0) t.n = at + TAR_BLOCK + 20;
        if (c == 1) memset(t.p + at + 124, 0xFF, 12), tar_checksum(t.p + at);
        if (c == 3) { /* map of 1 MB: 512 bytes of data at its end */
            snprintf((char *)t.p + at + 386, 12, "%011o", (1 << 20) - 512);
            snprintf((char *)t.p + at + 398, 12, "%011o", 512);
            snprintf((char *)t.p + at + 483, 12, "%011o", 1 << 20);
            memcpy(t.p + at + 257, "ustar  ", 8);
            tar_checksum(t.p + at);
        }
        if (c == 4) t.p[at + 148] ^= 1;
        if (c == 5) t.n = at + 100;
        char *path = strdup(put_tar("t.tar", &t)), got[400], *end;
        for (int index = 0; index < 2; index++) {
            int rc;
            reason_t why = {""};
            archive_stream_t *a = archive_open(&path, 1, index, &rc, &why);
            REQUIRE(a, "%s", why.text);
            describe(a, got, sizeof got, !index);
            for (char *p = got; (p = strstr(p, " i")); memmove(p, end, strlen(end) + 1))
                end = strchr(p, '\n');
            CHECK(!strcmp(got, cases[c].want), "%s, %s: \"%s\" is not \"%s\"", cases[c].name,
                  index ? "index" : "stream", got, cases[c].want);
            archive_close(a);
        }
        free(path);
        free(t.p);
    }
    folder_remove();
}

/* libarchive cuts such a name; an index sees the header and ends the shard. */
TEST(fault_035_nul_in_a_pax_name) {
    folder_open();
    blob_t t = {0};
    tar_png(&t, "0.png", 0);
    tar_pax_path(&t, "1.png\0.txt", 10);
    tar_png(&t, "x", 1);
    tar_png(&t, "2.png", 2);
    tar_end(&t);
    char *path = strdup(put_tar("t.tar", &t)), got[400];
    int rc;
    reason_t why = {""};
    archive_stream_t *a = archive_open(&path, 1, true, &rc, &why);
    REQUIRE(a);
    describe(a, got, sizeof got, false);
    CHECK_STR(got, "0 B\n");
    archive_close(a);
    free(path);
    free(t.p);
    folder_remove();
}

/* Cut at every length: no sample that is called good lacks a byte. */
TEST(fault_035_truncated_anywhere) {
    blob_t t = {0};
    tar_png(&t, "a.png", 1);
    tar_text(&t, "a.txt", "words");
    tar_png(&t, "b.png", 2);
    tar_end(&t);
    for (size_t n = 0; n <= t.n; n += n % 512 == 0 ? 1 : 73) {
        int rc;
        reason_t why;
        archive_sample_t s;
        archive_stream_t *a = archive_open_bytes(t.p, n, &rc, &why);
        size_t good = 0;
        REQUIRE(a);
        while (archive_next(a, &s)) {
            image_t im = {0};
            if (s.status == IMAGE_OK) {
                good++;
                CHECK(image_decode(&im, s.image.bytes, s.image.size, NULL, &why) == IMAGE_OK,
                      "at %zu: %s", n, why.text);
                CHECK(!s.text.is || !memcmp(s.text.bytes, "words", 6));
            } else {
                CHECK(s.why.text[0]);
            }
            image_release(&im);
            archive_sample_release(&s);
        }
        CHECK(n < t.n || good == 2);
        archive_close(a);
    }
    free(t.p);
}

TEST(fault_036_no_image_or_two) {
    blob_t t = {0};
    folder_open();
    tar_text(&t, "0.txt", "only words");
    tar_png(&t, "1.png", 1);
    tar_png(&t, "1.jpg", 1);
    tar_png(&t, "2.png", 2);
    tar_end(&t);
    char *path = strdup(put_tar("t.tar", &t));
    image_source_t *s = image_source_open_or_die(path);
    image_t im;
    reason_t why;
    CHECK(image_source_count(s) == 3 && image_source_counts(s)->images == 1 &&
          !image_source_counts(s)->unsupported);
    CHECK(image_source_read(s, 0, &im, NULL, &why) == IMAGE_UNSUPPORTED &&
              strstr(why.text, "no image"),
          "%s", why.text);
    CHECK(image_source_read(s, 1, &im, NULL, &why) == IMAGE_UNSUPPORTED &&
              strstr(why.text, "two images"),
          "%s", why.text);
    CHECK(image_source_read(s, 2, &im, NULL, &why) == IMAGE_OK);
    image_release(&im);
    image_source_close(s);
    free(path);
    free(t.p);
    folder_remove();
}

/* ---- words ---- */

static int words(words_t *out, const char *text, const char *json, const char *label,
                 reason_t *why) {
    const char *from[3] = {text, json, label};
    archive_part_t part[3] = {{0}};
    for (int i = 0; i < 3; i++)
        if (from[i])
            part[i] = (archive_part_t){true, (uint8_t *)(intptr_t)from[i], strlen(from[i]), 0};
    return words_of(out, &part[0], &part[1], &part[2], why);
}

TEST(words_of_a_sample) {
    static const struct {
        const char *text, *json, *label, *caption, *class;
    } cases[] = {
        {"a cat", "{\"caption\":\"a dog\"}", " 12\n", "a cat", "12"},
        {"two\nlines\r\n", NULL, NULL, "two\nlines", NULL},
        {NULL, "{\"caption\":\"\\u00e9\",\"text\":\"x\"}", NULL, "\xC3\xA9", NULL},
        {NULL, "{\"text\":\"x\",\"caption\":3}", "dog", "x", "dog"},
        {NULL, "{\"caption\":null,\"text\":\"x\",\"n\":NaN,\"i\":[-Infinity]}", NULL, "x", NULL},
        {NULL, "\xEF\xBB\xBF{\"captions\":[\"a\",\"b\"]}", NULL, "a", NULL},
        {NULL, "{\"sentences\":[{\"raw\":\"a\"}]}", NULL, "a", NULL},
        {"\xEF\xBB\xBF"
         "a cat\r\n",
         NULL, NULL, "a cat", NULL},
        {"a cat", "{not json", "\n \t", "a cat", NULL},
        {NULL, "{\"width\":3}", "\n \t", NULL, NULL},
        {NULL, NULL, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        words_t w;
        reason_t why = {""};
        CHECK(!words(&w, cases[i].text, cases[i].json, cases[i].label, &why), "case %zu: %s", i,
              why.text);
        CHECK(!w.caption == !cases[i].caption && !w.label == !cases[i].class, "case %zu", i);
        if (w.caption && cases[i].caption) CHECK_STR(w.caption, cases[i].caption);
        if (w.label && cases[i].class) CHECK_STR(w.label, cases[i].class);
        words_release(&w);
    }
}

TEST(words_that_are_none) {
    static const char *const cases[][3] = {{"caf\xE9", NULL, "txt member is no UTF-8"},
                                           {"\xFF\xFEh", NULL, "txt member is no UTF-8"},
                                           {NULL, "{\"caption\":\"a", "json member: "},
                                           {NULL, "not json", "json member: "}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        words_t w;
        reason_t why = {""};
        CHECK(words(&w, cases[i][0], cases[i][1], "7", &why) && !w.caption && !w.label);
        CHECK(strstr(why.text, cases[i][2]), "case %zu: %s", i, why.text);
    }
}

/* ---- as an image source ---- */

/* Shards "s-0.tar" to "s-(n-1).tar" of 20 samples each: image k of the whole has level k, caption
 * k; keys start anew.
 */
static char *put_shards(size_t n) {
    char name[40];
    for (size_t i = 0; i < n; i++) {
        blob_t t = {0};
        for (size_t k = 0; k < 20; k++) {
            snprintf(name, sizeof name, "s/%02zu.png", k);
            tar_png(&t, name, (uint8_t)(i * 20 + k));
            char text[20];
            snprintf(text, sizeof text, "%zu", i * 20 + k);
            snprintf(name, sizeof name, "s/%02zu.txt", k);
            tar_text(&t, name, text);
        }
        tar_end(&t);
        snprintf(name, sizeof name, "s-%zu.tar", i);
        put_tar(name, &t);
        free(t.p);
    }
    return strdup(in_folder(n > 1 ? "s-{0..2}.tar" : "s-0.tar"));
}

typedef struct {
    const image_source_t *s;
    size_t seed;
    int wrong;
} reader_t;

static void *read_many(void *arg) {
    reader_t *r = arg;
    for (size_t i = 0; i < 200; i++) {
        size_t k = (i * 7919 + r->seed) % image_source_count(r->s);
        image_t im;
        words_t w = {0};
        reason_t why;
        if (image_source_read(r->s, k, &im, NULL, &why) || im.rgb[5] != k) r->wrong++;
        if (image_source_words(r->s, k, &w, &why) || !w.caption || (size_t)atoi(w.caption) != k ||
            w.label)
            r->wrong++;
        words_release(&w);
        image_release(&im);
    }
    return NULL;
}

TEST(shards_are_one_source) {
    folder_open();
    char *spec = put_shards(3), group[512];
    image_source_t *s = image_source_open_or_die(spec);
    REQUIRE(image_source_count(s) == 60);
    CHECK_STR(image_source_key(s, 7), "s/07");
    CHECK_STR(image_source_key(s, 27), "s/07~2");
    CHECK_STR(image_source_key(s, 59), "s/19~3");
    CHECK_STR(image_source_group(s, 7, SPLIT_NAME, group), "s/07");
    CHECK_STR(image_source_group(s, 7, SPLIT_FOLDER, group), "s");
    CHECK(!image_source_is_episodes(s));
    pthread_t thread[4];
    reader_t r[4];
    for (size_t i = 0; i < 4; i++) {
        r[i] = (reader_t){s, i * 31, 0};
        pthread_create(&thread[i], NULL, read_many, &r[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        CHECK(r[i].wrong == 0, "%d wrong", r[i].wrong);
    }
    uint64_t manifest = image_source_manifest(s);
    image_source_close(s);
    s = image_source_open_or_die(spec);
    CHECK(image_source_manifest(s) == manifest);
    image_source_close(s);
    free(spec);
    folder_remove();
}

TEST(fault_028_a_shard_changes) {
    folder_open();
    char *spec = put_shards(1);
    image_source_t *s = image_source_open_or_die(spec);
    image_t im;
    words_t w;
    reason_t why;
    struct timespec times[2] = {{1, 0}, {1, 0}};
    CHECK(utimensat(AT_FDCWD, spec, times, 0) == 0);
    CHECK(image_source_read(s, 3, &im, NULL, &why) == IMAGE_BAD &&
              strstr(why.text, "changed since"),
          "%s", why.text);
    CHECK(image_source_words(s, 3, &w, &why) == -1);
    unlink(spec);
    CHECK(image_source_read(s, 3, &im, NULL, &why) == IMAGE_BAD && strstr(why.text, "No such file"),
          "%s", why.text);
    image_source_close(s);
    free(spec);
    folder_remove();
}

static int few_descriptors(void *spec) {
    struct rlimit limit = {20, 20};
    if (setrlimit(RLIMIT_NOFILE, &limit)) return 99;
    image_source_t *s = image_source_open_or_die(spec);
    reader_t r = {s, 0, 0};
    for (int i = 0; i < 5; i++) read_many(&r);
    image_source_close(s);
    return r.wrong;
}

TEST(fault_034_shards_and_descriptors) {
    folder_open();
    char *spec = put_shards(3);
    child_t c;
    child_run(few_descriptors, spec, &c);
    CHECK(c.code == 0, "%d: %s", c.code, c.err);
    free(spec);
    folder_remove();
}

static int open_in_child(void *spec) {
    image_source_close(image_source_open_or_die(spec));
    return 0;
}

static void check_dies(const char *spec, int code, const char *text) {
    child_t c;
    child_run(open_in_child, (void *)(intptr_t)spec, &c);
    CHECK(c.code == code && strstr(c.err, text) && child_lines(c.err) == 1, "%s: %d \"%s\"", spec,
          c.code, c.err);
}

TEST(refused_shards) {
    blob_t t = {0};
    folder_open();
    put_shards(1);
    check_dies(in_folder("s-{0..1}.tar"), RC_USAGE, "s-1.tar': No such file");
    check_dies(in_folder("none.tar"), RC_USAGE, "none.tar': No such file");
    check_dies("-", RC_USAGE, "stdin can only be read by 'tokenize images'");
    blob_put(&t, "\x1F\x8B\x08\0\0\0\0\0\0\0", 10);
    put_tar("z.tar.gz", &t);
    put_tar("z.tar", &t);
    check_dies(in_folder("z.tar.gz"), RC_USAGE, "unpack it to a plain .tar first");
    check_dies(in_folder("z.tar"), RC_USAGE, "unpack it to a plain .tar first");
    t.n = 0;
    put_tar("empty.tar", &t);
    check_dies(in_folder("empty.tar"), RC_DATA, "no images found under");
    tar_text(&t, "0.txt", "x");
    tar_end(&t);
    put_tar("words.tar", &t);
    check_dies(in_folder("words.tar"), RC_DATA,
               "1 samples without one image, 0 damaged; the first: no image");
    free(t.p);
    folder_remove();
}

#else

static int open_in_child(void *spec) {
    image_source_close(image_source_open_or_die(spec));
    return 0;
}

TEST(without_libarchive) {
    child_t c;
    blob_t t = {0};
    folder_open();
    tar_png(&t, "0.png", 0);
    FILE *f = fopen(in_folder("t.tar"), "wb");
    CHECK(f && fwrite(t.p, 1, t.n, f) == t.n && !fclose(f));
    child_run(open_in_child, (void *)(intptr_t)in_folder("t.tar"), &c);
    CHECK(c.code == RC_RUNTIME && strstr(c.err, "libarchive"), "%d %s", c.code, c.err);
    free(t.p);
    folder_remove();
}

#endif
