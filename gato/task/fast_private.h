/* fast_private.h - the tables of FAST, which fast_file.c begins and fast.c uses. */
#ifndef GATO_FAST_PRIVATE_H
#define GATO_FAST_PRIVATE_H

#include "gato/task/fast.h"

typedef struct {
    bool is_text;  /* bytes that can stand in UTF-8 of two bytes at most */
    bool head;     /* begins with the second byte of a character */
    bool tail;     /* ends with the first byte of one */
    uint32_t ends; /* characters that end in it */
} fast_token_t;

struct fast {
    double scale;
    int32_t min_token;
    uint32_t H, D; /* D = 0: any */
    char *processor, *tokenizer;
    char fingerprint[33];
    bpe_t *bpe;
    uint32_t ids;
    fast_token_t *token;               /* [ids] */
    bool has_tail;                     /* some token is a second byte alone */
    uint16_t nearest[FAST_CHARACTERS]; /* the character to write for each */
    double *table;                     /* [H, H] */
};

/* The UTF-8 of a character below FAST_CHARACTERS; returns its bytes. */
size_t fast_character(uint32_t c, char out[2]);
/* Fills what follows from bpe and H. 0, or -1 with a reason. */
int fast_tables(fast_t *f, reason_t *why);

#endif
