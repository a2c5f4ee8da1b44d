/* dataset_open.c - opening shards: do they fit each other and the policy, and which tasks are
 * there?
 */
#include "gato/data/shards.h"

#include "common/base/log.h"
#include "common/io/fs.h"
#include "common/io/split.h"
#include "common/io/text/json.h"

#include <stdlib.h>
#include <string.h>

static bool reads_codes(const dataset_t *d) {
    return !gato_config_image_in(&d->config)->pixels;
}

/* How were the steps chosen that the shard keeps? */
static void read_choice(const shard_meta_t *m, shard_t *s) {
    cJSON *o = m->arguments ? json_parse(m->arguments, strlen(m->arguments), false, NULL) : NULL;
    const cJSON *frames = cJSON_GetObjectItemCaseSensitive(o, "frames");
    s->spread = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "spread"));
    s->sampled = cJSON_IsNumber(frames) && frames->valuedouble > 0;
    cJSON_Delete(o);
}

static void open_shard(dataset_t *d, shard_t *s, const char *spec) {
    reason_t why;
    int rc = RC_RUNTIME;
    s->weight = source_spec_split(spec, &s->path);
    for (const shard_t *other = d->shard; other < s; other++)
        if (fs_same(other->path, s->path))
            die(RC_USAGE, "--data names '%s' twice: a weight (%s=2) draws more of a shard", s->path,
                s->path);
    s->db = token_db_open(s->path, &rc, &why);
    if (!s->db) die(rc, "%s", why.text);
    const shard_meta_t *m = token_db_meta(s->db);
    s->n = (size_t)token_db_count(s->db);
    if (!m->complete)
        die(RC_DATA,
            "'%s' is not finished (%zu records so far): run the tokenize command that began it "
            "again, it goes on where it stopped",
            s->path, s->n);
    if (!s->n) die(RC_DATA, "'%s' holds no records", s->path);
    read_choice(m, s);
    s->n_bodies = m->tasks.n;
    s->body = xcalloc(s->n_bodies, sizeof *s->body);
    for (size_t i = 0; i < s->n_bodies; i++) s->body[i].of = &m->tasks.v[i];
    if (s->spread)
        log_line("'%s' holds steps spread over its episodes (tokenize --spread): each is a "
                 "sequence of its own",
                 s->path);
}

/* ---- the vocabulary ---- */

/* A policy may get a codebook with its first task of images, but the ids of its tokens stay. */
static void extend_vocabulary(dataset_t *d, const shard_t *s, const vocabulary_t *more) {
    reason_t why;
    uint32_t before, after;
    tokens_t tokens = vocabulary_tokens(&d->config, &d->vocabulary);
    before = tokens_total(&tokens);
    if (vocabulary_merge(&d->vocabulary, more, reads_codes(d), &why))
        die(RC_MISFIT, "'%s' does not fit the policy: %s", s->path, why.text);
    tokens = vocabulary_tokens(&d->config, &d->vocabulary);
    after = tokens_total(&tokens);
    if (before != after)
        die(RC_MISFIT,
            "'%s' does not fit the policy: its vocabulary would grow from %u to %u ids (it was "
            "trained without %s)",
            s->path, before, after, more->text ? "text" : "image codes");
}

static void take_vocabulary(dataset_t *d, const dataset_opts_t *o, const shard_t *s) {
    reason_t why;
    vocabulary_t v = vocabulary_of(token_db_meta(s->db));
    if (!o->vocabulary && s == d->shard) {
        d->vocabulary = v;
        return;
    }
    if (!o->vocabulary) {
        if (vocabulary_merge(&d->vocabulary, &v, reads_codes(d), &why))
            die(RC_MISFIT, "'%s' and '%s' do not fit: %s", d->shard->path, s->path, why.text);
    } else if (o->extend) {
        extend_vocabulary(d, s, &v);
    } else if (vocabulary_fit(&d->vocabulary, &v, reads_codes(d), &why) ||
               vocabulary_merge(&d->vocabulary, &v, reads_codes(d), &why)) {
        /* the text of a RUN has no codebook: merging takes the shard's */
        die(RC_MISFIT, "'%s' does not fit the policy: %s", s->path, why.text);
    }
    vocabulary_release(&v);
}

/* ---- tasks ---- */

/* Sizes that two sources agree on stay; else they differ (0). */
static void merge_sizes(slot_t *to, const slot_t *more) {
    if (to->image_h != more->image_h || to->image_w != more->image_w) to->image_h = to->image_w = 0;
    if (to->grid_h != more->grid_h || to->grid_w != more->grid_w) to->grid_h = to->grid_w = 0;
}

static void set_text(char **to, const char *from) {
    if (!*to && from) *to = xstrdup(from);
}

/* Adds to a task, which has every slot of `more`, what else is known. */
static void merge_known(task_t *to, const task_t *more) {
    int32_t map[TASK_SLOTS];
    task_map(to, more, map);
    for (uint32_t k = 0; k < more->n_slots; k++) merge_sizes(&to->slot[map[k]], &more->slot[k]);
    if (more->max_steps > to->max_steps) to->max_steps = more->max_steps;
    if (to->random_return != to->random_return) to->random_return = more->random_return;
    if (to->expert_return != to->expert_return) to->expert_return = more->expert_return;
    set_text(&to->env, more->env);
}

/* A misfit of two tasks goes slot by slot, line by line. */
static void misfit(const task_t *task, const char *a, const char *b, const reason_t *why)
    __attribute__((noreturn));
static void misfit(const task_t *task, const char *a, const char *b, const reason_t *why) {
    if (strchr(why->text, '\n'))
        die_list(RC_MISFIT, why->text, "'%s' and '%s' do not fit in the task '%s':", a, b,
                 task->name);
    die(RC_MISFIT, "'%s' and '%s' do not fit in the task '%s': %s", a, b, task->name, why->text);
}

/* The task of both, of which one has every slot of the other. */
static void merge_task(dataset_t *d, task_t *to, const task_t *more, const shard_t *s) {
    reason_t why, other;
    if (!task_fit(to, more, &why)) {
        merge_known(to, more);
        return;
    }
    if (task_fit(more, to, &other)) misfit(to, d->shard->path, s->path, &why);
    task_t larger = task_copy(more);
    merge_known(&larger, to);
    task_release(to);
    *to = larger;
}

/* "'arm', 'grid'": what a policy knows. malloc'ed. */
static char *names_of(const tasks_t *tasks) {
    char *text = xstrdup("");
    for (size_t i = 0; i < tasks->n; i++) {
        char *more = xasprintf("%s%s'%s'", text, i ? ", " : "", tasks->v[i].name);
        free(text);
        text = more;
    }
    return text;
}

static void adopt_task(const task_t *policy, const task_t *of, const shard_t *s) {
    reason_t why;
    if (task_fit(policy, of, &why)) misfit(of, "the policy", s->path, &why);
}

static void take_task(dataset_t *d, const dataset_opts_t *o, const shard_t *s, const task_t *of) {
    int at = tasks_find(&d->tasks, of->name);
    if (at >= 0 && (size_t)at < d->adopted) {
        adopt_task(&d->tasks.v[at], of, s);
    } else if (at >= 0) {
        merge_task(d, &d->tasks.v[at], of, s);
    } else if (!o->tasks || o->extend) {
        tasks_add(&d->tasks, task_copy(of));
    } else {
        char *known = names_of(o->tasks);
        die(RC_MISFIT, "'%s': the policy does not know the task '%s' (it knows %s)", s->path,
            of->name, known);
    }
}

/* ---- goals ---- */

/* A new task of episodes with images gets a slot for goals; a policy's stay as they are. */
static void add_goals(dataset_t *d) {
    bool any = false;
    if (d->config.data.goal == GOAL_NONE) return;
    for (size_t i = 0; i < d->tasks.n; i++) {
        task_t *task = &d->tasks.v[i];
        bool sees =
            task->kind == RECORD_EPISODE && task_first(task, SIDE_OBSERVED, SLOT_IMAGE) >= 0;
        if (sees && i >= d->adopted && !task_add(task, SLOT_IMAGE, SIDE_OBSERVED, GOAL_SLOT, 1))
            die(RC_USAGE, "data.goal: task '%s' has %s", task->name,
                task->n_slots < TASK_SLOTS ? "a slot 'goal' of its own"
                                           : "no room for a slot more");
        any = any || layout_goal(&d->config, task) >= 0;
    }
    if (any) return;
    if (d->adopted)
        die(RC_MISFIT, "data.goal: no task of the policy has a slot of goals (train it anew)");
    die(RC_USAGE, "data.goal would do nothing: no task has episodes with images");
}

/* What fills the goal of a body: its first image. */
static void map_goal(const dataset_t *d, const shard_t *s, body_t *b) {
    const task_t *task = &d->tasks.v[b->task];
    int goal = layout_goal(&d->config, task), first = task_first(task, SIDE_OBSERVED, SLOT_IMAGE);
    b->goal = b->goal_from = -1;
    for (uint32_t k = 0; goal >= 0 && k < b->of->n_slots; k++) {
        if (b->map[k] == goal)
            die(RC_USAGE, "data.goal: '%s' has a slot 'goal' of its own in task '%s'", s->path,
                task->name);
        if (b->map[k] != first) continue;
        b->goal = goal;
        b->goal_from = (int32_t)k;
    }
    if (b->goal >= 0 && s->sampled)
        warn("'%s' keeps some steps of its episodes (tokenize --frames): goals are the last, or "
             "those data.goal_ahead on, of the steps that are kept",
             s->path);
}

/* Its images are as large as those of the camera that fills it. */
static void size_goals(dataset_t *d) {
    for (size_t i = d->adopted; i < d->tasks.n; i++) {
        task_t *task = &d->tasks.v[i];
        int goal = layout_goal(&d->config, task);
        if (goal < 0) continue;
        const slot_t *from = &task->slot[task_first(task, SIDE_OBSERVED, SLOT_IMAGE)];
        slot_t *to = &task->slot[goal];
        to->image_h = from->image_h;
        to->image_w = from->image_w;
        to->grid_h = from->grid_h;
        to->grid_w = from->grid_w;
    }
}

/* Numbers of tasks and slots are settled only when every shard has been looked at. */
static void map_bodies(dataset_t *d) {
    for (size_t k = 0; k < d->n; k++)
        for (size_t i = 0; i < d->shard[k].n_bodies; i++) {
            body_t *b = &d->shard[k].body[i];
            b->task = (uint32_t)tasks_find(&d->tasks, b->of->name);
            b->map = xcalloc(b->of->n_slots, sizeof *b->map);
            task_map(&d->tasks.v[b->task], b->of, b->map);
            map_goal(d, &d->shard[k], b);
        }
}

static void check_codebook(const dataset_t *d) {
    bool vectors = gato_config_image_in(&d->config)->codebook;
    if (vectors && d->vocabulary.codes && !d->vocabulary.codebook)
        die(RC_MISFIT, "'%s' carries no codebook; only model.image_in = table works without one",
            d->shard->path);
}

dataset_t *dataset_open(const cli_list_t *specs, const gato_config_t *c, const dataset_opts_t *o) {
    if (!specs->n) die(RC_USAGE, "no --data given");
    if (o->one_record && !o->tasks) BUG("one record without a policy");
    if (!o->tasks != !o->vocabulary) BUG("a policy has tasks and a vocabulary");
    dataset_t *d = NEW(dataset_t);
    d->config = *c;
    d->n = specs->n;
    d->shard = xcalloc(d->n, sizeof *d->shard);
    if (o->tasks) {
        d->tasks = tasks_copy(o->tasks);
        d->adopted = d->tasks.n;
        d->vocabulary = vocabulary_copy(o->vocabulary);
    }
    for (size_t k = 0; k < d->n; k++) {
        shard_t *s = &d->shard[k];
        open_shard(d, s, specs->item[k]);
        take_vocabulary(d, o, s);
        for (size_t i = 0; i < s->n_bodies; i++) take_task(d, o, s, s->body[i].of);
    }
    check_codebook(d);
    add_goals(d);
    map_bodies(d);
    if (!o->one_record) {
        shards_scan(d);
        size_goals(d);
        shards_split(d);
        shards_text_lengths(d);
        shards_statistics(d);
    }
    shards_windows(d);
    shards_map_scaling(d);
    if (o->one_record) return d;
    shards_fast(d, o->fast);
    shards_count_sequences(d);
    shards_make_streams(d);
    return d;
}

static void close_body(body_t *b) {
    for (int side = 0; side < 2; side++) {
        free(b->side[side]);
        free(b->sequences[side]);
    }
    for (uint32_t k = 0; b->scaling && k < b->of->n_slots; k++) scaling_map_release(&b->scaling[k]);
    free(b->scaling);
    free(b->map);
}

void dataset_close(dataset_t *d) {
    if (!d) return;
    for (size_t k = 0; k < d->n; k++) {
        shard_t *s = &d->shard[k];
        for (size_t i = 0; i < s->n_bodies; i++) close_body(&s->body[i]);
        token_db_close(s->db);
        free(s->body);
        free(s->item);
        free(s->path);
    }
    vocabulary_release(&d->vocabulary);
    tasks_release(&d->tasks);
    free(d->window);
    free(d->stream);
    free(d->shard);
    free(d);
}

const tasks_t *dataset_tasks(const dataset_t *d) {
    return &d->tasks;
}
const vocabulary_t *dataset_vocabulary(const dataset_t *d) {
    return &d->vocabulary;
}
size_t dataset_sources(const dataset_t *d) {
    return d->n;
}
const char *dataset_source(const dataset_t *d, size_t source) {
    return d->shard[source].path;
}
