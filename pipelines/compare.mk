# compare.mk - ways to show images to a policy (variants.mk), beside one another: equal recordings, equal steps or minutes, several seeds, the same unseen
# episodes. A training is played at several points, so that scores stand against samples and against minutes. `make compare` calls it for each suite.
# Every stage is a target on a file that appears whole, so a run that is killed anywhere goes on where it was.
#
#   make -f pipelines/compare.mk SUITE=arm [SEEDS='1 2 3'] [STEPS=4800 | BUDGET=10] [VARIANTS='codes table'] [VQGAN=FOLDER] [D=build/compare/arm]
#
# A seed is that of tokenizer, policy and play; recordings are shared. BUDGET: minutes of each policy's training here, as steps by a measured rate.

SUITE    ?= arm
SEEDS    ?= 1 2 3
BUDGET   ?=
POINTS   ?= 4
PLAY     ?= 100
VQ_STEPS ?= 5000
THREADS  ?= 0
B        ?= build
D        ?= $(B)/compare/$(SUITE)
BIN      ?= $(B)/bin
VQ_SET   ?=
GATO_SET ?=
VQGAN    ?=
VQGAN_FROM    ?= diffusers
VQGAN_WEIGHTS ?= $(VQGAN)/diffusion_pytorch_model.safetensors
VQGAN_CONFIG  ?= $(VQGAN)/config.json
CONFIGS  := pipelines/configs

all: $(D)/compare.json
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all
to = > $@.part && mv $@.part $@

include pipelines/suites/$(SUITE).mk
include pipelines/worlds.mk
include pipelines/variants.mk
VARIANTS ?= $(ALL_VARIANTS)
RUNS     ?= $(TOKENIZE)
unknown  := $(filter-out $(ALL_VARIANTS),$(VARIANTS))
$(if $(unknown),$(error unknown variants: $(unknown). There are $(ALL_VARIANTS)))
$(if $(shell command -v jq),,$(error jq is needed: sudo apt-get install jq))

# What must not change while a folder is filled; more seeds and variants may come.
SETTINGS := $(strip $(if $(BUDGET),minutes $(BUDGET),steps $(STEPS)) vq $(VQ_STEPS) episodes $(EPISODES) play $(PLAY) points $(POINTS) vqgan $(VQGAN) set $(VQ_SET) $(GATO_SET))
include pipelines/begun.mk

# ---- recordings ----
RECORDED = $(TASKS:%=$(D)/episodes/%)
$(RECORDED:%=%/done): $(D)/episodes/%/done: $(READY)
	@mkdir -p $(D)/episodes
	$(BIN)/gato record $(call command,$*) --policy expert --episodes $(EPISODES) $(RECORD) --seed 1 --out $(D)/episodes/$* > $(D)/episodes/$*.json

LARGER   = $(TASKS:%=$(D)/larger/%)
$(LARGER:%=%/done): $(D)/larger/%/done: $(READY)
	@mkdir -p $(D)/larger
	$(BIN)/gato record $(call command_of,$*,$(LARGE)) --policy expert --episodes $(EPISODES) $(RECORD) --seed 1 --out $(D)/larger/$* > $(D)/larger/$*.json

# ---- tokenizers: TOKENIZER(name, seed), IMPORTED(seed) ----
define TOKENIZER
$(D)/tokenizers/$(1)/$(2)/done: $(RECORDED:%=%/done) $(CONFIGS)/$(CONFIG)-vqvae.json $(BEFORE_$(1):%=$(D)/tokenizers/%/$(2)/done)
	if [ -f $$(@D)/training.json ]; then begin=--resume; else begin='$(BEFORE_$(1):%=--init $(D)/tokenizers/%/$(2)) --force'; fi; \
	$(BIN)/vqvae train --data $(DATA_$(1)) --config $(CONFIGS)/$(CONFIG)-vqvae.json --steps $(VQ_STEPS) $(SET_$(1):%=--set %) $(VQ_SET:%=--set %) \
	    --seed $(2) --threads $(THREADS) --out $$(@D) $$$$begin
endef
define IMPORTED
$(D)/tokenizers/raw/$(1)/done: $(if $(VQGAN),$(VQGAN_WEIGHTS),$(D)/tokenizers/vqgan/$(1)/done)
	$(BIN)/vqvae import --from $(VQGAN_FROM) --weights $(if $(VQGAN),$(VQGAN_WEIGHTS),$(D)/tokenizers/vqgan/$(1)/diffusion_pytorch_model.safetensors) \
	    --config $(if $(VQGAN),$(VQGAN_CONFIG),$(D)/tokenizers/vqgan/$(1)/config.json) --size $(IMAGE)x$(IMAGE) --out $$(@D) --force
endef
define NATIVE
$(D)/tokenizers/native/$(1)/done: $(D)/tokenizers/both/$(1)/done
	$(BIN)/vqvae import --from diffusers --weights $(D)/tokenizers/both/$(1)/diffusion_pytorch_model.safetensors --config $(D)/tokenizers/both/$(1)/config.json \
	    --out $$(@D) --force
endef
$(foreach s,$(SEEDS),$(eval $(call IMPORTED,$(s)))$(eval $(call NATIVE,$(s)))$(foreach t,$(TOKENIZERS),$(eval $(call TOKENIZER,$(t),$(s)))))

# ---- tokens: of a tokenizer, and of the steps that are kept ----
images_of = $(or $(IMAGES_$(1)),both)
steps_of  = $(or $(STEPS_$(1)),read)
KEEP_read = $(TOKENIZE)
KEEP_runs = $(RUNS)
KEEP_larger = $(TOKENIZE)
kept_sizes  = read larger
shards    = $(foreach k,$(or $(kept_$(call steps_of,$(1))),$(call steps_of,$(1))),$(TASKS:%=$(D)/tokens/$(call images_of,$(1))-$(k)/$(2)/%.lmdb))
# TOKENS(tokenizer, steps, seed, task)
define TOKENS
$(D)/tokens/$(1)-$(2)/$(3)/$(4).lmdb/done: $(D)/$(or $(filter larger,$(2)),episodes)/$(4)/done $(D)/tokenizers/$(1)/$(3)/done
	@mkdir -p $(D)/tokens/$(1)-$(2)/$(3)
	$(BIN)/tokenize episodes --in $(D)/$(or $(filter larger,$(2)),episodes)/$(4) --model $(D)/tokenizers/$(1)/$(3) $(KEEP_$(2)) --keep-pixels --task $(4) --threads $(THREADS) --out $$(@D) --force \
	    > $(D)/tokens/$(1)-$(2)/$(3)/$(4).json
endef
$(foreach s,$(SEEDS),$(foreach t,raw native $(TOKENIZERS),$(foreach k,read runs larger,$(foreach a,$(TASKS),$(eval $(call TOKENS,$(t),$(k),$(s),$(a)))))))

# ---- policies: VARIANT, then a stage for each point of its training ----
SERIES   := $(shell seq 1 $(POINTS))
FIRST    := $(firstword $(SEEDS))
BALANCE   = $(if $(word 2,$(TASKS)),--set data.balance=task)
# train(variant, seed)
train     = $(BIN)/gato train --data $(call shards,$(1),$(2)) --vqvae $(D)/tokenizers/$(call images_of,$(1))/$(2) --config $(CONFIGS)/$(CONFIG)-gato.json $(BALANCE) \
	    $(TRAIN_$(1):%=--set %) $(GATO_SET:%=--set %) --seed $(2) --threads $(THREADS)
# Seconds per step from one line of metrics.jsonl to the last; steps that are a multiple of what a point takes.
rate      = awk -F'"wall":' '{ split($$1, s, /[:,]/); split($$2, w, ","); if (!n++) { s0 = s[2]; w0 = w[1] } s1 = s[2]; w1 = w[1] } \
	    END { k = 20 * $(POINTS); n = int(60 * $(BUDGET) / ((w1 - w0) / (s1 - s0)) / k + 0.5) * k; print n < k ? k : n }'
define VARIANT
$(D)/$(1)/steps: $(if $(BUDGET),$(addsuffix /done,$(call shards,$(1),$(FIRST))))
	@mkdir -p $(D)/$(1)
	$(if $(BUDGET),$(call train,$(1),$(FIRST)) --steps 60 --set train.log_every=10 --set train.save_every=0 --set train.eval_every=0 --out $(D)/$(1)/rate --force)
	$(if $(BUDGET),$$(rate) $(D)/$(1)/rate/metrics.jsonl,echo $(STEPS)) > $$@.part && mv $$@.part $$@
endef
$(foreach v,$(ALL_VARIANTS),$(eval $(call VARIANT,$(v))))

# TRAINED(variant, seed, point, point before): up to it, behind the play of the one before, which needs those weights. Exit code 75: stopped there.
policy    = $(D)/$(or $(OF_$(1)),$(1))/$(2)/policy
player    = $(if $(SIDE_$(1)),$(call command_of,$(2),$(SIDE_$(1))),$(call command,$(2)))
define TRAINED
$(D)/$(1)/$(2)/$(3)/trained.json: $(D)/$(1)/steps $(addsuffix /done,$(call shards,$(1),$(2))) $(CONFIGS)/$(CONFIG)-gato.json $(4:%=$(D)/$(1)/$(2)/%/cell.json)
	@mkdir -p $$(@D)
	n=`cat $(D)/$(1)/steps`; k=$$$$((n * $(3) / $(POINTS))); stop=; [ $$$$k -eq $$$$n ] || stop="--stop-at $$$$k"; \
	{ $(call train,$(1),$(2)) --steps $$$$n $$$$stop --out $(D)/$(1)/$(2)/policy --resume || [ $$$$? -eq 75 ]; } && \
	sh pipelines/compare_trained.sh $(D)/$(1)/$(2)/policy $$$$k > $$@.part && mv $$@.part $$@
endef
# BORROWED(variant, seed, point): of another variant's policy.
define BORROWED
$(D)/$(1)/$(2)/$(3)/trained.json: $(D)/$(OF_$(1))/$(2)/$(3)/cell.json
	@mkdir -p $$(@D)
	cp $(D)/$(OF_$(1))/$(2)/$(3)/trained.json $$@.part && mv $$@.part $$@
endef
# POINT(variant, seed, point): its play and its cell.
define POINT
$(TASKS:%=$(D)/$(1)/$(2)/$(3)/%.json): $(D)/$(1)/$(2)/$(3)/%.json: $(D)/$(1)/$(2)/$(3)/trained.json
	$(BIN)/gato act $$(call player,$(1),$$*) --task $$* --model $(call policy,$(1),$(2)) --episodes $(PLAY) --seed $(2) --threads $(THREADS) \
	    --each $(D)/$(1)/$(2)/$(3)/$$*.jsonl > $$@.part && mv $$@.part $$@
$(D)/$(1)/$(2)/$(3)/cell.json: $(TASKS:%=$(D)/$(1)/$(2)/$(3)/%.json) $(foreach a,$(TASKS),$(D)/expert/$(2)/$(a).json $(D)/random/$(2)/$(a).json)
	sh pipelines/compare_cell.sh $(D) $(SUITE) $(1) $(2) $(3) $(call images_of,$(or $(OF_$(1)),$(1))) $(or $(filter-out 0,$(THREADS)),`nproc`) $(TASKS) > $$@.part && mv $$@.part $$@
endef
points    = $(if $(OF_$(1)),$(POINTS),$(SERIES))
$(foreach v,$(ALL_VARIANTS),$(foreach s,$(SEEDS),$(foreach p,$(call points,$(v)), \
    $(eval $(call $(if $(OF_$(v)),BORROWED,TRAINED),$(v),$(s),$(p),$(filter-out 0,$(shell expr $(p) - 1))))$(eval $(call POINT,$(v),$(s),$(p))))))

# EXPERT(who, seed)
define EXPERT
$(TASKS:%=$(D)/$(1)/$(2)/%.json): $(D)/$(1)/$(2)/%.json: $(READY)
	@mkdir -p $$(@D)
	$(BIN)/gato act $$(call command,$$*) --policy $(1) --episodes $(PLAY) --seed $(2) --threads $(THREADS) > $$@.part && mv $$@.part $$@
endef
$(foreach s,$(SEEDS),$(eval $(call EXPERT,expert,$(s)))$(eval $(call EXPERT,random,$(s))))

# ---- what follows ----
played = $(foreach s,$(SEEDS),$(TASKS:%=$(D)/$(1)/$(s)/$(POINTS)/%.jsonl))
cells  = $(foreach s,$(SEEDS),$(foreach p,$(call points,$(1)),$(D)/$(1)/$(s)/$(p)/cell.json))
# BESIDE(variant, that it is set beside): made again whenever seeds come or go.
define BESIDE
$(D)/$(1)/beside.json: $(call cells,$(1)) $(call cells,$(2)) always
	$(BIN)/gato compare --a $(call played,$(2)) --b $(call played,$(1)) > $$@.pairs
	jq -c --arg q '$(ASKS_$(1))' '{kind: "comparison", suite: "$(SUITE)", variant: "$(1)", beside: "$(2)", question: $$$$q} + .' $$@.pairs > $$@.part
	@rm $$@.pairs
	@cmp -s $$@.part $$@ && rm $$@.part || mv $$@.part $$@
endef
PAIRED := $(foreach v,$(VARIANTS),$(if $(filter $(BESIDE_$(v)),$(VARIANTS)),$(v)))
$(foreach v,$(PAIRED),$(eval $(call BESIDE,$(v),$(BESIDE_$(v)))))
always:
.PHONY: always

CELLS = $(foreach v,$(VARIANTS),$(call cells,$(v)))
$(D)/compare.json: $(CELLS) $(PAIRED:%=$(D)/%/beside.json) always
	@{ jq -nc --arg s '$(SETTINGS)' '{kind: "settings", suite: "$(SUITE)", settings: $$s}' && cat $(filter-out always,$^); } > $@.part && { cmp -s $@.part $@ && rm $@.part || mv $@.part $@; }
	@echo "cells and comparisons: $@; make results prints them"
