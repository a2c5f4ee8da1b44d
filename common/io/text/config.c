/* config.c - see config.h.
 *
 * Owns the one walk over a JSON object that files, --set and checkpoints share. The walk stops at
 * the first fault and remembers the item, so that a fault in a file gets its line and column.
 */
#include "common/io/text/config.h"

#include "common/io/fs.h"
#include "common/io/text/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KEY = 128, MAX_KEYS = 512 };
static const size_t MAX_CONFIG = (size_t)16 << 20;

typedef struct {
    const config_field_t *table;
    char *out;
    reason_t *why;
    const cJSON *fault; /* the item that was refused */
    bool fault_is_key;
} walk_t;

/* ---- one value ---- */

/* Refuses the item: "key 'KEY' wants WANTED, got ITEM". */
static int wrong(walk_t *w, const config_field_t *field, const cJSON *item, const char *wanted) {
    char *got = json_canonical(item);
    w->fault = item;
    w->fault_is_key = false;
    reason_set(w->why, "key '%s' wants %s, got %.60s%s", field->key, wanted, got,
               strlen(got) > 60 ? "..." : "");
    free(got);
    return -1;
}

static int check_range(walk_t *w, const config_field_t *field, const cJSON *item, double v) {
    if ((field->min == 0 && field->max == 0) || (v >= field->min && v <= field->max)) return 0;
    char low[40], high[40], wanted[128];
    json_double(low, field->min);
    json_double(high, field->max);
    if (!isfinite(field->max))
        snprintf(wanted, sizeof wanted, "at least %s", low);
    else if (!isfinite(field->min))
        snprintf(wanted, sizeof wanted, "at most %s", high);
    else
        snprintf(wanted, sizeof wanted, "%s to %s", low, high);
    return wrong(w, field, item, wanted);
}

static int put_int(walk_t *w, const config_field_t *field, const cJSON *item, int64_t *out) {
    int64_t v;
    if (!json_i64(item, &v)) return wrong(w, field, item, "an integer");
    if (check_range(w, field, item, (double)v)) return -1;
    *out = v;
    return 0;
}

static int put_num(walk_t *w, const config_field_t *field, const cJSON *item, double *out) {
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble))
        return wrong(w, field, item, "a number");
    if (check_range(w, field, item, item->valuedouble)) return -1;
    *out = item->valuedouble;
    return 0;
}

/* The item of a list that follows `at`. A number alone is a list of one. */
static const cJSON *next_in(const cJSON *list, const cJSON *at) {
    return cJSON_IsArray(list) ? at->next : NULL;
}

/* Checks that `item` is a list, or a number, and sets *first to its first item. */
static int open_list(walk_t *w, const config_field_t *field, const cJSON *item,
                     const cJSON **first) {
    *first = cJSON_IsArray(item) ? item->child : item;
    if (cJSON_IsArray(item) || cJSON_IsNumber(item)) return 0;
    return wrong(w, field, item,
                 field->kind == CF_INTS ? "a list of integers" : "a list of numbers");
}

/* Both lists are built in zeroed bytes and copied as bytes, padding and all: equal settings are
 * equal bytes, and callers compare them so. */
static int put_ints(walk_t *w, const config_field_t *field, const cJSON *item, config_ints_t *out) {
    const cJSON *at;
    if (open_list(w, field, item, &at)) return -1;
    config_ints_t list;
    memset(&list, 0, sizeof list);
    for (; at; at = next_in(item, at)) {
        if (list.n == CONFIG_LIST) return wrong(w, field, item, "at most 16 items");
        if (put_int(w, field, at, &list.v[list.n])) return -1;
        list.n++;
    }
    memcpy(out, &list, sizeof list);
    return 0;
}

static int put_nums(walk_t *w, const config_field_t *field, const cJSON *item, config_nums_t *out) {
    const cJSON *at;
    if (open_list(w, field, item, &at)) return -1;
    config_nums_t list;
    memset(&list, 0, sizeof list);
    for (; at; at = next_in(item, at)) {
        if (list.n == CONFIG_LIST) return wrong(w, field, item, "at most 16 items");
        if (put_num(w, field, at, &list.v[list.n])) return -1;
        list.n++;
    }
    memcpy(out, &list, sizeof list);
    return 0;
}

static int put_choice(walk_t *w, const config_field_t *field, const cJSON *item, int *out) {
    if (cJSON_IsString(item)) {
        size_t len = strlen(item->valuestring);
        int index = 0;
        for (const char *at = field->choices; *at; index++) {
            size_t n = strcspn(at, "|");
            if (n == len && memcmp(at, item->valuestring, n) == 0) {
                *out = index;
                return 0;
            }
            at += n + (at[n] == '|');
        }
    }
    char wanted[256];
    snprintf(wanted, sizeof wanted, "one of %s", field->choices);
    return wrong(w, field, item, wanted);
}

static int put_value(walk_t *w, const config_field_t *field, const cJSON *item) {
    void *out = w->out + field->offset;
    switch (field->kind) {
    case CF_INT:
        return put_int(w, field, item, out);
    case CF_NUM:
        return put_num(w, field, item, out);
    case CF_BOOL:
        if (!cJSON_IsBool(item)) return wrong(w, field, item, "true or false");
        *(bool *)out = cJSON_IsTrue(item);
        return 0;
    case CF_CHOICE:
        return put_choice(w, field, item, out);
    case CF_STR:
        if (!cJSON_IsString(item)) return wrong(w, field, item, "a string");
        if (strlen(item->valuestring) >= CONFIG_STRING)
            return wrong(w, field, item, "at most 2047 bytes");
        memset(out, 0, CONFIG_STRING);
        memcpy(out, item->valuestring, strlen(item->valuestring));
        return 0;
    case CF_PATH:
        if (!cJSON_IsString(item)) return wrong(w, field, item, "a path");
        if (strlen(item->valuestring) >= CONFIG_PATH)
            return wrong(w, field, item, "a path of at most 1023 bytes");
        memset(out, 0, CONFIG_PATH);
        memcpy(out, item->valuestring, strlen(item->valuestring));
        return 0;
    case CF_INTS:
        return put_ints(w, field, item, out);
    case CF_NUMS:
        return put_nums(w, field, item, out);
    }
    BUG("key '%s': kind %d", field->key, (int)field->kind);
}

/* ---- keys ---- */

static const config_field_t *find_field(const config_field_t *table, const char *key) {
    for (; table->key; table++) {
        if (strcmp(table->key, key) == 0) return table;
    }
    return NULL;
}

static bool is_group(const config_field_t *table, const char *key) {
    size_t n = strlen(key);
    for (; table->key; table++) {
        if (strncmp(table->key, key, n) == 0 && table->key[n] == '.') return true;
    }
    return false;
}

/* The nearest key or group: by spelling, else a key whose last part is the same word ("lr" ->
 * "optim.lr"). */
static bool nearest_key(const config_field_t *table, const char *key, char out[MAX_KEY]) {
    const char *names[2 * MAX_KEYS];
    char group[MAX_KEYS][32];
    size_t n = 0, groups = 0;
    for (const config_field_t *f = table; f->key && groups < MAX_KEYS; f++) {
        names[n++] = f->key;
        if (!strchr(f->key, '.')) continue;
        snprintf(group[groups], sizeof group[0], "%.*s", (int)strcspn(f->key, "."), f->key);
        names[n++] = group[groups++];
    }
    const char *near = cli_nearest(key, names, n), *tail = strrchr(key, '.');
    tail = tail ? tail + 1 : key;
    for (const config_field_t *f = table; !near && f->key; f++) {
        const char *last = strrchr(f->key, '.');
        if (last && strcmp(last + 1, tail) == 0) near = f->key;
    }
    if (near) snprintf(out, MAX_KEY, "%s", near);
    return near != NULL;
}

static int unknown(walk_t *w, const char *key, const cJSON *item) {
    char near[MAX_KEY];
    w->fault = item;
    w->fault_is_key = true;
    if (nearest_key(w->table, key, near))
        return reason_set(w->why, "unknown key '%s' (did you mean '%s'?)", key, near);
    return reason_set(w->why, "unknown key '%s' (see --help-config)", key);
}

static int walk_object(walk_t *w, const cJSON *object, const char *prefix);

static int walk_key(walk_t *w, const char *key, const cJSON *item) {
    const config_field_t *field = find_field(w->table, key);
    if (field) return put_value(w, field, item);
    if (!is_group(w->table, key)) return unknown(w, key, item);
    if (cJSON_IsObject(item)) return walk_object(w, item, key);
    w->fault = item;
    w->fault_is_key = false;
    return reason_set(w->why, "key '%s' wants an object of settings", key);
}

static int walk_object(walk_t *w, const cJSON *object, const char *prefix) {
    for (const cJSON *item = object->child; item; item = item->next) {
        char key[MAX_KEY];
        int n = snprintf(key, sizeof key, "%s%s%s", prefix, *prefix ? "." : "", item->string);
        if (n >= MAX_KEY) return unknown(w, "...", item);
        if (!strchr(item->string, '.')) {
            if (walk_key(w, key, item)) return -1;
            continue;
        }
        /* A dotted key is right in --set alone. */
        if (!find_field(w->table, key)) return unknown(w, key, item);
        w->fault = item;
        w->fault_is_key = true;
        return reason_set(w->why, "key '%s' must be nested: {\"%.*s\": {...}}", key,
                          (int)strcspn(key, "."), key);
    }
    return 0;
}

/* ---- the public ways in ---- */

void config_defaults(const config_field_t *table, void *out) {
    reason_t why;
    walk_t w = {.table = table, .out = out, .why = &why};
    for (const config_field_t *f = table; f->key; f++) {
        if (!f->preset) BUG("key '%s' has no default", f->key);
        cJSON *item = json_parse(f->preset, strlen(f->preset), false, &why);
        if (!item || put_value(&w, f, item)) BUG("default of key '%s': %s", f->key, why.text);
        cJSON_Delete(item);
    }
}

int config_json(const config_field_t *table, void *out, const cJSON *object, reason_t *why) {
    walk_t w = {.table = table, .out = out, .why = why};
    if (!cJSON_IsObject(object)) return reason_set(why, "the configuration is not an object");
    return walk_object(&w, object, "");
}

void config_file(const config_field_t *table, void *out, const char *path) {
    reason_t why;
    uint8_t *data;
    size_t size, line = 1, column = 1;
    if (fs_read(path, MAX_CONFIG, &data, &size, &why)) die(RC_USAGE, "%s", why.text);
    const char *text = (const char *)data;
    cJSON *root = json_parse(text, size, false, &why);
    if (!root) die(RC_USAGE, "%s:%s", path, why.text);
    walk_t w = {.table = table, .out = out, .why = &why};
    if (!cJSON_IsObject(root)) {
        w.fault = root;
        reason_set(&why, "expected an object of settings");
    } else if (walk_object(&w, root, "") == 0) {
        w.fault = NULL;
    }
    if (w.fault) {
        json_where(text, size, root, w.fault, w.fault_is_key, &line, &column);
        die(RC_USAGE, "%s:%zu:%zu: %s", path, line, column, why.text);
    }
    cJSON_Delete(root);
    free(data);
}

void config_set(const config_field_t *table, void *out, const char *assignment) {
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        die(RC_USAGE, "--set wants key=value, got '%s'", assignment);
    char key[MAX_KEY];
    if (equals - assignment >= MAX_KEY)
        die(RC_USAGE, "--set: key of %td bytes", equals - assignment);
    memcpy(key, assignment, (size_t)(equals - assignment));
    key[equals - assignment] = 0;
    const char *value = equals + 1;
    const config_field_t *field = find_field(table, key);
    bool wants_text =
        field && (field->kind == CF_STR || field->kind == CF_PATH || field->kind == CF_CHOICE);
    cJSON *item = json_parse(value, strlen(value), false, NULL);
    if (!item || (wants_text && !cJSON_IsString(item))) { /* --set name=123 means the text */
        cJSON_Delete(item);
        item = cJSON_CreateString(value);
        if (!item) die(RC_RUNTIME, "out of memory (reading --set)");
    }
    reason_t why;
    walk_t w = {.table = table, .out = out, .why = &why};
    if (walk_key(&w, key, item)) die(RC_USAGE, "--set '%s': %s", assignment, why.text);
    cJSON_Delete(item);
}

void config_sets(const config_field_t *table, void *out, const cli_list_t *assignments) {
    for (size_t i = 0; i < assignments->n; i++) config_set(table, out, assignments->item[i]);
}

/* ---- the ways out ---- */

static void print_value(FILE *f, const config_field_t *field, const void *in) {
    const void *at = (const char *)in + field->offset;
    char buf[40];
    switch (field->kind) {
    case CF_INT:
        fprintf(f, "%lld", (long long)*(const int64_t *)at);
        return;
    case CF_NUM:
        fputs(json_double(buf, *(const double *)at), f);
        return;
    case CF_BOOL:
        fputs(*(const bool *)at ? "true" : "false", f);
        return;
    case CF_CHOICE: {
        const char *choice = field->choices;
        for (int i = *(const int *)at; i > 0; i--) choice += strcspn(choice, "|") + 1;
        fprintf(f, "\"%.*s\"", (int)strcspn(choice, "|"), choice);
        return;
    }
    case CF_STR:
    case CF_PATH: {
        jsonw_t w = {0};
        const char *slash = field->kind == CF_PATH ? strrchr(at, '/') : NULL;
        jsonw_str(&w, NULL, slash ? slash + 1 : at);
        fputs(w.text, f);
        jsonw_free(&w);
        return;
    }
    case CF_INTS: {
        const config_ints_t *list = at;
        fputc('[', f);
        for (int i = 0; i < list->n; i++)
            fprintf(f, "%s%lld", i ? ", " : "", (long long)list->v[i]);
        fputc(']', f);
        return;
    }
    case CF_NUMS: {
        const config_nums_t *list = at;
        fputc('[', f);
        for (int i = 0; i < list->n; i++)
            fprintf(f, "%s%s", i ? ", " : "", json_double(buf, list->v[i]));
        fputc(']', f);
        return;
    }
    }
}

/* Prints the object of all fields whose keys begin with the first `len` bytes of `prefix`. A group
 * is printed where its first field stands. */
static void print_level(FILE *f, const config_field_t *table, const void *in, const char *prefix,
                        size_t len, int depth) {
    const char *separator = "";
    fputs("{", f);
    for (const config_field_t *field = table; field->key; field++) {
        if (strncmp(field->key, prefix, len) != 0) continue;
        const char *rest = field->key + len, *dot = strchr(rest, '.');
        size_t part = dot ? (size_t)(dot - rest) + 1 : strlen(rest);
        bool earlier = false;
        for (const config_field_t *e = table; dot && e < field; e++)
            earlier |= strncmp(e->key, field->key, len + part) == 0;
        if (earlier) continue;
        fprintf(f, "%s\n%*s\"%.*s\": ", separator, 2 * depth + 2, "", (int)(dot ? part - 1 : part),
                rest);
        if (dot)
            print_level(f, table, in, field->key, len + part, depth + 1);
        else
            print_value(f, field, in);
        separator = ",";
    }
    fprintf(f, "\n%*s}", 2 * depth, "");
}

char *config_print(const config_field_t *table, const void *in) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) die_errno(RC_RUNTIME, "cannot print the configuration");
    print_level(f, table, in, "", 0, 0);
    fputc('\n', f);
    if (fclose(f) != 0) die_errno(RC_RUNTIME, "cannot print the configuration");
    return text;
}

void config_help(const config_field_t *table) {
    for (; table->key; table++) {
        char low[40], high[40];
        printf("%-30s %-16s %s", table->key, table->preset, table->help ? table->help : "");
        if (table->kind == CF_CHOICE) printf(" [%s]", table->choices);
        if (table->min != 0 || table->max != 0) {
            bool above = isfinite(table->max), below = isfinite(table->min);
            printf(" [%s%s%s]", below ? json_double(low, table->min) : "", above ? " to " : " up",
                   above ? json_double(high, table->max) : "");
        }
        putchar('\n');
    }
}

/* A field's value as JSON. malloc'ed. */
static char *value_text(const config_field_t *field, const void *in) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) die_errno(RC_RUNTIME, "cannot print key '%s'", field->key);
    print_value(f, field, in);
    if (fclose(f) != 0) die_errno(RC_RUNTIME, "cannot print key '%s'", field->key);
    return text;
}

static size_t size_of(config_kind_t kind) {
    switch (kind) {
    case CF_INT:
        return sizeof(int64_t);
    case CF_NUM:
        return sizeof(double);
    case CF_BOOL:
        return sizeof(bool);
    case CF_CHOICE:
        return sizeof(int);
    case CF_STR:
        return CONFIG_STRING;
    case CF_PATH:
        return CONFIG_PATH;
    case CF_INTS:
        return sizeof(config_ints_t);
    case CF_NUMS:
        return sizeof(config_nums_t);
    }
    BUG("kind %d", (int)kind);
}

void config_copy(const config_field_t *table, void *to, const void *from, int flags) {
    for (const config_field_t *f = table; f->key; f++)
        if ((f->flags & flags) == flags)
            memcpy((char *)to + f->offset, (const char *)from + f->offset, size_of(f->kind));
}

size_t config_diff(const config_field_t *table, const void *a, const void *b, int flags, char *text,
                   size_t size) {
    size_t count = 0, n = 0;
    if (size) *text = 0;
    for (; table->key; table++) {
        if ((table->flags & flags) != flags) continue;
        char *left = value_text(table, a), *right = value_text(table, b);
        if (strcmp(left, right) != 0) {
            char *line = xasprintf("%s%s: %s vs %s", count ? "\n" : "", table->key, left, right);
            size_t more = strlen(line);
            if (n + more < size) { /* whole lines only */
                memcpy(text + n, line, more + 1);
                n += more;
            } else {
                size = n; /* nothing after a line that did not fit */
            }
            free(line);
            count++;
        }
        free(left);
        free(right);
    }
    return count;
}
