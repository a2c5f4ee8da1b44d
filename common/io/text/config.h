/* config.h - configuration: a table of fields binds dotted keys to the members of a struct.
 *
 * Precedence: default < --config file < --set key=value < flag. Unknown keys, wrong types and
 * values out of range are exit 2 with line:column (files) and the nearest key.
 */
#ifndef IO_CONFIG_H
#define IO_CONFIG_H

#include "common/base/cli.h"
#include "common/base/die.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONFIG_LIST = 16, CONFIG_PATH = 1024 };
typedef struct {
    int64_t v[CONFIG_LIST];
    int n;
} config_ints_t;
typedef struct {
    double v[CONFIG_LIST];
    int n;
} config_nums_t;

typedef enum {
    CF_INT,    /* int64_t */
    CF_NUM,    /* double */
    CF_BOOL,   /* bool */
    CF_CHOICE, /* int: index into choices ("a|b|c") */
    CF_STR,    /* char[64] */
    /* char[CONFIG_PATH]: a file of the user's; what a RUN records is its last part alone */
    CF_PATH,
    CF_INTS, /* config_ints_t; a single number is accepted as a list of one */
    CF_NUMS, /* config_nums_t */
} config_kind_t;

enum { CONFIG_ARCH = 1 }; /* flags: shapes parameters; a resume with another value is exit 4 */

typedef struct {
    const char *key; /* "optim.lr" */
    config_kind_t kind;
    size_t offset;
    const char *preset;  /* default as JSON text: "0.001", "\"cosine\"", "[16,16,32,64]" */
    const char *choices; /* CF_CHOICE */
    double min, max;     /* CF_INT, CF_NUM and list items; both 0 = no limit */
    int flags;
    const char *help;
} config_field_t; /* tables end with {0} */

void config_defaults(const config_field_t *table, void *out);
/* Applies a nested JSON object from a file (die(RC_USAGE)). A file may hold only some keys. */
void config_file(const config_field_t *table, void *out, const char *path);
/* "key=value": the value is JSON, else a string. die(RC_USAGE). */
void config_set(const config_field_t *table, void *out, const char *assignment);
void config_sets(const config_field_t *table, void *out, const cli_list_t *assignments);
/* Applies an object (the "config" of a checkpoint); -1 with a reason. */
int config_json(const config_field_t *table, void *out, const cJSON *object, reason_t *why);
/* All keys as a nested object in table order: what a RUN records. malloc'ed JSON text,
 * deterministic. */
char *config_print(const config_field_t *table, const void *in);
/* --help-config: every key, default, meaning to stdout. */
void config_help(const config_field_t *table);
/* The first keys that differ between a and b, "key: 1 vs 2" lines, among fields with all of
 * `flags`; returns the number. */
size_t config_diff(const config_field_t *table, const void *a, const void *b, int flags, char *text,
                   size_t size);

#endif
