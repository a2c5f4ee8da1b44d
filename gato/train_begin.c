/* train_begin.c - see train_begin.h. */
#include "gato/train_begin.h"

#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/train/checkpoint.h"
#include "gato/model/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- --resume ---- */

static void damaged(const train_begin_t *b) __attribute__((noreturn));
static void damaged(const train_begin_t *b) {
    die(RC_DATA, "'%s': the training state is damaged", b->out);
}

static const char *member_text(const cJSON *o, const char *key) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
}

/* Reads what training.json records of the run: its configuration, seed and --init. */
static void read_state(train_begin_t *b, const char *json) {
    reason_t why;
    cJSON *o = json_parse(json, strlen(json), false, &why);
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(o, "config");
    const char *seed = member_text(o, "seed"), *init = member_text(o, "init"),
               *program = member_text(o, "program");
    if (!o || !config || !seed || !program) damaged(b);
    if (strcmp(program, "gato"))
        die(RC_MISFIT, "'%s' is a run of %s, not of gato", b->out, program);
    config_defaults(gato_config_table, &b->config);
    if (config_json(gato_config_table, &b->config, config, &why))
        die(RC_MISFIT, "'%s': configuration of another version: %s", b->out, why.text);
    b->seed = strtoull(seed, NULL, 10);
    if (init) snprintf(b->fingerprint, sizeof b->fingerprint, "%s", init);
    cJSON_Delete(o);
}

/* config.json says which tasks there were. A run that was killed while it saved for the first time
 * has none yet; its data tell the same again, unless it began with tasks of another RUN. */
static void read_tasks(train_begin_t *b) {
    reason_t why;
    int rc = run_read_text(b->out, &b->text, &why);
    if (rc == RC_OK) {
        b->tasks = &b->text.tasks;
        b->vocabulary = &b->text.vocabulary;
    } else if (rc != RC_USAGE || *b->fingerprint) {
        die(rc, "%s", why.text);
    }
}

static void begin_resume(train_begin_t *b, gato_config_t *c) {
    st_file_t file;
    char *json;
    reason_t why;
    if (!checkpoint_exists(b->out)) return;
    int rc = checkpoint_open(b->out, &file, &json, &why);
    if (rc) die(rc, "'%s': %s", b->out, why.text);
    st_close(&file);
    read_state(b, json);
    free(json);
    read_tasks(b);
    b->resumed = true;
    *c = b->config;
}

/* ---- --init ---- */

static void begin_init(train_begin_t *b, gato_config_t *c) {
    if (fs_same(b->init, b->out)) die(RC_USAGE, "'%s' is both --init and --out", b->init);
    b->from = run_open(b->init);
    b->config = b->from->config;
    b->tasks = &b->from->tasks;
    b->vocabulary = &b->from->vocabulary;
    run_fingerprint(b->from, b->fingerprint);
    config_copy(gato_config_table, c, &b->config, CONFIG_ARCH);
    config_copy(gato_config_table, c, &b->config, CONFIG_HEAD); /* the heads are there: they stay */
    c->train.window = b->config.train.window; /* its tokens see as far as before */
    c->data.goal = b->config.data.goal;       /* else its slot of goals would be a camera more */
    c->data.goal_ahead = b->config.data.goal_ahead;
}

void train_begin(train_begin_t *b, gato_config_t *c) {
    if (b->init && b->resume)
        die(RC_USAGE, "--init begins a run, --resume goes on with one (which remembers where it "
                      "began): give one of them");
    config_defaults(gato_config_table, c);
    if (b->resume) begin_resume(b, c);
    if (b->init) begin_init(b, c);
}

/* ---- the network ---- */

/* Losses whose heads are parameters: on or off. --init may add some. */
static void check_heads(const train_begin_t *b, const gato_config_t *c) {
    double lost[2], weight[2] = {0}; /* now and then; then and now */
    const char *key = gato_config_new_head(c, &b->config, lost);
    if (key) {
        weight[0] = lost[1];
        weight[1] = lost[0];
    } else if (!b->init) {
        key = gato_config_new_head(&b->config, c, weight);
    }
    if (!key) return;
    die(RC_MISFIT,
        "%s was %g in '%s' and is %g now: the network has a head for it only where it is above 0",
        key, weight[0], b->init ? b->init : b->out, weight[1]);
}

/* A slot of goals that is never filled would still take its share of the attention window. */
static void check_goals(const train_begin_t *b, const gato_config_t *c) {
    if (!b->tasks || c->data.goal != GOAL_NONE || b->config.data.goal == GOAL_NONE) return;
    for (size_t i = 0; i < b->tasks->n; i++)
        if (layout_goal(&b->config, &b->tasks->v[i]) >= 0)
            die(RC_USAGE,
                "data.goal = none: task '%s' of '%s' has a slot of goals, which would stay empty; "
                "leave data.goal away to keep it (data.goal_share gives goals to a share of the "
                "sequences)",
                b->tasks->v[i].name, b->init ? b->init : b->out);
}

void train_begin_check(const train_begin_t *b, const gato_config_t *c) {
    char text[2048];
    gato_config_t was = b->config;
    if (c->lora.rank && !b->init && !*b->fingerprint)
        die(RC_USAGE,
            "lora.rank = %lld needs --init RUN: beside adapters the transformer does not "
            "train, and would stay as it was drawn",
            (long long)c->lora.rank);
    if (b->init && !was.lora.rank) was.lora = c->lora; /* adapters are added */
    if (!b->resumed && !b->init) return;
    const char *run = b->init ? b->init : b->out;
    if (config_diff(gato_config_table, &was, c, CONFIG_ARCH, text, sizeof text))
        die_list(RC_MISFIT, text,
                 "'%s' has another network (the RUN's vs the one asked for):", run);
    check_heads(b, c);
    check_goals(b, c);
}

void train_begin_weights(const train_begin_t *b, gato_model_t *m) {
    if (!b->from) return;
    params_t *from = b->from->params;
    for (size_t i = 0; i < params_n(from); i++) {
        const param_t *p = params_at(from, (int)i);
        int at = params_find(m->params, p->name);
        const param_t *q = at < 0 ? NULL : params_at(m->params, at);
        bool same = q && q->rank == p->rank;
        for (int d = 0; same && d < p->rank; d++) same = q->dim[d] == p->dim[d];
        if (!same)
            die(RC_MISFIT, "--init '%s': the new network has no '%s' of that shape", b->init,
                p->name);
        memcpy(params_ptr(m->params, PARAMS_VALUE, at), params_ptr(from, PARAMS_VALUE, (int)i),
               p->count * sizeof(float));
    }
}

void train_begin_release(train_begin_t *b) {
    if (b->from) gato_model_free(b->from);
    run_text_release(&b->text);
    b->from = NULL;
}
