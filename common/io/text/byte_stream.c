/* byte_stream.c - see byte_stream.h. gzip comes from zlib, zstd from libarchive. */
#include "common/io/text/byte_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#ifdef WITH_LIBARCHIVE
#include <archive.h>
#include <archive_entry.h>
#endif

enum { CHUNK = 1 << 16 };

typedef enum { PACKED_NOT, PACKED_GZIP, PACKED_ZSTD } packing_t;

struct byte_stream {
    int fd;
    packing_t packing;
    gzFile gz;
    struct archive *archive;
    uint8_t chunk[CHUNK];
};

/* ---- opening ---- */

static bool write_all(int to, const uint8_t *bytes, size_t n) {
    while (n) {
        ssize_t done = write(to, bytes, n);
        if (done <= 0) return false;
        bytes += done;
        n -= (size_t)done;
    }
    return true;
}

/* Copies all of `from` to a nameless file and returns its descriptor; -1 with a reason. */
static int copy_pipe(int from, const char *path, int *rc, reason_t *why) {
    const char *dir = getenv("TMPDIR");
    if (!dir || !*dir) dir = "/tmp";
    char *name = xasprintf("%s/tokenize-XXXXXX", dir);
    int to = mkostemp(name, O_CLOEXEC);
    if (to >= 0) unlink(name);
    free(name);
    *rc = RC_RUNTIME;
    if (to < 0) return reason_set(why, "cannot copy '%s' to '%s': %s", path, dir, strerror(errno));
    uint8_t *chunk = xmalloc(CHUNK);
    ssize_t n = 1; /* bytes of the chunk; 0 at the end, -1 on an error */
    bool written = true;
    while (written && n != 0) {
        n = read(from, chunk, CHUNK);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;
        written = write_all(to, chunk, (size_t)n);
    }
    int error = errno;
    free(chunk);
    if (written && n == 0) return to;
    close(to);
    if (!written)
        return reason_set(why, "cannot copy '%s' to '%s': %s (TMPDIR names another folder)", path,
                          dir, strerror(error));
    *rc = RC_DATA;
    return reason_set(why, "cannot read '%s': %s", path, strerror(error));
}

static packing_t packing_of(int fd) {
    uint8_t head[4] = {0};
    if (pread(fd, head, sizeof head, 0) < 3) return PACKED_NOT;
    if (!memcmp(head, "\x1F\x8B\x08", 3)) return PACKED_GZIP;
    return memcmp(head, "\x28\xB5\x2F\xFD", 4) ? PACKED_NOT : PACKED_ZSTD;
}

static int open_gzip(byte_stream_t *b, reason_t *why) {
    int fd = dup(b->fd);
    if (fd < 0) return reason_set(why, "%s", strerror(errno));
    b->gz = gzdopen(fd, "rb");
    if (b->gz) return 0;
    close(fd);
    return reason_set(why, "out of memory (for zlib)");
}

static int open_zstd(byte_stream_t *b, int *rc, reason_t *why) {
#ifdef WITH_LIBARCHIVE
    struct archive_entry *entry;
    *rc = RC_RUNTIME;
    if (b->archive) archive_read_free(b->archive);
    b->archive = archive_read_new();
    if (!b->archive) return reason_set(why, "out of memory (for libarchive)");
    /* A libarchive without zstd would start a program to unpack it, which is not wanted. */
    if (archive_read_support_filter_zstd(b->archive) != ARCHIVE_OK)
        return reason_set(why, "libarchive was built without zstd: unpack it first (zstd -d)");
    archive_read_support_format_raw(b->archive);
    *rc = RC_DATA;
    if (archive_read_open_fd(b->archive, b->fd, CHUNK) ||
        archive_read_next_header(b->archive, &entry))
        return reason_set(why, "a damaged zstd file: %s", archive_error_string(b->archive));
    return 0;
#else
    *rc = RC_RUNTIME;
    return reason_set(why, "a zstd file, and this program was built without libarchive: unpack it "
                           "first (zstd -d)");
#endif
}

/* To the first byte, opening the unpacker if need be. */
static int start(byte_stream_t *b, int *rc, reason_t *why) {
    *rc = RC_DATA;
    if (lseek(b->fd, 0, SEEK_SET) < 0) return reason_set(why, "%s", strerror(errno));
    if (b->packing == PACKED_ZSTD) return open_zstd(b, rc, why);
    if (b->packing == PACKED_NOT) return 0;
    if (!b->gz) return open_gzip(b, why);
    return gzrewind(b->gz) ? reason_set(why, "cannot be read again") : 0;
}

byte_stream_t *byte_stream_open(const char *path, int *rc, reason_t *why) {
    struct stat st;
    bool standard = !strcmp(path, "-");
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        *rc = RC_USAGE;
        reason_set(why, "cannot open '%s': %s", path, strerror(errno));
        return NULL;
    }
    if (S_ISDIR(st.st_mode)) {
        *rc = RC_USAGE;
        reason_set(why, "'%s' is a folder; a file of text is needed", path);
        close(fd);
        return NULL;
    }
    int own = fd;
    if (!S_ISREG(st.st_mode))
        own = copy_pipe(fd, path, rc, why);
    else if (standard)
        own = dup(fd);
    if (own != fd && !standard) close(fd);
    if (own < 0) return NULL;
    byte_stream_t *b = NEW(byte_stream_t);
    reason_t inner;
    b->fd = own;
    b->packing = packing_of(own);
    if (start(b, rc, &inner)) {
        reason_set(why, "'%s': %s", path, inner.text);
        byte_stream_close(b);
        return NULL;
    }
    return b;
}

int byte_stream_restart(byte_stream_t *b, reason_t *why) {
    int rc;
    return start(b, &rc, why);
}

void byte_stream_close(byte_stream_t *b) {
    if (!b) return;
    if (b->gz) gzclose(b->gz);
#ifdef WITH_LIBARCHIVE
    if (b->archive) archive_read_free(b->archive);
#endif
    close(b->fd);
    free(b);
}

/* ---- reading ---- */

/* At most n bytes: their number, 0 at the end, -1 with a reason. */
static ssize_t read_some(byte_stream_t *b, uint8_t *to, size_t n, reason_t *why) {
    int error;
    if (b->packing == PACKED_GZIP) {
        int got = gzread(b->gz, to, (unsigned)n);
        const char *said = gzerror(b->gz, &error);
        /* gzread does not fail on a file that is cut short: gzerror tells it at the end. */
        if (got < 0 || (got < (int)n && error != Z_OK && error != Z_STREAM_END))
            return reason_set(why, "a damaged or cut gzip file: %s", said);
        return got;
    }
#ifdef WITH_LIBARCHIVE
    if (b->packing == PACKED_ZSTD) {
        la_ssize_t got = archive_read_data(b->archive, to, n);
        if (got < 0)
            return reason_set(why, "a damaged or cut zstd file: %s",
                              archive_error_string(b->archive));
        return got;
    }
#endif
    ssize_t got = read(b->fd, to, n);
    return got < 0 ? reason_set(why, "%s", strerror(errno)) : got;
}

ssize_t byte_stream_more(byte_stream_t *b, const uint8_t **bytes, reason_t *why) {
    size_t n = 0;
    *bytes = b->chunk;
    while (n < CHUNK) {
        ssize_t got = read_some(b, b->chunk + n, CHUNK - n, why);
        if (got < 0) return -1;
        if (got == 0) break;
        n += (size_t)got;
    }
    return (ssize_t)n;
}
