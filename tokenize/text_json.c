/* text_json.c - the elements of a JSON array, of one member of an object that is an array
 * ({"data": [...]}), or objects one behind the other. An element is held in memory.
 */
#include "tokenize/text_format.h"

#include <string.h>

static void begin(text_source_t *s) {
    json_stream_release(&s->json);
    s->json = (json_stream_t){.more = text_bytes_more, .ctx = &s->in, .members = s->list != NULL};
}

static bool next(text_source_t *s, text_item_t *out) {
    reason_t why;
    int rc;
    do {
        rc = json_stream_next(&s->json, &why);
    } while (rc > 0 && s->list && strcmp(s->json.member, s->list) != 0);
    if (rc < 0) die(RC_DATA, "'%s': no JSON: %s", s->job->in, why.text);
    if (rc == 0) return false;
    s->number++;
    if (out) text_item_set(out, s->number, s->json.text, s->json.size);
    return true;
}

static int parse(const text_source_t *s, text_item_t *t, reason_t *why) {
    return caption_parse(t->text, t->len, s->job->caption, &t->caption, why);
}

const text_format_t text_json = {.name = "json",
                                 .what = "JSON (an array of objects)",
                                 .begin = begin,
                                 .next = next,
                                 .parse = parse};
