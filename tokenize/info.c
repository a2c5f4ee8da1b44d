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

static void put_pair(jsonw_t *json, const char *key, uint32_t a, uint32_t b) {
    if (!a) {
        jsonw_raw(json, key, "null");
        return;
    }
    jsonw_open(json, key, '[');
    jsonw_int(json, NULL, a);
    jsonw_int(json, NULL, b);
    jsonw_close(json, ']');
}

static void put_u32s(jsonw_t *json, const char *key, const uint32_t *v, uint32_t n) {
    jsonw_open(json, key, '[');
    for (uint32_t i = 0; i < n; i++) jsonw_int(json, NULL, v[i]);
    jsonw_close(json, ']');
}

/* An infinite bound is null: JSON has no number for it. */
static void put_floats(jsonw_t *json, const char *key, const float *v, uint32_t n) {
    jsonw_open(json, key, '[');
    for (uint32_t i = 0; i < n; i++) jsonw_float(json, NULL, v[i]);
    jsonw_close(json, ']');
}

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

/* Which actions are stored in the units of their environment. */
static void put_raw(jsonw_t *json, const shard_meta_t *meta) {
    jsonw_open(json, "action_raw", '[');
    for (uint32_t i = 0; i < meta->n_actions; i++)
        jsonw_bool(json, NULL, shard_action_raw(meta, i));
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
    put_pair(json, "grid", meta->grid_h, meta->grid_w);
    put_pair(json, "image", meta->image_h, meta->image_w);
    jsonw_str(json, "fingerprint", meta->fingerprint);
    put_json(json, "preprocess", meta->preprocess);
    put_json(json, "quantizer", meta->quantizer);
    jsonw_str(json, "text_tokenizer", meta->text_tokenizer);
    jsonw_int(json, "text_vocab", meta->text_vocab);
    jsonw_int(json, "n_continuous", meta->n_continuous);
    jsonw_int(json, "n_discrete", meta->n_discrete);
    jsonw_int(json, "n_actions", meta->n_actions);
    jsonw_int(json, "n_discrete_actions", meta->n_discrete_actions);
    put_u32s(json, "discrete_range", meta->discrete_range, meta->n_discrete);
    put_u32s(json, "discrete_action_range", meta->discrete_action_range, meta->n_discrete_actions);
    put_floats(json, "action_low", meta->action_low, meta->n_actions);
    put_floats(json, "action_high", meta->action_high, meta->n_actions);
    put_raw(json, meta);
    put_json(json, "leaves", meta->leaves);
    jsonw_float(json, "mu", meta->mu);
    jsonw_float(json, "M", meta->M);
    put_json(json, "env", meta->env);
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
    jsonw_int(json, "image", (int64_t)stats->kinds[RECORD_IMAGE]);
    jsonw_int(json, "episode", (int64_t)stats->kinds[RECORD_EPISODE]);
    jsonw_int(json, "text", (int64_t)stats->kinds[RECORD_TEXT]);
    jsonw_close(json, '}');
    jsonw_open(json, "sources", '[');
    for (size_t i = 0; i < stats->n_sources; i++) {
        jsonw_open(json, NULL, '{');
        jsonw_str(json, "source", stats->source[i].name);
        jsonw_int(json, "records", (int64_t)stats->source[i].records);
        jsonw_close(json, '}');
    }
    jsonw_close(json, ']');
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
    if (meta->grid_h) {
        table_text(&t, "codes per image");
        table_format(&t, "%u x %u", meta->grid_w, meta->grid_h);
    }
    table_text(&t, "text tokenizer");
    table_format(&t, "%s, %u ids",
                 meta->text_tokenizer ? utf8_printable(text, sizeof text, meta->text_tokenizer)
                                      : "none",
                 meta->text_vocab);
    table_text(&t, "values per step");
    table_format(&t, "%u continuous, %u discrete", meta->n_continuous, meta->n_discrete);
    table_text(&t, "actions per step");
    table_format(&t, "%u continuous, %u discrete", meta->n_actions, meta->n_discrete_actions);
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
