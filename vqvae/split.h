/* split.h - the side of a source that a command looks at. Which images are held out is decided in
 * common/io/split.h. */
#ifndef VQVAE_SPLIT_H
#define VQVAE_SPLIT_H

typedef enum { SPLIT_TRAIN, SPLIT_VAL, SPLIT_ALL } split_t;

/* What --help says of it. */
#define SPLIT_HELP "val (held out), train or all"

/* --split's value: "train", "val" or "all"; die(RC_USAGE) otherwise. */
split_t split_parse(const char *text);

#endif
