/* test_events.c - the TensorBoard event file: CRC-32C against its published check values, what
 * comes of a folder at a start. tests/interop/read_events.py reads its bytes with a parser of its
 * own (tests/cli/vqvae_watch.sh).
 */
#include "common/io/fs.h"
#include "common/train/events.h"
#include "tests/folder.h"
#include "tests/test.h"

#include <dirent.h>

TEST(crc32c_check_values) {
    CHECK(events_crc32c("123456789", 9) == 0xe3069283u, "the check value of the catalogue");
    CHECK(events_crc32c("", 0) == 0, "nothing");
    uint8_t b[48]; /* RFC 3720, B.4 */
    memset(b, 0, 32);
    CHECK(events_crc32c(b, 32) == 0x8a9136aau, "32 zeroes");
    memset(b, 0xff, 32);
    CHECK(events_crc32c(b, 32) == 0x62a8ab43u, "32 ones");
    for (int i = 0; i < 32; i++) b[i] = (uint8_t)i;
    CHECK(events_crc32c(b, 32) == 0x46dd794eu, "32 rising");
    for (int i = 0; i < 32; i++) b[i] = (uint8_t)(31 - i);
    CHECK(events_crc32c(b, 32) == 0x113fdb5cu, "32 falling");
    static const uint8_t read10[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
                                       0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
                                       0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0};
    CHECK(events_crc32c(read10, 48) == 0xd9963a56u, "an iSCSI read command");
}

/* The number of event files in the folder; the last one's bytes. */
static size_t event_files(uint8_t **bytes, size_t *size) {
    size_t n = 0;
    reason_t why;
    DIR *d = opendir(folder);
    for (struct dirent *f; d && (f = readdir(d));) {
        if (strncmp(f->d_name, "events.out.tfevents.", 20)) continue;
        if (n++) free(*bytes);
        char *path = fs_join(folder, f->d_name);
        if (fs_read(path, 0, bytes, size, &why)) *size = 0;
        free(path);
    }
    if (d) closedir(d);
    return n;
}

static size_t occurrences(const uint8_t *p, size_t n, const char *word) {
    size_t k = 0, len = strlen(word);
    for (size_t i = 0; i + len <= n; i++) k += !memcmp(p + i, word, len);
    return k;
}

TEST(one_file_a_start_made_of_the_metrics) {
    folder_open();
    static const char metrics[] =
        "{\"step\":2,\"wall\":1,\"loss\":0.5,\"images_per_s\":7}\n"
        "{\"step\":4,\"wall\":2,\"loss\":null,\"psnr\":9}\n{\"step\":6,\"wall\":3,\"lo";
    reason_t why;
    uint8_t *p = NULL;
    size_t n = 0;
    CHECK(!fs_write(in_folder("metrics.jsonl"), metrics, sizeof metrics - 1, &why), "%s", why.text);
    CHECK(!fs_write(in_folder("events.out.tfevents.17.elsewhere.3.0"), "old", 3, &why), "%s",
          why.text);
    CHECK(!fs_write(in_folder("events.txt"), "mine", 4, &why), "%s", why.text);
    events_t *e = events_open(folder);
    REQUIRE(e, "no file");
    events_line(e, "{\"step\":8,\"wall\":0.1,\"loss\":0.25}", 1e9);
    events_line(e, "no line", 1e9);
    events_close(e);
    CHECK(event_files(&p, &n) == 1, "the former file is gone");
    CHECK(occurrences(p, n, "losses/loss") == 2, "%zu", occurrences(p, n, "losses/loss"));
    CHECK(occurrences(p, n, "charts/psnr") == 1 && occurrences(p, n, "charts/SPS") == 1, "charts");
    CHECK(occurrences(p, n, "charts/wall") == 0 && occurrences(p, n, "charts/step") == 0,
          "no curve of the clock");
    CHECK(occurrences(p, n, "brain.Event:2") == 1 && !memcmp(p + 12 + 9,
                                                             "\x1a\x0d"
                                                             "brain",
                                                             7),
          "version first");
    free(p);
    events_remove(folder, NULL);
    p = NULL;
    CHECK(event_files(&p, &n) == 0 && fs_exists(in_folder("events.txt")),
          "only event files are removed");
    events_close(NULL);
    folder_remove();
}

TEST(no_folder_is_a_warning) {
    CHECK(!events_open("/proc/none/run"), "a file where there cannot be one");
}
