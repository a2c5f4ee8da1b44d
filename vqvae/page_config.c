/* page_config.c - the configuration of a RUN as a table; see page.h. */
#include "common/io/fs.h"
#include "vqvae/page.h"

#include <stdlib.h>
#include <string.h>

static void config_rows(html_t *h, const cJSON *object, const cJSON *preset, const char *prefix) {
    for (const cJSON *c = object->child; c; c = c->next) {
        const cJSON *was = preset ? cJSON_GetObjectItemCaseSensitive(preset, c->string) : NULL;
        char *key = xasprintf("%s%s", prefix, c->string);
        if (cJSON_IsObject(c)) {
            char *inner = xasprintf("%s.", key);
            config_rows(h, c, was, inner);
            free(inner);
        } else {
            char *value = json_canonical(c), *usual = was ? json_canonical(was) : NULL;
            html_put(h, usual && strcmp(usual, value) ? "<tr class=\"set\"><td>" : "<tr><td>");
            html_text(h, key);
            html_put(h, "</td><td>");
            html_text(h, value);
            html_put(h, "</td></tr>\n");
            free(value);
            free(usual);
        }
        free(key);
    }
}

void page_config(page_t *p) {
    char *training = fs_join(p->run, "training.json"), *network = fs_join(p->run, "config.json");
    const char *path = NULL;
    if (fs_exists(training))
        path = training;
    else if (fs_exists(network))
        path = network;
    reason_t why;
    if (path) {
        cJSON *o = json_parse_file(path, false, &why);
        if (!o) die(RC_DATA, "%s", why.text);
        const cJSON *config = path == training ? cJSON_GetObjectItemCaseSensitive(o, "config") : o,
                    *seed = cJSON_GetObjectItemCaseSensitive(o, "seed");
        config_t usual;
        config_defaults(config_table, &usual);
        char *text = config_print(config_table, &usual);
        cJSON *preset = path == training ? json_parse(text, strlen(text), false, &why) : NULL;
        html_put(&p->h, "<h2>Configuration</h2>\n");
        if (path == training) html_put(&p->h, "<p class=\"dim\">Bold: not the default.</p>\n");
        html_put(&p->h, "<div class=\"scroll\"><table class=\"config\">\n");
        if (path == training && cJSON_IsString(seed)) {
            html_put(&p->h, "<tr><td>seed</td><td>");
            html_text(&p->h, seed->valuestring);
            html_put(&p->h, "</td></tr>\n");
        }
        if (cJSON_IsObject(config)) config_rows(&p->h, config, preset, "");
        html_put(&p->h, "</table></div>\n");
        cJSON_Delete(preset);
        cJSON_Delete(o);
        free(text);
    }
    free(training);
    free(network);
}
