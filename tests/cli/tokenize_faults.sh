#!/bin/sh
# tokenize_faults.sh - bad images, folders, shards and disks: skipped and counted, or refused with the right status, and what
# was good stays good.
. "$(dirname "$0")/../tokenize_common.sh"
small_model m 1
small_model other 2
mkdir good
n=0
for f in "$top"/data/clipart/*.png; do
    n=$((n + 1))
    cp "$f" good/
    [ $n -eq 120 ] && break
done
image=good/animals_ant.png
works "good images" images --in good --out good.lmdb --model m
tokenize dump good.lmdb | sed 's/"source":"[^"]*"//' >good.json 2>err

# bad_among NAME FILE: one bad image among 120 good ones is skipped, named and counted, and changes no other record.
bad_among() {
    rm -rf set set.lmdb && cp -r good set && cp "$2" "set/$3"
    tokenize images --in set --out set.lmdb --model m >out 2>err
    rc=$?
    [ $rc -eq 0 ] && grep -q '"records":120,"skipped":0,"bad":1,' out && grep -q "skipped '$3' of 'set': ." err &&
        tokenize info set.lmdb | grep -q "\"bad_items\":\[{\"key\":\"$3\",\"reason\":\"..*\"}\]"
    verdict $? "$1: status $rc"
    tokenize dump set.lmdb 2>err | sed 's/"source":"[^"]*"//' | cmp - good.json >out
    verdict $? "$1: the others are as they were"
}
size=$(wc -c <$image)
for cut in 64 $((size / 2)) $((size - 12)) $((size - 1)); do
    head -c $cut $image >bad && bad_among "fault_001: cut at $cut of $size" bad bad.png
done
{ head -c 40 $image && printf 'damage' && tail -c +47 $image; } >bad && bad_among "fault_002: a wrong CRC" bad bad.png
{ head -c 16 $image && printf '\0\017\102\100\0\017\102\100' && tail -c +25 $image; } >bad && bad_among "fault_003: a header of 1,000,000 x 1,000,000" bad bad.png
: >bad && bad_among "fault_010: 0 bytes" bad bad.png
head -c 8 $image >bad && bad_among "fault_011: a signature only" bad bad.png
photo=$(ls "$top"/data/photos/*.jpg | head -n 1)
head -c 700 "$photo" >bad && bad_among "fault_015: a truncated JPEG" bad bad.jpg

head -c 100 $image >bad
rm -rf set && cp -r good set && cp bad set/1.png && cp bad set/2.png
tokenize images --in set --out two.lmdb --model m >out 2>err
[ $? -eq 3 ] && [ ! -s out ] && tail -n 1 err | grep -q '2 of 122 items are bad (1.64 %), more than --max-bad 1 %' && [ ! -e two.lmdb/done ]
verdict $? "fault_001: more than --max-bad is status 3"
tokenize images --in set --out two.lmdb --model m >out 2>err
[ $? -eq 3 ]
verdict $? "fault_001: and again the next time"
works "fault_001: what was committed is kept" images --in set --out two.lmdb --model m --max-bad 0.05
tokenize dump two.lmdb | sed 's/"source":"[^"]*"//' | cmp - good.json >out
verdict $? "fault_001: with a larger --max-bad the rest follows"
exits 3 '[12] of 122 items are bad (.*), more than --max-bad 0 %' images --in set --out strict.lmdb --model m --strict --max-bad 1
grep -q "skipped '1.png' of 'set'" err
verdict $? "--strict names the item"
rm set/1.png
works "one of 121 is tolerated" images --in set --out one.lmdb --model m
exits 3 'more than --max-bad 0 %' images --in set --out one.lmdb --model m --strict --force
cp bad set/1.png
mkdir all && cp bad all/1.png && cp bad all/2.png
exits 3 "none of 2 items can be used" images --in all --out all.lmdb --model m --max-bad 1

cp "$photo" set/wrong.png && cp $image set/wrong.jpg && rm set/1.png set/2.png
works "fault_012: names that lie" images --in set --out lie.lmdb --model m
grep -q '"records":122,"skipped":0,"bad":0,' out
verdict $? "fault_012: are decided by the bytes"
exits 3 "none of 120 items" images --in good --out few.lmdb --model m --max-pixels 100 --max-bad 1
mkdir none text && echo words >text/notes.txt
exits 3 "no images found under 'none'" images --in none --out x.lmdb --model m
exits 3 "no images found under 'text'.*1 other" images --in text --out x.lmdb --model m
exits 2 "nowhere" images --in nowhere --out x.lmdb --model m
exits 2 "is a file" images --in $image --out x.lmdb --model m
printf 'GIF89a..........' >set/a.gif
tokenize images --in set --out gif.lmdb --model m >out 2>err
[ $? -eq 0 ] && grep -q '"records":122,"skipped":1,"bad":0,' out
verdict $? "fault_020: other formats are counted apart"

# shards
exits 2 "is --in" images --in good --out good --model m
exits 2 "is no token shard" images --in good --out set --model m
exits 2 "is no token shard" images --in good --out set --model m --force
exits 1 "cannot create" images --in good --out /proc/none/x.lmdb --model m
[ "$(ls set | wc -l)" -eq 123 ]
verdict $? "fault_066: a folder of other things is untouched"
exits 4 "begun with other options or data: fingerprint" images --in good --out good.lmdb --model other
for command in "verify good.lmdb" "decode --in good.lmdb --out d"; do
    exits 4 "fingerprint is [0-9a-f]*, that of 'other' is [0-9a-f]*" $command --model other
done
if command -v flock >/dev/null; then
    flock good2.lmdb.lock sh -c ': >locked; sleep 3' &
    for i in $(seq 100); do [ -e locked ] && break; sleep 0.1; done
    exits 1 "is locked by pid" images --in good --out good2.lmdb --model m
    exits 1 "is locked by pid" images --in good --out good2.lmdb --model m --force
    [ ! -e good2.lmdb ] || [ ! -e good2.lmdb/data.mdb ]
    verdict $? "fault_044: the second writer touches nothing"
    wait
else
    skip fault_044 "no flock"
fi
tokenize images --in good --out slow.lmdb --model m --threads 1 --batch 1 --keep-pixels >slow 2>&1 &
first=$!
for i in $(seq 200); do [ -e slow.lmdb/data.mdb ] && break; sleep 0.01; done
tokenize images --in good --out slow.lmdb --model m --threads 1 --keep-pixels >out 2>err
rc=$?
wait $first
first=$?
[ $first -eq 0 ] && { [ $rc -eq 1 ] && grep -q "is locked by pid" err || [ $rc -eq 0 ]; }
verdict $? "fault_044: two writers: $first and $rc"

# damage: each copy of the shard is damaged at another place; verify must see it, and nothing may crash
cp -r good.lmdb flip.lmdb
bytes=$(wc -c <good.lmdb/data.mdb)
found=0 crashed=0 flips=0
for at in $(seq 8300 $((bytes / 23)) "$bytes"); do
    cp good.lmdb/data.mdb flip.lmdb/data.mdb
    byte=$(od -An -tu1 -j "$at" -N 1 good.lmdb/data.mdb | tr -d ' ')
    printf "\\$(printf %03o $((byte ^ 4)))" | dd of=flip.lmdb/data.mdb bs=1 seek="$at" conv=notrunc 2>dd.err
    flips=$((flips + 1))
    tokenize verify flip.lmdb >out 2>err
    rc=$?
    [ $rc -ge 128 ] && crashed=$((crashed + 1))
    if [ $rc -eq 3 ]; then found=$((found + 1)); elif [ $rc -eq 0 ]; then
        tokenize dump flip.lmdb | sed 's/"source":"[^"]*"//' | cmp -s - good.json || verdict 1 "fault_046: a flip at $at changed a record, unseen"
    fi
done
[ $crashed -eq 0 ] && [ $found -ge $((flips / 3)) ]
verdict $? "fault_046: $found of $flips flipped bytes found, $crashed crashes"
for part in 2 4 10; do
    head -c $((bytes - bytes / part)) good.lmdb/data.mdb >flip.lmdb/data.mdb
    exits 3 "flip.lmdb" verify flip.lmdb
    exits 3 "flip.lmdb" dump flip.lmdb
done
head -c 20000 /dev/urandom >flip.lmdb/data.mdb
for command in verify dump info; do exits 3 "flip.lmdb" $command flip.lmdb; done

# map and disk
cp -r "$top/data/clipart" many
works "fault_041: a map that suffices" images --in many --out many.lmdb --keep-pixels
exits 1 "full at --max-map 1 MB: give more" images --in many --out map.lmdb --keep-pixels --max-map 1048576
works "fault_041: what was committed is good" verify map.lmdb
works "fault_041: a larger map goes on" images --in many --out map.lmdb --keep-pixels --max-map 100000000
same "fault_041: and gives the same" many.lmdb map.lmdb
mkdir disk
if mount -t tmpfs -o size=400k none disk 2>mount.err; then
    trap 'umount "$dir/disk"; rm -rf "$dir"' EXIT
    exits 1 "disk full.*free [0-9]* MB.*run it again" images --in good --out disk/x.lmdb --model m --keep-pixels
    mount -o remount,size=20m disk
    works "fault_042: with more room the run goes on" images --in good --out disk/x.lmdb --model m --keep-pixels
    tokenize dump disk/x.lmdb | sed 's/"source":"[^"]*"//' | cmp - good.json >out
    verdict $? "fault_042: and gives the same"
    umount disk
    trap 'rm -rf "$dir"' EXIT
else
    skip "fault_042: disk full" "$(head -n 1 mount.err)"
fi
cp -r good.lmdb readonly.lmdb && rm -f readonly.lmdb/lock.mdb && chmod 555 readonly.lmdb && chmod 444 readonly.lmdb/data.mdb
works "fault_052: a shard nobody may write" dump readonly.lmdb
chmod 755 readonly.lmdb

# stdout
for command in "dump good.lmdb" "info good.lmdb" "verify good.lmdb" "images --in good --out good.lmdb --model m"; do
    tokenize $command >/dev/full 2>err
    [ $? -eq 1 ] && tail -n 1 err | grep -q 'standard output'
    verdict $? "fault_071: $command into a full stdout"
    tokenize $command >&- 2>err
    [ $? -eq 1 ]
    verdict $? "fault_071: $command with a closed stdout"
done
tokenize dump good.lmdb 2>err | head -n 1 >out
[ "$(wc -l <out)" -eq 1 ]
verdict $? "fault_057: a reader that goes away"
finish
