/* text_vqa.c - VQA: {"questions": [{"image_id", "question_id", "question"}]} in --in and
 * {"annotations": [{"image_id", "question_id", "answers"}]} in --answers, in the same order. An
 * item is a question with its annotation. Holds one of each in memory.
 */
#include "tokenize/text_format.h"

#include "common/io/text/json.h"

#include <stdlib.h>
#include <string.h>

static void begin(text_source_t *source) {
    if (!source->job->answers) die(RC_USAGE, "questions need --answers");
    if (source->answers.stream)
        text_bytes_restart(&source->answers);
    else
        text_bytes_open(&source->answers, source->job->answers, 0);
    json_stream_release(&source->json);
    json_stream_release(&source->annotations);
    source->json = (json_stream_t){.more = text_bytes_more, .ctx = &source->in, .members = true};
    source->annotations =
        (json_stream_t){.more = text_bytes_more, .ctx = &source->answers, .members = true};
}

/* The next element of the member; false at the end. */
static bool next_element(json_stream_t *json, const char *path, const char *member) {
    reason_t why;
    int rc;
    do {
        rc = json_stream_next(json, &why);
    } while (rc > 0 && strcmp(json->member, member) != 0);
    if (rc < 0) die(RC_DATA, "'%s' is not JSON: %s", path, why.text);
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

/* Question i and annotation i belong together: die()s (3) unless both ids say so. */
static void check_pair(const text_source_t *source, size_t i) {
    static const char *const ids[] = {"question_id", "image_id"};
    const job_t *job = source->job;
    cJSON *q = parse_element(&source->json, job->in, "question", i),
          *a = parse_element(&source->annotations, job->answers, "annotation", i);
    for (size_t k = 0; k < 2; k++) {
        uint64_t asked = id_of(q, ids[k], job->in, "question", i),
                 answered = id_of(a, ids[k], job->answers, "annotation", i);
        if (asked != answered)
            die(RC_DATA, "'%s' and '%s' are out of step at index %zu: %s %llu against %llu",
                job->in, job->answers, i, ids[k], (unsigned long long)asked,
                (unsigned long long)answered);
    }
    if (!cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(q, "question")))
        die(RC_DATA, "'%s': question %zu has no text", job->in, i);
    cJSON_Delete(q);
    cJSON_Delete(a);
}

static bool next(text_source_t *source, text_item_t *out) {
    const job_t *job = source->job;
    bool question = next_element(&source->json, job->in, "questions"),
         annotation = next_element(&source->annotations, job->answers, "annotations");
    if (question != annotation && source->number == 0)
        die(RC_DATA, "'%s': no array \"%s\" with elements", question ? job->answers : job->in,
            question ? "annotations" : "questions");
    if (question != annotation)
        die(RC_DATA, "'%s' and '%s' are out of step: %s %llu has no counterpart", job->in,
            job->answers, question ? "question" : "annotation", (unsigned long long)source->number);
    if (!question) return false;
    if (source->counting) check_pair(source, (size_t)source->number);
    if (out) {
        text_item_set(out, source->number, source->json.text, source->json.size);
        out->answer_len = source->annotations.size;
        out->answer =
            memcpy(xmalloc(out->answer_len + 1), source->annotations.text, out->answer_len + 1);
    }
    source->number++;
    return true;
}

/* The question with its answer; the image is named by --image-prefix and its number. */
static int parse_pair(const text_source_t *source, const cJSON *q, const cJSON *a, caption_t *out,
                      reason_t *why) {
    uint64_t image;
    const job_t *job = source->job;
    const char *answer = caption_answer(cJSON_GetObjectItemCaseSensitive(a, "answers")),
               *question = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(q, "question"));
    if (!answer)
        answer =
            cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(a, "multiple_choice_answer"));
    if (!json_u64(cJSON_GetObjectItemCaseSensitive(q, "image_id"), &image) || !question)
        return reason_set(why, "a question without \"image_id\" or text");
    out->image = xasprintf("%s%0*llu.jpg", job->image_prefix, (int)job->image_digits,
                           (unsigned long long)image);
    if (!answer || !*answer) return reason_set(why, "a question without an answer");
    caption_add_question(out, question, answer);
    return 0;
}

static int parse(const text_source_t *source, text_item_t *item, reason_t *why) {
    cJSON *q = json_parse_data(item->text, item->len, why),
          *a = q ? json_parse_data(item->answer, item->answer_len, why) : NULL;
    int rc = a ? parse_pair(source, q, a, &item->caption, why) : -1;
    cJSON_Delete(q);
    cJSON_Delete(a);
    return rc;
}

const text_format_t text_vqa = {
    .name = "vqa", .what = "JSON (VQA's questions)", .begin = begin, .next = next, .parse = parse};
