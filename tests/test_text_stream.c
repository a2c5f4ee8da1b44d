/* test_text_stream.c - what `tokenize text` reads with: JSON in elements against lists written by
 * hand, packed files and pipes against the bytes that went in, captions, and what is no text.
 */
#include "common/io/text/byte_stream.h"
#include "common/io/text/json_stream.h"
#include "tests/folder.h"
#include "tests/rss.h"
#include "tests/test.h"
#include "tokenize/caption.h"
#include "tokenize/foreign_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* ---- JSON ---- */

typedef struct {
    const char *text;
    size_t size, at, chunk;
} memory_t;

static size_t more(void *ctx, const char **bytes) {
    memory_t *m = ctx;
    size_t n = m->size - m->at < m->chunk ? m->size - m->at : m->chunk;
    *bytes = m->text + m->at;
    m->at += n;
    return n;
}

static const struct {
    const char *text;
    bool members;
    const char *elements; /* joined by "|"; with members NAME=ELEMENT */
    const char *refused;  /* how the reason ends; NULL = the end is reached */
} cases[] = {
    {"[]", false, "", NULL},
    {"", false, "", NULL},
    {" [ 1 , \"a,]\\\"\" ,{\"x\":[1,{}]}\n] \n", false, "1|\"a,]\\\"\"|{\"x\":[1,{}]}", NULL},
    {"[NaN,-Infinity,null]", false, "NaN|-Infinity|null", NULL},
    {"{\"a\":1}\n{\"a\":\n2} 3", false, "{\"a\":1}|{\"a\":\n2}|3", NULL},
    {"[\"\\\\\",\"x\"]", false, "\"\\\\\"|\"x\"", NULL},
    {"[1,]", false, "1", "byte 3: a value is missing"},
    {"[1 2]", false, "1", "byte 3: ',' or ']' is missing"},
    {"[1,2", false, "1|2", "cut short"},
    {"[{\"a\":", false, "", "cut short"},
    {"[\"a", false, "", "cut short"},
    {"[1] x", false, "1", "something follows the array"},
    {"{\"a\":[1,2],\"s\":\"[\",\"o\":{\"x\":[9]},\"b\":[\"y\"],\"c\":[]}", true, "a=1|a=2|b=\"y\"",
     NULL},
    {"{}", true, "", NULL},
    {"[1]", true, "", "byte 0: no object"},
    {"{\"a\":[1]", true, "a=1", "cut short"},
    {"{\"a\" 1}", true, "", "':' is missing"},
    {"{\"a\":1,}", true, "", "a key in double quotes is missing"},
    {"{\"a\":[1]} {", true, "a=1", "something follows the object"},
};

TEST(elements_of_json) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t chunk = 1; chunk < 100; chunk += 7) {
            memory_t m = {cases[i].text, strlen(cases[i].text), 0, chunk};
            json_stream_t s = {.more = more, .ctx = &m, .members = cases[i].members};
            reason_t why = {""};
            char got[400] = "";
            int rc;
            while ((rc = json_stream_next(&s, &why)) > 0) {
                size_t at = strlen(got);
                snprintf(got + at, sizeof got - at, "%s%s%s%s", at ? "|" : "",
                         s.member ? s.member : "", s.member ? "=" : "", s.text);
            }
            CHECK_STR(got, cases[i].elements);
            CHECK((rc < 0) == (cases[i].refused != NULL), "case %zu: %s", i, why.text);
            CHECK(!cases[i].refused || strstr(why.text, cases[i].refused), "case %zu: '%s'", i,
                  why.text);
            json_stream_release(&s);
        }
    }
}

/* An endless array of elements of 1 KB, up to 200 MB. */
static size_t endless(void *ctx, const char **bytes) {
    static char element[1025];
    size_t *left = ctx;
    if (!*left) return 0;
    memset(element, 'x', sizeof element);
    memcpy(element, *left == 200000 ? "[\"" : ",\"", 2);
    element[1023] = '"';
    *left -= 1;
    *bytes = element;
    return 1024;
}

TEST(long_arrays_take_no_memory) {
    size_t left = 200000, n = 0;
    json_stream_t s = {.more = endless, .ctx = &left};
    rss_reset();
    long before = rss_peak_mb();
    while (json_stream_next(&s, NULL) > 0) n++;
    json_stream_release(&s);
    CHECK(n == 200000 && rss_peak_mb() <= before + 8, "%zu elements, %ld MB, %ld before", n,
          rss_peak_mb(), before);
}

/* ---- bytes ---- */

static void write_file(const char *path, const void *bytes, size_t n) {
    FILE *f = fopen(path, "w");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) abort();
}

/* Are the file's bytes these, twice? */
static bool gives(byte_stream_t *b, const uint8_t *want, size_t size) {
    reason_t why;
    for (int again = 0; again < 2; again++) {
        const uint8_t *p;
        size_t at = 0;
        ssize_t n;
        while ((n = byte_stream_more(b, &p, &why)) > 0) {
            if (at + (size_t)n > size || memcmp(p, want + at, (size_t)n)) return false;
            at += (size_t)n;
        }
        if (n < 0 || at != size || byte_stream_restart(b, &why)) return false;
    }
    return true;
}

static bool file_gives(const char *path, const uint8_t *want, size_t size) {
    int rc;
    reason_t why;
    byte_stream_t *b = byte_stream_open(path, &rc, &why);
    bool same = b && gives(b, want, size);
    byte_stream_close(b);
    return same;
}

enum { SIZE = 200001 };

static uint8_t *some_bytes(void) {
    uint8_t *bytes = malloc(SIZE);
    uint32_t x = 1;
    for (size_t i = 0; bytes && i < SIZE; i++)
        bytes[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
    return bytes;
}

TEST(plain_and_packed_bytes) {
    uint8_t *bytes = some_bytes();
    folder_open();
    REQUIRE(bytes);
    write_file(in_folder("plain"), bytes, SIZE);
    CHECK(file_gives(in_folder("plain"), bytes, SIZE));
    write_file(in_folder("empty"), bytes, 0);
    CHECK(file_gives(in_folder("empty"), bytes, 0));
    gzFile gz = gzopen(in_folder("packed"), "wb");
    REQUIRE(gz && gzwrite(gz, bytes, SIZE) == SIZE && gzclose(gz) == Z_OK);
    CHECK(file_gives(in_folder("packed"), bytes, SIZE));

    int fd = open(in_folder("packed"), O_RDWR), rc;
    const uint8_t *p;
    reason_t why = {""};
    struct stat st;
    REQUIRE(fd >= 0 && !fstat(fd, &st) && !ftruncate(fd, st.st_size - 9));
    byte_stream_t *b = byte_stream_open(in_folder("packed"), &rc, &why);
    REQUIRE(b);
    ssize_t n;
    do {
        n = byte_stream_more(b, &p, &why);
    } while (n > 0);
    CHECK(n < 0 && strstr(why.text, "gzip"), "a gzip file without its end");
    byte_stream_close(b);
    close(fd);
    CHECK(!byte_stream_open(in_folder("none"), &rc, &why) && rc == RC_USAGE);
    CHECK(!byte_stream_open(folder, &rc, &why) && rc == RC_USAGE && strstr(why.text, "a folder"));
    folder_remove();
    free(bytes);
}

TEST(pipes) {
    uint8_t *bytes = some_bytes();
    folder_open();
    REQUIRE(bytes && !mkfifo(in_folder("fifo"), 0600));
    pid_t pid = fork();
    if (pid == 0) {
        write_file(in_folder("fifo"), bytes, SIZE);
        _exit(0);
    }
    CHECK(file_gives(in_folder("fifo"), bytes, SIZE));
    folder_remove();
    free(bytes);
}

/* ---- captions ---- */

/* IMAGE: TEXT|PROMPT>TEXT|..., "-" without an image; "!" when refused. */
static void say(const char *json, const char *member, char out[300]) {
    caption_t c;
    reason_t why;
    if (caption_parse(json, strlen(json), member, &c, &why)) {
        snprintf(out, 300, "!%.200s", why.text);
        return;
    }
    snprintf(out, 300, "%s:", c.image ? c.image : "-");
    for (size_t i = 0; i < c.n; i++) {
        const caption_text_t *t = &c.text[i];
        size_t at = strlen(out);
        if (t->prompt_len)
            snprintf(out + at, 300 - at, " [%.*s>%s]", (int)t->prompt_len - 1, t->text,
                     t->text + t->prompt_len);
        else
            snprintf(out + at, 300 - at, " [%s]", t->text);
    }
    caption_release(&c);
}

TEST(captions_of_objects) {
    static const struct {
        const char *json, *member, *want;
    } said[] = {
        {"{\"image\":\"a\",\"caption\":\"x\"}", NULL, "a: [x]"},
        {"{\"file_name\":\"a\",\"text\":\"x\"}", NULL, "a: [x]"},
        {"{\"image\":null,\"filename\":\"a\",\"captions\":[\"x\",\"\",{\"caption\":\"y\"}]}", NULL,
         "a: [x] [y]"},
        {"{\"image\":[\"a\"],\"text\":\"x\"}", NULL, "a: [x]"},
        {"{\"images\":[],\"text\":\"x\"}", NULL, "-: [x]"},
        {"{\"images\":[\"a\",\"b\"],\"text\":\"x\"}", NULL, "!\"images\" names several images"},
        {"{\"image\":{\"bytes\":\"x\"},\"text\":\"x\"}", NULL, "!\"image\" is no path"},
        {"{\"image\":null,\"text\":\"x\",\"n\":NaN}", NULL, "-: [x]"},
        {"\"x\"", NULL, "-: [x]"},
        {"\"\"", NULL, "!no JSON object"},
        {"{\"text\":NaN}", NULL, "!neither"},
        {"{\"caption\":[]}", NULL, "!neither"},
        {"{\"caption\":[1,null]}", NULL, "!a list of captions without a word"},
        {"{\"prompt\":\"x\",\"text\":\"y\"}", "prompt", "-: [x]"},
        {"{\"text\":\"y\"}", "prompt", "!no text in \"prompt\""},
        {"{\"question\":\"q\",\"answer\":[\"n\",\"y\",\"y\"]}", NULL, "-: [q>y]"},
        {"{\"question\":\"q\",\"answers\":[{\"answer\":\"n\"},{\"answer\":\"y\"}]}", NULL,
         "-: [q>n]"},
        {"{\"question\":\"q\",\"answer\":null}", NULL, "!a question without an answer"},
        {"{\"image\":\"a\",\"conversations\":[{\"from\":\"human\",\"value\":\"<image>\\nq \"},"
         "{\"from\":\"gpt\",\"value\":\"y\"},{\"from\":\"human\",\"value\":\"r <image>\"},"
         "{\"from\":\"gpt\",\"value\":\" z\"}]}",
         NULL, "a: [q>y] [r>z]"},
        {"{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":["
         "{\"type\":\"image\"},{\"type\":\"text\",\"text\":\"q\"}]},{\"role\":\"assistant\","
         "\"content\":\"y\"}]}",
         NULL, "-: [q>y]"},
        {"{\"image\":\"a\",\"conversations\":[{\"from\":\"human\",\"value\":\"<image>\"},"
         "{\"from\":\"gpt\",\"value\":\"y\"}]}",
         NULL, "a: [y]"},
        {"{\"conversations\":[{\"from\":\"human\",\"value\":\"q\"}]}", NULL,
         "!a conversation without an answer"},
        {"{\"conversations\":[{\"from\":\"gpt\",\"value\":\"q\"}]}", NULL,
         "!a conversation without an answer"},
        {"{\"filepath\":\"d\",\"filename\":\"a\",\"sentences\":[{\"raw\":\"x\"}]}", NULL,
         "d/a: [x]"},
    };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        char out[300];
        say(said[i].json, said[i].member, out);
        size_t n = *said[i].want == '!' ? strlen(said[i].want) : 300;
        CHECK(!strncmp(out, said[i].want, n), "case %zu: '%s', wanted '%s'", i, out, said[i].want);
    }
}

/* ---- kinds ---- */

static const char *kind(const char *head, size_t n) {
    const foreign_file_t *k = foreign_file_detect((const uint8_t *)head, n);
    return k ? k->what : "text";
}

TEST(kinds_of_files) {
    CHECK_STR(kind("PAR1\x15\0\x15", 7), "a Parquet file");
    CHECK_STR(kind("PAR1 and text", 13), "text");
    CHECK_STR(kind("ORCs and GIF8", 13), "text");
    CHECK_STR(kind("ORC\xFF\xFE\xFD\xFC and more", 16), "an ORC file");
    CHECK_STR(kind("%PDF-1.4 words", 14), "a PDF document");
    CHECK_STR(kind("PAR", 3), "text");
    CHECK_STR(kind("version https://git-lfs.github.com/spec/v1\noid sha256:", 55),
              "a Git LFS pointer");
    CHECK_STR(kind("version https is a text", 23), "text");
    CHECK_STR(kind("<!DOCTYPE html>\n<html>", 22), "a web page");
    CHECK_STR(kind("<html lang=", 11), "a web page");
    CHECK_STR(kind("<?xml version=", 14), "XML");
    CHECK_STR(kind("<b>bold</b> words", 17), "text");
    CHECK_STR(kind("\xFF\xFE\0\0a\0\0\0", 8), "UTF-32 text");
    CHECK_STR(kind("\xFF\xFE"
                   "a\0",
                   4),
              "UTF-16 text");
    CHECK_STR(kind("h\0e\0l\0l\0o\0 \0y\0o\0u\0", 18), "UTF-16 text (little-endian)");
    CHECK_STR(kind("\0h\0e\0l\0l\0o\0 \0y\0o\0u", 18), "UTF-16 text (big-endian)");
    CHECK_STR(kind("h\0\0\0e\0\0\0l\0\0\0", 12), "UTF-32 text (little-endian)");
    CHECK_STR(kind("\0\0\0h\0\0\0e\0\0\0l", 12), "UTF-32 text (big-endian)");
    CHECK_STR(kind("hello you, a text with one \0 inside", 34), "text");
    CHECK_STR(kind("", 0), "text");
}
