/* merge_mix.c - see merge_mix.h. */
#include "tokenize/merge_mix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mix_release(mix_t *mix) {
    free(mix->sized);
    *mix = (mix_t){0};
}

/* ---- messages ---- */

enum { LIST = 800, ENTRY = 160 }; /* bytes of a list of tasks in a message */

/* "task arm: image 'front', vector 'state' of 4, acted vector of 2; task text: text 'text'",
 * shortened by "..." where there is no room. Returns out. */
static const char *describe(const tasks_t *tasks, char out[LIST]) {
    size_t at = 0;
    char name[TASK_NAME + 64];
    *out = 0;
    for (size_t i = 0; i < tasks->n; i++) {
        const task_t *task = &tasks->v[i];
        for (uint32_t k = 0; k < task->n_slots || k == 0; k++) {
            if (at + ENTRY > LIST) {
                snprintf(out + at, LIST - at, ", ...");
                return out;
            }
            if (k == 0)
                at += (size_t)snprintf(out + at, LIST - at, "%stask %.60s:", i ? "; " : "",
                                       task->name);
            if (k == task->n_slots) break;
            const slot_t *slot = &task->slot[k];
            at += (size_t)snprintf(out + at, LIST - at, "%s %s%.90s", k ? "," : "",
                                   slot->side == SIDE_ACTED ? "acted " : "", slot_text(slot, name));
        }
    }
    return out;
}

/* Where the JSON of two lists parts, for differences that the slots' names do not show. */
static _Noreturn void refuse_json(const char *a_path, const char *b_path, const char *a,
                                  const char *b) {
    size_t same = 0;
    while (a[same] && a[same] == b[same]) same++;
    size_t from = same > 60 ? same - 60 : 0;
    die(RC_MISFIT, "'%s' and '%s' hold the same slots, but ...%.160s and ...%.160s", a_path, b_path,
        a + from, b + from);
}

/* Are two lists equal but for the sizes of images? */
static void check_tasks(const char *a_path, const tasks_t *a, const char *b_path, const tasks_t *b,
                        const char *advice) {
    char *x = tasks_json_unsized(a), *y = tasks_json_unsized(b);
    if (strcmp(x, y) != 0) {
        char has[LIST], other[LIST];
        tasks_t bare[2] = {tasks_copy(a), tasks_copy(b)}; /* sizes are no difference */
        for (int i = 0; i < 2; i++)
            for (size_t t = 0; t < bare[i].n; t++)
                for (uint32_t k = 0; k < bare[i].v[t].n_slots; k++)
                    bare[i].v[t].slot[k].image_h = 0;
        describe(&bare[0], has);
        describe(&bare[1], other);
        if (!strcmp(has, other)) refuse_json(a_path, b_path, x, y);
        die(RC_MISFIT, "'%s' and '%s' hold other tasks: %s, and %s%s", a_path, b_path, has, other,
            advice);
    }
    free(x);
    free(y);
}

/* ---- codes and texts ---- */

static bool equal_text(const char *a, const char *b) {
    return a == b || (a && b && !strcmp(a, b));
}

static bool equal_bytes(const void *a, const void *b, size_t size) {
    return !a == !b && (!a || !memcmp(a, b, size));
}

static const char *shown(const char *s) {
    return s ? s : "(none)";
}

static void check_codes(const shard_meta_t *a, const char *a_path, const shard_meta_t *b,
                        const char *b_path) {
    const char *what = NULL;
    if (!equal_text(a->fingerprint, b->fingerprint))
        die(RC_MISFIT, "'%s' was made by another tokenizer than '%s': fingerprint %s, not %s",
            b_path, a_path, shown(b->fingerprint), shown(a->fingerprint));
    if (a->codes != b->codes || a->code_dim != b->code_dim ||
        !equal_bytes(a->codebook, b->codebook, (size_t)a->codes * a->code_dim * sizeof(float)))
        what = "codebook";
    else if (!equal_text(a->preprocess, b->preprocess) || !equal_text(a->quantizer, b->quantizer))
        what = "preprocess or quantizer";
    if (what) die(RC_MISFIT, "'%s' and '%s' differ in their %s", a_path, b_path, what);
}

static void check_words(const shard_meta_t *a, const char *a_path, const shard_meta_t *b,
                        const char *b_path) {
    if (!equal_text(a->text_tokenizer, b->text_tokenizer) || a->text_vocab != b->text_vocab)
        die(RC_MISFIT, "'%s' and '%s' differ in their text tokenizer: %s of %u ids, and %s of %u",
            a_path, b_path, shown(a->text_tokenizer), a->text_vocab, shown(b->text_tokenizer),
            b->text_vocab);
}

static void check_mu_law(const shard_meta_t *a, const char *a_path, const shard_meta_t *b,
                         const char *b_path) {
    if (a->mu != b->mu || a->M != b->M)
        die(RC_MISFIT, "'%s' and '%s' differ in their mu-law: %g and %g, %g and %g", a_path, b_path,
            (double)a->mu, (double)a->M, (double)b->mu, (double)b->M);
}

/* ---- sizes of images ---- */

/* A part without images says nothing about sizes. */
static void add_sizes(mix_t *mix, uint32_t number, const task_t *from, bool images) {
    task_t *to = &mix->meta.tasks.v[number];
    for (uint32_t k = 0; images && k < to->n_slots; k++) {
        slot_t *slot = &to->slot[k];
        const slot_t *other = &from->slot[k];
        bool same = slot->grid_h == other->grid_h && slot->grid_w == other->grid_w &&
                    slot->image_h == other->image_h && slot->image_w == other->image_w;
        bool known = mix->sized[number];
        slot->grid_h = !known || same ? other->grid_h : 0;
        slot->grid_w = !known || same ? other->grid_w : 0;
        slot->image_h = !known || same ? other->image_h : 0;
        slot->image_w = !known || same ? other->image_w : 0;
    }
    mix->sized[number] |= images;
}

static uint32_t add_task(mix_t *mix, const task_t *task, bool images) {
    tasks_t *tasks = &mix->meta.tasks;
    tasks_add(tasks, task_copy(task));
    mix->sized = xrealloc(mix->sized, tasks->n * sizeof *mix->sized);
    mix->sized[tasks->n - 1] = images;
    return (uint32_t)(tasks->n - 1);
}

/* ---- adding ---- */

/* Remembers which parts have codes, images without codes, texts. */
static void note(mix_t *mix, const shard_meta_t *meta, const char *path) {
    if (!mix->coded && meta->codes) mix->coded = path;
    if (!mix->uncoded && !meta->codes && meta->images) mix->uncoded = path;
    if (!mix->worded && meta->text_vocab) mix->worded = path;
}

void mix_begin(mix_t *mix, const shard_meta_t *meta, const char *path) {
    *mix = (mix_t){.path = path};
    shard_meta_copy(&mix->meta, meta);
    mix->sized = xcalloc(meta->tasks.n + 1, sizeof *mix->sized);
    for (size_t i = 0; i < meta->tasks.n; i++) mix->sized[i] = meta->images > 0;
    note(mix, meta, path);
}

void mix_add_equal(mix_t *mix, const shard_meta_t *meta, const char *path) {
    check_tasks(mix->path, &mix->meta.tasks, path, &meta->tasks,
                " (--mix joins shards of different tasks)");
    check_codes(&mix->meta, mix->path, meta, path);
    check_words(&mix->meta, mix->path, meta, path);
    check_mu_law(&mix->meta, mix->path, meta, path);
    for (size_t i = 0; i < meta->tasks.n; i++)
        add_sizes(mix, (uint32_t)i, &meta->tasks.v[i], meta->images > 0);
}

/* The sum takes over codes or texts of the first part that has some. */
static void adopt(mix_t *mix, const shard_meta_t *meta) {
    shard_meta_t *sum = &mix->meta, copy;
    shard_meta_copy(&copy, meta);
    if (!mix->coded && meta->codes) {
        free(sum->fingerprint);
        free(sum->preprocess);
        free(sum->quantizer);
        sum->fingerprint = copy.fingerprint;
        sum->preprocess = copy.preprocess;
        sum->quantizer = copy.quantizer;
        sum->codes = copy.codes;
        sum->code_dim = copy.code_dim;
        sum->codebook = copy.codebook;
        copy.fingerprint = copy.preprocess = copy.quantizer = NULL;
        copy.codebook = NULL;
    }
    if (!mix->worded && meta->text_vocab) {
        free(sum->text_tokenizer);
        free(sum->text_file);
        sum->text_tokenizer = copy.text_tokenizer;
        sum->text_file = copy.text_file;
        sum->text_vocab = copy.text_vocab;
        copy.text_tokenizer = copy.text_file = NULL;
    }
    shard_meta_release(&copy);
}

static void check_mixable(const mix_t *mix, const shard_meta_t *meta, const char *path) {
    bool uncoded = meta->images && !meta->codes;
    if (mix->coded && meta->codes) check_codes(&mix->meta, mix->coded, meta, path);
    if ((mix->coded && uncoded) || (mix->uncoded && meta->codes))
        die(RC_MISFIT,
            "'%s' has codes, and '%s' has images without codes (it was made without "
            "--model)",
            uncoded ? mix->coded : path, uncoded ? path : mix->uncoded);
    if (mix->worded && meta->text_vocab) check_words(&mix->meta, mix->worded, meta, path);
    check_mu_law(&mix->meta, mix->path, meta, path);
}

uint32_t *mix_add(mix_t *mix, const shard_meta_t *meta, const char *path) {
    uint32_t *map = xcalloc(meta->tasks.n + 1, sizeof *map);
    check_mixable(mix, meta, path);
    for (size_t i = 0; i < meta->tasks.n; i++) {
        const task_t *task = &meta->tasks.v[i];
        int same = tasks_find(&mix->meta.tasks, task->name);
        if (same < 0) {
            map[i] = add_task(mix, task, meta->images > 0);
            continue;
        }
        map[i] = (uint32_t)same;
        check_tasks(mix->path, &(tasks_t){&mix->meta.tasks.v[same], 1}, path,
                    &(tasks_t){(task_t *)(uintptr_t)task, 1},
                    " (tasks of one name must be equal; --task names those of episodes)");
        add_sizes(mix, map[i], task, meta->images > 0);
    }
    if (mix->meta.tasks.n > TASK_LIST)
        die(RC_MISFIT, "with '%s' there are %zu tasks, more than %d", path, mix->meta.tasks.n,
            TASK_LIST);
    adopt(mix, meta);
    note(mix, meta, path);
    return map;
}
