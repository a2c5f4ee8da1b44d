/* prompt.c - see prompt.h. */
#include "gato/play/prompt.h"

#include "common/io/fs.h"
#include "gato/data/dataset.h"

#include <stdlib.h>
#include <string.h>

struct prompts {
    dataset_t *d;
    uint32_t task;
    bool one; /* the record `id`; else any */
    uint64_t id, n;
    uint64_t *best; /* [n] the records that are drawn from; NULL = all n */
    size_t room;    /* timesteps */
    sequence_t now; /* what is fed lives until the next */
    sequence_steps_t steps;
};

/* Splits "X.lmdb:ID" at its last colon, unless the whole is a path. Returns the path, malloc'ed. */
static char *split(const char *spec, bool *one, uint64_t *id) {
    char *path = xstrdup(spec), *colon = strrchr(path, ':'), *end;
    if (fs_exists(spec) || !colon || colon[1] < '0' || colon[1] > '9') return path;
    *id = strtoull(colon + 1, &end, 10);
    if (*end) return path;
    *one = true;
    *colon = 0;
    return path;
}

static void drop(prompts_t *s) {
    sequence_steps_release(&s->steps);
    sequence_release(&s->now);
}

/* Keeps the best episodes only. */
static void take_best(prompts_t *s, const char *spec, size_t top) {
    if (s->one)
        die(RC_USAGE, "--prompt-top: '%s' is one record; without its number it is a choice", spec);
    size_t most = top < s->n ? top : (size_t)s->n; /* a record has one episode at most */
    s->best = xcalloc(most + 1, sizeof *s->best);
    size_t n = dataset_top(s->d, 0, s->task, most, s->best);
    if (n < top)
        die(RC_USAGE, "--prompt-top %zu: '%s' has %zu episodes of task '%s'", top, spec, n,
            dataset_tasks(s->d)->v[s->task].name);
    s->n = top;
}

/* Finds record i, or the next one of the task; false: there is none. */
static bool find(prompts_t *s, uint64_t i) {
    drop(s);
    if (s->best) return dataset_end(s->d, 0, s->best[i], s->task, s->room, &s->now);
    for (uint64_t k = 0; k < (s->one ? 1 : s->n); k++)
        if (dataset_end(s->d, 0, s->one ? s->id : (i + k) % s->n, s->task, s->room, &s->now))
            return true;
    return false;
}

prompts_t *prompts_open(const char *spec, size_t top, const player_t *p, uint32_t task) {
    const gato_model_t *m = player_model(p);
    prompts_t *s = NEW(prompts_t);
    *s = (prompts_t){.task = task, .room = m->window[task] - 1};
    if (!s->room)
        die(RC_USAGE, "--prompt: the policy sees one timestep alone (its attention window), there "
                      "is no room for a prompt");
    char *path = split(spec, &s->one, &s->id);
    const char *item[1] = {path};
    s->d = dataset_open(
        &(cli_list_t){item, 1, 1}, &m->config,
        &(dataset_opts_t){.tasks = &m->tasks, .vocabulary = &m->vocabulary, .one_record = true});
    s->n = dataset_records(s->d, 0, UINT32_MAX, SIDE_ALL);
    if (top) take_best(s, spec, top);
    if (!find(s, 0))
        die(RC_USAGE,
            "--prompt '%s': there is no such record of task '%s' (%llu records, counted "
            "from 0)",
            spec, m->tasks.v[task].name, (unsigned long long)s->n);
    free(path);
    return s;
}

void prompts_close(prompts_t *s) {
    if (!s) return;
    drop(s);
    dataset_close(s->d);
    free(s->best);
    free(s);
}

uint64_t prompts_hash(const prompts_t *s) {
    return dataset_checksums(s->d);
}

int prompts_feed(prompts_t *s, player_t *p, size_t lane, rng_t draw, reason_t *why) {
    if (!find(s, rng_below(draw, 0, (uint32_t)s->n))) BUG("a record that was there");
    if (sequence_steps(&player_model(p)->config, &s->now, &s->steps, why)) return -1;
    return player_feed(p, lane, s->steps.step, s->steps.n, draw, why);
}
