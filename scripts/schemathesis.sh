#!/usr/bin/env bash
# Asks the service what its own description allows, and much that it forbids, and fails on any
# answer 5xx and on any answer that the description does not name. Needs Python 3 with venv and a
# built target/release/nin-serve. Usage: scripts/schemathesis.sh [EXAMPLES PER OPERATION]
set -euo pipefail
cd "$(dirname "$0")/.."

examples=${1:-100}
folder=target/schemathesis
mkdir -p "$folder"
if [ ! -x "$folder/venv/bin/st" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet schemathesis==4.32.5
fi

target/release/nin-serve --listen 127.0.0.1:0 --log-format json 2> "$folder/server.log" &
server=$!
trap 'kill "$server" 2> /dev/null || true' EXIT
until address=$(sed -n 's/.*"address":"\([^"]*\)".*/\1/p' "$folder/server.log" | head -n 1) && [ -n "$address" ]; do
    kill -0 "$server" 2> /dev/null || { cat "$folder/server.log"; exit 1; }
    sleep 0.1
done

checks=not_a_server_error,status_code_conformance,content_type_conformance
checks=$checks,response_headers_conformance,response_schema_conformance
"$folder/venv/bin/st" --config-file scripts/schemathesis.toml run "http://$address/openapi.json" --checks "$checks" \
    --max-examples "$examples" --phases examples,coverage,fuzzing --seed 1 --suppress-health-check all
