/* head_tokens.h - what heads share that predict tokens by cross entropy over the vocabulary.
 * Functions with the arguments of a member of head_t can be one. */
#ifndef GATO_HEAD_TOKENS_H
#define GATO_HEAD_TOKENS_H

#include "gato/model/batch.h"

/* Inputs behind position and weight. Of heads of acted vectors: TOKEN_VALUE, the clean value, and
 * TOKEN_COLUMN, its slot and column (for metrics; no op reads it). */
enum {
    TOKEN_TARGET = INPUT_OTHER,
    TOKEN_RANGE,
    TOKEN_OWN,
    TOKEN_INPUTS,
    TOKEN_VALUE = TOKEN_INPUTS,
    TOKEN_COLUMN
};
size_t tokens_inputs(const gato_model_t *m, const group_t *g, input_spec_t spec[ROWS_INPUTS]);
size_t tokens_value_inputs(const gato_model_t *m, const group_t *g, input_spec_t spec[ROWS_INPUTS]);

/* Appends a target: the position that predicts it, its id, and [lo, hi), the ids among which it is
 * chosen. */
void tokens_put(const gato_model_t *m, targets_t *to, size_t position, uint32_t id, uint32_t lo,
                uint32_t hi);
/* Appends the acted slots of a kind: vectors with their values, or discrete values. */
void tokens_collect_acted(const batch_t *b, const sequence_places_t *s, slot_kind_t kind,
                          targets_t *to);
/* Appends the observed slots of a kind that are tokens of the vocabulary, each token at the one
 * before it. */
void tokens_collect_observed(const batch_t *b, const sequence_places_t *s, slot_kind_t kind,
                             targets_t *to);
/* May the first token at `position` of timestep i be predicted by the token before it? Not the
 * first of a sequence, and not across a seam. */
bool tokens_follows(const sequence_places_t *s, size_t i, size_t position);

/* What a token head recorded, as numbers of head_vars_t.value. */
enum { TOKEN_ROWS, TOKEN_EXPECTATION, TOKEN_LOGITS, TOKEN_BEST };
/* So many logits are held; where there would be more, they are made a slice of rows at a time. */
enum { TOKEN_LOGITS_MOST = 1 << 22 };
/* Records root 0, the weighted mean of the cross entropies. expect: the expectation over the bins,
 * TOKEN_EXPECTATION. */
void tokens_record(nn_t *nn, const gato_model_t *m, var_t rows, const var_t *in, bool expect,
                   bool train, head_vars_t *out);
/* weight * (sum of the targets' weights) / N */
double tokens_factor(const batch_t *b, const targets_t *t, double weight);
/* The same by loss.action, as a head of acted slots takes it. */
double tokens_action_factor(const batch_t *b, const group_t *g, const targets_t *t, size_t r);
void tokens_measure(const gato_model_t *m, const group_t *g, const targets_t *t, plan_t *plan,
                    const head_vars_t *vars, bool train, head_sums_t *sums);

/* Is it an acted slot of that kind? */
bool slot_acted(const slot_t *slot, slot_kind_t kind);
/* The sum of `numbers` over all groups of a head. */
double head_numbers(const batch_t *b, const head_t *head);
/* Adds the error of one predicted number. */
void head_error(head_sums_t *sums, double predicted, double clean);

#endif
