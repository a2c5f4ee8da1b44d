# imagine.mk - what a policy imagines of the simulated arm: record, pretrain, tokenize whole episodes, train the policy to predict images
# too, and hold what it imagines against other episodes. `make imagine` calls it; every stage is a target on its DIR/done.
#
#   make -f pipelines/imagine.mk [SEED=1] [D=build/imagine] [EPISODES=3000] [HELD=200] [VQ_SET=...] [GATO_SET=...]

SEED     ?= 1
B        ?= build
D        ?= $(B)/imagine
BIN      ?= $(B)/bin
CONFIGS  := pipelines/configs
EPISODES ?= 3000
HELD     ?= 200
VQ_SET   ?=
GATO_SET ?=

RECORD = $(BIN)/gato record --env reacher --policy expert --burst 0.15 --noise 0.3 --noise-episodes 0.5

all: $(D)/imagine.json
.DELETE_ON_ERROR:
.PHONY: all

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

$(D)/imagine.json: $(D)/policy/done $(D)/held.lmdb/done
	$(BIN)/gato imagine --model $(D)/policy --data $(D)/held.lmdb --split all --limit 0 --object 255,0,0 --seed $(SEED) --out $(D)/imagined --force > $@.part
	mv $@.part $@
	cat $@
