# arm.mk - the whole pipeline on the simulated arm: record, pretrain, tokenize, train, act, sum up. pipelines/demo.sh and `make demo`, `make reacher`
# call it; every stage is a target on its DIR/done (or on the file it writes), so a killed stage runs again and a finished one does not.
#
#   make -f pipelines/arm.mk NAME=demo [SEED=1] [D=build/demo] [ROUNDS=0]

NAME     ?= demo
SEED     ?= 1
B        ?= build
D        ?= $(B)/$(NAME)
BIN      ?= $(B)/bin
CONFIGS  := pipelines/configs

ifeq ($(NAME),reacher)
EPISODES ?= 12000
PLAY     ?= 200
MIX      ?= 0.75 0.125 0.125
endif
# The demo's size, and the shares of frames of the arm, clip art and photographs in what its tokenizer trains on
EPISODES ?= 3000
FRAMES   ?= 10
PLAY     ?= 100
MIX      ?= 0.35 0.5 0.15
VQ_SET   ?=
GATO_SET ?=
# Rounds of DAgger behind the training on the expert's recordings: 0 = none.
ROUNDS   ?= 0
BETA     ?= 0.3
ROUND_EPISODES ?= 3000
ROUND_FRAMES   ?= 20
ROUND_STEPS    ?= 5000
ROUND_SET      ?=

ifneq ($(shell expr "x$(ROUNDS)" : 'x[0-9][0-9]*$$'),$(shell expr length "x$(ROUNDS)"))
$(error ROUNDS='$(ROUNDS)': a number of rounds is needed)
endif

EXPERT_OPTIONS = --burst 0.15 --noise 0.3 --noise-episodes 0.5
HAVE_ARM      := $(shell $(BIN)/gato --version 2>/dev/null | grep -c '^mujoco: yes')
ifeq ($(HAVE_ARM)$(filter 0,$(ROUNDS)),0)
$(error ROUNDS=$(ROUNDS): rounds need the simulated arm, and '$(BIN)/gato' is built without MuJoCo)
endif
EPISODE_DIR    = $(if $(filter 1,$(HAVE_ARM)),$(D)/episodes,data/reacher)
IMAGES         = $(EPISODE_DIR)=$(word 1,$(MIX)) data/clipart=$(word 2,$(MIX)) data/photos=$(word 3,$(MIX))

all: $(D)/summary.json
.DELETE_ON_ERROR:
.PHONY: all

# Writes the standard output of a stage to a file that appears whole.
to = > $@.part && mv $@.part $@

# An interrupted training in $(1) whose inputs were made anew since its last checkpoint would be refused: it is put aside.
fresh = @for f in $^; do if [ -f $(1)/training.json ] && [ "$$f" -nt $(1)/training.json ]; then \
	echo "'$$f' is newer than the training in '$(1)', which moves to '$(1).interrupted'" >&2; \
	rm -rf $(1).interrupted && mv $(1) $(1).interrupted; fi; done

$(D)/episodes/done:
	@mkdir -p $(D)
	$(BIN)/gato record --env reacher --policy expert --episodes $(EPISODES) $(EXPERT_OPTIONS) --seed $(SEED) --out $(D)/episodes --force > $(D)/record.json

$(D)/vqvae/done: $(EPISODE_DIR)/done $(CONFIGS)/$(NAME)-vqvae.json data/clipart data/photos
	@mkdir -p $(D)
	rm -rf $(D)/vqvae.old; if [ -f $@ ]; then mv $(D)/vqvae $(D)/vqvae.old; fi
	$(call fresh,$(D)/vqvae)
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
	$(call fresh,$(D)/policy)
	$(BIN)/gato train --data $(D)/tokens.lmdb --vqvae $(D)/vqvae --config $(CONFIGS)/$(NAME)-gato.json $(GATO_SET:%=--set %) --seed $(SEED) --out $(D)/policy --resume
	rm -rf $(D)/policy.old

# A round of DAgger, ROUND(number, folder of the policy before it, folders of all rounds up to this one): the expert and that policy play, a coin per step
# says whose action is executed, the expert's action is the label of every step; then the policy goes on learning, half of its sequences from
# the first recordings and half from the rounds'. Every round records other episodes.
define ROUND
$(D)/round-$(1)/episodes/done: $(2)/policy/done
	@mkdir -p $(D)/round-$(1)
	$(BIN)/gato record --env reacher --policy mix --beta $(BETA) --model $(2)/policy --episodes $(ROUND_EPISODES) --seed $$$$((1000 * $(SEED) + $(1))) \
	    --out $(D)/round-$(1)/episodes --force > $(D)/round-$(1)/record.json
$(D)/round-$(1)/tokens.lmdb/done: $(D)/round-$(1)/episodes/done
	$(BIN)/tokenize episodes --in $(D)/round-$(1)/episodes --model $(D)/vqvae --frames $(ROUND_FRAMES) --spread --out $(D)/round-$(1)/tokens.lmdb --force \
	    > $(D)/round-$(1)/tokenize.json
$(D)/round-$(1)/policy/done: $(D)/round-$(1)/tokens.lmdb/done
	rm -rf $(D)/round-$(1)/policy.old; if [ -f $$@ ]; then mv $(D)/round-$(1)/policy $(D)/round-$(1)/policy.old; fi
	$$(call fresh,$(D)/round-$(1)/policy)
	if [ -f $(D)/round-$(1)/policy/training.json ]; then begin=--resume; else begin="--init $(2)/policy --force"; fi; \
	$(BIN)/gato train --data $(D)/tokens.lmdb=$(1) $(3:%=%/tokens.lmdb=1) --vqvae $(D)/vqvae --config $(CONFIGS)/$(NAME)-gato.json $(GATO_SET:%=--set %) \
	    $(ROUND_SET:%=--set %) --steps $(ROUND_STEPS) --seed $(SEED) --out $(D)/round-$(1)/policy $$$$begin
	rm -rf $(D)/round-$(1)/policy.old
endef
rounds    := $(if $(filter 1,$(HAVE_ARM)),$(shell seq 1 $(ROUNDS)))
folder_of  = $(D)$(if $(filter-out 0,$(1)),/round-$(1))
upto       = $(foreach r,$(shell seq 1 $(1)),$(call folder_of,$(r)))
$(foreach r,$(rounds),$(eval $(call ROUND,$(r),$(call folder_of,$(shell expr $(r) - 1)),$(call upto,$(r)))))
# All folders with a policy, and that of the last one.
FOLDERS = $(D) $(rounds:%=$(D)/round-%)
LAST    = $(lastword $(FOLDERS))

ACT = $(BIN)/gato act --env reacher --episodes $(PLAY) --seed $(SEED)
$(D)/act-expert.json $(D)/act-random.json: $(D)/act-%.json:
	@mkdir -p $(D)
	$(ACT) --policy $* $(to)
$(FOLDERS:%=%/act-policy.json): %/act-policy.json: %/policy/done
	$(ACT) --policy model --model $*/policy $(to)
$(FOLDERS:%=%/act-blank.json): %/act-blank.json: %/policy/done
	$(ACT) --policy model --model $*/policy --blank-image $(to)

# Other rounds are another summary.
$(D)/rounds: always
	@mkdir -p $(D)
	@echo $(words $(rounds)) | cmp -s - $@ || echo $(words $(rounds)) > $@
.PHONY: always

PLAYED = $(if $(filter 1,$(HAVE_ARM)),$(D)/act-expert.json $(D)/act-random.json $(FOLDERS:%=%/act-policy.json) $(LAST)/act-blank.json)
$(D)/summary.json: $(D)/vqvae.json $(D)/reconstructions/done $(D)/strips/done $(LAST)/policy/done $(PLAYED) $(D)/rounds
	sh pipelines/summary.sh $(D) $(words $(rounds))
