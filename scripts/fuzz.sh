#!/usr/bin/env bash
# Fuzzes one target, or each in turn, and fails if something was found; what was found is in
# fuzz/artifacts. Needs nightly Rust and cargo-fuzz:
#   rustup toolchain install nightly --profile minimal && cargo install cargo-fuzz
# Usage: scripts/fuzz.sh SECONDS [picture|upload|manifest]
set -euo pipefail
cd "$(dirname "$0")/.."

cargo +nightly fuzz --version > /dev/null 2>&1 || {
    echo 'Needs: rustup toolchain install nightly --profile minimal && cargo install cargo-fuzz'
    exit 1
}
seconds=${1:-600}
shift || true
targets=${*:-picture upload manifest}
# Our crate brings libtorch, which the targets' binaries must find.
export LD_LIBRARY_PATH=${LIBTORCH:-$PWD/.libtorch}/lib
# Nightly Rust must not come from the environment of a build for the stable one.
unset RUSTFLAGS

found=0
for target in $targets; do
    case $target in
        picture) seeds=tests/fixtures/pictures ;;
        *) seeds=fuzz/seeds/$target ;;
    esac
    mkdir -p "fuzz/corpus/$target" "tests/fixtures/fuzz/$target"
    # The first folder takes what is new.
    cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "$seeds" "tests/fixtures/fuzz/$target" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=512 \
        -dict="fuzz/dictionaries/$target" -print_final_stats=1 || found=1
done
exit $found
