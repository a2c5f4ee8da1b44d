/* text_lines.c - two formats whose items are lines that are not blank: plain text, and JSON lines.
 * A line is held in memory.
 */
#include "tokenize/text_format.h"

#include "common/io/utf8.h"

#include <string.h>

bool text_blank(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r\n\v\f", text[i]) || !text[i]) return false;
    return true;
}

/* Appends the chunk's bytes to the line, up to its end or all; true when the line has ended. */
static bool extend_line(text_source_t *source) {
    const char *from = source->chunk + source->chunk_at,
               *end = memchr(from, '\n', source->chunk_size - source->chunk_at);
    size_t n = end ? (size_t)(end - from) : source->chunk_size - source->chunk_at;
    source->line = xgrow(source->line, &source->line_cap, source->line_len + n + 1, 1);
    memcpy(source->line + source->line_len, from, n);
    source->line_len += n;
    source->chunk_at += n + (end ? 1 : 0);
    return end;
}

bool text_read_line(text_source_t *source) {
    bool any = false, ended = false;
    source->line_len = 0;
    while (!ended) {
        if (source->chunk_at == source->chunk_size) {
            source->chunk_size = text_bytes_more(&source->in, &source->chunk);
            source->chunk_at = 0;
        }
        if (!source->chunk_size) break;
        any = true;
        ended = extend_line(source);
    }
    if (!any) return false;
    source->number++;
    if (source->line_len && source->line[source->line_len - 1] == '\r') source->line_len--;
    source->line[source->line_len] = 0;
    return true;
}

static bool next_line(text_source_t *source, text_item_t *out) {
    while (text_read_line(source)) {
        if (text_blank(source->line, source->line_len)) continue;
        if (out) text_item_set(out, source->number, source->line, source->line_len);
        return true;
    }
    return false;
}

/* ---- plain text ---- */

static void check_text(const text_source_t *source) {
    size_t n = strlen(source->line),
           bad = utf8_check((const uint8_t *)source->line, source->line_len);
    if (n == source->line_len && bad == source->line_len) return;
    if (n < bad)
        die(RC_DATA,
            "'%s' is not text: line %llu has a NUL at byte %zu (--format text takes any bytes)",
            source->job->in, (unsigned long long)source->number, n + 1);
    die(RC_DATA,
        "'%s' is not UTF-8: line %llu, byte %zu is 0x%02X; convert it (iconv -f LATIN1 -t UTF-8), "
        "or take the bytes as they are with --format text",
        source->job->in, (unsigned long long)source->number, bad + 1, (uint8_t)source->line[bad]);
}

static bool next_text(text_source_t *source, text_item_t *out) {
    if (!next_line(source, out)) return false;
    if (source->counting && !source->any_bytes) check_text(source);
    return true;
}

/* A line is a caption without an image. It may hold NULs, so it is moved and not copied as a
 * string. */
static int parse_text(const text_source_t *source, text_item_t *item, reason_t *why) {
    caption_add(&item->caption, "");
    caption_text_t *text = &item->caption.text[0];
    char *empty = text->text;
    text->text = item->text;
    text->len = item->len;
    item->text = empty;
    return 0;
}

const text_format_t text_plain = {
    .name = "text", .what = "plain text", .next = next_text, .parse = parse_text};

/* ---- JSON lines ---- */

static int parse_json(const text_source_t *source, text_item_t *item, reason_t *why) {
    return caption_parse(item->text, item->len, source->job->caption, &item->caption, why);
}

const text_format_t text_jsonl = {
    .name = "jsonl", .what = "JSON lines", .next = next_line, .parse = parse_json};
