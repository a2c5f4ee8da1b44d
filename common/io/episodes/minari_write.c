/* minari_write.c - writing Minari datasets that its own Python package loads, and the same bytes
 * for the same data.
 *
 * main_data.hdf5 goes from one whole state to the next by itself (h5_write.h), and metadata.json is
 * replaced right behind it. Between the two it counts one episode less than there are, for
 * microseconds; should a kill fall there, the next writer that appends puts it right. */
#include "common/io/episodes/minari_write.h"
#include "common/io/episodes/h5_write.h"
#include "common/io/episodes/minari_meta.h"
#include "common/io/fs.h"
#include "common/io/lock.h"
#include "common/io/text/json.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A dataset of the episode at hand. */
typedef struct {
    char *path; /* in the episode's group: "observations/agent/wrist" */
    h5w_column_t column;
} field_t;

struct minari_writer {
    char *file, *metadata;
    lock_t lock;
    h5w_t h5;
    space_leaf_t *obs, *act;
    size_t n_obs, n_act;
    bool dict_obs, dict_act;
    char *before,
        *between;        /* metadata.json up to dataset_size, and behind it up to total_episodes */
    minari_note_t *note; /* [episodes] */
    size_t note_cap;
    uint64_t episodes, steps;

    /* The episode at hand: its fields in the order of writing, and where each kind begins; 0 =
     * absent (field 0 is an observation). */
    field_t *field;
    size_t n_fields, field_cap;
    size_t actions, experts, rewards, terminations, truncations, success, present;
    bool *missing; /* [n_obs]: some row lacks the observation */
    size_t T;
    int64_t seed;
    bool open, begun;
};

/* ---- rows ---- */

static h5w_type_t type_of(const space_leaf_t *leaf) {
    static const char *const name[] = {"uint8", "int8",   "uint16", "int16",   "uint32",
                                       "int32", "uint64", "int64",  "float32", "float64"};
    static const h5w_type_t type[] = {H5W_U8,  H5W_I8,  H5W_U16, H5W_I16, H5W_U32,
                                      H5W_I32, H5W_U64, H5W_I64, H5W_F32, H5W_F64};
    if (leaf->kind == SPACE_TEXT) return H5W_TEXT;
    if (leaf->kind == SPACE_IMAGE) return H5W_U8;
    if (leaf->kind == SPACE_DISCRETE) return H5W_I64;
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (strcmp(leaf->dtype, name[i]) == 0) return type[i];
    return H5W_TYPES;
}

static void put_integer(uint8_t *to, size_t size, double v, bool is_signed) {
    double most = ldexp(1, (int)(8 * size) - is_signed), least = is_signed ? -most : 0;
    double whole = isnan(v) ? 0 : round(v);
    int64_t n = 0;
    if (whole >= most)
        n = is_signed ? (int64_t)(((uint64_t)1 << (8 * size - 1)) - 1) : -1;
    else if (whole <= least)
        n = is_signed ? (int64_t)((uint64_t)-1 << (8 * size - 1)) : 0;
    else
        n = whole < 9e18 ? (int64_t)whole : (int64_t)(uint64_t)whole;
    memcpy(to, &n, size); /* little-endian, as this file is written and these machines are */
}

/* Numbers as the leaf's type has them: `to` holds n values. */
static void convert(const space_leaf_t *leaf, h5w_type_t type, const float *v, size_t n,
                    uint8_t *to) {
    size_t size = h5w_size(type);
    for (size_t i = 0; i < n; i++, to += size) {
        double wide = (double)v[i];
        if (leaf->kind == SPACE_DISCRETE) {
            int64_t value = llroundf(v[i]) + space_leaf_start(leaf, i % leaf->count);
            memcpy(to, &value, size);
        } else if (type == H5W_F32) {
            memcpy(to, &v[i], size);
        } else if (type == H5W_F64) {
            memcpy(to, &wide, size);
        } else {
            bool is_signed =
                type == H5W_I8 || type == H5W_I16 || type == H5W_I32 || type == H5W_I64;
            put_integer(to, size, wide, is_signed);
        }
    }
}

static void put_numbers(minari_writer_t *w, field_t *field, const space_leaf_t *leaf,
                        const float *v, size_t rows) {
    uint8_t *bytes = xmalloc(field->column.row_bytes);
    for (size_t t = 0; t < rows; t++) {
        convert(leaf, field->column.type, v + t * leaf->count, leaf->count, bytes);
        h5w_rows(&w->h5, &field->column, bytes, 1);
    }
    free(bytes);
}

static const float zero_number[1];
static const space_leaf_t reward_leaf = {.kind = SPACE_BOX, .dtype = "float64", .count = 1};

static size_t add_field(minari_writer_t *w, h5w_type_t type, const space_leaf_t *shape, bool zip,
                        const char *prefix, const char *path) {
    w->field = xgrow(w->field, &w->field_cap, w->n_fields + 1, sizeof *w->field);
    w->field[w->n_fields] = (field_t){
        .path = xasprintf("%s%s%s", prefix, *path ? "/" : "", path),
        .column = h5w_column(type, shape ? shape->rank : 0, shape ? shape->dim : NULL, zip)};
    return w->n_fields++;
}

/* The fields of an episode, in the order in which they stand in its group. */
static void begin_fields(minari_writer_t *w, const recorded_episode_t *e) {
    for (size_t i = 0; i < w->n_obs; i++) {
        const space_leaf_t *leaf = &w->obs[i];
        add_field(w, type_of(leaf), leaf, leaf->kind == SPACE_IMAGE, "observations", leaf->path);
    }
    w->actions = w->n_fields;
    for (size_t i = 0; i < w->n_act; i++)
        add_field(w, type_of(&w->act[i]), &w->act[i], false, "actions", w->act[i].path);
    w->rewards = add_field(w, H5W_F64, NULL, false, "rewards", "");
    w->terminations = add_field(w, H5W_BOOL, NULL, false, "terminations", "");
    w->truncations = add_field(w, H5W_BOOL, NULL, false, "truncations", "");
    w->experts = 0;
    for (size_t i = 0; i < w->n_act && e->expert_action; i++) {
        if (!e->expert_action[i]) continue;
        size_t at = add_field(w, type_of(&w->act[i]), &w->act[i], false, "infos/expert_action",
                              w->act[i].path);
        if (!w->experts) w->experts = at;
    }
    w->present = w->n_fields;
    for (size_t i = 0; i < w->n_obs; i++)
        add_field(w, H5W_BOOL, NULL, false, "infos/present", w->obs[i].path);
    w->success = e->success ? add_field(w, H5W_BOOL, NULL, false, "infos/success", "") : 0;
    w->begun = true;
}

static void put_observation(minari_writer_t *w, const recorded_episode_t *e, size_t i,
                            size_t rows) {
    field_t *field = &w->field[i], *present = &w->field[w->present + i];
    const space_leaf_t *leaf = &w->obs[i];
    const uint8_t *there = e->present ? e->present[i] : NULL;
    if (leaf->kind == SPACE_IMAGE)
        h5w_rows(&w->h5, &field->column, e->image[i], rows);
    else if (leaf->kind == SPACE_TEXT)
        for (size_t t = 0; t < rows; t++) h5w_text(&w->h5, &field->column, e->text[i][t]);
    else
        put_numbers(w, field, leaf, e->value[i], rows);
    for (size_t t = 0; t < rows; t++) {
        uint8_t flag = !there || there[t];
        h5w_rows(&w->h5, &present->column, &flag, 1);
        if (!flag) w->missing[i] = true;
    }
}

void minari_writer_begin(minari_writer_t *w, int64_t seed) {
    if (w->open) BUG("an episode begins within another");
    w->open = true;
    w->begun = false;
    w->seed = seed;
    w->T = 0;
    memset(w->missing, 0, w->n_obs * sizeof *w->missing);
}

void minari_writer_rows(minari_writer_t *w, const recorded_episode_t *e, bool last) {
    if (!w->open) BUG("rows without an episode");
    if (e->n_obs != w->n_obs || e->n_act != w->n_act)
        BUG("an episode of other leaves than the dataset's");
    if (!w->begun) begin_fields(w, e);
    for (size_t i = 0; i < w->n_obs; i++) put_observation(w, e, i, e->T + last);
    for (size_t i = 0; i < w->n_act; i++)
        put_numbers(w, &w->field[w->actions + i], &w->act[i], e->action[i], e->T);
    size_t at = w->experts;
    for (size_t i = 0; i < w->n_act && w->experts && e->T; i++)
        if (e->expert_action[i])
            put_numbers(w, &w->field[at++], &w->act[i], e->expert_action[i], e->T);
    put_numbers(w, &w->field[w->rewards], &reward_leaf, e->T ? e->rewards : zero_number, e->T);
    h5w_rows(&w->h5, &w->field[w->terminations].column, e->terminated, e->T);
    h5w_rows(&w->h5, &w->field[w->truncations].column, e->truncated, e->T);
    if (w->success) h5w_rows(&w->h5, &w->field[w->success].column, e->success, e->T);
    w->T += e->T;
}

/* ---- an episode's end ---- */

typedef struct {
    const char *path;
    uint64_t address;
} linked_t;

/* Links n objects into a group by what follows `skip` bytes of their paths; those that go through a
 * further group make it. A path that ends with the group itself makes an empty one. */
static void link_tree(minari_writer_t *w, h5w_node_t *group, const linked_t *o, size_t n,
                      size_t skip) {
    for (size_t i = 0; i < n; i++) {
        const char *name = o[i].path + skip;
        size_t length = strcspn(name, "/");
        bool seen = false;
        for (size_t k = 0; k < i && !seen; k++)
            seen = strncmp(o[k].path + skip, name, length + 1) == 0;
        if (seen || !length) continue;
        if (!name[length]) {
            h5w_link(group, name, o[i].address);
            continue;
        }
        linked_t *inner = xmalloc(n * sizeof *inner);
        size_t m = 0;
        for (size_t k = i; k < n; k++)
            if (strncmp(o[k].path + skip, name, length + 1) == 0) inner[m++] = o[k];
        h5w_node_t below = {0};
        link_tree(w, &below, inner, m, skip + length + 1);
        char *part = xasprintf("%.*s", (int)length, name);
        h5w_link(group, part, h5w_node_end(&w->h5, &below));
        free(part);
        free(inner);
    }
}

static void drop_fields(minari_writer_t *w) {
    for (size_t i = 0; i < w->n_fields; i++) {
        h5w_column_release(&w->field[i].column);
        free(w->field[i].path);
    }
    w->n_fields = 0;
    w->open = false;
}

void minari_writer_drop(minari_writer_t *w) {
    drop_fields(w);
    h5w_drop(&w->h5);
}

/* Writes the group of the episode at hand. */
static uint64_t put_episode(minari_writer_t *w, const minari_note_t *note) {
    linked_t *o = xcalloc(w->n_fields + 1, sizeof *o);
    size_t n = 0;
    for (size_t i = 0; i < w->n_fields; i++) {
        bool flag_of_obs = i >= w->present && i < w->present + w->n_obs;
        if (flag_of_obs && !w->missing[i - w->present]) continue;
        o[n++] = (linked_t){w->field[i].path, h5w_column_end(&w->h5, &w->field[i].column)};
    }
    o[n++] = (linked_t){"infos/", 0}; /* Minari's readers want the group, even an empty one */
    h5w_node_t group = {0};
    h5w_attribute(&group, "id", (int64_t)w->episodes);
    h5w_attribute(&group, "total_steps", (int64_t)w->T);
    if (w->seed >= 0) h5w_attribute(&group, "seed", w->seed);
    if (note) {
        h5w_attribute(&group, "episode", note->number);
        h5w_attribute(&group, "success", note->success);
        h5w_attribute_double(&group, "return", note->ret);
    }
    link_tree(w, &group, o, n, 0);
    free(o);
    return h5w_node_end(&w->h5, &group);
}

static void count_episode(minari_writer_t *w, const minari_note_t *note, size_t T) {
    w->note = xgrow(w->note, &w->note_cap, w->episodes + 1, sizeof *w->note);
    w->note[w->episodes] = note ? *note : (minari_note_t){0};
    w->note[w->episodes++].T = T;
    w->steps += T;
}

/* The metadata of the dataset as it will be, in a temporary file that is synced. */
static int stage_metadata(minari_writer_t *w, fs_writer_t *file, reason_t *why) {
    char megabytes[40];
    if (fs_writer_open(file, w->metadata, why)) return -1;
    json_double(megabytes, round((double)w->h5.end / 1e5) / 10);
    fprintf(file->file, "%s%s%s%" PRIu64 ",\"total_steps\":%" PRIu64 "}\n", w->before, megabytes,
            w->between, w->episodes, w->steps);
    return fs_writer_finish(file, why);
}

static int put_metadata(minari_writer_t *w, reason_t *why) {
    fs_writer_t file;
    return stage_metadata(w, &file, why) || fs_writer_publish(&file, 1, why) ? -1 : 0;
}

/* The superblock and the name of the metadata change one right behind the other, when all else is
 * on disk: only a kill between these two calls leaves an episode uncounted. */
static int commit(minari_writer_t *w, reason_t *why) {
    fs_writer_t metadata;
    if (h5w_prepare(&w->h5, why) || stage_metadata(w, &metadata, why)) return -1;
    if (h5w_publish(&w->h5, why)) {
        fs_writer_abort(&metadata);
        return -1;
    }
    return fs_writer_publish(&metadata, 1, why) || h5w_settle(&w->h5, why) ? -1 : 0;
}

int minari_writer_end(minari_writer_t *w, const minari_note_t *note, reason_t *why) {
    char name[40];
    if (!w->open || !w->begun) BUG("an episode ends that has no rows");
    snprintf(name, sizeof name, "episode_%" PRIu64, w->episodes);
    h5w_root_add(&w->h5, name, put_episode(w, note));
    drop_fields(w);
    count_episode(w, note, w->T);
    return commit(w, why);
}

int minari_writer_add(minari_writer_t *w, const recorded_episode_t *e, reason_t *why) {
    minari_writer_begin(w, e->seed);
    minari_writer_rows(w, e, true);
    return minari_writer_end(w, NULL, why);
}

size_t minari_writer_count(const minari_writer_t *w) {
    return w->episodes;
}
const minari_note_t *minari_writer_notes(const minari_writer_t *w) {
    return w->note;
}

/* ---- the dataset ---- */

static space_leaf_t *copy_leaves(const space_leaf_t *leaf, size_t n) {
    space_leaf_t *copy = xcalloc(n, sizeof *copy);
    for (size_t i = 0; i < n; i++) {
        copy[i] = leaf[i];
        double **bound[] = {&copy[i].low, &copy[i].high};
        for (int b = 0; b < 2; b++) {
            double *from = *bound[b];
            if (!from) continue;
            *bound[b] = xmalloc(leaf[i].count * sizeof(double));
            memcpy(*bound[b], from, leaf[i].count * sizeof(double));
        }
    }
    return copy;
}

/* Shapes and types are the programmer's to get right, names come from the world. */
static int check_leaves(const space_leaf_t *leaf, size_t n, bool dict, reason_t *why) {
    if (n == 0 || (!dict && n != 1)) BUG("a bare space has one leaf, not %zu", n);
    for (size_t i = 0; i < n; i++) {
        size_t count = 1, length = strlen(leaf[i].path);
        for (int d = 0; d < leaf[i].rank; d++) count *= leaf[i].dim[d];
        if (count != leaf[i].count || leaf[i].rank + 1 > H5W_RANK)
            BUG("leaf '%s': shape and count differ", leaf[i].path);
        if (type_of(&leaf[i]) == H5W_TYPES) BUG("leaf '%s': dtype", leaf[i].path);
        bool part_is_empty = leaf[i].path[0] == '/' || strstr(leaf[i].path, "//") ||
                             (length && leaf[i].path[length - 1] == '/');
        if (dict && (!length || part_is_empty))
            return reason_set(why, "'%s' can be no name in a Minari dataset", leaf[i].path);
        for (size_t k = 0; k < n; k++)
            if (k != i && strncmp(leaf[k].path, leaf[i].path, length) == 0 &&
                (leaf[k].path[length] == '/' || !leaf[k].path[length]))
                return reason_set(why, "'%s' and '%s' cannot stand beside each other in HDF5",
                                  leaf[i].path, leaf[k].path);
    }
    return 0;
}

static void describe(minari_writer_t *w, const minari_spec_t *spec) {
    char *obs = minari_space_json(w->obs, w->n_obs, w->dict_obs);
    char *act = minari_space_json(w->act, w->n_act, w->dict_act);
    jsonw_t j;
    jsonw_begin(&j);
    jsonw_str(&j, "action_space", act);
    jsonw_str(&j, "algorithm_name", spec->algorithm ? spec->algorithm : "");
    jsonw_raw(&j, "author", "[]");
    jsonw_raw(&j, "author_email", "[]");
    jsonw_str(&j, "code_permalink", "");
    jsonw_str(&j, "data_format", "hdf5");
    jsonw_str(&j, "dataset_id", spec->dataset_id ? spec->dataset_id : "");
    jsonw_key(&j, "dataset_size");
    w->before = xasprintf("%.*s", (int)j.len, j.text);
    size_t behind = j.len;
    jsonw_raw(&j, NULL, ""); /* the size, which changes */
    if (spec->env_spec) jsonw_str(&j, "env_spec", spec->env_spec);
    jsonw_bool(&j, "jpeg_encoding", false);
    jsonw_str(&j, "minari_version", "0.5.3");
    jsonw_str(&j, "observation_space", obs);
    double range = spec->expert_return - spec->random_return;
    if (isfinite(range) && range != 0) {
        jsonw_num(&j, "ref_max_score", spec->expert_return);
        jsonw_num(&j, "ref_min_score", spec->random_return);
    }
    jsonw_raw(&j, "requirements", "[]");
    jsonw_key(&j, "total_episodes");
    w->between = xasprintf("%.*s", (int)(j.len - behind), j.text + behind);
    jsonw_free(&j);
    free(obs);
    free(act);
}

/* Is the metadata that is there this writer's, whatever they count? 0, or -1 with a reason. */
static int same_metadata(const minari_writer_t *w, int *rc, reason_t *why) {
    uint8_t *text;
    size_t size;
    *rc = RC_DATA;
    if (fs_read(w->metadata, 0, &text, &size, why)) return -1;
    const char *at = (const char *)text;
    bool same = strncmp(at, w->before, strlen(w->before)) == 0;
    if (same) {
        at += strlen(w->before);
        at += strspn(at, "0123456789.e+-");
        same = strncmp(at, w->between, strlen(w->between)) == 0;
    }
    free(text);
    *rc = RC_MISFIT;
    return same ? 0
                : reason_set(why,
                             "'%s' holds episodes of another environment or policy (--force writes "
                             "anew)",
                             w->metadata);
}

typedef struct {
    minari_writer_t *w;
    struct found {
        uint64_t number, address;
    } * v;
    size_t n, cap;
    bool odd;
} found_t;

static void find_episode(void *ctx, const char *name, uint64_t address) {
    found_t *f = ctx;
    struct found one = {.address = address};
    char again[40];
    if (sscanf(name, "episode_%" SCNu64, &one.number) != 1) f->odd = true;
    snprintf(again, sizeof again, "episode_%" PRIu64, one.number);
    if (strcmp(name, again) != 0) f->odd = true;
    f->v = xgrow(f->v, &f->cap, f->n + 1, sizeof *f->v);
    f->v[f->n++] = one;
}

static int by_number(const void *a, const void *b) {
    const struct found *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

/* Reads what stands in the groups of the episodes that are there. */
static int read_notes(minari_writer_t *w, found_t *f, reason_t *why) {
    if (f->n) qsort(f->v, f->n, sizeof *f->v, by_number);
    for (size_t i = 0; i < f->n; i++) {
        minari_note_t note = {0};
        int64_t T = -1, success = 0;
        uint64_t at = f->v[i].address;
        if (f->odd || f->v[i].number != i || !h5w_read_attribute(&w->h5, at, "total_steps", &T) ||
            T < 0)
            return reason_set(why, "'%s': its episodes were not written here", w->file);
        h5w_read_attribute(&w->h5, at, "episode", &note.number);
        h5w_read_attribute(&w->h5, at, "return", &note.ret);
        if (h5w_read_attribute(&w->h5, at, "success", &success)) note.success = success != 0;
        count_episode(w, &note, (size_t)T);
    }
    return 0;
}

static int go_on(minari_writer_t *w, int *rc, reason_t *why) {
    found_t found = {.w = w};
    if (same_metadata(w, rc, why)) return -1;
    *rc = RC_DATA;
    int failed = h5w_open(&w->h5, w->file, find_episode, &found, why) || read_notes(w, &found, why);
    free(found.v);
    if (failed) return -1;
    *rc = RC_RUNTIME;
    return put_metadata(w, why);
}

static int start_anew(minari_writer_t *w, reason_t *why) {
    /* Metadata of other episodes must not stand beside new ones. */
    if (fs_exists(w->metadata) && unlink(w->metadata))
        return reason_set(why, "cannot remove '%s'", w->metadata);
    if (h5w_create(&w->h5, w->file, why)) return -1;
    return put_metadata(w, why);
}

minari_writer_t *minari_writer_new(const char *dir, const minari_spec_t *spec, bool append, int *rc,
                                   reason_t *why) {
    bool dict_act = spec->n_act > 1 || spec->act[0].path[0];
    *rc = RC_USAGE;
    if (check_leaves(spec->obs, spec->n_obs, spec->dict_obs, why) ||
        check_leaves(spec->act, spec->n_act, dict_act, why))
        return NULL;
    minari_writer_t *w = NEW(minari_writer_t);
    char *folder = fs_join(dir, "data"), *lock = fs_join(folder, ".lock");
    w->file = fs_join(folder, "main_data.hdf5");
    w->metadata = fs_join(folder, "metadata.json");
    w->h5.fd = w->lock.fd = -1;
    w->obs = copy_leaves(spec->obs, w->n_obs = spec->n_obs);
    w->act = copy_leaves(spec->act, w->n_act = spec->n_act);
    w->missing = xcalloc(w->n_obs, sizeof *w->missing);
    w->dict_obs = spec->dict_obs;
    w->dict_act = dict_act;
    describe(w, spec);
    *rc = RC_RUNTIME;
    int failed = fs_mkdirs(folder, why) || lock_take(&w->lock, lock, w->file, why);
    if (!failed) failed = append && fs_exists(w->metadata) ? go_on(w, rc, why) : start_anew(w, why);
    free(folder);
    free(lock);
    if (!failed) return w;
    minari_writer_close(w);
    return NULL;
}

void minari_writer_close(minari_writer_t *w) {
    if (!w) return;
    drop_fields(w);
    h5w_close(&w->h5);
    lock_release(&w->lock);
    space_leaves_free(w->obs, w->n_obs);
    space_leaves_free(w->act, w->n_act);
    free(w->field);
    free(w->missing);
    free(w->note);
    free(w->before);
    free(w->between);
    free(w->file);
    free(w->metadata);
    free(w);
}
