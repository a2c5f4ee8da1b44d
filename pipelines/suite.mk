# suite.mk - a suite of worlds that other people wrote: record the experts, pretrain a tokenizer on mixed images, tokenize, train one policy on all tasks,
# play seeds that were never recorded. `make babyai`, `make metaworld` and `make atari` call it; a suite is a file in pipelines/suites, and its settings
# are configs/CONFIG-{vqvae,gato}.json (worlds.mk). Every stage is a target on its DIR/done.
#
#   make -f pipelines/suite.mk SUITE=babyai [SEED=1] [D=build/babyai] [BUDGET=60] [TASKS='GoToObj ...'] [PLAY=250]

SUITE   ?= babyai
SEED    ?= 1
B       ?= build
D       ?= $(B)/$(SUITE)
BIN     ?= $(B)/bin
PLAY    ?= 250
# Minutes that are meant, not timed yet: episodes and steps of the suite's file are those of 60, and grow in proportion.
BUDGET  ?= 60
CONFIGS := pipelines/configs
VQ_SET  ?=
GATO_SET ?=
include pipelines/suites/$(SUITE).mk
budget   = $(shell expr $(1) \* $(BUDGET) / 60)

all: $(D)/suite.json
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all
to = > $@.part && mv $@.part $@

include pipelines/worlds.mk

$(D)/%/episodes/done: $(READY)
	@mkdir -p $(D)/$*
	$(BIN)/gato record $(call command,$*) --policy expert --episodes $(call budget,$(EPISODES)) $(RECORD) --seed $(SEED) --out $(D)/$*/episodes > $(D)/$*/record.json

RECORDED = $(TASKS:%=$(D)/%/episodes)
$(D)/vqvae/done: $(RECORDED:%=%/done) $(CONFIGS)/$(CONFIG)-vqvae.json
	$(BIN)/vqvae train --data $(RECORDED:%=%=$(share)) data/clipart=0.3 data/photos=0.1 --config $(CONFIGS)/$(CONFIG)-vqvae.json $(VQ_SET:%=--set %) --seed $(SEED) \
	    --out $(D)/vqvae --resume
$(D)/vqvae.json: $(D)/vqvae/done
	$(BIN)/vqvae eval --model $(D)/vqvae --data $(RECORDED) --limit 500 $(to)

$(D)/%/tokens.lmdb/done: $(D)/%/episodes/done $(D)/vqvae/done
	$(BIN)/tokenize episodes --in $(D)/$*/episodes --model $(D)/vqvae $(TOKENIZE) --task $* --out $(D)/$*/tokens.lmdb --force > $(D)/$*/tokenize.json

SHARDS = $(TASKS:%=$(D)/%/tokens.lmdb)
$(D)/policy/done: $(SHARDS:%=%/done) $(CONFIGS)/$(CONFIG)-gato.json
	$(BIN)/gato train --data $(SHARDS) --vqvae $(D)/vqvae --config $(CONFIGS)/$(CONFIG)-gato.json --set data.balance=task $(GATO_SET:%=--set %) --steps $(call budget,$(STEPS)) \
	    --seed $(SEED) --out $(D)/policy --resume

ACT = $(BIN)/gato act $(call command,$*) --episodes $(PLAY) --seed $(SEED)
PLAYERS = expert random policy blank
$(D)/%/act-expert.json: $(READY)
	@mkdir -p $(D)/$*
	$(ACT) --policy expert $(to)
$(D)/%/act-random.json: $(READY)
	@mkdir -p $(D)/$*
	$(ACT) --policy random $(to)
$(D)/%/act-policy.json: $(D)/policy/done
	$(ACT) --policy model --model $(D)/policy --task $* $(to)
$(D)/%/act-blank.json: $(D)/policy/done
	$(ACT) --policy model --model $(D)/policy --task $* --blank-image $(to)

PLAYED = $(foreach task,$(TASKS),$(foreach who,$(PLAYERS),$(D)/$(task)/act-$(who).json))
$(D)/suite.json: $(PLAYED) $(D)/vqvae.json pipelines/table.sh
	sh pipelines/table.sh $(D) $@ '$(PLAYERS)' $(TASKS)
