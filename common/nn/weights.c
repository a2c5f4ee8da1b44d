/* weights.c - see weights.h. */
#include "common/nn/weights.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 5 /* differences that a reason names */, SHAPE_TEXT = 128 };

typedef struct {
    params_t *params;
    bool numbers;    /* read them, not only names and shapes */
    st_file_t *file; /* the one at hand */
    const char *path;
    const weights_names_t *names;
    bool *seen; /* [params] */
    size_t differences;
    char text[sizeof((reason_t *)0)->text - 100]; /* the first of them */
} reading_t;

static void note(reading_t *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(reading_t *r, const char *format, ...) {
    if (r->differences++ >= SHOWN) return;
    size_t at = strlen(r->text);
    if (at) at += (size_t)snprintf(r->text + at, sizeof r->text - at, ", ");
    if (at >= sizeof r->text) return;
    va_list args;
    va_start(args, format);
    vsnprintf(r->text + at, sizeof r->text - at, format, args);
    va_end(args);
}

/* ---- shapes ---- */

static const char *dims_text(char text[SHAPE_TEXT], int rank, const uint64_t *dim) {
    size_t at = 0;
    snprintf(text, SHAPE_TEXT, "scalar");
    for (int d = 0; d < rank && at < SHAPE_TEXT; d++)
        at += (size_t)snprintf(text + at, SHAPE_TEXT - at, "%s%llu", d ? "," : "",
                               (unsigned long long)dim[d]);
    return text;
}

static bool fits(const param_t *p, const st_tensor_t *t, bool loose_axes) {
    if (p->rank != t->rank && (!loose_axes || p->rank < 2 || t->rank < 2)) return false;
    int rank = p->rank > t->rank ? p->rank : t->rank;
    for (int d = 0; d < rank; d++) {
        uint64_t ours = d < p->rank ? p->dim[d] : 1, theirs = d < t->rank ? t->dim[d] : 1;
        if (ours != theirs) return false;
    }
    return true;
}

static void note_shape(reading_t *r, const param_t *p, const st_tensor_t *t) {
    char theirs[SHAPE_TEXT], ours[SHAPE_TEXT];
    uint64_t dim[4];
    for (int d = 0; d < p->rank; d++) dim[d] = p->dim[d];
    note(r, "another shape of '%s' (%s, not %s)", t->name, dims_text(theirs, t->rank, t->dim),
         dims_text(ours, p->rank, dim));
}

/* ---- tensors ---- */

/* The parameter that a tensor of the file belongs to; -1: none. */
static int parameter_of(const reading_t *r, const char *theirs) {
    char ours[WEIGHTS_NAME];
    if (!r->names->ours) return params_find(r->params, theirs);
    if (!r->names->ours(r->names->context, theirs, ours)) return -1;
    return params_find(r->params, ours);
}

/* The numbers of t, whose data is in memory, into parameter `index`. */
static int take_numbers(reading_t *r, int index, const st_tensor_t *t, reason_t *why) {
    const param_t *p = params_at(r->params, index);
    const weights_names_t *names = r->names;
    bool direct = p->layout == LAYOUT_SAME && !names->take; /* no copy on the way */
    float *disk =
        direct ? params_ptr(r->params, PARAMS_VALUE, index) : xmalloc(p->count * sizeof *disk);
    reason_t inner;
    int rc = RC_OK;
    if (st_read_f32(t, disk, &inner)) {
        reason_set(why, "'%s': tensor '%s': %s", r->path, t->name, inner.text);
        rc = RC_MISFIT;
    } else if (!st_finite(disk, p->count)) {
        reason_set(why, "'%s': tensor '%s' holds a NaN or infinity", r->path, t->name);
        rc = RC_DATA;
    } else if (names->take) {
        names->take(names->taker, index, disk);
    } else if (!direct) {
        params_import(r->params, PARAMS_VALUE, index, disk);
    }
    if (!direct) free(disk);
    return rc;
}

static int take_tensor(reading_t *r, int index, const st_tensor_t *t, reason_t *why) {
    if (!r->file->part) return take_numbers(r, index, t, why);
    st_tensor_t part;
    reason_t inner;
    if (st_part(r->file, t, &part, &inner)) {
        reason_set(why, "'%s': tensor '%s': %s", r->path, t->name, inner.text);
        return RC_DATA;
    }
    int rc = take_numbers(r, index, &part, why);
    free((void *)(uintptr_t)part.data);
    return rc;
}

static int read_tensor(reading_t *r, const st_tensor_t *t, reason_t *why) {
    const weights_names_t *names = r->names;
    const char *refusal = names->refusal ? names->refusal(names->context, t->name) : NULL;
    if (refusal) {
        reason_set(why, "'%s': tensor '%s': %s", r->path, t->name, refusal);
        return RC_MISFIT;
    }
    int index = parameter_of(r, t->name);
    if (index < 0 || r->seen[index]) {
        note(r, "%s '%s'", index < 0 ? "unknown tensor" : "second tensor", t->name);
        return RC_OK;
    }
    r->seen[index] = true;
    const param_t *p = params_at(r->params, index);
    if (!fits(p, t, names->loose_axes)) {
        note_shape(r, p, t);
        return RC_OK;
    }
    return r->numbers ? take_tensor(r, index, t, why) : RC_OK;
}

static void note_missing(reading_t *r) {
    const weights_names_t *names = r->names;
    for (size_t i = 0; i < params_n(r->params); i++) {
        if (r->seen[i]) continue;
        const char *ours = params_at(r->params, (int)i)->name;
        char theirs[WEIGHTS_NAME];
        bool translated = names->theirs && names->theirs(names->context, ours, theirs);
        note(r, "missing tensor '%s'", translated ? theirs : ours);
    }
}

/* All tensors of all files once. */
static int read_files(reading_t *r, const weights_file_t *file, size_t n, size_t *passed_over,
                      reason_t *why) {
    int rc = RC_OK;
    *passed_over = 0;
    memset(r->seen, 0, params_n(r->params) * sizeof *r->seen);
    for (size_t k = 0; k < n; k++) {
        r->file = file[k].file;
        r->path = file[k].path;
        r->names = file[k].names;
        for (size_t i = 0; i < r->file->n && rc == RC_OK; i++) {
            const st_tensor_t *t = &r->file->tensor[i];
            if (r->names->ignored && r->names->ignored(r->names->context, t->name))
                ++*passed_over;
            else
                rc = read_tensor(r, t, why);
        }
    }
    r->names = file[0].names;
    if (rc == RC_OK) note_missing(r);
    return rc;
}

static void refuse(const reading_t *r, const weights_file_t *file, size_t n, reason_t *why) {
    char *paths = xstrdup(file[0].path);
    for (size_t k = 1; k < n; k++) {
        char *longer = xasprintf("%s' and '%s", paths, file[k].path);
        free(paths);
        paths = longer;
    }
    reason_set(why, "'%s' %s not fit %s configuration in %zu places: %s", paths,
               n > 1 ? "do" : "does", n > 1 ? "their" : "its", r->differences, r->text);
    free(paths);
}

int weights_read_files(params_t *params, const weights_file_t *file, size_t n, size_t *ignored,
                       reason_t *why) {
    reading_t r = {.params = params, .seen = xcalloc(params_n(params) + 1, sizeof(bool))};
    size_t passed_over;
    r.numbers = !file[0].names->take;
    int rc = read_files(&r, file, n, &passed_over, why);
    if (rc == RC_OK && r.differences) {
        refuse(&r, file, n, why);
        rc = RC_MISFIT;
    } else if (rc == RC_OK && !r.numbers) {
        r.numbers = true;
        rc = read_files(&r, file, n, &passed_over, why);
    }
    free(r.seen);
    if (ignored) *ignored = passed_over;
    return rc;
}

int weights_read(params_t *params, st_file_t *file, const char *path, const weights_names_t *names,
                 size_t *ignored, reason_t *why) {
    return weights_read_files(params, &(weights_file_t){file, path, names}, 1, ignored, why);
}
