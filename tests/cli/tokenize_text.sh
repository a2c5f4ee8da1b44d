#!/bin/sh
# tokenize_text.sh - `tokenize text`: lines, captions, questions with answers; against Python's json and vqvae trace. Faults
# 49 (NUL), 50 (nothing in it), 87 (missing and gray images), 88 (questions and answers out of step), 43 (kill -9).
. "$(dirname "$0")/../tokenize_common.sh"
small_model m 1
tokenize text --help >out 2>err
for word in --in --out --model --images --answers --split --format --shard --keep-pixels; do
    grep -q -e "$word " out || verdict 1 "text --help does not tell $word"
done
exits 2 "cannot open 'nowhere'" text --in nowhere --out x.lmdb
exits 2 "is a folder" text --in seed --out x.lmdb
exits 2 "at least 8 bytes" text --in m/config.json --out x.lmdb --split 3
exits 2 "text, jsonl, json, coco, vqa, csv" text --in m/config.json --out x.lmdb --format words
: >empty.txt
printf '\n  \n\t\r\n' >blank.txt
exits 3 "holds no text" text --in empty.txt --out x.lmdb
exits 3 "holds no text" text --in blank.txt --out x.lmdb
[ ! -e x.lmdb ]
verdict $? "fault_050: a text without lines leaves nothing"

# plain text
{ printf 'hello\n\nw\303\266rld\0x\r\n' && seq -s ' ' 3000 && printf '   \n\377\376 no UTF-8\n%s\nlast' "$(printf 'x%.0s' $(seq 9000))"; } >t.txt
works "lines" text --in t.txt --format text --out t.lmdb
cp out counts
for n in 1 2 5; do
    works "threads $n" text --in t.txt --format text --out "t$n.lmdb" --threads $n
    same "the same dump with --threads $n" t.lmdb "t$n.lmdb"
done
tokenize dump t.lmdb --id 0 >out 2>err && grep -q '^{"key":"1","source":"t.txt","task":"text","kind":"text","grid":null,"codes":null,"text":\[104,101,108,108,111,256\],' out
verdict $? "bytes, then 256"
tokenize dump t.lmdb --id 1 >out 2>err && grep -q '^{"key":"3",.*"text":\[119,195,182,114,108,100,0,120,256\],' out
verdict $? "fault_049: a NUL is a byte of the text"
for i in 0 1 2; do works "part $i" text --in t.txt --format text --out "p$i.lmdb" --shard $i/3; done
works "merge" merge --out pm.lmdb p2.lmdb p1.lmdb p0.lmdb
same "parts of a text" t.lmdb pm.lmdb
works "never split" text --in t.txt --format text --out whole.lmdb --split 0
tokenize info whole.lmdb >out 2>err && grep -q '"records":6,"images":0,' out && grep -q '"kinds":{"image":0,"episode":0,"text":6}' out && grep -q '"bits_per_pixel":null' out
verdict $? "a record a line"
grep -qx 'tokenize: records  *0 images, 0 episodes, 6 texts' err && grep -qx 'tokenize: text tokenizer  *byte, 257 ids' err &&
    ! grep -q codebook err && [ "$(wc -l <out)" -eq 1 ]
verdict $? "info's table on stderr, one line on stdout: $(cat err)"
works "verify" verify t.lmdb
exits 4 "split 4096, now 100" text --in t.txt --format text --out t.lmdb --split 100

# captions and questions
mkdir -p set/p
cp "$top"/data/clipart/food_a*.png set/p/
one=$(basename "$(ls set/p/*.png | head -n 1)") two=$(basename "$(ls set/p/*.png | tail -n 1)")
head -c 100 "set/p/$one" >set/p/broken.png
cat >set/c.jsonl <<J
{"image":"p/$one","caption":"an apple \u00e9\ud83d\ude00"}
{"image":"p/none.png","caption":"nothing there"}

{"image": "p/$two", "text": "something else", "more": [1, 2]}
{"text":"words alone"}
{"image":"p/$one","question":"what is it?","answer":"food"}
{"image":"p/$one","question":"what color?","answers":["red","green","green",{"answer":"red"},{"answer":"red"}]}
{"question":"without an image?","answer":"yes"}
J
works "captions" text --in set/c.jsonl --out c.lmdb --model m
grep -q '^{"images":4,"episodes":0,"records":6,"skipped":1,"bad":0,' out
verdict $? "fault_087: a missing image is skipped and counted"
grep -q "skipped 'p/none.png' of 'set/c.jsonl': its image is missing" err
verdict $? "fault_087: and named"
for n in 1 3; do
    works "batch $n" text --in set/c.jsonl --out "c$n.lmdb" --model m --batch $n --threads $n
    same "the same dump with --batch $n" c.lmdb "c$n.lmdb"
done
works "kept pixels" text --in set/c.jsonl --out ck.lmdb --model m --keep-pixels
same "the same dump with --keep-pixels" c.lmdb ck.lmdb
works "without a model" text --in set/c.jsonl --out cn.lmdb
tokenize dump cn.lmdb | sed 's/"grid":null,"codes":null//' >cn && sed 's/"grid":\[[^]]*\],"codes":\[[^]]*\]//; s/"grid":null,"codes":null//' c.lmdb.json | cmp - cn >out
verdict $? "without a model the same texts"
for i in 0 1; do works "part $i" text --in set/c.jsonl --out "cp$i.lmdb" --model m --shard $i/2; done
works "merge" merge --out cm.lmdb cp0.lmdb cp1.lmdb
same "parts of captions" c.lmdb cm.lmdb
works "verify captions" verify c.lmdb --model m
grep -q '"pictures_from":"set/".*"images_encoded_again":4,.*"codes_different":0}' out
verdict $? "verify finds their images"
works "verify from a folder" verify c.lmdb --model m --in set
works "verify from kept pixels" verify ck.lmdb --model m
grep -q '"pictures_from":"kept pixels"' out
verdict $? "verify says where it gets the images"
cp set/c.jsonl elsewhere.jsonl
works "--images" text --in elsewhere.jsonl --out ce.lmdb --model m --images set
tokenize dump ce.lmdb | sed 's/elsewhere.jsonl/set\/c.jsonl/' | cmp - c.lmdb.json >out
verdict $? "--images says where images lie"
works "decode captions" decode --in c.lmdb --model m --out d
[ "$(ls d/*.png | wc -l)" -eq 6 ] && [ "$(ls d/contact*.png | tr '\n' ' ')" = "d/contact.1-caption.png d/contact.2-vqa.png " ]
verdict $? "a PNG file a caption, and a sheet a task"

# bad lines among good ones
{ for i in $(seq 60); do echo "{\"text\":\"line $i\"}"; done && echo '{"image":"p/broken.png","text":"x"}'; } >set/b.jsonl
works "a damaged image" text --in set/b.jsonl --out b0.lmdb --model m --max-bad 0.02
tokenize info b0.lmdb | grep -q '"bad":1,.*"bad_items":\[{"key":"p/broken.png",'
verdict $? "a damaged image is bad"
for line in 'no JSON' '{"text":' '[1]' '{"text":5}' '{"caption":""}' '{"image":7,"text":"a"}' '{"image":"","text":"a"}' '{"question":"a?"}' \
    '{"question":"a?","answer":""}' '{"question":"a?","answers":[]}' '{"text":"a","text":"b"}' '{"text":"a\u0000b"}' '{"question":"a?","answer":"b","text":"c"}' "{\"text\":\"$(printf '\377')\"}"; do
    { head -n 60 set/b.jsonl && printf '%s\n' "$line" && echo '{"text":"after it"}'; } >set/bad.jsonl
    rm -rf bad.lmdb
    tokenize text --in set/bad.jsonl --out bad.lmdb --max-bad 0.02 >out 2>err
    rc=$?
    [ $rc -eq 0 ] && grep -q '"records":61,"skipped":0,"bad":1,' out && tokenize info bad.lmdb | grep -q '"bad_items":\[{"key":"61",'
    verdict $? "the line $line is bad: status $rc"
done
exits 3 "are bad" text --in set/bad.jsonl --out bad2.lmdb
exits 3 "are bad .*max-bad 0 %" text --in set/bad.jsonl --out bad2.lmdb --strict --max-bad 1 --force

# VQA
jq_pair() { # jq_pair FILE_Q FILE_A IDS_A: three questions, and annotations with these question ids
    cat >"$1" <<J
{"info":{},"questions":[{"image_id":7,"question_id":70,"question":"what?"},{"image_id":7,"question_id":71,"question":"where?"},{"image_id":12345,"question_id":72,"question":"who?"}]}
J
    i=0
    { printf '{"annotations":['
        for id in $3; do
            [ $i -gt 0 ] && printf ','
            image=7
            [ "$i" -eq 2 ] && image=12345
            printf '{"image_id":%d,"question_id":%d,"answers":[{"answer":"a%d"},{"answer":"b"},{"answer":"b"}]}' $image "$id" $i
            i=$((i + 1))
        done
        printf ']}'; } >"$2"
}
jq_pair q.json a.json "70 71 72"
mkdir coco
cp "$(ls "$top"/data/photos/*.jpg | head -n 1)" coco/COCO_x_000007.jpg
works "VQA" text --in q.json --answers a.json --images coco --image-prefix COCO_x_ --image-digits 6 --out v.lmdb --model m
grep -q '^{"images":2,"episodes":0,"records":2,"skipped":1,"bad":0,' out
verdict $? "fault_087: a missing image of a question"
tokenize dump v.lmdb --id 1 >out 2>err && grep -q '^{"key":"COCO_x_000007.jpg","source":"q.json","task":"vqa","kind":"text","grid":\[16,16\],.*"text":\[119,104,101,114,101,63,32,98,256\],' out
verdict $? "question, space, answer, 256"
exits 2 "need --answers" text --in q.json --format vqa --out x.lmdb
exits 2 "belongs to" text --in q.json --format text --answers a.json --out x.lmdb
jq_pair q.json bad.json "70 72 71"
exits 3 "out of step at index 1: question_id 71 against 72" text --in q.json --answers bad.json --images coco --out x.lmdb
jq_pair q.json bad.json "70 71"
exits 3 "out of step: question 2 has no counterpart" text --in q.json --answers bad.json --images coco --out x.lmdb
sed 's/12345/7/' a.json >bad.json
exits 3 "out of step at index 2: image_id 12345 against 7" text --in q.json --answers bad.json --images coco --out x.lmdb
echo '{"annotations":7}' >bad.json
exits 3 "no array" text --in q.json --answers bad.json --images coco --out x.lmdb
[ ! -e x.lmdb ]
verdict $? "fault_088: nothing is written"

# a full map in the middle of long lines
seq 400000 | paste -s -d "$(printf ' %.0s' $(seq 99))\\n" >long.txt
works "long lines" text --in long.txt --out long.lmdb --split 256
tokenize text --in long.txt --out half.lmdb --split 256 --max-map 5000000 >out 2>err
[ $? -eq 1 ] && grep -q 'full at --max-map' err && tokenize info half.lmdb | grep -q '"complete":false,"records":[1-9]'
verdict $? "fault_041: a text that stops"
works "fault_041: going on" text --in long.txt --out half.lmdb --split 256
same "fault_041: a text gone on with" long.lmdb half.lmdb

# kill -9
i=0
: >set/k.jsonl
for f in "$top"/data/clipart/*.png; do
    i=$((i + 1))
    [ $((i % 5)) -eq 0 ] && echo "{\"image\":\"$f\",\"question\":\"number?\",\"answer\":\"$i\"}" >>set/k.jsonl
    echo "{\"text\":\"$i\"}" >>set/k.jsonl
done
works "an uninterrupted run" text --in set/k.jsonl --out k.lmdb --model m --threads 1
kills=0
for ms in 005 010 020 030 040 050 060 080 100 120; do
    tokenize text --in set/k.jsonl --out killed.lmdb --model m --threads 1 >out 2>err &
    pid=$!
    sleep 0.$ms
    kill -KILL $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
done
works "fault_043: the last run" text --in set/k.jsonl --out killed.lmdb --model m
same "fault_043: captions, killed $kills times" k.lmdb killed.lmdb

if ! has_python; then
    skip "comparison with other readers" "$PYTHON lacks h5py, lmdb, numpy or PIL"
    finish
fi
cat >check.py <<'P'
import io, re, sys
sys.path.insert(0, sys.argv[1])
from tokenize_oracle import *

# lines: pieces of at most 4096 bytes, cut after spaces where there are any, and together the text
lines = open('t.txt', 'rb').read().split(b'\n')
texts = {str(i + 1): re.sub(rb'\r$', b'', l) for i, l in enumerate(lines) if l.strip()}
found, raw, starts = {}, shard('t.lmdb'), {}
records = dump('t.lmdb')
for i, r in enumerate(records):
    assert r['kind'] == 'text' and r['grid'] is None and len(r['text']) <= 4097
    first = record_head(raw, i)[-1]
    assert first == len(found.setdefault(r['key'], []))
    found[r['key']] += r['text']
    assert (256 in r['text']) == (r['text'][-1] == 256 and r['text'].count(256) == 1)
    if r['text'][-1] != 256 and r['key'] != '7':
        assert r['text'][-1] == 32
assert list(found) == list(texts) and len(records) == 4 + 4 + 3, (len(records), list(found))
for k, t in texts.items():
    assert found[k] == list(t) + [256], k
counts = json.load(open('counts'))
assert counts['records'] == len(records) and counts['tokens'] == sum(len(t) + 1 for t in texts.values())

# captions: Python's reading of the same lines
want = []
for n, line in enumerate(open('set/c.jsonl', encoding='utf-8'), 1):
    if not line.strip():
        continue
    o = json.loads(line)
    answer = o.get('answer') or 'red'
    text = o['question'] + ' ' + answer if 'question' in o else o.get('caption') or o['text']
    if o.get('image') != 'p/none.png':
        want.append((o.get('image', str(n)), list(text.encode()) + [256], len(o['question'].encode()) + 1 if 'question' in o else 0))
raw = shard('ck.lmdb')
records = dump('c.lmdb')
assert [(r['key'], r['text']) for r in records] == [(k, t) for k, t, _ in want]
for i, (r, (key, text, prompt)) in enumerate(zip(records, want)):
    parts = raw[1, 0, i][1]
    assert (parts['prompt'].tolist() == [prompt]) if prompt else 'prompt' not in parts
    assert ('pixels' in parts) == key.startswith('p/') == (r['codes'] is not None)
    if r['codes']:
        image = np.asarray(Image.open(io.BytesIO(parts['pixels'])))
        assert r['grid'] == [16, 16] and (trace('m', [image])['indices'].ravel() == r['codes']).all()

# gray images become RGB
os.mkdir('gray')
a = np.random.default_rng(1).integers(0, 256, (32, 32), np.uint8)
Image.fromarray(a).save('gray/g.png')
Image.fromarray(np.repeat(a[..., None], 3, 2)).save('gray/c.png')
open('gray/x.jsonl', 'w').write('\n'.join('{"image":"%s","text":"t"}' % f for f in ('g.png', 'c.png')))
subprocess.run(['tokenize', 'text', '--in', 'gray/x.jsonl', '--out', 'g.lmdb', '--model', 'm'], check=True, capture_output=True)
g, c = dump('g.lmdb')
assert g['codes'] == c['codes'] and g['key'] == 'g.png'
P
python check.py "$top/tests"
verdict $? "fault_087: lines, captions and gray images as Python reads them"
finish
