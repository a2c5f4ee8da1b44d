#!/bin/sh
# same_bytes.sh BIN OUT - runs a fixed set of small commands of the three programs and lists a hash of everything they
# write: RUNs, shards (as their dumps), traces, images, episodes, JSON on stdout. A change that promises the same
# behavior is proven by two equal lists:
#
#   sh tests/same_bytes.sh build/bin before.txt        (then the change, then make)
#   sh tests/same_bytes.sh build/bin after.txt && diff before.txt after.txt
#
# Not listed is what may differ between two runs of one program: seconds, rates, and the name of the folder.
set -u
[ $# -eq 2 ] || { echo "usage: sh tests/same_bytes.sh BIN OUT" >&2; exit 2; }
BIN=$(cd "$1" && pwd) || exit 2
top=$(cd "$(dirname "$0")/.." && pwd)
case $2 in /*) list=$2 ;; *) list=$PWD/$2 ;; esac
PATH=$BIN:$PATH
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
cd "$work" || exit 1
: >"$list"
ln -s "$top/data" data
failed=0

# run NAME COMMAND...: stdout to NAME.json; a failure is a line of the list.
run() {
    name=$1
    shift
    "$@" >"$name.json" 2>"$name.log"
    rc=$?
    if [ "$rc" -ne 0 ] && [ "$rc" -ne 75 ]; then
        echo "status $rc of $name: $(tail -n 1 "$name.log")" | tee -a "$list" >&2
        failed=1
    fi
}
timeless() {
    sed -E 's/"(wall|seconds|[a-z_]+_per_s|step_ms_p[0-9]+)":[^,}]*//g' "$1"
}
# keep FILE...: one line of the list each; folders file by file, shards by their dump.
keep() {
    for path in "$@"; do
        if [ -f "$path/data.mdb" ]; then
            printf '%s  %s\n' "$(tokenize dump "$path" | sha256sum | cut -c1-32)" "$path (dump)" >>"$list"
        elif [ -d "$path" ]; then
            find "$path" -type f ! -name 'events.out.*' | LC_ALL=C sort >files
            while read -r file; do keep_file "$file"; done <files
        else
            keep_file "$path"
        fi
    done
}
keep_file() {
    case $1 in
    *.json | *.jsonl) hash=$(timeless "$1" | sha256sum) ;;
    *) hash=$(sha256sum <"$1") ;;
    esac
    printf '%s  %s\n' "$(echo "$hash" | cut -c1-32)" "$1" >>"$list"
}

cat >small.json <<'J'
{"model": {"block_out_channels": [8, 8, 16], "latent_channels": 8, "vq_embed_dim": 8, "num_vq_embeddings": 32, "norm_num_groups": 4},
 "train": {"steps": 24, "batch": 4, "warmup_no_quant": 8, "save_every": 12, "eval_every": 12, "log_every": 4},
 "data": {"size": 32, "holdout": 0.1}, "optim": {"warmup": 4}}
J
# --- stage 1
vqvae_run() { # RUN SETTINGS...
    out=$1
    shift
    run "train-$out" vqvae train --data data/clipart=0.3 data/photos=0.2 data/reacher=0.5 --config small.json --seed 1 --out "$out" "$@"
    keep "$out"
}
for kind in ema ste simvq rotation l2; do vqvae_run "vq-$kind" --set quantizer.kind=$kind; done
vqvae_run vq-fsq --set quantizer.kind=fsq 'quantizer.levels=[8,5,5]' model.vq_embed_dim=3 model.num_vq_embeddings=200
vqvae_run vq-focus --set loss.focus=10 loss.rec=mse train.weight_average=0.9
vqvae_run vq-gan --set loss.disc=0.1 loss.disc_start=12 train.accumulate=2
vqvae_run vq-crop --set data.crop=resized data.flip=true optim.kind=adamw optim.weight_decay=0.01
run stop vqvae train --data data/clipart --config small.json --seed 1 --out vq-resumed --stop-at 10
run resume vqvae train --data data/clipart --config small.json --seed 1 --out vq-resumed --resume
keep vq-resumed
run init vqvae train --data data/photos --config small.json --init vq-ema --seed 2 --out vq-tuned --set train.warmup_no_quant=0
keep vq-tuned
run eval vqvae eval --model vq-ema --data data/clipart data/photos data/reacher --limit 40 --object 255,0,0
run reconstruct vqvae reconstruct --model vq-ema --data data/photos --limit 4 --out reconstructed
run info vqvae info vq-ema
run report vqvae report vq-ema --data data/photos
image=$(find data/photos/ -name '*.png' -o -name '*.jpg' | LC_ALL=C sort | head -n 1)
python3 - "$top" <<'P' || failed=1
import sys, zlib, struct
def png(path, w, h, f):
    rows = b''.join(b'\0' + bytes(v for x in range(w) for v in f(x, y)) for y in range(h))
    chunk = lambda t, d: struct.pack('>I', len(d)) + t + d + struct.pack('>I', zlib.crc32(t + d))
    open(path, 'wb').write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, 8, 2, 0, 0, 0))
                           + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))
for n in range(6):
    png('i%d.png' % n, 32, 32, lambda x, y: ((x * 7 + n * 31) % 256, (y * 5 + n * 17) % 256, (x * y + n) % 256))
open('captions.jsonl', 'w').write(''.join('{"image":"i%d.png","caption":"image number %d"}\n' % (n, n) for n in range(6)))
open('plain.txt', 'w').write(''.join('line %d of a plain text\n' % n for n in range(40)))
P
run trace vqvae trace --model vq-ema --image i0.png i1.png --out trace.safetensors
run trace-train vqvae trace --train --steps 2 --model vq-ema --image i0.png i1.png --out trace-train.safetensors
keep eval.json reconstruct.json reconstructed info.json trace.safetensors trace-train.safetensors
keep vq-ema/report.html

# --- stage 2
run images tokenize images --in data/photos --model vq-ema --keep-pixels --out images.lmdb
run fsq tokenize images --in data/clipart --model vq-fsq --limit 50 --out fsq.lmdb
run part0 tokenize images --in data/clipart --model vq-ema --limit 60 --shard 0/2 --out part0.lmdb
run part1 tokenize images --in data/clipart --model vq-ema --limit 60 --shard 1/2 --out part1.lmdb
run merge tokenize merge --out merged.lmdb part0.lmdb part1.lmdb
run episodes tokenize episodes --in data/reacher --model vq-ema --keep-pixels --out episodes.lmdb
run spread tokenize episodes --in data/reacher --model vq-ema --frames 4 --spread --out spread.lmdb
run captions tokenize text --in captions.jsonl --model vq-ema --keep-pixels --out captions.lmdb
run text tokenize text --in plain.txt --out text.lmdb
run decode tokenize decode --model vq-ema --in episodes.lmdb --limit 2 --out decoded
run shard-info tokenize info episodes.lmdb
run verify tokenize verify images.lmdb --model vq-ema
keep images.lmdb fsq.lmdb merged.lmdb episodes.lmdb spread.lmdb captions.lmdb text.lmdb decoded shard-info.json verify.json merge.json

# --- stage 3
cat >policy.json <<'J'
{"model": {"width": 32, "layers": 2, "heads": 2, "context": 512, "bins": 64, "dropout": 0.1},
 "train": {"steps": 12, "batch": 4, "save_every": 6, "eval_every": 6, "log_every": 2}, "optim": {"warmup": 3}, "data": {"holdout": 0.3}}
J
policy() { # RUN SETTINGS...
    out=$1
    shift
    run "train-$out" gato train --data episodes.lmdb=2 captions.lmdb text.lmdb --vqvae vq-ema --config policy.json --seed 1 --out "$out" "$@"
    run "eval-$out" gato eval --model "$out" --data episodes.lmdb captions.lmdb --split all
    run "trace-$out" gato trace --model "$out" --data episodes.lmdb --id 1 --out "trace-$out.safetensors"
    run "act-$out" gato act --env reacher --policy model --model "$out" --episodes 2 --seed 3
    keep "$out" "eval-$out.json" "trace-$out.safetensors" "act-$out.json"
}
policy codes
policy merged --set model.merge=4 model.vector_in=linear model.code_norm=white loss.action_kind=mse
policy table --set model.image_in=table loss.image=0.5
policy both --set model.image_in=both loss.action_kind=mix
policy patches --set model.image_in=patches model.patch_pos=gato
policy horizon --set loss.image=1 loss.horizon=2 model.merge=2
# Two bodies in one policy: other images, numbers here and a choice of seven there, and a text.
run record-grid gato record --env grid --policy expert --episodes 8 --seed 5 --out recorded-grid
run grid tokenize episodes --in recorded-grid --model vq-ema --out grid.lmdb
run train-mixed gato train --data episodes.lmdb=2 grid.lmdb --vqvae vq-ema --config policy.json --seed 1 --out mixed \
    --set data.balance=task model.merge=4 model.vector_in=linear loss.action_kind=mse
run eval-mixed gato eval --model mixed --data episodes.lmdb grid.lmdb --split all
run trace-mixed gato trace --model mixed --data grid.lmdb --id 1 --out trace-mixed.safetensors
for body in reacher grid; do run "act-mixed-$body" gato act --env "$body" --policy model --model mixed --episodes 2 --seed 3; done
run mixed-info gato info mixed
keep recorded-grid grid.lmdb mixed eval-mixed.json trace-mixed.safetensors act-mixed-reacher.json act-mixed-grid.json mixed-info.json
run record gato record --env reacher --policy expert --episodes 3 --burst 0.15 --noise 0.3 --seed 5 --out recorded
run record-model gato record --env reacher --policy model --model codes --episodes 2 --seed 5 --out recorded-model
run act-expert gato act --env reacher --policy expert --episodes 4 --seed 3
run gato-info gato info codes
keep recorded recorded-model act-expert.json gato-info.json

echo "$(wc -l <"$list") hashes in $2"
[ "$failed" -eq 0 ]
