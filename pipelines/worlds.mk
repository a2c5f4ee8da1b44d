# worlds.mk - how the worlds of a suite are reached: included by suite.mk, compare.mk and generalist.mk behind the suite's file, which says:
#
#   PACKAGES    of Python, for pipelines/envs.sh
#   TASKS       names; $(call world,TASK) is what gym_env.py is asked for
#   BUILT_IN    yes: TASKS are environments of gato itself, and there are neither
#   CONFIG      configs/CONFIG-{vqvae,gato}.json (unless given: the suite's name)
#   RECORD      options of `gato record`, TOKENIZE of `tokenize episodes`
#   EPISODES    of each task, STEPS of the policy: in an hour
#   LEARNED     for generalist.mk: tasks of the one checkpoint (unless given: TASKS but HELD); HELD is the one that it is tuned to later
#   IMAGE LARGE UNSEEN PATCH WIDE RUNS FUTURE    for compare.mk: sides of images and of a patch, settings of variants (variants.mk)

CONFIG  ?= $(SUITE)
WORLDS  ?= $(B)/worlds/$(SUITE)
PYTHON  ?= $(WORLDS)/bin/python
READY    = $(if $(BUILT_IN),,$(WORLDS)/done)
command  = $(if $(BUILT_IN),--env $(1),--env-cmd '$(PYTHON) pipelines/gym_env.py $(call world,$(1)) --task $(1)')
# The same in images of another size, command_of(task, side).
command_of = $(if $(BUILT_IN),--env $(1) --env-size $(2),--env-cmd '$(PYTHON) pipelines/gym_env.py $(call world,$(1)) --size $(2) --task $(1)')
# Six in ten images are the suite's, each task having the same share.
share    = $(shell awk 'BEGIN { printf "%.4f", 0.6 / $(words $(TASKS)) }')

define WORLDS_RULE
$(WORLDS)/done:
	sh pipelines/envs.sh $(WORLDS) $(PACKAGES)
endef
$(if $(READY),$(eval $(WORLDS_RULE)))
