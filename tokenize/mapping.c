/* mapping.c - see mapping.h. */
#include "tokenize/mapping.h"

#include "common/base/log.h"

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

static void add(mapping_t *mapping, size_t leaf, slot_kind_t kind) {
    mapping->use = xrealloc(mapping->use, (mapping->n + 1) * sizeof *mapping->use);
    mapping->use[mapping->n++] = (use_t){leaf, kind};
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

static bool fits(const side_t *side, size_t i, slot_kind_t kind) {
    const space_leaf_t *leaf = side->leaf(side->source, i);
    switch (kind) {
    case SLOT_IMAGE:
        return side->observations && episode_source_as_image(side->source, i);
    case SLOT_VECTOR:
        return leaf->kind == SPACE_BOX;
    case SLOT_DISCRETE:
        return leaf->kind == SPACE_DISCRETE || bounded_integers(leaf);
    case SLOT_TEXT:
        return side->observations && leaf->kind == SPACE_TEXT;
    case SLOT_KINDS:
        break;
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

/* Channels of an image that become colors: 1 is gray. */
static bool has_colors(const space_leaf_t *leaf) {
    size_t h, w, c;
    space_leaf_image_size(leaf, &h, &w, &c);
    return c == 1 || c == 3;
}

/* Is there an image with colors? Where there is none, all are taken, to be refused by name. */
static bool any_colors(const side_t *side) {
    for (size_t i = 0; i < side->n; i++) {
        const space_leaf_t *leaf = side->leaf(side->source, i);
        if (leaf->kind == SPACE_IMAGE && has_colors(leaf)) return true;
    }
    return false;
}

static const char *why_left_out(const space_leaf_t *leaf) {
    if (leaf->kind == SPACE_TEXT) return "a second text";
    return leaf->kind == SPACE_IMAGE ? "an image of other than 1 or 3 channels"
                                     : "an array of two or more dimensions";
}

static void choose_observation(const side_t *side, mapping_t *mapping, size_t i, bool colors,
                               bool *text) {
    const space_leaf_t *leaf = side->leaf(side->source, i);
    if (leaf->kind == SPACE_IMAGE && (!colors || has_colors(leaf)))
        add(mapping, i, SLOT_IMAGE);
    else if (leaf->kind == SPACE_BOX && leaf->rank <= 1)
        add(mapping, i, SLOT_VECTOR);
    else if (leaf->kind == SPACE_DISCRETE)
        add(mapping, i, SLOT_DISCRETE);
    else if (leaf->kind == SPACE_TEXT && !*text)
        add(mapping, i, SLOT_TEXT);
    else
        warn_left_out(side, i, why_left_out(leaf));
    *text |= leaf->kind == SPACE_TEXT;
}

/* Every image costs tokens in every timestep: says so when there are several. */
static void tell_images(const side_t *side, const mapping_t *mapping) {
    char list[300] = "";
    size_t at = 0, n = 0;
    for (size_t i = 0; i < mapping->n; i++) {
        if (mapping->use[i].kind != SLOT_IMAGE) continue;
        if (at + 80 < sizeof list)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%.70s", n ? ", " : "",
                                   side->leaf(side->source, mapping->use[i].leaf)->path);
        n++;
    }
    if (n > 1)
        log_line("'%s': %zu images in each timestep: %s (--obs image=... chooses)", side->name, n,
                 list);
}

static void choose_action(const side_t *side, mapping_t *mapping, size_t i) {
    const space_leaf_t *leaf = side->leaf(side->source, i);
    if (leaf->kind == SPACE_DISCRETE || leaf->kind == SPACE_BOX)
        add(mapping, i, leaf->kind == SPACE_DISCRETE ? SLOT_DISCRETE : SLOT_VECTOR);
    else
        warn_left_out(side, i,
                      leaf->kind == SPACE_TEXT ? "a text cannot be an action"
                                               : "an image cannot be an action");
}

/* ---- --obs and --act ---- */

static _Noreturn void refuse_key(const side_t *side, slot_kind_t kind, const char *key,
                                 const char *what) {
    char has[400] = "";
    size_t at = 0;
    for (size_t i = 0; i < side->n && at + 80 < sizeof has; i++) {
        const char *path = side->leaf(side->source, i)->path;
        at += (size_t)snprintf(has + at, sizeof has - at, "%s%.70s", i ? ", " : "",
                               *path ? path : ".");
    }
    die(RC_USAGE, "%s %s=%s: '%s' %s; its %s: %s", side->option, slot_kind_names[kind], key,
        side->name, what, side->field, has);
}

/* Is the leaf the one that the key names, or below it? */
static bool names(const char *key, size_t n, const char *path) {
    if (n == 1 && *key == '.') return true;
    return strncmp(key, path, n) == 0 && (path[n] == 0 || path[n] == '/');
}

static void add_key(const side_t *side, mapping_t *mapping, slot_kind_t kind, const char *key,
                    size_t n) {
    char *shown = xasprintf("%.*s", (int)n, key);
    size_t named = 0, taken = 0;
    for (size_t i = 0; i < side->n; i++) {
        if (!names(key, n, side->leaf(side->source, i)->path)) continue;
        named++;
        if (used(mapping, i) || !fits(side, i, kind)) continue;
        add(mapping, i, kind);
        taken++;
    }
    if (!named) refuse_key(side, kind, shown, "has nothing of that name");
    if (!taken) refuse_key(side, kind, shown, "has nothing there that fits and is still free");
    free(shown);
}

/* The kind of that name, or SLOT_KINDS. */
static slot_kind_t kind_of(const char *name, size_t n) {
    static const char former[] = "continuous";
    if (n == strlen(former) && !strncmp(former, name, n)) return SLOT_VECTOR;
    for (slot_kind_t kind = 0; kind < SLOT_KINDS; kind++)
        if (strlen(slot_kind_names[kind]) == n && !strncmp(slot_kind_names[kind], name, n))
            return kind;
    return SLOT_KINDS;
}

static void add_part(const side_t *side, mapping_t *mapping, const char *part, size_t n) {
    const char *equals = memchr(part, '=', n);
    slot_kind_t kind = kind_of(part, equals ? (size_t)(equals - part) : 0);
    if (kind == SLOT_KINDS || (!side->observations && (kind == SLOT_IMAGE || kind == SLOT_TEXT)))
        die(RC_USAGE,
            "%s '%.*s': %s=KEY is needed; separate several of them by commas, several keys by +",
            side->option, (int)n, part,
            side->observations ? "image, vector, discrete or text" : "vector or discrete");
    for (const char *key = equals + 1, *end = part + n; key <= end;) {
        const char *plus = memchr(key, '+', (size_t)(end - key)), *stop = plus ? plus : end;
        add_key(side, mapping, kind, key, (size_t)(stop - key));
        key = stop + 1;
    }
}

static mapping_t parse_mapping(const side_t *side, const char *text) {
    mapping_t mapping = {0};
    for (const char *part = text;;) {
        const char *comma = strchr(part, ',');
        add_part(side, &mapping, part, comma ? (size_t)(comma - part) : strlen(part));
        if (!comma) break;
        part = comma + 1;
    }
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
        episode_source_find_images(source);
        bool has_text = false, colors = any_colors(&side);
        for (size_t i = 0; i < side.n; i++)
            choose_observation(&side, &mapping, i, colors, &has_text);
        tell_images(&side, &mapping);
    }
    for (size_t i = 0; i < side.n; i++)
        if (!used(&mapping, i)) episode_source_skip_obs(source, i);
    for (size_t i = 0; i < mapping.n; i++) {
        size_t h, w, c;
        const space_leaf_t *leaf = episode_source_obs(source, mapping.use[i].leaf);
        if (mapping.use[i].kind != SLOT_IMAGE || has_colors(leaf)) continue;
        space_leaf_image_size(leaf, &h, &w, &c);
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
