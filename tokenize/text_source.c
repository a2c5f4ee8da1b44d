/* text_source.c - see text_source.h. A file is read twice: once to count its items and to hash it,
 * once for the items.
 */
#include "tokenize/text_format.h"

#include "common/io/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The place of a format is part of the hash that tells inputs apart: add new ones at the end. */
static const text_format_t *const formats[] = {&text_plain, &text_jsonl, &text_vqa,
                                               &text_json,  &text_coco,  &text_table};
enum { N_FORMATS = sizeof formats / sizeof *formats };

void text_item_release(text_item_t *item) {
    free(item->text);
    free(item->answer);
    caption_release(&item->caption);
    *item = (text_item_t){0};
}

void text_item_set(text_item_t *out, uint64_t number, const char *text, size_t n) {
    out->number = number;
    out->text = memcpy(xmalloc(n + 1), text, n);
    out->text[n] = 0;
    out->len = n;
}

/* ---- bytes ---- */

void text_bytes_open(text_bytes_t *bytes, const char *path, uint64_t seed) {
    int rc;
    reason_t why;
    *bytes = (text_bytes_t){.stream = byte_stream_open(path, &rc, &why), .path = path};
    if (!bytes->stream) die(rc, "%s", why.text);
    bytes->hash = XXH64_createState();
    if (!bytes->hash) die(RC_RUNTIME, "out of memory (for a hash)");
    XXH64_reset(bytes->hash, seed);
}

size_t text_bytes_more(void *ctx, const char **p) {
    text_bytes_t *bytes = ctx;
    const uint8_t *chunk;
    reason_t why;
    ssize_t got = byte_stream_more(bytes->stream, &chunk, &why);
    if (got < 0) die(RC_DATA, "'%s': %s", bytes->path, why.text);
    size_t n = (size_t)got, mark = 0;
    if (bytes->hash) XXH64_update(bytes->hash, chunk, n);
    if (!bytes->begun && n >= 3 && !memcmp(chunk, "\xEF\xBB\xBF", 3)) mark = 3;
    bytes->begun = true;
    *p = (const char *)chunk + mark;
    return n - mark;
}

void text_bytes_restart(text_bytes_t *bytes) {
    reason_t why;
    bytes->begun = false;
    if (byte_stream_restart(bytes->stream, &why)) die(RC_DATA, "'%s': %s", bytes->path, why.text);
}

uint64_t text_bytes_digest(text_bytes_t *bytes) {
    uint64_t digest = XXH64_digest(bytes->hash);
    XXH64_freeState(bytes->hash);
    bytes->hash = NULL;
    return digest;
}

void text_bytes_close(text_bytes_t *bytes) {
    byte_stream_close(bytes->stream);
    XXH64_freeState(bytes->hash);
    *bytes = (text_bytes_t){0};
}

/* ---- the source ---- */

static size_t place_of(const text_format_t *format) {
    size_t i = 0;
    while (formats[i] != format) i++;
    return i;
}

static void begin(text_source_t *source) {
    source->number = 0;
    source->chunk_size = 0;
    source->chunk_at = 0;
    text_bytes_restart(&source->in);
    if (source->format->begin) source->format->begin(source);
}

/* A folder is no text, but Hugging Face's image folders hold a file of captions: names it. */
static void refuse_folder(const char *in) {
    static const char *const names[] = {"metadata.jsonl", "metadata.csv"};
    if (!fs_is_dir(in)) return;
    for (size_t i = 0; i < 2; i++) {
        char *file = fs_join(in, names[i]);
        if (fs_exists(file)) die(RC_USAGE, "'%s' is a folder: give '%s'", in, file);
        free(file);
    }
}

/* Opens the input and finds its format. It must look like the one that --format names; "text" is
 * the exception, which takes any bytes. */
static void choose_format(text_source_t *source) {
    const char *name = source->job->format;
    size_t i = 0;
    source->any_bytes = !strcmp(name, "text");
    while (i < N_FORMATS && strcmp(name, formats[i]->name) != 0) i++;
    if (i == N_FORMATS && strcmp(name, "auto") != 0)
        die(RC_USAGE, "--format '%s': text, jsonl, json, coco, vqa, csv or auto", name);
    refuse_folder(source->job->in);
    text_bytes_open(&source->in, source->job->in, 0);
    source->format = source->any_bytes ? &text_plain : text_detect(source);
    if (i < N_FORMATS && source->format != formats[i])
        die(RC_DATA, "'%s' is not %s (--format %s): it looks like %s (--format %s)",
            source->job->in, formats[i]->what, name, source->format->what, source->format->name);
    if (source->job->answers && source->format != &text_vqa)
        die(RC_USAGE, "--answers belongs to --format vqa");
}

/* The first pass over the input. */
static void count_items(text_source_t *source) {
    XXH64_reset(source->in.hash, place_of(source->format));
    source->counting = true;
    begin(source);
    while (source->format->next(source, NULL)) source->count++;
    if (source->format->counted) source->format->counted(source);
    source->manifest = text_bytes_digest(&source->in);
    if (source->answers.stream) {
        uint64_t both[2] = {source->manifest, text_bytes_digest(&source->answers)};
        source->manifest = XXH64(both, sizeof both, 0);
    }
    source->counting = false;
}

text_source_t *text_source_open_or_die(const job_t *job) {
    text_source_t *source = NEW(text_source_t);
    source->job = job;
    choose_format(source);
    count_items(source);
    if (!source->count) die(RC_DATA, "'%s' holds no text", job->in);
    begin(source);
    return source;
}

void text_source_close(text_source_t *source) {
    if (source->format->release) source->format->release(source);
    text_bytes_close(&source->in);
    text_bytes_close(&source->answers);
    json_stream_release(&source->json);
    json_stream_release(&source->annotations);
    free(source->line);
    free(source);
}

const char *text_source_format(const text_source_t *source) {
    return source->format->name;
}
const char *text_source_what(const text_source_t *source) {
    return source->format->what;
}
size_t text_source_count(const text_source_t *source) {
    return source->count;
}
uint64_t text_source_manifest(const text_source_t *source) {
    return source->manifest;
}

static void read_item(text_source_t *source, text_item_t *out) {
    if (!source->format->next(source, out))
        die(RC_DATA, "'%s' became shorter while it was read", source->job->in);
}

void text_source_skip(text_source_t *source, size_t n) {
    while (n--) read_item(source, NULL);
}

void text_source_next(text_source_t *source, text_item_t *out) {
    *out = (text_item_t){0};
    read_item(source, out);
}

int text_source_parse(const text_source_t *source, text_item_t *item, reason_t *why) {
    return source->format->parse(source, item, why);
}
