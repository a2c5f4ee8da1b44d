/* token_db_meta.c - shard_meta_t to bytes and back (FORMATS.md 1.3). */
#include "common/io/text/json.h"
#include "common/io/token_db/token_db_value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void shard_meta_release(shard_meta_t *m) {
    free(m->tool);
    free(m->arguments);
    free(m->fingerprint);
    free(m->preprocess);
    free(m->quantizer);
    free(m->text_tokenizer);
    free(m->text_file);
    free(m->codebook);
    tasks_release(&m->tasks);
    *m = (shard_meta_t){0};
}

static char *copy_string(const char *s) {
    return s ? xstrdup(s) : NULL;
}

void shard_meta_copy(shard_meta_t *to, const shard_meta_t *from) {
    *to = *from;
    to->tool = copy_string(from->tool);
    to->arguments = copy_string(from->arguments);
    to->fingerprint = copy_string(from->fingerprint);
    to->preprocess = copy_string(from->preprocess);
    to->quantizer = copy_string(from->quantizer);
    to->text_tokenizer = copy_string(from->text_tokenizer);
    to->text_file = copy_string(from->text_file);
    to->tasks = tasks_copy(&from->tasks);
    if (!from->codebook) return;
    size_t bytes = (size_t)from->codes * from->code_dim * sizeof(float);
    to->codebook = memcpy(xmalloc(bytes), from->codebook, bytes);
}

/* The head as it lies in the file: 6 words of 4 bytes, 7 of 8. */
typedef struct {
    uint32_t codes, code_dim, text_vocab, complete;
    float mu, M;
    uint64_t records, images, episodes, steps, tokens, skipped, bad;
} head_t;
_Static_assert(sizeof(head_t) == META_HEAD, "no padding");

static const token_key_t meta_key = {TAG_META, 0, 0}, codebook_key = {TAG_META, 1, 0},
                         text_file_key = {TAG_META, 2, 0};

static value_part_t string_part(unsigned part, const char *s) {
    return (value_part_t){
        .part = (uint16_t)part, .type = 'B', .count = s ? strlen(s) : 0, .data = s};
}

int token_meta_check(const shard_meta_t *m, reason_t *why) {
    if (m->tasks.n > TASK_LIST)
        return reason_set(why, "%zu tasks, more than %d", m->tasks.n, TASK_LIST);
    for (size_t i = 0; i < m->tasks.n; i++) {
        const task_t *t = &m->tasks.v[i];
        if (task_check(t, why)) return -1;
        if (tasks_find(&m->tasks, t->name) != (int)i)
            return reason_set(why, "task '%s' is there twice", t->name);
        if (task_first(t, SIDE_OBSERVED, SLOT_TEXT) >= 0 && !m->text_vocab)
            return reason_set(why, "task '%s' has a text, and there is no text vocabulary",
                              t->name);
    }
    return 0;
}

uint8_t *token_meta_build(const shard_meta_t *m, size_t *size) {
    reason_t why;
    if (token_meta_check(m, &why)) BUG("shard meta: %s", why.text);
    head_t h = {
        .codes = m->codes,
        .code_dim = m->code_dim,
        .text_vocab = m->text_vocab,
        .complete = m->complete,
        .mu = m->mu,
        .M = m->M,
        .records = m->records,
        .images = m->images,
        .episodes = m->episodes,
        .steps = m->steps,
        .tokens = m->tokens,
        .skipped = m->skipped,
        .bad = m->bad,
    };
    char *tasks = tasks_json(&m->tasks);
    value_part_t part[] = {
        string_part(PART_TOOL, m->tool),
        string_part(PART_ARGUMENTS, m->arguments),
        string_part(PART_FINGERPRINT, m->fingerprint),
        string_part(PART_PREPROCESS, m->preprocess),
        string_part(PART_QUANTIZER, m->quantizer),
        string_part(PART_TEXT_TOKENIZER, m->text_tokenizer),
        string_part(PART_TASKS, tasks),
    };
    uint8_t *v = value_build(meta_key, &h, sizeof h, part, sizeof part / sizeof *part, size);
    free(tasks);
    return v;
}

/* ---- back ---- */

static int bad_part(reason_t *why, const char *name) {
    reason_set(why, "corrupt: %s in the meta value", name);
    return RC_DATA;
}

static int take_string(const value_t *v, unsigned part, const char *name, char **out,
                       reason_t *why) {
    const value_part_t *p = value_part(v, part, 0);
    if (!p) return 0;
    if (p->type != 'B' || memchr(p->data, 0, p->count)) return bad_part(why, name);
    *out = xmalloc(p->count + 1);
    memcpy(*out, p->data, p->count);
    (*out)[p->count] = 0;
    return 0;
}

static int take_tasks(const value_t *v, shard_meta_t *m, reason_t *why) {
    const value_part_t *p = value_part(v, PART_TASKS, 0);
    reason_t cause;
    if (!p || p->type != 'B') return bad_part(why, "tasks");
    if (tasks_parse(&m->tasks, p->data, p->count, &cause) || token_meta_check(m, &cause)) {
        reason_set(why, "corrupt: %.500s", cause.text);
        return RC_DATA;
    }
    return 0;
}

static int take_parts(const value_t *v, shard_meta_t *m, reason_t *why) {
    const struct {
        unsigned part;
        const char *name;
        char **to;
    } string[] = {
        {PART_TOOL, "tool", &m->tool},
        {PART_ARGUMENTS, "arguments", &m->arguments},
        {PART_FINGERPRINT, "fingerprint", &m->fingerprint},
        {PART_PREPROCESS, "preprocess", &m->preprocess},
        {PART_QUANTIZER, "quantizer", &m->quantizer},
        {PART_TEXT_TOKENIZER, "text_tokenizer", &m->text_tokenizer},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof string / sizeof *string && !rc; i++)
        rc = take_string(v, string[i].part, string[i].name, string[i].to, why);
    if (rc) return rc;
    if (m->fingerprint &&
        (strlen(m->fingerprint) != 32 || strspn(m->fingerprint, "0123456789abcdef") != 32))
        return bad_part(why, "fingerprint");
    if (!isfinite(m->mu) || !isfinite(m->M)) return bad_part(why, "mu or M");
    return take_tasks(v, m, why);
}

/* A shard of version 1 cannot be read, but its arguments stand where they did: they tell which
 * command made it. Appends that to *why. */
static void tell_command(const uint8_t *v, size_t size, reason_t *why) {
    enum { OLD_VERSION = 1, OLD_META_HEAD = 112 };
    value_t value;
    char *arguments = NULL;
    if (!why || value_parse_version(v, size, OLD_VERSION, meta_key, OLD_META_HEAD, &value, NULL) ||
        take_string(&value, PART_ARGUMENTS, "arguments", &arguments, NULL) || !arguments)
        return;
    cJSON *o = json_parse(arguments, strlen(arguments), false, NULL);
    const char *command = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "command")),
               *source = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "source"));
    reason_t cause = *why;
    if (command)
        reason_set(why, "%s; make it anew: tokenize %.20s --in '%.200s' --force ...", cause.text,
                   command, source ? source : "...");
    cJSON_Delete(o);
    free(arguments);
}

int token_meta_parse(const uint8_t *v, size_t size, shard_meta_t *out, reason_t *why) {
    value_t value;
    head_t h;
    *out = (shard_meta_t){0};
    int rc = value_parse(v, size, meta_key, sizeof h, &value, why);
    if (rc == RC_MISFIT) tell_command(v, size, why);
    if (rc) return rc;
    memcpy(&h, value.head, sizeof h);
    *out = (shard_meta_t){
        .codes = h.codes,
        .code_dim = h.code_dim,
        .text_vocab = h.text_vocab,
        .complete = h.complete != 0,
        .mu = h.mu,
        .M = h.M,
        .records = h.records,
        .images = h.images,
        .episodes = h.episodes,
        .steps = h.steps,
        .tokens = h.tokens,
        .skipped = h.skipped,
        .bad = h.bad,
    };
    rc = take_parts(&value, out, why);
    if (rc) shard_meta_release(out);
    return rc;
}

/* ---- codebook ---- */

uint8_t *token_codebook_build(const shard_meta_t *m, size_t *size) {
    value_part_t part = {.part = PART_CODEBOOK,
                         .type = 'f',
                         .count = (uint64_t)m->codes * m->code_dim,
                         .data = m->codebook};
    return value_build(codebook_key, NULL, 0, &part, 1, size);
}

int token_codebook_parse(const uint8_t *v, size_t size, shard_meta_t *m, reason_t *why) {
    value_t value;
    int rc = value_parse(v, size, codebook_key, 0, &value, why);
    if (rc) return rc;
    const value_part_t *p = value_part(&value, PART_CODEBOOK, 0);
    uint64_t n = (uint64_t)m->codes * m->code_dim;
    if (!p || p->type != 'f' || p->count != n || n == 0)
        return bad_part(why, "the codebook's size");
    for (uint64_t i = 0; i < n; i++)
        if (!isfinite(((const float *)p->data)[i]))
            return bad_part(why, "a number that is not finite in the codebook");
    m->codebook = xmalloc(n * sizeof(float));
    memcpy(m->codebook, p->data, n * sizeof(float));
    return 0;
}

/* ---- the text tokenizer's file ---- */

uint8_t *token_text_file_build(const shard_meta_t *m, size_t *size) {
    value_part_t part = string_part(PART_TEXT_FILE, m->text_file);
    return value_build(text_file_key, NULL, 0, &part, 1, size);
}

int token_text_file_parse(const uint8_t *v, size_t size, shard_meta_t *m, reason_t *why) {
    value_t value;
    int rc = value_parse(v, size, text_file_key, 0, &value, why);
    return rc ? rc : take_string(&value, PART_TEXT_FILE, "text_file", &m->text_file, why);
}
