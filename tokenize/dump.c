/* dump.c - `tokenize dump`: prints records as JSON, one object per line, with the same keys for
 * every kind of record. Where a task has several slots of a kind, the key has an object of them by
 * their names; what is missing is null.
 */
#include "common/base/cli.h"
#include "common/io/text/json.h"
#include "common/io/token_db/token_db.h"
#include "tokenize/commands.h"
#include "tokenize/shard_open.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    jsonw_t *json;
    const task_t *task;
    const token_record_t *record;
} printed_t;

/* Prints what the record has of slot s, or null. key: NULL within a list. */
typedef void (*put_slot_fn)(const printed_t *printed, const char *key, uint32_t s);

static const slot_data_t *data_of(const printed_t *printed, uint32_t s) {
    return &printed->record->slot[s];
}

static bool is_missing(const slot_data_t *data, size_t t) {
    return data->present && !data->present[t];
}

/* ---- values of one slot ---- */

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
static void put_codes(const printed_t *printed, const char *key, uint32_t s) {
    const slot_data_t *data = data_of(printed, s);
    size_t grid = (size_t)data->grid_h * data->grid_w;
    if (printed->task->kind != RECORD_EPISODE || !data->codes) {
        put_ids(printed->json, key, data->codes, grid);
        return;
    }
    jsonw_open(printed->json, key, '[');
    for (size_t t = 0; t < printed->record->T; t++)
        put_ids(printed->json, NULL, is_missing(data, t) ? NULL : data->codes + t * grid, grid);
    jsonw_close(printed->json, ']');
}

static void put_grid(const printed_t *printed, const char *key, uint32_t s) {
    const slot_data_t *data = data_of(printed, s);
    if (!data->codes) {
        jsonw_raw(printed->json, key, "null");
        return;
    }
    jsonw_open(printed->json, key, '[');
    jsonw_int(printed->json, NULL, data->grid_h);
    jsonw_int(printed->json, NULL, data->grid_w);
    jsonw_close(printed->json, ']');
}

/* Row t of numbers or ids [T, width], without brackets; v and id may be NULL. */
static void put_row(jsonw_t *json, const float *v, const uint32_t *id, size_t width, size_t t) {
    for (size_t k = 0; v && k < width; k++) jsonw_float(json, NULL, v[t * width + k]);
    for (size_t k = 0; id && k < width; k++) jsonw_int(json, NULL, id[t * width + k]);
}

/* A row per timestep; null when there are none. */
static void put_rows(const printed_t *printed, const char *key, uint32_t s, const float *v,
                     const uint32_t *id) {
    const slot_data_t *data = data_of(printed, s);
    if (!v && !id) {
        jsonw_raw(printed->json, key, "null");
        return;
    }
    jsonw_open(printed->json, key, '[');
    for (size_t t = 0; t < printed->record->T; t++) {
        if (is_missing(data, t)) {
            jsonw_raw(printed->json, NULL, "null");
            continue;
        }
        jsonw_open(printed->json, NULL, '[');
        put_row(printed->json, v, id, printed->task->slot[s].width, t);
        jsonw_close(printed->json, ']');
    }
    jsonw_close(printed->json, ']');
}

static void put_values(const printed_t *printed, const char *key, uint32_t s) {
    const slot_data_t *data = data_of(printed, s);
    put_rows(printed, key, s, data->vector, data->discrete);
}

static void put_labels(const printed_t *printed, const char *key, uint32_t s) {
    const slot_data_t *data = data_of(printed, s);
    put_rows(printed, key, s, data->label_vector, data->label_discrete);
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

/* ---- all slots of a kind ---- */

static bool is_kind(const printed_t *printed, uint32_t s, slot_side_t side, slot_kind_t kind) {
    return printed->task->slot[s].side == side && printed->task->slot[s].kind == kind;
}

static size_t count_kind(const printed_t *printed, slot_side_t side, slot_kind_t kind) {
    size_t n = 0;
    for (uint32_t s = 0; s < printed->task->n_slots; s++) n += is_kind(printed, s, side, kind);
    return n;
}

/* The slots of an observed kind: null, the only one, or an object of all of them. */
static void put_kind(const printed_t *printed, const char *key, slot_kind_t kind, put_slot_fn put) {
    int first = task_first(printed->task, SIDE_OBSERVED, kind);
    if (first < 0) {
        jsonw_raw(printed->json, key, "null");
    } else if (count_kind(printed, SIDE_OBSERVED, kind) == 1) {
        put(printed, key, (uint32_t)first);
    } else {
        jsonw_open(printed->json, key, '{');
        for (uint32_t s = 0; s < printed->task->n_slots; s++)
            if (is_kind(printed, s, SIDE_OBSERVED, kind))
                put(printed, printed->task->slot[s].name, s);
        jsonw_close(printed->json, '}');
    }
}

/* The numbers and then the ids of one acted vector and one acted discrete slot, in one row per
 * timestep. labels: the clean ones; a vector without has those that were executed, discrete values
 * without are left out. */
static void put_action_rows(const printed_t *printed, const char *key, bool labels) {
    jsonw_open(printed->json, key, '[');
    for (size_t t = 0; t < printed->record->T; t++) {
        jsonw_open(printed->json, NULL, '[');
        for (uint32_t s = 0; s < printed->task->n_slots; s++) {
            const slot_data_t *data = data_of(printed, s);
            const float *v = labels && data->label_vector ? data->label_vector : data->vector;
            const uint32_t *id = labels ? data->label_discrete : data->discrete;
            if (printed->task->slot[s].side == SIDE_ACTED)
                put_row(printed->json, v, id, printed->task->slot[s].width, t);
        }
        jsonw_close(printed->json, ']');
    }
    jsonw_close(printed->json, ']');
}

/* Actions, or their labels: null when the record has none; rows; or an object by slots when there
 * are several of a kind. */
static void put_actions(const printed_t *printed, const char *key, bool labels) {
    bool any = false;
    for (uint32_t s = 0; s < printed->task->n_slots; s++) {
        const slot_data_t *data = data_of(printed, s);
        if (printed->task->slot[s].side != SIDE_ACTED) continue;
        any |= labels ? data->label_vector || data->label_discrete : data->vector || data->discrete;
    }
    if (!any) {
        jsonw_raw(printed->json, key, "null");
    } else if (count_kind(printed, SIDE_ACTED, SLOT_VECTOR) <= 1 &&
               count_kind(printed, SIDE_ACTED, SLOT_DISCRETE) <= 1) {
        put_action_rows(printed, key, labels);
    } else {
        jsonw_open(printed->json, key, '{');
        for (uint32_t s = 0; s < printed->task->n_slots; s++)
            if (printed->task->slot[s].side == SIDE_ACTED)
                (labels ? put_labels : put_values)(printed, printed->task->slot[s].name, s);
        jsonw_close(printed->json, '}');
    }
}

static void put_text(const printed_t *printed) {
    int s = task_first(printed->task, SIDE_OBSERVED, SLOT_TEXT);
    const slot_data_t *data = s < 0 ? NULL : data_of(printed, (uint32_t)s);
    put_ids(printed->json, "text", data ? data->text : NULL, data ? data->text_len : 0);
}

/* Where slots are missing in some timesteps: an object of those slots, or nothing. */
static void put_present(const printed_t *printed) {
    bool open = false;
    for (uint32_t s = 0; s < printed->task->n_slots; s++) {
        const uint8_t *present = data_of(printed, s)->present;
        if (!present) continue;
        if (!open) jsonw_open(printed->json, "present", '{');
        open = true;
        put_flags(printed->json, printed->task->slot[s].name, present, printed->record->T);
    }
    if (open) jsonw_close(printed->json, '}');
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

static void print_record(const shard_meta_t *meta, const token_record_t *record) {
    jsonw_t json;
    printed_t printed = {&json, &meta->tasks.v[record->task], record};
    jsonw_begin(&json);
    jsonw_bytes(&json, "key", record->key, record->key_len);
    jsonw_bytes(&json, "source", record->source, record->source_len);
    jsonw_str(&json, "task", printed.task->name);
    jsonw_str(&json, "kind", record_kind_names[printed.task->kind]);
    put_kind(&printed, "grid", SLOT_IMAGE, put_grid);
    put_kind(&printed, "codes", SLOT_IMAGE, put_codes);
    put_text(&printed);
    put_kind(&printed, "continuous", SLOT_VECTOR, put_values);
    put_kind(&printed, "discrete", SLOT_DISCRETE, put_values);
    put_actions(&printed, "actions", false);
    put_actions(&printed, "label_actions", true);
    put_rewards(&json, record);
    put_flags(&json, "terminated", record->terminated, record->T);
    put_flags(&json, "truncated", record->truncated, record->T);
    if (record->success) put_flags(&json, "success", record->success, record->T);
    put_present(&printed);
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
              "list per timestep; an object by slots where a task has several of a kind",
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
