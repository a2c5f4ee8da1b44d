/* mapping.c - see mapping.h. */
#include "tokenize/mapping.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef const space_leaf_t *(*leaf_at_t)(const episode_source_t *, size_t);

/* One side of a timestep: its observations or its actions. */
typedef struct {
    episode_source_t *source;
    const char *name, *field, *option;
    leaf_at_t leaf;
    size_t n;
    bool observations;
} side_t;

static const char *const roles[] = {"image", "continuous", "discrete", "text"};

static void add(mapping_t *mapping, size_t leaf, role_t role) {
    mapping->use = xrealloc(mapping->use, (mapping->n + 1) * sizeof *mapping->use);
    mapping->use[mapping->n++] = (use_t){leaf, role};
}

static bool used(const mapping_t *mapping, size_t leaf) {
    for (size_t i = 0; i < mapping->n; i++)
        if (mapping->use[i].leaf == leaf) return true;
    return false;
}

void mapping_release(mapping_t *mapping) {
    free(mapping->use);
    *mapping = (mapping_t){0};
}

/* ---- what a leaf can be ---- */

static bool is_integer(const space_leaf_t *leaf) {
    return strncmp(leaf->dtype, "int", 3) == 0 || strncmp(leaf->dtype, "uint", 4) == 0 ||
           strcmp(leaf->dtype, "bool") == 0;
}

static bool bounded_integers(const space_leaf_t *leaf) {
    bool good = leaf->kind == SPACE_BOX && is_integer(leaf);
    for (size_t k = 0; good && k < leaf->count; k++) {
        double width = leaf->high[k] - leaf->low[k];
        good = width >= 0 && width < 0x1p53;
    }
    return good;
}

static bool fits(const side_t *side, size_t i, role_t role) {
    const space_leaf_t *leaf = side->leaf(side->source, i);
    switch (role) {
    case ROLE_IMAGE:
        return side->observations && episode_source_as_image(side->source, i);
    case ROLE_CONTINUOUS:
        return leaf->kind == SPACE_BOX;
    case ROLE_DISCRETE:
        return leaf->kind == SPACE_DISCRETE || bounded_integers(leaf);
    case ROLE_TEXT:
        return side->observations && leaf->kind == SPACE_TEXT;
    }
    return false;
}

double mapping_first(const space_leaf_t *leaf, size_t k) {
    return leaf->kind == SPACE_BOX ? leaf->low[k] : 0;
}
int64_t mapping_range(const space_leaf_t *leaf, size_t k) {
    return leaf->kind == SPACE_BOX ? (int64_t)(leaf->high[k] - leaf->low[k]) + 1
                                   : space_leaf_n(leaf, k);
}

/* ---- the default ---- */

static void warn_left_out(const side_t *side, size_t i, const char *what) {
    const char *path = side->leaf(side->source, i)->path;
    warn("'%s': %s%s%s is left out: %s (%s chooses)", side->name, side->field, *path ? "/" : "",
         path, what, side->option);
}

static const char *why_left_out(const space_leaf_t *leaf) {
    if (leaf->kind == SPACE_TEXT) return "a second text";
    return leaf->kind == SPACE_IMAGE ? "a second image" : "an array of two or more dimensions";
}

static void choose_observation(const side_t *side, mapping_t *mapping, size_t i, int image,
                               bool *text) {
    const space_leaf_t *leaf = side->leaf(side->source, i);
    if ((int)i == image)
        add(mapping, i, ROLE_IMAGE);
    else if (leaf->kind == SPACE_BOX && leaf->rank <= 1)
        add(mapping, i, ROLE_CONTINUOUS);
    else if (leaf->kind == SPACE_DISCRETE)
        add(mapping, i, ROLE_DISCRETE);
    else if (leaf->kind == SPACE_TEXT && !*text)
        add(mapping, i, ROLE_TEXT);
    else
        warn_left_out(side, i, why_left_out(leaf));
    *text |= leaf->kind == SPACE_TEXT;
}

static void choose_action(const side_t *side, mapping_t *mapping, size_t i) {
    const space_leaf_t *leaf = side->leaf(side->source, i);
    if (leaf->kind == SPACE_DISCRETE || leaf->kind == SPACE_BOX)
        add(mapping, i, leaf->kind == SPACE_DISCRETE ? ROLE_DISCRETE : ROLE_CONTINUOUS);
    else
        warn_left_out(side, i,
                      leaf->kind == SPACE_TEXT ? "a text cannot be an action"
                                               : "an image cannot be an action");
}

/* ---- --obs and --act ---- */

static _Noreturn void refuse_key(const side_t *side, role_t role, const char *key,
                                 const char *what) {
    char has[400] = "";
    size_t at = 0;
    for (size_t i = 0; i < side->n && at + 80 < sizeof has; i++) {
        const char *path = side->leaf(side->source, i)->path;
        at += (size_t)snprintf(has + at, sizeof has - at, "%s%.70s", i ? ", " : "",
                               *path ? path : ".");
    }
    die(RC_USAGE, "%s %s=%s: '%s' %s; its %s: %s", side->option, roles[role], key, side->name, what,
        side->field, has);
}

/* Is the leaf the one that the key names, or below it? */
static bool names(const char *key, size_t n, const char *path) {
    if (n == 1 && *key == '.') return true;
    return strncmp(key, path, n) == 0 && (path[n] == 0 || path[n] == '/');
}

static void add_key(const side_t *side, mapping_t *mapping, role_t role, const char *key,
                    size_t n) {
    char *shown = xasprintf("%.*s", (int)n, key);
    size_t named = 0, taken = 0;
    for (size_t i = 0; i < side->n; i++) {
        if (!names(key, n, side->leaf(side->source, i)->path)) continue;
        named++;
        if (used(mapping, i) || !fits(side, i, role)) continue;
        add(mapping, i, role);
        taken++;
    }
    if (!named) refuse_key(side, role, shown, "has nothing of that name");
    if (!taken) refuse_key(side, role, shown, "has nothing there that fits and is still free");
    free(shown);
}

static void add_part(const side_t *side, mapping_t *mapping, const char *part, size_t n) {
    const char *equals = memchr(part, '=', n);
    size_t role = 0, length = equals ? (size_t)(equals - part) : 0;
    while (role < 4 && (strlen(roles[role]) != length || strncmp(part, roles[role], length) != 0))
        role++;
    if (role == 4 || (!side->observations && (role == ROLE_IMAGE || role == ROLE_TEXT)))
        die(RC_USAGE,
            "%s '%.*s': %s=KEY is needed; separate several of them by commas, several keys by +",
            side->option, (int)n, part,
            side->observations ? "image, continuous, discrete or text" : "continuous or discrete");
    for (const char *key = equals + 1, *end = part + n; key <= end;) {
        const char *plus = memchr(key, '+', (size_t)(end - key)), *stop = plus ? plus : end;
        add_key(side, mapping, (role_t)role, key, (size_t)(stop - key));
        key = stop + 1;
    }
}

static mapping_t parse_mapping(const side_t *side, const char *text) {
    mapping_t mapping = {0};
    size_t images = 0;
    for (const char *part = text;;) {
        const char *comma = strchr(part, ',');
        add_part(side, &mapping, part, comma ? (size_t)(comma - part) : strlen(part));
        if (!comma) break;
        part = comma + 1;
    }
    for (size_t i = 0; i < mapping.n; i++) images += mapping.use[i].role == ROLE_IMAGE;
    if (images > 1)
        die(RC_USAGE, "%s '%s': %zu images; a timestep has one", side->option, text, images);
    return mapping;
}

/* ---- both ---- */

mapping_t mapping_observations(episode_source_t *source, const char *name, const char *text) {
    side_t side = {
        source, name, "observations", "--obs", episode_source_obs, episode_source_n_obs(source),
        true};
    mapping_t mapping = {0};
    if (text) {
        mapping = parse_mapping(&side, text);
    } else {
        int image = episode_source_find_image(source);
        bool has_text = false;
        for (size_t i = 0; i < side.n; i++)
            choose_observation(&side, &mapping, i, image, &has_text);
    }
    for (size_t i = 0; i < side.n; i++)
        if (!used(&mapping, i)) episode_source_skip_obs(source, i);
    for (size_t i = 0; i < mapping.n; i++) {
        size_t h, w, c;
        const space_leaf_t *leaf = episode_source_obs(source, mapping.use[i].leaf);
        if (mapping.use[i].role != ROLE_IMAGE) continue;
        space_leaf_image_size(leaf, &h, &w, &c);
        if (c != 1 && c != 3)
            die(RC_DATA,
                "'%s': observations/%s: frames have %zu channels; only 1 or 3 can be read (--obs "
                "can leave it "
                "out)",
                name, leaf->path, c);
    }
    return mapping;
}

mapping_t mapping_actions(episode_source_t *source, const char *name, const char *text) {
    side_t side = {
        source, name, "actions", "--act", episode_source_act, episode_source_n_act(source), false};
    mapping_t mapping = {0};
    if (text)
        mapping = parse_mapping(&side, text);
    else
        for (size_t i = 0; i < side.n; i++) choose_action(&side, &mapping, i);
    for (size_t i = 0; i < side.n; i++)
        if (!used(&mapping, i)) episode_source_skip_act(source, i);
    if (!mapping.n)
        die(RC_DATA, "'%s' has no actions that become tokens (numbers or discrete values)", name);
    return mapping;
}
