/* minari_meta.c - see minari_meta.h. A space is JSON inside a JSON string; its tree of Dict and
 * Tuple is flattened here to leaves whose paths are those of the HDF5 groups, sorted by path: the
 * order of a Dict's keys differs between releases that recorded the same environment.
 */
#include "common/io/episodes/minari_meta.h"
#include "common/io/text/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LEAVES = 4096, MAX_RANK = 8, MAX_COUNT = 1 << 28, IMAGE_SIDE = 32 };

typedef struct {
    space_leaf_t *leaf;
    size_t n, cap;
} leaves_t;

void minari_meta_release(minari_meta_t *m) {
    free(m->dataset_id);
    free(m->env_spec);
    space_leaves_free(m->obs, m->n_obs);
    space_leaves_free(m->act, m->n_act);
    memset(m, 0, sizeof *m);
}

static const char *string_of(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

/* NAN when it is absent or no finite number. */
static double number_of(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) && fabs(item->valuedouble) < 1e308 ? item->valuedouble : NAN;
}

/* ---- spaces ---- */

typedef struct {
    double *v;
    size_t n, cap, limit;
} numbers_t;

/* Nested lists to one row. NaN comes as null, infinities as +-1e308 (json.h). */
static int flatten(const cJSON *item, numbers_t *out) {
    if (cJSON_IsArray(item)) {
        const cJSON *child;
        cJSON_ArrayForEach(child, item) if (flatten(child, out)) return -1;
        return 0;
    }
    double v;
    if (cJSON_IsNull(item)) {
        v = NAN;
    } else if (cJSON_IsNumber(item)) {
        v = item->valuedouble;
        if (fabs(v) >= 1e308) v = v > 0 ? INFINITY : -INFINITY;
    } else if (cJSON_IsBool(item)) {
        v = cJSON_IsTrue(item);
    } else {
        return -1;
    }
    if (out->n == out->limit) return -1;
    out->v = xgrow(out->v, &out->cap, out->n + 1, sizeof *out->v);
    out->v[out->n++] = v;
    return 0;
}

/* The numbers of space[key], exactly `count` of them; NULL with a reason otherwise. A NaN bound
 * bounds nothing. */
static double *numbers(const cJSON *space, const char *key, size_t count, double unbounded,
                       const char *path, reason_t *why) {
    numbers_t out = {.limit = count};
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(space, key);
    if (!item || flatten(item, &out) || out.n != count) {
        free(out.v);
        reason_set(why, "%s: '%s' is no list of %zu numbers", path, key, count);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        if (isnan(out.v[i])) out.v[i] = unbounded;
    return out.v;
}

static bool all_equal(const double *v, size_t n, double x) {
    for (size_t i = 0; i < n; i++)
        if (v[i] != x) return false;
    return true;
}

static bool known_dtype(const char *dtype) {
    static const char *const names[] = {"float64", "float32", "float16", "int64",  "int32", "int16",
                                        "int8",    "uint64",  "uint32",  "uint16", "uint8", "bool"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(dtype, names[i]) == 0) return true;
    return false;
}

static int shape_of(const cJSON *space, space_leaf_t *leaf, const char *path, reason_t *why) {
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(space, "shape"), *side;
    if (!cJSON_IsArray(shape) || cJSON_GetArraySize(shape) > MAX_RANK)
        return reason_set(why, "%s: 'shape' is no list of at most %d sizes", path, MAX_RANK);
    leaf->count = 1;
    cJSON_ArrayForEach(side, shape) {
        uint64_t n;
        if (!json_u64(side, &n) || n == 0 || n > MAX_COUNT / leaf->count)
            return reason_set(why,
                              "%s: 'shape' has a side that is no size, or more than %d elements",
                              path, MAX_COUNT);
        leaf->dim[leaf->rank++] = n;
        leaf->count *= n;
    }
    return 0;
}

static int parse_box(const cJSON *space, space_leaf_t *leaf, const char *path, reason_t *why) {
    const char *dtype = string_of(space, "dtype");
    if (!dtype || !known_dtype(dtype))
        return reason_set(why, "%s: unknown dtype '%.20s'", path, dtype ? dtype : "");
    snprintf(leaf->dtype, sizeof leaf->dtype, "%s", dtype);
    if (shape_of(space, leaf, path, why)) return -1;
    leaf->kind = SPACE_BOX;
    leaf->low = numbers(space, "low", leaf->count, -INFINITY, path, why);
    if (!leaf->low) return -1;
    leaf->high = numbers(space, "high", leaf->count, INFINITY, path, why);
    if (!leaf->high) return -1;
    bool image = (leaf->rank == 2 || leaf->rank == 3) && leaf->dim[0] >= IMAGE_SIDE &&
                 leaf->dim[1] >= IMAGE_SIDE;
    if (!image || strcmp(dtype, "uint8") != 0 || !all_equal(leaf->low, leaf->count, 0) ||
        !all_equal(leaf->high, leaf->count, 255))
        return 0;
    leaf->kind = SPACE_IMAGE;
    free(leaf->low);
    free(leaf->high);
    leaf->low = leaf->high = NULL;
    return 0;
}

static int parse_discrete(const cJSON *space, space_leaf_t *leaf, const char *path, reason_t *why) {
    leaf->kind = SPACE_DISCRETE;
    leaf->count = 1;
    snprintf(leaf->dtype, sizeof leaf->dtype, "int64");
    const cJSON *start = cJSON_GetObjectItemCaseSensitive(space, "start");
    if (!json_i64(cJSON_GetObjectItemCaseSensitive(space, "n"), &leaf->n) || leaf->n < 1)
        return reason_set(why, "%s: 'n' is no positive integer", path);
    if (start && !json_i64(start, &leaf->start))
        return reason_set(why, "%s: 'start' is no integer", path);
    return 0;
}

/* Nested lists of equal lengths: their shape, by the first of each. -1 when they are none, or too
 * deep. */
static int nested_shape(const cJSON *item, space_leaf_t *leaf) {
    leaf->rank = 0;
    leaf->count = 1;
    for (; cJSON_IsArray(item); item = item->child) {
        size_t n = (size_t)cJSON_GetArraySize(item);
        if (leaf->rank == MAX_RANK || n == 0 || n > MAX_COUNT / leaf->count) return -1;
        leaf->dim[leaf->rank++] = n;
        leaf->count *= n;
    }
    return leaf->rank ? 0 : -1;
}

static bool whole(double v, double least) {
    return v >= least && v <= 1e15 && v == floor(v);
}

/* Several discrete values: low and high are the first and last value of each, n the largest of
 * their ranges. */
static int parse_multi_discrete(const cJSON *space, space_leaf_t *leaf, const char *path,
                                reason_t *why) {
    const cJSON *nvec = cJSON_GetObjectItemCaseSensitive(space, "nvec"),
                *start = cJSON_GetObjectItemCaseSensitive(space, "start");
    if (nested_shape(nvec, leaf)) return reason_set(why, "%s: 'nvec' is no list of integers", path);
    leaf->kind = SPACE_DISCRETE;
    snprintf(leaf->dtype, sizeof leaf->dtype, "int64");
    leaf->high = numbers(space, "nvec", leaf->count, 0, path, why);
    if (!leaf->high) return -1;
    leaf->low = start ? numbers(space, "start", leaf->count, INFINITY, path, why)
                      : xcalloc(leaf->count, sizeof *leaf->low);
    if (!leaf->low) return -1;
    for (size_t i = 0; i < leaf->count; i++) {
        if (!whole(leaf->high[i], 1) || !whole(leaf->low[i], -1e15))
            return reason_set(why, "%s: 'nvec' or 'start' hold what is no integer in range", path);
        if ((int64_t)leaf->high[i] > leaf->n) leaf->n = (int64_t)leaf->high[i];
        leaf->high[i] += leaf->low[i] - 1;
    }
    leaf->start = (int64_t)leaf->low[0];
    return 0;
}

/* n is a number, or a list: the shape. */
static int parse_multi_binary(const cJSON *space, space_leaf_t *leaf, const char *path,
                              reason_t *why) {
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(space, "n"), *side;
    uint64_t v = 0;
    leaf->kind = SPACE_DISCRETE;
    snprintf(leaf->dtype, sizeof leaf->dtype, "int8");
    leaf->n = 2;
    leaf->count = 1;
    bool good = !cJSON_IsArray(n) || (n->child && cJSON_GetArraySize(n) <= MAX_RANK);
    for (side = cJSON_IsArray(n) ? n->child : n; good; side = side->next) {
        good = json_u64(side, &v) && v > 0 && v <= MAX_COUNT / leaf->count;
        if (!good) break;
        leaf->dim[leaf->rank++] = v;
        leaf->count *= v;
        if (side == n || !side->next) break;
    }
    return good ? 0 : reason_set(why, "%s: 'n' is no positive integer, nor a list of them", path);
}

static int parse_text(const cJSON *space, space_leaf_t *leaf, const char *path, reason_t *why) {
    leaf->kind = SPACE_TEXT;
    leaf->count = 1;
    snprintf(leaf->dtype, sizeof leaf->dtype, "str");
    if (!json_i64(cJSON_GetObjectItemCaseSensitive(space, "max_length"), &leaf->n)) leaf->n = 0;
    (void)path;
    (void)why;
    return 0;
}

static int parse_leaf(const cJSON *space, const char *type, const char *path, space_leaf_t *leaf,
                      reason_t *why) {
    static const struct {
        const char *type;
        int (*parse)(const cJSON *, space_leaf_t *, const char *, reason_t *);
    } kinds[] = {
        {"Box", parse_box},
        {"Discrete", parse_discrete},
        {"MultiDiscrete", parse_multi_discrete},
        {"MultiBinary", parse_multi_binary},
        {"Text", parse_text},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(type, kinds[i].type) == 0) return kinds[i].parse(space, leaf, path, why);
    return reason_set(why, "%s: space type '%.40s' is not supported", path, type);
}

/* `path` is the field and the keys below it: "observation_space/state/joints". */
static int parse_space(const cJSON *space, const char *path, leaves_t *out, reason_t *why) {
    const char *type = string_of(space, "type");
    if (!type) return reason_set(why, "%s: a space without 'type'", path);
    bool dict = strcmp(type, "Dict") == 0;
    if (!dict && strcmp(type, "Tuple") != 0) {
        if (out->n == MAX_LEAVES)
            return reason_set(why, "%s: more than %d parts", path, MAX_LEAVES);
        out->leaf = xgrow(out->leaf, &out->cap, out->n + 1, sizeof *out->leaf);
        space_leaf_t *leaf = &out->leaf[out->n++];
        memset(leaf, 0, sizeof *leaf);
        const char *below = strchr(path, '/');
        snprintf(leaf->path, sizeof leaf->path, "%s", below ? below + 1 : "");
        return parse_leaf(space, type, path, leaf, why);
    }
    const cJSON *subspaces = cJSON_GetObjectItemCaseSensitive(space, "subspaces"), *sub;
    bool listed = dict ? cJSON_IsObject(subspaces) : cJSON_IsArray(subspaces);
    if (!listed || !subspaces->child) return reason_set(why, "%s: no 'subspaces'", path);
    size_t i = 0;
    cJSON_ArrayForEach(sub, subspaces) {
        char index[32];
        snprintf(index, sizeof index, "_index_%zu", i++);
        const char *key = dict ? sub->string : index;
        if (!*key || strlen(path) + strlen(key) + 2 > 256)
            return reason_set(why, "%.100s: a key is empty or too long", path);
        char *next = xasprintf("%s/%s", path, key);
        int rc = parse_space(sub, next, out, why);
        free(next);
        if (rc) return -1;
    }
    return 0;
}

/* Length of the path's component at `at` if it is one of a Tuple's, "_index_7"; else 0. */
static size_t tuple_index(const char *path, size_t at) {
    static const char prefix[] = "_index_";
    while (at > 0 && path[at - 1] != '/') at--;
    size_t n = strcspn(path + at, "/"), skip = sizeof prefix - 1;
    if (strncmp(path + at, prefix, skip) != 0) return 0;
    return strspn(path + at + skip, "0123456789") == n - skip ? n : 0;
}

/* Byte order of the paths; the parts of a Tuple by their number. */
static int by_path(const void *a, const void *b) {
    const char *x = ((const space_leaf_t *)a)->path, *y = ((const space_leaf_t *)b)->path;
    size_t at = 0;
    while (x[at] && x[at] == y[at]) at++;
    size_t n = tuple_index(x, at), m = tuple_index(y, at);
    if (n && m && n != m) return n < m ? -1 : 1;
    return strcmp(x, y);
}

static int parse_field(const cJSON *root, const char *field, space_leaf_t **leaf, size_t *n,
                       reason_t *why) {
    const char *text = string_of(root, field);
    if (!text)
        return reason_set(why,
                          "%s: missing; it would have to be derived by making the environment in "
                          "Python: save the dataset again "
                          "with its spaces",
                          field);
    reason_t inner;
    cJSON *space = json_parse(text, strlen(text), true, &inner);
    if (!space) return reason_set(why, "%s: %.300s", field, inner.text);
    leaves_t out = {0};
    int rc = parse_space(space, field, &out, why);
    cJSON_Delete(space);
    if (rc == 0) qsort(out.leaf, out.n, sizeof *out.leaf, by_path);
    *leaf = out.leaf;
    *n = out.n;
    return rc;
}

/* ---- the file ---- */

static int check_format(const cJSON *root, reason_t *why) {
    const char *format = string_of(root, "data_format");
    if (!format || strcmp(format, "hdf5") == 0) return 0; /* before 0.5 the key did not exist */
    return reason_set(why,
                      "data_format: '%.40s' is not read here, only 'hdf5': convert it in Python "
                      "with MinariStorage.new(..., "
                      "data_format=\"hdf5\", jpeg_encoding=False) and update_from_storage()",
                      format);
}

static int parse_root(const cJSON *root, minari_meta_t *m, reason_t *why) {
    if (!cJSON_IsObject(root)) return reason_set(why, "not a JSON object");
    if (check_format(root, why)) return -1;
    if (!json_u64(cJSON_GetObjectItemCaseSensitive(root, "total_episodes"), &m->episodes))
        return reason_set(why, "total_episodes: missing or no integer");
    if (!json_u64(cJSON_GetObjectItemCaseSensitive(root, "total_steps"), &m->steps))
        return reason_set(why, "total_steps: missing or no integer");
    const char *id = string_of(root, "dataset_id"), *env = string_of(root, "env_spec");
    m->dataset_id = xstrdup(id ? id : "");
    m->env_spec = env ? xstrdup(env) : NULL;
    m->random_return = number_of(root, "ref_min_score");
    m->expert_return = number_of(root, "ref_max_score");
    m->jpeg = !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(root, "jpeg_encoding"));
    if (parse_field(root, "observation_space", &m->obs, &m->n_obs, why)) return -1;
    return parse_field(root, "action_space", &m->act, &m->n_act, why);
}

int minari_meta_parse(const char *text, size_t size, minari_meta_t *out, reason_t *why) {
    memset(out, 0, sizeof *out);
    cJSON *root = json_parse(text, size, true, why);
    if (!root) return -1;
    int rc = parse_root(root, out, why);
    cJSON_Delete(root);
    if (rc) minari_meta_release(out);
    return rc;
}

/* ---- leaves back to JSON ---- */

/* Python's json, which reads this, knows Infinity. */
static void put_number(FILE *f, double v) {
    char buf[40];
    if (isinf(v))
        fputs(v > 0 ? "Infinity" : "-Infinity", f);
    else
        fputs(json_double(buf, v), f);
}

/* Nested lists of a shape; `v` NULL = the constant everywhere, as it is for NaN. Returns the number
 * of elements printed. */
static size_t put_nested(FILE *f, const space_leaf_t *leaf, int axis, const double *v,
                         double constant) {
    if (axis == leaf->rank) {
        put_number(f, v && !isnan(*v) ? *v : constant);
        return 1;
    }
    size_t done = 0;
    for (size_t i = 0; i < leaf->dim[axis]; i++) {
        fputs(i ? ", " : "[", f);
        done += put_nested(f, leaf, axis + 1, v ? v + done : NULL, constant);
    }
    fputc(']', f);
    return done;
}

static void put_box(FILE *f, const space_leaf_t *leaf) {
    bool image = leaf->kind == SPACE_IMAGE;
    fprintf(f, "{\"type\": \"Box\", \"dtype\": \"%s\", \"shape\": [",
            image ? "uint8" : leaf->dtype);
    for (int i = 0; i < leaf->rank; i++) fprintf(f, "%s%zu", i ? ", " : "", leaf->dim[i]);
    fputs("], \"low\": ", f);
    put_nested(f, leaf, 0, leaf->low, image ? 0 : -INFINITY);
    fputs(", \"high\": ", f);
    put_nested(f, leaf, 0, leaf->high, image ? 255 : INFINITY);
    fputc('}', f);
}

/* Nested lists of n (or of the starts) of each element. */
static size_t put_integers(FILE *f, const space_leaf_t *leaf, int axis, size_t first, bool n) {
    if (axis == leaf->rank) {
        fprintf(f, "%lld",
                (long long)(n ? space_leaf_n(leaf, first) : space_leaf_start(leaf, first)));
        return 1;
    }
    size_t done = 0;
    for (size_t i = 0; i < leaf->dim[axis]; i++) {
        fputs(i ? ", " : "[", f);
        done += put_integers(f, leaf, axis + 1, first + done, n);
    }
    fputc(']', f);
    return done;
}

static void put_multi_discrete(FILE *f, const space_leaf_t *leaf) {
    fputs("{\"type\": \"MultiDiscrete\", \"dtype\": \"int64\", \"nvec\": ", f);
    put_integers(f, leaf, 0, 0, true);
    fputs(", \"start\": ", f);
    put_integers(f, leaf, 0, 0, false);
    fputc('}', f);
}

static void put_leaf(FILE *f, const space_leaf_t *leaf) {
    if (leaf->kind == SPACE_DISCRETE && leaf->rank) {
        put_multi_discrete(f, leaf); /* MultiBinary too: the same values */
    } else if (leaf->kind == SPACE_BOX || leaf->kind == SPACE_IMAGE) {
        put_box(f, leaf);
    } else if (leaf->kind == SPACE_DISCRETE) {
        fprintf(f, "{\"type\": \"Discrete\", \"dtype\": \"int64\", \"start\": %lld, \"n\": %lld}",
                (long long)leaf->start, (long long)leaf->n);
    } else {
        fprintf(f, "{\"type\": \"Text\", \"max_length\": %lld, \"min_length\": 0, \"charset\": \"",
                (long long)(leaf->n > 0 ? leaf->n : 4096));
        for (int c = ' '; c <= '~'; c++) fprintf(f, c == '"' || c == '\\' ? "\\%c" : "%c", c);
        fputs("\"}", f);
    }
}

char *minari_space_json(const space_leaf_t *leaves, size_t n, bool dict) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) die(RC_RUNTIME, "out of memory");
    if (dict) fputs("{\"type\": \"Dict\", \"subspaces\": {", f);
    const char *last = NULL;
    for (size_t done = 0; done < n; done++) {
        /* The next path in byte order; there are few leaves. */
        const space_leaf_t *next = NULL;
        for (size_t i = 0; i < n; i++)
            if ((!last || strcmp(leaves[i].path, last) > 0) &&
                (!next || strcmp(leaves[i].path, next->path) < 0))
                next = &leaves[i];
        if (!next) BUG("two leaves of one name in a space");
        if (dict) {
            jsonw_t key = {0};
            jsonw_begin(&key);
            jsonw_raw(&key, next->path, "0");
            const char *quoted = jsonw_end(&key); /* {"path":0} */
            fprintf(f, "%s%.*s: ", done ? ", " : "", (int)(strrchr(quoted, ':') - quoted - 1),
                    quoted + 1);
            jsonw_free(&key);
        }
        put_leaf(f, next);
        last = next->path;
    }
    if (dict) fputs("}}", f);
    if (fclose(f)) die(RC_RUNTIME, "out of memory");
    return text;
}
