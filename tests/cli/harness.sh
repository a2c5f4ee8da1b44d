#!/bin/sh
# harness.sh - the tools around the tests: run.sh counts every way in which a test can end badly, and setup.sh does,
# reports and refuses what it promises, with stand-ins for dpkg, apt and sudo.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
passed=0
failed=0
check() { # check WHAT GOT WANTED
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        printf '%s: got "%s", wanted "%s"\n' "$1" "$2" "$3"
        failed=$((failed + 1))
    fi
}

# --- run.sh: one pretended test after the other in a tree of its own
mkdir -p "$tmp/t/tests/cli" "$tmp/t/b/tests" "$tmp/t/b/bin"
cp "$top/tests/run.sh" "$tmp/t/tests"
verdict() { # verdict BODY: the last line and the status of run.sh
    printf '#!/bin/sh\n%s\n' "$1" >"$tmp/t/b/tests/test_it"
    chmod +x "$tmp/t/b/tests/test_it"
    : >"$tmp/t/tests/test_it.c"
    TEST_TIMEOUT=2 sh "$tmp/t/tests/run.sh" "$tmp/t/b" >"$tmp/out" 2>&1
    rc=$?
    echo "$(tail -n 1 "$tmp/out") ($rc)"
}
check good "$(verdict 'echo 3 passed, 0 failed')" '3 passed, 0 failed (0)'
check skipped "$(verdict 'echo 3 passed, 0 failed, 2 skipped')" '3 passed, 0 failed (0)'
check failing "$(verdict 'echo 3 passed, 2 failed; exit 1')" '3 passed, 2 failed (1)'
check failing_with_status_0 "$(verdict 'echo 3 passed, 2 failed')" '3 passed, 2 failed (1)'
check leak_found_at_exit "$(verdict 'echo 3 passed, 0 failed; exit 23')" '3 passed, 1 failed (1)'
check crash "$(verdict 'echo 3 passed; kill -SEGV $$')" '0 passed, 1 failed (1)'
check silent "$(verdict ':')" '0 passed, 1 failed (1)'
check line_not_last "$(verdict 'echo 3 passed, 0 failed; echo more')" '0 passed, 1 failed (1)'
check nothing_ran "$(verdict 'echo 0 passed, 0 failed')" '0 passed, 1 failed (1)'
check all_skipped "$(verdict 'echo 0 passed, 0 failed, 1 skipped')" '0 passed, 0 failed (1)'
check hangs "$(verdict 'sleep 30; echo 3 passed, 0 failed')" '0 passed, 1 failed (1)'
check output_is_shown "$(verdict 'echo the reason >&2; exit 1' >/dev/null; grep -c 'the reason' "$tmp/out")" 1
# shellcheck disable=SC2016
echo 'echo "$(basename "$BIN") $(command -v vqvae)" >&2; echo 4 passed, 1 failed' >"$tmp/t/tests/cli/it.sh"
printf '#!/bin/sh\n' >"$tmp/t/b/bin/vqvae"
chmod +x "$tmp/t/b/bin/vqvae"
check sum "$(verdict 'echo 3 passed, 0 failed')" '7 passed, 1 failed (1)'
check programs_in_path "$(grep -c "bin $tmp/t/b/bin/vqvae" "$tmp/out")" 1
# Which tests run: those whose name has one of several patterns in it, or exact names.
printf '#!/bin/sh\necho 10 passed, 0 failed\n' >"$tmp/t/b/tests/test_it_too"
chmod +x "$tmp/t/b/tests/test_it_too"
: >"$tmp/t/tests/test_it_too.c"
runs() { sh "$tmp/t/tests/run.sh" "$tmp/t/b" "$@" 2>&1 | tail -n 1; }
check a_pattern "$(runs test_)" '13 passed, 0 failed'
check two_patterns "$(runs _too .sh)" '14 passed, 1 failed'
check exact_name "$(runs -x test_it)" '3 passed, 0 failed'
check two_exact_names "$(runs -x test_it_too it.sh)" '14 passed, 1 failed'
check no_such_name "$(runs -x test_i)" '0 passed, 0 failed'
rm "$tmp/t/tests/test_it_too.c"
rm "$tmp/t/tests/test_it.c" "$tmp/t/tests/cli/it.sh"
check stale_binary "$(sh "$tmp/t/tests/run.sh" "$tmp/t/b" | tail -n 1)" '0 passed, 0 failed'
# What is run is built first, but not with other flags than the folder's.
printf 'same-flags:\n\t@echo plain | cmp -s - $(B)/flags\n$(B)/tests/%%: tests/%%.c\n\t@sh -n $< && cp $< $@ && chmod +x $@\nprograms:\n' >"$tmp/t/Makefile"
made() { # FLAGS BODY: the source of a test changes
    echo "$1" >"$tmp/t/b/flags"
    printf '#!/bin/sh\n%s\n' "$2" >"$tmp/t/tests/test_made.c"
    touch -d '1 minute' "$tmp/t/tests/test_made.c"
    sh "$tmp/t/tests/run.sh" "$tmp/t/b" -x test_made >"$tmp/out" 2>&1
    echo "$(tail -n 1 "$tmp/out") ($?)"
}
check builds_what_it_runs "$(made plain 'echo 3 passed, 0 failed')" '3 passed, 0 failed (0)'
check builds_it_again "$(made plain 'echo 4 passed, 0 failed')" '4 passed, 0 failed (0)'
check other_flags "$(made sanitized 'echo 5 passed, 0 failed')" '4 passed, 0 failed (0)'
check build_fails "$(made plain 'if')" '0 passed, 1 failed (1)'

# --- setup.sh: the stand-ins note their arguments
mkdir "$tmp/s"
cat >"$tmp/s/dpkg" <<'X'
#!/bin/sh
case " $ABSENT " in *" $2 "*) exit 1 ;; esac
echo 'Status: install ok installed'
X
cat >"$tmp/s/apt-get" <<'X'
#!/bin/sh
echo "apt-get $*" >>"$CALLS"
X
cat >"$tmp/s/apt-cache" <<'X'
#!/bin/sh
case " $NOT_OFFERED " in *" $3 "*) ;; *) echo "$3 | 1 | here" ;; esac
X
printf '#!/bin/sh\necho "${USER_ID:-0}"\n' >"$tmp/s/id"
printf '#!/bin/sh\nexit 1\n' >"$tmp/s/sudo"
chmod +x "$tmp/s"/*
export CALLS="$tmp/calls" ABSENT='' NOT_OFFERED='' USER_ID=0
setup() { # status, then what it said in one line
    : >"$CALLS"
    said=$(PATH=$tmp/s:$PATH sh "$top/pipelines/setup.sh" "$@" 2>&1)
    echo "$? $said"
}
calls() { sed 's/.*install -y/install/' "$CALLS" | tr '\n' ';'; }

check setup_all_there "$(setup test)$(calls)" '0 '
ABSENT='liblmdb-dev libjpeg62-turbo-dev'
setup >"$tmp/said"
check setup_installs "$(calls)" 'apt-get -q update;install --no-install-recommends liblmdb-dev;'
check setup_says_so "$(cat "$tmp/said")" '0 installing with apt: liblmdb-dev'
ABSENT='libjpeg62-turbo-dev libjpeg-dev clang' NOT_OFFERED=libjpeg62-turbo-dev
setup >"$tmp/said"
check setup_other_name "$(calls)" 'apt-get -q update;install --no-install-recommends libjpeg-dev;'
NOT_OFFERED=
setup test >"$tmp/said"
check setup_for_tests "$(calls)" 'apt-get -q update;install --no-install-recommends libjpeg62-turbo-dev clang;'
ABSENT=libmujoco-dev NOT_OFFERED=libmujoco-dev
setup >"$tmp/said"
check setup_without_an_extra "$(calls)$(head -c 1 "$tmp/said")" 'apt-get -q update;0'
ABSENT='gcc libhdf5-dev' USER_ID=1000
check setup_as_user "$(setup)" \
    "1 please run: sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends gcc libhdf5-dev'"
check setup_as_user_calls_nothing "$(calls)" ''
check setup_wrong_word "$(setup tests)" '2 usage: sh pipelines/setup.sh [test]'

# --- check_floors.sh tests itself first; here, that an offence in the tree it is given fails
mkdir -p "$tmp/f/common/io" "$tmp/f/vqvae" "$tmp/f/tokenize" "$tmp/f/gato"
printf '#include "common/tape/tape.h"\n' >"$tmp/f/common/io/x.c"
sh "$top/tests/check_floors.sh" "$tmp/f" >"$tmp/out" 2>&1
rc=$?
check floors_fail "$rc $(grep -c '^common/io/x.c:1: ' "$tmp/out") $(tail -n 1 "$tmp/out" | cut -d, -f2)" '1 1  1 failed'

# --- check_format.sh likewise
mkdir -p "$tmp/f/gato" "$tmp/f/tests"
printf '/* ---- torn\n * ---- */\n' >"$tmp/f/vqvae/x.c"
sh "$top/tests/check_format.sh" "$tmp/f" >"$tmp/out" 2>&1
rc=$?
if grep -q "^no '" "$tmp/out"; then
    echo "skipped: check_format.sh: $(head -n 1 "$tmp/out")"
else
    check format_fails "$rc $(grep -c '^vqvae/x.c:1: ' "$tmp/out") $(tail -n 1 "$tmp/out" | cut -d, -f2)" '1 1  1 failed'
fi

# --- check_docs.sh likewise
printf 'see `gato/nothing.c`\n' >"$tmp/f/README.md"
printf 'all:\n' >"$tmp/f/Makefile"
sh "$top/tests/check_docs.sh" "$tmp/f" >"$tmp/out" 2>&1
rc=$?
check docs_fail "$rc $(grep -c '^README.md:1: ' "$tmp/out") $(tail -n 1 "$tmp/out" | cut -d, -f2)" '1 1  1 failed'

# --- test.sh: a failure of the quick tier ends the run, one of the second does not
mkdir -p "$tmp/q/pipelines" "$tmp/q/tests" "$tmp/q/bin"
cp "$top/pipelines/test.sh" "$tmp/q/pipelines"
printf '#!/bin/sh\nexit 0\n' >"$tmp/q/pipelines/setup.sh"
for s in check_floors check_format check_docs fuzz; do echo 'echo 1 passed, 0 failed' >"$tmp/q/tests/$s.sh"; done
# shellcheck disable=SC2016
echo 'echo "${2:-all}" >>tests/ran; echo 10 passed, 0 failed' >"$tmp/q/tests/run.sh"
echo 'echo levels >>tests/ran; echo 10 passed, 0 failed' >"$tmp/q/tests/levels.sh"
printf '#!/bin/sh\nexit 0\n' >"$tmp/q/bin/make"
chmod +x "$tmp/q/bin/make"
quick() { # what the whole check says last, and which tests it ran
    : >"$tmp/q/tests/ran"
    PATH=$tmp/q/bin:$PATH B=b sh "$tmp/q/pipelines/test.sh" >"$tmp/out" 2>&1
    rc=$?
    echo "$(tail -n 1 "$tmp/out") ($rc) $(tr '\n' ' ' <"$tmp/q/tests/ran")"
}
check all_of_it "$(quick)" '44 passed, 0 failed (0) test_ .sh levels all '
printf '#!/bin/sh\necho broken.c:1: error:; exit 2\n' >"$tmp/q/bin/make"
check broken_build "$(quick)" '3 passed, 1 failed (1) '
printf '#!/bin/sh\necho x.c:1: warning: unused\n' >"$tmp/q/bin/make"
check build_with_a_warning "$(quick)" '3 passed, 1 failed (1) '
printf '#!/bin/sh\nexit 0\n' >"$tmp/q/bin/make"
echo 'echo 1 passed, 2 failed; exit 1' >"$tmp/q/tests/check_format.sh"
check bad_format "$(quick)" '3 passed, 2 failed (1) '
echo 'echo 1 passed, 0 failed' >"$tmp/q/tests/check_format.sh"
echo 'echo 0 passed, 1 failed; exit 1' >"$tmp/q/tests/fuzz.sh"
check failing_second_tier "$(quick)" '43 passed, 1 failed (1) test_ .sh levels all '

# --- affected.sh on the build under test: oracles are what the includes and calls of a few files say
if [ -n "${BIN:-}" ] && [ -f "$BIN/../tests/test_fs.d" ]; then
    cd "$top" || exit 1
    build=${BIN%/bin}
    check affected_by_itself "$(sh tests/affected.sh "$build" tests/test_fs.c)" test_fs
    check affected_by_a_header "$(sh tests/affected.sh "$build" tests/test.h | grep -c .)" "$(ls tests/test_*.c | wc -l)"
    check affected_by_a_kernel "$(sh tests/affected.sh "$build" common/kernel/fsq.c | grep -cx -e test_ops -e test_quantizer_ops -e test_fs)" 2
    # An old build still has the object of a test that was removed.
    mkdir -p "$tmp/old/common" "$tmp/old/vqvae" "$tmp/old/tokenize" "$tmp/old/gato" "$tmp/old/tests"
    for o in fs gone; do
        cp "$build/tests/test_fs.o" "$tmp/old/tests/test_$o.o"
        cp "$build/tests/test_fs.d" "$tmp/old/tests/test_$o.d"
    done
    check affected_but_gone "$(sh tests/affected.sh "$tmp/old" tests/test.h)" test_fs
    check affected_by_nothing "$(sh tests/affected.sh "$build" README.md)" ''
fi

# --- json.sh
printf '{"step":1,"loss":0.5,"kind":"a"}\n{"step":2,"wall":3}\n{"step":4,"loss":null}\n' >"$tmp/j"
. "$top/pipelines/json.sh"
check json_all "$(json_all "$tmp/j" loss | tr '\n' ' ')" '0.5 null '
check json_first_last "$(json_first "$tmp/j" step) $(json_last "$tmp/j" step) $(json_last "$tmp/j" wall) $(json_last "$tmp/j" kind)" '1 4 3 "a"'
check json_mean "$(json_mean "$tmp/j" step) $(json_mean "$tmp/j" nothing)" '2 null'
check json_none "$(json_last "$tmp/no" step)$(json_or_null '')$(json_or_null 7)" 'null7'

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
