/* image_found.c - see image_found.h. */
#include "common/io/source/image_found.h"

#include "common/base/die.h"
#include "common/base/log.h"
#include "common/io/image/image_codec.h"
#include "common/io/source/archive.h"
#include "common/io/utf8.h"

#include <ctype.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- counting ---- */

static bool is_count_of(const format_count_t *f, const char *name, bool read) {
    return f->read == read && !strcmp(f->name, name);
}

static void count(source_counts_t *c, const char *name, bool read) {
    size_t i = 0;
    while (i < c->n_formats && !is_count_of(&c->format[i], name, read)) i++;
    if (i == FORMATS_MAX) return; /* there are fewer formats than that */
    if (i == c->n_formats) c->format[c->n_formats++] = (format_count_t){.name = name, .read = read};
    c->format[i].n++;
}

void found_item(source_counts_t *c, const uint8_t *bytes, size_t size) {
    const char *name;
    image_format_t format = image_sniff(bytes, size, &name);
    count(c, format == FORMAT_NONE ? "of no known format" : name, true);
}

void found_unread(source_counts_t *c, const char *format) {
    count(c, format, false);
}

/* ---- telling ---- */

/* A list that is built up in a buffer; what does not fit is cut. */
typedef struct {
    char *buf;
    size_t size, n;
} list_t;

static void __attribute__((format(printf, 2, 3))) put(list_t *l, const char *fmt, ...) {
    va_list args;
    if (l->n + 1 >= l->size) return;
    va_start(args, fmt);
    int n = vsnprintf(l->buf + l->n, l->size - l->n, fmt, args);
    va_end(args);
    if (n > 0) l->n += (size_t)n;
    if (l->n >= l->size) l->n = l->size - 1;
}

static void put_count(list_t *l, size_t n, const char *one, const char *many) {
    if (n) put(l, "%s%zu %s", l->n ? ", " : "", n, n == 1 ? one : many);
}

static list_t list_of(char *buf, size_t size) {
    buf[0] = 0;
    return (list_t){buf, size, 0};
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const format_count_t *)a)->name, ((const format_count_t *)b)->name);
}

void found_formats(const source_counts_t *c, bool read, char *buf, size_t size) {
    format_count_t sorted[FORMATS_MAX];
    list_t l = list_of(buf, size);
    memcpy(sorted, c->format, sizeof sorted); /* the order of a scan is the file system's */
    qsort(sorted, c->n_formats, sizeof *sorted, by_name);
    for (size_t i = 0; i < c->n_formats; i++)
        if (sorted[i].read == read) put_count(&l, sorted[i].n, sorted[i].name, sorted[i].name);
}

void found_left_out(const source_counts_t *c, char *buf, size_t size) {
    char formats[400];
    list_t l = list_of(buf, size);
    found_formats(c, false, formats, sizeof formats);
    if (*formats) put(&l, "%s (unsupported formats)", formats);
    put_count(&l, c->tars, "tar", "tars");
    put_count(&l, c->other_files, "other file", "other files");
    put_count(&l, c->hidden, "hidden file or folder", "hidden files and folders");
    put_count(&l, c->links_dangling, "dangling link", "dangling links");
    put_count(&l, c->unreadable, "unreadable file or folder", "unreadable files and folders");
    put_count(&l, c->imageless, "sample without one image", "samples without one image");
    put_count(&l, c->damaged, "damaged sample", "damaged samples");
    put_count(&l, c->no_episodes, "episode that cannot be read", "episodes that cannot be read");
}

void found_tell(const char *source, const source_counts_t *c) {
    char shown[300], held[400], left[800];
    list_t l = list_of(held, sizeof held);
    utf8_printable(shown, sizeof shown, source);
    if (c->episodes)
        put(&l, "frames of %zu episode%s", c->episodes, c->episodes == 1 ? "" : "s");
    else
        found_formats(c, true, held, sizeof held);
    found_left_out(c, left, sizeof left);
    log_line("'%s': %zu image%s%s%s%s%s%s", shown, c->images, c->images == 1 ? "" : "s",
             *held ? " (" : "", held, *held ? ")" : "", *left ? "; left out: " : "", left);
}

/* ---- tars in a folder ---- */

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names that differ in a number of one width alone, each one more than the last:
 * "a-{000..009}.tar". NULL when they are others. */
static char *range_of(char *const *name, size_t n) {
    const char *first = name[0], *last = name[n - 1];
    size_t length = strlen(first), from = 0, to = length;
    if (strlen(last) != length) return NULL;
    while (from < length && first[from] == last[from]) from++;
    while (to > from && first[to - 1] == last[to - 1]) to--;
    while (from > 0 && isdigit((unsigned char)first[from - 1])) from--;
    while (to < length && isdigit((unsigned char)first[to])) to++;
    if (to - from > 18 || to == from) return NULL;
    int width = (int)(to - from);
    unsigned long long start = strtoull(first + from, NULL, 10);
    for (size_t i = 0; i < n; i++) {
        char *want = xasprintf("%.*s%0*llu%s", (int)from, first, width, start + i, first + to);
        bool same = !strcmp(want, name[i]);
        free(want);
        if (!same) return NULL;
    }
    return xasprintf("%.*s{%.*s..%.*s}%s", (int)from, first, width, first + from, width,
                     last + from, first + to);
}

/* ".tar", ".tar.gz", ".tgz" of a name that archive_named knows. */
static const char *ending_of(const char *name) {
    const char *tar = NULL;
    for (const char *at = name; (at = strcasestr(at, ".tar")) != NULL; at++) tar = at;
    return tar ? tar : strrchr(name, '.');
}

static char *list_names(char *const *name, size_t n) {
    char text[400];
    list_t l = list_of(text, sizeof text);
    const char *dot = ending_of(name[0]);
    bool same = true; /* one ending for all stands behind the braces, as programs want to see it */
    for (size_t i = 0; i < n; i++) same = same && !strcmp(ending_of(name[i]), dot);
    put(&l, "{");
    for (size_t i = 0; i < n; i++) {
        int length = same ? (int)(strlen(name[i]) - strlen(dot)) : (int)strlen(name[i]);
        put(&l, "%s%.*s", i ? "," : "", length, name[i]);
    }
    put(&l, "}%s", same ? dot : "");
    return xstrdup(same && l.n + 1 < sizeof text ? text : "{first,second}.tar");
}

char *found_tars(const char *dir) {
    char **name = NULL, *all = NULL;
    size_t n = 0, cap = 0;
    DIR *d = opendir(dir);
    if (!d) return NULL;
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        if (e->d_name[0] == '.' || !archive_named(e->d_name)) continue;
        name = xgrow(name, &cap, n + 1, sizeof *name);
        name[n++] = xstrdup(e->d_name);
    }
    closedir(d);
    if (n) {
        qsort(name, n, sizeof *name, by_text);
        char *names = n == 1 ? xstrdup(name[0]) : range_of(name, n);
        if (!names) names = list_names(name, n);
        size_t length = strlen(dir);
        all = xasprintf("%s%s%s", dir, length && dir[length - 1] == '/' ? "" : "/", names);
        free(names);
    }
    for (size_t i = 0; i < n; i++) free(name[i]);
    free(name);
    return all;
}
