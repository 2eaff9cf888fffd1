#!/usr/bin/env bash
# `nin-serve bench` beside the Python server of scripts/peer.py, which is installed into target/peer
# first: 3 GB from PyPI, since PyTorch brings CUDA along there. PEER=no leaves it out. Needs a built
# target/release/nin-serve. Usage: scripts/bench.sh [OPTIONS OF nin-serve bench]
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
folder=target/peer
packages="torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 pillow==13.0.0 uvicorn==0.54.0 uvloop==0.23.0 httptools==0.9.0"

install() {
    [ "$(cat "$folder/complete" 2> /dev/null)" = "$packages" ] && return
    echo "bench: installing the peer, 3 GB" >&2
    rm -rf "$folder"
    # shellcheck disable=SC2086  # one word each
    "$python" -m pip install --quiet --target "$folder" $packages >&2 || return
    echo "$packages" > "$folder/complete"
}

# Sets `address` once it listens, which it does when its network is compiled.
start() {
    local port
    port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    # The least turns of waiting threads are what it runs fastest with: see docs/performance.md.
    GOMP_SPINCOUNT=100 PYTHONPATH=$folder "$python" scripts/peer.py --port "$port" \
        > "$folder/log" 2>&1 &
    peer=$!
    trap 'kill "$peer" 2> /dev/null || true' EXIT
    echo "bench: starting the peer, which tries what it is fastest in" >&2
    until (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do
        kill -0 "$peer" 2> /dev/null || { tail -n 20 "$folder/log" >&2; return 1; }
        sleep 0.5
    done
    grep '^peer: ' "$folder/log" >&2
    address=127.0.0.1:$port
}

address=
if [ "${PEER:-}" != no ]; then
    { install && start; } || echo "bench: no peer; its target will not be measured" >&2
fi
target/release/nin-serve bench ${address:+--peer "$address/classify"} "$@"
