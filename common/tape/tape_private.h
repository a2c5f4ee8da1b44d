/* tape_private.h - what tape.c records and the plan reads. */
#ifndef TAPE_TAPE_PRIVATE_H
#define TAPE_TAPE_PRIVATE_H

#include "common/tape/op.h"

typedef enum { VALUE_INPUT, VALUE_EXTERN, VALUE_PARAM, VALUE_OP } value_kind_t;

typedef struct {
    value_kind_t kind;
    shape_t shape;
    char *name;        /* inputs and externs */
    const void *bound; /* externs of tape_bound */
    int param;         /* index, VALUE_PARAM */
    int op;            /* producer, VALUE_OP */
    var_t owner;       /* whose memory holds the value: itself unless a reshape or detach */
    bool detached;     /* no gradient flows through this name of the value */
} value_t;

typedef struct {
    op_spec_t spec;
    var_t out;
    char *scope;
} tape_op_t;

struct tape {
    params_t *params;
    value_t *value;
    size_t n_values, cap_values;
    tape_op_t *op;
    size_t n_ops, cap_ops;
    var_t *param_var; /* by parameter index: one var a parameter */
    size_t cap_params;
    char scope[512];
};

#endif
