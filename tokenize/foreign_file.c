/* foreign_file.c - see foreign_file.h. */
#include "tokenize/foreign_file.h"

#include "common/io/utf8.h"

#include <stdbool.h>
#include <string.h>

#define EXPORT                                                                                     \
    "export it as JSON lines first (pandas: to_json(F, orient='records', lines=True), which "      \
    "writes {\"image\": ..., \"caption\": ...})"
#define IMAGES "`tokenize images` reads images"
#define CONVERT "convert it first: iconv -t UTF-8 -f "
#define LINES "--format text takes its lines as text"
#define SHARDS "`tokenize images` reads WebDataset tars with their captions; else unpack it first"

typedef struct {
    size_t at;
    const char *magic;
    size_t n;
    foreign_file_t kind;
    bool written; /* in letters, and still not text that anybody would train on */
} row_t;
#define ROW(at, magic, what, advice)                                                               \
    { at, magic, sizeof magic - 1, {what, advice}, false }
#define WRITTEN(magic, what, advice)                                                               \
    { 0, magic, sizeof magic - 1, {what, advice}, true }

/* The first row that fits counts: UTF-32 stands before UTF-16, whose mark its own begins with. */
static const row_t rows[] = {
    ROW(0, "PAR1", "a Parquet file", EXPORT),
    ROW(0, "PARE", "an encrypted Parquet file", EXPORT),
    ROW(0, "ARROW1", "an Arrow (Feather) file", EXPORT),
    ROW(0, "\xFF\xFF\xFF\xFF", "an Arrow stream", EXPORT),
    ROW(0, "FEA1", "a Feather file", EXPORT),
    ROW(0, "ORC", "an ORC file", EXPORT),
    ROW(0, "Obj\x01", "an Avro file", EXPORT),
    ROW(0, "SQLite format 3", "an SQLite database", EXPORT),
    ROW(0, "\x89HDF\r\n", "an HDF5 file", "`tokenize episodes` reads datasets of episodes"),
    ROW(0, "\x93NUMPY", "a NumPy file", EXPORT),
    ROW(0, "\x80\x02", "a pickle", EXPORT),
    ROW(0, "\x80\x03", "a pickle", EXPORT),
    ROW(0, "\x80\x04", "a pickle", EXPORT),
    ROW(0, "\x80\x05", "a pickle", EXPORT),
    ROW(0, "\x89PNG", "a PNG image", IMAGES),
    ROW(0, "\xFF\xD8\xFF", "a JPEG image", IMAGES),
    ROW(0, "GIF8", "a GIF image", IMAGES),
    ROW(8, "WEBP", "a WebP image", IMAGES),
    WRITTEN("%PDF-", "a PDF document", "extract its text first: pdftotext F -"),
    WRITTEN("{\\rtf", "a rich text document", "save it as plain text first"),
    WRITTEN("version https://git-lfs", "a Git LFS pointer", "fetch the file first: git lfs pull"),
    WRITTEN("<!DOCTYPE html", "a web page", LINES),
    WRITTEN("<!doctype html", "a web page", LINES),
    WRITTEN("<html", "a web page", LINES),
    WRITTEN("<?xml", "XML", LINES),
    ROW(0, "PK\x03\x04", "a zip archive", "unpack it first: unzip -p F | tokenize text --in - ..."),
    ROW(0, "\x1F\x8B", "a gzip file inside another", "unpack it first (gzip -d)"),
    ROW(0, "\x28\xB5\x2F\xFD", "a zstd file inside another", "unpack it first (zstd -d)"),
    ROW(0,
        "\xFD"
        "7zXZ",
        "an xz file", "unpack it first: xz -dc F | tokenize text --in - ..."),
    ROW(0, "BZh", "a bzip2 file", "unpack it first: bzip2 -dc F | tokenize text --in - ..."),
    ROW(0, "\x04\x22\x4D\x18", "an lz4 file", "unpack it first: lz4 -dc F | tokenize text --in -"),
    ROW(0, "7z\xBC\xAF\x27\x1C", "a 7z archive", "unpack it first"),
    ROW(0, "Rar!", "a RAR archive", "unpack it first"),
    ROW(0, "\x1F\x9D", "a compress (.Z) file", "unpack it first"),
    ROW(257, "ustar", "a tar", SHARDS),
    ROW(0, "\xFF\xFE\0\0", "UTF-32 text", CONVERT "UTF-32"),
    ROW(0, "\0\0\xFE\xFF", "UTF-32 text", CONVERT "UTF-32"),
    ROW(0, "\xFF\xFE", "UTF-16 text", CONVERT "UTF-16"),
    ROW(0, "\xFE\xFF", "UTF-16 text", CONVERT "UTF-16"),
    ROW(0,
        "\x7F"
        "ELF",
        "a program", "text is needed"),
};

/* UTF-16 and UTF-32 without a mark, for mostly Latin text: one byte of two, or three of four, is
 * NUL. Counts the NULs at each place modulo 4. */
static const foreign_file_t *wide_kind(const uint8_t *head, size_t n) {
    static const foreign_file_t wide[] = {{"UTF-16 text (little-endian)", CONVERT "UTF-16LE"},
                                          {"UTF-16 text (big-endian)", CONVERT "UTF-16BE"},
                                          {"UTF-32 text (little-endian)", CONVERT "UTF-32LE"},
                                          {"UTF-32 text (big-endian)", CONVERT "UTF-32BE"}};
    size_t nul[4] = {0}, quarter = n / 4;
    if (quarter < 2) return NULL;
    for (size_t i = 0; i < 4 * quarter; i++) nul[i % 4] += head[i] == 0;
    size_t even = nul[0] + nul[2], odd = nul[1] + nul[3], most = quarter + quarter / 2;
    if (odd + nul[2] >= quarter + most && nul[0] < quarter / 2) return &wide[2];
    if (even + nul[1] >= quarter + most && nul[3] < quarter / 2) return &wide[3];
    if (odd >= most && even < quarter / 2) return &wide[0];
    if (even >= most && odd < quarter / 2) return &wide[1];
    return NULL;
}

/* Could a text begin with this mark ("PK", "ORC")? Not with those of other documents ("%PDF-"). */
static bool is_words(const row_t *r) {
    for (size_t i = 0; i < r->n; i++)
        if (r->magic[i] < ' ' || r->magic[i] > '~') return false;
    return !r->written;
}

/* UTF-8 without a NUL; the last character may be cut off. */
static bool is_text(const uint8_t *head, size_t n) {
    return !memchr(head, 0, n) && utf8_check(head, n) + 4 > n;
}

const foreign_file_t *foreign_file_detect(const uint8_t *head, size_t n) {
    bool text = n > 0 && is_text(head, n);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const row_t *r = &rows[i];
        bool begins = n >= r->at + r->n && !memcmp(head + r->at, r->magic, r->n);
        if (begins && !(text && is_words(r))) return &r->kind;
    }
    return wide_kind(head, n < 1024 ? n : 1024);
}
