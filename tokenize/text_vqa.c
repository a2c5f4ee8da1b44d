/* text_vqa.c - VQA: {"questions": [{"image_id", "question_id", "question"}]} in --in,
 * {"annotations": [{"image_id", "question_id", "answers"}]} in --answers, in step. An item is a
 * question with its annotation.
 */
#include "tokenize/text_format.h"

#include "common/io/text/json.h"

#include <stdlib.h>
#include <string.h>

static void begin(text_source_t *s) {
    if (!s->job->answers) die(RC_USAGE, "questions need --answers");
    if (s->answers.stream)
        text_bytes_restart(&s->answers);
    else
        text_bytes_open(&s->answers, s->job->answers, 0);
    json_stream_release(&s->json);
    json_stream_release(&s->annotations);
    s->json = (json_stream_t){.more = text_bytes_more, .ctx = &s->in, .members = true};
    s->annotations = (json_stream_t){.more = text_bytes_more, .ctx = &s->answers, .members = true};
}

/* The next element of the member; false at the end. */
static bool element(json_stream_t *json, const char *path, const char *member) {
    reason_t why;
    int rc;
    do {
        rc = json_stream_next(json, &why);
    } while (rc > 0 && strcmp(json->member, member) != 0);
    if (rc < 0) die(RC_DATA, "'%s': no JSON: %s", path, why.text);
    return rc > 0;
}

static cJSON *parse_element(const json_stream_t *json, const char *path, const char *what,
                            size_t i) {
    reason_t why;
    cJSON *o = json_parse_data(json->text, json->size, &why);
    if (!o) die(RC_DATA, "'%s': %s %zu: %s", path, what, i, why.text);
    return o;
}

static uint64_t id_of(const cJSON *o, const char *id, const char *path, const char *what,
                      size_t i) {
    uint64_t v = 0;
    if (!json_u64(cJSON_GetObjectItemCaseSensitive(o, id), &v))
        die(RC_DATA, "'%s': %s %zu has no %s", path, what, i, id);
    return v;
}

/* Question i belongs to annotation i: both ids must say so. */
static void check_step(const text_source_t *s, size_t i) {
    static const char *const ids[] = {"question_id", "image_id"};
    const job_t *j = s->job;
    cJSON *q = parse_element(&s->json, j->in, "question", i),
          *a = parse_element(&s->annotations, j->answers, "annotation", i);
    for (size_t k = 0; k < 2; k++) {
        uint64_t x = id_of(q, ids[k], j->in, "question", i),
                 y = id_of(a, ids[k], j->answers, "annotation", i);
        if (x != y)
            die(RC_DATA, "'%s' and '%s' are out of step at index %zu: %s %llu against %llu", j->in,
                j->answers, i, ids[k], (unsigned long long)x, (unsigned long long)y);
    }
    if (!cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(q, "question")))
        die(RC_DATA, "'%s': question %zu has no text", j->in, i);
    cJSON_Delete(q);
    cJSON_Delete(a);
}

static bool next(text_source_t *s, text_item_t *out) {
    const job_t *j = s->job;
    bool question = element(&s->json, j->in, "questions"),
         annotation = element(&s->annotations, j->answers, "annotations");
    if (question != annotation && s->number == 0)
        die(RC_DATA, "'%s': no array \"%s\" with elements", question ? j->answers : j->in,
            question ? "annotations" : "questions");
    if (question != annotation)
        die(RC_DATA, "'%s' and '%s' are out of step: %s %llu has no counterpart", j->in, j->answers,
            question ? "question" : "annotation", (unsigned long long)s->number);
    if (!question) return false;
    if (s->counting) check_step(s, (size_t)s->number);
    if (out) {
        text_item_set(out, s->number, s->json.text, s->json.size);
        out->answer_len = s->annotations.size;
        out->answer =
            memcpy(xmalloc(out->answer_len + 1), s->annotations.text, out->answer_len + 1);
    }
    s->number++;
    return true;
}

static int take(const text_source_t *s, const cJSON *q, const cJSON *a, caption_t *out,
                reason_t *why) {
    uint64_t image;
    const job_t *j = s->job;
    const char *answer = caption_answer(cJSON_GetObjectItemCaseSensitive(a, "answers")),
               *question = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(q, "question"));
    if (!answer)
        answer =
            cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(a, "multiple_choice_answer"));
    if (!json_u64(cJSON_GetObjectItemCaseSensitive(q, "image_id"), &image) || !question)
        return reason_set(why, "a question without \"image_id\" or text");
    out->image =
        xasprintf("%s%0*llu.jpg", j->image_prefix, (int)j->image_digits, (unsigned long long)image);
    if (!answer || !*answer) return reason_set(why, "a question without an answer");
    caption_add_question(out, question, answer);
    return 0;
}

static int parse(const text_source_t *s, text_item_t *t, reason_t *why) {
    cJSON *q = json_parse_data(t->text, t->len, why),
          *a = q ? json_parse_data(t->answer, t->answer_len, why) : NULL;
    int rc = a ? take(s, q, a, &t->caption, why) : -1;
    cJSON_Delete(q);
    cJSON_Delete(a);
    return rc;
}

const text_format_t text_vqa = {
    .name = "vqa", .what = "JSON (VQA's questions)", .begin = begin, .next = next, .parse = parse};
