# imagine.mk - what a policy imagines of the simulated arm: record, pretrain, tokenize whole episodes, train the policy to predict images
# too, hold what it imagines against other episodes, and let it reach for goals by plans. `make imagine` calls it; every stage is a target on its DIR/done
# or on the file it writes.
#
#   make -f pipelines/imagine.mk [SEED=1] [D=build/imagine] [EPISODES=3000] [HELD=200] [PLAY=100] [PLAN=...] [VQ_SET=...] [GATO_SET=...]

SEED     ?= 1
B        ?= build
D        ?= $(B)/imagine
BIN      ?= $(B)/bin
CONFIGS  := pipelines/configs
EPISODES ?= 3000
HELD     ?= 200
# Episodes that are played, and how plans are made
PLAY     ?= 100
PLAN     ?= --plan 48 --horizon 10 --elite 5 --execute 4 --smooth 0.8 --forget
VQ_SET   ?=
GATO_SET ?=

RECORD = $(BIN)/gato record --env reacher --policy expert --burst 0.15 --noise 0.3 --noise-episodes 0.5

all: $(D)/imagine.json
.DELETE_ON_ERROR:
.PHONY: all
to = > $@.part && mv $@.part $@

$(D)/episodes/done:
	@mkdir -p $(D)
	$(RECORD) --episodes $(EPISODES) --seed $(SEED) --out $(D)/episodes --force > $(D)/record.json

# The episodes that are imagined: another seed.
$(D)/held/done:
	@mkdir -p $(D)
	$(RECORD) --episodes $(HELD) --seed $$((1000 + $(SEED))) --out $(D)/held --force > $(D)/record-held.json

$(D)/vqvae/done: $(D)/episodes/done $(CONFIGS)/reacher-vqvae.json
	rm -rf $(D)/vqvae.old; if [ -f $@ ]; then mv $(D)/vqvae $(D)/vqvae.old; fi
	$(BIN)/vqvae train --data $(D)/episodes --config $(CONFIGS)/reacher-vqvae.json $(VQ_SET:%=--set %) --seed $(SEED) --out $(D)/vqvae --resume
	rm -rf $(D)/vqvae.old

$(D)/tokens.lmdb/done: $(D)/episodes/done $(D)/vqvae/done
	$(BIN)/tokenize episodes --in $(D)/episodes --model $(D)/vqvae --out $(D)/tokens.lmdb --force > $(D)/tokenize.json

$(D)/held.lmdb/done: $(D)/held/done $(D)/vqvae/done
	$(BIN)/tokenize episodes --in $(D)/held --model $(D)/vqvae --keep-pixels --out $(D)/held.lmdb --force > $(D)/tokenize-held.json

$(D)/policy/done: $(D)/tokens.lmdb/done $(CONFIGS)/imagine-gato.json
	rm -rf $(D)/policy.old; if [ -f $@ ]; then mv $(D)/policy $(D)/policy.old; fi
	$(BIN)/gato train --data $(D)/tokens.lmdb --vqvae $(D)/vqvae --config $(CONFIGS)/imagine-gato.json $(GATO_SET:%=--set %) --seed $(SEED) --out $(D)/policy --resume
	rm -rf $(D)/policy.old

$(D)/horizons.json: $(D)/policy/done $(D)/held.lmdb/done
	$(BIN)/gato imagine --model $(D)/policy --data $(D)/held.lmdb --context 1 --split all --limit 0 --object 255,0,0 --seed $(SEED) --out $(D)/imagined --force $(to)

# Who reaches the goals: chance, the policy that is told none, the best of random sequences of actions, plans.
ACT = $(BIN)/gato act --env reacher --episodes $(PLAY) --seed $(SEED)
$(D)/act-random.json:
	@mkdir -p $(D)
	$(ACT) --policy random $(to)
$(D)/act-policy.json: $(D)/policy/done
	$(ACT) --model $(D)/policy $(to)
$(D)/act-shooting.json: $(D)/policy/done
	$(ACT) --model $(D)/policy $(PLAN) --iterations 1 --goal env $(to)
$(D)/act-plan.json: $(D)/policy/done
	$(ACT) --model $(D)/policy $(PLAN) --goal env $(to)

PLAYED = $(D)/act-random.json $(D)/act-policy.json $(D)/act-shooting.json $(D)/act-plan.json
$(D)/imagine.json: $(D)/horizons.json $(PLAYED) pipelines/imagine_summary.sh
	sh pipelines/imagine_summary.sh $(D)
