/* image_source_case.h - the running test's folder of images, and what a source says of it. */
#ifndef TESTS_IMAGE_SOURCE_CASE_H
#define TESTS_IMAGE_SOURCE_CASE_H

#include "common/io/episodes/minari_write.h"
#include "common/io/source/image_source.h"
#include "tests/child.h"
#include "tests/image_bytes.h"
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

static inline void open_folder(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.60s/source_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder) || chmod(folder, 0755)) abort();
}

static inline void remove_folder(void) {
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
static inline void put_file(const char *name, const void *bytes, size_t n) {
    char path[2000];
    snprintf(path, sizeof path, "%s", in_folder(name));
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        if (mkdir(path, 0755) && errno != EEXIST) abort();
    }
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) abort();
}

/* An image of one color. */
static inline void put_png(const char *name, uint8_t level) {
    uint8_t rgb[3 * 6];
    memset(rgb, level, sizeof rgb);
    blob_t b = png_rgb(3, 2, rgb);
    put_file(name, b.p, b.n);
    free(b.p);
}

static inline void put_text(const char *name, const char *text) {
    put_file(name, text, strlen(text));
}

static inline void put_link(const char *to, const char *name) {
    if (symlink(to, in_folder(name))) abort();
}

/* The image's level, or -1 - status. */
static inline int level_of(const image_source_t *s, size_t i, reason_t *why) {
    image_t im;
    why->text[0] = 0;
    image_status_t status = image_source_read(s, i, &im, NULL, why);
    int level = status ? -1 + (int)status : im.w == 3 && im.h == 2 ? im.rgb[17] : -100;
    image_release(&im);
    return level;
}

static inline void check_keys(const image_source_t *s, size_t n, const char *const *keys) {
    CHECK(image_source_count(s) == n, "%zu items", image_source_count(s));
    for (size_t i = 0; i < n && i < image_source_count(s); i++)
        CHECK_STR(image_source_key(s, i), keys[i]);
}

static inline int open_in_child(void *path) {
    alarm(20);
    image_source_t *s = image_source_open_or_die(path);
    printf("%zu", image_source_count(s));
    image_source_close(s);
    return 0;
}

static inline void check_dies(const char *path, int code, const char *text) {
    child_t c;
    child_run(open_in_child, (void *)path, &c);
    CHECK(c.code == code, "code %d: %s", c.code, c.err);
    CHECK(strstr(c.err, text) && child_lines(c.err) == 1, "\"%s\" does not say \"%s\"", c.err,
          text);
}

static inline uint64_t manifest(void) {
    image_source_t *s = image_source_open_or_die(folder);
    uint64_t h = image_source_manifest(s);
    image_source_close(s);
    return h;
}

#endif
