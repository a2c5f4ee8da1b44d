/* config.h - configuration: a table of fields binds dotted keys to the members of a struct.
 *
 * Values come, each over the one before, from the table's defaults, a --config file, --set
 * key=value, and flags. Unknown keys, wrong types and values out of range are refused with the
 * nearest key, and in files with line:column. Functions without a `why` are for programs: they
 * die(RC_USAGE).
 */
#ifndef IO_CONFIG_H
#define IO_CONFIG_H

#include "common/base/cli.h"
#include "common/base/die.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most items of a list, and bytes of a string and of a path with their NUL. */
enum { CONFIG_LIST = 16, CONFIG_STRING = 2048, CONFIG_PATH = 1024 };

/* Lists. Items behind the first n are 0 and so is the padding: equal lists are equal bytes. */
typedef struct {
    int64_t v[CONFIG_LIST];
    int n;
} config_ints_t;
typedef struct {
    double v[CONFIG_LIST];
    int n;
} config_nums_t;

/* The type of a field's member. */
typedef enum {
    CF_INT,    /* int64_t */
    CF_NUM,    /* double */
    CF_BOOL,   /* bool */
    CF_CHOICE, /* int: index into choices ("a|b|c") */
    CF_STR,    /* char[CONFIG_STRING] */
    CF_PATH,   /* char[CONFIG_PATH]: a file of the user's; a RUN records its last part alone */
    CF_INTS,   /* config_ints_t; a single number is accepted as a list of one */
    CF_NUMS,   /* config_nums_t */
} config_kind_t;

/* A field's flags. */
enum {
    CONFIG_ARCH = 1, /* shapes parameters: a resume with another value is exit 4 */
    CONFIG_HEAD = 2, /* CF_NUM: above 0 there are parameters for it, else none */
};

/* A row of a table; tables end with {0}. */
typedef struct {
    const char *key; /* "optim.lr" */
    config_kind_t kind;
    size_t offset;       /* of the member in the struct */
    const char *preset;  /* default as JSON text: "0.001", "\"cosine\"", "[16,16,32,64]" */
    const char *choices; /* CF_CHOICE */
    double min, max;     /* CF_INT, CF_NUM and list items; both 0 = no limit */
    int flags;
    const char *help;
} config_field_t;

/* Sets every member to its default. A default that its field refuses is a BUG. */
void config_defaults(const config_field_t *table, void *out);
/* Applies the nested JSON object of a file, which may hold only some keys. */
void config_file(const config_field_t *table, void *out, const char *path);
/* Applies "key=value"; the value is JSON, else a string. */
void config_set(const config_field_t *table, void *out, const char *assignment);
void config_sets(const config_field_t *table, void *out, const cli_list_t *assignments);
/* Applies an object, the "config" of a checkpoint. 0, or -1 with a reason. */
int config_json(const config_field_t *table, void *out, const cJSON *object, reason_t *why);

/* Copies the fields that have all of `flags` to another struct of the same table. */
void config_copy(const config_field_t *table, void *to, const void *from, int flags);

/* All keys as a nested object in the order of the table: what a RUN records. malloc'ed JSON text,
 * the same bytes for the same values. */
char *config_print(const config_field_t *table, const void *in);
/* Prints every key with default, meaning and limits to stdout: --help-config. */
void config_help(const config_field_t *table);
/* Compares the fields that have all of `flags` in a and b. Returns the number that differ, and in
 * `text` as many whole lines "key: 1 vs 2" as fit in `size` bytes. */
size_t config_diff(const config_field_t *table, const void *a, const void *b, int flags, char *text,
                   size_t size);

#endif
