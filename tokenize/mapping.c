/* mapping.c - see mapping.h. */
#include "tokenize/mapping.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef const space_leaf_t *(*leaf_at_t)(const episode_source_t *, size_t);

/* What the mapping is made for. */
typedef struct {
    episode_source_t *m;
    const char *name, *field, *option;
    leaf_at_t leaf;
    size_t n;
    bool observations;
} side_t;

static const char *const roles[] = {"image", "continuous", "discrete", "text"};

static void add(mapping_t *p, size_t leaf, role_t role) {
    p->use = xrealloc(p->use, (p->n + 1) * sizeof *p->use);
    p->use[p->n++] = (use_t){leaf, role};
}

static bool used(const mapping_t *p, size_t leaf) {
    for (size_t i = 0; i < p->n; i++)
        if (p->use[i].leaf == leaf) return true;
    return false;
}

void mapping_release(mapping_t *p) {
    free(p->use);
    *p = (mapping_t){0};
}

/* ---- what a leaf can be ---- */

static bool is_integer(const space_leaf_t *l) {
    return strncmp(l->dtype, "int", 3) == 0 || strncmp(l->dtype, "uint", 4) == 0 ||
           strcmp(l->dtype, "bool") == 0;
}

static bool bounded_integers(const space_leaf_t *l) {
    bool good = l->kind == SPACE_BOX && is_integer(l);
    for (size_t k = 0; good && k < l->count; k++) {
        double width = l->high[k] - l->low[k];
        good = width >= 0 && width < 0x1p53;
    }
    return good;
}

static bool fits(const side_t *s, size_t i, role_t role) {
    const space_leaf_t *l = s->leaf(s->m, i);
    switch (role) {
    case ROLE_IMAGE:
        return s->observations && episode_source_as_image(s->m, i);
    case ROLE_CONTINUOUS:
        return l->kind == SPACE_BOX;
    case ROLE_DISCRETE:
        return l->kind == SPACE_DISCRETE || bounded_integers(l);
    case ROLE_TEXT:
        return s->observations && l->kind == SPACE_TEXT;
    }
    return false;
}

double mapping_first(const space_leaf_t *l, size_t k) {
    return l->kind == SPACE_BOX ? l->low[k] : 0;
}
int64_t mapping_range(const space_leaf_t *l, size_t k) {
    return l->kind == SPACE_BOX ? (int64_t)(l->high[k] - l->low[k]) + 1 : space_leaf_n(l, k);
}

/* ---- by themselves ---- */

static void left_out(const side_t *s, size_t i, const char *what) {
    const char *path = s->leaf(s->m, i)->path;
    warn("'%s': %s%s%s is left out: %s (%s chooses)", s->name, s->field, *path ? "/" : "", path,
         what, s->option);
}

static void choose_observation(const side_t *s, mapping_t *p, size_t i, int image, bool *text) {
    const space_leaf_t *l = s->leaf(s->m, i);
    if ((int)i == image)
        add(p, i, ROLE_IMAGE);
    else if (l->kind == SPACE_BOX && l->rank <= 1)
        add(p, i, ROLE_CONTINUOUS);
    else if (l->kind == SPACE_DISCRETE)
        add(p, i, ROLE_DISCRETE);
    else if (l->kind == SPACE_TEXT && !*text)
        add(p, i, ROLE_TEXT);
    else
        left_out(s, i,
                 l->kind == SPACE_TEXT    ? "a second text"
                 : l->kind == SPACE_IMAGE ? "a second image"
                                          : "an array of two or more dimensions");
    *text |= l->kind == SPACE_TEXT;
}

static void choose_action(const side_t *s, mapping_t *p, size_t i) {
    const space_leaf_t *l = s->leaf(s->m, i);
    if (l->kind == SPACE_DISCRETE || l->kind == SPACE_BOX)
        add(p, i, l->kind == SPACE_DISCRETE ? ROLE_DISCRETE : ROLE_CONTINUOUS);
    else
        left_out(s, i, l->kind == SPACE_TEXT ? "texts are no actions" : "images are no actions");
}

/* ---- as told ---- */

static _Noreturn void refuse_key(const side_t *s, role_t role, const char *key, const char *what) {
    char has[400] = "";
    size_t at = 0;
    for (size_t i = 0; i < s->n && at + 80 < sizeof has; i++) {
        const char *path = s->leaf(s->m, i)->path;
        at += (size_t)snprintf(has + at, sizeof has - at, "%s%.70s", i ? ", " : "",
                               *path ? path : ".");
    }
    die(RC_USAGE, "%s %s=%s: '%s' %s; its %s: %s", s->option, roles[role], key, s->name, what,
        s->field, has);
}

/* Is the leaf the one that the key names, or below it? */
static bool names(const char *key, size_t n, const char *path) {
    if (n == 1 && *key == '.') return true;
    return strncmp(key, path, n) == 0 && (path[n] == 0 || path[n] == '/');
}

static void take_key(const side_t *s, mapping_t *p, role_t role, const char *key, size_t n) {
    char *shown = xasprintf("%.*s", (int)n, key);
    size_t named = 0, taken = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!names(key, n, s->leaf(s->m, i)->path)) continue;
        named++;
        if (used(p, i) || !fits(s, i, role)) continue;
        add(p, i, role);
        taken++;
    }
    if (!named) refuse_key(s, role, shown, "has nothing of that name");
    if (!taken) refuse_key(s, role, shown, "has nothing there that fits and is not named before");
    free(shown);
}

static void take_part(const side_t *s, mapping_t *p, const char *part, size_t n) {
    const char *equals = memchr(part, '=', n);
    size_t role = 0, length = equals ? (size_t)(equals - part) : 0;
    while (role < 4 && (strlen(roles[role]) != length || strncmp(part, roles[role], length) != 0))
        role++;
    if (role == 4 || (!s->observations && (role == ROLE_IMAGE || role == ROLE_TEXT)))
        die(RC_USAGE,
            "%s '%.*s': %s=KEY is needed, several of them with commas, several keys with +",
            s->option, (int)n, part,
            s->observations ? "image, continuous, discrete or text" : "continuous or discrete");
    for (const char *key = equals + 1, *end = part + n; key <= end;) {
        const char *plus = memchr(key, '+', (size_t)(end - key)), *stop = plus ? plus : end;
        take_key(s, p, (role_t)role, key, (size_t)(stop - key));
        key = stop + 1;
    }
}

static mapping_t told(const side_t *s, const char *text) {
    mapping_t p = {0};
    size_t images = 0;
    for (const char *part = text;;) {
        const char *comma = strchr(part, ',');
        take_part(s, &p, part, comma ? (size_t)(comma - part) : strlen(part));
        if (!comma) break;
        part = comma + 1;
    }
    for (size_t i = 0; i < p.n; i++) images += p.use[i].role == ROLE_IMAGE;
    if (images > 1)
        die(RC_USAGE, "%s '%s': %zu images; a timestep has one", s->option, text, images);
    return p;
}

/* ---- both ---- */

mapping_t mapping_observations(episode_source_t *m, const char *name, const char *text) {
    side_t s = {m,   name, "observations", "--obs", episode_source_obs, episode_source_n_obs(m),
                true};
    mapping_t p = {0};
    if (text) {
        p = told(&s, text);
    } else {
        int image = episode_source_find_image(m);
        bool has_text = false;
        for (size_t i = 0; i < s.n; i++) choose_observation(&s, &p, i, image, &has_text);
    }
    for (size_t i = 0; i < s.n; i++)
        if (!used(&p, i)) episode_source_skip_obs(m, i);
    for (size_t i = 0; i < p.n; i++) {
        size_t h, w, c;
        const space_leaf_t *l = episode_source_obs(m, p.use[i].leaf);
        if (p.use[i].role != ROLE_IMAGE) continue;
        space_leaf_image_size(l, &h, &w, &c);
        if (c != 1 && c != 3)
            die(RC_DATA,
                "'%s': observations/%s: frames of %zu channels; 1 or 3 are read (--obs leaves it "
                "out)",
                name, l->path, c);
    }
    return p;
}

mapping_t mapping_actions(episode_source_t *m, const char *name, const char *text) {
    side_t s = {m, name, "actions", "--act", episode_source_act, episode_source_n_act(m), false};
    mapping_t p = {0};
    if (text)
        p = told(&s, text);
    else
        for (size_t i = 0; i < s.n; i++) choose_action(&s, &p, i);
    for (size_t i = 0; i < s.n; i++)
        if (!used(&p, i)) episode_source_skip_act(m, i);
    if (!p.n)
        die(RC_DATA, "'%s': no action that has tokens: numbers or discrete values are needed",
            name);
    return p;
}
