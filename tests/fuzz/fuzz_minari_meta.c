/* fuzz_minari_meta.c - arbitrary bytes as a dataset's metadata.json: what is accepted has leaves
 * that make sense, and a bare observation space prints to JSON that gives the same leaf again.
 */
#include "common/io/episodes/minari_meta.h"
#include "common/io/text/json.h"

#include <stdlib.h>
#include <string.h>

static void check_leaf(const space_leaf_t *l) {
    size_t count = 1;
    for (int i = 0; i < l->rank; i++) count *= l->dim[i];
    if (l->rank > 8 || count != l->count || strlen(l->path) >= sizeof l->path)
        BUG("leaf '%s'", l->path);
    if (l->kind == SPACE_BOX && (!l->low || !l->high)) BUG("a box without bounds");
    if (l->kind == SPACE_DISCRETE && l->n < 1) BUG("an empty discrete space");
    for (size_t i = 0; l->kind == SPACE_DISCRETE && i < l->count; i++)
        if (space_leaf_n(l, i) < 1 || space_leaf_n(l, i) > l->n) BUG("a range beyond the largest");
    for (size_t i = 0; l->low && i < l->count; i++)
        if (l->low[i] != l->low[i]) BUG("a bound that is no number");
}

static void print_and_parse(const space_leaf_t *l) {
    char *space = minari_space_json(l, 1, false);
    jsonw_t j = {0};
    jsonw_begin(&j);
    jsonw_int(&j, "total_episodes", 1);
    jsonw_int(&j, "total_steps", 1);
    jsonw_str(&j, "observation_space", space);
    jsonw_str(&j, "action_space", "{\"type\": \"Discrete\", \"n\": 2}");
    const char *text = jsonw_end(&j);
    minari_meta_t m;
    reason_t why;
    if (minari_meta_parse(text, strlen(text), &m, &why)) BUG("printed but not read: %s", why.text);
    if (m.n_obs != 1 || m.obs[0].kind != l->kind || m.obs[0].count != l->count ||
        m.obs[0].n != (l->kind == SPACE_TEXT && l->n <= 0 ? 4096 : l->n))
        BUG("a space changes by printing");
    for (size_t i = 0; l->kind == SPACE_DISCRETE && i < l->count; i++)
        if (space_leaf_n(l, i) != space_leaf_n(&m.obs[0], i) ||
            space_leaf_start(l, i) != space_leaf_start(&m.obs[0], i))
            BUG("a discrete space changes by printing");
    for (size_t i = 0; l->low && i < l->count; i++)
        if (m.obs[0].low[i] != l->low[i] || m.obs[0].high[i] != l->high[i])
            BUG("a bound changes by printing");
    minari_meta_release(&m);
    jsonw_free(&j);
    free(space);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    minari_meta_t m;
    reason_t why = {""};
    if (minari_meta_parse((const char *)data, size, &m, &why)) {
        if (!why.text[0]) BUG("refused without a reason");
        return 0;
    }
    for (size_t i = 0; i < m.n_obs; i++) check_leaf(&m.obs[i]);
    for (size_t i = 0; i < m.n_act; i++) check_leaf(&m.act[i]);
    if (m.n_obs == 1 && !m.obs[0].path[0]) print_and_parse(&m.obs[0]);
    minari_meta_release(&m);
    return 0;
}
