/* json_lines.h - files of JSON lines that commands write for one another. */
#ifndef GATO_JSON_LINES_H
#define GATO_JSON_LINES_H

#include "common/io/text/json.h"

#include <stddef.h>

typedef void (*json_line_fn)(void *ctx, size_t number, const cJSON *line);
/* Gives each line of a file to fn, with its number from 1 on; empty ones are left out. die()s:
 * RC_USAGE where there is no file, RC_DATA where a line is no JSON. */
void json_lines_read(const char *path, json_line_fn fn, void *ctx);

#endif
