#!/usr/bin/env python3
"""bpe_library.py TOKENIZE [--tokenizer PATH] [--mb N] - the ids of `tokenize text --bpe` beside those of pip's `tokenizers`, over a corpus
of many scripts, and how fast both are. By hand: needs pip's tokenizers, and a Python whose Unicode is PCRE2's or older (3.11: version 14).

The corpus: text files of this machine (licenses, man pages' sources, message catalogs, Python), lines of random words of every script, and lines of random
characters of all that Python knows. PATH is a tokenizer.json (GPT-2's, Llama 3's); else one of GPT-2's kind and one of
Llama 3's with 20,000 ids are trained on the corpus. Equal ids of every line, or exit 1. Speed is in megabytes per second of processor
time: ours with reading, shard and all, theirs the call alone.
"""
import argparse
import glob
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import unicodedata

os.environ['TOKENIZERS_PARALLELISM'] = 'false'
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def characters():
    """By block of 128: the assigned characters that a line may hold."""
    blocks = {}
    for c in range(1, sys.maxunicode + 1):
        if unicodedata.category(chr(c)) not in ('Cn', 'Cs', 'Co') and c not in (10, 13):
            blocks.setdefault(c >> 7, []).append(chr(c))
    return list(blocks.values())


def corpus(size):
    draw, blocks, lines, n = random.Random(1), characters(), [], 0
    files = sorted(f for pattern in ('/usr/share/common-licenses/*', '/usr/share/doc/*/*', '/usr/lib/python3*/*.py', '/usr/share/perl/*/unicore/*.txt',
                                     '/usr/share/i18n/locales/*', '/usr/share/X11/locale/*/*') for f in glob.glob(pattern) if os.path.isfile(f))
    draw.shuffle(files)
    for f in files:
        try:
            text = open(f, encoding='utf-8').read(200000)
        except (UnicodeDecodeError, OSError):
            continue
        if '\0' not in text:
            lines += [line for line in text.replace('\r', '\n').split('\n') if line.strip()]
            n += len(text.encode())
        if n > size / 2:
            break
    spaces = [' '] * 12 + ['  ', '\t', '\u00a0', '\u3000', '\u2003', '   ', '. ', ', ', "'s ", '\u180e', '\x85']
    while n < size:
        block = draw.choice(blocks)
        words = []
        for _ in range(draw.randint(1, 30)):
            kind = draw.random()
            if kind < .7:
                words += draw.choices(block, k=draw.randint(1, 9))
            elif kind < .8:
                words.append(str(draw.randint(0, 10 ** draw.randint(1, 9))))
            else:
                words += [draw.choice(draw.choice(blocks)) for _ in range(draw.randint(1, 4))]
            words.append(draw.choice(spaces))
        line = ''.join(words)
        if line.strip():
            lines.append(line)
            n += len(line.encode()) + 1
    return lines


def trained(words, lines):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = words
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=20000, special_tokens=['<|endoftext|>'], show_progress=False,
                                                     initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return t


def compare(name, path, program, lines):
    t = Tokenizer.from_file(path)
    megabytes = sum(len(line.encode()) for line in lines) / 1e6
    begin = time.process_time()
    want = [e.ids for e in t.encode_batch(lines, add_special_tokens=False)]
    theirs = time.process_time() - begin
    with tempfile.TemporaryDirectory() as d:
        with open(d + '/t.jsonl', 'w') as f:
            for line in lines:
                f.write(json.dumps({'text': line}, ensure_ascii=False) + '\n')
        spent = []
        for flags in (['--bpe', path], []):
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            subprocess.run([program, 'text', '--in', d + '/t.jsonl', '--out', d + '/x.lmdb', '--split', '0', '--force', '--threads', '1'] + flags,
                           check=True, capture_output=True)
            spent.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
            if flags:
                dumped = subprocess.run([program, 'dump', d + '/x.lmdb'], check=True, capture_output=True).stdout
        got = [json.loads(record)['text'] for record in dumped.splitlines()]
    wrong = [i for i in range(len(lines)) if i >= len(got) or got[i][:-1] != want[i]]
    for i in wrong[:5]:
        print('  differs: %r' % lines[i][:200])
    print('%s: %.1f MB, %d lines, %d ids: %d lines differ; MB per second of processor: tokenizers %.1f, tokenize text --bpe %.1f (bytes %.1f)'
          % (name, megabytes, len(lines), sum(map(len, want)), len(wrong), megabytes / theirs, megabytes / spent[0], megabytes / spent[1]))
    return not wrong and len(got) == len(lines)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('program')
    p.add_argument('--tokenizer')
    p.add_argument('--mb', type=float, default=4)
    a = p.parse_args()
    print('Unicode %s' % unicodedata.unidata_version)
    lines = corpus(a.mb * 1e6)
    if a.tokenizer:
        sys.exit(0 if compare(a.tokenizer, a.tokenizer, a.program, lines) else 1)
    good = True
    with tempfile.TemporaryDirectory() as d:
        kinds = {'gpt2': pre_tokenizers.ByteLevel(add_prefix_space=False), 'prefix': pre_tokenizers.ByteLevel(add_prefix_space=True),
                 'llama3': pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), 'isolated'),
                                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])}
        for name, words in kinds.items():
            path = d + '/%s.json' % name
            trained(words, lines[::3]).save(path)
            good &= compare(name, path, a.program, lines)
    sys.exit(0 if good else 1)


main()
