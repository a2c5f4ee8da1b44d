/* text_source.c - see text_source.h. A file is read twice: once to count its items and to hash it,
 * once for the items.
 */
#include "tokenize/text_format.h"

#include "common/io/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The place is part of the hash that tells inputs apart: add at the end. */
static const text_format_t *const formats[] = {&text_plain, &text_jsonl, &text_vqa,
                                               &text_json,  &text_coco,  &text_table};
enum { N_FORMATS = sizeof formats / sizeof *formats };

void text_item_release(text_item_t *t) {
    free(t->text);
    free(t->answer);
    caption_release(&t->caption);
    *t = (text_item_t){0};
}

void text_item_set(text_item_t *out, uint64_t number, const char *text, size_t n) {
    out->number = number;
    out->text = memcpy(xmalloc(n + 1), text, n);
    out->text[n] = 0;
    out->len = n;
}

/* ---- bytes ---- */

void text_bytes_open(text_bytes_t *b, const char *path, uint64_t seed) {
    int rc;
    reason_t why;
    *b = (text_bytes_t){.stream = byte_stream_open(path, &rc, &why), .path = path};
    if (!b->stream) die(rc, "%s", why.text);
    b->hash = XXH64_createState();
    if (!b->hash) die(RC_RUNTIME, "out of memory (for a hash)");
    XXH64_reset(b->hash, seed);
}

size_t text_bytes_more(void *bytes, const char **p) {
    text_bytes_t *b = bytes;
    const uint8_t *chunk;
    reason_t why;
    ssize_t got = byte_stream_more(b->stream, &chunk, &why);
    if (got < 0) die(RC_DATA, "'%s': %s", b->path, why.text);
    size_t n = (size_t)got, mark = 0;
    if (b->hash) XXH64_update(b->hash, chunk, n);
    if (!b->begun && n >= 3 && !memcmp(chunk, "\xEF\xBB\xBF", 3)) mark = 3;
    b->begun = true;
    *p = (const char *)chunk + mark;
    return n - mark;
}

void text_bytes_restart(text_bytes_t *b) {
    reason_t why;
    b->begun = false;
    if (byte_stream_restart(b->stream, &why)) die(RC_DATA, "'%s': %s", b->path, why.text);
}

uint64_t text_bytes_digest(text_bytes_t *b) {
    uint64_t digest = XXH64_digest(b->hash);
    XXH64_freeState(b->hash);
    b->hash = NULL;
    return digest;
}

void text_bytes_close(text_bytes_t *b) {
    byte_stream_close(b->stream);
    XXH64_freeState(b->hash);
    *b = (text_bytes_t){0};
}

/* ---- the source ---- */

static size_t place_of(const text_format_t *format) {
    size_t i = 0;
    while (formats[i] != format) i++;
    return i;
}

static void begin(text_source_t *s) {
    s->number = 0;
    s->n = s->at = 0;
    text_bytes_restart(&s->in);
    if (s->format->begin) s->format->begin(s);
}

/* Hugging Face's image folders have their captions in them. */
static void refuse_folder(const char *in) {
    static const char *const names[] = {"metadata.jsonl", "metadata.csv"};
    for (size_t i = 0; fs_is_dir(in) && i < 2; i++) {
        char *file = fs_join(in, names[i]);
        if (fs_exists(file)) die(RC_USAGE, "'%s' is a folder: give '%s'", in, file);
        free(file);
    }
}

/* --format: one of the rows, or what the input looks like. */
static void choose(text_source_t *s) {
    const char *name = s->job->format;
    size_t i = 0;
    s->any_bytes = !strcmp(name, "text");
    while (i < N_FORMATS && strcmp(name, formats[i]->name) != 0) i++;
    if (i == N_FORMATS && strcmp(name, "auto") != 0)
        die(RC_USAGE, "--format '%s': text, jsonl, json, coco, vqa, csv or auto", name);
    refuse_folder(s->job->in);
    text_bytes_open(&s->in, s->job->in, 0);
    s->format = s->any_bytes ? &text_plain : text_detect(s);
    if (i < N_FORMATS && s->format != formats[i])
        die(RC_DATA, "'%s' is no %s (--format %s): it looks like %s (--format %s)", s->job->in,
            formats[i]->what, name, s->format->what, s->format->name);
    if (s->job->answers && s->format != &text_vqa)
        die(RC_USAGE, "--answers belongs to --format vqa");
}

text_source_t *text_source_open(const job_t *j) {
    text_source_t *s = NEW(text_source_t);
    s->job = j;
    choose(s);
    XXH64_reset(s->in.hash, place_of(s->format));
    s->counting = true;
    begin(s);
    while (s->format->next(s, NULL)) s->count++;
    if (s->format->counted) s->format->counted(s);
    s->manifest = text_bytes_digest(&s->in);
    if (s->answers.stream) {
        uint64_t both[2] = {s->manifest, text_bytes_digest(&s->answers)};
        s->manifest = XXH64(both, sizeof both, 0);
    }
    s->counting = false;
    if (!s->count) die(RC_DATA, "'%s' holds no text", j->in);
    begin(s);
    return s;
}

void text_source_close(text_source_t *s) {
    if (s->format->release) s->format->release(s);
    text_bytes_close(&s->in);
    text_bytes_close(&s->answers);
    json_stream_release(&s->json);
    json_stream_release(&s->annotations);
    free(s->line);
    free(s);
}

const char *text_source_format(const text_source_t *s) {
    return s->format->name;
}
const char *text_source_what(const text_source_t *s) {
    return s->format->what;
}
size_t text_source_count(const text_source_t *s) {
    return s->count;
}
uint64_t text_source_manifest(const text_source_t *s) {
    return s->manifest;
}

static void step(text_source_t *s, text_item_t *out) {
    if (!s->format->next(s, out)) die(RC_DATA, "'%s' became shorter while it was read", s->job->in);
}

void text_source_skip(text_source_t *s, size_t n) {
    while (n--) step(s, NULL);
}

void text_source_next(text_source_t *s, text_item_t *out) {
    *out = (text_item_t){0};
    step(s, out);
}

int text_source_parse(const text_source_t *s, text_item_t *t, reason_t *why) {
    return s->format->parse(s, t, why);
}
