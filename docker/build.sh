#!/usr/bin/env bash
# Builds the image from this checkout: docker/build.sh [TAG]
#
# What a plain `docker build` needs is found here: a client that speaks BuildKit, the base images
# (pulled, or made by base-images.sh where no registry answers), and the certificates that this
# machine trusts, as a build secret. BUILD_ARGS holds further arguments for `docker build`.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:-nin-serve}

fail() {
    echo "build: $*" >&2
    exit 1
}

# A client of version 23 or later needs the plugin buildx for BuildKit; an older one has it built in.
buildkit_client() {
    local client version
    while read -r client; do
        version=$("$client" version --format '{{.Client.Version}}' 2>/dev/null | cut -d. -f1)
        if [ "${version:-99}" -lt 23 ] || "$client" buildx version >/dev/null 2>&1; then
            echo "$client"
            return
        fi
    done < <(type -ap docker)
    fail "no docker client with BuildKit. Install the plugin buildx"
}

# Each base image is here, or is pulled, or is made.
base_image() {
    local image
    image=$(sed -n "s/^ARG $1=//p" docker/Dockerfile)
    "$client" image inspect "$image" >/dev/null 2>&1 ||
        timeout 300 "$client" pull --quiet "$image" 2>/dev/null ||
        DOCKER=$client docker/base-images.sh "${@:2}"
}

client=$(buildkit_client)
if [[ " ${BUILD_ARGS:-} " != *_IMAGE=* ]]; then
    base_image RUNTIME_IMAGE
    base_image RUST_IMAGE rust
fi
arguments=(-f docker/Dockerfile -t "$tag")
revision=$(git rev-parse HEAD 2>/dev/null) && arguments+=(--build-arg "REVISION=$revision")
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
arguments+=(--build-arg "VERSION=$version")
for ca in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    if [ -s "$ca" ]; then
        arguments+=(--secret "id=ca,src=$ca")
        break
    fi
done
for name in HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    if [ -n "${!name:-}" ]; then arguments+=(--build-arg "$name"); fi
done
# shellcheck disable=SC2086  # arguments, split on purpose
DOCKER_BUILDKIT=1 exec "$client" build "${arguments[@]}" ${BUILD_ARGS:-} .
