#!/bin/sh
# tokenize_merge.sh - parts made by --shard and joined by `tokenize merge`: the dump of a run over the whole, whatever the
# order, the kind and the number of parts, --dedupe included; fault 51: parts that are missing, there twice, or of something
# else; merges that stop half-way; --shard auto.
. "$(dirname "$0")/../tokenize_common.sh"
small_model m 1
small_model other 2
mkdir p
n=0
for f in "$top"/data/clipart/*.png; do
    n=$((n + 1))
    cp "$f" p/
    [ $n -eq 110 ] && break
done
for i in 1 2 3 4 5; do cp "$(ls p/*.png | sed -n "$((i * 20))p")" "p/zz-copy$i.png"; done # what they copy lies in other parts
head -c 100 p/animals_ant.png >p/aa-broken.png
cp p/aa-broken.png p/zz-broken.png
printf 'GIF89a..........' >p/a.gif

parts() { # parts NAME N ARGUMENTS...: NAME0.lmdb ... and NAME.lmdb, the whole
    stem=$1 parts=$2
    shift 2
    works "$stem: the whole" "$@" --out "$stem.lmdb"
    i=0
    while [ $i -lt "$parts" ]; do
        tokenize "$@" --out "$stem$i.lmdb" --shard "$i/$parts" >out 2>err || verdict 1 "$stem: part $i"
        i=$((i + 1))
    done
}
counts() { sed 's/,"seconds.*//' "$1"; }
parts a 4 images --in p --model m --max-bad 0.1

tokenize images --in p --model m --max-bad 0.1 --out a.lmdb >whole.out 2>err
works "merge" merge --out m.lmdb a2.lmdb a0.lmdb a3.lmdb a1.lmdb
cp out merge.out
same "the merged dump is that of the whole" a.lmdb m.lmdb
[ "$(counts merge.out)" = "$(counts whole.out)" ] && grep -q '"records":115,"skipped":1,"bad":2,' merge.out
verdict $? "the same counts"
for s in a m; do tokenize info $s.lmdb | sed 's/.*"bad_items":\(\[[^]]*\]\).*/\1/' >$s.bad; done
grep -q aa-broken a.bad && grep -q zz-broken a.bad && cmp a.bad m.bad >out
verdict $? "the same bad items"
works "verify the merged" verify m.lmdb --model m --in p --sample 0
works "merge again" merge --out m.lmdb a0.lmdb a1.lmdb a2.lmdb a3.lmdb
exits 4 "merged" images --in p --model m --max-bad 0.1 --out m.lmdb
exits 4 "another shard" merge --out a.lmdb a0.lmdb a1.lmdb a2.lmdb a3.lmdb
works "merge --force" merge --out m.lmdb --force a0.lmdb a1.lmdb a2.lmdb a3.lmdb
works "one part is the whole" merge --out one.lmdb m.lmdb
same "merged alone it is the same" m.lmdb one.lmdb
parts many 23 images --in p --model m --limit 60 --max-bad 1
works "many parts" merge --out mm.lmdb many[0-9]*.lmdb
same "23 parts of 60 items" many.lmdb mm.lmdb

# --dedupe: copies across parts
parts d 3 images --in p --model m --dedupe --max-bad 0.1
tokenize info d.lmdb | grep -q '"records":110,.*"skipped":6,"bad":2,'
verdict $? "fault_030: five copies are left out and counted"
tokenize info d1.lmdb | grep -q '"skipped":0,'
verdict $? "fault_030: a part cannot know of the others"
works "merge --dedupe" merge --out dd.lmdb d0.lmdb d1.lmdb d2.lmdb
grep -q '"records":110,"skipped":6,' out
verdict $? "fault_030: merging does"
same "fault_030: and gives the dump of the whole" d.lmdb dd.lmdb
tokenize dump a.lmdb 2>err | grep -v '"zz-copy' | cmp - d.lmdb.json >out
verdict $? "fault_030: nothing but the copies is gone"

# fault 51
exits 4 "1 of 4 parts is missing: 2" merge --out x.lmdb a0.lmdb a1.lmdb a3.lmdb
exits 4 "3 of 4 parts are missing: 0, 2, 3" merge --out x.lmdb a1.lmdb
exits 4 "part 1 of 4 is given twice: 'a1.lmdb' and 'a1.lmdb'" merge --out x.lmdb a0.lmdb a1.lmdb a1.lmdb a2.lmdb a3.lmdb
exits 4 "part 1 of 4 is given twice: .*missing\|twice" merge --out x.lmdb a0.lmdb a1.lmdb a1.lmdb a3.lmdb
exits 4 "different options: dedupe (none) and true" merge --out x.lmdb a0.lmdb a1.lmdb a2.lmdb d0.lmdb
exits 4 "different options: limit 0 and 60" merge --out x.lmdb a0.lmdb many1.lmdb a2.lmdb a3.lmdb
tokenize images --in p --model m --max-bad 0.1 --shard 1/3 --out third.lmdb >out 2>err
exits 4 "a part of 4, 'third.lmdb' of 3" merge --out x.lmdb a0.lmdb third.lmdb a2.lmdb a3.lmdb
tokenize images --in p --model other --max-bad 0.1 --shard 1/4 --out foreign.lmdb >out 2>err
exits 4 "'foreign.lmdb' was made by another tokenizer than 'a0.lmdb': fingerprint [0-9a-f]*, not [0-9a-f]*" merge --out x.lmdb a0.lmdb foreign.lmdb a2.lmdb a3.lmdb
cp -r p q && rm q/zz-copy3.png && mv p p.kept && mv q p
tokenize images --in p --model m --max-bad 0.1 --shard 1/4 --out list.lmdb >out 2>err
rm -rf p && mv p.kept p
exits 4 "'list.lmdb' was made from another list of items than 'a0.lmdb'" merge --out x.lmdb a0.lmdb list.lmdb a2.lmdb a3.lmdb
tokenize images --in p --model m --shard 0/4 --out begun.lmdb --max-bad 0 >out 2>err
exits 4 "'begun.lmdb' is not complete" merge --out x.lmdb begun.lmdb a1.lmdb a2.lmdb a3.lmdb
exits 2 "is one of the parts" merge --out a0.lmdb a0.lmdb a1.lmdb a2.lmdb a3.lmdb
exits 2 "does not exist" merge --out x.lmdb a0.lmdb a1.lmdb a2.lmdb nowhere.lmdb
exits 2 "is no token shard" merge --out p --force a0.lmdb a1.lmdb a2.lmdb a3.lmdb
[ ! -e x.lmdb ] && [ ! -e x.lmdb.lock ] && [ "$(ls p | wc -l)" -eq 118 ]
verdict $? "fault_051: a refused merge leaves nothing"
cp -r a1.lmdb flip.lmdb
size=$(wc -c <a1.lmdb/data.mdb) damaged=0
for at in $(seq $((size / 3)) $((size / 5)) "$size"); do
    cp a1.lmdb/data.mdb flip.lmdb/data.mdb
    printf '\377\377\377\377' | dd of=flip.lmdb/data.mdb bs=1 seek="$at" conv=notrunc 2>dd.err
    rm -rf x.lmdb
    tokenize merge --out x.lmdb a0.lmdb flip.lmdb a2.lmdb a3.lmdb >out 2>err
    rc=$?
    if [ $rc -eq 3 ]; then damaged=$((damaged + 1)); elif [ $rc -eq 0 ]; then # unused bytes of a page
        tokenize dump x.lmdb | cmp -s - a.lmdb.json || verdict 1 "fault_046: damage at $at got through a merge"
    else verdict 1 "fault_046: status $rc with damage at $at"; fi
done
[ $damaged -ge 1 ]
verdict $? "fault_046: a damaged part is status 3 ($damaged times)"
rm -rf x.lmdb

# a merge that stops half-way goes on
parts k 2 images --in "$top/data/clipart" --keep-pixels
works "an uninterrupted merge" merge --out km.lmdb k0.lmdb k1.lmdb
same "kept pixels" k.lmdb km.lmdb
tokenize merge --out half.lmdb --max-map 3000000 k0.lmdb k1.lmdb >out 2>err
[ $? -eq 1 ] && grep -q 'full at --max-map' err && tokenize info half.lmdb | grep -q '"complete":false,"records":[1-9]' && [ ! -e half.lmdb/done ]
verdict $? "fault_041: a full map stops a merge in the middle"
exits 4 "another shard" merge --out half.lmdb a0.lmdb a1.lmdb a2.lmdb a3.lmdb
works "fault_041: with a larger one it goes on" merge --out half.lmdb k0.lmdb k1.lmdb
same "fault_041: to the same end" k.lmdb half.lmdb
mkdir twice && cp "$top"/data/clipart/*.png twice/
for f in $(ls twice/*.png | sed -n '1~7p'); do cp "$f" "twice/zz-$(basename "$f")"; done
parts kd 2 images --in twice --keep-pixels --dedupe
works "an uninterrupted merge" merge --out kdm.lmdb kd0.lmdb kd1.lmdb
cp out kdm.out
tokenize merge --out kdh.lmdb --max-map 3000000 kd0.lmdb kd1.lmdb >out 2>err
[ $? -eq 1 ] && tokenize info kdh.lmdb | grep -q '"complete":false,"records":[1-9]'
verdict $? "fault_041: --dedupe, a merge that stops"
works "fault_041: --dedupe, going on" merge --out kdh.lmdb kd0.lmdb kd1.lmdb
[ "$(counts out)" = "$(counts kdm.out)" ] && grep -q '"skipped":86,' out
verdict $? "fault_041: --dedupe, the same counts"
same "fault_041: --dedupe, the same dump" kd.lmdb kdh.lmdb
tokenize images --in twice --keep-pixels --dedupe --out kdr.lmdb --max-map 3000000 >out 2>err
[ $? -eq 1 ]
verdict $? "fault_041: --dedupe, a run that stops"
works "fault_041: --dedupe, the run goes on" images --in twice --keep-pixels --dedupe --out kdr.lmdb
grep -q '"skipped":86,' out
verdict $? "fault_041: --dedupe, the run counts the same"
same "fault_041: --dedupe, the run's dump" kd.lmdb kdr.lmdb
kills=0
for ms in 001 003 005 008 010 013 016 020 025 030; do
    tokenize merge --out killed.lmdb k0.lmdb k1.lmdb >out 2>err &
    pid=$!
    sleep 0.$ms
    kill -KILL $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
    if [ -e killed.lmdb/done ]; then
        same "fault_043: a merge killed and gone on with" k.lmdb killed.lmdb
        rm -rf killed.lmdb
    fi
done
works "fault_043: the last merge" merge --out killed.lmdb k0.lmdb k1.lmdb
same "fault_043: a merge killed $kills times" k.lmdb killed.lmdb

# --shard auto
unset SLURM_ARRAY_TASK_ID SLURM_ARRAY_TASK_COUNT SLURM_ARRAY_TASK_MIN SLURM_ARRAY_TASK_STEP SLURM_PROCID SLURM_NTASKS PMI_RANK PMI_SIZE \
    OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE
auto="images --in p --model m --max-bad 0.1 --shard auto --out"
exits 2 "neither SLURM_ARRAY_TASK_ID" $auto x.lmdb
export SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_STEP=5
for i in 10 15 20 25; do SLURM_ARRAY_TASK_ID=$i works "an array task" $auto s.lmdb; done
works "the parts of an array" merge --out sm.lmdb s.*-of-4.lmdb
same "the parts of an array are the whole" a.lmdb sm.lmdb
SLURM_ARRAY_TASK_ID=12 exits 2 "gaps" $auto x.lmdb
unset SLURM_ARRAY_TASK_COUNT SLURM_ARRAY_TASK_MIN SLURM_ARRAY_TASK_STEP
part_of() { # part_of WANT: which part `auto` takes
    rm -rf auto.*
    tokenize images --in p --model m --limit 30 --max-bad 0.1 --shard auto --out auto.lmdb >out 2>err
    [ "$(echo auto.*.lmdb)" = "auto.$1.lmdb" ]
    verdict $? "--shard auto takes part $1"
}
SLURM_PROCID=1 SLURM_NTASKS=3 part_of 1-of-3
OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_SIZE=3 SLURM_PROCID=0 SLURM_NTASKS=1 part_of 2-of-3
PMI_RANK=0 PMI_SIZE=2 part_of 0-of-2
PMI_RANK=0 PMI_SIZE=1 SLURM_PROCID=1 SLURM_NTASKS=2 part_of 1-of-2
PMI_RANK=0 PMI_SIZE=1 part_of 0-of-1
SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_COUNT=3 PMI_RANK=1 PMI_SIZE=2 part_of 5-of-6
PMI_RANK=2 PMI_SIZE=2 exits 2 "PMI_RANK is 2" $auto x.lmdb
PMI_RANK=x PMI_SIZE=2 exits 2 "PMI_RANK is 'x'" $auto x.lmdb
# --mix: whole shards of different tasks, one behind the other
mkdir -p mixed/a mixed/b
cp "$top"/data/clipart/animals_a*.png mixed/a/
cp "$top"/data/clipart/food_a*.png mixed/b/
for f in mixed/b/*.png; do
    echo "{\"image\":\"$f\",\"caption\":\"food\"}"
    echo "{\"image\":\"$f\",\"question\":\"what?\",\"answer\":\"food\"}"
done >mixed.jsonl
printf 'one\ntwo\n' >mixed.txt
works "images to mix" images --in mixed/a --model m --out xa.lmdb
works "other images" images --in mixed/b --model m --out xb.lmdb
works "captions to mix" text --in mixed.jsonl --model m --out xc.lmdb
works "texts to mix" text --in mixed.txt --out xt.lmdb
exits 4 "'xa.lmdb' and 'xc.lmdb' hold other tasks: task image: image 'image', and task text: text 'text'; task caption: image 'image', text 'text'; task vqa: .*--mix" merge xa.lmdb xc.lmdb --out x.lmdb
works "mix" merge --mix xt.lmdb xa.lmdb xc.lmdb xb.lmdb --out x.lmdb
for s in xt xa xc xb; do tokenize dump $s.lmdb; done >want 2>err
tokenize dump x.lmdb >got 2>err
[ -s want ] && cmp want got >out
verdict $? "the mixed dump is that of all shards, one behind the other"
tokenize info x.lmdb >out 2>err
tasks=$(sed 's/.*"tasks":\(\[.*\]\),"mu".*/\1/' out | grep -o '"name":"[a-z]*","slots"' | tr -d '\n')
[ "$tasks" = '"name":"text","slots""name":"image","slots""name":"caption","slots""name":"vqa","slots"' ] && grep -q '"text_vocab":257' out && grep -q '"codes":16' out
verdict $? "tasks in the order of appearance: $tasks"
works "a mixed shard is sound" verify x.lmdb
works "mixed again: it is complete" merge --mix xt.lmdb xa.lmdb xc.lmdb xb.lmdb --out x.lmdb
works "a mixed shard can be mixed" merge --mix x.lmdb a.lmdb --out xx.lmdb
exits 4 "hold the same data" merge --mix xa.lmdb xt.lmdb xa.lmdb --out y.lmdb
exits 4 "'a0.lmdb' is part 0 of 4: join the parts first" merge --mix xa.lmdb a0.lmdb --out y.lmdb
works "images of another model" images --in mixed/b --model other --out xo.lmdb
exits 4 "'xo.lmdb' was made by another tokenizer than 'xa.lmdb'" merge --mix xa.lmdb xo.lmdb --out y.lmdb
works "images without codes" images --in mixed/b --keep-pixels --out xp.lmdb
exits 4 "'xa.lmdb' has codes, and 'xp.lmdb' has images without codes" merge --mix xt.lmdb xa.lmdb xp.lmdb --out y.lmdb
[ ! -e y.lmdb ]
verdict $? "what does not fit leaves nothing behind"
finish
