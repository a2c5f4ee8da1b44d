# variants.mk - what `make compare` sets beside one another. A row is a variant:
#
#   BESIDE_x   the variant that it is compared with, episode by episode; none = it is only listed
#   ASKS_x     the question that the comparison answers
#   TRAIN_x    settings of its policy beside those of the suite's configs/*-gato.json
#   IMAGES_x   its tokenizer, a row of the second table (unless given: both)
#   STEPS_x    runs: steps in a row, in place of those that the suite's policy reads (RUNS in pipelines/suites); sizes: those in images of LARGE, too
#   SIDE_x     side of the images that it plays with (unless given: IMAGE)
#   OF_x       the variant whose policies it plays with, at their last point
#
# To add one: its row, and its name in ALL_VARIANTS.

ALL_VARIANTS = codes patches-gato patches-learned patches-both patches-linear codes-single table window future \
    images-diverse images-domain vqgan-raw vqgan-tuned size-one sizes-two

# Frozen codes, merged, as codebook vectors: what the suite's policy reads. All else is a change of it.
TRAIN_codes =

patches = model.image_in=patches model.patch=$(PATCH) model.merge=1 model.code_norm=none $(WIDE)
TRAIN_patches-gato     = $(patches) model.patch_pos=gato model.inner_pos=false
BESIDE_patches-gato    = codes
ASKS_patches-gato      = Are patches of pixels with the positions of Gato better than frozen codes?
TRAIN_patches-learned  = $(patches) model.patch_pos=none
BESIDE_patches-learned = patches-gato
ASKS_patches-learned   = Are plain learned positions better than those of Gato?
TRAIN_patches-both     = $(patches) model.patch_pos=gato
BESIDE_patches-both    = patches-gato
ASKS_patches-both      = Are both kinds of positions better than those of Gato alone?
TRAIN_patches-linear   = $(patches) model.patch_pos=gato model.patch_blocks=0
BESIDE_patches-linear  = patches-both
ASKS_patches-linear    = Are linear patches better than those behind a residual block?

TRAIN_codes-single     = model.merge=1 $(WIDE)
BESIDE_codes-single    = codes
ASKS_codes-single      = Is a token a code better than merged codes?
TRAIN_table            = model.image_in=table model.merge=1 model.code_norm=none $(WIDE)
BESIDE_table           = codes-single
ASKS_table             = Is a learned table of codes better than the vectors of the codebook?

TRAIN_window           = $(FUTURE)
STEPS_window           = runs
BESIDE_window          = codes
ASKS_window            = Are more steps in a row better?
TRAIN_future           = $(FUTURE) loss.image=0.5 loss.horizon=5
STEPS_future           = runs
BESIDE_future          = window
ASKS_future            = Does a loss on the codes of five steps later help?

IMAGES_images-diverse  = diverse
BESIDE_images-diverse  = codes
ASKS_images-diverse    = Is a tokenizer of diverse images alone better than one of both?
IMAGES_images-domain   = domain
BESIDE_images-domain   = codes
ASKS_images-domain     = Is a tokenizer of the images of the task alone better than one of both?
IMAGES_vqgan-raw       = raw
BESIDE_vqgan-raw       = codes
ASKS_vqgan-raw         = Is an imported VQGAN better than a tokenizer of our own?
IMAGES_vqgan-tuned     = tuned
BESIDE_vqgan-tuned     = vqgan-raw
ASKS_vqgan-tuned       = Is an imported VQGAN better after it was tuned on the images of the task?

# A size that no training has seen, by a policy of one size, whose tokenizer fits images to it, and by one of two, whose tokenizer takes them as they are.
OF_size-one            = codes
SIDE_size-one          = $(UNSEEN)
BESIDE_size-one        = codes
ASKS_size-one          = Are images of a size that was never seen, fitted to the trained one, better than those of that size?
IMAGES_sizes-two       = native
STEPS_sizes-two        = sizes
SIDE_sizes-two         = $(UNSEEN)
TRAIN_sizes-two        = $(WIDE)
BESIDE_sizes-two       = size-one
ASKS_sizes-two         = Is a policy that was trained on two sizes better at a third?

# Tokenizers: DATA_t that they train on, SET_t their settings, BEFORE_t the one that they begin with. `raw` is imported: VQGAN= names a folder of
# diffusers; else it is `vqgan`, of our own, which has seen diverse images alone. `native` is `both` without a size of its own.
TOKENIZERS   = both diverse domain vqgan tuned
diverse      = data/clipart=0.75 data/photos=0.25
DATA_both    = $(RECORDED:%=%=$(share)) data/clipart=0.3 data/photos=0.1
DATA_diverse = $(diverse)
DATA_domain  = $(RECORDED)
DATA_vqgan   = $(diverse)
SET_vqgan    = loss.disc=0.1 loss.disc_start=$(shell expr $(VQ_STEPS) / 2)
DATA_tuned   = $(DATA_both)
BEFORE_tuned = raw
