/* test_fs.c - files that appear whole or not at all. */
#include "common/io/fs.h"
#include "tests/child.h"
#include "tests/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <xxhash.h>

static char *in_dir(const char *dir, const char *name) {
    static char path[4][300];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, 300, "%s/%s", dir, name);
    return p;
}

/* The file by means of its own. */
static const char *content(const char *path) {
    static char text[4096];
    FILE *f = fopen(path, "rb");
    if (!f) return "(none)";
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return text;
}

static int entries(const char *dir) {
    int n = -2;
    DIR *d = opendir(dir);
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

TEST(fs_write_and_read) {
    char dir[256];
    child_mkdir(dir);
    char *path = in_dir(dir, "f");
    reason_t why;
    uint8_t *data;
    size_t size;
    CHECK(fs_write(path, "one\0two", 7, &why) == 0 && entries(dir) == 1);
    CHECK(fs_read(path, 0, &data, &size, &why) == 0 && size == 7 &&
          memcmp(data, "one\0two", 8) == 0);
    free(data);
    CHECK(fs_read(path, 7, &data, &size, &why) == 0 && size == 7);
    free(data);
    CHECK(fs_read(path, 6, &data, &size, &why) == -1 && !data && strstr(why.text, "limit of 6"),
          "%s", why.text);
    CHECK(fs_write(path, NULL, 0, &why) == 0);
    CHECK(fs_read(path, 1, &data, &size, &why) == 0 && size == 0 && data[0] == 0);
    free(data);
    CHECK(fs_read(dir, 0, &data, &size, &why) == -1 && strstr(why.text, "Is a directory"), "%s",
          why.text);
    CHECK(fs_read(in_dir(dir, "none"), 0, &data, &size, &why) == -1 &&
          strstr(why.text, "cannot open '") == why.text);
    CHECK(strstr(why.text, "No such file or directory") != NULL);
    struct stat st;
    mode_t mask = umask(0);
    umask(mask);
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == (0666 & ~mask));
    child_rmdir(dir);
}

TEST(fs_read_big_and_sizeless) {
    char dir[256];
    child_mkdir(dir);
    size_t n = 300001, size;
    uint8_t *big = xmalloc(n), *data;
    for (size_t i = 0; i < n; i++) big[i] = (uint8_t)(i * i >> 3);
    CHECK(fs_write(in_dir(dir, "big"), big, n, NULL) == 0);
    CHECK(fs_read(in_dir(dir, "big"), 0, &data, &size, NULL) == 0 && size == n &&
          memcmp(data, big, n) == 0);
    free(data);
    char command[700];
    snprintf(command, sizeof command, "mkfifo '%s' && (cat '%s' > '%s' &)", in_dir(dir, "p"),
             in_dir(dir, "big"), in_dir(dir, "p"));
    CHECK(system(command) == 0);
    CHECK(fs_read(in_dir(dir, "p"), 0, &data, &size, NULL) == 0 && size == n &&
          memcmp(data, big, n) == 0);
    free(data);
    CHECK(fs_read("/dev/zero", 1000, &data, &size, NULL) == -1);
    CHECK(fs_read("/proc/self/stat", 0, &data, &size, NULL) == 0 && size > 10 &&
          strlen((char *)data) == size);
    free(data);
    free(big);
    child_rmdir(dir);
}

TEST(fs_copies) {
    char dir[256];
    child_mkdir(dir);
    reason_t why;
    size_t n = 3000001, size;
    uint8_t *big = xmalloc(n), *back;
    for (size_t i = 0; i < n; i++) big[i] = (uint8_t)(i * 7 + i / 1000);
    CHECK(fs_write(in_dir(dir, "big"), big, n, NULL) == 0);
    char *to = fs_join(dir, "copy");
    CHECK(fs_copy(in_dir(dir, "big"), to, &why) == 0, "%s", why.text);
    REQUIRE(fs_read(to, 0, &back, &size, NULL) == 0);
    CHECK(size == n && !memcmp(back, big, n), "%zu bytes", size);
    free(back);
    CHECK(fs_copy(in_dir(dir, "none"), to, &why) && strstr(why.text, "none"), "%s", why.text);
    CHECK(fs_read(to, 0, &back, &size, NULL) == 0 && size == n, "the old copy stays");
    free(back);
    free(to);
    free(big);
    child_rmdir(dir);
}

TEST(fs_commit_abort_leave_no_debris) {
    char dir[256];
    child_mkdir(dir);
    char *path = in_dir(dir, "f");
    fs_writer_t w;
    CHECK(fs_write(path, "old", 3, NULL) == 0);
    REQUIRE(fs_writer_open(&w, path, NULL) == 0);
    fprintf(w.file, "new");
    fflush(w.file);
    CHECK_STR(content(path), "old");
    CHECK(entries(dir) == 2);
    fs_writer_abort(&w);
    fs_writer_abort(&w); /* nothing left to forget */
    CHECK_STR(content(path), "old");
    CHECK(entries(dir) == 1);
    REQUIRE(fs_writer_open(&w, path, NULL) == 0);
    fprintf(w.file, "new");
    CHECK(fs_writer_commit(&w, NULL) == 0 && !w.file && !w.path);
    CHECK_STR(content(path), "new");
    CHECK(entries(dir) == 1);
    child_rmdir(dir);
}

TEST(fs_publish_several) {
    char dir[256];
    child_mkdir(dir);
    char *a = in_dir(dir, "a"), *b = in_dir(dir, "b");
    fs_writer_t w[2];
    reason_t why;
    CHECK(fs_write(a, "old a", 5, NULL) == 0 && fs_write(b, "old b", 5, NULL) == 0);
    REQUIRE(fs_writer_open(&w[0], a, NULL) == 0 && fs_writer_open(&w[1], b, NULL) == 0);
    fprintf(w[0].file, "new a");
    fprintf(w[1].file, "new b");
    CHECK(fs_writer_finish(&w[0], NULL) == 0 && fs_writer_finish(&w[1], NULL) == 0);
    CHECK_STR(content(a), "old a");
    CHECK(fs_writer_publish(w, 2, NULL) == 0);
    CHECK_STR(content(a), "new a");
    CHECK_STR(content(b), "new b");
    CHECK(entries(dir) == 2);
    /* The second cannot be renamed: a folder took its place. Nothing of it stays. */
    REQUIRE(fs_writer_open(&w[0], a, NULL) == 0 && fs_writer_open(&w[1], b, NULL) == 0);
    CHECK(fs_writer_finish(&w[0], NULL) == 0 && fs_writer_finish(&w[1], NULL) == 0);
    CHECK(unlink(b) == 0 && mkdir(b, 0777) == 0);
    CHECK(fs_writer_publish(w, 2, &why) == -1 && strstr(why.text, "cannot write '") == why.text,
          "%s", why.text);
    CHECK(entries(dir) == 2);
    child_rmdir(dir);
}

/* A disk that fills up, played by a limit on the size of files. */
static int fills_disk(void *path) {
    struct rlimit limit = {5000, 5000};
    reason_t why;
    char *text = xcalloc(1, 100000);
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit)) return 77;
    if (fs_write(path, text, 100000, &why) == 0) return 50;
    if (!strstr(why.text, "cannot write '") || !strstr(why.text, "file size limit (ulimit -f)"))
        return 51;
    fs_writer_t w;
    if (fs_writer_open(&w, path, &why)) return 52;
    for (int i = 0; i < 100000; i++) fputc('x', w.file); /* nobody looks at the prints */
    if (fs_writer_commit(&w, &why) == 0) return 53;
    return strstr(why.text, "cannot write '") && strstr(why.text, "file size limit") ? 0 : 54;
}

TEST(fault_042_disk_full_commit) {
    char dir[256];
    child_mkdir(dir);
    char *path = in_dir(dir, "f");
    child_t c;
    CHECK(fs_write(path, "old", 3, NULL) == 0);
    child_run(fills_disk, path, &c);
    CHECK(c.code == 0, "%d", c.code);
    CHECK_STR(content(path), "old");
    CHECK(entries(dir) == 1);
    child_rmdir(dir);
}

static int dies_while_writing(void *path) {
    fs_writer_t w;
    if (fs_writer_open(&w, path, NULL)) return 50;
    fprintf(w.file, "half, and long enough to be seen");
    fflush(w.file);
    raise(SIGKILL);
    return 51;
}

TEST(fs_killed_writer_harms_nobody) {
    char dir[256];
    child_mkdir(dir);
    char *path = in_dir(dir, "f");
    child_t c;
    CHECK(fs_write(path, "old", 3, NULL) == 0);
    child_run(dies_while_writing, path, &c);
    CHECK(c.code == 128 + SIGKILL);
    CHECK_STR(content(path), "old");
    CHECK(fs_write(path, "new", 3, NULL) == 0);
    CHECK_STR(content(path), "new");
    CHECK(entries(dir) == 1); /* the debris was reused */
    CHECK(fs_mkdirs(in_dir(dir, "begun"), NULL) == 0);
    child_run(dies_while_writing, in_dir(dir, "begun/f"), &c);
    CHECK(entries(in_dir(dir, "begun")) == 1 && fs_dir_empty(in_dir(dir, "begun")));
    CHECK(fs_write(in_dir(dir, "begun/.f"), "", 0, NULL) == 0 &&
          !fs_dir_empty(in_dir(dir, "begun")));
    child_rmdir(dir);
}

static int opens(void *path) {
    fs_writer_t w;
    reason_t why;
    if (fs_writer_open(&w, path, &why) == 0) return 1;
    return strstr(why.text, "another process is writing it") ? 0 : 2;
}

TEST(fs_two_writers_do_not_mix) {
    char dir[256];
    child_mkdir(dir);
    char *path = in_dir(dir, "f");
    fs_writer_t w;
    child_t c;
    REQUIRE(fs_writer_open(&w, path, NULL) == 0);
    fprintf(w.file, "mine");
    CHECK(fs_writer_finish(&w, NULL) == 0);
    child_run(opens, path, &c);
    CHECK(c.code == 0, "%d", c.code);
    CHECK(fs_writer_publish(&w, 1, NULL) == 0);
    CHECK_STR(content(path), "mine");
    child_run(opens, path, &c);
    CHECK(c.code == 1);
    child_rmdir(dir);
}

TEST(fs_devices_are_written_in_place) {
    reason_t why;
    struct stat st;
    CHECK(fs_write("/dev/null", "x", 1, &why) == 0);
    CHECK(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
    CHECK(fs_write("/dev/full", "x", 1, &why) == -1 && strstr(why.text, "No space left on device"),
          "%s", why.text);
}

TEST(fs_open_refused) {
    char dir[256];
    child_mkdir(dir);
    fs_writer_t w;
    reason_t why;
    CHECK(fs_writer_open(&w, dir, &why) == -1 && strstr(why.text, "Is a directory"), "%s",
          why.text);
    CHECK(fs_writer_open(&w, in_dir(dir, "no/f"), &why) == -1 && strstr(why.text, "No such file"),
          "%s", why.text);
    CHECK(fs_write(in_dir(dir, "victim"), "kept", 4, &why) == 0);
    CHECK(symlink("victim", in_dir(dir, ".f.tmp")) == 0); /* nobody leads us elsewhere */
    CHECK(fs_writer_open(&w, in_dir(dir, "f"), &why) == -1, "followed a link");
    CHECK(!w.file && !w.path && entries(dir) == 2);
    CHECK_STR(content(in_dir(dir, "victim")), "kept");
    child_rmdir(dir);
}

TEST(fs_folders) {
    char dir[256];
    child_mkdir(dir);
    reason_t why;
    CHECK(fs_is_dir(dir) && fs_exists(dir) && fs_dir_empty(dir) &&
          fs_dir_empty(in_dir(dir, "none")));
    CHECK(fs_mkdirs(in_dir(dir, "a//b/c/"), &why) == 0 && fs_is_dir(in_dir(dir, "a/b/c")));
    CHECK(fs_mkdirs(in_dir(dir, "a/b"), &why) == 0 && !fs_dir_empty(in_dir(dir, "a")));
    CHECK(fs_write(in_dir(dir, "f"), "x", 1, NULL) == 0 && !fs_is_dir(in_dir(dir, "f")) &&
          !fs_dir_empty(in_dir(dir, "f")));
    CHECK(fs_mkdirs(in_dir(dir, "f/g"), &why) == -1 &&
              strstr(why.text, "cannot create folder '") == why.text,
          "%s", why.text);
    CHECK(fs_mkdirs(in_dir(dir, "f"), &why) == -1 && strstr(why.text, "File exists"), "%s",
          why.text);
    CHECK(fs_sync_dir(dir, &why) == 0 && fs_sync_dir(in_dir(dir, "f"), &why) == -1);
    CHECK(link(in_dir(dir, "f"), in_dir(dir, "hard")) == 0 &&
          fs_same(in_dir(dir, "f"), in_dir(dir, "hard")));
    CHECK(fs_same(dir, in_dir(dir, ".")) && !fs_same(dir, in_dir(dir, "a")) &&
          !fs_same(in_dir(dir, "x"), in_dir(dir, "x")));
    static const char *const join[][3] = {
        {"a/b", "c", "a/b/c"}, {"a/", "c", "a/c"}, {"", "c", "c"}, {"/", "c", "/c"}};
    for (int i = 0; i < 4; i++) {
        char *path = fs_join(join[i][0], join[i][1]);
        CHECK_STR(path, join[i][2]);
        free(path);
    }
    child_rmdir(dir);
}

TEST(fs_done_file) {
    char dir[256], wanted[200];
    child_mkdir(dir);
    fs_done_clear(dir); /* nothing there: fine */
    CHECK(fs_done_write(dir, "train --steps 5", "{\"steps\": 5}", NULL) == 0);
    /* xxhsum of the same words: -H64 of "abc" is 44bc2cf5ad770999 */
    CHECK(XXH64("abc", 3, 0) == 0x44bc2cf5ad770999u);
    snprintf(wanted, sizeof wanted, "{\"arguments\": \"%016llx\", \"counts\": {\"steps\": 5}}\n",
             (unsigned long long)XXH64("train --steps 5", 15, 0));
    CHECK_STR(content(in_dir(dir, "done")), wanted);
    fs_done_clear(dir);
    CHECK(fs_dir_empty(dir));
    child_rmdir(dir);
}

TEST(ends_of_names) {
    CHECK(fs_ends("runs/x.json", ".json") && fs_ends(".json", ".json") && fs_ends("x", ""));
    CHECK(!fs_ends("json", ".json") && !fs_ends("x.JSON", ".json") &&
          !fs_ends("x.json.gz", ".json") && !fs_ends("", "x"));
}
