# improve.mk - self-improvement, RoboCat's loop on the pusher: a policy of other bodies (arm and grid world) is fine-tuned on a few demonstrations of
# the pusher; it plays the pusher itself, the episodes that succeed are tokenized, and the first policy is fine-tuned again, on the demonstrations and
# on what all rounds kept. Every round has the same first weights, steps and share of sequences of the pusher: only the data grow.
# `make improve` calls it; every stage is a target on its DIR/done.
#
#   make -f pipelines/improve.mk [SEED=1] [D=build/improve] [NEW=pusher] [DEMOS=200] [ROUNDS=2]

SEED     ?= 1
B        ?= build
D        ?= $(B)/improve
BIN      ?= $(B)/bin
DEMOS    ?= 200
ROUNDS   ?= 2
# Episodes that a round plays, optimizer steps of the first policy and of a round, episodes of the evaluation
OWN      ?= 1000
STEPS    ?= 3000
TUNE     ?= 3000
PLAY     ?= 250
CONFIGS  := pipelines/configs
# The body that is new, and those that the first policy learns, with the episodes of each
NEW      ?= pusher
KNOWN    ?= reacher grid
EPISODES_reacher ?= 1500
EPISODES_grid    ?= 3000
# How it plays them (--decode sample: draws discrete actions)
OWN_PLAY ?=
VQ_SET   ?=
GATO_SET ?=
ALL      := $(shell seq 0 $(ROUNDS))

ifeq ($(shell $(BIN)/gato --version 2>/dev/null | grep -c '^mujoco: yes'),0)
$(error the arm and the pusher need MuJoCo, which this build of $(BIN)/gato lacks)
endif

RECORD_reacher = --burst 0.15 --noise 0.3 --noise-episodes 0.5
RECORD_pusher  = --burst 0.10 --noise 0.3 --noise-episodes 0.5
RECORD_grid    = --burst 0.10

all: $(D)/improve.json
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all
to = > $@.part && mv $@.part $@

EPISODES = $(foreach body,$(KNOWN) $(NEW),$(D)/$(body)/episodes)
$(EPISODES:%=%/done): $(D)/%/episodes/done:
	@mkdir -p $(D)/$*
	$(BIN)/gato record --env $* --episodes $(if $(filter $(NEW),$*),$(DEMOS),$(EPISODES_$*)) $(RECORD_$*) --seed $(SEED) --out $(D)/$*/episodes --force > $(D)/$*/record.json

$(D)/vqvae/done: $(EPISODES:%=%/done) $(CONFIGS)/three-vqvae.json
	$(BIN)/vqvae train --data $(EPISODES:%=%=0.2) data/clipart=0.3 data/photos=0.1 --config $(CONFIGS)/three-vqvae.json $(VQ_SET:%=--set %) --seed $(SEED) --out $(D)/vqvae --resume

TOKENS = $(foreach body,$(KNOWN) $(NEW),$(D)/$(body)/tokens.lmdb)
$(TOKENS:%=%/done): $(D)/%/tokens.lmdb/done: $(D)/%/episodes/done $(D)/vqvae/done
	$(BIN)/tokenize episodes --in $(D)/$*/episodes --model $(D)/vqvae --frames 20 --spread --task $* --out $(D)/$*/tokens.lmdb --force > $(D)/$*/tokenize.json

TRAIN = $(BIN)/gato train --vqvae $(D)/vqvae --seed $(SEED) --resume --config $(CONFIGS)/three-gato.json $(GATO_SET:%=--set %)
$(D)/first/done: $(KNOWN:%=$(D)/%/tokens.lmdb/done) $(CONFIGS)/three-gato.json
	$(TRAIN) --data $(KNOWN:%=$(D)/%/tokens.lmdb) --steps $(STEPS) --out $(D)/first

# ROUND(number, numbers of the rounds before it): the policy of round 0 has the demonstrations alone. Of its sequences 6 in 10 are those of the new body, the
# same share from each of its shards; the rest are of the bodies that it knew.
define ROUND
$(D)/round-$(1)/policy/done: $(D)/first/done $(D)/$(NEW)/tokens.lmdb/done $(2:%=$(D)/round-%/own.lmdb/done)
	@mkdir -p $(D)/round-$(1)
	if [ -f $(D)/round-$(1)/policy/training.json ]; then begin=--resume; else begin='--init $(D)/first --force'; fi; \
	$(BIN)/gato train --vqvae $(D)/vqvae --seed $(SEED) --config $(CONFIGS)/three-gato.json $(GATO_SET:%=--set %) $$$$begin --steps $(TUNE) --out $(D)/round-$(1)/policy \
	    --data $(KNOWN:%=$(D)/%/tokens.lmdb=$(shell echo $$((2 * ($(words $(2)) + 1))))) $(D)/$(NEW)/tokens.lmdb=6 $(2:%=$(D)/round-%/own.lmdb=6)
$(D)/round-$(1)/episodes/done: $(D)/round-$(1)/policy/done
	$(BIN)/gato record --env $(NEW) --policy model --model $(D)/round-$(1)/policy --episodes $(OWN) $(OWN_PLAY) --seed $$$$((1000 * $(SEED) + $(1))) \
	    --out $(D)/round-$(1)/episodes --force > $(D)/round-$(1)/record.json
$(D)/round-$(1)/own.lmdb/done: $(D)/round-$(1)/episodes/done
	$(BIN)/tokenize episodes --in $(D)/round-$(1)/episodes --model $(D)/vqvae --successful --frames 20 --spread --task $(NEW) \
	    --out $(D)/round-$(1)/own.lmdb --force > $(D)/round-$(1)/tokenize.json
endef
$(foreach r,$(ALL),$(eval $(call ROUND,$(r),$(shell seq 0 $$(($(r) - 1))))))

ACT = $(BIN)/gato act --env $(NEW) --episodes $(PLAY) --seed $(SEED)
$(D)/act-expert.json $(D)/act-random.json: $(D)/act-%.json:
	@mkdir -p $(D)
	$(ACT) --policy $* $(to)
$(ALL:%=$(D)/round-%/act.json): %/act.json: %/policy/done
	$(ACT) --policy model --model $*/policy $(to)

$(D)/improve.json: $(D)/act-expert.json $(D)/act-random.json $(ALL:%=$(D)/round-%/act.json) pipelines/improve_summary.sh
	sh pipelines/improve_summary.sh $(D) $(NEW) $(ROUNDS)
