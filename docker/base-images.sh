#!/usr/bin/env bash
# Makes the images that the Dockerfile and the compose file start from, without a registry.
#
# For air-gapped builds: it needs this machine's Rust toolchain and a Debian package mirror, and
# gives its images the names of the official ones. With access to a registry, or to a mirror of
# one (see the build arguments in the Dockerfile), you don't need it. An image that the engine
# already has is left alone.
#
# Usage: docker/base-images.sh [rust] [proxy] [prometheus]    (the runtime base is always made)
# Needs: mmdebstrap (Debian's faster debootstrap, which writes the archive that `docker import`
# reads), root or user namespaces. MIRROR names a package mirror other than the system's.
set -euo pipefail
cd "$(dirname "$0")"

DOCKER=${DOCKER:-docker}
SUITE=bookworm

# The value of a build argument in the Dockerfile.
default() { sed -n "s/^ARG $1=//p" Dockerfile; }
# The default of a variable in the compose file, `${NAME:-default}`.
compose_default() { sed -n "s/.*\${$1:-\([^}]*\)}.*/\1/p" compose.yaml | head -n 1; }

# image NAME PACKAGES [HOOK]: imports a Debian with these packages; HOOK runs with its root as $1.
image() {
    local name=$1 packages=$2 hook=${3:-true}
    if $DOCKER image inspect "$name" >/dev/null 2>&1; then
        echo "base-images: $name is there already"
        return
    fi
    echo "base-images: making $name (takes minutes)"
    # Documentation, manuals and translations go, as in the official slim images.
    mmdebstrap --quiet --variant=minbase ${packages:+--include="$packages"} --customize-hook="$hook" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        "$SUITE" - ${MIRROR:+"$MIRROR"} |
        $DOCKER import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
            --change 'CMD ["bash"]' - "$name" >/dev/null
}

command -v mmdebstrap >/dev/null || {
    echo "base-images: mmdebstrap is missing. Install it with: sudo apt-get install mmdebstrap" >&2
    exit 1
}

image "$(default RUNTIME_IMAGE)" ""
for kind in "$@"; do
    case $kind in
    rust)
        SYSROOT=$(rustc --print sysroot)
        export SYSROOT
        # shellcheck disable=SC2016  # expanded by mmdebstrap's shell
        image "$(default RUST_IMAGE)" ca-certificates,g++,make,python3,python3-pip \
            'tar -C "$SYSROOT" --exclude=share --exclude=rust-analyzer -c . | tar -C "$1/usr/local" -x'
        ;;
    proxy) image "$(compose_default PROXY_IMAGE)" haproxy ;;
    prometheus)
        # shellcheck disable=SC2016
        image "$(compose_default PROMETHEUS_IMAGE)" prometheus 'install -d -o 65534 "$1/prometheus"'
        ;;
    *)
        echo "base-images: no such image: $kind" >&2
        exit 1
        ;;
    esac
done
