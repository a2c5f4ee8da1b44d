/* fuzz_archive.c - any bytes as a WebDataset tar, read as a stream from memory and indexed as a
 * file: no crash, no leak, an end, and keys that all differ. The harness corrects the checksums of
 * headers; otherwise no mutation gets past the first one.
 */
#include "common/io/source/archive.h"
#include "tests/tar.h"

#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void walk(archive_stream_t *a, const blob_t *file) {
    archive_sample_t s;
    uint64_t before = 0;
    for (size_t n = 0; archive_next(a, &s); n++) {
        const archive_part_t *part[] = {&s.image, &s.text, &s.json, &s.label};
        if (n > 70000 || !s.key || (s.status != IMAGE_OK && !s.why.text[0])) abort();
        uint64_t hash = XXH64(s.key, strlen(s.key), 0);
        if (n && hash == before) abort();
        before = hash;
        for (int i = 0; i < 4; i++) {
            if (part[i]->bytes && part[i]->bytes[part[i]->size]) abort();
            if (file && s.status == IMAGE_OK && part[i]->is &&
                part[i]->at + part[i]->size > file->n)
                abort();
        }
        if (!file && s.status == IMAGE_OK) {
            words_t w;
            reason_t no;
            if (words_of(&w, &s.text, &s.json, &s.label, &no) && (w.caption || w.label)) abort();
            words_release(&w);
        }
        archive_sample_release(&s);
    }
    archive_close(a);
}

static void as_file(const blob_t *b) {
    static int fd = -1;
    static char path[40];
    int rc;
    if (fd < 0) fd = memfd_create("shard", 0);
    if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, b->p, b->n, 0) != (ssize_t)b->n) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    archive_stream_t *a = archive_open((char *[]){path}, 1, true, &rc, NULL);
    if (a) walk(a, b);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    int rc;
    blob_t b = blob_copy(bytes, size);
    for (int right = 0; right < 2; right++) {
        archive_stream_t *a = archive_open_bytes(b.p, b.n, &rc, NULL);
        if (a) walk(a, NULL);
        as_file(&b);
        for (size_t at = 0; at + TAR_BLOCK <= b.n; at += TAR_BLOCK)
            if (!memcmp(b.p + at + 257, "ustar", 5)) tar_checksum(b.p + at);
    }
    free(b.p);
    return 0;
}
