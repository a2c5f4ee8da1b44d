/* resume.c - see resume.h. */
#include "tokenize/resume.h"

#include "common/io/text/json.h"
#include "tokenize/shard_counts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIFFERENCES = 400 }; /* bytes for the text that lists them */

typedef struct {
    char text[DIFFERENCES];
    size_t n;
} differences_t;

static void add_difference(differences_t *list, const char *name, const cJSON *before,
                           const cJSON *now) {
    char *was = json_shown(before), *is = json_shown(now);
    if (strcmp(was, is) != 0 && list->n < DIFFERENCES)
        list->n += (size_t)snprintf(list->text + list->n, DIFFERENCES - list->n,
                                    "%s%s %.120s, now %.120s", list->n ? "; " : "", name, was, is);
    free(was);
    free(is);
}

static _Noreturn void refuse_options(const char *path, const char *stored, const char *asked) {
    differences_t list = {0};
    cJSON *before = json_parse(stored, strlen(stored), false, NULL);
    cJSON *now = json_parse(asked, strlen(asked), false, NULL);
    const cJSON *first_now = now ? now->child : NULL, *first_before = before ? before->child : NULL;
    for (const cJSON *item = first_now; item; item = item->next)
        add_difference(&list, item->string, cJSON_GetObjectItemCaseSensitive(before, item->string),
                       item);
    for (const cJSON *item = first_before; item; item = item->next)
        if (!cJSON_GetObjectItemCaseSensitive(now, item->string))
            add_difference(&list, item->string, item, NULL);
    die(RC_MISFIT, "'%s' was begun with other options or data: %s (--force replaces it)", path,
        list.text);
}

/* Paths are not compared: the manifest says whether it is the same data. */
static void check_options(const char *path, const char *stored, const char *asked) {
    char *was = job_compared(stored ? stored : "{}"), *is = job_compared(asked);
    if (strcmp(was, is) != 0) refuse_options(path, was, is);
    free(was);
    free(is);
}

static void read_image_hashes(token_db_t *shard, hash_set_t *images) {
    reason_t why;
    for (uint64_t i = 0; i < token_db_count(shard); i++) {
        token_record_t record;
        if (token_db_get(shard, i, &record, &why)) die(RC_DATA, "%s", why.text);
        if (record.image_hash)
            hash_set_add(images, (uint64_t)record.image_hash[1] << 32 | record.image_hash[0]);
        token_record_release(&record);
    }
}

bool resume_read(const job_t *job, shard_meta_t *meta, hash_set_t *images) {
    int rc;
    token_db_t *shard = token_db_open(job->out, &rc, NULL);
    if (!shard) return false;
    const shard_meta_t *stored = token_db_meta(shard);
    bool complete = stored->complete;
    check_options(job->out, stored->arguments, meta->arguments);
    free(meta->arguments);
    meta->arguments = xstrdup(stored->arguments);
    if (!complete && job->dedupe) read_image_hashes(shard, images);
    if (complete) {
        shard_counts_copy(meta, stored);
        meta->complete = true;
    }
    token_db_close(shard);
    return complete;
}
