/* test_image_source.c - folders of pictures with everything that stands in real ones, datasets' frames, splits, and the
 * count of bad items. Pictures are made by libpng, folders by system calls.
 */
#include "common/io/image_source.h"
#include "common/io/minari.h"
#include "tests/child.h"
#include "tests/picture.h"
#include "tests/rss.h"
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[100]; /* of the running test */

static void open_folder(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.60s/source_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder) || chmod(folder, 0755)) abort();
}

static void remove_folder(void) {
    char cmd[300];
    snprintf(cmd, sizeof cmd, "chmod -R u+rwX '%s'; rm -rf '%s'", folder, folder);
    if (system(cmd)) abort();
}

static const char *in_folder(const char *name) {
    static char path[4][2000];
    static int k;
    k = (k + 1) % 4;
    snprintf(path[k], sizeof path[k], "%s/%s", folder, name);
    return path[k];
}

/* Writes a file, and the folders that lead to it. */
static void put_file(const char *name, const void *bytes, size_t n) {
    char path[2000];
    snprintf(path, sizeof path, "%s", in_folder(name));
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        if (mkdir(path, 0755) && errno != EEXIST) abort();
    }
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) abort();
}

/* A picture of one color. */
static void put_png(const char *name, uint8_t level) {
    uint8_t rgb[3 * 6];
    memset(rgb, level, sizeof rgb);
    blob_t b = png_rgb(3, 2, rgb);
    put_file(name, b.p, b.n);
    free(b.p);
}

static void put_text(const char *name, const char *text) {
    put_file(name, text, strlen(text));
}

static void put_link(const char *to, const char *name) {
    if (symlink(to, in_folder(name))) abort();
}

/* The picture's level, or -1 - status. */
static int level_of(const image_source_t *s, size_t i, reason_t *why) {
    image_t im;
    why->text[0] = 0;
    image_status_t status = image_source_read(s, i, &im, NULL, why);
    int level = status ? -1 + (int)status : im.w == 3 && im.h == 2 ? im.rgb[17] : -100;
    image_release(&im);
    return level;
}

static void check_keys(const image_source_t *s, size_t n, const char *const *keys) {
    CHECK(image_source_count(s) == n, "%zu items", image_source_count(s));
    for (size_t i = 0; i < n && i < image_source_count(s); i++) CHECK_STR(image_source_key(s, i), keys[i]);
}

static int open_in_child(void *path) {
    alarm(20);
    image_source_t *s = image_source_open(path);
    printf("%zu", image_source_count(s));
    image_source_close(s);
    return 0;
}

static void check_dies(const char *path, int code, const char *text) {
    child_t c;
    child_run(open_in_child, (void *)path, &c);
    CHECK(c.code == code, "code %d: %s", c.code, c.err);
    CHECK(strstr(c.err, text) && child_lines(c.err) == 1, "\"%s\" does not say \"%s\"", c.err, text);
}

/* ---- folders
 * ----------------------------------------------------------------------------------------------------------------*/

TEST(folder_order_and_keys) {
    static const char *const keys[] = {"B.png", "a-b/x.png", "a.png", "a/b/c/x.png", "a/x.png", "a0.png", "b/x.png"};
    reason_t why;
    open_folder();
    for (size_t i = 7; i-- > 0;) put_png(keys[i], (uint8_t)(10 * i));
    image_source_t *s = image_source_open(folder);
    check_keys(s, 7, keys);
    for (size_t i = 0; i < image_source_count(s); i++) CHECK(level_of(s, i, &why) == (int)(10 * i), "%s", why.text);
    CHECK_STR(image_source_name(s), folder);
    CHECK(image_source_counts(s)->images == 7 && image_source_counts(s)->other_files == 0);
    image_source_close(s);
    remove_folder();
}

TEST(folder_by_magic_bytes) {
    static const char *const keys[] = {"empty.PNG", "noname", "text.jpeg"};
    reason_t why;
    open_folder();
    put_png("noname", 7);
    put_text("text.jpeg", "<html>not found</html>");
    put_file("empty.PNG", "", 0);
    put_file("w.png", "RIFF\x10\0\0\0WEBPVP8 ", 16);
    put_text("notes.txt", "hello");
    put_file("nothing", "", 0);
    put_png(".hidden.png", 1);
    put_png(".git/x.png", 1);
    put_png("__MACOSX/x.png", 1);
    put_text("Thumbs.db", "x");
    image_source_t *s = image_source_open(folder);
    const source_counts_t *c = image_source_counts(s);
    check_keys(s, 3, keys);
    CHECK(c->images == 3 && c->unsupported == 1 && c->other_files == 2 && c->hidden == 4 && !c->unreadable &&
          !c->links_dangling);
    CHECK(level_of(s, 0, &why) == -2 && strstr(why.text, "empty"), "%s", why.text);
    CHECK(level_of(s, 1, &why) == 7);
    CHECK(level_of(s, 2, &why) == -2 && strstr(why.text, "neither"), "%s", why.text);
    image_source_close(s);
    remove_folder();
}

TEST(fault_021_empty_folder) {
    open_folder();
    check_dies(folder, RC_DATA, "no images found under");
    check_dies(folder, RC_DATA, "(looked for .png .jpg .jpeg)");
    remove_folder();
}

TEST(fault_022_folder_without_images) {
    open_folder();
    put_text("a.txt", "x");
    put_text("b/c.csv", "x");
    put_file("d.gif", "GIF89a\1\0\1\0", 10);
    put_text(".hidden", "x");
    check_dies(folder, RC_DATA, "2 other files, 1 of unsupported formats, 1 hidden, 0 dangling links, 0 unreadable");
    remove_folder();
}

TEST(fault_023_missing_or_a_file) {
    open_folder();
    put_text("a.txt", "x");
    check_dies(in_folder("none"), RC_USAGE, "none': No such file");
    check_dies(in_folder("a.txt"), RC_USAGE,
               "is a file; a folder of images, a WebDataset tar or a Minari dataset folder is needed");
    check_dies("/dev/null", RC_USAGE, "is a file");
    remove_folder();
}

TEST(fault_024_links) {
    /* Real names win over links, each folder comes once, the first link by name gives a folder outside its name. */
    static const char *const keys[] = {"file.png", "l1/o.png", "real/deep/y.png", "real/x.png"};
    reason_t why;
    open_folder();
    put_png("outside/o.png", 3);
    put_png("root/real/x.png", 1);
    put_png("root/real/deep/y.png", 2);
    put_link("../../real", "root/real/deep/up");
    put_link("..", "root/parent");
    put_link(".", "root/self");
    put_link("real", "root/another");
    put_link("real/deep", "root/a_deep");
    put_link("../outside", "root/l2");
    put_link("../outside", "root/l1");
    put_link("real/x.png", "root/file.png");
    image_source_t *s = image_source_open(in_folder("root"));
    /* "parent" leads above the root: everything below it but what was seen, which is nothing. */
    check_keys(s, 4, keys);
    CHECK(level_of(s, 0, &why) == 1 && level_of(s, 1, &why) == 3 && level_of(s, 2, &why) == 2);
    CHECK(image_source_counts(s)->links_dangling == 0);
    image_source_close(s);
    remove_folder();
}

static int warnings_in_child(void *path) {
    image_source_t *s = image_source_open(path);
    const source_counts_t *c = image_source_counts(s);
    printf("%zu images %zu dangling %zu unreadable", c->images, c->links_dangling, c->unreadable);
    image_source_close(s);
    return 0;
}

TEST(fault_025_dangling_link) {
    child_t c;
    open_folder();
    put_png("a.png", 1);
    put_link("nowhere", "b.png");
    put_link("loop", "loop");
    child_run(warnings_in_child, folder, &c);
    CHECK(c.code == 0);
    CHECK_STR(c.out, "1 images 2 dangling 0 unreadable");
    CHECK(strstr(c.err, "dangling link 'b.png'") && strstr(c.err, "dangling link 'loop'") && child_lines(c.err) == 2,
          "%s", c.err);
    remove_folder();
}

static int warnings_as_nobody(void *path) {
    if (getuid() == 0 && (setgid(65534) || setuid(65534))) return 99;
    return warnings_in_child(path);
}

TEST(fault_026_unreadable) {
    child_t c;
    open_folder();
    put_png("a.png", 1);
    put_png("b.png", 1);
    put_png("closed/c.png", 1);
    CHECK(!chmod(in_folder("b.png"), 0) && !chmod(in_folder("closed"), 0));
    child_run(warnings_as_nobody, folder, &c);
    CHECK(c.code == 0, "code %d", c.code);
    CHECK_STR(c.out, "1 images 0 dangling 2 unreadable");
    CHECK(strstr(c.err, "'b.png': Permission denied") && strstr(c.err, "'closed': Permission denied"), "%s", c.err);
    remove_folder();
}

TEST(fault_026_many_unreadable_are_counted) {
    child_t c;
    char name[40];
    open_folder();
    put_png("a.png", 1);
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "x%d.png", i);
        put_link("nowhere", name);
    }
    child_run(warnings_in_child, folder, &c);
    CHECK_STR(c.out, "1 images 50 dangling 0 unreadable");
    CHECK(child_lines(c.err) == 21, "%d lines", child_lines(c.err));
    remove_folder();
}

static int special_in_child(void *path) {
    alarm(10); /* a hang would be the failure */
    return warnings_in_child(path);
}

TEST(fault_027_special_files) {
    child_t c;
    open_folder();
    put_png("a.png", 1);
    CHECK(!mkfifo(in_folder("pipe.png"), 0644));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%.90s", in_folder("socket.png"));
    CHECK(fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof address));
    put_link("pipe.png", "link.png");
    put_link("/dev/zero", "zero.png");
    child_run(special_in_child, folder, &c);
    CHECK(c.code == 0, "code %d", c.code);
    CHECK_STR(c.out, "1 images 0 dangling 0 unreadable");
    close(fd);
    remove_folder();
}

TEST(fault_027_becomes_a_pipe_after_the_scan) {
    reason_t why;
    open_folder();
    put_png("a.png", 1);
    image_source_t *s = image_source_open(folder);
    CHECK(!unlink(in_folder("a.png")) && !mkfifo(in_folder("a.png"), 0644));
    CHECK(level_of(s, 0, &why) == -2 && strstr(why.text, "changed"), "%s", why.text);
    image_source_close(s);
    remove_folder();
}

TEST(fault_028_changes_after_the_scan) {
    reason_t why;
    struct timespec times[2] = {{1, 0}, {1, 0}};
    open_folder();
    for (int i = 0; i < 4; i++) put_png((const char *[]){"a.png", "b.png", "c.png", "d.png"}[i], 5);
    image_source_t *s = image_source_open(folder);
    unlink(in_folder("a.png"));
    CHECK(truncate(in_folder("b.png"), 40) == 0);
    CHECK(utimensat(AT_FDCWD, in_folder("c.png"), times, 0) == 0);
    CHECK(level_of(s, 0, &why) == -2 && strstr(why.text, "No such file"), "%s", why.text);
    CHECK(level_of(s, 1, &why) == -2 && strstr(why.text, "changed since the scan"), "%s", why.text);
    CHECK(level_of(s, 2, &why) == -2 && strstr(why.text, "changed since the scan"), "%s", why.text);
    CHECK(level_of(s, 3, &why) == 5);
    image_source_close(s);
    remove_folder();
}

TEST(fault_029_same_names) {
    static const char *const keys[] = {"a/x.png", "b/x.png"};
    reason_t why;
    open_folder();
    put_png("a/x.png", 1);
    put_png("b/x.png", 2);
    image_source_t *s = image_source_open(folder);
    check_keys(s, 2, keys);
    CHECK(level_of(s, 0, &why) == 1 && level_of(s, 1, &why) == 2);
    image_source_close(s);
    remove_folder();
}

TEST(fault_031_names) {
    static char longest[256];
    memset(longest, 'x', 255);
    const char *const keys[] = {"\xFF\xFE.png", "%s%n%d", "-rf", "a\nb.png", "q\"uote'", "tab\there", "\x01", longest};
    reason_t why;
    open_folder();
    for (size_t i = 0; i < 8; i++) put_png(keys[i], (uint8_t)i);
    image_source_t *s = image_source_open(folder);
    CHECK(image_source_count(s) == 8);
    for (size_t i = 0; i < image_source_count(s); i++) {
        if (i) CHECK(strcmp(image_source_key(s, i - 1), image_source_key(s, i)) < 0);
        size_t k = 0;
        while (k < 8 && strcmp(keys[k], image_source_key(s, i)) != 0) k++;
        CHECK(k < 8 && level_of(s, i, &why) == (int)k, "%s", why.text);
    }
    image_source_close(s);
    remove_folder();
}

TEST(fault_032_longer_than_path_max) {
    char name[201], group[512];
    reason_t why;
    memset(name, 'd', 200);
    name[200] = 0;
    open_folder();
    put_png("src.png", 9);
    put_png("top.png", 1);
    int at = open(folder, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 50; i++) {
        int next = mkdirat(at, name, 0755) ? -1 : openat(at, name, O_RDONLY | O_DIRECTORY);
        close(at);
        at = next;
    }
    int root = open(folder, O_RDONLY | O_DIRECTORY);
    CHECK(renameat(root, "src.png", at, "deep_12.png") == 0);
    close(at);
    close(root);
    image_source_t *s = image_source_open(folder);
    REQUIRE(image_source_count(s) == 2);
    CHECK(strlen(image_source_key(s, 0)) == 50 * 201 + 11);
    CHECK(level_of(s, 0, &why) == 9, "%s", why.text);
    CHECK(strlen(image_source_group(s, 0, SPLIT_NAME, group)) == 32);
    image_source_close(s);
    remove_folder();
}

TEST(fault_030_identical_content) {
    static const char *const keys[] = {"a.png", "b.png", "c/a.png"};
    reason_t why;
    open_folder();
    for (int i = 0; i < 3; i++) put_png(keys[i], 8);
    image_source_t *s = image_source_open(folder);
    check_keys(s, 3, keys);
    for (size_t i = 0; i < 3; i++) CHECK(level_of(s, i, &why) == 8);
    image_source_close(s);
    remove_folder();
}

enum { MANY = 50000, PER_FOLDER = 500 };

/* Links to two files stand for many files: a file system allows 65,000 links of one. */
static void put_many(void) {
    char name[60];
    put_png("a.png", 1);
    put_png("b.png", 2);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "set/%03d", i / PER_FOLDER);
        if (i == 0 && mkdir(in_folder("set"), 0755)) abort();
        if (i % PER_FOLDER == 0 && mkdir(in_folder(name), 0755)) abort();
        snprintf(name, sizeof name, "set/%03d/picture_%08d.png", i / PER_FOLDER, i);
        if (link(in_folder(i % 2 ? "a.png" : "b.png"), in_folder(name))) abort();
    }
}

static int many_in_child(void *path) {
    rss_reset();
    long before = rss_peak_mb();
    image_source_t *s = image_source_open(path);
    double bytes = (double)(rss_peak_mb() - before) * (1 << 20) / MANY;
    size_t order = 0;
    for (size_t i = 1; i < image_source_count(s); i++)
        order += strcmp(image_source_key(s, i - 1), image_source_key(s, i)) < 0;
    printf("%zu files, %zu in order, %.0f bytes each", image_source_count(s), order, bytes);
    image_source_close(s);
    return order + 1 == MANY && bytes < 200 ? 0 : 1;
}

TEST(fault_033_many_files) {
    child_t c;
    open_folder();
    put_many();
    child_run(many_in_child, (void *)in_folder("set"), &c);
    CHECK(c.code == 0, "%s", c.out);
    remove_folder();
}

static int few_descriptors(void *path) {
    struct rlimit limit = {20, 20};
    reason_t why;
    if (setrlimit(RLIMIT_NOFILE, &limit)) return 99;
    image_source_t *s = image_source_open(path);
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < image_source_count(s); i++) level_of(s, i, &why);
    int level = level_of(s, 0, &why);
    image_source_close(s);
    return level;
}

TEST(fault_034_no_descriptor_leaks) {
    child_t c;
    char name[40];
    open_folder();
    put_png("0/good.png", 42);
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "%d/bad.png", i);
        put_file(name, i % 2 ? "\xFF\xD8\xFF" : "\x89PNG\r\n\x1A\n", i % 2 ? 3 : 8);
        snprintf(name, sizeof name, "%d/up", i);
        put_link("..", name);
        snprintf(name, sizeof name, "%d/dangling", i);
        put_link("nowhere", name);
    }
    put_png("0/a_good.png", 42);
    child_run(few_descriptors, folder, &c);
    CHECK(c.code == 42, "code %d: %s", c.code, c.err);
    remove_folder();
}

/* ---- groups, splits, manifests
 * ------------------------------------------------------------------------------------------------*/

TEST(groups) {
    static const struct {
        const char *key, *name, *dir, *episode;
    } cases[] = {
        {"a/b/photo_12.png", "a/b/photo", "a", "a/b"},
        {"a/photo-7.tar.png", "a/photo-7.tar", "a", "a"},
        {"a/photo-7.jpg", "a/photo", "a", "a"},
        {"a/photo7.jpg", "a/photo7", "a", "a"},
        {"a/12.jpg", "a/12", "a", "a"},
        {"a/_12.jpg", "a/_12", "a", "a"},
        {"a/p_1_2.jpg", "a/p_1", "a", "a"},
        {"b_3/x.png", "b_3/x", "b_3", "b_3"},
        {"b_4/noext_5", "b_4/noext", "b_4", "b_4"},
        {"top_1.png", "top", "top", "top"},
    };
    enum { N = sizeof cases / sizeof *cases };
    char buf[512];
    open_folder();
    for (size_t i = 0; i < N; i++) put_file(cases[i].key, "\x89PNG\r\n\x1A\n", 8);
    image_source_t *s = image_source_open(folder);
    CHECK(image_source_count(s) == N);
    for (size_t i = 0; i < image_source_count(s); i++) {
        size_t k = 0;
        while (k < N && strcmp(cases[k].key, image_source_key(s, i)) != 0) k++;
        REQUIRE(k < N);
        CHECK_STR(image_source_group(s, i, SPLIT_NAME, buf), cases[k].name);
        CHECK_STR(image_source_group(s, i, SPLIT_FOLDER, buf), cases[k].dir);
        CHECK_STR(image_source_group(s, i, SPLIT_EPISODE, buf), cases[k].episode);
    }
    image_source_close(s);
    remove_folder();
}

/* XXH64 of "" and "a" are published: ...999 = 17241709254077376921 and 15154266338359012955. */
TEST(split_rule) {
    CHECK(!split_held_out("", 0.921) && split_held_out("", 0.922));
    CHECK(!split_held_out("a", 0.955) && split_held_out("a", 0.956));
    CHECK(!split_held_out("a", 0) && split_held_out("", 1));
    int held = 0;
    for (int i = 0; i < 20000; i++) {
        char name[20];
        snprintf(name, sizeof name, "g%d", i);
        held += split_held_out(name, 0.05);
    }
    CHECK(abs(held - 1000) < 150, "%d", held);
}

typedef struct {
    int group_size, first;
} names_case_t;

static const char *test_group(void *ctx, size_t i, char buf[512]) {
    const names_case_t *n = ctx;
    snprintf(buf, 512, "g%d", n->first + (int)i / n->group_size);
    return buf;
}
static const char *test_key(void *ctx, size_t i, char buf[512]) {
    snprintf(buf, 512, "g%d", ((const names_case_t *)ctx)->first + (int)i);
    return buf;
}

/* Held of n items; false when a group stands on both sides. */
static size_t split_count(size_t n, double holdout, names_case_t names, bool whole, bool *held) {
    size_t count = 0;
    split_items(n, holdout, test_group, test_key, &names, held);
    for (size_t i = 0; i < n; i++) {
        count += held[i];
        if (whole && i) CHECK(held[i] == held[i - 1] || (int)i / names.group_size != (int)(i - 1) / names.group_size);
    }
    return count;
}

TEST(split_leaves_no_side_empty) {
    bool held[1000];
    char buf[512];
    names_case_t ones = {1, 0};
    split_items(1000, 0.1, test_group, test_key, &ones, held);
    for (size_t i = 0; i < 1000; i++) CHECK(held[i] == split_held_out(test_group(&ones, i, buf), 0.1));
    for (int first = 0; first < 200; first++) {
        /* Four groups of five: the rule alone often leaves a side empty. */
        names_case_t four = {5, first};
        size_t low = split_count(20, 0.001, four, true, held), high = split_count(20, 0.999, four, true, held);
        CHECK(low >= 5 && low < 20 && low % 5 == 0, "%zu held", low);
        CHECK(high > 0 && high <= 15 && high % 5 == 0, "%zu held", high);
        /* One group: each item for itself. */
        size_t single = split_count(20, 0.001, (names_case_t){20, first}, false, held);
        CHECK(single >= 1 && single < 20, "%zu held", single);
    }
    CHECK(split_count(20, 0, ones, true, held) == 0 && split_count(20, 1, ones, true, held) == 20);
    split_count(1, 0.5, ones, true, held);
    split_count(0, 0.5, ones, true, held);
}

static uint64_t manifest(void) {
    image_source_t *s = image_source_open(folder);
    uint64_t h = image_source_manifest(s);
    image_source_close(s);
    return h;
}

TEST(manifest_tells_data_sets_apart) {
    open_folder();
    put_png("a.png", 1);
    put_png("b.png", 2);
    uint64_t first = manifest();
    put_text("notes.txt", "x");
    CHECK(manifest() == first);
    CHECK(!rename(in_folder("b.png"), in_folder("c.png")) && manifest() != first);
    CHECK(!rename(in_folder("c.png"), in_folder("b.png")) && manifest() == first);
    FILE *f = fopen(in_folder("b.png"), "ab");
    CHECK(f && fputc(0, f) == 0 && !fclose(f) && manifest() != first);
    put_png("b.png", 2);
    CHECK(manifest() == first);
    put_png("d.png", 2);
    CHECK(manifest() != first);
    remove_folder();
}

static int spec_in_child(void *spec) {
    char *path;
    printf("%g", source_spec_split(spec, &path));
    printf(" %s", path);
    free(path);
    return 0;
}

TEST(spec_with_weight) {
    static const char *const cases[][2] = {{"x", "1 x"},
                                           {"x=2", "2 x"},
                                           {"x=0.5", "0.5 x"},
                                           {"a=b=3", "3 a=b"},
                                           {"a=b", "1 a=b"},
                                           {"x=1e-2", "0.01 x"},
                                           {"x=", "1 x="},
                                           {"x=inf", "1 x=inf"},
                                           {"x=0x2", "1 x=0x2"},
                                           {"x=1.2.3", "1 x=1.2.3"},
                                           {"a b/c=.25", "0.25 a b/c"}};
    child_t c;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        child_run(spec_in_child, (void *)cases[i][0], &c);
        CHECK(c.code == 0);
        CHECK_STR(c.out, cases[i][1]);
    }
    static const char *const bad[] = {"x=0", "x=-1", "x=1e999"};
    for (size_t i = 0; i < 3; i++) {
        child_run(spec_in_child, (void *)bad[i], &c);
        CHECK(c.code == RC_USAGE, "%s: %d", bad[i], c.code);
    }
    open_folder();
    put_png("set=2/a.png", 1);
    char want[200];
    snprintf(want, sizeof want, "1 %s/set=2", folder);
    child_run(spec_in_child, (void *)in_folder("set=2"), &c);
    CHECK_STR(c.out, want);
    remove_folder();
}

/* ---- bad items
 * ------------------------------------------------------------------------------------------------------------------*/

typedef struct {
    int bad, unsupported, total;
    double max;
} tally_case_t;

static int bad_in_child(void *arg) {
    const tally_case_t *t = arg;
    bad_items_t *b = bad_items_new(t->max);
    for (int round = 0; round < 2; round++) { /* a second epoch changes nothing */
        for (int i = 0; i < t->bad + t->unsupported; i++) {
            char key[20], why[40];
            snprintf(key, sizeof key, "k%d\n%%s", i);
            snprintf(why, sizeof why, "broken at byte %d", i);
            bad_items_add(b, "src", key, i < t->bad ? why : "unsupported format: GIF", i >= t->bad);
        }
    }
    if (bad_items_count(b) != (size_t)t->bad || bad_items_unsupported(b) != (size_t)t->unsupported) return 98;
    bad_items_check(b, (size_t)t->total);
    bad_items_summary(b);
    bad_items_free(b);
    return 0;
}

TEST(bad_items_limit) {
    static const struct {
        tally_case_t t;
        int code;
        const char *text;
    } cases[] = {
        {{0, 0, 100, 0.01}, 0, ""},
        {{0, 0, 0, 0}, 0, ""},
        {{1, 0, 100, 0.01}, 0, "skipped 1 bad items"},
        {{2, 0, 100, 0.01}, RC_DATA, "2 of 100 items are bad (2 %), more than --max-bad 1 %"},
        {{1, 0, 1000, 0}, RC_DATA, "1 of 1000 items are bad"},
        {{0, 99, 100, 0}, 0, "99 of unsupported formats"},
        {{0, 100, 100, 0.5}, RC_DATA, "none of 100 items can be used: 0 bad, 100 of unsupported formats"},
        {{3, 7, 10, 0.5}, RC_DATA, "none of 10 items"},
        {{5, 0, 10, 0.5}, 0, "5: broken at byte N"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        child_t c;
        child_run(bad_in_child, (void *)&cases[i].t, &c);
        CHECK(c.code == cases[i].code, "case %zu: %d %s", i, c.code, c.err);
        CHECK(strstr(c.err, cases[i].text), "case %zu: \"%s\"", i, c.err);
    }
}

TEST(bad_items_are_named_twenty_times) {
    tally_case_t t = {30, 0, 1000, 1};
    child_t c;
    child_run(bad_in_child, &t, &c);
    CHECK(c.code == 0);
    CHECK(child_lines(c.err) == 20 + 1 + 2, "%d lines",
          child_lines(c.err)); /* named, "further ...", the summary's two */
    CHECK(strstr(c.err, "k0\\x0A%s") && strstr(c.err, "broken at byte 19") && !strstr(c.err, "broken at byte 20"), "%s",
          c.err);
}

static void *add_many(void *arg) {
    char key[20];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "%d", i);
        bad_items_add(arg, "s", key, "x", false);
    }
    return NULL;
}

static int threads_add(void *arg) {
    bad_items_t *b = bad_items_new(1);
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) pthread_create(&thread[i], NULL, add_many, b);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    int ok = bad_items_count(b) == 200;
    bad_items_free(b);
    return ok ? 0 : 1;
}

TEST(bad_items_threads) {
    child_t c;
    child_run(threads_add, NULL, &c);
    CHECK(c.code == 0 && child_lines(c.err) == 21, "%d", c.code);
}

/* ---- threads, datasets
 * ------------------------------------------------------------------------------------------------------------*/

typedef struct {
    const image_source_t *s;
    int seed, wrong;
    int (*check)(const image_source_t *s, size_t i);
} reader_t;

static void *read_many(void *arg) {
    reader_t *r = arg;
    for (int i = 0; i < 300; i++)
        r->wrong += r->check(r->s, (size_t)(i * 7919 + r->seed * 31) % image_source_count(r->s));
    return NULL;
}

static void check_threads(const image_source_t *s, int (*check)(const image_source_t *s, size_t i)) {
    pthread_t thread[4];
    reader_t r[4];
    for (int i = 0; i < 4; i++) {
        r[i] = (reader_t){s, i, 0, check};
        pthread_create(&thread[i], NULL, read_many, &r[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        CHECK(r[i].wrong == 0, "%d wrong", r[i].wrong);
    }
}

static int level_by_key(const image_source_t *s, size_t i) {
    reason_t why;
    return level_of(s, i, &why) != atoi(image_source_key(s, i));
}

TEST(folder_read_by_threads) {
    open_folder();
    for (int i = 0; i < 50; i++) {
        char name[20];
        snprintf(name, sizeof name, "%d.png", i);
        put_png(name, (uint8_t)i);
    }
    image_source_t *s = image_source_open(folder);
    check_threads(s, level_by_key);
    image_source_close(s);
    remove_folder();
}

enum { SIDE = 36, EPISODES = 12 };
static size_t steps_of(size_t episode) {
    return 1 + episode % 5;
}
static uint8_t pixel(size_t episode, size_t step, size_t i) {
    return (uint8_t)(episode * 31 + step * 7 + i * 13 + i / 100);
}

/* Episodes of different lengths; channels 1 or 3. Written by the project's writer, whose own test is test_minari.c. */
static bool put_dataset(size_t channels) {
    minari_leaf_t obs[2] = {
        {.path = "image",
         .kind = SPACE_IMAGE,
         .dtype = "uint8",
         .rank = 3,
         .dim = {SIDE, SIDE, channels},
         .count = SIDE * SIDE * channels},
        {.path = "state", .kind = SPACE_BOX, .dtype = "float32", .rank = 1, .dim = {1}, .count = 1}};
    minari_leaf_t act = {.kind = SPACE_DISCRETE, .dtype = "int64", .count = 1, .n = 2};
    double low = -1, high = 1;
    obs[1].low = &low;
    obs[1].high = &high;
    minari_spec_t spec = {.dataset_id = "test/x-v0",
                          .algorithm = "none",
                          .obs = obs,
                          .act = &act,
                          .n_obs = 2,
                          .n_act = 1,
                          .dict_obs = true};
    reason_t why = {""};
    minari_writer_t *w = minari_writer_new(folder, &spec, &why);
    bool ok = w != NULL;
    for (size_t e = 0; ok && e < EPISODES; e++) {
        size_t T = steps_of(e), n = obs[0].count;
        uint8_t *frames = malloc((T + 1) * n), flags[8] = {0};
        float state[9] = {0}, action[8] = {0}, rewards[8] = {0};
        for (size_t k = 0; k < (T + 1) * n; k++) frames[k] = pixel(e, k / n, k % n);
        minari_episode_t ep = {.T = T,
                               .image = (uint8_t *[2]){frames, NULL},
                               .value = (float *[2]){NULL, state},
                               .text = (char **[2]){NULL, NULL},
                               .action = (float *[1]){action},
                               .rewards = rewards,
                               .terminated = flags,
                               .truncated = flags,
                               .seed = -1,
                               .n_obs = 2,
                               .n_act = 1};
        ok = minari_writer_add(w, &ep, &why) == 0;
        free(frames);
    }
    ok = ok && minari_writer_commit(w, &why) == 0;
    if (!ok) fprintf(stderr, "  %s\n", why.text);
    return ok;
}

static int wrong_frame(const image_source_t *s, size_t i, size_t channels) {
    size_t episode, step;
    image_t im;
    reason_t why;
    if (sscanf(image_source_key(s, i), "episode_%zu/%zu", &episode, &step) != 2) return 1;
    if (image_source_read(s, i, &im, NULL, &why) || im.w != SIDE || im.h != SIDE) return 1;
    int wrong = 0;
    for (size_t k = 0; k < 3 * SIDE * SIDE; k++) wrong |= im.rgb[k] != pixel(episode, step, channels == 3 ? k : k / 3);
    image_release(&im);
    return wrong;
}
static int wrong_rgb(const image_source_t *s, size_t i) {
    return wrong_frame(s, i, 3);
}
static int wrong_gray(const image_source_t *s, size_t i) {
    return wrong_frame(s, i, 1);
}

#ifdef WITH_HDF5
TEST(dataset_frames) {
    for (size_t channels = 1; channels <= 3; channels += 2) {
        open_folder();
        REQUIRE(put_dataset(channels));
        for (int inside = 0; inside < 2; inside++) {
            image_source_t *s = image_source_open(inside ? in_folder("data") : folder);
            size_t i = 0;
            char key[40], buf[512];
            for (size_t e = 0; e < EPISODES; e++) {
                for (size_t t = 0; t <= steps_of(e); t++, i++) {
                    snprintf(key, sizeof key, "episode_%zu/%zu", e, t);
                    REQUIRE(i < image_source_count(s));
                    CHECK_STR(image_source_key(s, i), key);
                    snprintf(key, sizeof key, "episode_%zu", e);
                    for (int by = 0; by < 3; by++) CHECK_STR(image_source_group(s, i, (split_by_t)by, buf), key);
                }
            }
            CHECK(image_source_count(s) == i && image_source_counts(s)->images == i);
            check_threads(s, channels == 3 ? wrong_rgb : wrong_gray);
            image_source_close(s);
        }
        remove_folder();
    }
}

TEST(dataset_manifest) {
    open_folder();
    REQUIRE(put_dataset(3));
    uint64_t a = manifest(), b = manifest();
    remove_folder();
    open_folder();
    REQUIRE(put_dataset(1));
    CHECK(a == b && manifest() != a);
    remove_folder();
}

/* Zeroes stand where episode groups' names are looked up: what cannot be read is left out or bad, the rest is as
 * before. */
TEST(fault_038_dataset_damaged) {
    open_folder();
    REQUIRE(put_dataset(3));
    struct stat st;
    CHECK(!stat(in_folder("data/main_data.hdf5"), &st) && !truncate(in_folder("data/main_data.hdf5"), st.st_size / 2));
    check_dies(folder, RC_DATA, "main_data.hdf5");
    CHECK(!unlink(in_folder("data/metadata.json")));
    check_dies(folder, RC_DATA, "metadata.json");
    remove_folder();
}
#else
TEST(dataset_without_hdf5) {
    (void)put_dataset;
    (void)wrong_rgb;
    (void)wrong_gray;
    open_folder();
    put_text("data/main_data.hdf5", "x");
    check_dies(folder, RC_RUNTIME, "HDF5");
    remove_folder();
}
#endif
