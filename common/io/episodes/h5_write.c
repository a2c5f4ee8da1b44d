/* h5_write.c - the file, its root group and commits; groups. See h5_write.h.
 *
 * The root group's header is written anew by every commit. It holds the newest links, up to
 * ROOT_BYTES of them; when they are more, they move into a continuation block, which is never
 * changed again and refers to the block before it. So a commit writes a few kilobytes however many
 * links there are.
 */
#include "common/io/episodes/h5_bytes.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROOT_BYTES = 4096, SUPERBLOCK = 48, SUPERBLOCK_VERSION = 2 };
static const uint8_t signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

/* ---- superblock and root ---- */

static int fail(h5w_t *f, const char *what, reason_t *why) {
    return reason_set(why, "cannot %s '%s': %s", what, f->path, cause_of(f->error));
}

static void put_superblock(h5w_t *f, uint64_t end, uint64_t root) {
    h5w_bytes_t b = {0};
    h5b_put(&b, signature, sizeof signature);
    h5b_int(&b, SUPERBLOCK_VERSION, 1);
    h5b_int(&b, 8, 1); /* bytes of an address */
    h5b_int(&b, 8, 1); /* and of a length */
    h5b_int(&b, 0, 1);
    h5b_int(&b, 0, 8);           /* where the file begins */
    h5b_int(&b, H5B_NOWHERE, 8); /* no extension */
    h5b_int(&b, end, 8);
    h5b_int(&b, root, 8);
    h5b_seal(&b);
    if (pwrite(f->fd, b.v, b.n, 0) != (ssize_t)b.n) f->error = errno ? errno : EIO;
    free(b.v);
}

static void put_continuation(h5w_bytes_t *b, uint64_t at, uint64_t bytes) {
    if (!at) return;
    size_t m = h5b_message(b, H5B_CONTINUATION, 0);
    h5b_int(b, at, 8);
    h5b_int(b, bytes, 8);
    h5b_message_end(b, m);
}

static void move_links(h5w_t *f) {
    h5w_bytes_t block = {0};
    h5b_put(&block, "OCHK", 4);
    put_continuation(&block, f->older, f->older_bytes);
    h5b_put(&block, f->links.v, f->links.n);
    h5b_seal(&block);
    f->older = h5b_append(f, block.v, block.n);
    f->older_bytes = block.n;
    f->links.n = 0;
    free(block.v);
}

static uint64_t put_root(h5w_t *f) {
    h5w_bytes_t messages = {0};
    h5b_group(&messages, f->n_links);
    put_continuation(&messages, f->older, f->older_bytes);
    h5b_put(&messages, f->links.v, f->links.n);
    uint64_t at = h5b_header(f, &messages);
    free(messages.v);
    return at;
}

void h5w_root_add(h5w_t *f, const char *name, uint64_t address) {
    h5b_link(&f->links, name, address, f->n_links++);
}

int h5w_prepare(h5w_t *f, reason_t *why) {
    if (f->links.n > ROOT_BYTES) move_links(f);
    f->root = put_root(f);
    if (!f->error && fdatasync(f->fd)) f->error = errno;
    return f->error ? fail(f, "write", why) : 0;
}

int h5w_publish(h5w_t *f, reason_t *why) {
    put_superblock(f, f->end, f->root);
    if (f->error) return fail(f, "write", why);
    f->committed = f->end;
    f->committed_links = f->links.n;
    f->n_committed = f->n_links;
    return 0;
}

int h5w_settle(h5w_t *f, reason_t *why) {
    if (fdatasync(f->fd)) f->error = errno;
    return f->error ? fail(f, "write", why) : 0;
}

int h5w_commit(h5w_t *f, reason_t *why) {
    return h5w_prepare(f, why) || h5w_publish(f, why) || h5w_settle(f, why) ? -1 : 0;
}

void h5w_drop(h5w_t *f) {
    f->end = f->committed;
    f->links.n = f->committed_links;
    f->n_links = f->n_committed;
}

/* ---- opening and closing ---- */

static int open_file(h5w_t *f, const char *path, int flags, reason_t *why) {
    *f = (h5w_t){.path = xstrdup(path)};
    f->fd = open(path, O_RDWR | O_CLOEXEC | flags, 0666);
    if (f->fd >= 0) return 0;
    f->error = errno;
    fail(f, flags & O_CREAT ? "create" : "open", why);
    h5w_close(f);
    return -1;
}

int h5w_create(h5w_t *f, const char *path, reason_t *why) {
    if (open_file(f, path, O_CREAT | O_TRUNC, why)) return -1;
    f->end = SUPERBLOCK;
    if (!h5w_commit(f, why)) return 0;
    h5w_close(f);
    return -1;
}

void h5w_close(h5w_t *f) {
    if (f->fd >= 0) {
        struct stat s;
        if (f->committed && fstat(f->fd, &s) == 0 && (uint64_t)s.st_size > f->committed &&
            ftruncate(f->fd, (off_t)f->committed))
            warn("cannot cut '%s': %s", f->path, cause_of(errno));
        close(f->fd);
    }
    free(f->path);
    free(f->links.v);
    *f = (h5w_t){.fd = -1};
}

/* `n` bytes at `at`, malloc'ed; NULL when they are not all in the file. */
static uint8_t *read_at(const h5w_t *f, uint64_t at, uint64_t n) {
    if (at > f->end || n > f->end - at) return NULL;
    uint8_t *v = xmalloc(n);
    for (uint64_t done = 0; done < n;) {
        ssize_t k = pread(f->fd, v + done, n - done, (off_t)(at + done));
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) {
            free(v);
            return NULL;
        }
        done += (uint64_t)k;
    }
    return v;
}

static bool sealed(const uint8_t *v, size_t n) {
    return n >= H5B_CHECKSUM &&
           h5b_checksum(v, n - H5B_CHECKSUM) == h5b_get(v + n - H5B_CHECKSUM, H5B_CHECKSUM);
}

/* The whole object header at `at`, its checksum looked at; *n its bytes. NULL: there is none as
 * h5b_header writes it. */
static uint8_t *read_header(const h5w_t *f, uint64_t at, size_t *n) {
    uint8_t *head = read_at(f, at, H5B_HEADER);
    bool good = head && !memcmp(head, "OHDR\2\2", 6);
    *n = good ? H5B_HEADER + h5b_get(head + 6, 4) + H5B_CHECKSUM : 0;
    free(head);
    uint8_t *v = good ? read_at(f, at, *n) : NULL;
    if (v && sealed(v, *n)) return v;
    free(v);
    return NULL;
}

/* A message at p, of at most `room` bytes with its head: its size without it, or -1. */
static int64_t message_size(const uint8_t *p, size_t room) {
    if (room < H5B_MESSAGE) return -1;
    uint64_t size = h5b_get(p + 1, 2);
    return size + H5B_MESSAGE <= room ? (int64_t)size : -1;
}

enum { LINK_NUMBER = 2, LINK_LENGTH = 11, LINK_NAME = 13, LINK_ADDRESS = 8 };

static int visit_link(h5w_t *f, const uint8_t *p, size_t size, h5w_visit_t visit, void *ctx) {
    if (size < LINK_NAME + LINK_ADDRESS) return -1;
    size_t length = h5b_get(p + LINK_LENGTH, 2);
    if (size != LINK_NAME + length + LINK_ADDRESS) return -1;
    char *name = xasprintf("%.*s", (int)length, (const char *)p + LINK_NAME);
    visit(ctx, name, h5b_get(p + LINK_NAME + length, 8));
    free(name);
    f->n_links++;
    return 0;
}

/* The links among n bytes of messages; those of the header itself are kept as the newest ones. The
 * block that a continuation names: *next, *next_bytes. */
static int read_links(h5w_t *f, const uint8_t *p, size_t n, bool newest, uint64_t *next,
                      uint64_t *next_bytes, h5w_visit_t visit, void *ctx) {
    *next = *next_bytes = 0;
    while (n) {
        int64_t size = message_size(p, n);
        if (size < 0) return -1;
        const uint8_t *data = p + H5B_MESSAGE;
        if (p[0] == H5B_CONTINUATION && size == 16) {
            *next = h5b_get(data, 8);
            *next_bytes = h5b_get(data + 8, 8);
        } else if (p[0] == H5B_LINK) {
            if (visit_link(f, data, (size_t)size, visit, ctx)) return -1;
            if (newest) h5b_put(&f->links, p, (size_t)size + H5B_MESSAGE);
        } else if (p[0] != H5B_LINK_INFO && p[0] != H5B_GROUP_INFO) {
            return -1;
        }
        p += size + H5B_MESSAGE;
        n -= (size_t)size + H5B_MESSAGE;
    }
    return 0;
}

static int read_root(h5w_t *f, uint64_t root, h5w_visit_t visit, void *ctx) {
    size_t n;
    uint64_t next = 0, bytes = 0;
    uint8_t *v = read_header(f, root, &n);
    int rc = !v ? -1
                : read_links(f, v + H5B_HEADER, n - H5B_HEADER - H5B_CHECKSUM, true, &next, &bytes,
                             visit, ctx);
    free(v);
    f->older = next;
    f->older_bytes = bytes;
    /* Blocks refer to earlier ones, so this ends. */
    for (uint64_t above = root; rc == 0 && next;) {
        uint64_t at = next;
        v = at < above && bytes > H5B_BLOCK + H5B_CHECKSUM ? read_at(f, at, bytes) : NULL;
        if (!v || memcmp(v, "OCHK", 4) || !sealed(v, bytes))
            rc = -1;
        else
            rc = read_links(f, v + H5B_BLOCK, bytes - H5B_BLOCK - H5B_CHECKSUM, false, &next,
                            &bytes, visit, ctx);
        above = at;
        free(v);
    }
    return rc;
}

int h5w_open(h5w_t *f, const char *path, h5w_visit_t visit, void *ctx, reason_t *why) {
    struct stat s;
    if (open_file(f, path, 0, why)) return -1;
    f->end = SUPERBLOCK;
    uint8_t *b = read_at(f, 0, SUPERBLOCK);
    bool good = b && !memcmp(b, signature, sizeof signature) && b[8] == SUPERBLOCK_VERSION &&
                sealed(b, SUPERBLOCK) && fstat(f->fd, &s) == 0;
    if (good) {
        f->end = h5b_get(b + 28, 8);
        good = (uint64_t)s.st_size >= f->end && !read_root(f, h5b_get(b + 36, 8), visit, ctx);
    }
    free(b);
    if (!good) {
        reason_set(why, "'%s' is damaged, or another program has written it", path);
        h5w_close(f);
        return -1;
    }
    f->committed = f->end;
    f->committed_links = f->links.n;
    f->n_committed = f->n_links;
    return 0;
}

/* ---- groups ---- */

void h5w_link(h5w_node_t *group, const char *name, uint64_t address) {
    h5b_link(&group->links, name, address, group->n_links++);
}

/* A scalar attribute of 8 bytes. */
static void put_attribute(h5w_node_t *group, const char *name, h5w_type_t type, const void *value) {
    enum { VERSION = 3, SCALAR_BYTES = 4, DATASPACE_VERSION = 2 };
    h5w_bytes_t *b = &group->attributes, datatype = {0};
    h5b_datatype(&datatype, type);
    size_t m = h5b_message(b, H5B_ATTRIBUTE, 0);
    h5b_int(b, VERSION, 1);
    h5b_int(b, 0, 1);
    h5b_int(b, strlen(name) + 1, 2);
    h5b_int(b, datatype.n, 2);
    h5b_int(b, SCALAR_BYTES, 2);
    h5b_int(b, 0, 1); /* ASCII */
    h5b_put(b, name, strlen(name) + 1);
    h5b_put(b, datatype.v, datatype.n);
    h5b_int(b, DATASPACE_VERSION, SCALAR_BYTES);
    h5b_put(b, value, 8);
    h5b_message_end(b, m);
    free(datatype.v);
}

void h5w_attribute(h5w_node_t *group, const char *name, int64_t value) {
    put_attribute(group, name, H5W_I64, &value);
}

void h5w_attribute_double(h5w_node_t *group, const char *name, double value) {
    put_attribute(group, name, H5W_F64, &value);
}

uint64_t h5w_node_end(h5w_t *f, h5w_node_t *group) {
    h5w_bytes_t messages = {0};
    h5b_group(&messages, group->n_links);
    h5b_put(&messages, group->attributes.v, group->attributes.n);
    h5b_put(&messages, group->links.v, group->links.n);
    uint64_t at = h5b_header(f, &messages);
    free(messages.v);
    h5w_node_release(group);
    return at;
}

void h5w_node_release(h5w_node_t *group) {
    free(group->attributes.v);
    free(group->links.v);
    *group = (h5w_node_t){0};
}

bool h5w_read_attribute(const h5w_t *f, uint64_t group, const char *name, void *eight_bytes) {
    enum { NAME_LENGTH = 2, NAME = 9 };
    size_t n, length = strlen(name) + 1;
    uint8_t *v = read_header(f, group, &n);
    bool found = false;
    size_t at = H5B_HEADER;
    while (v && !found && at < n - H5B_CHECKSUM) {
        int64_t size = message_size(v + at, n - H5B_CHECKSUM - at);
        if (size < 0) break;
        const uint8_t *p = v + at + H5B_MESSAGE;
        found = v[at] == H5B_ATTRIBUTE && (size_t)size >= NAME + length + 8 &&
                h5b_get(p + NAME_LENGTH, 2) == length && !memcmp(p + NAME, name, length);
        if (found) memcpy(eight_bytes, p + size - 8, 8);
        at += (size_t)size + H5B_MESSAGE;
    }
    free(v);
    return found;
}
