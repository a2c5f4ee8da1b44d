#!/bin/sh
# gato_caption.sh - `gato caption` and `gato answer`: a policy that has learned eight captions, answers and a sentence by heart says
# them, in bytes and in the tokens of a BPE; draws, limits, images that cannot be read, and what is refused.
. "$(dirname "$0")/../tokenize_common.sh"
. "$top/tests/gato_common.sh"
says() { # NAME WANT ARGUMENTS...: the lines' texts, joined by |
    name=$1 texts=$2
    shift 2
    gato "$@" >out 2>err
    rc=$?
    [ "$rc" -eq 0 ] && [ "$(sed 's/.*"text":"\([^"]*\)".*/\1/' out | tr '\n' '|')" = "$texts" ]
    verdict $? "$name: status $rc, gato $*"
}
captions="a red ball|the green door|zwei Äpfel|bread, butter|beer|cup of tea|it's a cake|cheese!|"
answers="number 1|number 2|number 3|number 4|number 5|number 6|number 7|number 8|"
mkdir set
n=0
for f in $(ls "$top"/data/clipart/food_*.png | head -n 8); do
    n=$((n + 1))
    cp "$f" set/
    name=$(basename "$f")
    printf '{"image":"%s","caption":"%s"}\n' "$name" "$(echo "$captions" | cut -d'|' -f$n)"
    printf '{"image":"%s","question":"what is it?","answer":"number %d"}\n' "$name" $n
done >all.jsonl
echo '{"text":"the robot opens the door"}' >>all.jsonl
vqvae train --data set --out m --seed 1 --steps 30 --set model.block_out_channels=[8,8,8] model.norm_num_groups=4 model.num_vq_embeddings=32 \
    model.vq_embed_dim=4 data.size=32 train.warmup_no_quant=1 train.batch=4 >out 2>err
verdict $? "a small model"
kinds=bytes
tokenize --version | grep -q 'pcre2: yes' && kinds="bytes bpe" || skip "a BPE" "built without PCRE2"
for kind in $kinds; do
    bpe=
    [ $kind = bpe ] && bpe="--bpe $top/tests/reference/bpe/gpt2.json"
    works "$kind" text --in all.jsonl --images set --model m --out $kind.lmdb $bpe
    gato train --data $kind.lmdb --out $kind --vqvae m --steps 400 --set model.width=64 model.layers=2 model.heads=4 model.context=128 \
        model.bins=16 optim.lr=0.003 optim.warmup=10 train.batch=16 data.holdout=0 >out 2>err
    verdict $? "$kind: learned by heart"
    says "$kind: captions" "$captions" caption --model $kind --in set
    grep -c '"ended":true' out | grep -qx 8
    verdict $? "$kind: each has its end"
    says "$kind: answers" "$answers" answer --model $kind --in set --question "what is it?"
    says "$kind: a text goes on" " opens the door|" answer --model $kind --task text --question "the robot"
done
says "with 8 bits per weight" "$captions" caption --model bytes --in set --weights q8
says "files" "zwei Äpfel|a red ball|" caption --model bytes --image "$(ls set/*.png | sed -n 3p)" "$(ls set/*.png | head -n 1)"
says "a limit" "a red ball|the green door|" caption --model bytes --in set --limit 2
says "cut" "a r|" caption --model bytes --in set --limit 1 --most 3
grep -q '"ids":3,"ended":false' out
verdict $? "what is cut is told"
gato caption --model bytes --image "$(ls set/*.png | sed -n 3p)" --most 6 >out 2>err && grep -q '"text":"zwei ","ids":6,' out
verdict $? "cut before a character that is not whole"
gato caption --model bytes --in set --temperature 3 --samples 5 --seed 1 >draws 2>err && [ "$(wc -l <draws)" -eq 40 ] &&
    [ "$(sort -u draws | wc -l)" -gt 20 ]
verdict $? "draws differ"
gato caption --model bytes --in set --temperature 3 --samples 5 --seed 1 --threads 1 >out 2>err && cmp draws out >err
verdict $? "and are the same again, with any --threads"
gato caption --model bytes --in set --temperature 3 --samples 5 --seed 2 >out 2>err && ! cmp -s draws out
verdict $? "but not with another seed"
says "of the likeliest alone" "$captions" caption --model bytes --in set --temperature 3 --top-k 1
says "of a small share" "$captions" caption --model bytes --in set --temperature 1 --top-p 0.01
head -c 100 "$(ls set/*.png | head -n 1)" >set/broken.png
says "a broken image is passed over" "$captions" caption --model bytes --in set
grep -q broken.png err
verdict $? "and named: $(tail -n 2 err)"
refuses 3 "broken.png" caption --model bytes --image set/broken.png
refuses 2 "give the images" caption --model bytes
refuses 2 "exclude each other" caption --model bytes --in set --image set/broken.png
refuses 2 "do nothing at --temperature 0" caption --model bytes --in set --top-k 3
refuses 2 "top-p must be" caption --model bytes --in set --temperature 1 --top-p 0
refuses 2 "samples must be 1 to 16" caption --model bytes --in set --temperature 1 --samples 17
refuses 2 "question" answer --model bytes --in set
refuses 2 "is about images" answer --model bytes --question "what is it?"
refuses 4 "has no images" answer --model bytes --in set --task text --question "the robot"
refuses 2 "nothing to write about" answer --model bytes --task text --question ""
refuses 2 "the context holds 128" answer --model bytes --task text --question "$(printf 'x%.0s' $(seq 200))"
refuses 4 "of 'text', 'caption', 'vqa'" caption --model bytes --in set --task arm
refuses 2 "no policy folder" caption --model nowhere --in set
# A policy that reads pixels takes images of one size.
mkdir sizes
cp "$(ls set/food_*.png | tail -n 1)" sizes/fits.png
cp "$top/tests/reference/image3_32x48.png" sizes/a.png
works "pixels" text --in all.jsonl --images set --keep-pixels --out pixels.lmdb
gato train --data pixels.lmdb --out pixels --steps 2 --set model.image_in=patches model.patch=16 model.patch_pos=gato model.width=64 model.layers=1 \
    model.heads=4 model.context=128 model.bins=16 data.holdout=0 >out 2>err
verdict $? "a policy of pixels"
gato caption --model pixels --in sizes --most 4 >out 2>err
rc=$?
[ $rc -eq 0 ] && [ "$(wc -l <out)" -eq 1 ] && grep -q fits.png out && grep -q 'a.png.*pixels' err
verdict $? "an image of another size is named and passed over: status $rc"
refuses 3 "a.png" caption --model pixels --image sizes/a.png
finish
