/* text_source.c - see text_source.h. Files of lines are streamed twice (counted, then read); VQA's
 * two files are held in memory, as JSON objects cannot be read in pieces.
 */
#include "tokenize/text_source.h"

#include "common/io/fs.h"
#include "common/io/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct text_source {
    const job_t *job;
    text_format_t format;
    size_t count;
    uint64_t manifest;
    /* lines */
    FILE *file;
    char *line;
    size_t cap;
    uint64_t number;
    /* VQA */
    cJSON *questions, *annotations;
    const cJSON *question, *annotation; /* the next ones */
};

void text_item_release(text_item_t *t) {
    free(t->line);
    caption_release(&t->caption);
    *t = (text_item_t){0};
}

/* ---- lines ---- */

static bool blank(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r\n\v\f", s[i]) || !s[i]) return false;
    return true;
}

static FILE *open_file(const char *path) {
    FILE *f = fopen(path, "r");
    if (!f) die_errno(RC_USAGE, "cannot open '%s'", path);
    if (fs_is_dir(path)) die(RC_USAGE, "'%s' is a folder; a file of text is needed", path);
    return f;
}

/* The next line that is not blank: its length, with its end; -1 at the end of the file. */
static ssize_t read_line(text_source_t *s, XXH64_state_t *hash) {
    ssize_t n;
    errno = 0;
    while ((n = getline(&s->line, &s->cap, s->file)) >= 0) {
        s->number++;
        if (hash) XXH64_update(hash, s->line, (size_t)n);
        if (!blank(s->line, (size_t)n)) return n;
    }
    if (ferror(s->file))
        die(errno == ENOMEM ? RC_RUNTIME : RC_DATA, "cannot read '%s': %s", s->job->in,
            strerror(errno));
    return -1;
}

static void count_lines(text_source_t *s) {
    XXH64_state_t *hash = XXH64_createState();
    if (!hash) die(RC_RUNTIME, "out of memory (for a hash)");
    XXH64_reset(hash, s->format);
    while (read_line(s, hash) >= 0) s->count++;
    s->manifest = XXH64_digest(hash);
    XXH64_freeState(hash);
    rewind(s->file);
    s->number = 0;
}

/* ---- VQA ---- */

static const cJSON *list_of(const char *path, const cJSON *root, const char *key) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, key);
    if (!cJSON_IsArray(list)) die(RC_DATA, "'%s': no array \"%s\"", path, key);
    return list;
}

static cJSON *parse_file(const char *path, uint64_t *manifest) {
    uint8_t *bytes;
    size_t size;
    reason_t why;
    if (fs_read(path, 0, &bytes, &size, &why)) die(RC_USAGE, "%s", why.text);
    cJSON *root = json_parse((const char *)bytes, size, false, &why);
    if (!root) die(RC_DATA, "'%s': %s", path, why.text);
    *manifest = XXH64(bytes, size, *manifest);
    free(bytes);
    return root;
}

/* Question i belongs to annotation i: both ids must say so. */
static void check_step(const text_source_t *s, size_t i, const cJSON *q, const cJSON *a) {
    static const char *const ids[] = {"question_id", "image_id"};
    for (size_t k = 0; k < 2; k++) {
        uint64_t x, y;
        if (!json_u64(cJSON_GetObjectItemCaseSensitive(q, ids[k]), &x))
            die(RC_DATA, "'%s': question %zu has no %s", s->job->in, i, ids[k]);
        if (!json_u64(cJSON_GetObjectItemCaseSensitive(a, ids[k]), &y))
            die(RC_DATA, "'%s': annotation %zu has no %s", s->job->answers, i, ids[k]);
        if (x != y)
            die(RC_DATA, "'%s' and '%s' are out of step at index %zu: %s %llu against %llu",
                s->job->in, s->job->answers, i, ids[k], (unsigned long long)x,
                (unsigned long long)y);
    }
    if (!cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(q, "question")))
        die(RC_DATA, "'%s': question %zu has no text", s->job->in, i);
}

static void open_vqa(text_source_t *s) {
    const job_t *j = s->job;
    if (!j->answers) die(RC_USAGE, "questions need --answers");
    s->manifest = FORMAT_VQA;
    s->questions = parse_file(j->in, &s->manifest);
    s->annotations = parse_file(j->answers, &s->manifest);
    s->question = list_of(j->in, s->questions, "questions")->child;
    s->annotation = list_of(j->answers, s->annotations, "annotations")->child;
    const cJSON *q = s->question, *a = s->annotation;
    for (; q && a; q = q->next, a = a->next) check_step(s, s->count++, q, a);
    if (q || a)
        die(RC_DATA, "'%s' and '%s' are out of step: %s %zu has no counterpart", j->in, j->answers,
            q ? "question" : "annotation", s->count);
}

static void next_vqa(text_source_t *s, text_item_t *out) {
    const job_t *j = s->job;
    uint64_t image;
    const cJSON *q = s->question, *a = s->annotation;
    const char *answer = caption_answer(cJSON_GetObjectItemCaseSensitive(a, "answers"));
    if (!answer)
        answer =
            cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(a, "multiple_choice_answer"));
    json_u64(cJSON_GetObjectItemCaseSensitive(q, "image_id"), &image);
    out->caption.image =
        xasprintf("%s%0*llu.jpg", j->image_prefix, (int)j->image_digits, (unsigned long long)image);
    if (answer && *answer) /* else there is no text: a bad item */
        caption_question(&out->caption,
                         cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(q, "question")),
                         answer);
}

/* ---- both ---- */

/* By the name, else by the first line: an object with one of our fields. */
static text_format_t guess(text_source_t *s) {
    caption_t c;
    if (s->job->answers) return FORMAT_VQA;
    if (fs_ends(s->job->in, ".jsonl") || fs_ends(s->job->in, ".ndjson")) return FORMAT_JSONL;
    ssize_t n = read_line(s, NULL);
    bool json = n > 0 && caption_parse(s->line, (size_t)n, &c, NULL) == 0;
    if (json) caption_release(&c);
    rewind(s->file);
    s->number = 0;
    return json ? FORMAT_JSONL : FORMAT_TEXT;
}

text_source_t *text_source_open(const job_t *j) {
    static const char *const names[] = {"text", "jsonl", "vqa"};
    text_source_t *s = NEW(text_source_t);
    s->job = j;
    s->file = open_file(j->in);
    if (!strcmp(j->format, "auto")) {
        s->format = guess(s);
    } else {
        while (s->format < 3 && strcmp(j->format, names[s->format]) != 0) s->format++;
        if (s->format == 3) die(RC_USAGE, "--format '%s': text, jsonl, vqa or auto", j->format);
    }
    if (s->format == FORMAT_VQA)
        open_vqa(s);
    else if (j->answers)
        die(RC_USAGE, "--answers belongs to --format vqa");
    else
        count_lines(s);
    if (!s->count) die(RC_DATA, "'%s' holds no text", j->in);
    return s;
}

void text_source_close(text_source_t *s) {
    if (s->file) fclose(s->file);
    free(s->line);
    cJSON_Delete(s->questions);
    cJSON_Delete(s->annotations);
    free(s);
}

text_format_t text_source_format(const text_source_t *s) {
    return s->format;
}
size_t text_source_count(const text_source_t *s) {
    return s->count;
}
uint64_t text_source_manifest(const text_source_t *s) {
    return s->manifest;
}

/* The next item; out NULL: passed over. */
static void step(text_source_t *s, text_item_t *out) {
    if (s->format == FORMAT_VQA) {
        if (out) out->number = s->number, next_vqa(s, out);
        s->number++;
        s->question = s->question->next;
        s->annotation = s->annotation->next;
        return;
    }
    ssize_t n = read_line(s, NULL);
    if (n < 0) die(RC_DATA, "'%s' became shorter while it was read", s->job->in);
    if (!out) return;
    size_t len = (size_t)n;
    if (len && s->line[len - 1] == '\n') len--;
    if (len && s->line[len - 1] == '\r') len--;
    out->number = s->number;
    out->line = memcpy(xmalloc(len + 1), s->line, len);
    out->line[len] = 0;
    out->len = len;
}

void text_source_skip(text_source_t *s, size_t n) {
    while (n--) step(s, NULL);
}

void text_source_next(text_source_t *s, text_item_t *out) {
    *out = (text_item_t){0};
    step(s, out);
}
