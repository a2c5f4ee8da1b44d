/* episode_source.c - what all formats of episodes share: the format is found by asking each kind,
 * leaves are taken as images. The kinds are minari.c and d4rl.c.
 */
#include "common/io/episodes/episode_source.h"
#include "common/io/episodes/episode_source_kind.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#define KIND_ROW(name) &episode_##name,
static const episode_kind_t *const kinds[] = {EPISODE_KINDS(KIND_ROW)};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- opening ---- */

static const episode_kind_t *kind_of(const char *path) {
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i]->probe(path)) return kinds[i];
    return NULL;
}

/* A file: "neither A nor B". A folder or nothing: what each format misses there. */
static void refuse(const char *path, reason_t *why) {
    struct stat st;
    char list[600] = "";
    bool file = stat(path, &st) == 0 && S_ISREG(st.st_mode);
    for (size_t i = 0, n = 0; i < KINDS && n < sizeof list; i++) {
        const char *separator = *list ? file ? " nor " : "; " : "";
        if (file)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", separator, kinds[i]->needs);
        else if (kinds[i]->missing)
            n += (size_t)snprintf(list + n, sizeof list - n, "%sno %s dataset: %s", separator,
                                  kinds[i]->name, kinds[i]->missing);
    }
    reason_set(why, "'%s' is %s%s", path, file ? "neither " : "", list);
}

episode_source_t *episode_source_open(const char *path, int *rc, reason_t *why) {
    const episode_kind_t *kind = kind_of(path);
    if (!kind) {
        *rc = RC_USAGE;
        refuse(path, why);
        return NULL;
    }
    episode_source_t *s = NEW(episode_source_t);
    s->kind = kind;
    s->path = xstrdup(path);
    s->random_return = s->expert_return = NAN;
    *rc = RC_DATA;
    if (kind->open(s, rc, why)) {
        episode_source_close(s);
        return NULL;
    }
    s->skip_obs = xcalloc(s->n_obs, sizeof *s->skip_obs);
    s->skip_act = xcalloc(s->n_act, sizeof *s->skip_act);
    for (size_t i = 0; i < s->n_act; i++) s->skip_act[i] = s->act[i].kind == SPACE_TEXT;
    return s;
}

episode_source_t *episode_source_open_or_die(const char *path) {
    int rc;
    reason_t why;
    episode_source_t *s = episode_source_open(path, &rc, &why);
    if (!s) die(rc, "%s", why.text);
    return s;
}

void episode_source_close(episode_source_t *s) {
    if (!s) return;
    s->kind->close(s);
    space_leaves_free(s->obs, s->n_obs);
    space_leaves_free(s->act, s->n_act);
    free(s->skip_obs);
    free(s->skip_act);
    free(s->dataset_id);
    free(s->env_spec);
    free(s->path);
    free(s);
}

/* ---- what it says about itself ---- */

size_t episode_source_count(const episode_source_t *s) {
    return s->episodes;
}
const char *episode_source_env_spec(const episode_source_t *s) {
    return s->env_spec;
}
const char *episode_source_dataset_id(const episode_source_t *s) {
    return s->dataset_id ? s->dataset_id : "";
}
double episode_source_random_return(const episode_source_t *s) {
    return s->random_return;
}
double episode_source_expert_return(const episode_source_t *s) {
    return s->expert_return;
}
size_t episode_source_n_obs(const episode_source_t *s) {
    return s->n_obs;
}
size_t episode_source_n_act(const episode_source_t *s) {
    return s->n_act;
}
const space_leaf_t *episode_source_obs(const episode_source_t *s, size_t i) {
    return &s->obs[i];
}
const space_leaf_t *episode_source_act(const episode_source_t *s, size_t i) {
    return &s->act[i];
}

uint64_t episode_source_manifest(const episode_source_t *s) {
    const char *id = episode_source_dataset_id(s);
    uint64_t word[EPISODE_STAMPS + 2] = {s->episodes};
    s->kind->stamp(s->path, word + 1);
    word[EPISODE_STAMPS + 1] = XXH64(id, strlen(id), 0);
    return XXH64(word, sizeof word, 0);
}

char *episode_source_frames_file(const char *path) {
    char *file = NULL;
    for (size_t i = 0; i < KINDS && !file; i++)
        if (kinds[i]->frames_file) file = kinds[i]->frames_file(path);
    return file;
}

/* ---- what is to be read ---- */

void episode_source_skip_obs(episode_source_t *s, size_t i) {
    s->skip_obs[i] = true;
}
void episode_source_skip_act(episode_source_t *s, size_t i) {
    s->skip_act[i] = true;
}
void episode_source_lenient(episode_source_t *s, bool lenient) {
    s->lenient = lenient;
}

/* u8 [h,w], [h,w,c] or [c,h,w]; channels first when both ends could be channels. */
static bool has_image_shape(const space_leaf_t *leaf, bool *planar) {
    const size_t *dim = leaf->dim;
    bool box = leaf->kind == SPACE_BOX || leaf->kind == SPACE_IMAGE;
    if (!box || strcmp(leaf->dtype, "uint8") != 0 || leaf->rank < 2 || leaf->rank > 3) return false;
    *planar = leaf->rank == 3 && (dim[0] == 3 || (dim[0] == 1 && dim[2] != 3 && dim[2] != 1));
    return leaf->rank == 2 || *planar || dim[2] == 3 || dim[2] == 1;
}

bool episode_source_as_image(episode_source_t *s, size_t i) {
    space_leaf_t *leaf = &s->obs[i];
    bool planar;
    if (leaf->kind == SPACE_IMAGE) return true;
    if (!has_image_shape(leaf, &planar)) return false;
    leaf->kind = SPACE_IMAGE;
    leaf->planar = planar;
    return true;
}

static int first_image(const episode_source_t *s) {
    for (size_t i = 0; i < s->n_obs; i++)
        if (s->obs[i].kind == SPACE_IMAGE) return (int)i;
    return -1;
}

/* Could the observation be an image of sides that nobody takes for numbers? */
static bool is_large_image(space_leaf_t leaf) {
    size_t h, w, c;
    if (!has_image_shape(&leaf, &leaf.planar)) return false;
    space_leaf_image_size(&leaf, &h, &w, &c);
    return h >= EPISODE_IMAGE_SIDE && w >= EPISODE_IMAGE_SIDE;
}

void episode_source_find_images(episode_source_t *s) {
    if (first_image(s) >= 0) return;
    for (size_t i = 0; i < s->n_obs; i++)
        if (is_large_image(s->obs[i])) episode_source_as_image(s, i);
}

int episode_source_find_image(episode_source_t *s) {
    int declared = first_image(s);
    if (declared >= 0) return declared;
    for (size_t i = 0; i < s->n_obs; i++)
        if (is_large_image(s->obs[i]) && episode_source_as_image(s, i)) return (int)i;
    return -1;
}

/* ---- reading ---- */

int episode_source_read(episode_source_t *s, size_t episode, recorded_episode_t *e, reason_t *why) {
    memset(e, 0, sizeof *e);
    int rc = s->kind->read(s, episode, e, why);
    if (rc) recorded_episode_release(e);
    return rc;
}

int episode_source_steps(episode_source_t *s, size_t episode, size_t *T, reason_t *why) {
    return s->kind->steps(s, episode, T, why);
}

int episode_source_read_frames(episode_source_t *s, size_t episode, uint8_t **frames, size_t *T1,
                               size_t *h, size_t *w, size_t *c, reason_t *why) {
    int i = episode_source_find_image(s);
    if (i < 0 || !s->kind->frames)
        return reason_set(why, "%s: no images among the observations", s->path);
    space_leaf_image_size(&s->obs[i], h, w, c);
    return s->kind->frames(s, episode, &s->obs[i], frames, T1, why);
}
