/* text_detect.c - which format a file has: by its content, and by its name where the content leaves
 * it open (a first JSON line may be a bad one). What is known not to be text is refused.
 */
#include "tokenize/text_format.h"

#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/io/text/json_caption.h"
#include "tokenize/foreign_file.h"

#include <string.h>
#include <strings.h>

/* ---- names ---- */

/* Does the name end so, before a ".gz" or ".zst"? Capitals do not count. */
static bool named(const text_source_t *s, const char *end) {
    static const char *const packed[] = {".gz", ".zst"};
    const char *name = s->job->in;
    size_t n = strlen(name), m = strlen(end);
    for (size_t i = 0; i < 2; i++) {
        size_t k = strlen(packed[i]);
        if (n > k && !strncasecmp(name + n - k, packed[i], k)) n -= k;
    }
    return n > m && !strncasecmp(name + n - m, end, m);
}

static bool named_lines(const text_source_t *s) {
    return named(s, ".jsonl") || named(s, ".ndjson");
}

static bool named_table(const text_source_t *s) {
    return named(s, ".csv") || named(s, ".tsv");
}

static void restart(text_source_t *s) {
    text_bytes_restart(&s->in);
    s->n = s->at = 0;
    s->number = 0;
}

/* ---- arrays ---- */

/* A string that is one; an object is judged as an item. */
static bool is_string(const json_stream_t *json) {
    cJSON *o = json_parse_data(json->text, json->size, NULL);
    bool string = cJSON_IsString(o);
    cJSON_Delete(o);
    return string;
}

/* Text may begin with a bracket too ("[1] ..."): it is an array when its first element is an object
 * or a string, and what follows that is no text. */
static const text_format_t *detect_array(text_source_t *s) {
    reason_t why = {""};
    json_stream_t json = {.more = text_bytes_more, .ctx = &s->in};
    int rc = json_stream_next(&json, &why);
    bool object = rc > 0 && json.text[0] == '{', empty = rc == 0;
    bool item = empty || object || (rc > 0 && is_string(&json));
    if (rc > 0) rc = json_stream_next(&json, &why);
    json_stream_release(&json);
    if (rc >= 0 && item) return &text_json;
    if (object && rc < 0) die(RC_DATA, "'%s': no JSON: %s", s->job->in, why.text);
    if (!named(s, ".json")) return named_lines(s) ? &text_jsonl : &text_plain;
    if (rc < 0) die(RC_DATA, "'%s': no JSON: %s", s->job->in, why.text);
    die(RC_DATA,
        "'%s' is a JSON array, but not of objects with captions; --format text takes its lines "
        "as text",
        s->job->in);
}

/* ---- objects ---- */

static bool has(const cJSON *o, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* Elements of an object's member say what the object is; NULL = nothing yet. */
static const text_format_t *known_list(text_source_t *s, const char *member, const cJSON *o) {
    const char *in = s->job->in;
    bool captions = json_caption(o, s->job->caption);
    if (!strcmp(member, "questions") && has(o, "question") && !has(o, "answer") &&
        !has(o, "answers"))
        die(RC_USAGE, "'%s' holds VQA's questions: --answers F names their annotations", in);
    if (!strcmp(member, "annotations")) {
        if (captions && has(o, "image_id")) return &text_coco;
        if (has(o, "question_id") && !has(o, "question"))
            die(RC_USAGE,
                "'%s' holds VQA's annotations: --in is for the questions, --answers for these", in);
        if (has(o, "image_id"))
            die(RC_DATA,
                "'%s' is COCO's JSON without captions (boxes, keypoints?); captions_*.json is "
                "needed, or --caption KEY for another member",
                in);
    }
    bool list = captions || has(o, "question") || has(o, "conversations") || has(o, "messages");
    static const char *const lists[] = {"data", "annotations", "images", "questions"};
    for (size_t i = 0; list && i < sizeof lists / sizeof *lists; i++)
        if (!strcmp(member, lists[i])) s->list = lists[i];
    return s->list ? &text_json : NULL;
}

/* Is the first line an object of its own? */
static bool object_line(text_source_t *s) {
    restart(s);
    do {
        if (!text_read_line(s)) return false;
    } while (text_blank(s->line, s->len));
    cJSON *o = json_parse_data(s->line, s->len, NULL);
    bool object = cJSON_IsObject(o);
    cJSON_Delete(o);
    return object;
}

static const text_format_t *detect_object(text_source_t *s) {
    reason_t why = {""};
    const text_format_t *found = NULL;
    json_stream_t json = {.more = text_bytes_more, .ctx = &s->in, .members = true};
    int rc;
    while (!found && (rc = json_stream_next(&json, &why)) > 0) {
        if (json.text[0] != '{') continue;
        cJSON *o = json_parse_data(json.text, json.size, NULL);
        found = known_list(s, json.member, o);
        cJSON_Delete(o);
    }
    bool closed = json_stream_closed(&json), key = json.field;
    json_stream_release(&json);
    if (found) return found;
    if (named_lines(s)) return &text_jsonl;
    if (closed) return object_line(s) ? &text_jsonl : &text_json;
    if (!key && !named(s, ".json")) return &text_plain;
    die(RC_DATA,
        "'%s' looks like JSON, but is none: %s; --format jsonl reads line by line, --format text "
        "takes it as text",
        s->job->in, why.text);
}

/* ---- all ---- */

static const text_format_t *detect_lines(text_source_t *s) {
    char separator;
    if (named_lines(s)) return &text_jsonl;
    if (named(s, ".json"))
        die(RC_DATA, "'%s' is named JSON, but is none; --format text takes it as text", s->job->in);
    restart(s);
    bool any = text_read_line(s);
    if (any && text_table_header(s->line, s->len, s->job->caption, named_table(s), &separator))
        return &text_table;
    if (any && named_table(s))
        die(RC_DATA,
            "'%s' is a table without a column of captions (" JSON_CAPTION_NAMES
            ") in its first line: --caption KEY names it, --format text takes lines as text",
            s->job->in);
    return &text_plain;
}

static void refuse(const text_source_t *s, const char *head, size_t n) {
    const foreign_file_t *kind = foreign_file_detect((const uint8_t *)head, n);
    if (kind) die(RC_DATA, "'%s' is %s, no text: %s", s->job->in, kind->what, kind->advice);
}

const text_format_t *text_detect(text_source_t *s) {
    const char *head;
    size_t n = text_bytes_more(&s->in, &head), at = 0;
    if (s->job->answers || !strcmp(s->job->format, "vqa")) return &text_vqa;
    refuse(s, head, n);
    while (at < n && text_blank(head + at, 1)) at++;
    char first = at < n ? head[at] : 0;
    restart(s);
    if (!strcmp(s->job->format, "jsonl")) return &text_jsonl;
    if (first == '[') return detect_array(s);
    return first == '{' ? detect_object(s) : detect_lines(s);
}
