#!/usr/bin/env python3
"""make_bpe.py [OUT] - small byte-level BPEs and what pip's `tokenizers` makes of difficult texts by them.

Trains on the lines of LINES (so that merges cross letters, digits, spaces and scripts) and writes

    bpe/gpt2.json               GPT-2's kind, <|endoftext|> a special token
    bpe/pair/{vocab.json,merges.txt}    the same as GPT-2's two files
    bpe/prefix.json             with add_prefix_space and merges as pairs, and no special token
    bpe/llama3.json             Llama 3's kind: its Split, ignore_merges, special tokens behind the vocabulary
    bpe/odd.json                merges that no training gives: they compete, and several make one token
    bpe/texts.json              [{"text", "gpt2": [ids], "prefix": [ids], "llama3": [ids], "odd": [ids]}, ...]

Needs tokenizers (made with 0.23.3).
"""
import json
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")

LINES = """the red ball is on the left of the blue box, and the robot picks it up
go to the green door, then open it; don't touch the yellow key: it's the other robot's
they're here, we've seen 2023 2024 1000 things, I'll go, he'd say I'm late
der Ball liegt auf dem Tisch, die Tür ist grün, und das Mädchen lacht über den Fluß
le garçon a déjà mangé à la fête; où êtes-vous?
красный мяч лежит на столе, робот открывает дверь и идёт дальше
το κόκκινο τόπι είναι στο τραπέζι
机器人把红色的球放在桌子上，然后打开门。机器人走了。
ロボットは赤いボールをテーブルに置きました。ボールは赤い。
로봇이 빨간 공을 탁자 위에 놓았다
الروبوت يضع الكرة الحمراء على الطاولة ١٢٣
for (int i = 0; i < n; i++) { total += value[i] * 10; }\treturn total;
        indented    text  with   many     spaces and ====== signs ------ and ... dots
""".split("\n")

TEXTS = [
    "", "a", " ", "  ", "the", " the", "the red ball", "The Robot's here, it's we've they're I'll he'd I'm don't",
    "IT'S WE'VE THEY'RE I'LL HE'D I'M DON'T", "it\u2019s they\u2019re", "'s 't're've'm'll'd'", "it'\u017f we'\u017f", "''s", "' s", "x'S'T",
    "a  b", "a   b", " a", "  a", "a ", "a  ", "a\n", "\n\na", "a\n\nb", "a\r\nb", " \n a", "a \n", "\t\ta", "a\tb \t c", "\n \n \n", " \r\n\r\n x",
    "a\u00a0b", "a\u00a0\u00a0b", "\u3000\u3000x", "a\u2003 b", "a\u2028b\u2029c", "a\u0085b", "a\u180eb", "\u200bx\u200b", "\ufeffx", "\x0b\x0cx\x1cy\x1f",
    "1", "12", "123", "1234", "12345678901", " 123 4567", "3.14159", "1,000,000", "x1y22z333", "\u0661\u0662\u0663\u0664", "\u00bd\u00b2\u00b3 x\u00b2", "\u2167 \u3007",
    "\u0915\u094d\u0937\u0947\u0924\u094d\u0930", "e\u0301e\u0301", "Z\u0351\u036b\u0343algo", "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f1e9\U0001f1ea \u2764\ufe0f", "\U0001d518\U0001d52b\U0001d526", "\U00020000\U0002a6d6",
    "\u673a\u5668\u4eba\u8d70\u4e86\u3002", "\u30ed\u30dc\u30c3\u30c8\u306f\u8d64\u3044", "\ub85c\ubd07\uc774 \ube68\uac04", "\u1112\u1161\u11ab",
    "\u043a\u0440\u0430\u0441\u043d\u044b\u0439 \u043c\u044f\u0447", "\u03c4\u03bf \u03ba\u03cc\u03ba\u03ba\u03b9\u03bd\u03bf", "Stra\u00dfe \u00c4\u00d6\u00dc \ufb01\ufb02 \u0130\u0131",
    "\u0627\u0644\u0631\u0648\u0628\u0648\u062a \u064a\u0636\u0639", "\ue000\uf8ff", "\uffff\ufffe", "\U0010ffff", "\x01\x02\x7f\x80", "\u00ad\u00a1\u00ac\u00ae",
    "<|endoftext|>", "a<|endoftext|>b", " <|endoftext|> ", "<|endoftext|><|endoftext|>", "<|endoftext", "<<|endoftext|>>", "<|end_of_text|>x<|begin_of_text|>", "</s>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "e" * 100, "ababababababab", "the" * 40, "=" * 70, " " * 70 + "x", "." * 33 + " " + "!" * 31, "\n" * 20, "1" * 40,
    "for (int i = 0; i < n; i++) {\n\ttotal += value[i];\n}\n", "https://example.org/a_b?c=1&d=%20#x", "a_b__c-d--e", "C++ C# .NET $5.00 50% #1 @me",
    "go to the green door, then open it", "Question: what is red? the ball", "x  \u0085  \u00a0  \u1680  \u2000  \u200a  \u2028  \u2029  \u202f  \u205f  \u3000  \x0b  \x1c  \u180e  \u200b  \ufeff  ",
    "\u201cquoted\u201d \u2014 dash\u2026 \u00abx\u00bb",
]


def mixed(seed):
    """Characters of everywhere in random order."""
    draw = random.Random(seed)
    ranges = [(0x20, 0x7e), (0x20, 0x20), (9, 13), (0xa0, 0x24f), (0x300, 0x3ff), (0x400, 0x4ff), (0x590, 0x6ff), (0x900, 0xdff), (0x1100, 0x11ff),
              (0x2000, 0x206f), (0x2100, 0x21ff), (0x3000, 0x30ff), (0x4e00, 0x4fff), (0xac00, 0xadff), (0x1f300, 0x1f6ff), (0x10000, 0x103ff)]
    out = []
    for _ in range(60):
        low, high = draw.choice(ranges)
        out += [chr(draw.randint(low, high)) for _ in range(draw.randint(1, 3))]
    return "".join(out)


def trained(words, special, vocabulary=460, **model):
    t = Tokenizer(models.BPE(**model))
    t.pre_tokenizer = words
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(LINES * 4, trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return t


def odd():
    """Random merges of the letters a to c, each listed where chance has it."""
    draw = random.Random(5)
    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokens, merges = list("abc"), []
    while len(merges) < 260:
        pair = draw.choice(tokens), draw.choice(tokens)
        word = "".join(pair)
        if pair in merges or len(word) > 6:
            continue
        merges.append(pair)
        if word not in vocabulary:
            vocabulary[word] = len(vocabulary)
            tokens.append(word)
    draw.shuffle(merges)
    for pair in ("y", "z"), ("x", "y"), ("x", "yz"): # the second is possible at first, and gone when its turn comes
        merges.append(pair)
        vocabulary["".join(pair)] = len(vocabulary)
    t = Tokenizer(models.BPE(vocabulary, merges))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    return t


def write(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=True, separators=(",", ":"))
        f.write("\n")


def main():
    out = os.path.join(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)), "bpe")
    os.makedirs(os.path.join(out, "pair"), exist_ok=True)
    gpt2 = trained(pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"])
    prefix = trained(pre_tokenizers.ByteLevel(add_prefix_space=True), [], 400)
    # ignore_merges shows only where a word is a token that its merges do not reach
    llama3 = trained(pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), [])
    file = json.loads(llama3.to_str())
    n = len(file["model"]["vocab"])
    for word in ("\u0120things", "==", "123"):
        if word not in file["model"]["vocab"]:
            file["model"]["vocab"][word] = n
            n += 1
    file["model"]["ignore_merges"] = True
    llama3 = Tokenizer.from_str(json.dumps(file))
    llama3.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in ("<|begin_of_text|>", "<|end_of_text|>")])
    llama3.add_tokens([AddedToken("<|end", normalized=True), AddedToken("\u00e9\u00e8", normalized=True)])

    draw = random.Random(6)
    texts = TEXTS + ["xyz", "xyxyzz"] + [mixed(seed) for seed in range(6)] + ["".join(draw.choices("abc", k=draw.randint(2, 24))) for _ in range(60)]
    both = {"gpt2": gpt2, "prefix": prefix, "llama3": llama3, "odd": odd()}
    for name, t in both.items():
        file = json.loads(t.to_str())
        if name not in ("prefix", "odd"):
            file["model"]["merges"] = [" ".join(m) if isinstance(m, list) else m for m in file["model"]["merges"]]
        write(os.path.join(out, name + ".json"), file)
    model = json.loads(gpt2.to_str())["model"]
    write(os.path.join(out, "pair", "vocab.json"), model["vocab"])
    with open(os.path.join(out, "pair", "merges.txt"), "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in model["merges"]))
    rows = [{"text": s, **{name: t.encode(s, add_special_tokens=False).ids for name, t in both.items()}} for s in texts]
    with open(os.path.join(out, "texts.json"), "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(r, ensure_ascii=True, separators=(",", ":")) for r in rows) + "\n]\n")


main()
