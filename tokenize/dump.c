/* dump.c - `tokenize dump`: prints records as JSON, one object per line, with the same keys for
 * every kind of record.
 */
#include "common/base/cli.h"
#include "common/io/text/json.h"
#include "common/io/token_db/token_db.h"
#include "tokenize/commands.h"
#include "tokenize/shard_open.h"

#include <stdio.h>
#include <string.h>

static void put_ids(jsonw_t *json, const char *key, const uint32_t *id, size_t n) {
    if (!id) {
        jsonw_raw(json, key, "null");
        return;
    }
    jsonw_open(json, key, '[');
    for (size_t i = 0; i < n; i++) jsonw_int(json, NULL, id[i]);
    jsonw_close(json, ']');
}

/* [grid_h * grid_w] ids; of an episode a list of them, one per timestep. */
static void put_codes(jsonw_t *json, const token_record_t *record) {
    size_t grid = (size_t)record->grid_h * record->grid_w;
    if (record->kind != RECORD_EPISODE || !record->codes) {
        put_ids(json, "codes", record->codes, grid);
        return;
    }
    jsonw_open(json, "codes", '[');
    for (size_t t = 0; t < record->T; t++) put_ids(json, NULL, record->codes + t * grid, grid);
    jsonw_close(json, ']');
}

static void put_numbers(jsonw_t *json, const float *v, size_t n) {
    for (size_t i = 0; i < n; i++) jsonw_float(json, NULL, v[i]);
}
static void put_integers(jsonw_t *json, const uint32_t *id, size_t n) {
    for (size_t i = 0; i < n; i++) jsonw_int(json, NULL, id[i]);
}

/* A row per timestep: numbers v [T, n_v], then ids [T, n_id]; null when there are neither. */
static void put_rows(jsonw_t *json, const char *key, size_t T, const float *v, size_t n_v,
                     const uint32_t *id, size_t n_id) {
    if (!v && !id) {
        jsonw_raw(json, key, "null");
        return;
    }
    jsonw_open(json, key, '[');
    for (size_t t = 0; t < T; t++) {
        jsonw_open(json, NULL, '[');
        if (v) put_numbers(json, v + t * n_v, n_v);
        if (id) put_integers(json, id + t * n_id, n_id);
        jsonw_close(json, ']');
    }
    jsonw_close(json, ']');
}

static void put_flags(jsonw_t *json, const char *key, const uint8_t *v, size_t T) {
    if (!v) {
        jsonw_raw(json, key, "null");
        return;
    }
    jsonw_open(json, key, '[');
    for (size_t t = 0; t < T; t++) jsonw_bool(json, NULL, v[t]);
    jsonw_close(json, ']');
}

static void put_rewards(jsonw_t *json, const token_record_t *record) {
    if (!record->rewards) {
        jsonw_raw(json, "rewards", "null");
        return;
    }
    jsonw_open(json, "rewards", '[');
    for (size_t t = 0; t < record->T; t++) jsonw_float(json, NULL, record->rewards[t]);
    jsonw_close(json, ']');
}

static void put_grid(jsonw_t *json, const token_record_t *record) {
    if (!record->codes) {
        jsonw_raw(json, "grid", "null");
        return;
    }
    jsonw_open(json, "grid", '[');
    jsonw_int(json, NULL, record->grid_h);
    jsonw_int(json, NULL, record->grid_w);
    jsonw_close(json, ']');
}

static void print_record(const shard_meta_t *meta, const token_record_t *record) {
    static const char *const kinds[] = {"image", "episode", "text"};
    jsonw_t json;
    jsonw_begin(&json);
    jsonw_bytes(&json, "key", record->key, record->key_len);
    jsonw_bytes(&json, "source", record->source, record->source_len);
    jsonw_str(&json, "kind", kinds[record->kind]);
    put_grid(&json, record);
    put_codes(&json, record);
    put_ids(&json, "text", record->text, record->text_len);
    put_rows(&json, "continuous", record->T, record->continuous, meta->n_continuous, NULL, 0);
    put_rows(&json, "discrete", record->T, NULL, 0, record->discrete, meta->n_discrete);
    put_rows(&json, "actions", record->T, record->actions, meta->n_actions,
             record->discrete_actions, meta->n_discrete_actions);
    put_rows(&json, "label_actions", record->T, record->label_actions, meta->n_actions, NULL, 0);
    put_rewards(&json, record);
    put_flags(&json, "terminated", record->terminated, record->T);
    put_flags(&json, "truncated", record->truncated, record->T);
    if (record->label) jsonw_bytes(&json, "label", record->label, record->label_len);
    puts(jsonw_end(&json));
    jsonw_free(&json);
}

/* Is `name` the record's source or its key? Sources are kept without a slash at their end. */
static bool is_named(const token_record_t *record, const char *name) {
    size_t n = strlen(name), path = n;
    while (path > 1 && name[path - 1] == '/') path--;
    return (path == record->source_len && !memcmp(record->source, name, path)) ||
           (n == record->key_len && !memcmp(record->key, name, n));
}

/* Prints records first .. end - 1, of them those named so (NULL: all). Returns how many. */
static uint64_t print_records(token_db_t *shard, uint64_t first, uint64_t end, const char *name) {
    uint64_t printed = 0;
    reason_t why;
    for (uint64_t i = first; i < end && !ferror(stdout); i++) {
        token_record_t record;
        if (token_db_get(shard, i, &record, &why)) die(RC_DATA, "%s", why.text);
        if (!name || is_named(&record, name)) {
            print_record(token_db_meta(shard), &record);
            printed++;
        }
        token_record_release(&record);
    }
    return printed;
}

int cmd_dump(int argc, char **argv) {
    cli_list_t in = {0};
    int64_t id = -1;
    const char *source = NULL;
    const cli_opt_t options[] = {
        {"", CLI_LIST, &in, "X.lmdb", "the shard", true},
        {"--id", CLI_INT, &id, "N", "only record N (from 0)", false},
        {"--source", CLI_STR, &source, "S",
         "only the records of source S, or the record whose key is S", false},
        {0},
    };
    cli_parse(argc, argv, "dump",
              "print records as JSON: the codes of an image row by row, those of an episode as one "
              "list per timestep",
              (const cli_opt_t *const[]){options}, 1);
    if (in.n != 1) die(RC_USAGE, "one shard at a time");
    const char *path = in.item[0];
    token_db_t *shard = shard_open_or_die(path);
    uint64_t n = token_db_count(shard), first = 0, end = n;
    if (id < -1 || (id >= 0 && (uint64_t)id >= n))
        die(RC_USAGE, "--id %lld: '%s' has records 0 to %lld", (long long)id, path,
            (long long)n - 1);
    if (id >= 0) {
        first = (uint64_t)id;
        end = first + 1;
    }
    uint64_t printed = print_records(shard, first, end, source);
    if (source && !printed) die(RC_USAGE, "'%s' has no record of source or key '%s'", path, source);
    token_db_close(shard);
    return RC_OK;
}
