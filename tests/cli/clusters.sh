#!/bin/sh
# clusters.sh - what batch systems and shared file systems do to the programs: a part of the processors, data that lie
# elsewhere on every machine, file systems without locks, two jobs on one RUN, limits on file sizes and on addresses.
. "$(dirname "$0")/../tokenize_common.sh"

check() { # WHAT GOT WANTED
    [ "$2" = "$3" ]
    verdict $? "$1: got '$2', wanted '$3'"
}
SMALL='model.block_out_channels=[8,8] model.norm_num_groups=4 model.num_vq_embeddings=16 model.vq_embed_dim=4 data.size=32 train.warmup_no_quant=1 train.batch=2 train.tensorboard=false'
train() { # RUN STEPS OPTIONS...
    run=$1 steps=$2
    shift 2
    # shellcheck disable=SC2086
    exec vqvae train --out "$run" --steps "$steps" --seed 1 --threads 1 "$@" --set $SMALL
}
trains() { (train "$@") >out 2>err; }

small_model m 1
mkdir -p a/pics b/pics "c d" # three places of the same data, one of another name
i=0
for f in "$top"/data/clipart/animals_[a-d]*.png; do
    i=$((i + 1))
    [ "$i" -le 9 ] || break
    cp "$f" a/pics/
done
cp a/pics/* b/pics/
cp -r a/pics "c d/other"

# --- processors
if command -v taskset >/dev/null && [ "$(nproc)" -ge 2 ]; then
    first=$(taskset -pc $$ | sed 's/.*: //; s/[,-].*//')
    threads() { # of a training with --threads $1 on one processor
        taskset -c "$first" vqvae train --out "t$1" --steps 1000000 --seed 1 --data a/pics --threads "$1" --set $SMALL >out 2>err &
        pid=$!
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            sleep 0.3
            [ -s "t$1/metrics.jsonl" ] && break
        done
        find "/proc/$pid/task" -mindepth 1 -maxdepth 1 | wc -l
        kill -9 $pid
        wait $pid 2>/dev/null
    }
    check "threads on one processor" "$(threads 0)" "$(threads 1)"
else
    skip affinity "one processor, or no taskset"
fi

# --- data under another path
part() { works "part $2 from $1" images --in "$1" --model m --out "$2.lmdb" --shard "$2/3"; }
part a/pics 0
part b/pics/ 1
part "c d/other" 2
works "parts from three places" merge --out all.lmdb 2.lmdb 1.lmdb 0.lmdb
works "one run" images --in a/pics --model m --out one.lmdb
same "parts of three places are one run" all.lmdb one.lmdb
works "merged again" merge --out all.lmdb 0.lmdb 1.lmdb 2.lmdb
for in in a/pics/ b/pics "c d/other//"; do
    works "complete, from $in" images --in "$in" --model m --out one.lmdb
done
tokenize info one.lmdb 2>err | grep -q '"source":"a/pics"'
verdict $? "the shard shows its first path"
cp -r b/pics changed
printf x >>"changed/$(ls changed | head -n 1)"
exits 4 "manifest" images --in changed --model m --out one.lmdb
works "a part of other data" images --in changed --model m --out 9.lmdb --shard 2/3
exits 4 "another list of items" merge --out no.lmdb 0.lmdb 1.lmdb 9.lmdb
exits 4 "limit" images --in b/pics --model m --out one.lmdb --limit 3

# Killed under one path, gone on with under the next: as if nothing had happened.
seq 1 4000 | sed 's/$/ is a line of a text/' >lines.txt
mkdir x y && cp lines.txt x/ && cp lines.txt y/texts.txt
tokenize text --in x/lines.txt --out whole.lmdb >out 2>err
for n in 0 1; do
    works "texts, part $n" text --in "$([ $n = 0 ] && echo x/lines.txt || echo y/texts.txt)" --out "t$n.lmdb" --shard $n/2
done
works "texts of two places" merge --out texts.lmdb t0.lmdb t1.lmdb
same "texts of two places are one run" texts.lmdb whole.lmdb
tokenize images --in a/pics --model m --out stop.lmdb --batch 1 --limit 9 >out 2>err &
pid=$!
i=0
until [ -e stop.lmdb/data.mdb ] || [ $((i += 1)) -gt 200 ]; do sleep 0.05; done # only a shard that was begun keeps its path
sleep 0.05
kill -TERM $pid 2>/dev/null
wait $pid
works "goes on under another path" images --in "c d/other" --model m --out stop.lmdb --batch 1 --limit 9
tokenize images --in a/pics --model m --out limit.lmdb --limit 9 >out 2>err
# Stopped before its first record, the shard shows the second path: only the records must be equal.
for x in stop limit; do tokenize dump $x.lmdb 2>err | sed 's/"source":"[^"]*"//' >$x.txt; done
[ -s stop.txt ] && cmp stop.txt limit.txt
verdict $? "stopped and gone on with elsewhere"
for d in 1 2; do
    mkdir "tar$d"
    (cd a/pics && tar --format=ustar -cf "$dir/tar$d/s-000.tar" [!.]*)
done
works "tars, part 0" images --in 'tar1/s-{000..000}.tar' --model m --out r0.lmdb --shard 0/2
works "tars, part 1" images --in 'tar2/s-{000..000}.tar' --model m --out r1.lmdb --shard 1/2
works "tars of two places" merge --out tars.lmdb r0.lmdb r1.lmdb
tokenize dump one.lmdb --source a/pics/ >out 2>err && [ "$(wc -l <out)" -eq 9 ]
verdict $? "dump --source with a slash at its end"
if gato record --env reacher --policy expert --episodes 4 --out a/arm >out 2>err; then
    cp -r a/arm b/another
    works "episodes, one run" episodes --in a/arm --model m --out arm.lmdb
    works "episodes, part 0" episodes --in a/arm/ --model m --out arm0.lmdb --shard 0/2
    works "episodes, part 1" episodes --in b/another --model m --out arm1.lmdb --shard 1/2
    works "episodes of two places" merge --out arms.lmdb arm0.lmdb arm1.lmdb
    same "episodes of two places are one run" arms.lmdb arm.lmdb
    works "episodes again" episodes --in b/another --model m --out arm.lmdb
    policy() { exec gato train --data "$1" --out policy --steps "$2" --set model.width=32 model.layers=1 model.heads=2 \
        model.context=300 train.batch=2; }
    cp -r arm.lmdb b/
    (policy arm.lmdb 1000000) >out 2>err.busy &
    pid=$!
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
        [ -s policy/.lock ] && [ -s policy/metrics.jsonl ] && break
        sleep 0.2
    done
    resume() { exec gato train --data "$1" --out policy --steps 1000000 --stop-at 1 --resume --set model.width=32 \
        model.layers=1 model.heads=2 model.context=300 train.batch=2; }
    (resume arm.lmdb) >out 2>err
    check "a second training of a policy" "$? $(grep -c "'policy' is locked by pid $pid: " err)" '1 1'
    kill -TERM $pid
    wait $pid
    check "the first one stops" $? 75
    [ ! -e policy/.lock ]
    verdict $? "and leaves no lock file"
    (resume b/arm.lmdb) >out 2>err
    check "a policy's training goes on with its shard elsewhere" $? 75
else
    skip "episodes and policies" "no simulated arm"
fi
trains run 8 --data a/pics --stop-at 4
check "a training stops" $? 75
trains run 8 --data "c d/other" --resume
check "a training goes on with data elsewhere" $? 0
trains run2 8 --data b/pics
cmp run/diffusion_pytorch_model.safetensors run2/diffusion_pytorch_model.safetensors
verdict $? "its weights are those of one run"

# --- two jobs on one RUN
(train busy 1000000 --data a/pics) >out.busy 2>err.busy &
pid=$!
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    [ -s busy/.lock ] && [ -s busy/metrics.jsonl ] && break
    sleep 0.2
done
for how in --resume --force; do
    trains busy 20 --data a/pics $how
    check "a second training with $how" "$?" 1
    grep -q "'busy' is locked by pid $pid: " err
    verdict $? "it names the pid $pid"
done
kill -9 $pid
wait $pid 2>/dev/null
[ -e busy/.lock ]
verdict $? "a killed training leaves its lock file"
trains busy 20 --data a/pics --resume
check "what a killed one left stops nobody" $? 0
[ ! -e busy/.lock ] && [ ! -e run/.lock ] && [ ! -e run2/.lock ]
verdict $? "no lock file in a RUN that nobody trains"

# --- file systems without locks
cat >none.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
int flock(int fd, int op) { (void)fd, (void)op; errno = atoi(getenv("LOCK_ERRNO")); return -1; }
static int any(const char *name, int fd, int cmd, void *arg) {
    int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, name);
    if (getenv("FLOCK_ONLY") || (cmd != F_SETLK && cmd != F_SETLKW && cmd != F_OFD_SETLK)) return real(fd, cmd, arg);
    errno = atoi(getenv("LOCK_ERRNO"));
    return -1;
}
#define ARG va_list a; va_start(a, cmd); void *arg = va_arg(a, void *); va_end(a)
int fcntl(int fd, int cmd, ...) { ARG; return any("fcntl", fd, cmd, arg); }
int fcntl64(int fd, int cmd, ...) { ARG; return any("fcntl64", fd, cmd, arg); }
C
preload() { [ -z "${SANITIZED:-}" ] && ${CC:-cc} -shared -fPIC -o "$1.so" "$1.c" -ldl 2>cc.err; }
if preload none; then
    without() { (export LD_PRELOAD="$dir/none.so" LOCK_ERRNO=$e; "$@") >out 2>err; }
    works "with locks" text --in lines.txt --out plain.lmdb
    gato record --env reacher --policy expert --episodes 2 --out good >out 2>err
    recorded=$?
    for e in 37 38 95 524; do
        without tokenize text --in lines.txt --out "n$e.lmdb"
        check "errno $e: a shard is written" $? 0
        check "errno $e: one warning" "$(grep -c 'has no locks' err)" 1
        same "errno $e: the shard" "n$e.lmdb" plain.lmdb
        without tokenize dump "n$e.lmdb"
        check "errno $e: a shard is read" $? 0
        without train "r$e" 4 --data a/pics
        check "errno $e: a training" $? 0
        [ ! -e "r$e/.lock" ] && [ ! -e "n$e.lmdb.lock" ]
        verdict $? "errno $e: no lock files stay"
        if [ $recorded -eq 0 ]; then
            without gato record --env reacher --policy expert --episodes 2 --out "h$e"
            check "errno $e: a dataset is written" $? 0
            cmp good/data/main_data.hdf5 "h$e/data/main_data.hdf5"
            verdict $? "errno $e: with the same bytes"
            without tokenize episodes --in good --keep-pixels --out "e$e.lmdb"
            check "errno $e: a dataset is read" $? 0
        fi
    done
    e=11 # EWOULDBLOCK: another process, and nothing else is
    export FLOCK_ONLY=1
    without tokenize text --in lines.txt --out n11.lmdb
    check "EWOULDBLOCK" "$? $(grep -c 'another process is writing it' err)" '1 1'
    e=5 # EIO: no lock, and no other process either
    without tokenize text --in lines.txt --out n5.lmdb
    check "EIO" "$? $(grep -c 'another process' err) $(grep -c 'cannot lock' err)" '1 0 1'
else
    skip "file systems without locks" "no compiler, or sanitizers"
fi

# --- limits on file sizes: one line that names the file, status 1, for whatever writes
limited() { # BLOCKS COMMAND...: stderr is a pipe
    n=$1
    shift
    { (
        ulimit -f "$n"
        exec "$@" 2>&1 >/dev/null
    ); echo "status $?"; } 2>&1 | cat >limit.out
    [ "$(tail -n 1 limit.out)" = 'status 1' ] && tail -n 2 limit.out | grep -q "'.*file size limit (ulimit -f)"
    verdict $? "ulimit -f $n: $*: $(tail -n 2 limit.out | tr '\n' ' ')"
}
works "a part to merge" images --in a/pics --model m --out part.lmdb --shard 0/1
# 0 and 1 end where a file is made, 8 and 40 in its middle: whoever writes less than that much is not asked.
gato record --env reacher --policy expert --episodes 1 --out lr >out 2>err
recorded=$?
for n in 8 40; do
    limited $n vqvae train --data a/pics --out "l$n" --steps 4 --set $SMALL
    limited $n tokenize images --in a/pics --model m --keep-pixels --out "lk$n.lmdb"
    limited $n tokenize text --in lines.txt --out "lt$n.lmdb"
    if [ $recorded -eq 0 ]; then
        limited $n gato record --env reacher --policy expert --episodes 4 --out "lg$n"
    fi
done
for n in 0 1; do
    limited $n vqvae train --data a/pics --out "l$n" --steps 4 --set $SMALL
    limited $n vqvae reconstruct --model m --data a/pics --out "lr$n"
    limited $n vqvae report m
    limited $n vqvae import --from diffusers --weights m/diffusion_pytorch_model.safetensors --config m/config.json --out "li$n"
    limited $n vqvae trace --model m --image "$(ls "$top"/data/clipart/animals_a*.png | head -n 1)" --out "l$n.st"
    limited $n tokenize images --in a/pics --model m --out "l$n.lmdb"
    limited $n tokenize text --in lines.txt --out "lt$n.lmdb"
    limited $n tokenize decode --model m --in one.lmdb --out "ld$n"
    limited $n tokenize merge --out "lm$n.lmdb" part.lmdb
    if [ $recorded -eq 0 ]; then
        limited $n gato record --env reacher --policy expert --episodes 1 --out "lg$n"
    fi
done
for command in 'tokenize dump one.lmdb' 'vqvae info m' 'gato --help' 'vqvae train --help-config' 'tokenize --version'; do
    # shellcheck disable=SC2086
    (ulimit -f 0; exec $command 2>&1 >full) | cat >limit.out
    grep -q 'standard output: .*file size limit' limit.out
    verdict $? "$command to a file that may not grow"
done

# --- limits on addresses: an end with 0 or 1 within seconds, and the same need on any machine
if [ -z "${SANITIZED:-}" ]; then
    for mb in 60 80 100 130 160 190 250 400 1000; do
        (ulimit -c 0; ulimit -v $((mb * 1024)); exec timeout -s KILL 20 tokenize --version) >out 2>err
        rc=$?
        [ $rc -ne 137 ] && [ $rc -lt 128 ]
        verdict $? "ulimit -v $mb MB: --version ends with $rc"
        # shellcheck disable=SC2086
        (
            ulimit -c 0
            ulimit -v $((mb * 1024))
            exec timeout -s KILL 20 vqvae train --data a/pics --out "v$mb" --steps 3 --seed 1 --set $SMALL
        ) >out 2>err
        rc=$?
        [ $rc -le 1 ] || [ $rc -eq 127 ] # 127: the libraries cannot be mapped at all
        verdict $? "ulimit -v $mb MB: a training ends with $rc"
    done
fi
# Memory that runs out in the thread that reads episodes ends the program too; it never hangs. A signal other than the
# time-out's is let through: near 188 MB HDF5 itself writes to the NULL of an allocation that failed (SIGSEGV in
# H5S__extent_copy_real, from H5Dopen; libhdf5 1.10.8).
if [ -z "${SANITIZED:-}" ] && [ $recorded -eq 0 ]; then
    gato record --env reacher --policy expert --episodes 4 --out limits >out 2>err
    for mb in $(seq 160 4 232); do
        rm -rf limits.lmdb
        (
            ulimit -c 0
            ulimit -v $((mb * 1024))
            exec timeout -s KILL 5 tokenize episodes --in limits --model m --out limits.lmdb --threads 2
        ) >out 2>err
        rc=$?
        [ $rc -ne 137 ] && ! grep -q HDF5-DIAG err
        verdict $? "ulimit -v $mb MB: episodes end with $rc"
    done
fi
cat >many.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>
int get_nprocs(void) { return 64; }
int get_nprocs_conf(void) { return 64; }
long sysconf(int n) {
    if (n == _SC_NPROCESSORS_CONF || n == _SC_NPROCESSORS_ONLN) return 64;
    long (*real)(int) = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
    return real(n);
}
int sched_getaffinity(pid_t p, size_t size, cpu_set_t *set) {
    (void)p;
    memset(set, 0, size);
    memset(set, 255, 8);
    return 0;
}
C
sed 's/64/2/g; s/255, 8/3, 1/' many.c >few.c
cat >peak.c <<'C'
#include <stdio.h>
#include <string.h>
__attribute__((destructor)) static void peak(void) {
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "VmPeak", 6) || !strncmp(line, "Threads", 7)) fputs(line, stderr);
}
C
if preload many && preload few && preload peak; then
    for program in vqvae tokenize gato; do
        LD_PRELOAD=$dir/many.so:$dir/peak.so $program --version 2>many.txt >out
        LD_PRELOAD=$dir/few.so:$dir/peak.so $program --version 2>few.txt >out
        grep -q VmPeak few.txt && cmp few.txt many.txt && grep -q 'Threads:.*[^0-9]1$' many.txt
        verdict $? "$program --version on 2 and on 64 processors: $(cat few.txt many.txt | tr -s '\t\n' ' ')"
    done
    grep -q '^openblas: OpenBLAS ' out
    verdict $? "--version tells OpenBLAS's configuration"
else
    skip "64 processors" "no compiler, or sanitizers"
fi
finish
