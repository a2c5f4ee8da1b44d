#!/bin/sh
# grid.sh - the room of gato/env/grid_world.h beside pip's minigrid (tests/interop/grid_minigrid.py): states, flags, rewards
# and pixels of random play are equal. Skips where no python3 has minigrid. VENV=DIR names a virtual environment that does.
. "$(dirname "$0")/../tokenize_common.sh"
python=
for p in "${VENV:+$VENV/bin/python3}" "$PYTHON" python3; do
    [ -n "$p" ] && "$p" -c 'import minigrid, numpy' 2>/dev/null && python=$p && break
done
if [ -z "$python" ]; then
    skip grid "no python3 has minigrid (pip install minigrid; VENV=DIR)"
    finish
fi
(
    cd "$top" && ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O1 -I. -o "$dir/grid_helper" tests/interop/grid_helper.c \
        gato/env/grid_world.c gato/env/grid_view.c gato/env/grid_plan.c common/base/die.c common/base/rng.c -lm
) >out 2>err
verdict $? "the helper is built"
"$python" "$top/tests/interop/grid_minigrid.py" ./grid_helper 600 >out 2>err && tail -n 1 out | grep -qx '600 passed, 0 failed'
verdict $? "minigrid shows and does the same"
"$python" "$top/tests/interop/grid_minigrid.py" ./grid_helper checksums >out 2>err && tr -d ' \n' <"$top/tests/test_grid.c" | grep -qF "$(tr -d ' \n' <out)"
verdict $? "the check values in test_grid.c are minigrid's"
finish
