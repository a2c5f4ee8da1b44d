#!/bin/sh
# suite.sh - pipelines/table.sh over results that are written by hand, and pipelines/suite.mk at a size of seconds, its worlds being gato's own grid.
. "$(dirname "$0")/../vqvae_common.sh"

# act DIR TASK PLAYER RETURN SUCCESS LOW HIGH: what gato act prints, as far as the table reads it
act() {
    mkdir -p "$1/$2"
    printf '{"env":"e","task":"%s","policy":"p","return_mean":%s,"return_std":1,"success_rate":%s,"success_ci":[%s,%s],"length_mean":5}\n' "$2" "$4" "$5" "$6" "$7" >"$1/$2/act-$3.json"
}
act t push expert -2 1 0.9 1
act t push random -10 0 0 0.1
act t push policy -4 0.5 0.4 0.6
act t pull expert 5 0.75 0.7 0.8
act t pull random 5 0.25 0.2 0.3
act t pull policy 5 0.25 0.2 0.3
sh "$top/pipelines/table.sh" t t.json 'expert random policy' push pull >out 2>err
verdict $? "a table"
grep -Eq '^  push +policy +-4.000 +50.0% +40.0 to 60.0 +0.750$' out && grep -Eq '^  pull +policy +5.000 +25.0% +20.0 to 30.0 +null$' out &&
    grep -Eq '^  mean +policy +37.5% +0.750$' out
verdict $? "its rows: an expert that is no better than chance normalizes nothing"
[ "$(grep -c . t.json)" -eq 2 ] && grep -q '"policy":{"return":-4,"success_rate":0.5,"success_ci":\[0.4,0.6\],"normalized":0.750}' t.json
verdict $? "the same as JSON"

if ! gato --version | grep -q '^hdf5: yes' || [ -n "${SANITIZED:-}" ]; then
    skip "the pipeline" "built without HDF5, or under a sanitizer"
    finish
fi
cat >pipeline.sh <<X
#!/bin/sh
cd '$top' || exit 1
unset MAKEFLAGS MAKELEVEL
exec make -f pipelines/suite.mk BIN='$(dirname "$(command -v gato)")' D='$dir/d' SUITE=arm TASKS=grid RECORD= EPISODES=10 STEPS=6 PLAY=3 \\
    VQ_SET="train.steps=6 train.warmup_no_quant=2 train.tensorboard=false" GATO_SET="train.batch=4 model.context=200 model.control_text=true data.holdout=0.1 train.tensorboard=false" "\$@"
X
sh pipeline.sh >out 2>err
verdict $? "a suite"
grep -Eq '^  grid +policy ' out && grep -Eq '^  mean +blank ' out && [ "$(sed 's/.*"policy":{"return":\([-0-9.e]*\),.*/\1/' d/suite.json)" = "$(sed 's/.*"return_mean":\([-0-9.e]*\).*/\1/' d/grid/act-policy.json)" ]
verdict $? "its table"
sh pipeline.sh >out 2>err
[ $? -eq 0 ] && ! grep -q 'gato train' out
verdict $? "a finished suite does nothing"
finish
