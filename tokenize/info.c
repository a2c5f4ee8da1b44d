/* info.c - `tokenize info`: what a shard is, as JSON on stdout and as a table on stderr. */
#include "common/base/cli.h"
#include "common/base/log.h"
#include "common/base/table.h"
#include "common/io/text/json.h"
#include "common/io/token_db/token_db.h"
#include "common/io/utf8.h"
#include "tokenize/commands.h"
#include "tokenize/shard_stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BAD_SHOWN = 20 };

static void put_pair(jsonw_t *w, const char *key, uint32_t a, uint32_t b) {
    if (!a) {
        jsonw_raw(w, key, "null");
        return;
    }
    jsonw_open(w, key, '[');
    jsonw_int(w, NULL, a);
    jsonw_int(w, NULL, b);
    jsonw_close(w, ']');
}

static void put_u32s(jsonw_t *w, const char *key, const uint32_t *v, uint32_t n) {
    jsonw_open(w, key, '[');
    for (uint32_t i = 0; i < n; i++) jsonw_int(w, NULL, v[i]);
    jsonw_close(w, ']');
}

/* An infinite bound has no JSON number: null. */
static void put_floats(jsonw_t *w, const char *key, const float *v, uint32_t n) {
    jsonw_open(w, key, '[');
    for (uint32_t i = 0; i < n; i++) jsonw_float(w, NULL, v[i]);
    jsonw_close(w, ']');
}

/* Text that should be JSON; as a string when it is not. */
static void put_json(jsonw_t *w, const char *key, const char *text) {
    cJSON *o = text ? json_parse(text, strlen(text), false, NULL) : NULL;
    if (o) {
        char *canonical = json_canonical(o);
        jsonw_raw(w, key, canonical);
        free(canonical);
    } else {
        jsonw_str(w, key, text);
    }
    cJSON_Delete(o);
}

static void put_bad(jsonw_t *w, token_db_t *db) {
    char *key, *reason;
    reason_t why;
    jsonw_open(w, "bad_items", '[');
    for (uint64_t i = 0; i < BAD_SHOWN && !token_db_bad(db, i, &key, &reason, &why); i++) {
        jsonw_open(w, NULL, '{');
        jsonw_str(w, "key", key);
        jsonw_str(w, "reason", reason);
        jsonw_close(w, '}');
        free(key);
        free(reason);
    }
    jsonw_close(w, ']');
}

/* Which actions are stored in the units of their environment. */
static void put_raw(jsonw_t *w, const shard_meta_t *m) {
    jsonw_open(w, "action_raw", '[');
    for (uint32_t i = 0; i < m->n_actions; i++) jsonw_bool(w, NULL, shard_action_raw(m, i));
    jsonw_close(w, ']');
}

static void put_meta(jsonw_t *w, const shard_meta_t *m) {
    jsonw_bool(w, "complete", m->complete);
    jsonw_int(w, "records", (int64_t)m->records);
    jsonw_int(w, "images", (int64_t)m->images);
    jsonw_int(w, "episodes", (int64_t)m->episodes);
    jsonw_int(w, "steps", (int64_t)m->steps);
    jsonw_int(w, "tokens", (int64_t)m->tokens);
    jsonw_int(w, "skipped", (int64_t)m->skipped);
    jsonw_int(w, "bad", (int64_t)m->bad);
    jsonw_int(w, "codes", m->codes);
    jsonw_int(w, "code_dim", m->code_dim);
    put_pair(w, "grid", m->grid_h, m->grid_w);
    put_pair(w, "image", m->image_h, m->image_w);
    jsonw_str(w, "fingerprint", m->fingerprint);
    put_json(w, "preprocess", m->preprocess);
    put_json(w, "quantizer", m->quantizer);
    jsonw_str(w, "text_tokenizer", m->text_tokenizer);
    jsonw_int(w, "text_vocab", m->text_vocab);
    jsonw_int(w, "n_continuous", m->n_continuous);
    jsonw_int(w, "n_discrete", m->n_discrete);
    jsonw_int(w, "n_actions", m->n_actions);
    jsonw_int(w, "n_discrete_actions", m->n_discrete_actions);
    put_u32s(w, "discrete_range", m->discrete_range, m->n_discrete);
    put_u32s(w, "discrete_action_range", m->discrete_action_range, m->n_discrete_actions);
    put_floats(w, "action_low", m->action_low, m->n_actions);
    put_floats(w, "action_high", m->action_high, m->n_actions);
    put_raw(w, m);
    put_json(w, "leaves", m->leaves);
    jsonw_float(w, "mu", m->mu);
    jsonw_float(w, "M", m->M);
    put_json(w, "env", m->env);
    put_json(w, "arguments", m->arguments);
    jsonw_str(w, "tool", m->tool);
}

static void put_histogram(jsonw_t *w, const shard_stats_t *c) {
    jsonw_open(w, "histogram", '{');
    jsonw_int(w, "used", c->used);
    jsonw_num(w, "perplexity", round(c->perplexity * 1000) / 1000);
    jsonw_open(w, "top", '[');
    for (size_t i = 0; i < c->n_top; i++) {
        jsonw_open(w, NULL, '[');
        jsonw_int(w, NULL, c->top[i]);
        jsonw_int(w, NULL, (int64_t)c->histogram[c->top[i]]);
        jsonw_close(w, ']');
    }
    jsonw_close(w, ']');
    jsonw_close(w, '}');
}

/* What the records say, after what the meta says. bits_per_pixel: log2 K bits a code. */
static void put_census(jsonw_t *w, token_db_t *db, const shard_stats_t *c) {
    const shard_meta_t *m = token_db_meta(db);
    uint64_t bytes = token_db_bytes(db);
    double bits = (double)c->image_tokens * log2((double)m->codes) / (double)c->pixels;
    jsonw_int(w, "bytes", (int64_t)bytes);
    jsonw_num(w, "bytes_per_record",
              m->records ? round(10.0 * (double)bytes / (double)m->records) / 10 : NAN);
    jsonw_int(w, "kept_pixels_bytes", (int64_t)c->kept_bytes);
    jsonw_int(w, "image_tokens", (int64_t)c->image_tokens);
    jsonw_num(w, "bits_per_pixel", c->pixels ? round(bits * 1e6) / 1e6 : NAN);
    put_histogram(w, c);
    jsonw_open(w, "kinds", '{');
    jsonw_int(w, "image", (int64_t)c->kinds[RECORD_IMAGE]);
    jsonw_int(w, "episode", (int64_t)c->kinds[RECORD_EPISODE]);
    jsonw_int(w, "text", (int64_t)c->kinds[RECORD_TEXT]);
    jsonw_close(w, '}');
    jsonw_open(w, "sources", '[');
    for (size_t i = 0; i < c->n_sources; i++) {
        jsonw_open(w, NULL, '{');
        jsonw_str(w, "source", c->source[i].name);
        jsonw_int(w, "records", (int64_t)c->source[i].records);
        jsonw_close(w, '}');
    }
    jsonw_close(w, ']');
}

/* The same for people, without what only programs read. */
static void print_table(const char *shard, token_db_t *db, const shard_stats_t *c) {
    char text[256], size[32];
    const shard_meta_t *m = token_db_meta(db);
    table_t t;
    table_begin_plain(&t, "ll");
    table_text(&t, "shard");
    table_format(&t, "%s%s", utf8_printable(text, sizeof text, shard),
                 m->complete ? "" : " (not complete)");
    table_text(&t, "records");
    table_format(
        &t, "%llu images, %llu episodes, %llu texts", (unsigned long long)c->kinds[RECORD_IMAGE],
        (unsigned long long)c->kinds[RECORD_EPISODE], (unsigned long long)c->kinds[RECORD_TEXT]);
    table_text(&t, "steps of episodes");
    table_format(&t, "%llu", (unsigned long long)m->steps);
    table_text(&t, "tokens");
    table_format(&t, "%llu, %llu of them image codes", (unsigned long long)m->tokens,
                 (unsigned long long)c->image_tokens);
    table_text(&t, "skipped, bad");
    table_format(&t, "%llu, %llu", (unsigned long long)m->skipped, (unsigned long long)m->bad);
    table_text(&t, "on disk");
    table_text(&t, log_bytes(size, (double)token_db_bytes(db)));
    if (m->codes) {
        table_text(&t, "codebook");
        table_format(&t, "%u codes of width %u, %u used, perplexity %.1f", m->codes, m->code_dim,
                     c->used, c->perplexity);
        table_text(&t, "fingerprint");
        table_text(&t, m->fingerprint);
    }
    if (m->grid_h) {
        table_text(&t, "codes per image");
        table_format(&t, "%u x %u", m->grid_w, m->grid_h);
    }
    table_text(&t, "text tokenizer");
    table_format(&t, "%s, %u ids",
                 m->text_tokenizer ? utf8_printable(text, sizeof text, m->text_tokenizer) : "none",
                 m->text_vocab);
    table_text(&t, "values per step");
    table_format(&t, "%u continuous, %u discrete", m->n_continuous, m->n_discrete);
    table_text(&t, "actions per step");
    table_format(&t, "%u continuous, %u discrete", m->n_actions, m->n_discrete_actions);
    for (size_t i = 0; i < c->n_sources; i++) {
        table_text(&t, i ? "" : "sources");
        table_format(&t, "%s (%llu records)", utf8_printable(text, sizeof text, c->source[i].name),
                     (unsigned long long)c->source[i].records);
    }
    table_print(&t);
}

int cmd_info(int argc, char **argv) {
    cli_list_t shards = {0};
    const cli_opt_t options[] = {
        {"", CLI_LIST, &shards, "X.lmdb", "a shard (or several: a line each)", true}, {0}};
    cli_parse(argc, argv, "info", "what a shard is: a JSON object on stdout, a table on stderr",
              (const cli_opt_t *const[]){options}, 1);
    for (size_t i = 0; i < shards.n; i++) {
        int rc;
        reason_t why;
        token_db_t *db = token_db_open(shards.item[i], &rc, &why);
        if (!db) die(rc, "%s", why.text);
        jsonw_t w;
        jsonw_begin(&w);
        jsonw_str(&w, "shard", shards.item[i]);
        put_meta(&w, token_db_meta(db));
        put_bad(&w, db);
        shard_stats_t census;
        shard_stats_read(&census, db);
        put_census(&w, db, &census);
        puts(jsonw_end(&w));
        jsonw_free(&w);
        print_table(shards.item[i], db, &census);
        shard_stats_release(&census);
        token_db_close(db);
    }
    return RC_OK;
}
