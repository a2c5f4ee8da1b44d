/* plan_replay.c - forward and backward: ops in order over the plan's memory; see plan.h.
 *
 * A gradient is written by the first op that has one for it, and added to by all later ones. Which
 * op is the first is only known here: it depends on which outputs' gradients have been written in
 * this replay.
 */
#include "common/base/die.h"
#include "common/base/log.h"
#include "common/tape/plan_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POISON = 0xff }; /* four such bytes are a NaN */

static void resolve(const plan_t *plan, const tape_op_t *op, op_run_t *run) {
    const tape_t *tape = plan->tape;
    plan_op_shapes(tape, op, run);
    for (int i = 0; i < run->n_in; i++)
        if (op->spec.in[i] != NO_VAR) run->in[i] = plan_value(plan, owner_of(tape, op->spec.in[i]));
    for (int j = 0; j < run->n_out; j++) run->out[j] = plan_buffer(plan, plan->value[op->out + j]);
    run->seed = plan->key_seed;
    run->step = plan->key_step;
    run->first_sample = plan->key_first;
}

/* ---- under test ---- */

static bool is_input(const plan_t *plan, int buffer) {
    for (size_t v = 0; v < plan->tape->n_values; v++)
        if (plan->value[v] == buffer) return plan->tape->value[v].kind == VALUE_INPUT;
    return false;
}

static void poison(plan_t *plan, size_t b) {
    memset(plan_buffer(plan, (int)b), POISON, plan->buffer[b].bytes);
}

/* Everything that is written before it is read may hold anything: under test it holds NaN. */
static void poison_unwritten(plan_t *plan) {
    for (size_t b = 0; b < plan->n_buffers; b++)
        if (plan->buffer[b].first >= 0 && !is_input(plan, (int)b)) poison(plan, b);
}

/* Under test nothing is left of a buffer after its last use. */
static void poison_ended(plan_t *plan, long now) {
    if (!plan->unshared) return;
    for (size_t b = 0; b < plan->n_buffers; b++)
        if (plan->buffer[b].last == now) poison(plan, b);
}

static void profile_line(const char *phase, const tape_op_t *op, double seconds) {
    fprintf(stderr, "profile %s %9.3f ms %-12s %s\n", phase, seconds * 1e3, op->spec.def->name,
            op->scope);
}

/* ---- forward ---- */

void plan_forward(plan_t *plan) {
    if (plan->unshared) poison_unwritten(plan);
    for (size_t o = 0; o < plan->tape->n_ops; o++) {
        const tape_op_t *op = &plan->tape->op[o];
        op_run_t run;
        resolve(plan, op, &run);
        run.scratch = plan_buffer(plan, plan->scratch[o]);
        double start = plan->profile ? log_now() : 0;
        op->spec.def->forward(&run);
        if (plan->profile) profile_line("forward ", op, log_now() - start);
        poison_ended(plan, forward_moment(o));
    }
}

/* ---- backward ---- */

/* The gradient of a root is its seed; of two roots in one value, the sum. */
static void write_seeds(plan_t *plan, const pass_plan_t *pass, bool *written) {
    for (size_t i = 0; i < pass->n_roots; i++) {
        var_t root = pass->root[i];
        float *gradient = plan_buffer(plan, pass->gradient[root]);
        if (!gradient) continue;
        if (written[root])
            *gradient += pass->seed[i];
        else
            *gradient = pass->seed[i];
        written[root] = true;
    }
}

/* Where op `op` finds the gradients of its outputs and leaves those of its inputs. */
static void resolve_gradients(const plan_t *plan, const pass_plan_t *pass, const tape_op_t *op,
                              bool *written, op_run_t *run) {
    const tape_t *tape = plan->tape;
    for (int j = 0; j < run->n_out; j++) {
        var_t out = op->out + j;
        if (pass->arrives[out] && written[out])
            run->dout[j] = plan_buffer(plan, pass->gradient[out]);
    }
    for (int i = 0; i < run->n_in; i++) {
        var_t in = owner_of(tape, op->spec.in[i]);
        if (!plan_input_flows(tape, op, i) || !pass->leads[in]) continue;
        run->add[i] = written[in];
        if (tape->value[in].kind == VALUE_PARAM) {
            run->din[i] = params_ptr(tape->params, PARAMS_GRAD, tape->value[in].param);
            run->add[i] = written[in] || pass->add;
        } else {
            run->din[i] = plan_buffer(plan, pass->gradient[in]);
        }
        written[in] = true;
    }
}

/* Selected parameters that the pass did not reach have gradient 0. */
static void clear_unreached(const tape_t *tape, const pass_plan_t *pass, const bool *written) {
    if (!tape->params) return;
    for (size_t i = 0; i < params_n(tape->params); i++) {
        const param_t *param = params_at(tape->params, (int)i);
        if (!params_match(param->name, (const char *const *)pass->pattern, pass->n_patterns))
            continue;
        var_t v = i < tape->cap_params ? tape->param_var[i] : NO_VAR;
        if (v != NO_VAR && written[v]) continue;
        float *gradient = params_ptr(tape->params, PARAMS_GRAD, (int)i);
        memset(gradient, 0, param->count * sizeof *gradient);
    }
}

void plan_backward(plan_t *plan, size_t k) {
    const tape_t *tape = plan->tape;
    const pass_plan_t *pass = &plan->pass[k];
    bool *written = xcalloc(tape->n_values, sizeof *written); /* by owner: has a gradient */
    write_seeds(plan, pass, written);
    for (size_t o = tape->n_ops; o-- > 0;) {
        if (!pass->runs[o]) continue;
        const tape_op_t *op = &tape->op[o];
        op_run_t run;
        resolve(plan, op, &run);
        resolve_gradients(plan, pass, op, written, &run);
        run.scratch = plan_buffer(plan, pass->scratch[o]);
        double start = plan->profile ? log_now() : 0;
        op->spec.def->backward(&run);
        if (plan->profile) profile_line("backward", op, log_now() - start);
        poison_ended(plan, backward_moment(plan, k, o));
    }
    if (!pass->add) clear_unreached(tape, pass, written);
    free(written);
}
