#!/bin/sh
# demo.sh - from images to an acting policy, in minutes: installs what is missing, builds, runs the pipeline of arm.mk, prints one table.
#
#   sh pipelines/demo.sh            SEED=2 D=build/demo-2 sh pipelines/demo.sh
set -eu
cd "$(dirname "$0")/.."
sh pipelines/setup.sh
make -s -j"$(nproc 2>/dev/null || echo 2)" programs
make -s demo
