/* plan.c - memory and schedule of a tape; see plan.h.
 *
 * Time runs over the ops forward (0..n-1), then over each pass backward. A buffer has one interval
 * of time; buffers are placed by size, largest first, at the lowest offset free of every placed
 * buffer that lives at the same time.
 */
#include "common/tape/plan.h"

#include "common/base/die.h"
#include "common/base/log.h"
#include "common/base/sizes.h"
#include "common/tape/tape_private.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

typedef struct {
    size_t bytes, offset;
    long first, last; /* time; first < 0 = unused */
} buffer_t;

typedef struct {
    bool *run;         /* by op */
    int *grad;         /* by value root: index of buffer (values may share one), -1 = none */
    bool *has, *wants; /* by value root: a gradient arrives / leads to a selected parameter */
    bool *param;       /* by parameter: selected by wrt */
    char **pattern;
    var_t root[PASS_ROOTS];
    float seed[PASS_ROOTS];
    size_t n_roots, n_pattern;
    bool add;
} pass_plan_t;

struct plan {
    const tape_t *t;
    buffer_t *buf;
    size_t n_buf, cap_buf;
    int *value;         /* by root: buffer, -1 = param or extern */
    const void **bound; /* by root: externs */
    int *scratch_f;     /* by op: buffer or -1 */
    int **scratch_b;    /* by pass and op */
    bool *kept;
    pass_plan_t *pass;
    size_t n_pass;
    plan_memory_t own, *memory;
    size_t bytes;
    uint64_t key_seed, key_step, key_first;
    bool unshared, profile;
};

static int add_buffer(plan_t *p, size_t bytes) {
    p->buf = xgrow(p->buf, &p->cap_buf, p->n_buf + 1, sizeof *p->buf);
    p->buf[p->n_buf] = (buffer_t){.bytes = round_up(bytes, ALIGN), .first = -1, .last = -1};
    return (int)p->n_buf++;
}

static void touch(plan_t *p, int b, long time) {
    if (b < 0) return;
    if (p->buf[b].first < 0 || time < p->buf[b].first) p->buf[b].first = time;
    if (time > p->buf[b].last) p->buf[b].last = time;
}

static var_t root_of(const tape_t *t, var_t v) {
    return v == NO_VAR ? NO_VAR : t->value[v].root;
}

/* The gradient of input i of an op can flow: the op allows it, the value is F32, not detached, not
 * an input or extern.
 */
static bool input_flows(const tape_t *t, const tape_op_t *op, int i) {
    var_t v = op->spec.in[i];
    return v != NO_VAR && (op->spec.def->grads_in >> i & 1) && op->spec.def->backward &&
           !t->value[v].detached && t->value[v].shape.type == DT_F32;
}

static void shapes(const tape_t *t, const tape_op_t *op, op_run_t *r) {
    *r = (op_run_t){.attr = &op->spec.attr, .n_in = op->spec.n_in, .n_out = op->spec.n_out};
    for (int j = 0; j < r->n_in; j++)
        if (op->spec.in[j] != NO_VAR) r->in_shape[j] = &t->value[op->spec.in[j]].shape;
    for (int j = 0; j < r->n_out; j++) r->out_shape[j] = &t->value[op->out + j].shape;
}

/* The next op behind op o, going backward, that adds to the gradient of v; -1 = none. */
static long next_writer(const tape_t *t, const pass_plan_t *q, var_t v, size_t o) {
    for (long c = (long)o - 1; c > t->value[v].op; c--)
        for (int i = 0; i < t->op[c].spec.n_in && q->run[c]; i++)
            if (root_of(t, t->op[c].spec.in[i]) == v && input_flows(t, &t->op[c], i)) return c;
    return -1;
}

/* Whether the gradient of input i of op o, its first writer, may have buffer b, that of the op's
 * output. Every other value whose gradient is still to be read there (by its producer) must be read
 * before the buffer changes: it changes now unless the op hands its gradient on as it is, and later
 * when either value's gradient is added to. */
static bool may_share(const plan_t *p, const pass_plan_t *q, size_t o, int i, int b) {
    const tape_t *t = p->t;
    const tape_op_t *op = &t->op[o];
    bool same = op->spec.def->same_dout >> i & 1;
    var_t v = root_of(t, op->spec.in[i]);
    if (b < 0 || !(same || op->spec.def->over_dout >> i & 1)) return false;
    for (size_t u = 0; u < t->n_values; u++) {
        if (q->grad[u] != b || t->value[u].op >= (int)o) continue;
        if (!same || next_writer(t, q, v, o) >= t->value[u].op ||
            next_writer(t, q, (var_t)u, o) >= t->value[v].op)
            return false;
    }
    return true;
}

static int grad_buffer(plan_t *p, const pass_plan_t *q, size_t o, int i) {
    const tape_op_t *op = &p->t->op[o];
    int b = q->grad[op->out];
    if (!p->unshared && may_share(p, q, o, i, b)) return b;
    return add_buffer(p, tape_count(p->t, op->spec.in[i]) * 4);
}

static void plan_pass(plan_t *p, size_t k, const pass_t *pass) {
    const tape_t *t = p->t;
    pass_plan_t *q = &p->pass[k];
    size_t nv = t->n_values, np = t->params ? params_n(t->params) : 0;
    *q = (pass_plan_t){.run = xcalloc(t->n_ops, sizeof(bool)),
                       .grad = xmalloc(nv * sizeof(int)),
                       .has = xcalloc(nv, sizeof(bool)),
                       .wants = xcalloc(nv, sizeof(bool)),
                       .param = xcalloc(np, sizeof(bool)),
                       .n_roots = pass->n_roots,
                       .n_pattern = pass->n_wrt,
                       .pattern = xcalloc(pass->n_wrt, sizeof(char *)),
                       .add = pass->add};
    for (size_t i = 0; i < nv; i++) q->grad[i] = -1;
    for (size_t i = 0; i < pass->n_wrt; i++) q->pattern[i] = xstrdup(pass->wrt[i]);
    for (size_t i = 0; i < np; i++)
        q->param[i] = params_match(params_at(t->params, (int)i)->name, pass->wrt, pass->n_wrt);
    for (size_t i = 0; i < nv; i++)
        if (t->value[i].kind == VALUE_PARAM && t->value[i].root == (var_t)i)
            q->wants[i] = q->param[t->value[i].param];
    for (size_t o = 0; o < t->n_ops; o++) {
        const tape_op_t *op = &t->op[o];
        bool leads = false;
        for (int i = 0; i < op->spec.n_in; i++)
            leads |= input_flows(t, op, i) && q->wants[root_of(t, op->spec.in[i])];
        for (int j = 0; j < op->spec.n_out && leads; j++)
            q->wants[op->out + j] = t->value[op->out + j].shape.type == DT_F32;
    }
    for (size_t i = 0; i < pass->n_roots; i++) {
        var_t v = root_of(t, pass->root[i]);
        if (tape_count(t, v) != 1) BUG("a pass's root must be a scalar");
        q->root[i] = v;
        q->seed[i] = 1;
        q->has[v] = true;
    }
    for (size_t o = t->n_ops; o-- > 0;) {
        const tape_op_t *op = &t->op[o];
        bool arrives = false;
        for (int j = 0; j < op->spec.n_out; j++)
            arrives |= q->has[op->out + j] && q->wants[op->out + j];
        if (!arrives) continue;
        for (int i = 0; i < op->spec.n_in; i++)
            if (input_flows(t, op, i) && q->wants[root_of(t, op->spec.in[i])])
                q->has[root_of(t, op->spec.in[i])] = q->run[o] = true;
    }
    long base = (long)(t->n_ops * (k + 1));
    for (size_t i = 0; i < q->n_roots; i++) {
        int *grad = &q->grad[q->root[i]];
        if (*grad < 0 && q->wants[q->root[i]] && t->value[q->root[i]].kind == VALUE_OP)
            *grad = add_buffer(p, 4);
        touch(p, *grad, base);
    }
    for (size_t o = t->n_ops; o-- > 0;) {
        if (!q->run[o]) continue;
        const tape_op_t *op = &t->op[o];
        long time = base + (long)(t->n_ops - 1 - o);
        for (int i = 0; i < op->spec.n_in; i++) {
            var_t v = root_of(t, op->spec.in[i]);
            if (v == NO_VAR) continue;
            if (q->grad[v] < 0 && q->wants[v] && t->value[v].kind == VALUE_OP &&
                input_flows(t, op, i))
                q->grad[v] = grad_buffer(p, q, o, i);
            touch(p, q->grad[v], time);
            if (op->spec.def->keeps_in >> i & 1) touch(p, p->value[v], time);
        }
        for (int j = 0; j < op->spec.n_out; j++) {
            touch(p, q->grad[op->out + j], time);
            if (op->spec.def->keeps_out >> j & 1) touch(p, p->value[op->out + j], time);
        }
        op_run_t r;
        shapes(t, op, &r);
        size_t scratch = op->spec.def->scratch ? op->spec.def->scratch(&r, true) : 0;
        if (scratch) touch(p, p->scratch_b[k][o] = add_buffer(p, scratch), time);
    }
}

/* An op's output takes the buffer of an input that ends there. */
static void plan_in_place(plan_t *p) {
    const tape_t *t = p->t;
    for (size_t o = 0; o < t->n_ops; o++) {
        const tape_op_t *op = &t->op[o];
        int *out = &p->value[op->out];
        for (int i = 0; i < op->spec.n_in; i++) {
            var_t v = root_of(t, op->spec.in[i]);
            if (!(op->spec.def->over_in >> i & 1) || t->value[v].kind != VALUE_OP ||
                p->buf[p->value[v]].last != (long)o)
                continue;
            p->buf[p->value[v]].last = p->buf[*out].last;
            p->buf[*out].first = -1;
            *out = p->value[v];
            break;
        }
    }
}

static int by_size(const void *a, const void *b, void *ctx) {
    const buffer_t *buf = ctx;
    size_t x = buf[*(const int *)a].bytes, y = buf[*(const int *)b].bytes;
    return x != y ? (x < y ? 1 : -1) : *(const int *)a - *(const int *)b;
}

static void place(plan_t *p) {
    int *order = xmalloc(p->n_buf * sizeof *order), *placed = xmalloc(p->n_buf * sizeof *placed);
    size_t n = 0, n_placed = 0;
    for (size_t i = 0; i < p->n_buf; i++)
        if (p->buf[i].first >= 0) order[n++] = (int)i;
    qsort_r(order, n, sizeof *order, by_size, p->buf);
    p->bytes = 0;
    for (size_t i = 0; i < n; i++) {
        buffer_t *b = &p->buf[order[i]];
        size_t at = 0;
        if (p->unshared) {
            at = p->bytes + ALIGN;
        } else {
            for (size_t j = 0; j < n_placed; j++) { /* in order of offset: first gap that fits */
                const buffer_t *o = &p->buf[placed[j]];
                if (o->last < b->first || b->last < o->first) continue;
                if (at + b->bytes <= o->offset) break;
                if (o->offset + o->bytes > at) at = o->offset + o->bytes;
            }
        }
        b->offset = at;
        if (at + b->bytes > p->bytes) p->bytes = at + b->bytes;
        size_t k = n_placed++; /* keep `placed` sorted by offset */
        for (; k > 0 && p->buf[placed[k - 1]].offset > at; k--) placed[k] = placed[k - 1];
        placed[k] = order[i];
    }
    free(order);
    free(placed);
}

plan_t *plan_new(const tape_t *t, const plan_opts_t *o) {
    plan_t *p = NEW(plan_t);
    p->t = t;
    p->memory = o->memory ? o->memory : &p->own;
    p->unshared = o->unshared;
    size_t nv = t->n_values;
    p->value = xmalloc((nv + 1) * sizeof *p->value);
    p->bound = xcalloc(nv + 1, sizeof *p->bound);
    for (size_t i = 0; i < nv; i++) p->bound[i] = t->value[i].bound;
    p->kept = xcalloc(nv + 1, sizeof *p->kept);
    p->scratch_f = xmalloc((t->n_ops + 1) * sizeof *p->scratch_f);
    p->n_pass = o->n_pass;
    p->pass = xcalloc(o->n_pass + 1, sizeof *p->pass);
    p->scratch_b = xcalloc(o->n_pass + 1, sizeof *p->scratch_b);
    long end = (long)(t->n_ops * (o->n_pass + 1));
    for (size_t i = 0; i < nv; i++) {
        const value_t *v = &t->value[i];
        p->value[i] = -1;
        if (v->root != (var_t)i) continue;
        if (v->kind == VALUE_INPUT || v->kind == VALUE_OP)
            p->value[i] = add_buffer(p, tape_count(t, (var_t)i) * 4);
        if (v->kind == VALUE_INPUT) touch(p, p->value[i], 0);
    }
    for (size_t i = 0; i < t->n_ops; i++) {
        const tape_op_t *op = &t->op[i];
        for (int j = 0; j < op->spec.n_in; j++)
            if (op->spec.in[j] != NO_VAR) touch(p, p->value[root_of(t, op->spec.in[j])], (long)i);
        for (int j = 0; j < op->spec.n_out; j++) touch(p, p->value[op->out + j], (long)i);
        op_run_t r;
        shapes(t, op, &r);
        size_t scratch = op->spec.def->scratch ? op->spec.def->scratch(&r, false) : 0;
        p->scratch_f[i] = scratch ? add_buffer(p, scratch) : -1;
        touch(p, p->scratch_f[i], (long)i);
    }
    for (size_t k = 0; k < o->n_pass; k++) {
        p->scratch_b[k] = xmalloc((t->n_ops + 1) * sizeof(int));
        for (size_t i = 0; i < t->n_ops; i++) p->scratch_b[k][i] = -1;
        plan_pass(p, k, &o->pass[k]);
        for (size_t i = 0; i < o->pass[k].n_roots; i++)
            p->kept[root_of(t, o->pass[k].root[i])] = true;
    }
    for (size_t i = 0; i < o->n_keep; i++)
        if (o->keep[i] != NO_VAR) p->kept[root_of(t, o->keep[i])] = true;
    /* Passes run in any order: what one reads must outlive the gradients of all. */
    for (size_t i = 0; i < p->n_buf && o->n_pass > 1; i++)
        if (p->buf[i].first >= 0 && p->buf[i].first < (long)t->n_ops &&
            p->buf[i].last >= (long)t->n_ops)
            touch(p, (int)i, end);
    for (size_t i = 0; i < nv; i++)
        if (p->kept[i]) touch(p, p->value[i], end);
    if (!p->unshared) plan_in_place(p);
    place(p);
    if (p->memory->bytes < p->bytes) {
        free(p->memory->base);
        p->memory->base = xaligned(p->bytes);
        p->memory->bytes = p->bytes;
    }
    return p;
}

void plan_free(plan_t *p) {
    if (!p) return;
    for (size_t k = 0; k < p->n_pass; k++) {
        pass_plan_t *q = &p->pass[k];
        for (size_t i = 0; i < q->n_pattern; i++) free(q->pattern[i]);
        free(q->pattern);
        free(q->run);
        free(q->grad);
        free(q->has);
        free(q->wants);
        free(q->param);
        free(p->scratch_b[k]);
    }
    free(p->own.base);
    free(p->buf);
    free(p->value);
    free(p->bound);
    free(p->kept);
    free(p->scratch_f);
    free(p->scratch_b);
    free(p->pass);
    free(p);
}

void plan_memory_release(plan_memory_t *m) {
    free(m->base);
    *m = (plan_memory_t){0};
}

size_t plan_bytes(const plan_t *p) {
    return p->bytes;
}

static void *buffer_ptr(const plan_t *p, int b) {
    return b < 0 ? NULL : (char *)p->memory->base + p->buf[b].offset;
}

static void *value_ptr(const plan_t *p, var_t root) {
    const value_t *v = &p->t->value[root];
    if (v->kind == VALUE_PARAM) return params_ptr(p->t->params, PARAMS_VALUE, v->param);
    if (v->kind == VALUE_EXTERN) {
        if (!p->bound[root]) BUG("extern '%s' is not bound", v->name);
        return (void *)(uintptr_t)p->bound[root];
    }
    return buffer_ptr(p, p->value[root]);
}

void *plan_data(plan_t *p, var_t v) {
    var_t r = root_of(p->t, v);
    const value_t *q = &p->t->value[r];
    if (q->kind == VALUE_OP && !p->kept[r]) BUG("value %d was not asked to be kept", (int)v);
    return value_ptr(p, r);
}

float plan_scalar(plan_t *p, var_t v) {
    return *(float *)plan_data(p, v);
}

void plan_bind(plan_t *p, var_t v, const void *memory) {
    var_t r = root_of(p->t, v);
    if (p->t->value[r].kind != VALUE_EXTERN) BUG("value %d is no extern", (int)v);
    p->bound[r] = memory;
}

void plan_seed(plan_t *p, size_t pass, size_t root, float seed) {
    p->pass[pass].seed[root] = seed;
}
void plan_accumulate(plan_t *p, size_t pass, bool add) {
    p->pass[pass].add = add;
}
void plan_profile(plan_t *p, bool on) {
    p->profile = on;
}

void plan_key(plan_t *p, uint64_t seed, uint64_t step, uint64_t first_sample) {
    p->key_seed = seed;
    p->key_step = step;
    p->key_first = first_sample;
}

static void resolve(const plan_t *p, const tape_op_t *op, op_run_t *r) {
    shapes(p->t, op, r);
    for (int i = 0; i < r->n_in; i++)
        if (op->spec.in[i] != NO_VAR) r->in[i] = value_ptr(p, root_of(p->t, op->spec.in[i]));
    for (int j = 0; j < r->n_out; j++) r->out[j] = buffer_ptr(p, p->value[op->out + j]);
    r->seed = p->key_seed;
    r->step = p->key_step;
    r->first_sample = p->key_first;
}

/* Everything that is written before it is read may hold anything: under test it holds NaN. */
static void poison(plan_t *p) {
    for (size_t i = 0; i < p->n_buf; i++) {
        bool input = false;
        for (size_t v = 0; v < p->t->n_values && !input; v++)
            input = p->value[v] == (int)i && p->t->value[v].kind == VALUE_INPUT;
        if (!input && p->buf[i].first >= 0) memset(buffer_ptr(p, (int)i), 0xff, p->buf[i].bytes);
    }
}

/* Under test nothing is left of what has had its last reader. */
static void bury(plan_t *p, long time) {
    for (size_t i = 0; p->unshared && i < p->n_buf; i++)
        if (p->buf[i].last == time) memset(buffer_ptr(p, (int)i), 0xff, p->buf[i].bytes);
}

static void profile_line(const char *phase, const tape_op_t *op, double seconds) {
    fprintf(stderr, "profile %s %9.3f ms %-12s %s\n", phase, seconds * 1e3, op->spec.def->name,
            op->scope);
}

void plan_forward(plan_t *p) {
    if (p->unshared) poison(p);
    for (size_t o = 0; o < p->t->n_ops; o++) {
        const tape_op_t *op = &p->t->op[o];
        op_run_t r;
        resolve(p, op, &r);
        r.scratch = buffer_ptr(p, p->scratch_f[o]);
        double start = p->profile ? log_now() : 0;
        op->spec.def->forward(&r);
        if (p->profile) profile_line("forward ", op, log_now() - start);
        bury(p, (long)o);
    }
}

void plan_backward(plan_t *p, size_t pass) {
    const tape_t *t = p->t;
    pass_plan_t *q = &p->pass[pass];
    bool *written = xcalloc(t->n_values, sizeof *written);
    for (size_t i = 0; i < q->n_roots; i++) {
        int b = q->grad[q->root[i]];
        if (b < 0) continue;
        float *g = buffer_ptr(p, b);
        *g = written[q->root[i]] ? *g + q->seed[i] : q->seed[i];
        written[q->root[i]] = true;
    }
    for (size_t o = t->n_ops; o-- > 0;) {
        if (!q->run[o]) continue;
        const tape_op_t *op = &t->op[o];
        op_run_t r;
        resolve(p, op, &r);
        for (int j = 0; j < r.n_out; j++)
            if (q->has[op->out + j] && written[op->out + j])
                r.dout[j] = buffer_ptr(p, q->grad[op->out + j]);
        for (int i = 0; i < r.n_in; i++) {
            var_t v = root_of(t, op->spec.in[i]);
            if (!input_flows(t, op, i) || !q->wants[v]) continue;
            bool param = t->value[v].kind == VALUE_PARAM;
            r.din[i] = param ? params_ptr(t->params, PARAMS_GRAD, t->value[v].param)
                             : buffer_ptr(p, q->grad[v]);
            r.add[i] = written[v] || (param && q->add);
            written[v] = true;
        }
        r.scratch = buffer_ptr(p, p->scratch_b[pass][o]);
        double start = p->profile ? log_now() : 0;
        op->spec.def->backward(&r);
        if (p->profile) profile_line("backward", op, log_now() - start);
        bury(p, (long)(t->n_ops * (pass + 2) - 1 - o));
    }
    for (size_t i = 0; t->params && i < params_n(t->params) && !q->add;
         i++) { /* selected but out of reach: zero */
        const param_t *a = params_at(t->params, (int)i);
        if (!params_match(a->name, (const char *const *)q->pattern, q->n_pattern)) continue;
        var_t v = i < t->cap_params ? t->param_var[i] : NO_VAR;
        if (v == NO_VAR || !written[v])
            memset(params_ptr(t->params, PARAMS_GRAD, (int)i), 0, a->count * sizeof(float));
    }
    free(written);
}
