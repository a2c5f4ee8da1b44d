/* json_lines.c - see json_lines.h. */
#include "gato/json_lines.h"

#include "common/io/fs.h"

#include <stdlib.h>
#include <string.h>

void json_lines_read(const char *path, json_line_fn fn, void *ctx) {
    uint8_t *text;
    size_t size;
    reason_t why;
    if (!fs_exists(path)) die(RC_USAGE, "'%s': no such file", path);
    if (fs_read(path, 0, &text, &size, &why)) die(RC_RUNTIME, "%s", why.text);
    for (size_t at = 0, number = 1; at < size; number++) {
        const uint8_t *end = memchr(text + at, '\n', size - at);
        size_t n = end ? (size_t)(end - text) - at : size - at;
        cJSON *line = n ? json_parse((char *)text + at, n, false, &why) : NULL;
        if (n && !line) die(RC_DATA, "'%s', line %zu: %s", path, number, why.text);
        if (n) fn(ctx, number, line);
        cJSON_Delete(line);
        at += n + 1;
    }
    free(text);
}
