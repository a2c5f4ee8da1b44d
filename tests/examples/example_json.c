/* example_json.c - the use that json.h opens with. */
#include "common/io/text/json.h"
#include "tests/test.h"

TEST(read_and_write) {
    /* use of common/io/text/json.h */
    reason_t why;
    uint64_t steps = 0;
    const char *text = "{\"steps\": 100}";
    cJSON *root = json_parse(text, strlen(text), false, &why);
    if (!root) die(RC_DATA, "%s", why.text); // "line:column: cause"
    json_u64(cJSON_GetObjectItemCaseSensitive(root, "steps"), &steps);
    cJSON_Delete(root);

    jsonw_t w;
    jsonw_begin(&w);
    jsonw_int(&w, "steps", (int64_t)steps);
    const char *line = jsonw_end(&w); // {"steps":100}
    /* end of use */
    CHECK_STR(line, "{\"steps\":100}");
    jsonw_free(&w);
}
