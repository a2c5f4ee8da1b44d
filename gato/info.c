/* info.c - `gato info`: describes a policy, as JSON on stdout and as tables on stderr. */
#include "common/base/cli.h"
#include "common/base/table.h"
#include "common/io/text/json.h"
#include "common/io/utf8.h"
#include "gato/commands.h"
#include "gato/model/layout.h"
#include "gato/run/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- for people ---- */

static void print_policy(const char *run, const gato_model_t *m) {
    char text[256];
    const gato_config_t *c = &m->config;
    const vocabulary_t *v = &m->vocabulary;
    table_t t;
    table_begin_plain(&t, "ll");
    table_text(&t, "run");
    table_text(&t, utf8_printable(text, sizeof text, run));
    table_text(&t, "parameters");
    table_format(&t, "%zu", gato_model_parameters(m));
    table_text(&t, "transformer");
    table_format(&t, "width %lld, %lld layers, %lld heads, context %lld", (long long)c->model.width,
                 (long long)c->model.layers, (long long)c->model.heads,
                 (long long)c->model.context);
    if (c->model.chunk > 1) {
        gato_config_chunks(c->model.chunk, c->act.execute, c->act.ensemble, text, sizeof text);
        table_text(&t, "chunks");
        table_text(&t, text);
    }
    if (c->lora.rank) {
        table_text(&t, "adapters");
        table_format(&t, "rank %lld, alpha %g, on %s", (long long)c->lora.rank, c->lora.alpha,
                     c->lora.targets);
    }
    table_text(&t, "vocabulary");
    table_format(&t, "%u ids, %u of them text", tokens_total(&m->tokens), v->text);
    if (m->fast) {
        table_text(&t, "fast");
        table_format(&t, "%u ids, scale %g", v->fast, fast_scale(m->fast));
    }
    table_text(&t, "text tokenizer");
    table_text(&t, v->text_tokenizer ? utf8_printable(text, sizeof text, v->text_tokenizer) : NULL);
    table_text(&t, "codebook");
    if (v->codes)
        table_format(&t, "%u codes of width %u", v->codes, v->code_dim);
    else
        table_text(&t, NULL);
    table_text(&t, "fingerprint");
    table_text(&t, v->fingerprint);
    table_print(&t);
}

static size_t tokens_of(const gato_model_t *m, const task_t *task, layout_t *l) {
    reason_t why;
    if (layout_declared(l, &m->config, task, &why))
        die(RC_DATA, "task '%s': %s", task->name, why.text);
    return layout_tokens(l);
}

static void print_tasks(const gato_model_t *m) {
    char text[TASK_NAME];
    table_t t;
    table_begin(&t, "llrrrr", "task", "kind", "tokens", "window", "random", "expert");
    for (size_t i = 0; i < m->tasks.n; i++) {
        const task_t *task = &m->tasks.v[i];
        layout_t l;
        table_text(&t, utf8_printable(text, sizeof text, task->name));
        table_text(&t, record_kind_names[task->kind]);
        table_format(&t, "%zu", tokens_of(m, task, &l));
        table_format(&t, "%u", m->window[i]);
        table_number(&t, "%.4g", task->random_return);
        table_number(&t, "%.4g", task->expert_return);
    }
    table_print(&t);
}

/* "declared, quantiles 2": how many columns are scaled by what. */
static void scaling_text(const slot_t *slot, char *out, size_t size) {
    size_t count[SCALINGS] = {0}, at = 0;
    for (uint32_t k = 0; k < slot->width; k++) count[slot->scaling[k]]++;
    *out = 0;
    for (int s = 0; s < SCALINGS; s++)
        if (count[s] && at < size)
            at += (size_t)snprintf(out + at, size - at, "%s%zu by %s", at ? ", " : "", count[s],
                                   s == SCALING_DECLARED ? "declared bounds" : scaling_names[s]);
}

static void print_slots(const gato_model_t *m) {
    char text[TASK_NAME], scaling[128];
    table_t t;
    table_begin(&t, "lllrrl", "task", "slot", "kind", "width", "tokens", "scaling");
    for (size_t i = 0; i < m->tasks.n; i++) {
        const task_t *task = &m->tasks.v[i];
        layout_t l;
        tokens_of(m, task, &l);
        for (uint32_t k = 0; k < task->n_slots; k++) {
            const slot_t *slot = &task->slot[k];
            bool acted = slot->side == SIDE_ACTED;
            table_text(&t, utf8_printable(text, sizeof text, task->name));
            table_text(&t, utf8_printable(text, sizeof text, *slot->name ? slot->name : "-"));
            table_format(&t, "%s%s", acted ? "acted " : "", slot_kind_names[slot->kind]);
            if (slot->kind == SLOT_IMAGE && slot->image_h)
                table_format(&t, "%s%u x %u", slot->varies ? "to " : "", slot->image_h,
                             slot->image_w);
            else
                table_format(&t, "%u", slot->width);
            table_format(&t, "%zu", l.count[k]);
            *scaling = 0;
            if (acted && slot->kind == SLOT_VECTOR) scaling_text(slot, scaling, sizeof scaling);
            table_text(&t, *scaling ? scaling : NULL);
        }
    }
    table_print(&t);
}

/* ---- for programs ---- */

/* A member of that name: an object with a number for each task. */
static void put_by_task(jsonw_t *w, const char *key, const gato_model_t *m, bool window) {
    jsonw_open(w, key, '{');
    for (size_t i = 0; i < m->tasks.n; i++) {
        layout_t l;
        size_t tokens = tokens_of(m, &m->tasks.v[i], &l);
        jsonw_int(w, m->tasks.v[i].name, (int64_t)(window ? m->window[i] : tokens));
    }
    jsonw_close(w, '}');
}

static void put_json(jsonw_t *w, const char *key, const char *text) {
    cJSON *o = json_parse(text, strlen(text), false, NULL);
    char *line = o ? cJSON_PrintUnformatted(o) : NULL;
    if (!line) die(RC_RUNTIME, "out of memory (info)");
    jsonw_raw(w, key, line);
    free(line);
    cJSON_Delete(o);
}

static void print_json(const gato_model_t *m) {
    jsonw_t w;
    char *config = config_print(gato_config_table, &m->config), *tasks = tasks_json(&m->tasks);
    cJSON *o = vocabulary_json(&m->vocabulary);
    char *vocabulary = cJSON_Print(o);
    jsonw_begin(&w);
    jsonw_int(&w, "parameters", (int64_t)gato_model_parameters(m));
    jsonw_int(&w, "ids", tokens_total(&m->tokens));
    jsonw_int(&w, "continuous", tokens_continuous(&m->tokens));
    jsonw_int(&w, "discrete", tokens_discrete(&m->tokens));
    put_by_task(&w, "tokens", m, false);
    put_by_task(&w, "timesteps", m, true);
    put_json(&w, "config", config);
    put_json(&w, "vocabulary", vocabulary);
    jsonw_raw(&w, "tasks", tasks);
    puts(jsonw_end(&w));
    jsonw_free(&w);
    free(config);
    free(tasks);
    free(vocabulary);
    cJSON_Delete(o);
}

int cmd_gato_info(int argc, char **argv) {
    cli_list_t run = {0};
    const cli_opt_t table[] = {{"", CLI_LIST, &run, "RUN", "the folder of a policy", true}, {0}};
    cli_parse(argc, argv, "gato info",
              "describe a policy: a JSON object on stdout, tables on stderr",
              (const cli_opt_t *const[]){table}, 1);
    if (run.n != 1) die(RC_USAGE, "give one RUN folder");
    gato_model_t *m = run_open(run.item[0]);
    print_json(m);
    print_policy(run.item[0], m);
    print_tasks(m);
    print_slots(m);
    gato_model_free(m);
    free(run.item);
    return RC_OK;
}
