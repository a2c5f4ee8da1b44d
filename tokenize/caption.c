/* caption.c - see caption.h. */
#include "tokenize/caption.h"

#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/io/text/json_caption.h"

#include <stdlib.h>
#include <string.h>

enum {
    MOST_ANSWERS = 1000, /* to one question; each is compared with each. VQA has ten */
    MOST_TEXTS = 1000    /* captions of one object */
};

void caption_release(caption_t *c) {
    for (size_t i = 0; i < c->n; i++) free(c->text[i].text);
    free(c->text);
    free(c->image);
    *c = (caption_t){0};
}

static const cJSON *member_of(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

static const char *string_of(const cJSON *object, const char *key) {
    return cJSON_GetStringValue(member_of(object, key));
}

/* ---- texts ---- */

/* Takes over `text`. */
static void add_owned(caption_t *out, char *text, size_t prompt_len) {
    out->text = xgrow(out->text, &out->cap, out->n + 1, sizeof *out->text);
    out->text[out->n++] =
        (caption_text_t){.text = text, .len = strlen(text), .prompt_len = prompt_len};
}

void caption_add(caption_t *out, const char *text) {
    add_owned(out, xstrdup(text), 0);
}

void caption_add_question(caption_t *out, const char *question, const char *answer) {
    if (*question)
        add_owned(out, xasprintf("%s %s", question, answer), strlen(question) + 1);
    else
        caption_add(out, answer);
}

static const char *answer_of(const cJSON *item) {
    return cJSON_IsObject(item) ? string_of(item, "answer") : cJSON_GetStringValue(item);
}

/* How many items from this one on give the answer. */
static size_t count_answers(const cJSON *item, const char *answer) {
    size_t n = 0;
    for (; item; item = item->next) n += answer_of(item) && !strcmp(answer_of(item), answer);
    return n;
}

const char *caption_answer(const cJSON *answers) {
    const char *best = NULL;
    size_t most = 0;
    if (cJSON_IsString(answers)) return answers->valuestring;
    if (!cJSON_IsArray(answers) || cJSON_GetArraySize(answers) > MOST_ANSWERS) return NULL;
    for (const cJSON *item = answers->child; item; item = item->next) {
        const char *text = answer_of(item);
        size_t n = text ? count_answers(item, text) : 0;
        if (n <= most) continue;
        most = n;
        best = text;
    }
    return best;
}

/* ---- images ---- */

static int image_of(const cJSON *item, const char *name, caption_t *out, reason_t *why) {
    if (cJSON_IsArray(item) && item->child && item->child->next)
        return reason_set(why, "\"%s\" names several images; one is possible", name);
    if (cJSON_IsArray(item)) item = item->child;
    if (cJSON_IsObject(item)) item = member_of(item, "path"); /* Hugging Face's form */
    if (!cJSON_IsString(item)) return reason_set(why, "\"%s\" is no path", name);
    if (!*item->valuestring) return reason_set(why, "\"%s\" is empty", name);
    out->image = xstrdup(item->valuestring);
    return 0;
}

static int read_image(const cJSON *o, caption_t *out, reason_t *why) {
    static const char *const names[] = {"image",           "file_name",  "filename",
                                        "image_file_name", "image_path", "images"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const cJSON *item = member_of(o, names[i]);
        bool none = cJSON_IsArray(item) && !item->child;
        if (item && !none) return image_of(item, names[i], out, why);
    }
    return 0;
}

/* Karpathy's splits of COCO keep the folder in "filepath", beside the name. */
static void join_folder(const cJSON *o, caption_t *out) {
    const char *folder = string_of(o, "filepath");
    if (!out->image || !string_of(o, "filename") || !folder || !*folder) return;
    char *path = fs_join(folder, out->image);
    free(out->image);
    out->image = path;
}

/* ---- conversations ---- */

typedef enum { TURN_OTHER, TURN_QUESTION, TURN_ANSWER } turn_t;

static turn_t turn_of(const cJSON *turn) {
    static const char *const asks[] = {"human", "user"}, *const says[] = {"gpt", "assistant"};
    const char *who = string_of(turn, "from");
    if (!who) who = string_of(turn, "role");
    if (!who) return TURN_OTHER;
    for (size_t i = 0; i < 2; i++) {
        if (!strcmp(who, asks[i])) return TURN_QUESTION;
        if (!strcmp(who, says[i])) return TURN_ANSWER;
    }
    return TURN_OTHER;
}

/* The text of a turn without "<image>", which stands for the codes, and without white space around
 * it; malloc'ed. */
static char *words_of_turn(const char *text) {
    static const char mark[] = "<image>", space[] = " \t\r\n";
    size_t n = 0;
    char *own = xmalloc(strlen(text) + 1);
    while (*text) {
        bool marked = !strncmp(text, mark, strlen(mark));
        if (marked)
            text += strlen(mark);
        else if (n == 0 && strchr(space, *text))
            text++;
        else
            own[n++] = *text++;
    }
    while (n && strchr(space, own[n - 1])) n--;
    own[n] = 0;
    return own;
}

/* A turn's text: a string, or the first text of a list of parts. NULL: none. */
static const char *content_of(const cJSON *turn) {
    const cJSON *item = member_of(turn, "value");
    if (!item) item = member_of(turn, "content");
    if (cJSON_IsString(item)) return item->valuestring;
    if (!cJSON_IsArray(item)) return NULL;
    for (const cJSON *part = item->child; part; part = part->next)
        if (string_of(part, "text")) return string_of(part, "text");
    return NULL;
}

/* Adds each answer with the question before it. */
static int read_conversation(const cJSON *turns, caption_t *out, reason_t *why) {
    char *question = NULL;
    int rc = 0;
    for (const cJSON *t = turns->child; t && !rc; t = t->next) {
        turn_t kind = turn_of(t);
        const char *text = content_of(t);
        if (kind == TURN_OTHER) continue;
        if (!text) {
            rc = reason_set(why, "a turn of the conversation has no text");
        } else if (kind == TURN_QUESTION) {
            free(question);
            question = words_of_turn(text);
        } else {
            char *answer = words_of_turn(text);
            if (question && *answer) caption_add_question(out, question, answer);
            free(answer);
            free(question);
            question = NULL;
        }
    }
    free(question);
    return rc || out->n ? rc : reason_set(why, "a conversation without an answer");
}

/* ---- objects ---- */

static int read_captions(const cJSON *caption, caption_t *out, reason_t *why) {
    if (json_caption_count(caption) > MOST_TEXTS)
        return reason_set(why, "more than %d captions", MOST_TEXTS);
    for (size_t i = 0; i < json_caption_count(caption); i++)
        if (json_caption_text(caption, i)) caption_add(out, json_caption_text(caption, i));
    return out->n ? 0 : reason_set(why, "a list of captions without a word");
}

static int read_words(const cJSON *o, const char *member, caption_t *out, reason_t *why) {
    const cJSON *turns = member_of(o, "conversations"), *caption = json_caption(o, member);
    const char *question = string_of(o, "question");
    if (!turns) turns = member_of(o, "messages");
    if (cJSON_IsArray(turns) && !member) return read_conversation(turns, out, why);
    if (question && !member) {
        const char *answer = caption_answer(member_of(o, "answer"));
        if (!answer) answer = caption_answer(member_of(o, "answers"));
        if (!answer || !*answer) return reason_set(why, "a question without an answer");
        if (caption) return reason_set(why, "a question and a text");
        caption_add_question(out, question, answer);
        return 0;
    }
    if (caption) return read_captions(caption, out, why);
    if (member) return reason_set(why, "no text in \"%s\" (--caption)", member);
    return reason_set(why,
                      "neither a caption (" JSON_CAPTION_NAMES
                      ") nor a question nor a conversation; --caption KEY names another member");
}

int caption_from_json(const cJSON *o, const char *member, caption_t *out, reason_t *why) {
    *out = (caption_t){0};
    if (cJSON_IsString(o) && *o->valuestring) {
        caption_add(out, o->valuestring);
        return 0;
    }
    if (!cJSON_IsObject(o)) return reason_set(why, "no JSON object");
    int rc = read_image(o, out, why);
    if (!rc) rc = read_words(o, member, out, why);
    if (rc) caption_release(out);
    if (!rc) join_folder(o, out);
    return rc;
}

int caption_parse(const char *json, size_t size, const char *member, caption_t *out,
                  reason_t *why) {
    *out = (caption_t){0};
    cJSON *o = json_parse_data(json, size, why);
    if (!o) return -1;
    int rc = caption_from_json(o, member, out, why);
    cJSON_Delete(o);
    return rc;
}
