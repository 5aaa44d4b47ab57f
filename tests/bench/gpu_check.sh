#!/bin/bash
# Checks a clone of the repository on a machine with a GPU, in at most ten minutes: bash tests/bench/gpu_check.sh [OUT]
#
# Runs the tests that need CUDA, `streamfx doctor --gpu`, the times of the kernels, and videos of 1920x1080. Results go
# to the folder OUT (default: gpu-check), and a summary to stdout. Needs the packages of '.[test,cuda]', ffmpeg and g++.
# What is collected can be checked on any machine: FAIL_WITHOUT_CUDA=1 python -m pytest -m needs_cuda --collect-only -q
cd "$(dirname "$0")/../.." || exit 1
out=${1:-gpu-check}
mkdir -p "$out"
failed=0

step() { # NAME SECONDS COMMAND...
    local name=$1 limit=$2 start=$SECONDS
    shift 2
    timeout -k 10 "$limit" "$@" > "$out/$name.txt" 2>&1
    local code=$?
    echo "$name: exit code $code (124: over the $limit s allowed), $((SECONDS - start)) s"
    tail -n 4 "$out/$name.txt" | sed 's/^/    /'
    [ $code -eq 0 ] || failed=1
}

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader || exit 1
export PYTHONPATH=$PWD
step tests 230 env FAIL_WITHOUT_CUDA=1 python -m pytest -m needs_cuda -q -n 4 -p no:cacheprovider
step doctor 130 python -m streamfx doctor --gpu
step kernels 60 python tests/bench/kernels.py --size 1920x1080
step videos 170 python tests/bench/gpu_videos.py
exit $failed
