/* tape.c - recording; see tape.h. */
#include "common/tape/tape.h"

#include "common/base/die.h"
#include "common/tape/tape_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t shape_count(shape_t s) {
    size_t n = 1;
    for (int i = 0; i < s.rank; i++) n *= s.dim[i];
    return n;
}
size_t shape_cols(shape_t s) {
    return s.rank ? s.dim[s.rank - 1] : 1;
}
size_t shape_rows(shape_t s) {
    size_t c = shape_cols(s);
    return c ? shape_count(s) / c : 0;
}

static void shape_text(shape_t s, char buf[96]) {
    size_t at = (size_t)snprintf(buf, 96, "%s[", s.type == DT_I32 ? "i32" : "");
    for (int i = 0; i < s.rank; i++)
        at += (size_t)snprintf(buf + at, 96 - at, "%s%zu", i ? "," : "", s.dim[i]);
    snprintf(buf + at, 96 - at, "]");
}

void tape_shape_bug(const tape_t *t, const char *op, const char *what, shape_t a, shape_t b) {
    char sa[96], sb[96];
    shape_text(a, sa);
    shape_text(b, sb);
    BUG("%s: %s: %s: %s and %s", t->scope[0] ? t->scope : "(top)", op, what, sa, sb);
}

tape_t *tape_new(params_t *params) {
    tape_t *t = NEW(tape_t);
    t->params = params;
    return t;
}

void tape_free(tape_t *t) {
    if (!t) return;
    for (size_t i = 0; i < t->n_values; i++) free(t->value[i].name);
    for (size_t i = 0; i < t->n_ops; i++) free(t->op[i].scope);
    free(t->value);
    free(t->op);
    free(t->param_var);
    free(t);
}

params_t *tape_params(const tape_t *t) {
    return t->params;
}
shape_t tape_shape(const tape_t *t, var_t v) {
    if (v < 0 || (size_t)v >= t->n_values) BUG("%s: no such value: %d", t->scope, (int)v);
    return t->value[v].shape;
}
size_t tape_count(const tape_t *t, var_t v) {
    return shape_count(tape_shape(t, v));
}
size_t tape_n_vars(const tape_t *t) {
    return t->n_values;
}

static var_t add_value(tape_t *t, value_t v) {
    t->value = xgrow(t->value, &t->cap_values, t->n_values + 1, sizeof *t->value);
    var_t id = (var_t)t->n_values++;
    if (v.owner == NO_VAR) v.owner = id;
    t->value[id] = v;
    return id;
}

var_t tape_input(tape_t *t, const char *name, shape_t shape) {
    return add_value(
        t, (value_t){.kind = VALUE_INPUT, .shape = shape, .name = xstrdup(name), .owner = NO_VAR});
}

var_t tape_extern(tape_t *t, const char *name, shape_t shape) {
    return tape_bound(t, name, shape, NULL);
}

var_t tape_bound(tape_t *t, const char *name, shape_t shape, const void *memory) {
    return add_value(t, (value_t){.kind = VALUE_EXTERN,
                                  .shape = shape,
                                  .name = xstrdup(name),
                                  .bound = memory,
                                  .owner = NO_VAR});
}

int tape_param_index(const tape_t *t, var_t v) {
    return v >= 0 && t->value[v].kind == VALUE_PARAM ? t->value[v].param : -1;
}

var_t tape_param(tape_t *t, int i) {
    if (!t->params || i < 0 || (size_t)i >= params_n(t->params))
        BUG("%s: no parameter %d", t->scope, i);
    if ((size_t)i >= t->cap_params) {
        size_t old = t->cap_params;
        t->param_var = xgrow(t->param_var, &t->cap_params, (size_t)i + 1, sizeof *t->param_var);
        for (size_t j = old; j < t->cap_params; j++) t->param_var[j] = NO_VAR;
    }
    if (t->param_var[i] != NO_VAR) return t->param_var[i];
    const param_t *p = params_at(t->params, i);
    shape_t s = {DT_F32, p->rank, {1, 1, 1, 1}};
    for (int d = 0; d < p->rank; d++) s.dim[d] = p->dim[d];
    if (p->layout == LAYOUT_CONV) s = F32_4(p->dim[2], p->dim[3], p->dim[1], p->dim[0]);
    t->param_var[i] =
        add_value(t, (value_t){.kind = VALUE_PARAM, .shape = s, .param = i, .owner = NO_VAR});
    return t->param_var[i];
}

static var_t add_view(tape_t *t, var_t v, shape_t shape, bool detached) {
    shape_t old = tape_shape(t, v);
    if (shape_count(shape) != shape_count(old) || shape.type != old.type)
        tape_shape_bug(t, "reshape", "counts differ", old, shape);
    value_t view = t->value[v];
    view.name = view.name ? xstrdup(view.name) : NULL;
    view.shape = shape;
    view.detached = view.detached || detached;
    return add_value(t, view);
}

var_t tape_reshape(tape_t *t, var_t v, shape_t shape) {
    return add_view(t, v, shape, false);
}
var_t tape_detach(tape_t *t, var_t v) {
    return add_view(t, v, tape_shape(t, v), true);
}

size_t tape_scope(tape_t *t, const char *fmt, ...) {
    size_t old = strlen(t->scope);
    va_list args;
    va_start(args, fmt);
    if (old && old + 1 < sizeof t->scope) strcat(t->scope, ".");
    size_t at = strlen(t->scope);
    vsnprintf(t->scope + at, sizeof t->scope - at, fmt, args);
    va_end(args);
    return old;
}

void tape_unscope(tape_t *t, size_t old) {
    t->scope[old] = 0;
}
const char *tape_path(const tape_t *t) {
    return t->scope;
}

var_t tape_op(tape_t *t, const op_spec_t *spec) {
    if (spec->n_in > OP_IN || spec->n_out > OP_OUT || spec->n_out < 1)
        BUG("%s: op '%s' has too many inputs or outputs", t->scope, spec->def->name);
    for (int i = 0; i < spec->n_in; i++)
        if (spec->in[i] != NO_VAR && (size_t)spec->in[i] >= t->n_values)
            BUG("%s: op '%s': input %d is no value of this tape", t->scope, spec->def->name, i);
    t->op = xgrow(t->op, &t->cap_ops, t->n_ops + 1, sizeof *t->op);
    tape_op_t *op = &t->op[t->n_ops];
    *op = (tape_op_t){.spec = *spec, .scope = xstrdup(t->scope)};
    op->spec.attr.stream = rng_make(0, t->scope).stream;
    for (int j = 0; j < spec->n_out; j++) {
        var_t v = add_value(
            t, (value_t){
                   .kind = VALUE_OP, .shape = spec->out[j], .op = (int)t->n_ops, .owner = NO_VAR});
        if (!j) op->out = v;
    }
    return t->op[t->n_ops++].out;
}

double tape_flops(const tape_t *t) {
    double sum = 0;
    for (size_t i = 0; i < t->n_ops; i++) {
        const tape_op_t *op = &t->op[i];
        if (!op->spec.def->flops) continue;
        op_run_t r = {.attr = &op->spec.attr, .n_in = op->spec.n_in, .n_out = op->spec.n_out};
        for (int j = 0; j < r.n_in; j++)
            if (op->spec.in[j] != NO_VAR) r.in_shape[j] = &t->value[op->spec.in[j]].shape;
        for (int j = 0; j < r.n_out; j++) r.out_shape[j] = &t->value[op->out + j].shape;
        sum += op->spec.def->flops(&r);
    }
    return sum;
}
