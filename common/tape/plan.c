/* plan.c - a plan from tape to arena, and the caller's access to its values; see plan.h. */
#include "common/base/die.h"
#include "common/tape/plan_private.h"

#include <stdlib.h>
#include <string.h>

bool plan_input_flows(const tape_t *tape, const tape_op_t *op, int i) {
    const opdef_t *def = op->spec.def;
    var_t v = op->spec.in[i];
    if (v == NO_VAR || !def->backward || !has_bit(def->grads_in, i)) return false;
    return !tape->value[v].detached && tape->value[v].shape.type == DT_F32;
}

void plan_op_shapes(const tape_t *tape, const tape_op_t *op, op_run_t *run) {
    *run = (op_run_t){.attr = &op->spec.attr, .n_in = op->spec.n_in, .n_out = op->spec.n_out};
    for (int i = 0; i < run->n_in; i++)
        if (op->spec.in[i] != NO_VAR) run->in_shape[i] = &tape->value[op->spec.in[i]].shape;
    for (int j = 0; j < run->n_out; j++) run->out_shape[j] = &tape->value[op->out + j].shape;
}

/* Three steps: when is each buffer in use, where may it lie, and is there memory enough for it. The
 * arena grows where plans share it and this one needs more; offsets do not depend on where it
 * lies. */
plan_t *plan_new(const tape_t *tape, const plan_opts_t *opts) {
    plan_t *plan = NEW(plan_t);
    plan->tape = tape;
    plan->memory = opts->memory ? opts->memory : &plan->own;
    plan->unshared = opts->unshared;
    plan->bound = xcalloc(tape->n_values + 1, sizeof *plan->bound);
    for (size_t v = 0; v < tape->n_values; v++) plan->bound[v] = tape->value[v].bound;
    plan_lifetimes(plan, opts);
    plan_place(plan);
    if (plan->memory->bytes < plan->bytes) {
        free(plan->memory->base);
        plan->memory->base = xaligned(plan->bytes);
        plan->memory->bytes = plan->bytes;
    }
    return plan;
}

static void pass_release(pass_plan_t *pass) {
    for (size_t i = 0; i < pass->n_patterns; i++) free(pass->pattern[i]);
    free(pass->pattern);
    free(pass->runs);
    free(pass->arrives);
    free(pass->leads);
    free(pass->gradient);
    free(pass->scratch);
}

void plan_free(plan_t *plan) {
    if (!plan) return;
    for (size_t k = 0; k < plan->n_passes; k++) pass_release(&plan->pass[k]);
    free(plan->pass);
    free(plan->buffer);
    free(plan->value);
    free(plan->bound);
    free(plan->kept);
    free(plan->scratch);
    free(plan->own.base);
    free(plan);
}

void plan_memory_release(plan_memory_t *memory) {
    free(memory->base);
    *memory = (plan_memory_t){0};
}

size_t plan_bytes(const plan_t *plan) {
    return plan->bytes;
}

/* ---- the caller's access ---- */

void *plan_buffer(const plan_t *plan, int buffer) {
    if (buffer == NO_BUFFER) return NULL;
    return (char *)plan->memory->base + plan->buffer[buffer].offset;
}

void *plan_value(const plan_t *plan, var_t owner) {
    const value_t *value = &plan->tape->value[owner];
    switch (value->kind) {
    case VALUE_PARAM:
        return params_ptr(plan->tape->params, PARAMS_VALUE, value->param);
    case VALUE_EXTERN:
        if (!plan->bound[owner]) BUG("extern '%s' is not bound", value->name);
        return (void *)(uintptr_t)plan->bound[owner];
    default:
        return plan_buffer(plan, plan->value[owner]);
    }
}

void *plan_data(plan_t *plan, var_t v) {
    var_t owner = owner_of(plan->tape, v);
    if (plan->tape->value[owner].kind == VALUE_OP && !plan->kept[owner])
        BUG("value %d was not asked to be kept", (int)v);
    return plan_value(plan, owner);
}

float plan_scalar(plan_t *plan, var_t v) {
    return *(float *)plan_data(plan, v);
}

void plan_bind(plan_t *plan, var_t v, const void *memory) {
    var_t owner = owner_of(plan->tape, v);
    if (plan->tape->value[owner].kind != VALUE_EXTERN) BUG("value %d is no extern", (int)v);
    plan->bound[owner] = memory;
}

void plan_seed(plan_t *plan, size_t pass, size_t root, float seed) {
    plan->pass[pass].seed[root] = seed;
}
void plan_accumulate(plan_t *plan, size_t pass, bool add) {
    plan->pass[pass].add = add;
}
void plan_profile(plan_t *plan, bool on) {
    plan->profile = on;
}

void plan_key(plan_t *plan, uint64_t seed, uint64_t step, uint64_t first_sample) {
    plan->key_seed = seed;
    plan->key_step = step;
    plan->key_first = first_sample;
}
