# recipe.mk - one tokenizer by one of the recipes in pipelines/configs: train, measure, report. `make recipe` calls it; every stage is a
# target on the file it writes last, so a killed training goes on and a finished one stays.
#
#   make recipe NAME=vq-64-f8 [DATA="images more=0.5"] [STEPS=2000] [SET="train.batch=8 optim.lr=5e-4"] [SEED=1] [D=build/vq-64-f8]

NAME  ?= vq-64-f8
SEED  ?= 1
B     ?= build
D     ?= $(B)/$(NAME)
BIN   ?= $(B)/bin
STEPS ?=
SET   ?=
# The episodes take part where they can be read.
DATA  ?= data/clipart data/photos $(if $(shell $(BIN)/vqvae --version 2>/dev/null | grep '^hdf5: yes'),data/reacher)

CONFIG  := pipelines/configs/$(NAME).json
# without the weights of SRC=W, which are training's alone
SOURCES := $(foreach s,$(DATA),$(if $(wildcard $(s)),$(s),$(firstword $(subst =, ,$(s)))))

all: $(D)/figures.jsonl $(D)/report.html
.DELETE_ON_ERROR:
.PHONY: all

$(D)/run/done: $(CONFIG)
	@mkdir -p $(D)
	$(BIN)/vqvae train --data $(DATA) --config $(CONFIG) $(STEPS:%=--steps %) $(SET:%=--set %) --seed $(SEED) --out $(D)/run --resume
	@touch $@

$(D)/figures.jsonl: $(D)/run/done
	$(BIN)/vqvae eval --model $(D)/run --data $(SOURCES) > $@.part && mv $@.part $@
	@cat $@

$(D)/report.html: $(D)/run/done
	$(BIN)/vqvae report $(D)/run --data $(SOURCES) --out $@
