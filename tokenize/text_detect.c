/* text_detect.c - finds the format of a file: by its content, and by its name where the content
 * leaves it open (a first JSON line may be a bad one). Refuses what is known not to be text.
 */
#include "tokenize/text_format.h"

#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/io/text/json_caption.h"
#include "tokenize/foreign_file.h"

#include <string.h>
#include <strings.h>

/* ---- names ---- */

/* Does the name of --in have this ending, perhaps before a ".gz" or ".zst"? Capitals do not
 * matter. */
static bool has_ending(const text_source_t *source, const char *end) {
    static const char *const packed[] = {".gz", ".zst"};
    const char *name = source->job->in;
    size_t n = strlen(name), m = strlen(end);
    for (size_t i = 0; i < 2; i++) {
        size_t k = strlen(packed[i]);
        if (n > k && !strncasecmp(name + n - k, packed[i], k)) n -= k;
    }
    return n > m && !strncasecmp(name + n - m, end, m);
}

static bool named_lines(const text_source_t *source) {
    return has_ending(source, ".jsonl") || has_ending(source, ".ndjson");
}

static bool named_table(const text_source_t *source) {
    return has_ending(source, ".csv") || has_ending(source, ".tsv");
}

static void restart(text_source_t *source) {
    text_bytes_restart(&source->in);
    source->chunk_size = 0;
    source->chunk_at = 0;
    source->number = 0;
}

/* ---- arrays ---- */

/* Is the element a whole JSON string? */
static bool is_string(const json_stream_t *json) {
    cJSON *o = json_parse_data(json->text, json->size, NULL);
    bool string = cJSON_IsString(o);
    cJSON_Delete(o);
    return string;
}

/* Text may begin with a bracket too ("[1] ..."). It is an array when its first element is an object
 * or a string and the JSON goes on behind it. */
static const text_format_t *detect_array(text_source_t *source) {
    reason_t why = {""};
    json_stream_t json = {.more = text_bytes_more, .ctx = &source->in};
    int rc = json_stream_next(&json, &why);
    bool object = rc > 0 && json.text[0] == '{', empty = rc == 0;
    bool item = empty || object || (rc > 0 && is_string(&json));
    if (rc > 0) rc = json_stream_next(&json, &why);
    json_stream_release(&json);
    if (rc >= 0 && item) return &text_json;
    if (object && rc < 0) die(RC_DATA, "'%s' is not JSON: %s", source->job->in, why.text);
    if (!has_ending(source, ".json")) return named_lines(source) ? &text_jsonl : &text_plain;
    if (rc < 0) die(RC_DATA, "'%s' is not JSON: %s", source->job->in, why.text);
    die(RC_DATA,
        "'%s' is a JSON array, but not of objects with captions; --format text takes its lines "
        "as text",
        source->job->in);
}

/* ---- objects ---- */

static bool has(const cJSON *o, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* What an object is whose member `member` is a list with the element o. NULL: this element does not
 * say. Sets source->list for the format json. */
static const text_format_t *format_of_list(text_source_t *source, const char *member,
                                           const cJSON *o) {
    const char *in = source->job->in;
    bool captions = json_caption(o, source->job->caption);
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
    if (!list) return source->list ? &text_json : NULL;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (!strcmp(member, lists[i])) source->list = lists[i];
    return source->list ? &text_json : NULL;
}

/* Is the first line that is not blank an object of its own? */
static bool is_object_line(text_source_t *source) {
    restart(source);
    do {
        if (!text_read_line(source)) return false;
    } while (text_blank(source->line, source->line_len));
    cJSON *o = json_parse_data(source->line, source->line_len, NULL);
    bool object = cJSON_IsObject(o);
    cJSON_Delete(o);
    return object;
}

/* Is the first line a brace alone? Objects written over several lines begin so. */
static bool lone_brace(text_source_t *source) {
    restart(source);
    do {
        if (!text_read_line(source)) return false;
    } while (text_blank(source->line, source->line_len));
    const char *brace = memchr(source->line, '{', source->line_len);
    if (!brace) return false;
    size_t before = (size_t)(brace - source->line), behind = source->line_len - before - 1;
    return text_blank(source->line, before) && text_blank(brace + 1, behind);
}

static const text_format_t *detect_object(text_source_t *source) {
    reason_t why = {""};
    const text_format_t *found = NULL;
    json_stream_t json = {.more = text_bytes_more, .ctx = &source->in, .members = true};
    while (!found) {
        int rc = json_stream_next(&json, &why);
        if (rc <= 0) break;
        if (json.text[0] != '{') continue;
        cJSON *o = json_parse_data(json.text, json.size, NULL);
        found = format_of_list(source, json.member, o);
        cJSON_Delete(o);
    }
    bool closed = json_stream_closed(&json), key = json.field;
    json_stream_release(&json);
    if (found) return found;
    if (named_lines(source) && lone_brace(source))
        die(RC_DATA,
            "'%s': its objects stand on several lines each: one line each is needed (jq -c . F)",
            source->job->in);
    if (named_lines(source)) return &text_jsonl;
    if (closed) return is_object_line(source) ? &text_jsonl : &text_json;
    if (!key && !has_ending(source, ".json")) return &text_plain;
    die(RC_DATA,
        "'%s' looks like JSON, but is not: %s; --format jsonl reads line by line, --format text "
        "takes it as text",
        source->job->in, why.text);
}

/* ---- all ---- */

static bool ends_like_image(const char *name, size_t len) {
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".webp"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i]);
        if (len > n && !strncasecmp(name + len - n, endings[i], n)) return true;
    }
    return false;
}

/* Does the line begin with the name of an image file and a separator ("1.jpg#0\tA dog")? */
static bool lists_image(const char *line, size_t len) {
    size_t name = 0;
    while (name < len && !strchr(" \t,|#", line[name])) name++;
    size_t end = name;
    if (end < len && line[end] == '#') {
        end++;
        while (end < len && line[end] >= '0' && line[end] <= '9') end++;
    }
    bool separated = end < len && line[end] && strchr("\t,|", line[end]);
    return separated && ends_like_image(line, name);
}

static const text_format_t *detect_lines(text_source_t *source, bool empty) {
    char separator;
    if (named_lines(source)) return &text_jsonl;
    if (has_ending(source, ".json") && !empty)
        die(RC_DATA, "'%s' is named like JSON, but is not; --format text takes it as text",
            source->job->in);
    restart(source);
    bool any = text_read_line(source);
    if (any && text_table_header(source->line, source->line_len, source->job->caption,
                                 named_table(source), &separator))
        return &text_table;
    if (any && named_table(source))
        die(RC_DATA,
            "'%s' is a table without a column of captions (" JSON_CAPTION_NAMES
            ") in its first line: --caption KEY names it, --format text takes lines as text",
            source->job->in);
    if (any && lists_image(source->line, source->line_len))
        die(RC_DATA,
            "'%s' lists images and captions without names of the columns: put 'image' and "
            "'caption' with the same separator (comma, tab) in a first line, and take numbers "
            "like #0 from the images' names; --format text takes lines as text",
            source->job->in);
    return &text_plain;
}

static void refuse_foreign(const text_source_t *source, const char *head, size_t n) {
    const foreign_file_t *kind = foreign_file_detect((const uint8_t *)head, n);
    if (kind) die(RC_DATA, "'%s' is %s, not text: %s", source->job->in, kind->what, kind->advice);
}

const text_format_t *text_detect(text_source_t *source) {
    const char *head;
    size_t n = text_bytes_more(&source->in, &head), at = 0;
    if (source->job->answers || !strcmp(source->job->format, "vqa")) return &text_vqa;
    refuse_foreign(source, head, n);
    while (at < n && text_blank(head + at, 1)) at++;
    char first = at < n ? head[at] : 0;
    restart(source);
    if (!strcmp(source->job->format, "jsonl")) return &text_jsonl;
    if (first == '[') return detect_array(source);
    return first == '{' ? detect_object(source) : detect_lines(source, !first);
}
