#!/bin/sh
# bench.sh BUILD - ours beside PyTorch's: makes the peer's virtual environment once, then runs bench.py.
#
# BENCH_VENV=DIR uses an environment that is there (torch, diffusers, transformers, pillow, lmdb, numpy, safetensors,
# vector-quantize-pytorch, onnx, onnxruntime, openvino);
# BENCH_ROWS=conv,encode runs only those groups. What is missing empties the peer's column, it does not fail the bench.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}
venv=${BENCH_VENV:-$build/bench-venv}

if ! command -v python3 >/dev/null 2>&1; then
    echo "the bench is led by python3, which is not here (Debian: apt-get install python3-venv)" >&2
    exit 1
fi
if [ -z "${BENCH_VENV:-}" ] && [ ! -f "$venv/done" ]; then
    echo "installing PyTorch, diffusers, transformers, onnxruntime and openvino into $venv: several gigabytes; BENCH_VENV=DIR names another" >&2
    rm -rf "$venv"
    if python3 -m venv "$venv" &&
        "$venv/bin/pip" install -q torch diffusers transformers pillow lmdb numpy safetensors \
            vector-quantize-pytorch onnx onnxruntime openvino; then
        : >"$venv/done"
    else
        echo "that failed: only our own numbers will be there" >&2
    fi
fi
PEER_PYTHON=$venv/bin/python3
export PEER_PYTHON
exec python3 tests/bench/bench.py "$build" "${BENCH_ROWS:-}"
