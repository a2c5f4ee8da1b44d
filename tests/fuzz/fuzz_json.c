/* fuzz_json.c - arbitrary bytes through json_parse. What it accepts must print canonically, read
 * back, and print the same again; what it refuses must come with a line and a column inside the
 * text.
 */
#include "common/io/text/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_accepted(const char *text, size_t size, cJSON *root) {
    char *once = json_canonical(root);
    cJSON *again = json_parse(once, strlen(once), false, NULL);
    if (!again) BUG("canonical form is refused: %s", once);
    char *twice = json_canonical(again);
    if (strcmp(once, twice) != 0) BUG("canonical form changes: %s", once);
    const cJSON *last = root; /* the deepest last item */
    while (last->child) last = last->child->prev;
    size_t line, column;
    json_where(text, size, root, last, false, &line, &column);
    if (line < 1 || column < 1 || line + column > size + 2) BUG("position %zu:%zu", line, column);
    cJSON_Delete(again);
    free(once);
    free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int infinities = 0; infinities < 2; infinities++) {
        reason_t why = {""};
        cJSON *root = json_parse((const char *)data, size, infinities, &why);
        size_t line = 0, column = 0;
        if (root)
            check_accepted((const char *)data, size, root);
        else if (sscanf(why.text, "%zu:%zu: ", &line, &column) != 2 ||
                 strcmp(why.text, "1:1: not read by cJSON") == 0)
            BUG("reason '%s'", why.text);
        if (!root && (line < 1 || column < 1 || line + column > size + 2))
            BUG("reason '%s'", why.text);
        cJSON_Delete(root);
    }
    return 0;
}
