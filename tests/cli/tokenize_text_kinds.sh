#!/bin/sh
# tokenize_text_kinds.sh - `tokenize text` on every kind of file that people keep captions in: what is read gives the dump
# of the same items as JSON lines; what is no text is refused with what it looks like and leaves nothing.
. "$(dirname "$0")/../tokenize_common.sh"
mkdir p
n=0
for f in "$top"/data/clipart/*.png; do
    [ $n -lt 5 ] && cp "$f" "p/$n.png" && n=$((n + 1))
done

# alike NAME FILE [OPTIONS]: FILE gives the records of lines.jsonl, but for the name of the source and for keys that are
# numbers.
bare() { tokenize dump "$1" | sed 's/"source":"[^"]*"/"source":"-"/; s/^{"key":"[0-9]*"/{"key":"-"/'; }
alike() {
    name=$1 file=$2
    shift 2
    rm -rf a.lmdb
    tokenize text --in "$file" --out a.lmdb --keep-pixels "$@" >out 2>err && bare a.lmdb >have 2>>err &&
        [ -s want ] && cmp want have >out 2>&1
    verdict $? "$name"
}
# expect FILE: what alike compares with.
expect() {
    rm -rf w.lmdb
    works "$1" text --in "$1" --out w.lmdb --keep-pixels
    bare w.lmdb >want
}
# refused NAME PATTERN STATUS FILE [OPTIONS]: status, one line with the pattern, no shard.
refused() {
    name=$1 pattern=$2 status=$3 file=$4
    shift 4
    rm -rf r.lmdb
    tokenize text --in "$file" --out r.lmdb "$@" >out 2>err
    rc=$?
    [ $rc -eq "$status" ] && tail -n 1 err | grep -q -e "$pattern" && [ ! -s out ] && [ ! -e r.lmdb ]
    verdict $? "$name: status $rc, wanted $status and '$pattern'"
}

# ---- captions ----
for i in 0 1 2 3 4; do echo "{\"image\":\"p/$i.png\",\"caption\":\"number $i, \\\"quoted\\\" [x]\"}"; done >lines.jsonl
expect lines.jsonl
grep -q '^{"images":5,"episodes":0,"records":5,"skipped":0,"bad":0,' out
verdict $? "five pairs"
grep -q "'lines.jsonl': JSON lines, 5 items" err
verdict $? "what was found is said"
for name in x.json x.ndjson x.txt x; do
    cp lines.jsonl $name
    alike "JSON lines called $name" $name
done
{ printf '\357\273\277' && cat lines.jsonl; } >bom.jsonl
alike "JSON lines behind a byte order mark" bom.jsonl
cp bom.jsonl bom.txt
alike "the same under another name" bom.txt
sed 's/$/\r/' lines.jsonl >crlf.jsonl
alike "JSON lines of Windows" crlf.jsonl
{ echo '[' && sed '$!s/$/,/' lines.jsonl && echo ']'; } >array.json
alike "an array" array.json
tr -d '\n' <array.json >one.json
alike "an array in one line" one.json
cp one.json one.txt
alike "an array under another name" one.txt
cp one.json one.jsonl
alike "an array called .jsonl" one.jsonl
sed 's/^{/{\n  /; s/,"/,\n  "/; s/}\(,*\)$/\n}\1/' array.json >pretty.json
alike "an array, pretty printed" pretty.json
sed 's/^{/{\n  /; s/,"/,\n  "/; s/}$/\n}/' lines.jsonl >values.json
alike "objects one behind the other" values.json
{ printf '{"version":"1","data":' && cat array.json && echo '}'; } >data.json
alike "an array inside an object" data.json
sed 's/"image"/"file_name"/; s/"caption"/"text"/' lines.jsonl >metadata.jsonl
alike "metadata.jsonl with file_name" metadata.jsonl
sed 's/"caption":\(.*\)}/"captions":[\1]}/; s/"image":\("[^"]*"\)/"image":{"path":\1,"bytes":null}/' lines.jsonl >hf.jsonl
alike "a list of one caption, an image as Hugging Face prints it" hf.jsonl
sed 's/"caption"/"prompt"/' lines.jsonl >prompt.jsonl
alike "--caption" prompt.jsonl --caption prompt
exits 3 "are bad" text --in prompt.jsonl --out r.lmdb
rm -rf r.lmdb
tokenize text --in prompt.jsonl --out r.lmdb 2>&1 | grep -q "'1' of.*neither a caption.*caption KEY names"
verdict $? "and --caption is named"
rm -rf r.lmdb
sed 's/}$/,"score":NaN,"size":[Infinity,-Infinity],"width":null}/' lines.jsonl >nan.jsonl
alike "NaN in members that nobody asks for" nan.jsonl
{ echo 'file_name,text,score' && sed 's/{"image":"\(.*\)","caption":"\(.*\)"}/\1,"\2",/; s/\\"/""/g' lines.jsonl; } >metadata.csv
alike "metadata.csv" metadata.csv
sed 's/$/\r/' metadata.csv >table.txt
alike "the same of Windows under another name" table.txt
{ printf 'file_name\ttext\n' && sed 's/{"image":"\(.*\)","caption":"\(.*\)"}/\1\t\2/; s/\\"/"/g' lines.jsonl; } >metadata.tsv
alike "metadata.tsv" metadata.tsv

# COCO: images before and behind the annotations
images='"images":[{"id":10,"file_name":"p/0.png"},{"id":11,"file_name":"p/1.png"},{"id":12,"file_name":"p/2.png"},{"id":13,"file_name":"p/3.png"},{"id":14,"file_name":"p/4.png"}]'
annotations=$(sed 's/{"image":"p\/\(.\).png",/{"image_id":1\1,"id":7,/; $!s/$/,/' lines.jsonl)
echo "{\"info\":{\"images\":[1]},\"licenses\":[{\"id\":1}],$images,\"annotations\":[$annotations]}" >coco.json
alike "COCO's captions" coco.json
echo "{\"annotations\":[$annotations],$images}" | tr -d '\n' >coco2.json
alike "COCO's captions, the images last, in one line" coco2.json
sed 's/"image_id":13/"image_id":99/' coco.json >foreign.json
tokenize text --in foreign.json --out r.lmdb --keep-pixels --max-bad 0.5 >out 2>err && grep -q '"records":4,"skipped":0,"bad":1,' out
verdict $? "an annotation without its image is bad"
rm -rf r.lmdb
sed 's/"caption":[^}]*}/"bbox":[1,2,3,4]}/g' coco.json >instances.json
refused "COCO's boxes" "without captions" 3 instances.json
sed 's/"id":11/"id":10/' coco.json >twice.json
refused "two images with one id" "have the id 10" 3 twice.json
echo "{\"images\":[$(sed 's/"image":"p\/\(.*\)","caption":\(.*\)}/"filepath":"p","filename":"\1","sentences":[{"raw":\2}]}/; $!s/$/,/' lines.jsonl)],\"dataset\":\"coco\"}" >dataset_coco.json
alike "Karpathy's splits" dataset_coco.json

# several captions of an image
for i in 0 1; do for c in a b; do echo "{\"image\":\"p/$i.png\",\"caption\":\"$c$i\"}"; done; done >many.jsonl
expect many.jsonl
echo '[{"image":"p/0.png","caption":["a0","","b0"]},{"image":"p/1.png","caption":["a1",{"raw":"b1"}]}]' >list.json
alike "a list of captions" list.json

# ---- questions ----
for i in 0 1 2; do echo "{\"image\":\"p/$i.png\",\"question\":\"what is $i?\",\"answer\":\"it is $i\"}"; done >q.jsonl
expect q.jsonl
{ echo '[' && sed 's/"question":\(.*\),"answer":\(.*\)}/"conversations":[{"from":"system","value":"be brief"},{"from":"human","value":\1},{"from":"gpt","value":\2}]}/; s/"value":"what/"value":"<image>\\nwhat/; $!s/$/,/' q.jsonl && echo ']'; } >llava.json
grep -q '<image>' llava.json
alike "LLaVA's conversations" llava.json
sed '1d; $d; s/,$//; s/"conversations"/"messages"/; s/"from"/"role"/g; s/"value"/"content"/g; s/"human"/"user"/; s/"gpt"/"assistant"/; s/"image":\("[^"]*"\)/"images":[\1]/' llava.json >messages.jsonl
alike "messages with roles" messages.jsonl
{ echo '[' && sed 's/"answer":\(.*\)}/"answer":["no",\1,\1],"dataset":"vqa"}/; $!s/$/,/' q.jsonl && echo ']'; } >blip.json
alike "answers in a list" blip.json
for t in 1 2; do echo "{\"image\":\"p/0.png\",\"question\":\"q$t\",\"answer\":\"a$t\"}"; done >turns.jsonl
expect turns.jsonl
printf '%s\n' '[{"image":"p/0.png","conversations":[{"from":"human","value":"q1\n<image>"},{"from":"gpt","value":"a1"},{"from":"human","value":"q2"},{"from":"gpt","value":"a2"}]}]' >turns.json
alike "the turns of a conversation" turns.json
cat >vqa.json <<'J'
{"info":{},"questions":[{"image_id":7,"question_id":70,"question":"what?"},{"image_id":7,"question_id":71,"question":"where?"}]}
J
echo '{"annotations":[{"image_id":7,"question_id":70,"answers":[{"answer":"a"}]},{"image_id":7,"question_id":71,"answers":[{"answer":"b"}]}]}' >ann.json
refused "VQA's questions alone" "answers F names" 2 vqa.json
refused "VQA's annotations" "in is for the questions" 2 ann.json
cp p/0.png COCO_000000000007.jpg
for i in 0 1; do echo "{\"image\":\"COCO_000000000007.jpg\",\"question\":\"wh\",\"answer\":\"x\"}"; done | sed '1s/wh/what?/; 2s/wh/where?/; 1s/"x"/"a"/; 2s/"x"/"b"/' >vqa.jsonl
expect vqa.jsonl
alike "VQA without --format" vqa.json --answers ann.json --image-prefix COCO_
gzip -k ann.json
alike "VQA with packed annotations" vqa.json --answers ann.json.gz --image-prefix COCO_

# ---- null ----
printf '{"text":"one"}\n{"image":"p/1.png","text":"two"}\n' >few.jsonl
expect few.jsonl
printf '{"image":null,"caption":null,"text":"one"}\n{"image":"p/1.png","file_name":null,"text":"two","question":null}\n' >null.jsonl
alike "null is absence" null.jsonl
printf 'image,text\n,one\np/1.png,two\n' >null.csv
alike "an empty field is absence" null.csv

# ---- texts ----
printf 'one\ntwo\n\nthree \303\251\n' >plain.txt
expect plain.txt
echo '["one","two","three \u00e9"]' >strings.json
alike "an array of texts" strings.json
{ printf '\357\273\277' && cat plain.txt; } >bom2.txt
alike "a text behind a byte order mark" bom2.txt
for text in '[1] a reference' '[chapter one]' '{curly} text' '"quoted" words' 'a,b,c' 'PK, as he was called' 'ORCs and men' 'BZhang' 'Rar! said the bear' 'GIF89 is old' 'image, text and sound' '[' '{'; do
    rm -rf r.lmdb
    printf '%s\nsecond line\n' "$text" >legit.txt
    tokenize text --in legit.txt --out r.lmdb >out 2>err && grep -q '"records":2,' out && grep -q 'plain text, 2 items' err
    verdict $? "'$text' is a text"
done

# ---- packed and piped ----
expect lines.jsonl
gzip -kc lines.jsonl >lines.jsonl.gz
alike "gzip" lines.jsonl.gz
cp lines.jsonl.gz unnamed
alike "gzip without its name" unnamed
printf '[{"text":"one"},{"text":"t\nwo"},{"text":"three"}]' >bad.json
rm -rf r.lmdb
tokenize text --in bad.json --out r.lmdb --max-bad 0.5 >out 2>err && grep -q '"records":2,"skipped":0,"bad":1,' out
verdict $? "a bad element among good ones"
{ head -n 2 lines.jsonl | gzip && tail -n 3 lines.jsonl | gzip; } >two.gz
alike "gzip in two members" two.gz
gzip -kc coco.json >coco.gz
alike "COCO in gzip" coco.gz
head -c 100 lines.jsonl.gz >cut.gz
refused "a cut gzip file" "damaged or cut gzip" 3 cut.gz
if command -v zstd >/dev/null 2>&1; then
    zstd -q -k lines.jsonl
    tokenize --version 2>&1 | grep -q libarchive
    alike "zstd" lines.jsonl.zst
    head -c 60 lines.jsonl.zst >cut.zst
    refused "a cut zstd file" "zstd" 3 cut.zst
else
    skip "zstd" "no zstd here"
fi
for file in lines.jsonl coco.json lines.jsonl.gz; do
    rm -rf a.lmdb
    cat "$file" | tokenize text --in - --out a.lmdb --keep-pixels >out 2>err && bare a.lmdb >have && cmp want have >out 2>&1
    verdict $? "$file from stdin"
done
rm -rf a.lmdb
tokenize text --in - --out a.lmdb --keep-pixels <array.json >out 2>err && bare a.lmdb >have && cmp want have >out 2>&1
verdict $? "a file as stdin"
rm -rf a.lmdb
cat lines.jsonl | tokenize text --in /dev/fd/0 --out a.lmdb --keep-pixels >out 2>err && bare a.lmdb >have && cmp want have >out 2>&1
verdict $? "a pipe of the shell's: images are looked for here"
mkfifo fifo
cat lines.jsonl >fifo &
alike "a FIFO" fifo
for i in 0 1 2; do
    cat array.json | tokenize text --in - --out "pipe$i.lmdb" --keep-pixels --shard $i/3 >out 2>err
    verdict $? "part $i of a pipe"
done
works "merge" merge --out pipe.lmdb pipe2.lmdb pipe0.lmdb pipe1.lmdb
bare pipe.lmdb >have
cmp want have >out 2>&1
verdict $? "parts of a pipe"
cat array.json | tokenize text --in - --out pipe0.lmdb --keep-pixels --shard 0/3 >out 2>err && grep -q "is complete" err
verdict $? "a pipe's shard is known again"
cat q.jsonl | tokenize text --in - --out pipe0.lmdb --keep-pixels --shard 0/3 >out 2>err
[ $? -eq 4 ]
verdict $? "and other bytes are refused"

# ---- parts, limits, going on ----
for file in array.json coco.json metadata.csv lines.jsonl.gz; do
    rm -rf c.lmdb d.lmdb p?.lmdb m.lmdb
    for i in 0 1; do works "$file, part $i" text --in $file --out p$i.lmdb --shard $i/2; done
    works "$file, merged" merge --out m.lmdb p0.lmdb p1.lmdb
    works "$file" text --in $file --out c.lmdb
    same "parts of $file" c.lmdb m.lmdb
    works "$file, --limit" text --in $file --out d.lmdb --limit 2
    [ "$(tokenize dump d.lmdb)" = "$(tokenize dump c.lmdb | head -n 2)" ]
    verdict $? "$file, the first two"
done
{ echo '[' && seq 1 60000 | sed 's/.*/{"text":"number & of many, with some words behind it so that it takes its time"},/' && echo '{"text":"last"}]'; } >long.json
works "a long array" text --in long.json --out long.lmdb
kills=0
for ms in 10 20 30 40 60 80; do
    tokenize text --in long.json --out killed.lmdb >out 2>err &
    pid=$!
    sleep 0.0$ms
    kill -KILL $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
done
works "the last run" text --in long.json --out killed.lmdb
same "an array, killed $kills times" long.lmdb killed.lmdb

# ---- refused ----
magic() { # NAME PATTERN BYTES: with text behind them
    { printf "$3" && cat plain.txt lines.jsonl && printf '\0'; } >"$1"
    refused "$1" "$2" 3 "$1"
}
magic a.parquet "a Parquet file.*JSON lines" 'PAR1'
magic a.arrow "an Arrow" 'ARROW1\0\0'
magic stream.arrow "an Arrow stream" '\377\377\377\377\020\0\0\0'
magic a.h5 "an HDF5 file" '\211HDF\r\n\032\n'
magic a.npy "a NumPy file" '\223NUMPY\001'
magic a.pkl "a pickle" '\200\004\225'
magic a.db "an SQLite" 'SQLite format 3\0'
magic a.jpg "a JPEG image.*tokenize images" '\377\330\377\340'
magic a.webp "a WebP image" 'RIFF\001\002\003\004WEBPVP8 '
magic a.pdf "a PDF document" '%%PDF-1.4\n'
magic a.zip "a zip archive" 'PK\003\004'
magic a.xz "an xz file.*xz -dc" '\3757zXZ\0'
magic a.bz2 "a bzip2 file" 'BZh9'
magic a.lz4 "an lz4 file" '\004\042\115\030'
refused "a PNG image" "a PNG image" 3 p/0.png
tar cf a.tar p
refused "a tar" "is a tar, not text" 3 a.tar
gzip -k a.tar
refused "a packed tar" "is a tar, not text" 3 a.tar.gz
gzip -c lines.jsonl.gz >twice.gz
refused "gzip twice" "inside another" 3 twice.gz
for to in UTF-16 UTF-16LE UTF-16BE UTF-32 UTF-32LE UTF-32BE; do
    for file in plain.txt lines.jsonl; do
        iconv -f UTF-8 -t $to $file >wide
        refused "$file in $to" "UTF-.*iconv" 3 wide
    done
done
mkdir hf
cp lines.jsonl hf/metadata.jsonl
refused "a folder with metadata.jsonl" "give 'hf/metadata.jsonl'" 2 hf
printf 'caf\351\nsecond\n' >latin.txt
refused "Latin-1" "not UTF-8: line 1, byte 4 is 0xE9.*format text" 3 latin.txt
seq 5000 >nul.txt
printf 'a\0b\n' >>nul.txt
refused "a NUL far inside" "line 5001 has a NUL at byte 2" 3 nul.txt
for file in latin.txt nul.txt wide a.parquet; do
    rm -rf r.lmdb
    works "--format text takes any bytes of $file" text --in $file --out r.lmdb --format text
done
head -c 200 array.json >cut.json
refused "an array that is cut short" "cut short" 3 cut.json
head -c 300 coco.json >cut.json
refused "COCO that is cut short" "cut short" 3 cut.json
{ cat array.json && echo more; } >behind.json
refused "something behind an array" "follows the array" 3 behind.json
echo '[1,2,3]' >numbers.json
refused "an array of numbers" "not of objects" 3 numbers.json
echo 'no JSON at all' >no.json
refused "a text called .json" "named like JSON" 3 no.json
echo '[]' >empty.json
refused "an empty array" "holds no text" 3 empty.json
printf 'a,b\n1,2\n' >plain.csv
refused "a table without captions" "without a column of captions.*caption KEY" 3 plain.csv
printf 'image,text\np/0.png,"open\n' >open.csv
refused "a quote without end" "has no end" 3 open.csv
refused "another --format" "looks like JSON lines (--format jsonl)" 3 lines.jsonl --format coco
: | tokenize text --in - --out r2.lmdb >out 2>err
[ $? -eq 3 ] && grep -q "holds no text" err
verdict $? "an empty pipe"

# ---- images that nobody asked for ----
rm -rf r.lmdb
tokenize text --in lines.jsonl --out r.lmdb >out 2>err && [ "$(grep -c 'warning: .*names images.*--model RUN.*--keep-pixels' err)" -eq 1 ]
verdict $? "a warning when images are left out"
rm -rf r.lmdb
tokenize text --in plain.txt --out r.lmdb >out 2>err && ! grep -q warning err
verdict $? "none without images"
# ---- what looks like text, and is none that was meant ----
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n' >pointer.jsonl
refused "a Git LFS pointer" "git lfs pull" 3 pointer.jsonl
cp pointer.jsonl pointer.txt
refused "the same as text" "git lfs pull" 3 pointer.txt
printf '<!DOCTYPE html>\n<html>404</html>\n' >page.txt
refused "a web page" "a web page.*--format text" 3 page.txt
rm -rf a.lmdb
works "a web page after all" text --in page.txt --out a.lmdb --format text
for line in '0.png#0\tA dog' '0.jpg,a dog, a cat' 'p/0.JPEG| 0| a dog'; do
    printf "$line\n$line\n" >list.txt
    refused "a list of images without names" "'image' and 'caption'.*--format text" 3 list.txt
done
for line in 'photo.jpg is a file' 'see 0.png, 1.png' '#0\ta.jpg'; do
    printf "$line\n" >list.txt
    rm -rf a.lmdb
    works "words about images" text --in list.txt --out a.lmdb
done
printf '{\n "image": "p/0.png",\n "caption": "x"\n}\n{\n "image": "p/1.png",\n "caption": "y"\n}\n' >pretty.jsonl
refused "objects over several lines" "jq -c" 3 pretty.jsonl
: >nothing.json
refused "an empty file that is named JSON" "holds no text" 3 nothing.json

# ---- images that are not found are never left out in silence ----
for item in '{"img":"p/0.png","caption":"x"}' '{"url":"https://a.b/0.png","caption":"x"}' '[{"img":"p/0.png","caption":"x"}]'; do
    echo "$item" >other.json
    rm -rf a.lmdb
    works "no member that names an image" text --in other.json --out a.lmdb --keep-pixels
    grep -q "no item names an image (members image, file_name.*only texts are written" err
    verdict $? "no member that names an image: told ($item)"
done
for image in data:image/png\;base64,iVBOR https://a.b/0.png; do
    echo "{\"image\":\"$image\",\"caption\":\"x\"}" >other.json
    rm -rf a.lmdb
    tokenize text --in other.json --out a.lmdb --keep-pixels >out 2>err
    [ $? -eq 3 ] && grep -q "address or base64: save it as a file" err
    verdict $? "an image inside JSON or behind an address: told"
done
echo '{"caption":"x"}' >words.jsonl
rm -rf a.lmdb
works "texts" text --in words.jsonl --out a.lmdb
! grep -q "names an image" err
verdict $? "texts, no image asked for: nothing to tell"

finish
