# arm.mk - the whole pipeline on the simulated arm: record, pretrain, tokenize, train, act, sum up. pipelines/demo.sh and `make demo`, `make reacher`
# call it; every stage is a target on its DIR/done (or on the file it writes), so a killed stage runs again and a finished one does not.
#
#   make -f pipelines/arm.mk NAME=demo [SEED=1] [D=build/demo]

NAME     ?= demo
SEED     ?= 1
B        ?= build
D        ?= $(B)/$(NAME)
BIN      ?= $(B)/bin
CONFIGS  := pipelines/configs

# The demo's size, and the shares of frames of the arm, clip art and photographs in what its tokenizer trains on; `make reacher` sets others.
EPISODES ?= 3000
FRAMES   ?= 10
PLAY     ?= 100
MIX      ?= 0.35 0.5 0.15
VQ_SET   ?=
GATO_SET ?=

EXPERT_OPTIONS = --burst 0.15 --noise 0.3 --noise-episodes 0.5
HAVE_ARM      := $(shell $(BIN)/gato --version 2>/dev/null | grep -c '^mujoco: yes')
EPISODE_DIR    = $(if $(filter 1,$(HAVE_ARM)),$(D)/episodes,data/reacher)
IMAGES         = $(EPISODE_DIR)=$(word 1,$(MIX)) data/clipart=$(word 2,$(MIX)) data/photos=$(word 3,$(MIX))

all: $(D)/summary.json
.DELETE_ON_ERROR:
.PHONY: all

# Writes the standard output of a stage to a file that appears whole.
to = > $@.part && mv $@.part $@

$(D)/episodes/done:
	@mkdir -p $(D)
	$(BIN)/gato record --env reacher --policy expert --episodes $(EPISODES) $(EXPERT_OPTIONS) --seed $(SEED) --out $(D)/episodes --force > $(D)/record.json

$(D)/vqvae/done: $(EPISODE_DIR)/done $(CONFIGS)/$(NAME)-vqvae.json data/clipart data/photos
	@mkdir -p $(D)
	rm -rf $(D)/vqvae.old; if [ -f $@ ]; then mv $(D)/vqvae $(D)/vqvae.old; fi
	$(BIN)/vqvae train --data $(IMAGES) --config $(CONFIGS)/$(NAME)-vqvae.json $(VQ_SET:%=--set %) --seed $(SEED) --out $(D)/vqvae --resume
	rm -rf $(D)/vqvae.old

$(D)/vqvae.json: $(D)/vqvae/done
	$(BIN)/vqvae eval --model $(D)/vqvae --data $(EPISODE_DIR) data/clipart data/photos --limit 1000 --object 255,0,0 $(to)

$(D)/reconstructions/done: $(D)/vqvae/done
	$(BIN)/vqvae reconstruct --model $(D)/vqvae --data $(EPISODE_DIR) data/clipart data/photos --split val --limit 16 --out $(D)/reconstructions --force > /dev/null

$(D)/tokens.lmdb/done: $(D)/vqvae/done
	$(BIN)/tokenize episodes --in $(EPISODE_DIR) --model $(D)/vqvae --frames $(FRAMES) --spread --out $(D)/tokens.lmdb --force > $(D)/tokenize.json

$(D)/strips/done: $(D)/tokens.lmdb/done
	$(BIN)/tokenize decode --model $(D)/vqvae --in $(D)/tokens.lmdb --limit 4 --out $(D)/strips --force > /dev/null

$(D)/policy/done: $(D)/tokens.lmdb/done $(CONFIGS)/$(NAME)-gato.json
	rm -rf $(D)/policy.old; if [ -f $@ ]; then mv $(D)/policy $(D)/policy.old; fi
	$(BIN)/gato train --data $(D)/tokens.lmdb --vqvae $(D)/vqvae --config $(CONFIGS)/$(NAME)-gato.json $(GATO_SET:%=--set %) --seed $(SEED) --out $(D)/policy --resume
	rm -rf $(D)/policy.old

ACT = $(BIN)/gato act --env reacher --episodes $(PLAY) --seed $(SEED)
$(D)/act-expert.json $(D)/act-random.json: $(D)/act-%.json:
	@mkdir -p $(D)
	$(ACT) --policy $* $(to)
$(D)/act-policy.json: $(D)/policy/done
	$(ACT) --policy model --model $(D)/policy $(to)
$(D)/act-blank.json: $(D)/policy/done
	$(ACT) --policy model --model $(D)/policy --blank-image $(to)

PLAYED = $(if $(filter 1,$(HAVE_ARM)),$(patsubst %,$(D)/act-%.json,expert random policy blank))
$(D)/summary.json: $(D)/vqvae.json $(D)/reconstructions/done $(D)/strips/done $(D)/policy/done $(PLAYED)
	sh pipelines/summary.sh $(D)
