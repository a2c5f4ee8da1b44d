/* dump.c - `tokenize dump`: records as JSON, one object a line, the same keys for every kind. */
#include "common/base/cli.h"
#include "common/io/text/json.h"
#include "common/io/token_db/token_db.h"
#include "tokenize/commands.h"

#include <stdio.h>
#include <string.h>

static void put_ids(jsonw_t *w, const char *key, const uint32_t *id, size_t n) {
    if (!id) {
        jsonw_raw(w, key, "null");
        return;
    }
    jsonw_open(w, key, '[');
    for (size_t i = 0; i < n; i++) jsonw_int(w, NULL, id[i]);
    jsonw_close(w, ']');
}

/* Images have one timestep and no list of them. */
static void put_codes(jsonw_t *w, const token_record_t *r) {
    size_t grid = (size_t)r->grid_h * r->grid_w;
    if (r->kind != RECORD_EPISODE || !r->codes) {
        put_ids(w, "codes", r->codes, grid);
        return;
    }
    jsonw_open(w, "codes", '[');
    for (size_t t = 0; t < r->T; t++) put_ids(w, NULL, r->codes + t * grid, grid);
    jsonw_close(w, ']');
}

/* Rows of T timesteps: numbers, then ids. */
static void put_rows(jsonw_t *w, const char *key, size_t T, const float *v, size_t n_v,
                     const uint32_t *id, size_t n_id) {
    if (!v && !id) {
        jsonw_raw(w, key, "null");
        return;
    }
    jsonw_open(w, key, '[');
    for (size_t t = 0; t < T; t++) {
        jsonw_open(w, NULL, '[');
        for (size_t i = 0; v && i < n_v; i++) jsonw_float(w, NULL, v[t * n_v + i]);
        for (size_t i = 0; id && i < n_id; i++) jsonw_int(w, NULL, id[t * n_id + i]);
        jsonw_close(w, ']');
    }
    jsonw_close(w, ']');
}

static void put_flags(jsonw_t *w, const char *key, const uint8_t *v, size_t T) {
    if (!v) {
        jsonw_raw(w, key, "null");
        return;
    }
    jsonw_open(w, key, '[');
    for (size_t t = 0; t < T; t++) jsonw_bool(w, NULL, v[t]);
    jsonw_close(w, ']');
}

static void put_rewards(jsonw_t *w, const token_record_t *r) {
    if (!r->rewards) {
        jsonw_raw(w, "rewards", "null");
        return;
    }
    jsonw_open(w, "rewards", '[');
    for (size_t t = 0; t < r->T; t++) jsonw_float(w, NULL, r->rewards[t]);
    jsonw_close(w, ']');
}

static void put_grid(jsonw_t *w, const token_record_t *r) {
    if (!r->codes) {
        jsonw_raw(w, "grid", "null");
        return;
    }
    jsonw_open(w, "grid", '[');
    jsonw_int(w, NULL, r->grid_h);
    jsonw_int(w, NULL, r->grid_w);
    jsonw_close(w, ']');
}

static void print_record(const shard_meta_t *m, const token_record_t *r) {
    static const char *const kinds[] = {"image", "episode", "text"};
    jsonw_t w;
    jsonw_begin(&w);
    jsonw_bytes(&w, "key", r->key, r->key_len);
    jsonw_bytes(&w, "source", r->source, r->source_len);
    jsonw_str(&w, "kind", kinds[r->kind]);
    put_grid(&w, r);
    put_codes(&w, r);
    put_ids(&w, "text", r->text, r->text_len);
    put_rows(&w, "continuous", r->T, r->continuous, m->n_continuous, NULL, 0);
    put_rows(&w, "discrete", r->T, NULL, 0, r->discrete, m->n_discrete);
    put_rows(&w, "actions", r->T, r->actions, m->n_actions, r->discrete_actions,
             m->n_discrete_actions);
    put_rows(&w, "label_actions", r->T, r->label_actions, m->n_actions, NULL, 0);
    put_rewards(&w, r);
    put_flags(&w, "terminated", r->terminated, r->T);
    put_flags(&w, "truncated", r->truncated, r->T);
    if (r->label) jsonw_bytes(&w, "label", r->label, r->label_len);
    puts(jsonw_end(&w));
    jsonw_free(&w);
}

static bool named(const token_record_t *r, const char *source) {
    size_t n = strlen(source), path = n; /* sources are kept without a slash at their end */
    while (path > 1 && source[path - 1] == '/') path--;
    return (path == r->source_len && !memcmp(r->source, source, path)) ||
           (n == r->key_len && !memcmp(r->key, source, n));
}

int cmd_dump(int argc, char **argv) {
    cli_list_t shard = {0};
    int64_t id = -1;
    const char *source = NULL;
    const cli_opt_t options[] = {
        {"", CLI_LIST, &shard, "X.lmdb", "the shard", true},
        {"--id", CLI_INT, &id, "N", "only record N (from 0)", false},
        {"--source", CLI_STR, &source, "S",
         "only the records of source S, or the one whose key is S", false},
        {0},
    };
    cli_parse(argc, argv, "dump",
              "records as JSON: codes of an image row by row, of an episode a list a timestep",
              (const cli_opt_t *const[]){options}, 1);
    if (shard.n != 1) die(RC_USAGE, "one shard at a time");
    int rc;
    reason_t why;
    token_db_t *db = token_db_open(shard.item[0], &rc, &why);
    if (!db) die(rc, "%s", why.text);
    uint64_t n = token_db_count(db), printed = 0;
    if (id < -1 || (id >= 0 && (uint64_t)id >= n))
        die(RC_USAGE, "--id %lld: '%s' has records 0 to %lld", (long long)id, shard.item[0],
            (long long)n - 1);
    for (uint64_t i = id >= 0 ? (uint64_t)id : 0;
         i < (id >= 0 ? (uint64_t)id + 1 : n) && !ferror(stdout); i++) {
        token_record_t r;
        if (token_db_get(db, i, &r, &why)) die(RC_DATA, "%s", why.text);
        if (!source || named(&r, source)) {
            print_record(token_db_meta(db), &r);
            printed++;
        }
        token_record_release(&r);
    }
    if (source && !printed)
        die(RC_USAGE, "'%s' has no record of source or key '%s'", shard.item[0], source);
    token_db_close(db);
    return RC_OK;
}
