#!/bin/sh
# vqvae_cache.sh - images that `vqvae train` keeps (data.cache, data.cache_file) change no byte of what is trained: nothing
# kept, little, all, in a file that is cold, warm, damaged, shared with another run, or left by a killed one.
. "$(dirname "$0")/../vqvae_common.sh"

images 24 pics
"${PYTHON:-python3}" - >out 2>err <<'X2' || skip "a large JPEG" "python3 has no PIL"
from PIL import Image
image = Image.radial_gradient("L").resize((1300, 900))
image.save("pics/large.jpg")
image.save("pics/large.png")
X2

# kept NAME A B: the trained numbers are the same; training.json differs in the settings of the cache alone.
kept() {
    same_numbers "$2" "$3" >out 2>&1
    verdict $? "$1"
}
without_cache() { sed -E 's/"(cache|cache_file)": *("[^"]*"|[0-9.e-]*)//g' "$1"; }
same_numbers() {
    for f in diffusion_pytorch_model.safetensors tokenizer.json config.json; do
        cmp "$1/$f" "$2/$f" || return 1
    done
    without_cache "$1/training.json" >json.a
    without_cache "$2/training.json" >json.b
    timeless "$1/metrics.jsonl" >lines.a
    timeless "$2/metrics.jsonl" >lines.b
    cmp json.a json.b && cmp lines.a lines.b
}

for crop in center random resized; do
    set -- --set data.crop=$crop --set data.flip=true
    train off-$crop --set data.cache=0 "$@"
    verdict $? "$crop: nothing is kept"
    train on "$@" --force
    kept "$crop: all in memory" off-$crop on
    train tiny --set data.cache=1e-7 "$@" --force --threads 3
    kept "$crop: next to nothing in memory" off-$crop tiny
    grep -q 'data.cache_file=F keeps all in a file' err
    verdict $? "$crop: and what would help is said"
    train cold --set data.cache=0 --set data.cache_file=all.cache "$@" --force
    kept "$crop: a cold file" off-$crop cold
    grep -Eq "'all.cache': [0-9]+ images, 2[46] of them new" err
    verdict $? "$crop: what it added: $(grep all.cache err)"
    train warm --set data.cache=0 --set data.cache_file=all.cache "$@" --force --threads 2
    kept "$crop: a warm file" off-$crop warm
    grep -q "images, 0 of them new" err
    verdict $? "$crop: nothing new: $(grep all.cache err)"
done

train off-center --set data.cache=0 --force # without flips from now on

# --- damage
cp all.cache whole.cache
printf 'damage' | dd of=all.cache bs=1 seek=5000 conv=notrunc 2>/dev/null
train damaged --set data.cache_file=all.cache --set data.cache=0
kept "a damaged file" off-center damaged
grep -q "warning: 'all.cache' is damaged" err
verdict $? "and it is told: $(grep warning err)"
head -c 3000 whole.cache >all.cache
train cut --set data.cache_file=all.cache
kept "half a file" off-center cut
echo "my letters" >letters
exits 2 "'letters' is no cache of images" train --data pics --config tiny.json --out new --set data.cache_file=letters
echo "my letters" | cmp - letters
verdict $? "a file of others is left alone"
exits 2 "cannot open 'none/c'" train --data pics --config tiny.json --out new --set data.cache_file=none/c
[ ! -e new ]
verdict $? "nothing is left behind"

# --- two at once, killed ones
rm all.cache
for n in 1 2 3; do
    vqvae train --data pics --config tiny.json --threads 1 --out "pair$n" --set data.cache=0 --set data.cache_file=all.cache >out$n 2>err$n &
done
wait
for n in 1 2 3; do kept "run $n of three over one new file" off-center "pair$n"; done
vqvae train --data pics --config tiny.json --threads 1 --out one --set data.cache_file=one.cache >out 2>err
[ "$(wc -c <all.cache)" -le $(($(wc -c <one.cache) + 3000)) ]
verdict $? "each image is in it once: $(wc -c all.cache one.cache | tr '\n' ' ')"
for t in 0.02 0.05 0.1 0.2; do
    rm -rf killed killed.cache
    for _ in 1 2; do
        vqvae train --data pics --config tiny.json --threads 1 --out killed --resume --set data.cache=0 --set data.cache_file=killed.cache >out 2>err &
        pid=$!
        sleep "$t"
        kill -s KILL $pid 2>/dev/null
        wait $pid 2>/dev/null
    done
    train killed --resume --set data.cache=0 --set data.cache_file=killed.cache
    kept "kill -9 twice after $t s, then --resume with the same file" off-center killed
done

# --- an image that changed
other=$top/data/clipart/$(ls "$top/data/clipart" | tail -n 1)
find pics -name '*.png' ! -name 'large*' | LC_ALL=C sort | head -n 4 | while read -r f; do cp "$other" "$f"; done
train changed --set data.cache=0
train changed2 --set data.cache=0 --set data.cache_file=one.cache
kept "a changed image is read anew" changed changed2
! cmp -s changed/diffusion_pytorch_model.safetensors off-center/diffusion_pytorch_model.safetensors
verdict $? "and it matters"

# --- what writes no file
rm -f dry.cache
works "a dry run" train --data pics --config tiny.json --out dry --dry-run --set data.cache_file=dry.cache
works "eval" eval --model one --data pics
[ ! -e dry.cache ] && ! grep -q one.cache err
verdict $? "neither writes the file"
finish
