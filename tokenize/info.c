/* info.c - `tokenize info`: shows what a shard holds, as JSON on stdout and as a table on stderr.
 */
#include "common/base/cli.h"
#include "common/base/log.h"
#include "common/base/table.h"
#include "common/io/text/json.h"
#include "common/io/token_db/token_db.h"
#include "common/io/utf8.h"
#include "tokenize/commands.h"
#include "tokenize/shard_open.h"
#include "tokenize/shard_stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BAD_SHOWN = 20 };

/* Text that should be JSON, as the value that it is; as a string when it is not JSON. */
static void put_json(jsonw_t *json, const char *key, const char *text) {
    cJSON *o = text ? json_parse(text, strlen(text), false, NULL) : NULL;
    if (o) {
        char *canonical = json_canonical(o);
        jsonw_raw(json, key, canonical);
        free(canonical);
    } else {
        jsonw_str(json, key, text);
    }
    cJSON_Delete(o);
}

static void put_bad(jsonw_t *json, token_db_t *shard) {
    char *key, *reason;
    reason_t why;
    jsonw_open(json, "bad_items", '[');
    for (uint64_t i = 0; i < BAD_SHOWN && !token_db_bad(shard, i, &key, &reason, &why); i++) {
        jsonw_open(json, NULL, '{');
        jsonw_str(json, "key", key);
        jsonw_str(json, "reason", reason);
        jsonw_close(json, '}');
        free(key);
        free(reason);
    }
    jsonw_close(json, ']');
}

/* The tasks as the shard keeps them. */
static void put_tasks(jsonw_t *json, const tasks_t *tasks) {
    char *text = tasks_json(tasks);
    jsonw_raw(json, "tasks", text);
    free(text);
}

/* What there is of each task: records, timesteps, and how many of these have each slot; observed
 * and acted slots may share a name. */
static void put_task_counts(jsonw_t *json, const tasks_t *tasks, const shard_stats_t *stats) {
    static const char *const sides[] = {"observed", "acted"};
    jsonw_open(json, "task_counts", '[');
    for (size_t i = 0; i < tasks->n; i++) {
        jsonw_open(json, NULL, '{');
        jsonw_str(json, "task", tasks->v[i].name);
        jsonw_int(json, "records", (int64_t)stats->task_records[i]);
        jsonw_int(json, "steps", (int64_t)stats->task_steps[i]);
        for (slot_side_t side = SIDE_OBSERVED; side <= SIDE_ACTED; side++) {
            jsonw_open(json, sides[side], '{');
            for (uint32_t s = 0; s < tasks->v[i].n_slots; s++)
                if (tasks->v[i].slot[s].side == side)
                    jsonw_int(json, tasks->v[i].slot[s].name, (int64_t)stats->slot_steps[i][s]);
            jsonw_close(json, '}');
        }
        jsonw_close(json, '}');
    }
    jsonw_close(json, ']');
}

static void put_meta(jsonw_t *json, const shard_meta_t *meta) {
    jsonw_bool(json, "complete", meta->complete);
    jsonw_int(json, "records", (int64_t)meta->records);
    jsonw_int(json, "images", (int64_t)meta->images);
    jsonw_int(json, "episodes", (int64_t)meta->episodes);
    jsonw_int(json, "steps", (int64_t)meta->steps);
    jsonw_int(json, "tokens", (int64_t)meta->tokens);
    jsonw_int(json, "skipped", (int64_t)meta->skipped);
    jsonw_int(json, "bad", (int64_t)meta->bad);
    jsonw_int(json, "codes", meta->codes);
    jsonw_int(json, "code_dim", meta->code_dim);
    jsonw_str(json, "fingerprint", meta->fingerprint);
    put_json(json, "preprocess", meta->preprocess);
    put_json(json, "quantizer", meta->quantizer);
    jsonw_str(json, "text_tokenizer", meta->text_tokenizer);
    jsonw_int(json, "text_vocab", meta->text_vocab);
    put_tasks(json, &meta->tasks);
    jsonw_float(json, "mu", meta->mu);
    jsonw_float(json, "M", meta->M);
    put_json(json, "arguments", meta->arguments);
    jsonw_str(json, "tool", meta->tool);
}

static void put_histogram(jsonw_t *json, const shard_stats_t *stats) {
    jsonw_open(json, "histogram", '{');
    jsonw_int(json, "used", stats->used);
    jsonw_num(json, "perplexity", round(stats->perplexity * 1000) / 1000);
    jsonw_open(json, "top", '[');
    for (size_t i = 0; i < stats->n_top; i++) {
        jsonw_open(json, NULL, '[');
        jsonw_int(json, NULL, stats->top[i]);
        jsonw_int(json, NULL, (int64_t)stats->histogram[stats->top[i]]);
        jsonw_close(json, ']');
    }
    jsonw_close(json, ']');
    jsonw_close(json, '}');
}

/* What the records add up to. bits_per_pixel: log2 K bits per code. */
static void put_stats(jsonw_t *json, token_db_t *shard, const shard_stats_t *stats) {
    const shard_meta_t *meta = token_db_meta(shard);
    uint64_t bytes = token_db_bytes(shard);
    double bits = (double)stats->image_tokens * log2((double)meta->codes) / (double)stats->pixels;
    jsonw_int(json, "bytes", (int64_t)bytes);
    jsonw_num(json, "bytes_per_record",
              meta->records ? round(10.0 * (double)bytes / (double)meta->records) / 10 : NAN);
    jsonw_int(json, "kept_pixels_bytes", (int64_t)stats->kept_bytes);
    jsonw_int(json, "image_tokens", (int64_t)stats->image_tokens);
    jsonw_num(json, "bits_per_pixel", stats->pixels ? round(bits * 1e6) / 1e6 : NAN);
    put_histogram(json, stats);
    jsonw_open(json, "kinds", '{');
    for (record_kind_t kind = 0; kind < RECORD_KINDS; kind++)
        jsonw_int(json, record_kind_names[kind], (int64_t)stats->kinds[kind]);
    jsonw_close(json, '}');
    put_task_counts(json, &meta->tasks, stats);
    jsonw_open(json, "sources", '[');
    for (size_t i = 0; i < stats->n_sources; i++) {
        jsonw_open(json, NULL, '{');
        jsonw_str(json, "source", stats->source[i].name);
        jsonw_int(json, "records", (int64_t)stats->source[i].records);
        jsonw_close(json, '}');
    }
    jsonw_close(json, ']');
}

/* "64 x 64 image 'front', 8 x 8 codes; in 90 of 100 steps". */
static void table_slot(table_t *t, const slot_t *slot, uint64_t steps, uint64_t all) {
    char text[TASK_NAME + 64], shown[TASK_NAME + 64], codes[64] = "", some[64] = "";
    if (slot->grid_h) snprintf(codes, sizeof codes, ", %u x %u codes", slot->grid_h, slot->grid_w);
    if (steps != all && slot->kind != SLOT_TEXT)
        snprintf(some, sizeof some, "; in %llu of %llu steps", (unsigned long long)steps,
                 (unsigned long long)all);
    table_text(t, slot->side == SIDE_ACTED ? "  acts" : "  sees");
    table_format(t, "%s%s%s", utf8_printable(shown, sizeof shown, slot_text(slot, text)), codes,
                 some);
}

/* A task, and a row for each of its slots. */
static void table_task(table_t *t, const task_t *task, size_t i, const shard_stats_t *stats) {
    char shown[TASK_NAME], steps[80] = "", returns[80] = "";
    if (task->max_steps) snprintf(steps, sizeof steps, " of at most %u steps", task->max_steps);
    if (!isnan(task->random_return) && !isnan(task->expert_return))
        snprintf(returns, sizeof returns, "; returns: random %.4g, expert %.4g",
                 task->random_return, task->expert_return);
    table_text(t, "task");
    table_format(t, "%s: %llu %ss%s%s", utf8_printable(shown, sizeof shown, task->name),
                 (unsigned long long)stats->task_records[i], record_kind_names[task->kind], steps,
                 returns);
    for (uint32_t s = 0; s < task->n_slots; s++)
        table_slot(t, &task->slot[s], stats->slot_steps[i][s], stats->task_steps[i]);
}

/* The same for people, without what only programs need. */
static void print_table(const char *path, token_db_t *shard, const shard_stats_t *stats) {
    char text[256], size[32];
    const shard_meta_t *meta = token_db_meta(shard);
    table_t t;
    table_begin_plain(&t, "ll");
    table_text(&t, "shard");
    table_format(&t, "%s%s", utf8_printable(text, sizeof text, path),
                 meta->complete ? "" : " (not complete)");
    table_text(&t, "records");
    table_format(&t, "%llu images, %llu episodes, %llu texts",
                 (unsigned long long)stats->kinds[RECORD_IMAGE],
                 (unsigned long long)stats->kinds[RECORD_EPISODE],
                 (unsigned long long)stats->kinds[RECORD_TEXT]);
    table_text(&t, "steps of episodes");
    table_format(&t, "%llu", (unsigned long long)meta->steps);
    table_text(&t, "tokens");
    table_format(&t, "%llu, %llu of them image codes", (unsigned long long)meta->tokens,
                 (unsigned long long)stats->image_tokens);
    table_text(&t, "skipped, bad");
    table_format(&t, "%llu, %llu", (unsigned long long)meta->skipped,
                 (unsigned long long)meta->bad);
    table_text(&t, "on disk");
    table_text(&t, log_bytes(size, (double)token_db_bytes(shard)));
    if (meta->codes) {
        table_text(&t, "codebook");
        table_format(&t, "%u codes of width %u, %u used, perplexity %.1f", meta->codes,
                     meta->code_dim, stats->used, stats->perplexity);
        table_text(&t, "fingerprint");
        table_text(&t, meta->fingerprint);
    }
    table_text(&t, "text tokenizer");
    table_format(&t, "%s, %u ids",
                 meta->text_tokenizer ? utf8_printable(text, sizeof text, meta->text_tokenizer)
                                      : "none",
                 meta->text_vocab);
    for (size_t i = 0; i < meta->tasks.n; i++) table_task(&t, &meta->tasks.v[i], i, stats);
    for (size_t i = 0; i < stats->n_sources; i++) {
        table_text(&t, i ? "" : "sources");
        table_format(&t, "%s (%llu records)",
                     utf8_printable(text, sizeof text, stats->source[i].name),
                     (unsigned long long)stats->source[i].records);
    }
    table_print(&t);
}

static void print_shard(const char *path) {
    jsonw_t json;
    shard_stats_t stats;
    token_db_t *shard = shard_open_or_die(path);
    jsonw_begin(&json);
    jsonw_str(&json, "shard", path);
    put_meta(&json, token_db_meta(shard));
    put_bad(&json, shard);
    shard_stats_read(&stats, shard);
    put_stats(&json, shard, &stats);
    puts(jsonw_end(&json));
    jsonw_free(&json);
    print_table(path, shard, &stats);
    shard_stats_release(&stats);
    token_db_close(shard);
}

int cmd_info(int argc, char **argv) {
    cli_list_t shards = {0};
    const cli_opt_t options[] = {
        {"", CLI_LIST, &shards, "X.lmdb", "a shard; of several, one line for each", true}, {0}};
    cli_parse(argc, argv, "info",
              "show what a shard holds: a JSON object on stdout, a table on stderr",
              (const cli_opt_t *const[]){options}, 1);
    for (size_t i = 0; i < shards.n; i++) print_shard(shards.item[i]);
    return RC_OK;
}
