# texts.mk - TEXTS(folder, tokenizer): shards of captions and of text beside a policy's bodies, in that folder. For three.mk and generalist.mk. The
# drawings' captions are their categories, the first word of their names; the text is this project's own, as they were when the
# folder began: a training does not go on with other data.
define TEXTS
$(1)/captions.jsonl: | data/clipart
	@mkdir -p $(1)
	for image in data/clipart/*.png; do name=$$$${image##*/}; printf '{"image":"%s","caption":"%s"}\n' "$$$$name" "$$$${name%%_*}"; done > $$@.part && mv $$@.part $$@
$(1)/captions.lmdb/done: $(1)/captions.jsonl $(2)/done
	$(BIN)/tokenize text --in $(1)/captions.jsonl --images data/clipart --model $(2) --out $(1)/captions.lmdb --force > $(1)/captions.json
$(1)/text.lmdb/done: | README.md ARCHITECTURE.md
	@mkdir -p $(1)
	cat README.md ARCHITECTURE.md > $(1)/text.txt
	$(BIN)/tokenize text --in $(1)/text.txt --format text --out $(1)/text.lmdb --force > $(1)/text.json
endef
