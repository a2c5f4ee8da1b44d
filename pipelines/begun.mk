# begun.mk - refuses to fill a folder $(D) that was begun with other $(SETTINGS), which $(D)/settings holds: for compare.mk and generalist.mk.
begun := $(shell mkdir -p '$(D)' && { [ -f '$(D)/settings' ] || { echo '$(SETTINGS)' > '$(D)/settings.part' && mv '$(D)/settings.part' '$(D)/settings'; }; } && cat '$(D)/settings')
ifneq ($(begun),$(SETTINGS))
$(error '$(D)' was begun with other settings ($(begun)): give them again, or another D=)
endif
