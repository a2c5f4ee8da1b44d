/* text_json.c - the elements of a JSON array, of an array that is a member of an object
 * ({"data": [...]}), or objects one after another. Holds one element in memory.
 */
#include "tokenize/text_format.h"

#include <string.h>

static void begin(text_source_t *source) {
    json_stream_release(&source->json);
    source->json = (json_stream_t){
        .more = text_bytes_more, .ctx = &source->in, .members = source->list != NULL};
}

static bool next(text_source_t *source, text_item_t *out) {
    reason_t why;
    int rc;
    do {
        rc = json_stream_next(&source->json, &why);
    } while (rc > 0 && source->list && strcmp(source->json.member, source->list) != 0);
    if (rc < 0) die(RC_DATA, "'%s' is not JSON: %s", source->job->in, why.text);
    if (rc == 0) return false;
    source->number++;
    if (out) text_item_set(out, source->number, source->json.text, source->json.size);
    return true;
}

static int parse(const text_source_t *source, text_item_t *item, reason_t *why) {
    return caption_parse(item->text, item->len, source->job->caption, &item->caption, why);
}

const text_format_t text_json = {.name = "json",
                                 .what = "JSON (an array of objects)",
                                 .begin = begin,
                                 .next = next,
                                 .parse = parse};
