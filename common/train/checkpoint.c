/* checkpoint.c - see checkpoint.h. */
#include "common/train/checkpoint.h"

#include "common/io/fs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char TRAINING[] = "training.safetensors", META[] = "training";
/* Before a tensor's name in the training state; NULL = the block is no part of it (gradients). */
static const char *const BLOCK_PREFIX[PARAMS_BLOCKS] = {
    [PARAMS_VALUE] = "value/", [PARAMS_M] = "m/", [PARAMS_V] = "v/", [PARAMS_AVERAGE] = "average/"};

/* A tensor is converted when it is written, so that a checkpoint needs no second copy of the
 * network. */
typedef struct {
    params_t *params;
    int block;
} lazy_t;

static void fill_param(void *ctx, size_t i, void *data) {
    const lazy_t *l = ctx;
    params_export(l->params, l->block, (int)i, data);
}

static void add_lazy(st_writer_t *w, lazy_t *l, int i, const char *name) {
    const param_t *q = params_at(l->params, i);
    uint64_t dim[4];
    for (int d = 0; d < q->rank; d++) dim[d] = q->dim[d];
    st_writer_lazy(w, name, ST_F32, q->rank, dim, fill_param, l, (size_t)i);
}

static int write_tensors(st_writer_t *w, fs_writer_t *f, const char *dir, const char *file,
                         reason_t *why) {
    char *path = fs_join(dir, file);
    reason_t inner;
    int rc = fs_writer_open(f, path, why);
    if (!rc && st_write_stream(w, f->file, &inner)) {
        fs_writer_abort(f);
        rc = reason_set(why, "'%s': %s", path, inner.text);
    } else if (!rc) {
        rc = fs_writer_finish(f, why); /* forgets the file when it fails */
    }
    free(path);
    st_writer_free(w);
    return rc;
}

static int write_text(fs_writer_t *f, const char *dir, const char *file, const char *text,
                      reason_t *why) {
    char *path = fs_join(dir, file);
    int rc = fs_writer_open(f, path, why);
    if (!rc && fputs(text, f->file) < 0) {
        fs_writer_abort(f);
        rc = reason_set(why, "cannot write '%s': %s", path, cause_of(errno));
    } else if (!rc) {
        rc = fs_writer_finish(f, why);
    }
    free(path);
    return rc;
}

/* The numbers that stand in place of the parameter, or NULL. */
static const float *made(const checkpoint_t *c, const param_t *q) {
    for (size_t i = 0; i < c->n_made; i++) {
        if (strcmp(c->made[i].name, q->name)) continue;
        if (c->made[i].count != q->count)
            BUG("'%s' is made of %zu values", q->name, c->made[i].count);
        return c->made[i].data;
    }
    return NULL;
}

static st_writer_t *weights(const checkpoint_t *c, lazy_t *l) {
    st_writer_t *w = st_writer_new();
    *l = (lazy_t){c->params, c->weights_block};
    for (size_t i = 0; i < params_n(c->params); i++) {
        const param_t *q = params_at(c->params, (int)i);
        if (!params_match(q->name, c->weights, c->n_weights)) continue;
        const float *values = made(c, q);
        uint64_t dim[4];
        for (int d = 0; d < q->rank; d++) dim[d] = q->dim[d];
        if (values)
            st_writer_add(w, q->name, ST_F32, q->rank, dim, values);
        else
            add_lazy(w, l, (int)i, q->name);
    }
    return w;
}

static bool is_fresh(const checkpoint_t *c, const char *name) {
    return c->fresh && !strncmp(name, c->fresh, strlen(c->fresh));
}

static bool is_moment(int block) {
    return block == PARAMS_M || block == PARAMS_V;
}

/* Is parameter `name` part of this block of the training state? The fresh ones have no average,
 * those that do not move no moments. */
static bool stored(const checkpoint_t *c, int block, const char *name) {
    if (is_moment(block)) return !c->moves || params_match(name, c->moves, c->n_moves);
    return block != PARAMS_AVERAGE || !is_fresh(c, name);
}

static void add_block(st_writer_t *w, lazy_t *l, const checkpoint_t *c) {
    for (size_t i = 0; i < params_n(c->params); i++) {
        const char *of = params_at(c->params, (int)i)->name;
        if (!stored(c, l->block, of)) continue;
        char *name = xasprintf("%s%s", BLOCK_PREFIX[l->block], of);
        add_lazy(w, l, (int)i, name);
        free(name);
    }
}

static st_writer_t *training(const checkpoint_t *c, lazy_t l[PARAMS_BLOCKS]) {
    st_writer_t *w = st_writer_new();
    st_writer_meta(w, META, c->training_json);
    for (int b = 0; b < PARAMS_BLOCKS; b++) {
        if (!BLOCK_PREFIX[b] || !params_has(c->params, b)) continue;
        l[b] = (lazy_t){c->params, b};
        add_block(w, &l[b], c);
    }
    for (size_t i = 0; i < c->n_state; i++) {
        char *name = xasprintf("state/%s", c->state[i].name);
        uint64_t dim = c->state[i].count;
        st_writer_add(w, name, ST_F32, 1, &dim, c->state[i].data);
        free(name);
    }
    return w;
}

static int check_block(const checkpoint_t *c, int block, reason_t *why) {
    for (size_t i = 0; i < params_n(c->params); i++) {
        const param_t *q = params_at(c->params, (int)i);
        if (!stored(c, block, q->name)) continue;
        if (!st_finite(params_ptr(c->params, block, (int)i), q->count))
            return reason_set(why, "tensor '%s%s' holds a NaN or infinity", BLOCK_PREFIX[block],
                              q->name);
    }
    return 0;
}

/* A network that blew up must not take the place of the last good one. */
static int check_finite(const checkpoint_t *c, reason_t *why) {
    for (int b = 0; b < PARAMS_BLOCKS; b++) {
        if (!BLOCK_PREFIX[b] || !params_has(c->params, b)) continue;
        if (check_block(c, b, why)) return -1;
    }
    for (size_t i = 0; i < c->n_state; i++)
        if (!st_finite(c->state[i].data, c->state[i].count))
            return reason_set(why, "tensor 'state/%s' holds a NaN or infinity", c->state[i].name);
    for (size_t i = 0; i < c->n_made; i++)
        if (!st_finite(c->made[i].data, c->made[i].count))
            return reason_set(why, "tensor '%s' holds a NaN or infinity", c->made[i].name);
    return 0;
}

enum { MOST_TEXTS = 8, MOST_FILES = MOST_TEXTS + 3 };

/* Writes the temporaries into f, *n of them, in the order in which they are renamed. */
static int write_files(const char *dir, const checkpoint_t *c, bool with_training, fs_writer_t *f,
                       size_t *n, reason_t *why) {
    lazy_t l[PARAMS_BLOCKS];
    if (with_training) {
        if (write_tensors(training(c, l), &f[*n], dir, TRAINING, why)) return -1;
        ++*n;
    }
    if (write_tensors(weights(c, l), &f[*n], dir, c->weights_file, why)) return -1;
    ++*n;
    for (size_t i = 0; i < c->n_text; i++) {
        if (write_text(&f[*n], dir, c->text[i].file, c->text[i].text, why)) return -1;
        ++*n;
    }
    if (with_training) {
        if (write_text(&f[*n], dir, "training.json", c->training_json, why)) return -1;
        ++*n;
    }
    return 0;
}

static int save(const char *dir, const checkpoint_t *c, bool with_training, reason_t *why) {
    fs_writer_t f[MOST_FILES];
    size_t n = 0;
    if (c->n_text > MOST_TEXTS) BUG("a checkpoint of %zu texts", c->n_text);
    if (check_finite(c, why) || fs_mkdirs(dir, why)) return -1;
    if (!write_files(dir, c, with_training, f, &n, why)) return fs_writer_publish(f, n, why);
    for (size_t i = 0; i < n; i++) fs_writer_abort(&f[i]);
    return -1;
}

int checkpoint_save(const char *dir, const checkpoint_t *c, reason_t *why) {
    return save(dir, c, true, why);
}
int checkpoint_save_weights(const char *dir, const checkpoint_t *c, reason_t *why) {
    return save(dir, c, false, why);
}

bool checkpoint_exists(const char *dir) {
    char *path = fs_join(dir, TRAINING);
    bool is = fs_exists(path);
    free(path);
    return is;
}

int checkpoint_open(const char *dir, st_file_t *file, char **json, reason_t *why) {
    char *path = fs_join(dir, TRAINING);
    reason_t inner;
    int rc = RC_OK;
    if (st_open(file, path, &inner)) {
        reason_set(why, "%s", inner.text);
        rc = RC_DATA;
    } else if (!st_meta(file, META)) {
        reason_set(why, "'%s' holds no training state", path);
        st_close(file);
        rc = RC_DATA;
    } else {
        *json = xstrdup(st_meta(file, META));
    }
    free(path);
    return rc;
}

bool checkpoint_shaped(const st_tensor_t *t, int rank, const size_t *dim) {
    bool same = t && t->rank == rank;
    for (int d = 0; same && d < rank; d++) same = t->dim[d] == dim[d];
    return same;
}

int checkpoint_read(const st_tensor_t *t, const char *name, int rank, const size_t *dim, float *out,
                    reason_t *why) {
    reason_t inner;
    if (!checkpoint_shaped(t, rank, dim)) {
        reason_set(why, "tensor '%s' is missing or has another shape", name);
        return RC_MISFIT;
    }
    if (st_read_f32(t, out, &inner)) {
        reason_set(why, "tensor '%s': %s", name, inner.text);
        return RC_MISFIT;
    }
    if (st_finite(out, t->count)) return RC_OK;
    reason_set(why, "tensor '%s' holds a NaN or infinity", name);
    return RC_DATA;
}

/* `prefix``name` of the training state, likewise. */
static int read_state(const st_file_t *file, const char *prefix, const char *name, int rank,
                      const size_t *dim, float *out, reason_t *why) {
    char *full = xasprintf("%s%s", prefix, name);
    reason_t inner;
    int rc = checkpoint_read(st_find(file, full), full, rank, dim, out, &inner);
    if (rc) reason_set(why, "training state: %s", inner.text);
    free(full);
    return rc;
}

/* Does the state have a tensor whose name begins with `block`, then `prefix`? */
static bool has_prefix(const st_file_t *file, const char *block, const char *prefix) {
    size_t n_block = strlen(block), n_prefix = strlen(prefix);
    for (size_t i = 0; i < file->n; i++) {
        const char *name = file->tensor[i].name;
        if (!strncmp(name, block, n_block) && !strncmp(name + n_block, prefix, n_prefix))
            return true;
    }
    return false;
}

bool checkpoint_has_average(const st_file_t *file) {
    return has_prefix(file, BLOCK_PREFIX[PARAMS_AVERAGE], "");
}

static int restore_param(const st_file_t *file, const checkpoint_t *c, int block, size_t i,
                         reason_t *why) {
    const param_t *q = params_at(c->params, (int)i);
    float *disk = xmalloc(q->count * sizeof *disk);
    int rc = read_state(file, BLOCK_PREFIX[block], q->name, q->rank, q->dim, disk, why);
    if (!rc) params_import(c->params, block, (int)i, disk);
    free(disk);
    return rc;
}

/* Has the state neither moment of the parameter? */
static bool stood_still(const st_file_t *file, const char *name) {
    bool any = false;
    for (int b = PARAMS_M; b <= PARAMS_V; b++) {
        char *full = xasprintf("%s%s", BLOCK_PREFIX[b], name);
        any = any || st_find(file, full);
        free(full);
    }
    return !any;
}

static int restore_block(const st_file_t *file, const checkpoint_t *c, int block, reason_t *why) {
    bool has_fresh = c->fresh && has_prefix(file, BLOCK_PREFIX[block], c->fresh);
    for (size_t i = 0; i < params_n(c->params); i++) {
        const char *name = params_at(c->params, (int)i)->name;
        if (!stored(c, block, name) || (is_fresh(c, name) && !has_fresh)) continue;
        if (is_moment(block) && c->moves && stood_still(file, name)) continue;
        int rc = restore_param(file, c, block, i, why);
        if (rc) return rc;
    }
    return RC_OK;
}

int checkpoint_restore(const st_file_t *file, const checkpoint_t *c, reason_t *why) {
    for (int b = 0; b < PARAMS_BLOCKS; b++) {
        if (!BLOCK_PREFIX[b] || !has_prefix(file, BLOCK_PREFIX[b], "")) continue;
        int rc = restore_block(file, c, b, why);
        if (rc) return rc;
    }
    for (size_t i = 0; i < c->n_state; i++) {
        int rc = read_state(file, "state/", c->state[i].name, 1, &c->state[i].count,
                            c->state[i].data, why);
        if (rc) return rc;
    }
    return RC_OK;
}
