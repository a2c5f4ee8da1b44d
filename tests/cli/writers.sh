#!/bin/sh
# writers.sh - nothing that a program writes is refused by the program that reads it: every command's files, under names with quotes,
# spaces, signs and letters beyond ASCII, from sources that give no numbers for some metrics. Formats by themselves: test_writers.c.
. "$(dirname "$0")/../vqvae_common.sh"

does() { # NAME COMMAND...
    name=$1
    shift
    "$@" >out 2>err
    verdict $? "$name: $*"
}
lines() { # each line of `out` is an object to python, NaN and Infinity are not
    ! grep -q -e '[:\[,]-\?nan' -e '[:\[,]-\?inf' -e 'NaN' -e 'Infinity' out
    verdict $? "$1: only numbers that JSON has"
}
odd="a \"quoted\" name, 'x' = 3 Ü 日"
mkdir "$odd" && cd "$odd" || exit 1
images 6 plain
i=0
for f in plain/*.png; do
    i=$((i + 1))
    case $i in
    1) to='a "b".png' ;;
    2) to='ü 日.png' ;;
    3) to='back\slash.png' ;;
    4) to='x=2.png' ;;
    *) to="n$i.png" ;;
    esac
    mv "$f" "plain/$to"
done
mv plain 'pic "tures"'
cat >vq.json <<'Y'
{"model": {"block_out_channels": [8, 8, 8], "latent_channels": 8, "vq_embed_dim": 4, "num_vq_embeddings": 16, "norm_num_groups": 2},
 "train": {"steps": 3, "batch": 2, "warmup_no_quant": 1, "log_every": 1}, "data": {"size": [16, 16]}}
Y
run='RUN "1" ü'
vqvae train --data 'pic "tures"' --config vq.json --out "$run" --seed 1 --threads 1 --stop-at 2 --set optim.lr=1e-30 >out 2>err
[ $? -eq 75 ]
verdict $? "vqvae train, stopped"
vqvae train --data 'pic "tures"' --config vq.json --out "$run" --seed 1 --threads 1 --resume --set optim.lr=1e-30 >out 2>err
verdict $? "it reads its own checkpoint and metrics"
for c in info report; do does "vqvae $c" vqvae $c "$run"; done
does "vqvae eval" vqvae eval --model "$run" --data 'pic "tures"' --split all
lines eval
does "vqvae reconstruct" vqvae reconstruct --model "$run" --data 'pic "tures"' --out 'look "2"'
does "vqvae import" vqvae import --from diffusers --weights "$run/diffusion_pytorch_model.safetensors" --config "$run/config.json" --out 'again "3"'
does "vqvae info of the import" vqvae info 'again "3"'

does "tokenize images" tokenize images --in 'pic "tures"' --model "$run" --keep-pixels --out 'X "1".lmdb'
for c in info verify dump; do
    does "tokenize $c" tokenize $c 'X "1".lmdb'
    lines "$c"
done
does "tokenize decode" tokenize decode --model "$run" --in 'X "1".lmdb' --out 'back "1"'
for i in 0 1; do does "part $i" tokenize images --in 'pic "tures"' --model "$run" --keep-pixels --out "p\"$i.lmdb" --shard $i/2; done
does "merge" tokenize merge --out 'm "1".lmdb' p\"?.lmdb
does "the merged dump" tokenize dump 'm "1".lmdb'

printf 'a "quoted" line\n\tü 日\\\nsome more words here\nand these\n' >'text "1".txt'
does "tokenize text" tokenize text --in 'text "1".txt' --out 't "1".lmdb'
small='model.width=16 model.layers=1 model.heads=2 model.context=64 train.batch=2 train.log_every=1 optim.lr=1e-30'
for d in 't "1"' 'X "1"'; do # no action: metrics without a number; no text, nothing to predict but images
    p="policy of $d"
    more=
    [ "$d" = 'X "1"' ] && more='loss.image=1'
    gato train --data "$d.lmdb" --out "$p" --seed 1 --steps 3 --stop-at 2 --threads 1 --set $small $more >out 2>err
    [ $? -eq 75 ]
    verdict $? "gato train, stopped: $d"
    gato train --data "$d.lmdb" --out "$p" --seed 1 --steps 3 --resume --threads 1 --set $small $more >out 2>err
    verdict $? "gato train goes on with its own files: $d"
    does "gato info" gato info "$p"
    lines info
    does "gato eval" gato eval --model "$p" --data "$d.lmdb" --split all
    lines eval
    does "gato trace" gato trace --model "$p" --data "$d.lmdb" --out 't "1".safetensors'
    ! grep -q -i -e '[:\[,]-\?nan' -e '[:\[,]-\?inf' "$p/metrics.jsonl"
    verdict $? "metrics without NaN: $d"
done

gato record --episodes 2 --out 'rec "1" ü' --seed 1 --threads 1 >out 2>err
rc=$?
if [ $rc -eq 1 ] && grep -q 'built without' err; then
    skip "gato record" "$(head -n 1 err)"
else
    verdict $rc "gato record"
    does "its data set" tokenize episodes --in 'rec "1" ü' --model "$run" --out 'e "1".lmdb'
    does "images of it" vqvae eval --model "$run" --data 'rec "1" ü' --split all
    gato train --data 'e "1".lmdb' --vqvae "$run" --out 'arm "1"' --seed 1 --steps 2 --threads 1 --set $small >out 2>err
    verdict $? "a policy of it"
    does "at play" gato act --policy model --model 'arm "1"' --episodes 1 --threads 1
    lines act
fi
finish
