/* plan_lifetime.c - who reads what last: the buffers of a plan and the moments of their use.
 *
 * Every op uses its inputs, outputs and scratch at its forward moment. A backward pass then uses
 * the gradients, and of the values only those that the op's `keeps` names: those must live on from
 * the forward part, all others end there. For y = linear(x), z = act(y), loss = mean(z), where
 * linear keeps x, and act keeps y:
 *
 *     moment     0       1       2    |   3       4       5
 *     op       linear   act    loss   |  loss    act   linear
 *     x        [========================================= ]
 *     y        [================================= ]
 *     z                [======= ]           nobody reads z again
 *     dz                                 [======= ]
 *     dy                                         [======= ]
 *
 * Here z and dz can have the same memory. plan_place.c sees to that; this file only says when.
 */
#include "common/base/die.h"
#include "common/base/sizes.h"
#include "common/tape/plan_private.h"

#include <stdlib.h>
#include <string.h>

static int add_buffer(plan_t *plan, size_t bytes) {
    plan->buffer =
        xgrow(plan->buffer, &plan->cap_buffers, plan->n_buffers + 1, sizeof *plan->buffer);
    size_t whole = round_up(bytes, PLAN_ALIGN);
    plan->buffer[plan->n_buffers] = (buffer_t){.bytes = whole, .first = -1, .last = -1};
    return (int)plan->n_buffers++;
}

/* The buffer is in use at this moment: its interval grows to hold it. */
static void use(plan_t *plan, int index, long moment) {
    if (index == NO_BUFFER) return;
    buffer_t *buffer = &plan->buffer[index];
    if (buffer->first < 0 || moment < buffer->first) buffer->first = moment;
    if (moment > buffer->last) buffer->last = moment;
}

static int *no_buffers(size_t n) {
    int *list = xmalloc((n + 1) * sizeof *list);
    for (size_t i = 0; i < n; i++) list[i] = NO_BUFFER;
    return list;
}

/* A buffer for the scratch of one op, forward or backward; NO_BUFFER where it needs none. */
static int add_scratch(plan_t *plan, const tape_op_t *op, bool backward, long moment) {
    if (!op->spec.def->scratch) return NO_BUFFER;
    op_run_t run;
    plan_op_shapes(plan->tape, op, &run);
    size_t bytes = op->spec.def->scratch(&run, backward);
    if (!bytes) return NO_BUFFER;
    int index = add_buffer(plan, bytes);
    use(plan, index, moment);
    return index;
}

/* ---- forward ---- */

/* One buffer for each value that lies in the arena. Inputs are in use from the start: the caller
 * writes them before the first op runs. */
static void value_buffers(plan_t *plan) {
    const tape_t *tape = plan->tape;
    plan->value = no_buffers(tape->n_values);
    for (size_t v = 0; v < tape->n_values; v++) {
        const value_t *value = &tape->value[v];
        bool in_arena = value->kind == VALUE_INPUT || value->kind == VALUE_OP;
        if (value->owner != (var_t)v || !in_arena) continue;
        plan->value[v] = add_buffer(plan, tape_count(tape, (var_t)v) * sizeof(float));
        if (value->kind == VALUE_INPUT) use(plan, plan->value[v], 0);
    }
}

static void forward_uses(plan_t *plan) {
    const tape_t *tape = plan->tape;
    plan->scratch = no_buffers(tape->n_ops);
    for (size_t o = 0; o < tape->n_ops; o++) {
        const tape_op_t *op = &tape->op[o];
        long now = forward_moment(o);
        for (int i = 0; i < op->spec.n_in; i++)
            if (op->spec.in[i] != NO_VAR)
                use(plan, plan->value[owner_of(tape, op->spec.in[i])], now);
        for (int j = 0; j < op->spec.n_out; j++) use(plan, plan->value[op->out + j], now);
        plan->scratch[o] = add_scratch(plan, op, false, now);
    }
}

/* ---- which ops a pass runs ----
 *
 * An op runs backward if a gradient arrives at one of its outputs and one of its inputs leads to a
 * selected parameter. So there are two walks: forward from the parameters, marking what leads to
 * them; then backward from the roots, over marked values only.
 *
 *     x ------+        w2 ------+
 *             v                 v
 *     w1 ---> h --------------> y ---> loss
 *
 * With w1 selected, w1, h, y and loss lead to it; x and w2 do not, and get no gradient.
 */

static void copy_pass(pass_plan_t *pass, const tape_t *tape, const pass_t *from) {
    *pass = (pass_plan_t){.runs = xcalloc(tape->n_ops, sizeof *pass->runs),
                          .arrives = xcalloc(tape->n_values, sizeof *pass->arrives),
                          .leads = xcalloc(tape->n_values, sizeof *pass->leads),
                          .gradient = no_buffers(tape->n_values),
                          .scratch = no_buffers(tape->n_ops),
                          .pattern = xcalloc(from->n_wrt, sizeof *pass->pattern),
                          .n_patterns = from->n_wrt,
                          .n_roots = from->n_roots,
                          .add = from->add};
    for (size_t i = 0; i < from->n_wrt; i++) pass->pattern[i] = xstrdup(from->wrt[i]);
    for (size_t i = 0; i < from->n_roots; i++) {
        var_t owner = owner_of(tape, from->root[i]);
        if (tape_count(tape, owner) != 1) BUG("a pass's root must be a scalar");
        pass->root[i] = owner;
        pass->seed[i] = 1;
    }
}

static void mark_leads(pass_plan_t *pass, const tape_t *tape) {
    const char *const *pattern = (const char *const *)pass->pattern;
    for (size_t v = 0; v < tape->n_values; v++) {
        const value_t *value = &tape->value[v];
        if (value->kind != VALUE_PARAM || value->owner != (var_t)v) continue;
        const char *name = params_at(tape->params, value->param)->name;
        pass->leads[v] = params_match(name, pattern, pass->n_patterns);
    }
    for (size_t o = 0; o < tape->n_ops; o++) {
        const tape_op_t *op = &tape->op[o];
        bool leads = false;
        for (int i = 0; i < op->spec.n_in; i++)
            if (plan_input_flows(tape, op, i) && pass->leads[owner_of(tape, op->spec.in[i])])
                leads = true;
        if (!leads) continue;
        for (int j = 0; j < op->spec.n_out; j++)
            pass->leads[op->out + j] = tape->value[op->out + j].shape.type == DT_F32;
    }
}

static void mark_runs(pass_plan_t *pass, const tape_t *tape) {
    for (size_t i = 0; i < pass->n_roots; i++) pass->arrives[pass->root[i]] = true;
    for (size_t o = tape->n_ops; o-- > 0;) {
        const tape_op_t *op = &tape->op[o];
        bool arrives = false;
        for (int j = 0; j < op->spec.n_out; j++)
            if (pass->arrives[op->out + j] && pass->leads[op->out + j]) arrives = true;
        if (!arrives) continue;
        for (int i = 0; i < op->spec.n_in; i++) {
            var_t owner = owner_of(tape, op->spec.in[i]);
            if (!plan_input_flows(tape, op, i) || !pass->leads[owner]) continue;
            pass->arrives[owner] = true;
            pass->runs[o] = true;
        }
    }
}

/* ---- gradients ----
 *
 * The first op that writes a value's gradient gives it a buffer: a new one, or the one that holds
 * the gradient of the op's own output, if the op allows that (op.h). A residual y = x + f(x) then
 * needs no copy, since dy is also the first part of dx:
 *
 *     backward of add:   dx = dy, df = dy     one buffer, still read as df
 *     backward of f:     dx += ...            only now does it change
 */

/* The next op, going backward from op `o`, that adds to the gradient of a value; -1: none. */
static long next_writer(const tape_t *tape, const pass_plan_t *pass, var_t owner, size_t o) {
    for (long earlier = (long)o - 1; earlier > tape->value[owner].op; earlier--) {
        const tape_op_t *op = &tape->op[earlier];
        if (!pass->runs[earlier]) continue;
        for (int i = 0; i < op->spec.n_in; i++)
            if (owner_of(tape, op->spec.in[i]) == owner && plan_input_flows(tape, op, i))
                return earlier;
    }
    return -1;
}

/* Whether the gradient of input i of op `o`, which that op is the first to write, may lie in
 * `buffer`, where the gradient of the op's output lies. Another value's gradient may lie there too,
 * and its producer, an earlier op, has yet to read it. That is no harm if both gradients are equal
 * now (same_dout) and neither is added to before the producer of the other has read it. */
static bool may_share(const plan_t *plan, const pass_plan_t *pass, size_t o, int i, int buffer) {
    const tape_t *tape = plan->tape;
    const tape_op_t *op = &tape->op[o];
    bool same = has_bit(op->spec.def->same_dout, i), over = has_bit(op->spec.def->over_dout, i);
    if (buffer == NO_BUFFER || !(same || over)) return false;
    var_t mine = owner_of(tape, op->spec.in[i]);
    for (size_t other = 0; other < tape->n_values; other++) {
        long producer = tape->value[other].op;
        if (pass->gradient[other] != buffer || producer >= (long)o) continue;
        if (!same) return false;
        if (next_writer(tape, pass, mine, o) >= producer) return false;
        if (next_writer(tape, pass, (var_t)other, o) >= tape->value[mine].op) return false;
    }
    return true;
}

static int gradient_buffer(plan_t *plan, const pass_plan_t *pass, size_t o, int i) {
    const tape_op_t *op = &plan->tape->op[o];
    int output = pass->gradient[op->out];
    if (!plan->unshared && may_share(plan, pass, o, i, output)) return output;
    return add_buffer(plan, tape_count(plan->tape, op->spec.in[i]) * sizeof(float));
}

/* The gradients of roots are written first, with their seeds. */
static void root_uses(plan_t *plan, size_t k) {
    const tape_t *tape = plan->tape;
    pass_plan_t *pass = &plan->pass[k];
    long start = (long)(tape->n_ops * (k + 1));
    for (size_t i = 0; i < pass->n_roots; i++) {
        var_t root = pass->root[i];
        bool wanted = pass->leads[root] && tape->value[root].kind == VALUE_OP;
        if (wanted && pass->gradient[root] == NO_BUFFER)
            pass->gradient[root] = add_buffer(plan, sizeof(float));
        use(plan, pass->gradient[root], start);
    }
}

/* What op `o` writes and reads when it runs backward in pass k. Gradients of parameters lie in the
 * parameters' own block. */
static void backward_uses(plan_t *plan, size_t k, size_t o) {
    const tape_t *tape = plan->tape;
    pass_plan_t *pass = &plan->pass[k];
    const tape_op_t *op = &tape->op[o];
    long now = backward_moment(plan, k, o);
    for (int i = 0; i < op->spec.n_in; i++) {
        var_t in = owner_of(tape, op->spec.in[i]);
        if (in == NO_VAR) continue;
        bool wanted = pass->leads[in] && tape->value[in].kind == VALUE_OP;
        if (wanted && pass->gradient[in] == NO_BUFFER && plan_input_flows(tape, op, i))
            pass->gradient[in] = gradient_buffer(plan, pass, o, i);
        use(plan, pass->gradient[in], now);
        if (has_bit(op->spec.def->keeps_in, i)) use(plan, plan->value[in], now);
    }
    for (int j = 0; j < op->spec.n_out; j++) {
        var_t out = op->out + j;
        use(plan, pass->gradient[out], now);
        if (has_bit(op->spec.def->keeps_out, j)) use(plan, plan->value[out], now);
    }
    pass->scratch[o] = add_scratch(plan, op, true, now);
}

static void plan_pass(plan_t *plan, size_t k, const pass_t *from) {
    const tape_t *tape = plan->tape;
    pass_plan_t *pass = &plan->pass[k];
    copy_pass(pass, tape, from);
    mark_leads(pass, tape);
    mark_runs(pass, tape);
    root_uses(plan, k);
    for (size_t o = tape->n_ops; o-- > 0;)
        if (pass->runs[o]) backward_uses(plan, k, o);
}

/* ---- what outlives the passes ---- */

/* Passes run in any order. So a value of the forward part that one pass reads must not share memory
 * with the gradients of another: it lives to the end. */
static void outlive_passes(plan_t *plan) {
    long forward_end = (long)plan->tape->n_ops;
    for (size_t b = 0; b < plan->n_buffers; b++) {
        const buffer_t *buffer = &plan->buffer[b];
        bool forward = buffer->first >= 0 && buffer->first < forward_end;
        if (forward && buffer->last >= forward_end) use(plan, (int)b, end_moment(plan));
    }
}

/* What the caller reads after a replay: the roots, and what it asked for. */
static void keep_values(plan_t *plan, const plan_opts_t *opts) {
    const tape_t *tape = plan->tape;
    plan->kept = xcalloc(tape->n_values + 1, sizeof *plan->kept);
    for (size_t k = 0; k < plan->n_passes; k++)
        for (size_t i = 0; i < plan->pass[k].n_roots; i++) plan->kept[plan->pass[k].root[i]] = true;
    for (size_t i = 0; i < opts->n_keep; i++)
        if (opts->keep[i] != NO_VAR) plan->kept[owner_of(tape, opts->keep[i])] = true;
    for (size_t v = 0; v < tape->n_values; v++)
        if (plan->kept[v]) use(plan, plan->value[v], end_moment(plan));
}

/* The op's first output takes the buffer of an input that this op is the last to use:
 *
 *     x  [=====o            x  [=====o==========]
 *     y        o========]   y  (the same buffer)
 */
static void merge_output(plan_t *plan, size_t o) {
    const tape_t *tape = plan->tape;
    const tape_op_t *op = &tape->op[o];
    for (int i = 0; i < op->spec.n_in; i++) {
        if (!has_bit(op->spec.def->over_in, i)) continue;
        var_t in = owner_of(tape, op->spec.in[i]);
        if (in == NO_VAR || tape->value[in].kind != VALUE_OP) continue;
        buffer_t *input = &plan->buffer[plan->value[in]];
        buffer_t *output = &plan->buffer[plan->value[op->out]];
        if (input->last != forward_moment(o)) continue;
        input->last = output->last;
        output->first = -1;
        plan->value[op->out] = plan->value[in];
        return;
    }
}

void plan_lifetimes(plan_t *plan, const plan_opts_t *opts) {
    plan->n_passes = opts->n_pass;
    plan->pass = xcalloc(opts->n_pass + 1, sizeof *plan->pass);
    value_buffers(plan);
    forward_uses(plan);
    for (size_t k = 0; k < opts->n_pass; k++) plan_pass(plan, k, &opts->pass[k]);
    if (plan->n_passes > 1) outlive_passes(plan);
    keep_values(plan, opts);
    if (plan->unshared) return;
    for (size_t o = 0; o < plan->tape->n_ops; o++) merge_output(plan, o);
}
