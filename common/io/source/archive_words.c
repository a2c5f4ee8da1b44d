/* archive_words.c - what needs no libarchive of archive.h: which words name shards, and the words
 * inside samples.
 */
#include "common/io/source/archive.h"
#include "common/io/source/braces.h"
#include "common/io/text/json.h"
#include "common/io/text/json_caption.h"
#include "common/io/utf8.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static bool ends(const char *word, const char *end) {
    size_t n = strlen(word), m = strlen(end);
    return n > m && !strcasecmp(word + n - m, end);
}

bool archive_named(const char *word) {
    static const char *const packed[] = {".gz", ".bz2", ".xz", ".zst", ".lz4"};
    if (ends(word, ".tar") || ends(word, ".tgz")) return true;
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++) {
        char end[16] = ".tar";
        if (ends(word, strcat(end, packed[i]))) return true;
    }
    return false;
}

/* "ustar" stands at the same place in every kind of tar but the oldest. */
static bool looks_tar(const char *path) {
    enum { USTAR_AT = 257 };
    char head[512];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    bool tar =
        pread(fd, head, sizeof head, 0) == sizeof head && !memcmp(head + USTAR_AT, "ustar", 5);
    close(fd);
    return tar;
}

bool archive_is(const char *word) {
    struct stat st;
    if (!strcmp(word, "-")) return true;
    if (stat(word, &st) == 0)
        return S_ISREG(st.st_mode) && (archive_named(word) || looks_tar(word));
    return braces_in(word) && archive_named(word);
}

int archive_shards(const char *word, char ***path, size_t *n, reason_t *why) {
    struct stat st;
    if (strcmp(word, "-") && stat(word, &st) != 0) return braces_expand(word, path, n, why);
    *path = xcalloc(1, sizeof **path);
    **path = xstrdup(word);
    *n = 1;
    return 0;
}

bool archive_is_stream(const char *path) {
    static const char *const magic[] = {"\x1F\x8B", "BZh",
                                        "\xFD"
                                        "7zXZ",
                                        "\x28\xB5\x2F\xFD", "\x04\x22\x4D\x18"};
    char head[6] = {0};
    struct stat st;
    if (!strcmp(path, "-")) return true;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) return true;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool packed = false;
    if (pread(fd, head, sizeof head, 0) > 0)
        for (size_t i = 0; i < sizeof magic / sizeof *magic; i++)
            if (!memcmp(head, magic[i], strlen(magic[i]))) packed = true;
    close(fd);
    return packed;
}

static void part_release(archive_part_t *p) {
    free(p->bytes);
    *p = (archive_part_t){0};
}

void archive_sample_release(archive_sample_t *s) {
    free(s->key);
    part_release(&s->image);
    part_release(&s->text);
    part_release(&s->json);
    part_release(&s->label);
    *s = (archive_sample_t){0};
}

static char *copy(const void *p, size_t n, size_t *size) {
    char *own = xmalloc(n + 1);
    memcpy(own, p, n);
    own[n] = 0;
    *size = n;
    return own;
}

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int caption_of_text(words_t *w, const archive_part_t *text, reason_t *why) {
    const uint8_t *p = text->bytes;
    size_t n = text->size;
    if (n >= 3 && !memcmp(p, "\xEF\xBB\xBF", 3)) p += 3, n -= 3;
    if (n && p[n - 1] == '\n') n--;
    if (n && p[n - 1] == '\r') n--;
    if (memchr(p, 0, n) || utf8_check(p, n) != n)
        return reason_set(why, "its txt member is no UTF-8 text: convert it (iconv)");
    w->caption = copy(p, n, &w->caption_size);
    return 0;
}

static int caption_of_json(words_t *w, const archive_part_t *json, reason_t *why) {
    reason_t cause = {""};
    cJSON *o = json_parse_data((const char *)json->bytes, json->size, &cause);
    if (!o) return reason_set(why, "its json member: %.300s", cause.text);
    const char *c = json_caption_text(json_caption(o, NULL), 0);
    if (c) w->caption = copy(c, strlen(c), &w->caption_size);
    cJSON_Delete(o);
    return 0;
}

int words_of(words_t *out, const archive_part_t *text, const archive_part_t *json,
             const archive_part_t *label, reason_t *why) {
    words_t w = {0};
    *out = w;
    int rc = 0;
    if (text->bytes)
        rc = caption_of_text(&w, text, why);
    else if (json->bytes)
        rc = caption_of_json(&w, json, why);
    if (rc) return -1;
    if (label->bytes) {
        const uint8_t *p = label->bytes;
        size_t n = label->size;
        while (n && is_space(p[n - 1])) n--;
        while (n && is_space(*p)) {
            p++;
            n--;
        }
        if (n) w.label = copy(p, n, &w.label_size);
    }
    *out = w;
    return 0;
}

void words_release(words_t *w) {
    free(w->caption);
    free(w->label);
    *w = (words_t){0};
}
