/* test_image_folder.c - folders of images: order, keys, links, what cannot be read, what changes,
 * many files. Images are made by libpng, folders by system calls.
 */
#include "tests/image_source_case.h"

/* ---- folders ---- */

TEST(folder_order_and_keys) {
    static const char *const keys[] = {"B.png",   "a-b/x.png", "a.png",  "a/b/c/x.png",
                                       "a/x.png", "a0.png",    "b/x.png"};
    reason_t why;
    open_folder();
    for (size_t i = 7; i-- > 0;) put_png(keys[i], (uint8_t)(10 * i));
    image_source_t *s = image_source_open_or_die(folder);
    check_keys(s, 7, keys);
    for (size_t i = 0; i < image_source_count(s); i++)
        CHECK(level_of(s, i, &why) == (int)(10 * i), "%s", why.text);
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
    put_file("w.png", "GIF89a\1\0\1\0", 10);
    put_text("notes.txt", "hello");
    put_file("nothing", "", 0);
    put_png(".hidden.png", 1);
    put_png(".git/x.png", 1);
    put_png("__MACOSX/x.png", 1);
    put_text("Thumbs.db", "x");
    image_source_t *s = image_source_open_or_die(folder);
    const source_counts_t *c = image_source_counts(s);
    check_keys(s, 3, keys);
    CHECK(c->images == 3 && c->unsupported == 1 && c->other_files == 2 && c->hidden == 4 &&
          !c->unreadable && !c->links_dangling);
    CHECK(level_of(s, 0, &why) == -2 && strstr(why.text, "empty"), "%s", why.text);
    CHECK(level_of(s, 1, &why) == 7);
    CHECK(level_of(s, 2, &why) == -2 && strstr(why.text, "neither"), "%s", why.text);
    image_source_close(s);
    remove_folder();
}

TEST(fault_021_empty_folder) {
    open_folder();
    check_dies(folder, RC_DATA, "no images found under");
    check_dies(folder, RC_DATA, "(looked for .png .jpg .jpeg");
    remove_folder();
}

TEST(fault_022_folder_without_images) {
    open_folder();
    put_text("a.txt", "x");
    put_text("b/c.csv", "x");
    put_file("d.gif", "GIF89a\1\0\1\0", 10);
    put_text(".hidden", "x");
    check_dies(folder, RC_DATA,
               "2 other files, 1 of unsupported formats, 1 hidden, 0 dangling links, 0 unreadable");
    remove_folder();
}

TEST(fault_023_missing_or_a_file) {
    open_folder();
    put_text("a.txt", "x");
    check_dies(in_folder("none"), RC_USAGE, "none': No such file");
    check_dies(
        in_folder("a.txt"), RC_USAGE,
        "is a file; a folder of images, a WebDataset tar or a Minari dataset folder is needed");
    check_dies("/dev/null", RC_USAGE, "is a file");
    remove_folder();
}

TEST(fault_024_links) {
    /* Real names win over links, each folder comes once, the first link by name gives a folder
     * outside its name. */
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
    image_source_t *s = image_source_open_or_die(in_folder("root"));
    /* "parent" leads above the root: everything below it but what was seen, which is nothing. */
    check_keys(s, 4, keys);
    CHECK(level_of(s, 0, &why) == 1 && level_of(s, 1, &why) == 3 && level_of(s, 2, &why) == 2);
    CHECK(image_source_counts(s)->links_dangling == 0);
    image_source_close(s);
    remove_folder();
}

static int warnings_in_child(void *path) {
    image_source_t *s = image_source_open_or_die(path);
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
    CHECK(strstr(c.err, "dangling link 'b.png'") && strstr(c.err, "dangling link 'loop'") &&
              child_lines(c.err) == 2,
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
    CHECK(strstr(c.err, "'b.png': Permission denied") &&
              strstr(c.err, "'closed': Permission denied"),
          "%s", c.err);
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
    image_source_t *s = image_source_open_or_die(folder);
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
    image_source_t *s = image_source_open_or_die(folder);
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
    image_source_t *s = image_source_open_or_die(folder);
    check_keys(s, 2, keys);
    CHECK(level_of(s, 0, &why) == 1 && level_of(s, 1, &why) == 2);
    image_source_close(s);
    remove_folder();
}

TEST(fault_031_names) {
    static char longest[256];
    memset(longest, 'x', 255);
    const char *const keys[] = {"\xFF\xFE.png", "%s%n%d",    "-rf",  "a\nb.png",
                                "q\"uote'",     "tab\there", "\x01", longest};
    reason_t why;
    open_folder();
    for (size_t i = 0; i < 8; i++) put_png(keys[i], (uint8_t)i);
    image_source_t *s = image_source_open_or_die(folder);
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
    image_source_t *s = image_source_open_or_die(folder);
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
    image_source_t *s = image_source_open_or_die(folder);
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
        snprintf(name, sizeof name, "set/%03d/image_%08d.png", i / PER_FOLDER, i);
        if (link(in_folder(i % 2 ? "a.png" : "b.png"), in_folder(name))) abort();
    }
}

static int many_in_child(void *path) {
    rss_reset();
    long before = rss_peak_mb();
    image_source_t *s = image_source_open_or_die(path);
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
    image_source_t *s = image_source_open_or_die(path);
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
