# ablations.mk - one change beside its absence, on the same recordings of the arm: every row trains as many steps from every seed, and plays the
# same episodes. The table goes to standard output and to $(D)/table.txt.
#
#   make -f pipelines/ablations.mk [SEEDS="1 2 3"] [STEPS=1500] [EPISODES=1000] [PLAY=100] [ROWS="plain chunk8 ..."] [D=build/ablations]
#
# A row is TRAIN_row, settings of the training, MODEL_row, the row whose policy it plays (its own unless given), and ACT_row, options of `gato act`.

D        ?= build/ablations
BIN      ?= build/bin
SEEDS    ?= 1 2 3
STEPS    ?= 1500
VQ_STEPS ?= 500
EPISODES ?= 1000
PLAY     ?= 100
ROWS     ?= plain chunk4 chunk4-execute2 chunk4-execute4 chunk4-ensemble ce ce-mulaw ce-quantile fast4 fast4-execute4
CONFIGS  := pipelines/configs

MODEL_chunk4-execute2 = chunk4
MODEL_chunk4-execute4 = chunk4
MODEL_chunk4-ensemble = chunk4
MODEL_fast4-execute4  = fast4
TRAIN_chunk4          = model.chunk=4
TRAIN_ce              = loss.action_kind=ce
TRAIN_ce-mulaw        = loss.action_kind=ce model.bin_kind=mulaw
TRAIN_ce-quantile     = loss.action_kind=ce model.bin_kind=quantile
TRAIN_fast4           = loss.action_kind=ce model.bin_kind=fast model.chunk=4 model.bins=256
ACT_chunk4-execute2   = --execute 2
ACT_chunk4-execute4   = --execute 4
ACT_chunk4-ensemble   = --ensemble 0.01
ACT_fast4-execute4    = --execute 4

all: $(D)/table.txt
.DELETE_ON_ERROR:
.PHONY: all

$(D)/episodes/done:
	@mkdir -p $(D)
	$(BIN)/gato record --env reacher --episodes $(EPISODES) --burst 0.15 --noise-episodes 0.5 --out $(D)/episodes --force > $(D)/record.json

$(D)/tokenizer/done: $(D)/episodes/done
	$(BIN)/vqvae train --data $(D)/episodes=0.75 data/clipart=0.25 --steps $(VQ_STEPS) --config $(CONFIGS)/start-vqvae.json --out $(D)/tokenizer --force

# Whole episodes: a chunk needs actions that follow one another.
$(D)/tokens.lmdb/done: $(D)/tokenizer/done
	$(BIN)/tokenize episodes --in $(D)/episodes --model $(D)/tokenizer --out $(D)/tokens.lmdb --force > $(D)/tokenize.json

# POLICY(row, seed) and PLAYED(row, seed)
define POLICY
$(D)/$(1)-$(2)/done: $(D)/tokens.lmdb/done
	$(BIN)/gato train --data $(D)/tokens.lmdb --vqvae $(D)/tokenizer --steps $(STEPS) --config $(CONFIGS)/demo-gato.json $(TRAIN_$(1):%=--set %) \
	    --seed $(2) --out $(D)/$(1)-$(2) --force
endef
define PLAYED
$(D)/$(1)-$(2).json: $(D)/$(or $(MODEL_$(1)),$(1))-$(2)/done
	$(BIN)/gato act --env reacher --model $(D)/$(or $(MODEL_$(1)),$(1))-$(2) --episodes $(PLAY) $(ACT_$(1)) > $$@.part && mv $$@.part $$@
endef
MODELS := $(sort $(foreach r,$(ROWS),$(or $(MODEL_$(r)),$(r))))
$(foreach s,$(SEEDS),$(foreach r,$(MODELS),$(eval $(call POLICY,$(r),$(s)))))
$(foreach s,$(SEEDS),$(foreach r,$(ROWS),$(eval $(call PLAYED,$(r),$(s)))))

$(D)/table.txt: $(foreach s,$(SEEDS),$(foreach r,$(ROWS),$(D)/$(r)-$(s).json))
	@for row in $(ROWS); do for seed in $(SEEDS); do \
	    sed "s/.*\"return_mean\":\([-0-9.]*\).*\"success_rate\":\([0-9.]*\).*\"step_ms_p50\":\([0-9.]*\).*/$$row $$seed \1 \2 \3/" $(D)/$$row-$$seed.json; \
	done; done | awk '{ if (!($$1 in n)) name[++rows] = $$1; n[$$1]++; r[$$1] += $$3; q[$$1] += $$3 * $$3; s[$$1] += $$4; m[$$1] += $$5 } \
	    END { print "row seeds return deviation success ms"; \
	    for (i = 1; i <= rows; i++) { k = name[i]; a = r[k] / n[k]; d = n[k] > 1 ? sqrt((q[k] - n[k] * a * a) / (n[k] - 1)) : 0; \
	        printf "%s %d %.2f %.2f %.2f %.3f\n", k, n[k], a, d, s[k] / n[k], m[k] / n[k] } }' | tee $@
