# generalist.mk - ONE checkpoint over all tasks of all suites, captions and text. Each task stands beside its twin, a policy of that task alone that saw as
# many of its sequences. A task of each suite is held out: the one checkpoint is tuned to it on 100 demonstrations, beside a training from nothing of as
# many steps on the same. Every seed has its own tokenizer, policies and unseen episodes; recordings are shared. `make generalist` calls it; every stage is
# a target on a file that appears whole.
#
#   make -f pipelines/generalist.mk [SUITES='arm babyai metaworld'] [SEEDS='1 2 3'] [STEPS=12000] [DEMOS=100] [D=build/generalist]

SUITES   ?= arm
SEEDS    ?= 1 2 3
STEPS    ?= 12000
TUNE     ?= 1500
DEMOS    ?= 100
PLAY     ?= 100
VQ_STEPS ?= 8000
THREADS  ?= 0
B        ?= build
D        ?= $(B)/generalist
BIN      ?= $(B)/bin
VQ_SET   ?=
GATO_SET ?=
CONFIGS  := pipelines/configs
steps    := $(STEPS)

all: $(D)/generalist.json
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all always
always:
$(if $(shell command -v jq),,$(error jq is needed: sudo apt-get install jq))

# ---- the tasks: what each suite's file says of them ----
said  = PACKAGES TASKS BUILT_IN CONFIG RECORD TOKENIZE EPISODES RUNS LEARNED HELD world
learned :=
held    :=
take  = $(eval COMMAND_$(1) := $(call command,$(1)))$(eval READY_$(1) := $(READY))$(eval RECORD_$(1) := $(RECORD))$(eval KEEP_$(1) := $(or $(RUNS),$(TOKENIZE)))$(eval EPISODES_$(1) := $(EPISODES))
read  = $(foreach v,$(said),$(eval undefine $(v)))$(eval SUITE := $(1))$(eval include pipelines/suites/$(1).mk)$(eval include pipelines/worlds.mk) \
    $(eval learned += $(or $(LEARNED),$(filter-out $(HELD),$(TASKS))))$(eval held += $(HELD)) \
    $(foreach t,$(or $(LEARNED),$(filter-out $(HELD),$(TASKS))) $(HELD),$(call take,$(t)))
$(foreach s,$(SUITES),$(call read,$(s)))
learned  := $(strip $(learned))
held     := $(strip $(held))
EVERY    := $(learned) $(held)

# What must not change while a folder is filled; more seeds may come.
SETTINGS := $(strip steps $(steps) tune $(TUNE) demonstrations $(DEMOS) vq $(VQ_STEPS) play $(PLAY) tasks $(learned) held out $(held) set $(VQ_SET) $(GATO_SET))
include pipelines/begun.mk

# ---- recordings: RECORDING(task, episodes) ----
define RECORDING
$(D)/episodes/$(1)/done: $(READY_$(1))
	@mkdir -p $(D)/episodes
	$(BIN)/gato record $(COMMAND_$(1)) --policy expert --episodes $(2) $(RECORD_$(1)) --seed 1 --out $(D)/episodes/$(1) > $(D)/episodes/$(1).json
endef
$(foreach t,$(learned),$(eval $(call RECORDING,$(t),$(EPISODES_$(t)))))
$(foreach t,$(held),$(eval $(call RECORDING,$(t),$(DEMOS))))

# ---- tokens: the tokenizer sees the learned tasks alone ----
RECORDED := $(learned:%=$(D)/episodes/%)
part     := $(shell awk 'BEGIN { printf "%.4f", 0.6 / $(words $(learned)) }')
# TOKENIZER(seed), TOKENS(seed, task)
define TOKENIZER
$(D)/tokenizers/all/$(1)/done: $(RECORDED:%=%/done) $(CONFIGS)/generalist-vqvae.json
	$(BIN)/vqvae train --data $(RECORDED:%=%=$(part)) data/clipart=0.3 data/photos=0.1 --config $(CONFIGS)/generalist-vqvae.json --steps $(VQ_STEPS) \
	    $(VQ_SET:%=--set %) --seed $(1) --threads $(THREADS) --out $$(@D) --resume
endef
define TOKENS
$(D)/tokens/$(1)/$(2).lmdb/done: $(D)/episodes/$(2)/done $(D)/tokenizers/all/$(1)/done
	@mkdir -p $(D)/tokens/$(1)
	$(BIN)/tokenize episodes --in $(D)/episodes/$(2) --model $(D)/tokenizers/all/$(1) $(KEEP_$(2)) --task $(2) --threads $(THREADS) --out $$(@D) --force > $(D)/tokens/$(1)/$(2).json
endef
include pipelines/texts.mk
$(foreach s,$(SEEDS),$(eval $(call TOKENIZER,$(s)))$(eval $(call TEXTS,$(D)/tokens/$(s),$(D)/tokenizers/all/$(s)))$(foreach t,$(EVERY),$(eval $(call TOKENS,$(s),$(t)))))

# ---- policies ----
# The one draws each task in 9 of 10 n sequences, captions and text in 1 of 20 each; a twin takes as many steps as its task had sequences.
n        := $(words $(learned))
twin     := $(shell expr $(steps) \* 9 / 10 / $(n))
shard     = $(D)/tokens/$(1)/$(2).lmdb
# TRAIN(player, seed, shards, steps, the policy it begins with)
define TRAIN
$(D)/$(1)/$(2)/1/trained.json: $(foreach x,$(3),$(firstword $(subst =, ,$(x)))/done) $(CONFIGS)/generalist-gato.json $(5:%=%/1/trained.json)
	@mkdir -p $$(@D)
	if [ -f $(D)/$(1)/$(2)/policy/training.json ]; then begin=--resume; else begin='$(5:%=--init %/policy) --force'; fi; \
	$(BIN)/gato train --data $(3) --vqvae $(D)/tokenizers/all/$(2) --config $(CONFIGS)/generalist-gato.json $(GATO_SET:%=--set %) --steps $(4) --seed $(2) \
	    --threads $(THREADS) --out $(D)/$(1)/$(2)/policy $$$$begin
	sh pipelines/compare_trained.sh $(D)/$(1)/$(2)/policy $(4) > $$@.part && mv $$@.part $$@
endef
# PLAYED(player, seed, tasks, options, where its policy is): its episodes and its cell
define PLAYED
$(3:%=$(D)/$(1)/$(2)/1/%.json): $(D)/$(1)/$(2)/1/%.json: $(D)/$(5)/$(2)/1/trained.json
	@mkdir -p $$(@D)
	$(BIN)/gato act $$(COMMAND_$$*) --task $$* --model $(D)/$(5)/$(2)/policy $(4) --episodes $(PLAY) --seed $(2) --threads $(THREADS) \
	    --each $(D)/$(1)/$(2)/1/$$*.jsonl > $$@.part && mv $$@.part $$@
$(D)/$(1)/$(2)/1/cell.json: $(3:%=$(D)/$(1)/$(2)/1/%.json) $(foreach t,$(3),$(D)/expert/$(2)/$(t).json $(D)/random/$(2)/$(t).json)
	$(if $(filter-out $(5),$(1)),cp $(D)/$(5)/$(2)/1/trained.json $$(@D)/trained.json.part && mv $$(@D)/trained.json.part $$(@D)/trained.json)
	sh pipelines/compare_cell.sh $(D) generalist $(1) $(2) 1 all $(or $(filter-out 0,$(THREADS)),`nproc`) $(3) > $$@.part && mv $$@.part $$@
endef
define SEED
$(call TRAIN,one,$(1),$(foreach t,$(learned),$(call shard,$(1),$(t))=18) $(D)/tokens/$(1)/captions.lmdb=$(n) $(D)/tokens/$(1)/text.lmdb=$(n),$(steps))
$(call PLAYED,one,$(1),$(learned),,one)
$(call PLAYED,blank,$(1),$(learned),--blank-image,one)
$(foreach t,$(learned),
$(call TRAIN,twin-$(t),$(1),$(call shard,$(1),$(t)),$(twin))
$(call PLAYED,twin-$(t),$(1),$(t),,twin-$(t)))
$(foreach t,$(held),
$(call TRAIN,scratch-$(t),$(1),$(call shard,$(1),$(t)),$(TUNE))
$(call PLAYED,scratch-$(t),$(1),$(t),,scratch-$(t))
$(call TRAIN,tuned-$(t),$(1),$(call shard,$(1),$(t)),$(TUNE),$(D)/one/$(1))
$(call PLAYED,tuned-$(t),$(1),$(t),,tuned-$(t)))
$(foreach who,expert random,
$(EVERY:%=$(D)/$(who)/$(1)/%.json): $(D)/$(who)/$(1)/%.json:
	@mkdir -p $$(@D)
	$(BIN)/gato act $$(COMMAND_$$*) --policy $(who) --episodes $(PLAY) --seed $(1) --threads $(THREADS) > $$@.part && mv $$@.part $$@
)
endef
$(foreach s,$(SEEDS),$(eval $(call SEED,$(s))))
$(foreach s,$(SEEDS),$(foreach t,$(EVERY),$(if $(READY_$(t)),$(eval $(D)/expert/$(s)/$(t).json $(D)/random/$(s)/$(t).json: $(READY_$(t))))))

# ---- what follows ----
PLAYERS := one blank $(learned:%=twin-%) $(held:%=scratch-%) $(held:%=tuned-%)
CELLS    = $(foreach p,$(PLAYERS),$(SEEDS:%=$(D)/$(p)/%/1/cell.json))
# compare(A, B, task, question): a line of the table
compare  = $(BIN)/gato compare --a $(SEEDS:%=$(D)/$(1)/%/1/$(3).jsonl) --b $(SEEDS:%=$(D)/$(2)/%/1/$(3).jsonl) > $@.pairs; \
    jq -c '{kind: "comparison", suite: "generalist", task: "$(3)", variant: "$(2)", beside: "$(1)", question: "$(4)"} + .' $@.pairs >> $@.part;
$(D)/generalist.json: $(CELLS) always
	@set -e; jq -nc --arg s '$(SETTINGS)' '{kind: "settings", suite: "generalist", settings: $$s}' > $@.part; cat $(CELLS) >> $@.part; \
	$(foreach t,$(learned),$(call compare,twin-$(t),one,$(t),Is the one policy of all tasks better at $(t) than a policy of that task alone?)) \
	$(foreach t,$(learned),$(call compare,blank,one,$(t),Is the one policy better at $(t) with its eyes open?)) \
	$(foreach t,$(held),$(call compare,scratch-$(t),tuned-$(t),$(t),Does the one policy help to learn $(t) from $(DEMOS) demonstrations?)) \
	rm -f $@.pairs; if cmp -s $@.part $@; then rm $@.part; else mv $@.part $@; fi
	@echo "cells and comparisons: $@; make results prints them"
