#!/bin/sh
# text_bpe.sh - texts as the tokens of a byte-level BPE, from file to policy: the ids of pip's `tokenizers`
# (tests/reference/bpe/texts.json), pieces and questions, the tokenizer's file in shards and RUNs, and what of another tokenizer is
# refused. Fault 92 (files that differ from the checkpoint's).
. "$(dirname "$0")/../tokenize_common.sh"
bpe=$top/tests/reference/bpe
if ! tokenize --version | grep -q 'pcre2: yes'; then
    echo x >t.txt
    exits 2 "libpcre2-dev" text --in t.txt --out x.lmdb --bpe "$bpe/gpt2.json"
    skip "everything else" "built without PCRE2"
    finish
fi
if ! has_python; then
    skip "everything" "no python3 with h5py, lmdb, numpy and PIL"
    finish
fi

# --- ids
cat >write.py <<'P'
import json, sys
rows = json.load(open(sys.argv[1] + '/texts.json'))
with open('t.jsonl', 'w') as f:
    for r in rows:
        if r['text']: f.write(json.dumps({'text': r['text']}) + '\n')
one = ' '.join(r['text'] for r in rows if r['text'].isascii() and r['text'].isprintable() and len(r['text']) < 60)
open('long.txt', 'w').write((one + ' ') * 5 + 'end\n')
json.dump([{'question': 'what is red?', 'answer': 'the ball'}, {'question': 'the red ball', 'answer': "it's here"}], open('q.json', 'w'))
P
python write.py "$bpe"
verdict $? "texts are written"
for kind in gpt2 prefix llama3 odd; do
    works "$kind" text --in t.jsonl --out "$kind.lmdb" --bpe "$bpe/$kind.json"
done
works "the two files" text --in t.jsonl --out pair.lmdb --bpe "$bpe/pair"
same "the two files of GPT-2 give the same shard" gpt2.lmdb pair.lmdb
works "long lines" text --in long.txt --out pieces.lmdb --split 200 --bpe "$bpe/gpt2.json"
works "long lines whole" text --in long.txt --out whole.lmdb --split 0 --bpe "$bpe/gpt2.json"
works "questions" text --in q.json --out q.lmdb --bpe "$bpe/gpt2.json"
cat >check.py <<'P'
import json, os, sys
sys.path.insert(0, sys.argv[1] + '/tests')
from tokenize_oracle import dump, shard
rows = [r for r in json.load(open(sys.argv[1] + '/tests/reference/bpe/texts.json')) if r['text']]
ends = {}
for kind in 'gpt2', 'prefix', 'llama3', 'odd':
    file = json.load(open(sys.argv[1] + '/tests/reference/bpe/%s.json' % kind))
    vocab, added = file['model']['vocab'], {a['content']: a['id'] for a in file['added_tokens']}
    ends[kind] = {'gpt2': lambda: added['<|endoftext|>'], 'prefix': lambda: len(vocab), 'odd': lambda: len(vocab), 'llama3': lambda: added['<|end_of_text|>']}[kind]()
    got = [r['text'] for r in dump(kind + '.lmdb')]
    assert len(got) == len(rows)
    for g, r in zip(got, rows):
        assert g == r[kind] + [ends[kind]], (kind, r['text'], g)
    raw = shard(kind + '.lmdb')
    kept = json.loads(raw[0, 2, 0][1]['text_file'])
    assert kept['model']['vocab'] == vocab and {a['content']: a['id'] for a in kept['added_tokens']} == added
    assert [m if isinstance(m, str) else ' '.join(m) for m in file['model']['merges']] == kept['model']['merges']
    assert kept['model']['ignore_merges'] == file['model']['ignore_merges']
    name = raw[0, 0, 0][1]['text_tokenizer'].decode()
    assert name.startswith('bpe ') and len(name) == 36, name
assert (0, 2, 0) not in shard('bytes.lmdb')
pieces, whole = dump('pieces.lmdb'), dump('whole.lmdb')
assert len(pieces) > 10 and len(whole) == 1 and sum((p['text'] for p in pieces), []) == whole[0]['text']
by_text = {r['text']: r['gpt2'] for r in rows}
a, b = dump('q.lmdb')
asked = [r[1]['prompt'].tolist() for k, r in shard('q.lmdb').items() if k[0] == 1]
# the space is the answer's: "the red ball" alone, then " it's here"
assert b['text'][:len(by_text['the red ball'])] == by_text['the red ball'] and asked[1] == [len(by_text['the red ball'])]
assert by_text['Question: what is red? the ball'][-len(a['text']) + asked[0][0] + 1:] == a['text'][asked[0][0]:-1]
assert a['text'][-1] == b['text'][-1] == ends['gpt2']
P
works "bytes" text --in t.jsonl --out bytes.lmdb
python check.py "$top"
verdict $? "the ids of pip's tokenizers, each with its end; pieces, questions, and the tokenizer in the shard"
tokenize info gpt2.lmdb >out 2>err && grep -q 'text tokenizer  *bpe [0-9a-f]\{32\}, 460 ids' err
verdict $? "info tells the tokenizer"
works "verify" verify gpt2.lmdb

# --- captions and labels beside images, texts of episodes
mkdir -p set && cp "$top/data/clipart/food_beer.png" set/a.png && echo "the red ball" >set/a.txt
tar cf set.tar -C set a.png a.txt
works "captions in a tar" images --in set.tar --out tar.lmdb --keep-pixels --bpe "$bpe/gpt2.json"
tokenize dump tar.lmdb >out 2>err && grep -q '"text":\[326,221,275,68,299,372,0\]' out
verdict $? "the caption's ids"
cat >episodes.py <<'P'
import sys
sys.path.insert(0, sys.argv[1] + '/tests')
import numpy as np
from tokenize_oracle import write_minari, box
T = 4
observations = lambda: {'mission': ['the red ball'] * (T + 1), 'state': np.zeros((T + 1, 2), 'f4')}
write_minari('room', [{'observations': observations(), 'actions': np.zeros((T, 1), 'f4'), 'rewards': np.zeros(T), 'terminations': np.zeros(T, bool),
                       'truncations': np.array([0] * (T - 1) + [1], bool), 'infos': {}} for _ in range(4)],
             {'type': 'Dict', 'subspaces': {'mission': {'type': 'Text', 'max_length': 20, 'min_length': 0, 'charset': 'abc'},
                                            'state': box([2], 'float32', -1.0, 1.0)}}, box([1], 'float32', -1.0, 1.0))
P
python episodes.py "$top"
verdict $? "episodes are written"
works "episodes" episodes --in room --out room.lmdb --bpe "$bpe/gpt2.json"
tokenize dump room.lmdb --id 0 >out 2>err && grep -q '"text":\[326,221,275,68,299,372,0\]' out
verdict $? "the mission's ids"

# --- other tokenizers
exits 4 "was begun with other options or data: bpe" text --in t.jsonl --out gpt2.lmdb --bpe "$bpe/prefix.json"
exits 4 "was begun with other options or data: bpe" text --in t.jsonl --out gpt2.lmdb
exits 4 "differ in their text tokenizer" merge --mix --out m.lmdb gpt2.lmdb q.lmdb bytes.lmdb
exits 4 "differ in their text tokenizer" merge --mix --out m.lmdb room.lmdb prefix.lmdb
works "one tokenizer" merge --mix --out m.lmdb room.lmdb gpt2.lmdb
tokenize info m.lmdb >out 2>err && grep -q 'text tokenizer  *bpe ' err
verdict $? "a mixture keeps its tokenizer"
exits 2 "no tokenizer.json, and no vocab.json" text --in t.jsonl --out x.lmdb --bpe set
exits 2 "nowhere" text --in t.jsonl --out x.lmdb --bpe nowhere
sed 's/"type":"BPE"/"type":"Unigram"/' "$bpe/gpt2.json" >unigram.json
exits 3 "'Unigram'; byte-level BPE is read" text --in t.jsonl --out x.lmdb --bpe unigram.json
exits 3 "is not JSON\|1:1" text --in t.jsonl --out x.lmdb --bpe set/a.png
[ ! -e x.lmdb ]
verdict $? "a refused tokenizer leaves nothing"

# --- the policy
policy() { # STATUS PATTERN ARGUMENTS...; PATTERN may be - for any
    want=$1 pattern=$2
    shift 2
    gato "$@" >out 2>err
    rc=$?
    [ "$rc" -eq "$want" ] && { [ "$pattern" = - ] || grep -q -e "$pattern" err; }
    verdict $? "gato $*: status $rc, wanted $want and '$pattern'"
}
small="--set model.width=16 model.layers=1 model.heads=2 model.context=64 model.bins=32 train.batch=2 optim.warmup=2 --threads 1"
policy 0 - train --data room.lmdb --data gpt2.lmdb --out run --steps 4 $small
cat >kept.py <<'P'
import json, sys
sys.path.insert(0, sys.argv[1] + '/tests')
from tokenize_oracle import shard
text = open(sys.argv[2] + '/tokenizer.json', 'rb').read()
assert text == shard('gpt2.lmdb')[0, 2, 0][1]['text_file']
v = json.load(open(sys.argv[2] + '/config.json'))['vocabulary']
assert v['text'] == 460 and v['text_tokenizer'] == shard('gpt2.lmdb')[0, 0, 0][1]['text_tokenizer'].decode()
P
python kept.py "$top" run
verdict $? "the RUN keeps the tokenizer's file"
policy 0 - eval --model run --data gpt2.lmdb --split all
grep -q '"perplexity_text":[0-9]' out
verdict $? "a perplexity of text"
policy 0 "bpe [0-9a-f]\{32\}" info run
policy 4 "text tokenizer: bpe .* and byte" eval --model run --data bytes.lmdb --split all
policy 4 "text tokenizer: bpe .* and bpe" eval --model run --data prefix.lmdb --split all
policy 4 "text tokenizer: bpe .* and byte" train --data gpt2.lmdb --data bytes.lmdb --out x --steps 1 $small
policy 4 "text tokenizer: bpe .* and byte" train --init run --data bytes.lmdb --out x --steps 1
policy 0 - train --init run --data pair.lmdb --out more --steps 2 --threads 1
python kept.py "$top" more
verdict $? "--init hands the file on"
policy 75 - train --data room.lmdb --data gpt2.lmdb --out part --steps 4 --stop-at 2 $small
policy 0 - train --data room.lmdb --data gpt2.lmdb --out part --steps 4 --resume $small
cmp run/model.safetensors part/model.safetensors >out 2>err && cmp run/tokenizer.json part/tokenizer.json >out 2>err
verdict $? "stopped and resumed, the same bytes"
cp -r run other && cp "$bpe/prefix.json" other/tokenizer.json
# fault_092: files that differ from the checkpoint's
policy 4 "text tokenizer: bpe .* and bpe" eval --model other --data gpt2.lmdb --split all
cp "$bpe/gpt2.json" other/tokenizer.json # the same in another form
policy 0 - eval --model other --data gpt2.lmdb --split all
head -c 2000 "$bpe/gpt2.json" >other/tokenizer.json
policy 3 "tokenizer.json" eval --model other --data gpt2.lmdb --split all
rm other/tokenizer.json
policy 3 "tokenizer.json" eval --model other --data gpt2.lmdb --split all
finish
