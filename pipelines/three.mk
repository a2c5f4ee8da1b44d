# three.mk - one model, three bodies: a policy trained on the arm, the pusher and the grid world at once (and on captions and text), beside a
# policy for each body alone that saw the same sequences of it. `make three` calls it; every stage is a target on its DIR/done.
#
#   make -f pipelines/three.mk [SEED=1] [D=build/three] [STEPS=6000] [PLAY=200]

SEED    ?= 1
B       ?= build
D       ?= $(B)/three
BIN     ?= $(B)/bin
STEPS   ?= 6000
PLAY    ?= 200
CONFIGS := pipelines/configs

BODIES  := reacher pusher grid
# The joint training draws every body in 3 of 10 sequences, so a twin takes 3 of 10 steps.
TWIN_STEPS := $(shell expr $(STEPS) \* 3 / 10)

RECORD_reacher = --episodes 2000 --burst 0.15 --noise 0.3 --noise-episodes 0.5
RECORD_pusher  = --episodes 1500 --burst 0.10 --noise 0.3 --noise-episodes 0.5
RECORD_grid    = --episodes 6000 --burst 0.10

all: $(D)/three.json
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all
to = > $@.part && mv $@.part $@

$(D)/%/episodes/done:
	@mkdir -p $(D)/$*
	$(BIN)/gato record --env $* $(RECORD_$*) --seed $(SEED) --out $(D)/$*/episodes --force > $(D)/$*/record.json

EPISODES = $(BODIES:%=$(D)/%/episodes)
$(D)/vqvae/done: $(EPISODES:%=%/done) $(CONFIGS)/three-vqvae.json
	$(BIN)/vqvae train --data $(EPISODES:%=%=0.2) data/clipart=0.3 data/photos=0.1 --config $(CONFIGS)/three-vqvae.json --seed $(SEED) --out $(D)/vqvae --resume

$(D)/%/tokens.lmdb/done: $(D)/%/episodes/done $(D)/vqvae/done
	$(BIN)/tokenize episodes --in $(D)/$*/episodes --model $(D)/vqvae --frames 20 --spread --task $* --out $(D)/$*/tokens.lmdb --force > $(D)/$*/tokenize.json

include pipelines/texts.mk
$(eval $(call TEXTS,$(D),$(D)/vqvae))

SHARDS = $(BODIES:%=$(D)/%/tokens.lmdb) $(D)/captions.lmdb $(D)/text.lmdb
$(D)/policy/done: $(SHARDS:%=%/done) $(CONFIGS)/three-gato.json
	$(BIN)/gato train --data $(BODIES:%=$(D)/%/tokens.lmdb=3) $(D)/captions.lmdb=0.5 $(D)/text.lmdb=0.5 --vqvae $(D)/vqvae --config $(CONFIGS)/three-gato.json \
	    --steps $(STEPS) --seed $(SEED) --out $(D)/policy --resume
$(D)/%/twin/done: $(D)/%/tokens.lmdb/done $(CONFIGS)/three-gato.json
	$(BIN)/gato train --data $(D)/$*/tokens.lmdb --vqvae $(D)/vqvae --config $(CONFIGS)/three-gato.json --steps $(TWIN_STEPS) --seed $(SEED) --out $(D)/$*/twin --resume

ACT = $(BIN)/gato act --env $* --episodes $(PLAY) --seed $(SEED)
$(D)/%/act-expert.json:
	@mkdir -p $(D)/$*
	$(ACT) --policy expert $(to)
$(D)/%/act-random.json:
	@mkdir -p $(D)/$*
	$(ACT) --policy random $(to)
$(D)/%/act-policy.json: $(D)/policy/done
	$(ACT) --policy model --model $(D)/policy $(to)
$(D)/%/act-blank.json: $(D)/policy/done
	$(ACT) --policy model --model $(D)/policy --blank-image $(to)
$(D)/%/act-twin.json: $(D)/%/twin/done
	$(ACT) --policy model --model $(D)/$*/twin $(to)

PLAYED = $(foreach body,$(BODIES),$(foreach who,expert random policy blank twin,$(D)/$(body)/act-$(who).json))
$(D)/eval.json: $(D)/policy/done
	$(BIN)/gato eval --model $(D)/policy --data $(SHARDS) $(to)
$(D)/three.json: $(PLAYED) $(D)/eval.json
	sh pipelines/table.sh $(D) $@ 'expert random policy twin blank' $(BODIES)
	@echo '  policy: one model for all bodies, captions and text; twin: a model of this body alone that saw as many of its sequences;'
	@echo '  blank: the one model with its eyes shut. Held-out losses by task: $(D)/eval.json'
