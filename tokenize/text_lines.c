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

/* The chunk's bytes up to the end of the line, or all; true when the line has ended. */
static bool take_piece(text_source_t *s) {
    const char *from = s->bytes + s->at, *end = memchr(from, '\n', s->n - s->at);
    size_t n = end ? (size_t)(end - from) : s->n - s->at;
    s->line = xgrow(s->line, &s->cap, s->len + n + 1, 1);
    memcpy(s->line + s->len, from, n);
    s->len += n;
    s->at += n + (end ? 1 : 0);
    return end;
}

bool text_read_line(text_source_t *s) {
    bool any = false, ended = false;
    s->len = 0;
    while (!ended) {
        if (s->at == s->n) {
            s->n = text_bytes_more(&s->in, &s->bytes);
            s->at = 0;
        }
        if (!s->n) break;
        any = true;
        ended = take_piece(s);
    }
    if (!any) return false;
    s->number++;
    if (s->len && s->line[s->len - 1] == '\r') s->len--;
    s->line[s->len] = 0;
    return true;
}

static bool next_line(text_source_t *s, text_item_t *out) {
    while (text_read_line(s)) {
        if (text_blank(s->line, s->len)) continue;
        if (out) text_item_set(out, s->number, s->line, s->len);
        return true;
    }
    return false;
}

/* ---- plain text ---- */

static void check_text(const text_source_t *s) {
    size_t n = strlen(s->line), bad = utf8_check((const uint8_t *)s->line, s->len);
    if (n == s->len && bad == s->len) return;
    if (n < bad)
        die(RC_DATA,
            "'%s' is no text: line %llu has a NUL at byte %zu (--format text takes any bytes)",
            s->job->in, (unsigned long long)s->number, n + 1);
    die(RC_DATA,
        "'%s' is no UTF-8: line %llu, byte %zu is 0x%02X; convert it (iconv -f LATIN1 -t UTF-8), "
        "or take the bytes as they are with --format text",
        s->job->in, (unsigned long long)s->number, bad + 1, (uint8_t)s->line[bad]);
}

static bool next_text(text_source_t *s, text_item_t *out) {
    if (!next_line(s, out)) return false;
    if (s->counting && !s->any_bytes) check_text(s);
    return true;
}

/* A line is a caption without an image; it may hold NULs. */
static int parse_text(const text_source_t *s, text_item_t *t, reason_t *why) {
    caption_add(&t->caption, "");
    caption_text_t *text = &t->caption.text[0];
    char *empty = text->text;
    text->text = t->text;
    text->len = t->len;
    t->text = empty;
    return 0;
}

const text_format_t text_plain = {
    .name = "text", .what = "plain text", .next = next_text, .parse = parse_text};

/* ---- JSON lines ---- */

static int parse_json(const text_source_t *s, text_item_t *t, reason_t *why) {
    return caption_parse(t->text, t->len, s->job->caption, &t->caption, why);
}

const text_format_t text_jsonl = {
    .name = "jsonl", .what = "JSON lines", .next = next_line, .parse = parse_json};
