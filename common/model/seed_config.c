/* seed_config.c - config.json of a SEED tokenizer: every size by name; see seed.h. */
#include "common/model/seed.h"

#include "common/io/text/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char CLASS_NAME[] = "SeedTokenizer";
enum { MOST = 1 << 20 };

/* The keys whose values are whole numbers. Absent from config.json where they mean nothing. */
typedef struct {
    const char *key;
    size_t at;  /* in seed_config_t */
    size_t low; /* least value */
    bool layers;
    enum { ALWAYS, RECONSTRUCTS, HEAD, REVERSE, DOWN } when;
    bool hidden; /* tensors' shapes do not show it */
} number_t;
#define AT(field) offsetof(seed_config_t, field)
static const number_t numbers[] = {
    {"image_size", AT(image_size), 1, false, ALWAYS, false},
    {"patch_size", AT(patch_size), 1, false, ALWAYS, false},
    {"vision_width", AT(vision_width), 1, false, ALWAYS, false},
    {"vision_layers", AT(vision_layers), 1, true, ALWAYS, false},
    {"vision_heads", AT(vision_heads), 1, false, ALWAYS, true},
    {"vision_mlp", AT(vision_mlp), 1, false, ALWAYS, false},
    {"width", AT(width), 1, false, ALWAYS, false},
    {"layers", AT(layers), 1, true, ALWAYS, false},
    {"heads", AT(heads), 1, false, ALWAYS, true},
    {"mlp", AT(mlp), 1, false, ALWAYS, false},
    {"queries", AT(queries), 1, false, ALWAYS, false},
    {"codes", AT(codes), 1, false, ALWAYS, false},
    {"code_width", AT(code_width), 1, false, ALWAYS, false},
    {"decode_layers", AT(decode_layers), 0, true, ALWAYS, false},
    {"decode_mlp", AT(decode_mlp), 0, false, ALWAYS, false},
    {"reconstruct_layers", AT(reconstruct_layers), 0, true, RECONSTRUCTS, false},
    {"reconstruct_mlp", AT(reconstruct_mlp), 0, false, RECONSTRUCTS, false},
    {"embedding", AT(embedding), 1, false, HEAD, false},
    {"reverse_layers", AT(reverse_layers), 1, true, REVERSE, false},
    {"reverse_mlp", AT(reverse_mlp), 1, false, REVERSE, false},
    {"down_0", AT(down[0]), 1, false, DOWN, false},
    {"down_1", AT(down[1]), 1, false, DOWN, false},
    {"down_2", AT(down[2]), 1, false, DOWN, false},
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

static const char *const head_names[] = {
    [SEED_HEAD_NONE] = "none", [SEED_HEAD_REVERSE] = "reverse", [SEED_HEAD_DOWN] = "down"};

static size_t *value_of(seed_config_t *c, const number_t *n) {
    return (size_t *)(void *)((char *)c + n->at);
}
static size_t get(const seed_config_t *c, const number_t *n) {
    return *value_of((seed_config_t *)c, n);
}

static bool applies(const seed_config_t *c, const number_t *n) {
    switch (n->when) {
    case ALWAYS:
        return true;
    case RECONSTRUCTS:
        return c->reconstructs;
    case HEAD:
        return c->head != SEED_HEAD_NONE;
    case REVERSE:
        return c->head == SEED_HEAD_REVERSE;
    case DOWN:
        return c->head == SEED_HEAD_DOWN;
    }
    return false;
}

/* ---- names of weights ---- */

static const struct {
    const char *name;
    kern_weights_t kind;
} kinds[] = {{"f32", WEIGHTS_F32}, {"bf16", WEIGHTS_BF16}, {"q8", WEIGHTS_Q8}};
enum { KINDS = sizeof kinds / sizeof *kinds };

const char *seed_weights_name(kern_weights_t kind) {
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i].kind == kind) return kinds[i].name;
    return NULL;
}

bool seed_weights_named(const char *name, kern_weights_t *kind) {
    for (size_t i = 0; i < KINDS; i++)
        if (name && !strcmp(kinds[i].name, name)) {
            *kind = kinds[i].kind;
            return true;
        }
    return false;
}

/* ---- what must hold ---- */

int seed_config_check(const seed_config_t *c, reason_t *why) {
    for (size_t i = 0; i < NUMBERS; i++) {
        const number_t *n = &numbers[i];
        size_t v = get(c, n), most = n->layers ? SEED_LAYERS - 1 : MOST;
        if (applies(c, n) && (v < n->low || v > most))
            return reason_set(why, "'%s' is %zu; %zu to %zu are possible", n->key, v, n->low, most);
    }
    if (c->image_size % c->patch_size)
        return reason_set(why, "'image_size' %zu is no multiple of 'patch_size' %zu", c->image_size,
                          c->patch_size);
    if (c->vision_width % c->vision_heads)
        return reason_set(why, "'vision_width' %zu is no multiple of 'vision_heads' %zu",
                          c->vision_width, c->vision_heads);
    if (c->width % c->heads)
        return reason_set(why, "'width' %zu is no multiple of 'heads' %zu", c->width, c->heads);
    if ((c->decode_layers && !c->decode_mlp) || (c->reconstruct_layers && !c->reconstruct_mlp))
        return reason_set(why, "'decode_mlp' or 'reconstruct_mlp' is 0, but there are blocks");
    if (c->codes > (size_t)1 << 16)
        return reason_set(why, "'codes' %zu is more than 65536", c->codes);
    return 0;
}

/* ---- writing ---- */

char *seed_config_json(const seed_config_t *c) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "_class_name", CLASS_NAME);
    cJSON_AddBoolToObject(o, "causal", c->causal);
    cJSON_AddBoolToObject(o, "reconstructs", c->reconstructs);
    cJSON_AddStringToObject(o, "head", head_names[c->head]);
    cJSON_AddStringToObject(o, "weights", seed_weights_name(c->weights));
    for (size_t i = 0; i < NUMBERS; i++)
        if (applies(c, &numbers[i]))
            cJSON_AddNumberToObject(o, numbers[i].key, (double)get(c, &numbers[i]));
    char *line = json_canonical(o), *text = xasprintf("%s\n", line);
    cJSON_Delete(o);
    free(line);
    return text;
}

char *seed_quantizer_text(const seed_config_t *c) {
    return xasprintf(
        "{\"causal\":%s,\"heads\":%zu,\"kind\":\"seed\",\"vision_heads\":%zu,\"weights\":\"%s\"}",
        c->causal ? "true" : "false", c->heads, c->vision_heads, seed_weights_name(c->weights));
}

/* CLIP's numbers, as OpenAI published them. */
char *seed_preprocess_text(const seed_config_t *c) {
    return xasprintf("{\"filter\":\"bicubic\",\"mean\":[0.48145466,0.4578275,0.40821073],"
                     "\"size\":[%zu,%zu],\"std\":[0.26862954,0.26130258,0.27577711]}",
                     c->image_size, c->image_size);
}

/* ---- reading ---- */

static int read_word(const cJSON *o, const char *key, const char **out, reason_t *why) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!item) return 0;
    *out = cJSON_GetStringValue(item);
    return *out ? 0 : reason_set(why, "'%s' is no string", key);
}

static int read_bool(const cJSON *o, const char *key, bool *out, reason_t *why) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!item) return 0;
    if (!cJSON_IsBool(item)) return reason_set(why, "'%s' is neither true nor false", key);
    *out = cJSON_IsTrue(item);
    return 0;
}

static int check_key(const seed_config_t *c, const char *key, reason_t *why) {
    static const char *const others[] = {"_class_name", "causal", "reconstructs", "head",
                                         "weights"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(key, others[i])) return 0;
    for (size_t i = 0; i < NUMBERS; i++)
        if (!strcmp(key, numbers[i].key))
            return applies(c, &numbers[i])
                       ? 0
                       : reason_set(why, "'%s' means nothing to such a network", key);
    return reason_set(why, "unknown key '%s'", key);
}

static int read_members(seed_config_t *c, const cJSON *o, reason_t *why) {
    const char *class_name = CLASS_NAME, *head = head_names[c->head],
               *weights = seed_weights_name(c->weights);
    size_t h = 0;
    if (read_word(o, "_class_name", &class_name, why) || read_word(o, "head", &head, why) ||
        read_word(o, "weights", &weights, why) || read_bool(o, "causal", &c->causal, why) ||
        read_bool(o, "reconstructs", &c->reconstructs, why))
        return -1;
    if (strcmp(class_name, CLASS_NAME) != 0)
        return reason_set(why, "'_class_name' is '%s', not '%s'", class_name, CLASS_NAME);
    while (h <= SEED_HEAD_DOWN && strcmp(head, head_names[h]) != 0) h++;
    if (h > SEED_HEAD_DOWN)
        return reason_set(why, "'head' is '%s'; reverse, down and none are possible", head);
    c->head = (seed_head_t)h;
    if (!seed_weights_named(weights, &c->weights))
        return reason_set(why, "'weights' is '%s'; f32, bf16 and q8 are possible", weights);
    for (const cJSON *item = o->child; item; item = item->next)
        if (check_key(c, item->string, why)) return -1;
    for (size_t i = 0; i < NUMBERS; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, numbers[i].key);
        uint64_t v;
        if (!item) continue;
        if (!json_u64(item, &v)) return reason_set(why, "'%s' is no whole number", numbers[i].key);
        *value_of(c, &numbers[i]) = (size_t)v;
    }
    return 0;
}

static int read_object(const char *text, size_t size, cJSON **o, reason_t *why) {
    *o = json_parse(text, size, false, why);
    if (!*o) return RC_DATA;
    if (cJSON_IsObject(*o)) return RC_OK;
    cJSON_Delete(*o);
    reason_set(why, "not a JSON object");
    return RC_DATA;
}

int seed_config_parse(seed_config_t *c, const char *text, size_t size, reason_t *why) {
    static const char *const needed[] = {"_class_name", "causal", "reconstructs", "head",
                                         "weights"};
    cJSON *o;
    int rc = read_object(text, size, &o, why);
    if (rc) return rc;
    *c = (seed_config_t){0};
    for (size_t i = 0; i < sizeof needed / sizeof *needed && !rc; i++)
        if (!cJSON_GetObjectItemCaseSensitive(o, needed[i]))
            rc = reason_set(why, "'%s' is missing", needed[i]);
    if (!rc) rc = read_members(c, o, why);
    for (size_t i = 0; i < NUMBERS && !rc; i++)
        if (applies(c, &numbers[i]) && !cJSON_GetObjectItemCaseSensitive(o, numbers[i].key))
            rc = reason_set(why, "'%s' is missing", numbers[i].key);
    if (!rc) rc = seed_config_check(c, why);
    cJSON_Delete(o);
    return rc ? RC_MISFIT : RC_OK;
}

int seed_config_amend(seed_config_t *c, const char *text, size_t size, reason_t *why) {
    cJSON *o;
    int rc = read_object(text, size, &o, why);
    if (rc) return rc;
    const seed_config_t was = *c;
    rc = read_members(c, o, why);
    for (size_t i = 0; i < NUMBERS && !rc; i++) {
        const number_t *n = &numbers[i];
        bool fewer =
            n->at == AT(vision_layers) && get(c, n) && (!get(&was, n) || get(c, n) < get(&was, n));
        if (applies(&was, n) && !n->hidden && !fewer && get(c, n) != get(&was, n))
            rc = reason_set(why, "'%s' is %zu; the tensors have %zu", n->key, get(c, n),
                            get(&was, n));
    }
    if (!rc && (c->head != was.head || c->reconstructs != was.reconstructs))
        rc =
            reason_set(why, "'head' is '%s' and 'reconstructs' is %s; the tensors have '%s' and %s",
                       head_names[c->head], c->reconstructs ? "true" : "false",
                       head_names[was.head], was.reconstructs ? "true" : "false");
    cJSON_Delete(o);
    return rc ? RC_MISFIT : RC_OK;
}
